//! `Ensemble`: a quorum of members that serves ZooKeeper clients.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{conditions_schema, unseen};
use crate::{Amounts, GoDuration, LocalRef, Placement, Quantity, ValueSource};

/// A coordination ensemble that ZooKeeper clients use.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "troupe.dev",
    version = "v1alpha1",
    kind = "Ensemble",
    plural = "ensembles",
    shortname = "ens",
    category = "troupe",
    namespaced,
    status = "EnsembleStatus",
    derive = "PartialEq",
    doc = "A coordination ensemble: a quorum of members that ZooKeeper clients use unchanged.",
    scale(
        spec_replicas_path = ".spec.members",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether it serves as declared"
    ),
    printcolumn(
        name = "Members",
        type_ = "string",
        json_path = ".status.summary",
        description = "Members that serve, of those declared"
    ),
    printcolumn(
        name = "Leader",
        type_ = "integer",
        json_path = ".status.leader",
        description = "The id of the leading member"
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".status.connectString",
        description = "What clients connect to"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", priority = 1),
    printcolumn(name = "Zxid", type_ = "string", json_path = ".status.zxid", priority = 1),
    printcolumn(name = "Clients", type_ = "integer", json_path = ".status.clients", priority = 1),
    printcolumn(name = "Znodes", type_ = "integer", json_path = ".status.znodes", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleSpec {
    /// Voting members; odd counts survive the most failures. Changed one by one; data of removed members is kept.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub members: i32,
    /// Members that follow and serve reads without a vote. Their ids count from 101.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub observers: Option<i32>,
    /// Differences of single members, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub overrides: Vec<MemberOverride>,
    /// Where members listen. The local platform chooses what is not given, and keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<EnsemblePorts>,
    /// The disk of each member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<EnsembleStorage>,
    /// Ticks, limits in ticks, session timeouts.
    #[serde(default)]
    pub timing: EnsembleTiming,
    /// Encryption, to clients and between members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<EnsembleTls>,
    /// Who clients are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<EnsembleAuthentication>,
    /// What one client may ask of a member.
    #[serde(default)]
    pub limits: EnsembleLimits,
    /// How many old snapshots and logs are kept.
    #[serde(default)]
    pub retention: EnsembleRetention,
    /// When snapshots are taken.
    #[serde(default)]
    pub snapshots: EnsembleSnapshots,
    /// Copies outside the members' disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<EnsembleBackups>,
    /// A running Apache ZooKeeper ensemble to join, to take over member by member, and to give back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<EnsembleJoin>,
    /// The four-letter words that members answer.
    #[serde(default = "four_letter_words")]
    #[schemars(
        length(max = 32),
        inner(pattern("^([a-z]{4}|[*])$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub four_letter_words: Vec<String>,
    /// Further keys of `zoo.cfg`, given to every member as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z][A-Za-z0-9._]*$'))")
        .message("a key of zoo.cfg is letters, digits, dots and underscores"))]
    #[x_kube(validation = Rule::new("self.all(k, !(k in ['dataDir', 'dataLogDir', 'clientPort', 'clientPortAddress', 'tickTime', 'initLimit', 'syncLimit']) && !k.startsWith('server.'))")
        .message("dataDir, dataLogDir, clientPort, clientPortAddress, tickTime, initLimit, syncLimit and server.N are written by the controller; use spec.ports, spec.timing and spec.members"))]
    #[x_kube(validation = Rule::new("self.all(k, !self[k].contains('\\n') && !self[k].contains('\\r'))").message("a value of zoo.cfg is one line"))]
    pub config: BTreeMap<String, String>,
    /// What a member's pod requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Amounts>,
    /// Where members' pods run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Metrics for Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<EnsembleMetrics>,
}

/// What differs in one member.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberOverride {
    /// The member's id (`myid`).
    #[schemars(range(min = 1, max = 255))]
    pub id: i32,
    /// Its weight in its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<i32>,
    /// Its group: a majority of the groups' majorities decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub group: Option<i32>,
    /// Where its pod runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// Ports of the members. On the local platform member N listens on `port + N - 1`.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsemblePorts {
    /// For clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub client: Option<i32>,
    /// For clients with TLS; there is one when `spec.tls.client` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub secure_client: Option<i32>,
    /// For followers of the leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub quorum: Option<i32>,
    /// For the election.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub election: Option<i32>,
    /// For the admin server, whose commands are under `/commands`; there is none without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub admin: Option<i32>,
}

