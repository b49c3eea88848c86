//! What the tree will be once all that was prepared is applied.
//!
//! Lives here: the znodes that transactions on their way will change, over the tree as it is. Must not:
//! decide anything. Start at [`Overlay::get`]. Source: `outstandingChanges` of `ZooKeeperServer`.
//! **Invariant:** `digest` is the sum that the tree will have after the last transaction prepared.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use jute::{AclList, StatPersisted, Text};
use types::{SessionId, Zxid};

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
    /// Its part of the sum.
    part: i64,
}

/// The same to be judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) stat: StatPersisted,
    pub(super) children: u32,
    pub(super) acl: &'a AclList,
}

/// Where a znode's data is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// In the tree, where nothing on its way changes it: a delete would have a put of its own.
    Applied(NodeId),
    /// In a transaction on its way.
    New(Option<Bytes>),
}

#[derive(Debug)]
pub(super) struct Overlay {
    /// Each put that is not applied yet, oldest first.
    puts: VecDeque<Put>,
    /// The number of the first of them; they are numbered on and on.
    first: u64,
    /// By path: the number of the last put of it.
    latest: HashTable<u64>,
    hasher: FixedState,
    recent: Recent,
    pub(super) digest: i64,
}

/// What will become of a path, and by which transaction.
#[derive(Debug)]
struct Put {
    zxid: Zxid,
    /// The root's is "".
    path: Text,
    hash: u64,
    /// `None`: it will be deleted.
    node: Option<Shadow>,
    /// The number of the one before it of this path, which may be applied by now.
    before: Option<u64>,
    /// There is a later one of this path.
    is_hidden: bool,
    digest_before: i64,
}

/// What is known of a path, until the next put of it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    hash: u64,
    at: At,
}

#[derive(Clone, Copy)]
enum At {
    /// In the put of this number.
    Put(u64),
    Tree(NodeId),
    Nowhere,
}

/// A point to go back to within one transaction.
pub(super) struct Mark(usize);

impl Shadow {
    fn of(state: &State, path: &str, id: NodeId) -> Self {
        let (stat, data) = state.tree.parts(id);
        let children = state.tree.child_count(id);
        let acl = state.acl(id).clone();
        let part = digest::node(path, data, &stat);
        Self { stat, children, acl, data: Data::Applied(id), part }
    }

    fn data<'a>(&'a self, state: &'a State) -> Option<&'a [u8]> {
        match &self.data {
            Data::New(data) => data.as_deref(),
            Data::Applied(id) => state.tree.data(*id),
        }
    }
}

impl Seen<'_> {
    pub(super) fn owner(&self) -> Owner {
        Owner::from_bits(self.stat.ephemeral_owner)
    }
}

impl Overlay {
    pub(super) fn over(state: &State) -> Self {
        Self {
            puts: VecDeque::new(),
            first: 0,
            latest: HashTable::new(),
            hasher: FixedState::with_seed(state.hash_seed()),
            recent: Recent::default(),
            digest: state.digest().tree,
        }
    }

    /// Where the znode is found, if there will be one.
    pub(super) fn look(&mut self, state: &State, path: &str) -> Place {
        let path = path::canonical(path);
        let mut hasher = self.hasher.build_hasher();
        hasher.write(path.as_bytes());
        let hash = hasher.finish();
        let latest = self.latest.find(hash, |&number| *self.numbered(number).path == *path);
        let at = match latest {
            Some(&number) => At::Put(number),
            None => state.tree.find_near(path, &mut self.recent).map_or(At::Nowhere, At::Tree),
        };
        Place { hash, at }
    }

    /// The znode as it will be; `None` when there will be none.
    pub(super) fn see<'a>(&'a self, state: &'a State, place: Place) -> Option<Seen<'a>> {
        match place.at {
            At::Put(number) => {
                let node = self.numbered(number).node.as_ref()?;
                Some(Seen { stat: node.stat, children: node.children, acl: &node.acl })
            }
            At::Tree(id) => {
                let (stat, children) = (state.tree.stat(id), state.tree.child_count(id));
                Some(Seen { stat, children, acl: state.acl(id) })
            }
            At::Nowhere => None,
        }
    }

    /// The data that it will have.
    pub(super) fn data<'a>(&'a self, state: &'a State, place: Place) -> Option<&'a [u8]> {
        match place.at {
            At::Put(number) => self.numbered(number).node.as_ref()?.data(state),
            At::Tree(id) => state.tree.data(id),
            At::Nowhere => None,
        }
    }

    /// Whether there will be a znode.
    pub(super) fn has(&self, place: Place) -> bool {
        match place.at {
            At::Put(number) => self.numbered(number).node.is_some(),
            At::Tree(_) => true,
            At::Nowhere => false,
        }
    }

