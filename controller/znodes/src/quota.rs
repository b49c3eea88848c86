//! Znode quotas: how much a subtree may hold, and how much it holds.
//!
//! Lives here: the two znodes that make a quota, their text, whose quota counts for a path. Must not:
//! refuse (`prep` does). Start at [`State::excess`]. Source: `Quotas`, `StatsTrack`,
//! `DataTree.updateQuotaStat`, `ZooKeeperServer.checkQuota`.
//! **Invariant:** `State::quotas` holds the path of each limits znode, and nothing else.
//! Text that Apache dies of (a key without a number) is skipped, and a quota on the root is none.

use std::collections::BTreeMap;

use crate::State;
use crate::path;
use crate::tree::NodeId;

/// A change that exceeds a znode quota.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QuotaExcess {
    /// Whose quota: the znode above the change, or itself.
    pub path: String,
    /// Of what there would be too much.
    pub kind: QuotaKind,
    /// How much there may be.
    pub limit: i64,
    /// How much there would be.
    pub would_be: i64,
    /// Whether it is refused; a soft limit is only told.
    pub hard: bool,
}

/// What a znode quota counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QuotaKind {
    /// Znodes, the one with the quota among them.
    Count,
    /// Bytes of data.
    Bytes,
}

/// What a znode with a quota may hold and holds; a limit of -1 is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// Znodes, the one with the quota among them: the hard limit if there is one, else the soft one.
    pub count_limit: i64,
    /// The same of bytes of data.
    pub bytes_limit: i64,
    /// Znodes that there are.
    pub count: i64,
    /// Bytes that there are.
    pub bytes: i64,
}

/// How much more, or less, a change makes it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Difference {
    pub(crate) count: i64,
    pub(crate) bytes: i64,
}

impl Difference {
    pub(crate) fn made(data: Option<&[u8]>) -> Self {
        Self { count: 1, bytes: length(data) }
    }

    pub(crate) fn deleted(data: Option<&[u8]>) -> Self {
        Self { count: -1, bytes: -length(data) }
    }

    pub(crate) fn set(before: Option<&[u8]>, after: Option<&[u8]>) -> Self {
        Self { count: 0, bytes: length(after) - length(before) }
    }
}

impl State {
    /// The limit that a change at `path` exceeds: a hard one if there is one, else a soft one.
    ///
    /// Judged by the tree as it is, without what is on its way. Counts come before bytes, and what a
    /// change leaves as it is is not looked at.
    pub(crate) fn excess(&self, path: &str, change: Difference) -> Option<QuotaExcess> {
        let owner = self.quota_above(path)?;
        let limits = Track::parse(self.data_at(&limits_path(owner))?);
        let stats = Track::parse(self.data_at(&stats_path(owner))?);
        let excess = |kind, change: i64, is: &str, soft: &str, hard: &str| {
            let (hard_limit, soft_limit) = (limits.get(hard), limits.get(soft));
            let hard = hard_limit > -1;
            let limit = if hard { hard_limit } else { soft_limit };
            let would_be = stats.get(is).saturating_add(change);
            let exceeds = change != 0 && limit > -1 && would_be > limit;
            exceeds.then(|| QuotaExcess { path: owner.to_owned(), kind, limit, would_be, hard })
        };
        let count = excess(QuotaKind::Count, change.count, COUNT, COUNT, COUNT_HARD);
        if count.as_ref().is_some_and(|count| count.hard) {
            return count;
        }
        let bytes = excess(QuotaKind::Bytes, change.bytes, BYTES, BYTES, BYTES_HARD);
        if bytes.as_ref().is_some_and(|bytes| bytes.hard) { bytes } else { count.or(bytes) }
    }

    /// Tells each quota, by the path of the znode that has it.
    pub fn each_quota(&self, mut tell: impl FnMut(&str, Quota)) {
        for owner in &self.quotas {
            let limits = Track::parse(self.data_at(&limits_path(owner)).unwrap_or_default());
            let stats = Track::parse(self.data_at(&stats_path(owner)).unwrap_or_default());
            let limit = |hard, soft| match limits.get(hard) {
                none if none < 0 => limits.get(soft),
                hard => hard,
            };
            let (count_limit, bytes_limit) = (limit(COUNT_HARD, COUNT), limit(BYTES_HARD, BYTES));
            let (count, bytes) = (stats.get(COUNT), stats.get(BYTES));
            tell(owner, Quota { count_limit, bytes_limit, count, bytes });
        }
    }

    /// A znode was made: it may be part of a quota, and it counts for one.
    pub(crate) fn count_made(&mut self, path: &str, data: Option<&[u8]>) {
        if let Some(owner) = owner_of(path, LIMITS) {
            self.quotas.insert(owner.into());
        } else if let Some(owner) = owner_of(path, STATS) {
            self.recount(owner);
        }
        self.count_change(path, Difference::made(data));
    }

    /// A znode was deleted.
    pub(crate) fn count_deleted(&mut self, path: &str, change: Difference) {
        if let Some(owner) = owner_of(path, LIMITS) {
            self.quotas.remove(owner);
        }
        self.count_change(path, change);
    }

    /// Adds to the stats of the nearest quota. Without transaction, version or watch.
    pub(crate) fn count_change(&mut self, path: &str, change: Difference) {
        let Some(stats_path) = self.quota_above(path).map(stats_path) else {
            return;
        };
        let Some(data) = self.data_at(&stats_path) else {
            return;
        };
        let mut stats = Track::parse(data);
        stats.set(COUNT, stats.get(COUNT).saturating_add(change.count));
        stats.set(BYTES, stats.get(BYTES).saturating_add(change.bytes));
        let text = stats.text();
        self.put_stats(&stats_path, &text);
    }

