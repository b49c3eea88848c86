//! Agents register, come back with their tasks, disconnect, become unreachable, leave.

use std::collections::BTreeSet;

use allocator::{AgentId, FrameworkId};
use mesos::link::{AgentCall, AgentEvent, Believed, RunningTask, Subscribe, TaskUsage};
use mesos::resources;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{TaskState, TaskStatus, TimeInfo};
use types::{Resources, Role};

use crate::agent::{Agent, Link};
use crate::framework::Connection;
use crate::master::{Owner, Pending, Timer};
use crate::offers::sure;
use crate::status::{as_known, from_master, is_terminal};
use crate::task::Task;
use crate::{AgentRecord, AgentState, Answer, Change, Master, Now, StreamId};

/// An agent on its way into the pool.
#[derive(Debug)]
pub(crate) struct Admission {
    /// `None` when it hung up meanwhile.
    pub(crate) stream: Option<StreamId>,
    name: String,
    id: AgentId,
    call: Subscribe,
}

impl Master {
    pub(crate) fn agent_subscribe(
        &mut self,
        now: Now,
        stream: StreamId,
        name: String,
        mut call: Subscribe,
    ) {
        let brought = call.agent_id.clone().filter(|id| !id.value.is_empty());
        let id = match brought {
            Some(id) => AgentId::from(id.value.as_str()),
            None => self.next_agent_id(),
        };
        call.agent.id = Some(id.as_str().into());
        let known = self.absent.get(&id);
        if known.is_some_and(|record| matches!(record.state, AgentState::Gone { .. })) {
            let message = String::from("Agent has been marked gone");
            self.agent_event(stream, AgentEvent::Shutdown { message });
            return self.close(stream);
        }
        let record = AgentRecord {
            info: call.agent.clone(),
            state: AgentState::Admitted,
            deactivated: known.is_some_and(|record| record.deactivated),
        };
        let written = match self.agents.get(&id) {
            Some(agent) => agent.info == call.agent,
            None => known == Some(&record),
        };
        let admission = Admission { stream: Some(stream), name, id, call };
        if written {
            return self.admit(now, admission);
        }
        let deactivated = match self.agents.get(&admission.id) {
            Some(agent) => agent.deactivated,
            None => record.deactivated,
        };
        let change = Change::Agent(AgentRecord { deactivated, ..record });
        // An id is told only when no later master can give it to another agent.
        let write = self.write(change, Pending::Admission(Box::new(admission)));
        self.streams.insert(stream, Owner::Admission(write));
    }

    /// The registry knows the agent: it belongs to the pool now.
    pub(crate) fn admit(&mut self, now: Now, admission: Admission) {
        let Admission { stream, name, id, call } = admission;
        let Some(stream) = stream else {
            let deactivated = self.absent.get(&id).is_some_and(|record| record.deactivated);
            if !self.agents.contains_key(&id) {
                let record =
                    AgentRecord { info: call.agent, state: AgentState::Admitted, deactivated };
                self.absent.insert(id, record);
                self.arm(now.instant + self.config.agent_reregister, Timer::Absent);
            }
            return;
        };
        if let Some(old) = self.agents.get(&id).and_then(Agent::stream) {
            self.unlink(&id);
            self.close(old);
        }
        let ping_at = now.instant + self.config.agent_ping;
        let link = Link::Up { stream, name: name.clone(), ping_at, unanswered: 0 };
        self.arm(ping_at, Timer::Agent(id.clone()));
        self.streams.insert(stream, Owner::Agent(id.clone()));
        self.links.insert(name, id.clone());

        for info in &call.frameworks {
            self.recover_framework(now, info.clone());
        }
        let was_known = self.agents.contains_key(&id);
        if was_known {
            self.renew_agent(now, &id, link, &call);
        } else {
            self.add_agent(now, &id, link, &call);
        }
        let heartbeat_seconds = self.config.agent_ping.as_secs_f64();
        let agent_id = id.as_str().into();
        self.agent_event(stream, AgentEvent::Subscribed { agent_id, heartbeat_seconds });
        self.take_tasks(now, &id, call.tasks, was_known);
        let may = self.agents.get(&id).is_some_and(Agent::may_be_offered);
        sure(self.allocator.set_agent_active(&id, may));
    }

