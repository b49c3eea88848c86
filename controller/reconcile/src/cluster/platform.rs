//! The cluster platform: writes what was planned as objects, and tells how they are.
//!
//! Lives here: apply, prune, observe. Must not: decide what an owner becomes (see `ensemble` and `pool`).
//! The owner is read again, by uid, before anything is written: what a cache remembers may be somebody else.

use std::collections::BTreeSet;

use crds::{Ensemble, ResourcePool};
use futures::StreamExt;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams,
    PropagationPolicy,
};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::broadcast;

use super::{COMPONENTS, Image, ensemble, pool};
use crate::platform::{
    Agents, DataFate, Masters, MemberWish, Members, Owner, Part, PartState, Platform,
    PlatformError, Sort, Wait,
};

/// Who writes the objects, for server-side apply.
const MANAGER: &str = "troupe-controller";

/// The kinds of all objects that owners become, pods' owners first: they go first too. Volumes are left to
/// the StatefulSet's retention policy.
const KINDS: [(&str, &str, &str); 9] = [
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("apps", "v1", "Deployment"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "ConfigMap"),
];

/// Members, masters and agents as pods of the cluster that the API belongs to.
pub struct ClusterPlatform {
    client: Client,
    image: Image,
    changes: broadcast::Sender<Owner>,
}

impl ClusterPlatform {
    /// Starts to watch what it has written before. Must be called on a tokio runtime.
    pub fn new(client: Client, image: Image) -> Self {
        let (changes, _) = broadcast::channel(256);
        for kind in &KINDS {
            tokio::spawn(watch(client.clone(), resource(kind), changes.clone()));
        }
        Self { client, image, changes }
    }

    /// The owner as it is now, if it still is the one meant.
    async fn owner<K>(&self, owner: &Owner) -> Result<Option<K>, PlatformError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &owner.namespace);
        let found =
            api.get_opt(&owner.name).await.map_err(|source| refused("read", owner, source))?;
        Ok(found.filter(|found| found.uid().as_deref() == Some(&owner.uid)))
    }

    /// Writes the objects, then removes those of the same components that are planned no more.
    async fn bring(
        &self,
        owner: &Owner,
        components: &[&str],
        planned: Vec<DynamicObject>,
    ) -> Result<Vec<DynamicObject>, PlatformError> {
        let params = PatchParams::apply(MANAGER).force();
        let mut written = Vec::new();
        for object in planned {
            let types = object.types.clone().unwrap_or_default();
            let gvk = GroupVersionKind::try_from(&types).expect("planned objects name their type");
            let api: Api<DynamicObject> = Api::namespaced_with(
                self.client.clone(),
                &owner.namespace,
                &ApiResource::from_gvk(&gvk),
            );
            let name = object.name_any();
            let now = write(&api, &name, &params, &object).await.map_err(|source| {
                refused("write", &format!("{} {owner}/{name}", gvk.kind), source)
            })?;
            written.push(DynamicObject { types: Some(types), ..now });
        }
        let keep: BTreeSet<_> = written.iter().filter_map(ResourceExt::uid).collect();
        self.prune(owner, components, &keep).await?;
        Ok(written)
    }

    /// Deletes the owner's objects of these components but for `keep`; how many are still there.
    async fn prune(
        &self,
        owner: &Owner,
        components: &[&str],
        keep: &BTreeSet<String>,
    ) -> Result<usize, PlatformError> {
        let selector = format!(
            "{}={},app.kubernetes.io/component in ({})",
            crds::OWNER_UID_LABEL,
            owner.uid,
            components.join(",")
        );
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let mut left = 0;
        for kind in &KINDS {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &owner.namespace, &resource(kind));
            let found = api
                .list_metadata(&ListParams::default().labels(&selector))
                .await
                .map_err(|source| refused("list", &format!("{} of {owner}", kind.2), source))?;
            for object in found {
                if object.uid().is_some_and(|uid| keep.contains(&uid)) {
                    continue;
                }
                left += 1;
                let name = object.name_any();
                match api.delete(&name, &params).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(source) => {
                        return Err(refused(
                            "delete",
                            &format!("{} {owner}/{name}", kind.2),
                            source,
                        ));
                    }
                }
            }
        }
        Ok(left)
    }
}

impl Platform for ClusterPlatform {
    fn wished<'a>(&'a self, _owner: &'a Owner) -> Wait<'a, Result<Vec<MemberWish>, PlatformError>> {
        // What is declared is written whole, each time.
        Box::pin(async { Ok(Vec::new()) })
    }

    fn members<'a>(&'a self, want: &'a Members) -> Wait<'a, Result<Vec<Part>, PlatformError>> {
        Box::pin(async move {
            let Some(owner) = self.owner::<Ensemble>(&want.owner).await? else {
                return Ok(Vec::new());
            };
            let planned = ensemble::objects(&owner, &self.image);
            let written = self.bring(&want.owner, COMPONENTS[0], planned).await?;
            let port = ensemble::client_port(&owner);
            let (name, namespace) = (&want.owner.name, &want.owner.namespace);
            let endpoint =
                |n: i32| format!("{name}-{}.{name}-members.{namespace}.svc:{port}", n - 1);
            let count = i32::try_from(want.members.len()).unwrap_or(i32::MAX);
            Ok(parts(&written, "StatefulSet", "/status/readyReplicas", 1, count, endpoint))
        })
    }

