//! A task's words as this crate uses them: what was asked for and what became of it.
//!
//! Lives here: the values that are checkpointed, with their serialised form. Must not: the wire's types
//! (see `translate`), decisions (see `tasks`).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::layout::Run;

/// Which task: a task id is unique within its framework only.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct TaskKey {
    pub(crate) framework: String,
    pub(crate) task: String,
}

impl Spec {
    /// Where its files are.
    pub(crate) fn run(&self) -> Run<'_> {
        Run {
            agent: &self.agent,
            framework: &self.key.framework,
            executor: &self.key.task,
            container: &self.container,
        }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.task, self.framework)
    }
}

/// What to run, checked. Written once, before the task's process exists.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Spec {
    pub(crate) key: TaskKey,
    /// The id this agent had when it took the task: a directory on the way to its run.
    pub(crate) agent: String,
    /// The directory of its run and the name of its groups.
    pub(crate) container: String,
    pub(crate) command: Command,
    /// The variables of the command, in the task's words.
    pub(crate) environment: Vec<(String, String)>,
    /// Whom it runs as, by name; the agent's own user if `None`.
    pub(crate) user: Option<String>,
    pub(crate) limits: TaskLimits,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
    /// After this time of running it is killed, with the state FAILED.
    pub(crate) max_completion: Option<Duration>,
    /// Its framework hears of TASK_KILLING.
    pub(crate) tells_killing: bool,
    /// Its framework knows TASK_DROPPED and TASK_GONE; others hear TASK_LOST.
    pub(crate) partition_aware: bool,
    /// The `TaskInfo` as the master sent it, which is what a master is told again.
    pub(crate) info: serde_json::Value,
}

/// A command line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Command {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// A program and its whole `argv`, the program's name included.
    Program { path: String, argv: Vec<String> },
}

/// The limits that were asked for, in the units of the kernel's interfaces.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct TaskLimits {
    pub(crate) cpu_request_milli: Option<u64>,
    pub(crate) cpu_quota_milli: Option<u64>,
    pub(crate) memory_hard_bytes: Option<u64>,
    pub(crate) memory_request_bytes: Option<u64>,
    pub(crate) pids: Option<u64>,
    /// Limits by name that cannot be enforced.
    pub(crate) unsupported: Vec<String>,
}

/// One status update.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Status {
    pub(crate) uuid: Uuid,
    pub(crate) state: State,
    pub(crate) source: Source,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: Option<String>,
    /// Seconds since 1970.
    pub(crate) timestamp: f64,
    /// The memory that was in use when a limit on it ended the task, in bytes.
    pub(crate) memory_at_limit: Option<u64>,
    /// The first process of the task, while it has one.
    pub(crate) pid: Option<i32>,
}

/// What a task is, as its framework hears it. Source: Mesos `TaskState`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum State {
    Starting,
    Running,
    Killing,
    Finished,
    Failed,
    Killed,
    Error,
    /// It never ran. TASK_LOST for frameworks that are not partition-aware.
    Dropped,
}

impl State {
    pub(crate) fn is_terminal(self) -> bool {
        !matches!(self, Self::Starting | Self::Running | Self::Killing)
    }
}

/// Who says so.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Source {
    Agent,
    /// The task itself. There is no executor process; the holder speaks in its place.
    Executor,
}

/// Why a task is in its state. Source: Mesos `TaskStatus.Reason`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Reason {
    LaunchFailed,
    MemoryLimit,
    ExecutorTerminated,
    MaxCompletionTime,
    TaskInvalid,
    AgentRestarted,
    KilledDuringLaunch,
    Reconciliation,
}
