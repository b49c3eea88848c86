//! Which transaction each log file goes on from: one line a file, in a small file beside them.
//!
//! Within an epoch counters tell what is missing; where a file begins an epoch nothing in it does. With its
//! line, a file whose predecessor lost its end, or was lost whole, is known to follow a gap. Not Apache's: a
//! file without a line is taken at its word.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use types::Zxid;

use crate::disk::{self, File, sync_dir};

/// The file's name, in the log's directory.
pub(crate) const FILE: &str = "troupe.logs";

/// The transaction before the first of each log file, by that first one.
#[derive(Debug, Default)]
pub(crate) struct Links(BTreeMap<Zxid, Zxid>);

impl Links {
    /// Lines that cannot be believed count for nothing.
    pub(crate) fn read(logs: &Path) -> io::Result<Self> {
        let text = match fs::read(logs.join(FILE)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Self(text.lines().filter_map(decode).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What came before the transaction that begins a file.
    pub(crate) fn before(&self, first: Zxid) -> Option<Zxid> {
        self.0.get(&first).copied()
    }
}

/// A file has been begun, behind `before`. Durable when it returns.
pub(crate) fn add(logs: &Path, first: Zxid, before: Zxid) -> io::Result<()> {
    let path = logs.join(FILE);
    let file = File::open_or_create(&path)?;
    let end = file.length()?;
    // The line before may have been cut short.
    let fresh = end == 0;
    let line = encode(first, before);
    let line = if fresh { line } else { format!("\n{line}") };
    file.write_all_at(line.as_bytes(), end)?;
    file.sync_all()?;
    if fresh { sync_dir(logs) } else { Ok(()) }
}

/// Drops the lines of files that begin before `first`.
pub(crate) fn forget_before(logs: &Path, first: Zxid) -> io::Result<()> {
    let Links(mut lines) = Links::read(logs)?;
    let kept = lines.split_off(&first);
    if lines.is_empty() {
        return Ok(());
    }
    let (path, tmp) = (logs.join(FILE), logs.join(format!("{FILE}.tmp")));
    let text: Vec<_> = kept.into_iter().map(|(first, before)| encode(first, before)).collect();
    let mut file = File::create(&tmp)?;
    file.write_all(text.join("\n").as_bytes())?;
    file.sync_all()?;
    disk::rename(&tmp, &path)?;
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

#[cfg(test)]
mod tests {
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
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).expect("it is there");
        let mut rotten = whole.clone();
        rotten[whole.len() / 2] ^= 1;
        fs::write(&path, &rotten).expect("it is writable");
        assert_eq!(before(), [Some(0), None, Some(8)]);
        // A line that was cut short spoils none behind it.
        fs::write(&path, &whole[..whole.len() - 3]).expect("it is writable");
        add(dir.path(), zxid(9), zxid(7)).expect("it is writable");
        assert_eq!(before(), [Some(0), Some(4), Some(7)]);
        forget_before(dir.path(), zxid(5)).expect("it is writable");
        assert_eq!(before(), [None, Some(4), Some(7)]);
    }
}
