//! `ResourcePool`: masters that offer what agents have, to roles by their share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{conditions_schema, unseen};
use crate::{Amounts, GoDuration, LocalRef, Placement, Quantity, ResourceUsage};

/// A pool of agents shared between frameworks.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "troupe.dev",
    version = "v1alpha1",
    kind = "ResourcePool",
    plural = "resourcepools",
    shortname = "pool",
    category = "troupe",
    namespaced,
    status = "ResourcePoolStatus",
    derive = "PartialEq",
    doc = "A pool of agents whose resources masters offer to frameworks, by the shares of their roles.",
    scale(
        spec_replicas_path = ".spec.agents.count",
        status_replicas_path = ".status.agentCount",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether a master leads and all agents are registered"
    ),
    printcolumn(
        name = "Agents",
        type_ = "string",
        json_path = ".status.summary",
        description = "Agents registered, of those declared"
    ),
    printcolumn(
        name = "Enforced",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Enforced")].status"#,
        description = "Whether cgroups enforce limits on every agent"
    ),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leader"),
    printcolumn(name = "Ensemble", type_ = "string", json_path = ".spec.ensembleRef.name"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "Detector", type_ = "string", json_path = ".status.detector", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ResourcePoolSpec {
    /// The Ensemble in which masters elect their leader and keep their registry.
    #[x_kube(validation = Rule::new("self == oldSelf").message("a pool cannot move to another Ensemble: its registry is there; make a new pool"))]
    pub ensemble_ref: LocalRef,
    /// The masters.
    #[serde(default)]
    pub masters: PoolMasters,
    /// The agents.
    #[serde(default)]
    pub agents: PoolAgents,
    /// How offers are made.
    #[serde(default)]
    pub allocator: PoolAllocator,
    /// Roles that frameworks take, by name. A role that is not here has weight 1 and no quota.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub roles: Vec<PoolRole>,
    /// Resources kept for roles on every agent, whether they use them or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["role"])
    )]
    pub reservations: Vec<PoolReservation>,
    /// Who may register.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<PoolRegistration>,
}

/// The masters: one leads, the others wait.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolMasters {
    /// How many.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 7))]
    pub count: i32,
    /// The port of the first; the next listen on the next ones (local platform). Chosen if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65528))]
    pub port: Option<i32>,
    /// What a master's pod requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Amounts>,
    /// Where masters' pods run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// The agents.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolAgents {
    /// How many on this machine (local platform). In a cluster every selected node has one.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub count: i32,
    /// What each offers.
    #[serde(default = "agent_resources")]
    pub resources: Amounts,
    /// Ports that each offers.
    #[serde(default)]
    pub ports: PoolPorts,
    /// Words about the agents that frameworks can choose by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("the name of an attribute is letters, digits, dots, dashes and underscores"))]
    pub attributes: BTreeMap<String, String>,
    /// How tasks are kept apart.
    #[serde(default)]
    pub isolation: Isolation,
    /// Where agents' pods run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// A range of ports for each agent. On the local platform agent N (from 0) offers `count` ports from
/// `first + N * count`, so that two agents never offer the same.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.first + self.count <= 65536").message("ports end at 65535; lower first or count"))]
pub struct PoolPorts {
    /// The first.
    #[serde(default = "first_port")]
    #[schemars(range(min = 1024, max = 65535))]
    pub first: i32,
    /// How many.
    #[serde(default = "port_count")]
    #[schemars(range(min = 0, max = 64512))]
    pub count: i32,
}

/// How tasks are kept apart.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Isolation {
    /// By cgroups where they can be written; else as processes only, and the pool says Enforced=False.
    #[default]
    Auto,
    /// By cgroups; an agent that cannot write them does not start.
    Cgroups,
    /// As processes only: limits are not enforced.
    Processes,
}

/// How offers are made.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolAllocator {
    /// Who comes first.
    #[serde(default)]
    pub policy: AllocatorPolicy,
    /// The time between two rounds, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// An offer that is not answered by then is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer_timeout: Option<GoDuration>,
    /// The least of a resource that is worth an offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_offer: Option<Amounts>,
}

