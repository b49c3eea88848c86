//! Carries a plan out and writes the status.

use crds::{Ensemble, reasons};
use futures::future::join_all;
use kube::runtime::controller::Action;

use super::plan::Plan;
use super::status::status;
use crate::conditions::Health;
use crate::context::{Context, later, now_and_then, soon};
use crate::error::Error;
use crate::four_letters;
use crate::kind::{conclude, hold, now, owner, release, status_of};
use crate::platform::{Part, PartState, Sort};

pub(crate) async fn apply(plan: Plan, ensemble: Ensemble, ctx: &Context) -> Result<Action, Error> {
    match plan {
        Plan::Rest(health) => {
            conclude(ctx, &ensemble, status_of(&ensemble), &health).await?;
            Ok(later())
        }
        Plan::Hold(users) => {
            let message = format!(
                "deletion waits: {} use it; delete them first (its members serve on until then)",
                users.join(", ")
            );
            let told = ensemble.status.as_ref().is_some_and(|status| {
                status.conditions.iter().any(|c| c.type_ == reasons::READY && c.message == message)
            });
            if !told {
                ctx.warn(&ensemble, reasons::events::DELETION_HELD, "Delete", &message).await;
            }
            let health = Health::stalled(reasons::IN_USE, message);
            conclude(ctx, &ensemble, status_of(&ensemble), &health).await?;
            Ok(now_and_then())
        }
        Plan::Remove(data) => {
            let owner = owner(&ensemble);
            if ctx.platform.remove(&owner, Sort::Member, data).await? {
                release(ctx, &ensemble).await?;
                return Ok(later());
            }
            let health = Health::waiting(reasons::DELETING, "its members are ending");
            conclude(ctx, &ensemble, status_of(&ensemble), &health).await?;
            Ok(soon())
        }
        Plan::Run(want) => {
            // Before the first process: from then on there is something to clean up.
            let ensemble = hold(ctx, &ensemble).await?;
            let parts = match ctx.platform.members(&want).await {
                Ok(parts) => parts,
                Err(why) => {
                    let health = Health::waiting(reasons::PLATFORM_ERROR, why.to_string());
                    conclude(ctx, &ensemble, status_of(&ensemble), &health).await?;
                    return Err(why.into());
                }
            };
            tell_of_starts(ctx, &ensemble, &parts).await;
            let reports = join_all(parts.iter().map(ask)).await;
            let members: Vec<_> = parts.into_iter().zip(reports).collect();
            let mut told = status_of(&ensemble);
            let generation = ensemble.metadata.generation.unwrap_or(0);
            let health = status(&mut told, want.count, &members, generation, &now());
            conclude(ctx, &ensemble, told, &health).await?;
            Ok(if health.is_ready() { now_and_then() } else { soon() })
        }
    }
}

async fn ask(part: &Part) -> Option<four_letters::Report> {
    match (&part.state, &part.endpoint) {
        (PartState::Running, Some(endpoint)) => four_letters::ask(endpoint).await,
        _ => None,
    }
}

/// One Event for each process that was not there when the status was written last.
async fn tell_of_starts(ctx: &Context, ensemble: &Ensemble, parts: &[Part]) {
    let before =
        ensemble.status.as_ref().map(|status| status.members.as_slice()).unwrap_or_default();
    for part in parts {
        let known = before.iter().find(|member| member.id == part.number);
        let (Some(pid), known_pid) = (part.pid, known.and_then(|member| member.pid)) else {
            continue;
        };
        if known_pid == Some(pid) {
            continue;
        }
        let again = known_pid.is_some() || part.restarts > 0;
        let reason = if again { reasons::events::RESTARTED } else { reasons::events::STARTED };
        ctx.tell(ensemble, reason, "Start", &format!("member {} is process {pid}", part.number))
            .await;
    }
}
