//! A service as a state machine.
//!
//! Lives here: what each input does to the tasks, and the account of them. What should live, and where,
//! is decided in `plan` and `launch`. Start at [`Service::step`].

mod launch;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use types::Instant;

use crate::io::{Input, Output, Reconciled, TaskState, Update};
use crate::{Failure, InstanceStatus, Phase, ServiceSpec, ServiceStatus, TaskId, TaskRecord};

/// One service, led by this process.
#[derive(Clone, Debug)]
pub struct Service {
    spec: ServiceSpec,
    revision: String,
    /// Why the declaration cannot be carried out. Nothing is launched, replaced or ended meanwhile.
    refused: Option<String>,
    /// Every task that is not known to have ended.
    tasks: BTreeMap<TaskId, Live>,
    /// Makes the next task id.
    next_run: u64,
    connected: bool,
    /// What was asked for last; see [`Demand`].
    demand: Demand,
    retries: BTreeMap<u32, Retry>,
    reconcile: Option<Reconcile>,
    stopping: bool,
    failed: u64,
    last_failure: Option<Failure>,
    misfits: Option<String>,
    told: Option<ServiceStatus>,
    out: Vec<Output>,
}

/// A task with what is not worth storing.
#[derive(Clone, Debug)]
struct Live {
    record: TaskRecord,
    running_since: Option<Instant>,
    unreachable_since: Option<Instant>,
    /// The master spoke of it since we subscribed or launched it.
    confirmed: bool,
    /// When its end was last asked for on this connection.
    kill_sent: Option<Instant>,
}

/// What the master was last told about our wish for offers.
#[derive(Clone, Debug, PartialEq)]
enum Demand {
    /// Nothing yet on this connection: the master offers.
    Untold,
    /// No offers.
    Suppressed,
    /// Offers for these instances of this revision.
    Wanted(String, Vec<u32>),
}

/// Failures of one instance in a row.
#[derive(Clone, Copy, Debug)]
struct Retry {
    failures: u32,
    delay: Duration,
    at: Instant,
}

/// Asking again about tasks the master has not spoken of.
#[derive(Clone, Copy, Debug)]
struct Reconcile {
    at: Instant,
    delay: Duration,
}

impl Service {
    /// Takes over from an earlier leader: `stored` are the records it left. `first_run` must be above
    /// that of any earlier leader (seconds since 1970, shifted left by 20, will do).
    pub fn new(spec: ServiceSpec, stored: Vec<TaskRecord>, first_run: u64) -> Self {
        let live = |record: TaskRecord| {
            let live = Live {
                running_since: None,
                unreachable_since: None,
                confirmed: false,
                kill_sent: None,
                record,
            };
            (live.record.id.clone(), live)
        };
        Self {
            revision: spec.revision(),
            refused: spec.check().err().map(|why| why.to_string()),
            spec,
            tasks: stored.into_iter().map(live).collect(),
            next_run: first_run,
            connected: false,
            demand: Demand::Untold,
            retries: BTreeMap::new(),
            reconcile: None,
            stopping: false,
            failed: 0,
            last_failure: None,
            misfits: None,
            told: None,
            out: Vec::new(),
        }
    }

