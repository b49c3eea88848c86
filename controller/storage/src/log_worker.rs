//! What becomes of each thing that is asked of the log: without a thread, so that a test can step it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use types::{Epoch, Zxid};

use crate::epochs::Saved;
use crate::install::install;
use crate::truncate::{TruncateError, truncate};
use crate::watermark::Watermark;
use crate::{AppendError, EpochError, EpochFile, LogWriter};

/// What is asked for; done in order.
#[derive(Debug)]
pub enum LogCommand {
    /// Append records; answered by [`LogEvent::Flushed`] for the last of them or a later one.
    Append(Records),
    /// Save an epoch file; answered by [`LogEvent::EpochSaved`] or [`LogEvent::EpochRefused`].
    SaveEpoch(EpochFile, Epoch),
    /// The next record begins a new file.
    Roll,
    /// End the log at this transaction and remove all that is newer; answered by
    /// [`LogEvent::Truncated`], or with [`LogEvent::TruncateRefused`].
    Truncate(Zxid),
    /// Put the snapshot that [`crate::SnapshotWriter::stage`] made in place of all that is there;
    /// answered by [`LogEvent::Installed`].
    Install,
    /// The files were made whole by another hand, and end with this transaction.
    GoOnBehind(Zxid),
    /// After [`LogEvent::Full`] or [`LogEvent::EpochRefused`]: look whether there is room again; answered by [`LogEvent::HasRoom`] if so.
    Probe,
}

/// Records to append, in zxid order, copied together: bytes that two threads held would cost both of them more
/// than the copy does.
#[derive(Debug, Default)]
pub struct Records {
    /// Of each its place in the order, and how long it is.
    ends: Vec<(Zxid, usize)>,
    bytes: Vec<u8>,
}

impl Records {
    /// Adds one: header, record and digest.
    pub fn push(&mut self, zxid: Zxid, body: &[u8]) {
        self.ends.push((zxid, body.len()));
        self.bytes.extend_from_slice(body);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (Zxid, &[u8])> {
        let mut rest = &self.bytes[..];
        self.ends.iter().map(move |&(zxid, length)| {
            let (body, after) = rest.split_at(length);
            rest = after;
            (zxid, body)
        })
    }

    /// Empties it; answers with the bytes that it has room for.
    pub(crate) fn clear(&mut self) -> usize {
        self.ends.clear();
        self.bytes.clear();
        self.bytes.capacity()
    }
}

/// What is told.
#[derive(Debug)]
pub enum LogEvent {
    /// Everything up to here is on stable storage, by a write and a flush that took so long.
    Flushed(Zxid, Duration),
    /// An epoch file is on stable storage.
    EpochSaved(EpochFile, Epoch),
    /// No room: nothing from `first` on was written, and nothing will be until [`LogEvent::HasRoom`].
    Full {
        /// The first record refused.
        first: Zxid,
        /// Why, for a person.
        error: AppendError,
    },
    /// No room for an epoch file, which is as it was; nothing will be written until [`LogEvent::HasRoom`].
    EpochRefused {
        /// Which file.
        file: EpochFile,
        /// What it was to say.
        epoch: Epoch,
        /// Why, for a person.
        error: EpochError,
    },
    /// There is room again; appends are taken.
    HasRoom,
    /// The log ends here, and no snapshot is newer.
    Truncated(Zxid),
    /// The log cannot be cut there, and is as it was.
    TruncateRefused(Zxid, TruncateError),
    /// A snapshot of this transaction is all that there is.
    Installed(Zxid),
    /// The disk failed and nothing more is done; the member must end.
    Failed(String),
}

/// The disk failed, and the owner was told.
#[derive(Clone, Copy, Debug)]
pub struct LogFailed;

/// Owns the log's files.
pub struct LogWorker<T> {
    writer: LogWriter,
    epoch_dir: PathBuf,
    tell: T,
    /// The disk was full: appends are dropped, since their owner takes them back.
    refusing: bool,
    /// A durable epoch whose file is still to say it.
    saved: Option<Saved>,
    /// `None`: nothing is flushed, so nothing can be said of the disk.
    watermark: Option<Watermark>,
}

impl<T: FnMut(LogEvent)> LogWorker<T> {
    /// One that nothing was asked of. Epoch files are kept in `epoch_dir`; `tell` is called in order.
    pub fn new(writer: LogWriter, epoch_dir: &Path, tell: T) -> Self {
        let watermark = writer.forces_sync().then(|| Watermark::new(writer.dir()));
        let epoch_dir = epoch_dir.to_owned();
        Self { writer, epoch_dir, tell, refusing: false, saved: None, watermark }
    }

    /// Whether [`Self::settle`] or [`Self::give_back`] has something to do.
    pub fn is_behind(&self) -> bool {
        self.saved.is_some()
            || self.writer.has_spare()
            || self.watermark.as_ref().is_some_and(Watermark::is_behind)
    }

    /// Whether [`Self::note`] has something to do.
    pub fn is_unnoted(&self) -> bool {
        self.watermark.as_ref().is_some_and(Watermark::is_unwritten)
    }

    /// Nothing came for a moment: the files of what was flushed say all of it, without a flush of their own.
    pub fn note(&mut self, now: Instant) {
        if let Some(watermark) = &mut self.watermark {
            watermark.note(now);
        }
    }

