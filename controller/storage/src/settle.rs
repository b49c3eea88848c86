//! What a member read at its start, made durable before it is served and built upon: a process that was killed leaves
//! some of it in the system's memory only.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use types::Zxid;

use crate::data_dir::{is_full, list};
use crate::disk::{File, sync_dir};
use crate::history::bytes_behind;
use crate::log_reader::{logs, read_links};
use crate::snapshot_writer::PREFIX as SNAPSHOT;
use crate::{DataDir, EpochError, TxnLogError, epochs, links, spare, watermark};

/// Why it could not be made durable.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The epochs.
    #[error(transparent)]
    Epochs(#[from] EpochError),
    /// The log.
    #[error(transparent)]
    Log(#[from] TxnLogError),
}

/// Makes durable what was read; `last` is where the log, or a snapshot behind it, ends. A full disk is no error.
pub fn settle(dirs: &DataDir, last: Zxid) -> Result<(), SettleError> {
    match epochs::begin(dirs.snapshots(), dirs.logs(), last.epoch()) {
        // Nothing can be promised either.
        Err(error) if error.is_full() => {}
        begun => begun?,
    }
    epochs::settle(dirs.snapshots(), last.epoch())?;
    Ok(settle_log(dirs, last)?)
}

/// Whether a member of ours has been started here: it has left files beside the log.
pub(crate) fn has_run(logs: &Path) -> io::Result<bool> {
    for name in [watermark::FILE, watermark::COPY, links::FILE, links::COPY] {
        if logs.join(name).try_exists()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// From then on there is a file that says how far the log is whole, so that what a power cut does to the first batches
/// is told from rot.
fn settle_log(dirs: &DataDir, last: Zxid) -> Result<(), TxnLogError> {
    let log_dir = dirs.logs();
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| TxnLogError::Read { path, source }
    };
    let mark = log_dir.join(watermark::FILE);
    let marked = watermark::read(log_dir).map_err(read(&mark))?;
    let flushed = match marked {
        Some(flushed) => flushed,
        // Apache's: what a snapshot holds was flushed before.
        None => list(dirs.snapshots(), SNAPSHOT)
            .map_err(read(dirs.snapshots()))?
            .pop()
            .map_or(Zxid::ZERO, |(newest, _)| newest),
    };
    spare::give_back(log_dir).map_err(read(log_dir))?;
    settle_newest(log_dir, flushed, last)?;
    sync_dir(log_dir).map_err(read(log_dir))?;
    match links::complete(log_dir, marked.unwrap_or_default()) {
        Err(TxnLogError::Read { source, .. }) if is_full(&source) => return Ok(()),
        // What is damaged so far back that nobody reads it has no line.
        Err(TxnLogError::Corrupt { .. }) => {}
        completed => completed?,
    }
    match watermark::lower(log_dir, last) {
        // Nothing can be appended either; and reads go on.
        Err(error) if is_full(&error) => return Ok(()),
        noted => noted.map_err(read(&mark))?,
    }
    // Only now: a start that is cut short must not leave it without the watermark.
    match links::note_watermark(log_dir) {
        Err(error) if is_full(&error) => Ok(()),
        noted => noted.map_err(read(&log_dir.join(links::FILE))),
    }
}

/// Has the newest file on the disk as it was read, up to `last`. What it has behind `flushed` is written once more, in its place: a
/// flush alone is not enough, since one that failed leaves pages in memory that the system takes for written, and the process
/// that saw it has ended. If that one cut off what it had written, the cut may be in memory only, too: without a flush what nobody
/// was told of would come back behind what is served now. Files before the newest one were flushed before that was begun.
fn settle_newest(log_dir: &Path, flushed: Zxid, last: Zxid) -> Result<(), TxnLogError> {
    let Some(newest) = logs(log_dir, &read_links(log_dir)?)?.pop() else { return Ok(()) };
    let path = newest.path.clone();
    let bytes = if flushed < last { bytes_behind(newest, flushed)? } else { 0..0 };
    let copy = || {
        let (from, to) = (fs::File::open(&path)?, File::open(&path)?);
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = bytes.start;
        while at < bytes.end {
            let left = usize::try_from(bytes.end - at).unwrap_or(PIECE_BYTES);
            let piece = &mut piece[..left.min(PIECE_BYTES)];
            from.read_exact_at(piece, at)?;
            to.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        to.sync_data()
    };
    copy().map_err(|source: io::Error| TxnLogError::Read { path: path.clone(), source })
}

const PIECE_BYTES: usize = 256 << 10;
