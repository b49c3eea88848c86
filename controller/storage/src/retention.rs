//! Which files may go.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use types::Zxid;

use crate::Compression;
use crate::data_dir::list;
use crate::disk;
use crate::log_file::PREFIX as LOG;
use crate::log_reader::CUT_PREFIX;
use crate::snapshot_writer::{MAGIC, PREFIX as SNAPSHOT, SEAL_END, STAGING};

/// What of snapshots and logs is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// So many snapshots, with the logs they need; at least 3, as with Apache.
    pub snapshots: usize,
    /// No more than so many bytes of both, but for the newest snapshot and what follows it; `None`: no matter how many.
    pub bytes: Option<u64>,
}

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    /// Snapshot files.
    pub snapshots: usize,
    /// Log files.
    pub logs: usize,
}

/// Keeps the newest snapshots that look whole and every log file that is needed from the oldest of them on; removes what is
/// older, a part at a time, and calls `rest` between the parts. Call it only after a snapshot was written whole. The log may be written, cut or exchanged meanwhile.
pub fn purge(
    snapshots: &Path,
    logs: &Path,
    keep: Retention,
    mut rest: impl FnMut(),
) -> io::Result<Removed> {
    let mut removed = Removed::default();
    let all = list(snapshots, SNAPSHOT)?;
    let files = list(logs, LOG)?;
    let needed = |oldest| files.iter().rposition(|(first, _)| *first <= oldest).unwrap_or(0);
    let held = |at: usize, oldest| {
        let kept = all[at..].iter().chain(&files[needed(oldest)..]);
        kept.map(|(_, path)| fs::metadata(path).map_or(0, |metadata| metadata.len())).sum::<u64>()
    };
    let mut kept = 0;
    let mut first = all.len();
    for (at, (zxid, path)) in all.iter().enumerate().rev() {
        if kept == keep.snapshots.max(MIN_KEPT) {
            break;
        }
        if looks_whole(path)? {
            if kept > 0 && keep.bytes.is_some_and(|most| held(at, *zxid) > most) {
                break;
            }
            kept += 1;
        }
        first = at;
    }
    for (_, path) in &all[..first] {
        remove_in_parts(path, &mut rest)?;
        removed.snapshots += 1;
    }
    let Some((oldest, _)) = all.get(first) else { return Ok(removed) };
    let needed = needed(*oldest);
    for (_, path) in &files[..needed] {
        remove_in_parts(path, &mut rest)?;
        removed.logs += 1;
    }
    let first = files.get(needed).map_or(*oldest, |(first, _)| *first);
    purge_cuts(logs, first)?;
    Ok(removed)
}

/// Whether a snapshot was finished, by its first and last bytes: what nobody could load must not stand for one that somebody
/// could. Source: `SnapStream.isValidSnapshot`.
fn looks_whole(path: &Path) -> io::Result<bool> {
    let mut file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let (begin, end): (&[u8], &[u8]) = match Compression::of(path) {
        Compression::None => (&MAGIC, &SEAL_END),
        packed => (packed.magic(), &[]),
    };
    if file.metadata()?.len() < (begin.len() + end.len()) as u64 {
        return Ok(false);
    }
    let mut found = vec![0; begin.len()];
    file.read_exact(&mut found)?;
    let mut last = vec![0; end.len()];
    file.seek(SeekFrom::End(-(end.len() as i64)))?;
    file.read_exact(&mut last)?;
    Ok(found == begin && last == end)
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
    use std::os::unix::fs::FileExt;

    use super::*;

    const THREE: Retention = Retention { snapshots: 3, bytes: None };

    fn snapshot(path: &Path, length: u64) {
        let file = fs::File::create(path).expect("it is writable");
        file.write_all_at(&MAGIC, 0).expect("it is writable");
        file.write_all_at(&SEAL_END, length - SEAL_END.len() as u64).expect("it is writable");
    }

    #[test]
    fn what_nobody_could_load_stands_for_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path();
        for name in ["snapshot.3", "snapshot.5", "snapshot.7"] {
            snapshot(&dir.join(name), 100);
        }
        fs::write(dir.join("snapshot.6.gz"), [0x1f, 0x8b]).expect("it is writable");
        fs::write(dir.join("snapshot.1"), "ZKSN").expect("it is writable");
        for name in ["snapshot.8", "snapshot.f00000001", "snapshot.ffffffffffffffff"] {
            fs::write(dir.join(name), "").expect("it is writable");
        }
        fs::write(dir.join("snapshot.9.snappy"), "no such").expect("it is writable");
        for name in ["log.2", "log.4", "log.8"] {
            fs::write(dir.join(name), "").expect("it is writable");
        }
        let removed = purge(dir, dir, THREE, || {}).expect("it is writable");
        assert_eq!(removed, Removed { snapshots: 2, logs: 1 });
        for name in ["snapshot.5", "snapshot.6.gz", "snapshot.7", "log.4", "log.8"] {
            assert!(dir.join(name).exists(), "{name}");
        }
    }

    #[test]
    fn no_more_bytes_are_held_than_allowed_but_for_the_newest() {
        let held = |bytes| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let dir = dir.path();
            for at in 1..=5 {
                snapshot(&dir.join(format!("snapshot.{at}0")), 1_000);
                fs::write(dir.join(format!("log.{at}1")), [1; 100]).expect("it is writable");
            }
            let keep = Retention { snapshots: 4, bytes: Some(bytes) };
            purge(dir, dir, keep, || {}).expect("it is writable");
            let names = fs::read_dir(dir).expect("it can be listed");
            names.count()
        };
        // Behind snapshot 50 comes log 51; what it needs begins in log 41.
        assert_eq!(held(0), 3);
        assert_eq!(held(2_299), 3);
        assert_eq!(held(2_300), 5);
        assert_eq!(held(1_000_000), 9);
    }

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
            match name.starts_with("snapshot") {
                true => snapshot(&dir.join(name), 100),
                false => fs::write(dir.join(name), "").expect("it is writable"),
            }
        }
        let removed = purge(dir, dir, THREE, || {}).expect("it is writable");
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
            snapshot(&dir.join(name), size);
        }
        let read = disk::open_for_reading(&dir.join("snapshot.1")).expect("it is there");
        let mut left = Vec::new();
        let removing = dir.join(format!("{REMOVING}snapshot.2"));
        let rest = || {
            left.push(fs::metadata(&removing).expect("it is there").len());
            let gone = disk::open_for_reading(&removing).expect_err("it is not whole");
            assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        };
        let removed = purge(dir, dir, THREE, rest).expect("it is writable");
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
