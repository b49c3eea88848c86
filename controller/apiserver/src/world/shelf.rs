//! The objects of one resource and the ring of their recent changes.
//!
//! The ring keeps the old and the new object of each change: selectors need the old one, and so does
//! the past, which is read by undoing changes ([`Shelf::at`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;

use crate::store::Key;

use super::Object;

/// Namespace and name: the order of lists.
type Place = (Arc<str>, Arc<str>);

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) rv: u64,
    /// `None`: it was created.
    pub(crate) old: Option<Arc<Object>>,
    /// `None`: it was deleted.
    pub(crate) new: Option<Arc<Object>>,
}

impl Event {
    fn size(&self) -> usize {
        let size = |object: &Option<Arc<Object>>| object.as_ref().map_or(0, |o| o.size);
        size(&self.old) + size(&self.new) + 64
    }
}

/// The asked-for past is no longer known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fallen {
    /// The oldest resourceVersion still known.
    pub(crate) oldest: u64,
}

/// Objects at one moment.
pub(crate) struct Page {
    pub(crate) rv: u64,
    /// In the order of lists.
    pub(crate) objects: Vec<Arc<Object>>,
}

/// A place in the changes of one resource.
pub(crate) struct Cursor {
    /// Number of the next change to read.
    next: u64,
    /// Marked whenever there is more.
    pub(crate) more: watch::Receiver<u64>,
}

pub(crate) struct Shelf {
    objects: BTreeMap<Place, Arc<Object>>,
    ring: VecDeque<Arc<Event>>,
    ring_size: usize,
    /// Number of the change at the front of the ring.
    front: u64,
    /// All changes after this resourceVersion are in the ring.
    oldest: u64,
    more: watch::Sender<u64>,
}

impl Shelf {
    pub(crate) fn new(start: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            ring: VecDeque::new(),
            ring_size: 0,
            front: 0,
            oldest: start,
            more: watch::Sender::new(0),
        }
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(crate) fn stock(&mut self, object: Arc<Object>) {
        self.objects.insert(place(&object.key), object);
    }

    /// Takes in one change; answers with what was there before.
    pub(crate) fn take(
        &mut self,
        key: &Key,
        rv: u64,
        new: Option<Arc<Object>>,
    ) -> Option<Arc<Object>> {
        let old = match &new {
            Some(new) => self.objects.insert(place(key), Arc::clone(new)),
            None => self.objects.remove(&place(key)),
        };
        if old.is_none() && new.is_none() {
            return None;
        }
        let event = Event { rv, old: old.clone(), new };
        self.ring_size += event.size();
        self.ring.push_back(Arc::new(event));
        while self.ring.len() > MAX_EVENTS
            || (self.ring_size > MAX_BYTES && self.ring.len() > MIN_EVENTS)
        {
            let Some(event) = self.ring.pop_front() else { break };
            self.ring_size -= event.size();
            self.front += 1;
            self.oldest = event.rv;
        }
        self.more.send_modify(|n| *n += 1);
        old
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn get(&self, namespace: &Arc<str>, name: &Arc<str>) -> Option<Arc<Object>> {
        self.objects.get(&(Arc::clone(namespace), Arc::clone(name))).cloned()
    }

    pub(crate) fn all(&self, namespace: Option<&str>) -> Vec<Arc<Object>> {
        match namespace {
            None => self.objects.values().cloned().collect(),
            Some(namespace) => self.within(namespace).cloned().collect(),
        }
    }

    pub(crate) fn within(&self, namespace: &str) -> impl Iterator<Item = &Arc<Object>> {
        let first: Place = (namespace.into(), "".into());
        let namespace = Arc::clone(&first.0);
        self.objects.range(first..).take_while(move |(at, _)| at.0 == namespace).map(|(_, o)| o)
    }

    /// The objects as they were at `rv`, in order, from just after `after` on.
    pub(crate) fn at(
        &self,
        rv: u64,
        namespace: Option<&str>,
        after: Option<(&str, &str)>,
    ) -> Vec<Arc<Object>> {
        let after = after.map(|(namespace, name)| (Arc::from(namespace), Arc::from(name)));
        let wanted = |at: &Place| {
            namespace.is_none_or(|namespace| &*at.0 == namespace)
                && after.as_ref().is_none_or(|after| at > after)
        };
        // Undone from the newest change back, the last word on each object is the oldest change's.
        let mut then: BTreeMap<Place, Option<Arc<Object>>> = BTreeMap::new();
        for event in self.ring.iter().rev().take_while(|event| event.rv > rv) {
            if let Some(any) = event.new.as_ref().or(event.old.as_ref()) {
                let at = place(&any.key);
                if wanted(&at) {
                    then.insert(at, event.old.clone());
                }
            }
        }
        let mut objects: Vec<Arc<Object>> = self
            .objects
            .iter()
            .filter(|(at, _)| wanted(at) && !then.contains_key(*at))
            .map(|(_, object)| Arc::clone(object))
            .collect();
        if !then.is_empty() {
            objects.extend(then.into_values().flatten());
            objects.sort_by(|a, b| {
                (&a.key.namespace, &a.key.name).cmp(&(&b.key.namespace, &b.key.name))
            });
        }
        objects
    }

    /// The place just after `rv`, which is not older than [`Shelf::oldest`].
    pub(crate) fn cursor(&self, rv: u64) -> Cursor {
        let index = self.ring.partition_point(|event| event.rv <= rv);
        Cursor { next: self.front + index as u64, more: self.more.subscribe() }
    }

    /// The next changes, and whether there are still more after them: at most `max`, and no more than
    /// take `bytes` together (but always one).
    pub(crate) fn next(
        &self,
        cursor: &mut Cursor,
        max: usize,
        bytes: usize,
    ) -> Result<(Vec<Arc<Event>>, bool), Fallen> {
        cursor.more.mark_unchanged();
        let Some(skip) = cursor.next.checked_sub(self.front) else {
            return Err(Fallen { oldest: self.oldest });
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut left = bytes;
        let mut events = Vec::new();
        for event in self.ring.iter().skip(skip).take(max) {
            let fits = left.checked_sub(event.size());
            if fits.is_none() && !events.is_empty() {
                break;
            }
            left = fits.unwrap_or(0);
            events.push(Arc::clone(event));
        }
        cursor.next += events.len() as u64;
        let more = cursor.next < self.front + self.ring.len() as u64;
        Ok((events, more))
    }
}

fn place(key: &Key) -> Place {
    (Arc::clone(&key.namespace), Arc::clone(&key.name))
}

/// Changes kept for each resource, in number and in bytes of bodies.
const MAX_EVENTS: usize = 4096;
const MAX_BYTES: usize = 4 << 20;
const MIN_EVENTS: usize = 64;