    /// The znode `path` that was seen at `place` will be another one by this.
    pub(super) fn change(
        &mut self,
        state: &State,
        zxid: Zxid,
        (path, place): (&Text, Place),
        change: impl FnOnce(&mut Shadow),
    ) {
        let node = match place.at {
            At::Put(number) => self.numbered(number).node.clone(),
            At::Tree(id) => Some(Shadow::of(state, path::canonical(path), id)),
            At::Nowhere => None,
        };
        let put = self.put(zxid, (path, place), node);
        if let Some(node) = &mut put.node {
            let old = node.part;
            change(node);
            let new = digest::node(&put.path, node.data(state), &node.stat);
            node.part = new;
            self.digest = self.digest.wrapping_add(new).wrapping_sub(old);
        }
    }

    /// There will be a znode `path`, for which `place` was found free.
    pub(super) fn make(
        &mut self,
        zxid: Zxid,
        (path, place): (&Text, Place),
        stat: StatPersisted,
        acl: AclList,
        data: Option<Bytes>,
    ) {
        let part = digest::node(path::canonical(path), data.as_deref(), &stat);
        let node = Shadow { stat, children: 0, acl, data: Data::New(data), part };
        self.put(zxid, (path, place), Some(node));
        self.digest = self.digest.wrapping_add(part);
    }

    /// The znode `path` that was seen at `place` will be gone.
    pub(super) fn delete(&mut self, state: &State, zxid: Zxid, (path, place): (&Text, Place)) {
        let part = match place.at {
            At::Put(number) => self.numbered(number).node.as_ref().map_or(0, |node| node.part),
            At::Tree(id) => Shadow::of(state, path::canonical(path), id).part,
            At::Nowhere => 0,
        };
        self.put(zxid, (path, place), None);
        self.digest = self.digest.wrapping_sub(part);
    }

    /// The sum is the caller's to bring up to date.
    fn put(&mut self, zxid: Zxid, (path, place): (&Text, Place), node: Option<Shadow>) -> &mut Put {
        let path = if path.as_str() == "/" { Text::default() } else { path.clone() };
        let (hash, number) = (place.hash, self.first + self.puts.len() as u64);
        let before = if let At::Put(before) = place.at { Some(before) } else { None };
        let digest_before = self.digest;
        self.puts.push_back(Put {
            zxid,
            path,
            hash,
            node,
            before,
            is_hidden: false,
            digest_before,
        });
        match before {
            Some(before) => {
                self.repoint(hash, before, Some(number));
                self.numbered_mut(before).is_hidden = true;
            }
            None => {
                let (puts, first) = (&self.puts, self.first);
                self.latest.insert_unique(hash, number, |&number| puts[index(first, number)].hash);
            }
        }
        self.numbered_mut(number)
    }

    /// The ephemerals that a session will have; those on their way last.
    pub(super) fn ephemerals(&self, state: &State, session: SessionId) -> Vec<Text> {
        let latest = || self.puts.iter().filter(|put| !put.is_hidden);
        let changed: BTreeSet<&str> = latest().map(|put| put.path.as_str()).collect();
        let applied = state.ephemerals(session).filter(|path| !changed.contains(path.as_str()));
        let mut paths: Vec<Text> = applied.map(Text::from).collect();
        let known = paths.len();
        let owned =
            |node: &Shadow| Owner::from_bits(node.stat.ephemeral_owner) == Owner::Session(session);
        let coming = latest().filter(|put| put.node.as_ref().is_some_and(owned));
        paths.extend(coming.map(|put| put.path.clone()));
        paths[known..].sort_unstable();
        paths
    }

    /// Everything up to `zxid` is in the tree.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while let Some(put) = self.puts.front().filter(|put| put.zxid <= zxid) {
            if !put.is_hidden {
                self.repoint(put.hash, self.first, None);
            }
            self.puts.pop_front();
            self.first += 1;
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
        let Some(put) = self.puts.pop_back() else {
            return;
        };
        self.digest = put.digest_before;
        let number = self.first + self.puts.len() as u64;
        // What is in the tree by now must not come back over what the tree has become since.
        let before = put.before.filter(|before| *before >= self.first);
        self.repoint(put.hash, number, before);
        if let Some(before) = before {
            self.numbered_mut(before).is_hidden = false;
        }
    }

    /// Has a path's place in `latest` name another put, or none.
    fn repoint(&mut self, hash: u64, from: u64, to: Option<u64>) {
        if let Ok(mut entry) = self.latest.find_entry(hash, |&number| number == from) {
            match to {
                Some(to) => *entry.get_mut() = to,
                None => drop(entry.remove()),
            }
        }
    }

    fn numbered(&self, number: u64) -> &Put {
        &self.puts[index(self.first, number)]
    }

    fn numbered_mut(&mut self, number: u64) -> &mut Put {
        &mut self.puts[index(self.first, number)]
    }

    /// Whether all that was prepared is applied.
    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty()
    }
}

fn index(first: u64, number: u64) -> usize {
    usize::try_from(number - first).expect("all of them are in memory")
}
