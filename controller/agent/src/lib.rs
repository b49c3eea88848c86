//! A node agent: holder, containers, checkpoints and status updates.
//!
//! Lives here: [`run`], the agent process, and [`holder::main`], the tiny process that owns the tasks'
//! processes so that the agent can die, restart and be upgraded. Must not: decide where tasks run (the
//! master does), or know the kinds of frameworks. Start at [`run`].
//!
//! An agent leaves its tasks running whenever it ends, except when it is told to stop them: see [`Shutdown`].

mod config;
mod containers;
pub mod holder;
mod layout;
mod processes;
mod store;
mod task;
mod tasks;
mod users;

pub use config::{AgentConfig, HolderCommand, Isolation, Shutdown};
