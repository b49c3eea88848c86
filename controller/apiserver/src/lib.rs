//! The Kubernetes API over an ensemble: discovery, create, read, update, patch, delete, watch.
//!
//! Lives here: TLS and HTTP, the store of objects, the watch cache, the verbs, the rules of the
//! built-in kinds, the collector of what has no owner. Must not: know any custom kind by name; decide
//! what an object may look like (`objects`). Start at [`Server::start`].

mod server;
pub mod store;

pub use server::{Server, ServerConfig, StartError};
