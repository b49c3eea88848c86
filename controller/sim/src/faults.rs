//! What goes wrong, and when.
//!
//! Lives here: the faults and how a seed draws them. All are healed before the end, so that the run can tell
//! whether the ensemble goes on.

use std::time::Duration;

use types::Instant;

/// One thing that goes wrong. Hosts are counted from 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// SIGKILL or a power cut, and a start after a while.
    Crash {
        /// Which host.
        host: usize,
        /// How much of the write under way was done, of 256.
        part: u8,
        /// The power is cut: what was not flushed is lost, or, by a seed other than 0, all or a part of it is not. `None`: only
        /// the process ends.
        power: Option<u64>,
        /// Until it starts again.
        down: Duration,
    },
    /// SIGSTOP, and SIGCONT after a while.
    Pause {
        /// Which host.
        host: usize,
        /// How long.
        stopped: Duration,
    },
    /// The machine is suspended, as those of a hypervisor are, and goes on after a while of which its clock knows nothing.
    Suspended {
        /// Which host.
        host: usize,
        /// How long.
        stopped: Duration,
    },
    /// Somebody sets the clock of a host's day.
    ClockSet {
        /// Whose.
        host: usize,
        /// So much later than it showed.
        by_ms: i64,
    },
    /// Nothing passes from the hosts of one set to those of the other for a while.
    Cut {
        /// Bit `n` is host `n`: those that are not heard.
        from: u32,
        /// Those that do not hear.
        to: u32,
        /// How long.
        dark: Duration,
        /// Connections break at once, instead of going silent.
        reset: bool,
    },
    /// Every connection of a host breaks.
    Reset {
        /// Which host.
        host: usize,
    },
    /// A disk has no room for a while.
    Full {
        /// Whose.
        host: usize,
        /// How long.
        full: Duration,
    },
    /// The power is cut, and a file that was whole changes on the disk.
    Rot {
        /// Whose; at most so many hosts of a run that a good copy of everything is left.
        host: usize,
        /// Which file, and how.
        seed: u64,
        /// Until it starts again.
        down: Duration,
    },
    /// One change of a disk fails, as of a device that does not answer: a write, a flush, a name.
    Broken {
        /// Whose.
        host: usize,
        /// How many are made before.
        after: usize,
    },
    /// A disk is slow for a while: each write takes this much longer.
    Slow {
        /// Whose.
        host: usize,
        /// How much longer.
        by: Duration,
        /// How long.
        slow: Duration,
    },
    /// The host is stopped in order, handing over if it leads, and started again.
    Stop {
        /// Which host.
        host: usize,
        /// Until it starts again.
        down: Duration,
    },
}

/// Faults in the order of their time.
pub type Schedule = Vec<(Instant, Fault)>;

/// Draws the faults of a run that lasts `length`. Where members change nothing rots: who has a good copy of what, chance would have to
/// know.
pub(crate) fn draw(
    rng: &mut fastrand::Rng,
    voters: usize,
    hosts: usize,
    rots: bool,
    length: Duration,
) -> Schedule {
    let mut schedule = Vec::new();
    let every = millis(rng.u64(300..6_000));
    let mut at = Instant::ZERO + millis(rng.u64(0..4_000));
    // Each run has its own mix, so that rare combinations are common in some.
    let mut weights: Vec<u32> = (0..9).map(|_| rng.u32(0..4)).collect();
    if !rots {
        weights[ROT] = 0;
    }
    while at.saturating_since(Instant::ZERO) < length {
        if let Some(fault) = draw_one(rng, voters, hosts, &weights) {
            schedule.push((at, fault));
        }
        // One misfortune brings another.
        if rng.u8(..) < 64 {
            let again = at + millis(rng.u64(0..40));
            schedule.extend(draw_one(rng, voters, hosts, &weights).map(|fault| (again, fault)));
        }
        at = at + every.mul_f64(rng.f64() * 2.0) + millis(1);
    }
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}

