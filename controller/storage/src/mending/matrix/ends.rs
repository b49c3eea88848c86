//! The end of a log that is lost together with all that tells how far it went: no shorter history is taken for whole while
//! somebody may have the rest, and nobody waits for ever where nothing else is lost.

use super::*;
use crate::{DataDir, disk, settle};

fn lose_watermark(dir: &Path) {
    for name in [watermark::FILE, watermark::COPY] {
        disk::remove_if_there(&dir.join(name)).expect("it is writable");
    }
}

fn lose_links(dir: &Path) {
    for name in [links::FILE, links::COPY] {
        disk::remove_if_there(&dir.join(name)).expect("it is writable");
    }
}

fn is_stuck(mended: &Mended, of: &str) -> bool {
    matches!(mended, Mended::Stuck(why) if why.contains("may have ended later") && why.contains(of))
}

#[test]
fn an_end_that_is_lost_comes_back_from_whoever_has_it() {
    for fault in FAULTS {
        for rest in [4, 3] {
            let mut ensemble = Ensemble::with([4, 4, rest]);
            let dir = ensemble.path(0);
            damage(&dir, 3, fault, &mut 5);
            lose_watermark(&dir);
            let read = ensemble.read(0);
            assert!(read.is_err(), "{fault:?} {rest}: {read:?}");
            ensemble.down = Some(1);
            assert!(is_stuck(&ensemble.mend(0), "start them all"), "{fault:?} {rest}");
            ensemble.read(0).expect_err("the one that is down may have more");
            ensemble.down = None;
            ensemble.at_rest = false;
            assert!(is_stuck(&ensemble.mend(0), "at rest"), "{fault:?} {rest}");
            ensemble.at_rest = true;
            let mended = ensemble.mend(0);
            assert!(matches!(mended, Mended::Whole { taken: 1.. }), "{fault:?}: {mended:?}");
            assert_eq!(ensemble.read(0), Ok(history(4)), "{fault:?} {rest}");
            assert_eq!(watermark::read(&dir).expect("it is there"), Some(zxid(ENTRIES[3])));
        }
    }
}

#[test]
fn a_promise_comes_back_while_the_end_is_in_doubt_and_others_serve() {
    let mut ensemble = Ensemble::with([4; MEMBERS]);
    let dir = ensemble.path(0);
    lose_watermark(&dir);
    for (name, rot) in [("acceptedEpoch", ""), ("currentEpoch", "rot"), ("troupe.epochs", "rot")] {
        fs::write(dir.join(name), rot).expect("it is writable");
    }
    ensemble.at_rest = false;
    let last = zxid(ENTRIES[3]).epoch();
    EpochFile::Accepted.read(&dir, last).expect_err("it is lost");
    assert!(is_stuck(&ensemble.mend(0), "at rest"));
    let promised = EpochFile::Accepted.read(&dir, last).expect("the others know it");
    let theirs = EpochFile::Accepted.read(&ensemble.path(1), last).expect("it is whole");
    assert_eq!(promised.map(|epoch| epoch.max(last)), theirs.map(|epoch| epoch.max(last)));
    EpochFile::Current.read(&dir, last).expect_err("a leader tells it");
}

#[test]
fn members_in_doubt_find_out_each_others_ends() {
    for lengths in [[4, 4, 4], [4, 3, 2], [2, 3, 4], [3, 4, 3]] {
        for mask in 1..8_u8 {
            let ensemble = Ensemble::with(lengths);
            for id in (0..MEMBERS).filter(|id| mask & (1 << id) != 0) {
                lose_watermark(&ensemble.path(id));
                ensemble.read(id).expect_err("it may have been longer");
            }
            assert_eq!(ensemble.mend_all(), [true; MEMBERS], "{lengths:?} {mask:03b}");
            for (id, entries) in lengths.into_iter().enumerate() {
                let entries = if mask & (1 << id) == 0 { entries } else { 4 };
                assert_eq!(ensemble.read(id), Ok(history(entries)), "{lengths:?} {mask:03b} {id}");
            }
        }
    }
}

