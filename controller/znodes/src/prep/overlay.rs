//! What the tree will be once all that was prepared is applied.
//!
//! Lives here: the znodes that transactions on their way will change, over the tree as it is. Must not:
//! decide anything. Start at [`Overlay::get`]. Source: `outstandingChanges` of `ZooKeeperServer`.
//! **Invariant:** `digest` is the sum that the tree will have after the last transaction prepared.

use std::collections::VecDeque;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use jute::{StatPersisted, Text};
use types::{SessionId, Zxid};

use crate::acls::AclList;
use crate::owner::Owner;
use crate::tree::{NodeId, Recent};
use crate::{State, digest, path};

/// A znode as it will be.
#[derive(Clone, Debug)]
pub(super) struct Shadow {
    pub(super) stat: StatPersisted,
    pub(super) children: u32,
    pub(super) acl: AclList,
    pub(super) data: Data,
    /// Its part of the sum, where it was computed already.
    digest: Option<i64>,
}

/// Where a znode's data is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// In the tree, where nothing on its way changes it: a delete would have a record of its own.
    Applied(NodeId),
    /// In a transaction on its way.
    New(Option<Bytes>),
}

/// What will become of a path, and by which transaction.
#[derive(Clone, Debug)]
struct Record {
    zxid: Zxid,
    /// `None`: it will be deleted.
    node: Option<Shadow>,
}

#[derive(Debug)]
pub(super) struct Overlay {
    records: HashMap<Text, Record, FixedState>,
    /// Each put that is not applied yet, oldest first, with what it takes to undo it.
    puts: VecDeque<Put>,
    applied: Zxid,
    recent: Recent,
    pub(super) digest: i64,
}

#[derive(Debug)]
struct Put {
    zxid: Zxid,
    path: Text,
    replaced: Option<Record>,
    digest_before: i64,
}

/// A point to go back to within one transaction.
pub(super) struct Mark(usize);

impl Shadow {
    pub(super) fn new(stat: StatPersisted, acl: AclList, data: Option<Bytes>) -> Self {
        Self { stat, children: 0, acl, data: Data::New(data), digest: None }
    }

    /// The data it will have.
    pub(super) fn data<'a>(&'a self, state: &'a State) -> Option<&'a [u8]> {
        match &self.data {
            Data::New(data) => data.as_deref(),
            Data::Applied(id) => state.tree.data(*id),
        }
    }

    /// Its part of the sum, with the data that it will have.
    pub(super) fn part(&self, path: &str, data: Option<&[u8]>) -> i64 {
        self.digest.unwrap_or_else(|| digest::node(path::canonical(path), data, &self.stat))
    }

    pub(super) fn owner(&self) -> Owner {
        Owner::from_bits(self.stat.ephemeral_owner)
    }
}

impl Overlay {
    pub(super) fn over(state: &State) -> Self {
        Self {
            records: HashMap::with_hasher(FixedState::with_seed(state.hash_seed())),
            puts: VecDeque::new(),
            applied: Zxid::ZERO,
            recent: Recent::default(),
            digest: state.digest().tree,
        }
    }

    /// The znode as it will be; `None` when there will be none.
    pub(super) fn get(&mut self, state: &State, path: &str) -> Option<Shadow> {
        let path = path::canonical(path);
        if let Some(record) = self.records.get(path) {
            return record.node.clone();
        }
        let id = state.tree.find_near(path, &mut self.recent)?;
        Some(Shadow {
            stat: state.tree.stat(id),
            children: state.tree.child_count(id),
            acl: state.acl(id).clone(),
            data: Data::Applied(id),
            digest: None,
        })
    }

    /// Whether there will be a znode.
    pub(super) fn has(&mut self, state: &State, path: &str) -> bool {
        let path = path::canonical(path);
        match self.records.get(path) {
            Some(record) => record.node.is_some(),
            None => state.tree.find_near(path, &mut self.recent).is_some(),
        }
    }

    /// A znode's part of the sum.
    pub(super) fn part(state: &State, path: &str, node: &Shadow) -> i64 {
        // It may be known, and then its data need not be found.
        node.digest.unwrap_or_else(|| node.part(path, node.data(state)))
    }

    /// The znode `path`, which has the part `old` of the sum (0: there is none), will be `after`.
    pub(super) fn put(
        &mut self,
        state: &State,
        zxid: Zxid,
        path: &Text,
        old: i64,
        after: Option<Shadow>,
    ) {
        let path = if path.as_str() == "/" { Text::default() } else { path.clone() };
        let mut node = after;
        let mut new = 0;
        if let Some(node) = &mut node {
            node.digest = None;
            new = Self::part(state, &path, node);
            node.digest = Some(new);
        }
        let digest_before = self.digest;
        self.digest = self.digest.wrapping_add(new).wrapping_sub(old);
        let record = Record { zxid, node };
        let replaced = match self.records.entry_ref(path.as_str()) {
            EntryRef::Occupied(mut found) => Some(std::mem::replace(found.get_mut(), record)),
            EntryRef::Vacant(place) => {
                place.insert_entry_with_key(path.clone(), record);
                None
            }
        };
        self.puts.push_back(Put { zxid, path, replaced, digest_before });
    }

    /// The ephemerals that a session will have; those on their way last.
    pub(super) fn ephemerals(&self, state: &State, session: SessionId) -> Vec<Text> {
        let applied = state.ephemerals(session).map(Text::from);
        let mut paths: Vec<Text> =
            applied.filter(|path| !self.records.contains_key(path.as_str())).collect();
        let owned = |node: &Shadow| node.owner() == Owner::Session(session);
        let coming =
            self.records.iter().filter(|(_, record)| record.node.as_ref().is_some_and(owned));
        let known = paths.len();
        paths.extend(coming.map(|(path, _)| path.clone()));
        // The map has no order that could be told.
        paths[known..].sort_unstable();
        paths
    }

    /// Everything up to `zxid` is in the tree.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        self.applied = zxid;
        let count = self.puts.partition_point(|put| put.zxid <= zxid);
        for put in self.puts.drain(..count) {
            if let EntryRef::Occupied(record) = self.records.entry_ref(put.path.as_str())
                && record.get().zxid <= zxid
            {
                record.remove();
            }
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.puts.len())
    }

    /// What followed the mark never was. Nothing was applied since.
    pub(super) fn undo_to(&mut self, mark: &Mark) {
        while self.puts.len() > mark.0 {
            self.undo_last();
        }
    }

    /// What was put from `first` on never was.
    pub(super) fn withdraw(&mut self, first: Zxid) {
        while self.puts.back().is_some_and(|put| put.zxid >= first) {
            self.undo_last();
        }
    }

    fn undo_last(&mut self) {
        let Some(Put { path, replaced, digest_before, .. }) = self.puts.pop_back() else {
            return;
        };
        self.digest = digest_before;
        // What is in the tree by now must not come back over what the tree has become since.
        match replaced.filter(|record| record.zxid > self.applied) {
            Some(record) => self.records.insert(path, record),
            None => self.records.remove(&path),
        };
    }

    /// Whether all that was prepared is applied.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.puts.is_empty()
    }
}
