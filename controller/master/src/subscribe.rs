//! Frameworks come, fail over, disconnect and end.

use std::time::Duration;

use allocator::FrameworkId;
use mesos::link::AgentEvent;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::scheduler::Event;
use mesos::v1::scheduler::call::Subscribe;
use mesos::v1::scheduler::event::{Error, Subscribed, Type as EventType};
use mesos::v1::task_status::Reason;
use mesos::v1::{FrameworkInfo, TaskState};

use crate::framework::{Connection, Framework};
use crate::master::{Owner, Timer};
use crate::offers::sure;
use crate::status::from_master;
use crate::view::Completed;
use crate::{Master, Now, StreamId, validate};

impl Master {
    pub(crate) fn subscribe(&mut self, now: Now, stream: StreamId, name: String, call: Subscribe) {
        let info = call.framework_info;
        if let Err(why) = validate::framework(&info, &call.suppressed_roles) {
            return self.refuse(stream, why);
        }
        let id = match info.id.as_ref().filter(|id| !id.value.is_empty()) {
            Some(id) => FrameworkId::from(id.value.as_str()),
            None => self.next_framework_id(),
        };
        if self.is_completed(&id) {
            return self.refuse(stream, "Framework has been removed".into());
        }
        if let Some(known) = self.frameworks.get(&id) {
            if known.info.principal() != info.principal() {
                let why = "Changing framework's principal is not allowed.";
                return self.refuse(stream, why.into());
            }
            self.fail_over(now, &id, info);
        } else {
            let framework = Framework::new(id.clone(), info, now.unix_nanos);
            sure(self.allocator.add_framework(id.clone(), &framework.spec()));
            self.frameworks.insert(id.clone(), framework);
        }
        let heartbeat_at = now.instant + self.config.heartbeat;
        let framework = self.frameworks.get_mut(&id).expect("it was there or was put there");
        framework.suppressed =
            call.suppressed_roles.iter().filter_map(|role| types::Role::parse(role).ok()).collect();
        framework.connection = Connection::Subscribed { stream, name, heartbeat_at };
        framework.reregistered = now.unix_nanos;
        sure(self.allocator.update_framework(&id, &framework.spec()));
        self.streams.insert(stream, Owner::Framework(id.clone()));
        self.arm(heartbeat_at, Timer::Framework(id.clone()));
        self.welcome(stream, &id);
    }

    /// The first events of a subscription.
    fn welcome(&mut self, stream: StreamId, id: &FrameworkId) {
        let subscribed = Subscribed {
            framework_id: id.as_str().into(),
            heartbeat_interval_seconds: Some(self.config.heartbeat.as_secs_f64()),
            master_info: Some(self.config.info.clone()),
        };
        let event = Event {
            r#type: Some(EventType::Subscribed as i32),
            subscribed: Some(subscribed),
            ..Event::default()
        };
        self.event(stream, event);
        self.heartbeat(stream);
        // The agents tell them again too, but not before their next retry.
        let framework = self.frameworks.get(id).expect("it has just subscribed");
        let updates: Vec<_> =
            framework.tasks.values().filter_map(|task| task.unacknowledged.clone()).collect();
        for status in updates {
            self.tell_status(id, status);
        }
    }

    pub(crate) fn heartbeat(&mut self, stream: StreamId) {
        let event = Event { r#type: Some(EventType::Heartbeat as i32), ..Event::default() };
        self.event(stream, event);
    }

    /// An error as the only event of a subscription.
    fn refuse(&mut self, stream: StreamId, message: String) {
        self.error(stream, message);
        self.close(stream);
    }

    fn error(&mut self, stream: StreamId, message: String) {
        let event = Event {
            r#type: Some(EventType::Error as i32),
            error: Some(Error { message }),
            ..Event::default()
        };
        self.event(stream, event);
    }

    /// Another instance of a known framework subscribes, or the same one again.
    fn fail_over(&mut self, now: Now, id: &FrameworkId, info: FrameworkInfo) {
        let Some(framework) = self.frameworks.get(id) else { return };
        if let Some(old) = framework.stream() {
            self.error(old, "Framework failed over".into());
            self.close(old);
        }
        // The new instance never knew them, so they are not rescinded.
        self.drop_offers(now, id);
        sure(self.allocator.set_framework_active(id, false));
        self.redescribe(id, info);
    }

    /// A framework's new description, for itself and for the agents of its tasks. What may not change
    /// stays as it was.
    pub(crate) fn redescribe(&mut self, id: &FrameworkId, mut info: FrameworkInfo) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        if framework.connection != Connection::Recovered {
            info.user.clone_from(&framework.info.user);
            info.checkpoint = framework.info.checkpoint;
        }
        let before = framework.info.clone();
        framework.describe(info);
        if framework.info == before {
            return;
        }
        let info = framework.info.clone();
        for agent in self.agents_of(id) {
            let framework = Box::new(info.clone());
            self.tell_agent(&agent, AgentEvent::UpdateFramework { framework });
        }
    }

