//! The Kubernetes API over an ensemble: discovery, create, read, update, patch, delete, watch.
//!
//! Lives here: TLS and HTTP, the store of objects, the watch cache, the verbs, the rules of the
//! built-in kinds, the collector of what has no owner. Must not: know any custom kind by name; decide
//! what an object may look like (`objects`). Start at [`Server::start`]; a request's way starts at
//! `api::Api::answer`.

mod api;
mod auth;
mod builtin;
mod catalog;
mod collector;
mod first;
mod kind;
mod kubeconfig;
mod media;
mod params;
mod pki;
mod reply;
mod route;
mod server;
mod status;
pub mod store;
mod tls;
mod verbs;
mod world;

pub use pki::PkiError;
pub use server::{Server, ServerConfig, StartError};
pub use tls::TlsError;
