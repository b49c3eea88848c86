//! Parts that several kinds share: references, conditions, amounts of resources.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Quantity;

/// Names an object of the same namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Its name, in this namespace.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// One key of a ConfigMap or Secret of the same namespace.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The ConfigMap's or Secret's name.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), pattern("^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Where a value comes from; exactly one.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.configMapKeyRef) != has(self.secretKeyRef)")
    .message("name exactly one of configMapKeyRef and secretKeyRef"))]
pub struct ValueSource {
    /// A key of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
}

/// Amounts by resource.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Processors: `500m` is half of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory in bytes: `256Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Disk in bytes: `1Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Quantity>,
    /// Whole graphics processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Quantity>,
}

/// How pods of the cluster platform are placed. The local platform has one machine, so it places nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Labels a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are tolerated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Pods are spread over the values of this node label, such as `topology.kubernetes.io/zone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub spread_over: Option<String>,
    /// The priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// As in a pod.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// The taint's key; all taints without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 316))]
    pub key: Option<String>,
    /// `Equal` or `Exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Equal", "Exists"]))]
    pub operator: Option<String>,
    /// The taint's value, for `Equal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// The taint's effect; all effects without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["NoSchedule", "PreferNoSchedule", "NoExecute"]))]
    pub effect: Option<String>,
}

/// How much of one resource there is, and who has it. Quantities as text, for people.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceUsage {
    /// `cpus`, `mem`, `disk`, `ports` or a name of the operator's.
    #[schemars(length(max = 253))]
    pub name: String,
    /// All there is.
    #[schemars(length(max = 253))]
    pub total: String,
    /// In offers that frameworks have not answered.
    #[schemars(length(max = 253))]
    pub offered: String,
    /// In use by tasks.
    #[schemars(length(max = 253))]
    pub allocated: String,
    /// Neither offered nor in use.
    #[schemars(length(max = 253))]
    pub free: String,
}

/// The schema of `status.conditions`, exactly as `metav1.Condition`.
pub(crate) fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "What is true of the object now. Ready is the summary.",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string", "maxLength": 316, "description": "What the condition is about.",
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it is so.",
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "Why, in one word for programs.",
                },
                "message": {
                    "type": "string", "maxLength": 32768,
                    "description": "Why and what to do, in a sentence for people.",
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time", "description": "When status changed last.",
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The generation of the spec this was said of.",
                },
            },
        },
    })
}

/// What the status of every kind has, so that one piece of code can keep it.
pub trait HasConditions {
    /// The generation of the spec that the status speaks of; -1 before the first.
    fn observed_generation(&mut self) -> &mut i64;
    /// The conditions, by type.
    fn conditions(&mut self) -> &mut Vec<Condition>;
    /// The same, to read.
    fn conditions_ref(&self) -> &[Condition];
}

macro_rules! has_conditions {
    ($($status:ty),*) => {$(
        impl HasConditions for $status {
            fn observed_generation(&mut self) -> &mut i64 {
                &mut self.observed_generation
            }
            fn conditions(&mut self) -> &mut Vec<Condition> {
                &mut self.conditions
            }
            fn conditions_ref(&self) -> &[Condition] {
                &self.conditions
            }
        }
    )*};
}
has_conditions!(
    crate::EnsembleStatus,
    crate::ZNodeStatus,
    crate::ResourcePoolStatus,
    crate::AgentStatus,
    crate::FrameworkStatus
);

/// The value of `observedGeneration` before the controller has seen the object.
pub(crate) fn unseen() -> i64 {
    -1
}
