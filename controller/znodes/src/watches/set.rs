//! Who watches one path: one word for each watcher.

use super::Watcher;

/// Watchers in order, each with its kinds in the low bits.
#[derive(Debug, Default)]
pub(super) struct Set(Vec<u32>);

pub(super) const ONE_SHOT: u32 = 1;
pub(super) const PERSISTENT: u32 = 2;
pub(super) const RECURSIVE: u32 = 4;
pub(super) const ALL: u32 = ONE_SHOT | PERSISTENT | RECURSIVE;
const BITS: u32 = 3;

impl Set {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn kinds(&self, watcher: Watcher) -> u32 {
        self.find(watcher).map_or(0, |at| self.0[at] & ALL)
    }

    pub(super) fn set(&mut self, watcher: Watcher, kinds: u32) {
        match self.find(watcher) {
            Ok(at) => self.0[at] |= kinds,
            Err(_) if kinds == 0 => {}
            Err(at) => self.0.insert(at, watcher.0 << BITS | kinds),
        }
    }

    pub(super) fn clear(&mut self, watcher: Watcher, kinds: u32) {
        if let Ok(at) = self.find(watcher) {
            self.0[at] &= !kinds;
            if self.0[at] & ALL == 0 {
                self.0.remove(at);
            }
        }
    }

    /// Drops every one-shot watch; returns who has none in this table any more.
    pub(super) fn spend(&mut self) -> Vec<Watcher> {
        let mut spent = Vec::new();
        self.0.retain_mut(|word| {
            *word &= !ONE_SHOT;
            let stays = *word & ALL != 0;
            if !stays {
                spent.push(Watcher(*word >> BITS));
            }
            stays
        });
        spent
    }

    pub(super) fn watchers(&self) -> impl Iterator<Item = Watcher> {
        self.0.iter().map(|word| Watcher(word >> BITS))
    }

    /// Whether some watch is there until it is removed.
    pub(super) fn stays(&self) -> bool {
        self.0.iter().any(|word| word & (PERSISTENT | RECURSIVE) != 0)
    }

    pub(super) fn recursive(&self) -> impl Iterator<Item = Watcher> {
        let recursive = self.0.iter().filter(|word| **word & RECURSIVE != 0);
        recursive.map(|word| Watcher(word >> BITS))
    }

    fn find(&self, watcher: Watcher) -> Result<usize, usize> {
        self.0.binary_search_by_key(&watcher.0, |word| word >> BITS)
    }
}
