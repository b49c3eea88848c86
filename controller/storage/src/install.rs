//! A leader's snapshot in place of all that a member had.
//!
//! It is staged whole and durable under a name of its own first; from then on a crash finishes the exchange
//! at the next start, and before that nothing has changed.

use std::path::Path;

use types::Zxid;

use crate::data_dir::{file_name, is_full, list};
use crate::disk::{self, sync_dir};
use crate::log_file::PREFIX as LOG;
use crate::snapshot_writer::PREFIX as SNAPSHOT;
use crate::truncate::remove_in_order;
use crate::{TruncateError, watermark};

/// Staged snapshots: this, and the zxid.
pub(crate) const STAGED: &str = "troupe-install";

/// Exchanges what is there for the snapshot that is staged, if one is. Nobody may be writing to the log.
pub(crate) fn install(logs: &Path, snapshots: &Path) -> Result<Option<Zxid>, TruncateError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TruncateError::Io { path, source }
    };
    let mut staged = list(snapshots, STAGED).map_err(io(snapshots))?;
    let Some((zxid, path)) = staged.pop() else { return Ok(None) };
    remove_in_order(snapshots, staged.into_iter().map(|(_, path)| path))?;
    // Before anything goes, and not removed: a log that is behind no watermark any more would be in doubt. A full disk
    // has room for it once the old log is gone.
    let is_full = match watermark::lower(logs, zxid) {
        Err(error) if is_full(&error) => watermark::remove(logs).map(|()| true),
        lowered => lowered.map(|()| false),
    }
    .map_err(io(logs))?;
    let old = list(logs, LOG).map_err(io(logs))?;
    remove_in_order(logs, old.into_iter().rev().map(|(_, path)| path))?;
    // Older ones too: with the logs behind them gone nothing is to begin from them, should this one be damaged some day.
    let old = list(snapshots, SNAPSHOT).map_err(io(snapshots))?;
    remove_in_order(snapshots, old.into_iter().rev().map(|(_, path)| path))?;
    disk::rename(&path, &snapshots.join(file_name(SNAPSHOT, zxid)))
        .and_then(|()| sync_dir(snapshots))
        .map_err(io(&path))?;
    if is_full {
        // From here on damage behind it is told from rot again.
        watermark::lower(logs, zxid).map_err(io(logs))?;
    }
    Ok(Some(zxid))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::{DataDir, SnapshotDigest, SnapshotWriter};

    #[test]
    fn a_staged_snapshot_takes_the_place_of_all_at_the_latest_at_the_next_start() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let open = || DataDir::open(dir.path(), None).expect("nobody else is there");
        let dirs = open();
        let path = dirs.snapshots().to_owned();
        let unfinished = "troupe-staging.5.0";
        let old = ["snapshot.1", "snapshot.7.gz", "snapshot.5", "log.1", "log.6", watermark::FILE];
        for name in old.into_iter().chain([unfinished]) {
            fs::write(path.join(name), "old").expect("it is writable");
        }
        let zxid = Zxid::from_bits(5);
        let mut writer = SnapshotWriter::stage(&path, zxid).expect("it is writable");
        writer.write_all(b"body").expect("there is room");
        let digest = SnapshotDigest { zxid, version: 2, digest: 0 };
        // Unfinished, it counts for nothing.
        assert_eq!(install(&path, &path).expect("nothing to do"), None);
        writer.finish(digest, zxid).expect("there is room");
        drop(dirs);
        drop(open());
        let mut left: Vec<_> = fs::read_dir(&path)
            .expect("it can be listed")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"))
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["snapshot.5", watermark::FILE, watermark::COPY]);
        assert!(fs::read(path.join("snapshot.5")).expect("it is there").starts_with(b"ZKSN"));
    }
}
