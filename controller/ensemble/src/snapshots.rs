//! When a snapshot is taken, and the thread that writes it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jute::TxnDigest;
use storage::{Compression, Retention, SnapshotDigest, SnapshotWriteError, SnapshotWriter};
use znodes::{Frozen, Rules};

use crate::MemberConfig;
use crate::core::{Command, wall_ms};
use crate::load::Replayed;
use crate::metrics::micros;
use crate::shared::Shared;

/// Counts transactions and their bytes, and writes a snapshot after so many.
#[derive(Debug)]
pub(crate) struct Snapshots {
    every: u32,
    every_bytes: u64,
    since_last: u32,
    bytes_since_last: u64,
    writing: Option<JoinHandle<()>>,
    dir: PathBuf,
    log_dir: PathBuf,
}

impl Snapshots {
    /// What is `replayed` is in the log behind the last snapshot already.
    pub(crate) fn new(config: &MemberConfig, replayed: Replayed, dirs: &storage::DataDir) -> Self {
        // Of what may be kept a quarter is for the log that grows.
        let share = config.retention.bytes.map(|most| most / 4);
        Self {
            every: config.snap_count.max(2),
            every_bytes: share.into_iter().chain(config.snap_log_bytes).min().unwrap_or(u64::MAX),
            since_last: replayed.transactions,
            bytes_since_last: replayed.bytes,
            writing: None,
            dir: dirs.snapshots().to_owned(),
            log_dir: dirs.logs().to_owned(),
        }
    }

    /// More transactions were applied. True when a snapshot is due: after so many of them, or so many bytes, one at a time.
    pub(crate) fn count(&mut self, transactions: usize, bytes: usize) -> bool {
        let more = u32::try_from(transactions).unwrap_or(u32::MAX);
        self.since_last = self.since_last.saturating_add(more);
        self.bytes_since_last = self.bytes_since_last.saturating_add(bytes as u64);
        let is_due = self.since_last >= self.every || self.bytes_since_last >= self.every_bytes;
        is_due && self.writing.is_none()
    }

