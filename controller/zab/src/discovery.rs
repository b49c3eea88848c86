//! Discovery: the epoch that a quorum promises to the leader.
//!
//! Lives here: the choice of the new epoch and this peer's own promise. Paper: phase 1.

use std::collections::BTreeMap;

use types::{Epoch, PeerId};

use crate::synchronization::Synchronization;
use crate::zab::{Core, Phase};
use crate::{Input, Output, SavedEpoch};

/// Chosen as leader, settling the epoch.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// The accepted epoch that each peer reported.
    reported: BTreeMap<PeerId, Epoch>,
    /// Fixed when a quorum has reported.
    new: Option<Epoch>,
}

impl Discovery {
    pub(crate) fn begin(core: &mut Core) -> Phase {
        let mut phase =
            Self { reported: BTreeMap::from([(core.me, core.durable.accepted)]), new: None };
        phase.maybe_fix_epoch(core);
        Phase::Discovery(phase)
    }

    pub(crate) fn on(self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from: _, message } => match message {},
            // The promise must survive a crash before anybody hears of it.
            Input::EpochSaved(SavedEpoch::Accepted(epoch)) if Some(epoch) == self.new => {
                Synchronization::begin(core, epoch)
            }
            _ => Phase::Discovery(self),
        }
    }

    fn maybe_fix_epoch(&mut self, core: &mut Core) {
        if self.new.is_some() || !core.voters.is_quorum(self.reported.keys().copied()) {
            return;
        }
        // All 2^32 epochs spent: no new one can be promised, so nobody leads; a lone voter would need
        // one start a second for 136 years to get here.
        let highest = self.reported.values().copied().max().unwrap_or_default();
        if let Some(epoch) = highest.max(core.durable.last_logged.epoch()).next() {
            self.new = Some(epoch);
            core.outbox.push(Output::SaveEpoch(SavedEpoch::Accepted(epoch)));
        }
    }
}
