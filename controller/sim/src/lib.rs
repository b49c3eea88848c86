//! The deterministic world: whole ensembles under every fault, from one seed.
//!
//! Lives here: clock, network, disks, faults and checkers around the real `zab` and `znodes`. Must not: read a clock, use
//! randomness that is not the seed's, or keep anything in an order that does not repeat.
//! Start at [`run`]: the same seed and the same faults are the same run, step by step.
//!
//! | file | holds |
//! |---|---|
//! | `world`, `agenda` | the queue of events, and below `world` what each does |
//! | `host` | one member: the protocol, its disk and its tree |
//! | `clock` | what a host's clocks show |
//! | `tree`, `lineage` | the real state machine, and the hash of the history that made it |
//! | `server` | a member's side of clients: sessions, requests, watches, syncs |
//! | `client`, `watching` | a client, and what it may be told |
//! | `links` | connections between clients and members |
//! | `history` | what the committed history says: the state as of any zxid |
//! | `defect` | defects to try the checkers by |
//! | `disk` | the real files of `storage`, and what is asked of them |
//! | `crashes` | what a crash leaves of files: the same as in the tests of `storage` |
//! | `recorder`, `rot` | what makes a disk fail, and change by itself |
//! | `roster` | the members as a host knows them |
//! | `loading` | from files to a tree, at a start |
//! | `network` | connections that keep order, delay, break and are cut off |
//! | `shape`, `faults` | what a seed stands for; what goes wrong, and when |
//! | `checkers` | what must hold after every step |
//! | `shrink` | the fewest faults that still fail |
//! | `spent` | processor time, by which a search is bounded |

mod agenda;
mod checkers;
mod client;
mod clock;
#[path = "../../storage/tests/support/crashes.rs"]
mod crashes;
mod defect;
mod disk;
mod faults;
mod history;
mod host;
mod lineage;
mod links;
mod loading;
mod network;
mod recorder;
mod roster;
mod rot;
mod server;
mod shape;
mod shrink;
mod spent;
mod tree;
mod watching;
mod world;

pub use checkers::Violation;
#[cfg(feature = "mutants")]
pub use defect::Defect;
pub use faults::{Fault, Schedule};
pub use shape::Shape;
pub use shrink::shrink;
pub use spent::spent;
pub use world::{Tally, run, trace};
