//! The tree: an arena of znodes with 32-bit ids, and one index from (parent, name) to id.
//!
//! Lives here: how znodes are kept and found. Must not: what a transaction means. Start at [`Tree::find`].
//! A name is stored once, children are a linked list through the arena, the oldest first, and the arena is made of pages
//! that a frozen copy shares: a page is copied when it is first written after a freeze, so that a
//! snapshot is exact and costs writers no more than the pages they touch.
//! **Invariant:** a znode is in the index and in its parent's list, or its slot is vacant.

mod body;
mod index;
mod pages;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use jute::StatPersisted;
use types::Zxid;

use crate::acls::AclId;
use crate::path;
use index::Table;
pub use index::{Batch, Index};
pub(crate) use pages::Pages;
use pages::{Kids, Slot};

/// A znode's place in the arena; used again after it is deleted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// The lowest there is.
    pub(crate) const FIRST: Self = Self(0);

    /// As a number; ids are dense.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// As an index.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// From [`Self::index`].
    pub(crate) fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("an id's index"))
    }
}

/// Where the last path's parent is: that of the next one, mostly. Of one tree.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    path: String,
    id: Option<NodeId>,
    removals: u64,
}

/// Where a child is to be made.
#[derive(Debug)]
pub(crate) struct Free<'a> {
    parent: NodeId,
    name: &'a str,
    hash: u32,
}

/// No znode.
const NONE: u32 = u32::MAX;

/// The tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pages: Pages,
    index: Table,
    hasher: FixedState,
    hash_seed: u64,
    /// The first vacant slot.
    vacant: u32,
    /// Znodes, the root among them.
    len: usize,
    /// How often a znode was taken out: what [`Recent`] holds on to is there until the next time.
    removals: u64,
    /// Where a znode's bytes are put together.
    packed: Vec<u8>,
    /// Znodes whose children may not be in the order of their czxids: only a snapshot of another make, and a
    /// log that is replayed over a snapshot taken meanwhile, put them in so.
    unordered: BTreeSet<NodeId>,
    /// The last one that was found to be: many children of one are put in one after the other.
    lately_unordered: Option<NodeId>,
}

impl Tree {
    /// With a root that has these; `hash_seed` makes the index's order unknown to clients.
    pub(crate) fn new(
        hash_seed: u64,
        stat: &StatPersisted,
        data: Option<&[u8]>,
        acl: AclId,
    ) -> Self {
        let mut tree = Self {
            pages: Pages::default(),
            index: Table::default(),
            hasher: FixedState::with_seed(hash_seed),
            hash_seed,
            vacant: NONE,
            len: 1,
            removals: 0,
            packed: Vec::new(),
            unordered: BTreeSet::new(),
            lately_unordered: None,
        };
        let root = tree.take_slot();
        debug_assert_eq!(root, Self::ROOT);
        tree.pack(stat, "", data, |pages, bytes| pages.fill(root, NONE, NONE, acl, bytes));
        tree
    }

    /// The root's id.
    pub(crate) const ROOT: NodeId = NodeId(0);

    /// Znodes, the root among them.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// There will be about so many znodes.
    pub(crate) fn expect(&mut self, count: usize) {
        self.pages.expect(count);
    }

    /// As given.
    pub(crate) fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    /// The pages as they are now, to be read without the tree.
    pub(crate) fn freeze(&self) -> Pages {
        self.pages.clone()
    }

