//! What the five kinds have in common for a reconciler: a status, and ways to write it.

use std::fmt::Debug;

use crds::{FINALIZER, HasConditions, PAUSED, RESTARTED_AT, reasons};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::object::HasStatus;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::conditions::{Health, is_true, summarize, why_not_ready};
use crate::context::Context;
use crate::error::{Error, Tried};
use crate::platform::Owner;

/// One of the five kinds.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: HasConditions + Clone + Default + PartialEq + Send>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// Its kind, in the singular.
    const WORD: &'static str;
}

impl Kind for crds::Ensemble {
    const WORD: &'static str = "Ensemble";
}
impl Kind for crds::ZNode {
    const WORD: &'static str = "ZNode";
}
impl Kind for crds::ResourcePool {
    const WORD: &'static str = "ResourcePool";
}
impl Kind for crds::Agent {
    const WORD: &'static str = "Agent";
}
impl Kind for crds::Framework {
    const WORD: &'static str = "Framework";
}

/// `Kind namespace/name`.
pub(crate) fn named<K: Kind>(object: &K) -> String {
    format!("{} {}/{}", K::WORD, object.namespace().unwrap_or_default(), object.name_any())
}

/// The object as an owner of parts.
pub(crate) fn owner<K: Kind>(object: &K) -> Owner {
    Owner {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    }
}

/// The API of a kind in an object's namespace.
pub(crate) fn api<K: Kind>(client: &Client, namespace: &str) -> Api<K> {
    Api::namespaced(client.clone(), namespace)
}

/// The object as it is now; `None` when it is gone or another has its name.
pub(crate) async fn fresh<K: Kind>(client: &Client, cached: &K) -> Result<Option<K>, Error> {
    let api: Api<K> = api(client, &cached.namespace().unwrap_or_default());
    let now = api.get_opt(&cached.name_any()).await.tried(|| format!("read {}", named(cached)))?;
    Ok(now.filter(|now| now.uid() == cached.uid()))
}

/// Whether a person stopped the controller from acting on it.
pub(crate) fn is_paused<K: Kind>(object: &K) -> bool {
    object.annotations().get(PAUSED).is_some_and(|value| value == "true")
}

/// When somebody asked for a restart.
pub(crate) fn restarted_at<K: Kind>(object: &K) -> Option<String> {
    object.annotations().get(RESTARTED_AT).cloned()
}

/// Whether deletion was asked for.
pub(crate) fn is_deleting<K: Kind>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// The status before, to write the next one over.
pub(crate) fn status_of<K: Kind>(object: &K) -> K::Status {
    object.status().cloned().unwrap_or_default()
}

/// Writes a status with its summary if it differs from the one before, and tells of becoming Ready or not.
pub(crate) async fn conclude<K: Kind>(
    ctx: &Context,
    object: &K,
    mut status: K::Status,
    health: &Health,
) -> Result<(), Error> {
    let generation = object.meta().generation.unwrap_or(0);
    let was_ready = is_true(object.status(), reasons::READY);
    summarize(&mut status, generation, health, &now());
    if object.status() == Some(&status) {
        return Ok(());
    }
    let message = why_not_ready(Some(&status));
    let mut next = object.clone();
    *next.status_mut() = Some(status);
    let api: Api<K> = api(&ctx.client, &object.namespace().unwrap_or_default());
    api.replace_status(&object.name_any(), &PostParams::default(), &next)
        .await
        .tried(|| format!("write the status of {}", named(object)))?;
    match (was_ready, health.is_ready()) {
        (false, true) => ctx.tell(object, reasons::events::BECAME_READY, "Observe", &message).await,
        (true, false) => ctx.warn(object, reasons::events::NOT_READY, "Observe", &message).await,
        _ => {}
    }
    Ok(())
}

/// Makes sure that the object stays until [`release`].
pub(crate) async fn hold<K: Kind>(ctx: &Context, object: &K) -> Result<K, Error> {
    if object.finalizers().iter().any(|held| held == FINALIZER) || is_deleting(object) {
        return Ok(object.clone());
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    write_finalizers(ctx, object, &finalizers).await
}

/// Lets the object go.
pub(crate) async fn release<K: Kind>(ctx: &Context, object: &K) -> Result<(), Error> {
    if !object.finalizers().iter().any(|held| held == FINALIZER) {
        return Ok(());
    }
    let left: Vec<String> =
        object.finalizers().iter().filter(|held| *held != FINALIZER).cloned().collect();
    write_finalizers(ctx, object, &left).await.map(drop)
}

async fn write_finalizers<K: Kind>(
    ctx: &Context,
    object: &K,
    finalizers: &[String],
) -> Result<K, Error> {
    let api: Api<K> = api(&ctx.client, &object.namespace().unwrap_or_default());
    // With the version: a list that somebody else changed meanwhile must not be overwritten.
    let body = json!({ "metadata": {
        "resourceVersion": object.resource_version(),
        "finalizers": finalizers,
    }});
    api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(body))
        .await
        .tried(|| format!("write the finalizers of {}", named(object)))
}

/// The time, to the second, as conditions have it.
pub(crate) fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}
