//! Summaries by key: one for each top-level znode, or for each learner.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use super::Summary;

/// Summaries by key. Clients choose the names of znodes: what is beyond [`MAX_KEYS`] of them is not kept.
#[derive(Debug)]
pub(crate) struct Keyed {
    /// No other's.
    id: usize,
    make: fn() -> Summary,
    by_key: RwLock<BTreeMap<Box<str>, Arc<One>>>,
}

#[derive(Debug)]
struct One {
    of: usize,
    key: Box<str>,
    summary: Summary,
}

thread_local! {
    /// Where this thread recorded lately, by the last bits of the id: most go on with it, and it need not be looked for.
    static LATELY: RefCell<[Option<Arc<One>>; SLOTS]> = const { RefCell::new([const { None }; SLOTS]) };
}

impl Keyed {
    /// None yet; each is made by `make`.
    pub(crate) fn new(make: fn() -> Summary) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self { id: NEXT.fetch_add(1, Relaxed), make, by_key: RwLock::default() }
    }

    /// As many equal values for a key.
    pub(crate) fn record(&self, key: &str, value: u64, count: u32) {
        LATELY.with_borrow_mut(|slots| {
            let lately = &mut slots[self.id % SLOTS];
            if lately.as_ref().is_none_or(|one| one.of != self.id || *one.key != *key) {
                *lately = self.of(key);
            }
            if let Some(one) = lately {
                one.summary.record_often(value, count);
            }
        });
    }

    /// Each that there is.
    pub(crate) fn each(&self, mut tell: impl FnMut(&str, &Summary)) {
        for one in self.by_key.read().unwrap_or_else(PoisonError::into_inner).values() {
            tell(&one.key, &one.summary);
        }
    }

    /// All begin anew.
    pub(crate) fn reset(&self) {
        self.each(|_, summary| summary.reset());
    }

    fn of(&self, key: &str) -> Option<Arc<One>> {
        let found = self.by_key.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        found.or_else(|| {
            let mut by_key = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
            if by_key.len() >= MAX_KEYS && !by_key.contains_key(key) {
                return None;
            }
            let make = || Arc::new(One { of: self.id, key: key.into(), summary: (self.make)() });
            Some(Arc::clone(by_key.entry(key.into()).or_insert_with(make)))
        })
    }
}

const MAX_KEYS: usize = 1000;
/// A member has as many.
const SLOTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_and_there_are_so_many_at_most() {
        let keyed = Keyed::new(Summary::basic);
        let others = [(); SLOTS].map(|()| Keyed::new(Summary::basic));
        for (key, value, count) in [("a", 5, 2), ("a", 7, 1), ("b", 1, 1), ("a", 1, 1)] {
            for other in &others {
                other.record(key, 100, 1);
            }
            keyed.record(key, value, count);
        }
        let mut seen = Vec::new();
        keyed.each(|key, summary| {
            seen.push((key.to_owned(), summary.seen().count, summary.seen().sum))
        });
        assert_eq!(seen, [("a".to_owned(), 4, 18), ("b".to_owned(), 1, 1)]);
        for number in 0..2 * MAX_KEYS {
            keyed.record(&number.to_string(), 1, 1);
        }
        let mut count = 0;
        keyed.each(|_, _| count += 1);
        assert_eq!(count, MAX_KEYS);
        keyed.reset();
        keyed.each(|key, summary| assert_eq!(summary.seen().count, 0, "{key}"));
    }
}
