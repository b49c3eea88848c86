//! What went wrong with an instance, in words with figures.

use std::fmt;

use types::resources::Scalar;

use crate::io::{TaskState, Update};
use crate::{TaskId, TaskSpec};

/// The end of a task that nobody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Which instance.
    pub index: u32,
    /// Which task.
    pub task: TaskId,
    /// For programs.
    pub reason: FailureReason,
    /// For people: `killed at 256Mi by the memory limit (instance web-2)`.
    pub message: String,
    /// When, in seconds since 1970, if the sender said so.
    pub at: Option<f64>,
}

/// One word for programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureReason {
    /// It used more memory than it may.
    MemoryLimit,
    /// It used more disk than it may.
    DiskLimit,
    /// It ended by itself.
    Exited,
    /// It could not be started.
    LaunchFailed,
    /// Its description was refused.
    Refused,
    /// Its agent or the task is not there any more.
    Lost,
    /// Someone else ended it.
    Killed,
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Failure {
    /// Reads the end of instance `index` from the update that told of it.
    pub(crate) fn of(index: u32, spec: &TaskSpec, update: &Update) -> Self {
        let (reason, what) = words(spec, update);
        Self {
            index,
            task: update.task.clone(),
            reason,
            message: format!("{what} (instance {})", update.task.instance()),
            at: update.timestamp,
        }
    }
}

fn words(spec: &TaskSpec, update: &Update) -> (FailureReason, String) {
    let said = || update.message.clone().filter(|message| !message.is_empty());
    let says = |default: &str| said().unwrap_or_else(|| default.into());
    match update.reason.as_deref().unwrap_or_default() {
        "REASON_CONTAINER_LIMITATION_MEMORY" => {
            let limit = update.limitation.mem.or(spec.mem_limit).unwrap_or(spec.mem);
            (FailureReason::MemoryLimit, format!("killed at {} by the memory limit", mebi(limit)))
        }
        "REASON_CONTAINER_LIMITATION_DISK" => {
            let limit = update.limitation.disk.unwrap_or(spec.disk);
            (FailureReason::DiskLimit, format!("killed at {} by the disk limit", mebi(limit)))
        }
        "REASON_CONTAINER_LAUNCH_FAILED" => {
            (FailureReason::LaunchFailed, says("the agent could not start it"))
        }
        _ => match update.state {
            TaskState::Error => (FailureReason::Refused, says("the master refused the task")),
            TaskState::Gone => (FailureReason::Lost, says("the task or its agent is gone")),
            TaskState::Killed => (FailureReason::Killed, says("killed from outside")),
            TaskState::Finished => (FailureReason::Exited, "ended by itself with status 0".into()),
            _ => (FailureReason::Exited, says("ended with a failure")),
        },
    }
}

/// Mebibytes as Kubernetes writes them: `256Mi`, `1.5Mi`, `2Gi`.
fn mebi(amount: Scalar) -> String {
    let milli = amount.milli();
    if milli >= 1_024_000 && milli % 1_024_000 == 0 {
        format!("{}Gi", milli / 1_024_000)
    } else {
        format!("{amount}Mi")
    }
}
