//! Observe, plan, apply: one folder a resource kind, over a platform.
//!
//! Lives here: the reconcilers of the five kinds and the local platform. Must not: decide what a quorum,
//! an allocator or an agent decides; write into a user's `spec`; know whether parts are processes or pods.
//! Start at [`run`]. Each kind's folder has `observe` (reads), `plan` (pure), `apply` (writes) and, where
//! there is more to say, `status` (pure).

mod agent;
mod agent_api;
pub mod cluster;
mod conditions;
mod context;
mod ensemble;
mod error;
mod four_letters;
mod framework;
mod http;
mod kind;
mod lease;
mod local;
mod master_api;
mod parts;
pub mod platform;
mod pool;
mod references;
mod run;
mod sessions;
mod znode;

pub use error::Error;
pub use lease::LeaseOptions;
pub use local::LocalPlatform;
pub use run::{Options, RunError, run};
