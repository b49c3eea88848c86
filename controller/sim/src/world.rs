//! The queue of events, and what each does.
//!
//! Lives here: time, and the way from a protocol's outputs to disks, connections and other hosts. The faults end
//! before the run does, and then the ensemble must go on: a leader, all hosts in step, a write committed.

mod changing;
mod clients;
mod mending;
mod misfortune;
mod protocol;
mod starting;
mod writes;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jute::{Members, ServerRole};
use types::{Instant, PeerId, Zxid};
use zab::{Input, Located, Notification, Output, Settings, Timing, Txn, Voters};

use crate::agenda::Agenda;
use crate::checkers::{Checkers, Violation};
use crate::client::Client;
use crate::clock::{Clock, Time};
use crate::crashes;
use crate::defect::Planted;
use crate::disk::{Disk, Write};
use crate::faults::{Fault, Schedule};
use crate::history::History;
use crate::host::Host;
use crate::links::Links;
use crate::network::Network;
use crate::roster::{Roster, server};
use crate::shape::Shape;
use crate::tree::Known;

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

#[derive(Debug)]
enum Event {
    Tick { host: usize, run: u64, due: Instant },
    Vote { from: usize, to: usize, vote: Notification, members: Option<Arc<Members>> },
    Reach { host: usize, peer: usize, reachable: bool },
    Connect { learner: usize, run: u64, leader: usize },
    Packet { connection: u64, to_leader: bool },
    Lost { host: usize, peer: usize, connection: u64 },
    Disk { host: usize, run: u64 },
    Rest { host: usize, run: u64 },
    Mend { host: usize, run: u64 },
    Locate { host: usize, run: u64, learner: usize, last: Zxid },
    Start { host: usize },
    Begin(Fault),
    End(Fault),
    Writes,
    Change,
    Client { client: usize },
    Call { link: u64 },
    Answer { link: u64 },
    Dropped { client: usize, link: u64 },
    Left { host: usize, link: u64 },
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

/// Writes that come after this show that the ensemble goes on.
fn end_of_writes(shape: &Shape) -> Instant {
    Instant::ZERO + shape.length + RECOVERY.mul_f64(0.8)
}

impl World {
    fn new(shape: &Shape, schedule: &Schedule) -> Self {
        let ids = 1..=i64::try_from(shape.voters).unwrap_or(1);
        let voters = Voters::majority(ids.map(PeerId));
        let dir = crashes::scratch();
        let known = Rc::<Known>::default();
        let roles =
            [(ServerRole::Participant, shape.voters), (ServerRole::Observer, shape.observers)];
        let roles = roles.into_iter().flat_map(|(role, count)| std::iter::repeat_n(role, count));
        let servers =
            roles.enumerate().map(|(index, role)| (peer(index), server(peer(index), role, false)));
        let first = Arc::new(Members { servers: servers.collect(), ..Members::default() });
        let mut chance = fastrand::Rng::with_seed(shape.seed ^ CHANCE);
        let mut clocks = chance.fork();
        let hosts = (0..shape.voters + shape.observers + shape.spares).map(|index| {
            let settings = Settings {
                me: peer(index),
                voters: voters.clone(),
                observer: (shape.voters..shape.voters + shape.observers).contains(&index),
                timing: Timing::default(),
                counters: shape.counters.unwrap_or(Settings::ALL_COUNTERS),
            };
            let planted = Planted::of(shape);
            let mut disk = Disk::new(dir.path().join(index.to_string()), Rc::clone(&known));
            disk.planted = planted;
            Host {
                #[cfg(feature = "mutants")]
                mutation: shape.mutation,
                planted,
                clock: shape.clocks.map_or(Clock::right(), |ppm| Clock::drawn(&mut clocks, ppm)),
                roster: shape.changes_every.map(|_| Roster::new(Arc::clone(&first))),
                ..Host::new(settings, disk)
            }
        });
        let mut world = Self {
            now: Instant::ZERO,
            agenda: Agenda::default(),
            rng: fastrand::Rng::with_seed(shape.seed ^ 0x5eed),
            chance,
            hosts: hosts.collect(),
            voters: shape.voters,
            network: Network::default(),
            checkers: Checkers::default(),
            history: History::new(),
            proposed: BTreeMap::new(),
            clients: Vec::new(),
            links: Links::default(),
            acked: Zxid::ZERO,
            calm_from: Instant::ZERO + shape.length + RECOVERY.mul_f64(0.6),
            quiet_from: Instant::ZERO + shape.length + RECOVERY,
            writes: 0,
            writes_every: 0,
            steps: 0,
            snapshot_every: 0,
            changes_every: shape.changes_every,
            voting: 4,
            feeding: shape.feeding,
            fed: 0,
            fed_sessions: 0,
            in_force: BTreeMap::new(),
            damaged: 0,
            mended: 0,
            _dir: dir,
            trace: None,
        };
        world.snapshot_every = [40, 200, 1_000, u32::MAX][world.rng.usize(0..4)];
        world.writes_every = [100, 600, 2_000, 8_000][world.rng.usize(0..4)];
        for host in 0..world.hosts.len() {
            let at = world.soon(0, 300);
            world.at(at, Event::Start { host });
        }
        for (at, fault) in schedule {
            world.at(*at, Event::Begin(fault.clone()));
        }
        world.at(Instant::ZERO, Event::Writes);
        if shape.changes_every.is_some() {
            world.voting = [1, 2, 4][world.rng.usize(0..3)];
            world.at(Instant::ZERO, Event::Change);
        }
        for client in 0..shape.clients {
            let one = Client::drawn(&mut world.rng);
            world.clients.push(one);
            let at = world.soon(0, 2_000);
            world.at(at, Event::Client { client });
        }
        world
    }

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

