//! Reads a Framework's pool.

use crds::{Framework, ResourcePool, reasons};
use kube::ResourceExt;
use kube::api::Api;

use crate::conditions::{is_true, why_not_ready};
use crate::context::Context;
use crate::error::{Error, Tried};
use crate::kind::{api, is_paused};

/// What matters beside the object itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) paused: bool,
    /// `None`: there is no such pool.
    pub(crate) pool: Option<Pool>,
}

/// The pool it names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) detector: Option<String>,
    pub(crate) leader: Option<String>,
    /// Why it is not Ready, if it is not.
    pub(crate) trouble: Option<String>,
}

pub(crate) async fn observe(framework: &Framework, ctx: &Context) -> Result<Observed, Error> {
    let namespace = framework.namespace().unwrap_or_default();
    let name = &framework.spec.pool_ref.name;
    let pools: Api<ResourcePool> = api(&ctx.client, &namespace);
    let pool =
        pools.get_opt(name).await.tried(|| format!("read ResourcePool {namespace}/{name}"))?;
    let pool = pool.map(|pool| {
        let status = pool.status.as_ref();
        let ready = is_true(status, reasons::READY);
        Pool {
            detector: status.and_then(|status| status.detector.clone()),
            leader: status.and_then(|status| status.leader.clone()),
            trouble: (!ready).then(|| format!("pool {name}: {}", why_not_ready(status))),
        }
    });
    Ok(Observed { paused: is_paused(framework), pool })
}