    /// Finds the quotas of a tree that was loaded, and counts anew for each.
    pub(crate) fn take_up_quotas(&mut self) {
        let mut owners = Vec::new();
        self.below(ROOT, |path, _, stat| {
            let owner = owner_of(path, LIMITS).filter(|_| stat.num_children == 0);
            owners.extend(owner.map(str::to_owned));
        });
        for owner in owners {
            self.recount(&owner);
            self.quotas.insert(owner.into());
        }
    }

    /// The znode whose quota counts for `path`: the nearest above, or itself.
    fn quota_above<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.quotas.is_empty() {
            return None;
        }
        let mut above = path;
        while !above.is_empty() && !self.quotas.contains(above) {
            above = path::parent(above)?;
        }
        (!above.is_empty()).then_some(above)
    }

    /// Writes what is below `owner` into its stats, if there are any.
    fn recount(&mut self, owner: &str) {
        let (mut count, mut bytes) = (0, 0);
        if let Some(top) = self.tree.find(owner) {
            let mut stack = vec![top];
            while let Some(id) = stack.pop() {
                count += 1;
                bytes += length(self.tree.data(id));
                stack.extend(self.tree.children(id));
            }
        }
        let mut stats = Track::default();
        stats.set(COUNT, count);
        stats.set(BYTES, bytes);
        self.put_stats(&stats_path(owner), &stats.text());
    }

    fn put_stats(&mut self, path: &str, text: &str) {
        if let Some(id) = self.tree.find(path) {
            let stat = self.tree.stat(id);
            self.tree.set_data(id, &stat, Some(text.as_bytes()));
        }
    }

    /// `None` without a znode; null data is as empty.
    fn data_at(&self, path: &str) -> Option<&[u8]> {
        let data = |id: NodeId| self.tree.data(id).unwrap_or_default();
        self.tree.find(path).map(data)
    }
}

/// Numbers by name; -1 is no number.
#[derive(Debug, Default)]
struct Track<'a>(BTreeMap<&'a str, i64>);

impl<'a> Track<'a> {
    /// `count=1,bytes=-1=;byteHardLimit=5`. What is not of this form is left out, and of a text too long to
    /// be meant everything: it is read again for each change.
    fn parse(text: &'a [u8]) -> Self {
        let text = if text.len() > LONGEST { &[] } else { text };
        let text = std::str::from_utf8(text).unwrap_or_default();
        let pair = |pair: &'a str| {
            let mut parts = pair.split('=');
            let (key, value) = (parts.next()?, parts.next()?);
            let value = if value.is_empty() { Some(-1) } else { value.parse().ok() };
            value.map(|value| (key, value))
        };
        Self(text.split([',', ';']).filter_map(pair).collect())
    }

    fn get(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    fn set(&mut self, key: &'a str, value: i64) {
        self.0.insert(key, value);
    }

    /// The two keys that were always there come first; an `=` hides the others from old readers.
    fn text(&self) -> String {
        let mut text = format!("{COUNT}={},{BYTES}={}", self.get(COUNT), self.get(BYTES));
        let mut others = self.0.iter().filter(|(key, _)| ![COUNT, BYTES].contains(key)).peekable();
        if others.peek().is_some() {
            text.push('=');
        }
        for (key, value) in others {
            text.push_str(&format!(";{key}={value}"));
        }
        text
    }
}

/// The path whose limits or stats the znode at `path` is.
fn owner_of<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let owner = path.strip_prefix(ROOT)?.strip_suffix(name)?.strip_suffix('/')?;
    owner.starts_with('/').then_some(owner)
}

fn limits_path(owner: &str) -> String {
    format!("{ROOT}{owner}/{LIMITS}")
}

fn stats_path(owner: &str) -> String {
    format!("{ROOT}{owner}/{STATS}")
}

fn length(data: Option<&[u8]>) -> i64 {
    i64::try_from(data.map_or(0, <[u8]>::len)).unwrap_or(i64::MAX)
}

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";
/// The longest text of limits or stats that is read, in bytes.
const LONGEST: usize = 1024;
const COUNT: &str = "count";
const BYTES: &str = "bytes";
const COUNT_HARD: &str = "countHardLimit";
const BYTES_HARD: &str = "byteHardLimit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written_as_everywhere() {
        let text = "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3";
        let limits = Track::parse(text.as_bytes());
        assert_eq!(
            (limits.get(COUNT), limits.get(BYTES_HARD), limits.get(COUNT_HARD)),
            (-1, 10, 3)
        );
        assert_eq!(limits.text(), text);
        assert_eq!(Track::parse(b"count=5,bytes=").text(), "count=5,bytes=-1");
        for odd in ["", "count", "count=x", "=", ",;", "count=99999999999999999999"] {
            assert_eq!(Track::parse(odd.as_bytes()).get(COUNT), -1, "{odd:?}");
        }
    }

    #[test]
    fn only_what_is_below_the_root_of_quotas_is_one() {
        let owner = |path| owner_of(path, LIMITS);
        assert_eq!(owner("/zookeeper/quota/a/b/zookeeper_limits"), Some("/a/b"));
        for none in [
            "/zookeeper/quota/zookeeper_limits",
            "/zookeeper/quotas/a/zookeeper_limits",
            "/zookeeper/quota/a/zookeeper_stats",
            "/zookeeper/quota/a/x_zookeeper_limits",
            "/a/zookeeper_limits",
        ] {
            assert_eq!(owner(none), None, "{none}");
        }
    }
}
