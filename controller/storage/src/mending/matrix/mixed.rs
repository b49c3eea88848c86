//! Each member damaged in its own way: never another history, no promise forgotten and no epoch claimed that was
//! not; and all of it comes back wherever one good copy of each thing is left.

use super::pairs::{Damage, PROMISED, Target, check_start, damages, inflict, template};
use super::*;

/// What is left of the transactions and snapshots, byte by byte.
struct Left {
    entries: [bool; ENTRIES.len()],
    /// By the number of the last transaction that each has; 0 is before all.
    snapshots: Vec<usize>,
}

fn left(whole: &Path, dir: &Path) -> Left {
    let bytes = |dir: &Path, name: &str| fs::read(dir.join(name)).unwrap_or_default();
    let entries = std::array::from_fn(|at| {
        let name = format!("log.{:x}", zxid(ENTRIES[at / 2 * 2]).bits());
        let record = record(at);
        bytes(dir, &name).get(record.clone()).is_some_and(|now| now == &bytes(whole, &name)[record])
    });
    let is_left = |name: &str| bytes(dir, name) == bytes(whole, name);
    let names = fs::read_dir(whole).expect("it is there").map(|file| file.expect("an entry"));
    let names = names.map(|file| file.file_name().into_string().expect("ASCII"));
    let snapshots = names.filter(|name| name.starts_with("snapshot.") && is_left(name));
    let has = |name: String| {
        let last = name.strip_prefix("snapshot.").expect("just filtered");
        let last = u64::from_str_radix(last, 16).expect("hexadecimal");
        ENTRIES.iter().filter(|entry| zxid(**entry).bits().cast_unsigned() <= last).count()
    };
    Left { entries, snapshots: snapshots.map(has).collect() }
}

/// Whether some snapshot and all behind it are left somewhere.
fn is_all_left(left: &[Left]) -> bool {
    let somewhere = |at: usize| left.iter().any(|left| left.entries[at]);
    let snapshots = left.iter().flat_map(|left| &left.snapshots);
    snapshots.into_iter().any(|has| (*has..ENTRIES.len()).all(somewhere))
}

/// Whether damages of one member leave nothing that tells what it has promised.
fn is_promise_lost(damages: &[Damage]) -> bool {
    let of = |target| damages.iter().any(|damage| damage.0 == target);
    of(Target::Epochs) || of(Target::File("troupe.epochs")) && of(Target::File("acceptedEpoch"))
}

fn try_mixed(template: &Ensemble, told: &[Vec<Damage>; MEMBERS], mut seed: u64) {
    let ensemble = Ensemble::copy_of(template);
    let mut all = Vec::new();
    for (id, damages) in told.iter().enumerate() {
        for damage in damages {
            inflict(&ensemble.path(id), *damage, &mut seed);
            all.push(*damage);
        }
    }
    let left: Vec<_> =
        (0..MEMBERS).map(|id| left(&template.path(id), &ensemble.path(id))).collect();
    let is_known = told.iter().any(|damages| !is_promise_lost(damages));
    // One that nobody remembers was made to nobody who leads.
    let promised = if is_known { PROMISED } else { Epoch(2) };
    for id in 0..MEMBERS {
        let _ = check_start(&ensemble, id, promised, &all);
    }
    let mut mended = Vec::new();
    for _ in 0..MEMBERS {
        mended = (0..MEMBERS).map(|id| ensemble.mend(id)).collect();
        if mended.iter().all(|mended| matches!(mended, Mended::Whole { .. })) {
            break;
        }
    }
    let lost = |name| {
        told.iter().all(|damages| damages.iter().any(|(target, _)| *target == Target::File(name)))
    };
    let is_linked = !(lost("troupe.logs") && lost("troupe.logs.copy"));
    let is_all_left = is_all_left(&left) && is_linked;
    for (id, mended) in mended.iter().enumerate() {
        match mended {
            Mended::Whole { .. } => check_start(&ensemble, id, promised, &all)
                .unwrap_or_else(|why| panic!("{told:?}: {id}: {why}")),
            Mended::Stuck(why) => {
                assert!(!is_all_left, "{told:?}: {id}: {why}");
                check_start(&ensemble, id, promised, &all)
                    .expect_err("what is lost is not passed over");
            }
        }
    }
}

/// Some of so many, or all.
fn sampled(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let is_all = std::env::var("MENDING").is_ok_and(|all| all == "all");
    (0..count).filter(move |_| is_all || pick(&mut seed, count) < most)
}

fn pick(seed: &mut u64, count: usize) -> usize {
    usize::try_from(random(seed) >> 20).expect("64 bits") % count
}

#[test]
fn each_of_two_or_three_members_is_damaged_in_its_own_way() {
    for snapshot in [None, Some(1)] {
        let template = template(snapshot);
        let damages = damages(&template);
        let count = damages.len();
        for at in sampled(20_000, 16) {
            let mut seed = 1 + at as u64;
            let mut some = || {
                let two = [pick(&mut seed, count), pick(&mut seed, count)];
                let differ = damages[two[0]].0 != damages[two[1]].0;
                two[..if differ { 2 } else { 1 }].iter().map(|at| damages[*at]).collect()
            };
            let told = std::array::from_fn(|_| some());
            try_mixed(&template, &told, seed);
        }
        for at in sampled(count * count, 16) {
            let told = [vec![damages[at / count]], vec![damages[at % count]], Vec::new()];
            try_mixed(&template, &told, 1 + at as u64);
        }
        for at in sampled(count * count * count, 16) {
            let told = [at / count / count, at / count % count, at % count];
            try_mixed(&template, &told.map(|at| vec![damages[at]]), 1 + at as u64);
        }
    }
}
