//! The machine: one phase at a time, and what outlives a phase.

use types::{Epoch, Instant, PeerId, Zxid};

use crate::broadcast::Leader;
use crate::discovery::Discovery;
use crate::election::Election;
use crate::synchronization::Synchronization;
use crate::{Input, Output, SavedEpoch, Voters};

/// One peer of the protocol.
#[derive(Debug)]
pub struct Zab {
    pub(crate) core: Core,
    phase: Phase,
}

/// What is on this peer's disk, as the driver found it or last saved it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durable {
    /// The highest epoch promised to a leader (`acceptedEpoch`).
    pub accepted: Epoch,
    /// The epoch of the last leader whose history was taken over (`currentEpoch`).
    pub current: Epoch,
    /// The last transaction in the log. Invariant: its epoch is at most `current`, as the driver checks
    /// at start; and the driver has applied all that is logged before it starts the machine.
    pub last_logged: Zxid,
}

/// What outlives a phase.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) me: PeerId,
    pub(crate) voters: Voters,
    pub(crate) durable: Durable,
    pub(crate) outbox: Vec<Output>,
}

/// One struct a phase, holding only what is true in it. Each phase's `begin` enters it, each `on` says where
/// an input leads.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing has happened yet.
    Idle,
    Election(Election),
    Discovery(Discovery),
    Synchronization(Synchronization),
    Leading(Leader),
}

/// The phase for a person or a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PhaseName {
    /// Looking for a leader.
    Election,
    /// Settling the epoch.
    Discovery,
    /// Settling the history.
    Synchronization,
    /// Ordering transactions.
    Broadcast,
}

impl Zab {
    /// A peer that has just been started; nothing happens before the first [`Input::Tick`].
    pub fn new(me: PeerId, voters: Voters, durable: Durable) -> Self {
        Self { core: Core { me, voters, durable, outbox: Vec::new() }, phase: Phase::Idle }
    }

    /// Takes one input and returns all that follows from it. Total: an input that has no meaning in the
    /// present phase changes nothing.
    pub fn step(&mut self, _now: Instant, input: Input) -> impl Iterator<Item = Output> + '_ {
        self.on(input);
        self.core.outbox.drain(..)
    }

    /// What the next proposal must be called; `None` while this peer does not lead, and when the epoch's
    /// counter is spent: then a new epoch begins by itself once all proposals are delivered.
    pub fn next_zxid(&self) -> Option<Zxid> {
        match &self.phase {
            Phase::Leading(leader) => leader.next_zxid(),
            _ => None,
        }
    }

    /// The phase this peer is in.
    pub fn phase(&self) -> PhaseName {
        match self.phase {
            Phase::Idle | Phase::Election(_) => PhaseName::Election,
            Phase::Discovery(_) => PhaseName::Discovery,
            Phase::Synchronization(_) => PhaseName::Synchronization,
            Phase::Leading(_) => PhaseName::Broadcast,
        }
    }

    #[cfg(test)]
    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    fn on(&mut self, input: Input) {
        match &input {
            Input::Flushed(zxid) => {
                self.core.durable.last_logged = self.core.durable.last_logged.max(*zxid);
            }
            Input::EpochSaved(SavedEpoch::Accepted(epoch)) => self.core.durable.accepted = *epoch,
            Input::EpochSaved(SavedEpoch::Current(epoch)) => self.core.durable.current = *epoch,
            _ => {}
        }
        let core = &mut self.core;
        self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle if input == Input::Tick => Election::begin(core),
            Phase::Idle => Phase::Idle,
            Phase::Election(phase) => phase.on(core, input),
            Phase::Discovery(phase) => phase.on(core, input),
            Phase::Synchronization(phase) => phase.on(core, input),
            Phase::Leading(phase) => phase.on(core, input),
        };
    }
}