/// The disk of a member.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleStorage {
    /// Size of the volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Storage class of the volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the storage class of existing volumes cannot change; make a new Ensemble and move the data"))]
    pub class_name: Option<String>,
    /// Size of a second volume for the transaction log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_size: Option<Quantity>,
    /// What happens to the data when the Ensemble is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What happens outside when the object goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It goes too.
    Delete,
}

/// Times. Limits are counts of ticks, as in `zoo.cfg`.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleTiming {
    /// One tick.
    #[serde(default = "tick")]
    pub tick: GoDuration,
    /// Ticks that a member may take to connect to the leader and synchronise.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 10000))]
    pub init_limit: i32,
    /// Ticks that a member may fall behind the leader.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 10000))]
    pub sync_limit: i32,
    /// The shortest session timeout granted; two ticks if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_session_timeout: Option<GoDuration>,
    /// The longest session timeout granted; twenty ticks if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_session_timeout: Option<GoDuration>,
}

/// TLS to clients and between members. A changed Secret is taken up without a restart; TLS between members that
/// run already is brought in by rolling restarts, and taken away likewise.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleTls {
    /// To clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<TlsSide>,
    /// Between members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<TlsSide>,
}

/// One side of TLS.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSide {
    /// A Secret with `tls.crt`, `tls.key` and `ca.crt`, as PEM: what members show, and who signs what they are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    /// Whether connections without TLS are let in beside it: of clients they are, of members they are not, unless
    /// said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<Plaintext>,
    /// Whether the other side must show a certificate; it must, unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
}

/// Connections without TLS.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Plaintext {
    /// Let in.
    Allowed,
    /// Refused.
    Refused,
}

/// Certificates of the other side.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ClientCertificates {
    /// Not asked for.
    Ignored,
    /// Asked for; checked if shown.
    Optional,
    /// Needed.
    Required,
}

/// Who clients are, and who members are.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleAuthentication {
    /// Whether a session must authenticate, as one of `saslUsers` or by a certificate, before it may do anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// The digest of the super user, as `super:<digest>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub super_digest: Option<ValueSource>,
    /// SASL DIGEST-MD5 users: a Secret, one key a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl_users: Option<LocalRef>,
    /// How members prove to each other that they are members. Brought in by rolling restarts, and taken away likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<PeerAuthentication>,
}

/// SASL DIGEST-MD5 between members. To change the password: add a second user to the Secret and wait until Ready, name
/// it in `user` and wait until Ready, then remove the first.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerAuthentication {
    /// A Secret, one key a user; all of them are taken.
    pub secret_ref: LocalRef,
    /// The user that members call each other as; the Secret's only one if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), pattern("^[-._a-zA-Z0-9]+$"))]
    pub user: Option<String>,
}

/// What one client may ask.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleLimits {
    /// The largest request (`jute.maxbuffer`).
    #[serde(default = "request_size")]
    pub request_size: Quantity,
    /// Connections from one address; 0 is without a limit.
    #[serde(default = "sixty")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub connections_per_address: i32,
    /// All connections of a member; 0 is without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub connections: Option<i32>,
    /// Requests under way in a member before it stops reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub outstanding_requests: Option<i32>,
}

/// What is kept on disk.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleRetention {
    /// Snapshots kept, with the logs that follow them.
    #[serde(default = "three")]
    #[schemars(range(min = 3, max = 10000))]
    pub snapshots: i32,
    /// Snapshots and logs together, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
}

/// When and how snapshots are taken.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleSnapshots {
    /// Transactions between two snapshots, at most.
    #[serde(default = "hundred_thousand")]
    #[schemars(range(min = 100, max = 2_000_000_000))]
    pub every: i32,
    /// How they are packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

/// How a snapshot is packed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
}

/// Copies outside the members.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleBackups {
    /// When: five cron fields.
    #[schemars(length(min = 9, max = 128))]
    pub schedule: String,
    /// Where to: a folder (`file:///…`) or a bucket (`s3://bucket/prefix`).
    #[schemars(length(min = 1, max = 1024), pattern("^(file|s3)://"))]
    pub destination: String,
    /// Keys for the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    /// How many are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub keep: Option<i32>,
    /// Whether every transaction is copied too, so that any moment can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point_in_time: Option<bool>,
}

