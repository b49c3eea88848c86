//! Counters of a running member, cheap enough for every request.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Keyed, Summary, names};

/// What a member counts. Names without a comment are Apache's.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Packets of clients.
    pub(crate) received: AtomicU64,
    /// Packets to clients.
    pub(crate) sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) response_bytes: AtomicU64,
    pub(crate) connection_requests: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    pub(crate) connections_dropped: AtomicU64,
    pub(crate) connections_revalidated: AtomicU64,
    pub(crate) sessionless_expired: AtomicU64,
    /// Longer than `jute.maxbuffer`.
    pub(crate) oversize_requests: AtomicU64,
    pub(crate) large_requests_rejected: AtomicU64,
    pub(crate) stale_requests: AtomicU64,
    pub(crate) stale_requests_dropped: AtomicU64,
    pub(crate) stale_replies: AtomicU64,
    /// How often the next request had to wait for its turn.
    pub(crate) throttle_waits: AtomicU64,
    pub(crate) sessions_expired: AtomicU64,
    pub(crate) auth_failed: AtomicU64,
    pub(crate) tls_failed: AtomicU64,
    pub(crate) tls_handshakes: AtomicU64,
    pub(crate) throttled: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) snapshot_errors: AtomicU64,
    pub(crate) snapshots_limited: AtomicU64,
    pub(crate) restore_errors: AtomicU64,
    pub(crate) restores_limited: AtomicU64,
    pub(crate) digest_mismatches: AtomicU64,
    /// The bits of the `f64` `connection_drop_probability`.
    pub(crate) drop_probability: AtomicU64,
    pub(crate) proposals: AtomicU64,
    /// Of these, those to an ensemble.
    pub(crate) proposals_told: AtomicU64,
    /// Committed while this member led an ensemble.
    pub(crate) commits: AtomicU64,
    pub(crate) proposals_heard: AtomicU64,
    pub(crate) commits_heard: AtomicU64,
    /// How often an election began.
    pub(crate) elections: AtomicU64,
    /// How often a learner was sent what it lacked.
    pub(crate) diffs: AtomicU64,
    /// How often a learner was sent the whole state.
    pub(crate) snaps: AtomicU64,
    pub(crate) revalidations: AtomicU64,
    pub(crate) watch_bytes: AtomicU64,
    /// Writes on their way.
    pub(crate) outstanding: AtomicU64,
    /// Sessions that this member alone knows.
    pub(crate) local_sessions: AtomicU64,
    /// 1 while writes are refused because the disk is full.
    pub(crate) disk_full: AtomicU64,
    /// Bytes of the newest snapshot; 0 while none was taken or loaded.
    pub(crate) snapshot_bytes: AtomicU64,
    /// Connection tokens that were missing whenever some had been taken.
    pub(crate) token_deficit: Summary,
    /// How long requests waited for their turn.
    pub(crate) throttle_queue_time: Summary,
    pub(crate) reads: Summary,
    pub(crate) updates: Summary,
    pub(crate) flush_time: Summary,
    pub(crate) snapshot_time: Summary,
    pub(crate) restore_time: Summary,
    pub(crate) load_time: Summary,
    pub(crate) snapshot_load_time: Summary,
    pub(crate) replay_time: Summary,
    pub(crate) replayed: Summary,
    pub(crate) created_watches: Summary,
    pub(crate) deleted_watches: Summary,
    pub(crate) changed_watches: Summary,
    pub(crate) children_watches: Summary,
    pub(crate) election_time: Summary,
    /// From the leader's first word to being in step.
    pub(crate) follower_sync_time: Summary,
    pub(crate) observer_sync_time: Summary,
    /// How long no client was served.
    pub(crate) unavailable_time: Summary,
    pub(crate) leader_unavailable_time: Summary,
    /// Learners that are brought in step at once.
    pub(crate) inflight_snaps: Summary,
    pub(crate) inflight_diffs: Summary,
    /// Transactions that were flushed together.
    pub(crate) batch: Summary,
    /// As `flush_time`, with percentiles.
    pub(crate) flush_latency: Summary,
    /// From the leader's making of a transaction to its being applied here, by the clocks of the day.
    pub(crate) propagation: Summary,
    /// The same, to its being heard of.
    pub(crate) proposal_latency: Summary,
    /// From the making of a transaction to its commit.
    pub(crate) quorum_ack: Summary,
    /// The same to its acknowledgement, by member.
    pub(crate) acks: Keyed,
    /// Bytes of what was written and read, by top-level znode.
    pub(crate) written: Keyed,
    pub(crate) read: Keyed,
    /// Refusals, by top-level znode.
    pub(crate) quota_exceeded: Keyed,
    pub(crate) responses: Sizes,
    /// Of what this member proposed while it led.
    pub(crate) proposal_sizes: Sizes,
}

