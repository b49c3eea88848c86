//! The queue of events, and what each does.
//!
//! Lives here: time, and which event comes next. `founding` is a world before the first one, `stepping` and `protocol` the way
//! from a protocol's outputs to disks, connections and other hosts, `recovery` what must hold in the end.

mod changing;
mod clients;
mod event;
mod founding;
mod mending;
mod misfortune;
mod protocol;
mod recovery;
mod starting;
mod stepping;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jute::Members;
use types::{Instant, PeerId, Zxid};
use zab::{Input, Txn};

use crate::agenda::Agenda;
use crate::checkers::{Checkers, Violation};
use crate::client::Client;
use crate::clock::Time;
use crate::faults::Schedule;
use crate::history::History;
use crate::host::Host;
use crate::links::Links;
use crate::network::Network;
use crate::shape::Shape;
use event::Event;
use recovery::{QUIET, RECOVERY, end_of_writes};

/// What a run that kept every promise did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Events of the queue.
    pub steps: u64,
    /// Transactions committed.
    pub committed: usize,
    /// Epochs that were led.
    pub epochs: usize,
    /// Those of them that ended for having no counter left.
    pub full: usize,
    /// Starts that found damaged files.
    pub damaged: u64,
    /// Members whose files became whole again, or a leader's that count.
    pub mended: u64,
    /// Versions of the members that came into force.
    pub changes: usize,
    /// Observers that got in step through a follower.
    pub fed: u64,
    /// Times that such an observer gave a client its session.
    pub fed_sessions: u64,
    /// Simulated time.
    pub simulated: Duration,
}

struct World {
    now: Instant,
    agenda: Agenda<Event>,
    rng: fastrand::Rng,
    /// Where the ids of sessions begin.
    chance: fastrand::Rng,
    hosts: Vec<Host>,
    /// How many of them vote, from the first on.
    voters: usize,
    network: Network,
    checkers: Checkers,
    history: History,
    /// All that leaders proposed: one of an epoch, so that a zxid is one transaction, or the last that was not taken back.
    proposed: BTreeMap<Zxid, Txn>,
    clients: Vec<Client>,
    links: Links,
    /// The last zxid that any client was told of.
    acked: Zxid,
    /// From here on nothing goes wrong.
    calm_from: Instant,
    /// From here on nobody writes.
    quiet_from: Instant,
    writes: u64,
    /// Milliseconds between bursts of writes, at most.
    writes_every: u64,
    steps: u64,
    /// Transactions between snapshots.
    snapshot_every: u32,
    /// Milliseconds between changes of the members, at most.
    changes_every: Option<u64>,
    /// Of six hosts so many vote when members are drawn anew.
    voting: u8,
    /// Observers learn from followers, and how many did.
    feeding: bool,
    fed: u64,
    fed_sessions: u64,
    /// All members that ever were in force with anybody.
    in_force: BTreeMap<Zxid, Arc<Members>>,
    /// Starts that found damage, and ends of it.
    damaged: u64,
    mended: u64,
    /// Where the disks are.
    _dir: tempfile::TempDir,
    /// What each step was told and answered, where somebody wants to read it.
    trace: Option<Vec<String>>,
}

/// Runs an ensemble under these faults; the first broken promise ends it.
///
/// # Errors
///
/// What was broken, at which simulated time.
pub fn run(shape: &Shape, schedule: &Schedule) -> Result<Tally, Violation> {
    World::new(shape, schedule).run(shape)
}

/// The same run, step by step, to be read.
pub fn trace(shape: &Shape, schedule: &Schedule) -> Vec<String> {
    let mut world = World::new(shape, schedule);
    world.trace = Some(Vec::new());
    let outcome = world.run(shape);
    let mut lines = world.trace.unwrap_or_default();
    lines.push(format!("{outcome:?}"));
    lines
}

