//! Zab as one stepped state machine: election, discovery, synchronization, broadcast.
//!
//! Lives here: who leads, in which epoch, and what is committed in which order. Must not: sockets, files,
//! clocks, sessions, what a transaction means. Durability is an input: nothing counts as logged before
//! [`Input::Flushed`], nothing as promised before [`Input::EpochSaved`].
//! Start at [`Zab::step`]; each phase has its file. Paper: Junqueira et al., Zab (DSN 2011).

mod broadcast;
mod discovery;
mod election;
mod message;
mod quorum;
mod synchronization;
mod zab;

pub use message::{Input, Message, Output, PeerMisbehaved, SavedEpoch, Txn};
pub use quorum::Voters;
pub use zab::{Durable, PhaseName, Zab};
