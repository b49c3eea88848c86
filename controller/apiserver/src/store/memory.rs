//! Objects in memory, for tests and trials.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Change, Following, Key, Received, Revision, Store, StoreError, Stored, Writing};

/// Keeps everything in one map. Gone with the process.
#[derive(Default)]
pub struct MemoryStore(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    rv: u64,
    objects: BTreeMap<Key, (Revision, Bytes)>,
    followers: Vec<UnboundedSender<Change>>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, key: &Key, body: Bytes, version: i32) -> Revision {
        self.rv += 1;
        let revision = Revision { rv: self.rv, version };
        self.objects.insert(key.clone(), (revision, body.clone()));
        self.tell(&Change::Put(Stored { key: key.clone(), revision, body }));
        revision
    }

    fn tell(&mut self, change: &Change) {
        self.followers.retain(|follower| follower.send(change.clone()).is_ok());
    }

    fn expect(&self, key: &Key, version: i32) -> Result<(), StoreError> {
        match self.objects.get(key) {
            None => Err(StoreError::Absent),
            Some((now, _)) if now.version != version => Err(StoreError::Stale),
            Some(_) => Ok(()),
        }
    }
}

impl Store for MemoryStore {
    fn create<'a>(&'a self, key: &'a Key, body: Bytes) -> Writing<'a, Revision> {
        Box::pin(async move {
            let mut inner = self.lock();
            if inner.objects.contains_key(key) {
                return Err(StoreError::Exists);
            }
            Ok(inner.put(key, body, 0))
        })
    }

    fn replace<'a>(&'a self, key: &'a Key, body: Bytes, version: i32) -> Writing<'a, Revision> {
        Box::pin(async move {
            let mut inner = self.lock();
            inner.expect(key, version)?;
            Ok(inner.put(key, body, version + 1))
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, version: i32) -> Writing<'a, u64> {
        Box::pin(async move {
            let mut inner = self.lock();
            inner.expect(key, version)?;
            inner.objects.remove(key);
            inner.rv += 1;
            let rv = inner.rv;
            inner.tell(&Change::Gone { key: key.clone(), rv });
            Ok(rv)
        })
    }

    fn follow(&self) -> Following {
        let mut inner = self.lock();
        let (sender, later) = unbounded_channel();
        inner.followers.push(sender);
        let now = inner
            .objects
            .iter()
            .map(|(key, (revision, body))| Stored {
                key: key.clone(),
                revision: *revision,
                body: body.clone(),
            })
            .collect();
        Following { rv: inner.rv, now, later: Box::new(Received::new(later, Some)) }
    }

    fn applied(&self) -> u64 {
        self.lock().rv
    }
}
