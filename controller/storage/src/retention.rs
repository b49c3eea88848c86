//! Which files may go.

use std::fs;
use std::io;
use std::path::Path;

use types::Zxid;

use crate::data_dir::list;
use crate::disk;
use crate::log_file::PREFIX as LOG;
use crate::log_reader::CUT_PREFIX;
use crate::snapshot_writer::{PREFIX as SNAPSHOT, STAGING};

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    /// Snapshot files.
    pub snapshots: usize,
    /// Log files.
    pub logs: usize,
}

/// Keeps the newest `keep` snapshots (at least 3, as Apache does) and every log file that is needed from
/// the oldest of them on; removes the rest, a part at a time, and calls `rest` between the parts. Call it only after a
/// snapshot was written whole. The log may be written, cut or exchanged meanwhile.
pub fn purge(
    snapshots: &Path,
    logs: &Path,
    keep: usize,
    mut rest: impl FnMut(),
) -> io::Result<Removed> {
    let mut removed = Removed::default();
    let all = list(snapshots, SNAPSHOT)?;
    let surplus = all.len().saturating_sub(keep.max(MIN_KEPT));
    for (_, path) in &all[..surplus] {
        remove_in_parts(path, &mut rest)?;
        removed.snapshots += 1;
    }
    let Some((oldest, _)) = all.get(surplus) else { return Ok(removed) };
    let files = list(logs, LOG)?;
    let needed = files.iter().rposition(|(first, _)| first <= oldest).unwrap_or(0);
    for (_, path) in &files[..needed] {
        remove_in_parts(path, &mut rest)?;
        removed.logs += 1;
    }
    let first = files.get(needed).map_or(*oldest, |(first, _)| *first);
    purge_cuts(logs, first)?;
    Ok(removed)
}

/// Removes a file from its end on. Where the system tells the disk at once of all the room that a file leaves (ext4's
/// `discard`), the log's flushes wait behind it: 30 ms for 200 MB.
fn remove_in_parts(path: &Path, rest: &mut impl FnMut()) -> io::Result<()> {
    let Some(file) = disk::File::open_unread(path)? else {
        return disk::remove_if_there(path);
    };
    let mut length = file.length()?;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return disk::remove_if_there(path);
    };
    let removing = dir.join(format!("{REMOVING}{name}"));
    match disk::rename(path, &removing) {
        // Whoever exchanges all that is there has taken it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    // A crash must not leave part of it under its name.
    disk::sync_dir(dir)?;
    while length > PART_BYTES {
        length -= PART_BYTES;
        file.set_len(length)?;
        rest();
    }
    disk::remove(&removing)
}

/// Removes what whoever wrote, received or removed files here had not finished when the member ended. Nobody may be at
/// work on them.
pub(crate) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_snapshot = name.starts_with("troupe-snapshot.") && name.ends_with(".tmp");
        if is_snapshot || name.starts_with(STAGING) || name.starts_with(REMOVING) {
            disk::remove(&entry.path())?;
        }
    }
    Ok(())
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

const MIN_KEPT: usize = 3;
/// What is being removed: this, and the name that it had.
const REMOVING: &str = "troupe-removing.";
const PART_BYTES: u64 = 4 << 20;

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
            "troupe-cut.log.1",
            "troupe-cut.log.b",
        ] {
            fs::write(dir.join(name), "").expect("it is writable");
        }
        let removed = purge(dir, dir, 3, || {}).expect("it is writable");
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

    #[test]
    fn a_large_file_leaves_a_part_at_a_time_unless_somebody_reads_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path();
        let size = 2 * PART_BYTES + 1;
        for name in ["snapshot.1", "snapshot.2", "snapshot.3", "snapshot.4", "snapshot.5"] {
            let file = fs::File::create(dir.join(name)).expect("it is writable");
            file.set_len(size).expect("there is room");
        }
        let read = disk::open_for_reading(&dir.join("snapshot.1")).expect("it is there");
        let mut left = Vec::new();
        let removing = dir.join(format!("{REMOVING}snapshot.2"));
        let rest = || {
            left.push(fs::metadata(&removing).expect("it is there").len());
            let gone = disk::open_for_reading(&removing).expect_err("it is not whole");
            assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        };
        let removed = purge(dir, dir, 3, rest).expect("it is writable");
        assert_eq!(removed, Removed { snapshots: 2, logs: 0 });
        assert_eq!(left, [PART_BYTES + 1, 1]);
        assert_eq!(read.metadata().expect("it is open").len(), size);
        assert_eq!(fs::read_dir(dir).expect("it can be listed").count(), 3);
    }

    #[test]
    fn what_was_not_finished_goes_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path();
        let kept = ["snapshot.1", "log.1", "troupe-install.5", "troupe-cut.log.1"];
        let gone = ["troupe-snapshot.19.tmp", "troupe-staging.5.0", "troupe-removing.snapshot.1"];
        for name in kept.into_iter().chain(gone) {
            fs::write(dir.join(name), "").expect("it is writable");
        }
        remove_unfinished(dir).expect("it is writable");
        let names = fs::read_dir(dir).expect("it can be listed");
        let mut left: Vec<_> = names
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"))
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["log.1", "snapshot.1", "troupe-cut.log.1", "troupe-install.5"]);
    }
}
