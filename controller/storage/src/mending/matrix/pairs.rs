//! Two damages in one member, and in two: never another history, no promise forgotten and no epoch claimed that
//! was not; all of it comes back, unless nothing tells an epoch.

use super::*;
use crate::Epochs;

/// A file, or a transaction in one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Target {
    Entry(usize),
    File(&'static str),
}

const FILES: [&str; 10] = [
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
];

type Damage = (Target, Fault);

/// All that is tried.
fn damages() -> Vec<Damage> {
    let entries = (0..ENTRIES.len()).map(Target::Entry);
    let targets = entries.chain(FILES.map(Target::File));
    let all = targets.flat_map(|target| FAULTS.map(|fault| (target, fault)));
    // A transaction is deleted only with its file.
    all.filter(|damage| !matches!(damage, (Target::Entry(_), Fault::Delete))).collect()
}

/// As rot does it: no time changes.
fn inflict(dir: &Path, (target, fault): Damage, seed: &mut u64) {
    let name = match target {
        Target::Entry(at) => return drop(damage(dir, at, fault, seed)),
        Target::File(name) => name,
    };
    let path = dir.join(name);
    if fault == Fault::Delete {
        return fs::remove_file(path).expect("it is there");
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

/// With a second snapshot, and a promise beyond the history.
fn template() -> Ensemble {
    let template = Ensemble::with([ENTRIES.len(); MEMBERS]);
    for id in 0..MEMBERS {
        let dir = template.path(id);
        let zxid = zxid(ENTRIES[1]);
        let mut snapshot =
            SnapshotWriter::create(&dir, zxid, Compression::None).expect("it is writable");
        snapshot.write_all(BODY).expect("there is room");
        let digest = SnapshotDigest { zxid, version: 2, digest: 0 };
        snapshot.finish(digest, zxid).expect("there is room");
        EpochFile::Accepted.write(&dir, Epoch(3)).expect("it is writable");
    }
    template
}

/// What a member would begin with, if it began.
fn check_start(ensemble: &Ensemble, id: usize, told: &[Damage]) -> Result<(), String> {
    let found = ensemble.read(id)?;
    let all = history(ENTRIES.len());
    assert!(!found.is_empty() && all.ends_with(&found), "{told:?}: {id} reads {found:?}");
    let epochs = Epochs::read(&ensemble.path(id), Epoch(2)).map_err(|error| error.to_string())?;
    let current = epochs.current.unwrap_or(Epoch(2)).max(Epoch(2));
    assert_eq!(current, Epoch(2), "{told:?}: {id}");
    let accepted = epochs.accepted.unwrap_or(current).max(current);
    assert!(accepted >= Epoch(3), "{told:?}: {id} promised {accepted:?}");
    Ok(())
}

fn try_both(template: &Ensemble, told: &[Damage], members: usize, mut seed: u64) {
    let ensemble = Ensemble::copy_of(template);
    for id in 0..members {
        for damage in told {
            inflict(&ensemble.path(id), *damage, &mut seed);
        }
        // What it says does not matter here.
        let _ = check_start(&ensemble, id, told);
    }
    let mut mended = Vec::new();
    for _ in 0..members {
        mended = (0..members).map(|id| ensemble.mend(id)).collect();
    }
    for (id, mended) in mended.iter().enumerate() {
        match mended {
            Mended::Whole { .. } => {
                check_start(&ensemble, id, told)
                    .unwrap_or_else(|why| panic!("{told:?}: {id}: {why}"));
            }
            // A leader tells it, or all the others.
            Mended::Stuck(why) => {
                let of = |name| told.iter().any(|(target, _)| *target == Target::File(name));
                let epochs = of("troupe.epochs") && (of("currentEpoch") || of("acceptedEpoch"));
                assert!(epochs && why.contains("Epoch"), "{told:?}: {id}: {why}");
                check_start(&ensemble, id, told).expect_err("what is lost is not passed over");
            }
        }
    }
}

#[test]
fn two_damages_in_a_member_are_mended_or_told() {
    let template = template();
    let all = std::env::var("MENDING").is_ok_and(|all| all == "all");
    let damages = damages();
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
