//! The lists that znodes refer to, each kept once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jute::{Acl, Id, Perms};

/// A list, shared.
pub type AclList = Arc<[Acl]>;

/// Names a list within one member; not comparable between members.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct AclId(u32);

impl AclId {
    /// Everything to everyone; the list of the znodes that are there from the start.
    pub(crate) const OPEN: Self = Self(0);
    /// A list that a snapshot refers to and does not have. It allows nothing, until replay repairs it.
    pub(crate) const UNKNOWN: Self = Self(1);

    const FIRST: u32 = 2;

    /// The number a snapshot writes: -1 for the open list, 1 and up for others.
    pub(crate) fn disk(self) -> i64 {
        match self {
            Self::OPEN => -1,
            Self(id) => i64::from(id) - i64::from(Self::FIRST) + 1,
        }
    }
}

/// All lists in use.
#[derive(Clone, Debug)]
pub(crate) struct Acls {
    by_id: BTreeMap<AclId, Counted>,
    by_list: BTreeMap<AclList, AclId>,
    next: u32,
    open: AclList,
    unknown: AclList,
}

#[derive(Clone, Debug)]
struct Counted {
    list: AclList,
    znodes: u64,
}

impl Acls {
    pub(crate) fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_list: BTreeMap::new(),
            next: AclId::FIRST,
            open: Arc::new([Acl::OPEN]),
            unknown: Arc::new([Acl { perms: Perms(0), id: Id::ANYONE }]),
        }
    }

    /// The list's id, for one more znode.
    pub(crate) fn take(&mut self, list: &[Acl]) -> AclId {
        if let Some(&id) = self.by_list.get(list) {
            self.take_again(id);
            return id;
        }
        let (id, list): (_, AclList) = (AclId(self.next), list.into());
        self.next = self.next.checked_add(1).expect("a znode in use for each id in use");
        self.by_list.insert(list.clone(), id);
        self.by_id.insert(id, Counted { list, znodes: 1 });
        id
    }

    /// One more znode has this list.
    pub(crate) fn take_again(&mut self, id: AclId) {
        if let Some(counted) = self.by_id.get_mut(&id) {
            counted.znodes += 1;
        }
    }

    /// One znode less has this list.
    pub(crate) fn release(&mut self, id: AclId) {
        let Some(counted) = self.by_id.get_mut(&id) else {
            return;
        };
        counted.znodes -= 1;
        if counted.znodes == 0 {
            self.by_list.remove(&counted.list);
            self.by_id.remove(&id);
        }
    }

    /// The list.
    pub(crate) fn get(&self, id: AclId) -> &AclList {
        match id {
            AclId::OPEN => &self.open,
            _ => self.by_id.get(&id).map_or(&self.unknown, |counted| &counted.list),
        }
    }

    /// Every list but the open one, by id.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (AclId, &AclList)> {
        self.by_id.iter().map(|(&id, counted)| (id, &counted.list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_kept_once_and_as_long_as_a_znode_has_it() {
        let mut acls = Acls::new();
        let id = acls.take(&[Acl::OPEN]);
        assert_ne!(id, AclId::OPEN, "an explicit list has an id of its own, however open");
        assert_eq!(acls.take(&[Acl::OPEN]), id);
        acls.release(id);
        assert_eq!(acls.get(id)[..], [Acl::OPEN]);
        acls.release(id);
        assert_eq!(acls.iter().len(), 0);
        assert_eq!(acls.get(id)[0].perms, Perms(0));
    }
}