    /// Steps a host's protocol and carries out what follows.
    fn step(&mut self, host: usize, input: Input) -> Result<(), Violation> {
        let Time { now, .. } = self.time(host);
        let one = &mut self.hosts[host];
        let Some(running) = &mut one.running else { return Ok(()) };
        if running.stands_still() {
            return Ok(());
        }
        if let (Input::AppendRefused { first }, Some(roster)) = (&input, &mut one.roster) {
            roster.withdraw(*first);
        }
        if let Input::Propose(txn) | Input::Reconfigure { txn, .. } = &input {
            self.proposed.insert(txn.zxid, txn.clone());
        }
        let told = self.trace.is_some().then(|| format!("{input:?}"));
        let outputs: Vec<_> = running.zab.step(now, input).collect();
        if let (Some(told), Some(trace)) = (told, &mut self.trace) {
            let me = self.hosts[host].me();
            trace.push(format!("{:>8} {me} <- {told}", self.now.as_millis()));
            trace.extend(outputs.iter().map(|output| format!("         {me} -> {output:?}")));
        }
        let run = self.hosts[host].run;
        let mut refused = None;
        for output in outputs {
            let full = self.hosts[host].running.as_ref().is_some_and(|one| one.full.is_some());
            match output {
                // The log takes nothing until it has said that there is room, and tells only once that there is none.
                Output::Append(txn) if full => {
                    refused.get_or_insert(txn.zxid);
                }
                output => self.carry_out(host, output)?,
            }
            if !self.lives(host, run) {
                return Ok(());
            }
        }
        if let Some(first) = refused {
            self.step(host, Input::AppendRefused { first })?;
        }
        self.begin_write(host);
        self.arm(host);
        Ok(())
    }

    /// The next tick is at hand when something is due.
    fn arm(&mut self, host: usize) {
        let run = self.hosts[host].run;
        let Some(running) = &mut self.hosts[host].running else { return };
        if let Some(at) = running.alarm()
            && running.tick_at.is_none_or(|due| at < due)
        {
            running.tick_at = Some(at);
            let rings = self.hosts[host].clock.when(at);
            self.at(rings, Event::Tick { host, run, due: at });
        }
    }

    /// Is there room again?
    fn maybe_probe(&mut self, host: usize) {
        let Time { now, .. } = self.time(host);
        if let Some(running) = &mut self.hosts[host].running
            && running.full.is_some_and(|at| at <= now)
        {
            running.full = Some(now + starting::PROBE_EVERY);
            self.hosts[host].disk.write(Write::Probe);
            self.begin_write(host);
        }
    }

    fn locate(&self, host: usize, last: Zxid) -> Located {
        let Some(running) = &self.hosts[host].running else { return Located::Gone };
        let applied = running.tree.last();
        let flushed = running.flushed;
        let upto = if flushed == Zxid::ZERO { applied } else { applied.min(flushed) };
        // The usual case when a leader was lost, which is not to wait for a disk.
        if last == applied { Located::Here } else { self.hosts[host].disk.locate(last, upto) }
    }

    /// All faults are over for long: the ensemble must be whole.
    fn recovered(&self, committed: usize) -> Result<(), Violation> {
        if self.checkers.committed() <= committed {
            return Err(Violation("no write is committed long after the last fault".to_owned()));
        }
        self.check_sessions()?;
        self.check_members()?;
        for host in &self.hosts {
            let Some(running) = &host.running else {
                return Err(Violation(format!("{} is down long after the last fault", host.me())));
            };
            if let Some(mending) = running.mending {
                return Err(Violation(format!(
                    "{} has damaged files long after the last fault: {mending:?}",
                    host.me()
                )));
            }
            if !running.serves {
                let phase = running.zab.phase();
                return Err(Violation(format!(
                    "{} serves nobody long after the last fault: {phase:?}",
                    host.me()
                )));
            }
        }
        Ok(())
    }
}

impl Event {
    /// The process that must run for it to happen.
    fn host(&self) -> Option<usize> {
        match self {
            Self::Tick { host, .. }
            | Self::Vote { to: host, .. }
            | Self::Reach { host, .. }
            | Self::Connect { learner: host, .. }
            | Self::Lost { host, .. }
            | Self::Disk { host, .. }
            | Self::Rest { host, .. }
            | Self::Mend { host, .. }
            | Self::Left { host, .. }
            | Self::Locate { host, .. } => Some(*host),
            // A packet keeps its order by itself.
            Self::Packet { .. }
            | Self::Call { .. }
            | Self::Answer { .. }
            | Self::Dropped { .. }
            | Self::Client { .. }
            | Self::Start { .. }
            | Self::Begin(_)
            | Self::End(_)
            | Self::Writes
            | Self::Change => None,
        }
    }
}

fn peer(index: usize) -> PeerId {
    PeerId(i64::try_from(index).unwrap_or(i64::MAX - 1) + 1)
}

fn index(peer: PeerId) -> usize {
    usize::try_from(peer.0 - 1).unwrap_or(usize::MAX)
}

/// Ids of sessions and what clocks show are drawn of other numbers than all else.
const CHANCE: u64 = 0x1d5;
/// How long after the last fault all must be well: above all limits together.
const RECOVERY: Duration = Duration::from_secs(120);
/// How long nobody writes at the end, where that would end epochs: until all sessions without a client have ended, twice.
const QUIET: Duration = Duration::from_secs(45);
/// Until what was cut off is sent again.
const RESEND: Duration = Duration::from_millis(50);