/// An ensemble that members join by reconfiguration, one at a time, while it serves. It needs `reconfigEnabled=true` there;
/// until then our members follow without a vote. Members have ids that it does not use.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleJoin {
    /// Its members, as in `zoo.cfg`: `server.1=host:2888:3888;2181`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 512)))]
    pub servers: Vec<String>,
    /// Who votes: Both; only Ours, so that Apache's servers can be ended when the Ensemble is Ready; or only Theirs, so that
    /// the Ensemble can be deleted then.
    #[serde(default)]
    pub voters: JoinVoters,
    /// `user:password` of who may change the members: the super user of Apache's ensemble
    /// (`DigestAuthenticationProvider.superDigest`), or one who may write `/zookeeper/config`. For the time when only ours are
    /// left the same one must be our super user (`spec.authentication.superDigest`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<ValueSource>,
}

/// Who votes in an ensemble of Apache's servers and our members.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum JoinVoters {
    /// All of them.
    #[default]
    Both,
    /// Only our members.
    Ours,
    /// Only Apache's servers.
    Theirs,
}

/// Metrics for Prometheus.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleMetrics {
    /// The port of `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// What is.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsembleStatus {
    /// The generation of the spec this speaks of; -1 before the first.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, Reconciling, Stalled, Available, Progressing, Degraded, Mending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Members that serve, of those declared: `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Members that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Members that serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Selects the members' pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The id of the leading member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<i32>,
    /// The leader's epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The last transaction, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zxid: Option<String>,
    /// Client connections over all members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<i64>,
    /// Znodes in the tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub znodes: Option<i64>,
    /// Watches over all members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watches: Option<i64>,
    /// What the members run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What clients connect to: `host:port,…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_string: Option<String>,
    /// What clients that speak TLS connect to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_connect_string: Option<String>,
    /// Each member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 512),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub members: Vec<MemberStatus>,
}

/// One member.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its `myid`.
    pub id: i32,
    /// `leader`, `follower`, `observer`, `standalone`; `looking`, `mending` (its files
    /// are damaged), `starting`, `suspended`, `lost` (its data is gone), `unreachable` (and not
    /// ours) or `down` when it does not serve.
    pub state: String,
    /// Whether it is counted as a voter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<bool>,
    /// Where it serves clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where it serves clients that speak TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_endpoint: Option<String>,
    /// Its last transaction, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zxid: Option<String>,
    /// The epoch of its last transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// Transactions behind the leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Client connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<i64>,
    /// Znodes in its tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub znodes: Option<i64>,
    /// Watches that it keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watches: Option<i64>,
    /// Its process id, on the local platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Times that it was started again after it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
    /// Which of its files are damaged, and how, until they are whole again; it does not vote until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub mending: Option<String>,
    /// Why it does not serve, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,
}

impl Default for EnsembleStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            summary: None,
            replicas: None,
            ready_replicas: None,
            selector: None,
            leader: None,
            epoch: None,
            zxid: None,
            clients: None,
            znodes: None,
            watches: None,
            version: None,
            connect_string: None,
            secure_connect_string: None,
            members: Vec::new(),
        }
    }
}

impl Default for EnsembleTiming {
    fn default() -> Self {
        Self {
            tick: tick(),
            init_limit: ten(),
            sync_limit: five(),
            min_session_timeout: None,
            max_session_timeout: None,
        }
    }
}

impl Default for EnsembleLimits {
    fn default() -> Self {
        Self {
            request_size: request_size(),
            connections_per_address: sixty(),
            connections: None,
            outstanding_requests: None,
        }
    }
}

impl Default for EnsembleRetention {
    fn default() -> Self {
        Self { snapshots: three(), size: None }
    }
}

impl Default for EnsembleSnapshots {
    fn default() -> Self {
        Self { every: hundred_thousand(), compression: None }
    }
}

fn three() -> i32 {
    3
}
fn five() -> i32 {
    5
}
fn ten() -> i32 {
    10
}
fn sixty() -> i32 {
    60
}
fn hundred_thousand() -> i32 {
    100_000
}
fn tick() -> GoDuration {
    GoDuration::new("2s")
}
fn request_size() -> Quantity {
    Quantity::new("1Mi")
}
fn four_letter_words() -> Vec<String> {
    ["mntr", "ruok", "srvr"].map(str::to_owned).into()
}
