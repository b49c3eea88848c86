//! Zab as one stepped state machine: election, discovery, synchronization, broadcast.
//!
//! Lives here: who leads, in which epoch, and what is committed in which order. Must not: sockets, files,
//! clocks, sessions, what a transaction means. Durability is an input: nothing counts as logged before
//! [`Input::Flushed`], nothing as promised before [`Input::EpochSaved`].
//! Start at [`Zab::step`]; each phase has its file. Paper: Junqueira et al., Zab (DSN 2011).
//!
//! | phase | the leader's file | the learner's file |
//! |---|---|---|
//! | election | `election` | `election` |
//! | discovery | `discovery` | `joining` |
//! | synchronization | `synchronization` | `catching_up` |
//! | broadcast | `broadcast` | `following` |
//!
//! `learners` is what a leader knows of each learner through its three phases, `feeding` what a follower does for observers, `pending` what a learner has
//! received and not yet applied, `drain` the way from a role that ended to the next election, `membership` and
//! `reconfiguration` who decides and how that changes, `mending` what a member does whose files are damaged.

mod broadcast;
mod catching_up;
mod discovery;
mod drain;
mod election;
mod feeding;
mod following;
mod joining;
mod learners;
mod membership;
mod mending;
mod message;
mod mutation;
mod pending;
mod quorum;
mod reconfiguration;
mod settings;
mod synchronization;
mod zab;

pub use membership::Config;
pub use mending::Mending;
pub use message::{
    Candidate, Input, Introduction, Located, Message, Notification, Output, PeerMisbehaved,
    PeerState, SavedEpoch, SyncPlan, SyncStart, Txn,
};
#[cfg(feature = "mutants")]
pub use mutation::Mutation;
pub use quorum::Voters;
pub use settings::{Settings, Timing};
pub use zab::{Durable, PhaseName, Zab};
