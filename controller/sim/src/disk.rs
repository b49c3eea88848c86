//! A member's disk: the real files of `storage`, in memory; a crash keeps of them what was flushed, and of the rest what chance has it.
//!
//! Lives here: what is asked of the log, in order, and what becomes of it. Must not: decide when a write ends (the world does).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use storage::{
    Compression, DataDir, EpochFile, Epochs, History, LogCommand, LogEvent, LogWorker, LogWriter,
    Mended, Others, Retention, SnapshotWriteError, SnapshotWriter,
};
use types::{Epoch, Instant, PeerId, Zxid};
use zab::{Durable, Located, SavedEpoch, Txn};

use crate::checkers::Violation;
use crate::crashes::{self, Crash};
use crate::defect::{Defect, Planted};
use crate::loading::{Damage, load};
use crate::recorder::{Weather, record, rehearse};
use crate::tree::{Base, Known, Tree};

/// What is on disk, and what is on its way.
pub(crate) struct Disk {
    dir: PathBuf,
    /// What of it a crash would leave.
    platter: crashes::Disk,
    /// While a process has it.
    open: Option<Opened>,
    queue: VecDeque<Write>,
    /// How many of the queue, from its front, the write under way covers; 0 when the disk is idle.
    under_way: usize,
    pub(crate) weather: Weather,
    known: Rc<Known>,
    pub(crate) planted: Planted,
    /// It was damaged, noticed or not.
    rotten: bool,
    /// Where simulated time begins, for `storage`.
    origin: std::time::Instant,
}

struct Opened {
    dirs: DataDir,
    worker: LogWorker<Tell>,
    told: Rc<RefCell<Vec<LogEvent>>>,
    /// The disk has failed: what waits is not done any more.
    ended: bool,
}

type Tell = Box<dyn FnMut(LogEvent)>;

/// One thing to do.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Append(Txn),
    Epoch(SavedEpoch),
    Truncate(Zxid),
    /// A leader's state in place of all that is there; `marks`: this member may have acknowledged more.
    Install {
        base: Base,
        marks: bool,
    },
    Snapshot(Base),
    /// Is there room again?
    Probe,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Flushed(Zxid),
    Epoch(SavedEpoch),
    EpochRefused(SavedEpoch),
    Truncated(Zxid),
    TruncateRefused(Zxid),
    Installed(Zxid),
    InstallRefused(Zxid),
    Refused {
        first: Zxid,
    },
    HasRoom,
    /// The process ends: the disk failed.
    Failed,
}

/// What a start finds.
pub(crate) enum Found {
    Whole {
        tree: Box<Tree>,
        durable: Durable,
        marked: bool,
    },
    /// Nothing of it was loaded, and why.
    Damaged(String),
    /// The disk failed, or has no room for what a start writes.
    Failed,
}

impl Disk {
    pub(crate) fn new(dir: PathBuf, known: Rc<Known>) -> Self {
        fs::create_dir_all(&dir).expect("the memory has room");
        Self {
            platter: crashes::Disk::of(&dir),
            dir,
            open: None,
            queue: VecDeque::new(),
            under_way: 0,
            weather: Weather::default(),
            known,
            planted: Planted::default(),
            rotten: false,
            origin: std::time::Instant::now(),
        }
    }

    /// A process begins, and reads what is there.
    pub(crate) fn start(&mut self, me: PeerId) -> Result<Found, Violation> {
        let (dir, known) = (self.dir.clone(), Rc::clone(&self.known));
        let settles = self.planted.has(Defect::DamageIsSettled);
        let (found, failed) = self.change(|| {
            let Ok(dirs) = DataDir::open(&dir, None) else { return Ok(None) };
            let found = load(&dirs, me, &known)?;
            let found = found.and_then(|found| match Epochs::check(&dirs) {
                Ok(()) => Ok(found),
                Err(error) => Err(Damage::of(error.is_damage(), &error)),
            });
            let last = match &found {
                Ok((_, durable)) => durable.last_logged,
                Err(Damage::Files(_)) => Zxid::ZERO,
                Err(Damage::System) => return Ok(None),
            };
            let marked = storage::is_marked(dirs.snapshots()).unwrap_or(true);
            let writer = LogWriter::new(dirs.logs(), 0, true).behind(last);
            // What is damaged is left as it is for whoever mends it.
            if (found.is_ok() || settles) && storage::settle(&dirs, last).is_err() {
                return Ok(None);
            }
            Ok(Some((dirs, writer, found, marked)))
        });
        let Some((dirs, writer, found, marked)) = found? else {
            return match failed {
                true => Ok(Found::Failed),
                false => Err(Violation(format!("{me} cannot start, and its disk works"))),
            };
        };
        let told = Rc::<RefCell<Vec<_>>>::default();
        let tells = Rc::clone(&told);
        let tell: Tell = Box::new(move |event| tells.borrow_mut().push(event));
        let worker = LogWorker::new(writer, dirs.snapshots(), tell);
        self.open = Some(Opened { dirs, worker, told, ended: false });
        Ok(match found {
            Ok((tree, durable)) => Found::Whole { tree: Box::new(tree), durable, marked },
            Err(Damage::Files(why)) => Found::Damaged(why),
            Err(Damage::System) => Found::Failed,
        })
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.queue.push_back(write);
    }

