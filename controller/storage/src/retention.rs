//! Which files may go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use types::Zxid;

use crate::data_dir::list;
use crate::disk;
use crate::log_file::PREFIX as LOG;
use crate::log_reader::CUT_PREFIX;
use crate::snapshot_writer::PREFIX as SNAPSHOT;

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    /// Snapshot files.
    pub snapshots: usize,
    /// Log files.
    pub logs: usize,
}

/// Keeps the newest `keep` snapshots (at least 3, as Apache does) and every log file that is needed from
/// the oldest of them on; removes the rest, and what interrupted snapshots left. Call it only after a
/// snapshot was written whole. The log may be written, cut or exchanged meanwhile.
pub fn purge(snapshots: &Path, logs: &Path, keep: usize) -> io::Result<Removed> {
    let mut removed = Removed::default();
    let all = list(snapshots, SNAPSHOT)?;
    for path in list_leftovers(snapshots)? {
        disk::remove_if_there(&path)?;
    }
    let surplus = all.len().saturating_sub(keep.max(MIN_KEPT));
    for (_, path) in &all[..surplus] {
        disk::remove_if_there(path)?;
        removed.snapshots += 1;
    }
    let Some((oldest, _)) = all.get(surplus) else { return Ok(removed) };
    let files = list(logs, LOG)?;
    let needed = files.iter().rposition(|(first, _)| first <= oldest).unwrap_or(0);
    for (_, path) in &files[..needed] {
        disk::remove_if_there(path)?;
        removed.logs += 1;
    }
    let first = files.get(needed).map_or(*oldest, |(first, _)| *first);
    purge_cuts(logs, first)?;
    Ok(removed)
}

/// What was set aside of logs older than `first`.
fn purge_cuts(logs: &Path, first: Zxid) -> io::Result<()> {
    let prefix = format!("{CUT_PREFIX}{LOG}");
    for (zxid, path) in list(logs, &prefix)? {
        if zxid < first {
            disk::remove_if_there(&path)?;
        }
    }
    Ok(())
}

fn list_leftovers(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|n| n.starts_with("troupe-snapshot.") && n.ends_with(".tmp")) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

const MIN_KEPT: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshots_stay_with_the_logs_they_need() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path();
        for name in [
            "snapshot.0",
            "log.1",
            "snapshot.5",
            "log.6",
            "snapshot.a",
            "log.b",
            "snapshot.f",
            "log.10",
            "snapshot.14",
            "troupe-snapshot.19.tmp",
            "troupe-cut.log.1",
            "troupe-cut.log.b",
        ] {
            fs::write(dir.join(name), "").expect("it is writable");
        }
        let removed = purge(dir, dir, 3).expect("it is writable");
        assert_eq!(removed, Removed { snapshots: 2, logs: 1 });
        let mut left: Vec<_> = fs::read_dir(dir)
            .expect("it can be listed")
            .map(|e| e.expect("an entry").file_name().into_string().expect("ASCII"))
            .collect();
        left.sort_unstable();
        // Records behind snapshot a begin in log.6.. or log.b: the file with the largest name up to it stays.
        assert_eq!(
            left,
            [
                "log.10",
                "log.6",
                "log.b",
                "snapshot.14",
                "snapshot.a",
                "snapshot.f",
                "troupe-cut.log.b"
            ]
        );
    }
}
