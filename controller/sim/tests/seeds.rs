//! A few seeds in each test run; `cargo run --release -p sim` is the long form.

use std::time::Duration;

use sim::{Shape, run};

/// A seed that fails says so with the command that shows it again.
fn keeps_every_promise(seed: u64) {
    let (shape, schedule) = Shape::drawn(seed);
    let shape = Shape { length: shape.length.min(Duration::from_secs(20)), ..shape };
    let schedule = schedule.into_iter().filter(|(at, _)| at.as_millis() < 20_000).collect();
    if let Err(why) = run(&shape, &schedule) {
        panic!("seed {seed}: {why}; again: cargo run --release -p sim -- --seed {seed}");
    }
}

#[test]
fn fresh_seeds_keep_every_promise() {
    for _ in 0..3 {
        keeps_every_promise(fastrand::u64(..));
    }
}

/// Each found something once: in the protocol, or in a checker that was too strict.
#[test]
fn seeds_that_failed_once_keep_every_promise() {
    for seed in [7_887_105_203_691_858_666, 13_845_491_992_189_602_704] {
        keeps_every_promise(seed);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (shape, schedule) = Shape::drawn(7);
    let shape = Shape { length: Duration::from_secs(10), ..shape };
    assert_eq!(run(&shape, &schedule), run(&shape, &schedule));
}
