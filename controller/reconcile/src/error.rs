//! Why a reconciliation could not be finished now. All of these are tried again.

use crate::platform::PlatformError;

/// Why a reconciliation could not be finished now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Kubernetes API.
    #[error("{what}: {source}")]
    Api {
        /// What was tried.
        what: String,
        /// What it answered.
        source: Box<kube::Error>,
    },
    /// The platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl Error {
    /// Somebody else wrote first: what they wrote comes as an event, so there is nothing to tell.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if is_status(source, 409))
    }
}

/// Names what was tried with the API.
pub(crate) trait Tried<T> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Tried<T> for Result<T, kube::Error> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { what: what(), source: Box::new(source) })
    }
}

/// Whether the API answered with this code.
pub(crate) fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
