//! The machine: one phase at a time, and what outlives a phase.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::{Epoch, Instant, PeerId, Zxid};

use crate::broadcast::Leader;
use crate::catching_up::CatchingUp;
use crate::discovery::Discovery;
use crate::drain::Drain;
use crate::election::Election;
use crate::following::Follower;
use crate::joining::Joining;
use crate::membership::Membership;
use crate::mutation::Mutation;
use crate::reconfiguration::before;
use crate::synchronization::Synchronization;
use crate::{
    Candidate, Config, Input, Introduction, Message, Notification, Output, PeerMisbehaved,
    PeerState, SavedEpoch, Settings, Timing,
};

/// One peer of the protocol.
#[derive(Debug)]
pub struct Zab {
    pub(crate) core: Core,
    phase: Phase,
}

/// What is on this peer's disk, as the driver found it or last saved it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Durable {
    /// The highest epoch promised to a leader (`acceptedEpoch`).
    pub accepted: Epoch,
    /// The epoch of the last leader whose history was taken over (`currentEpoch`).
    pub current: Epoch,
    /// The last transaction in the log, or the snapshot's where the log ends before it. The driver has applied
    /// all that is logged before it starts the machine.
    pub last_logged: Zxid,
}

impl Durable {
    /// What was found. A member that ran alone under Apache has no epoch files: the log's own epoch stands in.
    pub fn found(accepted: Option<Epoch>, current: Option<Epoch>, last_logged: Zxid) -> Self {
        let own = last_logged.epoch();
        let current = current.unwrap_or(own).max(own);
        Self { accepted: accepted.unwrap_or(current).max(current), current, last_logged }
    }
}

/// What outlives a phase.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) me: PeerId,
    pub(crate) voters: Membership,
    pub(crate) observer: bool,
    pub(crate) timing: Timing,
    pub(crate) counters: u32,
    pub(crate) durable: Durable,
    /// The highest epoch promised, on disk or on its way there. Invariant: at least `durable.accepted`.
    pub(crate) promised: Epoch,
    /// The instant of this step.
    pub(crate) now: Instant,
    /// The round of elections this peer is in, or that made its vote.
    pub(crate) round: i64,
    /// What the last election decided.
    pub(crate) vote: Option<Candidate>,
    /// The disk is full: this peer takes no part in elections until then.
    pub(crate) aside_until: Option<Instant>,
    /// Peers that votes cannot reach, or that said nothing when they had to.
    pub(crate) unreachable: BTreeSet<PeerId>,
    /// Peers without a vote that asked who leads while nobody did.
    pub(crate) strangers: BTreeSet<PeerId>,
    /// Its disk may have lost what it acknowledged: it learns, and neither votes nor leads, and no promise of its
    /// counts.
    pub(crate) abstains: bool,
    /// A leader wanted this history cut where it cannot be: the leader is to send all of its own.
    pub(crate) wants_state: bool,
    /// Learners that came before this peer knew that it leads.
    pub(crate) early: BTreeMap<PeerId, Introduction>,
    pub(crate) outbox: Vec<Output>,
    /// What this peer got when it got in step: behind the first, up to the second.
    pub(crate) caught_up: (Zxid, Zxid),
    #[cfg(feature = "mutants")]
    pub(crate) mutation: Option<Mutation>,
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
    Joining(Joining),
    CatchingUp(CatchingUp),
    Following(Follower),
    Drain(Drain),
    /// Another peer was made the leader, and this one stops.
    Retired,
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

impl Core {
    pub(crate) fn send(&mut self, to: PeerId, message: Message) {
        self.outbox.push(Output::Send { to, message });
    }

    /// The disk has no room: others are to lead, and this peer tries again in a while.
    pub(crate) fn stand_aside(&mut self) {
        self.aside_until = Some(self.now + self.timing.tick);
    }

    /// Has a promise saved; a role that ends meanwhile leaves it standing.
    pub(crate) fn promise(&mut self, epoch: Epoch) {
        self.promised = epoch;
        self.outbox.push(Output::SaveEpoch(SavedEpoch::Accepted(epoch)));
    }

    /// Whether the peers that `has` picks can make a leader.
    pub(crate) fn decide(&self, has: impl FnMut(PeerId) -> bool) -> bool {
        if self.has(Mutation::ElectedByOldVoters) {
            return self.voters.voters().decide(has);
        }
        self.voters.decide(has)
    }

    /// Whether this peer's own vote is one.
    pub(crate) fn votes(&self) -> bool {
        self.voters.contains(self.me) && !self.abstains
    }

    /// What this peer votes for first; `None` when it may not lead, or only under members that are not known to be in force:
    /// who has not seen those would not follow it, and one that leads under the former has all that can be committed.
    pub(crate) fn own_candidate(&self) -> Option<Candidate> {
        (self.voters.voters().may_lead(self.me) && !self.abstains).then_some(Candidate {
            epoch: self.durable.current,
            last: self.durable.last_logged,
            leader: self.me,
        })
    }
}

