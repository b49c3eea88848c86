//! Carries a plan out: parts, roles, Agents, status.

use crds::{Agent, ResourcePool, reasons};
use futures::future::join_all;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use serde_json::json;
use zookeeper_client::Error as ZkError;

use super::observe::Observed;
use super::plan::Plan;
use super::status::{View, status};
use super::{folder, roles};
use crate::agent;
use crate::agent::status::Seen;
use crate::conditions::Health;
use crate::context::{Context, later, now_and_then, soon};
use crate::error::Error;
use crate::kind::{api, conclude, hold, now, owner, release, status_of};
use crate::master_api::{self, MasterError};
use crate::platform::{Agents, DataFate, Masters, Part, PartState, PlatformError, Sort};

pub(crate) async fn apply(
    plan: Plan,
    observed: Observed,
    pool: ResourcePool,
    ctx: &Context,
) -> Result<Action, Error> {
    match plan {
        Plan::Rest(health) => {
            conclude(ctx, &pool, status_of(&pool), &health).await?;
            Ok(now_and_then())
        }
        Plan::Hold(users) => {
            let message = format!("deletion waits: {} use it; delete them first", users.join(", "));
            let told = pool.status.as_ref().is_some_and(|status| {
                status.conditions.iter().any(|c| c.type_ == reasons::READY && c.message == message)
            });
            if !told {
                ctx.warn(&pool, reasons::events::DELETION_HELD, "Delete", &message).await;
            }
            conclude(ctx, &pool, status_of(&pool), &Health::stalled(reasons::IN_USE, message))
                .await?;
            Ok(now_and_then())
        }
        Plan::Remove => remove(ctx, &pool, &observed).await,
        Plan::Run { masters, agents } => {
            // Before the first process: from then on there is something to clean up.
            let pool = hold(ctx, &pool).await?;
            match run(ctx, &pool, &observed, &masters, &agents).await {
                Err(Error::Platform(why)) => {
                    let health = Health::waiting(reasons::PLATFORM_ERROR, why.to_string());
                    conclude(ctx, &pool, status_of(&pool), &health).await?;
                    Err(why.into())
                }
                other => other,
            }
        }
    }
}

async fn run(
    ctx: &Context,
    pool: &ResourcePool,
    observed: &Observed,
    masters: &Masters,
    agents: &Agents,
) -> Result<Action, Error> {
    // Both at once: an agent waits for its master by itself.
    let (masters, parts) = parts(ctx, masters, agents).await?;
    let running: Vec<i32> = parts.iter().map(|part| part.number).collect();
    let plan = agent::plan::plan(pool, &agents.agents, &observed.agents, &running);
    let is_complete = plan.create.is_empty();
    agent::apply::apply(ctx, pool, plan).await?;

    let mut view = View { masters, agents: parts, ..View::default() };
    if let Some((leader, reports)) = leader(&view.masters).await {
        if let Err(why) = roles::settle(&leader, &pool.spec.roles).await {
            view.refused = Some(why.to_string());
        }
        let known = master_api::call(&leader, &json!({ "type": "GET_ROLES" })).await;
        view.roles = known.ok().flatten().unwrap_or_default();
        view.reports = reports;
        view.leader = Some(leader);
    }
    view.seen = join_all(agents.agents.iter().map(|wish| async {
        let part = view.agents.iter().find(|part| part.number == wish.ordinal).cloned();
        let report = newest(&view.reports, &wish.name);
        let address = report.as_ref().and_then(|report| report.address.clone());
        let state = match address {
            Some(address) => crate::agent_api::state(&address).await,
            None => None,
        };
        (wish.name.clone(), Seen { part, report, state })
    }))
    .await;
    for (name, seen) in &view.seen {
        if let Some(object) = observed.agents.iter().find(|agent| &agent.name_any() == name) {
            agent::apply::settle(ctx, object, seen, view.leader.as_deref()).await?;
        }
    }
    let mut told = status_of(pool);
    let health = status(&mut told, pool, &agents.detector, &view, &now());
    // An agent that has just started has not told yet whether its limits are enforced.
    let is_known = told.conditions.iter().all(|condition| condition.status != "Unknown");
    conclude(ctx, pool, told, &health).await?;
    Ok(if health.is_ready() && is_complete && is_known { now_and_then() } else { soon() })
}

