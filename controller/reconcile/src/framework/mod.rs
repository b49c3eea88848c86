//! `Framework`: a built-in framework as declared, run through the scheduler API of its pool.

mod apply;
mod observe;
mod plan;
mod runs;
mod scheduler_runs;
mod service;
mod status;

pub(crate) use runs::{Run, RunReport, Runs};
pub(crate) use scheduler_runs::SchedulerRuns;

use std::sync::Arc;

use crds::Framework;
use kube::runtime::controller::Action;

use crate::context::{Context, later};
use crate::error::Error;
use crate::kind::fresh;

/// Brings one Framework a step nearer to its spec.
pub(crate) async fn reconcile(cached: Arc<Framework>, ctx: Arc<Context>) -> Result<Action, Error> {
    let Some(framework) = fresh(&ctx.client, cached.as_ref()).await? else { return Ok(later()) };
    let observed = observe::observe(&framework, &ctx).await?;
    let plan = plan::plan(&framework, &observed);
    apply::apply(plan, &observed, framework, &ctx).await
}
