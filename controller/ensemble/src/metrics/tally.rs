//! What transactions did, while they are applied: equal values that follow each other are recorded at once.

use jute::Txn;

use super::{Keyed, Stats, Summary};

/// Of the transactions that are applied together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    namespace: String,
    written: Run,
    late_ms: Run,
}

/// A value, and how often it came without another one between.
#[derive(Debug, Default)]
struct Run {
    value: u64,
    count: u32,
}

impl Run {
    /// One more; answers with the run that this ends.
    fn add(&mut self, value: u64) -> Option<Self> {
        if self.value == value && self.count < u32::MAX {
            self.count += 1;
            return None;
        }
        Some(std::mem::replace(self, Self { value, count: 1 }))
    }
}

impl Tally {
    /// A transaction was applied without an error, so many ms after its leader made it.
    pub(crate) fn applied(&mut self, stats: &Stats, txn: &Txn, late_ms: u64) {
        if let Some(run) = self.late_ms.add(late_ms) {
            record_late(&stats.propagation, &run);
        }
        self.wrote(stats, txn);
    }

    /// Nothing more is applied now.
    pub(crate) fn settle(&mut self, stats: &Stats) {
        record_late(&stats.propagation, &std::mem::take(&mut self.late_ms));
        self.settle_written(&stats.written);
    }

    fn wrote(&mut self, stats: &Stats, txn: &Txn) {
        let length = |data: &Option<bytes::Bytes>| data.as_ref().map_or(0, bytes::Bytes::len);
        match txn {
            Txn::Create(create)
            | Txn::Create2(create)
            | Txn::CreateContainer(create)
            | Txn::CreateTtl(create, _) => {
                self.wrote_at(stats, &create.path, length(&create.data));
            }
            Txn::SetData(set) | Txn::Reconfig(set) => {
                self.wrote_at(stats, &set.path, length(&set.data));
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => self.wrote_at(stats, path, 0),
            Txn::CloseSession(paths) => {
                for path in paths.iter().flatten() {
                    self.wrote_at(stats, path, 0);
                }
            }
            Txn::Multi(parts) if !parts.iter().any(|part| matches!(part, Txn::Error(_))) => {
                for part in parts {
                    self.wrote(stats, part);
                }
            }
            _ => {}
        }
    }

    fn wrote_at(&mut self, stats: &Stats, path: &str, data: usize) {
        let Some(namespace) = namespace(path) else { return };
        if self.namespace != namespace {
            self.settle_written(&stats.written);
            self.namespace.clear();
            self.namespace.push_str(namespace);
        }
        if let Some(Run { value, count }) = self.written.add((path.len() + data) as u64) {
            stats.written.record(namespace, value, count);
        }
    }

    fn settle_written(&mut self, written: &Keyed) {
        let Run { value, count } = std::mem::take(&mut self.written);
        if count > 0 {
            written.record(&self.namespace, value, count);
        }
    }
}

fn record_late(to: &Summary, run: &Run) {
    to.record_often(run.value.saturating_mul(1000), run.count);
}

/// The top-level znode that a path is below, or is; `None` for the root.
pub(crate) fn namespace(path: &str) -> Option<&str> {
    let first = path.strip_prefix('/')?.split('/').next()?;
    (!first.is_empty()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told_by_namespace() {
        let stats = Stats::default();
        let mut tally = Tally::default();
        let delete = |path: &str| Txn::Delete { path: path.into() };
        let refused = Txn::Multi(vec![delete("/a/never"), Txn::Error(jute::ErrorCode::NoNode)]);
        for txn in [
            delete("/a/1"),
            delete("/a/2"),
            delete("/b"),
            refused,
            Txn::Multi(vec![delete("/a/34"), Txn::CloseSession(Some(vec!["/b/5".into()]))]),
        ] {
            tally.applied(&stats, &txn, 2);
        }
        tally.settle(&stats);
        tally.settle(&stats);
        let mut seen = Vec::new();
        stats.written.each(|key, summary| {
            seen.push((key.to_owned(), summary.seen().count, summary.seen().sum))
        });
        assert_eq!(seen, [("a".to_owned(), 3, 13), ("b".to_owned(), 2, 6)]);
        let late = stats.propagation.seen();
        assert_eq!((late.count, late.sum, late.max), (5, 10, 2));
        assert_eq!(
            (namespace("/"), namespace("/a"), namespace("/a/b")),
            (None, Some("a"), Some("a"))
        );
    }
}
