//! Discovery: the epoch that a quorum promises to the leader.
//!
//! Lives here: the choice of the new epoch, this peer's own promise and those of its learners. Paper: phase 1.
//! Decided: observers' promises raise the epoch too, and do not count for the quorum, as in `Leader.java`.

use std::collections::VecDeque;

use types::{Epoch, Instant, PeerId};

use crate::drain::Drain;
use crate::learners::Learners;
use crate::synchronization::Synchronization;
use crate::zab::{Core, Phase};
use crate::{Input, Message, SavedEpoch};

/// Chosen as leader, settling the epoch.
#[derive(Debug)]
pub(crate) struct Discovery {
    learners: Learners,
    /// Fixed when a quorum has introduced itself.
    new: Option<Epoch>,
    /// This peer's own promise is on disk, so the others may hear of it.
    promised: bool,
    /// When to give up.
    deadline: Instant,
}

impl Discovery {
    pub(crate) fn begin(core: &mut Core) -> Phase {
        let learners = Learners::early(core);
        let deadline = core.now + core.timing.init_limit;
        let mut phase = Self { learners, new: None, promised: false, deadline };
        phase.maybe_fix_epoch(core);
        Phase::Discovery(phase)
    }

    pub(crate) fn alarm(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from, message } => return self.on_message(core, from, message),
            Input::LinkLost(peer) => self.learners.remove(peer),
            // The promise must survive a crash before anybody hears of it: a learner without a vote that has promised more than
            // its leader remembers follows nobody until the next epoch.
            Input::EpochSaved(SavedEpoch::Accepted(epoch)) if Some(epoch) == self.new => {
                self.promised = true;
                return self.maybe_settle(core);
            }
            Input::Tick if core.now >= self.deadline => return self.give_up(core),
            Input::HandOver => return self.give_up(core),
            Input::EpochRefused if !core.voters.is_only(core.me) => {
                core.stand_aside();
                return self.give_up(core);
            }
            _ => {}
        }
        Phase::Discovery(self)
    }

    fn on_message(mut self, core: &mut Core, from: PeerId, message: Message) -> Phase {
        match message {
            Message::Introduction(introduction) => {
                self.learners.introduce(core, from, introduction);
                self.maybe_fix_epoch(core);
                self.maybe_settle(core)
            }
            Message::AckEpoch { current, last } => {
                if self.learners.promise(core, from, current, last) {
                    self.maybe_settle(core)
                } else {
                    self.give_up(core)
                }
            }
            Message::Notification(vote) => {
                if self.learners.may_come(core, from, &vote) {
                    Phase::Discovery(self)
                } else {
                    self.give_up(core)
                }
            }
            _ => {
                self.learners.hear(core, from);
                Phase::Discovery(self)
            }
        }
    }

    fn maybe_fix_epoch(&mut self, core: &mut Core) {
        let here = |peer| peer == core.me || self.learners.is_introduced(peer);
        if self.new.is_some() || !core.decide(here) {
            return;
        }
        // All 2^32 epochs spent: no new one can be promised, so nobody leads; a lone voter would need
        // one start a second for 136 years to get here.
        let highest = self.learners.accepted().max(core.promised);
        if let Some(epoch) = highest.max(core.durable.last_logged.epoch()).next() {
            self.new = Some(epoch);
            core.promise(epoch);
        }
    }

    /// Tells the epoch to those who came, and goes on when a quorum has promised it.
    fn maybe_settle(mut self, core: &mut Core) -> Phase {
        let Some(epoch) = self.new.filter(|_| self.promised) else { return Phase::Discovery(self) };
        self.learners.tell_epoch(core, epoch);
        if core.decide(|peer| peer == core.me || self.learners.has_promised(peer)) {
            return Synchronization::begin(core, self.learners, epoch, self.deadline);
        }
        Phase::Discovery(self)
    }

    fn give_up(self, core: &mut Core) -> Phase {
        Drain::dismiss(core, self.learners, VecDeque::new())
    }
}
