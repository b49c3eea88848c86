//! Statuses that the master makes itself. They have no uuid: nobody acknowledges them.

use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{AgentId, TaskId, TaskState, TaskStatus};

use crate::Now;

/// Whether a task in that state runs no more and never will.
pub(crate) const fn is_terminal(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
    )
}

/// A state that only partition-aware frameworks know becomes TASK_LOST for others.
pub(crate) const fn as_known(state: TaskState, partition_aware: bool) -> TaskState {
    let new = matches!(
        state,
        TaskState::TaskDropped
            | TaskState::TaskUnreachable
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
            | TaskState::TaskUnknown
    );
    if new && !partition_aware { TaskState::TaskLost } else { state }
}

/// A status from the master.
pub(crate) fn from_master(
    now: Now,
    task: &TaskId,
    agent: Option<&AgentId>,
    state: TaskState,
    reason: Reason,
    message: &str,
) -> TaskStatus {
    TaskStatus {
        task_id: task.clone(),
        state: state as i32,
        message: Some(message.into()),
        source: Some(Source::Master as i32),
        reason: Some(reason as i32),
        agent_id: agent.cloned(),
        timestamp: Some(now.unix_seconds()),
        ..TaskStatus::default()
    }
}
