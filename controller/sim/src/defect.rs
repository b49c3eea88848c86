//! Defects of a member's side of clients, planted to see whether the checkers find them.

use crate::shape::Shape;

/// A defect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "only tests plant them"))]
pub enum Defect {
    /// A session that has seen more than a member has is served by it.
    BackInTime,
    /// A read does not wait for the session's own writes.
    ReadOvertakes,
    /// A learner answers a sync before it has applied what is committed.
    SyncIsNotApplied,
    /// A write that comes back to a learner is answered in place of a sync that was asked before it.
    WriteOvertakesSync,
    /// A learner answers what a client asked before its write when that write is in the tree. (Ours did.)
    ReadSeesLaterWrite,
    /// Ids of sessions begin where the clock of the day has it when the process starts. (Ours did.)
    IdsByClock,
    /// Requests through a member that the session has left are served.
    MoveIsNotSeen,
    /// A session that is closing is served, so that ephemerals of it outlive it.
    ClosedIsServed,
    /// What learners hear of sessions does not reach the leader.
    TouchesAreLost,
    /// Of several watchers only the first is told.
    WatchIsLost,
    /// A watcher is told twice.
    WatchFiresTwice,
    /// A watcher is told behind the reply that shows the change.
    WatchIsLate,
    /// What a client missed between two connections is not told.
    MissedIsForgotten,
    /// A start that finds damage says that the log ends at its beginning. (Ours was so, until this simulation had real files.)
    DamageIsSettled,
    /// A member that its leader fills anew votes before it has all that it may have acknowledged.
    FilledCountsAtOnce,
    /// A start does not know the members that were proposed.
    NextIsForgotten,
    /// A start takes members for proposed that its history does not bring. (Ours did.)
    NextIsBelieved,
    /// When a flush fails, the member goes on as if it had not.
    FlushIsBelieved,
}

#[cfg(feature = "mutants")]
impl Defect {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::BackInTime,
        Self::ReadOvertakes,
        Self::SyncIsNotApplied,
        Self::WriteOvertakesSync,
        Self::ReadSeesLaterWrite,
        Self::IdsByClock,
        Self::MoveIsNotSeen,
        Self::ClosedIsServed,
        Self::TouchesAreLost,
        Self::WatchIsLost,
        Self::WatchFiresTwice,
        Self::WatchIsLate,
        Self::MissedIsForgotten,
        Self::DamageIsSettled,
        Self::FilledCountsAtOnce,
        Self::NextIsForgotten,
        Self::NextIsBelieved,
        Self::FlushIsBelieved,
    ];
}

/// The defect that a run is to show, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted(#[cfg(feature = "mutants")] Option<Defect>);

#[cfg(feature = "mutants")]
impl Planted {
    pub(crate) fn of(shape: &Shape) -> Self {
        Self(shape.defect)
    }

    pub(crate) fn has(self, defect: Defect) -> bool {
        self.0 == Some(defect)
    }
}

/// None ever is.
#[cfg(not(feature = "mutants"))]
impl Planted {
    pub(crate) const fn of(_: &Shape) -> Self {
        Self()
    }

    #[expect(clippy::unused_self, reason = "it is, with the feature")]
    pub(crate) const fn has(self, _: Defect) -> bool {
        false
    }
}
