//! Reads what a ZNode declares by reference, and the znode itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crds::{Ensemble, ZNode, reasons};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use zookeeper_client::{Acl, Client, Error as ZkError, Stat};

use super::Watching;
use crate::conditions::Health;
use crate::context::Context;
use crate::ensemble::servers;
use crate::error::{Error, Tried};
use crate::kind::{api, is_deleting, is_paused, named};
use crate::references;

/// What matters beside the object itself.
pub(crate) struct Observed {
    pub(crate) paused: bool,
    /// The data to have, or why it cannot be told.
    pub(crate) data: Result<Vec<u8>, Health>,
    /// Another object that declared the same znode before.
    pub(crate) rival: Option<String>,
    pub(crate) ensemble: Reached,
}

/// The ensemble, and the znode in it.
pub(crate) enum Reached {
    /// There is no such Ensemble (any more).
    Missing,
    /// It cannot be asked now.
    Silent(Health),
    /// It was asked.
    Open { client: Client, found: Option<Found> },
}

/// A znode that exists.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) data: Vec<u8>,
    pub(crate) stat: Stat,
    pub(crate) acl: Vec<Acl>,
}

pub(crate) async fn observe(
    znode: &ZNode,
    ctx: &Context,
    watching: &Watching,
) -> Result<Observed, Error> {
    let paused = is_paused(znode);
    let data = if is_deleting(znode) { Ok(Vec::new()) } else { data(znode, ctx).await? };
    let rival = rival(znode, ctx).await?;
    let ensemble = reach(znode, ctx, watching).await?;
    Ok(Observed { paused, data, rival, ensemble })
}

async fn reach(znode: &ZNode, ctx: &Context, watching: &Watching) -> Result<Reached, Error> {
    let namespace = znode.namespace().unwrap_or_default();
    let name = &znode.spec.ensemble_ref.name;
    let ensembles: Api<Ensemble> = api(&ctx.client, &namespace);
    let ensemble =
        ensembles.get_opt(name).await.tried(|| format!("read Ensemble {namespace}/{name}"))?;
    let Some(ensemble) = ensemble else { return Ok(Reached::Missing) };
    let servers = match servers(&ensemble) {
        Ok(servers) => servers,
        Err(why) => {
            return Ok(Reached::Silent(Health::waiting(reasons::WAITING_FOR_REFERENCE, why)));
        }
    };
    let unreachable = |why: &ZkError| {
        Reached::Silent(Health::waiting(
            reasons::UNREACHABLE,
            format!("Ensemble {name} at {servers} does not answer: {why}"),
        ))
    };
    let client = match ctx.sessions.with(&format!("{namespace}/{name}"), &servers).await {
        Ok(client) => client,
        Err(why) => return Ok(unreachable(&why)),
    };
    // Watched first and read then: a change in between wakes the object again.
    if let Err(why) = watching.ensure(znode, &client, &znode.spec.path).await {
        return Ok(unreachable(&why));
    }
    match find(&client, &znode.spec.path).await {
        Ok(found) => Ok(Reached::Open { client, found }),
        Err(why) => Ok(unreachable(&why)),
    }
}

/// Reads the znode; data and ACL may be of two moments, and then the watch wakes the object again.
pub(crate) async fn find(client: &Client, path: &str) -> Result<Option<Found>, ZkError> {
    let read = async {
        let (acl, _) = client.get_acl(path).await?;
        let (data, stat) = client.get_data(path).await?;
        Ok(Found { data, stat, acl })
    };
    match read.await {
        Ok(found) => Ok(Some(found)),
        Err(ZkError::NoNode) => Ok(None),
        Err(why) => Err(why),
    }
}

async fn rival(znode: &ZNode, ctx: &Context) -> Result<Option<String>, Error> {
    let namespace = znode.namespace().unwrap_or_default();
    let all: Api<ZNode> = api(&ctx.client, &namespace);
    let all =
        all.list(&ListParams::default()).await.tried(|| format!("list ZNodes of {namespace}"))?;
    let age = |znode: &ZNode| (znode.creation_timestamp(), znode.name_any());
    let rivals = all.items.iter().filter(|other| {
        other.uid() != znode.uid()
            && !is_deleting(*other)
            && other.spec.ensemble_ref == znode.spec.ensemble_ref
            && other.spec.path == znode.spec.path
            && age(other) < age(znode)
    });
    Ok(rivals.min_by_key(|other| age(other)).map(named))
}

async fn data(znode: &ZNode, ctx: &Context) -> Result<Result<Vec<u8>, Health>, Error> {
    let spec = &znode.spec;
    if let Some(text) = &spec.data {
        return Ok(Ok(text.clone().into_bytes()));
    }
    if let Some(text) = &spec.data_base64 {
        return Ok(STANDARD.decode(text).map_err(|why| {
            let message = format!("spec.dataBase64: {why}; `base64 -w0 <file>` writes it");
            Health::stalled(reasons::INVALID_SPEC, message)
        }));
    }
    match &spec.data_from {
        Some(source) => {
            let namespace = znode.namespace().unwrap_or_default();
            references::value(source, "spec.dataFrom", &namespace, ctx).await
        }
        None => Ok(Ok(Vec::new())),
    }
}
