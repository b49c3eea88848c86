//! A pool's master as one state machine: frameworks, agents, offers and tasks.
//!
//! Lives here: what every call, update, connection and operator's wish leads to. Must not: sockets,
//! clocks, storage, randomness (time and names are arguments). Start at [`Master::step`]. Source: Apache
//! Mesos 1.11, `master/master.cpp` and its `http.cpp`.
//!
//! A step is total: a peer's mistake is an answer or an event, never a panic. What must survive the
//! process goes out as [`Output::Write`] and takes effect when [`Input::Written`] says that it is safe.

mod accept;
mod agent;
mod agents;
mod calls;
mod config;
mod framework;
mod io;
mod master;
mod offers;
mod operator;
mod reconcile;
mod registry;
mod status;
mod subscribe;
mod task;
mod updates;
pub mod validate;
mod view;

pub use config::Config;
pub use io::{Answer, Input, Now, Output, ReplyId, StreamId, WriteId};
pub use master::Master;
pub use registry::{AgentRecord, AgentState, Change, Registry};
