//! What a search costs, told apart from what others have of the machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this process has had of processors: others may have them for as long as they like.
pub fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
