//! How many clients may connect within a time: each takes a token, and new ones come by and by.

use types::Instant;

use crate::ConnectionTokens;

/// Those that are left.
#[derive(Debug)]
pub(super) struct Tokens {
    config: ConnectionTokens,
    left: u32,
    filled: Instant,
}

impl Tokens {
    /// All of them are there.
    pub(super) fn new(config: ConnectionTokens, now: Instant) -> Self {
        Self { config, left: config.most, filled: now }
    }

    /// Whether there was one to take.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let ConnectionTokens { most, fill_time, fill_count } = self.config;
        if most == 0 {
            return true;
        }
        let since = now.saturating_since(self.filled);
        if since >= fill_time {
            let new = since.as_millis() * u128::from(fill_count) / fill_time.as_millis().max(1);
            let new = u32::try_from(new).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(new).min(most);
            self.filled = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn as_many_are_let_in_as_there_are_tokens() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let fill_time = Duration::from_millis(100);
        let config = ConnectionTokens { most: 3, fill_time, fill_count: 2 };
        let mut tokens = Tokens::new(config, at(0));
        let mut take = |ms| tokens.take(at(ms));
        assert_eq!([take(1), take(1), take(1), take(1)], [true, true, true, false]);
        assert!(!take(99));
        assert_eq!([take(100), take(100), take(100)], [true, true, false]);
        assert_eq!([0; 5].map(|_| take(10_000)), [true, true, true, false, false]);
        let mut none = Tokens::new(ConnectionTokens::default(), at(0));
        assert!((0..1000).all(|_| none.take(at(0))));
    }
}
