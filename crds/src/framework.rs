//! `Framework`: what runs in a pool.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{conditions_schema, unseen};
use crate::{Amounts, GoDuration, KeyRef, LocalRef, ValueSource};

/// Tasks that run in a pool.
#[derive(Clone, CustomResource, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "troupe.dev",
    version = "v1alpha1",
    kind = "Framework",
    plural = "frameworks",
    shortname = "fw",
    category = "troupe",
    namespaced,
    status = "FrameworkStatus",
    derive = "PartialEq",
    doc = "A framework in a ResourcePool: a service, a cron job, a batch or a scheduler of the user's.",
    scale(
        spec_replicas_path = ".spec.instances",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether all runs as declared"
    ),
    printcolumn(
        name = "Running",
        type_ = "string",
        json_path = ".status.summary",
        description = "Tasks that run, of those declared"
    ),
    printcolumn(
        name = "Failed",
        type_ = "integer",
        json_path = ".status.failed",
        description = "Tasks that failed so far"
    ),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role"),
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Framework ID",
        type_ = "string",
        json_path = ".status.frameworkId",
        priority = 1
    ),
    printcolumn(
        name = "Last failure",
        type_ = "string",
        json_path = ".status.lastFailure.message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.service) ? 1 : 0) + (has(self.cron) ? 1 : 0) + (has(self.batch) ? 1 : 0) + (has(self.scheduler) ? 1 : 0) == 1")
    .message("say what it is: exactly one of service, cron, batch and scheduler (`service: {}` is enough)"))]
#[x_kube(validation = Rule::new("has(self.service) == has(oldSelf.service) && has(self.cron) == has(oldSelf.cron) && has(self.batch) == has(oldSelf.batch) && has(self.scheduler) == has(oldSelf.scheduler)")
    .message("a Framework cannot become another sort; delete it and declare the other"))]
pub struct FrameworkSpec {
    /// The pool it runs in.
    #[x_kube(validation = Rule::new("self == oldSelf").message("a Framework cannot move to another pool; delete it and declare it there"))]
    pub pool_ref: LocalRef,
    /// The role by which it gets its share.
    #[serde(default = "any_role")]
    #[schemars(
        length(min = 1, max = 253),
        pattern(r"^([*]|[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.][A-Za-z0-9_.-]*)*)$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the role of a Framework cannot change; delete it and declare it with the other role"))]
    pub role: String,
    /// How many run: of a service's task, or of a scheduler's program.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 10000))]
    pub instances: i32,
    /// Whether everything is stopped for now.
    #[serde(default)]
    pub suspend: bool,
    /// What runs.
    pub task: TaskTemplate,
    /// How long masters keep its tasks while it is gone.
    #[serde(default = "failover_timeout")]
    pub failover_timeout: GoDuration,
    /// Where its instances are announced in the Ensemble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Instances that run for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceTemplate>,
    /// Runs by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<CronTemplate>,
    /// Runs to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchTemplate>,
    /// A program that speaks the Mesos scheduler API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerTemplate>,
}

/// What runs.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.command) ? 1 : 0) + (has(self.shell) ? 1 : 0) + (has(self.script) ? 1 : 0) <= 1 && (has(self.command) || has(self.shell) || has(self.script) || has(self.image))")
    .message("say what runs: exactly one of command (a list), shell (a line) and script (a file's text)"))]
pub struct TaskTemplate {
    /// A program and its arguments; no shell is involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), inner(length(max = 32768)))]
    pub command: Option<Vec<String>>,
    /// A line for `/bin/sh -c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub shell: Option<String>,
    /// The text of a program, beginning with `#!`, written into the sandbox and run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub script: Option<String>,
    /// A container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// The user it runs as; the agent's without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), pattern("^[a-z_][a-z0-9_-]*$"))]
    pub user: Option<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub env: Vec<EnvVar>,
    /// Files written into its sandbox before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"])
    )]
    pub files: Vec<TaskFile>,
    /// Ports it is given; each also comes as `PORT_<NAME>` in its environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub ports: Vec<TaskPort>,
    /// What it is promised: offers with less are declined.
    #[serde(default = "task_resources")]
    pub resources: Amounts,
    /// What it may not exceed; memory is as much as promised if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<TaskLimits>,
    /// The time between the polite signal and the other one.
    #[serde(default = "grace_period")]
    pub grace_period: GoDuration,
}

/// What a task may not exceed.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskLimits {
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<crate::Quantity>,
    /// Memory; a task that needs more is killed and told so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<crate::Quantity>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_194_304))]
    pub pids: Option<i64>,
    /// Bytes in its sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<crate::Quantity>,
}

/// One variable.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.value) && has(self.valueFrom))").message("give value or valueFrom, not both"))]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(min = 1, max = 256), pattern("^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub value: Option<String>,
    /// Where its value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueSource>,
}

/// One file.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.content) ? 1 : 0) + (has(self.from) ? 1 : 0) + (has(self.uri) ? 1 : 0) == 1").message("give exactly one of content, from and uri"))]
pub struct TaskFile {
    /// Where, below the sandbox.
    #[schemars(length(min = 1, max = 1024), pattern("^[^/]"))]
    #[x_kube(validation = Rule::new("!self.contains('..')").message("a file stays below the sandbox; write its path without '..'"))]
    pub path: String,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub content: Option<String>,
    /// A ConfigMap's or Secret's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ValueSource>,
    /// Fetched from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub uri: Option<String>,
    /// Whether it may be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<bool>,
    /// Whether it is an archive to unpack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpack: Option<bool>,
}

