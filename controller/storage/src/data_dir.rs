//! A member's directories: made, locked, listed, read.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use types::Zxid;

use crate::TruncateError;
use crate::disk::{make_dirs, sync_dir, sync_names};
use crate::install::install;
use crate::retention::remove_unfinished;

/// The two directories of one member, held so that no other member can open them.
#[derive(Debug)]
pub struct DataDir {
    snapshots: PathBuf,
    logs: PathBuf,
    /// The lock is the kernel's: it goes with this process, however it ends.
    _locks: Vec<File>,
}

/// Why a member's directories cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Another member holds it.
    #[error("data directory {} is in use by another member", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("open data directory {}", path.display())]
    Open {
        /// The directory or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that nobody would read: it was left behind when logs got a directory of their own.
    #[error("{} would not be read, for dataDir and dataLogDir differ; move all files such as it to {}, or name the directories as they were", found.display(), place.display())]
    Misplaced {
        /// One of them.
        found: PathBuf,
        /// Where its kind is looked for.
        place: PathBuf,
    },
    /// A leader's snapshot was to take the place of what is there.
    #[error("put the leader's snapshot in place")]
    Install(#[source] TruncateError),
}

impl DataDir {
    /// Makes the directories when they are missing, locks them, finishes an exchange of all that is in them that a crash
    /// cut short, and makes their names durable. Logs go to `log_dir`, or beside the snapshots.
    pub fn open(data_dir: &Path, log_dir: Option<&Path>) -> Result<Self, DirError> {
        let log_dir = log_dir.unwrap_or(data_dir);
        let mut locks = vec![lock(data_dir)?];
        let logs = version_dir(log_dir)?;
        let snapshots = version_dir(data_dir)?;
        let same = fs::canonicalize(data_dir).ok() == fs::canonicalize(log_dir).ok();
        if !same {
            locks.push(lock(log_dir)?);
            refuse_any("log", &snapshots, &logs)?;
            refuse_any("snapshot", &logs, &snapshots)?;
        }
        for dir in [&snapshots, &logs] {
            remove_unfinished(dir)
                .map_err(|source| DirError::Open { path: dir.clone(), source })?;
        }
        install(&logs, &snapshots).map_err(DirError::Install)?;
        // What a process that was killed had renamed is built upon from now on.
        for dir in [&logs, &snapshots] {
            sync_dir(dir).map_err(|source| DirError::Open { path: dir.clone(), source })?;
        }
        Ok(Self { snapshots, logs, _locks: locks })
    }

    /// Where snapshots and epoch files are.
    pub fn snapshots(&self) -> &Path {
        &self.snapshots
    }

    /// Where log files are.
    pub fn logs(&self) -> &Path {
        &self.logs
    }
}

/// The files `<prefix>.<hexadecimal zxid>` in a directory, compressed ones among them, by rising zxid.
pub(crate) fn list(dir: &Path, prefix: &str) -> io::Result<Vec<(Zxid, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let zxid = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix)?.strip_prefix('.'))
            .map(|rest| rest.strip_suffix(".gz").unwrap_or(rest))
            .map(|rest| rest.strip_suffix(".snappy").unwrap_or(rest))
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        if let Some(zxid) = zxid {
            found.push((Zxid::from_bits(zxid.cast_signed()), entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What a small file holds, if it is there.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// `<prefix>.<hexadecimal zxid>`, as Apache names its files.
pub(crate) fn file_name(prefix: &str, zxid: Zxid) -> String {
    format!("{prefix}.{:x}", zxid.bits())
}

/// Whether an error means that there is no room, by the disk's or by the owner's limit.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether a file that is not open could not be opened or made for what others have taken: room, or open files.
pub(crate) fn may_pass(error: &io::Error) -> bool {
    is_full(error) || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn version_dir(dir: &Path) -> Result<PathBuf, DirError> {
    let path = dir.join("version-2");
    let made = || {
        make_dirs(&path)?;
        match fs::read_dir(&path)?.next() {
            // A start that was killed may have made it, and not yet flushed its name.
            None => sync_names(&path),
            Some(_) => Ok(()),
        }
    };
    match made() {
        Ok(()) => Ok(path),
        Err(source) => Err(DirError::Open { path, source }),
    }
}

/// Refuses files of a kind in a directory, as Apache does: what they hold would be lost without a word.
fn refuse_any(prefix: &str, dir: &Path, place: &Path) -> Result<(), DirError> {
    let open = |source| DirError::Open { path: dir.to_owned(), source };
    match list(dir, prefix).map_err(open)?.pop() {
        None => Ok(()),
        Some((_, found)) => Err(DirError::Misplaced { found, place: place.to_owned() }),
    }
}

fn lock(dir: &Path) -> Result<File, DirError> {
    let path = dir.join("troupe.lock");
    let open = |source| DirError::Open { path: path.clone(), source };
    make_dirs(dir).map_err(open)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DirError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(open(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = DataDir::open(dir.path(), None).expect("nobody else is there");
        let second = DataDir::open(dir.path(), None);
        assert!(matches!(second, Err(DirError::InUse { .. })), "{second:?}");
        drop(first);
        DataDir::open(dir.path(), Some(&dir.path().join("log"))).expect("free again");
    }

    #[test]
    fn files_in_the_other_directory_are_not_passed_over() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (data, logs) = (dir.path().join("data"), dir.path().join("logs"));
        for (in_dir, name) in [(&data, "log.1"), (&logs, "snapshot.1.gz")] {
            let in_dir = in_dir.join("version-2");
            fs::create_dir_all(&in_dir).expect("it is writable");
            let file = in_dir.join(name);
            fs::write(&file, "").expect("it is writable");
            match DataDir::open(&data, Some(&logs)) {
                Err(DirError::Misplaced { found, .. }) => assert_eq!(found, file),
                other => panic!("{other:?}"),
            }
            fs::remove_file(file).expect("it is there");
        }
        DataDir::open(&data, Some(&logs)).expect("there is nothing left to lose");
        fs::write(data.join("version-2/log.1"), "").expect("it is writable");
        DataDir::open(&data, None).expect("it is where it belongs");
    }

    #[test]
    fn files_are_listed_by_zxid_and_not_by_name() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["log.10", "log.9", "log.x", "snapshot.1", "log.200000001"] {
            fs::write(dir.path().join(name), "").expect("it is writable");
        }
        let zxids: Vec<_> =
            list(dir.path(), "log").expect("it can be listed").into_iter().map(|f| f.0).collect();
        assert_eq!(zxids, [9, 16, 0x2_0000_0001].map(Zxid::from_bits));
        assert_eq!(file_name("log", Zxid::from_bits(0x2_0000_0001)), "log.200000001");
    }
}
