//! Extending the log: staged records go out with one write and one flush.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use types::Zxid;

use crate::data_dir::{file_name, is_full, may_pass};
use crate::disk::{self, File, sync_dir};
use crate::links;
use crate::log_file::{HEADER_BYTES, PREFIX, RECORD_HEAD_BYTES, encode, header};

/// Appends to the newest log file of a directory.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    prealloc: u64,
    force_sync: bool,
    current: Option<OpenFile>,
    /// The file before it, whose spare room is to be given back.
    rolled: Option<OpenFile>,
    /// Encoded records that are not written yet.
    staged: Vec<u8>,
    /// The zxids of the first and the last of them.
    span: Option<(Zxid, Zxid)>,
    /// Where the log ends; `None`: it is not known.
    last: Option<Zxid>,
    /// How long the last flush took.
    flush_time: Duration,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// Where the next record goes; all before it is durable.
    end: u64,
    /// Up to here it was written before, be it with zeros.
    zeroed: u64,
    /// Up to here the file has room on the disk.
    room: u64,
}

/// Why staged records were not made durable.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room, or no file that may be opened. Nothing of the batch is left in the file; it may be staged again later.
    #[error("no room for the transaction log in {}", dir.display())]
    NoSpace {
        /// The log's directory.
        dir: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The disk failed. What is on it now is unknown, so this writer must not be used again.
    #[error("log file {} cannot be written", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LogWriter {
    /// A writer whose first record begins a new file. `prealloc` is the step, in bytes, that files grow
    /// by; without `force_sync` nothing is flushed.
    pub fn new(dir: &Path, prealloc: u64, force_sync: bool) -> Self {
        Self {
            dir: dir.to_owned(),
            prealloc: prealloc.max(MIN_PREALLOC),
            force_sync,
            current: None,
            rolled: None,
            staged: Vec::new(),
            span: None,
            last: None,
            flush_time: Duration::ZERO,
        }
    }

    /// The log ends with this transaction, or with a snapshot of it: the next record follows it.
    #[must_use]
    pub fn behind(mut self, last: Zxid) -> Self {
        self.go_on_behind(last);
        self
    }

    /// The log was cut there, or a snapshot of that took its place.
    pub(crate) fn go_on_behind(&mut self, last: Zxid) {
        self.last = Some(last);
    }

    /// The log's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a batch is on stable storage once it is committed.
    pub(crate) fn forces_sync(&self) -> bool {
        self.force_sync
    }

    /// Takes a record into the next batch. Records come in zxid order.
    pub fn stage(&mut self, zxid: Zxid, entry: &[u8]) {
        encode(entry, &mut self.staged);
        let first = self.span.map_or(zxid, |(first, _)| first);
        self.span = Some((first, zxid));
    }

    /// The first zxid of the batch, if there is one.
    pub fn first_staged(&self) -> Option<Zxid> {
        self.span.map(|(first, _)| first)
    }

    /// Bytes of the batch.
    pub fn staged_bytes(&self) -> usize {
        self.staged.len()
    }

    /// How long the last batch took to write and flush.
    pub(crate) fn flush_time(&self) -> Duration {
        self.flush_time
    }

    /// Makes the batch durable; answers with its last zxid, or `None` when it was empty.
    pub fn commit(&mut self) -> Result<Option<Zxid>, AppendError> {
        let Some((first, last)) = self.span.take() else { return Ok(None) };
        let begun = Instant::now();
        let written = self.write(first);
        self.flush_time = begun.elapsed();
        self.staged.clear();
        // One large batch must not keep its memory for ever.
        self.staged.shrink_to(KEEP_STAGED);
        written.map(|()| {
            self.last = Some(last);
            Some(last)
        })
    }

    /// The next record begins a new file.
    pub fn roll(&mut self) {
        if let Some(open) = self.current.take() {
            self.rolled = Some(open);
        }
    }

    /// Whether [`Self::give_back`] has something to do.
    pub(crate) fn has_spare(&self) -> bool {
        self.rolled.is_some()
    }

    /// Gives back the room kept in the file that was rolled lastly. Not when it is rolled, nor at the end of the process: on one
    /// disk all flushes wait while the system takes tens of megabytes back, and behind the end of a leader those of its
    /// successor do. What is left is given back at the next start (`spare`).
    pub(crate) fn give_back(&mut self) {
        if let Some(open) = self.rolled.take()
            && let Err(error) = open.file.set_len(open.end)
        {
            // Zeros behind the last record are part of the format: only room is lost.
            tracing::warn!(file = %open.file.path().display(), %error, "log file keeps its spare room");
        }
    }

    /// Whether there is room for another record now.
    pub fn has_room(&mut self) -> bool {
        let probe = self.dir.join("troupe.probe");
        let found = match &mut self.current {
            Some(open) => match open.reserve(self.prealloc, self.prealloc) {
                Ok(()) => true,
                // What a failed attempt took is given back; if even that fails, it is tried again.
                Err(_) => {
                    if let Err(error) = open.clear_tail() {
                        tracing::warn!(file = %open.file.path().display(), %error, "room not given back");
                    }
                    false
                }
            },
            None => File::create(&probe).and_then(|file| file.allocate(0, self.prealloc)).is_ok(),
        };
        if self.current.is_none() {
            // Best effort: an empty file that stays behind is not read by anybody.
            let _ = disk::remove(&probe);
        }
        found
    }

    fn write(&mut self, first: Zxid) -> Result<(), AppendError> {
        let fresh = self.current.is_none();
        let no_space = |dir: &Path, source| AppendError::NoSpace { dir: dir.to_owned(), source };
        if let Some(last) = self.last.filter(|_| fresh)
            && let Err(source) = links::add_and_forget(&self.dir, first, last)
        {
            return Err(match may_pass(&source) {
                true => no_space(&self.dir, source),
                false => AppendError::Failed { path: self.dir.join(links::FILE), source },
            });
        }
        let mut open =
            match self.current.take() {
                Some(open) => open,
                None => OpenFile::create(&self.dir, first, self.prealloc).map_err(
                    |(path, source)| match may_pass(&source) {
                        true => no_space(&self.dir, source),
                        false => AppendError::Failed { path, source },
                    },
                )?,
            };
        let need = self.staged.len() as u64;
        let failed = |path: &Path, source| AppendError::Failed { path: path.to_owned(), source };
        match open
            .reserve(need, self.prealloc)
            .and_then(|()| open.write(&self.staged, self.prealloc))
        {
            Ok(()) => {}
            Err(source) if is_full(&source) => {
                // What was half written must be zeros again before anything else goes there.
                let cleared = open.clear_tail();
                if fresh {
                    let path = open.file.path();
                    disk::remove(path).map_err(|source| failed(path, source))?;
                } else {
                    cleared.map_err(|source| failed(open.file.path(), source))?;
                    self.current = Some(open);
                }
                return Err(no_space(&self.dir, source));
            }
            Err(source) => return Err(failed(open.file.path(), source)),
        }
        if self.force_sync {
            let synced = open.file.sync_data().and_then(|()| match fresh {
                true => sync_dir(&self.dir),
                false => Ok(()),
            });
            if let Err(source) = synced {
                // Never flushed again: the system may have dropped the pages and would now say yes. What
                // was not acknowledged is cut off, as far as the disk still lets us.
                let _ = open.file.set_len(open.end);
                return Err(failed(open.file.path(), source));
            }
        }
        open.end += need;
        self.current = Some(open);
        Ok(())
    }
}

