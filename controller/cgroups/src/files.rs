//! Reading and writing the kernel's small files, with the path in every error.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{CreateError, GroupError, KillError};

/// Between two looks at a group that should become empty: the kernel needs well under a millisecond.
const RETRY: Duration = Duration::from_micros(500);

/// The file's text without the final newline.
pub(crate) fn read(path: &Path) -> Result<String, GroupError> {
    match fs::read_to_string(path) {
        Ok(mut text) => {
            text.truncate(text.trim_end().len());
            Ok(text)
        }
        // ENODEV: the group was removed while its file was open.
        Err(e) if gone(&e) => Err(GroupError::Gone { path: path.to_owned() }),
        Err(source) => Err(GroupError::File { path: path.to_owned(), source }),
    }
}

/// Writes one value to an existing file.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), GroupError> {
    match fs::OpenOptions::new().write(true).open(path).and_then(|f| write_once(&f, value)) {
        Ok(()) => Ok(()),
        Err(e) if gone(&e) => Err(GroupError::Gone { path: path.to_owned() }),
        Err(source) => Err(GroupError::File { path: path.to_owned(), source }),
    }
}

/// Writes one value to a limit file. (The kernel makes a group's files itself and refuses others; only
/// a plain directory that stands in for a group lets this make one.)
pub(crate) fn set(path: &Path, value: &str) -> Result<(), CreateError> {
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).open(path);
    open.and_then(|file| write_once(&file, value)).map_err(|source| CreateError::Refused {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// Gives the path to an error of the cgroups-rs crate, whose own text leaves it out.
pub(crate) fn refused(
    path: &Path,
    value: impl ToString,
) -> impl FnOnce(cgroups_rs::fs::error::Error) -> CreateError {
    let (path, value) = (path.to_owned(), value.to_string());
    move |error| CreateError::Refused { path, value, source: io_error(&error) }
}

/// The number in a file; `None` for `max`.
pub(crate) fn number(path: &Path) -> Result<Option<u64>, GroupError> {
    let text = read(path)?;
    if text == "max" {
        return Ok(None);
    }
    let bad = |e| GroupError::File { path: path.to_owned(), source: io::Error::other(e) };
    text.parse().map(Some).map_err(bad)
}

/// The value behind `key` in the kernel's "key value" lines; 0 when the key is absent.
pub(crate) fn field(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(k, v)| (k == key).then(|| v.trim().parse().ok())?)
        .unwrap_or(0)
}

/// The pids in a `cgroup.procs` file; none when the group is gone.
pub(crate) fn pids(path: &Path) -> Result<Vec<i32>, GroupError> {
    match read(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect()),
        Err(GroupError::Gone { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Makes a group's directory; one that is there already is as good.
pub(crate) fn make(dir: &Path) -> Result<(), CreateError> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|source| CreateError::Make { path: dir.to_owned(), source }),
    }
}

/// Removes a pool's directory and then the one for all pools, unless something is in them.
pub(crate) fn remove_base(base: &Path) {
    if fs::remove_dir(base).is_ok()
        && let Some(troupe) = base.parent()
    {
        let _ = fs::remove_dir(troupe);
    }
}

/// Removes a group and the groups that its processes made below it, trying until `deadline`.
pub(crate) fn remove(dir: &Path, deadline: Instant) -> Result<(), KillError> {
    loop {
        let error = match remove_once(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        // EBUSY: a process that was just killed has not left yet.
        if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() >= deadline {
            return Err(KillError::Remove { path: dir.to_owned(), source: error });
        }
        std::thread::sleep(RETRY);
    }
}

fn remove_once(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {}
        done => return done,
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_once(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

/// The names of the directories in `dir`.
pub(crate) fn children(dir: &Path) -> Result<Vec<String>, GroupError> {
    let failed = |source| GroupError::File { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// Waits until none of `procs` lists a process; the pids left at `deadline` otherwise.
pub(crate) fn wait_empty(procs: &Path, deadline: Instant) -> Result<Vec<i32>, GroupError> {
    loop {
        let left = pids(procs)?;
        if left.is_empty() || Instant::now() >= deadline {
            return Ok(left);
        }
        std::thread::sleep(RETRY);
    }
}

/// One `write` call for one value: the kernel takes each call as a value of its own.
fn write_once(mut file: &fs::File, value: &str) -> io::Result<()> {
    let written = file.write(value.as_bytes())?;
    if written == value.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn io_error(error: &cgroups_rs::fs::error::Error) -> io::Error {
    let cause = std::error::Error::source(error).and_then(|c| c.downcast_ref::<io::Error>());
    match cause.and_then(io::Error::raw_os_error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(error.to_string()),
    }
}
