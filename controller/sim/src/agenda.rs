//! What is to happen, and when.
//!
//! Lives here: the order: by time, and at one moment as it was put down.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use types::Instant;

/// Of events of one kind.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    /// When each is due, its number, and where it is kept: they are large, and this order moves often.
    due: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    kept: Vec<Option<T>>,
    free: Vec<usize>,
    numbered: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { due: BinaryHeap::new(), kept: Vec::new(), free: Vec::new(), numbered: 0 }
    }
}

impl<T> Agenda<T> {
    pub(crate) fn add(&mut self, at: Instant, event: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.kept.push(None);
            self.kept.len() - 1
        });
        self.kept[place] = Some(event);
        self.numbered += 1;
        self.due.push(Reverse((at, self.numbered, place)));
    }

    /// What is next, which is over by that.
    pub(crate) fn next(&mut self) -> Option<(Instant, T)> {
        let Reverse((at, _, place)) = self.due.pop()?;
        self.free.push(place);
        let event = self.kept[place].take().expect("it was not taken");
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_once_happens_in_the_order_of_its_adding() {
        let mut agenda = Agenda::default();
        let at = Instant::from_nanos;
        agenda.add(at(2), "c");
        agenda.add(at(1), "a");
        assert_eq!(agenda.next(), Some((at(1), "a")));
        agenda.add(at(2), "d");
        agenda.add(at(1), "b");
        for next in [(at(1), "b"), (at(2), "c"), (at(2), "d")] {
            assert_eq!(agenda.next(), Some(next));
        }
        assert_eq!(agenda.next(), None);
    }
}