    /// The znode at `path`; a path that is not valid has none.
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        let path = path::canonical(path);
        if path.is_empty() {
            return Some(Self::ROOT);
        }
        path.strip_prefix('/')?.split('/').try_fold(Self::ROOT, |at, name| self.child(at, name))
    }

    /// As [`Self::find`], and quicker for siblings one after the other.
    pub(crate) fn find_near(&self, path: &str, recent: &mut Recent) -> Option<NodeId> {
        let path = path::canonical(path);
        match path::split(path) {
            // A second name of the root is no parent's.
            Some(("/", _)) => None,
            Some((parent, name)) => self.child(self.find_parent(parent, recent)?, name),
            None => path.is_empty().then_some(Self::ROOT),
        }
    }

    /// The znode at `path`, kept in mind for what is asked about its children.
    pub(crate) fn find_parent(&self, path: &str, recent: &mut Recent) -> Option<NodeId> {
        if let Some(id) = recent.id
            && recent.removals == self.removals
            && recent.path == path
        {
            return Some(id);
        }
        let id = self.find(path)?;
        recent.path.clear();
        recent.path.push_str(path);
        recent.id = Some(id);
        recent.removals = self.removals;
        Some(id)
    }

    /// The child of that name.
    pub(crate) fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.child_hashed(self.hash(parent.0, name.as_bytes()), parent, name)
    }

    /// Where a child of that name would be; `None` when there is one.
    pub(crate) fn free<'a>(&self, parent: NodeId, name: &'a str) -> Option<Free<'a>> {
        let hash = self.hash(parent.0, name.as_bytes());
        let is_free = self.child_hashed(hash, parent, name).is_none();
        is_free.then_some(Free { parent, name, hash })
    }

    /// Makes a child where nothing was made since.
    pub(crate) fn insert(
        &mut self,
        free: Free<'_>,
        stat: &StatPersisted,
        data: Option<&[u8]>,
        acl: AclId,
    ) -> NodeId {
        let Free { parent, name, hash } = free;
        let id = self.fill(parent, name, stat, data, acl);
        // Last: the place is far from all else, and nothing waits for it so.
        self.index.insert(hash, id.0);
        id
    }

    /// Makes a child that is not in the index before [`Self::take_index`]. Whether it is the only one of its name is
    /// seen then.
    pub(crate) fn insert_unindexed(
        &mut self,
        parent: NodeId,
        name: &str,
        stat: &StatPersisted,
        data: Option<&[u8]>,
        acl: AclId,
    ) -> (NodeId, (u32, u32)) {
        let id = self.fill(parent, name, stat, data, acl);
        (id, (self.hash(parent.0, name.as_bytes()), id.0))
    }

    /// Takes an index of all that was made so far. The error is a znode of whose name there is another.
    pub(crate) fn take_index(&mut self, index: Index) -> Result<(), NodeId> {
        let same = |one, other| {
            let (one, other) = (NodeId(one), NodeId(other));
            let name = |id| self.pages.body(id).name_bytes();
            self.parent(one) == self.parent(other) && name(one) == name(other)
        };
        self.index = index.into_table(same).map_err(NodeId)?;
        Ok(())
    }

    /// As [`Self::find`] without the index: as many steps as there are siblings on the way.
    pub(crate) fn find_unindexed(&self, path: &str) -> Option<NodeId> {
        let child = |at, name: &str| self.children(at).find(|child| self.name(*child) == name);
        match path {
            "" => Some(Self::ROOT),
            _ => path.strip_prefix('/')?.split('/').try_fold(Self::ROOT, child),
        }
    }

    fn fill(
        &mut self,
        parent: NodeId,
        name: &str,
        stat: &StatPersisted,
        data: Option<&[u8]>,
        acl: AclId,
    ) -> NodeId {
        let id = self.take_slot();
        let before = self.pages.kids(parent);
        let prev = before.map_or(NONE, |kids| kids.last);
        if prev != NONE
            && self.lately_unordered != Some(parent)
            && self.czxid(NodeId(prev)) > stat.czxid
        {
            self.unordered.insert(parent);
            self.lately_unordered = Some(parent);
        }
        self.pack(stat, name, data, |pages, bytes| pages.fill(id, parent.0, prev, acl, bytes));
        let (first, count) = before.map_or((id.0, 1), |kids| (kids.first, kids.count + 1));
        self.pages.set_kids(parent, Some(Kids { first, last: id.0, count }));
        self.len += 1;
        id
    }

    /// Takes a znode without children out; the root stays.
    pub(crate) fn remove(&mut self, id: NodeId) {
        debug_assert!(self.pages.kids(id).is_none(), "children would be lost");
        let slot = self.pages.slot(id);
        let (parent, prev, next) = (slot.parent, slot.prev, slot.next);
        if parent == NONE {
            return;
        }
        let hash = self.hash(parent, self.pages.body(id).name_bytes());
        self.index.remove(hash, id.0);
        let parent = NodeId(parent);
        if prev != NONE {
            self.slot_mut(NodeId(prev)).next = next;
        }
        if next != NONE {
            self.slot_mut(NodeId(next)).prev = prev;
        }
        let kids = self.pages.kids(parent).filter(|kids| kids.count > 1).map(|kids| Kids {
            first: if prev == NONE { next } else { kids.first },
            last: if next == NONE { prev } else { kids.last },
            count: kids.count - 1,
        });
        if kids.is_none() {
            self.unordered.remove(&parent);
            self.lately_unordered = None;
        }
        self.pages.set_kids(parent, kids);
        self.pages.vacate(id, self.vacant);
        self.vacant = id.0;
        self.len -= 1;
        self.removals += 1;
    }

    pub(crate) fn stat(&self, id: NodeId) -> StatPersisted {
        self.pages.body(id).stat()
    }

    /// Stat and data at one look.
    pub(crate) fn parts(&self, id: NodeId) -> (StatPersisted, Option<&[u8]>) {
        self.pages.body(id).parts()
    }

    pub(crate) fn data(&self, id: NodeId) -> Option<&[u8]> {
        self.pages.body(id).data()
    }

    pub(crate) fn acl(&self, id: NodeId) -> AclId {
        self.pages.slot(id).acl
    }

    pub(crate) fn child_count(&self, id: NodeId) -> u32 {
        self.pages.kids(id).map_or(0, |kids| kids.count)
    }

    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.pages.children(id)
    }

    /// Whether the children come in the order of their czxids.
    pub(crate) fn has_order(&self, parent: NodeId) -> bool {
        !self.unordered.contains(&parent)
    }

    /// `first` and the siblings behind it.
    pub(crate) fn siblings_from(&self, first: NodeId) -> impl Iterator<Item = NodeId> {
        self.pages.siblings_from(first)
    }

    pub(crate) fn czxid(&self, id: NodeId) -> Zxid {
        self.pages.body(id).czxid()
    }

    /// Whether there is such a znode, and it is a child of `parent`.
    pub(crate) fn is_child(&self, id: NodeId, parent: NodeId) -> bool {
        self.pages.is_child(id, parent)
    }

    pub(crate) fn name(&self, id: NodeId) -> &str {
        self.pages.body(id).name()
    }

    /// The path; "" for the root.
    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            names.push(self.name(at));
            at = parent;
        }
        names.iter().rev().fold(String::new(), |path, name| path + "/" + name)
    }

    /// The parent; `None` for the root.
    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeId> {
        let parent = self.pages.slot(id).parent;
        (parent != NONE).then_some(NodeId(parent))
    }

    /// Shows `change` a znode's stat and data; true: the stat is another now.
    pub(crate) fn change_stat(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut StatPersisted, Option<&[u8]>) -> bool,
    ) {
        let body = self.pages.body(id);
        let mut stat = StatPersisted::default();
        let data = body.read(&mut stat);
        if !change(&mut stat, data) {
            return;
        }
        let length = data.map_or(0, <[u8]>::len);
        // Mostly a number has become another one of the same length.
        if !self.pages.body_mut(id).is_some_and(|body| body::replace_stat(body, &stat, length)) {
            let body = self.pages.body(id);
            let data = body.data();
            let mut packed = std::mem::take(&mut self.packed);
            body::pack(&mut packed, &stat, body.name_bytes(), data);
            self.put(id, packed);
        }
    }

    pub(crate) fn set_data(&mut self, id: NodeId, stat: &StatPersisted, data: Option<&[u8]>) {
        if self.pages.body_mut(id).is_some_and(|body| body::replace(body, stat, data)) {
            return;
        }
        let mut packed = std::mem::take(&mut self.packed);
        body::pack(&mut packed, stat, self.pages.body(id).name_bytes(), data);
        self.put(id, packed);
    }

    pub(crate) fn set_acl(&mut self, id: NodeId, acl: AclId) {
        self.slot_mut(id).acl = acl;
    }

    /// Shows `fill` the bytes of a znode.
    fn pack(
        &mut self,
        stat: &StatPersisted,
        name: &str,
        data: Option<&[u8]>,
        fill: impl FnOnce(&mut Pages, &[u8]),
    ) {
        let mut packed = std::mem::take(&mut self.packed);
        body::pack(&mut packed, stat, name.as_bytes(), data);
        fill(&mut self.pages, &packed);
        self.keep(packed);
    }

    fn put(&mut self, id: NodeId, packed: Vec<u8>) {
        self.pages.set_body(id, &packed);
        self.keep(packed);
    }

    /// The buffer is kept for the next one, unless it is an uncommonly long one.
    fn keep(&mut self, packed: Vec<u8>) {
        if packed.capacity() <= KEPT {
            self.packed = packed;
        }
    }

    fn child_hashed(&self, name_hash: u32, parent: NodeId, name: &str) -> Option<NodeId> {
        let is_it = |id| {
            let id = NodeId(id);
            self.pages.slot(id).parent == parent.0
                && self.pages.body(id).name_bytes() == name.as_bytes()
        };
        self.index.find(name_hash, is_it).map(NodeId)
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u32 {
        let mut state = self.hasher.build_hasher();
        state.write_u32(parent);
        state.write(name);
        (state.finish() >> 32) as u32
    }

    fn slot_mut(&mut self, id: NodeId) -> &mut Slot {
        self.pages.slot_mut(id)
    }

    fn take_slot(&mut self) -> NodeId {
        if self.vacant == NONE {
            self.vacant = self.pages.grow();
        }
        let id = NodeId(self.vacant);
        self.vacant = self.pages.slot(id).next;
        id
    }
}

