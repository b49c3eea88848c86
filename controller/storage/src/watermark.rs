//! How far the log is known to have reached the disk: a zxid in a small file beside it, and in another one: were the
//! only one lost with the log's end, nothing would tell.
//!
//! It tells what a power cut may damage from what it may not: pages of a batch that was never flushed can
//! reach the disk in any order, and such damage is no rot. Written behind the flushes, never in their way,
//! so it says "at least up to here". Not Apache's: a directory without it is read by the log alone, unless it is known to
//! have had it (`links`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use types::Zxid;

use crate::data_dir::read_if_there;
use crate::disk::{self, File, sync_dir};

/// The file's name, in the log's directory.
pub(crate) const FILE: &str = "troupe.flushed";
/// The other one's. Both are lowered before the log is cut, so that the higher one is right.
pub(crate) const COPY: &str = "troupe.flushed.copy";
const FILES: [&str; 2] = [FILE, COPY];

/// Writes the files, lazily.
#[derive(Debug)]
pub(crate) struct Watermark {
    dir: PathBuf,
    files: Option<[File; 2]>,
    /// The last flush that was told.
    flushed: Option<Zxid>,
    /// What the files say, and since when.
    written: Option<(Zxid, Instant)>,
    /// Whether what they say is itself on stable storage.
    durable: bool,
}

impl Watermark {
    pub(crate) fn new(log_dir: &Path) -> Self {
        let dir = log_dir.to_owned();
        Self { dir, files: None, flushed: None, written: None, durable: true }
    }

    /// The log is on stable storage up to `zxid`. Costs a small write to the page cache now and then.
    pub(crate) fn flushed(&mut self, zxid: Zxid, now: Instant) {
        self.flushed = Some(zxid);
        let every = |since| now.saturating_duration_since(since) >= WRITE_EVERY;
        if self.written.is_none_or(|(_, since)| every(since)) {
            self.write(false, now);
        }
    }

    /// Whether [`Self::settle`] has something to do.
    pub(crate) fn is_behind(&self) -> bool {
        !self.durable || self.is_unwritten()
    }

    /// Whether [`Self::note`] has something to do.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.written.map(|(zxid, _)| zxid) != self.flushed
    }

    /// No flush came for a moment: brings the files up to date.
    pub(crate) fn note(&mut self, now: Instant) {
        if self.is_unwritten() {
            self.write(false, now);
        }
    }

    /// The log was cut or exchanged, and the files with it: what was flushed before counts no more.
    pub(crate) fn restart(&mut self) {
        *self = Self {
            files: None,
            flushed: None,
            written: None,
            durable: true,
            dir: std::mem::take(&mut self.dir),
        };
    }

    /// Nothing else is to be done now: brings the files up to date, durably.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.is_behind() {
            self.write(true, now);
        }
    }

    fn write(&mut self, sync: bool, now: Instant) {
        let Some(zxid) = self.flushed else { return };
        // Without it less damage is told apart, and nothing else: an error is no reason to stop.
        match self.put(zxid, sync) {
            Ok(()) => self.durable = sync,
            Err(error) => {
                tracing::debug!(dir = %self.dir.display(), %error, "not written");
                self.durable = true;
            }
        }
        self.written = Some((zxid, now));
    }

    fn put(&mut self, zxid: Zxid, sync: bool) -> io::Result<()> {
        let files = match &mut self.files {
            Some(files) => files,
            none => none.insert(open(&self.dir)?),
        };
        for file in files {
            file.write_all_at(&encode(zxid), 0)?;
            if sync {
                file.sync_data()?;
            }
        }
        Ok(())
    }
}

/// What the files in a log's directory say; `None` when there is none, or none that can be believed.
pub(crate) fn read(log_dir: &Path) -> io::Result<Option<Zxid>> {
    let mut highest = None;
    for name in FILES {
        let bytes = read_if_there(&log_dir.join(name))?;
        highest = highest.max(bytes.and_then(|bytes| decode(&bytes)));
    }
    Ok(highest)
}

fn open(log_dir: &Path) -> io::Result<[File; 2]> {
    let [file, copy] = FILES.map(|name| File::open_or_create(&log_dir.join(name)));
    Ok([file?, copy?])
}

/// Has the files say this, durably, before the log is cut behind it.
pub(crate) fn lower(log_dir: &Path, zxid: Zxid) -> io::Result<()> {
    for file in open(log_dir)? {
        file.write_all_at(&encode(zxid), 0)?;
        file.sync_all()?;
    }
    sync_dir(log_dir)
}

/// Removes the files, durably.
pub(crate) fn remove(log_dir: &Path) -> io::Result<()> {
    for name in FILES {
        disk::remove_if_there(&log_dir.join(name))?;
    }
    sync_dir(log_dir)
}

/// One line a person can read: the zxid in hexadecimal and the Adler-32 of its digits.
fn encode(zxid: Zxid) -> [u8; LENGTH] {
    let digits = format!("{:016x}", zxid.bits());
    let line = format!("{digits} {:08x}\n", simd_adler32::adler32(&digits.as_bytes()));
    line.as_bytes().try_into().expect("both numbers have a fixed width")
}

fn decode(bytes: &[u8]) -> Option<Zxid> {
    let digits = std::str::from_utf8(bytes.get(..16)?).ok()?;
    let zxid = Zxid::from_bits(u64::from_str_radix(digits, 16).ok()?.cast_signed());
    // It is written in its place: what might stand behind it would never go.
    bytes.starts_with(&encode(zxid)).then_some(zxid)
}

const LENGTH: usize = 26;
/// The files are this much behind the log.
pub(crate) const WRITE_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_says_what_was_flushed_last_and_nothing_when_it_is_damaged() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read(dir.path()).expect("no file is fine"), None);
        let mut watermark = Watermark::new(dir.path());
        assert!(!watermark.is_behind());
        let now = Instant::now();
        for counter in 1..=3 {
            watermark.flushed(Zxid::from_bits(counter), now);
        }
        assert_eq!(read(dir.path()).expect("it is there"), Some(Zxid::from_bits(1)));
        watermark.note(now);
        assert_eq!(read(dir.path()).expect("it is there"), Some(Zxid::from_bits(3)));
        assert!(watermark.is_behind() && !watermark.is_unwritten());
        watermark.settle(now);
        assert!(!watermark.is_behind());
        assert_eq!(read(dir.path()).expect("it is there"), Some(Zxid::from_bits(3)));
        let whole = fs::read(dir.path().join(FILE)).expect("it is there");
        for at in 0..whole.len() {
            let mut rotten = whole.clone();
            rotten[at] ^= 1;
            for bytes in [&rotten[..], &whole[..at]] {
                for damaged in [&[FILE][..], &[COPY], &FILES] {
                    for name in FILES {
                        let bytes = if damaged.contains(&name) { bytes } else { &whole[..] };
                        fs::write(dir.path().join(name), bytes).expect("it is writable");
                    }
                    let expected = (damaged.len() == 1).then_some(Zxid::from_bits(3));
                    assert_eq!(
                        read(dir.path()).expect("it is there"),
                        expected,
                        "{damaged:?} {at}"
                    );
                }
            }
        }
        remove(dir.path()).expect("it is writable");
        assert_eq!(fs::read_dir(dir.path()).expect("it is there").count(), 0);
    }
}
