//! The two epoch files, `acceptedEpoch` and `currentEpoch`: decimal text in the first line, which is all that Apache
//! reads, and a checksum of it in a second one, which Apache does not write.
//!
//! A flipped bit makes one number of another, and a member that forgets what it promised or claims what it
//! never had is believed by the others. So a third file says both again, with a checksum, and when the second one
//! was written: one that Apache has written since then is no rot. Not Apache's: without it the two are taken at
//! their word. Where it is damaged they are not, unless their own checksums are right.
//!
//! Lives here: what is believed of what the three files say. Start at [`Epochs::read`]; `file` is one of the two, `copy` the
//! third, and `starting` what a start does with all of them.

mod copy;
mod file;
mod starting;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use types::Epoch;

use crate::DataDir;
use crate::data_dir::is_full;
use crate::disk;
use copy::{COPY, Copy, Word};
use file::{Found, read_one};

pub use file::EpochFile;
pub(crate) use file::Saved;
pub(crate) use starting::{are_lost, begin, restore, settle};

/// What the two files say; `None` when a file is missing (a new member, or one that ran alone under
/// Apache).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Epochs {
    /// The highest epoch promised to a leader.
    pub accepted: Option<Epoch>,
    /// The epoch of the last leader whose history was taken over.
    pub current: Option<Epoch>,
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
    /// It is gone or has no checksum, and the copy of it is damaged.
    #[error("epoch file {} is missing or damaged, and so is its copy {}; start the member beside its peers, from whom it learns what is safe, or restore both files from a copy", path.display(), COPY)]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold a number.
    #[error("epoch file {} holds {text:?}, not an epoch; restore it from the highest epoch in the names of log and snapshot files", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The beginning of what it holds.
        text: String,
    },
    /// It holds the last one that there can be.
    #[error("epoch file {} says {}, and no epoch can follow it; restore it from the highest epoch in the names of log and snapshot files", path.display(), epoch.0)]
    Exhausted {
        /// The file.
        path: PathBuf,
        /// What it holds.
        epoch: Epoch,
    },
}

impl EpochError {
    /// Whether the disk has no room, which may pass.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Lost { .. } | Self::Malformed { .. } | Self::Exhausted { .. } => false,
        }
    }

    /// Whether something that was there is not, which other members may have.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Exhausted { .. })
    }
}

impl Epochs {
    /// Whether something of what was promised is left, if anything was: a member of ours has both files from its first
    /// start on. One that Apache ran alone has neither.
    pub fn check(dirs: &DataDir) -> Result<(), EpochError> {
        let dir = dirs.snapshots();
        match are_lost(dir, dirs.logs()) {
            Ok(false) => Ok(()),
            Ok(true) => Err(EpochFile::Accepted.lost(dir)),
            Err(source) => Err(EpochError::Io { path: dir.to_owned(), source }),
        }
    }

    /// What was promised, where nothing else is known of the member's files.
    pub fn promised(dirs: &DataDir) -> Result<Epoch, EpochError> {
        Self::check(dirs)?;
        let accepted = EpochFile::Accepted.read(dirs.snapshots(), Epoch(0))?;
        Ok(accepted.unwrap_or_default())
    }

    /// Reads both files in a member's `version-2` directory. `last`: the epoch of the last transaction there; its leader's
    /// history was taken over for sure.
    pub fn read(dir: &Path, last: Epoch) -> Result<Self, EpochError> {
        let copy = Copy::read(dir)?;
        let accepted = believed(dir, EpochFile::Accepted, &copy, last)?;
        if let Some(epoch) = accepted.filter(|epoch| *epoch >= LAST) {
            let path = dir.join(EpochFile::Accepted.name());
            return Err(EpochError::Exhausted { path, epoch });
        }
        Ok(Self { accepted, current: believed(dir, EpochFile::Current, &copy, last)? })
    }
}

/// The upper half of a zxid, which is signed.
const LAST: Epoch = Epoch(i32::MAX.cast_unsigned());

