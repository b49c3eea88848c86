//! What a crash may leave of a directory: the changes of a run are recorded, and every state between two of
//! them is built again, as it is after the process was killed or after the power was cut.
//!
//! A kill keeps all that was written, the last write perhaps in part. A power cut keeps what was flushed; of
//! all else each sector of 512 bytes, each length and each name is there or not, whatever came before it.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use storage::{Change, set_witness};

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

/// How the run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Crash {
    /// The process: the system keeps what it was given.
    Killed,
    /// The power, and nothing that was not flushed was on the disk.
    AllLost,
    /// The power, and all that was not flushed was on the disk as chance has it, by this seed.
    SomeLost(u64),
}

/// A disk as the system has it, and as the platters have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<Contents>,
    dirs: BTreeMap<PathBuf, Dir>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// The number of each file by its whole path, which is compared as bytes.
type Names = BTreeMap<OsString, usize>;

/// Names in a directory.
#[derive(Clone, Debug, Default)]
struct Dir {
    live: Names,
    durable: Names,
    pending: Vec<Name>,
    /// Whether the directory itself would survive.
    is_durable: bool,
}

#[derive(Clone, Debug)]
enum Name {
    Is(PathBuf, usize),
    Moved(PathBuf, PathBuf, usize),
    Gone(PathBuf),
}

impl Disk {
    /// An empty directory, or what is in one now, all of it durable.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk = Self { root: root.to_owned(), ..Self::default() };
        disk.read(root);
        disk
    }

    fn read(&mut self, at: &Path) {
        let mut dir = Dir { is_durable: true, ..Dir::default() };
        for entry in fs::read_dir(at).expect("it is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                self.read(&path);
                continue;
            }
            let live = fs::read(&path).expect("it is readable");
            dir.live.insert(path.into(), self.files.len());
            self.files.push(Contents { durable: live.clone(), live, pending: Vec::new() });
        }
        dir.durable.clone_from(&dir.live);
        self.dirs.insert(at.to_owned(), dir);
    }

    fn dir(&mut self, path: &Path) -> &mut Dir {
        let above = path.parent().expect("it is in a directory");
        self.dirs.get_mut(above).expect("the directory was made")
    }

    fn file(&mut self, path: &Path) -> &mut Contents {
        let number = self.dir(path).live[path.as_os_str()];
        &mut self.files[number]
    }

    /// The event has happened.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::MakeDir(path) => {
                self.dirs.entry(path.clone()).or_default();
            }
            Event::Create(path) => {
                if self.dir(path).live.contains_key(path.as_os_str()) {
                    return self.apply(&Event::SetLength(path.clone(), 0));
                }
                let number = self.files.len();
                self.files.push(Contents::default());
                let dir = self.dir(path);
                dir.live.insert(path.into(), number);
                dir.pending.push(Name::Is(path.clone(), number));
            }
            Event::Write(path, at, bytes) => {
                let file = self.file(path);
                write(&mut file.live, *at, bytes);
                file.pending.push(Pending::Write(*at, bytes.clone()));
            }
            Event::SetLength(path, length) => {
                let file = self.file(path);
                resize(&mut file.live, *length);
                file.pending.push(Pending::Length(*length));
            }
            Event::Sync(path) => {
                let file = self.file(path);
                for change in file.pending.drain(..) {
                    match change {
                        Pending::Write(at, bytes) => write(&mut file.durable, at, &bytes),
                        Pending::Length(length) => resize(&mut file.durable, length),
                    }
                }
            }
            Event::Rename(from, to) => {
                let dir = self.dir(from);
                let number = dir.live.remove(from.as_os_str()).expect("it was there");
                dir.live.insert(to.into(), number);
                dir.pending.push(Name::Moved(from.clone(), to.clone(), number));
            }
            Event::Remove(path) => {
                let dir = self.dir(path);
                // One that is not there is not removed.
                if dir.live.remove(path.as_os_str()).is_some() {
                    dir.pending.push(Name::Gone(path.clone()));
                }
            }
            Event::SyncDir(path) => {
                for (inner, dir) in &mut self.dirs {
                    dir.is_durable |= inner.parent() == Some(path);
                }
                if let Some(dir) = self.dirs.get_mut(path) {
                    dir.pending.clear();
                    dir.durable.clone_from(&dir.live);
                }
            }
            Event::FlushFailed(path) => self.file(path).pending.clear(),
            Event::Failed(_) | Event::Mark(_) => {}
        }
    }

    /// Makes in `to` what such a crash leaves now; `next` is what was about to happen. Answers with the disk that whoever
    /// starts there has: a kill makes nothing durable.
    pub(crate) fn leave(&self, crash: Crash, next: Option<&Event>, to: &Path) -> Self {
        let torn = self.torn(crash, next);
        torn.lay(crash, to);
        if crash == Crash::Killed { torn.moved(to) } else { Self::of(to) }
    }

    /// With the part of a write that was under way.
    pub(crate) fn torn(&self, crash: Crash, next: Option<&Event>) -> Self {
        let mut torn = self.clone();
        if let Some(Event::Write(path, at, bytes)) = next {
            let part = match crash {
                Crash::Killed => &bytes[..torn_at(*at, bytes)],
                Crash::SomeLost(_) => &bytes[..],
                Crash::AllLost => &[],
            };
            torn.apply(&Event::Write(path.clone(), *at, part.to_vec()));
        }
        torn
    }

    /// Makes in `to` what such a crash leaves.
    pub(crate) fn lay(&self, crash: Crash, to: &Path) {
        let mut rng = fastrand::Rng::with_seed(match crash {
            Crash::SomeLost(seed) => seed,
            Crash::Killed | Crash::AllLost => 0,
        });
        let lost: BTreeSet<_> = self
            .dirs
            .iter()
            .filter(|(path, dir)| !dir.is_durable && **path != self.root)
            .filter(|_| match crash {
                Crash::Killed => false,
                Crash::AllLost => true,
                Crash::SomeLost(_) => rng.bool(),
            })
            .map(|(path, _)| path.clone())
            .collect();
        for (path, dir) in &self.dirs {
            if lost.iter().any(|lost| path.starts_with(lost)) {
                continue;
            }
            let there = to.join(path.strip_prefix(&self.root).expect("it is below"));
            fs::create_dir_all(&there).expect("it is writable");
            let names = match crash {
                Crash::Killed => dir.live.clone(),
                Crash::AllLost => dir.durable.clone(),
                Crash::SomeLost(_) => dir.some(&mut rng),
            };
            for (path, number) in names {
                let file = &self.files[number];
                let bytes = match crash {
                    Crash::Killed => file.live.clone(),
                    Crash::AllLost => file.durable.clone(),
                    Crash::SomeLost(_) => file.some(&mut rng),
                };
                let name = Path::new(&path).file_name().expect("files have names");
                fs::write(there.join(name), bytes).expect("it is writable");
            }
        }
    }

    /// The same, elsewhere.
    fn moved(self, to: &Path) -> Self {
        let moved = |path: PathBuf| match path.strip_prefix(&self.root).expect("it is below") {
            below if below.as_os_str().is_empty() => to.to_owned(),
            below => to.join(below),
        };
        let names = |names: Names| {
            let name = |(path, number)| (moved(PathBuf::from(path)).into_os_string(), number);
            names.into_iter().map(name).collect()
        };
        let change = |name| match name {
            Name::Is(path, number) => Name::Is(moved(path), number),
            Name::Moved(from, to, number) => Name::Moved(moved(from), moved(to), number),
            Name::Gone(path) => Name::Gone(moved(path)),
        };
        let dir = |dir: Dir| Dir {
            live: names(dir.live),
            durable: names(dir.durable),
            pending: dir.pending.into_iter().map(change).collect(),
            is_durable: dir.is_durable,
        };
        let dirs = self.dirs.into_iter().map(|(path, inside)| (moved(path), dir(inside))).collect();
        Self { root: to.to_owned(), files: self.files, dirs }
    }
}