    fn add_agent(&mut self, now: Now, id: &AgentId, link: Link, call: &Subscribe) {
        if call.agent_id.is_none() {
            self.replace_at_same_address(now, call);
        }
        let absent = self.absent.remove(id);
        let total = total(call);
        sure(self.allocator.add_agent(id.clone(), total.clone(), &[]));
        let agent = Agent {
            id: id.clone(),
            info: call.agent.clone(),
            ip: ip(call),
            total,
            version: call.version.clone(),
            capabilities: call.capabilities.clone(),
            enforcement: call.enforcement.clone(),
            link,
            deactivated: absent.as_ref().is_some_and(|record| record.deactivated),
            registered: now.unix_nanos,
            reregistered: absent.map(|_| now.unix_nanos),
            tasks: BTreeSet::new(),
            offers: BTreeSet::new(),
            usage: std::collections::BTreeMap::new(),
        };
        self.agents.insert(id.clone(), agent);
    }

    fn renew_agent(&mut self, now: Now, id: &AgentId, link: Link, call: &Subscribe) {
        let total = total(call);
        if self.agents.get(id).is_some_and(|agent| agent.total != total) {
            self.rescind_offers_of_agent(now, id);
            sure(self.allocator.update_agent(id, total.clone()));
        }
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.info = call.agent.clone();
        agent.ip = ip(call);
        agent.total = total;
        agent.version.clone_from(&call.version);
        agent.capabilities.clone_from(&call.capabilities);
        agent.enforcement.clone_from(&call.enforcement);
        agent.reregistered = Some(now.unix_nanos);
        agent.link = link;
    }

    /// An agent without an id at an address where another one was: that one's checkpoints are lost.
    fn replace_at_same_address(&mut self, now: Now, call: &Subscribe) {
        let (host, port) = (&call.agent.hostname, call.agent.port());
        let same = |agent: &&Agent| agent.info.hostname == *host && agent.info.port() == port;
        let Some(old) = self.agents.values().find(same).map(|agent| agent.id.clone()) else {
            return;
        };
        self.write(Change::ForgetAgent(old.as_str().into()), Pending::Nothing);
        self.remove_agent(
            now,
            &old,
            TaskState::TaskLost,
            Reason::AgentRemoved,
            "a new agent registered at the same address",
        );
    }

    /// Brings the master's list of an agent's tasks and the agent's own together.
    fn take_tasks(&mut self, now: Now, id: &AgentId, tasks: Vec<RunningTask>, was_known: bool) {
        let mut there = BTreeSet::new();
        let mut ended = BTreeSet::new();
        for task in tasks {
            let framework: FrameworkId = task.framework_id.value.as_str().into();
            if !self.frameworks.contains_key(&framework) {
                ended.insert(framework);
                continue;
            }
            there.insert((framework.as_str().to_owned(), task.task.task_id.value.clone()));
            self.take_task(now, id, &framework, task, was_known);
        }
        for framework in ended {
            let framework_id = framework.as_str().into();
            self.tell_agent(id, AgentEvent::ShutdownFramework { framework_id });
        }
        let Some(agent) = self.agents.get(id) else { return };
        let missing: Vec<_> = agent.tasks.difference(&there).cloned().collect();
        let mut believed = Vec::new();
        for (framework, task) in missing {
            let key: FrameworkId = framework.as_str().into();
            let partition_aware = self.partition_aware(&key);
            match self.task_mut(&key, &task) {
                // The agent has nothing more to say about it.
                Some(known) if known.is_terminal() => self.complete(&key, &task),
                Some(_) => believed.push(Believed {
                    framework_id: framework.into(),
                    task_id: task.into(),
                    partition_aware,
                }),
                None => {}
            }
        }
        if !believed.is_empty() {
            self.tell_agent(id, AgentEvent::Reconcile { tasks: believed });
        }
    }