/// What is believed of one of the files. A promise may be claimed too high and never too low; the epoch of the
/// history neither.
fn believed(
    dir: &Path,
    file: EpochFile,
    copy: &Copy,
    last: Epoch,
) -> Result<Option<Epoch>, EpochError> {
    let found = read_one(dir, file)?;
    let path = dir.join(file.name());
    let copied = match copy {
        Copy::Missing => Word::Nothing,
        Copy::Rotten => Word::Lost,
        Copy::Whole(copied) => copied.word(file),
    };
    match (found, copied) {
        (Found::Absent, Word::Nothing)
            if matches!(copy, Copy::Missing) && is_lost(dir, file, last) =>
        {
            Err(EpochError::Lost { path })
        }
        (Found::Absent, Word::Nothing) => Ok(None),
        (Found::Malformed(error), Word::Nothing) => Err(error),
        (Found::Bare(read), Word::Nothing) => Ok(Some(read)),
        (Found::Sealed(read), Word::Nothing | Word::Lost) => Ok(Some(read)),
        (_, Word::Lost) => Err(EpochError::Lost { path }),
        (Found::Sealed(read), Word::Is(copied)) => Ok(Some(read.max(copied))),
        (Found::Bare(read), Word::Is(copied)) if read > copied => {
            let since = || match copy {
                Copy::Whole(copy) => {
                    fs::metadata(&path).is_ok_and(|now| disk::modified(&now) != copy.modified)
                }
                _ => false,
            };
            // Apache may have run here since; its log tells too, once it has a transaction of that epoch.
            let believed = file == EpochFile::Accepted || read <= last || since();
            Ok(Some(if believed { read } else { copied }))
        }
        (_, Word::Is(copied)) => Ok(Some(copied)),
    }
}

