//! Who is told when a znode changes.
//!
//! Lives here: the watches of one member's connections. Must not: deliver, or know what a connection is
//! beyond its number. Start at [`Watches::fire`]. Source: `WatchManager`, `DataTree.setWatches`.
//! One-shot watches of znodes that exist, which most are, are kept by the znode's number (`near`), all
//! others by path (`far`). A state that is replaced by another needs new watches.
//! **Invariant:** a one-shot watch is near just as long as its znode exists.

mod far;
mod near;
mod set;

use jute::{AclList, AddWatchMode, EventType, SetWatches, Text, WatcherType};

use crate::apply::{Change, What};
use crate::tree::NodeId;
use crate::{State, path};
use far::{Far, Slot, Table};
use near::{CHILD, DATA, Near};
use set::{ALL, ONE_SHOT, PERSISTENT, RECURSIVE};

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

/// A path, and the znode that is there now. Made by [`State::place`]; to be used before the state changes.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    path: &'a str,
    id: Option<NodeId>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(path: &'a str, id: Option<NodeId>) -> Self {
        Self { path, id }
    }
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
    near: Near,
    far: Far,
    /// How many one watcher may have.
    limit: usize,
}

impl Watches {
    /// None yet. `hash_seed` should be random, as that of [`State::new`]; `limit` is what
    /// [`Self::has_room`] judges by.
    pub fn new(hash_seed: u64, limit: usize) -> Self {
        Self { near: Near::default(), far: Far::new(hash_seed), limit }
    }

    /// Whether a watcher may have so many more. To be asked before a request that sets watches; nothing
    /// here is refused.
    pub fn has_room(&self, watcher: Watcher, more: usize) -> bool {
        more == 0 || self.held(watcher).saturating_add(more) <= self.limit
    }

    /// How many znodes and other paths a watcher watches.
    pub fn held(&self, watcher: Watcher) -> usize {
        self.near.held(watcher) + self.far.held(watcher)
    }

    /// Sets a one-shot watch.
    pub fn watch(&mut self, watcher: Watcher, kind: WatchKind, place: Place<'_>) {
        match (place.id, kind) {
            (Some(id), WatchKind::Data) => self.near.set(id, watcher, DATA),
            (Some(id), WatchKind::Child) => self.near.set(id, watcher, CHILD),
            (None, WatchKind::Data) => self.far.set(watcher, place.path, ONE_SHOT, 0),
            (None, WatchKind::Child) => self.far.set(watcher, place.path, 0, ONE_SHOT),
        }
    }

