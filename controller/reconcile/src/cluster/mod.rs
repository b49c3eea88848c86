//! The cluster platform: declared things become objects of a real cluster.
//!
//! Lives here: what all of those objects share: names, labels, owner. `ensemble` and `pool` are pure functions
//! from a declared object to what it becomes; `platform` writes that, and tells how it is.

pub mod ensemble;
mod platform;
pub mod pool;

pub use platform::ClusterPlatform;

use crds::{Amounts, Placement};
use kube::api::{DynamicObject, TypeMeta};
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

/// The image of every pod: one that holds the `troupe` binary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// As a pod spec names it.
    pub name: String,
}

/// The component labels of members, masters and agents.
const COMPONENTS: [&[&str]; 3] = [&["member"], &["master"], &["agent"]];

/// What selects the pods of one part of `owner`. Never changes while the owner lives: selectors are immutable.
fn selector<K: Resource<DynamicType = ()>>(owner: &K, component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": K::kind(&()).to_lowercase(),
        "app.kubernetes.io/instance": owner.name_any(),
        "app.kubernetes.io/component": component,
    })
}

/// The selector's labels, and those for people and for pruning.
fn labels<K: Resource<DynamicType = ()>>(owner: &K, component: &str) -> Value {
    let mut labels = selector(owner, component);
    labels["app.kubernetes.io/part-of"] = json!("troupe");
    labels["app.kubernetes.io/managed-by"] = json!("troupe-controller");
    labels[crds::OWNER_UID_LABEL] = json!(owner.uid().unwrap_or_default());
    labels
}

/// An object that belongs to `owner` and goes with it.
fn child<K: Resource<DynamicType = ()>>(
    owner: &K,
    component: &str,
    api_version: &str,
    kind: &str,
    name: &str,
    body: Value,
) -> DynamicObject {
    let metadata = json!({
        "name": name,
        "namespace": owner.namespace(),
        "labels": labels(owner, component),
        "ownerReferences": owner.controller_owner_ref(&()).into_iter().collect::<Vec<_>>(),
    });
    DynamicObject {
        types: Some(TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() }),
        metadata: serde_json::from_value(metadata)
            .expect("names, labels and an owner are metadata"),
        data: body,
    }
}

/// The pod with the wishes of `placement`; pods that `alike` selects are spread.
fn placed(mut pod: Value, placement: Option<&Placement>, alike: &Value) -> Value {
    let Some(placement) = placement else { return pod };
    if !placement.node_selector.is_empty() {
        pod["nodeSelector"] = json!(placement.node_selector);
    }
    if !placement.tolerations.is_empty() {
        pod["tolerations"] = json!(placement.tolerations);
    }
    if let Some(class) = &placement.priority_class_name {
        pod["priorityClassName"] = json!(class);
    }
    if let (Some(key), false) = (&placement.spread_over, alike.is_null()) {
        pod["topologySpreadConstraints"] = json!([{
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": alike},
        }]);
    }
    pod
}

/// Amounts as a pod requests them.
fn requests(amounts: &Amounts) -> Value {
    let named = [
        ("cpu", &amounts.cpu),
        ("memory", &amounts.memory),
        ("ephemeral-storage", &amounts.disk),
        ("nvidia.com/gpu", &amounts.gpus),
    ];
    let wanted = named.into_iter().filter_map(|(name, amount)| {
        amount.as_ref().map(|amount| (name.to_owned(), json!(amount.to_string())))
    });
    Value::Object(wanted.collect::<Map<_, _>>())
}
