//! The lists that znodes refer to, each kept once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jute::{Acl, AclList, Id, Perms};

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
    /// The one taken last: mostly the next one, too. In use.
    last: Option<(AclList, AclId)>,
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
            last: None,
            next: AclId::FIRST,
            open: Arc::new([Acl::OPEN]),
            unknown: Arc::new([Acl { perms: Perms(0), id: Id::ANYONE }]),
        }
    }

    /// The list's id, for one more znode.
    pub(crate) fn take(&mut self, list: &AclList) -> AclId {
        let is_it = |(last, _): &&(AclList, _)| last == list;
        let known = self.last.as_ref().filter(is_it).map(|last| last.1);
        if let Some(id) = known.or_else(|| self.by_list.get(list).copied()) {
            if known.is_none() {
                self.last = self.by_id.get(&id).map(|counted| (counted.list.clone(), id));
            }
            self.take_again(id);
            return id;
        }
        let id = AclId(self.next);
        self.next = self.next.checked_add(1).expect("a znode in use for each id in use");
        // The frame it came in may be a million times as long, and goes.
        let detached = |acl: &Acl| Acl { perms: acl.perms, id: acl.id.detached() };
        let list: AclList = list.iter().map(detached).collect();
        self.by_list.insert(list.clone(), id);
        self.by_id.insert(id, Counted { list: list.clone(), znodes: 1 });
        self.last = Some((list, id));
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
            self.last = None;
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
        let open: AclList = Arc::new([Acl::OPEN]);
        let id = acls.take(&open);
        assert_ne!(id, AclId::OPEN, "an explicit list has an id of its own, however open");
        assert_eq!(acls.take(&open), id);
        assert_eq!(acls.take(&[Acl::OPEN].into()), id);
        acls.release(id);
        acls.release(id);
        assert_eq!(acls.get(id)[..], [Acl::OPEN]);
        acls.release(id);
        assert_eq!(acls.iter().len(), 0);
        assert_eq!(acls.get(id)[0].perms, Perms(0));
        assert_eq!(acls.take(&open), AclId(id.0 + 1), "what nobody has is forgotten");
    }

    #[test]
    fn a_list_that_is_kept_keeps_no_frame() {
        let mut acls = Acls::new();
        let frame = jute::Text::from("digest".to_owned());
        let list: AclList = Arc::new([Acl { perms: Perms(1), id: Id::new(frame.clone(), "x") }]);
        let id = acls.take(&list);
        assert_eq!(acls.get(id), &list);
        assert_ne!(acls.get(id)[0].id.scheme.as_ptr(), frame.as_ptr());
        assert_eq!(acls.take(&list), id);
        assert_ne!(acls.last.as_ref().map(|last| last.0.as_ptr()), Some(list.as_ptr()));
    }
}
