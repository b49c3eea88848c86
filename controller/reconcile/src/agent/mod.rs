//! `Agent`: an object for each node agent of a pool, and what the master says of it.
//!
//! The pool's reconciler makes, changes and deletes them, because it knows masters and processes; this
//! one only tells people whose Agent belongs to no pool.

pub(crate) mod apply;
pub(crate) mod plan;
pub(crate) mod status;

use std::sync::Arc;

use crds::{Agent, reasons};
use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::conditions::Health;
use crate::context::{Context, later};
use crate::error::Error;
use crate::kind::{conclude, fresh, status_of};

/// Tells of an Agent that no pool made.
pub(crate) async fn reconcile(cached: Arc<Agent>, ctx: Arc<Context>) -> Result<Action, Error> {
    let Some(agent) = fresh(&ctx.client, cached.as_ref()).await? else { return Ok(later()) };
    let made = agent.owner_references().iter().any(|owner| owner.kind == "ResourcePool");
    if !made {
        let message = format!(
            "no pool made this Agent, so nothing runs for it; delete it, and set spec.agents.count of pool {}",
            agent.spec.pool_ref.name
        );
        let health = Health::stalled(reasons::INVALID_SPEC, message);
        conclude(&ctx, &agent, status_of(&agent), &health).await?;
    }
    Ok(later())
}
