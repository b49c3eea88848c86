//! The queue of events, and what each does.
//!
//! Lives here: time, and the way from a protocol's outputs to disks, connections and other hosts. The faults end
//! before the run does, and then the ensemble must go on: a leader, all hosts in step, a write committed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use types::{Instant, PeerId, Zxid};
use zab::{
    Input, Message, Notification, Output, PeerMisbehaved, Settings, SyncPlan, SyncStart, Timing,
    Txn, Voters,
};

use crate::checkers::{Checkers, Violation};
use crate::disk::{Base, Write, Written};
use crate::faults::{self, Fault, Schedule};
use crate::host::Host;
use crate::network::{Network, Packet};

/// What kind of ensemble runs, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shape {
    /// All that is random.
    pub seed: u64,
    /// Voters, 1 or more.
    pub voters: usize,
    /// Observers beside them. At most 31 hosts in all.
    pub observers: usize,
    /// How long faults happen, in simulated time.
    pub length: Duration,
    /// A defect that every host has.
    #[cfg(feature = "mutants")]
    pub mutation: Option<zab::Mutation>,
}

impl Shape {
    /// The shape and the faults that a seed stands for.
    pub fn drawn(seed: u64) -> (Self, Schedule) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let voters = [3, 3, 3, 5, 5, 4, 2, 1, 7][rng.usize(0..9)];
        let observers = [0, 0, 1, 2][rng.usize(0..4)];
        let length = Duration::from_secs(rng.u64(20..90));
        let shape = Self {
            seed,
            voters,
            observers,
            length,
            #[cfg(feature = "mutants")]
            mutation: None,
        };
        let schedule = faults::draw(&mut rng, voters + observers, length);
        (shape, schedule)
    }
}

/// What a run that kept every promise did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Events of the queue.
    pub steps: u64,
    /// Transactions committed.
    pub committed: usize,
    /// Epochs that were led.
    pub epochs: usize,
    /// Simulated time.
    pub simulated: Duration,
}

#[derive(Debug)]
enum Event {
    Tick { host: usize, run: u64 },
    Vote { from: usize, to: usize, vote: Notification },
    Reach { host: usize, peer: usize, reachable: bool },
    Connect { learner: usize, run: u64, leader: usize },
    Packet { connection: u64, to_leader: bool },
    Lost { host: usize, peer: usize, connection: u64 },
    Disk { host: usize, run: u64 },
    Locate { host: usize, run: u64, learner: usize, last: Zxid },
    Start { host: usize },
    Begin(Fault),
    End(Fault),
    Client,
}

