//! `ZNode`: one znode kept as declared.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{conditions_schema, unseen};
use crate::{DeletionPolicy, LocalRef, Quantity, ValueSource};

/// One znode, kept as declared.
#[derive(Clone, CustomResource, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "troupe.dev",
    version = "v1alpha1",
    kind = "ZNode",
    plural = "znodes",
    shortname = "zn",
    category = "troupe",
    namespaced,
    status = "ZNodeStatus",
    derive = "PartialEq",
    doc = "One znode of an Ensemble, kept as declared: a change made by somebody else is put back.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the znode is as declared"
    ),
    printcolumn(name = "Ensemble", type_ = "string", json_path = ".spec.ensembleRef.name"),
    printcolumn(name = "Path", type_ = "string", json_path = ".spec.path"),
    printcolumn(
        name = "Version",
        type_ = "integer",
        json_path = ".status.version",
        description = "How often its data was set"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "Mzxid", type_ = "string", json_path = ".status.mzxid", priority = 1),
    printcolumn(
        name = "Corrections",
        type_ = "integer",
        json_path = ".status.corrections",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.data) ? 1 : 0) + (has(self.dataBase64) ? 1 : 0) + (has(self.dataFrom) ? 1 : 0) <= 1")
    .message("give at most one of data, dataBase64 and dataFrom"))]
pub struct ZNodeSpec {
    /// The Ensemble that has it.
    #[x_kube(validation = Rule::new("self == oldSelf").message("a ZNode cannot move; delete it and declare it for the other Ensemble"))]
    pub ensemble_ref: LocalRef,
    /// Its path, from the root.
    #[schemars(length(min = 2, max = 1024), pattern("^(/[^/\\x00-\\x1f\\x7f]+)+$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the path of a ZNode cannot change; delete it and declare the other path"))]
    #[x_kube(validation = Rule::new("!self.startsWith('/zookeeper/') && self != '/zookeeper'").message("/zookeeper belongs to the server; choose a path outside of it"))]
    #[x_kube(validation = Rule::new("!self.contains('/./') && !self.contains('/../') && !self.endsWith('/.') && !self.endsWith('/..')").message("a path has no parts '.' and '..'"))]
    pub path: String,
    /// Its data, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000_000))]
    pub data: Option<String>,
    /// Its data, as base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_400_000), pattern("^[A-Za-z0-9+/]*={0,2}$"))]
    pub data_base64: Option<String>,
    /// Its data, from a ConfigMap or a Secret; it follows their changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_from: Option<ValueSource>,
    /// Who may do what; everybody everything without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub acl: Vec<AclEntry>,
    /// What happens to the znode when this object is deleted. Delete keeps a znode that has children.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// What happens when somebody else changes it.
    #[serde(default)]
    pub on_drift: OnDrift,
    /// How much may be below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<ZNodeQuota>,
}

/// One entry of an ACL.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AclEntry {
    /// `world`, `digest`, `ip`, `x509`, `sasl`.
    pub scheme: AclScheme,
    /// Who, in the words of the scheme: `anyone`, `user:<digest>`, `10.0.0.0/8`.
    #[schemars(length(min = 1, max = 1024))]
    pub id: String,
    /// What they may do.
    #[schemars(length(min = 1, max = 5), extend("x-kubernetes-list-type" = "set"))]
    pub permissions: Vec<AclPermission>,
}

/// How people are told apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AclScheme {
    /// Everybody.
    World,
    /// A name and a password.
    Digest,
    /// An address or a network.
    Ip,
    /// A client certificate.
    X509,
    /// SASL.
    Sasl,
}

impl AclScheme {
    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Digest => "digest",
            Self::Ip => "ip",
            Self::X509 => "x509",
            Self::Sasl => "sasl",
        }
    }
}

/// What one may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum AclPermission {
    /// Read data and children.
    Read,
    /// Set data.
    Write,
    /// Create children.
    Create,
    /// Delete children.
    Delete,
    /// Set the ACL.
    Admin,
}

/// What happens when somebody else changes the znode.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnDrift {
    /// It is put back, and an Event tells so.
    #[default]
    Correct,
    /// It is left; the condition Synced tells so.
    Report,
}

/// Limits of the subtree.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZNodeQuota {
    /// Znodes, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub znodes: Option<i64>,
    /// Bytes of data, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Whether more is refused, or only warned of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard: Option<bool>,
}

/// What is.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZNodeStatus {
    /// The generation of the spec this speaks of; -1 before the first.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, Reconciling, Stalled, Synced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The transaction that created it, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub czxid: Option<String>,
    /// The transaction that set its data last, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mzxid: Option<String>,
    /// How often its data was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// Bytes of data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_length: Option<i32>,
    /// A digest of the data that was written last: what differs from it was changed by somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// How often a change of somebody else was put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<i32>,
}

impl Default for ZNodeStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            czxid: None,
            mzxid: None,
            version: None,
            data_length: None,
            applied: None,
            corrections: None,
        }
    }
}
