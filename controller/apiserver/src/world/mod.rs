//! What this server knows: every object as last written, and the recent changes.
//!
//! Lives here: the maps that reads are answered from, the rings that watches follow, the index of
//! owners. Must not: write to the store, know rules of kinds. Start at [`World::follow`].
//!
//! Readers bring the maps up to date themselves before they read ([`World::fresh`]), so a write that
//! has returned is always seen; nobody waits for another job to be scheduled. No lock is held over IO.

mod object;
mod owners;
mod shelf;

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::store::{Change, Feed, Key, Resource, Store};

pub(crate) use object::{Object, set_rv};
pub(crate) use shelf::{Cursor, Event, Fallen, Page};

use owners::Owners;
use shelf::Shelf;

/// All objects of a store, and their recent past.
pub(crate) struct World {
    store: Arc<dyn Store>,
    state: Mutex<State>,
    /// The resourceVersion last seen; for those who wait for one.
    seen: watch::Sender<u64>,
    /// There is work in [`World::take_chore`].
    pub(crate) chores: Notify,
}

struct State {
    feed: Box<dyn Feed>,
    /// The store has ended: nothing new will come.
    ended: bool,
    /// Who must be woken when the feed has more.
    pump: Waker,
    rv: u64,
    /// No change before this one is known.
    start: u64,
    shelves: HashMap<Resource, Shelf>,
    owners: Owners,
    /// Objects the collector must look at.
    chores: BTreeSet<Key>,
    /// Raised with every change of an object of the kind that defines kinds.
    definitions: u64,
}

impl World {
    /// Reads everything there is and follows what comes; [`World::pump`] must run beside.
    pub(crate) fn follow(store: Arc<dyn Store>) -> Arc<Self> {
        let following = store.follow();
        let mut state = State {
            feed: following.later,
            ended: false,
            pump: Waker::noop().clone(),
            rv: following.rv,
            start: following.rv,
            shelves: HashMap::new(),
            owners: Owners::default(),
            chores: BTreeSet::new(),
            definitions: 1,
        };
        for stored in following.now {
            if let Some(object) = Object::read(stored) {
                state.stock(Arc::new(object));
            }
        }
        let seen = watch::Sender::new(state.rv);
        Arc::new(Self { store, state: Mutex::new(state), seen, chores: Notify::new() })
    }

    /// Takes in changes until the store ends.
    pub(crate) async fn pump(&self) {
        poll_fn(|cx| self.poll_pump(cx)).await;
    }

