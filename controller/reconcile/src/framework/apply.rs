//! Carries a plan out and writes the status.

use crds::{Framework, reasons};
use kube::runtime::controller::Action;

use super::RunReport;
use super::observe::Observed;
use super::plan::Plan;
use super::status::status;
use crate::conditions::Health;
use crate::context::{Context, later, now_and_then, soon};
use crate::error::Error;
use crate::kind::{conclude, hold, release, status_of};
use crate::master_api::live_tasks;

pub(crate) async fn apply(
    plan: Plan,
    observed: &Observed,
    framework: Framework,
    ctx: &Context,
) -> Result<Action, Error> {
    match plan {
        Plan::Rest(health) => {
            conclude(ctx, &framework, status_of(&framework), &health).await?;
            Ok(later())
        }
        Plan::Release => {
            ctx.runs.leave(&crate::kind::owner(&framework)).await;
            release(ctx, &framework).await?;
            Ok(later())
        }
        Plan::TearDown(run) => {
            let told = |message: String| Health::waiting(reasons::DELETING, message);
            conclude(ctx, &framework, status_of(&framework), &told("its tasks are ending".into()))
                .await?;
            let id = framework.status.as_ref().and_then(|status| status.framework_id.clone());
            if let Err(why) = ctx.runs.tear_down(*run).await {
                // It never got to a master, so no master has a task of it.
                if id.is_none() {
                    release(ctx, &framework).await?;
                    return Ok(later());
                }
                let message = format!("it cannot be torn down yet: {why}");
                conclude(ctx, &framework, status_of(&framework), &told(message)).await?;
                return Ok(soon());
            }
            let master = observed.pool.as_ref().and_then(|pool| pool.leader.clone());
            if let (Some(id), Some(master)) = (id, master)
                && live_tasks(&master, &id).await.is_ok_and(|tasks| tasks > 0)
            {
                return Ok(soon());
            }
            release(ctx, &framework).await?;
            Ok(later())
        }
        Plan::Run(run) => {
            // Before the first task: from then on there is something to clean up.
            let framework = hold(ctx, &framework).await?;
            let report = ctx.runs.ensure(*run).await;
            tell_of_failure(ctx, &framework, &report).await;
            let mut told = status_of(&framework);
            let health = status(&mut told, &framework, observed, &report);
            conclude(ctx, &framework, told, &health).await?;
            Ok(if health.is_ready() { later() } else { now_and_then() })
        }
    }
}

/// One Event for each failure that the status has not told yet.
async fn tell_of_failure(ctx: &Context, framework: &Framework, report: &RunReport) {
    let Some(last) = &report.service.last_failure else { return };
    let told = framework.status.as_ref().and_then(|status| status.last_failure.as_ref());
    if told.is_some_and(|told| told.task_id.as_deref() == Some(last.task.as_str())) {
        return;
    }
    ctx.warn(framework, reasons::events::TASK_FAILED, "Run", &last.message).await;
}