/// How much of a write was done when its process was killed: the same of one as long at the same place each time. A part of a
/// sector is written at once.
fn torn_at(at: u64, bytes: &[u8]) -> usize {
    let seed = at.wrapping_mul(31).wrapping_add(bytes.len() as u64);
    let begin = index(at) % SECTOR;
    let sectors = (begin + bytes.len()).div_ceil(SECTOR);
    let whole = fastrand::Rng::with_seed(seed).usize(..=sectors) * SECTOR;
    whole.saturating_sub(begin).min(bytes.len())
}

impl Dir {
    fn some(&self, rng: &mut fastrand::Rng) -> Names {
        let mut names = self.durable.clone();
        // In order up to a point, as a journal keeps them, or any of them.
        let journal = rng.bool().then(|| rng.usize(..=self.pending.len()));
        for (at, change) in self.pending.iter().enumerate() {
            if !journal.map_or_else(|| rng.bool(), |kept| at < kept) {
                continue;
            }
            match change {
                Name::Is(path, number) => drop(names.insert(path.into(), *number)),
                Name::Gone(path) => drop(names.remove(path.as_os_str())),
                Name::Moved(from, to, number) => {
                    names.remove(from.as_os_str());
                    names.insert(to.into(), *number);
                }
            }
        }
        names
    }
}

impl Contents {
    fn some(&self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let odds = rng.usize(1..=4);
        for change in &self.pending {
            match change {
                Pending::Length(length) if rng.bool() => resize(&mut bytes, *length),
                Pending::Length(_) => {}
                Pending::Write(at, written) => {
                    let mut from = 0;
                    while from < written.len() {
                        // To the end of the sector.
                        let place = index(*at) + from;
                        let next = written.len().min(from + SECTOR - place % SECTOR);
                        if rng.usize(..4) < odds {
                            write(&mut bytes, place as u64, &written[from..next]);
                        }
                        from = next;
                    }
                }
            }
        }
        bytes
    }
}

fn write(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = index(at);
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn resize(file: &mut Vec<u8>, length: u64) {
    file.resize(index(length), 0);
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("files are short")
}

const SECTOR: usize = 512;
const EIO: i32 = 5;

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
