//! A member that is being made whole from others' files when its process is killed or its power is cut, at any write,
//! flush or change of a name, and once more while it goes on: what it reads is its whole history or a refusal, never
//! another, and it is made whole all the same and stays so. Logs and snapshots are in directories of their own.
//!
//! `SEEDS=n` builds n states for each event of what a power cut can leave (1 by default), of the second crash too.

#[path = "support/crashes.rs"]
mod crashes;
#[path = "support/records.rs"]
mod records;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crashes::{Disk, Event, begin, each_crash, end, mark, scratch};
use records::body;
use storage::{
    Compression, DataDir, EpochFile, Epochs, LogReader, LogWriter, Mended, Others, Question,
    SnapshotDigest, SnapshotWriter, Told, answer, load_newest, mend, settle,
};
use types::{Epoch, Zxid};

#[test]
fn a_mending_that_is_cut_short_is_done_by_the_next() {
    let seeds = std::env::var("SEEDS").ok().map(|text| text.parse().expect("a number"));
    let good = scratch();
    fill(good.path());
    let whole = read(good.path()).expect("it is whole");
    let (mut first, mut second) = (0, 0);
    for (what, damage) in damages() {
        let dir = scratch();
        copy(good.path(), dir.path());
        damage(dir.path());
        read(dir.path()).expect_err(&what);
        let start = Disk::of(dir.path());
        let events = recovers(dir.path(), good.path(), &whole, false, &what);
        each_crash(start, &events, seeds.unwrap_or(1), |state| {
            first += 1;
            let what = format!("{what}, {}", state.what);
            let was_whole = !state.promised.is_empty();
            let events = recovers(state.root, good.path(), &whole, was_whole, &what);
            if seeds.is_none() && first % 7 != 0 {
                return;
            }
            each_crash(state.disk, &events, seeds.unwrap_or(1), |state| {
                second += 1;
                let what = format!("{what}, then {}", state.what);
                let was_whole = !state.promised.is_empty();
                recovers(state.root, good.path(), &whole, was_whole, &what);
            });
        });
    }
    assert!(first > 0 && second > 0);
}

/// What is there is all of it, or is refused if it was not whole before, and is made whole then; answers with what that
/// changes.
fn recovers(root: &Path, good: &Path, whole: &Found, was_whole: bool, what: &str) -> Vec<Event> {
    match read(root) {
        Ok(found) => assert_eq!(&found, whole, "{what}"),
        Err(why) => assert!(!was_whole, "{what}: {why}"),
    }
    begin(root);
    let mended = make_whole(root, good);
    mark("whole");
    let events = end();
    assert!(matches!(mended, Mended::Whole { .. }), "{what}: {mended:?}");
    assert_eq!(read(root).as_ref(), Ok(whole), "{what}");
    events
}

/// Two log files behind a snapshot, the second of another epoch.
const ENTRIES: [[(u32, u32); 2]; 2] = [[(1, 3), (1, 4)], [(2, 1), (2, 2)]];
const BASE: (u32, u32) = (1, 2);

fn fill(root: &Path) {
    let dirs = open(root).expect("it is free");
    let mut writer = LogWriter::new(dirs.logs(), 0, true).behind(Zxid::ZERO);
    for file in [[(1, 1), (1, 2)]].iter().chain(&ENTRIES) {
        writer.roll();
        for at in file {
            writer.stage(zxid(*at), &body(zxid(*at), 90));
            writer.commit().expect("there is room");
        }
    }
    drop(writer);
    let base = zxid(BASE);
    let mut snapshot =
        SnapshotWriter::create(dirs.snapshots(), base, Compression::None).expect("it is writable");
    snapshot.write_all(&body(base, SNAPSHOT)).expect("there is room");
    let digest = SnapshotDigest { zxid: base, version: 2, digest: 0 };
    snapshot.finish(digest, base).expect("there is room");
    fs::remove_file(log_file(root, (1, 1))).expect("it is there");
    settle(&dirs, zxid(ENTRIES[1][1])).expect("it is writable");
    for file in [EpochFile::Accepted, EpochFile::Current] {
        file.write(dirs.snapshots(), Epoch(2)).expect("it is writable");
    }
}

/// Done to a member's files.
type Damage = Box<dyn Fn(&Path)>;