/// Whether a file that is not there was: a promise is saved before the history is taken over, and who has transactions
/// and promised anything had taken one over.
fn is_lost(dir: &Path, file: EpochFile, last: Epoch) -> bool {
    match file {
        EpochFile::Accepted => dir.join(EpochFile::Current.name()).exists(),
        EpochFile::Current => last > Epoch(0) && dir.join(EpochFile::Accepted.name()).exists(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn read(dir: &Path) -> Result<[Option<u32>; 2], EpochError> {
        let Epochs { accepted, current } = Epochs::read(dir, Epoch(6))?;
        Ok([accepted, current].map(|epoch| epoch.map(|epoch| epoch.0)))
    }

    /// Promised 8, with a history of 7 and nothing in it behind 6.
    fn written() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (file, epoch) in
            [(EpochFile::Accepted, 7), (EpochFile::Current, 7), (EpochFile::Accepted, 8)]
        {
            file.write(dir.path(), Epoch(epoch)).expect("it is writable");
        }
        dir
    }

    #[test]
    fn what_is_written_is_read_and_nonsense_is_named() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read(dir.path()).expect("missing is fine"), [None, None]);
        let dir = written();
        assert_eq!(read(dir.path()).expect("just written"), [Some(8), Some(7)]);
        fs::remove_file(dir.path().join(COPY)).expect("it is there");
        assert_eq!(read(dir.path()).expect("Apache's say it too"), [Some(8), Some(7)]);
        fs::write(dir.path().join("currentEpoch"), "seven").expect("it is writable");
        let error = read(dir.path()).expect_err("not a number").to_string();
        assert!(error.contains("currentEpoch") && error.contains("seven"), "{error}");
        for (last, fits) in [("2147483646", true), ("2147483647", false), ("4294967295", false)] {
            fs::write(dir.path().join("currentEpoch"), "7").expect("it is writable");
            fs::write(dir.path().join("acceptedEpoch"), last).expect("it is writable");
            let read = read(dir.path());
            let named = matches!(&read, Err(error) if error.to_string().contains(last));
            assert!(read.is_ok() == fits && named != fits, "{last}: {read:?}");
        }
    }

    /// What bit rot and lost ends make of a file.
    fn damaged(path: &Path) -> Vec<Vec<u8>> {
        let whole = fs::read(path).expect("it is there");
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|at| whole[..at].to_vec()).collect();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            damaged.push(flipped);
        }
        damaged
    }

    #[test]
    fn damage_of_one_file_changes_nothing_or_is_seen() {
        for name in ["acceptedEpoch", "currentEpoch", COPY] {
            let dir = written();
            let path = dir.path().join(name);
            let damaged = damaged(&path);
            let at = fs::metadata(&path).and_then(|file| file.modified()).expect("it is there");
            for bytes in damaged {
                fs::write(&path, &bytes).expect("it is writable");
                // As rot, which changes no times.
                let file = fs::File::options().write(true).open(&path).expect("it is there");
                file.set_modified(at).expect("it is ours");
                match read(dir.path()) {
                    Ok([Some(8), Some(7)]) => {}
                    other => panic!("{name} {bytes:?}: {other:?}"),
                }
            }
            fs::remove_file(&path).expect("it is there");
            assert_eq!(read(dir.path()).expect("the others are whole"), [Some(8), Some(7)]);
        }
    }

    #[test]
    fn damage_of_a_file_and_its_copy_changes_nothing_or_is_seen() {
        for (name, file) in
            [("acceptedEpoch", EpochFile::Accepted), ("currentEpoch", EpochFile::Current)]
        {
            for copy in [None, Some("")] {
                let dir = written();
                let before = file.read(dir.path(), Epoch(6)).expect("it is whole");
                match copy {
                    None => fs::remove_file(dir.path().join(COPY)).expect("it is there"),
                    Some(text) => fs::write(dir.path().join(COPY), text).expect("it is writable"),
                }
                let path = dir.path().join(name);
                for bytes in damaged(&path) {
                    fs::write(&path, &bytes).expect("it is writable");
                    if let Ok(read) = file.read(dir.path(), Epoch(6)) {
                        assert_eq!(read, before, "{name} {bytes:?} {copy:?}");
                    }
                }
                // Writing the other one does not make it whole again.
                fs::write(&path, "9\n").expect("it is writable");
                if copy.is_some() {
                    let other = match file {
                        EpochFile::Accepted => EpochFile::Current,
                        EpochFile::Current => EpochFile::Accepted,
                    };
                    other.write(dir.path(), Epoch(9)).expect("it is writable");
                    file.read(dir.path(), Epoch(6)).expect_err("nothing tells");
                    file.write(dir.path(), Epoch(9)).expect("it is writable");
                    assert_eq!(read(dir.path()).expect("just written"), [Some(9), Some(9)]);
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_lost_with_its_copy_is_not_forgotten() {
        let dir = written();
        fs::write(dir.path().join(COPY), "damaged").expect("it is writable");
        fs::remove_file(dir.path().join("acceptedEpoch")).expect("it is there");
        let error = read(dir.path()).expect_err("a promise was made").to_string();
        assert!(error.contains("acceptedEpoch") && error.contains(COPY), "{error}");
    }

    #[test]
    fn what_apache_wrote_since_is_believed() {
        let dir = written();
        let path = dir.path().join("currentEpoch");
        let at = fs::metadata(&path).and_then(|file| file.modified()).expect("it is there");
        fs::write(&path, "9").expect("it is writable");
        assert_eq!(read(dir.path()).expect("it is newer"), [Some(8), Some(9)]);
        let file = fs::File::options().write(true).open(&path).expect("it is there");
        file.set_modified(at).expect("it is ours");
        assert_eq!(read(dir.path()).expect("it is rot"), [Some(8), Some(7)]);
        let epochs = Epochs::read(dir.path(), Epoch(9)).expect("the log has such transactions");
        assert_eq!(epochs.current, Some(Epoch(9)));
    }
}