    /// One task of an agent that registers: known, known as unreachable, or new to this master.
    fn take_task(
        &mut self,
        now: Now,
        id: &AgentId,
        framework_id: &FrameworkId,
        told: RunningTask,
        agent_was_known: bool,
    ) {
        let task_id = told.task.task_id.value.clone();
        if let Some(known) = self.task_mut(framework_id, &task_id) {
            if known.agent != *id {
                return;
            }
            let killed = known.killed && !known.is_terminal();
            if !known.is_terminal() {
                known.wire.state = told.latest.state;
            }
            self.release_if_ended(now, framework_id, &task_id);
            if killed {
                self.kill_again(id, framework_id, &told);
            }
            return;
        }
        if told.unacknowledged.is_none() && is_terminal(told.latest.state()) {
            // Over and done with.
            return;
        }
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let returning = framework.unreachable.iter().position(|task| task.id() == task_id);
        let returning = returning.and_then(|at| framework.unreachable.remove(at));
        // Its framework was told TASK_LOST when the agent's connection broke.
        let lost = agent_was_known
            && framework.connection != Connection::Recovered
            && !framework.info.checkpoint();
        let resources = resources::read(&told.task.resources).unwrap_or_default();
        let role = resources.allocated_to.first().cloned().unwrap_or_else(Role::star);
        let mut task =
            Task::new(&told.task, &told.framework_id, id.clone(), role, resources.resources);
        task.wire.state = told.latest.state;
        task.wire.agent_id = id.as_str().into();
        task.holds = !task.is_terminal();
        task.killed = lost || returning.as_ref().is_some_and(|task| task.killed);
        if let Some(status) = told.unacknowledged.clone() {
            task.wire.status_update_state = Some(status.state);
            task.wire.status_update_uuid = status.uuid.clone();
        } else {
            task.wire.status_update_state = Some(told.latest.state);
        }
        task.record(TaskStatus { uuid: None, ..told.latest.clone() });
        if task.holds {
            let Task { role, resources, .. } = &task;
            sure(self.allocator.charge(framework_id, role, id, resources));
        }
        let killed = task.killed && task.holds;
        framework.tasks.insert(task_id.clone(), task);
        if let Some(agent) = self.agents.get_mut(id) {
            agent.tasks.insert((framework_id.as_str().into(), task_id));
        }
        if returning.is_some() {
            let status = TaskStatus {
                task_id: told.task.task_id.clone(),
                state: told.latest.state,
                message: Some("Unreachable agent re-reregistered".into()),
                source: Some(Source::Master as i32),
                reason: Some(Reason::AgentReregistered as i32),
                agent_id: Some(id.as_str().into()),
                timestamp: Some(now.unix_seconds()),
                container_status: told.latest.container_status.clone(),
                healthy: told.latest.healthy,
                ..TaskStatus::default()
            };
            self.tell_status(framework_id, status);
        }
        if killed {
            self.kill_again(id, framework_id, &told);
        }
    }

    fn kill_again(&mut self, id: &AgentId, framework: &FrameworkId, told: &RunningTask) {
        let (framework_id, task_id) = (framework.as_str().into(), told.task.task_id.clone());
        self.tell_agent(id, AgentEvent::Kill { framework_id, task_id, kill_policy: None });
    }

    pub(crate) fn agent_call(
        &mut self,
        now: Now,
        stream_name: Option<&str>,
        call: AgentCall,
    ) -> Answer {
        let Some(id) = stream_name.and_then(|name| self.links.get(name)).cloned() else {
            return Answer::refused(
                400,
                "The header 'Mesos-Stream-Id' names no open link: subscribe again",
            );
        };
        if let Some(Agent { link: Link::Up { unanswered, .. }, .. }) = self.agents.get_mut(&id) {
            // Any word is a sign of life.
            *unanswered = 0;
        }
        match call {
            AgentCall::Subscribe(_) => {
                return Answer::refused(400, "Subscribe without the header 'Mesos-Stream-Id'");
            }
            AgentCall::Update(update) => return self.update(now, &id, *update),
            AgentCall::Pong => {}
            AgentCall::Usage { tasks } => self.keep_usage(&id, tasks),
            AgentCall::Leave => {
                self.write(Change::ForgetAgent(id.as_str().into()), Pending::Nothing);
                let message = "the agent left the pool";
                self.remove_agent(now, &id, TaskState::TaskLost, Reason::AgentRemoved, message);
            }
        }
        Answer::Accepted
    }

