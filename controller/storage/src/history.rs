//! Reading the log of a running member: what peers lack, from any point on.
//!
//! Lives here: where a transaction is, and those behind it, without changing a file. Must not: cut or judge a
//! tail; what is asked for was flushed, so anything but whole records up to it is damage.

use std::ops::Range;
use std::path::{Path, PathBuf};

use types::Zxid;

use crate::links::{Links, LogFile};
use crate::log_file::{HEADER_BYTES, header};
use crate::log_reader::{Found, OpenFile, follows, logs, logs_behind, read_links};
use crate::{LogEntry, TxnLogError};

/// The transactions behind one and up to another, read as they are asked for.
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    /// Files not yet opened, the next one last.
    files: Vec<LogFile>,
    open: Option<OpenFile>,
    last: Zxid,
    to: Zxid,
    links: Links,
}

impl History {
    /// Begins behind `after` and ends with `to`, which is on stable storage.
    pub fn open(dir: &Path, after: Zxid, to: Zxid) -> Result<Self, TxnLogError> {
        let links = read_links(dir)?;
        let files = logs_behind(dir, &links, after)?;
        Ok(Self { dir: dir.to_owned(), files, open: None, last: after, to, links })
    }

    /// The next transaction; `None` behind the last one wanted. A gap is an error: whoever reads must have
    /// all of it.
    pub fn next_entry(&mut self) -> Result<Option<LogEntry>, TxnLogError> {
        loop {
            if self.last >= self.to {
                return Ok(None);
            }
            let Some(file) = &mut self.open else {
                let (dir, last, flushed) = (self.dir.clone(), self.last, self.to);
                let Some(file) = self.files.pop() else {
                    return Err(TxnLogError::Lost { dir, last, flushed });
                };
                self.open = Some(open(file)?);
                continue;
            };
            let begins_file = file.offset == HEADER_BYTES;
            let Some(entry) = next(file, self.last)? else {
                self.open = None;
                continue;
            };
            if entry.zxid <= self.last {
                continue;
            }
            let before = if begins_file { self.links.before(entry.zxid) } else { None };
            if !follows(self.last, entry.zxid, before) {
                let (path, found) = (file.path.clone(), entry.zxid);
                return Err(TxnLogError::Gap { path, last: self.last, found });
            }
            self.last = entry.zxid;
            return Ok(Some(entry));
        }
    }

    /// The last transaction in the log at or before `zxid`; `None` when the log begins behind it. Reads
    /// one file.
    pub fn last_up_to(dir: &Path, zxid: Zxid) -> Result<Option<Zxid>, TxnLogError> {
        let mut files = logs(dir, &read_links(dir)?)?;
        let Some(at) = files.iter().rposition(|file| file.first <= zxid) else {
            return Ok(None);
        };
        let mut file = open(files.swap_remove(at))?;
        let mut last = None;
        while let Some(entry) = next(&mut file, last.unwrap_or_default())? {
            if entry.zxid > zxid {
                break;
            }
            last = Some(entry.zxid);
        }
        Ok(last)
    }

    /// The first transaction that the log still has.
    pub fn first(dir: &Path) -> Result<Option<Zxid>, TxnLogError> {
        Ok(logs(dir, &read_links(dir)?)?.first().map(|file| file.first))
    }
}

/// Where the record of `zxid` ends in a file; `None` when it is not there.
pub(crate) fn end_of(file: LogFile, zxid: Zxid) -> Result<Option<u64>, TxnLogError> {
    let mut file = open(file)?;
    while let Some(entry) = next(&mut file, zxid)? {
        if entry.zxid == zxid {
            return Ok(Some(file.offset));
        }
    }
    Ok(None)
}

/// Where in a file lies what it has behind `zxid`, its head included when that is all of it.
pub(crate) fn bytes_behind(file: LogFile, zxid: Zxid) -> Result<Range<u64>, TxnLogError> {
    let mut file = open(file)?;
    let mut begins = 0;
    while let Some(entry) = next(&mut file, zxid)? {
        if entry.zxid <= zxid {
            begins = file.offset;
        }
    }
    Ok(begins..file.offset)
}

