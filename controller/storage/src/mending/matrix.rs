//! Three members with one history, each transaction damaged on any of them: never another history, and all of it
//! wherever one good copy is left. `MENDING=all` tries every placement.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;
use types::{Epoch, Zxid};

use super::{Answer, Mended, Others, Question, Told, answer, mend};
use crate::log_file::{HEADER_BYTES, entry_of};
use crate::{
    Compression, EpochFile, LogReader, LogWriter, SnapshotDigest, SnapshotWriter, links,
    load_newest, watermark,
};

mod ends;
mod mixed;
mod pairs;
mod promises;

const MEMBERS: usize = 3;
/// Two files of two, the second of another epoch.
const ENTRIES: [(u32, u32); 4] = [(1, 3), (1, 4), (2, 1), (2, 2)];
const BODY: &[u8] = b"the tree";

fn zxid((epoch, counter): (u32, u32)) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

fn payload(zxid: Zxid) -> Bytes {
    entry_of(zxid, format!("transaction {zxid:?}").repeat(9).as_bytes())
}

/// A member with all of it, or with the first so many.
fn member(dir: &Path, entries: usize) {
    let mut writer = LogWriter::new(dir, 0, true).behind(Zxid::ZERO);
    for counter in [1, 2] {
        writer.stage(zxid((1, counter)), &payload(zxid((1, counter))));
    }
    writer.commit().expect("there is room");
    let base = zxid((1, 2));
    write_snapshot(dir, base);
    for (at, entry) in ENTRIES.iter().take(entries).enumerate() {
        if at % 2 == 0 {
            writer.roll();
        }
        writer.stage(zxid(*entry), &payload(zxid(*entry)));
        writer.commit().expect("there is room");
    }
    drop(writer);
    let last = entries.checked_sub(1).map_or(base, |at| zxid(ENTRIES[at]));
    watermark::lower(dir, last).expect("it is writable");
    links::note_watermark(dir).expect("it is writable");
    for file in [EpochFile::Accepted, EpochFile::Current] {
        file.write(dir, Epoch(2)).expect("it is writable");
    }
}

fn write_snapshot(dir: &Path, zxid: Zxid) {
    let mut snapshot =
        SnapshotWriter::create(dir, zxid, Compression::None).expect("it is writable");
    snapshot.write_all(BODY).expect("there is room");
    let digest = SnapshotDigest { zxid, version: 2, digest: 0 };
    snapshot.finish(digest, zxid).expect("there is room");
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    Flip,
    Zero,
    /// From the transaction to the end of its file.
    Truncate,
    /// The whole file.
    Delete,
}

const FAULTS: [Fault; 4] = [Fault::Flip, Fault::Zero, Fault::Truncate, Fault::Delete];

/// Where a transaction is in its file.
fn record(at: usize) -> std::ops::Range<usize> {
    let length = |at| 12 + payload(zxid(ENTRIES[at])).len() + 1;
    let header = usize::try_from(HEADER_BYTES).expect("a few");
    let begin = header + if at.is_multiple_of(2) { 0 } else { length(at - 1) };
    begin..begin + length(at)
}

