//! How many clients may connect within a time: each takes tokens, and new ones come by and by.
//!
//! Source: `BlueThrottle`, Apache ZooKeeper 3.9.

use types::Instant;

use crate::{ConnectionDrops, ConnectionTokens, ConnectionWeights};

/// Those that are left.
#[derive(Debug)]
pub(super) struct Tokens {
    config: ConnectionTokens,
    /// The most that there are, and how many come at a time.
    most: u32,
    fill_count: u32,
    left: u32,
    filled: Instant,
    /// How likely a connection is let go by chance, from 0 to 1, and since when.
    drop: f64,
    frozen: Instant,
    random: u64,
}

/// What a client connects for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A new session.
    Global,
    /// A new session of this member alone.
    Local,
    /// A session that it had.
    Renewed,
}

impl Tokens {
    /// All of them are there. `seed`: what chance begins from.
    pub(super) fn new(config: ConnectionTokens, now: Instant, seed: u64) -> Self {
        // They are counted in new sessions.
        let each = config.weights.map_or(1, |weights| weights.global);
        let most = config.most.saturating_mul(each);
        let fill_count = config.fill_count.saturating_mul(each);
        let (filled, frozen) = (now, now);
        Self { config, most, fill_count, left: most, filled, drop: 0.0, frozen, random: seed }
    }

    /// Whether there were enough to take.
    pub(super) fn take(&mut self, now: Instant, kind: Kind) -> bool {
        if self.most == 0 {
            return true;
        }
        self.fill(now);
        if let Some(drops) = self.config.drops
            && self.is_dropped(drops, now)
        {
            return false;
        }
        let left = self.left.checked_sub(self.weight(kind));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Those that are not there.
    pub(super) fn deficit(&self) -> u32 {
        self.most - self.left
    }

    pub(super) fn drop_probability(&self) -> f64 {
        self.drop
    }

    fn fill(&mut self, now: Instant) {
        let fill_time = self.config.fill_time;
        let since = now.saturating_since(self.filled);
        if since >= fill_time {
            let fill_count = u128::from(self.fill_count);
            let new = since.as_millis() * fill_count / fill_time.as_millis().max(1);
            let new = u32::try_from(new).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(new).min(self.most);
            self.filled = now;
        }
    }

    /// Whether chance has it that this one is let go.
    fn is_dropped(&mut self, drops: ConnectionDrops, now: Instant) -> bool {
        if now.saturating_since(self.frozen) > drops.freeze_time {
            let enough = (f64::from(self.most) * drops.decrease_ratio).round();
            if self.left == 0 {
                self.drop = (self.drop + drops.increase).min(1.0);
            } else if f64::from(self.deficit()) <= enough {
                self.drop = (self.drop - drops.decrease).max(0.0);
            }
            self.frozen = now;
        }
        self.chance() < self.drop
    }

    /// From 0 to below 1. Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators (OOPSLA 2014).
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The high half is as random as the whole.
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }

    fn weight(&self, kind: Kind) -> u32 {
        let Some(ConnectionWeights { global, local, renewed }) = self.config.weights else {
            return 1;
        };
        match kind {
            Kind::Global => global,
            Kind::Local => local,
            Kind::Renewed => renewed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn of(most: u32, fill_ms: u64, fill_count: u32) -> ConnectionTokens {
        let fill_time = Duration::from_millis(fill_ms);
        ConnectionTokens { most, fill_time, fill_count, ..ConnectionTokens::default() }
    }

    #[test]
    fn as_many_are_let_in_as_there_are_tokens() {
        let mut tokens = Tokens::new(of(3, 100, 2), at(0), 0);
        let mut take = |ms| tokens.take(at(ms), Kind::Global);
        assert_eq!([take(1), take(1), take(1), take(1)], [true, true, true, false]);
        assert!(!take(99));
        assert_eq!([take(100), take(100), take(100)], [true, true, false]);
        assert_eq!([0; 5].map(|_| take(10_000)), [true, true, true, false, false]);
        let mut none = Tokens::new(ConnectionTokens::default(), at(0), 0);
        assert!((0..1000).all(|_| none.take(at(0), Kind::Global)));
    }

    #[test]
    fn sessions_take_by_their_weight() {
        let weights = Some(ConnectionWeights::default());
        let config = ConnectionTokens { weights, ..of(2, 100, 1) };
        let mut tokens = Tokens::new(config, at(0), 0);
        let mut take = |ms, kind| (tokens.take(at(ms), kind), tokens.deficit());
        assert_eq!(take(0, Kind::Renewed), (true, 2));
        assert_eq!(take(0, Kind::Global), (true, 5));
        // One that takes more than there is leaves it to the others.
        assert_eq!(take(0, Kind::Renewed), (false, 5));
        assert_eq!(take(0, Kind::Local), (true, 6));
        assert_eq!(take(0, Kind::Local), (false, 6));
        assert_eq!(take(100, Kind::Global), (true, 6));
    }

    #[test]
    fn some_are_let_go_by_chance_as_long_as_there_are_too_many() {
        let freeze_time = Duration::from_millis(10);
        let ratio = ConnectionDrops::default().decrease_ratio;
        let drops =
            ConnectionDrops { freeze_time, increase: 0.4, decrease: 0.3, decrease_ratio: ratio };
        let config = ConnectionTokens { drops: Some(drops), ..of(2, 1000, 2) };
        let mut tokens = Tokens::new(config, at(0), 7);
        let mut drop = |ms| {
            tokens.take(at(ms), Kind::Global);
            tokens.drop_probability()
        };
        // Nothing is missing, then there is nothing left; it stays as it is for a time.
        assert_eq!([drop(11), drop(11), drop(11), drop(21)], [0.0; 4]);
        assert_eq!([drop(22), drop(32), drop(33), drop(44)], [0.4, 0.4, 0.8, 1.0]);
        // All are back, and so is who was let go before.
        assert!(drop(2000) < 1.0 && drop(2011) < 0.7);
    }

    #[test]
    fn as_many_are_let_go_as_is_likely() {
        let drops = ConnectionDrops { increase: 0.25, decrease: 0.0, ..ConnectionDrops::default() };
        let config = ConnectionTokens { drops: Some(drops), ..of(1, 1000, 1) };
        let mut tokens = Tokens::new(config, at(0), 3);
        assert!(tokens.take(at(0), Kind::Global) && !tokens.take(at(1), Kind::Global));
        assert!((tokens.drop_probability() - 0.25).abs() < f64::EPSILON);
        // One each second finds a token.
        let taken = (1..=1000).filter(|s| tokens.take(at(s * 2000), Kind::Global)).count();
        assert!((700..800).contains(&taken), "{taken}");
    }
}