    fn keep_usage(&mut self, id: &AgentId, usage: Vec<TaskUsage>) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.usage.clear();
        for task in usage {
            let key = (task.framework_id.value.clone(), task.task_id.value.clone());
            // Only of tasks that are known, so that an agent cannot fill the master's memory.
            if agent.tasks.contains(&key) {
                agent.usage.insert(key, task);
            }
        }
    }

    pub(crate) fn agent_disconnected(&mut self, now: Now, id: &AgentId) {
        self.unlink(id);
        let unreachable_at = now.instant + self.config.agent_reregister;
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.link = Link::Down { unreachable_at };
        let tasks = agent.tasks.clone();
        self.arm(unreachable_at, Timer::Agent(id.clone()));
        sure(self.allocator.set_agent_active(id, false));
        self.rescind_offers_of_agent(now, id);
        for (framework, task) in tasks {
            let framework: FrameworkId = framework.as_str().into();
            let Some(known) = self.frameworks.get(&framework) else { continue };
            if known.info.checkpoint() {
                continue;
            }
            let (lost, reason) = (TaskState::TaskLost, Reason::AgentDisconnected);
            let agent = id.as_str().into();
            let message = "Agent disconnected";
            let status =
                from_master(now, &task.as_str().into(), Some(&agent), lost, reason, message);
            self.end_task(now, &framework, &task, status);
        }
    }

    /// The agent answers no more. Its tasks may still run, and come back with it.
    pub(crate) fn agent_unreachable(&mut self, now: Now, id: &AgentId, message: &str) {
        self.rescind_offers_of_agent(now, id);
        let Some(agent) = self.take_agent(id) else { return };
        self.counters.agents_unreachable += 1;
        let since = now.unix_nanos;
        let record = AgentRecord { state: AgentState::Unreachable { since }, ..agent.record() };
        self.absent.insert(id.clone(), record.clone());
        self.write(Change::Agent(record), Pending::Nothing);
        for (framework, task) in agent.tasks {
            let framework: FrameworkId = framework.as_str().into();
            let aware = self.partition_aware(&framework);
            let state = as_known(TaskState::TaskUnreachable, aware);
            let (task_id, agent_id) = (task.as_str().into(), id.as_str().into());
            let reason = Reason::AgentRemoved;
            let status = TaskStatus {
                unreachable_time: Some(TimeInfo { nanoseconds: since }),
                ..from_master(now, &task_id, Some(&agent_id), state, reason, message)
            };
            self.make_unreachable(&framework, &task, status);
        }
        self.tell_failure(id);
    }

    /// Removes an agent that will not come back; all its tasks have ended.
    pub(crate) fn remove_agent(
        &mut self,
        now: Now,
        id: &AgentId,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        let Some(agent) = self.agents.get(id) else { return };
        for (framework, task) in agent.tasks.clone() {
            let framework: FrameworkId = framework.as_str().into();
            let state = as_known(state, self.partition_aware(&framework));
            debug_assert!(is_terminal(state), "a task of a removed agent has ended");
            let (task_id, agent_id) = (task.as_str().into(), id.as_str().into());
            let status = from_master(now, &task_id, Some(&agent_id), state, reason, message);
            self.end_task(now, &framework, &task, status);
        }
        self.rescind_offers_of_agent(now, id);
        self.take_agent(id);
        self.tell_failure(id);
    }

    /// Takes an agent out of all books but the registry and its tasks' frameworks.
    fn take_agent(&mut self, id: &AgentId) -> Option<Agent> {
        self.unlink(id);
        let agent = self.agents.remove(id)?;
        self.allocator.remove_agent(id);
        if let Some(stream) = agent.stream() {
            self.close(stream);
        }
        Some(agent)
    }

    fn unlink(&mut self, id: &AgentId) {
        if let Some(Agent { link: Link::Up { name, .. }, .. }) = self.agents.get(id) {
            self.links.remove(name);
        }
    }

    /// Agents of the registry that did not come back to this master in time.
    pub(crate) fn absent_timer(&mut self, now: Now) {
        let admitted = self.absent.values_mut().filter(|r| r.state == AgentState::Admitted);
        let mut missing = Vec::new();
        for record in admitted {
            record.state = AgentState::Unreachable { since: now.unix_nanos };
            missing.push(record.clone());
        }
        for record in missing {
            let id = record.id().into();
            self.counters.agents_unreachable += 1;
            self.write(Change::Agent(record), Pending::Nothing);
            self.tell_failure(&id);
        }
    }

    fn next_agent_id(&mut self) -> AgentId {
        let id = format!("{}-S{}", self.id(), self.counters.agent);
        self.counters.agent += 1;
        id.as_str().into()
    }
}

/// The address an agent says it listens at; text that is no address is not passed on.
fn ip(call: &Subscribe) -> Option<String> {
    call.ip.as_ref()?.parse::<std::net::IpAddr>().ok().map(|ip| ip.to_string())
}

/// What an agent has. The call was checked when it came in.
fn total(call: &Subscribe) -> Resources {
    resources::read(&call.agent.resources).map(|read| read.resources).unwrap_or_default()
}
