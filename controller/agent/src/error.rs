//! Why an agent does not run, and how errors are told to people.

use std::io;
use std::net::SocketAddr;

use crate::holder::client::HolderStartError;
use crate::store::StoreError;

/// Why [`crate::run`] could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The work directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no holder.
    #[error(transparent)]
    Holder(#[from] HolderStartError),
    /// Limits were required and cannot be enforced.
    #[error("limits cannot be enforced on this host, and isolation is required")]
    Enforcement(#[from] cgroups::DetectError),
    /// The HTTP port cannot be had.
    #[error("listen on {addr}: is another process there?")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// What the agent shall offer is not understood.
    #[error("the resources {text:?} are not understood: {why}")]
    Resources {
        /// As given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The attributes are not understood.
    #[error("the attribute {0:?} is not understood; write name:value, separated by `;`")]
    Attributes(String),
    /// The master's address is not understood.
    #[error("the master {text:?} is not understood: {why}")]
    Master {
        /// As given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// A thread cannot be made.
    #[error("start a thread")]
    Thread(#[source] io::Error),
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
