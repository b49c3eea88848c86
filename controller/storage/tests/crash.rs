//! A crash at any write, flush or change of a name, and another while what it left is read and written on: what was
//! promised is there, and what was not promised does not keep the directory from being read, changed and read again.
//!
//! `SEEDS=n` builds n states for each event of what a power cut can leave; without it one, and few of the states are
//! crashed again.

#[path = "support/crashes.rs"]
mod crashes;
#[path = "support/records.rs"]
mod records;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};

use crashes::{Crash, Disk, Event, State, begin, begin_failing, each_crash, end, mark, scratch};
use records::body;
use storage::{
    Compression, DataDir, DirError, EpochFile, Epochs, LogCommand, LogEvent, LogReader, LogThread,
    LogWriter, Retention, SnapshotDigest, SnapshotWriter, load_newest, purge, settle,
};
use types::{Epoch, Zxid};

#[test]
fn what_was_promised_survives_a_crash_anywhere() {
    survives(Dirs::One);
}

#[test]
fn and_with_logs_elsewhere() {
    survives(Dirs::Two);
}

/// Where logs are.
#[derive(Clone, Copy, Debug)]
enum Dirs {
    /// Beside the snapshots.
    One,
    Two,
}

impl Dirs {
    fn open(self, root: &Path) -> Result<DataDir, DirError> {
        match self {
            Self::One => DataDir::open(root, None),
            Self::Two => DataDir::open(&root.join("data"), Some(&root.join("logs"))),
        }
    }
}

/// Only one run can be recorded at a time.
static ONE: Mutex<()> = Mutex::new(());

/// So many states are of the directories that are made.
const BEGINNING: u32 = 24;
const KEPT: Retention = Retention { snapshots: 3, bytes: None };

fn survives(dirs: Dirs) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seeds = std::env::var("SEEDS").ok().map(|text| text.parse().expect("a number"));
    let dir = scratch();
    let start = Disk::of(dir.path());
    begin(dir.path());
    run(dir.path(), dirs);
    let events = end();
    let (mut first, mut second) = (0, 0);
    each_crash(start, &events, seeds.unwrap_or(1), |state| {
        first += 1;
        let State { root, promised, what, disk } = state;
        begin(root);
        let found = read(root, dirs).unwrap_or_else(|why| panic!("{what}: {why}"));
        found.check(&Promises::of(promised), &what);
        // Whoever starts from it writes on.
        let next = zxid(found.last().epoch().0 + 10, 1);
        let writer = Writer::open(root, dirs);
        writer.append(next);
        drop(writer);
        let events = end();
        let written_on = [&found.log[..], &[next]].concat();
        let after = read(root, dirs).unwrap_or_else(|why| panic!("{what}, after a write: {why}"));
        assert_eq!(after.log, written_on, "{what}");
        if seeds.is_none() && first > BEGINNING && first % 37 != 0 {
            return;
        }
        each_crash(disk, &events, seeds.unwrap_or(1), |state| {
            second += 1;
            let what = format!("{what}, then {}", state.what);
            let again = read(state.root, dirs).unwrap_or_else(|why| panic!("{what}: {why}"));
            let mut before = again.clone();
            if before.log.pop_if(|last| *last == next).is_some() {
                // It came after all that was read.
                assert_eq!(before.last(), found.last(), "{what}: {again:?}");
            } else {
                assert!(state.promised.is_empty(), "{what}: {next:?} was promised: {again:?}");
            }
            before.check(&Promises::of(promised), &what);
            assert_eq!(read(state.root, dirs).as_ref(), Ok(&again), "{what}, read again");
        });
    });
    assert!(first > 500 && second > 500, "{first}, {second}");
}

