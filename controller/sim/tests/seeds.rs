//! A few seeds in each test run; `cargo run --release -p sim` is the long form.

use std::time::Duration;

use sim::{Fault, Schedule, Shape, run};
use types::Instant;

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

/// Clients go to and fro between observers of one follower, to which the connections are cut for a while (seed 41 showed it).
#[test]
fn a_request_that_comes_too_late_through_the_same_follower_is_refused() {
    for seed in 40..=42 {
        let (shape, _) = Shape::drawn(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let shape = Shape {
            voters: 3,
            observers: 2,
            spares: 0,
            changes_every: None,
            feeding: true,
            clocks: None,
            counters: None,
            clients: 6,
            length: Duration::from_secs(6),
            ..shape
        };
        let millis = |ms| Duration::from_millis(ms);
        let mut schedule = Schedule::new();
        let mut at = millis(2000);
        while at < shape.length {
            at += millis(rng.u64(1..1200));
            let fault = match rng.u8(0..5) {
                0 => Fault::Reset { host: rng.usize(0..5) },
                1 => Fault::Pause { host: rng.usize(0..5), stopped: millis(rng.u64(1..2000)) },
                _ => {
                    let (from, dark) = (8 << rng.usize(0..3), millis(rng.u64(50..3000)));
                    Fault::Cut { from, to: 7, dark, reset: false }
                }
            };
            schedule.push((Instant::ZERO + at, fault));
        }
        if let Err(why) = run(&shape, &schedule) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (shape, schedule) = Shape::drawn(7);
    let shape = Shape { length: Duration::from_secs(10), ..shape };
    assert_eq!(run(&shape, &schedule), run(&shape, &schedule));
}
