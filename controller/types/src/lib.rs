//! Ids, zxids, resource quantities and the instant: the words every other crate speaks. Std only.
//!
//! Lives here: newtypes with their arithmetic and their printed form. Must not: IO, clocks, formats of
//! the wire. Three vocabularies meet in Troupe; a word that two of them use has one type here.

mod quorum;
pub mod resources;
mod time;

pub use quorum::{Epoch, PeerId, SessionId, Zxid};
pub use resources::{Bytes, MilliCpu, Resources, Role};
pub use time::Instant;
