//! Synchronization: a quorum takes over the leader's history.
//!
//! Lives here: when the history of the new epoch is settled. Paper: phase 2. The order matters: history
//! durable first (a lone voter's own is, by [`crate::Durable`]), `currentEpoch` after it, and only then
//! this peer counts as one that holds it.

use std::collections::BTreeSet;

use types::{Epoch, PeerId};

use crate::broadcast::Leader;
use crate::zab::{Core, Phase};
use crate::{Input, Output, SavedEpoch};

/// Leader of an epoch whose history is not yet held by a quorum.
#[derive(Debug)]
pub(crate) struct Synchronization {
    epoch: Epoch,
    /// Peers that hold the leader's history and have saved the epoch.
    synced: BTreeSet<PeerId>,
}

impl Synchronization {
    pub(crate) fn begin(core: &mut Core, epoch: Epoch) -> Phase {
        core.outbox.push(Output::SaveEpoch(SavedEpoch::Current(epoch)));
        Phase::Synchronization(Self { epoch, synced: BTreeSet::new() })
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from: _, message } => match message {},
            Input::EpochSaved(SavedEpoch::Current(epoch)) if epoch == self.epoch => {
                self.synced.insert(core.me);
            }
            _ => {}
        }
        if core.voters.is_quorum(self.synced.iter().copied()) {
            Leader::begin(core, self.epoch)
        } else {
            Phase::Synchronization(self)
        }
    }
}