fn open(file: LogFile) -> Result<OpenFile, TxnLogError> {
    let path = file.path.clone();
    match OpenFile::open(file) {
        Ok((file, start)) if start == header() => Ok(file),
        Ok(_) => Err(TxnLogError::Corrupt { path, offset: 0, last: Zxid::ZERO }),
        Err(source) => Err(TxnLogError::Read { path, source }),
    }
}

/// The next whole record of a file; `None` at its end, and at what may be one that is being written.
fn next(file: &mut OpenFile, last: Zxid) -> Result<Option<LogEntry>, TxnLogError> {
    let start = file.offset;
    let corrupt = |path: &Path| TxnLogError::Corrupt { path: path.to_owned(), offset: start, last };
    match file.read_record() {
        Ok(Found::Entry(entry)) => Ok(Some(entry)),
        Ok(Found::End | Found::Torn) => Ok(None),
        Ok(Found::Rot) => Err(corrupt(&file.path)),
        Err(source) => Err(TxnLogError::Read { path: file.path.clone(), source }),
    }
}

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;
    use crate::log_file::entry_of;
    use crate::{LogWriter, links};

    fn zxid(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    /// 1:1 to 1:6 and 2:1 to 2:4 in several files, the last one open.
    fn filled(dir: &Path) -> LogWriter {
        let mut writer = LogWriter::new(dir, 0, true).behind(Zxid::ZERO);
        for (epoch, counter) in (1..=6).map(|c| (1, c)).chain((1..=4).map(|c| (2, c))) {
            let zxid = zxid(epoch, counter);
            writer.stage(zxid, &entry_of(zxid, b"x"));
            writer.commit().expect("there is room");
            if counter % 3 == 0 {
                writer.roll();
            }
        }
        writer
    }

    #[test]
    fn what_is_behind_a_transaction_is_read_while_the_log_is_open() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _writer = filled(dir.path());
        let read = |after, to| {
            let mut history = History::open(dir.path(), after, to)?;
            let mut found = Vec::new();
            while let Some(entry) = history.next_entry()? {
                found.push(entry.zxid);
            }
            Ok::<_, TxnLogError>(found)
        };
        assert_eq!(
            read(zxid(1, 5), zxid(2, 2)).expect("it is whole"),
            [zxid(1, 6), zxid(2, 1), zxid(2, 2)]
        );
        assert_eq!(read(zxid(2, 4), zxid(2, 4)).expect("it is whole"), []);
        let lost = read(zxid(2, 3), zxid(2, 5));
        assert!(matches!(lost, Err(TxnLogError::Lost { .. })), "{lost:?}");
        std::fs::remove_file(dir.path().join("log.100000004")).expect("it is there");
        let gap = read(zxid(1, 2), zxid(2, 2));
        assert!(matches!(gap, Err(TxnLogError::Gap { .. })), "{gap:?}");
        // An epoch may begin anywhere; what lies in one does not.
        for name in [links::FILE, links::COPY] {
            std::fs::remove_file(dir.path().join(name)).expect("it is there");
        }
        let gap = read(zxid(1, 2), zxid(2, 2));
        assert_eq!(gap.expect("seen as whole"), [zxid(1, 3), zxid(2, 1), zxid(2, 2)]);
        std::fs::remove_file(dir.path().join("log.200000001")).expect("it is there");
        let gap = read(zxid(1, 2), zxid(2, 4));
        assert!(matches!(gap, Err(TxnLogError::Gap { .. })), "{gap:?}");
    }

    #[test]
    fn the_place_of_a_transaction_that_is_not_there_is_the_one_before() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _writer = filled(dir.path());
        let place = |zxid| History::last_up_to(dir.path(), zxid).expect("it is whole");
        assert_eq!(place(zxid(1, 5)), Some(zxid(1, 5)));
        assert_eq!(place(zxid(1, 9)), Some(zxid(1, 6)));
        assert_eq!(place(zxid(2, 0)), Some(zxid(1, 6)));
        assert_eq!(place(zxid(9, 1)), Some(zxid(2, 4)));
        assert_eq!(place(zxid(0, 7)), None);
        assert_eq!(History::first(dir.path()).expect("it can be listed"), Some(zxid(1, 1)));
    }
}