#[test]
fn several_that_lost_their_ends_get_them_from_one() {
    for faults in FAULTS.iter().flat_map(|one| FAULTS.map(|two| [*one, two])) {
        for holder in 0..MEMBERS {
            let ensemble = Ensemble::with([4; MEMBERS]);
            let others = (0..MEMBERS).filter(|id| *id != holder);
            for (id, fault) in others.zip(faults) {
                damage(&ensemble.path(id), 2 + id % 2, fault, &mut 9);
                lose_watermark(&ensemble.path(id));
            }
            assert_eq!(ensemble.mend_all(), [true; MEMBERS], "{faults:?} {holder}");
            for id in 0..MEMBERS {
                assert_eq!(ensemble.read(id), Ok(history(4)), "{faults:?} {holder} {id}");
            }
        }
    }
}

#[test]
fn a_history_that_parts_from_this_one_is_no_end_of_it() {
    let ensemble = Ensemble::parted();
    for id in [0, 1] {
        lose_watermark(&ensemble.path(id));
    }
    assert!(is_stuck(&ensemble.mend(1), "not known to go on"));
    assert_eq!(ensemble.mend(0), Mended::Whole { taken: 0 });
    // The one that is a part of it goes on.
    lose_watermark(&ensemble.path(2));
    assert_eq!(ensemble.mend(2), Mended::Whole { taken: 1 });
    assert!(is_stuck(&ensemble.mend(1), "not known to go on"));
}

#[test]
fn files_of_apaches_are_none_that_lost_their_lines() {
    let ensemble = Ensemble::with([2, 4, 4]);
    let dir = ensemble.path(0);
    let mut writer = LogWriter::new(&dir, 0, true);
    for entry in &ENTRIES[2..] {
        writer.stage(zxid(*entry), &payload(zxid(*entry)));
    }
    writer.commit().expect("there is room");
    lose_watermark(&dir);
    assert_eq!(ensemble.mend(0), Mended::Whole { taken: 0 });
    assert_eq!(ensemble.read(0), Ok(history(4)));
}

#[test]
fn who_has_nobody_to_ask_is_told_what_to_delete() {
    let ensemble = Ensemble::with([4; MEMBERS]);
    let dir = ensemble.path(0);
    lose_watermark(&dir);
    let mut nobody = Peers { dirs: Vec::new(), at_rest: true };
    let mended = mend(&dir, &dir, &mut nobody).expect("the disk works");
    assert!(is_stuck(&mended, "no other voter"), "{mended:?}");
    ensemble.read(0).expect_err("nothing has changed");
}

#[test]
fn what_a_person_is_told_to_delete_helps() {
    let ends_early: fn(&Path) = |dir| drop(damage(dir, 3, Fault::Truncate, &mut 5));
    let is_in_doubt: fn(&Path) = lose_watermark;
    // The line of the second file.
    let is_unlinked: fn(&Path) = |dir| {
        lose_links(dir);
        links::note_watermark(dir).expect("it is writable");
    };
    for (told, harm, left) in [
        ("was on the disk up to", ends_early, 3),
        ("may have ended", is_in_doubt, 4),
        ("is told by troupe.logs", is_unlinked, 4),
    ] {
        let ensemble = Ensemble::with([4; MEMBERS]);
        let dir = ensemble.path(0);
        harm(&dir);
        let why = ensemble.read(0).expect_err(told);
        assert!(why.contains(told) && why.contains("troupe.flushed* and troupe.logs*"), "{why}");
        lose_watermark(&dir);
        let why = ensemble.read(0).expect_err("that alone is not enough");
        assert!(why.contains("may have ended later"), "{why}");
        lose_links(&dir);
        assert_eq!(ensemble.read(0), Ok(history(left)), "{told}");
    }
}

#[test]
fn a_start_leaves_the_word_that_there_is_a_watermark() {
    let dir = tempfile::tempdir().expect("a directory");
    let dirs = DataDir::open(dir.path(), None).expect("nobody else is there");
    let read =
        || LogReader::open(dirs.logs(), Zxid::ZERO).and_then(|mut reader| reader.next_entry());
    read().expect("it is empty");
    settle(&dirs, Zxid::ZERO).expect("it is writable");
    read().expect("it is empty yet");
    lose_watermark(dirs.logs());
    let why = read().expect_err("it may have had something");
    assert!(why.is_damage(), "{why}");
}
