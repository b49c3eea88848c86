//! Two damages in one member, and in two: never another history, no promise forgotten and no epoch claimed that
//! was not; all of it comes back.

use super::*;
use crate::{Epochs, disk, epochs};

/// A file, or a transaction in one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Target {
    Entry(usize),
    File(&'static str),
    /// All files that tell an epoch.
    Epochs,
}

const FILES: [&str; 11] = [
    "log.100000003",
    "log.200000001",
    "snapshot.100000002",
    "snapshot.100000004",
    "acceptedEpoch",
    "currentEpoch",
    "troupe.epochs",
    "troupe.flushed",
    "troupe.flushed.copy",
    "troupe.logs",
    "troupe.logs.copy",
];

/// By all members, beyond what is in their histories.
pub(super) const PROMISED: Epoch = Epoch(3);

pub(super) type Damage = (Target, Fault);

/// All that can be done to a member.
pub(super) fn damages(template: &Ensemble) -> Vec<Damage> {
    let entries = (0..ENTRIES.len()).map(Target::Entry);
    let files = FILES.into_iter().filter(|name| template.path(0).join(name).exists());
    let targets = entries.chain(files.map(Target::File)).chain([Target::Epochs]);
    let all = targets.flat_map(|target| FAULTS.map(|fault| (target, fault)));
    // A transaction is deleted only with its file.
    let can_be = |(target, fault): &Damage| match target {
        Target::Entry(_) => *fault != Fault::Delete,
        Target::File(_) => true,
        Target::Epochs => *fault == Fault::Delete,
    };
    all.filter(can_be).collect()
}

/// As rot does it: no time changes.
pub(super) fn inflict(dir: &Path, (target, fault): Damage, seed: &mut u64) {
    let name = match target {
        Target::Entry(at) => return drop(damage(dir, at, fault, seed)),
        Target::File(name) => name,
        Target::Epochs => {
            for name in ["acceptedEpoch", "currentEpoch", "troupe.epochs"] {
                inflict(dir, (Target::File(name), fault), seed);
            }
            return;
        }
    };
    let path = dir.join(name);
    if fault == Fault::Delete {
        // Another damage may have been that, too.
        return disk::remove_if_there(&path).expect("it is writable");
    }
    if !path.exists() {
        return;
    }
    let at = fs::metadata(&path).and_then(|file| file.modified()).expect("it is there");
    let mut bytes = fs::read(&path).expect("it is there");
    let place = usize::try_from(random(seed) >> 20).expect("64 bits") % bytes.len().max(1);
    match fault {
        Fault::Flip => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (random(seed) % 8);
            }
        }
        Fault::Zero => bytes[place..].fill(0),
        Fault::Truncate | Fault::Delete => bytes.truncate(place),
    }
    fs::write(&path, bytes).expect("it is writable");
    let file = File::options().write(true).open(&path).expect("it is there");
    file.set_modified(at).expect("it is ours");
}

/// With a second snapshot or without, and a promise beyond the history.
pub(super) fn template(snapshot: Option<usize>) -> Ensemble {
    let template = Ensemble::with([ENTRIES.len(); MEMBERS]);
    for id in 0..MEMBERS {
        let dir = template.path(id);
        if let Some(at) = snapshot {
            write_snapshot(&dir, zxid(ENTRIES[at]));
        }
        EpochFile::Accepted.write(&dir, PROMISED).expect("it is writable");
    }
    template
}

/// What a member would begin with, if it began. `promised`: what it must not have forgotten.
pub(super) fn check_start(
    ensemble: &Ensemble,
    id: usize,
    promised: Epoch,
    told: &[Damage],
) -> Result<(), String> {
    let (base, found) = ensemble.read_behind(id)?;
    let behind = history(ENTRIES.len()).into_iter().filter(|zxid| *zxid > base);
    assert_eq!(found, behind.collect::<Vec<_>>(), "{told:?}: {id} behind {base:?}");
    let dir = ensemble.path(id);
    if epochs::are_lost(&dir, &dir).expect("the disk works") {
        return Err("the epochs are lost".to_owned());
    }
    let epochs = Epochs::read(&dir, Epoch(2)).map_err(|error| error.to_string())?;
    let current = epochs.current.unwrap_or(Epoch(2)).max(Epoch(2));
    assert_eq!(current, Epoch(2), "{told:?}: {id}");
    let accepted = epochs.accepted.unwrap_or(current).max(current);
    assert!(accepted >= promised, "{told:?}: {id} promised {accepted:?}");
    Ok(())
}

fn try_both(template: &Ensemble, told: &[Damage], members: usize, mut seed: u64) {
    let ensemble = Ensemble::copy_of(template);
    for id in 0..members {
        for damage in told {
            inflict(&ensemble.path(id), *damage, &mut seed);
        }
        // What it says does not matter here.
        let _ = check_start(&ensemble, id, PROMISED, told);
    }
    let mut mended = Vec::new();
    for _ in 0..members {
        mended = (0..members).map(|id| ensemble.mend(id)).collect();
    }
    for (id, mended) in mended.iter().enumerate() {
        match mended {
            Mended::Whole { .. } => {
                check_start(&ensemble, id, PROMISED, told)
                    .unwrap_or_else(|why| panic!("{told:?}: {id}: {why}"));
            }
            Mended::Stuck(why) => panic!("{told:?}: {id}: {why}"),
        }
    }
}

#[test]
fn two_damages_in_a_member_are_mended_or_told() {
    let all = std::env::var("MENDING").is_ok_and(|all| all == "all");
    for snapshot in [Some(1), None] {
        let template = template(snapshot);
        let damages = damages(&template);
        let pairs = damages.iter().enumerate().flat_map(|(at, one)| {
            let others = damages[at + 1..].iter().filter(|two| two.0 != one.0);
            others.map(|two| [*one, *two])
        });
        for (seed, pair) in (1_u64..).zip(pairs) {
            if all || seed % 29 == 0 {
                for members in [1, 2] {
                    try_both(&template, &pair, members, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                }
            }
        }
    }
}
