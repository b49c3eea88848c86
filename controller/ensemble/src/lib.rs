//! One member: sockets, timers and storage around the pure cores zab and znodes.
//!
//! Lives here: the client port, sessions' connections, four-letter words, `zoo.cfg`, the in-process door
//! [`Local`], and the order in which a transaction goes from request to log to tree to reply. Must not:
//! decide what a request means (`znodes`), what commits (`zab`) or what a file looks like (`storage`).
//! Start at [`Member::start`]; a write's way is in `core`, a read's in `serve`.

mod admin;
mod buffers;
mod config;
mod conn;
mod connection;
mod core;
mod four_letter;
mod load;
mod local;
mod long_replies;
mod member;
mod mending;
mod metrics;
mod peers;
mod quiet;
mod report;
mod sasl;
mod serve;
mod shared;
mod snapshots;
mod socket;
mod standing;
mod stores;
mod throttle;
mod tls;
mod zoo_cfg;

pub use admin::AdminConfig;
pub use config::{
    ConnectionDrops, ConnectionTokens, ConnectionWeights, LargeRequests, MemberConfig,
    RequestThrottle, Warning,
};
pub use jute::Stat;
pub use jute::{HostPort, Members, MembersError, Server, ServerAddress, ServerRole};
pub use load::LoadError;
pub use local::{Change, Local, LocalOp, LocalResult, OpError, What};
pub use member::{Member, MemberFailed, StartError};
pub use peers::{EnsembleConfig, PeerSaslConfig};
pub use sasl::SaslConfig;
pub use standing::{Learner, Role, View};
pub use storage::{Compression, Policy, schedule};
pub use stores::{Password, StoreFile};
pub use tls::{ClientAuth, PeerTlsConfig, TlsConfig, TlsError, TlsVersions};
pub use zoo_cfg::ConfigError;
