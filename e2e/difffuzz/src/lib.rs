//! Random programs of requests, sent to two ZooKeeper servers, which must answer alike.
//!
//! Lives here: what a program is, how one is made from a seed, how it is run over raw sockets, what is
//! compared, and how one that tells two servers apart is made short. Must not: start servers (the tests
//! do), nor know one server from the other: what they may differ in is listed in `deviations`.
//!
//! A program has its own subtree, so that many run at once; and its steps are taken one after the other,
//! each after all answers to the one before, so that the order of all that is seen is the server's choice
//! and not the network's.

mod bodies;
mod deviations;
mod generate;
mod names;
mod program;
mod render;
mod rng;
mod run;
mod shrink;
mod wire;

pub use generate::generate;
pub use names::SUPER_DIGEST;
pub use program::{Connect, Password, Program, Send, Step};
pub use rng::Rng;
pub use run::{Dumper, run};
pub use shrink::shrink;
pub use wire::Target;