    fn masters<'a>(&'a self, want: &'a Masters) -> Wait<'a, Result<Vec<Part>, PlatformError>> {
        Box::pin(async move {
            let Some(owner) = self.owner::<ResourcePool>(&want.owner).await? else {
                return Ok(Vec::new());
            };
            let planned = pool::masters_objects(&owner, &want.zk, &self.image);
            let written = self.bring(&want.owner, COMPONENTS[1], planned).await?;
            let service = format!("{}-masters.{}.svc", want.owner.name, want.owner.namespace);
            let endpoint = |_| format!("{service}:{}", pool::master_port(&owner));
            Ok(parts(&written, "Deployment", "/status/readyReplicas", 0, want.count, endpoint))
        })
    }

    fn agents<'a>(&'a self, want: &'a Agents) -> Wait<'a, Result<Vec<Part>, PlatformError>> {
        Box::pin(async move {
            let Some(owner) = self.owner::<ResourcePool>(&want.owner).await? else {
                return Ok(Vec::new());
            };
            let planned = pool::agents_objects(&owner, &want.detector, &self.image);
            let written = self.bring(&want.owner, COMPONENTS[2], planned).await?;
            let nodes = count(&written, "DaemonSet", "/status/desiredNumberScheduled");
            let mut all =
                parts(&written, "DaemonSet", "/status/numberReady", 0, nodes, |_| String::new());
            all.iter_mut().for_each(|part| part.endpoint = None);
            Ok(all)
        })
    }

    fn remove<'a>(
        &'a self,
        owner: &'a Owner,
        sort: Sort,
        _data: DataFate,
    ) -> Wait<'a, Result<bool, PlatformError>> {
        // The data's fate is in the StatefulSet's retention policy, which the cluster carries out.
        Box::pin(async move {
            let components = match sort {
                Sort::Member => COMPONENTS[0],
                Sort::Master => COMPONENTS[1],
                Sort::Agent => COMPONENTS[2],
            };
            let told = self.prune(owner, components, &BTreeSet::new()).await?;
            if told == 0 {
                return Ok(true);
            }
            // Most objects go at once; what has a finalizer of its own is told by its watch.
            self.prune(owner, components, &BTreeSet::new()).await.map(|left| left == 0)
        })
    }

    fn has_pods(&self) -> bool {
        true
    }

    fn changes(&self) -> broadcast::Receiver<Owner> {
        self.changes.subscribe()
    }
}

/// Server-side apply; where somebody changed the key of a list's entry, so that both entries together are
/// invalid, the planned lists whole.
async fn write(
    api: &Api<DynamicObject>,
    name: &str,
    params: &PatchParams,
    object: &DynamicObject,
) -> Result<DynamicObject, kube::Error> {
    match api.patch(name, params, &Patch::Apply(object)).await {
        Err(kube::Error::Api(status)) if status.code == 422 => {
            let manager = Some(MANAGER.to_owned());
            let params = PatchParams { field_manager: manager, ..PatchParams::default() };
            api.patch(name, &params, &Patch::Merge(object)).await
        }
        answer => answer,
    }
}

fn count(written: &[DynamicObject], kind: &str, pointer: &str) -> i32 {
    let of_kind = |o: &&DynamicObject| o.types.as_ref().is_some_and(|types| types.kind == kind);
    let value =
        written.iter().find(of_kind).and_then(|object| object.data.pointer(pointer)?.as_i64());
    value.and_then(|value| i32::try_from(value).ok()).unwrap_or(0)
}

/// `wanted` parts numbered from `first`; as many as are ready run, the others are starting.
fn parts(
    written: &[DynamicObject],
    kind: &str,
    ready: &str,
    first: i32,
    wanted: i32,
    endpoint: impl Fn(i32) -> String,
) -> Vec<Part> {
    let ready = count(written, kind, ready);
    (first..first + wanted)
        .map(|number| Part {
            number,
            endpoint: Some(endpoint(number)),
            secure_endpoint: None,
            line: None,
            pid: None,
            restarts: 0,
            state: if number - first < ready { PartState::Running } else { PartState::Starting },
        })
        .collect()
}

fn resource(kind: &(&str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(kind.0, kind.1, kind.2))
}

fn refused(what: &'static str, object: &impl ToString, source: kube::Error) -> PlatformError {
    PlatformError::Api { what, object: object.to_string(), source: Box::new(source) }
}

/// Tells owners of every change of what they became.
async fn watch(client: Client, kind: ApiResource, changes: broadcast::Sender<Owner>) {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &kind);
    let config =
        watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
    let mut seen = watcher(api, config).default_backoff().touched_objects().boxed();
    while let Some(object) = seen.next().await {
        let object = match object {
            Ok(object) => object,
            Err(why) => {
                tracing::debug!("watch of {}: {why}", kind.plural);
                continue;
            }
        };
        let namespace = object.namespace().unwrap_or_default();
        for owner in object.owner_references().iter().filter(|o| o.controller == Some(true)) {
            let (name, uid) = (owner.name.clone(), owner.uid.clone());
            // Nobody listens before the reconcilers run; they look at everything when they start.
            let _nobody = changes.send(Owner { namespace: namespace.clone(), name, uid });
        }
    }
}