/// The process that saw the flush fail was killed before it could cut off what it had written; the next one reads that, builds upon
/// it, and the power is cut.
#[test]
fn what_a_failed_flush_left_in_memory_is_written_anew() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (whole, in_front) in [(0, 0), (1, 0), (3, 0), (3, 2)] {
        let dir = scratch();
        let mut disk = Disk::of(dir.path());
        // One a commit, and one by which the log is settled.
        let flushes = whole as usize + usize::from(in_front > 0);
        begin_failing(dir.path(), ("Sync", "log".to_owned()), flushes);
        let dirs = DataDir::open(dir.path(), None).expect("it is free");
        let mut writer = LogWriter::new(dirs.logs(), 0, true).behind(Zxid::ZERO);
        for counter in 1..=whole {
            writer.stage(zxid(1, counter), &body(zxid(1, counter), 90));
            writer.commit().expect("it works yet");
            if counter == in_front {
                settle(&dirs, zxid(1, counter)).expect("it works yet");
            }
        }
        for counter in whole + 1..=whole + 20 {
            writer.stage(zxid(1, counter), &body(zxid(1, counter), 90));
        }
        writer.commit().expect_err("the flush fails");
        let events = end();
        let failed = |event: &Event| matches!(event, Event::FlushFailed(_));
        let at = events.iter().position(failed).expect("it failed");
        events[..=at].iter().for_each(|event| disk.apply(event));
        let killed = scratch();
        let mut disk = disk.leave(Crash::Killed, None, killed.path());
        begin(killed.path());
        let found = read(killed.path(), Dirs::One).expect("it is whole");
        assert_eq!(found.last(), zxid(1, whole + 20));
        end().iter().for_each(|event| disk.apply(event));
        let cut = scratch();
        disk.leave(Crash::AllLost, None, cut.path());
        assert_eq!(read(cut.path(), Dirs::One), Ok(found), "{whole} {in_front}");
    }
}

/// A new file of the log was flushed and its name could not be: who saw that cut off what it had written. The next one serves what is
/// left, and the power is cut.
#[test]
fn what_was_cut_off_by_who_saw_a_flush_fail_does_not_come_back() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for flushes in 0.. {
        let dir = scratch();
        let dirs = DataDir::open(dir.path(), None).expect("it is free");
        let mut disk = Disk::of(dir.path());
        begin_failing(dir.path(), ("SyncDir", "version-2".to_owned()), flushes);
        let mut writer = LogWriter::new(dirs.logs(), 0, true).behind(Zxid::ZERO);
        writer.stage(zxid(1, 1), &body(zxid(1, 1), 90));
        let written = writer.commit();
        drop(writer);
        end().iter().for_each(|event| disk.apply(event));
        if written.is_ok() {
            assert!(flushes > 0, "none was tried");
            break;
        }
        let ended = scratch();
        let mut disk = disk.leave(Crash::Killed, None, ended.path());
        begin(ended.path());
        let found = read(ended.path(), Dirs::One).expect("it is whole");
        end().iter().for_each(|event| disk.apply(event));
        for seed in 0..50 {
            let cut = scratch();
            disk.leave(Crash::SomeLost(seed), None, cut.path());
            let again = read(cut.path(), Dirs::One);
            assert_eq!(again.as_ref(), Ok(&found), "{flushes} {seed}");
        }
    }
}

