//! From a protocol's outputs to disks, connections and other hosts, and from those to its inputs.

use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;
use std::time::Duration;

use jute::Members;
use zab::{Input, Message, Notification, Output, PeerMisbehaved, SyncPlan, SyncStart};

use super::{Event, World, index, peer};
use crate::checkers::Violation;
use crate::clock::Time;
use crate::disk::Write;
use crate::network::Packet;

impl World {
    pub(super) fn carry_out(&mut self, host: usize, output: Output) -> Result<(), Violation> {
        let me = self.hosts[host].me();
        let (run, time) = (self.hosts[host].run, self.time(host));
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        // Of the day's clock a role needs only what it showed when the process began, and that only where `IdsByClock` is planted.
        let role_time = Time { wall_ms: running.began_ms, ..time };
        match output {
            Output::Append(txn) => {
                running.appended = txn.zxid;
                self.hosts[host].disk.write(Write::Append(txn));
            }
            Output::SaveEpoch(saved) => self.hosts[host].disk.write(Write::Epoch(saved)),
            Output::Truncate(zxid) => self.hosts[host].disk.write(Write::Truncate(zxid)),
            Output::Install(zxid) => {
                let base = running.received.clone().filter(|base| base.zxid == zxid);
                let Some(base) = base else {
                    return Err(Violation(format!(
                        "{me} installs {zxid}, which it never received"
                    )));
                };
                let marks = running.mending.is_damaged();
                self.hosts[host].disk.write(Write::Install { base, marks });
            }
            Output::Deliver(txn) => {
                let mut say = Vec::new();
                running.deliver(me, &txn, &mut say)?;
                self.checkers.has(me, &running.tree)?;
                // Before that it takes over the history of a leader that may come to nothing.
                if running.serves && self.checkers.delivered(me, &running.tree.links)? {
                    self.history.commit(&txn)?;
                    self.check_ended()?;
                }
                self.carry(host, say)?;
                self.maybe_snapshot(host);
            }
            Output::Absorb(txn) => {
                running.tree.apply(me, &txn)?;
                self.checkers.has(me, &running.tree)?;
            }
            Output::Leading(epoch) => {
                running.begin_role(me, epoch, true, role_time, self.chance.u64(..));
                let known = self.checkers.last();
                self.checkers.leads(me, epoch, &running.tree.links)?;
                // Not from its log, which may begin with a snapshot that has some of it.
                let end = running.tree.last();
                for (_, txn) in self.proposed.range((Excluded(known), Included(end.max(known)))) {
                    if running.tree.has(txn.zxid) {
                        self.history.commit(txn)?;
                    }
                }
                self.check_ended()?;
            }
            Output::Following { epoch, .. } => {
                running.begin_role(me, epoch, false, role_time, self.chance.u64(..));
                self.fed += u64::from(running.fed);
                self.checkers.follows(me, epoch, &running.tree.links)?;
                self.note_in_step(host)?;
            }
            Output::Resigned { .. } => {
                for link in running.server.links() {
                    self.tell_client(link, None);
                }
                if let Some(running) = &mut self.hosts[host].running {
                    running.end_role(time.now);
                    running.mending.on_out_of_step();
                }
                self.disconnect(host);
            }
            Output::Withdrawn { first } => {
                let mut say = Vec::new();
                let awaited = running.withdraw(time.now, first, &mut say);
                self.carry(host, say)?;
                if awaited {
                    for connection in self.network.of(host) {
                        self.close(connection, None);
                    }
                }
            }
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
            Output::Activate(config) => self.on_activate(host, &config)?,
            Output::Foreseen(config) => self.on_foreseen(host, &config),
            Output::Unforeseen => {
                if let Some(roster) = &mut self.hosts[host].roster {
                    roster.set_next(None);
                }
            }
            other => return Err(Violation(format!("{me} asks for {other:?}, which nobody does"))),
        }
        Ok(())
    }

