//! Election: which peer is to lead.
//!
//! Lives here: votes and when they decide. Must not: epochs' promises (discovery).
//! Paper: phase 0; Apache's FastLeaderElection.

use std::collections::BTreeMap;

use types::{Epoch, PeerId, Zxid};

use crate::Input;
use crate::discovery::Discovery;
use crate::zab::{Core, Phase};

/// Looking for a leader.
#[derive(Debug)]
pub(crate) struct Election {
    /// The best candidate seen, which is this peer's vote.
    proposal: Vote,
    /// The last vote of each peer, this one's included.
    votes: BTreeMap<PeerId, Vote>,
}

/// A candidate. The order is the one that votes are compared by: the longer history wins, then the
/// larger id.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Vote {
    epoch: Epoch,
    last: Zxid,
    leader: PeerId,
}

impl Election {
    pub(crate) fn begin(core: &mut Core) -> Phase {
        let own =
            Vote { epoch: core.durable.current, last: core.durable.last_logged, leader: core.me };
        Self { proposal: own, votes: BTreeMap::from([(core.me, own)]) }.maybe_decide(core)
    }

    pub(crate) fn on(self, _core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from: _, message } => match message {},
            _ => Phase::Election(self),
        }
    }

    /// Decides when a quorum votes as this peer does.
    fn maybe_decide(self, core: &mut Core) -> Phase {
        let alike = self.votes.iter().filter(|(_, vote)| **vote == self.proposal);
        if core.voters.is_quorum(alike.map(|(peer, _)| *peer)) && self.proposal.leader == core.me {
            Discovery::begin(core)
        } else {
            Phase::Election(self)
        }
    }
}
