//! Carries a plan out and writes the status.

use crds::{Ensemble, EnsembleStatus, reasons};
use futures::future::join_all;
use kube::runtime::controller::Action;

use super::joined::Joined;
use super::news::{self, News};
use super::observe::{self, Heard};
use super::plan::{Plan, Target};
use super::status::{self, View};
use super::steps::{self, Next, Step};
use crate::conditions::Health;
use crate::context::{Context, later, now_and_then, soon};
use crate::error::Error;
use crate::kind::{conclude, hold, is_deleting, now, owner, release, status_of};
use crate::platform::{Members, PlatformError, Sort};

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
        Plan::Run(target) => {
            // Before the first process: from then on there is something to clean up.
            let ensemble = hold(ctx, &ensemble).await?;
            match advance(&ensemble, &target, ctx).await {
                Ok((status, health)) => {
                    let before = status_of(&ensemble);
                    let news = news::news(&before, &status);
                    let health = if is_deleting(&ensemble) {
                        Health::stalled(reasons::IN_USE, STILL_COUNTED)
                    } else {
                        health
                    };
                    conclude(ctx, &ensemble, status, &health).await?;
                    tell(ctx, &ensemble, &news).await;
                    Ok(if health.is_ready() { now_and_then() } else { soon() })
                }
                Err(why) => {
                    let health = Health::waiting(reasons::PLATFORM_ERROR, why.to_string());
                    conclude(ctx, &ensemble, status_of(&ensemble), &health).await?;
                    Err(why.into())
                }
            }
        }
    }
}

/// Looks, takes one step, and tells how it is now.
async fn advance(
    ensemble: &Ensemble,
    target: &Target,
    ctx: &Context,
) -> Result<(EnsembleStatus, Health), PlatformError> {
    let (seen, heard) = observe::members(ensemble, target, ctx).await?;
    let mut told = status_of(ensemble);
    let is_kept = seen.iter().any(|member| member.wish.membership.others.is_some());
    if is_kept || seen.is_empty() && target.join.is_some() {
        let at = Joined { ensemble, target, ctx };
        return at.advance(told, seen, heard).await;
    }
    let next = if target.join.is_some() && target.fault.is_none() {
        Next::Wait(Health::stalled(reasons::INVALID_SPEC, IS_FOUNDED))
    } else {
        steps::next(target, &seen, status::since_loss(&told))
    };
    let wishes = seen.iter().map(|member| member.wish.clone());
    let (wishes, heard) = match &next {
        Next::Do(step) => {
            tracing::info!("Ensemble {}: {}", owner(ensemble), step.words());
            let wishes = step.applied(wishes);
            let heard = carry_out(step, &wishes, heard, ensemble, target, ctx).await?;
            (wishes, heard)
        }
        Next::Settled | Next::Wait(_) => (wishes.collect(), heard),
    };
    let view = View {
        target,
        membership: steps::newest(&wishes),
        heard: &heard,
        // Pods are brought to the whole wish each time: there that is no change.
        next: if ctx.platform.has_pods() { &Next::Settled } else { &next },
        stays: None,
    };
    let generation = ensemble.metadata.generation.unwrap_or(0);
    let health = status::status(&mut told, &view, generation, &now());
    Ok((told, health))
}

/// What the members that a step left alone said before it still holds.
pub(super) async fn carry_out(
    step: &Step,
    wishes: &[crate::platform::MemberWish],
    heard: Vec<Heard>,
    ensemble: &Ensemble,
    target: &Target,
    ctx: &Context,
) -> Result<Vec<Heard>, PlatformError> {
    let (owner, members, files) = (owner(ensemble), wishes.to_vec(), target.files.clone());
    let want = Members { owner, members, files };
    let parts = ctx.platform.members(&want).await?;
    if matches!(step, Step::Found(_)) {
        let answers = join_all(parts.iter().map(observe::ask)).await;
        return Ok(parts.into_iter().zip(answers).collect());
    }
    let parts = parts.into_iter().map(|part| {
        let known = heard.iter().find(|(before, _)| {
            before.number == part.number && before.pid == part.pid && before.state == part.state
        });
        let answer = known.map(|(_, answer)| answer.clone()).unwrap_or_default();
        (part, answer)
    });
    Ok(parts.collect())
}

async fn tell(ctx: &Context, ensemble: &Ensemble, news: &[News]) {
    for one in news {
        if one.is_warning {
            ctx.warn(ensemble, one.reason, one.action, &one.note).await;
        } else {
            ctx.tell(ensemble, one.reason, one.action, &one.note).await;
        }
    }
}

const IS_FOUNDED: &str = "spec.join: the members are an ensemble of their own already and cannot join another; remove \
    spec.join, or declare another Ensemble that joins";
const STILL_COUNTED: &str = "deletion waits: the ensemble that was joined counts on members of this Ensemble; set \
    spec.join.voters to Theirs (they leave one by one) or to Ours (all others leave), and it goes on when that is done; \
    or remove spec.join to end them all the same";