/// Damages a transaction; answers which of them that costs.
fn damage(dir: &Path, at: usize, fault: Fault, seed: &mut u64) -> Vec<usize> {
    let path = dir.join(format!("log.{:x}", zxid(ENTRIES[at / 2 * 2]).bits()));
    let behind: Vec<_> = (at..at / 2 * 2 + 2).collect();
    if !path.exists() {
        return Vec::new();
    }
    let record = record(at);
    let (begin, length) = (record.start as u64, record.len() as u64);
    let file = File::options().read(true).write(true).open(&path).expect("it is there");
    if file.metadata().expect("it is there").len() < begin + length {
        return Vec::new();
    }
    match fault {
        Fault::Flip => {
            let place = begin + random(seed) % length;
            let mut byte = [0];
            file.read_exact_at(&mut byte, place).expect("it is there");
            byte[0] ^= 1 << (random(seed) % 8);
            file.write_all_at(&byte, place).expect("it is writable");
            vec![at]
        }
        Fault::Zero => {
            let size = usize::try_from(length).expect("short");
            file.write_all_at(&vec![0; size], begin).expect("it is writable");
            vec![at]
        }
        Fault::Truncate => {
            file.set_len(begin + random(seed) % length).expect("it is writable");
            behind
        }
        Fault::Delete => {
            fs::remove_file(&path).expect("it is there");
            (at / 2 * 2..at / 2 * 2 + 2).collect()
        }
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// All others, who answer from their files as they are.
struct Peers<'a> {
    /// `None`: it is down.
    dirs: Vec<Option<&'a Path>>,
    at_rest: bool,
}

impl Others for Peers<'_> {
    fn count(&self) -> usize {
        self.dirs.len()
    }

    fn ask(&mut self, other: usize, question: &Question) -> Option<Told> {
        let dir = self.dirs[other]?;
        Some(Told { answer: answer(dir, dir, question), at_rest: self.at_rest })
    }
}

struct Ensemble {
    dir: TempDir,
    at_rest: bool,
    down: Option<usize>,
}

impl Ensemble {
    fn empty() -> Self {
        // In memory, where flushing costs nothing.
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = made.expect("a directory");
        Self { dir, at_rest: true, down: None }
    }

    /// Members with so many of the transactions.
    fn with(entries: [usize; MEMBERS]) -> Self {
        let ensemble = Self::empty();
        for (id, entries) in entries.into_iter().enumerate() {
            fs::create_dir(ensemble.path(id)).expect("it is writable");
            member(&ensemble.path(id), entries);
        }
        ensemble
    }

    /// With two histories: behind what all have the first one led epoch 3, and the second one's last is of the epoch before.
    fn parted() -> Self {
        let ensemble = Self::with([2; MEMBERS]);
        for (id, entry) in [(0, (3, 1)), (1, (2, 1))] {
            let dir = ensemble.path(id);
            let mut writer = LogWriter::new(&dir, 0, true).behind(zxid((1, 4)));
            writer.stage(zxid(entry), &payload(zxid(entry)));
            writer.commit().expect("there is room");
            watermark::lower(&dir, zxid(entry)).expect("it is writable");
        }
        ensemble
    }

    fn copy_of(like: &Self) -> Self {
        let ensemble = Self::empty();
        for id in 0..MEMBERS {
            fs::create_dir(ensemble.path(id)).expect("it is writable");
            for file in fs::read_dir(like.path(id)).expect("it is there") {
                let file = file.expect("an entry");
                let to = ensemble.path(id).join(file.file_name());
                fs::copy(file.path(), to).expect("there is room");
            }
        }
        ensemble
    }

    fn path(&self, id: usize) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    fn mend(&self, id: usize) -> Mended {
        let paths: Vec<_> = (0..MEMBERS).map(|id| self.path(id)).collect();
        let others = (0..MEMBERS).filter(|other| *other != id);
        let is_up = |other: &usize| self.down != Some(*other);
        let dirs = others.map(|other| is_up(&other).then_some(&*paths[other])).collect();
        let mut peers = Peers { dirs, at_rest: self.at_rest };
        mend(&paths[id], &paths[id], &mut peers).expect("the disk works")
    }

    /// Each mends its own until none gets further; which are whole?
    fn mend_all(&self) -> [bool; MEMBERS] {
        let mut whole = [false; MEMBERS];
        for _ in 0..MEMBERS {
            for (id, whole) in whole.iter_mut().enumerate() {
                *whole = *whole || matches!(self.mend(id), Mended::Whole { .. });
            }
        }
        whole
    }

    /// What a member makes of its files when it starts.
    fn read(&self, id: usize) -> Result<Vec<Zxid>, String> {
        self.read_behind(id).map(|(_, found)| found)
    }

