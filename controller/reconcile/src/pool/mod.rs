//! `ResourcePool`: masters and agents as declared, roles as declared, and who has what.

mod apply;
mod observe;
mod plan;
mod roles;
mod status;

use std::sync::Arc;

use crds::ResourcePool;
use kube::runtime::controller::Action;

use crate::context::{Context, later};
use crate::error::Error;
use crate::kind::fresh;

/// Brings one pool a step nearer to its spec.
pub(crate) async fn reconcile(
    cached: Arc<ResourcePool>,
    ctx: Arc<Context>,
) -> Result<Action, Error> {
    let Some(pool) = fresh(&ctx.client, cached.as_ref()).await? else { return Ok(later()) };
    let observed = observe::observe(&pool, &ctx).await?;
    let plan = plan::plan(&pool, &observed);
    apply::apply(plan, observed, pool, &ctx).await
}

/// The folder of a pool in its ensemble. Masters make `election` and `registry` below it.
pub(crate) fn folder(namespace: &str, name: &str) -> String {
    format!("/troupe/pools/{namespace}/{name}")
}
