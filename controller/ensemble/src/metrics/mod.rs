//! What a member tells of itself: Apache's metrics by Apache's names, in Apache's order.
//!
//! Lives here: the list of names and where each value comes from. Must not: format for one reader
//! (`four_letter`, `prometheus`, `admin`). Start at [`each`]. Names whose subject this server does not
//! have (Netty's queues, Java's pauses, caches of answers, the stages of Apache's pipeline) stay at zero, so that dashboards find
//! them.

mod keyed;
mod names;
pub(crate) mod prometheus;
mod stats;
mod summary;
mod tally;

pub(crate) use keyed::Keyed;
pub(crate) use stats::{Sizes, Stats, micros};
pub(crate) use summary::{Seen, Summary};
pub(crate) use tally::{Tally, namespace};

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use znodes::Quota;

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

/// Tells every metric, by its bare name and, where there is one for each of many, its key.
pub(crate) fn each(shared: &Shared, tell: &mut dyn FnMut(&str, Option<&str>, Value<'_>)) {
    let stats = &shared.stats;
    for (name, value) in gauges(shared) {
        tell(name, None, value);
    }
    let quotas = quotas(shared);
    for (name, of) in QUOTAS {
        for (namespace, quota) in &quotas {
            tell(name, Some(namespace), Value::Gauge(of(quota)));
        }
    }
    for (name, of) in names::COUNTERS {
        tell(name, None, Value::Counter(of(stats)));
    }
    tell("writes_stopped_disk_full", None, Value::Gauge(whole(stats.disk_full.load(Relaxed))));
    stats.quota_exceeded.each(|namespace, refused| {
        let count = Value::Counter(refused.seen().count);
        tell("quota_exceeded_error_per_namespace", Some(namespace), count);
    });
    for (name, of) in names::BASIC {
        tell(name, None, Value::Basic(of(stats)));
    }
    for (name, of) in names::ADVANCED {
        tell(name, None, Value::Advanced(of(stats)));
    }
    for (name, keyed) in
        [("write_per_namespace", &stats.written), ("read_per_namespace", &stats.read)]
    {
        keyed.each(|key, summary| tell(name, Some(key), Value::Basic(Some(summary))));
    }
    stats.acks.each(|sid, summary| tell("ack_latency", Some(sid), Value::Advanced(Some(summary))));
}

/// A number by which words and commands tell a metric, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Whole(i64),
    Fraction(f64),
}

/// Tells every number, by its name.
pub(crate) fn each_number(shared: &Shared, tell: &mut dyn FnMut(&str, Number)) {
    each(shared, &mut |name, key, value| {
        let name = &key.map_or_else(|| name.to_owned(), |key| format!("{key}_{name}"));
        let (summary, is_advanced) = match value {
            Value::Gauge(value) => return tell(name, Number::Whole(value)),
            Value::Fraction(value) => return tell(name, Number::Fraction(value)),
            Value::Counter(value) => return tell(name, Number::Whole(whole(value))),
            Value::Basic(summary) => (summary, false),
            Value::Advanced(summary) => (summary, true),
        };
        let none = Summary::basic();
        let seen = summary.unwrap_or(&none).seen();
        tell(&format!("avg_{name}"), Number::Fraction(seen.average));
        for (prefix, value) in
            [("min", seen.min), ("max", seen.max), ("cnt", seen.count), ("sum", seen.sum)]
        {
            tell(&format!("{prefix}_{name}"), Number::Whole(whole(value)));
        }
        for (prefix, share) in PERCENTILES.into_iter().filter(|_| is_advanced) {
            let value = summary.and_then(|summary| summary.percentile(share));
            tell(&format!("{prefix}_{name}"), Number::Whole(whole(value.unwrap_or(0))));
        }
    });
}

/// Those of each top-level znode together.
fn quotas(shared: &Shared) -> BTreeMap<String, Quota> {
    let mut found = BTreeMap::<String, Quota>::new();
    shared.tree().each_quota(|path, quota| {
        let Some(namespace) = namespace(path) else { return };
        let sum = found.entry(namespace.to_owned()).or_default();
        for (sum, one) in [
            (&mut sum.count_limit, quota.count_limit),
            (&mut sum.bytes_limit, quota.bytes_limit),
            (&mut sum.count, quota.count),
            (&mut sum.bytes, quota.bytes),
        ] {
            *sum = sum.saturating_add(one);
        }
    });
    found
}

type OfQuota = (&'static str, fn(&Quota) -> i64);

const QUOTAS: [OfQuota; 4] = [
    ("quota_count_limit_per_namespace", |quota| quota.count_limit),
    ("quota_bytes_limit_per_namespace", |quota| quota.bytes_limit),
    ("quota_count_usage_per_namespace", |quota| quota.count),
    ("quota_bytes_usage_per_namespace", |quota| quota.bytes),
];

/// Latencies of reads and writes together, in ms.
pub(crate) fn latency(stats: &Stats) -> Seen {
    Summary::seen_in([&stats.reads, &stats.updates])
}

fn gauges(shared: &Shared) -> Vec<(&'static str, Value<'static>)> {
    let stats = &shared.stats;
    let latency = latency(stats);
    let drop_probability = f64::from_bits(stats.drop_probability.load(Relaxed));
    let tree = shared.tree();
    let (nodes, ephemerals, sessions) =
        (tree.node_count(), tree.ephemeral_count(), tree.sessions().len());
    let (connections, watches) = {
        let watchers = shared.watchers();
        (watchers.count(), watchers.watches.distinct(&tree))
    };
    drop(tree);
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
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];
