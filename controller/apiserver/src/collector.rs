//! What is deleted because of something else: dependents, contents of namespaces and of definitions,
//! old events.
//!
//! Lives here: one object's turn, whenever the world says that it must be looked at. Must not: poll.
//! Start at [`run`]. It repeats nothing by itself: whatever changes brings the object back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::Api;
use crate::builtin::{Builtin, definition};
use crate::kind::Kind;
use crate::status::ApiError;
use crate::store::{Key, Resource, StoreError};
use crate::verbs::delete::{FOREGROUND, ORPHAN, Options, Propagation, remove};
use crate::verbs::write;
use crate::world::Object;

/// Collects until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let mut stopping = api.stopping.clone();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        while let Some(key) = api.world.take_chore() {
            if let Err(error) = look_at(&api, &key).await {
                tracing::warn!(?key, %error, "the collector tries this object again soon");
                let api = Arc::clone(&api);
                tokio::spawn(async move {
                    tokio::time::sleep(AGAIN).await;
                    api.world.add_chore(key);
                });
            }
        }
        let due = tokio::select! {
            () = api.world.chores.notified() => false,
            _ = sweep.tick() => true,
            () = api.crowded.notified() => true,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        if due {
            expire_events(&api).await;
        }
    }
}

/// Why an object could not be worked off now.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("{}", .0.message)]
    Refused(ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Collected = Result<(), CollectError>;

async fn look_at(api: &Api, key: &Key) -> Collected {
    let Some(object) = api.world.get(key) else { return Ok(()) };
    let catalog = api.catalogs.now(&api.world);
    let Some(kind) = catalog.of_storage(&key.resource) else { return Ok(()) };
    if !object.deleting() {
        return owners_gone(api, &kind, &object).await;
    }
    let has = |name: &str| object.finalizers().any(|f| f == name);
    if has(ORPHAN) {
        for dependent in api.world.dependents(object.uid()) {
            disown(api, &dependent, &HashSet::from([object.uid()])).await?;
        }
        return drop_finalizer(api, &kind, key, ORPHAN).await;
    }
    if has(FOREGROUND) {
        return foreground(api, &kind, &object).await;
    }
    match kind.builtin() {
        Some(Builtin::Namespace) => empty_namespace(api, &kind, &object).await,
        Some(Builtin::Definition) if has(definition::CLEANUP) => {
            remove_instances(api, &kind, &object).await
        }
        _ => Ok(()),
    }
}

/// Deletes an object none of whose owners exists, and drops references to those that do not.
async fn owners_gone(api: &Api, kind: &Kind, object: &Arc<Object>) -> Collected {
    let catalog = api.catalogs.now(&api.world);
    let mut gone = HashSet::new();
    let mut present = 0;
    for owner in object.owners() {
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        if catalog.by_reference(text("apiVersion"), text("kind")).is_none() {
            // An owner of a kind that is not served here cannot be judged: it counts as present.
            present += 1;
            continue;
        }
        let found = api.world.by_uid(text("uid")).is_some_and(|key| {
            *key.name == *text("name")
                && (key.namespace.is_empty() || key.namespace == object.key.namespace)
        });
        if found {
            present += 1;
        } else {
            gone.insert(text("uid"));
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    if present > 0 {
        return disown(api, object, &gone).await;
    }
    let orphaning = object.finalizers().any(|f| f == ORPHAN);
    let policy = if orphaning { Propagation::Orphan } else { Propagation::Background };
    delete(api, kind, object, policy).await
}

async fn foreground(api: &Api, kind: &Kind, owner: &Arc<Object>) -> Collected {
    let catalog = api.catalogs.now(&api.world);
    let mut blocked = false;
    for dependent in api.world.dependents(owner.uid()) {
        let blocks =
            dependent.owners().any(|o| o["uid"] == owner.uid() && o["blockOwnerDeletion"] == true);
        if !dependent.deleting()
            && let Some(kind) = catalog.of_storage(&dependent.key.resource)
        {
            let has_own = !api.world.dependents(dependent.uid()).is_empty();
            let policy = if has_own { Propagation::Foreground } else { Propagation::Background };
            delete(api, &kind, &dependent, policy).await?;
        }
        blocked |= blocks && api.world.get(&dependent.key).is_some();
    }
    if blocked { Ok(()) } else { drop_finalizer(api, kind, &owner.key, FOREGROUND).await }
}

/// Deletes what is in a namespace; the namespace itself when nothing is left.
async fn empty_namespace(api: &Api, kind: &Kind, namespace: &Arc<Object>) -> Collected {
    let catalog = api.catalogs.now(&api.world);
    let name = &namespace.key.name;
    for object in api.world.within(name).iter().filter(|object| !object.deleting()) {
        match catalog.of_storage(&object.key.resource) {
            Some(kind) => delete(api, &kind, object, Propagation::Background).await?,
            None => drop(api.store.delete(&object.key, object.revision.version).await),
        }
    }
    if !api.world.within(name).is_empty() {
        // What is left waits for its finalizers; its end brings the namespace back here.
        return Ok(());
    }
    update(api, kind, &namespace.key, |value| {
        value["spec"]["finalizers"] = Value::Array(Vec::new())
    })
    .await
}

/// Deletes all objects of a kind whose definition goes; the definition when none is left.
async fn remove_instances(api: &Api, kind: &Kind, definition: &Arc<Object>) -> Collected {
    let spec = &definition.value["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = Resource::new(&text(&spec["group"]), &text(&spec["names"]["plural"]));
    let custom = api.catalogs.now(&api.world).of_storage(&resource);
    for object in api.world.all(&resource, None).1.iter().filter(|o| !o.deleting()) {
        match &custom {
            Some(custom) => delete(api, custom, object, Propagation::Background).await?,
            None => drop(api.store.delete(&object.key, object.revision.version).await),
        }
    }
    if api.world.all(&resource, None).1.is_empty() {
        drop_finalizer(api, kind, &definition.key, definition::CLEANUP).await?;
    }
    Ok(())
}

async fn delete(api: &Api, kind: &Kind, object: &Arc<Object>, policy: Propagation) -> Collected {
    let options = Options {
        propagation: Some(policy),
        uid: Some(object.uid().to_owned()),
        ..Options::default()
    };
    match remove(api, kind, &object.key, &options).await {
        Ok(_) => Ok(()),
        // It is gone, or another one has its name now.
        Err(error) if matches!(error.code.as_u16(), 404 | 409) => Ok(()),
        Err(error) => Err(CollectError::Refused(error)),
    }
}

/// Removes references to owners.
async fn disown(api: &Api, object: &Arc<Object>, owners: &HashSet<&str>) -> Collected {
    let catalog = api.catalogs.now(&api.world);
    let Some(kind) = catalog.of_storage(&object.key.resource) else { return Ok(()) };
    update(api, &kind, &object.key, |value| {
        let Some(metadata) = value["metadata"].as_object_mut() else { return };
        let Some(list) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut) else {
            return;
        };
        list.retain(|owner| owner["uid"].as_str().is_none_or(|uid| !owners.contains(uid)));
        if list.is_empty() {
            metadata.remove("ownerReferences");
        }
    })
    .await
}

async fn drop_finalizer(api: &Api, kind: &Kind, key: &Key, name: &str) -> Collected {
    update(api, kind, key, |value| {
        let Some(metadata) = value["metadata"].as_object_mut() else { return };
        if let Some(list) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
            list.retain(|finalizer| finalizer != name);
            if list.is_empty() {
                metadata.remove("finalizers");
            }
        }
    })
    .await
}

/// Changes a stored object, or deletes it when the change releases it.
async fn update(api: &Api, kind: &Kind, key: &Key, change: impl Fn(&mut Value)) -> Collected {
    loop {
        let Some(old) = api.world.get(key) else { return Ok(()) };
        let mut value = old.value.clone();
        change(&mut value);
        if value == old.value {
            return Ok(());
        }
        let version = old.revision.version;
        let outcome = if write::released(kind, &value) {
            api.store.delete(key, version).await.map(|_| ())
        } else {
            crate::world::set_rv(&mut value, 0);
            let body = serde_json::to_vec(&value).expect("a value is written to memory");
            api.store.replace(key, body.into(), version).await.map(|_| ())
        };
        match outcome {
            Ok(()) | Err(StoreError::Absent) => return Ok(()),
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Deletes events that are older than an hour, and the oldest of too many.
pub(crate) async fn expire_events(api: &Api) {
    let (_, mut events) = api.world.all(&Resource::new("", "events"), None);
    events.sort_by_key(|event| event.revision.rv);
    let excess = events.len().saturating_sub(MAX_EVENTS);
    let now = Timestamp::now();
    for (index, event) in events.iter().enumerate() {
        if index < excess || age(event, now) > EVENT_LIFE {
            // Tried again with the next sweep, should it fail now.
            let _ = api.store.delete(&event.key, event.revision.version).await;
        }
    }
}

/// Seconds since the event was written last.
fn age(event: &Object, now: Timestamp) -> i64 {
    let value = &event.value;
    let times = [
        &value["series"]["lastObservedTime"],
        &value["lastTimestamp"],
        &value["eventTime"],
        &value["metadata"]["creationTimestamp"],
    ];
    let times = times.into_iter().filter_map(|time| time.as_str()?.parse::<Timestamp>().ok());
    times.map(|time| now.as_second() - time.as_second()).min().unwrap_or(0)
}

const EVENT_LIFE: i64 = 3600;
/// Events kept at most, whatever their age; a tenth more may be there before the next sweep.
pub(crate) const MAX_EVENTS: usize = 10_000;
const SWEEP: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
