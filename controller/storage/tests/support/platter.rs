//! A disk as the system has it, and as the platters have it.
//!
//! A kill keeps all that was written, the last write perhaps in part. A power cut keeps what was flushed; of
//! all else each sector of 512 bytes, each length and each name is there or not, whatever came before it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use storage::Change;

use super::Event;

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

/// Both, of a directory and what is below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<Contents>,
    /// Numbers of files that are gone for good.
    free: Vec<usize>,
    /// Few, and in the order of their paths.
    dirs: Vec<(PathBuf, Dir)>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    live: Body,
    durable: Body,
    pending: Vec<Pending>,
    /// What was written, one write behind the other, since the last flush.
    written: Vec<u8>,
}

/// What is in a file: these bytes, and zeros behind them up to its length.
#[derive(Clone, Debug, Default)]
struct Body {
    bytes: Vec<u8>,
    /// Invariant: no less than there are bytes.
    length: usize,
}

#[derive(Clone, Debug)]
enum Pending {
    /// To a place, so much of what was written.
    Write(usize, Range<usize>),
    Length(usize),
}

/// The number of each file of a directory.
type Names = BTreeMap<OsString, usize>;

/// Names in a directory.
#[derive(Clone, Debug, Default)]
struct Dir {
    live: Names,
    /// Invariant: the same unless something is pending.
    durable: Names,
    pending: Vec<Name>,
    /// Whether the directory itself would survive.
    is_durable: bool,
}

#[derive(Clone, Debug)]
enum Name {
    Is(OsString, usize),
    Moved(OsString, OsString, usize),
    Gone(OsString),
}

impl Disk {
    /// An empty directory, or what is in one now, all of it durable.
    pub(crate) fn of(root: &Path) -> Self {
        let mut disk = Self { root: root.to_owned(), ..Self::default() };
        disk.read(root);
        disk
    }

    fn read(&mut self, at: &Path) {
        let mut live = Names::new();
        for entry in fs::read_dir(at).expect("it is there") {
            let entry = entry.expect("it can be listed");
            let path = entry.path();
            if path.is_dir() {
                self.read(&path);
                continue;
            }
            let bytes = fs::read(&path).expect("it is readable");
            live.insert(entry.file_name(), self.files.len());
            self.files.push(Contents::flushed(Body { length: bytes.len(), bytes }));
        }
        *self.dir_at(at) = Dir::flushed(live);
    }

    /// The directory of this path, which is made if it is not there.
    fn dir_at(&mut self, path: &Path) -> &mut Dir {
        let place = self.dirs.binary_search_by(|(there, _)| there.as_path().cmp(path));
        let place = place.unwrap_or_else(|place| {
            self.dirs.insert(place, (path.to_owned(), Dir::default()));
            place
        });
        &mut self.dirs[place].1
    }

