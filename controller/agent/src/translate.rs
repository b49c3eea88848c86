//! Between Mesos's messages and this crate's own words.

use std::time::Duration;

use mesos::link::{Launch, RunningTask, StateName};
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::{
    CommandInfo, ContainerId, ContainerStatus, FrameworkInfo, KillPolicy, Resource, TaskInfo,
    TaskResourceLimitation, TaskState, TaskStatus, environment, task_status, value,
};
use serde_json::Value;
use uuid::Uuid;

use crate::layout::check_id;
use crate::link::KnownTask;
use crate::task::{Command, Reason, Source, Spec, State, Status, TaskKey, TaskLimits};

/// Between SIGTERM and SIGKILL when nobody says otherwise. Source: Mesos `DEFAULT_EXECUTOR_KILL_POLICY`.
const GRACE: Duration = Duration::from_secs(3);
/// The label and the limit that bound the processes of a task; Mesos has no word for it.
const PIDS: &str = "pids";
const PIDS_LABEL: &str = "troupe.dev/pids";
const MIB: f64 = 1_048_576.0;

/// A launch as a spec, or why it cannot be one.
pub(crate) fn spec(launch: &Launch, agent: &str) -> Result<Spec, (TaskKey, String)> {
    let framework = launch.framework.id.clone().unwrap_or_default().value;
    let key = TaskKey { framework, task: launch.task.task_id.value.clone() };
    match try_spec(launch, key.clone(), agent) {
        Ok(spec) => Ok(spec),
        Err(why) => Err((key, why)),
    }
}

fn try_spec(launch: &Launch, key: TaskKey, agent: &str) -> Result<Spec, String> {
    let task = &launch.task;
    check_id("framework", &key.framework).map_err(|e| e.to_string())?;
    check_id("task", &key.task).map_err(|e| e.to_string())?;
    if task.executor.is_some() {
        return Err("tasks with an executor are not supported yet; give a command".to_owned());
    }
    let command = task.command.as_ref().ok_or("the task has no command")?;
    for (there, what) in [
        (!command.uris.is_empty(), "command.uris"),
        (task.container.as_ref().is_some_and(has_content), "container"),
    ] {
        if there {
            return Err(format!("'{what}' is not supported yet; leave it out"));
        }
    }
    let capable =
        |wanted: Capability| launch.framework.capabilities.iter().any(|c| c.r#type() == wanted);
    Ok(Spec {
        agent: agent.to_owned(),
        container: Uuid::new_v4().to_string(),
        environment: variables(command)?,
        command: self::command(command)?,
        user: command
            .user
            .clone()
            .or_else(|| Some(launch.framework.user.clone()))
            .filter(|u| !u.is_empty()),
        limits: limits(task)?,
        grace: grace(task.kill_policy.as_ref()).unwrap_or(GRACE),
        max_completion: task.max_completion_time.as_ref().map(|d| nanos(d.nanoseconds)),
        tells_killing: capable(Capability::TaskKillingState),
        partition_aware: capable(Capability::PartitionAware),
        info: serde_json::to_value(task).map_err(|e| e.to_string())?,
        key,
    })
}

/// A container that says nothing but its type changes nothing.
fn has_content(container: &mesos::v1::ContainerInfo) -> bool {
    let plain = mesos::v1::ContainerInfo { r#type: container.r#type, ..Default::default() };
    *container != plain
}

fn command(command: &CommandInfo) -> Result<Command, String> {
    let value = command.value.clone().unwrap_or_default();
    if command.shell.unwrap_or(true) {
        if value.is_empty() {
            return Err("a shell command needs a value".to_owned());
        }
        return Ok(Command::Shell(value));
    }
    Ok(Command::Program { path: value, argv: command.arguments.clone() })
}

fn variables(command: &CommandInfo) -> Result<Vec<(String, String)>, String> {
    let all = command.environment.iter().flat_map(|environment| &environment.variables);
    all.map(|variable| {
        let name = &variable.name;
        if variable.r#type.is_some() && variable.r#type() != environment::variable::Type::Value {
            return Err(format!("the variable {name:?} must be of type VALUE"));
        }
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("{name:?} cannot name a variable"));
        }
        Ok((name.clone(), variable.value.clone().unwrap_or_default()))
    })
    .collect()
}

/// Source: Mesos `Slave::computeContainerLimits`: the limit if there is one, else the request; infinity is
/// none. Without a limit, the request caps memory but not CPU.
fn limits(task: &TaskInfo) -> Result<TaskLimits, String> {
    let request = |name: &str| scalar(&task.resources, name);
    let limit = |name: &str| task.limits.get(name).map(|limit| limit.value);
    if let Some(other) = task.limits.keys().find(|k| !["cpus", "mem", PIDS].contains(&k.as_str())) {
        return Err(format!(
            "a limit on {other:?} cannot be enforced (there are cpus, mem, {PIDS})"
        ));
    }
    let label = task.labels.iter().flat_map(|labels| &labels.labels).find(|l| l.key == PIDS_LABEL);
    let pids = match label.map(|label| label.value.clone().unwrap_or_default()) {
        Some(text) => {
            Some(text.parse().map_err(|_| format!("{PIDS_LABEL} must be a number, not {text:?}"))?)
        }
        None => limit(PIDS).and_then(|n| whole(n, 1.0)),
    };
    Ok(TaskLimits {
        cpu_request_milli: request("cpus").and_then(|cpus| whole(cpus, 1000.0)),
        cpu_quota_milli: limit("cpus").and_then(|cpus| whole(cpus, 1000.0)),
        memory_hard_bytes: limit("mem").or_else(|| request("mem")).and_then(|mem| whole(mem, MIB)),
        memory_request_bytes: request("mem").and_then(|mem| whole(mem, MIB)),
        pids,
        unsupported: Vec::new(),
    })
}