/// Sizes in bytes; -1 before the first.
#[derive(Debug)]
pub(crate) struct Sizes {
    pub(crate) last: AtomicI64,
    pub(crate) min: AtomicI64,
    pub(crate) max: AtomicI64,
}

impl Default for Sizes {
    fn default() -> Self {
        let none = || AtomicI64::new(-1);
        Self { last: none(), min: none(), max: none() }
    }
}

impl Sizes {
    /// One more.
    pub(crate) fn note(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let Self { last, min, max } = self;
        if last.load(Relaxed) != bytes {
            last.store(bytes, Relaxed);
        }
        let least = min.load(Relaxed);
        if bytes < least || least < 0 {
            // Two at once may keep the larger one: it is a figure to look at.
            min.store(bytes, Relaxed);
        }
        if bytes > max.load(Relaxed) {
            max.fetch_max(bytes, Relaxed);
        }
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
            bytes_received: AtomicU64::default(),
            response_bytes: AtomicU64::default(),
            connection_requests: AtomicU64::default(),
            connections_rejected: AtomicU64::default(),
            connections_dropped: AtomicU64::default(),
            connections_revalidated: AtomicU64::default(),
            sessionless_expired: AtomicU64::default(),
            oversize_requests: AtomicU64::default(),
            large_requests_rejected: AtomicU64::default(),
            stale_requests: AtomicU64::default(),
            stale_requests_dropped: AtomicU64::default(),
            stale_replies: AtomicU64::default(),
            throttle_waits: AtomicU64::default(),
            sessions_expired: AtomicU64::default(),
            auth_failed: AtomicU64::default(),
            tls_failed: AtomicU64::default(),
            tls_handshakes: AtomicU64::default(),
            throttled: AtomicU64::default(),
            snapshots: AtomicU64::default(),
            snapshot_errors: AtomicU64::default(),
            snapshots_limited: AtomicU64::default(),
            restore_errors: AtomicU64::default(),
            restores_limited: AtomicU64::default(),
            digest_mismatches: AtomicU64::default(),
            drop_probability: AtomicU64::default(),
            proposals: AtomicU64::default(),
            proposals_told: AtomicU64::default(),
            commits: AtomicU64::default(),
            proposals_heard: AtomicU64::default(),
            commits_heard: AtomicU64::default(),
            elections: AtomicU64::default(),
            diffs: AtomicU64::default(),
            snaps: AtomicU64::default(),
            revalidations: AtomicU64::default(),
            watch_bytes: AtomicU64::default(),
            outstanding: AtomicU64::default(),
            local_sessions: AtomicU64::default(),
            disk_full: AtomicU64::default(),
            snapshot_bytes: AtomicU64::default(),
            token_deficit: Summary::basic(),
            throttle_queue_time: Summary::latency(),
            reads: Summary::latency(),
            updates: Summary::latency(),
            flush_time: Summary::time(),
            snapshot_time: Summary::time(),
            restore_time: Summary::time(),
            load_time: Summary::time(),
            snapshot_load_time: Summary::time(),
            replay_time: Summary::time(),
            replayed: Summary::basic(),
            created_watches: Summary::basic(),
            deleted_watches: Summary::basic(),
            changed_watches: Summary::basic(),
            children_watches: Summary::basic(),
            election_time: Summary::time(),
            follower_sync_time: Summary::time(),
            observer_sync_time: Summary::time(),
            unavailable_time: Summary::time(),
            leader_unavailable_time: Summary::time(),
            inflight_snaps: Summary::basic(),
            inflight_diffs: Summary::basic(),
            batch: Summary::basic(),
            flush_latency: Summary::latency(),
            propagation: Summary::latency(),
            proposal_latency: Summary::latency(),
            quorum_ack: Summary::latency(),
            acks: Keyed::new(Summary::latency),
            written: Keyed::new(Summary::basic),
            read: Keyed::new(Summary::basic),
            quota_exceeded: Keyed::new(Summary::basic),
            responses: Sizes::default(),
            proposal_sizes: Sizes::default(),
        }
    }
}

impl Stats {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// An answer of so many bytes has left the tree.
    pub(crate) fn responded(&self, bytes: usize) {
        self.sent.fetch_add(1, Relaxed);
        self.response_bytes.fetch_add(bytes as u64, Relaxed);
        self.responses.note(bytes);
    }

    /// What `srst` does: packets, sizes of answers and all summaries begin anew.
    pub(crate) fn reset(&self) {
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        for size in [&self.responses.last, &self.responses.min, &self.responses.max] {
            size.store(-1, Relaxed);
        }
        for (_, of) in names::BASIC.iter().chain(names::ADVANCED) {
            if let Some(summary) = of(self) {
                summary.reset();
            }
        }
        for keyed in [&self.acks, &self.written, &self.read, &self.quota_exceeded] {
            keyed.reset();
        }
    }
}

/// A time in µs, as summaries of times take it.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
