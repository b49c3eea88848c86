//! Who leads: contenders and detectors over an ensemble, in Mesos's znode format.
//!
//! Lives here: addresses (`zk://…`), joining an election, watching one, and writes that only a leader can
//! make. Must not: what leaders do. Start at [`Contender`] and [`Detector`]. Source: Apache Mesos 1.11,
//! `zookeeper/group.cpp`, `contender.cpp`, `detector.cpp`.
//!
//! Each contender has an ephemeral sequential znode `<label>_<sequence>` below the election's path; the
//! smallest sequence leads. Masters use the label `json.info` with a `MasterInfo` as content, so that any
//! Mesos client finds them.

mod address;
mod contender;
mod detector;
mod leadership;
mod members;
mod session;

pub use address::{Address, BadAddress, Place};
pub use contender::{Contender, MASTER_LABEL, Standing};
pub use detector::Detector;
pub use leadership::{Leadership, RegistryError};
