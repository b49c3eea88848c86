//! Election: which peer is to lead.
//!
//! Lives here: votes and when they decide. Must not: epochs' promises (discovery).
//! Paper: phase 0; Apache's FastLeaderElection. A decision is only a guess that saves time: discovery and
//! synchronization keep what was committed whoever is chosen.

use std::collections::BTreeMap;
use std::time::Duration;

use types::{Instant, PeerId, Zxid};

use crate::discovery::Discovery;
use crate::joining::Joining;
use crate::zab::{Core, Phase};
use crate::{Candidate, Input, Message, Notification, Output, PeerState};

/// Looking for a leader.
#[derive(Debug)]
pub(crate) struct Election {
    /// The best candidate seen, which is this peer's vote; `None` while a peer without a vote knows of none.
    proposal: Option<Candidate>,
    /// The last vote in this round of each other voter that is looking too.
    looking: BTreeMap<PeerId, Candidate>,
    /// The vote of each voter that looks no more.
    settled: BTreeMap<PeerId, Settled>,
    /// When the vote is sent again, and how much later again after that.
    resend_at: Instant,
    interval: Duration,
    /// A quorum votes alike; a better vote may come until then.
    decide_at: Option<Instant>,
    /// Of the configuration that it is held under.
    version: Option<Zxid>,
}

// Decided: (1) a stranger that asks is told the outcome, once there is one. Apache answers it at once, with a vote it can do
// nothing with; and two peers that are strangers to each other, as their configurations differ, answer each other
// for ever. (2) A worse vote of the same round is answered, where Apache waits for the next repetition.

/// What a peer that follows or leads has decided.
#[derive(Clone, Copy, Debug)]
struct Settled {
    candidate: Candidate,
    round: i64,
    leads: bool,
}

impl Election {
    pub(crate) fn begin(core: &mut Core) -> Phase {
        core.round = core.round.saturating_add(1);
        core.vote = None;
        let interval = core.timing.min_notification;
        let mut phase = Self {
            proposal: core.own_candidate(),
            looking: BTreeMap::new(),
            settled: BTreeMap::new(),
            resend_at: core.now + interval,
            interval,
            decide_at: None,
            version: core.voters.config().map(|config| config.version),
        };
        phase.tell_all(core);
        phase.maybe_decide(core)
    }

    /// Begins with the decision made: the leader before has named its successor.
    pub(crate) fn skip(core: &mut Core, leader: PeerId) -> Phase {
        core.round = core.round.saturating_add(1);
        let (epoch, last) = (core.durable.current, core.durable.last_logged);
        let candidate = Candidate { epoch, last, leader };
        if leader == core.me {
            return decided(core, candidate);
        }
        core.vote = Some(candidate);
        tell_strangers(core, candidate);
        Joining::begin(core, leader, true)
    }

