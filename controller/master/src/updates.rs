//! Updates of tasks, from agents to frameworks, and the books about them.

use std::collections::BTreeSet;

use allocator::{AgentId, FrameworkId};
use mesos::link::{AgentEvent, Update};
use mesos::v1::scheduler::Event;
use mesos::v1::scheduler::event::{Failure, Type as EventType, Update as UpdateEvent};
use mesos::v1::{AgentId as WireAgentId, TaskState, TaskStatus};

use crate::offers::sure;
use crate::status::is_terminal;
use crate::task::{Task, executor};
use crate::{Answer, Master, Now};

impl Master {
    /// An agent tells of a change. The framework gets it, and acknowledges it through this master.
    pub(crate) fn update(&mut self, now: Now, agent: &AgentId, update: Update) -> Answer {
        self.counters.updates += 1;
        let id: FrameworkId = update.framework_id.value.as_str().into();
        if !self.frameworks.contains_key(&id) {
            // It ended: nobody will ever acknowledge this.
            let framework_id = update.framework_id;
            self.tell_agent(agent, AgentEvent::ShutdownFramework { framework_id });
            return Answer::Accepted;
        }
        let mut status = update.status;
        status.agent_id.get_or_insert_with(|| agent.as_str().into());
        status.timestamp.get_or_insert_with(|| now.unix_seconds());
        let task_id = status.task_id.value.clone();
        if let Some(task) = self.task_mut(&id, &task_id)
            && task.agent == *agent
        {
            status.executor_id.get_or_insert_with(|| executor(&task.wire));
            if !task.is_terminal() {
                task.wire.state = update.latest_state.0 as i32;
            }
            task.wire.status_update_state = Some(status.state);
            task.wire.status_update_uuid = status.uuid.clone();
            task.record(status.clone());
            if status.uuid.is_some() {
                task.unacknowledged = Some(status.clone());
            }
            self.release_if_ended(now, &id, &task_id);
        }
        self.tell_status(&id, status);
        Answer::Accepted
    }

    pub(crate) fn tell_status(&mut self, id: &FrameworkId, status: TaskStatus) {
        let Some(stream) = self.frameworks.get(id).and_then(|f| f.stream()) else { return };
        let event = Event {
            r#type: Some(EventType::Update as i32),
            update: Some(UpdateEvent { status }),
            ..Event::default()
        };
        self.event(stream, event);
    }

    /// An agent is no more: told to all frameworks, whether they have tasks on it or not.
    pub(crate) fn tell_failure(&mut self, agent: &AgentId) {
        let streams: Vec<_> = self.frameworks.values().filter_map(|f| f.stream()).collect();
        for stream in streams {
            let failure =
                Failure { agent_id: Some(WireAgentId::from(agent.as_str())), ..Failure::default() };
            let event = Event {
                r#type: Some(EventType::Failure as i32),
                failure: Some(failure),
                ..Event::default()
            };
            self.event(stream, event);
        }
    }

    pub(crate) fn task_mut(&mut self, id: &FrameworkId, task: &str) -> Option<&mut Task> {
        self.frameworks.get_mut(id)?.tasks.get_mut(task)
    }

    /// The resources of a task that ended come free, acknowledged or not.
    pub(crate) fn release_if_ended(&mut self, now: Now, id: &FrameworkId, task: &str) {
        let Some(task) = self.frameworks.get_mut(id).and_then(|f| f.tasks.get_mut(task)) else {
            return;
        };
        if !task.holds || !task.is_terminal() {
            return;
        }
        task.holds = false;
        let Task { agent, role, resources, .. } = task;
        sure(self.allocator.recover(now.instant, id, role, agent, resources, None));
    }

    /// A task that ended and that nobody waits for goes to the completed ones. Its resources must be free
    /// already, or come free with its agent or framework.
    pub(crate) fn complete(&mut self, id: &FrameworkId, task: &str) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(task) = framework.tasks.remove(task) else { return };
        let key = (id.as_str().to_owned(), task.id().to_owned());
        if let Some(agent) = self.agents.get_mut(&task.agent) {
            agent.tasks.remove(&key);
            agent.usage.remove(&key);
        }
        *self.counters.ended.entry(task.wire.state).or_default() += 1;
        framework.completed.push_back(task.completed());
        while framework.completed.len() > self.config.completed_tasks {
            framework.completed.pop_front();
        }
    }

    /// Ends a task that its agent cannot end any more, and tells its framework.
    pub(crate) fn end_task(&mut self, now: Now, id: &FrameworkId, task: &str, status: TaskStatus) {
        let Some(known) = self.task_mut(id, task) else { return };
        if !is_terminal(known.state()) {
            known.wire.state = status.state;
            known.record(status.clone());
            self.tell_status(id, status);
        }
        self.release_if_ended(now, id, task);
        self.complete(id, task);
    }

    /// The agents on which a framework has tasks.
    pub(crate) fn agents_of(&self, id: &FrameworkId) -> BTreeSet<AgentId> {
        let framework = self.frameworks.get(id);
        framework.into_iter().flat_map(|f| f.tasks.values()).map(|t| t.agent.clone()).collect()
    }

    /// Takes a task out of its framework's list for one that its agent may bring back.
    pub(crate) fn make_unreachable(&mut self, id: &FrameworkId, task: &str, status: TaskStatus) {
        let most = self.config.unreachable_tasks;
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let Some(mut task) = framework.tasks.remove(task) else { return };
        task.holds = false;
        if task.is_terminal() {
            framework.completed.push_back(task.completed());
            return;
        }
        task.wire.state = TaskState::TaskUnreachable as i32;
        task.unacknowledged = None;
        task.record(status.clone());
        framework.unreachable.push_back(task);
        while framework.unreachable.len() > most {
            framework.unreachable.pop_front();
        }
        self.tell_status(id, status);
    }
}
