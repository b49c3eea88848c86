//! The two epoch files, `acceptedEpoch` and `currentEpoch`: decimal text in the first line, which is all that Apache
//! reads, and a checksum of it in a second one, which Apache does not write.
//!
//! A flipped bit makes one number of another, and a member that forgets what it promised or claims what it
//! never had is believed by the others. So a third file says both again, with a checksum, and when the second one
//! was written: one that Apache has written since then is no rot. Not Apache's: without it the two are taken at
//! their word. Where it is damaged they are not, unless their own checksums are right.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use types::Epoch;

use crate::DataDir;
use crate::data_dir::{is_full, read_if_there};
use crate::disk::{self, File, sync_dir};
use crate::settle::has_run;

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
}

impl EpochError {
    /// Whether the disk has no room, which may pass.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Lost { .. } | Self::Malformed { .. } => false,
        }
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

    /// Reads both files in a member's `version-2` directory. `last`: the epoch of the last transaction there; its leader's
    /// history was taken over for sure.
    pub fn read(dir: &Path, last: Epoch) -> Result<Self, EpochError> {
        let copy = Copy::read(dir)?;
        let accepted = one(dir, EpochFile::Accepted, &copy, last)?;
        Ok(Self { accepted, current: one(dir, EpochFile::Current, &copy, last)? })
    }
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
    fn write_beside(
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

    /// What the file says, if it is to be believed; `last` as for [`Epochs::read`].
    pub fn read(self, dir: &Path, last: Epoch) -> Result<Option<Epoch>, EpochError> {
        one(dir, self, &Copy::read(dir)?, last)
    }

    /// Nothing tells what it said.
    pub(crate) fn lost(self, dir: &Path) -> EpochError {
        EpochError::Lost { path: dir.join(self.name()) }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }
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

/// Whether none of the three files is there, and a member of ours has run.
pub(crate) fn are_lost(dir: &Path, logs: &Path) -> io::Result<bool> {
    Ok(is_without(dir)? && has_run(logs)?)
}

/// Whether none of the three files is there.
fn is_without(dir: &Path) -> io::Result<bool> {
    for name in [EpochFile::Accepted.name(), EpochFile::Current.name(), COPY] {
        if dir.join(name).try_exists()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first start of a member of ours: from now on there are epoch files, and where they are not they are lost. Apache does
/// the same.
pub(crate) fn begin(dir: &Path, logs: &Path, last: Epoch) -> Result<(), EpochError> {
    let is_first = || Ok(is_without(dir)? && !has_run(logs)?);
    match is_first().map_err(|source| EpochError::Io { path: dir.to_owned(), source })? {
        true => restore(dir, Some(last), Some(last)),
        false => Ok(()),
    }
}

/// Has all three files say this, durably; `None`: nobody knows. A crash on the way leaves what was there, or this.
pub(crate) fn restore(
    dir: &Path,
    accepted: Option<Epoch>,
    current: Option<Epoch>,
) -> Result<(), EpochError> {
    let word = |epoch: Option<Epoch>| epoch.map_or(Word::Lost, Word::Is);
    let mut copied = Copied { accepted: word(accepted), current: word(current), modified: 0 };
    let mut saved = Vec::new();
    for (file, epoch) in [(EpochFile::Accepted, accepted), (EpochFile::Current, current)] {
        let Some(epoch) = epoch else { continue };
        saved.push(file.write_beside(dir, epoch, |written| {
            copied.modified = written;
            Ok(())
        })?);
    }
    let path = dir.join(COPY);
    copied.write_anew(dir).map_err(|source| EpochError::Io { path, source })?;
    saved.into_iter().try_for_each(Saved::finish)
}

/// Makes durable what is read now; `last` as for [`Epochs::read`]. The copy, which is written in its place, is made anew: a
/// flush of it may have failed, and then no later one is to be believed. The files are to be whole whenever it is written.
pub(crate) fn settle(dir: &Path, last: Epoch) -> Result<(), EpochError> {
    let mut copy = Copy::read(dir)?;
    for file in [EpochFile::Accepted, EpochFile::Current] {
        let says = match read_one(dir, file)? {
            Found::Bare(epoch) | Found::Sealed(epoch) => Some(epoch),
            Found::Absent | Found::Malformed(_) => None,
        };
        let behind = one(dir, file, &copy, last)?.filter(|epoch| says != Some(*epoch));
        let settled = match behind {
            // A crash came between the copy and the file.
            Some(epoch) => {
                let saved = file.write_beside(dir, epoch, |written| {
                    if let (EpochFile::Current, Copy::Whole(copied)) = (file, &mut copy) {
                        copied.modified = written;
                    }
                    Ok(())
                });
                saved.and_then(Saved::finish)
            }
            None => {
                let path = dir.join(file.name());
                match File::open(&path).and_then(|file| file.sync_all()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    synced => synced.map_err(|source| EpochError::Io { path, source }),
                }
            }
        };
        match settled {
            Err(error) if error.is_full() => {}
            settled => settled?,
        }
    }
    let settled = match copy {
        Copy::Whole(copied) => match copied.write_anew(dir) {
            // Nothing more can be promised then; and reads go on.
            Err(error) if is_full(&error) => {
                File::open(&dir.join(COPY)).and_then(|file| file.sync_all())
            }
            written => written,
        },
        Copy::Missing | Copy::Rotten => sync_dir(dir),
    };
    settled.map_err(|source| EpochError::Io { path: dir.to_owned(), source })
}

/// What one of the files is found to be.
enum Found {
    Absent,
    /// A number, and nothing that proves it.
    Bare(Epoch),
    Sealed(Epoch),
    Malformed(EpochError),
}

fn read_one(dir: &Path, file: EpochFile) -> Result<Found, EpochError> {
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

/// Whether a file that is not there was: a promise is saved before the history is taken over, and who has transactions
/// and promised anything had taken one over.
fn is_lost(dir: &Path, file: EpochFile, last: Epoch) -> bool {
    match file {
        EpochFile::Accepted => dir.join(EpochFile::Current.name()).exists(),
        EpochFile::Current => last > Epoch(0) && dir.join(EpochFile::Accepted.name()).exists(),
    }
}

/// What a file holds.
fn sealed(epoch: Epoch) -> String {
    let digits = epoch.0.to_string();
    format!("{digits}\n{:08x}\n", simd_adler32::adler32(&digits.as_bytes()))
}

/// What is believed of one of the files. A promise may be claimed too high and never too low; the epoch of the
/// history neither.
fn one(dir: &Path, file: EpochFile, copy: &Copy, last: Epoch) -> Result<Option<Epoch>, EpochError> {
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

/// What the third file is found to be.
#[derive(Debug)]
enum Copy {
    Missing,
    Rotten,
    Whole(Copied),
}

/// What it says.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    accepted: Word,
    current: Word,
    /// When `currentEpoch` was written, in nanoseconds of the wall clock.
    modified: u64,
}

/// What it says of one of the two.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Word {
    /// There was no such file.
    #[default]
    Nothing,
    /// There was, and it could not be believed when this was written.
    Lost,
    Is(Epoch),
}

impl Copy {
    fn read(dir: &Path) -> Result<Self, EpochError> {
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
    fn update(dir: &Path, file: EpochFile, epoch: Epoch, written: u64) -> io::Result<()> {
        let copy = Copy::read(dir).map_err(io::Error::other)?;
        let mut copied = match copy {
            Copy::Whole(copied) => copied,
            // What cannot be believed now is not to be believed the next time either.
            Copy::Missing | Copy::Rotten => {
                let word = |file| match one(dir, file, &copy, Epoch(0)) {
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

    fn write_anew(&self, dir: &Path) -> io::Result<()> {
        let (path, tmp) = (dir.join(COPY), dir.join(format!("{COPY}.tmp")));
        let file = File::create(&tmp)?;
        file.write_all_at(self.encode().as_bytes(), 0)?;
        file.sync_data()?;
        disk::rename(&tmp, &path)?;
        sync_dir(dir)
    }

    fn word(&self, file: EpochFile) -> Word {
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
const COPY: &str = "troupe.epochs";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path) -> Result<[Option<u32>; 2], EpochError> {
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