    pub(crate) fn alarm(&self) -> Instant {
        self.decide_at.map_or(self.resend_at, |at| at.min(self.resend_at))
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from, message: Message::Notification(vote) } => {
                return self.on_notification(core, from, vote);
            }
            Input::Reachable(peer) => self.tell(core, peer),
            Input::Tick => {
                if self.decide_at.is_some_and(|at| core.now >= at)
                    && let Some(proposal) = self.proposal
                {
                    return decided(core, proposal);
                }
                if core.now >= self.resend_at {
                    self.interval = (self.interval * 2).min(core.timing.max_notification);
                    self.resend_at = core.now + self.interval;
                    self.tell_all(core);
                }
            }
            _ => {}
        }
        self.maybe_decide(core)
    }

    fn on_notification(mut self, core: &mut Core, from: PeerId, vote: Notification) -> Phase {
        if self.version != core.voters.config().map(|config| config.version) {
            // A configuration came with it: votes count anew.
            return Self::begin(core);
        }
        if !core.voters.contains(from) {
            // A peer without a vote asks who leads.
            if vote.state == PeerState::Looking && core.strangers.len() < MAX_STRANGERS {
                core.strangers.insert(from);
            }
            return Phase::Election(self);
        }
        let Some(candidate) = vote.candidate else {
            // It has not seen the members that give it a vote. It votes in its round, once it hears of a candidate there.
            if vote.state == PeerState::Looking && vote.round > core.round {
                core.round = vote.round;
                self.looking.clear();
                self.proposal = core.own_candidate();
                self.tell_all(core);
            }
            return Phase::Election(self);
        };
        if !core.voters.may_lead(candidate.leader) {
            return Phase::Election(self);
        }
        match vote.state {
            PeerState::Looking => {
                self.settled.remove(&from);
                self.on_looking(core, from, candidate, vote.round);
                self.maybe_decide(core)
            }
            PeerState::Following | PeerState::Leading => {
                let leads = vote.state == PeerState::Leading && candidate.leader == from;
                self.looking.remove(&from);
                self.settled.insert(from, Settled { candidate, round: vote.round, leads });
                if self.is_settled_on(core, candidate, vote.round) {
                    core.round = vote.round;
                    return decided(core, candidate);
                }
                self.ask_soon(core);
                Phase::Election(self)
            }
            PeerState::Observing => Phase::Election(self),
        }
    }

    /// Others have a leader, and what they say of it does not agree yet: one may follow the next one already. Apache's waits
    /// for up to a minute before it asks once more.
    fn ask_soon(&mut self, core: &Core) {
        self.interval = self.interval.min(SOON);
        self.resend_at = self.resend_at.min(core.now + self.interval);
    }

    fn on_looking(&mut self, core: &mut Core, from: PeerId, candidate: Candidate, round: i64) {
        if round < core.round {
            self.tell(core, from);
            return;
        }
        if round > core.round {
            core.round = round;
            self.looking.clear();
            self.proposal = core.own_candidate().max(Some(candidate));
            self.tell_all(core);
        } else if Some(candidate) > self.proposal {
            self.proposal = Some(candidate);
            self.tell_all(core);
        } else if Some(candidate) < self.proposal && core.votes() {
            self.tell(core, from);
        }
        self.looking.insert(from, candidate);
    }

    /// Whether peers that look no more, with those that vote alike in this round, have this leader. One whose configuration was
    /// proposed only, and by nobody else, still finds it.
    fn is_settled_on(&self, core: &Core, candidate: Candidate, round: i64) -> bool {
        let alike = |peer: &PeerId, round: Option<i64>| {
            self.settled.get(peer).is_some_and(|settled| {
                settled.candidate.leader == candidate.leader
                    && settled.candidate.epoch == candidate.epoch
                    && round.is_none_or(|round| settled.round == round)
            })
        };
        // A leader that does not say so itself may have gone.
        let leader_says = if candidate.leader == core.me {
            round == core.round
        } else {
            self.settled.get(&candidate.leader).is_some_and(|settled| settled.leads)
        };
        let in_round = |peer: PeerId| {
            alike(&peer, Some(core.round))
                || self.looking.get(&peer) == Some(&candidate)
                || peer == core.me && core.votes() && self.proposal == Some(candidate)
        };
        leader_says
            && (core.voters.voters().decide(|peer| alike(&peer, None))
                || round == core.round && core.voters.decide(in_round))
    }

    /// Decides when a quorum votes as this peer does: at once when no other vote can come, otherwise after
    /// a moment for a better one.
    fn maybe_decide(mut self, core: &mut Core) -> Phase {
        let Some(proposal) = self.proposal else { return Phase::Election(self) };
        let alike =
            |peer| peer == core.me && core.votes() || self.looking.get(&peer) == Some(&proposal);
        if !core.decide(alike) {
            self.decide_at = None;
            return Phase::Election(self);
        }
        if core.voters.iter().all(|peer| alike(peer) || core.unreachable.contains(&peer)) {
            return decided(core, proposal);
        }
        if self.decide_at.is_none() {
            self.decide_at = Some(core.now + core.timing.finalize_wait);
        }
        Phase::Election(self)
    }

    fn tell_all(&mut self, core: &mut Core) {
        self.decide_at = None;
        let voters: Vec<_> = core.voters.iter().filter(|peer| *peer != core.me).collect();
        for peer in voters {
            self.tell(core, peer);
        }
    }

    fn tell(&self, core: &mut Core, peer: PeerId) {
        let state = PeerState::Looking;
        let candidate = self.proposal.filter(|_| !core.abstains);
        let vote = Notification { state, candidate, round: core.round };
        core.outbox.push(Output::Send { to: peer, message: Message::Notification(vote) });
    }
}

fn decided(core: &mut Core, candidate: Candidate) -> Phase {
    core.vote = Some(candidate);
    tell_strangers(core, candidate);
    if candidate.leader == core.me {
        Discovery::begin(core)
    } else {
        Joining::begin(core, candidate.leader, false)
    }
}

/// Those without a vote that asked who leads hear of it.
fn tell_strangers(core: &mut Core, candidate: Candidate) {
    let state = match candidate.leader == core.me {
        true => PeerState::Leading,
        false if core.observer => PeerState::Observing,
        false => PeerState::Following,
    };
    for stranger in std::mem::take(&mut core.strangers) {
        let outcome = Notification { state, candidate: core.vote, round: core.round };
        core.send(stranger, Message::Notification(outcome));
    }
}

const MAX_STRANGERS: usize = 64;
/// The longest that one who has heard of a leader waits with its next question.
const SOON: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;
    use crate::{Durable, Settings, Voters, Zab};

    #[test]
    fn who_hears_of_leaders_that_do_not_agree_asks_again_soon() {
        let peers = [1, 2, 3].map(PeerId);
        let voters = Voters::majority(peers);
        let settings = Settings { voters, ..Settings::alone(peers[0]) };
        let mut zab = Zab::new(settings, Durable::default());
        let mut now = Instant::ZERO;
        // Nobody hears it for minutes.
        for _ in 0..12 {
            now = zab.alarm().expect("it looks for a leader");
            zab.step(now, Input::Tick).for_each(drop);
        }
        assert!(zab.alarm() > Some(now + SOON));
        for (from, leader) in [(peers[1], peers[2]), (peers[2], peers[1])] {
            let candidate = Candidate { epoch: Epoch(7), last: Zxid::ZERO, leader };
            let (state, candidate) = (PeerState::Following, Some(candidate));
            let vote = Notification { state, candidate, round: from.0 };
            let message = Message::Notification(vote);
            zab.step(now, Input::Received { from, message }).for_each(drop);
        }
        assert!(zab.alarm() <= Some(now + SOON));
    }
}
