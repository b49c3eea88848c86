//! Reading the log back: whole records in order, a torn tail cut, rot named and never served.
//!
//! A crash of the process leaves a prefix of what was being written, and zeros or the end of the file after
//! it. A power cut may also lose pages out of the middle of a batch that was never flushed; the file of
//! what was flushed (`watermark`) tells: above it, damage in the last file is a torn tail too, and is set
//! aside. Whatever else does not add up changed after it was written: that is rot.
//!
//! Lives here: the order of records over all files. Start at [`LogReader::open`]; `files` says which are read, `records` what
//! stands in each.

mod files;
mod records;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use types::Zxid;

use crate::data_dir::is_full;
use crate::disk::{self, sync_dir};
use crate::links::{self, Links, LogFile};
use crate::log_file::{HEADER_BYTES, header};
use crate::watermark;
use records::rest_is_zero;

pub(crate) use files::{first_needed, logs, logs_behind, read_links};
pub(crate) use records::{Found, OpenFile};

/// One record of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogEntry {
    /// The transaction's place in the order.
    pub zxid: Zxid,
    /// Header, record and digest, as they were appended.
    pub body: Bytes,
}

/// Why the transaction log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TxnLogError {
    /// The system refuses.
    #[error("read log file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes changed after they were written. Never served; restore the file, or let the member
    /// fetch its state from its peers.
    #[error("log file {} is corrupt at byte {offset}, last good zxid {last:?}; restore the file from a copy", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the bad record begins.
        offset: u64,
        /// The last transaction read before it, in any file.
        last: Zxid,
    },
    /// The log ends before the last transaction that is known to have been on the disk.
    #[error("the log in {} ends at {last:?}, and was on the disk up to {flushed:?}; restore the missing log files, or the snapshot that goes further, from a copy, or delete {}* and {}* to go on without the transactions in between", dir.display(), dir.join(watermark::FILE).display(), links::FILE)]
    Lost {
        /// The log's directory.
        dir: PathBuf,
        /// The last transaction that is there.
        last: Zxid,
        /// The last one that is known to have been.
        flushed: Zxid,
    },
    /// The log may have ended later: what tells how far it was on the disk was there and is lost.
    #[error("the log in {} ends at {last:?}, and may have ended later: how far it was on the disk is told by {}, which is lost with its copy; start the member beside all other voters, from whom it learns what is missing, or delete {}* and {}* to take the log at its word", dir.display(), watermark::FILE, dir.join(watermark::FILE).display(), links::FILE)]
    InDoubt {
        /// The log's directory.
        dir: PathBuf,
        /// The last transaction that is there.
        last: Zxid,
    },
    /// Transactions may be missing before one that begins an epoch.
    #[error("log file {}: whether {found:?} follows {last:?} is told by {}, which is lost with its copy; restore one of them, or delete {}* and {}* to take the log at its word", path.display(), links::FILE, watermark::FILE, links::FILE)]
    Unlinked {
        /// The file that it begins.
        path: PathBuf,
        /// The last transaction before.
        last: Zxid,
        /// The one found.
        found: Zxid,
    },
    /// Transactions are missing between two that are there.
    #[error("log file {}: {found:?} follows {last:?}, what lies between is missing; restore the missing log files, or the snapshot that has it, from a copy", path.display())]
    Gap {
        /// The file of the later one.
        path: PathBuf,
        /// The last transaction before the gap.
        last: Zxid,
        /// The one found.
        found: Zxid,
    },
}

impl TxnLogError {
    /// Whether something that was there is not, which other members may have.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }
}

/// Reads every record after a zxid, over all files that are needed for it.
#[derive(Debug)]
pub struct LogReader {
    dir: PathBuf,
    /// Files not yet opened, the next one last.
    files: Vec<LogFile>,
    open: Option<OpenFile>,
    /// The last transaction returned or, at first, the one to begin after.
    last: Zxid,
    /// Up to here the log is known to have been on stable storage.
    flushed: Option<Zxid>,
    links: Links,
}

