//! One master of a pool as a process: HTTP, the election, the registry, and the machine in the middle.
//!
//! Lives here: [`run`], the endpoints with Mesos's paths and answers, streams, and where the registry's
//! records are kept. Must not: decide about frameworks, agents and tasks (see `master`). Start at [`run`].
//!
//! A process leads once: when it loses the election it ends with an error, its connections break, and
//! whoever supervises it starts it again. So no step down is ever half done.

mod config;
mod http;
mod leader;
mod registry;
mod run;

pub use config::{BadAdvertised, MasterConfig};
pub use run::{RunError, Server, run};
