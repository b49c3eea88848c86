//! One of the two files: a number that is durable in the copy before the file says it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use types::Epoch;

use super::copy::{Copied, Copy};
use super::{EpochError, believed};
use crate::data_dir::read_if_there;
use crate::disk::{self, File, sync_dir};

/// One of the two files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EpochFile {
    /// `acceptedEpoch`.
    Accepted,
    /// `currentEpoch`.
    Current,
}

/// What one of the files is found to be.
pub(super) enum Found {
    Absent,
    /// A number, and nothing that proves it.
    Bare(Epoch),
    Sealed(Epoch),
    Malformed(EpochError),
}

/// An epoch that is durable, and its file on the way.
#[derive(Debug)]
#[must_use]
pub(crate) enum Saved {
    /// A promise is written over the one before, which takes one flush and no names: the epoch of the history waits for it while
    /// nobody leads. A crash may leave some digits of each. The copy is whole then, and what is read is never lower than it.
    InPlace { path: PathBuf, file: File, text: String },
    /// A new file that takes the place of the one before.
    Beside { dir: PathBuf, path: PathBuf, tmp: PathBuf, file: File },
}

impl EpochFile {
    /// Writes the file so that after a crash the old epoch is read or this one.
    pub fn write(self, dir: &Path, epoch: Epoch) -> Result<(), EpochError> {
        self.save(dir, epoch)?.finish()
    }

    /// Makes the epoch durable in the copy, by one flush of a few bytes in their place: others wait for this while nobody
    /// leads. The file itself, for Apache, follows with [`Saved::finish`].
    pub(crate) fn save(self, dir: &Path, epoch: Epoch) -> Result<Saved, EpochError> {
        let (path, text) = (dir.join(self.name()), sealed(epoch));
        if self == Self::Accepted
            && fs::metadata(&path).is_ok_and(|now| now.len() == text.len() as u64)
        {
            let saved = Copied::update(dir, self, epoch, 0).and_then(|()| File::open(&path));
            return match saved {
                Ok(file) => Ok(Saved::InPlace { path, file, text }),
                Err(source) => Err(EpochError::Io { path, source }),
            };
        }
        self.write_beside(dir, epoch, |written| Copied::update(dir, self, epoch, written))
    }

    /// Writes a file that is to take the place of the present one; `note` is told when it was written.
    pub(super) fn write_beside(
        self,
        dir: &Path,
        epoch: Epoch,
        note: impl FnOnce(u64) -> io::Result<()>,
    ) -> Result<Saved, EpochError> {
        let (path, tmp) = (dir.join(self.name()), dir.join(format!("{}.tmp", self.name())));
        let write = || {
            let mut file = File::create(&tmp)?;
            file.write_all(sealed(epoch).as_bytes())?;
            note(file.modified()?)?;
            Ok(file)
        };
        match write() {
            Ok(file) => Ok(Saved::Beside { dir: dir.to_owned(), path, tmp, file }),
            Err(source) => {
                // Best effort: the next try writes over it.
                let _ = disk::remove(&tmp);
                Err(EpochError::Io { path, source })
            }
        }
    }

    /// What the file says, if it is to be believed; `last` as for [`super::Epochs::read`].
    pub fn read(self, dir: &Path, last: Epoch) -> Result<Option<Epoch>, EpochError> {
        believed(dir, self, &Copy::read(dir)?, last)
    }

    /// Nothing tells what it said.
    pub(crate) fn lost(self, dir: &Path) -> EpochError {
        EpochError::Lost { path: dir.join(self.name()) }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }
}

impl Saved {
    /// Makes the file say it too, durably.
    pub(crate) fn finish(self) -> Result<(), EpochError> {
        match self {
            Self::InPlace { path, file, text } => {
                let done = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.sync_data());
                done.map_err(|source| EpochError::Io { path, source })
            }
            Self::Beside { dir, path, tmp, file } => {
                let done = file.sync_all().and_then(|()| disk::rename(&tmp, &path));
                done.and_then(|()| sync_dir(&dir)).map_err(|source| {
                    // Best effort: the next try writes over it.
                    let _ = disk::remove(&tmp);
                    EpochError::Io { path, source }
                })
            }
        }
    }
}

pub(super) fn read_one(dir: &Path, file: EpochFile) -> Result<Found, EpochError> {
    let path = dir.join(file.name());
    let bytes = match read_if_there(&path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Found::Absent),
        Err(source) => return Err(EpochError::Io { path, source }),
    };
    let text = String::from_utf8_lossy(&bytes);
    let first = text.lines().next().unwrap_or_default().trim();
    Ok(match first.parse().map(Epoch) {
        Ok(epoch) if text == sealed(epoch) => Found::Sealed(epoch),
        Ok(epoch) if text.trim() == first => Found::Bare(epoch),
        _ => {
            let text = text.chars().take(32).collect();
            Found::Malformed(EpochError::Malformed { path, text })
        }
    })
}

/// What a file holds.
fn sealed(epoch: Epoch) -> String {
    let digits = epoch.0.to_string();
    format!("{digits}\n{:08x}\n", simd_adler32::adler32(&digits.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epochs::tests::read;

    #[test]
    fn a_promise_half_written_over_the_one_before_is_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for epoch in [19, 20] {
            EpochFile::Accepted.write(dir.path(), Epoch(epoch)).expect("it is writable");
            EpochFile::Current.write(dir.path(), Epoch(7)).expect("it is writable");
        }
        let path = dir.path().join("acceptedEpoch");
        assert_eq!(fs::read(&path).expect("it is there"), sealed(Epoch(20)).as_bytes());
        for (left, read_back) in
            [("19", 20), ("29", 29), ("10", 20), ("2", 20), ("", 20), ("\0\0", 20)]
        {
            fs::write(&path, left).expect("it is writable");
            assert_eq!(read(dir.path()).expect("the copy says it"), [Some(read_back), Some(7)]);
        }
    }
}