    /// Every so many transactions.
    fn maybe_snapshot(&mut self, host: usize) {
        let every = self.snapshot_every;
        let Some(running) = &mut self.hosts[host].running else { return };
        running.since_snapshot += 1;
        if running.since_snapshot >= every {
            running.since_snapshot = 0;
            let base = running.tree.freeze();
            self.hosts[host].disk.write(Write::Snapshot(base));
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        if let Message::Notification(vote) = message {
            let at = self.delay();
            let members = self.hosts[from].roster.as_ref().map(|roster| Arc::clone(roster.now()));
            self.at(at, Event::Vote { from, to, vote, members });
        } else if let Some(connection) = self.connection(from, to) {
            let Time { now, .. } = self.time(from);
            if let Some(running) = &mut self.hosts[from].running
                && matches!(message, Message::Ping(_))
                && running.up == Some((to, connection))
                && let Some(touches) = running.touches(now)
            {
                self.push(from, connection, Packet::Errand(touches));
            }
            let packet = match (message, &self.hosts[from].roster) {
                (Message::Introduction(introduction), Some(roster)) => {
                    Packet::Introduction(introduction, roster.now().version)
                }
                (Message::NewLeader(epoch), Some(roster)) => {
                    Packet::NewLeader(epoch, Arc::clone(roster.newest()))
                }
                (message, _) => Packet::Message(message),
            };
            self.push(from, connection, packet);
        }
    }

    pub(super) fn push(&mut self, from: usize, connection: u64, packet: Packet) {
        let to_leader = self.network.get(connection).is_some_and(|c| c.learner == from);
        let at = match &packet {
            // A state takes its time, and what comes behind it waits.
            Packet::State(_) => self.soon(0, 1_500),
            _ => self.delay(),
        };
        if let Some(at) = self.network.send(connection, to_leader, packet, at) {
            self.at(at, Event::Packet { connection, to_leader });
        }
    }

    pub(super) fn connection(&self, host: usize, peer: usize) -> Option<u64> {
        let running = self.hosts[host].running.as_ref()?;
        let up = running.up.filter(|(leader, _)| *leader == peer).map(|(_, connection)| connection);
        up.or_else(|| running.learners.get(&peer).copied())
    }

    pub(super) fn forget(&mut self, host: usize, peer: usize) {
        if let Some(running) = &mut self.hosts[host].running {
            running.up = running.up.filter(|(leader, _)| *leader != peer);
            running.learners.remove(&peer);
        }
    }

    /// Closes all of a host's connections between leader and learner.
    pub(super) fn disconnect(&mut self, host: usize) {
        if let Some(running) = &mut self.hosts[host].running {
            running.up = None;
            running.learners.clear();
        }
        for connection in self.network.of(host) {
            self.close(connection, Some(host));
        }
    }

    /// The other side, or both, hear of the end later.
    pub(super) fn close(&mut self, connection: u64, by: Option<usize>) {
        let Some((learner, leader)) = self.network.close(connection) else { return };
        for (host, peer) in [(learner, leader), (leader, learner)] {
            if by != Some(host) {
                let at = self.delay();
                self.at(at, Event::Lost { host, peer, connection });
            }
        }
    }

    pub(super) fn sync(&mut self, host: usize, to: usize, plan: SyncPlan) -> Result<(), Violation> {
        let Some(connection) = self.connection(host, to) else { return Ok(()) };
        let me = self.hosts[host].me();
        let SyncPlan { start, after, upto } = plan;
        let mut packets = Vec::new();
        match start {
            SyncStart::Diff => packets.push(Packet::Message(Message::Diff(upto))),
            SyncStart::Trunc(zxid) => packets.push(Packet::Message(Message::Trunc(zxid))),
            SyncStart::Snap(_) => {
                let Some(running) = &self.hosts[host].running else { return Ok(()) };
                let base = running.tree.freeze();
                if base.zxid != upto {
                    let last = base.zxid;
                    return Err(Violation(format!("{me} sends the state of {last} as {upto}")));
                }
                packets.push(Packet::State(base));
            }
        }
        if !matches!(start, SyncStart::Snap(_)) {
            let Some(txns) = self.hosts[host].disk.range(after, upto) else {
                return Err(Violation(format!("{me} has no {upto} in its log to send")));
            };
            for txn in txns {
                let zxid = txn.zxid;
                packets.push(Packet::Message(Message::Proposal(txn)));
                packets.push(Packet::Message(Message::Commit(zxid)));
            }
        }
        for packet in packets {
            self.push(host, connection, packet);
        }
        Ok(())
    }

    pub(super) fn on_vote(
        &mut self,
        from: usize,
        to: usize,
        vote: Notification,
        members: Option<Arc<Members>>,
    ) -> Result<(), Violation> {
        if !self.network.passes(from, to) || self.hosts[from].running.is_none() {
            return Ok(());
        }
        if let Some(members) = members {
            self.on_told(to, &members)?;
        }
        let message = Message::Notification(vote);
        self.step(to, Input::Received { from: peer(from), message })
    }

    pub(super) fn on_connect(&mut self, learner: usize, leader: usize) -> Result<(), Violation> {
        let master = self.master(learner, leader);
        let called = master.unwrap_or(leader);
        let stands = self.hosts[called].running.is_some()
            && self.network.passes(learner, called)
            && self.network.passes(called, learner);
        if !stands {
            return self.step(learner, Input::LinkLost(peer(leader)));
        }
        let connection = self.network.connect(learner, called, master.is_some());
        if let Some(running) = &mut self.hosts[learner].running {
            running.up = Some((leader, connection));
            running.fed = master.is_some();
        }
        self.step(learner, Input::LeaderUp(peer(leader)))
    }

    /// The follower that an observer learns from; `None`: it learns from the leader, as it does once as many were called in vain.
    fn master(&mut self, learner: usize, leader: usize) -> Option<usize> {
        if !self.feeding {
            return None;
        }
        let (voters, observes) = self.hosts[learner].ensemble();
        let others = voters.iter().map(index).filter(|voter| *voter != leader);
        let others: Vec<_> = others.filter(|_| observes).collect();
        let chosen = self.rng.choice(&others).copied()?;
        let running = self.hosts[learner].running.as_mut()?;
        running.in_vain += 1;
        if running.in_vain > others.len() {
            running.in_vain = 0;
            return None;
        }
        Some(chosen)
    }

    pub(super) fn on_packet(&mut self, connection: u64, to_leader: bool) -> Result<(), Violation> {
        let Some(ends) = self.network.get(connection) else { return Ok(()) };
        let (learner, leader, feeds) = (ends.learner, ends.leader, ends.feeds);
        let (from, to) = if to_leader { (learner, leader) } else { (leader, learner) };
        if !self.network.passes(from, to) || self.hosts[to].paused_until > self.now {
            let at = self.hosts[to].paused_until.max(self.now + RESEND);
            self.at(at, Event::Packet { connection, to_leader });
            return Ok(());
        }
        let Some(packet) = self.network.arrive(connection, to_leader) else { return Ok(()) };
        if let (Packet::Introduction(_, version), Some(roster)) = (&packet, &self.hosts[to].roster)
            && *version != roster.now().version
        {
            // It cannot learn from one that knows less, and hears by vote what it does not know.
            self.close(connection, Some(to));
            return Ok(());
        }
        let Some(running) = &mut self.hosts[to].running else { return Ok(()) };
        let from = if to_leader {
            if let Packet::Message(Message::Introduction(_)) | Packet::Introduction(..) = packet {
                running.learners.insert(learner, connection);
            }
            if running.learners.get(&learner) != Some(&connection) {
                return Ok(());
            }
            learner
        } else {
            let up = running.up.filter(|(_, up)| *up == connection);
            let Some((leader, _)) = up else { return Ok(()) };
            leader
        };
        let follows = running.serves && running.up.is_some() && !running.fed;
        let message = match packet {
            Packet::Message(message) => message,
            Packet::Introduction(introduction, _) => Message::Introduction(introduction),
            Packet::NewLeader(epoch, members) => {
                self.on_leaders_members(to, &members)?;
                Message::NewLeader(epoch)
            }
            Packet::State(base) => {
                let zxid = base.zxid;
                running.received = Some(base.clone());
                self.on_history(to, Some(&base))?;
                Message::Snap(zxid)
            }
            Packet::Errand(errand) => return self.on_errand(to, connection, to_leader, errand),
        };
        if let Message::Proposal(txn)
        | Message::Inform(txn)
        | Message::InformAndActivate { txn, .. } = &message
        {
            self.foresee_by(to, txn)?;
        }
        match message {
            Message::Introduction(introduction) if feeds && follows => {
                self.step(to, Input::Observer { from: peer(from), introduction })
            }
            Message::Introduction(_) if feeds => {
                self.forget(to, from);
                self.close(connection, Some(to));
                Ok(())
            }
            message => self.step(to, Input::Received { from: peer(from), message }),
        }
    }

    pub(super) fn on_lost(
        &mut self,
        host: usize,
        other: usize,
        connection: u64,
    ) -> Result<(), Violation> {
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        let lost = if let Some((leader, _)) = running.up.take_if(|(_, up)| *up == connection) {
            leader
        } else if running.learners.get(&other) == Some(&connection) {
            running.learners.remove(&other);
            other
        } else {
            return Ok(());
        };
        self.step(host, Input::LinkLost(peer(lost)))
    }
}

/// Until what was cut off is sent again.
const RESEND: Duration = Duration::from_millis(50);
