//! What a seed stands for.
//!
//! Lives here: how large an ensemble is, and which kinds of misfortune meet. Must not: what each fault is (`faults`).

use std::time::Duration;

use crate::faults::{self, Schedule};

/// What kind of ensemble runs, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shape {
    /// All that is random.
    pub seed: u64,
    /// Voters, 1 or more.
    pub voters: usize,
    /// Observers beside them.
    pub observers: usize,
    /// Hosts that are no members at first. At most 31 hosts in all.
    pub spares: usize,
    /// Milliseconds between changes of the members, at most; `None`: they stay what they are, by whatever is asked.
    pub changes_every: Option<u64>,
    /// How wrong clocks are, in millionths, and then they are set too; `None`: all are right.
    pub clocks: Option<u32>,
    /// Transactions of an epoch, at most; `None`: as many as a counter has.
    pub counters: Option<u32>,
    /// Observers learn from followers.
    pub feeding: bool,
    /// Clients with sessions.
    pub clients: usize,
    /// How long faults happen, in simulated time.
    pub length: Duration,
    /// A defect that every host has.
    #[cfg(feature = "mutants")]
    pub mutation: Option<zab::Mutation>,
    /// A defect of what every host does for clients.
    #[cfg(feature = "mutants")]
    pub defect: Option<crate::Defect>,
}

impl Shape {
    /// The shape and the faults that a seed stands for.
    pub fn drawn(seed: u64) -> (Self, Schedule) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let voters = [3, 3, 3, 5, 5, 4, 2, 1, 7][rng.usize(0..9)];
        let observers = [0, 0, 1, 2][rng.usize(0..4)];
        let length = Duration::from_secs(rng.u64(20..90));
        // Not of the same numbers: without changes a seed is what it was before there were any.
        let mut other = fastrand::Rng::with_seed(seed ^ 0xc4a6);
        let changes_every = [None, None, Some(500), Some(4_000), Some(20_000)][other.usize(0..5)];
        let spares = if changes_every.is_some() { other.usize(0..3) } else { 0 };
        let hosts = voters + observers + spares;
        let mut schedule = faults::draw(&mut rng, voters, hosts, changes_every.is_none(), length);
        let mut other = fastrand::Rng::with_seed(seed ^ CLOCKS);
        let clocks = [None, Some(200), Some(10_000), Some(50_000)][other.usize(0..4)];
        if clocks.is_some() {
            faults::add_of_clocks(&mut other, hosts, length, &mut schedule);
        }
        let mut other = fastrand::Rng::with_seed(seed ^ COUNTERS);
        let counters = [None, None, Some(40), Some(400)][other.usize(0..4)];
        let feeding = fastrand::Rng::with_seed(seed ^ FEEDING).bool();
        let clients = [0, 1, 2, 3, 4, 6][rng.usize(0..6)];
        let mut shape = Self {
            seed,
            voters,
            observers,
            spares,
            changes_every,
            clocks,
            counters,
            feeding,
            clients,
            length,
            #[cfg(feature = "mutants")]
            mutation: None,
            #[cfg(feature = "mutants")]
            defect: None,
        };
        let mut other = fastrand::Rng::with_seed(seed ^ LONE);
        if other.u8(0..8) == 0 {
            shape = Self { voters: 1, observers: 0, spares: 1, clocks: None, ..shape };
            shape.changes_every = Some(20_000);
            schedule = faults::draw_without_room(&mut other, length);
        }
        (shape, schedule)
    }
}

/// How much fits into an epoch is drawn of other numbers than all else.
const COUNTERS: u64 = 0xc0b1;
/// Whom observers learn from is too.
const FEEDING: u64 = 0xfeee;
/// What goes wrong with clocks is too.
const CLOCKS: u64 = 0xc10e;
/// So are worlds of a voter that is alone with a learner.
const LONE: u64 = 0x104e;