impl Zab {
    /// A peer that has just been started; nothing happens before the first [`Input::Tick`].
    pub fn new(settings: Settings, durable: Durable) -> Self {
        let Settings { me, voters, observer, timing, counters } = settings;
        let core = Core {
            me,
            voters: Membership::fixed(voters),
            observer,
            timing,
            counters,
            durable,
            promised: durable.accepted,
            now: Instant::ZERO,
            round: 0,
            vote: None,
            aside_until: None,
            unreachable: BTreeSet::new(),
            strangers: BTreeSet::new(),
            abstains: false,
            wants_state: false,
            early: BTreeMap::new(),
            outbox: Vec::new(),
            caught_up: (Zxid::ZERO, Zxid::ZERO),
            #[cfg(feature = "mutants")]
            mutation: None,
        };
        Self { core, phase: Phase::Idle }
    }

    /// This peer's disk may have lost what it acknowledged: it is not to decide anything before [`Input::Counts`]. Before the
    /// first step only.
    pub fn abstain(&mut self) {
        self.core.abstains = true;
    }

    /// Turns reconfiguration on (`reconfigEnabled`). `config` is in force and has the voters of the settings; `next` was proposed,
    /// is in the history, and may be in force elsewhere. (A driver writes `….dynamic.next` before the log: it may be in no history.)
    #[must_use]
    pub fn reconfigurable(mut self, config: Arc<Config>, next: Option<Arc<Config>>) -> Self {
        self.core.voters.set(config, next);
        self
    }

    /// Plants a defect.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn mutated(mut self, mutation: Option<Mutation>) -> Self {
        self.core.mutation = mutation;
        self
    }

    /// Whether a reconfiguration to `next` can be proposed now: this peer leads, none is under way, and a quorum of the new
    /// voters is in step.
    pub fn may_reconfigure(&self, next: &Config) -> bool {
        match &self.phase {
            Phase::Leading(leader) => leader.may_reconfigure(&self.core, next),
            _ => false,
        }
    }

    /// The configuration in force, where reconfiguration is on.
    pub fn config(&self) -> Option<&Arc<Config>> {
        self.core.voters.config()
    }

    /// Takes one input and returns all that follows from it. Total: an input that has no meaning in the
    /// present phase changes nothing.
    pub fn step(&mut self, now: Instant, input: Input) -> impl Iterator<Item = Output> + '_ {
        self.core.now = now.max(self.core.now);
        self.on(input);
        self.core.outbox.drain(..)
    }

    /// As [`Self::step`], for whoever carries out one step after the other: the outputs take the place of what `outputs`
    /// has room for, which is empty.
    pub fn step_into(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>) {
        debug_assert!(outputs.is_empty(), "outputs would be lost");
        self.core.now = now.max(self.core.now);
        self.on(input);
        std::mem::swap(&mut self.core.outbox, outputs);
    }

    /// When the next [`Input::Tick`] is wanted at the latest; `None` while nothing depends on time.
    pub fn alarm(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle => Some(Instant::ZERO),
            Phase::Election(phase) => Some(phase.alarm()),
            Phase::Discovery(phase) => Some(phase.alarm()),
            Phase::Synchronization(phase) => Some(phase.alarm()),
            Phase::Leading(phase) => phase.alarm(&self.core),
            Phase::Joining(phase) => Some(phase.alarm()),
            Phase::CatchingUp(phase) => Some(phase.alarm()),
            Phase::Following(phase) => Some(phase.alarm(&self.core)),
            Phase::Drain(_) => self.core.aside_until,
            Phase::Retired => None,
        }
    }

    /// What the next proposal must be called; `None` while this peer does not lead, and when the epoch's
    /// counter is spent: then a new epoch begins by itself once all proposals are delivered.
    pub fn next_zxid(&self) -> Option<Zxid> {
        match &self.phase {
            Phase::Leading(leader) => leader.next_zxid(),
            _ => None,
        }
    }

    /// Whether it looks for a leader, and nothing of a reign before is on its way any more.
    pub fn is_electing(&self) -> bool {
        matches!(self.phase, Phase::Election(_))
    }

    /// The last transaction that this peer, a learner in step, knows to be committed: it is delivered once it is in the own log
    /// too. `None` in any other role.
    pub fn committed(&self) -> Option<Zxid> {
        match &self.phase {
            Phase::Following(follower) => Some(follower.committed()),
            _ => None,
        }
    }

    /// The phase this peer is in.
    pub fn phase(&self) -> PhaseName {
        match self.phase {
            Phase::Idle | Phase::Election(_) | Phase::Drain(_) | Phase::Retired => {
                PhaseName::Election
            }
            Phase::Discovery(_) | Phase::Joining(_) => PhaseName::Discovery,
            Phase::Synchronization(_) | Phase::CatchingUp(_) => PhaseName::Synchronization,
            Phase::Leading(_) | Phase::Following(_) => PhaseName::Broadcast,
        }
    }

    /// What is on this peer's disk by now.
    pub fn durable(&self) -> Durable {
        self.core.durable
    }

    #[cfg(test)]
    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    fn on(&mut self, input: Input) {
        let core = &mut self.core;
        let input = match (&mut self.phase, input) {
            (Phase::Leading(leader), Input::Propose(txn)) => return leader.on_propose(core, txn),
            (_, input) => input,
        };
        match &input {
            Input::Flushed(zxid) => core.durable.last_logged = core.durable.last_logged.max(*zxid),
            Input::EpochSaved(SavedEpoch::Accepted(epoch)) => core.durable.accepted = *epoch,
            Input::EpochSaved(SavedEpoch::Current(epoch)) => core.durable.current = *epoch,
            Input::Reachable(peer) => {
                core.unreachable.remove(peer);
            }
            Input::Unreachable(peer) => {
                core.unreachable.insert(*peer);
            }
            Input::LinkLost(peer) => {
                core.early.remove(peer);
            }
            Input::AppendRefused { first } => core.withdraw_after(before(*first)),
            Input::Counts => core.abstains = false,
            Input::Foreseen(next) => core.foresee(next),
            Input::LogHas(config) => core.voters.settle(config),
            Input::LeaderHas(config) => {
                if matches!(self.phase, Phase::CatchingUp(_)) {
                    core.voters.settle(config);
                }
            }
            Input::Committed(config) => {
                // Whoever has a leader learns of it from that.
                if matches!(self.phase, Phase::Election(_) | Phase::Drain(_)) {
                    core.activate(config);
                }
            }
            Input::Received { from, message: Message::Notification(_) } => {
                core.unreachable.remove(from);
            }
            _ => {}
        }
        match &input {
            Input::Received { from, message: Message::Notification(vote) }
                if !matches!(self.phase, Phase::Election(_)) =>
            {
                answer(core, &self.phase, *from, *vote);
                // Who is chosen and does not lead yet may have to give way.
                if !matches!(self.phase, Phase::Discovery(_) | Phase::Synchronization(_)) {
                    return;
                }
            }
            Input::Received { from, message: Message::Introduction(introduction) }
                if keeps_waiting(core, &self.phase, *from, *introduction) =>
            {
                return;
            }
            Input::Observer { from, .. } if !matches!(self.phase, Phase::Following(_)) => {
                let why = PeerMisbehaved::NotLeading;
                core.outbox.push(Output::HangUp { peer: *from, why });
                return;
            }
            _ => {}
        }
        self.phase = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle if input == Input::Tick => Election::begin(core),
            Phase::Idle => Phase::Idle,
            Phase::Election(phase) => phase.on(core, input),
            Phase::Discovery(phase) => phase.on(core, input),
            Phase::Synchronization(phase) => phase.on(core, input),
            Phase::Leading(phase) => phase.on(core, input),
            Phase::Joining(phase) => phase.on(core, input),
            Phase::CatchingUp(phase) => phase.on(core, input),
            Phase::Following(phase) => phase.on(core, input),
            Phase::Drain(phase) => phase.on(core, input),
            Phase::Retired => Phase::Retired,
        };
    }
}

