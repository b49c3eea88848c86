//! Taking back what a new leader does not have: the log ends at a transaction, and no snapshot is newer.

use std::io;
use std::path::{Path, PathBuf};

use types::Zxid;

use crate::data_dir::list;
use crate::disk::{self, File, sync_dir};
use crate::history::end_of;
use crate::log_file::PREFIX as LOG;
use crate::log_reader::{self, read_links};
use crate::snapshot_writer::PREFIX as SNAPSHOT;
use crate::{TxnLogError, watermark};

/// Why the log could not be cut. Where it says so, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// The transaction is not in the log, so this history is not the leader's. Nothing was changed.
    #[error("the log in {} does not hold {to:?}, where the leader wants it to end", dir.display())]
    NotThere {
        /// The log's directory.
        dir: PathBuf,
        /// The transaction.
        to: Zxid,
    },
    /// No snapshot is old enough to begin from. Nothing was changed.
    #[error("every snapshot in {} is newer than {to:?}, where the leader wants the log to end", dir.display())]
    NoSnapshot {
        /// The snapshots' directory.
        dir: PathBuf,
        /// The transaction.
        to: Zxid,
    },
    /// The log cannot be read. Nothing was changed.
    #[error(transparent)]
    Log(#[from] TxnLogError),
    /// The system refuses.
    #[error("cut the log: {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Cuts the log right behind `to` and removes all that is newer. A crash on the way leaves a log that ends
/// somewhere between `to` and where it ended before. Nobody may be writing to the log.
pub(crate) fn truncate(logs: &Path, snapshots: &Path, to: Zxid) -> Result<(), TruncateError> {
    let listed = |dir: &Path, prefix| {
        list(dir, prefix).map_err(|source| TruncateError::Io { path: dir.to_owned(), source })
    };
    let found = listed(snapshots, SNAPSHOT)?;
    if found.first().is_none_or(|(oldest, _)| *oldest > to) {
        return Err(TruncateError::NoSnapshot { dir: snapshots.to_owned(), to });
    }
    let mut counting = log_reader::logs(logs, &read_links(logs)?)?;
    let at = counting.iter().rposition(|file| file.first <= to);
    let cut = match at.map(|at| counting.swap_remove(at)) {
        Some(file) => end_of(file.clone(), to)?.map(|end| (file.path, end)),
        None => None,
    };
    // Where the log begins behind a snapshot, the snapshot may be what holds it.
    if cut.is_none() && (at.is_some() || found.iter().all(|(zxid, _)| *zxid != to)) {
        return Err(TruncateError::NotThere { dir: logs.to_owned(), to });
    }
    let path = logs.join(watermark::FILE);
    // Before anything goes: a log that ends below it would be taken for one that lost its end.
    watermark::lower(logs, to).map_err(|source| TruncateError::Io { path, source })?;
    let newer = found.into_iter().filter(|(zxid, _)| *zxid > to).map(|(_, path)| path);
    remove_in_order(snapshots, newer.rev())?;
    // Those that were taken back before, too.
    let files = listed(logs, LOG)?.into_iter().filter(|(first, _)| *first > to);
    remove_in_order(logs, files.rev().map(|(_, path)| path))?;
    let Some((path, end)) = cut else { return Ok(()) };
    let cut = || {
        let file = File::open(&path)?;
        file.set_len(end)?;
        file.sync_all()
    };
    cut().map_err(|source| TruncateError::Io { path, source })
}

/// Removes files one after another, so that a crash leaves none whose predecessor is gone. Old ones may be removed by
/// a purge meanwhile.
pub(crate) fn remove_in_order(
    dir: &Path,
    paths: impl Iterator<Item = PathBuf>,
) -> Result<(), TruncateError> {
    for path in paths {
        disk::remove_if_there(&path)
            .and_then(|()| sync_dir(dir))
            .map_err(|source| TruncateError::Io { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use types::Epoch;

    use super::*;
    use crate::log_file::entry_of;
    use crate::{History, LogReader, LogWriter};

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    /// Logs of 1-4, 5-8, 9-12 and snapshots after 2, 6 and 10.
    fn filled(dir: &Path) {
        let mut writer = LogWriter::new(dir, 0, true).behind(Zxid::ZERO);
        for counter in 1..=12 {
            writer.stage(zxid(counter), &entry_of(zxid(counter), b"x"));
            writer.commit().expect("there is room");
            if counter % 4 == 0 {
                writer.roll();
            }
        }
        for counter in [2, 6, 10] {
            let name = format!("snapshot.{:x}", zxid(counter).bits());
            fs::write(dir.join(name), "").expect("it is writable");
        }
        watermark::lower(dir, zxid(12)).expect("it is writable");
    }

    fn read(dir: &Path) -> (Option<u32>, Vec<u32>) {
        read_behind(dir, Zxid::ZERO)
    }

    fn read_behind(dir: &Path, after: Zxid) -> (Option<u32>, Vec<u32>) {
        let mut reader = LogReader::open(dir, after).expect("it is there");
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().expect("it is whole") {
            found.push(entry.zxid.counter());
        }
        let snapshots = list(dir, SNAPSHOT).expect("it can be listed");
        (found.last().copied(), snapshots.iter().map(|(zxid, _)| zxid.counter()).collect())
    }

    #[test]
    fn the_log_ends_where_it_was_cut_and_no_snapshot_is_newer() {
        for (to, snapshots) in [(12, &[2, 6, 10][..]), (8, &[2, 6]), (7, &[2, 6]), (2, &[2])] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            filled(dir.path());
            truncate(dir.path(), dir.path(), zxid(to)).expect("it is in the log");
            assert_eq!(read(dir.path()), (Some(to), snapshots.to_vec()));
            // The next one goes where the first of those that went was.
            let mut writer = LogWriter::new(dir.path(), 0, true).behind(zxid(to));
            let next = Zxid::new(Epoch(2), 1);
            writer.stage(next, &entry_of(next, b"y"));
            writer.commit().expect("there is room");
            drop(writer);
            assert_eq!(read(dir.path()).0, Some(1));
        }
    }

    #[test]
    fn a_cut_that_comes_undone_takes_nothing_back() {
        let all = |dir: &Path, after| {
            let mut found = Vec::new();
            let mut history =
                History::open(dir, after, Zxid::new(Epoch(2), 2)).expect("it is there");
            while let Some(entry) = history.next_entry().expect("it is whole") {
                found.push(entry.zxid);
            }
            found
        };
        let dir = tempfile::tempdir().expect("a temporary directory");
        filled(dir.path());
        let old: Vec<_> = ["log.100000005", "log.100000009"]
            .map(|name| dir.path().join(name))
            .map(|path| (fs::read(&path).expect("it is there"), path))
            .into();
        truncate(dir.path(), dir.path(), zxid(7)).expect("it is in the log");
        let mut writer = LogWriter::new(dir.path(), 0, true).behind(zxid(7));
        let new = [1, 2].map(|counter| Zxid::new(Epoch(2), counter));
        for next in new {
            writer.stage(next, &entry_of(next, b"y"));
            writer.commit().expect("there is room");
        }
        drop(writer);
        let expected: Vec<_> = (1..=7).map(zxid).chain(new).collect();
        assert_eq!(all(dir.path(), Zxid::ZERO), expected);
        // The power is cut, and neither the cut of the one nor the end of the other was on the disk.
        for (bytes, path) in &old {
            fs::write(path, bytes).expect("it is writable");
        }
        assert_eq!(all(dir.path(), Zxid::ZERO), expected);
        assert_eq!(all(dir.path(), zxid(6)), expected[6..]);
        assert_eq!(read(dir.path()).0, Some(2));
        let place = History::last_up_to(dir.path(), zxid(12)).expect("it is whole");
        assert_eq!(place, Some(zxid(7)));
        let refused = truncate(dir.path(), dir.path(), zxid(8));
        assert!(matches!(refused, Err(TruncateError::NotThere { .. })), "{refused:?}");
        // What is behind may be damaged as it will.
        let mut torn = old[0].0.clone();
        let end = torn.len() - 1;
        torn[end - 20] ^= 1;
        fs::write(&old[0].1, torn).expect("it is writable");
        assert_eq!(all(dir.path(), Zxid::ZERO), expected);
        // Once what followed is gone, it must not come back either.
        truncate(dir.path(), dir.path(), zxid(7)).expect("it is in the log");
        assert_eq!(read(dir.path()).0, Some(7));
    }

    #[test]
    fn what_is_not_in_the_log_is_refused_and_nothing_is_changed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        filled(dir.path());
        for to in [zxid(13), Zxid::new(Epoch(2), 0)] {
            let refused = truncate(dir.path(), dir.path(), to);
            assert!(matches!(refused, Err(TruncateError::NotThere { .. })), "{refused:?}");
        }
        let refused = truncate(dir.path(), dir.path(), zxid(1));
        assert!(matches!(refused, Err(TruncateError::NoSnapshot { .. })), "{refused:?}");
        assert_eq!(read(dir.path()), (Some(12), vec![2, 6, 10]));
    }

    #[test]
    fn a_snapshot_may_be_what_the_log_ends_at() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        filled(dir.path());
        for name in ["log.100000001", "log.100000005"] {
            fs::remove_file(dir.path().join(name)).expect("it is there");
        }
        truncate(dir.path(), dir.path(), zxid(6)).expect("there is a snapshot of it");
        assert_eq!(read_behind(dir.path(), zxid(6)), (None, vec![2, 6]));
    }
}
