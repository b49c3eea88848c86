//! Creates.

use jute::{
    CreateRequest, CreateTxn, ErrorCode, Perms, StatPersisted, Text, Txn, create_flags as flags,
};
use types::SessionId;

use super::{Ask, Prep};
use crate::access::normalise;
use crate::owner::Owner;
use crate::path;
use crate::quota::Difference;

impl Prep {
    /// One of the two creates of ordinary znodes.
    pub(super) fn create(
        &mut self,
        ask: &mut Ask<'_>,
        create: &CreateRequest,
    ) -> Result<CreateTxn, ErrorCode> {
        let mode = self.mode(create.flags)?;
        let owner = match mode.kind {
            // A container asked for by the opcodes that do not make one is an ordinary znode, as in Apache.
            Kind::Lasting | Kind::Container => Owner::Nobody,
            Kind::Ephemeral if ask.requester.session == SessionId(0) => {
                return Err(ErrorCode::BadArguments);
            }
            Kind::Ephemeral => Owner::Session(ask.requester.session),
            // These opcodes carry no time to live.
            Kind::Ttl => return Err(ErrorCode::BadArguments),
        };
        self.create_owned(ask, create, mode.sequential, owner)
    }

    /// Apache makes a container whatever the flags say; here they agree or are refused.
    pub(super) fn create_container(
        &mut self,
        ask: &mut Ask<'_>,
        create: &CreateRequest,
    ) -> Result<CreateTxn, ErrorCode> {
        match self.mode(create.flags)? {
            Mode { kind: Kind::Container, .. } => {
                self.create_owned(ask, create, false, Owner::Container)
            }
            _ => Err(ErrorCode::BadArguments),
        }
    }

    /// Apache lets flags of other kinds pass and dies of the transaction; here they are refused.
    pub(super) fn create_ttl(
        &mut self,
        ask: &mut Ask<'_>,
        create: &CreateRequest,
        ttl: i64,
    ) -> Result<Txn, ErrorCode> {
        match self.mode(create.flags)? {
            Mode { kind: Kind::Ttl, sequential } if Owner::is_ttl(ttl) => {
                let txn = self.create_owned(ask, create, sequential, Owner::Ttl(ttl))?;
                Ok(Txn::CreateTtl(txn, ttl))
            }
            _ => Err(ErrorCode::BadArguments),
        }
    }

    /// What the flags ask for.
    fn mode(&self, flags: i32) -> Result<Mode, ErrorCode> {
        let (kind, sequential) = match flags {
            flags::PERSISTENT => (Kind::Lasting, false),
            flags::EPHEMERAL => (Kind::Ephemeral, false),
            flags::PERSISTENT_SEQUENTIAL => (Kind::Lasting, true),
            flags::EPHEMERAL_SEQUENTIAL => (Kind::Ephemeral, true),
            flags::CONTAINER => (Kind::Container, false),
            flags::TTL | flags::TTL_SEQUENTIAL if !self.rules.extended_types => {
                return Err(ErrorCode::Unimplemented);
            }
            flags::TTL => (Kind::Ttl, false),
            flags::TTL_SEQUENTIAL => (Kind::Ttl, true),
            _ => return Err(ErrorCode::BadArguments),
        };
        Ok(Mode { kind, sequential })
    }

    fn create_owned(
        &mut self,
        ask: &mut Ask<'_>,
        create: &CreateRequest,
        sequential: bool,
        owner: Owner,
    ) -> Result<CreateTxn, ErrorCode> {
        match owner {
            Owner::Session(_) => ask.check_global_session()?,
            _ => ask.check_session()?,
        }
        let parent_path = path::parent(&create.path).ok_or(ErrorCode::BadArguments)?;
        let is_valid = path::is_valid(&create.path);
        if !is_valid && create.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let acl = normalise(&create.acl, ask.requester.auth, self.rules)?;
        let (parent_place, parent) = self.see(ask, parent_path)?;
        ask.check_access(parent.acl, Perms::CREATE)?;
        let (number, parent_owner) = (parent.stat.cversion, parent.owner());
        let (path, is_valid) = match sequential {
            true => {
                let path = Text::from(format!("{}{number:010}", create.path));
                let is_valid = path::is_valid(&path);
                (path, is_valid)
            }
            false => (create.path.clone(), is_valid),
        };
        if !is_valid {
            return Err(ErrorCode::BadArguments);
        }
        let place = self.overlay.look(ask.state, &path);
        if self.overlay.has(place) {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent_owner, Owner::Session(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.check_quota(ask, &path, Difference::made(create.data.as_deref()))?;
        let parent_cversion = number.wrapping_add(1);
        let parent_path = create.path.slice(parent_path);
        let zxid = ask.turn.zxid;
        // It has one child more.
        self.overlay.change(ask.state, zxid, (&parent_path, parent_place), |parent| {
            parent.stat.cversion = parent_cversion;
            parent.stat.pzxid = zxid;
            parent.children += 1;
        });
        let ephemeral = matches!(owner, Owner::Session(_));
        let stat = fresh_stat(ask, owner.bits());
        self.overlay.make(zxid, (&path, place), stat, acl.clone(), create.data.clone());
        Ok(CreateTxn { path, data: create.data.clone(), acl, ephemeral, parent_cversion })
    }
}

/// What a create asks for.
struct Mode {
    kind: Kind,
    sequential: bool,
}

enum Kind {
    Lasting,
    Ephemeral,
    Container,
    Ttl,
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
