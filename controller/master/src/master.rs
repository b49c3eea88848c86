//! The machine itself: its state, the one step, and its clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use allocator::{AgentId, Allocator, FrameworkId, Options, Quota, Weight};
use mesos::link::AgentEvent;
use mesos::v1::quota::QuotaConfig;
use mesos::v1::{WeightInfo, scheduler};
use types::{Instant, Role};

use crate::agent::{Agent, Link};
use crate::agents::Admission;
use crate::framework::{Connection, Framework};
use crate::offers::Offer;
use crate::operator::Decision;
use crate::view::Completed;
use crate::{
    AgentRecord, AgentState, Answer, Change, Config, Input, Now, Output, Registry, ReplyId,
    StreamId, WriteId,
};

/// The leading master of a pool.
#[derive(Debug)]
pub struct Master {
    pub(crate) config: Config,
    pub(crate) frameworks: BTreeMap<FrameworkId, Framework>,
    /// Frameworks that ended, oldest first.
    pub(crate) completed: VecDeque<Completed>,
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    /// Agents of the registry that have not registered with this master: recovered, unreachable, gone.
    pub(crate) absent: BTreeMap<AgentId, AgentRecord>,
    pub(crate) offers: BTreeMap<String, Offer>,
    pub(crate) allocator: Allocator,
    pub(crate) weights: Vec<WeightInfo>,
    pub(crate) quotas: Vec<QuotaConfig>,
    /// Whose stream it is.
    pub(crate) streams: BTreeMap<StreamId, Owner>,
    /// Agents by the names of their links.
    pub(crate) links: BTreeMap<String, AgentId>,
    pub(crate) writes: BTreeMap<WriteId, Pending>,
    pub(crate) counters: Counters,
    pub(crate) elected: Now,
    timers: BTreeSet<(Instant, Timer)>,
    outbox: Vec<Output>,
}

/// Next numbers of ids, and figures for operators.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) framework: u64,
    pub(crate) agent: u64,
    pub(crate) offer: u64,
    pub(crate) write: u64,
    pub(crate) rounds: u64,
    /// Ended tasks by the number of their state.
    pub(crate) ended: BTreeMap<i32, u64>,
    pub(crate) launched: u64,
    pub(crate) updates: u64,
    pub(crate) agents_unreachable: u64,
    pub(crate) calls: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Owner {
    Framework(FrameworkId),
    Agent(AgentId),
    /// An agent whose registration is being written.
    Admission(WriteId),
}

/// What follows when a write is safe.
#[derive(Debug)]
pub(crate) enum Pending {
    Admission(Box<Admission>),
    Decision {
        reply: ReplyId,
        decision: Decision,
    },
    /// It was for the next master only.
    Nothing,
}

/// Something that has its time. What is due is looked up again when it fires: a timer that lost its
/// meaning does nothing.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    Framework(FrameworkId),
    Agent(AgentId),
    Offer(String),
    /// Agents that never came back after a change of masters.
    Absent,
}

impl Master {
    /// A master that has just been elected, with what the last one left.
    pub fn new(config: Config, registry: Registry, now: Now) -> Self {
        let mut master = Self {
            config,
            frameworks: BTreeMap::new(),
            completed: VecDeque::new(),
            agents: BTreeMap::new(),
            absent: BTreeMap::new(),
            offers: BTreeMap::new(),
            allocator: Allocator::new(Options::default()),
            weights: Vec::new(),
            quotas: Vec::new(),
            streams: BTreeMap::new(),
            links: BTreeMap::new(),
            writes: BTreeMap::new(),
            counters: Counters::default(),
            elected: now,
            timers: BTreeSet::new(),
            outbox: Vec::new(),
        };
        for record in registry.agents {
            master.absent.insert(record.id().into(), record);
        }
        master.set_weights(registry.weights);
        master.set_quotas(registry.quotas);
        if master.absent.values().any(|record| record.state == AgentState::Admitted) {
            master.arm(now.instant + master.config.agent_reregister, Timer::Absent);
        }
        master
    }

