//! One member: sockets, timers and storage around the pure cores zab and znodes.
//!
//! Lives here: the client port, sessions' connections, four-letter words, `zoo.cfg`, the in-process door
//! [`Local`], and the order in which a transaction goes from request to log to tree to reply. Must not:
//! decide what a request means (`znodes`), what commits (`zab`) or what a file looks like (`storage`).
//! Start at [`Member::start`].

mod config;
mod local;
mod member;

pub use config::{MemberConfig, Warning};
pub use local::{Change, Local, LocalOp, LocalResult, OpError, Stat, What};
pub use member::{Member, MemberFailed, StartError};