impl LogReader {
    /// Begins behind `after`, the zxid of the snapshot that was loaded.
    pub fn open(dir: &Path, after: Zxid) -> Result<Self, TxnLogError> {
        let links = read_links(dir)?;
        let files = logs_behind(dir, &links, after)?;
        let flushed = watermark::read(dir)
            .map_err(|source| TxnLogError::Read { path: dir.join(watermark::FILE), source })?;
        Ok(Self { dir: dir.to_owned(), files, open: None, last: after, flushed, links })
    }

    /// The next record, or `None` at the end of the log. The torn tail of the last file is cut off the
    /// file, so that it cannot be mistaken for anything later.
    pub fn next_entry(&mut self) -> Result<Option<LogEntry>, TxnLogError> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                let last = self.last;
                return match self.flushed {
                    Some(flushed) if flushed > last => {
                        Err(TxnLogError::Lost { dir: self.dir.clone(), last, flushed })
                    }
                    flushed if self.links.is_end_in_doubt(flushed) => {
                        Err(TxnLogError::InDoubt { dir: self.dir.clone(), last })
                    }
                    _ => Ok(None),
                };
            }
            let may_be_torn = self.may_be_torn();
            let Some(file) = &mut self.open else { continue };
            let start = file.offset;
            let found = match file.read_record() {
                Ok(found) => found,
                Err(source) => return Err(TxnLogError::Read { path: file.path.clone(), source }),
            };
            match found {
                Found::Entry(entry) => {
                    // Apache can use a zxid twice; what is not behind the last one is already there.
                    if entry.zxid <= self.last {
                        continue;
                    }
                    self.check_adjacent(entry.zxid, start == HEADER_BYTES)?;
                    self.last = entry.zxid;
                    return Ok(Some(entry));
                }
                Found::Rot if may_be_torn => {
                    let path = file.path.clone();
                    self.open = None;
                    tracing::warn!(
                        file = %path.display(),
                        offset = start,
                        last = %self.last,
                        "what was never flushed is damaged: set aside"
                    );
                    set_aside(&path, start).map_err(|source| TxnLogError::Read { path, source })?;
                }
                Found::Rot => {
                    return Err(TxnLogError::Corrupt {
                        path: file.path.clone(),
                        offset: start,
                        last: self.last,
                    });
                }
                Found::Torn if self.files.is_empty() => {
                    tracing::warn!(file = %file.path.display(), offset = start, "torn tail cut");
                    let path = file.path.clone();
                    self.open = None;
                    cut(&path, start).map_err(|source| TxnLogError::Read { path, source })?;
                }
                Found::Torn | Found::End => self.open = None,
            }
        }
    }

    /// The last transaction read, or the one it began behind.
    pub fn last(&self) -> Zxid {
        self.last
    }

    fn open_next(&mut self) -> Result<bool, TxnLogError> {
        let Some(file) = self.files.pop() else { return Ok(false) };
        let is_last = self.files.is_empty();
        let path = file.path.clone();
        let read = |source| TxnLogError::Read { path: path.clone(), source };
        let (mut file, start) = OpenFile::open(file).map_err(read)?;
        if start != header() {
            let written = start.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let cut_short = header().starts_with(&start[..written]);
            // A crash while the file was made: nothing was ever in it.
            if is_last && cut_short && rest_is_zero(&mut file.input).map_err(read)? {
                disk::remove(&path).and_then(|()| sync_dir(&self.dir)).map_err(read)?;
                return Ok(false);
            }
            if is_last && self.may_be_torn() {
                tracing::warn!(file = %path.display(), "a file that was never flushed is damaged: set aside");
                set_aside(&path, 0)
                    .and_then(|()| disk::remove(&path))
                    .and_then(|()| sync_dir(&self.dir))
                    .map_err(read)?;
                return Ok(false);
            }
            return Err(TxnLogError::Corrupt { path, offset: 0, last: self.last });
        }
        self.open = Some(file);
        Ok(true)
    }

    /// Whether damage here can be of a batch that was never flushed: all that is known to have been on the
    /// disk is read, and no file follows.
    fn may_be_torn(&self) -> bool {
        self.files.is_empty() && self.flushed.is_some_and(|flushed| self.last >= flushed)
    }

    fn check_adjacent(&self, found: Zxid, begins_file: bool) -> Result<(), TxnLogError> {
        let before = if begins_file { self.links.before(found) } else { None };
        let had_line = begins_file && links::had_line(found, self.flushed);
        let is_unlinked = had_line && before.is_none() && found.epoch() > self.last.epoch();
        if !is_unlinked && follows(self.last, found, before) {
            return Ok(());
        }
        let path = self.open.as_ref().map_or_else(|| self.dir.clone(), |file| file.path.clone());
        let last = self.last;
        Err(match is_unlinked {
            true => TxnLogError::Unlinked { path, last, found },
            false => TxnLogError::Gap { path, last, found },
        })
    }
}

