//! The last transactions that were applied: for learners that are a little behind no file is read.

use std::collections::VecDeque;

use types::Zxid;

/// The newest transactions, bounded in bytes and in number.
///
/// Invariant: zxids ascend, and nothing between them was applied.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Of each its place in the order, and how long it is.
    ends: VecDeque<(Zxid, usize)>,
    /// Copied together: a piece of a received buffer would keep all of it.
    bytes: VecDeque<u8>,
}

impl Recent {
    /// Adds the next one; the oldest go.
    pub(super) fn push(&mut self, zxid: Zxid, body: &[u8]) {
        // Room is made before it is taken: a byte above the bound would double what is allocated.
        while (self.bytes.len() + body.len() > MOST_BYTES || self.ends.len() == MOST)
            && let Some((_, length)) = self.ends.pop_front()
        {
            self.bytes.drain(..length);
        }
        if body.len() <= MOST_BYTES {
            let length = self.bytes.len() + body.len();
            if length > self.bytes.capacity() {
                // All of it is used in turn.
                self.bytes.reserve_exact((length + length / 4).min(MOST_BYTES) - self.bytes.len());
            }
            self.ends.push_back((zxid, body.len()));
            self.bytes.extend(body);
        }
    }

    /// What is applied is not what follows these any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether this one and all behind it are here.
    pub(super) fn has(&self, zxid: Zxid) -> bool {
        self.ends.binary_search_by_key(&zxid, |(zxid, _)| *zxid).is_ok()
    }

    /// Gives those behind `after`, which is here, and up to `to`.
    pub(super) fn each(&self, after: Zxid, to: Zxid, mut take: impl FnMut(Zxid, &[u8])) {
        let mut at = 0;
        let mut body = Vec::new();
        for &(zxid, length) in &self.ends {
            if zxid > after && zxid <= to {
                body.clear();
                body.extend(self.bytes.range(at..at + length));
                take(zxid, &body);
            }
            at += length;
        }
    }
}

/// More than clients have in flight when a leader is lost.
const MOST_BYTES: usize = 1 << 20;
/// The same for small writes, which would be tens of thousands.
const MOST: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    #[test]
    fn the_newest_are_given_in_order_and_no_more_are_kept_than_may_be() {
        let mut recent = Recent::default();
        let length = MOST_BYTES / 10;
        for counter in 1..=25_u8 {
            recent.push(zxid(counter.into()), &vec![counter; length]);
        }
        assert!(recent.bytes.len() <= MOST_BYTES);
        assert!(!recent.has(zxid(15)) && recent.has(zxid(16)) && !recent.has(zxid(26)));
        let mut found = Vec::new();
        recent.each(zxid(20), zxid(23), |zxid, body| found.push((zxid.counter(), body.to_vec())));
        assert_eq!(found, (21..=23).map(|n| (u32::from(n), vec![n; length])).collect::<Vec<_>>());
        recent.push(zxid(26), &vec![0; MOST_BYTES + 1]);
        assert!(!recent.has(zxid(26)));
    }

    #[test]
    fn small_ones_take_no_more_memory_than_may_be_kept() {
        let mut recent = Recent::default();
        for counter in 1..=50_000 {
            recent.push(zxid(counter), &[0; 36]);
        }
        assert!(recent.bytes.capacity() <= MOST_BYTES / 2, "{}", recent.bytes.capacity());
        assert!(recent.ends.capacity() <= MOST, "{}", recent.ends.capacity());
        assert!(
            recent.has(zxid(50_000)) && recent.has(zxid(50_001 - 8192)) && !recent.has(zxid(1))
        );
    }
}
