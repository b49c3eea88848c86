//! Mesos v1 messages: RecordIO, JSON and protobuf; and the link between our masters and agents.
//!
//! Lives here: the message types (generated from `proto/`), Mesos's own JSON mapping, the framing of
//! streams, resources at the border, and the private link. Must not: sockets, decisions. Start at [`v1`]
//! for the messages and [`json`] for what clients send. Source: Apache Mesos 1.11, `include/mesos/v1`.

pub mod json;
pub mod link;
pub mod recordio;
pub mod resources;

mod ids;

#[allow(
    missing_docs,
    clippy::all,
    clippy::use_self,
    clippy::or_fun_call,
    unreachable_pub,
    unused_qualifications,
    reason = "generated from proto/, which documents the fields"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
}

pub use generated::mesos::v1;