    /// The directory that a path is in, and its name there.
    fn dir<'a>(&mut self, path: &'a Path) -> (&mut Dir, &'a OsStr) {
        let (above, name) = split(path);
        let mut dirs = self.dirs.iter_mut();
        let dir = dirs.find(|(there, _)| there.as_os_str().as_bytes() == above);
        (&mut dir.expect("the directory was made").1, OsStr::from_bytes(name))
    }

    fn file(&mut self, path: &Path) -> &mut Contents {
        let (dir, name) = self.dir(path);
        let number = dir.live[name];
        &mut self.files[number]
    }

    /// The event has happened.
    pub(crate) fn apply(&mut self, event: &Event) {
        if let Some(change) = event.change() {
            self.change(change);
        } else if let Event::FlushFailed(path) = event {
            self.fail_flush(path);
        }
    }

    /// The change was made.
    pub(crate) fn change(&mut self, change: Change<'_>) {
        match change {
            Change::MakeDir(path) => drop(self.dir_at(path)),
            Change::Create(path) => {
                let number = self.free.last().copied().unwrap_or(self.files.len());
                let (dir, name) = self.dir(path);
                if dir.live.contains_key(name) {
                    return self.change(Change::SetLength { path, length: 0 });
                }
                dir.live.insert(name.to_owned(), number);
                dir.pending.push(Name::Is(name.to_owned(), number));
                if self.free.pop().is_none() {
                    self.files.push(Contents::default());
                }
            }
            Change::Write { path, at, bytes } => self.file(path).write(index(at), bytes),
            Change::SetLength { path, length } => self.file(path).resize(index(length)),
            Change::Sync(path) => self.file(path).flush(),
            Change::Rename { from, to } => {
                let (dir, from) = self.dir(from);
                let to = OsStr::from_bytes(split(to).1);
                let number = dir.live.remove(from).expect("it was there");
                dir.live.insert(to.to_owned(), number);
                dir.pending.push(Name::Moved(from.to_owned(), to.to_owned(), number));
            }
            Change::Remove(path) => {
                let (dir, name) = self.dir(path);
                // One that is not there is not removed.
                if dir.live.remove(name).is_some() {
                    dir.pending.push(Name::Gone(name.to_owned()));
                }
            }
            Change::SyncDir(path) => {
                for (inner, dir) in &mut self.dirs {
                    dir.is_durable |= split(inner).0 == path.as_os_str().as_bytes();
                    if !dir.pending.is_empty() && inner == path {
                        for number in dir.flush() {
                            self.files[number] = Contents::default();
                            self.free.push(number);
                        }
                    }
                }
            }
        }
    }

    /// A flush of the file failed.
    pub(crate) fn fail_flush(&mut self, path: &Path) {
        self.file(path).forget();
    }

    /// Makes in `to` what such a crash leaves now; `next` is what was about to happen. Answers with the disk that whoever
    /// starts there has: a kill makes nothing durable.
    pub(crate) fn leave(&self, crash: Crash, next: Option<&Event>, to: &Path) -> Self {
        let mut left = self.clone().crashed(crash, next);
        left.lay(to);
        for (path, _) in &mut left.dirs {
            *path = below(&left.root, path, to);
        }
        to.clone_into(&mut left.root);
        left
    }

    /// What such a crash leaves, with the part of a write that was under way.
    pub(crate) fn crashed(mut self, crash: Crash, next: Option<&Event>) -> Self {
        if let Some(Event::Write(path, at, bytes)) = next {
            let part = match crash {
                Crash::Killed => torn_at(*at, bytes),
                Crash::SomeLost(_) => bytes.len(),
                Crash::AllLost => 0,
            };
            self.file(path).write(index(*at), &bytes[..part]);
        }
        match crash {
            Crash::Killed => self,
            Crash::AllLost => self.without_power(None),
            Crash::SomeLost(seed) => self.without_power(Some(fastrand::Rng::with_seed(seed))),
        }
    }

    /// What was not flushed is as chance has it, or is not.
    fn without_power(self, mut chance: Option<fastrand::Rng>) -> Self {
        let mut lost = Vec::new();
        for (path, dir) in &self.dirs {
            let may_go = !dir.is_durable && *path != self.root;
            if may_go && chance.as_mut().is_none_or(fastrand::Rng::bool) {
                lost.push(path);
            }
        }
        let mut left = Self { root: self.root.clone(), ..Self::default() };
        for (path, dir) in &self.dirs {
            if lost.iter().any(|lost| path.starts_with(lost)) {
                continue;
            }
            let mut names = match &mut chance {
                None => dir.durable.clone(),
                Some(rng) => dir.some(rng),
            };
            for number in names.values_mut() {
                let file = &self.files[*number];
                let body = match &mut chance {
                    None => file.durable.clone(),
                    Some(rng) => file.some(rng),
                };
                *number = left.files.len();
                left.files.push(Contents::flushed(body));
            }
            left.dirs.push((path.clone(), Dir::flushed(names)));
        }
        left
    }

    /// Makes in `to` what the system has.
    pub(crate) fn lay(&self, to: &Path) {
        for (path, dir) in &self.dirs {
            let there = below(&self.root, path, to);
            fs::create_dir_all(&there).expect("it is writable");
            for (name, number) in &dir.live {
                let Body { bytes, length } = &self.files[*number].live;
                let mut file = fs::File::create(there.join(name)).expect("it is writable");
                file.write_all(bytes).expect("it is writable");
                if bytes.len() < *length {
                    file.set_len(*length as u64).expect("it is writable");
                }
            }
        }
    }
}