    /// Takes one input and returns all that follows from it, in the order it must be done.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Output> {
        match input {
            Input::Spec(spec) => self.on_spec(*spec),
            Input::Subscribed => self.on_subscribed(now),
            Input::Disconnected => self.connected = false,
            Input::Offers(offers) => self.on_offers(now, &offers),
            Input::Update(update) => self.on_update(now, &update),
            Input::Tick => {}
            Input::Stop => self.stopping = true,
        }
        self.drive_tasks(now);
        self.maybe_reconcile(now);
        self.tell_demand(now);
        self.tell_status(now);
        self.out.extend(self.next_wake(now).map(Output::WakeAt));
        std::mem::take(&mut self.out)
    }

    /// The account as of the last step.
    pub fn status(&self) -> Option<&ServiceStatus> {
        self.told.as_ref()
    }

    /// The record of a task that has not ended.
    pub fn task(&self, id: &TaskId) -> Option<&TaskRecord> {
        self.tasks.get(id).map(|live| &live.record)
    }

    fn on_spec(&mut self, spec: ServiceSpec) {
        if let Err(why) = spec.check() {
            self.refused = Some(why.to_string());
            return;
        }
        self.refused = None;
        let revision = spec.revision();
        if revision != self.revision {
            // What failed was something else: the new one gets its first try at once.
            self.retries.clear();
        }
        self.misfits = None;
        self.revision = revision;
        self.spec = spec;
    }

    fn on_subscribed(&mut self, now: Instant) {
        self.connected = true;
        self.demand = Demand::Untold;
        for live in self.tasks.values_mut() {
            live.confirmed = false;
            live.kill_sent = None;
        }
        self.ask_about_unconfirmed();
        // All that the master knows, so that tasks without a record come to light.
        self.out.push(Output::Reconcile(Vec::new()));
        self.reconcile = Some(Reconcile { at: now + FIRST_RECONCILE, delay: FIRST_RECONCILE });
    }

    fn on_update(&mut self, now: Instant, update: &Update) {
        if self.tasks.contains_key(&update.task) {
            self.on_known(now, update);
        } else if matches!(update.state, TaskState::Starting | TaskState::Running) {
            // Not ours to keep: its record was never written, or its end was taken note of before.
            let (task, agent) = (update.task.clone(), update.agent.clone());
            self.out.push(Output::Kill { task, agent, grace: self.spec.task.grace });
        }
        if let (Some(uuid), Some(agent)) = (&update.uuid, &update.agent) {
            let (task, agent, uuid) = (update.task.clone(), agent.clone(), uuid.clone());
            self.out.push(Output::Acknowledge { task, agent, uuid });
        }
    }

    fn on_known(&mut self, now: Instant, update: &Update) {
        let Some(live) = self.tasks.get_mut(&update.task) else { return };
        live.confirmed = true;
        let before = live.record.clone();
        match update.state {
            TaskState::Starting => {
                live.record.phase = Phase::Staging;
                live.unreachable_since = None;
            }
            TaskState::Running | TaskState::Killing => {
                live.record.phase = Phase::Running;
                live.record.healthy = update.healthy;
                live.unreachable_since = None;
                live.running_since.get_or_insert(now);
            }
            TaskState::Unreachable => {
                live.record.phase = Phase::Unreachable;
                live.unreachable_since.get_or_insert(now);
            }
            TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Gone => return self.on_ended(now, update),
        }
        if live.record != before {
            self.out.push(Output::Store(live.record.clone()));
        }
    }

    fn on_ended(&mut self, now: Instant, update: &Update) {
        let Some(live) = self.tasks.remove(&update.task) else { return };
        self.out.push(Output::Forget(update.task.clone()));
        // An offer that was withdrawn under our hands, or a launch that never reached the master, says
        // nothing about the task.
        let never_began = live.running_since.is_none()
            && live.record.phase == Phase::Staging
            && (update.reason.as_deref() == Some("REASON_INVALID_OFFERS")
                || (update.state == TaskState::Gone && update.uuid.is_none()));
        if live.record.killing || never_began {
            return;
        }
        self.failed += 1;
        let index = live.record.index;
        self.last_failure = Some(Failure::of(index, &self.spec.task, update));
        let good_run = live
            .running_since
            .is_some_and(|since| now.saturating_since(since) >= self.spec.backoff.max);
        let failures = match self.retries.get(&index) {
            Some(retry) if !good_run => retry.failures.saturating_add(1),
            _ => 1,
        };
        let doubled = 1u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let delay = self.spec.backoff.initial.saturating_mul(doubled).min(self.spec.backoff.max);
        self.retries.insert(index, Retry { failures, delay, at: now + delay });
    }

    fn maybe_reconcile(&mut self, now: Instant) {
        let Some(due) = self.reconcile.filter(|_| self.connected) else { return };
        if self.tasks.values().all(|live| live.confirmed) {
            self.reconcile = None;
        } else if due.at <= now {
            self.ask_about_unconfirmed();
            let delay = (due.delay * 2).min(LAST_RECONCILE);
            self.reconcile = Some(Reconcile { at: now + delay, delay });
        }
    }

    fn ask_about_unconfirmed(&mut self) {
        let unconfirmed = self.tasks.values().filter(|live| !live.confirmed);
        let asked: Vec<Reconciled> = unconfirmed
            .map(|live| Reconciled {
                task: live.record.id.clone(),
                agent: live.record.agent.clone(),
            })
            .collect();
        if !asked.is_empty() {
            self.out.push(Output::Reconcile(asked));
        }
    }

    fn tell_status(&mut self, now: Instant) {
        let status = self.account(now);
        if self.told.as_ref() != Some(&status) {
            self.told = Some(status.clone());
            self.out.push(Output::Status(Box::new(status)));
        }
    }

    fn account(&self, now: Instant) -> ServiceStatus {
        let mut status = ServiceStatus {
            desired: self.wanted(),
            failed: self.failed,
            last_failure: self.last_failure.clone(),
            refused: self.refused.clone(),
            waiting: self.waiting(now),
            ..ServiceStatus::default()
        };
        for live in self.tasks.values() {
            let record = &live.record;
            match record.phase {
                Phase::Staging => status.staging += 1,
                Phase::Unreachable => status.unreachable += 1,
                Phase::Running => {
                    status.running += 1;
                    let well = record.healthy != Some(false) && !record.killing;
                    status.healthy += u32::from(well);
                    status.updated += u32::from(well && record.revision == self.revision);
                }
            }
            let instance = InstanceStatus {
                index: record.index,
                phase: record.phase,
                killing: record.killing,
                agent: record.agent.clone(),
                hostname: record.hostname.clone(),
                ports: record.ports.clone(),
            };
            status.tasks.insert(record.id.clone(), instance);
        }
        status
    }
}

/// When to ask again about tasks the master has not spoken of; doubled each time.
const FIRST_RECONCILE: Duration = Duration::from_secs(5);
const LAST_RECONCILE: Duration = Duration::from_secs(60);