async fn parts(
    ctx: &Context,
    masters: &Masters,
    agents: &Agents,
) -> Result<(Vec<Part>, Vec<Part>), PlatformError> {
    Ok((ctx.platform.masters(masters).await?, ctx.platform.agents(agents).await?))
}

/// The leading master among those that run, with what it says of its agents.
async fn leader(masters: &[Part]) -> Option<(String, Vec<master_api::AgentReport>)> {
    let running = masters.iter().filter(|part| part.state == PartState::Running);
    let asked = running.filter_map(|part| part.endpoint.clone()).map(|endpoint| async {
        let answer = master_api::agents(&endpoint).await;
        if let Err(why @ MasterError::Refused(..)) = &answer {
            tracing::warn!("{why}");
        }
        Some((endpoint, answer.ok()?))
    });
    join_all(asked).await.into_iter().flatten().next()
}

/// An agent that came back under another id is there twice for a while.
fn newest(reports: &[master_api::AgentReport], name: &str) -> Option<master_api::AgentReport> {
    let same = reports.iter().filter(|report| report.hostname == name);
    same.max_by_key(|report| (report.active, report.registered)).cloned()
}

/// Agents and their tasks first, then masters, then what they kept in the ensemble.
async fn remove(ctx: &Context, pool: &ResourcePool, observed: &Observed) -> Result<Action, Error> {
    let owner = owner(pool);
    let told = |message: &str| Health::waiting(reasons::DELETING, message);
    if !ctx.platform.remove(&owner, Sort::Agent, DataFate::Delete).await? {
        conclude(ctx, pool, status_of(pool), &told("agents are stopping their tasks")).await?;
        return Ok(soon());
    }
    let agents: Api<Agent> = api(&ctx.client, &owner.namespace);
    for object in &observed.agents {
        agent::apply::delete(&agents, &object.name_any(), object.uid()).await?;
    }
    if !ctx.platform.remove(&owner, Sort::Master, DataFate::Delete).await? {
        conclude(ctx, pool, status_of(pool), &told("masters are ending")).await?;
        return Ok(soon());
    }
    // Without the ensemble there is nothing to clean up in it; one that does not answer is left alone,
    // because it may be gone for good: a pool of the same name would go on with the registry.
    let ensemble = format!("{}/{}", owner.namespace, pool.spec.ensemble_ref.name);
    if let Ok(servers) = &observed.servers
        && let Err(why) =
            forget(ctx, &ensemble, servers, &folder(&owner.namespace, &owner.name)).await
    {
        tracing::warn!("the registry of pool {owner} stays in {servers}: {why}");
    }
    release(ctx, pool).await?;
    Ok(later())
}

/// Deletes a folder of the ensemble with all below it.
async fn forget(ctx: &Context, ensemble: &str, servers: &str, folder: &str) -> Result<(), ZkError> {
    let client = ctx.sessions.with(ensemble, servers).await?;
    let mut open = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        match client.list_children(&path).await {
            Ok(names) => open.extend(names.iter().map(|name| format!("{path}/{name}"))),
            Err(ZkError::NoNode) => continue,
            Err(why) => return Err(why),
        }
        found.push(path);
    }
    for path in found.iter().rev() {
        match client.delete(path, None).await {
            Ok(()) | Err(ZkError::NoNode) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::plan::agent_name;
    use super::*;
    use crate::master_api::AgentReport;

    #[test]
    fn an_agent_that_came_back_is_taken_by_its_newest_registration() {
        let report = |id: &str, active, registered| AgentReport {
            id: id.into(),
            hostname: "p-0".into(),
            active,
            registered: Some(registered),
            ..AgentReport::default()
        };
        let reports = [report("old", false, 9), report("new", true, 8)];
        assert_eq!(newest(&reports, &agent_name("p", 0)).map(|r| r.id), Some("new".into()));
        assert_eq!(newest(&reports, &agent_name("p", 1)), None);
    }
}
