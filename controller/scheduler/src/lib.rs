//! Runs built-in frameworks as ordinary clients of the v1 scheduler API.
//!
//! Lives here: the connection to the leading master, the election among replicas, and the znodes of a
//! framework: `/troupe/frameworks/<namespace>/<name>/{info,leader,tasks/<task id>}`, JSON that any
//! ZooKeeper client can read. Must not: decide where and when tasks run (`frameworks` does). Start at
//! [`Runner::start`]. A framework has no private door: whatever it does, a framework elsewhere can do.

mod calls;
mod error;
mod events;
mod http;
mod lead;
mod link;
mod run;
mod znodes;

pub use error::{LinkError, StopError};
pub use run::{FrameworkRun, RunHandle, Runner, Status};
