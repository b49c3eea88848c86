//! What the Framework's reconciler asks of whoever runs built-in frameworks.

use std::time::Duration;

use frameworks::{ServiceSpec, ServiceStatus};
use tokio::sync::broadcast;

use crate::platform::{Owner, Wait};

/// Runs built-in frameworks, each at most once in this process.
pub(crate) trait Runs: Send + Sync {
    /// Starts a run, or changes the one there is, and tells how it is.
    fn ensure(&self, run: Run) -> Wait<'_, RunReport>;
    /// Tears a framework down: when this returns `Ok`, the master has forgotten it.
    fn tear_down(&self, run: Run) -> Wait<'_, Result<(), String>>;
    /// Ends a run and leaves its tasks, if it runs.
    fn leave<'a>(&'a self, owner: &'a Owner) -> Wait<'a, ()>;
    /// Ends all runs and leaves their tasks.
    fn leave_all(&self) -> Wait<'_, ()>;
    /// Frameworks whose status changed.
    fn changes(&self) -> broadcast::Receiver<Owner>;
}

/// One framework to run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// The Framework object.
    pub(crate) owner: Owner,
    /// Where its state is kept: `host:port,…`.
    pub(crate) servers: String,
    /// How its master is found: `zk://…`.
    pub(crate) detector: String,
    pub(crate) role: String,
    pub(crate) failover_timeout: Duration,
    pub(crate) service: ServiceSpec,
}

/// How a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RunReport {
    pub(crate) framework_id: Option<String>,
    /// Which scheduler leads.
    pub(crate) leader: Option<String>,
    pub(crate) service: ServiceStatus,
    /// Why it does not get on with its master or its ensemble.
    pub(crate) trouble: Option<String>,
}
