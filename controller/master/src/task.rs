//! One task as the master knows it.

use allocator::AgentId;
use mesos::v1::{ExecutorId, FrameworkId, Task as Wire, TaskInfo, TaskState, TaskStatus};
use types::{Resources, Role};

use crate::status::is_terminal;

/// How many statuses are kept for operators.
const STATUSES: usize = 8;

/// A task that its framework may ask about.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// As operators see it; `state` is the latest, known to the framework or not.
    pub(crate) wire: Wire,
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    pub(crate) resources: Resources,
    /// Whether the allocator counts the resources as held. Invariant: only while not terminal.
    pub(crate) holds: bool,
    /// The update that its framework has to acknowledge.
    pub(crate) unacknowledged: Option<TaskStatus>,
    /// Somebody wants it dead; told again to an agent that comes back.
    pub(crate) killed: bool,
}

impl Task {
    pub(crate) fn new(
        info: &TaskInfo,
        framework: &FrameworkId,
        agent: AgentId,
        role: Role,
        resources: Resources,
    ) -> Self {
        let user = info.command.as_ref().and_then(|command| command.user.clone());
        let wire = Wire {
            name: info.name.clone(),
            task_id: info.task_id.clone(),
            framework_id: framework.clone(),
            executor_id: info.executor.as_ref().map(|executor| executor.executor_id.clone()),
            agent_id: info.agent_id.clone(),
            state: TaskState::TaskStaging as i32,
            resources: info.resources.clone(),
            labels: info.labels.clone(),
            discovery: info.discovery.clone(),
            container: info.container.clone(),
            user,
            health_check: info.health_check.clone(),
            kill_policy: info.kill_policy,
            limits: info.limits.clone(),
            ..Wire::default()
        };
        Self { wire, agent, role, resources, holds: true, unacknowledged: None, killed: false }
    }

    pub(crate) fn id(&self) -> &str {
        &self.wire.task_id.value
    }

    pub(crate) fn state(&self) -> TaskState {
        self.wire.state()
    }

    /// The state that the framework was told last, or else the current one.
    pub(crate) fn told_state(&self) -> TaskState {
        let told = self.wire.status_update_state.and_then(|state| TaskState::try_from(state).ok());
        told.unwrap_or_else(|| self.state())
    }

    pub(crate) fn is_terminal(&self) -> bool {
        is_terminal(self.state())
    }

    /// Remembers a status: the last of each state in a row, not too many.
    pub(crate) fn record(&mut self, mut status: TaskStatus) {
        status.data = None;
        let statuses = &mut self.wire.statuses;
        if statuses.last().is_some_and(|last| last.state == status.state) {
            statuses.pop();
        } else if statuses.len() >= STATUSES {
            statuses.remove(0);
        }
        statuses.push(status);
    }

    /// As it is remembered after its end.
    pub(crate) fn completed(mut self) -> Wire {
        let last = self.wire.statuses.pop();
        self.wire.statuses = last.into_iter().collect();
        self.wire
    }
}

/// The executor of a task's updates: its own, or the one named.
pub(crate) fn executor(task: &Wire) -> ExecutorId {
    task.executor_id.clone().unwrap_or_else(|| ExecutorId { value: task.task_id.value.clone() })
}
