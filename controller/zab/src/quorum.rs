//! Which sets of voters decide.

use std::collections::BTreeSet;

use types::PeerId;

/// The voters of an ensemble; more than half of them decide.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Voters(BTreeSet<PeerId>);

impl Voters {
    /// These voters, each counting once.
    pub fn majority(voters: impl IntoIterator<Item = PeerId>) -> Self {
        Self(voters.into_iter().collect())
    }

    /// Whether these peers can decide; peers that have no vote do not count.
    pub fn is_quorum(&self, peers: impl IntoIterator<Item = PeerId>) -> bool {
        let voting: BTreeSet<_> = peers.into_iter().filter(|peer| self.0.contains(peer)).collect();
        voting.len() * 2 > self.0.len()
    }

    /// Whether nobody but this peer votes.
    pub fn is_only(&self, peer: PeerId) -> bool {
        self.0.len() == 1 && self.0.contains(&peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_of_the_voters_decide_and_strangers_do_not_count() {
        let voters = Voters::majority([1, 2, 3, 4].map(PeerId));
        assert!(!voters.is_quorum([1, 2].map(PeerId)));
        assert!(!voters.is_quorum([1, 2, 9].map(PeerId)));
        assert!(voters.is_quorum([1, 2, 4].map(PeerId)));
        assert!(!Voters::majority([]).is_quorum([]));
    }
}
