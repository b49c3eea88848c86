//! Which transaction each log file goes on from: one line a file, in a small file beside them, and in a copy of it.
//!
//! Within an epoch counters tell what is missing; where a file begins an epoch nothing in it does. With its
//! line, a file whose predecessor lost its end, or was lost whole, is known to follow a gap. And what lies
//! beyond what a later file goes on from was taken back: a cut that failed on its way to the disk can come
//! undone at the next power cut. Not Apache's: a file without a line is taken at its word when it is behind the
//! watermark, for then Apache may have written it since; it gets its line at the next start. Up to the watermark a
//! file that begins an epoch has had one: where it is lost, the end of the file before may be, too.
//!
//! One more line says that the watermark was on the disk here, as it is from the first start on: where both of its files
//! are lost with the end of the log, nothing else tells that there was more.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use types::{Epoch, Zxid};

use crate::data_dir::{list, read_if_there};
use crate::disk::{self, File, sync_dir};
use crate::log_file::PREFIX;
use crate::{History, TxnLogError};

/// The file's name, in the log's directory.
pub(crate) const FILE: &str = "troupe.logs";
/// The other one's.
pub(crate) const COPY: &str = "troupe.logs.copy";

/// What the lines say.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// The transaction before the first of each log file, by that first one.
    before: BTreeMap<Zxid, Zxid>,
    /// The watermark was on the disk.
    had_watermark: bool,
}

impl Links {
    /// Lines that cannot be believed count for nothing.
    pub(crate) fn read(logs: &Path) -> io::Result<Self> {
        let mut links = Self::default();
        // A crash between the two leaves the copy behind.
        for name in [COPY, FILE] {
            let one = Self::read_one(&logs.join(name))?;
            links.before.extend(one.before);
            links.had_watermark |= one.had_watermark;
        }
        Ok(links)
    }