/// Who comes first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AllocatorPolicy {
    /// Whoever has the smallest dominant share over its weight.
    #[default]
    DominantShare,
    /// The higher priority of the role, then the dominant share.
    Priority,
    /// Whoever waits for the most.
    Demand,
    /// The fastest nodes first, as measured.
    Performance,
}

/// One role.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolRole {
    /// Its name; `a/b` is below `a`.
    #[schemars(
        length(min = 1, max = 253),
        pattern(r"^([*]|[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.][A-Za-z0-9_.-]*)*)$")
    )]
    #[x_kube(validation = Rule::new("self != '.' && self != '..'").message("'.' and '..' are no roles"))]
    pub name: String,
    /// Its share against its siblings: 2 gets twice as much as 1. 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1_000_000))]
    pub weight: Option<f64>,
    /// For the policy Priority: higher comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: Option<i32>,
    /// What it has at least, and at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<PoolQuota>,
}

/// Guarantee and limit of a role.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolQuota {
    /// At least this is offered to it, when it wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Amounts>,
    /// More than this is never offered to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amounts>,
}

/// Resources kept for a role.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolReservation {
    /// For whom.
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
    /// How much, on each agent.
    pub resources: Amounts,
}

/// Who may register.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolRegistration {
    /// A Secret with one key a principal: frameworks must know one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frameworks: Option<LocalRef>,
    /// A Secret with one key a principal: agents must know one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents: Option<LocalRef>,
    /// Only these roles may be taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    pub only_roles: Vec<String>,
}

/// What is.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourcePoolStatus {
    /// The generation of the spec this speaks of; -1 before the first.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, Reconciling, Stalled, Enforced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Agents registered, of those declared: `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Agents that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_count: Option<i32>,
    /// Agents registered with the leading master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_agents: Option<i32>,
    /// Selects the Agents, and their pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The address of the leading master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// How frameworks and agents find the leading master: `zk://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// Each master.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub masters: Vec<MasterStatus>,
    /// Each resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub resources: Vec<ResourceUsage>,
    /// Each role that is declared or in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 512),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub roles: Vec<RoleStatus>,
}

/// One master.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MasterStatus {
    /// Its name.
    pub name: String,
    /// Where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `leading`, `waiting` or `down`.
    pub state: String,
    /// Its process id, on the local platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Times that it was started again after it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
}

/// One role.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: f64,
    /// The largest fraction it has of any one resource: `0.250`.
    pub dominant_share: String,
    /// The resource of which it has that fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dominant_resource: Option<String>,
    /// What its tasks use, such as `cpus:0.3; mem:96`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated: Option<String>,
    /// Frameworks that have it.
    pub frameworks: i32,
}

impl Default for ResourcePoolStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            summary: None,
            agent_count: None,
            ready_agents: None,
            selector: None,
            leader: None,
            detector: None,
            masters: Vec::new(),
            resources: Vec::new(),
            roles: Vec::new(),
        }
    }
}

impl Default for PoolMasters {
    fn default() -> Self {
        Self { count: one(), port: None, resources: None, placement: None }
    }
}

impl Default for PoolAgents {
    fn default() -> Self {
        Self {
            count: one(),
            resources: agent_resources(),
            ports: PoolPorts::default(),
            attributes: BTreeMap::new(),
            isolation: Isolation::default(),
            placement: None,
        }
    }
}

impl Default for PoolPorts {
    fn default() -> Self {
        Self { first: first_port(), count: port_count() }
    }
}

fn one() -> i32 {
    1
}
fn first_port() -> i32 {
    31_000
}
fn port_count() -> i32 {
    100
}
fn agent_resources() -> Amounts {
    Amounts {
        cpu: Some(Quantity::new("1")),
        memory: Some(Quantity::new("1Gi")),
        disk: Some(Quantity::new("1Gi")),
        gpus: None,
    }
}
