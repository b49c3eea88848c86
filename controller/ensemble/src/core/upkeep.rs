//! What the core does by itself: the end of containers and times to live, and a word about quotas.

use std::time::Duration;

use types::{Instant, SessionId};

use super::{Core, Origin, wall_ms};
use crate::metrics::namespace;

impl Core {
    /// Proposes the deletes whose time has come. The caller has seen that this member leads and has room.
    pub(super) fn reap(&mut self, now: Instant) {
        let requests = self.reaper.due(&self.shared.tree(), now, wall_ms());
        for request in requests {
            self.propose(SessionId(0), 0, &[], &request, Origin::Reaper);
        }
    }

    /// Logs that a quota is exceeded; one at a time, as whoever exceeds it may try for ever.
    pub(super) fn log_excess(&mut self) {
        let Some(excess) = self.prep.take_excess() else { return };
        if excess.hard
            && let Some(namespace) = namespace(&excess.path)
        {
            self.shared.stats.quota_exceeded.record(namespace, 1, 1);
        }
        let now = self.shared.now();
        if now < self.quota_silent_until {
            return;
        }
        self.quota_silent_until = now + QUOTA_LOG_EVERY;
        tracing::warn!(
            path = excess.path,
            kind = ?excess.kind,
            limit = excess.limit,
            would_be = excess.would_be,
            refused = excess.hard,
            "znode quota exceeded; raise it under /zookeeper/quota or delete znodes"
        );
    }
}

const QUOTA_LOG_EVERY: Duration = Duration::from_secs(1);
