//! Changes of znodes that are there: delete, setData, setACL, check.

use std::time::Duration;

use bytes::Bytes;
use jute::{AclList, ErrorCode, Perms, SetAclTxn, SetDataTxn, Text, Txn, VersionTxn};

use super::overlay::{Data, Place, Seen};
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
        let (parent_place, parent) = self.see(ask, &parent_path)?;
        ask.check_access(parent.acl, Perms::DELETE)?;
        let (place, node) = self.see(ask, path)?;
        next_version(version, node.stat.version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.overlay.delete(ask.state, ask.turn.zxid, (path, place));
        self.put_childless(ask, (&parent_path, parent_place));
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
        let (place, node) = self.see(ask, path)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        let waited = Some(Duration::ZERO);
        if !has_served(&node.stat, ask.turn.wall_ms, waited) {
            return Err(ErrorCode::BadVersion);
        }
        let (parent_place, _) = self.see(ask, &parent_path)?;
        self.overlay.delete(ask.state, ask.turn.zxid, (path, place));
        self.put_childless(ask, (&parent_path, parent_place));
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
        let (place, node) = self.see_valid(ask, path)?;
        ask.check_access(node.acl, Perms::WRITE)?;
        let is = node.stat.version;
        if self.rules.enforce_quota {
            let before = self.overlay.data(ask.state, place);
            self.check_quota(ask, path, Difference::set(before, data.as_deref()))?;
        }
        let version = next_version(version, is)?;
        let turn = ask.turn;
        self.overlay.change(ask.state, turn.zxid, (path, place), |node| {
            node.stat.version = version;
            node.stat.mzxid = turn.zxid;
            node.stat.mtime = turn.wall_ms;
            node.data = Data::New(data.clone());
        });
        Ok(Txn::SetData(SetDataTxn { path: path.clone(), data: data.clone(), version }))
    }

    pub(super) fn set_acl(
        &mut self,
        ask: &mut Ask<'_>,
        path: &Text,
        acl: &AclList,
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        ask.check_session()?;
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let acl = normalise(acl, ask.requester.auth, self.rules)?;
        let (place, node) = self.see(ask, path)?;
        ask.check_access(node.acl, Perms::ADMIN)?;
        let version = next_version(version, node.stat.aversion)?;
        self.overlay.change(ask.state, ask.turn.zxid, (path, place), |node| {
            node.stat.aversion = version;
            node.acl = acl.clone();
        });
        Ok(Txn::SetAcl(SetAclTxn { path: path.clone(), acl, version }))
    }

    pub(super) fn check(
        &mut self,
        ask: &mut Ask<'_>,
        path: &Text,
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        ask.check_session()?;
        let (_, node) = self.see_valid(ask, path)?;
        ask.check_access(node.acl, Perms::READ)?;
        let version = next_version(version, node.stat.version)?;
        Ok(Txn::Check(VersionTxn { path: path.clone(), version }))
    }

    /// The parent has one child less; how many it ever had stays.
    pub(super) fn put_childless(&mut self, ask: &Ask<'_>, parent: (&Text, Place)) {
        let zxid = ask.turn.zxid;
        self.overlay.change(ask.state, zxid, parent, |parent| {
            parent.stat.pzxid = zxid.max(parent.stat.pzxid);
            parent.children = parent.children.saturating_sub(1);
        });
    }

    fn see_valid<'a>(
        &'a mut self,
        ask: &Ask<'a>,
        path: &str,
    ) -> Result<(Place, Seen<'a>), ErrorCode> {
        if path::is_valid(path) { self.see(ask, path) } else { Err(ErrorCode::BadArguments) }
    }
}

/// The parent of a path that may be deleted.
fn deletable_parent(path: &Text) -> Result<Text, ErrorCode> {
    let parent = path::parent(path).map(|parent| path.slice(parent));
    let deletable = !path.contains('\0') && !path::is_reserved(path);
    parent.filter(|_| deletable).ok_or(ErrorCode::BadArguments)
}