    /// Nothing else is to be done now: the files of the epoch and of what was flushed are brought up to date. After an error,
    /// as for [`Self::on`].
    pub fn settle(&mut self, now: Instant) -> Result<(), LogFailed> {
        self.finish()?;
        if let Some(watermark) = &mut self.watermark {
            watermark.settle(now);
        }
        Ok(())
    }

    /// Nobody waits for the disk: what nobody needs of it is given back.
    pub fn give_back(&mut self) {
        self.writer.give_back();
    }

    /// Does what is asked for; appends are flushed with [`Self::commit`] at the latest. After an error, which was told, nothing
    /// may be asked for any more.
    pub fn on(&mut self, now: Instant, command: &LogCommand) -> Result<(), LogFailed> {
        match *command {
            LogCommand::Append(ref records) => {
                for (zxid, body) in records.iter() {
                    // The disk may fill up on the way.
                    if self.refusing {
                        break;
                    }
                    self.writer.stage(zxid, body);
                    if self.writer.staged_bytes() >= BATCH_BYTES {
                        self.commit(now)?;
                    }
                }
            }
            LogCommand::Roll => {
                self.commit(now)?;
                self.writer.roll();
            }
            LogCommand::Truncate(to) => {
                self.close(now)?;
                match truncate(self.writer.dir(), &self.epoch_dir, to) {
                    Ok(()) => {
                        self.writer.go_on_behind(to);
                        (self.tell)(LogEvent::Truncated(to));
                    }
                    Err(
                        error @ (TruncateError::NotThere { .. } | TruncateError::NoSnapshot { .. }),
                    ) => (self.tell)(LogEvent::TruncateRefused(to, error)),
                    Err(error) => return self.fail(&error),
                }
            }
            LogCommand::Install => {
                self.close(now)?;
                match install(self.writer.dir(), &self.epoch_dir) {
                    Ok(zxid) => {
                        let zxid = zxid.unwrap_or_default();
                        self.writer.go_on_behind(zxid);
                        (self.tell)(LogEvent::Installed(zxid));
                    }
                    Err(error) => return self.fail(&error),
                }
            }
            LogCommand::GoOnBehind(last) => {
                self.close(now)?;
                self.writer.go_on_behind(last);
                // The log may not have it: were the snapshot lost that has, the log would seem whole without.
                if last > Zxid::ZERO
                    && let Some(watermark) = &mut self.watermark
                {
                    watermark.flushed(last, now);
                    watermark.settle(now);
                }
            }
            LogCommand::Probe => {
                if self.refusing && self.writer.has_room() {
                    self.refusing = false;
                    (self.tell)(LogEvent::HasRoom);
                }
            }
            LogCommand::SaveEpoch(file, epoch) => {
                self.commit(now)?;
                // A crash may damage the copy while it is written: the files say all that it did by then.
                self.finish()?;
                match file.save(&self.epoch_dir, epoch) {
                    Ok(saved) => {
                        (self.tell)(LogEvent::EpochSaved(file, epoch));
                        self.saved = Some(saved);
                        // Behind a promise comes the epoch of the history, which needs the promise's file. Behind that come the
                        // first records, and clients wait for those: its own file follows them.
                        if file == EpochFile::Accepted {
                            self.finish()?;
                        }
                    }
                    Err(error) if error.is_full() => {
                        self.refusing = true;
                        (self.tell)(LogEvent::EpochRefused { file, epoch, error });
                    }
                    Err(error) => return self.fail(&error),
                }
            }
        }
        Ok(())
    }

    /// Has the file of a saved epoch say it too.
    fn finish(&mut self) -> Result<(), LogFailed> {
        match self.saved.take().map(Saved::finish) {
            // On a full disk the copy says it, and the next epoch brings the file up to date.
            Some(Err(error)) if !error.is_full() => self.fail(&error),
            _ => Ok(()),
        }
    }

    /// Lets go of the files, which are to be cut or removed.
    fn close(&mut self, now: Instant) -> Result<(), LogFailed> {
        self.commit(now)?;
        self.finish()?;
        self.writer.roll();
        // Later it would be of files that are gone, or end elsewhere.
        self.writer.give_back();
        if let Some(watermark) = &mut self.watermark {
            watermark.restart();
        }
        Ok(())
    }

    /// Flushes what was appended.
    pub fn commit(&mut self, now: Instant) -> Result<(), LogFailed> {
        let first = self.writer.first_staged();
        match (self.writer.commit(), first) {
            (Ok(Some(last)), _) => {
                (self.tell)(LogEvent::Flushed(last, self.writer.flush_time()));
                if let Some(watermark) = &mut self.watermark {
                    watermark.flushed(last, now);
                }
                self.finish()?;
            }
            (Ok(None), _) => {}
            (Err(error @ AppendError::NoSpace { .. }), Some(first)) => {
                self.refusing = true;
                (self.tell)(LogEvent::Full { first, error });
            }
            (Err(error), _) => return self.fail(&error),
        }
        Ok(())
    }

    fn fail(&mut self, error: &dyn std::error::Error) -> Result<(), LogFailed> {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        (self.tell)(LogEvent::Failed(words));
        Err(LogFailed)
    }
}

/// A batch is flushed at this size even if more waits.
const BATCH_BYTES: usize = 4 << 20;
