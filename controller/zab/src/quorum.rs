//! Which sets of voters decide.

use std::collections::{BTreeMap, BTreeSet};

use types::{PeerId, Zxid};

/// The voters of an ensemble, and which sets of them decide: more than half, or, with groups, more than half
/// of the weight in more than half of the groups.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Voters {
    /// Each voter's group and weight; without groups all are in one and weigh 1.
    voters: BTreeMap<PeerId, Member>,
    /// Each group's whole weight. Invariant: none is 0.
    groups: BTreeMap<i64, u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Member {
    group: i64,
    weight: u64,
}

impl Voters {
    /// These voters, each counting once.
    pub fn majority(voters: impl IntoIterator<Item = PeerId>) -> Self {
        Self::grouped(voters.into_iter().map(|voter| (voter, 0, 1)))
    }

    /// Voters with their group and weight (`group.N=`, `weight.N=`). A voter of weight 0 votes, never counts and
    /// never leads; a group without weight does not count. Source: `QuorumHierarchical.java`.
    pub fn grouped(voters: impl IntoIterator<Item = (PeerId, i64, u64)>) -> Self {
        let voters: BTreeMap<_, _> = voters
            .into_iter()
            .map(|(voter, group, weight)| (voter, Member { group, weight }))
            .collect();
        let mut groups = BTreeMap::new();
        for member in voters.values().filter(|member| member.weight > 0) {
            let whole: &mut u64 = groups.entry(member.group).or_default();
            *whole = whole.saturating_add(member.weight);
        }
        Self { voters, groups }
    }

    /// Whether the voters that `has` picks can decide.
    pub fn decide(&self, mut has: impl FnMut(PeerId) -> bool) -> bool {
        if self.groups.len() == 1 {
            let whole: u64 = self.groups.values().sum();
            let picked = self.voters.iter().filter(|(voter, _)| has(**voter));
            return picked.fold(0_u64, |sum, (_, member)| sum.saturating_add(member.weight))
                > whole / 2;
        }
        let picked: BTreeSet<_> = self.voters.keys().copied().filter(|voter| has(*voter)).collect();
        let won = self.groups.iter().filter(|(group, whole)| {
            let inside = self.voters.iter().filter(|(_, member)| member.group == **group);
            let held = inside.filter(|(voter, _)| picked.contains(voter));
            held.fold(0_u64, |sum, (_, member)| sum.saturating_add(member.weight)) > **whole / 2
        });
        won.count() > self.groups.len() / 2
    }

    /// The highest zxid that a deciding set has reached, where `reached` tells how far each voter is.
    pub fn decided(&self, reached: impl Fn(PeerId) -> Zxid) -> Zxid {
        let best = self.voters.keys().map(|voter| reached(*voter));
        let best = best.filter(|zxid| self.decide(|voter| reached(voter) >= *zxid));
        best.max().unwrap_or_default()
    }

    /// Whether this peer votes.
    pub fn contains(&self, peer: PeerId) -> bool {
        self.voters.contains_key(&peer)
    }

    /// Whether this peer may lead: it votes, and its vote counts.
    pub fn may_lead(&self, peer: PeerId) -> bool {
        self.voters.get(&peer).is_some_and(|member| member.weight > 0)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.voters.keys().copied()
    }

    /// Whether nobody but this peer votes.
    pub fn is_only(&self, peer: PeerId) -> bool {
        self.voters.len() == 1 && self.voters.contains_key(&peer)
    }
}

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;

    fn decide(voters: &Voters, picked: &[i64]) -> bool {
        voters.decide(|voter| picked.contains(&voter.0))
    }

    #[test]
    fn more_than_half_of_the_voters_decide_and_strangers_do_not_count() {
        let voters = Voters::majority([1, 2, 3, 4].map(PeerId));
        assert!(!decide(&voters, &[1, 2]));
        assert!(!decide(&voters, &[1, 2, 9]));
        assert!(decide(&voters, &[1, 2, 4]));
        assert!(!decide(&Voters::majority([]), &[]));
    }

    #[test]
    fn groups_decide_by_more_than_half_of_the_weight_in_more_than_half_of_them() {
        let three = |group: i64| (1..=3).map(move |n| (PeerId(group * 10 + n), group, 1));
        let voters = Voters::grouped((1..=3).flat_map(three));
        assert!(decide(&voters, &[11, 12, 21, 22]));
        assert!(!decide(&voters, &[11, 12, 13, 21, 31]));
        let weighted = Voters::grouped([(PeerId(1), 0, 3), (PeerId(2), 0, 1), (PeerId(3), 0, 0)]);
        assert!(decide(&weighted, &[1]));
        assert!(!decide(&weighted, &[2, 3]));
        assert!(!weighted.may_lead(PeerId(3)) && weighted.contains(PeerId(3)));
    }

    #[test]
    fn what_a_quorum_has_reached_is_decided() {
        let voters = Voters::majority([1, 2, 3].map(PeerId));
        let at = |n: u32| Zxid::new(Epoch(1), n);
        let reached = |peer: PeerId| at([0, 7, 5, 3][usize::try_from(peer.0).unwrap_or(0)]);
        assert_eq!(voters.decided(reached), at(5));
    }
}
