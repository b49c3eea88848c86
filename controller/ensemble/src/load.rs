//! From the files of a member to its state.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jute::Entry;
use storage::{
    Compression, DataDir, EpochError, Epochs, LogReader, SnapshotError, SnapshotReader,
    TxnLogError, load_newest,
};
use types::Zxid;
use zab::Durable;
use znodes::snapshot::{self, Batch, Index};
use znodes::{Changes, Rules, State};

use crate::snapshots;

/// Why the data cannot be loaded. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No snapshot can be loaded.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] TxnLogError),
    /// A record of the log is whole and yet no transaction.
    #[error("{} holds a record at {zxid:?} that is no transaction", dir.display())]
    Record {
        /// The log's directory.
        dir: PathBuf,
        /// The record's zxid.
        zxid: Zxid,
        /// What is wrong with it.
        source: jute::DecodeError,
    },
    /// There are logs and no snapshot they could begin from.
    #[error("{} holds transactions and there is no snapshot in {} that they begin from; restore one from a copy, or set snapshot.trust.empty=true if the log is whole from its first transaction on", logs.display(), snapshots.display())]
    NoSnapshot {
        /// The log's directory.
        logs: PathBuf,
        /// The snapshots' directory.
        snapshots: PathBuf,
    },
    /// The first snapshot of an empty member could not be written.
    #[error("write the first snapshot")]
    First(#[from] storage::SnapshotWriteError),
    /// The epoch files.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// What is there cannot be made durable.
    #[error(transparent)]
    Settle(#[from] storage::SettleError),
}

/// What the log has behind a snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) transactions: u32,
    pub(crate) bytes: u64,
}

/// What was found on disk.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) state: State,
    pub(crate) durable: Durable,
    /// What was replayed over the snapshot.
    pub(crate) replayed: Replayed,
    /// The log and the tree disagreed at the end.
    pub(crate) disagreed: bool,
    /// How long the snapshot took.
    pub(crate) snapshot_time: Duration,
    /// How long the log took.
    pub(crate) replay_time: Duration,
    /// The files are damaged, and nothing of them was loaded: why, in words.
    pub(crate) damage: Option<String>,
}

impl Found {
    /// What stands in for damaged files until they are whole.
    pub(crate) fn nothing(damage: &LoadError) -> Self {
        Self {
            state: State::new(RandomState::new().hash_one(0)),
            durable: Durable::default(),
            replayed: Replayed::default(),
            disagreed: false,
            snapshot_time: Duration::ZERO,
            replay_time: Duration::ZERO,
            damage: Some(words(damage)),
        }
    }
}

impl LoadError {
    /// Whether something that was there is not, which other members may have.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Snapshot(error) => error.is_damage(),
            Self::Log(error) => error.is_damage(),
            Self::Epoch(error) => error.is_damage(),
            Self::NoSnapshot { .. } => true,
            Self::Record { .. } | Self::First(_) | Self::Settle(_) => false,
        }
    }
}

/// Loads the newest good snapshot, replays the log over it, reads the epochs. An empty directory becomes
/// an empty member, with its first snapshot; a log without a snapshot is refused unless `trust_empty`.
/// `limit`: the longest text or data believed, in bytes.
pub(crate) fn load(
    dirs: &DataDir,
    limit: usize,
    trust_empty: bool,
    rules: Rules,
) -> Result<Found, LoadError> {
    let begun = Instant::now();
    let seed = RandomState::new().hash_one(0);
    let loaded = load_newest(dirs.snapshots(), |zxid, reader| {
        read_snapshot(reader, zxid, limit, seed).map_err(|error| words(&error))
    })?;
    let fresh = loaded.is_none();
    let (mut state, after) = match loaded {
        Some(loaded) => (loaded.body, loaded.zxid),
        None => (State::new(seed), Zxid::ZERO),
    };
    let snapshot_time = begun.elapsed();
    let mut reader = LogReader::open(dirs.logs(), after)?;
    let mut replayed = Replayed::default();
    let mut disagreed = None;
    let mut nobodys = Changes::default();
    while let Some(entry) = reader.next_entry()? {
        if fresh && !trust_empty {
            return Err(LoadError::NoSnapshot {
                logs: dirs.logs().to_owned(),
                snapshots: dirs.snapshots().to_owned(),
            });
        }
        let zxid = entry.zxid;
        replayed.bytes += entry.body.len() as u64;
        let entry = Entry::decode(&entry.body).map_err(|source| LoadError::Record {
            dir: dirs.logs().to_owned(),
            zxid,
            source,
        })?;
        // What it answers is nobody's any more.
        let _ = state.apply_into(&entry.header, &entry.txn, &mut nobodys);
        replayed.transactions = replayed.transactions.saturating_add(1);
        let agrees = entry.digest.is_none_or(|digest| state.agrees_with(digest));
        disagreed = (!agrees).then_some(zxid);
    }
    // Over a fuzzy snapshot the sums disagree on the way; in the end they must not.
    if let Some(zxid) = disagreed {
        tracing::error!(%zxid, "the tree's digest is not the one the log recorded");
    }
    for path in state.drop_orphans() {
        tracing::warn!(path, "ephemeral znode without a session dropped");
    }
    if fresh {
        snapshots::write(dirs.snapshots(), &state.freeze(), Compression::None, rules, || ())?;
    }
    let last = reader.last();
    let epochs = Epochs::read(dirs.snapshots(), last.epoch())?;
    let durable = Durable::found(epochs.accepted, epochs.current, last);
    let replay_time = begun.elapsed() - snapshot_time;
    let disagreed = disagreed.is_some();
    let damage = None;
    Ok(Found { state, durable, replayed, disagreed, snapshot_time, replay_time, damage })
}

/// The tree on this thread, and the sum over it and its index on two others.
fn read_snapshot(
    reader: &mut SnapshotReader,
    zxid: Zxid,
    limit: usize,
    seed: u64,
) -> Result<State, znodes::SnapshotError> {
    let mut twin = reader.twin();
    let size = reader.size();
    thread::scope(|scope| {
        let summing = scope.spawn(move || snapshot::sum(&mut twin, limit));
        let (sender, batches) = mpsc::sync_channel::<Batch>(BATCHES_AHEAD);
        let (back, emptied) = mpsc::channel();
        let indexing = scope.spawn(move || {
            let mut index = Index::default();
            for mut batch in batches {
                index.add(&batch);
                batch.clear();
                // Nobody wants it any more at the end.
                let _ = back.send(batch);
            }
            index
        });
        let read = snapshot::read_buffered(reader, zxid, limit, seed, size, |batch| {
            let next = emptied.try_recv().unwrap_or_default();
            // It ends only when the sender is gone.
            let _ = sender.send(std::mem::replace(batch, next));
        });
        drop(sender);
        reader.end_twin();
        let sum = summing.join().expect("summing does not panic");
        let index = indexing.join().expect("indexing does not panic");
        read?.finish(sum?, index)
    })
}

/// How far the index may be behind the tree.
const BATCHES_AHEAD: usize = 16;

/// An error and what caused it, in one line.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