    /// Sets a watch that stays until removed.
    pub fn add(&mut self, watcher: Watcher, path: &str, mode: AddWatchMode) {
        match mode {
            AddWatchMode::Persistent => self.far.set(watcher, path, PERSISTENT, PERSISTENT),
            AddWatchMode::PersistentRecursive => self.far.set(watcher, path, RECURSIVE, 0),
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
        // As signed numbers: one below zero is before all that there is.
        let since = wanted.relative_zxid.bits();
        let mut missed = Vec::new();
        for path in &wanted.data {
            match state.get(path).map(|node| node.stat().mzxid.bits() > since) {
                None => missed.push((EventType::Deleted, path.clone())),
                Some(true) => missed.push((EventType::DataChanged, path.clone())),
                Some(false) => self.watch(watcher, WatchKind::Data, state.place(path)),
            }
        }
        for path in &wanted.exist {
            match state.get(path) {
                Some(_) => missed.push((EventType::Created, path.clone())),
                None => self.watch(watcher, WatchKind::Data, state.place(path)),
            }
        }
        for path in &wanted.child {
            match state.get(path).map(|node| node.stat().pzxid.bits() > since) {
                None => missed.push((EventType::Deleted, path.clone())),
                Some(true) => missed.push((EventType::ChildrenChanged, path.clone())),
                Some(false) => self.watch(watcher, WatchKind::Child, state.place(path)),
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
    pub fn has(&self, watcher: Watcher, place: Place<'_>, kind: WatcherType) -> bool {
        let near = place.id.map_or(0, |id| self.near.kinds(id, watcher));
        let far = self.far.get(place.path);
        let (data, child) =
            far.map_or((0, 0), |far| (far.data.kinds(watcher), far.child.kinds(watcher)));
        match kind {
            WatcherType::Children => near & CHILD != 0 || child & ONE_SHOT != 0,
            WatcherType::Data => near & DATA != 0 || data & ONE_SHOT != 0,
            WatcherType::Persistent => data & PERSISTENT != 0,
            WatcherType::PersistentRecursive => data & RECURSIVE != 0,
            WatcherType::Any => near | data | child != 0,
        }
    }

    /// Removes such watches; false when there are none. Nobody is told.
    pub fn remove(&mut self, watcher: Watcher, place: Place<'_>, kind: WatcherType) -> bool {
        if !self.has(watcher, place, kind) {
            return false;
        }
        let (near, data, child) = match kind {
            WatcherType::Children => (CHILD, 0, ONE_SHOT),
            WatcherType::Data => (DATA, ONE_SHOT, 0),
            WatcherType::Persistent => (0, PERSISTENT, PERSISTENT),
            WatcherType::PersistentRecursive => (0, RECURSIVE, 0),
            WatcherType::Any => (DATA | CHILD, ALL, ALL),
        };
        if let Some(id) = place.id {
            self.near.clear(id, watcher, near);
        }
        self.far.clear(watcher, place.path, data, child);
        true
    }

    /// The connection is gone, and its watches with it.
    pub fn drop_watcher(&mut self, watcher: Watcher) {
        self.near.drop_watcher(watcher);
        self.far.drop_watcher(watcher);
    }

    /// Adds to `fired` what these changes mean to the watchers, in the order in which they are to be told.
    ///
    /// To be called for the changes of each transaction right after it was applied, before any read sees
    /// them. One-shot watches that fire are gone.
    pub fn fire(&mut self, changes: &[Change], fired: &mut Vec<Fired>) {
        if self.total() == 0 {
            return;
        }
        for change in changes {
            match &change.what {
                What::Created { parent_acl, .. } => {
                    self.fire_data(EventType::Created, change, fired);
                    self.fire_children(change, parent_acl, fired);
                }
                What::DataSet { .. } => {
                    self.fire_data(EventType::DataChanged, change, fired);
                }
                What::Deleted { parent_acl } => {
                    let Change { path, acl, id, .. } = change;
                    let told = self.fire_data(EventType::Deleted, change, fired);
                    let mut watchers = self.take_children(*id, path);
                    watchers.retain(|watcher| told.binary_search(watcher).is_err());
                    tell(EventType::Deleted, path.clone(), acl, watchers, fired);
                    self.fire_children(change, parent_acl, fired);
                }
            }
        }
    }

    /// How many there are of both kinds, at no cost. A persistent one counts twice; one that is there in
    /// two ways counts for each.
    pub fn total(&self) -> usize {
        self.near.len() + self.far.len()
    }

    /// The same, where one that is there in two ways counts once; looks at those that stay until they are removed. `state`
    /// is the one they were set on.
    pub fn distinct(&self, state: &State) -> usize {
        if self.near.len() == 0 {
            return self.total();
        }
        // What is only waited for is not there.
        let there = |slot: &&Slot| slot.data.stays() || !slot.child.is_empty();
        let there = self.far.slots().filter(there);
        let twice = there.map(|slot| self.twice(slot, state)).map(|(data, child)| data + child);
        self.total() - twice.sum::<usize>()
    }

    /// Of a path's watchers, how many also have a one-shot watch of the znode there: of data, and of children.
    fn twice(&self, slot: &Slot, state: &State) -> (usize, usize) {
        let Some(id) = state.place(&slot.path).id else { return (0, 0) };
        let is_near = |watcher: &Watcher, kind| self.near.kinds(id, *watcher) & kind != 0;
        let data = slot.data.watchers().filter(|watcher| is_near(watcher, DATA)).count();
        let child = slot.child.watchers().filter(|watcher| is_near(watcher, CHILD)).count();
        (data, child)
    }

    /// How many there are; looks at every one. `state` is the one they were set on.
    pub fn counts(&self, state: &State) -> WatchCounts {
        let mut counts = WatchCounts { all: self.total(), ..WatchCounts::default() };
        let mut watchers = Bits::default();
        for (id, words) in self.near.watched() {
            let data = words.filter(|&word| near::kinds(word) & DATA != 0);
            let data = data.map(|word| watchers.add(near::watcher(word))).count();
            counts.data += data;
            // One that is also there by its path is counted with it, below.
            let is_far = !self.far.is_empty() && self.far_data(state, id);
            counts.paths += usize::from(data > 0 && !is_far);
        }
        for slot in self.far.slots() {
            let (data, child) = self.twice(slot, state);
            slot.data.watchers().for_each(|watcher| watchers.add(watcher));
            counts.data += slot.data.len() - data;
            counts.all -= data + child;
            counts.paths += usize::from(!slot.data.is_empty());
        }
        counts.watchers = watchers.count();
        counts
    }

    /// Shows each path that is watched for data or existence, and by whom, in no order.
    pub fn data_watches(&self, state: &State, mut show: impl FnMut(&str, &[Watcher])) {
        for (id, words) in self.near.watched() {
            let data = words.filter(|&word| near::kinds(word) & DATA != 0);
            let watchers: Vec<Watcher> = data.map(near::watcher).collect();
            if !watchers.is_empty() && !self.far_data(state, id) {
                show(path::public(&state.tree.path(id)), &watchers);
            }
        }
        for slot in self.far.slots().filter(|slot| !slot.data.is_empty()) {
            let mut watchers: Vec<Watcher> = slot.data.watchers().collect();
            if let Some(id) = state.place(&slot.path).id {
                watchers.extend(self.near.data_watchers(id));
            }
            watchers.sort_unstable();
            watchers.dedup();
            show(&slot.path, &watchers);
        }
    }

    /// Whether the znode's path has a watch of data by path, too.
    fn far_data(&self, state: &State, id: NodeId) -> bool {
        let by_path = |path: &str| self.far.get(path).is_some_and(|slot| !slot.data.is_empty());
        !self.far.is_empty() && by_path(path::public(&state.tree.path(id)))
    }

    /// Returns whom it told.
    fn fire_data(
        &mut self,
        kind: EventType,
        change: &Change,
        fired: &mut Vec<Fired>,
    ) -> Vec<Watcher> {
        let mut watchers = Vec::new();
        self.near.fire(change.id, DATA, &mut watchers);
        if !self.far.is_empty() {
            self.far.fire(Table::Data, &change.path, &mut watchers);
            self.add_recursive(&change.path, &mut watchers);
            watchers.sort_unstable();
            watchers.dedup();
        }
        tell(kind, change.path.clone(), &change.acl, watchers.clone(), fired);
        watchers
    }

    /// Adds those who watch all that is below some znode above.
    fn add_recursive(&self, path: &str, watchers: &mut Vec<Watcher>) {
        if !self.far.has_recursive() {
            return;
        }
        let mut ancestor = path::canonical(path);
        while let Some(parent) = path::parent(ancestor) {
            if let Some(slot) = self.far.get(path::public(parent)) {
                watchers.extend(slot.data.recursive());
            }
            ancestor = parent;
        }
    }

    fn fire_children(&mut self, change: &Change, parent_acl: &AclList, fired: &mut Vec<Fired>) {
        let parent = match path::parent(&change.path) {
            None => return,
            Some("") => Text::from_static("/"),
            Some(parent) => change.path.slice(parent),
        };
        let watchers = self.take_children(change.parent, &parent);
        tell(EventType::ChildrenChanged, parent, parent_acl, watchers, fired);
    }

    /// Who watches the children, whose one-shot watches are spent by this.
    fn take_children(&mut self, id: NodeId, path: &str) -> Vec<Watcher> {
        let mut watchers = Vec::new();
        self.near.fire(id, CHILD, &mut watchers);
        if !self.far.is_empty() {
            self.far.fire(Table::Child, path, &mut watchers);
            watchers.sort_unstable();
            watchers.dedup();
        }
        watchers
    }
}

/// A set of watchers: their numbers are dense.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn add(&mut self, watcher: Watcher) {
        let (at, bit) = (watcher.0 as usize / 64, watcher.0 % 64);
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << bit;
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
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