/// All that is done to a member's files: an epoch written, cut, written again, and exchanged for another's.
fn run(root: &Path, dirs: Dirs) {
    let writer = Writer::open(root, dirs);
    writer.epoch(EpochFile::Accepted, 1);
    writer.epoch(EpochFile::Current, 1);
    writer.snapshot(Zxid::ZERO, Compression::None);
    for counter in (1..=30).step_by(3) {
        let three = [0, 1, 2].map(|more| zxid(1, counter + more));
        writer.append_all(&three);
        if counter % 2 == 0 {
            writer.snapshot(three[2], Compression::None);
            writer.send(LogCommand::Roll);
        }
    }
    mark("cutting 1 22");
    writer.send(LogCommand::Truncate(zxid(1, 22)));
    writer.wait(|event| matches!(event, LogEvent::Truncated(to) if *to == zxid(1, 22)));
    mark("cut 1 22");
    writer.epoch(EpochFile::Accepted, 2);
    writer.epoch(EpochFile::Current, 2);
    for counter in 1..=14 {
        writer.append(zxid(2, counter));
        if counter % 6 == 0 {
            writer.snapshot(zxid(2, counter), Compression::Gzip);
            writer.send(LogCommand::Roll);
        }
    }
    drop(writer);
    // Started again.
    let writer = Writer::open(root, dirs);
    writer.append(zxid(2, 15));
    mark("exchanging 3 5");
    let dir = writer.dirs.snapshots().to_owned();
    let staged = SnapshotWriter::stage(&dir, zxid(3, 5)).expect("it is writable");
    finish(staged, zxid(3, 5));
    writer.send(LogCommand::Install);
    writer.wait(|event| matches!(event, LogEvent::Installed(at) if *at == zxid(3, 5)));
    mark("exchanged 3 5");
    writer.append(zxid(3, 6));
    writer.append(zxid(3, 7));
}

/// A log that is written, and what its thread tells.
struct Writer {
    dirs: DataDir,
    log: LogThread,
    told: Receiver<LogEvent>,
}

impl Writer {
    fn open(root: &Path, dirs: Dirs) -> Self {
        let last = read(root, dirs).expect("all starts begin so").last();
        let dirs = dirs.open(root).expect("it is free");
        let (tell, told) = mpsc::channel();
        let writer = LogWriter::new(dirs.logs(), 0, true).behind(last);
        let log = LogThread::spawn(writer, dirs.snapshots(), move |event| {
            // Told on the thread that flushed, before anything else is done.
            match &event {
                LogEvent::Flushed(at, _) => {
                    mark(format!("flushed {} {}", at.epoch().0, at.counter()))
                }
                LogEvent::EpochSaved(file, epoch) => mark(format!("epoch {file:?} {}", epoch.0)),
                LogEvent::Truncated(_) | LogEvent::Installed(_) => {}
                other => panic!("{other:?}"),
            }
            let _ = tell.send(event);
        });
        Self { dirs, log: log.expect("threads can be had"), told }
    }

    fn send(&self, command: LogCommand) {
        self.log.send(command);
    }

    fn wait(&self, done: impl Fn(&LogEvent) -> bool) {
        while !done(&self.told.recv().expect("it answers")) {}
    }

    /// A record whose body is made from its zxid.
    fn append(&self, at: Zxid) {
        self.append_all(&[at]);
    }

    /// One batch, over some sectors when it is of several.
    fn append_all(&self, all: &[Zxid]) {
        let mut records = self.log.records();
        for at in all {
            records.push(*at, &body(*at, 90 + 200 * (all.len() - 1)));
        }
        self.send(LogCommand::Append(records));
        let last = all.last();
        self.wait(|event| matches!(event, LogEvent::Flushed(to, _) if Some(to) == last));
    }

    fn epoch(&self, file: EpochFile, epoch: u32) {
        self.send(LogCommand::SaveEpoch(file, Epoch(epoch)));
        self.wait(|event| matches!(event, LogEvent::EpochSaved(..)));
    }

    fn snapshot(&self, at: Zxid, compression: Compression) {
        let dir = self.dirs.snapshots();
        finish(SnapshotWriter::create(dir, at, compression).expect("it is writable"), at);
        purge(dir, self.dirs.logs(), KEPT, || {}).expect("it is writable");
    }
}

fn finish(mut writer: SnapshotWriter, at: Zxid) {
    writer.write_all(&body(at, 700)).expect("there is room");
    let digest = SnapshotDigest { zxid: at, version: 2, digest: 0 };
    writer.finish(digest, at).expect("there is room");
}

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

/// What a directory holds.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Found {
    snapshot: Option<Zxid>,
    log: Vec<Zxid>,
    epochs: Epochs,
}

