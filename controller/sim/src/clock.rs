//! A host's clocks: one that only goes on, at a rate of its own, and one of the day, which somebody sets.
//!
//! Lives here: what they show at a moment of the world. Must not: be asked what time it "is", which no host knows.

use std::time::Duration;

use types::Instant;

/// What a process reads from its host's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// Of the clock that only goes on: all waiting is by it.
    pub(crate) now: Instant,
    /// Since 1970, if the day's clock is right.
    pub(crate) wall_ms: i64,
}

/// Both clocks of a host.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// At this moment of the world it showed `shown`, and before it nothing else since the host stood still.
    since: Instant,
    shown: Instant,
    /// Millionths of its own time that pass in as much of the world's.
    rate: u32,
    /// What the day's clock shows beyond the other one.
    ahead_ms: i64,
    /// The day's clock has no battery: what it shows when the power comes.
    wakes_at: Option<i64>,
}

impl Clock {
    /// One that is right.
    pub(crate) const fn right() -> Self {
        let (since, shown) = (Instant::ZERO, Instant::ZERO);
        Self { since, shown, rate: MILLION, ahead_ms: 0, wakes_at: None }
    }

    /// One that is wrong by up to `ppm` millionths, and began at any time.
    pub(crate) fn drawn(rng: &mut fastrand::Rng, ppm: u32) -> Self {
        let shown = Instant::ZERO + Duration::from_micros(rng.u64(0..30_000_000_000));
        let rate = rng.u32(MILLION - ppm..=MILLION + ppm);
        let ahead_ms = rng.i64(0..TODAY_MS);
        let wakes_at = rng.bool().then_some(TODAY_MS / 2);
        Self { since: Instant::ZERO, shown, rate, ahead_ms, wakes_at }
    }

    pub(crate) fn shows(&self, at: Instant) -> Time {
        let passed = u128::from(at.as_nanos().saturating_sub(self.since.as_nanos()));
        let passed = passed * u128::from(self.rate) / u128::from(MILLION);
        let now = self.shown + nanos(passed);
        let ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Time { now, wall_ms: ms.saturating_add(self.ahead_ms) }
    }

    /// The first moment of the world at which it shows so much.
    pub(crate) fn when(&self, shown: Instant) -> Instant {
        let passes = u128::from(shown.as_nanos().saturating_sub(self.shown.as_nanos()));
        let passes = (passes * u128::from(MILLION)).div_ceil(u128::from(self.rate));
        self.since + nanos(passes)
    }

    /// The machine is suspended: for so long its clock shows the same.
    pub(crate) fn stand_still(&mut self, at: Instant, until: Instant) {
        self.shown = self.shows(at).now;
        self.since = self.since.max(until);
    }

    /// The day's clock is set: so much later, or earlier, than it was.
    pub(crate) fn set(&mut self, by_ms: i64) {
        self.ahead_ms = self.ahead_ms.saturating_add(by_ms);
    }

    /// The power comes back.
    pub(crate) fn wake(&mut self, at: Instant) {
        if let Some(wakes_at) = self.wakes_at {
            self.set(wakes_at - self.shows(at).wall_ms);
        }
    }
}

fn nanos(count: u128) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(u64::MAX))
}

const MILLION: u32 = 1_000_000;
/// Some day of 2026.
const TODAY_MS: i64 = 1_790_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn an_alarm_rings_when_it_is_due_and_not_before() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1_000 {
            let clock = Clock::drawn(&mut rng, 50_000);
            let due = clock.shown + Duration::from_nanos(rng.u64(1..100_000_000_000));
            let rings = clock.when(due);
            assert!(clock.shows(rings).now >= due);
            assert!(clock.shows(Instant::from_nanos(rings.as_nanos() - 1)).now < due);
        }
    }

    #[test]
    fn a_suspended_clock_goes_on_from_where_it_stood() {
        let mut clock = Clock::right();
        clock.stand_still(at(10), at(50));
        clock.stand_still(at(20), at(40));
        assert_eq!(clock.shows(at(30)).now, at(10));
        assert_eq!(clock.shows(at(60)).now, at(20));
        assert_eq!(clock.when(at(20)), at(60));
    }

    #[test]
    fn setting_the_day_moves_nothing_that_waits() {
        let mut clock = Clock::right();
        clock.set(-86_400_000);
        let shows = clock.shows(at(5));
        assert_eq!((shows.now, shows.wall_ms), (at(5), 5 - 86_400_000));
    }
}
