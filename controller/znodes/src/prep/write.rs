//! Changes of znodes that are there: delete, setData, setACL, check.

use std::time::Duration;

use bytes::Bytes;
use jute::{Acl, ErrorCode, Perms, SetAclTxn, SetDataTxn, Text, Txn, VersionTxn};

use super::overlay::{Data, Overlay, Shadow};
use super::{Ask, Prep, next_version};
use crate::access::normalise;
use crate::path;
use crate::quota::Difference;
use crate::reaper::has_served;

impl Prep {
    pub(super) fn delete(
        &mut self,
        ask: &mut Ask<'_>,
        path: &Text,
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        ask.check_session()?;
        let parent_path = deletable_parent(path)?;
        let parent = self.get(ask, &parent_path)?;
        ask.check_access(&parent, Perms::DELETE)?;
        let node = self.get(ask, path)?;
        next_version(version, node.stat.version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.put_deleted(ask, path, &node);
        self.put_childless(ask, &parent_path, parent);
        Ok(Txn::Delete { path: path.clone() })
    }

    /// Asked for by the member itself, which looked at the tree without what is on its way: a container
    /// or time to live that was used meanwhile stays, and so does whatever else has the path by now.
    pub(super) fn delete_container(
        &mut self,
        ask: &Ask<'_>,
        path: &Text,
    ) -> Result<Txn, ErrorCode> {
        let parent_path = deletable_parent(path)?;
        let node = self.get(ask, path)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        let waited = Some(Duration::ZERO);
        if !has_served(&node.stat, ask.turn.wall_ms, waited) {
            return Err(ErrorCode::BadVersion);
        }
        let parent = self.get(ask, &parent_path)?;
        self.put_deleted(ask, path, &node);
        self.put_childless(ask, &parent_path, parent);
        Ok(Txn::DeleteContainer { path: path.clone() })
    }

    pub(super) fn set_data(
        &mut self,
        ask: &mut Ask<'_>,
        path: &Text,
        data: &Option<Bytes>,
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        ask.check_session()?;
        let node = self.get_valid(ask, path)?;
        ask.check_access(&node, Perms::WRITE)?;
        let before = node.data(ask.state);
        self.check_quota(ask, path, Difference::set(before, data.as_deref()))?;
        let version = next_version(version, node.stat.version)?;
        let old = node.part(path, before);
        let mut after = node;
        after.stat.version = version;
        after.stat.mzxid = ask.turn.zxid;
        after.stat.mtime = ask.turn.wall_ms;
        after.data = Data::New(data.clone());
        self.overlay.put(ask.state, ask.turn.zxid, path, old, Some(after));
        Ok(Txn::SetData(SetDataTxn { path: path.clone(), data: data.clone(), version }))
    }

    pub(super) fn set_acl(
        &mut self,
        ask: &mut Ask<'_>,
        path: &Text,
        acl: &[Acl],
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        ask.check_session()?;
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let acl = normalise(acl, ask.requester.auth, self.rules)?;
        let node = self.get(ask, path)?;
        ask.check_access(&node, Perms::ADMIN)?;
        let version = next_version(version, node.stat.aversion)?;
        let old = Overlay::part(ask.state, path, &node);
        let mut after = node;
        after.stat.aversion = version;
        after.acl = acl.as_slice().into();
        self.overlay.put(ask.state, ask.turn.zxid, path, old, Some(after));
        Ok(Txn::SetAcl(SetAclTxn { path: path.clone(), acl, version }))
    }

    pub(super) fn check(
        &mut self,
        ask: &mut Ask<'_>,
        path: &Text,
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        ask.check_session()?;
        let node = self.get_valid(ask, path)?;
        ask.check_access(&node, Perms::READ)?;
        let version = next_version(version, node.stat.version)?;
        Ok(Txn::Check(VersionTxn { path: path.clone(), version }))
    }

    /// The znode will be gone.
    pub(super) fn put_deleted(&mut self, ask: &Ask<'_>, path: &Text, before: &Shadow) {
        let old = Overlay::part(ask.state, path, before);
        self.overlay.put(ask.state, ask.turn.zxid, path, old, None);
    }

    /// The parent has one child less; how many it ever had stays.
    pub(super) fn put_childless(&mut self, ask: &Ask<'_>, path: &Text, before: Shadow) {
        let old = Overlay::part(ask.state, path, &before);
        let mut after = before;
        after.stat.pzxid = ask.turn.zxid.max(after.stat.pzxid);
        after.children = after.children.saturating_sub(1);
        self.overlay.put(ask.state, ask.turn.zxid, path, old, Some(after));
    }

    fn get_valid(&mut self, ask: &Ask<'_>, path: &str) -> Result<Shadow, ErrorCode> {
        if path::is_valid(path) { self.get(ask, path) } else { Err(ErrorCode::BadArguments) }
    }
}

/// The parent of a path that may be deleted.
fn deletable_parent(path: &Text) -> Result<Text, ErrorCode> {
    let parent = path::parent(path).map(|parent| path.slice(parent));
    let deletable = !path.contains('\0') && !path::is_reserved(path);
    parent.filter(|_| deletable).ok_or(ErrorCode::BadArguments)
}
