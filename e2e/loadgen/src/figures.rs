//! What a run found, as it is printed.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies of one sort of request, in nanoseconds.
pub(crate) struct Latencies(Histogram<u64>);

/// One line of output.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Requests answered while it was measured.
    pub(crate) ops: u64,
    /// All requests, measured or not: what system calls are divided by.
    pub(crate) ops_in_all: u64,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Watches that fired.
    pub(crate) notifications: u64,
    /// CPU time of the server for each request, if its process was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_us: Option<f64>,
    /// CPU time of the generator for each request.
    pub(crate) generator_cpu_us: f64,
    /// Of reads, of writes; when snapshots were watched, of all while one was written and of all else.
    #[serde(flatten)]
    pub(crate) latencies: By<Option<Summary>>,
}

/// One of something for each sort of request.
#[derive(Debug, Default, Serialize)]
pub(crate) struct By<T> {
    pub(crate) read: T,
    pub(crate) write: T,
    pub(crate) during_snapshot: T,
    pub(crate) between_snapshots: T,
}

/// A distribution, in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    count: u64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        // Three digits, from a nanosecond to ten minutes.
        Self(Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("the bounds are in order"))
    }
}

impl Latencies {
    /// One request's.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// `None` if there was none.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let us = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
        (!self.0.is_empty()).then(|| Summary {
            count: self.0.len(),
            p50_us: us(self.0.value_at_quantile(0.5)),
            p99_us: us(self.0.value_at_quantile(0.99)),
            p999_us: us(self.0.value_at_quantile(0.999)),
            max_us: us(self.0.max()),
        })
    }
}

impl By<Latencies> {
    /// The distribution of each.
    pub(crate) fn summaries(&self) -> By<Option<Summary>> {
        By {
            read: self.read.summary(),
            write: self.write.summary(),
            during_snapshot: self.during_snapshot.summary(),
            between_snapshots: self.between_snapshots.summary(),
        }
    }
}
