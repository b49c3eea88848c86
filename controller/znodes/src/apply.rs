//! What a transaction does to the state.
//!
//! Lives here: one function for each type of transaction. Must not: refuse (that was `prep`'s); a
//! transaction that finds nothing to change, as happens when a log is replayed over a snapshot that
//! already has it, changes nothing. Start at [`State::apply`]. Source: `DataTree.processTxn`.

use bytes::Bytes;
use jute::{
    AclList, CreateTxn, Entry, ErrorCode, OpResult, Response, SetAclTxn, SetDataTxn, Stat,
    StatPersisted, Text, Txn, TxnDigest, TxnHeader,
};
use types::{SessionId, Zxid};

use crate::State;
use crate::owner::Owner;
use crate::quota::Difference;
use crate::state::public_stat;
use crate::tree::NodeId;
use crate::{digest, path};

/// What became of a transaction.
#[derive(Debug)]
pub struct Applied {
    /// What the requester is told. A session's own beginning is answered by whoever opened it.
    pub response: Result<Response, ErrorCode>,
    /// What changed, in order: for watches and for whoever follows the tree.
    pub changes: Vec<Change>,
}

/// One znode changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which.
    pub path: Text,
    /// How.
    pub what: What,
    /// Whom its list of access lets know: as it was at the change.
    pub acl: AclList,
    pub(crate) id: NodeId,
    /// The root is its own.
    pub(crate) parent: NodeId,
}

/// The changes of a transaction, where somebody is to be told of them.
#[derive(Debug, Default)]
pub struct Changes {
    list: Vec<Change>,
    are_wanted: bool,
}

impl Changes {
    /// Another transaction follows. What is not wanted is not kept.
    pub fn begin(&mut self, are_wanted: bool) {
        self.list.clear();
        self.are_wanted = are_wanted;
    }

    /// In order.
    pub fn list(&self) -> &[Change] {
        &self.list
    }
}

/// How a znode changed.
#[derive(Clone, Debug)]
pub enum What {
    /// It was made.
    Created {
        /// Null and empty differ.
        data: Option<Bytes>,
        /// The new znode's.
        stat: Stat,
        /// Of the parent, whose children changed.
        parent_acl: AclList,
    },
    /// Its data was set.
    DataSet {
        /// Null and empty differ.
        data: Option<Bytes>,
        /// After the change.
        stat: Stat,
    },
    /// It was deleted.
    Deleted {
        /// Of the parent, whose children changed.
        parent_acl: AclList,
    },
}

impl State {
    /// Applies the transaction that comes next. Total and, over what already has it, without effect.
    pub fn apply(&mut self, header: &TxnHeader, txn: &Txn) -> Applied {
        let mut changes = Changes::default();
        changes.begin(true);
        let response = self.apply_into(header, txn, &mut changes);
        Applied { response, changes: changes.list }
    }

    /// As [`Self::apply`], with the changes appended to what is used again and again.
    pub fn apply_into(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        changes: &mut Changes,
    ) -> Result<Response, ErrorCode> {
        let response = self.apply_to(header, txn, changes);
        // Last, so that a snapshot never claims what it does not have.
        self.zxid = self.zxid.max(header.zxid);
        response
    }

    /// As [`Self::apply_into`], for what [`crate::Prep`] made over this state: the sum that goes with it is
    /// taken and mostly not made again. Now and then it is, so that [`Self::agrees_with`] has something to say.
    pub fn apply_prepared(
        &mut self,
        entry: &Entry,
        changes: &mut Changes,
    ) -> Result<Response, ErrorCode> {
        let is_checked =
            cfg!(debug_assertions) || entry.header.zxid.counter().is_multiple_of(SUMMED_EVERY);
        let known =
            entry.digest.filter(|digest| !is_checked && digest.version == TxnDigest::VERSION);
        self.is_summed = known.is_none();
        let response = self.apply_into(&entry.header, &entry.txn, changes);
        self.is_summed = true;
        if let Some(known) = known {
            self.digest = known.tree;
        }
        response
    }

