//! Writes Agent objects and their status, and tells the master of those that take no tasks.

use crds::{Agent, ResourcePool, reasons};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::plan::{Plan, Switch, switch};
use super::status::{Seen, status};
use crate::context::Context;
use crate::error::{Error, Tried, is_status};
use crate::kind::{api, conclude, now, status_of};
use crate::master_api::{MasterError, call};

/// Makes and deletes objects.
pub(crate) async fn apply(ctx: &Context, pool: &ResourcePool, plan: Plan) -> Result<(), Error> {
    let namespace = pool.namespace().unwrap_or_default();
    let agents: Api<Agent> = api(&ctx.client, &namespace);
    for agent in plan.create {
        let name = agent.name_any();
        match agents.create(&PostParams::default(), &agent).await {
            Ok(_) => {
                ctx.tell(pool, reasons::events::CREATED, "Scale", &format!("Agent {name}")).await
            }
            // Ours and not seen yet, or somebody else's: the list tells which the next time.
            Err(why) if is_status(&why, 409) => {}
            Err(why) => return Err(why).tried(|| format!("create Agent {namespace}/{name}")),
        }
    }
    for name in plan.delete {
        delete(&agents, &name, None).await?;
        ctx.tell(pool, reasons::events::DELETED, "Scale", &format!("Agent {name}")).await;
    }
    Ok(())
}

/// Deletes an object; one that is gone is as wished.
pub(crate) async fn delete(
    agents: &Api<Agent>,
    name: &str,
    uid: Option<String>,
) -> Result<(), Error> {
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
    let how = DeleteParams { preconditions, ..DeleteParams::default() };
    match agents.delete(name, &how).await {
        Err(why) if !is_status(&why, 404) => Err(why).tried(|| format!("delete Agent {name}")),
        _ => Ok(()),
    }
}

/// Writes the status of one Agent, and sets its switch at the master.
pub(crate) async fn settle(
    ctx: &Context,
    agent: &Agent,
    seen: &Seen,
    master: Option<&str>,
) -> Result<(), Error> {
    if let (Some(master), Some(report)) = (master, &seen.report)
        && let Some(switch) = switch(agent, report)
        && let Err(why) = turn(master, &report.id, switch).await
    {
        // It is asked again at the next look, which a master's change or the safety net brings.
        ctx.warn(agent, reasons::REFUSED, "Switch", &why.to_string()).await;
    }
    let mut told = status_of(agent);
    let generation = agent.metadata.generation.unwrap_or(0);
    let health = status(&mut told, agent, seen, generation, &now());
    conclude(ctx, agent, told, &health).await
}

async fn turn(master: &str, id: &str, switch: Switch) -> Result<Option<Value>, MasterError> {
    let (type_, field) = match switch {
        Switch::Deactivate => ("DEACTIVATE_AGENT", "deactivate_agent"),
        Switch::Reactivate => ("REACTIVATE_AGENT", "reactivate_agent"),
    };
    call(master, &json!({ "type": type_, field: { "agent_id": { "value": id } } })).await
}