    /// Begins the next write if the disk is idle; one flush covers all appends that wait. `true` when begun.
    pub(crate) fn begin(&mut self) -> bool {
        if self.under_way > 0 || self.queue.is_empty() || self.open.is_none() {
            return false;
        }
        let appends = self.queue.iter().take_while(|write| matches!(write, Write::Append(_)));
        self.under_way = appends.count().max(1);
        true
    }

    /// The write under way is done.
    pub(crate) fn end(&mut self, now: Instant) -> Result<Vec<Written>, Violation> {
        let count = std::mem::take(&mut self.under_way);
        let writes: Vec<_> = self.queue.drain(..count).collect();
        let Some(mut open) = self.open.take() else { return Ok(Vec::new()) };
        let (known, at) = (Rc::clone(&self.known), self.time(now));
        let (written, failed) = self.change(|| perform(&mut open, at, writes, &known));
        self.open = Some(open);
        if !failed && matches!(written.last(), Some(Written::Failed)) {
            return Err(Violation("a log ends, and its disk works".to_owned()));
        }
        Ok(written)
    }

    /// Nothing was to be done for a while; whether the log can be used further.
    pub(crate) fn rest(&mut self, now: Instant) -> bool {
        let Some(mut open) = self.open.take() else { return true };
        let at = self.time(now);
        let (settled, _) = self.change(|| {
            let settled = open.worker.settle(at);
            open.worker.give_back();
            settled
        });
        self.open = Some(open);
        settled.is_ok()
    }

    /// Whether [`Self::rest`] has something to do.
    pub(crate) fn is_restless(&self) -> bool {
        self.queue.is_empty() && self.open.as_ref().is_some_and(|open| open.worker.is_behind())
    }

    /// The process ends, or the host; of the write under way so much was done, of 256.
    pub(crate) fn crash(&mut self, how: Crash, part: u8, now: Instant) {
        let at = self.time(now);
        let writes: Vec<_> = self.queue.drain(..std::mem::take(&mut self.under_way)).collect();
        self.queue.clear();
        let mut events = Vec::new();
        if let Some(mut open) = self.open.take() {
            let known = Rc::clone(&self.known);
            let work = || drop(perform(&mut open, at, writes, &known));
            events = rehearse(&mut self.weather, work);
            let _closed = rehearse(&mut Weather::default(), || drop(open));
        }
        let done = events.len() * usize::from(part) / 256;
        let mut platter = std::mem::take(&mut self.platter);
        for event in &events[..done] {
            platter.apply(event);
        }
        self.platter = platter.crashed(how, events.get(done));
        self.lay();
    }

    /// The process ends in order.
    pub(crate) fn shut(&mut self, now: Instant) -> Result<(), Violation> {
        while self.under_way > 0 || self.begin() {
            self.end(now)?;
        }
        self.queue.clear();
        let open = self.open.take();
        self.change(|| drop(open));
        Ok(())
    }

    fn lay(&self) {
        let fresh = self.dir.with_extension("after");
        self.platter.lay(&fresh);
        // A crash changes no times, and this one tells rot apart.
        let version = fresh.join(VERSION);
        if let Ok(copy) = fs::read_to_string(version.join("troupe.epochs"))
            && let Some(at) = copy.split_whitespace().nth(2).and_then(|word| word.parse().ok())
        {
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(at);
            set_time(&version.join("currentEpoch"), at);
        }
        fs::remove_dir_all(&self.dir).expect("it is there");
        fs::rename(&fresh, &self.dir).expect("its place is free");
    }

