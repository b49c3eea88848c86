//! From a member's files to its tree: what `ensemble` does around `storage` and `znodes` at a start.

use std::fmt::Display;

use jute::Entry;
use storage::{Compression, DataDir, Epochs, LogReader, SnapshotWriter, load_newest};
use types::{PeerId, Zxid};
use zab::{Durable, Txn};
use znodes::snapshot;

use crate::checkers::Violation;
use crate::tree::{HASH_SEED, Known, Tree};

/// Why nothing was loaded.
#[derive(Debug)]
pub(crate) enum Damage {
    /// Something that was there is not, which other members may have.
    Files(String),
    /// The disk failed.
    System,
}

impl Damage {
    pub(crate) fn of(is_damage: bool, why: &dyn Display) -> Self {
        if is_damage { Self::Files(why.to_string()) } else { Self::System }
    }
}

/// Loads the newest good snapshot, replays the log over it, reads the epochs. An empty directory becomes an empty member, with
/// its first snapshot.
pub(crate) fn load(
    dirs: &DataDir,
    me: PeerId,
    known: &Known,
) -> Result<Result<(Tree, Durable), Damage>, Violation> {
    let loaded = load_newest(dirs.snapshots(), |zxid, reader| {
        snapshot::read(reader, zxid, usize::MAX, HASH_SEED).map_err(|error| error.to_string())
    });
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return Ok(Err(Damage::of(error.is_damage(), &error))),
    };
    let fresh = loaded.is_none();
    let mut tree = match loaded {
        Some(loaded) => Tree::of(loaded.zxid, loaded.body, known)?,
        None => Tree::new(),
    };
    let mut reader = match LogReader::open(dirs.logs(), tree.last()) {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(Damage::of(error.is_damage(), &error))),
    };
    loop {
        let entry = match reader.next_entry() {
            Ok(None) => break,
            Ok(Some(_)) if fresh => return Ok(Err(Damage::Files("no snapshot".to_owned()))),
            Ok(Some(entry)) => entry,
            Err(error) => return Ok(Err(Damage::of(error.is_damage(), &error))),
        };
        if let Err(error) = Entry::decode(&entry.body) {
            return Err(Violation(format!("{me} reads {} as whole: {error}", entry.zxid)));
        }
        tree.apply(me, &Txn { zxid: entry.zxid, body: entry.body })?;
    }
    if let Some(path) = tree.state.drop_orphans().first() {
        return Err(Violation(format!("{me} finds {path} without its session")));
    }
    if fresh {
        let base = tree.freeze();
        known.note(&base);
        let begun = SnapshotWriter::create(dirs.snapshots(), Zxid::ZERO, Compression::None);
        if crate::disk::put(&base, begun).is_err() {
            return Ok(Err(Damage::System));
        }
    }
    let last_logged = reader.last();
    let epochs = match Epochs::read(dirs.snapshots(), last_logged.epoch()) {
        Ok(epochs) => epochs,
        Err(error) => return Ok(Err(Damage::of(error.is_damage(), &error))),
    };
    Ok(Ok((tree, Durable::found(epochs.accepted, epochs.current, last_logged))))
}
