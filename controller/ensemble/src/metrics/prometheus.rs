//! The metrics in Prometheus' text format 0.0.4, by the bare names that Apache's provider gives them.

use std::fmt::Write as _;

use super::{Summary, Value, each};
use crate::report;
use crate::shared::Shared;

/// The body of `GET /metrics`.
pub(crate) fn text(shared: &Shared) -> String {
    let mut out = String::with_capacity(32 << 10);
    let mut before = String::new();
    each(shared, &mut |name, key, value| {
        // Those of all keys stand under one head.
        if before != name {
            put_head(&mut out, name, value);
            name.clone_into(&mut before);
        }
        put(&mut out, name, key, value);
    });
    let view = shared.standing.view();
    report::each_of_ensemble(shared, &view, &mut |name, value| {
        put_head(&mut out, name, Value::Gauge(value));
        put(&mut out, name, None, Value::Gauge(value));
    });
    out
}

fn put_head(out: &mut String, name: &str, value: Value<'_>) {
    let kind = match value {
        Value::Gauge(_) | Value::Fraction(_) => "gauge",
        Value::Counter(_) => "counter",
        Value::Basic(_) | Value::Advanced(_) => "summary",
    };
    writeln!(out, "# HELP {name} {name}\n# TYPE {name} {kind}").expect("strings grow");
}

fn put(out: &mut String, name: &str, key: Option<&str>, value: Value<'_>) {
    let mut line = |name: std::fmt::Arguments<'_>, quantile: Option<f64>, value: f64| {
        let mut labels = String::new();
        if let Some(key) = key {
            write!(labels, "key=\"{}\",", escaped(key)).expect("strings grow");
        }
        if let Some(quantile) = quantile {
            write!(labels, "quantile=\"{quantile}\",").expect("strings grow");
        }
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        writeln!(out, "{name}{labels} {value:?}").expect("strings grow");
    };
    let (summary, quantiles): (Option<&Summary>, &[f64]) = match value {
        Value::Gauge(value) => return line(format_args!("{name}"), None, value as f64),
        Value::Fraction(value) => return line(format_args!("{name}"), None, value),
        Value::Counter(value) => return line(format_args!("{name}"), None, value as f64),
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
        line(format_args!("{name}"), Some(*quantile), value);
    }
    line(format_args!("{name}_count"), None, seen.map_or(0.0, |seen| seen.count as f64));
    line(format_args!("{name}_sum"), None, seen.map_or(0.0, |seen| seen.sum as f64));
}

/// A label's value: clients choose the names of znodes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_label_whatever_it_holds() {
        let mut out = String::new();
        put(&mut out, "read", Some("a\"b\\c\n"), Value::Gauge(1));
        assert_eq!(out, "read{key=\"a\\\"b\\\\c\\n\",} 1.0\n");
    }
}
