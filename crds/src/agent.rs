//! `Agent`: one node agent of a pool, written by the controller.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::shared::{conditions_schema, unseen};
use crate::{GoDuration, LocalRef, ResourceUsage};

/// One node agent.
#[derive(Clone, CustomResource, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "troupe.dev",
    version = "v1alpha1",
    kind = "Agent",
    plural = "agents",
    shortname = "ag",
    category = "troupe",
    namespaced,
    status = "AgentStatus",
    derive = "PartialEq",
    doc = "One node agent of a ResourcePool. The controller makes it; drain, unschedulable and attributes are the operator's.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether it is registered with the leading master"
    ),
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".status.tasks"),
    printcolumn(
        name = "CPU",
        type_ = "string",
        json_path = ".status.cpu",
        description = "Processors in use, of all"
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".status.memory",
        description = "Memory in use, of all"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Unschedulable",
        type_ = "boolean",
        json_path = ".spec.unschedulable",
        priority = 1
    ),
    printcolumn(name = "Cgroups", type_ = "string", json_path = ".status.cgroups", priority = 1),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentSpec {
    /// The pool it belongs to.
    #[x_kube(validation = Rule::new("self == oldSelf").message("an Agent cannot move to another pool"))]
    pub pool_ref: LocalRef,
    /// Its number in the pool, from 0 (local platform).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub ordinal: Option<i32>,
    /// The node it runs on (cluster platform).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub node_name: Option<String>,
    /// Nothing new is offered from it; what runs stays.
    #[serde(default)]
    pub unschedulable: bool,
    /// Tasks are moved away, and nothing new is offered from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<AgentDrain>,
    /// Words about this agent, over those of the pool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("the name of an attribute is letters, digits, dots, dashes and underscores"))]
    pub attributes: BTreeMap<String, String>,
}

/// How tasks are moved away.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentDrain {
    /// The longest a task may take to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grace_period: Option<GoDuration>,
    /// Whether the agent is told never to come back once it is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_gone: Option<bool>,
}

/// What is.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// The generation of the spec this speaks of; -1 before the first.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, Reconciling, Stalled, Draining, Enforced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The id that the master gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Its process id, on the local platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Times that it was started again after it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
    /// Tasks it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<i32>,
    /// Processors in use, of all: `0.3/1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory in use, of all: `96Mi/1Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `v1`, `v2` or `hybrid`; `none` where they cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroups: Option<String>,
    /// When it registered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<String>,
    /// Each resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub resources: Vec<ResourceUsage>,
}

impl Default for AgentStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            agent_id: None,
            address: None,
            hostname: None,
            pid: None,
            restarts: None,
            tasks: None,
            cpu: None,
            memory: None,
            cgroups: None,
            registered_at: None,
            resources: Vec::new(),
        }
    }
}