/// Tells a peer that looks for a leader, or has no vote, what this one has decided.
fn answer(core: &mut Core, phase: &Phase, to: PeerId, vote: Notification) {
    let state = match phase {
        Phase::Discovery(_) | Phase::Synchronization(_) | Phase::Leading(_) => PeerState::Leading,
        Phase::Joining(_) | Phase::CatchingUp(_) | Phase::Following(_) if core.observer => {
            PeerState::Observing
        }
        Phase::Joining(_) | Phase::CatchingUp(_) | Phase::Following(_) => PeerState::Following,
        // On its way to the next election, which tells everybody.
        Phase::Idle | Phase::Election(_) | Phase::Drain(_) | Phase::Retired => return,
    };
    // Apache answers whatever one without a vote says; two of those would go on for ever.
    if vote.state == PeerState::Looking {
        let answer = Notification { state, candidate: core.vote, round: core.round };
        core.send(to, Message::Notification(answer));
    }
}

/// A learner that takes this peer for the leader: kept while this peer may become it, sent away when it follows.
fn keeps_waiting(core: &mut Core, phase: &Phase, from: PeerId, introduction: Introduction) -> bool {
    match phase {
        Phase::Discovery(_) | Phase::Synchronization(_) | Phase::Leading(_) => return false,
        Phase::Idle | Phase::Election(_) | Phase::Drain(_) if core.early.len() < MAX_EARLY => {
            core.early.insert(from, introduction);
        }
        _ => {
            core.outbox.push(Output::HangUp { peer: from, why: PeerMisbehaved::NotLeading });
        }
    }
    true
}

/// Learners that wait for this peer to lead.
const MAX_EARLY: usize = 1024;