    /// And which snapshot it begins with.
    fn read_behind(&self, id: usize) -> Result<(Zxid, Vec<Zxid>), String> {
        let dir = self.path(id);
        let loaded = load_newest(&dir, |_, reader| {
            let mut body = vec![0; BODY.len()];
            reader.read_exact(&mut body).map_err(|error| error.to_string())?;
            Ok(body)
        });
        let loaded = loaded.map_err(|error| error.to_string())?.ok_or("no snapshot")?;
        assert_eq!(loaded.body, BODY);
        let mut reader = LogReader::open(&dir, loaded.zxid).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
            assert_eq!(entry.body, payload(entry.zxid));
            found.push(entry.zxid);
        }
        Ok((loaded.zxid, found))
    }
}

fn history(entries: usize) -> Vec<Zxid> {
    ENTRIES.iter().take(entries).map(|entry| zxid(*entry)).collect()
}

/// `masks`: for each transaction, the members on which it is damaged.
fn try_placement(
    template: &Ensemble,
    masks: [u8; 4],
    faults: &mut impl FnMut() -> Fault,
    seed: u64,
) {
    let ensemble = Ensemble::copy_of(template);
    let mut seed = seed;
    let mut lost = [[false; ENTRIES.len()]; MEMBERS];
    let mut told = Vec::new();
    for (at, mask) in masks.into_iter().enumerate() {
        for (id, lost) in lost.iter_mut().enumerate().filter(|(id, _)| mask & (1 << id) != 0) {
            let fault = faults();
            told.push((id, at, fault));
            for entry in damage(&ensemble.path(id), at, fault, &mut seed) {
                lost[entry] = true;
            }
        }
    }
    for (id, lost) in lost.iter().enumerate() {
        let read = ensemble.read(id);
        let whole = read.as_ref().is_ok_and(|found| *found == history(4));
        assert_eq!(whole, !lost.contains(&true), "{told:?}: member {id} reads {read:?}");
        assert!(whole || read.is_err(), "{told:?}: member {id} reads {read:?}");
    }
    let whole = ensemble.mend_all();
    for (id, whole) in whole.into_iter().enumerate() {
        let nowhere = |entry: usize| lost.iter().all(|lost| lost[entry]);
        let expected = !(0..ENTRIES.len()).any(nowhere);
        assert_eq!(whole, expected, "{told:?}: member {id}: {:?}", ensemble.mend(id));
        if whole {
            assert_eq!(ensemble.read(id), Ok(history(4)), "{told:?}: member {id}");
        } else {
            ensemble.read(id).expect_err("what is lost is not passed over");
        }
    }
}

#[test]
fn every_transaction_with_one_good_copy_comes_back_and_no_other_history_is_read() {
    let template = Ensemble::with([4; MEMBERS]);
    for fault in FAULTS {
        for at in 0..ENTRIES.len() {
            for mask in 1..8 {
                let mut masks = [0; 4];
                masks[at] = mask;
                try_placement(&template, masks, &mut || fault, 77 + u64::from(mask));
            }
        }
    }
    let all = std::env::var("MENDING").is_ok_and(|all| all == "all");
    let mut seed = 0x2545_f491_4f6c_dd1d;
    let placements: Vec<u64> =
        if all { (0..4096).collect() } else { (0..60).map(|_| random(&mut seed) % 4096).collect() };
    for placement in placements {
        let masks = [0, 3, 6, 9].map(|shift| u8::try_from(placement >> shift & 7).expect("small"));
        let mut choice = placement + 1;
        let mut pick = || FAULTS[usize::try_from(random(&mut choice) >> 20 & 3).expect("small")];
        try_placement(&template, masks, &mut pick, placement + 1);
        if all {
            for fault in FAULTS {
                try_placement(&template, masks, &mut || fault, placement + 1);
            }
        }
    }
}

