//! The faults end before the run does, and then the ensemble must go on: a leader, all hosts in step, a write committed.

use std::time::Duration;

use types::Instant;
use zab::Mending;

use super::World;
use crate::checkers::Violation;
use crate::shape::Shape;

/// Writes that come after this show that the ensemble goes on.
pub(super) fn end_of_writes(shape: &Shape) -> Instant {
    Instant::ZERO + shape.length + RECOVERY.mul_f64(0.8)
}

impl World {
    /// All faults are over for long: the ensemble must be whole.
    pub(super) fn recovered(&self, committed: usize) -> Result<(), Violation> {
        if self.checkers.committed() <= committed {
            return Err(Violation("no write is committed long after the last fault".to_owned()));
        }
        self.check_sessions()?;
        self.check_members()?;
        for host in &self.hosts {
            let Some(running) = &host.running else {
                return Err(Violation(format!("{} is down long after the last fault", host.me())));
            };
            let mending = running.mending;
            if mending != Mending::Whole {
                return Err(Violation(format!(
                    "{} has damaged files long after the last fault: {mending:?}",
                    host.me()
                )));
            }
            if !running.serves {
                let phase = running.zab.phase();
                return Err(Violation(format!(
                    "{} serves nobody long after the last fault: {phase:?}",
                    host.me()
                )));
            }
        }
        Ok(())
    }
}

/// How long after the last fault all must be well: above all limits together.
pub(super) const RECOVERY: Duration = Duration::from_secs(120);
/// How long nobody writes at the end, where that would end epochs: until all sessions without a client have ended, twice.
pub(super) const QUIET: Duration = Duration::from_secs(45);
