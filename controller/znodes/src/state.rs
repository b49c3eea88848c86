//! The replicated state of one member, and how it is read.
//!
//! Lives here: tree, session table, ephemerals by session, ACL lists, the sum over the tree. Must not:
//! change by anything but a transaction (`apply`) or a snapshot. Start at [`State::get`].
//! **Invariant:** `digest` is the sum of all znodes' digests; `ephemerals` holds exactly the znodes whose
//! owner is a session, and `reapable` those whose owner is neither a session nor nobody.

use std::collections::{BTreeMap, BTreeSet};

use jute::{AclList, Stat, StatPersisted, TxnDigest};
use types::{SessionId, Zxid};

use crate::acls::{AclId, Acls};
use crate::owner::Owner;
use crate::quota::Difference;
use crate::session_table::SessionTable;
use crate::tree::{Free, NodeId, Recent, Tree};
use crate::watches::Place;
use crate::{digest, path};

/// Everything that transactions have built.
#[derive(Debug)]
pub struct State {
    pub(crate) tree: Tree,
    /// For what is applied.
    pub(crate) recent: Recent,
    pub(crate) acls: Acls,
    pub(crate) sessions: SessionTable,
    pub(crate) ephemerals: BTreeMap<SessionId, BTreeSet<NodeId>>,
    /// Containers and znodes with a time to live.
    pub(crate) reapable: BTreeSet<NodeId>,
    /// The paths that have a quota.
    pub(crate) quotas: BTreeSet<Box<str>>,
    pub(crate) digest: i64,
    /// `digest` follows what is done to the tree; not while a transaction is applied whose sum is known.
    pub(crate) is_summed: bool,
    pub(crate) zxid: Zxid,
}

/// A znode, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    state: &'a State,
    id: NodeId,
}

/// Where an ensemble's configuration is kept.
pub const CONFIG_PATH: &str = "/zookeeper/config";

impl State {
    /// What a member starts with: the root and `/zookeeper`.
    ///
    /// `hash_seed` should be random: it keeps clients from choosing names that collide. Nothing that can
    /// be seen depends on it.
    pub fn new(hash_seed: u64) -> Self {
        let mut state = Self::bare(hash_seed, &StatPersisted::default(), Some(b""), AclId::OPEN);
        let stat = StatPersisted::default();
        let zookeeper = state.add(Tree::ROOT, "/zookeeper", &stat, Some(b""), AclId::OPEN);
        state.add(zookeeper, "/zookeeper/quota", &stat, Some(b""), AclId::OPEN);
        state.add_config();
        state
    }

    /// With a root and nothing below it.
    pub(crate) fn bare(
        hash_seed: u64,
        stat: &StatPersisted,
        data: Option<&[u8]>,
        acl: AclId,
    ) -> Self {
        Self {
            tree: Tree::new(hash_seed, stat, data, acl),
            recent: Recent::default(),
            acls: Acls::new(),
            sessions: SessionTable::default(),
            ephemerals: BTreeMap::new(),
            reapable: BTreeSet::new(),
            quotas: BTreeSet::new(),
            digest: digest::node("", data, stat),
            is_summed: true,
            zxid: Zxid::ZERO,
        }
    }

    /// What makes the order of hash maps unknown to clients.
    pub(crate) fn hash_seed(&self) -> u64 {
        self.tree.hash_seed()
    }

    /// The last transaction that was applied.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The sum over the tree, to go with the last transaction.
    pub fn digest(&self) -> TxnDigest {
        TxnDigest { version: TxnDigest::VERSION, tree: self.digest }
    }

    /// Whether the tree is what the leader said it would be. A sum of another version proves nothing.
    pub fn agrees_with(&self, digest: TxnDigest) -> bool {
        digest.version != TxnDigest::VERSION || digest.tree == self.digest
    }