    fn poll_pump(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        state.pump.clone_from(cx.waker());
        loop {
            match state.feed.poll_next(cx) {
                Poll::Ready(Some(change)) => state.take(change),
                Poll::Ready(None) => {
                    state.ended = true;
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    self.tell(&state);
                    return Poll::Pending;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state with all that the store has applied by now.
    fn fresh(&self) -> MutexGuard<'_, State> {
        // Asked before the feed is drained: whatever is applied by now is in the feed by now.
        let applied = self.store.applied();
        let mut state = self.lock();
        let mut moved = false;
        while let Some(change) = state.feed.try_next() {
            state.take(change);
            moved = true;
        }
        if applied > state.rv {
            state.rv = applied;
            moved = true;
        }
        if moved {
            self.tell(&state);
        }
        state
    }

    fn tell(&self, state: &State) {
        self.seen.send_if_modified(|seen| {
            let moved = state.rv > *seen;
            *seen = (*seen).max(state.rv);
            moved
        });
        if !state.chores.is_empty() {
            self.chores.notify_one();
        }
    }

    /// The resourceVersion everything here is true at.
    pub(crate) fn rv(&self) -> u64 {
        self.fresh().rv
    }

    /// Raised whenever a kind was defined, changed or removed.
    pub(crate) fn definitions(&self) -> u64 {
        self.fresh().definitions
    }

    /// Waits until `rv` has been seen; the newest seen if that takes too long.
    pub(crate) async fn at_least(&self, rv: u64, patience: Duration) -> Result<(), u64> {
        let mut seen = self.seen.subscribe();
        let wait = async {
            while self.fresh().rv < rv {
                // Writes outside of this store's part move the number without a change here.
                let _ = tokio::time::timeout(RECHECK, seen.changed()).await;
            }
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.lock().rv),
        }
    }

    /// One object as it is now.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.fresh().shelves.get(&key.resource)?.get(&key.namespace, &key.name)
    }

    /// All objects of a resource, or those of one namespace, with the resourceVersion of the answer.
    pub(crate) fn all(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> (u64, Vec<Arc<Object>>) {
        let state = self.fresh();
        let objects = state.shelves.get(resource).map(|shelf| shelf.all(namespace));
        (state.rv, objects.unwrap_or_default())
    }

    /// Objects as they were at `at` (or are now), from just after a key on.
    pub(crate) fn page(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        at: Option<u64>,
        after: Option<(&str, &str)>,
    ) -> Result<Page, Fallen> {
        let state = self.fresh();
        let rv = at.unwrap_or(state.rv);
        let oldest = state.oldest(resource);
        if rv < oldest {
            return Err(Fallen { oldest });
        }
        let objects = state.shelves.get(resource).map(|shelf| shelf.at(rv, namespace, after));
        Ok(Page { rv, objects: objects.unwrap_or_default() })
    }

    /// A place in the changes of a resource: just after `rv`.
    pub(crate) fn cursor(&self, resource: &Resource, rv: u64) -> Result<Cursor, Fallen> {
        let mut state = self.fresh();
        let oldest = state.oldest(resource);
        if rv < oldest {
            return Err(Fallen { oldest });
        }
        let start = state.start;
        Ok(state.shelf(resource, start).cursor(rv))
    }

    /// All objects and a cursor that goes on just after them.
    pub(crate) fn open(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> (u64, Vec<Arc<Object>>, Cursor) {
        let mut state = self.fresh();
        let (rv, start) = (state.rv, state.start);
        let shelf = state.shelf(resource, start);
        (rv, shelf.all(namespace), shelf.cursor(rv))
    }

    /// The next changes, at most `max` and about `bytes`, and the resourceVersion up to which nothing else
    /// happened.
    pub(crate) fn next(
        &self,
        resource: &Resource,
        cursor: &mut Cursor,
        max: usize,
        bytes: usize,
    ) -> Result<(Vec<Arc<Event>>, u64), Fallen> {
        let mut state = self.fresh();
        let (rv, start) = (state.rv, state.start);
        let (events, more) = state.shelf(resource, start).next(cursor, max, bytes)?;
        let upto = match events.last() {
            Some(last) if more => last.rv,
            _ => rv,
        };
        Ok((events, upto))
    }

    /// The store has ended.
    pub(crate) fn ended(&self) -> bool {
        self.lock().ended
    }

    /// The object that has this uid.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<Key> {
        self.fresh().owners.key_of(uid)
    }

    /// Objects that name this uid as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Arc<Object>> {
        let state = self.fresh();
        let keys = state.owners.dependents(uid);
        keys.filter_map(|key| state.shelves.get(&key.resource)?.get(&key.namespace, &key.name))
            .collect()
    }

    /// Everything in a namespace, of whatever kind.
    pub(crate) fn within(&self, namespace: &str) -> Vec<Arc<Object>> {
        let state = self.fresh();
        state.shelves.values().flat_map(|shelf| shelf.within(namespace)).cloned().collect()
    }

    /// How many objects of a resource there are.
    pub(crate) fn count(&self, resource: &Resource) -> usize {
        self.fresh().shelves.get(resource).map_or(0, Shelf::len)
    }

    /// An object the collector must look at; the caller puts it back when it could not finish.
    pub(crate) fn take_chore(&self) -> Option<Key> {
        self.fresh().chores.pop_first()
    }

    /// Looks at this one again.
    pub(crate) fn add_chore(&self, key: Key) {
        self.lock().chores.insert(key);
        self.chores.notify_one();
    }
}

impl State {
    fn oldest(&self, resource: &Resource) -> u64 {
        self.shelves.get(resource).map_or(self.start, |shelf| shelf.oldest())
    }

    fn shelf(&mut self, resource: &Resource, start: u64) -> &mut Shelf {
        self.shelves.entry(resource.clone()).or_insert_with(|| Shelf::new(start))
    }

    /// Adds an object that was there at the start.
    fn stock(&mut self, object: Arc<Object>) {
        self.index(None, Some(&object));
        let start = self.start;
        self.shelf(&object.key.resource.clone(), start).stock(object);
    }

    fn take(&mut self, change: Change) {
        let (key, rv, new) = match change {
            Change::Put(stored) => {
                let (key, rv) = (stored.key.clone(), stored.revision.rv);
                // What cannot be read is not an object; an earlier readable one is gone.
                (key, rv, Object::read(stored).map(Arc::new))
            }
            Change::Gone { key, rv } => (key, rv, None),
        };
        self.rv = self.rv.max(rv);
        let start = self.start;
        let old = self.shelf(&key.resource, start).take(&key, rv, new.clone());
        self.index(old.as_ref(), new.as_ref());
    }

    fn index(&mut self, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) {
        let Some(any) = new.or(old) else { return };
        if &*any.key.resource.plural == DEFINITIONS.1 && &*any.key.resource.group == DEFINITIONS.0 {
            self.definitions += 1;
        }
        self.owners.update(old, new, &mut self.chores);
    }
}

/// The resource whose objects define kinds: group and plural.
const DEFINITIONS: (&str, &str) = ("apiextensions.k8s.io", "customresourcedefinitions");
const RECHECK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
