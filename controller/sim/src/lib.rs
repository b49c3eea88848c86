//! The deterministic world: whole ensembles under every fault, from one seed.
//!
//! Lives here: clock, network, disks, faults and checkers around the real `zab` and `znodes`. Must not: read a clock, use
//! randomness that is not the seed's, or keep anything in an order that does not repeat.
//! Start at [`run`]: the same seed and the same faults are the same run, step by step.
//!
//! | file | holds |
//! |---|---|
//! | `world` | the queue of events, and below it what each does |
//! | `host` | one member: the protocol, its disk and its tree |
//! | `tree` | the real state machine, and the hash of the history that made it |
//! | `server` | requests to transactions |
//! | `disk` | a log, a snapshot and epoch files, of which a crash keeps what was flushed and a part of the rest |
//! | `network` | connections that keep order, delay, break and are cut off |
//! | `faults` | what goes wrong, and when |
//! | `checkers` | what must hold after every step |
//! | `shrink` | the fewest faults that still fail |

mod checkers;
mod disk;
mod faults;
mod host;
mod network;
mod server;
mod shrink;
mod tree;
mod world;

pub use checkers::Violation;
pub use faults::{Fault, Schedule};
pub use shrink::shrink;
pub use world::{Shape, Tally, run, trace};