impl OpenFile {
    fn create(dir: &Path, first: Zxid, prealloc: u64) -> Result<Self, (PathBuf, io::Error)> {
        let path = dir.join(file_name(PREFIX, first));
        let create = || {
            // A file that holds nothing was begun in vain, or all that it held was torn and cut.
            if holds_nothing(&path)? {
                disk::remove(&path)?;
            }
            let file = File::create_new(&path)?;
            let room = HEADER_BYTES + prealloc;
            let made = file.allocate(0, room).and_then(|()| file.write_all_at(&header(), 0));
            if let Err(error) = made {
                disk::remove(&path)?;
                return Err(error);
            }
            Ok(Self { file, end: HEADER_BYTES, zeroed: HEADER_BYTES, room })
        };
        create().map_err(|error| (path.clone(), error))
    }

    fn reserve(&mut self, need: u64, step: u64) -> io::Result<()> {
        // Apache begins a new step when less than 4 KiB are left; its readers expect zeros behind a record.
        if self.end + need + SPARE <= self.room {
            return Ok(());
        }
        let grow = step.max(need + SPARE);
        self.file.allocate(self.room, grow)?;
        self.room += grow;
        Ok(())
    }

    /// What is written for the first time makes the file system note that it is, and a flush waits for that note; so some
    /// zeros behind it are written with it, and most flushes need none.
    fn write(&mut self, bytes: &[u8], step: u64) -> io::Result<()> {
        let behind = self.end + bytes.len() as u64;
        if behind > self.zeroed {
            let ahead = (step / 16).min(self.room.saturating_sub(behind));
            let ahead = usize::try_from(ahead).unwrap_or(ZEROS.len()).min(ZEROS.len());
            let ahead = &ZEROS[..ahead];
            self.file.write_all_at(ahead, behind)?;
            self.zeroed = behind + ahead.len() as u64;
        }
        self.file.write_all_at(bytes, self.end)
    }