fn read(root: &Path, dirs: Dirs) -> Result<Found, String> {
    let words = |error: &dyn std::error::Error| format!("{error}: {:?}", error.source());
    let dirs = dirs.open(root).map_err(|error| words(&error))?;
    let loaded = load_newest(dirs.snapshots(), |at, reader| {
        let mut found = vec![0; 700];
        reader.read_exact(&mut found).map_err(|error| error.to_string())?;
        if found == body(at, 700) { Ok(at) } else { Err("another body".to_owned()) }
    });
    let loaded = loaded.map_err(|error| words(&error))?;
    let snapshot = loaded.as_ref().map(|loaded| loaded.zxid);
    let mut reader = LogReader::open(dirs.logs(), snapshot.unwrap_or_default())
        .map_err(|error| words(&error))?;
    let mut log = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(|error| words(&error))? {
        assert_eq!(
            entry.body,
            body(entry.zxid, entry.body.len()),
            "what is served is what was written"
        );
        log.push(entry.zxid);
    }
    settle(&dirs, reader.last()).map_err(|error| words(&error))?;
    let epochs =
        Epochs::read(dirs.snapshots(), reader.last().epoch()).map_err(|error| words(&error))?;
    Ok(Found { snapshot, log, epochs })
}

impl Found {
    fn last(&self) -> Zxid {
        self.log.last().copied().or(self.snapshot).unwrap_or_default()
    }

    fn check(&self, promises: &Promises, what: &str) {
        let last = self.last();
        let exchanged = last.epoch() == Epoch(3);
        assert!(exchanged || !promises.exchanged, "{what}: the exchange came back: {self:?}");
        assert!(!exchanged || promises.exchanging, "{what}: {self:?}");
        let least = if exchanged { promises.least.max(zxid(3, 5)) } else { promises.least };
        // What is being exchanged counts until the exchange is made.
        assert!(last >= least, "{what}: {least:?} was promised, {last:?} is the last: {self:?}");
        if promises.cut && !exchanged {
            let cut_off = |at: &Zxid| at.epoch() == Epoch(1) && at.counter() > 22;
            assert!(!self.log.iter().chain(&self.snapshot).any(cut_off), "{what}: {self:?}");
        }
        // Each has what one run wrote, without a gap: counters of an epoch rise by one, and the second epoch follows
        // where the first was cut.
        for (before, after) in self.snapshot.iter().chain(&self.log).zip(&self.log) {
            let follows = before.next() == Some(*after);
            assert!(
                follows || (*before, *after) == (zxid(1, 22), zxid(2, 1)) || *before == Zxid::ZERO,
                "{what}: {self:?}"
            );
        }
        assert!(self.epochs.accepted >= promises.accepted, "{what}: {self:?}");
        assert!(self.epochs.current >= promises.current, "{what}: {self:?}");
    }
}

/// What was promised up to a crash.
#[derive(Debug, Default)]
struct Promises {
    least: Zxid,
    cut: bool,
    exchanging: bool,
    exchanged: bool,
    accepted: Option<Epoch>,
    current: Option<Epoch>,
}

impl Promises {
    fn of(marks: &[String]) -> Self {
        let mut promises = Self::default();
        for line in marks {
            let words: Vec<_> = line.split(' ').collect();
            let number = |at: usize| words[at].parse().expect("a number");
            match words[0] {
                "flushed" => promises.least = zxid(number(1), number(2)),
                "cutting" => promises.least = promises.least.min(zxid(number(1), number(2))),
                "cut" => promises.cut = true,
                "exchanging" => promises.exchanging = true,
                "exchanged" => {
                    promises.exchanged = true;
                    promises.least = zxid(number(1), number(2));
                }
                "epoch" if words[1] == "Accepted" => promises.accepted = Some(Epoch(number(2))),
                "epoch" => promises.current = Some(Epoch(number(2))),
                other => panic!("{other}"),
            }
        }
        promises
    }
}