    /// Takes one input and returns all that follows from it.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        match input {
            Input::Subscribe { stream, name, call } => self.subscribe(now, stream, name, *call),
            Input::Call { reply, stream_name, call } => {
                self.counters.calls += 1;
                let answer = self.call(now, stream_name.as_deref(), *call);
                self.answer(reply, answer);
            }
            Input::AgentSubscribe { stream, name, call } => {
                self.agent_subscribe(now, stream, name, *call);
            }
            Input::AgentCall { reply, stream_name, call } => {
                let answer = self.agent_call(now, stream_name.as_deref(), *call);
                self.answer(reply, answer);
            }
            Input::Operator { reply, call } => self.operator(now, reply, *call),
            Input::Closed(stream) => self.on_closed(now, stream),
            Input::Written(write) => self.on_written(now, write),
            Input::Settle => {
                self.fire(now);
                self.make_offers(now);
            }
        }
        std::mem::take(&mut self.outbox)
    }

    /// When [`Input::Settle`] has something to do at the latest; `None`: only after another input.
    pub fn next_wake(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.allocator.next_wake()].into_iter().flatten().min()
    }

    /// The id that is the prefix of all ids given by this master.
    pub fn id(&self) -> &str {
        &self.config.info.id
    }

    pub(crate) fn event(&mut self, stream: StreamId, event: scheduler::Event) {
        self.outbox.push(Output::Event { stream, event: Box::new(event) });
    }

    pub(crate) fn tell_agent(&mut self, agent: &AgentId, event: AgentEvent) {
        if let Some(stream) = self.agents.get(agent).and_then(Agent::stream) {
            self.agent_event(stream, event);
        }
    }

    pub(crate) fn agent_event(&mut self, stream: StreamId, event: AgentEvent) {
        self.outbox.push(Output::AgentEvent { stream, event: Box::new(event) });
    }

    pub(crate) fn close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.outbox.push(Output::Close(stream));
    }

    pub(crate) fn answer(&mut self, reply: ReplyId, answer: Answer) {
        self.outbox.push(Output::Answer { reply, answer });
    }

    pub(crate) fn write(&mut self, change: Change, then: Pending) -> WriteId {
        let write = WriteId(self.counters.write);
        self.counters.write += 1;
        self.writes.insert(write, then);
        self.outbox.push(Output::Write { write, change: Box::new(change) });
        write
    }

    pub(crate) fn arm(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub(crate) fn set_weights(&mut self, weights: Vec<WeightInfo>) {
        let gone: Vec<_> = self.weights.iter().filter_map(|w| Role::parse(w.role()).ok()).collect();
        for role in gone {
            self.allocator.set_weight(&role, Weight::ONE);
        }
        for info in &weights {
            if let (Ok(role), Ok(weight)) = (Role::parse(info.role()), Weight::new(info.weight)) {
                self.allocator.set_weight(&role, weight);
            }
        }
        self.weights = weights;
    }

    pub(crate) fn set_quotas(&mut self, quotas: Vec<QuotaConfig>) {
        for config in self.quotas.iter().filter(|old| quotas.iter().all(|q| q.role != old.role)) {
            if let Ok(role) = Role::parse(&config.role) {
                // Taking a quota away cannot be refused.
                let _always = self.allocator.set_quota(&role, Quota::default());
            }
        }
        for config in &quotas {
            if let (Ok(role), Ok(quota)) =
                (Role::parse(&config.role), crate::validate::quota(config))
            {
                // What is kept was checked before it was written.
                let _checked = self.allocator.set_quota(&role, quota);
            }
        }
        self.quotas = quotas;
    }

    fn on_closed(&mut self, now: Now, stream: StreamId) {
        match self.streams.remove(&stream) {
            Some(Owner::Framework(id)) => self.framework_disconnected(now, &id),
            Some(Owner::Agent(id)) => self.agent_disconnected(now, &id),
            Some(Owner::Admission(write)) => {
                if let Some(Pending::Admission(admission)) = self.writes.get_mut(&write) {
                    admission.stream = None;
                }
            }
            None => {}
        }
    }

    fn on_written(&mut self, now: Now, write: WriteId) {
        match self.writes.remove(&write) {
            Some(Pending::Admission(admission)) => self.admit(now, *admission),
            Some(Pending::Decision { reply, decision }) => self.decide(now, reply, decision),
            Some(Pending::Nothing) | None => {}
        }
    }

    fn fire(&mut self, now: Now) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now.instant
            && let Some((_, timer)) = self.timers.pop_first()
        {
            match timer {
                Timer::Framework(id) => self.framework_timer(now, &id),
                Timer::Agent(id) => self.agent_timer(now, &id),
                Timer::Offer(id) => self.offer_timer(now, &id),
                Timer::Absent => self.absent_timer(now),
            }
        }
    }

    fn framework_timer(&mut self, now: Now, id: &FrameworkId) {
        let period = self.config.heartbeat;
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        match &mut framework.connection {
            Connection::Subscribed { stream, heartbeat_at, .. } if *heartbeat_at <= now.instant => {
                *heartbeat_at = now.instant + period;
                let (stream, at) = (*stream, *heartbeat_at);
                self.arm(at, Timer::Framework(id.clone()));
                self.heartbeat(stream);
            }
            Connection::Disconnected { remove_at } if *remove_at <= now.instant => {
                self.remove_framework(now, id);
            }
            _ => {}
        }
    }

    fn agent_timer(&mut self, now: Now, id: &AgentId) {
        let (period, most) = (self.config.agent_ping, self.config.agent_pings_missed);
        let Some(agent) = self.agents.get_mut(id) else { return };
        match &mut agent.link {
            Link::Up { ping_at, unanswered, .. } if *ping_at <= now.instant => {
                if *unanswered >= most {
                    self.agent_unreachable(now, id, "health check timed out");
                    return;
                }
                *unanswered += 1;
                *ping_at = now.instant + period;
                let at = *ping_at;
                self.arm(at, Timer::Agent(id.clone()));
                self.tell_agent(id, AgentEvent::Heartbeat);
            }
            Link::Down { unreachable_at } if *unreachable_at <= now.instant => {
                self.agent_unreachable(now, id, "agent did not re-register within the timeout");
            }
            _ => {}
        }
    }
}
