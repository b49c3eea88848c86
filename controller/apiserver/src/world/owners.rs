//! Who owns whom, by uid, and what follows for the collector.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::store::Key;

use super::Object;

/// Uids of what exists, and of the owners named by what exists.
#[derive(Default)]
pub(crate) struct Owners {
    keys: HashMap<Arc<str>, Key>,
    dependents: HashMap<Arc<str>, BTreeSet<Key>>,
    /// Keys of the definitions and namespaces that are being deleted, to be looked at again.
    waiting: BTreeSet<Key>,
}

impl Owners {
    pub(crate) fn key_of(&self, uid: &str) -> Option<Key> {
        self.keys.get(uid).cloned()
    }

    pub(crate) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.dependents.get(uid).into_iter().flatten()
    }

    /// Takes in one change and adds to `chores` what the collector must look at because of it.
    pub(crate) fn update(
        &mut self,
        old: Option<&Arc<Object>>,
        new: Option<&Arc<Object>>,
        chores: &mut BTreeSet<Key>,
    ) {
        let old_owners = old.map(uids).unwrap_or_default();
        let new_owners = new.map(uids).unwrap_or_default();
        if let Some(old) = old {
            for owner in old_owners.difference(&new_owners) {
                self.forget(owner, &old.key);
            }
            // An owner in foreground deletion waits for this one.
            if new.is_none() {
                chores.extend(old_owners.iter().filter_map(|uid| self.keys.get(uid)).cloned());
            }
            let replaced = new.is_none_or(|new| new.uid() != old.uid());
            if replaced {
                self.keys.remove(old.uid());
                chores.extend(self.dependents(old.uid()).cloned());
            }
        }
        if let Some(new) = new {
            self.keys.insert(new.uid().into(), new.key.clone());
            for owner in new_owners.difference(&old_owners) {
                self.dependents.entry(Arc::clone(owner)).or_default().insert(new.key.clone());
            }
            if new.deleting() || new_owners != old_owners {
                chores.insert(new.key.clone());
            }
        }
        self.wake_containers(old, new, chores);
    }

    /// Namespaces and definitions that are being deleted wait for what they contain.
    fn wake_containers(
        &mut self,
        old: Option<&Arc<Object>>,
        new: Option<&Arc<Object>>,
        chores: &mut BTreeSet<Key>,
    ) {
        let Some(any) = new.or(old) else { return };
        let container =
            matches!(&*any.key.resource.plural, "namespaces" | "customresourcedefinitions");
        if container {
            match new {
                Some(new) if new.deleting() => self.waiting.insert(new.key.clone()),
                _ => self.waiting.remove(&any.key),
            };
        }
        if new.is_none() || old.is_none() {
            // Few are ever being deleted at once, so all of them look again.
            chores.extend(self.waiting.iter().cloned());
        }
    }

    fn forget(&mut self, owner: &Arc<str>, key: &Key) {
        if let Some(keys) = self.dependents.get_mut(owner) {
            keys.remove(key);
            if keys.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

fn uids(object: &Arc<Object>) -> BTreeSet<Arc<str>> {
    object.owners().filter_map(|owner| owner["uid"].as_str()).map(Arc::from).collect()
}