    pub(crate) fn framework_disconnected(&mut self, now: Now, id: &FrameworkId) {
        self.drop_offers(now, id);
        sure(self.allocator.set_framework_active(id, false));
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let timeout = validate::failover_timeout(&framework.info).unwrap_or(Duration::ZERO);
        if timeout.is_zero() {
            return self.remove_framework(now, id);
        }
        let remove_at = now.instant + timeout;
        framework.connection = Connection::Disconnected { remove_at };
        self.arm(remove_at, Timer::Framework(id.clone()));
    }

    /// Ends a framework: its tasks are killed, and it may not come back.
    pub(crate) fn remove_framework(&mut self, now: Now, id: &FrameworkId) {
        let message = format!("Framework {id} removed");
        self.drop_offers(now, id);
        for agent in self.agents_of(id) {
            let framework_id = id.as_str().into();
            self.tell_agent(&agent, AgentEvent::ShutdownFramework { framework_id });
        }
        let tasks: Vec<String> = match self.frameworks.get(id) {
            Some(framework) => framework.tasks.keys().cloned().collect(),
            None => return,
        };
        for task in tasks {
            if let Some(task) = self.task_mut(id, &task)
                && !task.is_terminal()
            {
                let (task_id, agent_id) = (&task.wire.task_id, &task.wire.agent_id);
                let killed = TaskState::TaskKilled;
                let reason = Reason::FrameworkRemoved;
                let status = from_master(now, task_id, Some(agent_id), killed, reason, &message);
                task.wire.state = killed as i32;
                task.record(status);
            }
            // All that it holds comes free with the framework.
            self.complete(id, &task);
        }
        self.allocator.remove_framework(id);
        let Some(mut framework) = self.frameworks.remove(id) else { return };
        if let Some(stream) = framework.stream() {
            self.close(stream);
        }
        let excess = framework.completed.len().saturating_sub(20);
        framework.completed.drain(..excess);
        framework.unreachable.clear();
        self.completed.push_back(Completed { framework, unregistered: now.unix_nanos });
        while self.completed.len() > self.config.completed_frameworks {
            self.completed.pop_front();
        }
    }

    /// A framework that an agent tells of and this master does not know yet.
    pub(crate) fn recover_framework(&mut self, now: Now, info: FrameworkInfo) {
        let Some(id) = info.id.as_ref().map(|id| FrameworkId::from(id.value.as_str())) else {
            return;
        };
        if self.frameworks.contains_key(&id) || self.is_completed(&id) {
            return;
        }
        let framework = Framework::new(id.clone(), info, now.unix_nanos);
        sure(self.allocator.add_framework(id.clone(), &framework.spec()));
        self.frameworks.insert(id, framework);
    }

    pub(crate) fn is_completed(&self, id: &FrameworkId) -> bool {
        self.completed.iter().any(|completed| completed.framework.id == *id)
    }

    /// Whether a framework has heard of states such as TASK_GONE.
    pub(crate) fn partition_aware(&self, id: &FrameworkId) -> bool {
        self.frameworks.get(id).is_some_and(|known| known.can(Capability::PartitionAware))
    }

    fn next_framework_id(&mut self) -> FrameworkId {
        loop {
            let number = self.counters.framework;
            self.counters.framework += 1;
            let id = FrameworkId::from(format!("{}-{number:04}", self.id()).as_str());
            // A framework may have brought an id of this form by itself.
            if !self.frameworks.contains_key(&id) && !self.is_completed(&id) {
                return id;
            }
        }
    }
}