    fn apply_to(
        &mut self,
        header: &TxnHeader,
        txn: &Txn,
        changes: &mut Changes,
    ) -> Result<Response, ErrorCode> {
        match txn {
            Txn::Create(create) => {
                let owner = ephemeral_owner(header, create);
                self.create(header, create, owner, changes)?;
                Ok(Response::Path(create.path.clone()))
            }
            Txn::Create2(create) => {
                let owner = ephemeral_owner(header, create);
                self.create_with_stat(header, create, owner, changes)
            }
            Txn::CreateContainer(create) => {
                self.create_with_stat(header, create, Owner::Container, changes)
            }
            Txn::CreateTtl(create, ttl) => {
                self.create_with_stat(header, create, Owner::Ttl(*ttl), changes)
            }
            Txn::Delete { path } | Txn::DeleteContainer { path } => {
                self.delete(header.zxid, path, changes).map(|()| Response::Empty)
            }
            Txn::SetData(set) => self.set_data(header, set, changes).map(Response::Stat),
            Txn::Reconfig(set) => {
                let stat = self.set_data(header, set, changes)?;
                Ok(Response::Data { data: set.data.clone(), stat })
            }
            Txn::SetAcl(set) => self.set_acl(set).map(Response::Stat),
            Txn::Check(_) => Ok(Response::Empty),
            Txn::Multi(txns) => Ok(Response::Multi(self.multi(header, txns, changes))),
            Txn::Error(code) => Err(*code),
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.session, *timeout_ms);
                Ok(Response::Empty)
            }
            Txn::CloseSession(paths) => {
                self.close_session(header, paths.as_deref().unwrap_or_default(), changes);
                Ok(Response::Empty)
            }
        }
    }

    /// All, or none when one of them is an error.
    fn multi(&mut self, header: &TxnHeader, txns: &[Txn], changes: &mut Changes) -> Vec<OpResult> {
        if txns.iter().any(|txn| matches!(txn, Txn::Error(_))) {
            let undone = |txn: &Txn| match txn {
                Txn::Error(code) => OpResult::Error(Some(*code)),
                _ => OpResult::Error(None),
            };
            return txns.iter().map(undone).collect();
        }
        let mut results = Vec::with_capacity(txns.len());
        for txn in txns {
            results.push(match (txn, self.apply_to(header, txn, changes)) {
                (_, Err(code)) => OpResult::Error(Some(code)),
                (_, Ok(Response::Path(path))) => OpResult::Created { path },
                (_, Ok(Response::Created { path, stat })) => OpResult::Created2 { path, stat },
                (_, Ok(Response::Stat(stat))) => OpResult::Set(stat),
                (Txn::Check(_), _) => OpResult::Checked,
                _ => OpResult::Deleted,
            });
        }
        results
    }

    fn create_with_stat(
        &mut self,
        header: &TxnHeader,
        create: &CreateTxn,
        owner: Owner,
        changes: &mut Changes,
    ) -> Result<Response, ErrorCode> {
        let stat = self.create(header, create, owner, changes)?;
        Ok(Response::Created { path: create.path.clone(), stat })
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        create: &CreateTxn,
        owner: Owner,
        changes: &mut Changes,
    ) -> Result<Stat, ErrorCode> {
        let (parent_path, name) = path::split(&create.path).ok_or(ErrorCode::NoNode)?;
        let parent =
            self.tree.find_parent(parent_path, &mut self.recent).ok_or(ErrorCode::NoNode)?;
        // Only a peer that is broken sends an empty name; the root is there already.
        if name.is_empty() {
            return Err(ErrorCode::NodeExists);
        }
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: owner.bits(),
            ..StatPersisted::default()
        };
        let Some(free) = self.tree.free(parent, name) else {
            self.create_again(header.zxid, create);
            return Err(ErrorCode::NodeExists);
        };
        self.count_child(parent, parent_path, header.zxid, create.parent_cversion);
        let acl = self.acls.take(&create.acl);
        let id = self.add_free(free, &create.path, &stat, create.data.as_deref(), acl);
        self.count_made(&create.path, create.data.as_deref());
        let length = create.data.as_ref().map_or(0, Bytes::len);
        let stat = public_stat(&stat, length, 0);
        if changes.are_wanted {
            let parent_acl = self.acl(parent).clone();
            let what = What::Created { data: create.data.clone(), stat, parent_acl };
            let acl = self.acl(id).clone();
            changes.list.push(Change { path: create.path.clone(), what, acl, id, parent });
        }
        Ok(stat)
    }

    /// The znode is there already, from a snapshot taken while it was being made: the snapshot may lack its list,
    /// or its parent's count of it.
    fn create_again(&mut self, zxid: Zxid, create: &CreateTxn) {
        let Some(id) = self.tree.find(&create.path) else {
            return;
        };
        let acl = self.acls.take(&create.acl);
        self.acls.release(self.tree.acl(id));
        self.tree.set_acl(id, acl);
        if let (Some(parent), Some(path)) = (self.tree.parent(id), path::parent(&create.path)) {
            self.count_child(parent, path, zxid, create.parent_cversion);
        }
    }

    fn delete(&mut self, zxid: Zxid, path: &Text, changes: &mut Changes) -> Result<(), ErrorCode> {
        let parent_path = path::parent(path).ok_or(ErrorCode::NoNode)?;
        let parent = self.tree.find(parent_path).ok_or(ErrorCode::NoNode)?;
        self.restat(parent, parent_path, |stat| {
            let is_newer = zxid > stat.pzxid;
            stat.pzxid = zxid.max(stat.pzxid);
            is_newer
        });
        let id = self.tree.child(parent, path::name(path)).ok_or(ErrorCode::NoNode)?;
        // No transaction that was checked deletes a znode with children; one that does takes them along.
        while let Some(child) = self.deepest_first_child(id) {
            let path = Text::from(self.tree.path(child));
            self.cut(child, path, changes);
        }
        self.cut(id, path.clone(), changes);
        Ok(())
    }

    /// Takes a znode without children out.
    fn cut(&mut self, id: NodeId, path: Text, changes: &mut Changes) {
        let acl = self.acl(id).clone();
        let parent = self.tree.parent(id).unwrap_or(id);
        self.cut_leaf(id, &path);
        if changes.are_wanted {
            let what = What::Deleted { parent_acl: self.acl(parent).clone() };
            changes.list.push(Change { path, what, acl, id, parent });
        }
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        set: &SetDataTxn,
        changes: &mut Changes,
    ) -> Result<Stat, ErrorCode> {
        let found = self.tree.find_near(&set.path, &mut self.recent);
        let id = found.ok_or(ErrorCode::NoNode)?;
        let (before, data) = self.tree.parts(id);
        let stat = StatPersisted {
            mzxid: header.zxid,
            mtime: header.time,
            version: set.version,
            ..before
        };
        let change = Difference::set(data, set.data.as_deref());
        let new = self.part(&set.path, set.data.as_deref(), &stat);
        let old = self.part(&set.path, data, &before);
        self.digest = self.digest.wrapping_add(new).wrapping_sub(old);
        self.tree.set_data(id, &stat, set.data.as_deref());
        self.count_change(&set.path, change);
        let length = set.data.as_ref().map_or(0, Bytes::len);
        let stat = public_stat(&stat, length, self.tree.child_count(id));
        if changes.are_wanted {
            let what = What::DataSet { data: set.data.clone(), stat };
            let acl = self.acl(id).clone();
            let parent = self.tree.parent(id).unwrap_or(id);
            changes.list.push(Change { path: set.path.clone(), what, acl, id, parent });
        }
        Ok(stat)
    }

    fn set_acl(&mut self, set: &SetAclTxn) -> Result<Stat, ErrorCode> {
        let id = self.tree.find(&set.path).ok_or(ErrorCode::NoNode)?;
        let acl = self.acls.take(&set.acl);
        self.acls.release(self.tree.acl(id));
        self.tree.set_acl(id, acl);
        self.restat(id, &set.path, |stat| {
            stat.aversion = set.version;
            true
        });
        Ok(self.stat(id))
    }

    fn close_session(&mut self, header: &TxnHeader, paths: &[Text], changes: &mut Changes) {
        for path in paths {
            // A path may belong to another by now, when a log is replayed over a later snapshot.
            if self.owns(header.session, path) {
                // Only a path that is gone is refused, and this one is there.
                let _deleted = self.delete(header.zxid, path, changes);
            }
        }
        let rest: Vec<String> = self.ephemerals(header.session).collect();
        for path in rest {
            let _deleted = self.delete(header.zxid, &path.into(), changes);
        }
        self.sessions.remove(header.session);
    }

    fn owns(&self, session: SessionId, path: &str) -> bool {
        self.get(path).is_some_and(|node| node.owner() == Owner::Session(session))
    }

    /// A child was made: the count that the transaction carries, unless a later one is there already.
    fn count_child(&mut self, parent: NodeId, path: &str, zxid: Zxid, cversion: i32) {
        self.restat(parent, path, |stat| {
            // Old logs carry -1: one more than it is. A leader's count is never -1 but by wrapping, where the
            // two mean the same.
            let cversion = if cversion == -1 { stat.cversion.wrapping_add(1) } else { cversion };
            // By difference, so that the count may wrap.
            let is_later = cversion.wrapping_sub(stat.cversion) > 0;
            if is_later {
                (stat.cversion, stat.pzxid) = (cversion, zxid);
            }
            is_later
        });
    }

    /// Gives a znode another stat, if `change` says that it made one of it.
    fn restat(&mut self, id: NodeId, path: &str, change: impl FnOnce(&mut StatPersisted) -> bool) {
        let (is_summed, sum) = (self.is_summed, &mut self.digest);
        self.tree.change_stat(id, |stat, data| {
            let before = is_summed.then_some(*stat);
            let is_changed = change(stat);
            if let Some(before) = before.filter(|_| is_changed) {
                let part = |stat| digest::node(path::canonical(path), data, stat);
                *sum = sum.wrapping_add(part(stat)).wrapping_sub(part(&before));
            }
            is_changed
        });
    }
}

