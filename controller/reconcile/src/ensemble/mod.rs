//! `Ensemble`: members as declared, and what they say of themselves.

mod apply;
mod join;
mod joined;
mod news;
mod observe;
mod plan;
mod rungs;
mod security;
pub(crate) mod settings;
mod status;
mod steps;

use std::sync::Arc;

use crds::{Ensemble, EnsembleSpec, ValueSource};
use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::context::{Context, later};
use crate::error::Error;
use crate::kind::fresh;

/// Brings one Ensemble a step nearer to its spec.
pub(crate) async fn reconcile(cached: Arc<Ensemble>, ctx: Arc<Context>) -> Result<Action, Error> {
    let Some(ensemble) = fresh(&ctx.client, cached.as_ref()).await? else { return Ok(later()) };
    let observed = observe::users(&ensemble, &ctx).await?;
    let plan = plan::plan(&ensemble, &observed);
    apply::apply(plan, ensemble, &ctx).await
}

/// The Ensemble's connect string, whether it serves or not; else why there is none, as a sentence. Who can
/// wait for it needs no more: masters and agents connect when it is there.
pub(crate) fn address(ensemble: &Ensemble) -> Result<String, String> {
    let status = ensemble.status.as_ref();
    status.and_then(|status| status.connect_string.clone()).ok_or_else(|| {
        let why = crate::conditions::why_not_ready(status);
        format!("Ensemble {} has no address yet: {why}", ensemble.name_any())
    })
}

/// The Ensemble's connect string, if it serves; else why not, as a sentence.
pub(crate) fn servers(ensemble: &Ensemble) -> Result<String, String> {
    let status = ensemble.status.as_ref();
    let available = crate::conditions::is_true(status, crds::reasons::AVAILABLE);
    match status.and_then(|status| status.connect_string.clone()) {
        Some(servers) if available => Ok(servers),
        _ => Err(format!(
            "Ensemble {} does not serve: {}",
            ensemble.name_any(),
            crate::conditions::why_not_ready(status)
        )),
    }
}

/// Whether a spec names this Secret.
pub(crate) fn names_secret(spec: &EnsembleSpec, name: &str) -> bool {
    let mut values = values(spec).filter_map(|source| source.secret_key_ref.as_ref());
    security::named(spec).iter().any(|(_, named)| named.name == name)
        || values.any(|source| source.name == name)
}

/// Whether a spec names this ConfigMap.
pub(crate) fn names_config_map(spec: &EnsembleSpec, name: &str) -> bool {
    let mut values = values(spec).filter_map(|source| source.config_map_key_ref.as_ref());
    values.any(|source| source.name == name)
}

/// The values that a spec takes from elsewhere.
fn values(spec: &EnsembleSpec) -> impl Iterator<Item = &ValueSource> {
    let digest = spec.authentication.as_ref().and_then(|auth| auth.super_digest.as_ref());
    let credentials = spec.join.as_ref().and_then(|join| join.credentials.as_ref());
    digest.into_iter().chain(credentials)
}
