//! A node agent: holder, containers, checkpoints and status updates.
//!
//! Lives here: [`run`], the agent process, and [`holder::main`], the tiny process that owns the tasks'
//! processes so that the agent can die, restart and be upgraded. Must not: decide where tasks run (the
//! master does), or know the kinds of frameworks. Start at [`run`].
//!
//! An agent leaves its tasks running whenever it ends, except when it is told to stop them: see [`Shutdown`].

mod command;
mod config;
mod containers;
mod disk;
mod driver;
mod error;
mod gc;
pub mod holder;
mod http;
mod kernel;
mod layout;
mod link;
mod processes;
mod run;
mod store;
mod task;
mod tasks;
mod translate;
mod users;

pub use error::RunError;
pub use holder::client::HolderStartError;
pub use run::run;
pub use store::StoreError;

pub use config::{AgentConfig, HolderCommand, Isolation, Shutdown};