fn scalar(resources: &[Resource], name: &str) -> Option<f64> {
    let mut found = resources.iter().filter(|r| r.name == name).filter_map(|r| r.scalar.as_ref());
    let first = found.next()?.value;
    Some(first + found.map(|scalar| scalar.value).sum::<f64>())
}

/// So many units as a whole number; `None` for what is no limit.
fn whole(units: f64, scale: f64) -> Option<u64> {
    let scaled = (units * scale).round();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked, and the fraction rounded away"
    )]
    (0.0..9e18).contains(&scaled).then_some(scaled as u64)
}

/// The grace period of a kill policy.
pub(crate) fn grace(policy: Option<&KillPolicy>) -> Option<Duration> {
    policy.and_then(|policy| policy.grace_period.as_ref()).map(|d| nanos(d.nanoseconds))
}

fn nanos(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

/// A status as Mesos's message. `partition_aware` decides the word for what never ran.
pub(crate) fn status(
    key: &TaskKey,
    agent: Option<&str>,
    container: Option<&str>,
    partition_aware: bool,
    status: &Status,
) -> TaskStatus {
    TaskStatus {
        task_id: key.task.clone().into(),
        state: state(status.state, partition_aware).into(),
        message: status.message.clone(),
        source: Some(match status.source {
            Source::Agent => task_status::Source::Agent.into(),
            Source::Executor => task_status::Source::Executor.into(),
        }),
        reason: status.reason.map(|reason| self::reason(reason).into()),
        agent_id: agent.map(Into::into),
        executor_id: container.map(|_| key.task.clone().into()),
        timestamp: Some(status.timestamp),
        uuid: Some(status.uuid.as_bytes().to_vec()),
        container_status: container.map(|container| ContainerStatus {
            container_id: Some(ContainerId { value: container.to_owned(), parent: None }),
            executor_pid: status.pid.and_then(|pid| u32::try_from(pid).ok()),
            ..ContainerStatus::default()
        }),
        limitation: status.memory_at_limit.map(memory_limitation),
        ..TaskStatus::default()
    }
}

/// A task as a new master is told of it.
pub(crate) fn known(task: &KnownTask) -> Option<RunningTask> {
    let spec = &task.spec;
    let of = |told: &Status| {
        status(&spec.key, Some(&spec.agent), Some(&spec.container), spec.partition_aware, told)
    };
    let staging = || TaskStatus {
        task_id: spec.key.task.clone().into(),
        state: TaskState::TaskStaging.into(),
        ..TaskStatus::default()
    };
    let latest = task.latest.as_ref().map_or_else(staging, of);
    Some(RunningTask {
        task: mesos::json::from_value::<TaskInfo>(spec.info.clone())
            .inspect_err(
                |error| tracing::error!(task = %spec.key, %error, "a task's checkpoint is damaged"),
            )
            .ok()?,
        framework_id: spec.key.framework.clone().into(),
        executor_id: None,
        latest: TaskStatus { uuid: None, ..latest },
        unacknowledged: task.unacknowledged.as_ref().map(of),
    })
}

/// A framework that an earlier master sent.
pub(crate) fn framework(info: &Value) -> Option<FrameworkInfo> {
    mesos::json::from_value(info.clone())
        .inspect_err(|error| tracing::error!(%error, "a framework's checkpoint is damaged"))
        .ok()
}

/// The latest state beside an update.
pub(crate) fn latest(latest: State, partition_aware: bool) -> StateName {
    StateName(state(latest, partition_aware))
}

fn memory_limitation(bytes: u64) -> TaskResourceLimitation {
    #[allow(clippy::cast_precision_loss, reason = "megabytes for people; 2^53 bytes are enough")]
    let megabytes = bytes as f64 / MIB;
    let memory = Resource {
        name: "mem".to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: megabytes }),
        role: Some("*".to_owned()),
        ..Resource::default()
    };
    TaskResourceLimitation { resources: vec![memory] }
}

fn state(state: State, partition_aware: bool) -> TaskState {
    match state {
        State::Starting => TaskState::TaskStarting,
        State::Running => TaskState::TaskRunning,
        State::Killing => TaskState::TaskKilling,
        State::Finished => TaskState::TaskFinished,
        State::Failed => TaskState::TaskFailed,
        State::Killed => TaskState::TaskKilled,
        State::Error => TaskState::TaskError,
        State::Dropped if partition_aware => TaskState::TaskDropped,
        State::Dropped => TaskState::TaskLost,
    }
}

fn reason(reason: Reason) -> task_status::Reason {
    match reason {
        Reason::LaunchFailed => task_status::Reason::ContainerLaunchFailed,
        Reason::MemoryLimit => task_status::Reason::ContainerLimitationMemory,
        Reason::ExecutorTerminated => task_status::Reason::ExecutorTerminated,
        Reason::MaxCompletionTime => task_status::Reason::MaxCompletionTimeReached,
        Reason::TaskInvalid => task_status::Reason::TaskInvalid,
        Reason::AgentRestarted => task_status::Reason::AgentRestarted,
        Reason::KilledDuringLaunch => task_status::Reason::TaskKilledDuringLaunch,
        Reason::Reconciliation => task_status::Reason::Reconciliation,
    }
}
