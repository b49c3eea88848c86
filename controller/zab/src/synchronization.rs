//! Synchronization: a quorum takes over the leader's history.
//!
//! Lives here: when the history of the new epoch is settled. Paper: phase 2. The order matters: history
//! durable first (the leader's own is, by [`crate::Durable`]), `currentEpoch` after it, and only then a
//! peer counts as one that holds it.

use std::collections::VecDeque;

use types::{Epoch, Instant, PeerId, Zxid};

use crate::broadcast::Leader;
use crate::drain::Drain;
use crate::learners::{Broadcast, Learners};
use crate::zab::{Core, Phase};
use crate::{Input, Message, Output, SavedEpoch};

/// Leader of an epoch whose history is not yet held by a quorum.
#[derive(Debug)]
pub(crate) struct Synchronization {
    epoch: Epoch,
    learners: Learners,
    /// This peer has saved the epoch.
    saved: bool,
    deadline: Instant,
}

impl Synchronization {
    pub(crate) fn begin(
        core: &mut Core,
        learners: Learners,
        epoch: Epoch,
        deadline: Instant,
    ) -> Phase {
        core.number_first(Zxid::new(epoch, 0));
        core.outbox.push(Output::SaveEpoch(SavedEpoch::Current(epoch)));
        learners.locate_all(core);
        Phase::Synchronization(Self { epoch, learners, saved: false, deadline })
    }

    pub(crate) fn alarm(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from, message } => return self.on_message(core, from, message),
            Input::LinkLost(peer) => self.learners.remove(peer),
            Input::EpochSaved(SavedEpoch::Current(epoch)) if epoch == self.epoch => {
                self.saved = true;
                return self.maybe_lead(core);
            }
            Input::Located { learner, found } => {
                let committed = core.durable.last_logged;
                let proposals = &VecDeque::new();
                let at = Broadcast { epoch: self.epoch, committed, proposals, leads: true };
                self.learners.sync(core, learner, found, &at);
            }
            Input::Tick if core.now >= self.deadline => return self.give_up(core),
            Input::HandOver => return self.give_up(core),
            Input::EpochRefused if !core.voters.is_only(core.me) => {
                core.stand_aside();
                return self.give_up(core);
            }
            _ => {}
        }
        Phase::Synchronization(self)
    }

    fn on_message(mut self, core: &mut Core, from: PeerId, message: Message) -> Phase {
        match message {
            Message::Introduction(introduction) => {
                self.learners.introduce(core, from, introduction);
                self.learners.tell_epoch(core, self.epoch);
            }
            Message::AckEpoch { current, last } => {
                if !self.learners.promise(core, from, current, last) {
                    return self.give_up(core);
                }
                self.learners.locate(core, from);
            }
            Message::Ack(zxid) => {
                self.learners.ack(core, from, (self.epoch, zxid), Zxid::ZERO);
                return self.maybe_lead(core);
            }
            Message::Notification(vote) => {
                if !self.learners.may_come(core, from, &vote) {
                    return self.give_up(core);
                }
            }
            _ => self.learners.hear(core, from),
        }
        Phase::Synchronization(self)
    }

    fn maybe_lead(self, core: &mut Core) -> Phase {
        let holds = |peer| match peer {
            me if me == core.me => self.saved,
            peer => self.learners.is_synced(peer),
        };
        if core.decide(holds) && self.saved {
            Leader::begin(core, self.learners, self.epoch)
        } else {
            Phase::Synchronization(self)
        }
    }

    fn give_up(self, core: &mut Core) -> Phase {
        Drain::dismiss(core, self.learners, VecDeque::new())
    }
}
