//! The one door to the disk: each change that this crate makes of it.
//!
//! Lives here: files opened for writing, names made, changed and removed, and what makes them durable. A
//! witness may be told of each change before it is made, and may fail it: so tests know what a crash can
//! leave, and see what a failing disk does. Must not: know what the files are.

use std::fs::{self, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A change that is about to be made.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A directory is made.
    MakeDir(&'a Path),
    /// An empty file is made, or one that is there is emptied.
    Create(&'a Path),
    /// Bytes are written.
    Write {
        /// The file.
        path: &'a Path,
        /// Where in it.
        at: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// The file ends there from now on.
    SetLength {
        /// The file.
        path: &'a Path,
        /// Its length in bytes.
        length: u64,
    },
    /// What was written to the file becomes durable; its name need not.
    Sync(&'a Path),
    /// A file gets another name in its directory, in place of what has that name.
    Rename {
        /// The old name.
        from: &'a Path,
        /// The new one.
        to: &'a Path,
    },
    /// A file's name is removed.
    Remove(&'a Path),
    /// The names in a directory become durable.
    SyncDir(&'a Path),
}

/// Is told of each change before it is made; an error takes the change's place.
pub type Witness = Box<dyn Fn(Change<'_>) -> io::Result<()> + Send + Sync>;

static WITNESS: OnceLock<Witness> = OnceLock::new();

/// From now on `witness` is told of every change that this process makes, on the thread that makes it. For
/// tests: without one a change costs one look at a word. There can be one only, the first.
pub fn set_witness(witness: Witness) {
    WITNESS.get_or_init(|| witness);
}

fn tell(change: Change<'_>) -> io::Result<()> {
    WITNESS.get().map_or(Ok(()), |witness| witness(change))
}

/// A file that is written.
#[derive(Debug)]
pub(crate) struct File {
    file: fs::File,
    path: PathBuf,
    /// Where [`Write`] goes on.
    at: u64,
}

impl File {
    /// An empty file in place of what is there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        tell(Change::Create(path))?;
        Ok(Self::new(fs::File::create(path)?, path))
    }

    /// A file that is not there yet.
    pub(crate) fn create_new(path: &Path) -> io::Result<Self> {
        tell(Change::Create(path))?;
        Ok(Self::new(fs::File::options().write(true).create_new(true).open(path)?, path))
    }

    /// A file that is there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(fs::File::options().write(true).open(path)?, path))
    }

    /// A file that is there, or an empty one.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create_new(path),
            opened => opened,
        }
    }

    /// A file that nobody reads by [`open_for_reading`], nor will from now on; `None` when somebody does or it is not there.
    pub(crate) fn open_unread(path: &Path) -> io::Result<Option<Self>> {
        match Self::open(path) {
            Ok(file) => Ok(file.file.try_lock().is_ok().then_some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn new(file: fs::File, path: &Path) -> Self {
        Self { file, path: path.to_owned(), at: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// When it was written last: see [`modified`].
    pub(crate) fn modified(&self) -> io::Result<u64> {
        Ok(modified(&self.file.metadata()?))
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        tell(Change::Write { path: &self.path, at, bytes })?;
        self.file.write_all_at(bytes, at)
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        tell(Change::SetLength { path: &self.path, length })?;
        self.file.set_len(length)
    }

    /// Gives the part of the file from its end at `from` on room on the disk, reading as zeros.
    pub(crate) fn allocate(&self, from: u64, length: u64) -> io::Result<()> {
        tell(Change::SetLength { path: &self.path, length: from + length })?;
        match fallocate(&self.file, FallocateFlags::empty(), from, length) {
            Ok(()) => Ok(()),
            // A file system that cannot promise room: grow it as Apache does, with a hole.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.file.set_len(from + length),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes what was written durable, with the file's length.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        tell(Change::Sync(&self.path))?;
        self.file.sync_data()
    }

    /// As [`Self::sync_data`], with all that the system notes of the file.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        tell(Change::Sync(&self.path))?;
        self.file.sync_all()
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tell(Change::Write { path: &self.path, at: self.at, bytes })?;
        let written = self.file.write(bytes)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a file that is to stay whole for as long as it is open, whatever a purge removes. One that is being removed is not
/// found.
pub fn open_for_reading(path: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(path)?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::NotFound.into()),
        // A file system without locks: there a purge cannot lock it either, and removes it as a whole.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// When a file was written last, in nanoseconds of the wall clock.
pub(crate) fn modified(file: &fs::Metadata) -> u64 {
    let since = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

/// Gives a file another name in its directory.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    tell(Change::Rename { from, to })?;
    fs::rename(from, to)
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    tell(Change::Remove(path))?;
    fs::remove_file(path)
}

/// Removes a file, if nobody else has done so.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the names in a directory durable: creations, renames and removals.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    tell(Change::SyncDir(dir))?;
    fs::File::open(dir)?.sync_all()
}

/// Makes a directory and those above it that are missing, each durably.
pub(crate) fn make_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make_dirs(above)?;
    }
    tell(Change::MakeDir(path))?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => Err(error),
        _ => sync_dir(above.unwrap_or_else(|| Path::new("."))),
    }
}

/// Makes the names of a directory and of all above it durable, as far up as this user may look and the system flushes.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    for above in path.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match sync_dir(above) {
            Ok(()) => {}
            // No name was made there.
            Err(error) if CANNOT_BE_FLUSHED.contains(&error.kind()) => return Ok(()),
            failed => return failed,
        }
    }
    Ok(())
}

const CANNOT_BE_FLUSHED: [io::ErrorKind; 4] = [
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::ReadOnlyFilesystem,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::Unsupported,
];