impl World {
    fn run(&mut self, shape: &Shape) -> Result<Tally, Violation> {
        // Where writes end epochs, each new leader gives all sessions their whole time again.
        let rest = shape.counters.map_or(Duration::ZERO, |_| QUIET);
        let end = Instant::ZERO + shape.length + RECOVERY + rest;
        let mut committed = 0;
        let outcome = loop {
            let Some((at, event)) = self.agenda.next() else { break Ok(()) };
            if at > end {
                break Ok(());
            }
            if self.now <= end_of_writes(shape) && at > end_of_writes(shape) {
                committed = self.checkers.committed();
            }
            self.now = self.now.max(at);
            self.steps += 1;
            if let Err(why) = self.on(event) {
                break Err(why);
            }
        };
        let outcome = outcome.and_then(|()| self.recovered(committed));
        outcome.map_err(|why| Violation(format!("at {} ms: {why}", self.now.as_millis())))?;
        Ok(Tally {
            steps: self.steps,
            committed: self.checkers.committed(),
            epochs: self.checkers.epochs(),
            full: shape.counters.map_or(0, |last| self.checkers.full(last)),
            damaged: self.damaged,
            mended: self.mended,
            changes: self.in_force.len(),
            fed: self.fed,
            fed_sessions: self.fed_sessions,
            simulated: end.saturating_since(Instant::ZERO),
        })
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.agenda.add(at.max(self.now), event);
    }

    /// Some time from now, in milliseconds.
    fn soon(&mut self, least: u64, most: u64) -> Instant {
        let micros = self.rng.u64(least * 1_000..=most * 1_000);
        self.now + Duration::from_micros(micros)
    }

    /// A packet's way: mostly well below a millisecond.
    fn delay(&mut self) -> Instant {
        let micros = match self.rng.u8(..) {
            0 => self.rng.u64(1_000..200_000),
            1..16 => self.rng.u64(500..5_000),
            _ => self.rng.u64(20..300),
        };
        self.now + Duration::from_micros(micros)
    }

    fn on(&mut self, event: Event) -> Result<(), Violation> {
        if let Some(host) = event.host()
            && let Some(paused) = self.hosts.get(host).map(|host| host.paused_until)
            && paused > self.now
        {
            // A stopped process finds all of it waiting.
            self.at(paused, event);
            return Ok(());
        }
        match event {
            Event::Tick { host, run, due } if self.lives(host, run) => {
                // Another was armed in its place: what the driver would not have waited for is not to come.
                let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
                if running.tick_at.take_if(|at| *at == due).is_none() {
                    return Ok(());
                }
                self.maybe_mend_again(host);
                self.maybe_probe(host);
                self.step(host, Input::Tick)?;
                self.expire(host)
            }
            Event::Vote { from, to, vote, members } => self.on_vote(from, to, vote, members),
            Event::Reach { host, peer: other, reachable: true } => {
                self.step(host, Input::Reachable(peer(other)))
            }
            Event::Reach { host, peer: other, reachable: false } => {
                self.step(host, Input::Unreachable(peer(other)))
            }
            Event::Connect { learner, run, leader } if self.lives(learner, run) => {
                self.on_connect(learner, leader)
            }
            Event::Packet { connection, to_leader } => self.on_packet(connection, to_leader),
            Event::Lost { host, peer, connection } => self.on_lost(host, peer, connection),
            Event::Disk { host, run } if self.lives(host, run) => self.on_disk(host),
            Event::Rest { host, run } if self.lives(host, run) => {
                self.on_rest(host);
                Ok(())
            }
            Event::Mend { host, run } if self.lives(host, run) => self.on_mend(host),
            Event::Locate { host, run, learner, last } if self.lives(host, run) => {
                let found = self.locate(host, last);
                self.step(host, Input::Located { learner: peer(learner), found })
            }
            Event::Start { host } => self.on_start(host),
            Event::Begin(fault) => self.begin(fault),
            Event::End(fault) => self.end(fault),
            Event::Writes => self.on_writes(),
            Event::Change => self.on_change(),
            Event::Client { client } => self.on_client(client),
            Event::Call { link } => self.on_call(link),
            Event::Answer { link } => self.on_answer(link),
            Event::Dropped { client, link } => self.on_dropped(client, link),
            Event::Left { host, link } => {
                self.on_left(host, link);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Something for whoever reads the trace.
    fn tell(&mut self, host: usize, what: &str) {
        let (now, me) = (self.now.as_millis(), self.hosts[host].me());
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>8} {me} is damaged: {what}"));
        }
    }

    /// What a host's clocks show.
    fn time(&self, host: usize) -> Time {
        self.hosts[host].clock.shows(self.now)
    }

    fn lives(&self, host: usize, run: u64) -> bool {
        self.hosts[host].running.is_some() && self.hosts[host].run == run
    }
}

fn peer(index: usize) -> PeerId {
    PeerId(i64::try_from(index).unwrap_or(i64::MAX - 1) + 1)
}

fn index(peer: PeerId) -> usize {
    usize::try_from(peer.0 - 1).unwrap_or(usize::MAX)
}
