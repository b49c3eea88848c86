//! A failing seed is the same failure again, and fewer faults show it. Needs `--features mutants`: without a defect nothing fails.

use sim::{Defect, Shape, run, shrink};
use zab::Mutation;

/// The first seed that shows it, from this one on.
fn fails(first: u64, mutation: Option<Mutation>, defect: Option<Defect>) {
    let found = (first..).take(200).find_map(|seed| {
        let (shape, schedule) = Shape::drawn(seed);
        let shape = Shape { mutation, defect, ..shape };
        run(&shape, &schedule).err().map(|why| (shape, schedule, why))
    });
    let (shape, schedule, why) = found.expect("a defect is found within 200 seeds");
    assert_eq!(run(&shape, &schedule).err(), Some(why), "the same seed is the same failure");
    let fewest = shrink(&shape, &schedule);
    assert!(fewest.len() < schedule.len(), "{} of {}", fewest.len(), schedule.len());
    let again = run(&shape, &fewest).expect_err("what is left fails");
    assert_eq!(run(&shape, &fewest).err(), Some(again));
}

#[test]
fn a_defect_of_the_protocol_fails_the_same_way_again_and_with_fewer_faults() {
    fails(1, Some(Mutation::Zk4712), None);
}

#[test]
fn a_defect_that_clients_see_fails_the_same_way_again_and_with_fewer_faults() {
    fails(1, None, Some(Defect::BackInTime));
}
