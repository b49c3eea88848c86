//! RECONCILE: what the master knows of a framework's tasks.

use allocator::FrameworkId;
use mesos::v1::scheduler::Event;
use mesos::v1::scheduler::call::{Reconcile, ReconcileOperations};
use mesos::v1::scheduler::event::{Type as EventType, UpdateOperationStatus};
use mesos::v1::task_status::Reason;
use mesos::v1::{
    AgentId, OperationState, OperationStatus, TaskId, TaskState, TaskStatus, TimeInfo,
};

use crate::status::{as_known, from_master};
use crate::task::Task;
use crate::{AgentState, Master, Now};

const LATEST: &str = "Reconciliation: Latest task state";

impl Master {
    pub(crate) fn reconcile(&mut self, now: Now, id: &FrameworkId, reconcile: Reconcile) {
        if !reconcile.tasks.is_empty() {
            for task in &reconcile.tasks {
                self.reconcile_one(now, id, &task.task_id, task.agent_id.as_ref());
            }
            return;
        }
        let Some(framework) = self.frameworks.get(id) else { return };
        let known: Vec<_> = framework.tasks.values().map(|task| latest(now, task)).collect();
        for status in known {
            self.tell_status(id, status);
        }
    }

    /// Answers for one task; not at all while an agent that may run it can still come back.
    pub(crate) fn reconcile_one(
        &mut self,
        now: Now,
        id: &FrameworkId,
        task: &TaskId,
        agent: Option<&AgentId>,
    ) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let aware = framework.partition_aware();
        let told = |state, message: &str| {
            let state = as_known(state, aware);
            from_master(now, task, agent, state, Reason::Reconciliation, message)
        };
        let status = if let Some(task) = framework.tasks.get(&task.value) {
            latest(now, task)
        } else if let Some(agent_id) = agent {
            let key = agent_id.value.as_str().into();
            let state = self.absent.get(&key).map(|record| record.state);
            match state {
                _ if self.agents.contains_key(&key) => {
                    told(TaskState::TaskGone, "Reconciliation: Task is unknown to the agent")
                }
                Some(AgentState::Admitted) => return,
                Some(AgentState::Unreachable { since }) => TaskStatus {
                    unreachable_time: Some(TimeInfo { nanoseconds: since }),
                    ..told(TaskState::TaskUnreachable, "Reconciliation: Task is unreachable")
                },
                Some(AgentState::Gone { .. }) => told(
                    TaskState::TaskGoneByOperator,
                    "Reconciliation: Task is on an agent that has been marked gone",
                ),
                None => told(TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
            }
        } else if let Some(task) = framework.unreachable.iter().find(|t| t.id() == task.value) {
            let since = match self.absent.get(&task.agent).map(|record| record.state) {
                Some(AgentState::Unreachable { since }) => since,
                _ => now.unix_nanos,
            };
            TaskStatus {
                agent_id: Some(task.wire.agent_id.clone()),
                unreachable_time: Some(TimeInfo { nanoseconds: since }),
                ..told(TaskState::TaskUnreachable, "Reconciliation: Task is unreachable")
            }
        } else if self.absent.values().any(|record| record.state == AgentState::Admitted) {
            return;
        } else {
            told(TaskState::TaskUnknown, "Reconciliation: Task is unknown")
        };
        self.tell_status(id, status);
    }

    /// This pool has no operations, so all that are asked about are unknown.
    pub(crate) fn reconcile_operations(&mut self, id: &FrameworkId, call: ReconcileOperations) {
        let Some(stream) = self.frameworks.get(id).and_then(|f| f.stream()) else { return };
        for operation in call.operations {
            let message = if operation.agent_id.is_some() {
                "Reconciliation: Operation is unknown"
            } else {
                "Reconciliation: Operation is unknown and no 'agent_id' was provided"
            };
            let status = OperationStatus {
                operation_id: Some(operation.operation_id),
                state: OperationState::OperationUnknown as i32,
                message: Some(message.into()),
                agent_id: operation.agent_id,
                ..OperationStatus::default()
            };
            let event = Event {
                r#type: Some(EventType::UpdateOperationStatus as i32),
                update_operation_status: Some(UpdateOperationStatus { status }),
                ..Event::default()
            };
            self.event(stream, event);
        }
    }
}

/// What the framework was told last, without a uuid.
fn latest(now: Now, task: &Task) -> TaskStatus {
    let (task_id, agent_id) = (&task.wire.task_id, &task.wire.agent_id);
    let state = task.told_state();
    let reason = Reason::Reconciliation;
    let mut status = from_master(now, task_id, Some(agent_id), state, reason, LATEST);
    if let Some(last) = task.wire.statuses.last() {
        status.healthy = last.healthy;
        status.check_status.clone_from(&last.check_status);
        status.container_status.clone_from(&last.container_status);
    }
    status
}
