//! Reads a pool's ensemble, its Agents and who uses it.

use crds::{Agent, Ensemble, Framework, POOL_LABEL, ResourcePool, reasons};
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::conditions::Health;
use crate::context::Context;
use crate::ensemble::address;
use crate::error::{Error, Tried};
use crate::kind::{api, is_deleting, is_paused, named};

/// What matters beside the object itself.
pub(crate) struct Observed {
    pub(crate) paused: bool,
    /// Whether parts are pods here: wishes about pods have an effect then.
    pub(crate) pods: bool,
    /// The ensemble's connect string, or why there is none.
    pub(crate) servers: Result<String, Health>,
    /// Its Agent objects, by name.
    pub(crate) agents: Vec<Agent>,
    /// Frameworks that name it; asked only when it is being deleted.
    pub(crate) users: Vec<String>,
}

pub(crate) async fn observe(pool: &ResourcePool, ctx: &Context) -> Result<Observed, Error> {
    let namespace = pool.namespace().unwrap_or_default();
    let name = pool.name_any();
    let agents: Api<Agent> = api(&ctx.client, &namespace);
    let ours = ListParams::default().labels(&format!("{POOL_LABEL}={name}"));
    let agents = agents.list(&ours).await.tried(|| format!("list Agents of {namespace}/{name}"))?;
    let owned = |agent: &Agent| {
        agent.owner_references().iter().any(|owner| Some(&owner.uid) == pool.uid().as_ref())
    };
    let agents = agents.items.into_iter().filter(owned).collect();
    let users = if is_deleting(pool) { users(ctx, &namespace, &name).await? } else { Vec::new() };
    Ok(Observed {
        paused: is_paused(pool),
        pods: ctx.platform.has_pods(),
        servers: reach(pool, ctx).await?,
        agents,
        users,
    })
}

async fn reach(pool: &ResourcePool, ctx: &Context) -> Result<Result<String, Health>, Error> {
    let namespace = pool.namespace().unwrap_or_default();
    let name = &pool.spec.ensemble_ref.name;
    let ensembles: Api<Ensemble> = api(&ctx.client, &namespace);
    let ensemble =
        ensembles.get_opt(name).await.tried(|| format!("read Ensemble {namespace}/{name}"))?;
    Ok(match ensemble {
        None => Err(Health::stalled(
            reasons::REFERENCE_NOT_FOUND,
            format!("Ensemble {name} does not exist in this namespace; create it"),
        )),
        Some(ensemble) => {
            address(&ensemble).map_err(|why| Health::waiting(reasons::WAITING_FOR_REFERENCE, why))
        }
    })
}

async fn users(ctx: &Context, namespace: &str, name: &str) -> Result<Vec<String>, Error> {
    let frameworks: Api<Framework> = api(&ctx.client, namespace);
    let all = frameworks.list(&ListParams::default()).await;
    let all = all.tried(|| format!("list Frameworks of {namespace}"))?;
    Ok(all.iter().filter(|framework| framework.spec.pool_ref.name == name).map(named).collect())
}
