//! Counters of a running member, cheap enough for every request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What `srvr` and `mntr` show.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    pub(crate) oversize_requests: AtomicU64,
    pub(crate) sessions_expired: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) outstanding: AtomicU64,
    /// 1 while writes are refused because the disk is full.
    pub(crate) disk_full: AtomicU64,
    latency_count: AtomicU64,
    latency_total_us: AtomicU64,
    latency_min_us: AtomicU64,
    latency_max_us: AtomicU64,
}

/// Request latencies in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) min: u64,
    pub(crate) average: f64,
    pub(crate) max: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            received: AtomicU64::default(),
            sent: AtomicU64::default(),
            connections_rejected: AtomicU64::default(),
            oversize_requests: AtomicU64::default(),
            sessions_expired: AtomicU64::default(),
            snapshots: AtomicU64::default(),
            outstanding: AtomicU64::default(),
            disk_full: AtomicU64::default(),
            latency_count: AtomicU64::default(),
            latency_total_us: AtomicU64::default(),
            latency_min_us: AtomicU64::new(u64::MAX),
            latency_max_us: AtomicU64::default(),
        }
    }
}

impl Stats {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn answered_after(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.latency_count.fetch_add(1, Relaxed);
        self.latency_total_us.fetch_add(us, Relaxed);
        self.latency_min_us.fetch_min(us, Relaxed);
        self.latency_max_us.fetch_max(us, Relaxed);
    }

    pub(crate) fn latency(&self) -> Latency {
        let count = self.latency_count.load(Relaxed);
        if count == 0 {
            return Latency { min: 0, average: 0.0, max: 0 };
        }
        let total = self.latency_total_us.load(Relaxed);
        Latency {
            min: self.latency_min_us.load(Relaxed) / 1000,
            average: (total as f64 / count as f64 / 1000.0 * 10_000.0).round() / 10_000.0,
            max: self.latency_max_us.load(Relaxed) / 1000,
        }
    }
}