/// Each with what it is called.
fn damages() -> Vec<(String, Damage)> {
    let mut all = Vec::new();
    let mut add = |what: String, damage: Damage| all.push((what, damage));
    for file in ENTRIES {
        for at in file {
            let place = move |root: &Path| {
                let path = log_file(root, file[0]);
                let bytes = fs::read(&path).expect("it is there");
                let body = body(zxid(at), 90);
                let found = bytes.windows(body.len()).position(|some| some == body);
                (path, bytes, found.expect("it is in there"))
            };
            add(
                format!("{at:?} flipped"),
                Box::new(move |root| {
                    let (path, mut bytes, begin) = place(root);
                    bytes[begin + 40] ^= 1;
                    fs::write(path, bytes).expect("it is writable");
                }),
            );
            add(
                format!("the log ends in {at:?}"),
                Box::new(move |root| {
                    let (path, bytes, begin) = place(root);
                    fs::write(path, &bytes[..begin + 40]).expect("it is writable");
                }),
            );
        }
        add(
            format!("the log from {:?} on is gone", file[0]),
            Box::new(move |root| {
                fs::remove_file(log_file(root, file[0])).expect("it is there");
            }),
        );
    }
    for cut in [true, false] {
        add(
            format!("how far the log went is gone, with its end: {cut}"),
            Box::new(move |root| {
                for name in ["troupe.flushed", "troupe.flushed.copy"] {
                    fs::remove_file(root.join("logs/version-2").join(name)).expect("it is there");
                }
                let path = log_file(root, ENTRIES[1][0]);
                let bytes = fs::read(&path).expect("it is there");
                let last = body(zxid(ENTRIES[1][1]), 90);
                let begin = bytes.windows(last.len()).position(|some| some == last);
                if cut {
                    let end = begin.expect("it is in there") - 12;
                    fs::write(path, &bytes[..end]).expect("it is writable");
                }
            }),
        );
    }
    let snapshot = |root: &Path| root.join("data/version-2/snapshot.100000002");
    add(
        "the snapshot is gone".to_owned(),
        Box::new(move |root| {
            fs::remove_file(snapshot(root)).expect("it is there");
        }),
    );
    add(
        "the snapshot is damaged".to_owned(),
        Box::new(move |root| {
            let mut bytes = fs::read(snapshot(root)).expect("it is there");
            bytes[100] ^= 1;
            fs::write(snapshot(root), bytes).expect("it is writable");
        }),
    );
    add(
        "what was promised is gone".to_owned(),
        Box::new(|root| {
            let dir = root.join("data/version-2");
            fs::remove_file(dir.join("acceptedEpoch")).expect("it is there");
            fs::write(dir.join("troupe.epochs"), "damaged").expect("it is writable");
        }),
    );
    all
}

fn make_whole(root: &Path, good: &Path) -> Mended {
    let dirs = open(root).expect("it is free");
    mend(dirs.snapshots(), dirs.logs(), &mut Copies(good)).expect("the disk works")
}

/// Two others with the same whole files.
struct Copies<'a>(&'a Path);

impl Others for Copies<'_> {
    fn count(&self) -> usize {
        2
    }

    fn ask(&mut self, _: usize, question: &Question) -> Option<Told> {
        let [snapshots, logs] = ["data", "logs"].map(|dir| self.0.join(dir).join("version-2"));
        Some(Told { answer: answer(&snapshots, &logs, question), at_rest: true })
    }
}

/// What a member makes of its files when it starts.
#[derive(Debug, Eq, PartialEq)]
struct Found {
    snapshot: Zxid,
    log: Vec<Zxid>,
    epochs: Epochs,
}

fn read(root: &Path) -> Result<Found, String> {
    let words = |error: &dyn std::error::Error| format!("{error}: {:?}", error.source());
    let dirs = open(root)?;
    let loaded = load_newest(dirs.snapshots(), |at, reader| {
        let mut found = vec![0; SNAPSHOT];
        reader.read_exact(&mut found).map_err(|error| error.to_string())?;
        if found == body(at, SNAPSHOT) { Ok(at) } else { Err("another body".to_owned()) }
    });
    let snapshot = loaded.map_err(|error| words(&error))?.map(|loaded| loaded.zxid);
    let snapshot = snapshot.ok_or("no snapshot")?;
    let mut reader = LogReader::open(dirs.logs(), snapshot).map_err(|error| words(&error))?;
    let mut log = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(|error| words(&error))? {
        assert_eq!(entry.body, body(entry.zxid, 90), "what is served is what was written");
        log.push(entry.zxid);
    }
    let epochs =
        Epochs::read(dirs.snapshots(), reader.last().epoch()).map_err(|error| words(&error))?;
    Ok(Found { snapshot, log, epochs })
}

fn open(root: &Path) -> Result<DataDir, String> {
    DataDir::open(&root.join("data"), Some(&root.join("logs"))).map_err(|error| error.to_string())
}

fn copy(from: &Path, to: &Path) {
    for dir in ["data", "logs"].map(|dir| PathBuf::from(dir).join("version-2")) {
        fs::create_dir_all(to.join(&dir)).expect("it is writable");
        for file in fs::read_dir(from.join(&dir)).expect("it is there") {
            let file = file.expect("an entry");
            fs::copy(file.path(), to.join(&dir).join(file.file_name())).expect("there is room");
        }
    }
}

fn log_file(root: &Path, first: (u32, u32)) -> PathBuf {
    root.join("logs/version-2").join(format!("log.{:x}", zxid(first).bits()))
}

fn zxid((epoch, counter): (u32, u32)) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

/// The length of a snapshot's body.
const SNAPSHOT: usize = 700;