    /// The tree as the files have it, while a process runs.
    pub(crate) fn rebuild(&mut self, me: PeerId) -> Result<Option<(Tree, Durable)>, Violation> {
        let Some(open) = self.open.take() else { return Ok(None) };
        let known = Rc::clone(&self.known);
        let (found, _) = self.change(|| load(&open.dirs, me, &known));
        self.open = Some(open);
        Ok(found?.ok())
    }

    /// Mends the files from those of others, and goes on with them.
    pub(crate) fn mend(
        &mut self,
        me: PeerId,
        others: &mut dyn Others,
        now: Instant,
    ) -> Result<Result<(Tree, Durable, bool), String>, Violation> {
        let Some(mut open) = self.open.take() else { return Ok(Err("it is down".to_owned())) };
        let (known, at) = (Rc::clone(&self.known), self.time(now));
        let (found, _) = self.change(|| {
            let mended = storage::mend(open.dirs.snapshots(), open.dirs.logs(), others);
            match mended {
                Ok(Mended::Whole { .. }) => {}
                Ok(Mended::Stuck(why)) => return Ok(Err(why)),
                Err(error) => return Ok(Err(error.to_string())),
            }
            let (tree, durable) = match load(&open.dirs, me, &known)? {
                Ok(found) => found,
                Err(damage) => return Ok(Err(format!("{damage:?}"))),
            };
            let last = durable.last_logged;
            if let Err(error) = storage::settle(&open.dirs, last) {
                return Ok(Err(error.to_string()));
            }
            if open.worker.on(at, &LogCommand::GoOnBehind(last)).is_err() {
                return Ok(Err("the log has ended".to_owned()));
            }
            let marked = storage::is_marked(open.dirs.snapshots()).unwrap_or(true);
            Ok(Ok((tree, durable, marked)))
        });
        self.open = Some(open);
        found
    }

    /// What was promised, if that is known.
    pub(crate) fn promised(&self) -> Option<Epoch> {
        Epochs::promised(&self.open.as_ref()?.dirs).ok()
    }

    /// Takes the mark away; `false`: the disk failed.
    pub(crate) fn unmark(&mut self) -> bool {
        let Some(open) = self.open.take() else { return false };
        let (done, _) = self.change(|| storage::unmark(open.dirs.snapshots()).is_ok());
        self.open = Some(open);
        done
    }

    /// Where its files are, for others that mend theirs.
    pub(crate) fn files(&self) -> PathBuf {
        self.dir.join(VERSION)
    }

    /// Where a learner's history ends in this log, which is on the disk up to `upto`.
    pub(crate) fn locate(&self, last: Zxid, upto: Zxid) -> Located {
        let dir = self.files();
        let found = || {
            let Some(there) = History::last_up_to(&dir, last)? else { return Ok(Located::Gone) };
            let mut history = History::open(&dir, there, upto)?;
            while history.next_entry()?.is_some() {}
            let here = there == last || last.counter() == 0;
            Ok::<_, storage::TxnLogError>(if here { Located::Here } else { Located::After(there) })
        };
        found().unwrap_or(Located::Gone)
    }

    /// The log after one zxid up to another; `None`: it is not whole.
    pub(crate) fn range(&self, after: Zxid, upto: Zxid) -> Option<Vec<Txn>> {
        let mut history = History::open(&self.files(), after, upto).ok()?;
        let mut found = Vec::new();
        while let Some(entry) = history.next_entry().ok()? {
            found.push(Txn { zxid: entry.zxid, body: entry.body });
        }
        Some(found)
    }

    /// Does something to the files; `true`: something of it was made to fail.
    fn change<T>(&mut self, work: impl FnOnce() -> T) -> (T, bool) {
        record(&mut self.weather, &mut self.platter, work)
    }

    fn time(&self, now: Instant) -> std::time::Instant {
        self.origin + now.saturating_since(Instant::ZERO)
    }

    /// Something on the disk changes by itself, in what a start would take for whole, and nobody has it open. Once in a run: the
    /// first may go unnoticed, and what tells damage apart is not to be damaged as well.
    pub(crate) fn rot(&mut self, me: PeerId, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        if self.rotten {
            return Ok(());
        }
        let weather = std::mem::take(&mut self.weather);
        let found = self.start(me)?;
        self.weather = weather;
        let open = self.open.take();
        self.change(|| drop(open));
        if !matches!(found, Found::Whole { marked: false, .. }) {
            return Ok(());
        }
        crate::rot::damage(&self.files(), rng);
        self.rotten = true;
        self.platter = crashes::Disk::of(&self.dir);
        Ok(())
    }
}

