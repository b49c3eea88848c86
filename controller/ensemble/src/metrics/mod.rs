//! What a member tells of itself: Apache's metrics by Apache's names, in Apache's order.
//!
//! Lives here: the list of names and where each value comes from. Must not: format for one reader
//! (`four_letter`, `prometheus`, `admin`). Start at [`each`]. Names whose subject this server does not
//! have (Netty's queues, Java's pauses, peers) stay at zero, so that dashboards find them.

mod names;
pub(crate) mod prometheus;
mod stats;
mod summary;

pub(crate) use stats::{Sizes, Stats, micros};
pub(crate) use summary::{Seen, Summary};

use std::sync::atomic::Ordering::Relaxed;

use crate::shared::Shared;

/// What this server is compatible with, and its own name.
pub(crate) const VERSION: &str = "3.9.4-troupe, built on 2025-01-01 00:00 UTC";

/// One value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// A whole number that goes up and down.
    Gauge(i64),
    /// A fraction that goes up and down.
    Fraction(f64),
    /// A number that only grows.
    Counter(u64),
    /// Without percentiles; `None` where nothing is ever observed.
    Basic(Option<&'a Summary>),
    /// With percentiles.
    Advanced(Option<&'a Summary>),
}

/// Tells every metric, by its bare name.
pub(crate) fn each(shared: &Shared, tell: &mut dyn FnMut(&str, Value<'_>)) {
    let stats = &shared.stats;
    for (name, value) in gauges(shared) {
        tell(name, value);
    }
    for (name, of) in names::COUNTERS {
        tell(name, Value::Counter(of(stats)));
    }
    tell("writes_stopped_disk_full", Value::Gauge(whole(stats.disk_full.load(Relaxed))));
    for (name, of) in names::BASIC {
        tell(name, Value::Basic(of(stats)));
    }
    for (name, of) in names::ADVANCED {
        tell(name, Value::Advanced(of(stats)));
    }
}

/// Latencies of reads and writes together, in ms.
pub(crate) fn latency(stats: &Stats) -> Seen {
    Summary::seen_in([&stats.reads, &stats.updates])
}

fn gauges(shared: &Shared) -> Vec<(&'static str, Value<'static>)> {
    let stats = &shared.stats;
    let latency = latency(stats);
    let drop_probability = f64::from_bits(stats.drop_probability.load(Relaxed));
    let (connections, watches) = {
        let watchers = shared.watchers();
        (watchers.count(), watchers.watches.total())
    };
    let (nodes, ephemerals, sessions) = {
        let tree = shared.tree();
        (tree.node_count(), tree.ephemeral_count(), tree.sessions().len())
    };
    let gauge = |value: u64| Value::Gauge(whole(value));
    let size = |value: usize| Value::Gauge(i64::try_from(value).unwrap_or(i64::MAX));
    vec![
        ("avg_latency", Value::Fraction(latency.average)),
        ("max_latency", gauge(latency.max)),
        ("min_latency", gauge(latency.min)),
        ("packets_received", gauge(stats.received.load(Relaxed))),
        ("packets_sent", gauge(stats.sent.load(Relaxed))),
        ("num_alive_connections", size(connections)),
        ("outstanding_requests", gauge(stats.outstanding.load(Relaxed))),
        ("uptime", gauge(shared.now().as_millis())),
        ("znode_count", size(nodes)),
        ("watch_count", size(watches)),
        ("ephemerals_count", size(ephemerals)),
        ("approximate_data_size", gauge(approximate_data_size(shared, nodes))),
        ("global_sessions", size(sessions)),
        ("local_sessions", gauge(stats.local_sessions.load(Relaxed))),
        ("open_file_descriptor_count", size(open_files())),
        ("max_file_descriptor_count", gauge(max_files())),
        ("connection_drop_probability", Value::Fraction(drop_probability)),
        ("last_client_response_size", Value::Gauge(stats.responses.last.load(Relaxed))),
        ("max_client_response_size", Value::Gauge(stats.responses.max.load(Relaxed))),
        ("min_client_response_size", Value::Gauge(stats.responses.min.load(Relaxed))),
        ("outstanding_tls_handshake", gauge(stats.tls_handshakes.load(Relaxed))),
        ("auth_failed_count", gauge(stats.auth_failed.load(Relaxed))),
        ("non_mtls_remote_conn_count", Value::Gauge(0)),
        ("non_mtls_local_conn_count", Value::Gauge(0)),
    ]
}

/// Bytes of paths and data: counted where that is quick, else those of the newest snapshot, which holds
/// little more.
fn approximate_data_size(shared: &Shared, nodes: usize) -> u64 {
    let written = shared.stats.snapshot_bytes.load(Relaxed);
    if nodes > COUNTED_NODES && written > 0 {
        return written;
    }
    let mut bytes = 0;
    shared.tree().below("/", |path, data, _| {
        bytes += (path.len() + data.map_or(0, <[u8]>::len)) as u64;
    });
    bytes
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn max_files() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

const COUNTED_NODES: usize = 20_000;