/// A path below one directory, below another.
fn below(root: &Path, path: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(root).expect("it is below") {
        below if below.as_os_str().is_empty() => to.to_owned(),
        below => to.join(below),
    }
}

/// The directory that a path is in, and its name there: what is asked for with each change is not to be taken apart by its parts.
fn split(path: &Path) -> (&[u8], &[u8]) {
    let bytes = path.as_os_str().as_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/').expect("it is in a directory");
    (&bytes[..slash], &bytes[slash + 1..])
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
    /// One that is as it says.
    fn flushed(names: Names) -> Self {
        Self { durable: names.clone(), live: names, pending: Vec::new(), is_durable: true }
    }

    /// All names are as they are; returns the files that none has any more.
    fn flush(&mut self) -> BTreeSet<usize> {
        let made = self.pending.drain(..).filter_map(|change| match change {
            Name::Is(_, number) => Some(number),
            Name::Moved(..) | Name::Gone(_) => None,
        });
        let mut gone: BTreeSet<_> = made.chain(self.durable.values().copied()).collect();
        for number in self.live.values() {
            gone.remove(number);
        }
        self.durable.clone_from(&self.live);
        gone
    }

    fn some(&self, rng: &mut fastrand::Rng) -> Names {
        let mut names = self.durable.clone();
        // In order up to a point, as a journal keeps them, or any of them.
        let journal = rng.bool().then(|| rng.usize(..=self.pending.len()));
        for (at, change) in self.pending.iter().enumerate() {
            if !journal.map_or_else(|| rng.bool(), |kept| at < kept) {
                continue;
            }
            match change {
                Name::Is(name, number) => drop(names.insert(name.clone(), *number)),
                Name::Gone(name) => drop(names.remove(name)),
                Name::Moved(from, to, number) => {
                    names.remove(from);
                    names.insert(to.clone(), *number);
                }
            }
        }
        names
    }
}

impl Contents {
    /// All of it is on the platters.
    fn flushed(body: Body) -> Self {
        Self { durable: body.clone(), live: body, ..Self::default() }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.live.write(at, bytes);
        let from = self.written.len();
        self.written.extend_from_slice(bytes);
        self.pending.push(Pending::Write(at, from..self.written.len()));
    }

    fn resize(&mut self, length: usize) {
        self.live.resize(length);
        self.pending.push(Pending::Length(length));
    }

    fn flush(&mut self) {
        for change in &self.pending {
            match change {
                Pending::Write(at, part) => self.durable.write(*at, &self.written[part.clone()]),
                Pending::Length(length) => self.durable.resize(*length),
            }
        }
        self.forget();
    }

    /// What was written is not on its way any more.
    fn forget(&mut self) {
        self.pending.clear();
        self.written.clear();
    }

    fn some(&self, rng: &mut fastrand::Rng) -> Body {
        let mut body = self.durable.clone();
        let odds = rng.usize(1..=4);
        for change in &self.pending {
            match change {
                Pending::Length(length) if rng.bool() => body.resize(*length),
                Pending::Length(_) => {}
                Pending::Write(at, part) => {
                    let written = &self.written[part.clone()];
                    let mut from = 0;
                    while from < written.len() {
                        // To the end of the sector.
                        let place = at + from;
                        let next = written.len().min(from + SECTOR - place % SECTOR);
                        if rng.usize(..4) < odds {
                            body.write(place, &written[from..next]);
                        }
                        from = next;
                    }
                }
            }
        }
        body
    }
}

impl Body {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        if self.bytes.len() < at {
            self.bytes.resize(at, 0);
        }
        let (over, behind) = bytes.split_at(bytes.len().min(self.bytes.len() - at));
        self.bytes[at..at + over.len()].copy_from_slice(over);
        self.bytes.extend_from_slice(behind);
        self.length = self.length.max(self.bytes.len());
    }

    fn resize(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.length = length;
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("files are short")
}

const SECTOR: usize = 512;
