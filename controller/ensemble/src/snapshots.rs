//! When a snapshot is taken, and the thread that writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use jute::TxnDigest;
use storage::{Compression, SnapshotDigest, SnapshotWriteError, SnapshotWriter};
use znodes::{Frozen, Rules};

use crate::MemberConfig;
use crate::core::{Command, wall_ms};
use crate::metrics::micros;
use crate::shared::Shared;

/// Counts transactions and writes a snapshot after so many.
#[derive(Debug)]
pub(crate) struct Snapshots {
    every: u32,
    since_last: u32,
    writing: Option<JoinHandle<()>>,
    /// When the one that is being written, or else the last one, began.
    begun: Option<Instant>,
    /// Not before this is the next one begun.
    rests_until: Option<Instant>,
    dir: PathBuf,
    log_dir: PathBuf,
}

impl Snapshots {
    /// `replayed` transactions are in the log behind the last snapshot already.
    pub(crate) fn new(every: u32, replayed: u32, dirs: &storage::DataDir) -> Self {
        Self {
            every: every.max(2),
            since_last: replayed,
            writing: None,
            begun: None,
            rests_until: None,
            dir: dirs.snapshots().to_owned(),
            log_dir: dirs.logs().to_owned(),
        }
    }

    /// More transactions were applied. True when a snapshot is due: after so many of them, and not before the
    /// last one's time has passed some times over. Else a large tree under many writes would be written all
    /// the time, which takes more from the writes than a longer log takes from the next start.
    pub(crate) fn count(&mut self, transactions: usize) -> bool {
        let more = u32::try_from(transactions).unwrap_or(u32::MAX);
        self.since_last = self.since_last.saturating_add(more);
        self.since_last >= self.every
            && self.writing.is_none()
            && self.rests_until.is_none_or(|until| until <= Instant::now())
    }

    /// Writes the snapshot on a thread of its own; the core is told when it is done.
    pub(crate) fn begin(&mut self, frozen: Frozen, shared: &Arc<Shared>) {
        self.since_last = 0;
        self.begun = Some(Instant::now());
        let (dir, log_dir) = (self.dir.clone(), self.log_dir.clone());
        let keep = shared.config.snapshots_retained;
        let shared = Arc::clone(shared);
        let work = move || {
            match take(&shared, &frozen) {
                Ok(_) => {
                    // A snapshot that somebody else takes meanwhile is no leftover.
                    let _one = shared.one_snapshot();
                    if let Err(error) = storage::purge(&dir, &log_dir, keep) {
                        tracing::warn!(%error, "old snapshots and logs could not be removed");
                    }
                }
                // The log still has everything; the next one is tried after as many transactions.
                Err(error) => tracing::warn!(%error, cause = ?error, "snapshot not written"),
            }
            shared.tell(Command::SnapshotDone);
        };
        match thread::Builder::new().name("snapshot".to_owned()).spawn(work) {
            Ok(thread) => self.writing = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread for a snapshot"),
        }
    }

    /// The thread has told that it is done.
    pub(crate) fn done(&mut self) {
        self.writing = None;
        self.rests_until = self.begun.map(|begun| rest_after(begun, Instant::now()));
    }
}

/// How long to wait after a snapshot that took from `begun` to `now`.
fn rest_after(begun: Instant, now: Instant) -> Instant {
    now + now.saturating_duration_since(begun).saturating_mul(RESTS)
}

/// Snapshots are written for at most a fifth of the time.
const RESTS: u32 = 4;

impl Drop for Snapshots {
    /// The directory's lock must outlive the writing.
    fn drop(&mut self) {
        if let Some(thread) = self.writing.take()
            && thread.join().is_err()
        {
            tracing::error!("the snapshot thread panicked");
        }
    }
}

/// Writes a whole snapshot of a running member, one at a time; answers with its file.
pub(crate) fn take(shared: &Shared, frozen: &Frozen) -> Result<PathBuf, SnapshotWriteError> {
    let _one = shared.one_snapshot();
    let begun = Instant::now();
    let stats = &shared.stats;
    let config = &shared.config;
    match write(&dir(config), frozen, config.snapshot_compression, config.rules) {
        Ok((path, bytes)) => {
            tracing::info!(zxid = %frozen.zxid(), bytes, "snapshot written");
            stats.snapshots.fetch_add(1, Relaxed);
            stats.snapshot_bytes.store(bytes, Relaxed);
            stats.snapshot_time.record(micros(begun.elapsed()));
            shared.set_last_snapshot(frozen.zxid(), wall_ms() / 1000);
            Ok(path)
        }
        Err(error) => {
            stats.snapshot_errors.fetch_add(1, Relaxed);
            Err(error)
        }
    }
}

/// Where a member's snapshots are.
pub(crate) fn dir(config: &MemberConfig) -> PathBuf {
    config.data_dir.join("version-2")
}

/// Writes a whole snapshot; answers with its file and its plain size in bytes.
pub(crate) fn write(
    dir: &Path,
    frozen: &Frozen,
    compression: Compression,
    rules: Rules,
) -> Result<(PathBuf, u64), SnapshotWriteError> {
    let mut writer = SnapshotWriter::create(dir, frozen.zxid(), compression)?;
    if let Err(source) = frozen.write(&mut writer) {
        return Err(writer.failed(source));
    }
    let path = writer.path().to_owned();
    Ok((path, writer.finish(digest(frozen, rules), frozen.zxid())?))
}

/// What a snapshot tells of the sum over its tree.
pub(crate) fn digest(frozen: &Frozen, rules: Rules) -> Option<SnapshotDigest> {
    let TxnDigest { version, tree } = frozen.digest();
    let digest = SnapshotDigest { zxid: frozen.zxid(), version, digest: tree };
    (!rules.no_digests).then_some(digest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_snapshot_is_due_after_its_transactions_and_a_rest() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dirs = storage::DataDir::open(dir.path(), None).expect("nobody else is there");
        let mut snapshots = Snapshots::new(10, 4, &dirs);
        assert!(!snapshots.count(5));
        assert!(snapshots.count(1), "those that were replayed count");
        let now = Instant::now();
        snapshots.rests_until = Some(now + Duration::from_secs(3600));
        assert!(!snapshots.count(100), "it rests");
        snapshots.rests_until = Some(now);
        assert!(snapshots.count(0));
        assert_eq!(rest_after(now, now + Duration::from_secs(1)), now + Duration::from_secs(5));
    }
}
