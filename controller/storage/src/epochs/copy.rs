//! The third file, which says both epochs again, with a checksum.

use std::io;
use std::path::Path;

use types::Epoch;

use super::{EpochError, EpochFile, believed};
use crate::data_dir::read_if_there;
use crate::disk::{self, File, sync_dir};

/// What the third file is found to be.
#[derive(Debug)]
pub(super) enum Copy {
    Missing,
    Rotten,
    Whole(Copied),
}

/// What it says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copied {
    pub(super) accepted: Word,
    pub(super) current: Word,
    /// When `currentEpoch` was written, in nanoseconds of the wall clock.
    pub(super) modified: u64,
}

/// What it says of one of the two.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Word {
    /// There was no such file.
    #[default]
    Nothing,
    /// There was, and it could not be believed when this was written.
    Lost,
    Is(Epoch),
}

impl Copy {
    pub(super) fn read(dir: &Path) -> Result<Self, EpochError> {
        let path = dir.join(COPY);
        match read_if_there(&path) {
            Ok(Some(bytes)) => Ok(Copied::decode(&bytes).map_or(Self::Rotten, Self::Whole)),
            Ok(None) => Ok(Self::Missing),
            Err(source) => Err(EpochError::Io { path, source }),
        }
    }
}

impl Copied {
    /// Says so from now on, durably. A crash on the way leaves the file as it was, or damaged: then the other
    /// two are whole.
    pub(super) fn update(
        dir: &Path,
        file: EpochFile,
        epoch: Epoch,
        written: u64,
    ) -> io::Result<()> {
        let copy = Copy::read(dir).map_err(io::Error::other)?;
        let mut copied = match copy {
            Copy::Whole(copied) => copied,
            // What cannot be believed now is not to be believed the next time either.
            Copy::Missing | Copy::Rotten => {
                let word = |file| match believed(dir, file, &copy, Epoch(0)) {
                    Ok(epoch) => epoch.map_or(Word::Nothing, Word::Is),
                    Err(_) => Word::Lost,
                };
                Self {
                    accepted: word(EpochFile::Accepted),
                    current: word(EpochFile::Current),
                    modified: 0,
                }
            }
        };
        match file {
            EpochFile::Accepted => copied.accepted = Word::Is(epoch),
            EpochFile::Current => {
                copied.current = Word::Is(epoch);
                copied.modified = written;
            }
        }
        let (path, line) = (dir.join(COPY), copied.encode());
        if path.exists() {
            let file = File::open(&path)?;
            file.write_all_at(line.as_bytes(), 0)?;
            file.set_len(line.len() as u64)?;
            return file.sync_data();
        }
        // The first one is there whole or not at all: a damaged one beside no others is not believed.
        copied.write_anew(dir)
    }

    pub(super) fn write_anew(&self, dir: &Path) -> io::Result<()> {
        let (path, tmp) = (dir.join(COPY), dir.join(format!("{COPY}.tmp")));
        let file = File::create(&tmp)?;
        file.write_all_at(self.encode().as_bytes(), 0)?;
        file.sync_data()?;
        disk::rename(&tmp, &path)?;
        sync_dir(dir)
    }

    pub(super) fn word(&self, file: EpochFile) -> Word {
        match file {
            EpochFile::Accepted => self.accepted,
            EpochFile::Current => self.current,
        }
    }

    /// Of fixed width, so that it is written over in one piece; with the Adler-32 of the rest.
    fn encode(self) -> String {
        let text = |word| match word {
            Word::Nothing => "-".to_owned(),
            Word::Lost => "?".to_owned(),
            Word::Is(epoch) => epoch.0.to_string(),
        };
        let (accepted, current) = (text(self.accepted), text(self.current));
        let words = format!("{accepted:>10} {current:>10} {:>20}", self.modified);
        format!("{words} {:08x}\n", simd_adler32::adler32(&words.as_bytes()))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_whitespace();
        let mut next = || match words.next()? {
            "-" => Some(Word::Nothing),
            "?" => Some(Word::Lost),
            digits => digits.parse().ok().map(|epoch| Word::Is(Epoch(epoch))),
        };
        let copied =
            Self { accepted: next()?, current: next()?, modified: words.next()?.parse().ok()? };
        (text == copied.encode()).then_some(copied)
    }
}

/// Name of the file that says both again.
pub(super) const COPY: &str = "troupe.epochs";
