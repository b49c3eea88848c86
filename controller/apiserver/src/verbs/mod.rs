//! What can be asked: one file for each verb.
//!
//! Lives here: the steps of each verb in their order. Must not: know sockets or keep state.

pub(crate) mod body;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod discovery;
pub(crate) mod patch;
pub(crate) mod plain;
pub(crate) mod present;
pub(crate) mod read;
pub(crate) mod review;
pub(crate) mod scale;
pub(crate) mod select;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod write;
