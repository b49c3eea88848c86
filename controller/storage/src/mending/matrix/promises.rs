//! Epochs that files do not tell any more: what was promised is not forgotten, and of two histories the one wins
//! that has what was committed.

use super::*;
use crate::Epochs;

/// Nothing tells this epoch here.
fn lose(dir: &Path, name: &str) {
    fs::remove_file(dir.join(name)).expect("it is there");
    fs::write(dir.join("troupe.epochs"), "damaged").expect("it is writable");
}

/// Nor any other.
fn lose_all(dir: &Path) {
    for name in ["acceptedEpoch", "currentEpoch", "troupe.epochs"] {
        fs::remove_file(dir.join(name)).expect("it is there");
    }
}

fn epochs(dir: &Path) -> (u32, u32) {
    let Epochs { accepted, current } = Epochs::read(dir, Epoch(2)).expect("they are whole");
    (accepted.map_or(0, |epoch| epoch.0), current.map_or(0, |epoch| epoch.0))
}

fn write(ensemble: &Ensemble, id: usize, accepted: u32, current: u32) {
    EpochFile::Accepted.write(&ensemble.path(id), Epoch(accepted)).expect("it is writable");
    EpochFile::Current.write(&ensemble.path(id), Epoch(current)).expect("it is writable");
}

fn is_stuck(mended: &Mended, of: &str) -> bool {
    matches!(mended, Mended::Stuck(why) if why.contains(of))
}

#[test]
fn a_promise_that_is_forgotten_is_taken_from_all_others() {
    let ensemble = Ensemble::with([4; MEMBERS]);
    write(&ensemble, 1, 9, 2);
    lose(&ensemble.path(0), "acceptedEpoch");
    assert_eq!(ensemble.mend(0), Mended::Whole { taken: 0 });
    assert_eq!(epochs(&ensemble.path(0)), (9, 2));
    lose_all(&ensemble.path(0));
    assert_eq!(ensemble.mend(0), Mended::Whole { taken: 0 });
    assert_eq!(epochs(&ensemble.path(0)), (9, 2));
}

#[test]
fn the_epoch_of_a_history_is_between_its_last_transaction_and_the_promise() {
    let mut ensemble = Ensemble::with([4; MEMBERS]);
    ensemble.at_rest = false;
    lose(&ensemble.path(0), "currentEpoch");
    assert_eq!(ensemble.mend(0), Mended::Whole { taken: 0 });
    assert_eq!(epochs(&ensemble.path(0)), (2, 2));
    write(&ensemble, 0, 3, 2);
    lose(&ensemble.path(0), "currentEpoch");
    assert!(is_stuck(&ensemble.mend(0), "currentEpoch"), "somebody may lead");
    ensemble.at_rest = true;
    assert_eq!(ensemble.mend(0), Mended::Whole { taken: 0 });
    assert_eq!(epochs(&ensemble.path(0)), (3, 2));
}

#[test]
fn whichever_is_first_the_longest_history_wins_as_long_as_none_parts() {
    // The second one led epoch 5 with all that there was, and the third one has less.
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        for lost in 1..8_u8 {
            let ensemble = Ensemble::with([3, 4, 2]);
            for (id, current) in [(0, 2), (1, 5), (2, 1)] {
                write(&ensemble, id, 5, current);
            }
            let is_lost = |id: &usize| lost & (1 << id) != 0;
            for id in (0..MEMBERS).filter(is_lost) {
                lose(&ensemble.path(id), "currentEpoch");
            }
            for id in order.into_iter().filter(is_lost) {
                assert_eq!(ensemble.mend(id), Mended::Whole { taken: 0 }, "{order:?} {lost:03b}");
            }
            let worth = |id: usize| (epochs(&ensemble.path(id)).1, ensemble.read(id));
            let worth = [worth(2), worth(0), worth(1)]
                .map(|(epoch, read)| (epoch, read.expect("it is whole").last().copied()));
            assert!(worth.is_sorted(), "{order:?} {lost:03b}: {worth:?}");
        }
    }
}

#[test]
fn where_histories_part_no_epoch_is_guessed() {
    let ensemble = Ensemble::parted();
    for id in 0..MEMBERS {
        write(&ensemble, id, 4, 3);
    }
    for id in [1, 2] {
        lose(&ensemble.path(id), "currentEpoch");
    }
    assert!(is_stuck(&ensemble.mend(1), "currentEpoch"));
    // What all have is worth what it was at least.
    assert_eq!(ensemble.mend(2), Mended::Whole { taken: 0 });
    // A shorter one of a later epoch, and a longer one of an earlier: one of them lacks something.
    let ensemble = Ensemble::with([4, 3, 2]);
    for (id, current) in [(0, 2), (1, 2), (2, 4)] {
        write(&ensemble, id, 5, current);
    }
    lose(&ensemble.path(1), "currentEpoch");
    assert!(is_stuck(&ensemble.mend(1), "currentEpoch"));
}

#[test]
fn a_promise_that_all_others_have_forgotten_is_of_an_epoch_without_a_trace() {
    let ensemble = Ensemble::with([4, 4, 3]);
    write(&ensemble, 2, 4, 2);
    for id in [0, 1] {
        lose_all(&ensemble.path(id));
    }
    for id in [0, 1] {
        assert_eq!(ensemble.mend(id), Mended::Whole { taken: 0 });
        assert_eq!(epochs(&ensemble.path(id)), (4, 2));
    }
}