struct World {
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    numbered: u64,
    rng: fastrand::Rng,
    hosts: Vec<Host>,
    network: Network,
    checkers: Checkers,
    writes: u64,
    /// Milliseconds between bursts of writes, at most.
    writes_every: u64,
    steps: u64,
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
        let hosts = (0..shape.voters + shape.observers).map(|index| {
            let settings = Settings {
                me: peer(index),
                voters: voters.clone(),
                observer: index >= shape.voters,
                timing: Timing::default(),
            };
            Host {
                #[cfg(feature = "mutants")]
                mutation: shape.mutation,
                ..Host::new(settings)
            }
        });
        let mut world = Self {
            now: Instant::ZERO,
            events: BTreeMap::new(),
            numbered: 0,
            rng: fastrand::Rng::with_seed(shape.seed ^ 0x5eed),
            hosts: hosts.collect(),
            network: Network::default(),
            checkers: Checkers::default(),
            writes: 0,
            writes_every: 0,
            steps: 0,
            trace: None,
        };
        world.writes_every = [50, 400, 2_000, 8_000][world.rng.usize(0..4)];
        for host in 0..world.hosts.len() {
            let at = world.soon(0, 300);
            world.at(at, Event::Start { host });
        }
        for (at, fault) in schedule {
            world.at(*at, Event::Begin(fault.clone()));
        }
        world.at(Instant::ZERO, Event::Client);
        world
    }

    fn run(&mut self, shape: &Shape) -> Result<Tally, Violation> {
        let end = Instant::ZERO + shape.length + RECOVERY;
        let mut committed = 0;
        let outcome = loop {
            let Some(((at, _), event)) = self.events.pop_first() else { break Ok(()) };
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
            simulated: end.saturating_since(Instant::ZERO),
        })
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.numbered += 1;
        self.events.insert((at.max(self.now), self.numbered), event);
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
            Event::Tick { host, run } if self.lives(host, run) => {
                if let Some(running) = &mut self.hosts[host].running {
                    running.tick_at = None;
                }
                self.step(host, Input::Tick)
            }
            Event::Vote { from, to, vote } => self.on_vote(from, to, vote),
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
            Event::Locate { host, run, learner, last } if self.lives(host, run) => {
                let found = self.hosts[host].disk.locate(last);
                self.step(host, Input::Located { learner: peer(learner), found })
            }
            Event::Start { host } => self.on_start(host),
            Event::Begin(fault) => self.begin(fault),
            Event::End(fault) => self.end(fault),
            Event::Client => self.on_client(),
            _ => Ok(()),
        }
    }

    fn lives(&self, host: usize, run: u64) -> bool {
        self.hosts[host].running.is_some() && self.hosts[host].run == run
    }

    /// Steps a host's protocol and carries out what follows.
    fn step(&mut self, host: usize, input: Input) -> Result<(), Violation> {
        let now = self.now;
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        let told = self.trace.is_some().then(|| format!("{input:?}"));
        let outputs: Vec<_> = running.zab.step(now, input).collect();
        if let (Some(told), Some(trace)) = (told, &mut self.trace) {
            let me = self.hosts[host].me();
            trace.push(format!("{:>8} {me} <- {told}", now.as_millis()));
            trace.extend(outputs.iter().map(|output| format!("         {me} -> {output:?}")));
        }
        for output in outputs {
            self.carry_out(host, output)?;
        }
        self.begin_write(host);
        let run = self.hosts[host].run;
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        let alarm = running.zab.alarm();
        if let Some(at) = alarm
            && running.tick_at.is_none_or(|due| at < due)
        {
            running.tick_at = Some(at);
            self.at(at, Event::Tick { host, run });
        }
        Ok(())
    }

    fn carry_out(&mut self, host: usize, output: Output) -> Result<(), Violation> {
        let me = self.hosts[host].me();
        let run = self.hosts[host].run;
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        match output {
            Output::Append(txn) => self.hosts[host].disk.write(Write::Append(txn)),
            Output::SaveEpoch(saved) => self.hosts[host].disk.write(Write::Epoch(saved)),
            Output::Truncate(zxid) => self.hosts[host].disk.write(Write::Truncate(zxid)),
            Output::Install(zxid) => {
                let base = running.received.take().filter(|base| base.zxid == zxid);
                let Some(base) = base else {
                    return Err(Violation(format!(
                        "{me} installs {zxid}, which it never received"
                    )));
                };
                self.hosts[host].disk.write(Write::Install(base));
            }
            Output::Deliver(txn) => {
                running.apply(me, &txn)?;
                // Before that it takes over the history of a leader that may come to nothing.
                if running.serves {
                    self.checkers.delivered(me, &running.tree)?;
                }
            }
            Output::Absorb(txn) => running.apply(me, &txn)?,
            Output::Leading(epoch) => {
                running.serves = true;
                self.checkers.leads(me, epoch, &running.tree)?;
            }
            Output::Following { epoch, .. } => {
                running.serves = true;
                self.checkers.follows(me, epoch, &running.tree)?;
            }
            Output::Resigned { .. } => {
                running.serves = false;
                self.disconnect(host);
            }
            Output::Withdrawn { .. } => {}
            Output::Send { to, message } => self.send(host, index(to), message),
            // All hosts are honest.
            Output::HangUp {
                peer,
                why:
                    why @ (PeerMisbehaved::OutOfTurn
                    | PeerMisbehaved::Gap { .. }
                    | PeerMisbehaved::TooMuch
                    | PeerMisbehaved::CommitOfUnknown(_)),
            } => return Err(Violation(format!("{me} says of {peer}: {why:?}"))),
            Output::HangUp { peer, .. } => {
                if let Some(connection) = self.connection(host, index(peer)) {
                    self.forget(host, index(peer));
                    self.close(connection, Some(host));
                }
            }
            Output::Follow(leader) => {
                self.disconnect(host);
                let at = self.delay();
                self.at(at, Event::Connect { learner: host, run, leader: index(leader) });
            }
            Output::Locate { learner, last } => {
                let at = self.soon(0, 3);
                self.at(at, Event::Locate { host, run, learner: index(learner), last });
            }
            Output::Sync { to, plan } => self.sync(host, index(to), plan)?,
            Output::HandedOver(_) => {}
            other => return Err(Violation(format!("{me} asks for {other:?}, which nobody does"))),
        }
        Ok(())
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        if let Message::Notification(vote) = message {
            let at = self.delay();
            self.at(at, Event::Vote { from, to, vote });
        } else if let Some(connection) = self.connection(from, to) {
            self.push(from, connection, Packet::Message(message));
        }
    }

    fn push(&mut self, from: usize, connection: u64, packet: Packet) {
        let to_leader = self.network.get(connection).is_some_and(|c| c.learner == from);
        let at = self.delay();
        if let Some(at) = self.network.send(connection, to_leader, packet, at) {
            self.at(at, Event::Packet { connection, to_leader });
        }
    }

    fn connection(&self, host: usize, peer: usize) -> Option<u64> {
        let running = self.hosts[host].running.as_ref()?;
        let up = running.up.filter(|(leader, _)| *leader == peer).map(|(_, connection)| connection);
        up.or_else(|| running.learners.get(&peer).copied())
    }

    fn forget(&mut self, host: usize, peer: usize) {
        if let Some(running) = &mut self.hosts[host].running {
            running.up = running.up.filter(|(leader, _)| *leader != peer);
            running.learners.remove(&peer);
        }
    }

    /// Closes all of a host's connections between leader and learner.
    fn disconnect(&mut self, host: usize) {
        if let Some(running) = &mut self.hosts[host].running {
            running.up = None;
            running.learners.clear();
        }
        for connection in self.network.of(host) {
            self.close(connection, Some(host));
        }
    }

    /// The other side, or both, hear of the end later.
    fn close(&mut self, connection: u64, by: Option<usize>) {
        let Some((learner, leader)) = self.network.close(connection) else { return };
        for (host, peer) in [(learner, leader), (leader, learner)] {
            if by != Some(host) {
                let at = self.delay();
                self.at(at, Event::Lost { host, peer, connection });
            }
        }
    }

    fn sync(&mut self, host: usize, to: usize, plan: SyncPlan) -> Result<(), Violation> {
        let Some(connection) = self.connection(host, to) else { return Ok(()) };
        let me = self.hosts[host].me();
        let SyncPlan { start, after, upto } = plan;
        let mut packets = Vec::new();
        match start {
            SyncStart::Diff => packets.push(Packet::Message(Message::Diff(upto))),
            SyncStart::Trunc(zxid) => packets.push(Packet::Message(Message::Trunc(zxid))),
            SyncStart::Snap => {
                let running = self.hosts[host].running.as_ref();
                let tree = running.map(|running| running.tree.clone()).unwrap_or_default();
                let last = tree.last().map_or_else(Zxid::default, |link| link.zxid);
                if last != upto {
                    return Err(Violation(format!("{me} sends the state of {last} as {upto}")));
                }
                packets.push(Packet::State(Base { zxid: upto, tree }));
            }
        }
        let mut last = after;
        for txn in self.hosts[host].disk.range(after, upto) {
            last = txn.zxid;
            packets.push(Packet::Message(Message::Proposal(txn.clone())));
            packets.push(Packet::Message(Message::Commit(txn.zxid)));
        }
        if last != upto && start != SyncStart::Snap {
            return Err(Violation(format!("{me} has no {upto} in its log to send")));
        }
        for packet in packets {
            self.push(host, connection, packet);
        }
        Ok(())
    }

    fn on_vote(&mut self, from: usize, to: usize, vote: Notification) -> Result<(), Violation> {
        if !self.network.passes(from, to) || self.hosts[from].running.is_none() {
            return Ok(());
        }
        let message = Message::Notification(vote);
        self.step(to, Input::Received { from: peer(from), message })
    }

    fn on_connect(&mut self, learner: usize, leader: usize) -> Result<(), Violation> {
        let stands = self.hosts[leader].running.is_some()
            && self.network.passes(learner, leader)
            && self.network.passes(leader, learner);
        if !stands {
            return self.step(learner, Input::LinkLost(peer(leader)));
        }
        let connection = self.network.connect(learner, leader);
        if let Some(running) = &mut self.hosts[learner].running {
            running.up = Some((leader, connection));
        }
        self.step(learner, Input::LeaderUp(peer(leader)))
    }

    fn on_packet(&mut self, connection: u64, to_leader: bool) -> Result<(), Violation> {
        let Some(ends) = self.network.get(connection) else { return Ok(()) };
        let (learner, leader) = (ends.learner, ends.leader);
        let (from, to) = if to_leader { (learner, leader) } else { (leader, learner) };
        if !self.network.passes(from, to) || self.hosts[to].paused_until > self.now {
            let at = self.hosts[to].paused_until.max(self.now + RESEND);
            self.at(at, Event::Packet { connection, to_leader });
            return Ok(());
        }
        let Some(packet) = self.network.arrive(connection, to_leader) else { return Ok(()) };
        let Some(running) = &mut self.hosts[to].running else { return Ok(()) };
        if to_leader {
            if let Packet::Message(Message::Introduction(_)) = packet {
                running.learners.insert(learner, connection);
            }
            if running.learners.get(&learner) != Some(&connection) {
                return Ok(());
            }
        } else if running.up != Some((leader, connection)) {
            return Ok(());
        }
        let message = match packet {
            Packet::Message(message) => message,
            Packet::State(base) => {
                let zxid = base.zxid;
                running.received = Some(base);
                Message::Snap(zxid)
            }
        };
        self.step(to, Input::Received { from: peer(from), message })
    }

    fn on_lost(&mut self, host: usize, other: usize, connection: u64) -> Result<(), Violation> {
        if self.connection(host, other) != Some(connection) {
            return Ok(());
        }
        self.forget(host, other);
        self.step(host, Input::LinkLost(peer(other)))
    }

    fn begin_write(&mut self, host: usize) {
        if self.hosts[host].disk.begin() {
            let most = if self.rng.u8(..) == 0 { 300 } else { 4 };
            let at = self.soon(0, most) + self.hosts[host].slow_by;
            let run = self.hosts[host].run;
            self.at(at, Event::Disk { host, run });
        }
    }

    fn on_disk(&mut self, host: usize) -> Result<(), Violation> {
        let me = self.hosts[host].me();
        let input = match self.hosts[host].disk.end()? {
            Some(Written::Flushed(zxid)) => Input::Flushed(zxid),
            Some(Written::Epoch(saved)) => Input::EpochSaved(saved),
            Some(Written::Refused { first }) => Input::AppendRefused { first },
            Some(Written::Truncated(zxid)) => {
                self.rebuild(host);
                Input::Truncated(zxid)
            }
            Some(Written::Installed(zxid)) => {
                self.rebuild(host);
                Input::Installed(zxid)
            }
            // Without room: looked at again.
            None => {
                let (at, run) = (self.now + RESEND, self.hosts[host].run);
                if !self.hosts[host].disk.begin() {
                    return Err(Violation(format!("{me}'s disk stands still")));
                }
                self.at(at, Event::Disk { host, run });
                return Ok(());
            }
        };
        self.step(host, input)
    }

    fn rebuild(&mut self, host: usize) {
        let tree = self.hosts[host].disk.tree();
        if let Some(running) = &mut self.hosts[host].running {
            running.tree = tree;
        }
    }

    fn on_start(&mut self, host: usize) -> Result<(), Violation> {
        if self.hosts[host].running.is_some() {
            return Ok(());
        }
        self.hosts[host].start();
        let durable = self.hosts[host].disk.durable();
        let me = self.hosts[host].me();
        self.checkers.starts(me, durable.current, durable.last_logged)?;
        for other in 0..self.hosts.len() {
            if other != host {
                self.tell_reach(host, other);
            }
        }
        self.step(host, Input::Tick)
    }

    /// Both sides of an election connection learn, sooner or later or never, whether it stands.
    fn tell_reach(&mut self, one: usize, other: usize) {
        let reachable = self.hosts[one].running.is_some()
            && self.hosts[other].running.is_some()
            && self.network.passes(one, other)
            && self.network.passes(other, one);
        for (host, peer) in [(one, other), (other, one)] {
            if reachable || self.rng.u8(..) > 64 {
                let at = self.delay();
                self.at(at, Event::Reach { host, peer, reachable });
            }
        }
    }

    fn begin(&mut self, fault: Fault) -> Result<(), Violation> {
        let end = fault.clone();
        match fault {
            Fault::Crash { host, part, down } => {
                self.disconnect(host);
                self.hosts[host].crash(part)?;
                for other in 0..self.hosts.len() {
                    self.tell_reach(host, other);
                }
                self.at(self.now + down, Event::Start { host });
            }
            Fault::Pause { host, stopped } => {
                let until = self.now + stopped;
                self.hosts[host].paused_until = self.hosts[host].paused_until.max(until);
            }
            Fault::Cut { from, to, dark, reset } => {
                for (one, other) in pairs(self.hosts.len(), from, to) {
                    self.network.cut(one, other);
                    if reset {
                        for connection in self.network.between(one, other) {
                            self.close(connection, None);
                        }
                        self.tell_reach(one, other);
                    }
                }
                self.at(self.now + dark, Event::End(end));
            }
            Fault::Reset { host } => {
                for connection in self.network.of(host) {
                    self.close(connection, None);
                }
            }
            Fault::Full { host, full } => {
                self.hosts[host].disk.full = true;
                self.at(self.now + full, Event::End(end));
            }
            Fault::Slow { host, by, slow } => {
                self.hosts[host].slow_by = by;
                self.at(self.now + slow, Event::End(end));
            }
            Fault::Stop { host, down } => {
                if let Some(running) = &mut self.hosts[host].running {
                    running.stopping = true;
                }
                self.step(host, Input::HandOver)?;
                self.at(self.now + HAND_OVER, Event::End(end));
                self.at(self.now + HAND_OVER + down, Event::Start { host });
            }
        }
        Ok(())
    }

    fn end(&mut self, fault: Fault) -> Result<(), Violation> {
        match fault {
            Fault::Cut { from, to, .. } => {
                for (one, other) in pairs(self.hosts.len(), from, to) {
                    self.network.heal(one, other);
                    self.tell_reach(one, other);
                }
            }
            Fault::Full { host, .. } => self.hosts[host].disk.full = false,
            Fault::Slow { host, .. } => self.hosts[host].slow_by = Duration::ZERO,
            Fault::Stop { host, .. } if self.is_stopping(host) => {
                self.disconnect(host);
                self.hosts[host].crash(u8::MAX)?;
                for other in 0..self.hosts.len() {
                    self.tell_reach(host, other);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_stopping(&self, host: usize) -> bool {
        self.hosts[host].running.as_ref().is_some_and(|running| running.stopping)
    }

    /// Clients write at whoever takes proposals, some at a time.
    fn on_client(&mut self) -> Result<(), Violation> {
        for host in 0..self.hosts.len() {
            let busy = self.rng.u8(1..5);
            for _ in 0..busy {
                let running = self.hosts[host].running.as_ref();
                let Some(zxid) = running.and_then(|running| running.zab.next_zxid()) else { break };
                if self.hosts[host].paused_until > self.now {
                    break;
                }
                self.writes += 1;
                let body = Bytes::copy_from_slice(&self.writes.to_be_bytes());
                self.step(host, Input::Propose(Txn { zxid, body }))?;
            }
        }
        let at = self.soon(1, self.writes_every);
        self.at(at, Event::Client);
        Ok(())
    }

    /// All faults are over for long: the ensemble must be whole.
    fn recovered(&self, committed: usize) -> Result<(), Violation> {
        if self.checkers.committed() <= committed {
            return Err(Violation("no write is committed long after the last fault".to_owned()));
        }
        for host in &self.hosts {
            let Some(running) = &host.running else {
                return Err(Violation(format!("{} is down long after the last fault", host.me())));
            };
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
            | Self::Locate { host, .. } => Some(*host),
            // A packet keeps its order by itself.
            Self::Packet { .. }
            | Self::Start { .. }
            | Self::Begin(_)
            | Self::End(_)
            | Self::Client => None,
        }
    }
}

fn pairs(hosts: usize, from: u32, to: u32) -> Vec<(usize, usize)> {
    let of = |set: u32| (0..hosts).filter(move |host| set >> host & 1 == 1);
    of(from).flat_map(|one| of(to).map(move |other| (one, other))).filter(|(a, b)| a != b).collect()
}

fn peer(index: usize) -> PeerId {
    PeerId(i64::try_from(index).unwrap_or(i64::MAX - 1) + 1)
}

fn index(peer: PeerId) -> usize {
    usize::try_from(peer.0 - 1).unwrap_or(usize::MAX)
}

/// How long after the last fault all must be well: above all limits together.
const RECOVERY: Duration = Duration::from_secs(120);
/// Until what was cut off is sent again.
const RESEND: Duration = Duration::from_millis(50);
/// How long an orderly stop may take.
const HAND_OVER: Duration = Duration::from_millis(500);
