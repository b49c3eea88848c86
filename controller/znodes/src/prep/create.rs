//! Creates.

use jute::{
    CreateRequest, CreateTxn, ErrorCode, Perms, StatPersisted, Text, create_flags as flags,
};
use types::SessionId;

use super::overlay::Shadow;
use super::{Ask, Prep};
use crate::access::normalise;
use crate::owner::Owner;
use crate::path;

impl Prep {
    pub(super) fn create(
        &mut self,
        ask: &mut Ask<'_>,
        create: &CreateRequest,
    ) -> Result<CreateTxn, ErrorCode> {
        let (ephemeral, sequential) = mode(create.flags)?;
        let session = ask.requester.session;
        if ephemeral && session == SessionId(0) {
            return Err(ErrorCode::BadArguments);
        }
        ask.check_session()?;
        let parent_path = path::parent(&create.path).ok_or(ErrorCode::BadArguments)?;
        if create.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let acl = normalise(&create.acl, ask.requester.auth)?;
        let parent = self.get(ask, parent_path)?;
        ask.check_access(&parent, Perms::CREATE)?;
        let number = parent.stat.cversion;
        let path = match sequential {
            true => Text::from(format!("{}{number:010}", create.path)),
            false => create.path.clone(),
        };
        if !path::is_valid(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.overlay.get(ask.state, &path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent.owner(), Owner::Session(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let parent_cversion = number.wrapping_add(1);
        let parent_path = create.path.slice(parent_path);
        self.put_child(ask, &parent_path, &parent, parent_cversion);
        let owner = if ephemeral { session.0 } else { 0 };
        let node = Shadow::new(fresh_stat(ask, owner), acl.as_slice().into(), create.data.clone());
        self.overlay.put(ask.state, ask.turn.zxid, &path, None, Some(node));
        Ok(CreateTxn { path, data: create.data.clone(), acl, ephemeral, parent_cversion })
    }

    /// The parent has one child more.
    fn put_child(&mut self, ask: &Ask<'_>, path: &Text, before: &Shadow, cversion: i32) {
        let mut after = before.clone();
        after.stat.cversion = cversion;
        after.stat.pzxid = ask.turn.zxid;
        after.children += 1;
        self.overlay.put(ask.state, ask.turn.zxid, path, Some(before), Some(after));
    }
}

/// Why a container is refused: by its flags, or because there is nothing yet that deletes it.
pub(super) fn refuse_container(create: &CreateRequest) -> ErrorCode {
    match create.flags {
        flags::CONTAINER => ErrorCode::Unimplemented,
        _ => ErrorCode::BadArguments,
    }
}

/// Why a time to live is refused: by its flags, or because such znodes are switched off.
pub(super) fn refuse_ttl(create: &CreateRequest) -> ErrorCode {
    match create.flags {
        flags::TTL | flags::TTL_SEQUENTIAL => ErrorCode::Unimplemented,
        _ => ErrorCode::BadArguments,
    }
}

/// Ephemeral? Sequential?
fn mode(flags: i32) -> Result<(bool, bool), ErrorCode> {
    match flags {
        // A container asked for by the opcodes that do not make one is an ordinary znode, as in Apache.
        flags::PERSISTENT | flags::CONTAINER => Ok((false, false)),
        flags::EPHEMERAL => Ok((true, false)),
        flags::PERSISTENT_SEQUENTIAL => Ok((false, true)),
        flags::EPHEMERAL_SEQUENTIAL => Ok((true, true)),
        _ => Err(ErrorCode::BadArguments),
    }
}

fn fresh_stat(ask: &Ask<'_>, ephemeral_owner: i64) -> StatPersisted {
    let (zxid, time) = (ask.turn.zxid, ask.turn.wall_ms);
    StatPersisted {
        czxid: zxid,
        mzxid: zxid,
        pzxid: zxid,
        ctime: time,
        mtime: time,
        ephemeral_owner,
        ..StatPersisted::default()
    }
}
