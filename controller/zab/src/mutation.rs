//! Defects of Apache ZooKeeper's past, planted back to see whether the simulation finds them, and some that ours had or could have.
//!
//! Lives here: their names. Where each is planted it is one branch on [`Core::has`], which is never taken unless the crate is
//! built with the feature `mutants`, for tests only. What each `Zk…` did to Apache: the issue of that number.

use crate::zab::Core;

/// A defect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "only tests plant them"))]
pub enum Mutation {
    /// What was logged and not applied when a role ended is never applied.
    Zk2845,
    /// NEWLEADER is acknowledged before its history is applied, and clients are served.
    Zk3023,
    /// NEWLEADER is acknowledged while its history is only in memory.
    Zk3911,
    /// A COMMIT behind NEWLEADER for a proposal from before it is taken for a fault.
    Zk4394,
    /// `currentEpoch` is saved before the history that it claims.
    Zk4643,
    /// NEWLEADER is acknowledged when its history is on the way to the disk.
    Zk4646,
    /// A proposal is acknowledged before NEWLEADER, and the leader takes that for a fault.
    Zk4685,
    /// A role ends while its log is still written to.
    Zk4712,
    /// What came while getting in step counts as logged, and is lost when the connection is.
    Zk4785,
    /// A follower that became the leader leaves out, for its learners, what it got when it got in step itself.
    Zk4925,
    /// A change of the members, and all behind it, is committed by a quorum of the new voters alone.
    NewVotersAlone,
    /// The same by the old voters alone.
    OldVotersAlone,
    /// A leader is elected by a quorum of the voters in force, whatever was proposed.
    ElectedByOldVoters,
    /// What is behind a change of the members is acknowledged before that is in force.
    AckedBeforeInForce,
    /// A learner that votes only under a proposed change, and has more than the leader, is sent away. (Ours was.)
    AheadIsSentAway,
    /// A lone voter takes back what a learner that has gone was sent. (Ours did.)
    SentIsTakenBack,
}

#[cfg(feature = "mutants")]
impl Mutation {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Zk2845,
        Self::Zk3023,
        Self::Zk3911,
        Self::Zk4394,
        Self::Zk4643,
        Self::Zk4646,
        Self::Zk4685,
        Self::Zk4712,
        Self::Zk4785,
        Self::Zk4925,
        Self::NewVotersAlone,
        Self::OldVotersAlone,
        Self::ElectedByOldVoters,
        Self::AckedBeforeInForce,
        Self::AheadIsSentAway,
        Self::SentIsTakenBack,
    ];
}

impl Core {
    /// Whether this defect is planted.
    #[cfg(feature = "mutants")]
    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// None ever is.
    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "it is, with the feature")]
    pub(crate) const fn has(&self, _: Mutation) -> bool {
        false
    }
}