    /// Writes the snapshot on a thread of its own; the core is told when it is done.
    pub(crate) fn begin(&mut self, frozen: Frozen, shared: &Arc<Shared>) {
        (self.since_last, self.bytes_since_last) = (0, 0);
        let (dir, log_dir) = (self.dir.clone(), self.log_dir.clone());
        let keep = shared.config.retention;
        let shared = Arc::clone(shared);
        let work = move || {
            // Clients come first where processors are short. Best effort.
            let _ = rustix::process::nice(NICE);
            match take(&shared, &frozen) {
                Ok(path) => {
                    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
                    let mut others = Others::new(|| work(&shared));
                    let rest = || {
                        if others.have_worked() {
                            thread::sleep(REMOVAL_REST);
                        }
                    };
                    if let Err(error) = storage::purge(&dir, &log_dir, beside(keep, size), rest) {
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

/// What may be kept while the next snapshot, of about this size, and the log up to it have room too.
fn beside(keep: Retention, size: u64) -> Retention {
    let bytes = keep.bytes.map(|most| (most - most / 4).saturating_sub(size));
    Retention { bytes, ..keep }
}

/// A snapshot that is written for a fifth of the time while there is other work, and at once when there is none. A large tree under
/// many writes is written all the time, and takes from them evenly and little what a longer log would take from the next start.
struct Paced<F, T> {
    to: SnapshotWriter,
    others: Others<F, T>,
    /// Bytes of the part that is written now, and since when.
    part: usize,
    since: Instant,
}

impl<T: PartialEq, F: Fn() -> T> Paced<F, T> {
    fn begin(to: SnapshotWriter, work: F) -> Self {
        Self { to, others: Others::new(work), part: 0, since: Instant::now() }
    }
}

/// Whoever else has work meanwhile, seen by what that work changes.
struct Others<F, T> {
    work: F,
    before: T,
}

impl<T: PartialEq, F: Fn() -> T> Others<F, T> {
    fn new(work: F) -> Self {
        Self { before: work(), work }
    }

    /// Whether they did any since this was asked last.
    fn have_worked(&mut self) -> bool {
        let now = (self.work)();
        std::mem::replace(&mut self.before, now) != self.before
    }
}

impl<T: PartialEq, F: Fn() -> T> Write for Paced<F, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.part += written;
        if self.part >= storage::SNAPSHOT_PART_BYTES {
            thread::sleep(rest_after(self.since.elapsed(), self.others.have_worked()));
            (self.part, self.since) = (0, Instant::now());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// How long to rest after a part that took so long.
fn rest_after(took: Duration, is_other_work: bool) -> Duration {
    if is_other_work { (took * RESTS).min(LONGEST_REST) } else { Duration::ZERO }
}

/// For how many times as long as it writes it rests.
const RESTS: u32 = 4;
/// A disk that stalls is no reason to rest for much longer.
const LONGEST_REST: Duration = Duration::from_millis(250);
/// Between two parts of a file that is removed.
const REMOVAL_REST: Duration = Duration::from_millis(20);
/// The priority of who writes one: about a tenth of a processor that another thread wants too, so that it ends in any case.
const NICE: i32 = 10;

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
    let (dir, how) = (dir(config), config.snapshot_compression);
    match write(&dir, frozen, how, config.rules, || work(shared)) {
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

/// What changes while a member has other work than snapshots: what it applied, and what its clients sent.
fn work(shared: &Shared) -> impl PartialEq + use<> {
    (shared.applied(), shared.stats.received.load(Relaxed))
}

/// Where a member's snapshots are.
pub(crate) fn dir(config: &MemberConfig) -> PathBuf {
    config.data_dir.join("version-2")
}

/// Writes a whole snapshot; answers with its file and its plain size in bytes. While what `work` tells goes on changing, it is not
/// written all the time.
pub(crate) fn write<T: PartialEq>(
    dir: &Path,
    frozen: &Frozen,
    compression: Compression,
    rules: Rules,
    work: impl Fn() -> T,
) -> Result<(PathBuf, u64), SnapshotWriteError> {
    let writer = SnapshotWriter::create(dir, frozen.zxid(), compression)?;
    let mut paced = Paced::begin(writer, work);
    let written = frozen.write(&mut paced);
    let writer = paced.to;
    if let Err(source) = written {
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
    use super::*;

    #[test]
    fn a_snapshot_is_due_after_its_transactions() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dirs = storage::DataDir::open(dir.path(), None).expect("nobody else is there");
        let config = MemberConfig { snap_count: 10, ..MemberConfig::in_process(dir.path()) };
        let mut snapshots = Snapshots::new(&config, Replayed { transactions: 4, bytes: 0 }, &dirs);
        assert!(!snapshots.count(5, 5_000));
        assert!(snapshots.count(1, 1), "those that were replayed count");
        let retention = Retention { snapshots: 3, bytes: Some(4_000) };
        for (snap_log_bytes, retention, least) in [
            (Some(500), config.retention, 500),
            (Some(5_000), retention, 1_000),
            (None, retention, 1_000),
        ] {
            let config = MemberConfig { snap_log_bytes, retention, ..config.clone() };
            let mut snapshots =
                Snapshots::new(&config, Replayed { transactions: 4, bytes: 100 }, &dirs);
            assert!(!snapshots.count(1, least - 101));
            assert!(snapshots.count(1, 1));
        }
    }

    #[test]
    fn the_next_snapshot_has_room_too() {
        let keep = |bytes| Retention { snapshots: 3, bytes };
        assert_eq!(beside(keep(Some(4_000)), 1_000), keep(Some(2_000)));
        assert_eq!(beside(keep(Some(4_000)), 9_000), keep(Some(0)));
        assert_eq!(beside(keep(None), 9_000), keep(None));
    }

    #[test]
    fn a_snapshot_rests_while_there_is_other_work() {
        let millis = Duration::from_millis;
        assert_eq!(rest_after(millis(10), true), millis(40));
        assert_eq!(rest_after(millis(10), false), millis(0));
        assert_eq!(rest_after(millis(1000), true), LONGEST_REST);
    }
}
