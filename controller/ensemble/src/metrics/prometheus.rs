//! The metrics in Prometheus' text format 0.0.4, by the bare names that Apache's provider gives them.

use std::fmt::Write as _;

use super::{Summary, Value, each};
use crate::report;
use crate::shared::Shared;

/// The body of `GET /metrics`.
pub(crate) fn text(shared: &Shared) -> String {
    let mut out = String::with_capacity(32 << 10);
    each(shared, &mut |name, value| put(&mut out, name, value));
    let view = shared.standing.view();
    let gauge = &mut |name: &str, value| put(&mut out, name, Value::Gauge(value));
    report::each_of_ensemble(shared, &view, gauge);
    out
}

fn put(out: &mut String, name: &str, value: Value<'_>) {
    let kind = match value {
        Value::Gauge(_) | Value::Fraction(_) => "gauge",
        Value::Counter(_) => "counter",
        Value::Basic(_) | Value::Advanced(_) => "summary",
    };
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("strings grow");
        out.push('\n');
    };
    line(format_args!("# HELP {name} {name}"));
    line(format_args!("# TYPE {name} {kind}"));
    let (summary, quantiles): (Option<&Summary>, &[f64]) = match value {
        Value::Gauge(value) => return line(format_args!("{name} {:?}", value as f64)),
        Value::Fraction(value) => return line(format_args!("{name} {value:?}")),
        Value::Counter(value) => return line(format_args!("{name} {:?}", value as f64)),
        Value::Basic(summary) => (summary, &[0.5]),
        Value::Advanced(summary) => (summary, &[0.5, 0.9, 0.99]),
    };
    let seen = summary.map(Summary::seen).filter(|seen| seen.count > 0);
    for quantile in quantiles {
        // Without percentiles the average stands in for the middle.
        let value = seen.map_or(f64::NAN, |seen| {
            let exact = summary.and_then(|summary| summary.percentile(*quantile));
            exact.map_or(seen.average, |value| value as f64)
        });
        line(format_args!("{name}{{quantile=\"{quantile}\",}} {value:?}"));
    }
    line(format_args!("{name}_count {:?}", seen.map_or(0.0, |seen| seen.count as f64)));
    line(format_args!("{name}_sum {:?}", seen.map_or(0.0, |seen| seen.sum as f64)));
}
