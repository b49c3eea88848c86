//! When a snapshot is taken, and the thread that writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};

use storage::{Compression, SnapshotDigest, SnapshotWriteError, SnapshotWriter};
use znodes::Frozen;

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
            dir: dirs.snapshots().to_owned(),
            log_dir: dirs.logs().to_owned(),
        }
    }

    /// More transactions were applied. True when a snapshot is due.
    pub(crate) fn count(&mut self, transactions: usize) -> bool {
        let more = u32::try_from(transactions).unwrap_or(u32::MAX);
        self.since_last = self.since_last.saturating_add(more);
        self.since_last >= self.every && self.writing.is_none()
    }

    /// Writes the snapshot on a thread of its own; the core is told when it is done.
    pub(crate) fn begin(&mut self, frozen: Frozen, shared: &Arc<Shared>) {
        self.since_last = 0;
        let (dir, log_dir) = (self.dir.clone(), self.log_dir.clone());
        let keep = shared.config.snapshots_retained;
        let shared = Arc::clone(shared);
        let work = move || {
            match take(&shared, &frozen) {
                Ok(_) => {
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
    }
}

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
    let begun = std::time::Instant::now();
    let stats = &shared.stats;
    match write(&dir(&shared.config), frozen, shared.config.snapshot_compression) {
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
) -> Result<(PathBuf, u64), SnapshotWriteError> {
    let mut writer = SnapshotWriter::create(dir, frozen.zxid(), compression)?;
    if let Err(source) = frozen.write(&mut writer) {
        return Err(writer.failed(source));
    }
    let path = writer.path().to_owned();
    let digest = frozen.digest();
    let digest =
        SnapshotDigest { zxid: frozen.zxid(), version: digest.version, digest: digest.tree };
    Ok((path, writer.finish(digest, frozen.zxid())?))
}
