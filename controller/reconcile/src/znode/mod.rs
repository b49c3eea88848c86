//! `ZNode`: one znode kept as declared.
//!
//! A watch on the znode starts a reconciliation at once when somebody changes its data or deletes it. A
//! change of an ACL wakes no watch in ZooKeeper: it is found by a look at its version, twice a second.

mod apply;
mod observe;
mod plan;
mod watching;

pub(crate) use watching::Watching;

use std::sync::Arc;

use crds::ZNode;
use kube::runtime::controller::Action;

use crate::context::{Context, later};
use crate::error::Error;
use crate::kind::fresh;

/// Brings one znode to its declaration.
pub(crate) async fn reconcile(
    cached: Arc<ZNode>,
    (ctx, watching): (Arc<Context>, Arc<Watching>),
) -> Result<Action, Error> {
    let Some(znode) = fresh(&ctx.client, cached.as_ref()).await? else {
        watching.forget(&cached);
        return Ok(later());
    };
    let observed = observe::observe(&znode, &ctx, &watching).await?;
    let plan = plan::plan(&znode, &observed);
    apply::apply(plan, observed, znode, &ctx, &watching).await
}