    /// The znode at `path`.
    pub fn get(&self, path: &str) -> Option<Node<'_>> {
        self.tree.find(path).map(|id| Node { state: self, id })
    }

    /// The place a watch is set on.
    pub fn place<'a>(&self, path: &'a str) -> Place<'a> {
        // The root has two names, and only one is told of.
        let id = if path.is_empty() { None } else { self.tree.find(path) };
        Place::new(path, id)
    }

    /// Every session and its timeout in ms.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = (SessionId, i32)> {
        self.sessions.iter()
    }

    /// A session's timeout in ms; `None` when there is no such session.
    pub fn session_timeout(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(session)
    }

    /// The paths that go with a session, in the order in which its end deletes them.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = String> {
        self.ephemerals.get(&session).into_iter().flatten().map(|&id| self.tree.path(id))
    }

    /// How many znodes go with a session.
    pub fn ephemeral_count(&self) -> usize {
        self.ephemerals.values().map(BTreeSet::len).sum()
    }

    /// How many znodes there are. The root has two names and counts twice, as it always did.
    pub fn node_count(&self) -> usize {
        self.tree.len() + 1
    }

    /// Everything at and below `prefix` ("/" for all), parents first: path, data and stat.
    pub fn below(&self, prefix: &str, mut visit: impl FnMut(&str, Option<&[u8]>, Stat)) {
        let mut stack: Vec<(NodeId, String)> = Vec::new();
        stack.extend(self.tree.find(prefix).map(|id| (id, self.tree.path(id))));
        while let Some((id, path)) = stack.pop() {
            visit(path::public(&path), self.tree.data(id), self.stat(id));
            let child = |child| (child, format!("{path}/{}", self.tree.name(child)));
            stack.extend(self.tree.children(id).map(child));
        }
    }

    /// Ends the life of ephemerals whose session is not in the table, without a transaction.
    ///
    /// To be called once the log was replayed: a snapshot of another make may hold such. Returns their paths.
    pub fn drop_orphans(&mut self) -> Vec<String> {
        let owners: Vec<SessionId> = self.ephemerals.keys().copied().collect();
        let orphaned = owners.into_iter().filter(|owner| self.sessions.get(*owner).is_none());
        let ids: Vec<NodeId> = orphaned.flat_map(|owner| self.ephemerals[&owner].clone()).collect();
        let mut paths = Vec::with_capacity(ids.len());
        for id in ids {
            let path = self.tree.path(id);
            self.cut_leaf(id, &path);
            paths.push(path);
        }
        paths
    }

    /// The stat as clients see it.
    pub(crate) fn stat(&self, id: NodeId) -> Stat {
        let (stat, data) = self.tree.parts(id);
        public_stat(&stat, data.map_or(0, <[u8]>::len), self.tree.child_count(id))
    }

    pub(crate) fn acl(&self, id: NodeId) -> &AclList {
        self.acls.get(self.tree.acl(id))
    }

    /// A znode's part of the sum, as far as it is wanted.
    pub(crate) fn part(&self, path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> i64 {
        if self.is_summed { digest::node(path::canonical(path), data, stat) } else { 0 }
    }

    /// Puts a znode in, with all that hangs on it but its parent's stat. The ACL was taken for it.
    pub(crate) fn add(
        &mut self,
        parent: NodeId,
        path: &str,
        stat: &StatPersisted,
        data: Option<&[u8]>,
        acl: AclId,
    ) -> NodeId {
        let free = self.tree.free(parent, path::name(path));
        self.add_free(free.expect("the caller knows that the name is free"), path, stat, data, acl)
    }

    /// As [`Self::add`], where `path` was found to be free.
    pub(crate) fn add_free(
        &mut self,
        free: Free<'_>,
        path: &str,
        stat: &StatPersisted,
        data: Option<&[u8]>,
        acl: AclId,
    ) -> NodeId {
        self.digest = self.digest.wrapping_add(self.part(path, data, stat));
        let id = self.tree.insert(free, stat, data, acl);
        self.take_in(id, stat);
        id
    }

    /// All that hangs on a new znode's owner.
    pub(crate) fn take_in(&mut self, id: NodeId, stat: &StatPersisted) {
        match Owner::from_bits(stat.ephemeral_owner) {
            Owner::Nobody => {}
            Owner::Session(session) => {
                self.ephemerals.entry(session).or_default().insert(id);
            }
            Owner::Container | Owner::Ttl(_) => {
                self.reapable.insert(id);
            }
        }
    }

    /// Takes a znode without children out, with all that hangs on it but its parent's stat.
    pub(crate) fn cut_leaf(&mut self, id: NodeId, path: &str) {
        let (stat, data) = self.tree.parts(id);
        let change = Difference::deleted(data);
        self.digest = self.digest.wrapping_sub(self.part(path, data, &stat));
        match Owner::from_bits(stat.ephemeral_owner) {
            Owner::Nobody => {}
            Owner::Session(session) => {
                if let Some(owned) = self.ephemerals.get_mut(&session) {
                    owned.remove(&id);
                    if owned.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
            Owner::Container | Owner::Ttl(_) => {
                self.reapable.remove(&id);
            }
        }
        self.acls.release(self.tree.acl(id));
        self.tree.remove(id);
        self.count_deleted(path, change);
    }

    pub(crate) fn deepest_first_child(&self, id: NodeId) -> Option<NodeId> {
        let first = |id| self.tree.children(id).next();
        std::iter::successors(first(id), |&child| first(child)).last()
    }
}

impl<'a> Node<'a> {
    /// What is known of it.
    pub fn stat(self) -> Stat {
        self.state.stat(self.id)
    }

    /// Its data; null and empty differ.
    pub fn data(self) -> Option<&'a [u8]> {
        self.state.tree.data(self.id)
    }

    /// Who may do what.
    pub fn acl(self) -> &'a AclList {
        self.state.acl(self.id)
    }

    /// What its life hangs on.
    pub fn owner(self) -> Owner {
        Owner::from_bits(self.persisted().ephemeral_owner)
    }

    /// The names of its children, in no order.
    pub fn children(self) -> impl Iterator<Item = &'a str> {
        let tree = &self.state.tree;
        tree.children(self.id).map(|child| tree.name(child))
    }

    /// How many children it has.
    pub fn child_count(self) -> u32 {
        self.state.tree.child_count(self.id)
    }

    /// How many znodes are below it, at any depth.
    pub fn descendants(self) -> usize {
        let tree = &self.state.tree;
        if self.id == Tree::ROOT {
            return tree.len() - 1;
        }
        let (mut count, mut stack) = (0, vec![self.id]);
        while let Some(id) = stack.pop() {
            let before = stack.len();
            stack.extend(tree.children(id));
            count += stack.len() - before;
        }
        count
    }

    pub(crate) fn persisted(self) -> StatPersisted {
        self.state.tree.stat(self.id)
    }
}

/// What clients are told, from what is kept.
pub(crate) fn public_stat(stat: &StatPersisted, data_length: usize, children: u32) -> Stat {
    let children = i32::try_from(children).unwrap_or(i32::MAX);
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        // Children made are kept, made and deleted are told.
        cversion: stat.cversion.wrapping_mul(2).wrapping_sub(children),
        aversion: stat.aversion,
        ephemeral_owner: Owner::from_bits(stat.ephemeral_owner).session_or_zero(),
        data_length: i32::try_from(data_length).unwrap_or(i32::MAX),
        num_children: children,
        pzxid: stat.pzxid,
    }
}

#[cfg(test)]
mod tests {
    use jute::Perms;

    use super::*;

    #[test]
    fn an_empty_member_has_the_captured_count_and_sum() {
        let state = State::new(7);
        assert_eq!((state.node_count(), state.digest().tree), (5, 0x51c6_d660));
        let config = state.get(CONFIG_PATH).expect("there from the start");
        assert_eq!((config.stat().version, config.stat().aversion), (0, -1));
        assert_eq!(config.acl()[0].perms, Perms::READ);
    }
}
