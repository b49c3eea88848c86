//! Built-in frameworks in this process, each a client of the scheduler API of its pool.

use frameworks::ServiceStatus;
use tokio::sync::broadcast;

use super::{Run, RunReport, Runs};
use crate::platform::{Owner, Wait};

/// Runs by Framework.
pub(crate) struct SchedulerRuns {
    changes: broadcast::Sender<Owner>,
}

impl Default for SchedulerRuns {
    fn default() -> Self {
        Self { changes: broadcast::channel(1_024).0 }
    }
}

impl Runs for SchedulerRuns {
    fn ensure(&self, run: Run) -> RunReport {
        let service = ServiceStatus {
            refused: Some(format!("spec.service of {} cannot be run by this build", run.owner)),
            ..ServiceStatus::default()
        };
        RunReport { service, ..RunReport::default() }
    }

    fn tear_down(&self, _: Run) -> Wait<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn leave<'a>(&'a self, _: &'a Owner) -> Wait<'a, ()> {
        Box::pin(async {})
    }

    fn leave_all(&self) -> Wait<'_, ()> {
        Box::pin(async {})
    }

    fn changes(&self) -> broadcast::Receiver<Owner> {
        self.changes.subscribe()
    }
}
