//! Who is told when a znode changes.
//!
//! Lives here: the watches of one member's connections. Must not: deliver, or know what a connection is
//! beyond its number. Start at [`Watches::fire`]. Source: `WatchManager`, `DataTree.setWatches`.
//! Watches are sets of small numbers by path: one word each, with the kinds in its low bits.
//! **Invariant:** a path has a slot as long as it has a watch, and each watch is in its watcher's set.

mod set;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use jute::{AddWatchMode, EventType, SetWatches, Text, WatcherType};

use crate::acls::AclList;
use crate::apply::{Change, What};
use crate::{State, path};
use set::{ALL, ONE_SHOT, PERSISTENT, RECURSIVE, Set};

/// A connection that may have watches: a number below 2^29, given again only after
/// [`Watches::drop_watcher`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Watcher(pub u32);

/// What a one-shot watch is for. Data and existence are one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchKind {
    /// Made, set or deleted.
    Data,
    /// Children made or deleted, or itself deleted.
    Child,
}

/// An event and whom to tell, in the order of their numbers.
#[derive(Clone, Debug)]
pub struct Fired {
    /// What happened.
    pub kind: EventType,
    /// To which znode.
    pub path: Text,
    /// Who of the watchers may know: those who may read by this list. The watch is spent either way.
    pub acl: AclList,
    /// Whom to tell.
    pub watchers: Vec<Watcher>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WatchCounts {
    /// Connections with a watch on data or existence.
    pub watchers: usize,
    /// Paths with such a watch.
    pub paths: usize,
    /// Such watches.
    pub data: usize,
    /// Watches of both kinds; a persistent one counts twice.
    pub all: usize,
}

/// Every watch of this member's connections.
#[derive(Debug)]
pub struct Watches {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    index: HashTable<u32>,
    hasher: FixedState,
    by_watcher: BTreeMap<Watcher, BTreeSet<u32>>,
    /// Recursive watches; without any, no ancestor needs to be looked up.
    recursive: usize,
}

#[derive(Debug, Default)]
struct Slot {
    path: Box<str>,
    data: Set,
    child: Set,
}

impl Watches {
    /// None yet. `hash_seed` should be random, as that of [`State::new`].
    pub fn new(hash_seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(hash_seed),
            by_watcher: BTreeMap::new(),
            recursive: 0,
        }
    }

    /// Sets a one-shot watch.
    pub fn watch(&mut self, watcher: Watcher, kind: WatchKind, path: &str) {
        match kind {
            WatchKind::Data => self.set(watcher, path, ONE_SHOT, 0),
            WatchKind::Child => self.set(watcher, path, 0, ONE_SHOT),
        }
    }

    /// Sets a watch that stays until removed.
    pub fn add(&mut self, watcher: Watcher, path: &str, mode: AddWatchMode) {
        match mode {
            AddWatchMode::Persistent => self.set(watcher, path, PERSISTENT, PERSISTENT),
            AddWatchMode::PersistentRecursive => self.set(watcher, path, RECURSIVE, 0),
        }
    }

    /// Sets what a client had before it came back. Returns what it missed: to be sent before the reply,
    /// without a zxid and without a look at ACLs.
    pub fn set_again(
        &mut self,
        watcher: Watcher,
        state: &State,
        wanted: &SetWatches,
    ) -> Vec<(EventType, Text)> {
        let since = wanted.relative_zxid;
        let mut missed = Vec::new();
        for path in &wanted.data {
            match state.get(path).map(|node| node.stat().mzxid > since) {
                None => missed.push((EventType::Deleted, path.clone())),
                Some(true) => missed.push((EventType::DataChanged, path.clone())),
                Some(false) => self.watch(watcher, WatchKind::Data, path),
            }
        }
        for path in &wanted.exist {
            match state.get(path) {
                Some(_) => missed.push((EventType::Created, path.clone())),
                None => self.watch(watcher, WatchKind::Data, path),
            }
        }
        for path in &wanted.child {
            match state.get(path).map(|node| node.stat().pzxid > since) {
                None => missed.push((EventType::Deleted, path.clone())),
                Some(true) => missed.push((EventType::ChildrenChanged, path.clone())),
                Some(false) => self.watch(watcher, WatchKind::Child, path),
            }
        }
        for path in &wanted.persistent {
            self.add(watcher, path, AddWatchMode::Persistent);
        }
        for path in &wanted.recursive {
            self.add(watcher, path, AddWatchMode::PersistentRecursive);
        }
        missed
    }

    /// Whether the watcher has such a watch.
    pub fn has(&self, watcher: Watcher, path: &str, kind: WatcherType) -> bool {
        let Some(slot) = self.find(path).map(|at| &self.slots[at as usize]) else {
            return false;
        };
        let (data, child) = (slot.data.kinds(watcher), slot.child.kinds(watcher));
        match kind {
            WatcherType::Children => child & ONE_SHOT != 0,
            WatcherType::Data => data & ONE_SHOT != 0,
            WatcherType::Persistent => data & PERSISTENT != 0,
            WatcherType::PersistentRecursive => data & RECURSIVE != 0,
            WatcherType::Any => data | child != 0,
        }
    }

    /// Removes such watches; false when there are none. Nobody is told.
    pub fn remove(&mut self, watcher: Watcher, path: &str, kind: WatcherType) -> bool {
        let Some(at) = self.find(path).filter(|_| self.has(watcher, path, kind)) else {
            return false;
        };
        let (data, child) = match kind {
            WatcherType::Children => (0, ONE_SHOT),
            WatcherType::Data => (ONE_SHOT, 0),
            WatcherType::Persistent => (PERSISTENT, PERSISTENT),
            WatcherType::PersistentRecursive => (RECURSIVE, 0),
            WatcherType::Any => (ALL, ALL),
        };
        self.clear(at, watcher, data, child);
        true
    }

