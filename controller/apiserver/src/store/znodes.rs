//! Objects as znodes: `/troupe/api/<group>/<plural>/<namespace>/<name>`, a zxid as resourceVersion.
//!
//! The core group is written `core` and cluster scope `_`. Groups, plurals, namespaces and names hold
//! neither slash nor underscore alone, so a path is read back without escapes; names that a path cannot
//! hold as they are (`.` and `..`) are not valid names of objects either.

use bytes::Bytes;
use ensemble::{Local, OpError, Stat, What};
use types::Zxid;

use super::{
    Change, Following, Key, Received, Resource, Revision, Store, StoreError, Stored, Writing,
};

/// Where all objects are.
const ROOT: &str = "/troupe/api";

/// Keeps each object in a znode of an ensemble.
pub struct ZnodeStore {
    local: Local,
}

impl ZnodeStore {
    /// Objects live in the ensemble that `local` belongs to.
    pub fn new(local: Local) -> Self {
        Self { local }
    }
}

impl Store for ZnodeStore {
    fn create<'a>(&'a self, key: &'a Key, body: Bytes) -> Writing<'a, Revision> {
        Box::pin(async move {
            let stat = self.local.create_all(&path_of(key), body).await.map_err(why)?;
            Ok(revision(&stat))
        })
    }

    fn replace<'a>(&'a self, key: &'a Key, body: Bytes, version: i32) -> Writing<'a, Revision> {
        Box::pin(async move {
            let stat = self.local.set(&path_of(key), body, Some(version)).await.map_err(why)?;
            Ok(revision(&stat))
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, version: i32) -> Writing<'a, u64> {
        Box::pin(async move {
            let zxid = self.local.delete(&path_of(key), Some(version)).await.map_err(why)?;
            Ok(rv(zxid))
        })
    }

    fn follow(&self) -> Following {
        let (zxid, now, changes) = self.local.follow(ROOT);
        let now = now
            .into_iter()
            .filter_map(|(path, body, stat)| {
                let key = key_of(&path)?;
                Some(Stored { key, revision: revision(&stat), body })
            })
            .collect();
        let later = Box::new(Received::new(changes, change_of));
        Following { rv: rv(zxid), now, later }
    }

    fn applied(&self) -> u64 {
        rv(self.local.applied())
    }
}

fn change_of(change: ensemble::Change) -> Option<Change> {
    let key = key_of(&change.path)?;
    Some(match change.what {
        What::Created { data, stat } | What::Set { data, stat } => {
            Change::Put(Stored { key, revision: revision(&stat), body: data })
        }
        What::Deleted => Change::Gone { key, rv: rv(change.zxid) },
    })
}

fn path_of(key: &Key) -> String {
    let group = if key.resource.group.is_empty() { "core" } else { &key.resource.group };
    let namespace = if key.namespace.is_empty() { "_" } else { &key.namespace };
    format!("{ROOT}/{group}/{}/{namespace}/{}", key.resource.plural, key.name)
}

/// `None` for the inner znodes of the tree.
fn key_of(path: &str) -> Option<Key> {
    let mut parts = path.strip_prefix(ROOT)?.strip_prefix('/')?.split('/');
    let (group, plural, namespace, name) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let group = if group == "core" { "" } else { group };
    let namespace = if namespace == "_" { "" } else { namespace };
    Some(Key::new(&Resource::new(group, plural), namespace, name))
}

fn revision(stat: &Stat) -> Revision {
    Revision { rv: rv(stat.mzxid), version: stat.version }
}

fn rv(zxid: Zxid) -> u64 {
    zxid.bits().cast_unsigned()
}

fn why(error: OpError) -> StoreError {
    match error {
        OpError::NoNode { .. } => StoreError::Absent,
        OpError::NodeExists { .. } => StoreError::Exists,
        OpError::BadVersion { .. } => StoreError::Stale,
        OpError::TooLarge { bytes, limit, .. } => StoreError::TooLarge { bytes, limit },
        other => StoreError::Unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_back() {
        for (group, namespace) in [("", ""), ("", "a"), ("oracle.test", ""), ("oracle.test", "b")] {
            let key = Key::new(&Resource::new(group, "things"), namespace, "x.y");
            assert_eq!(key_of(&path_of(&key)), Some(key));
        }
        assert_eq!(key_of("/troupe/api/core/things"), None);
        assert_eq!(key_of("/troupe/other/core/things/_/x"), None);
    }
}