    fn clear_tail(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.room = self.end;
        self.zeroed = self.end;
        Ok(())
    }
}

/// Whether there is such a log file, without a record in it.
fn holds_nothing(path: &Path) -> io::Result<bool> {
    match fs::File::open(path) {
        Ok(file) => {
            let mut head = Vec::new();
            let mut first = file.take(HEADER_BYTES + RECORD_HEAD_BYTES);
            first.read_to_end(&mut head)?;
            let at = usize::try_from(HEADER_BYTES).expect("16");
            Ok(head.iter().skip(at).all(|byte| *byte == 0))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

const MIN_PREALLOC: u64 = 64 << 10;
/// So much is written ahead, where files grow by 4 MiB or more.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
const SPARE: u64 = 4096;
const KEEP_STAGED: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;
    use crate::LogReader;
    use crate::log_file::entry_of;

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(2), counter)
    }

    #[test]
    fn a_file_that_holds_nothing_is_begun_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("log.200000001");
        let mut empty = header().to_vec();
        for zeros in [0, 3, 500] {
            empty.resize(16 + zeros, 0);
            fs::write(&path, &empty).expect("it is writable");
            let mut writer = LogWriter::new(dir.path(), 0, true);
            writer.stage(zxid(1), &entry_of(zxid(1), b"x"));
            assert_eq!(writer.commit().expect("it is free"), Some(zxid(1)));
        }
        let mut writer = LogWriter::new(dir.path(), 0, true);
        writer.stage(zxid(1), &entry_of(zxid(1), b"x"));
        writer.commit().expect_err("what holds something is never written over");
    }

    #[test]
    fn what_is_committed_is_read_back_over_rolls_and_growth() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut writer = LogWriter::new(dir.path(), 0, true);
        assert_eq!(writer.commit().expect("nothing to do"), None);
        let mut expected = Vec::new();
        for counter in 1..=40 {
            let entry = entry_of(zxid(counter), &vec![7; counter as usize * 500]);
            writer.stage(zxid(counter), &entry);
            expected.push((zxid(counter), entry));
            if counter % 3 == 0 {
                assert_eq!(writer.commit().expect("there is room"), Some(zxid(counter)));
            }
            if counter == 21 {
                writer.roll();
            }
        }
        writer.commit().expect("there is room");
        drop(writer);
        let mut reader = LogReader::open(dir.path(), Zxid::ZERO).expect("it is there");
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().expect("it is whole") {
            found.push((entry.zxid, entry.body));
        }
        assert_eq!(found, expected);
        let names: Vec<_> = crate::data_dir::list(dir.path(), PREFIX)
            .expect("it can be listed")
            .into_iter()
            .map(|file| file.0)
            .collect();
        assert_eq!(names, [zxid(1), zxid(22)]);
    }
}