/// How often a sum that is known is made all the same.
const SUMMED_EVERY: u32 = 64;

fn ephemeral_owner(header: &TxnHeader, create: &CreateTxn) -> Owner {
    if create.ephemeral { Owner::Session(header.session) } else { Owner::Nobody }
}

#[cfg(test)]
mod tests {
    use jute::Acl;

    use super::*;

    fn apply(state: &mut State, session: i64, zxid: i64, txn: Txn) -> Applied {
        let (session, zxid) = (SessionId(session), Zxid::from_bits(zxid));
        state.apply(&TxnHeader { session, cxid: 0, zxid, time: zxid.bits() }, &txn)
    }

    fn create(path: &str, ephemeral: bool, parent_cversion: i32) -> Txn {
        let (path, acl) = (path.into(), [Acl::OPEN].into());
        Txn::Create(CreateTxn { path, data: None, acl, ephemeral, parent_cversion })
    }

    #[test]
    fn the_end_of_a_session_leaves_what_is_anothers_by_now() {
        let mut state = State::new(1);
        apply(&mut state, 1, 1, create("/mine", true, 1));
        apply(&mut state, 2, 2, create("/theirs", true, 2));
        let paths = Some(vec!["/theirs".into(), "/gone".into()]);
        let applied = apply(&mut state, 1, 3, Txn::CloseSession(paths));
        assert!(state.get("/theirs").is_some());
        assert!(state.get("/mine").is_none(), "what the list lacks goes as well");
        assert_eq!(applied.changes.len(), 1);
    }

