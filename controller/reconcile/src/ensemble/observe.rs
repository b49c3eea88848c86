//! Reads who uses an Ensemble.

use crds::{Ensemble, ResourcePool, ZNode};
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::context::Context;
use crate::error::{Error, Tried};
use crate::kind::{api, is_deleting, is_paused, named};

/// What matters beside the object itself.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) paused: bool,
    /// Whether members are pods here: wishes about pods and volumes have an effect then.
    pub(crate) pods: bool,
    /// Pools and ZNodes that name it; asked only when it is being deleted.
    pub(crate) users: Vec<String>,
}

pub(crate) async fn observe(ensemble: &Ensemble, ctx: &Context) -> Result<Observed, Error> {
    let (paused, pods) = (is_paused(ensemble), ctx.platform.has_pods());
    if !is_deleting(ensemble) {
        return Ok(Observed { paused, pods, users: Vec::new() });
    }
    let namespace = ensemble.namespace().unwrap_or_default();
    let name = ensemble.name_any();
    let everything = ListParams::default();
    let pools: Api<ResourcePool> = api(&ctx.client, &namespace);
    let pools = pools.list(&everything).await.tried(|| format!("list pools of {namespace}"))?;
    let znodes: Api<ZNode> = api(&ctx.client, &namespace);
    let znodes = znodes.list(&everything).await.tried(|| format!("list ZNodes of {namespace}"))?;
    let pools = pools.iter().filter(|pool| pool.spec.ensemble_ref.name == name).map(named);
    let znodes = znodes.iter().filter(|znode| znode.spec.ensemble_ref.name == name).map(named);
    Ok(Observed { paused, pods, users: pools.chain(znodes).collect() })
}