/// The longest buffer that is kept, in bytes.
const KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::new(1, &StatPersisted::default(), Some(b""), AclId::OPEN)
    }

    fn insert(tree: &mut Tree, parent: NodeId, name: &str) -> NodeId {
        let stat = StatPersisted::default();
        let free = tree.free(parent, name).expect("the name is free");
        tree.insert(free, &stat, Some(name.as_bytes()), AclId::OPEN)
    }

    #[test]
    fn a_znode_is_found_by_its_path_until_it_is_removed() {
        let mut tree = tree();
        let a = insert(&mut tree, Tree::ROOT, "a");
        let b = insert(&mut tree, a, "b");
        assert_eq!((tree.find("/"), tree.find("")), (Some(Tree::ROOT), Some(Tree::ROOT)));
        assert_eq!((tree.find("/a"), tree.find("/a/b")), (Some(a), Some(b)));
        assert_eq!(tree.path(b), "/a/b");
        for missing in ["a", "/a/", "//a", "/b", "/a/b/c"] {
            assert_eq!(tree.find(missing), None, "{missing}");
        }
        tree.remove(b);
        assert_eq!((tree.find("/a/b"), tree.len(), tree.child_count(a)), (None, 2, 0));
    }

    #[test]
    fn a_parent_kept_in_mind_is_forgotten_when_it_may_be_another() {
        let mut tree = tree();
        let mut recent = Recent::default();
        let a = insert(&mut tree, Tree::ROOT, "a");
        let b = insert(&mut tree, a, "b");
        for path in ["/", "", "/a", "/a/b", "/a/b", "/b", "a", "/a/", "/a/b/c", "//a"] {
            assert_eq!(tree.find_near(path, &mut recent), tree.find(path), "{path}");
        }
        assert_eq!(tree.find_near("/a/b", &mut recent), Some(b));
        tree.remove(b);
        tree.remove(a);
        assert_eq!(tree.find_near("/a/b", &mut recent), None);
        let again = insert(&mut tree, Tree::ROOT, "c");
        let other = insert(&mut tree, again, "b");
        assert_eq!(tree.find_near("/a/b", &mut recent), None);
        assert_eq!(tree.find_near("/c/b", &mut recent), Some(other));
    }

    #[test]
    fn siblings_stay_linked_whichever_goes() {
        let mut tree = tree();
        let ids: Vec<_> = (0..200).map(|n| insert(&mut tree, Tree::ROOT, &n.to_string())).collect();
        for gone in [199, 0, 100, 101, 198] {
            tree.remove(ids[gone]);
        }
        let again = insert(&mut tree, Tree::ROOT, "again");
        assert!(ids.contains(&again), "a vacant slot is used again");
        let gone = [199, 0, 100, 101, 198];
        let names = (0..200).filter(|n| !gone.contains(n)).map(|n| n.to_string());
        let names: Vec<_> = names.chain(["again".to_owned()]).collect();
        let found: Vec<_> = tree.children(Tree::ROOT).map(|id| tree.name(id).to_owned()).collect();
        assert_eq!(found, names, "the oldest first");
        for id in tree.children(Tree::ROOT).collect::<Vec<_>>() {
            tree.remove(id);
        }
        assert_eq!(tree.children(Tree::ROOT).count(), 0);
    }

    #[test]
    fn a_frozen_copy_does_not_see_what_comes_after() {
        let mut tree = tree();
        let a = insert(&mut tree, Tree::ROOT, "a");
        let frozen = tree.freeze();
        tree.set_data(a, &StatPersisted::default(), Some(b"changed"));
        insert(&mut tree, a, "b");
        let mut seen = Vec::new();
        let walked: Result<(), ()> = frozen.walk(|path, data, _, _| {
            seen.push((path.to_owned(), data.map(<[u8]>::to_vec)));
            Ok(())
        });
        assert_eq!(walked, Ok(()));
        let expected = [(String::new(), Some(vec![])), ("/a".to_owned(), Some(b"a".to_vec()))];
        assert_eq!(seen, expected);
    }
}