/// Whether `found` is what comes next: within an epoch counters have no gaps, since failed writes are logged
/// too. At the start of an epoch only the first record tells, and `before`: what its file is known to go on
/// from.
pub(crate) fn follows(last: Zxid, found: Zxid, before: Option<Zxid>) -> bool {
    let begins_epoch = found.epoch() > last.epoch() && found.counter() <= 1;
    last.next() == Some(found) || begins_epoch && before.is_none_or(|before| before <= last)
}

/// Cuts the file, and keeps what is cut in a file of its own, for a person to look at. Kept as long as
/// the log it is from.
fn set_aside(path: &Path, at: u64) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut from = File::open(path)?;
    from.seek(SeekFrom::Start(at))?;
    let mut to = disk::File::create(&path.with_file_name(format!("{CUT_PREFIX}{name}")))?;
    // A full disk must not keep the member from starting.
    match io::copy(&mut from, &mut to) {
        Err(error) if is_full(&error) => {
            tracing::warn!("no room to keep a copy of it");
        }
        copied => drop(copied?),
    }
    cut(path, at)
}

fn cut(path: &Path, at: u64) -> io::Result<()> {
    let file = disk::File::open(path)?;
    file.set_len(at)?;
    file.sync_all()
}

/// Names of files that hold what was set aside: this, and the name of the log.
pub(crate) const CUT_PREFIX: &str = "troupe-cut.";

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use types::Epoch;

    use super::*;
    use crate::LogWriter;
    use crate::log_file::{encode, entry_of};

    pub(super) fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    /// A log file with `count` records, and where each one begins.
    pub(super) fn log(first: u32, count: u32) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = header().to_vec();
        let mut starts = Vec::new();
        for counter in first..first + count {
            starts.push(bytes.len());
            encode(&entry_of(zxid(counter), b"payload with a B in it"), &mut bytes);
        }
        starts.push(bytes.len());
        (bytes, starts)
    }

    pub(super) fn read(dir: &Path, after: Zxid) -> Result<Vec<u32>, TxnLogError> {
        let mut reader = LogReader::open(dir, after)?;
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            found.push(entry.zxid.counter());
        }
        Ok(found)
    }

    #[test]
    fn damage_above_what_was_flushed_is_a_torn_tail_and_below_it_is_rot() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("log.100000001");
        let (bytes, starts) = log(1, 5);
        links::add(dir.path(), zxid(1), Zxid::ZERO).expect("it is writable");
        let mut flushed = watermark::Watermark::new(dir.path());
        flushed.flushed(zxid(2), std::time::Instant::now());
        flushed.settle(std::time::Instant::now());
        for at in starts[0]..bytes.len() {
            let mut lost = bytes.clone();
            // A page that was not written reads as zeros.
            lost[at..bytes.len().min(at + 20)].fill(0);
            if lost == bytes {
                continue;
            }
            fs::write(&path, &lost).expect("it is writable");
            let record = starts.iter().rposition(|start| *start <= at).expect("behind the header");
            match read(dir.path(), Zxid::ZERO) {
                Ok(found) => {
                    assert!(record >= 2, "byte {at}");
                    let whole: Vec<_> = (1..).take(record).collect();
                    assert_eq!(found, whole, "byte {at}");
                    assert_eq!(read(dir.path(), Zxid::ZERO).expect("and again"), whole, "{at}");
                }
                Err(TxnLogError::Corrupt { .. }) => assert!(record < 2, "byte {at}"),
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
        let kept = fs::read(dir.path().join("troupe-cut.log.100000001")).expect("set aside");
        assert!(!kept.is_empty());
        fs::write(&path, &bytes[..starts[1]]).expect("it is writable");
        let lost = read(dir.path(), Zxid::ZERO);
        assert!(
            matches!(&lost, Err(TxnLogError::Lost { last, .. }) if *last == zxid(1)),
            "{lost:?}"
        );
    }

    #[test]
    fn a_file_that_was_never_flushed_may_lack_its_first_page() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("log.100000001"), log(1, 2).0).expect("it is writable");
        links::add(dir.path(), zxid(1), Zxid::ZERO).expect("it is writable");
        let mut second = log(3, 200).0;
        second[..4096].fill(0);
        let path = dir.path().join("log.100000003");
        fs::write(&path, &second).expect("it is writable");
        let refused = read(dir.path(), Zxid::ZERO);
        assert!(matches!(refused, Err(TxnLogError::Corrupt { offset: 0, .. })), "{refused:?}");
        let mut flushed = watermark::Watermark::new(dir.path());
        flushed.flushed(zxid(2), std::time::Instant::now());
        flushed.settle(std::time::Instant::now());
        assert_eq!(read(dir.path(), Zxid::ZERO).expect("torn is fine"), [1, 2]);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_begins_an_epoch_is_taken_at_its_word_only_where_it_never_had_a_line() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut writer = LogWriter::new(dir.path(), 0, true);
        for zxid in [zxid(1), Zxid::new(Epoch(2), 1)] {
            writer.roll();
            writer.stage(zxid, &entry_of(zxid, b"x"));
            writer.commit().expect("there is room");
        }
        // As Apache leaves it.
        let whole = || read(dir.path(), Zxid::ZERO);
        assert_eq!(whole().expect("it is whole"), [1, 1]);
        let last = Zxid::new(Epoch(2), 1);
        links::complete(dir.path(), Zxid::ZERO).expect("it is writable");
        watermark::lower(dir.path(), last).expect("it is writable");
        assert_eq!(whole().expect("it is whole"), [1, 1]);
        for name in [links::FILE, links::COPY] {
            fs::remove_file(dir.path().join(name)).expect("it is there");
        }
        // What was before it may be lost, too.
        links::complete(dir.path(), last).expect("it is writable");
        let refused = whole().expect_err("nothing tells");
        assert!(matches!(refused, TxnLogError::Unlinked { .. }), "{refused:?}");
    }

    #[test]
    fn files_follow_each_other_from_the_one_that_is_needed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (first, count) in [(1, 3), (4, 2), (6, 2)] {
            let path = dir.path().join(format!("log.{:x}", zxid(first).bits()));
            fs::write(path, log(first, count).0).expect("it is writable");
        }
        assert_eq!(read(dir.path(), Zxid::ZERO).expect("whole"), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(read(dir.path(), zxid(4)).expect("whole"), [5, 6, 7]);
        assert_eq!(read(dir.path(), zxid(7)).expect("whole"), [0; 0]);
        fs::remove_file(dir.path().join("log.100000004")).expect("it is there");
        let gap = read(dir.path(), Zxid::ZERO);
        assert!(
            matches!(&gap, Err(TxnLogError::Gap { last, found, .. }) if (*last, *found) == (zxid(3), zxid(6))),
            "{gap:?}"
        );
    }
}