/// Adds what goes wrong with clocks, from numbers of its own: without it a seed is what it was before.
pub(crate) fn add_of_clocks(
    rng: &mut fastrand::Rng,
    hosts: usize,
    length: Duration,
    schedule: &mut Schedule,
) {
    let every = millis(rng.u64(1_000..20_000));
    let mut at = Instant::ZERO + millis(rng.u64(0..4_000));
    while at.saturating_since(Instant::ZERO) < length {
        let host = rng.usize(0..hosts);
        let fault = if rng.u8(0..3) == 0 {
            Fault::Suspended { host, stopped: millis(short(rng)) }
        } else {
            let most = [10, 5_000, 3_600_000, 30 * 86_400_000][rng.usize(0..4)];
            Fault::ClockSet { host, by_ms: rng.i64(-most..=most) }
        };
        schedule.push((at, fault));
        at = at + every.mul_f64(rng.f64() * 2.0) + millis(1);
    }
    schedule.sort_by_key(|(at, _)| *at);
}

/// What goes wrong with a voter that is alone: its disk is slow and without room, so that what it proposes is with the other host, which
/// learns, before it is refused; and that one is gone by then.
pub(crate) fn draw_without_room(rng: &mut fastrand::Rng, length: Duration) -> Schedule {
    let slow = Fault::Slow { host: 0, by: millis(rng.u64(1..200)), slow: length };
    let mut schedule = vec![(Instant::ZERO, slow)];
    let mut at = Instant::ZERO + millis(rng.u64(1..1_500));
    while at.saturating_since(Instant::ZERO) < length {
        schedule.push((at, Fault::Full { host: 0, full: millis(rng.u64(1..600)) }));
        let gone = match rng.bool() {
            true => Fault::Reset { host: 0 },
            false => {
                let down = millis(rng.u64(1..500));
                Fault::Crash { host: 1, part: rng.u8(..), power: None, down }
            }
        };
        schedule.push((at + millis(rng.u64(0..300)), gone));
        at = at + millis(rng.u64(1..1_500));
    }
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}

/// Its place among the weights.
const ROT: usize = 7;

fn draw_one(
    rng: &mut fastrand::Rng,
    voters: usize,
    hosts: usize,
    weights: &[u32],
) -> Option<Fault> {
    let whole: u32 = weights.iter().sum();
    let mut drawn = if whole == 0 { return None } else { rng.u32(0..whole) };
    let kind = weights.iter().position(|weight| match drawn.checked_sub(*weight) {
        Some(left) => {
            drawn = left;
            false
        }
        None => true,
    })?;
    let host = rng.usize(0..hosts);
    let down = millis(short(rng));
    Some(match kind {
        0 => {
            let power = [None, Some(0), Some(rng.u64(..))][rng.usize(0..3)];
            Fault::Crash { host, part: rng.u8(..), power, down }
        }
        1 => Fault::Pause { host, stopped: down },
        2 => {
            let from = rng.u32(1..1 << hosts);
            let to = if rng.bool() { !from } else { rng.u32(1..1 << hosts) };
            Fault::Cut { from, to, dark: down, reset: rng.bool() }
        }
        3 => Fault::Reset { host },
        4 => Fault::Full { host, full: down },
        5 => Fault::Slow { host, by: millis(rng.u64(1..400)), slow: down },
        6 => Fault::Stop { host, down },
        ROT => {
            // The last voters are those that never rot: a quorum.
            let most = voters.div_ceil(2) - 1;
            let host = rng.usize(0..most + hosts - voters + usize::from(most + hosts == voters));
            let host = if host < most { host } else { host - most + voters };
            if host >= hosts {
                return None;
            }
            Fault::Rot { host, seed: rng.u64(..), down }
        }
        _ => Fault::Broken { host, after: rng.usize(0..40) },
    })
}

/// Mostly a moment, sometimes long.
fn short(rng: &mut fastrand::Rng) -> u64 {
    let most = [50, 500, 3_000, 15_000][rng.usize(0..4)];
    rng.u64(1..most)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