#[test]
fn a_snapshot_comes_back_from_whoever_has_one() {
    let template = Ensemble::with([4; MEMBERS]);
    for mask in 1..8_u8 {
        for fault in FAULTS {
            let ensemble = Ensemble::copy_of(&template);
            for id in (0..MEMBERS).filter(|id| mask & (1 << id) != 0) {
                let path = ensemble.path(id).join("snapshot.100000002");
                let mut bytes = fs::read(&path).expect("it is there");
                match fault {
                    Fault::Flip => bytes[20] ^= 4,
                    Fault::Zero => bytes[16..].fill(0),
                    Fault::Truncate => bytes.truncate(30),
                    Fault::Delete => {
                        fs::remove_file(&path).expect("it is there");
                        continue;
                    }
                }
                fs::write(&path, bytes).expect("it is writable");
            }
            let whole = ensemble.mend_all();
            for (id, whole) in whole.into_iter().enumerate() {
                assert_eq!(whole, mask != 7, "{fault:?} {mask}: {:?}", ensemble.mend(id));
                assert_eq!(ensemble.read(id).ok(), whole.then(|| history(4)), "{fault:?} {mask}");
            }
        }
    }
}

#[test]
fn what_nobody_else_ever_had_is_given_up_once_nobody_can_get_it_any_more() {
    for fault in FAULTS {
        let mut ensemble = Ensemble::with([4, 3, 3]);
        damage(&ensemble.path(0), 3, fault, &mut 5);
        if fault == Fault::Delete {
            // The one before went with it, which the others have.
            assert!(!ensemble.path(0).join("log.200000001").exists());
        }
        ensemble.at_rest = false;
        assert!(
            matches!(ensemble.mend(0), Mended::Stuck(_)),
            "{fault:?}: a leader may send it yet"
        );
        ensemble.at_rest = true;
        assert!(matches!(ensemble.mend(0), Mended::Whole { .. }), "{fault:?}");
        assert_eq!(ensemble.read(0), Ok(history(3)), "{fault:?}");
    }
}

#[test]
fn what_another_may_have_had_is_waited_for() {
    let ensemble = Ensemble::with([4, 3, 4]);
    damage(&ensemble.path(0), 3, Fault::Truncate, &mut 5);
    damage(&ensemble.path(2), 3, Fault::Flip, &mut 5);
    assert!(matches!(ensemble.mend(0), Mended::Stuck(_)));
    // It was acknowledged by two of three, and one of them is asked again when it is whole.
    let path = ensemble.path(2).join("log.200000001");
    let whole = Ensemble::with([4, 4, 4]);
    fs::copy(whole.path(0).join("log.200000001"), path).expect("there is room");
    assert_eq!(ensemble.mend(0), Mended::Whole { taken: 1 });
    assert_eq!(ensemble.read(0), Ok(history(4)));
}

#[test]
fn answers_of_nonsense_are_not_taken() {
    struct Liar;
    impl Others for Liar {
        fn count(&self) -> usize {
            1
        }
        fn ask(&mut self, _: usize, question: &Question) -> Option<Told> {
            let answer = match *question {
                Question::Entries { from, .. } => {
                    let other = payload(from.next().expect("not the last"));
                    Answer::Entries(vec![(from, other)])
                }
                Question::Before(epoch) => Answer::Before(Zxid::new(epoch, 7)),
                Question::Snapshot { .. } => {
                    let part = Bytes::from_static(b"none");
                    Answer::Snapshot { suffix: String::new(), size: 4, part }
                }
                Question::End => {
                    Answer::End { accepted: None, current: Some(Epoch(9)), last: zxid((7, 7)) }
                }
                Question::Holdings => {
                    Answer::Holdings { accepted: None, snapshots: vec![zxid((7, 7))] }
                }
            };
            Some(Told { answer, at_rest: true })
        }
    }
    for at in 0..ENTRIES.len() {
        let ensemble = Ensemble::with([4; MEMBERS]);
        let dir = ensemble.path(0);
        damage(&dir, at, Fault::Flip, &mut 5);
        let mended = mend(&dir, &dir, &mut Liar).expect("the disk works");
        assert!(matches!(mended, Mended::Stuck(_)), "{at}: {mended:?}");
    }
}