    #[test]
    fn old_logs_count_children_without_a_number() {
        let mut state = State::new(1);
        apply(&mut state, 1, 1, create("/a", false, -1));
        apply(&mut state, 1, 2, create("/b", false, -1));
        // Two made, and the one that was there from the start.
        assert_eq!(state.get("/").map(|root| root.stat().cversion), Some(2 * 2 - 3));
    }

    #[test]
    fn what_is_there_is_made_again_without_harm() {
        let mut state = State::new(1);
        apply(&mut state, 1, 5, create("/a", false, 3));
        let before = (state.digest(), state.get("/a").map(|node| node.stat()));
        let applied = apply(&mut state, 1, 4, create("/a", false, 2));
        assert_eq!(applied.response, Err(ErrorCode::NodeExists));
        assert!(applied.changes.is_empty());
        assert_eq!((state.digest(), state.get("/a").map(|node| node.stat())), before);
        assert_eq!(state.zxid(), Zxid::from_bits(5));
    }

    #[test]
    fn a_list_that_a_snapshot_lacks_comes_with_the_znode_made_again_in_any_way() {
        let made = |acl: AclList| CreateTxn {
            path: "/a".into(),
            data: None,
            acl,
            ephemeral: false,
            parent_cversion: 2,
        };
        let ways: [fn(CreateTxn) -> Txn; 4] =
            [Txn::Create, Txn::Create2, Txn::CreateContainer, |create| Txn::CreateTtl(create, 5)];
        for way in ways {
            let mut state = State::new(1);
            apply(&mut state, 1, 4, way(made([Acl::OPEN].into())));
            let id = state.tree.find("/a").expect("it was made");
            state.tree.set_acl(id, crate::acls::AclId::UNKNOWN);
            apply(&mut state, 1, 4, way(made([Acl::OPEN].into())));
            assert_eq!(state.acl(id)[..], [Acl::OPEN]);
        }
    }

    #[test]
    fn ephemerals_of_nobody_are_dropped_after_a_replay() {
        let mut state = State::new(1);
        apply(&mut state, 1, 1, Txn::CreateSession { timeout_ms: 1 });
        apply(&mut state, 1, 2, create("/kept", true, 1));
        apply(&mut state, 2, 3, create("/orphan", true, 2));
        assert_eq!(state.drop_orphans(), ["/orphan"]);
        assert!(state.get("/kept").is_some() && state.get("/orphan").is_none());
    }
}
