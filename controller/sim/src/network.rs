//! The network between hosts: who hears whom, and the connections between leaders and learners.
//!
//! Lives here: order, delay and loss. A connection keeps what is sent while it is cut off, as TCP does, and
//! loses what is on its way when it breaks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jute::Members;
use types::{Epoch, Instant, Zxid};
use zab::{Introduction, Message};

use crate::server::Errand;
use crate::tree::Base;

/// A connection of a learner to a leader, or of an observer to a follower; hosts are indices.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) learner: usize,
    pub(crate) leader: usize,
    /// To where followers feed observers.
    pub(crate) feeds: bool,
    pub(crate) open: bool,
    to_leader: Lane<Packet>,
    to_learner: Lane<Packet>,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    packets: VecDeque<T>,
    /// When the last one arrives: none overtakes it.
    last: Instant,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { packets: VecDeque::new(), last: Instant::ZERO }
    }
}

impl<T> Lane<T> {
    /// Puts something on its way; returns when it arrives.
    pub(crate) fn push(&mut self, packet: T, at: Instant) -> Instant {
        self.last = self.last.max(at);
        self.packets.push_back(packet);
        self.last
    }

    /// Takes what has arrived.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.packets.pop_front()
    }
}

/// What goes over a connection.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Message(Message),
    /// A learner's first, with the version of its members in force.
    Introduction(Introduction, Zxid),
    /// NEWLEADER, with the last members that the leader knows of.
    NewLeader(Epoch, Arc<Members>),
    /// SNAP with the state behind it.
    State(Base),
    /// Of clients: no part of the protocol.
    Errand(Errand),
}

/// All connections by number, and the directions that are cut, with how often.
#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: BTreeMap<u64, Connection>,
    made: u64,
    cut: BTreeMap<(usize, usize), u32>,
}

impl Network {
    pub(crate) fn connect(&mut self, learner: usize, leader: usize, feeds: bool) -> u64 {
        self.made += 1;
        let (to_leader, to_learner) = (Lane::default(), Lane::default());
        let connection = Connection { learner, leader, feeds, open: true, to_leader, to_learner };
        self.connections.insert(self.made, connection);
        self.made
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Connection> {
        self.connections.get(&id).filter(|connection| connection.open)
    }

    /// Puts a packet on its way; returns when it arrives, if the connection stands.
    pub(crate) fn send(
        &mut self,
        id: u64,
        to_leader: bool,
        packet: Packet,
        at: Instant,
    ) -> Option<Instant> {
        let connection = self.connections.get_mut(&id).filter(|connection| connection.open)?;
        let lane = if to_leader { &mut connection.to_leader } else { &mut connection.to_learner };
        Some(lane.push(packet, at))
    }

    /// Takes the packet that has arrived.
    pub(crate) fn arrive(&mut self, id: u64, to_leader: bool) -> Option<Packet> {
        let connection = self.connections.get_mut(&id).filter(|connection| connection.open)?;
        let lane = if to_leader { &mut connection.to_leader } else { &mut connection.to_learner };
        lane.pop()
    }

    /// Breaks a connection; `None` when it was broken already.
    pub(crate) fn close(&mut self, id: u64) -> Option<(usize, usize)> {
        let connection = self.connections.remove(&id)?;
        connection.open.then_some((connection.learner, connection.leader))
    }

    /// The connections that a host has a part in.
    pub(crate) fn of(&self, host: usize) -> Vec<u64> {
        let own = |connection: &Connection| connection.learner == host || connection.leader == host;
        self.connections.iter().filter(|(_, c)| own(c)).map(|(id, _)| *id).collect()
    }

    /// The connections that pass a direction.
    pub(crate) fn between(&self, from: usize, to: usize) -> Vec<u64> {
        let passes = |c: &Connection| {
            (c.learner, c.leader) == (from, to) || (c.leader, c.learner) == (from, to)
        };
        self.connections.iter().filter(|(_, c)| passes(c)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        *self.cut.entry((from, to)).or_default() += 1;
    }

    pub(crate) fn heal(&mut self, from: usize, to: usize) {
        if let Some(count) = self.cut.get_mut(&(from, to)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Whether what one says reaches the other.
    pub(crate) fn passes(&self, from: usize, to: usize) -> bool {
        self.cut.get(&(from, to)).is_none_or(|count| *count == 0)
    }
}