    /// The connection is gone, and its watches with it.
    pub fn drop_watcher(&mut self, watcher: Watcher) {
        for at in self.by_watcher.remove(&watcher).unwrap_or_default() {
            self.clear(at, watcher, ALL, ALL);
        }
    }

    /// Adds to `fired` what these changes mean to the watchers, in the order in which they are to be told.
    ///
    /// To be called for the changes of each transaction right after it was applied, before any read sees
    /// them. One-shot watches that fire are gone.
    pub fn fire(&mut self, changes: &[Change], fired: &mut Vec<Fired>) {
        if self.index.is_empty() {
            return;
        }
        for Change { path, what, acl } in changes {
            match what {
                What::Created { parent_acl, .. } => {
                    self.fire_data(EventType::Created, path, acl, fired);
                    self.fire_children(path, parent_acl, fired);
                }
                What::DataSet { .. } => {
                    self.fire_data(EventType::DataChanged, path, acl, fired);
                }
                What::Deleted { parent_acl } => {
                    let told = self.fire_data(EventType::Deleted, path, acl, fired);
                    let mut watchers = self.take_children(path);
                    watchers.retain(|watcher| told.binary_search(watcher).is_err());
                    tell(EventType::Deleted, path.clone(), acl, watchers, fired);
                    self.fire_children(path, parent_acl, fired);
                }
            }
        }
    }

    /// How many there are; looks at every one.
    pub fn counts(&self) -> WatchCounts {
        let mut counts = WatchCounts::default();
        let mut watchers = BTreeSet::new();
        for slot in &self.slots {
            counts.paths += usize::from(!slot.data.is_empty());
            counts.data += slot.data.len();
            counts.all += slot.data.len() + slot.child.len();
            watchers.extend(slot.data.watchers());
        }
        counts.watchers = watchers.len();
        counts
    }

    /// Each path that is watched for data or existence, and by whom.
    pub fn data_watches(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = Watcher>)> {
        let used = self.slots.iter().filter(|slot| !slot.data.is_empty());
        used.map(|slot| (&*slot.path, slot.data.watchers()))
    }

    /// Returns whom it told.
    fn fire_data(
        &mut self,
        kind: EventType,
        path: &Text,
        acl: &AclList,
        fired: &mut Vec<Fired>,
    ) -> Vec<Watcher> {
        let mut watchers = Vec::new();
        if let Some(at) = self.find(path) {
            watchers.extend(self.slots[at as usize].data.watchers());
            self.spend(at, |slot| &mut slot.data);
        }
        if self.recursive > 0 {
            let mut ancestor = path::canonical(path);
            while let Some(parent) = path::parent(ancestor) {
                if let Some(at) = self.find(path::public(parent)) {
                    watchers.extend(self.slots[at as usize].data.recursive());
                }
                ancestor = parent;
            }
            watchers.sort_unstable();
            watchers.dedup();
        }
        tell(kind, path.clone(), acl, watchers.clone(), fired);
        watchers
    }

    fn fire_children(&mut self, path: &Text, parent_acl: &AclList, fired: &mut Vec<Fired>) {
        let parent = match path::parent(path) {
            None => return,
            Some("") => Text::from_static("/"),
            Some(parent) => path.slice(parent),
        };
        let watchers = self.take_children(&parent);
        tell(EventType::ChildrenChanged, parent, parent_acl, watchers, fired);
    }

    /// Who watches the children, whose one-shot watches are spent by this.
    fn take_children(&mut self, path: &str) -> Vec<Watcher> {
        let Some(at) = self.find(path) else {
            return Vec::new();
        };
        let watchers = self.slots[at as usize].child.watchers().collect();
        self.spend(at, |slot| &mut slot.child);
        watchers
    }

    fn set(&mut self, watcher: Watcher, path: &str, data: u32, child: u32) {
        let at = self.find(path).unwrap_or_else(|| self.take_slot(path));
        let slot = &mut self.slots[at as usize];
        let before = slot.data.kinds(watcher);
        slot.data.set(watcher, data);
        slot.child.set(watcher, child);
        self.recursive += usize::from(before & RECURSIVE == 0 && data & RECURSIVE != 0);
        self.by_watcher.entry(watcher).or_default().insert(at);
    }

    fn clear(&mut self, at: u32, watcher: Watcher, data: u32, child: u32) {
        let slot = &mut self.slots[at as usize];
        let before = slot.data.kinds(watcher);
        slot.data.clear(watcher, data);
        slot.child.clear(watcher, child);
        self.recursive -= usize::from(before & data & RECURSIVE != 0);
        self.maybe_let_go(at, [watcher]);
    }

    /// The one-shot watches of a table have fired.
    fn spend(&mut self, at: u32, table: impl Fn(&mut Slot) -> &mut Set) {
        let spent = table(&mut self.slots[at as usize]).spend();
        self.maybe_let_go(at, spent);
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
        if slot.data.is_empty() && slot.child.is_empty() {
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

fn tell(
    kind: EventType,
    path: Text,
    acl: &AclList,
    watchers: Vec<Watcher>,
    fired: &mut Vec<Fired>,
) {
    if !watchers.is_empty() {
        fired.push(Fired { kind, path, acl: acl.clone(), watchers });
    }
}
