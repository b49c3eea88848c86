//! Watches by path: of what does not exist, and those that stay whatever happens to it.
//!
//! **Invariant:** a path has a slot as long as it has a watch, and each watch is in its watcher's set.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::Watcher;
use super::set::{ALL, RECURSIVE, Set};

/// Watches by path.
#[derive(Debug)]
pub(super) struct Far {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    index: HashTable<u32>,
    hasher: FixedState,
    by_watcher: BTreeMap<Watcher, BTreeSet<u32>>,
    /// Recursive watches; without any, no ancestor needs to be looked up.
    recursive: usize,
    /// Entries of all sets.
    len: usize,
}

/// A path and who watches it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) path: Box<str>,
    pub(super) data: Set,
    pub(super) child: Set,
}

/// One of the two tables of a slot.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Data,
    Child,
}

impl Far {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(hash_seed),
            by_watcher: BTreeMap::new(),
            recursive: 0,
            len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Entries of both tables.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many paths a watcher watches.
    pub(super) fn held(&self, watcher: Watcher) -> usize {
        self.by_watcher.get(&watcher).map_or(0, BTreeSet::len)
    }

    pub(super) fn get(&self, path: &str) -> Option<&Slot> {
        self.find(path).map(|at| &self.slots[at as usize])
    }

    /// Each path that is watched.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| !slot.is_empty())
    }

    pub(super) fn has_recursive(&self) -> bool {
        self.recursive > 0
    }

    pub(super) fn set(&mut self, watcher: Watcher, path: &str, data: u32, child: u32) {
        let at = self.find(path).unwrap_or_else(|| self.take_slot(path));
        let slot = &mut self.slots[at as usize];
        let before = slot.len();
        let was_recursive = slot.data.kinds(watcher) & RECURSIVE != 0;
        slot.data.set(watcher, data);
        slot.child.set(watcher, child);
        self.len += slot.len() - before;
        self.recursive += usize::from(!was_recursive && data & RECURSIVE != 0);
        self.by_watcher.entry(watcher).or_default().insert(at);
    }

    pub(super) fn clear(&mut self, watcher: Watcher, path: &str, data: u32, child: u32) {
        if let Some(at) = self.find(path) {
            self.clear_at(at, watcher, data, child);
        }
    }

    pub(super) fn drop_watcher(&mut self, watcher: Watcher) {
        for at in self.by_watcher.remove(&watcher).unwrap_or_default() {
            self.clear_at(at, watcher, ALL, ALL);
        }
    }

    /// Adds whoever watches to `watchers`; one-shot watches are spent by it.
    pub(super) fn fire(&mut self, table: Table, path: &str, watchers: &mut Vec<Watcher>) {
        let Some(at) = self.find(path) else {
            return;
        };
        let slot = &mut self.slots[at as usize];
        let before = slot.len();
        let set = match table {
            Table::Data => &mut slot.data,
            Table::Child => &mut slot.child,
        };
        watchers.extend(set.watchers());
        let spent = set.spend();
        self.len -= before - slot.len();
        self.maybe_let_go(at, spent);
    }

    fn clear_at(&mut self, at: u32, watcher: Watcher, data: u32, child: u32) {
        let slot = &mut self.slots[at as usize];
        let before = slot.len();
        let was_recursive = slot.data.kinds(watcher) & data & RECURSIVE != 0;
        slot.data.clear(watcher, data);
        slot.child.clear(watcher, child);
        self.len -= before - slot.len();
        self.recursive -= usize::from(was_recursive);
        self.maybe_let_go(at, [watcher]);
    }

    /// Drops what says that these watch the path, where they no longer do, and the path when nobody does.
    fn maybe_let_go(&mut self, at: u32, watchers: impl IntoIterator<Item = Watcher>) {
        let slot = &self.slots[at as usize];
        for watcher in watchers {
            let gone = slot.data.kinds(watcher) | slot.child.kinds(watcher) == 0;
            if gone && let Some(paths) = self.by_watcher.get_mut(&watcher) {
                paths.remove(&at);
                if paths.is_empty() {
                    self.by_watcher.remove(&watcher);
                }
            }
        }
        if slot.is_empty() {
            let hash = self.hasher.hash_one(&*slot.path);
            if let Ok(entry) = self.index.find_entry(hash, |&other| other == at) {
                entry.remove();
            }
            self.slots[at as usize] = Slot::default();
            self.vacant.push(at);
        }
    }

    fn find(&self, path: &str) -> Option<u32> {
        let same = |&at: &u32| &*self.slots[at as usize].path == path;
        self.index.find(self.hasher.hash_one(path), same).copied()
    }

    fn take_slot(&mut self, path: &str) -> u32 {
        let slot = Slot { path: path.into(), ..Slot::default() };
        let at = match self.vacant.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("memory ends before paths do")
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |&at: &u32| hasher.hash_one(&*slots[at as usize].path);
        self.index.insert_unique(hasher.hash_one(path), at, rehash);
        at
    }
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.child.is_empty()
    }

    fn len(&self) -> usize {
        self.data.len() + self.child.len()
    }
}
