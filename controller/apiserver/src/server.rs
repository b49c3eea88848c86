//! Start and stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ensemble::Local;
use serde_json::Value;

use crate::store::{MemoryStore, Store, ZnodeStore};

/// Everything the server must be told.
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Where the CA, the serving and the admin certificate are kept (made when absent).
    pub tls_dir: PathBuf,
    /// Where the objects are kept.
    pub store: Arc<dyn Store>,
    /// CustomResourceDefinitions that exist from the start; an older one in the store is brought up
    /// to date.
    pub builtin_crds: Vec<Value>,
    /// Host names and addresses, beside the usual ones, that the serving certificate is good for.
    pub extra_names: Vec<String>,
}

impl ServerConfig {
    /// Objects are kept in the ensemble that `local` belongs to.
    pub fn new(addr: SocketAddr, tls_dir: impl Into<PathBuf>, local: Local) -> Self {
        Self::with_store(addr, tls_dir, Arc::new(ZnodeStore::new(local)))
    }

    /// Objects are kept in memory and are gone with the process.
    pub fn in_memory(addr: SocketAddr, tls_dir: impl Into<PathBuf>) -> Self {
        Self::with_store(addr, tls_dir, Arc::new(MemoryStore::default()))
    }

    /// Objects are kept in `store`.
    pub fn with_store(
        addr: SocketAddr,
        tls_dir: impl Into<PathBuf>,
        store: Arc<dyn Store>,
    ) -> Self {
        Self {
            addr,
            tls_dir: tls_dir.into(),
            store,
            builtin_crds: Vec::new(),
            extra_names: Vec::new(),
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("the API address {addr} cannot be listened on; stop what uses it or choose another")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A running API server. Dropping it stops it; [`Server::shutdown`] waits for the end.
pub struct Server {}

impl Server {
    /// Listens, brings the built-in objects into the store, and serves.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        todo!("{:?}", config.addr)
    }

    /// Where it listens, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        todo!()
    }

    /// A kubeconfig for the administrator, with the CA and the client certificate inline.
    pub fn kubeconfig(&self) -> String {
        todo!()
    }

    /// Stops taking requests, ends the watches, and waits for requests under way (5 s at most).
    pub async fn shutdown(self) {
        todo!()
    }
}
