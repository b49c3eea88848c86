//! A running member.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{Local, MemberConfig};

/// A running member. Dropping it stops it without ceremony; [`Member::shutdown`] waits for the end.
pub struct Member {}

/// Why a member could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process uses the directory.
    #[error("data directory {} is in use by another member; stop that one or choose another directory", path.display())]
    DirInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be made or opened.
    #[error("data directory {} cannot be used", path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The client port is taken.
    #[error(
        "client address {addr} is in use by another process; stop that one or choose another port"
    )]
    AddrInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The client port cannot be opened.
    #[error("client address {addr} cannot be listened on")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// Why a member ended by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct MemberFailed(pub String);

impl Member {
    /// Loads the data, opens the client port and serves. Returns when clients can connect.
    pub async fn start(config: MemberConfig) -> Result<Self, StartError> {
        todo!("{config:?}")
    }

    /// Where clients connect, with the port that was taken.
    pub fn client_addr(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// The in-process door to this member.
    pub fn local(&self) -> Local {
        todo!()
    }

    /// Resolves when the member ends by itself, with the reason (a disk that fails, for example).
    pub async fn failed(&self) -> MemberFailed {
        todo!()
    }

    /// Stops taking requests, makes what is acknowledged durable, and ends.
    pub async fn shutdown(self) {
        todo!()
    }
}