    fn read_one(path: &Path) -> io::Result<Self> {
        let bytes = read_if_there(path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let before = text.lines().filter_map(decode).collect();
        Ok(Self { before, had_watermark: text.lines().any(|line| line == HAD_WATERMARK) })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// Whether the log may have ended later than it does now: the watermark was on the disk, and what it says of it is
    /// not known.
    pub(crate) fn is_end_in_doubt(&self, flushed: Option<Zxid>) -> bool {
        self.had_watermark && flushed.is_none()
    }

    /// What came before the transaction that begins a file.
    pub(crate) fn before(&self, first: Zxid) -> Option<Zxid> {
        self.before.get(&first).copied()
    }

    /// What counts of the files that are there, named with their first transactions in rising order.
    pub(crate) fn that_count(&self, files: Vec<(Zxid, PathBuf)>) -> Vec<LogFile> {
        let mut gone = Gone::default();
        let mut found = Vec::new();
        for (first, path) in files.into_iter().rev() {
            if !gone.has(first) {
                found.push(LogFile { first, path, gone });
                gone = Gone(self.before(first).map(|before| (before, first)));
            }
        }
        found.reverse();
        found
    }
}

/// Transactions that were taken back: those between what a file goes on from and its first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Gone(Option<(Zxid, Zxid)>);

impl Gone {
    pub(crate) fn has(self, zxid: Zxid) -> bool {
        self.0.is_some_and(|(before, first)| before < zxid && zxid < first)
    }

    /// Whether what follows this one was taken back.
    pub(crate) fn follow(self, zxid: Zxid) -> bool {
        self.0.is_some_and(|(before, first)| before <= zxid && zxid < first)
    }
}

/// Whether a file that begins an epoch with `first` has had a line, as files of Apache's have not; the log is known to have been
/// on the disk up to `flushed`.
pub(crate) fn had_line(first: Zxid, flushed: Option<Zxid>) -> bool {
    flushed.is_some_and(|flushed| first <= flushed)
}

/// A log file.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    /// The transaction that it is named by.
    pub(crate) first: Zxid,
    pub(crate) path: PathBuf,
    /// By the file that follows it.
    pub(crate) gone: Gone,
}

/// A file is about to be begun, behind `before`. Durable when it returns: with the file and without the line, what was cut could
/// come back between the two.
pub(crate) fn add(logs: &Path, first: Zxid, before: Zxid) -> io::Result<()> {
    let mut links = Links::read(logs)?;
    links.before.insert(first, before);
    write(logs, links)
}

/// Says from now on that the watermark was on the disk, where it is.
pub(crate) fn note_watermark(logs: &Path) -> io::Result<()> {
    for name in [FILE, COPY] {
        if !Links::read_one(&logs.join(name))?.had_watermark {
            return write(logs, Links { had_watermark: true, ..Links::read(logs)? });
        }
    }
    Ok(())
}

/// Gives lines to the files that begin an epoch behind `flushed` and have none, as they are now read: they are Apache's. To
/// be done before the watermark goes beyond them.
pub(crate) fn complete(logs: &Path, flushed: Zxid) -> Result<(), TxnLogError> {
    let io = |source| TxnLogError::Read { path: logs.join(FILE), source };
    let links = Links::read(logs).map_err(io)?;
    let files = list(logs, PREFIX).map_err(io)?.into_iter().map(|(first, _)| first);
    let begin = |first: &Zxid| *first > flushed && first.epoch() > Epoch(0) && first.counter() <= 1;
    for first in files.filter(begin).filter(|first| links.before(*first).is_none()) {
        // Where the log begins with it, nothing is said of what it goes on from.
        let before = History::last_up_to(logs, Zxid::from_bits(first.bits() - 1))?;
        add(logs, first, before.unwrap_or(Zxid::ZERO)).map_err(io)?;
    }
    Ok(())
}

/// As [`add`], and lines of files older than all that are there are dropped. Whoever removes those leaves the lines alone:
/// it is not the one that writes the log.
pub(crate) fn add_and_forget(logs: &Path, first: Zxid, before: Zxid) -> io::Result<()> {
    let mut links = Links::read(logs)?;
    let oldest = list(logs, PREFIX)?.first().map_or(first, |(oldest, _)| first.min(*oldest));
    links.before = links.before.split_off(&oldest);
    links.before.insert(first, before);
    write(logs, links)
}

/// Always new files: after a flush that failed the old ones can no longer be trusted.
fn write(logs: &Path, links: Links) -> io::Result<()> {
    let mark = links.had_watermark.then(|| HAD_WATERMARK.to_owned());
    let lines = links.before.into_iter().map(|(first, before)| encode(first, before));
    let text = mark.into_iter().chain(lines).collect::<Vec<_>>().join("\n");
    for name in [FILE, COPY] {
        let tmp = logs.join(format!("{name}.tmp"));
        let mut file = File::create(&tmp)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        disk::rename(&tmp, &logs.join(name))?;
    }
    sync_dir(logs)
}

/// Both zxids in hexadecimal, and the Adler-32 of these digits.
fn encode(first: Zxid, before: Zxid) -> String {
    let digits = format!("{:016x} {:016x}", first.bits(), before.bits());
    format!("{digits} {:08x}", simd_adler32::adler32(&digits.as_bytes()))
}

fn decode(line: &str) -> Option<(Zxid, Zxid)> {
    let mut words = line.split(' ');
    let mut next =
        || Some(Zxid::from_bits(u64::from_str_radix(words.next()?, 16).ok()?.cast_signed()));
    let (first, before) = (next()?, next()?);
    (line == encode(first, before)).then_some((first, before))
}

/// No line of a file's, and the Adler-32 of its word.
const HAD_WATERMARK: &str = "watermark 132a03cf";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_kept_apart_and_damaged_ones_are_not_believed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let zxid = Zxid::from_bits;
        for first in [1, 5, 9] {
            add(dir.path(), zxid(first), zxid(first - 1)).expect("it is writable");
        }
        let before = || {
            let links = Links::read(dir.path()).expect("it is there");
            [1, 5, 9].map(|first| links.before(zxid(first)).map(Zxid::bits))
        };
        assert_eq!(before(), [Some(0), Some(4), Some(8)]);
        let (path, copy) = (dir.path().join(FILE), dir.path().join(COPY));
        for path in [&path, &copy] {
            let whole = fs::read(path).expect("it is there");
            fs::write(path, "damaged").expect("it is writable");
            assert_eq!(before(), [Some(0), Some(4), Some(8)]);
            fs::write(path, whole).expect("it is writable");
        }
        fs::remove_file(copy).expect("it is there");
        let whole = fs::read(&path).expect("it is there");
        let mut rotten = whole.clone();
        rotten[whole.len() / 2] ^= 1;
        fs::write(&path, &rotten).expect("it is writable");
        assert_eq!(before(), [Some(0), None, Some(8)]);
        fs::write(&path, &whole[..whole.len() - 3]).expect("it is writable");
        assert_eq!(before(), [Some(0), Some(4), None]);
        add(dir.path(), zxid(9), zxid(7)).expect("it is writable");
        assert_eq!(before(), [Some(0), Some(4), Some(7)]);
        fs::write(dir.path().join("log.5"), "").expect("it is writable");
        add_and_forget(dir.path(), zxid(9), zxid(8)).expect("it is writable");
        assert_eq!(before(), [None, Some(4), Some(8)]);
    }

    #[test]
    fn that_there_was_a_watermark_is_kept_by_whoever_writes_and_told_by_either_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (logs, zxid) = (dir.path(), Zxid::from_bits);
        let is_in_doubt =
            |flushed| Links::read(logs).expect("it is readable").is_end_in_doubt(flushed);
        add(logs, zxid(1), zxid(0)).expect("it is writable");
        assert!(!is_in_doubt(None), "nothing says so");
        note_watermark(logs).expect("it is writable");
        add(logs, zxid(5), zxid(4)).expect("it is writable");
        add_and_forget(logs, zxid(9), zxid(8)).expect("it is writable");
        complete(logs, zxid(9)).expect("it is writable");
        assert!(is_in_doubt(None) && !is_in_doubt(Some(zxid(0))));
        let links = Links::read(logs).expect("it is there");
        assert_eq!(
            [1, 5, 9].map(|first| links.before(zxid(first)).is_some()),
            [false, false, true]
        );
        for (name, bytes) in [(FILE, "damaged"), (COPY, "watermark 00000000\n")] {
            fs::write(logs.join(name), bytes).expect("it is writable");
            assert!(is_in_doubt(None), "{name}");
            note_watermark(logs).expect("it is writable");
            assert!(Links::read_one(&logs.join(name)).expect("it is there").had_watermark);
        }
        for name in [FILE, COPY] {
            fs::write(logs.join(name), "watermark 00000000\n").expect("it is writable");
        }
        assert!(!is_in_doubt(None), "it is not what was written");
        let words = "watermark";
        let line = format!("{words} {:08x}", simd_adler32::adler32(&words.as_bytes()));
        assert_eq!(line, HAD_WATERMARK);
        assert_eq!(decode(HAD_WATERMARK), None);
    }

    #[test]
    fn what_a_later_file_does_not_go_on_from_was_taken_back() {
        let of = |firsts: &[i64], lines: &[(i64, i64)]| {
            let zxid = Zxid::from_bits;
            let before = lines.iter().map(|(a, b)| (zxid(*a), zxid(*b))).collect();
            let links = Links { before, had_watermark: false };
            let files = firsts.iter().map(|first| (zxid(*first), PathBuf::new())).collect();
            let found = links.that_count(files);
            let gone = |file: &LogFile| (0..12).filter(|z| file.gone.has(zxid(*z))).collect();
            found.iter().map(|file| (file.first.bits(), gone(file))).collect::<Vec<(_, Vec<_>)>>()
        };
        let none = Vec::new;
        assert_eq!(of(&[1, 5, 9], &[]), [(1, none()), (5, none()), (9, none())]);
        let expected = [(1, none()), (5, vec![8]), (9, none())];
        assert_eq!(of(&[1, 5, 9], &[(5, 4), (9, 7)]), expected);
        // What was taken back takes nothing back itself.
        let expected = [(1, vec![4, 5, 6, 7, 8]), (9, none())];
        assert_eq!(of(&[1, 5, 9], &[(5, 2), (9, 3)]), expected);
        assert_eq!(of(&[1, 5, 9], &[(1, 0), (9, 0)]), [(9, none())]);
        // Nor does a file that is not there.
        assert_eq!(of(&[1, 9], &[(5, 2)]), [(1, none()), (9, none())]);
    }
}
