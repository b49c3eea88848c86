//! When a snapshot is taken, and the thread that writes it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};

use storage::{SnapshotDigest, SnapshotWriteError, SnapshotWriter};
use znodes::Frozen;

use crate::core::Command;
use crate::metrics::micros;
use crate::shared::Shared;

/// Counts transactions and writes a snapshot after so many.
#[derive(Debug)]
pub(crate) struct Snapshots {
    every: u32,
    since_last: u32,
    writing: Option<JoinHandle<()>>,
    dir: std::path::PathBuf,
    log_dir: std::path::PathBuf,
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
            let begun = std::time::Instant::now();
            match write(&dir, &frozen) {
                Ok(bytes) => {
                    tracing::info!(zxid = %frozen.zxid(), bytes, "snapshot written");
                    shared.stats.snapshots.fetch_add(1, Relaxed);
                    shared.stats.snapshot_bytes.store(bytes, Relaxed);
                    shared.stats.snapshot_time.record(micros(begun.elapsed()));
                    if let Err(error) = storage::purge(&dir, &log_dir, keep) {
                        tracing::warn!(%error, "old snapshots and logs could not be removed");
                    }
                }
                // The log still has everything; the next one is tried after as many transactions.
                Err(error) => {
                    shared.stats.snapshot_errors.fetch_add(1, Relaxed);
                    tracing::warn!(%error, cause = ?error, "snapshot not written");
                }
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

/// Writes a whole snapshot; answers with its size in bytes.
pub(crate) fn write(dir: &std::path::Path, frozen: &Frozen) -> Result<u64, SnapshotWriteError> {
    let mut writer = SnapshotWriter::create(dir, frozen.zxid())?;
    if let Err(source) = frozen.write(&mut writer) {
        return Err(writer.failed(source));
    }
    let digest = frozen.digest();
    let digest =
        SnapshotDigest { zxid: frozen.zxid(), version: digest.version, digest: digest.tree };
    writer.finish(digest, frozen.zxid())
}
