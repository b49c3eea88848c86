//! The two epoch files, `acceptedEpoch` and `currentEpoch`: decimal text without a newline.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use types::Epoch;

use crate::data_dir::{is_full, sync_dir};

/// What the two files say; `None` when a file is missing (a new member, or one that ran alone under
/// Apache).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Epochs {
    /// The highest epoch promised to a leader.
    pub accepted: Option<Epoch>,
    /// The epoch of the last leader whose history was taken over.
    pub current: Option<Epoch>,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EpochFile {
    /// `acceptedEpoch`.
    Accepted,
    /// `currentEpoch`.
    Current,
}

/// Why an epoch file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The system refuses.
    #[error("epoch file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not hold a number.
    #[error("epoch file {} holds {text:?}, not an epoch; restore it from the highest epoch in the names of log and snapshot files", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The beginning of what it holds.
        text: String,
    },
}

impl EpochError {
    /// Whether the disk has no room, which may pass.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Malformed { .. } => false,
        }
    }
}

impl Epochs {
    /// Reads both files in a member's `version-2` directory.
    pub fn read(dir: &Path) -> Result<Self, EpochError> {
        Ok(Self {
            accepted: read_one(dir, EpochFile::Accepted)?,
            current: read_one(dir, EpochFile::Current)?,
        })
    }
}

impl EpochFile {
    /// Writes the file so that after a crash it holds the old epoch or this one.
    pub fn write(self, dir: &Path, epoch: Epoch) -> Result<(), EpochError> {
        let path = dir.join(self.name());
        let tmp = dir.join(format!("{}.tmp", self.name()));
        let write = || {
            let mut file = File::create(&tmp)?;
            file.write_all(epoch.0.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&tmp, &path)?;
            sync_dir(dir)
        };
        write().map_err(|source| {
            // Best effort: the next try writes over it.
            let _ = fs::remove_file(&tmp);
            EpochError::Io { path, source }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }
}

fn read_one(dir: &Path, file: EpochFile) -> Result<Option<Epoch>, EpochError> {
    let path = dir.join(file.name());
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(EpochError::Io { path, source }),
    };
    let text = String::from_utf8_lossy(&bytes);
    match text.trim().parse() {
        Ok(epoch) => Ok(Some(Epoch(epoch))),
        Err(_) => Err(EpochError::Malformed { path, text: text.chars().take(32).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nonsense_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Epochs::read(dir.path()).expect("missing is fine"), Epochs::default());
        EpochFile::Accepted.write(dir.path(), Epoch(7)).expect("it is writable");
        EpochFile::Accepted.write(dir.path(), Epoch(8)).expect("it is writable");
        EpochFile::Current.write(dir.path(), Epoch(7)).expect("it is writable");
        let read = Epochs::read(dir.path()).expect("just written");
        assert_eq!(read, Epochs { accepted: Some(Epoch(8)), current: Some(Epoch(7)) });
        fs::write(dir.path().join("currentEpoch"), "seven").expect("it is writable");
        let error = Epochs::read(dir.path()).expect_err("not a number").to_string();
        assert!(error.contains("currentEpoch") && error.contains("seven"), "{error}");
    }
}