/// One port.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskPort {
    /// Its name.
    #[schemars(length(min = 1, max = 15), pattern("^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// This one; any that the agent offers if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// Where instances are announced.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// The service's name below `/services`; the Framework's name if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), pattern(r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub name: Option<String>,
    /// The port that is announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub port: Option<String>,
}

/// Instances that run for ever.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTemplate {
    /// How it is known that an instance works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How a changed task replaces the old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<RollingUpdate>,
    /// Where instances may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub constraints: Vec<Constraint>,
    /// How long to wait before an instance that failed is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// How it is known that an instance works; exactly one of command, http and tcp.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.shell) ? 1 : 0) + (has(self.httpPath) ? 1 : 0) + (has(self.tcp) ? 1 : 0) == 1").message("give exactly one of shell, httpPath and tcp"))]
pub struct HealthCheck {
    /// A line for `/bin/sh -c` that ends with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub shell: Option<String>,
    /// A path that answers with 200 to 399.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), pattern("^/"))]
    pub http_path: Option<String>,
    /// A connection that is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<bool>,
    /// The name of the port; the first if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub port: Option<String>,
    /// The time between two checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// The longest a check may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// The time after the start in which failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<GoDuration>,
    /// Failures in a row after which the instance is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub failures: Option<i32>,
}

/// How a changed task replaces the old one.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Instances that may be missing meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_unavailable: Option<i32>,
    /// Instances that may be over meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_surge: Option<i32>,
    /// The time an instance must have run before the next one is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ready: Option<GoDuration>,
}

/// Where instances may run.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// `hostname`, or the name of an attribute.
    #[schemars(length(min = 1, max = 253))]
    pub attribute: String,
    /// The rule.
    pub operator: ConstraintOperator,
    /// What the rule compares with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
}

/// The rule of a constraint.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ConstraintOperator {
    /// At most one instance for each value.
    Unique,
    /// Only this value.
    Cluster,
    /// As evenly as can be over the values.
    GroupBy,
    /// Values that match the regular expression.
    Like,
    /// Values that do not match the regular expression.
    Unlike,
    /// At most so many for each value.
    MaxPer,
}

/// How long to wait before the next try.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// After the first failure; doubled by each that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<GoDuration>,
    /// At most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<GoDuration>,
}

/// Runs by the clock.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronTemplate {
    /// When: five cron fields.
    #[schemars(length(min = 1, max = 128))]
    pub schedule: String,
    /// The time zone of the schedule, such as `Europe/Berlin`; UTC if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Frameworks that must have succeeded since the last run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub after: Vec<LocalRef>,
    /// What happens when a run is due and the last one still runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// Tries after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub retries: Option<i32>,
    /// A run that is later than this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_deadline: Option<GoDuration>,
    /// Runs of which the outcome is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub history: Option<i32>,
}

/// What happens when the last run still runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ConcurrencyPolicy {
    /// Both run.
    Allow,
    /// The new one is left out.
    Forbid,
    /// The old one is stopped.
    Replace,
}

/// Runs to the end.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchTemplate {
    /// Runs that must succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub completions: Option<i32>,
    /// Runs at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub parallelism: Option<i32>,
    /// Frameworks that must have succeeded first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub after: Vec<LocalRef>,
    /// Tries after a failure, for each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub retries: Option<i32>,
    /// All must be done by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<GoDuration>,
}

/// A program that speaks the Mesos scheduler API; `instances` of it run, of which one leads.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerTemplate {
    /// The port of its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub web_port: Option<String>,
    /// The secret of its principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyRef>,
    /// Words that its environment gets for its own options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub options: BTreeMap<String, String>,
}

/// What is.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameworkStatus {
    /// The generation of the spec this speaks of; -1 before the first.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The id that the master gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framework_id: Option<String>,
    /// Which of its schedulers leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Tasks that run, of those declared: `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Tasks that are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<i32>,
    /// Tasks that were launched and do not run yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staging: Option<i32>,
    /// Tasks that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<i32>,
    /// Tasks that run and pass their health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<i32>,
    /// Tasks that failed so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<i64>,
    /// Tasks that exist (for scale).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Selects the tasks' pods (for scale).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<TaskFailure>,
    /// The tasks, the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub tasks: Vec<TaskSummary>,
}

/// What went wrong.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskFailure {
    /// The instance.
    pub instance: String,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// One word for programs: `MemoryLimit`, `Exited`, `LaunchFailed`…
    pub reason: String,
    /// A sentence for people: which limit, which figure, which instance.
    pub message: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// One task.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSummary {
    /// Its id.
    pub id: String,
    /// The instance it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// `Staging`, `Running`, …
    pub state: String,
    /// The agent that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

impl Default for FrameworkStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            framework_id: None,
            leader: None,
            summary: None,
            desired: None,
            staging: None,
            running: None,
            healthy: None,
            failed: None,
            replicas: None,
            selector: None,
            last_failure: None,
            tasks: Vec::new(),
        }
    }
}

fn one() -> i32 {
    1
}
fn any_role() -> String {
    "*".into()
}
fn failover_timeout() -> GoDuration {
    GoDuration::new("168h")
}
fn grace_period() -> GoDuration {
    GoDuration::new("5s")
}
fn task_resources() -> Amounts {
    Amounts {
        cpu: Some(crate::Quantity::new("100m")),
        memory: Some(crate::Quantity::new("32Mi")),
        disk: None,
        gpus: None,
    }
}