/// Does all of it, or up to where the disk fails.
fn perform(
    open: &mut Opened,
    now: std::time::Instant,
    writes: Vec<Write>,
    known: &Known,
) -> Vec<Written> {
    if open.ended {
        return Vec::new();
    }
    let mut records = storage::Records::default();
    let mut refused = Vec::new();
    let dirs = (open.dirs.snapshots().to_owned(), open.dirs.logs().to_owned());
    for write in writes {
        let command = match write {
            Write::Append(txn) => {
                records.push(txn.zxid, &txn.body);
                continue;
            }
            Write::Epoch(SavedEpoch::Accepted(epoch)) => {
                LogCommand::SaveEpoch(EpochFile::Accepted, epoch)
            }
            Write::Epoch(SavedEpoch::Current(epoch)) => {
                LogCommand::SaveEpoch(EpochFile::Current, epoch)
            }
            Write::Truncate(zxid) => LogCommand::Truncate(zxid),
            Write::Install { base, marks } => {
                known.note(&base);
                let marked = if marks { storage::mark(&dirs.0).is_ok() } else { true };
                match put(&base, SnapshotWriter::stage(&dirs.0, base.zxid)) {
                    Ok(()) if marked => LogCommand::Install,
                    Err(error) if marked && error.is_full() => {
                        refused.push(Written::InstallRefused(base.zxid));
                        continue;
                    }
                    _ => {
                        open.ended = true;
                        return vec![Written::Failed];
                    }
                }
            }
            Write::Snapshot(base) => {
                known.note(&base);
                open.ended = open.worker.on(now, &LogCommand::Roll).is_err();
                if open.ended {
                    break;
                }
                let begun = SnapshotWriter::create(&dirs.0, base.zxid, Compression::None);
                // The log still has everything; the next one is tried after as many transactions.
                if put(&base, begun).is_ok() {
                    let _removed = storage::purge(&dirs.0, &dirs.1, SNAPSHOTS_KEPT, || {});
                }
                continue;
            }
            Write::Probe => LogCommand::Probe,
        };
        open.ended = open.worker.on(now, &command).is_err();
        if open.ended {
            break;
        }
    }
    if !open.ended && !records.is_empty() {
        let worker = &mut open.worker;
        let appended = worker.on(now, &LogCommand::Append(records));
        open.ended = appended.and_then(|()| worker.commit(now)).is_err();
    }
    let told = open.told.borrow_mut().drain(..).collect::<Vec<_>>();
    told.into_iter().map(written).chain(refused).collect()
}

pub(crate) fn put(
    base: &Base,
    begun: Result<SnapshotWriter, SnapshotWriteError>,
) -> Result<(), SnapshotWriteError> {
    let mut writer = begun?;
    if let Err(source) = writer.write_all(&base.body) {
        return Err(writer.failed(source));
    }
    writer.finish(base.digest, base.zxid).map(drop)
}

fn written(event: LogEvent) -> Written {
    let saved = |file, epoch| match file {
        EpochFile::Accepted => SavedEpoch::Accepted(epoch),
        EpochFile::Current => SavedEpoch::Current(epoch),
    };
    match event {
        LogEvent::Flushed(zxid, _) => Written::Flushed(zxid),
        LogEvent::EpochSaved(file, epoch) => Written::Epoch(saved(file, epoch)),
        LogEvent::EpochRefused { file, epoch, .. } => Written::EpochRefused(saved(file, epoch)),
        LogEvent::Full { first, .. } => Written::Refused { first },
        LogEvent::HasRoom => Written::HasRoom,
        LogEvent::Truncated(zxid) => Written::Truncated(zxid),
        LogEvent::TruncateRefused(zxid, _) => Written::TruncateRefused(zxid),
        LogEvent::Installed(zxid) => Written::Installed(zxid),
        LogEvent::Failed(_) => Written::Failed,
    }
}

/// Gives a file that is there the time when it was written.
pub(crate) fn set_time(path: &Path, at: std::time::SystemTime) {
    if let Ok(file) = fs::File::options().write(true).open(path) {
        file.set_modified(at).expect("it is ours");
    }
}

/// Where `storage` keeps its files.
const VERSION: &str = "version-2";
const SNAPSHOTS_KEPT: Retention = Retention { snapshots: 3, bytes: None };
