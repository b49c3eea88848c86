//! Reads who uses an Ensemble, and how its members are.

use crds::{Ensemble, ResourcePool, ZNode};
use futures::future::join_all;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::plan::Target;
use super::security::{self, Secrets};
use super::steps::Seen;
use crate::conditions::Health;
use crate::context::Context;
use crate::error::{Error, Tried};
use crate::four_letters::{self, Answer};
use crate::kind::{api, is_deleting, is_paused, named, owner};
use crate::platform::{MemberWish, Members, Part, PartState, PlatformError};
use crate::references;

/// What decides whether anything may be done.
#[derive(Debug, Default)]
pub(crate) struct Users {
    pub(crate) paused: bool,
    /// Whether members are pods here: wishes about pods and volumes have an effect then.
    pub(crate) pods: bool,
    /// Pools and ZNodes that name it; asked only when it is being deleted.
    pub(crate) users: Vec<String>,
    /// Secrets that it names, as far as they exist.
    pub(crate) secrets: Secrets,
    /// The digest that it names, or why there is none; `None` when it names none.
    pub(crate) super_digest: Option<Result<Vec<u8>, Health>>,
    /// The credentials that it names, likewise.
    pub(crate) credentials: Option<Result<Vec<u8>, Health>>,
}

pub(crate) async fn users(ensemble: &Ensemble, ctx: &Context) -> Result<Users, Error> {
    let (paused, pods) = (is_paused(ensemble), ctx.platform.has_pods());
    let namespace = ensemble.namespace().unwrap_or_default();
    let mut users = Users { paused, pods, ..Users::default() };
    if is_deleting(ensemble) {
        users.users = users_of(ensemble, &namespace, ctx).await?;
    }
    let spec = &ensemble.spec;
    for (_, named) in security::named(spec) {
        if let Some(secret) = references::secret(&named.name, &namespace, ctx).await? {
            users.secrets.insert(named.name.clone(), secret);
        }
    }
    let digest = spec.authentication.as_ref().and_then(|auth| auth.super_digest.as_ref());
    if let Some(source) = digest {
        let value = references::value(source, SUPER_DIGEST, &namespace, ctx).await?;
        users.super_digest = Some(value);
    }
    if let Some(source) = spec.join.as_ref().and_then(|join| join.credentials.as_ref()) {
        let value = references::value(source, CREDENTIALS, &namespace, ctx).await?;
        users.credentials = Some(value);
    }
    Ok(users)
}

async fn users_of(
    ensemble: &Ensemble,
    namespace: &str,
    ctx: &Context,
) -> Result<Vec<String>, Error> {
    let name = ensemble.name_any();
    let everything = ListParams::default();
    let pools: Api<ResourcePool> = api(&ctx.client, namespace);
    let pools = pools.list(&everything).await.tried(|| format!("list pools of {namespace}"))?;
    let znodes: Api<ZNode> = api(&ctx.client, namespace);
    let znodes = znodes.list(&everything).await.tried(|| format!("list ZNodes of {namespace}"))?;
    let pools = pools.iter().filter(|pool| pool.spec.ensemble_ref.name == name).map(named);
    let znodes = znodes.iter().filter(|znode| znode.spec.ensemble_ref.name == name).map(named);
    Ok(pools.chain(znodes).collect())
}

/// One member: its process or pod, and what it says.
pub(crate) type Heard = (Part, Answer);

/// The members that were wished last, kept as they were wished, and what they say.
pub(crate) async fn members(
    ensemble: &Ensemble,
    target: &Target,
    ctx: &Context,
) -> Result<(Vec<Seen>, Vec<Heard>), PlatformError> {
    let owner = owner(ensemble);
    let wishes = ctx.platform.wished(&owner).await?;
    if wishes.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let want = Members { owner, members: wishes.clone(), files: target.files.clone() };
    let parts = ctx.platform.members(&want).await?;
    let answers = join_all(parts.iter().map(ask)).await;
    let heard: Vec<Heard> = parts.into_iter().zip(answers).collect();
    Ok((wishes.into_iter().map(|wish| seen(wish, &heard)).collect(), heard))
}

/// Asks one member, if there is anybody to ask.
pub(crate) async fn ask(part: &Part) -> Answer {
    match (&part.state, &part.endpoint) {
        (PartState::Running | PartState::Elsewhere, Some(endpoint)) => {
            four_letters::ask(endpoint).await
        }
        _ => Answer::Silent,
    }
}

fn seen(wish: MemberWish, heard: &[Heard]) -> Seen {
    let found = heard.iter().find(|(part, _)| part.number == wish.id);
    let (state, answer) = found.map_or((PartState::Starting, Answer::Silent), |(part, answer)| {
        (part.state.clone(), answer.clone())
    });
    Seen { wish, state, answer }
}

const CREDENTIALS: &str = "spec.join.credentials";
const SUPER_DIGEST: &str = "spec.authentication.superDigest";
