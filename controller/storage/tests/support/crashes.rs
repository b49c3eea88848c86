//! What a crash may leave of a directory: the changes of a run are recorded, and every state between two of
//! them is built again, as it is after the process was killed or after the power was cut (`platter`).

#![allow(dead_code, reason = "each test uses its part")]

mod platter;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use storage::{Change, set_witness};

pub(crate) use platter::{Crash, Disk};

/// What was done, in its order.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A directory was made.
    MakeDir(PathBuf),
    /// A file was made or emptied.
    Create(PathBuf),
    /// Bytes were written.
    Write(PathBuf, u64, Vec<u8>),
    /// A file got a length.
    SetLength(PathBuf, u64),
    /// A file was flushed.
    Sync(PathBuf),
    /// A name was changed.
    Rename(PathBuf, PathBuf),
    /// A name was removed.
    Remove(PathBuf),
    /// A directory was flushed.
    SyncDir(PathBuf),
    /// A change of this file failed, as [`begin_failing`] wanted.
    Failed(PathBuf),
    /// A flush of this file failed: the system keeps what was written for who reads it, and writes it no more.
    FlushFailed(PathBuf),
    /// Something was promised to somebody.
    Mark(String),
}

#[derive(Debug)]
struct Recording {
    root: PathBuf,
    events: Vec<Event>,
    /// Which change fails, and how many like it are made before.
    fails: Option<(Kind, usize)>,
}

/// What is done to which file: `("Sync", "log")`. The numbers in names do not count.
pub(crate) type Kind = (&'static str, String);

static RECORDING: Mutex<Option<Recording>> = Mutex::new(None);

/// Records what is changed under `root` from now on. One recording at a time.
pub(crate) fn begin(root: &Path) {
    record(root, None);
}

/// As [`begin`]; after so many changes of a kind one fails, as of a disk that does not answer.
pub(crate) fn begin_failing(root: &Path, kind: Kind, after: usize) {
    record(root, Some((kind, after)));
}

fn record(root: &Path, fails: Option<(Kind, usize)>) {
    set_witness(Box::new(|change| note(owned(change))));
    let recording = Recording { root: root.to_owned(), events: Vec::new(), fails };
    *RECORDING.lock().expect("nobody panics here") = Some(recording);
}

/// Notes a promise.
pub(crate) fn mark(what: impl Into<String>) {
    note(Event::Mark(what.into())).expect("it is no change");
}

/// All that was done.
pub(crate) fn end() -> Vec<Event> {
    RECORDING.lock().expect("nobody panics here").take().expect("it was begun").events
}

fn note(event: Event) -> io::Result<()> {
    let mut recording = RECORDING.lock().expect("nobody panics here");
    let Some(recording) = &mut *recording else { return Ok(()) };
    if let Some(path) = event.path() {
        if !path.starts_with(&recording.root) {
            return Ok(());
        }
        match &mut recording.fails {
            Some((kind, after)) if event.kind().as_ref() == Some(kind) => {
                if *after == 0 {
                    recording.fails = None;
                    if let Event::Sync(path) = &event {
                        recording.events.push(Event::FlushFailed(path.clone()));
                    }
                    recording.events.push(Event::Failed(path.to_owned()));
                    return Err(io::Error::from_raw_os_error(EIO));
                }
                *after -= 1;
            }
            _ => {}
        }
    }
    recording.events.push(event);
    Ok(())
}

/// The change, to be kept.
pub(crate) fn owned(change: Change<'_>) -> Event {
    match change {
        Change::MakeDir(path) => Event::MakeDir(path.into()),
        Change::Create(path) => Event::Create(path.into()),
        Change::Write { path, at, bytes } => Event::Write(path.into(), at, bytes.to_vec()),
        Change::SetLength { path, length } => Event::SetLength(path.into(), length),
        Change::Sync(path) => Event::Sync(path.into()),
        Change::Rename { from, to } => Event::Rename(from.into(), to.into()),
        Change::Remove(path) => Event::Remove(path.into()),
        Change::SyncDir(path) => Event::SyncDir(path.into()),
    }
}

impl Event {
    /// Which file or directory it is about.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::MakeDir(path)
            | Self::Create(path)
            | Self::Write(path, ..)
            | Self::SetLength(path, _)
            | Self::Sync(path)
            | Self::Rename(path, _)
            | Self::Remove(path)
            | Self::SyncDir(path) => Some(path),
            Self::Failed(_) | Self::FlushFailed(_) | Self::Mark(_) => None,
        }
    }

    /// What it changes, if it does.
    pub(crate) fn change(&self) -> Option<Change<'_>> {
        Some(match self {
            Self::MakeDir(path) => Change::MakeDir(path),
            Self::Create(path) => Change::Create(path),
            Self::Write(path, at, bytes) => Change::Write { path, at: *at, bytes },
            Self::SetLength(path, length) => Change::SetLength { path, length: *length },
            Self::Sync(path) => Change::Sync(path),
            Self::Rename(from, to) => Change::Rename { from, to },
            Self::Remove(path) => Change::Remove(path),
            Self::SyncDir(path) => Change::SyncDir(path),
            Self::Failed(_) | Self::FlushFailed(_) | Self::Mark(_) => return None,
        })
    }

    /// None of what is no change.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let verb = match self {
            Self::MakeDir(_) => "MakeDir",
            Self::Create(_) => "Create",
            Self::Write(..) => "Write",
            Self::SetLength(..) => "SetLength",
            Self::Sync(_) => "Sync",
            Self::Rename(..) => "Rename",
            Self::Remove(_) => "Remove",
            Self::SyncDir(_) => "SyncDir",
            Self::Failed(_) | Self::FlushFailed(_) | Self::Mark(_) => return None,
        };
        let name = self.path()?.file_name()?.to_string_lossy();
        let file = ["log", "snapshot", "troupe-snapshot"]
            .into_iter()
            .find(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.')));
        Some((verb, file.unwrap_or(&name).to_owned()))
    }
}

/// What a crash left.
pub(crate) struct State<'a> {
    pub(crate) root: &'a Path,
    /// What was promised before.
    pub(crate) promised: &'a [String],
    /// Which crash it was.
    pub(crate) what: String,
    /// For a crash of whoever starts from it.
    pub(crate) disk: Disk,
}

/// Calls `check` with each state that a crash of the run can leave: after each event killed, with all lost that
/// was not flushed, and with some of it, `seeds` times.
pub(crate) fn each_crash(
    start: Disk,
    events: &[Event],
    seeds: u64,
    mut check: impl FnMut(State<'_>),
) {
    let mut disk = start;
    let mut promised = Vec::new();
    for at in 0..=events.len() {
        let next = events.get(at);
        if let Some(Event::Mark(what)) = next {
            promised.push(what.clone());
            continue;
        }
        let chances = (0..seeds).map(|seed| Crash::SomeLost(seed << 32 | at as u64));
        for crash in [Crash::Killed, Crash::AllLost].into_iter().chain(chances) {
            let dir = scratch();
            let after = disk.leave(crash, next, dir.path());
            let what = format!("{crash:?} at {at}, before {}", brief(next));
            check(State { root: dir.path(), promised: &promised, what, disk: after });
        }
        if let Some(next) = next {
            disk.apply(next);
        }
    }
}

/// In memory, where flushing costs nothing.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

fn brief(event: Option<&Event>) -> String {
    match event {
        None => "the end".to_owned(),
        Some(Event::Write(path, at, bytes)) => {
            format!("{} bytes to {} at {at}", bytes.len(), path.display())
        }
        Some(other) => format!("{other:?}"),
    }
}

const EIO: i32 = 5;
