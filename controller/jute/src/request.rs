//! What a client or a learner asks for, by opcode.

use bytes::{BufMut, Bytes};
use types::Zxid;

use crate::multi::{MultiOp, MultiRead, decode_multi, decode_multi_read, encode_entries};
use crate::{Acl, AddWatchMode, DecodeError, OpCode, Put, Reader, Text, WatcherType};

/// The `flags` of a create.
pub mod create_flags {
    /// Stays until deleted.
    pub const PERSISTENT: i32 = 0;
    /// Goes with its session.
    pub const EPHEMERAL: i32 = 1;
    /// Stays; a number is appended to its name.
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    /// Goes with its session; a number is appended to its name.
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    /// Goes with its last child.
    pub const CONTAINER: i32 = 4;
    /// Goes when unchanged and childless for some time.
    pub const TTL: i32 = 5;
    /// As [`TTL`]; a number is appended to its name.
    pub const TTL_SEQUENTIAL: i32 = 6;
}

/// A create of any of its four opcodes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CreateRequest {
    /// Absolute; a sequential name is completed by the leader.
    pub path: Text,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// As wished; not yet normalised.
    pub acl: Vec<Acl>,
    /// One of [`create_flags`], as sent: it may be none that is known.
    pub flags: i32,
}

/// A time to live as sent with a create: ms, any value.
pub type CreateTtl = i64;

/// The watches a client had, sent after a reconnect.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SetWatches {
    /// The last zxid the client saw: what changed after it fires at once.
    pub relative_zxid: Zxid,
    /// One-shot, of data.
    pub data: Vec<Text>,
    /// One-shot, of znodes that did not exist.
    pub exist: Vec<Text>,
    /// One-shot, of children.
    pub child: Vec<Text>,
    /// Persistent; only `setWatches2` has them.
    pub persistent: Vec<Text>,
    /// Persistent recursive; only `setWatches2` has them.
    pub recursive: Vec<Text>,
}

/// A proof of who the client is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthPacket {
    /// `digest`, …
    pub scheme: Text,
    /// What the scheme wants, `user:password` for instance.
    pub auth: Bytes,
}

/// A change of the members; null and empty differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reconfig {
    /// `server.N=…`, joined by commas.
    pub joining: Option<Text>,
    /// Ids, joined by commas.
    pub leaving: Option<Text>,
    /// When there, all the members and not a difference.
    pub members: Option<Text>,
    /// The version the configuration must have; -1 for any.
    pub config_id: i64,
}

/// A request, decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Answered with the path.
    Create(CreateRequest),
    /// Answered with path and stat.
    Create2(CreateRequest),
    /// A container; answered with path and stat.
    CreateContainer(CreateRequest),
    /// With a time to live; answered with path and stat.
    CreateTtl(CreateRequest, CreateTtl),
    /// `version` -1 for any.
    Delete {
        /// Absolute.
        path: Text,
        /// The version it must have.
        version: i32,
    },
    /// Made by members only.
    DeleteContainer {
        /// Absolute.
        path: Text,
    },
    /// Answered with the stat.
    SetData {
        /// Absolute.
        path: Text,
        /// Null and empty differ.
        data: Option<Bytes>,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// Answered with the stat.
    SetAcl {
        /// Absolute.
        path: Text,
        /// As wished; not yet normalised.
        acl: Vec<Acl>,
        /// The ACL's version it must have; -1 for any.
        version: i32,
    },
    /// Only within a multi.
    Check {
        /// Absolute.
        path: Text,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// All or none.
    Multi(Vec<MultiOp>),
    /// See [`Reconfig`].
    Reconfig(Reconfig),
    /// Made by members only.
    CreateSession {
        /// As agreed on.
        timeout_ms: i32,
    },
    /// By a client, or by the leader on expiry.
    CloseSession,
    /// Answered with the stat.
    Exists {
        /// Absolute.
        path: Text,
        /// Whether to tell of the next change.
        watch: bool,
    },
    /// Answered with data and stat.
    GetData {
        /// Absolute.
        path: Text,
        /// Whether to tell of the next change.
        watch: bool,
    },
    /// Answered with ACL and stat.
    GetAcl {
        /// Absolute.
        path: Text,
    },
    /// Answered with names.
    GetChildren {
        /// Absolute.
        path: Text,
        /// Whether to tell of the next change.
        watch: bool,
    },
    /// Answered with names and stat.
    GetChildren2 {
        /// Absolute.
        path: Text,
        /// Whether to tell of the next change.
        watch: bool,
    },
    /// Each answered by itself.
    MultiRead(Vec<MultiRead>),
    /// Answered with paths.
    GetEphemerals {
        /// What the paths begin with; empty for all.
        prefix: Text,
    },
    /// Answered with a number.
    GetAllChildrenNumber {
        /// Absolute.
        path: Text,
    },
    /// Who is this connection?
    WhoAmI,
    /// The path is echoed and means nothing.
    Sync {
        /// Anything.
        path: Text,
    },
    /// The session lives.
    Ping,
    /// The one-shot kinds.
    SetWatches(SetWatches),
    /// All kinds.
    SetWatches2(SetWatches),
    /// A persistent watch.
    AddWatch {
        /// Anything.
        path: Text,
        /// How long and far.
        mode: AddWatchMode,
    },
    /// Is there such a watch?
    CheckWatches {
        /// Of which znode.
        path: Text,
        /// Of which kind.
        kind: WatcherType,
    },
    /// Remove a watch.
    RemoveWatches {
        /// Of which znode.
        path: Text,
        /// Of which kind.
        kind: WatcherType,
    },
    /// Proves who the client is.
    Auth(AuthPacket),
    /// A step of a SASL exchange.
    Sasl {
        /// Null and empty differ.
        token: Option<Bytes>,
    },
}

impl Request {
    /// Reads the record that `op` announces; what follows it in the frame is ignored.
    ///
    /// A client is told [`crate::ErrorCode::MarshallingError`] of any error.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create => Self::Create(CreateRequest::decode(reader)?),
            OpCode::Create2 => Self::Create2(CreateRequest::decode(reader)?),
            OpCode::CreateContainer => Self::CreateContainer(CreateRequest::decode(reader)?),
            OpCode::CreateTtl => Self::CreateTtl(CreateRequest::decode(reader)?, reader.i64()?),
            OpCode::Delete => Self::Delete { path: path(reader)?, version: reader.i32()? },
            OpCode::DeleteContainer => Self::DeleteContainer { path: path(reader)? },
            OpCode::SetData => Self::SetData {
                path: path(reader)?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            OpCode::SetAcl => Self::SetAcl {
                path: path(reader)?,
                acl: reader.vector(Acl::decode)?,
                version: reader.i32()?,
            },
            OpCode::Check => Self::Check { path: path(reader)?, version: reader.i32()? },
            OpCode::Multi => Self::Multi(decode_multi(reader)?),
            OpCode::Reconfig => Self::Reconfig(Reconfig {
                joining: reader.text()?,
                leaving: reader.text()?,
                members: reader.text()?,
                config_id: reader.i64()?,
            }),
            OpCode::CreateSession => Self::CreateSession { timeout_ms: reader.i32()? },
            OpCode::CloseSession => Self::CloseSession,
            OpCode::Exists => Self::Exists { path: path(reader)?, watch: reader.bool()? },
            OpCode::GetData => Self::GetData { path: path(reader)?, watch: reader.bool()? },
            OpCode::GetAcl => Self::GetAcl { path: path(reader)? },
            OpCode::GetChildren => Self::GetChildren { path: path(reader)?, watch: reader.bool()? },
            OpCode::GetChildren2 => {
                Self::GetChildren2 { path: path(reader)?, watch: reader.bool()? }
            }
            OpCode::MultiRead => Self::MultiRead(decode_multi_read(reader)?),
            OpCode::GetEphemerals => Self::GetEphemerals { prefix: reader.text_or_empty()? },
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber { path: path(reader)? },
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::Sync => Self::Sync { path: reader.text_or_empty()? },
            OpCode::Ping => Self::Ping,
            OpCode::SetWatches => Self::SetWatches(SetWatches::decode_one_shot(reader)?),
            OpCode::SetWatches2 => {
                let one_shot = SetWatches::decode_one_shot(reader)?;
                let persistent = reader.vector(Reader::text_or_empty)?;
                let recursive = reader.vector(Reader::text_or_empty)?;
                Self::SetWatches2(SetWatches { persistent, recursive, ..one_shot })
            }
            OpCode::AddWatch => {
                Self::AddWatch { path: path(reader)?, mode: reader.i32()?.try_into()? }
            }
            OpCode::CheckWatches => {
                Self::CheckWatches { path: path(reader)?, kind: reader.i32()?.try_into()? }
            }
            OpCode::RemoveWatches => {
                Self::RemoveWatches { path: path(reader)?, kind: reader.i32()?.try_into()? }
            }
            OpCode::Auth => Self::Auth(AuthPacket::decode(reader)?),
            OpCode::Sasl => Self::Sasl { token: reader.buffer()? },
        })
    }

    /// Its opcode.
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(..) => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::DeleteContainer { .. } => OpCode::DeleteContainer,
            Self::SetData { .. } => OpCode::SetData,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::Check { .. } => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::Reconfig(_) => OpCode::Reconfig,
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::CloseSession => OpCode::CloseSession,
            Self::Exists { .. } => OpCode::Exists,
            Self::GetData { .. } => OpCode::GetData,
            Self::GetAcl { .. } => OpCode::GetAcl,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::GetChildren2 { .. } => OpCode::GetChildren2,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::GetEphemerals { .. } => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::Sync { .. } => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::SetWatches(_) => OpCode::SetWatches,
            Self::SetWatches2(_) => OpCode::SetWatches2,
            Self::AddWatch { .. } => OpCode::AddWatch,
            Self::CheckWatches { .. } => OpCode::CheckWatches,
            Self::RemoveWatches { .. } => OpCode::RemoveWatches,
            Self::Auth(_) => OpCode::Auth,
            Self::Sasl { .. } => OpCode::Sasl,
        }
    }

    /// Writes the record, without a header.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.encode(out);
            }
            Self::CreateTtl(create, ttl) => {
                create.encode(out);
                out.put_i64(*ttl);
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                out.put_text(path);
                out.put_i32(*version);
            }
            Self::SetData { path, data, version } => {
                out.put_text(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
            Self::SetAcl { path, acl, version } => {
                out.put_text(path);
                out.put_vector(acl, |out, acl| acl.encode(out));
                out.put_i32(*version);
            }
            Self::Multi(ops) => encode_entries(out, ops, MultiOp::op, MultiOp::encode),
            Self::MultiRead(ops) => encode_entries(out, ops, MultiRead::op, MultiRead::encode),
            Self::Reconfig(reconfig) => {
                out.put_optional_text(reconfig.joining.as_deref());
                out.put_optional_text(reconfig.leaving.as_deref());
                out.put_optional_text(reconfig.members.as_deref());
                out.put_i64(reconfig.config_id);
            }
            Self::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => {
                out.put_text(path);
                out.put_bool(*watch);
            }
            Self::GetAcl { path }
            | Self::DeleteContainer { path }
            | Self::GetAllChildrenNumber { path }
            | Self::Sync { path }
            | Self::GetEphemerals { prefix: path } => out.put_text(path),
            Self::CloseSession | Self::WhoAmI | Self::Ping => {}
            Self::SetWatches(watches) => watches.encode_one_shot(out),
            Self::SetWatches2(watches) => {
                watches.encode_one_shot(out);
                put_texts(out, &watches.persistent);
                put_texts(out, &watches.recursive);
            }
            Self::AddWatch { path, mode } => {
                out.put_text(path);
                out.put_i32(mode.code());
            }
            Self::CheckWatches { path, kind } | Self::RemoveWatches { path, kind } => {
                out.put_text(path);
                out.put_i32(kind.code());
            }
            Self::Auth(packet) => {
                out.put_i32(0);
                out.put_text(&packet.scheme);
                out.put_buffer(Some(&packet.auth));
            }
            Self::Sasl { token } => out.put_buffer(token.as_deref()),
        }
    }
}

impl CreateRequest {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: path(reader)?,
            data: reader.buffer()?,
            acl: reader.vector(Acl::decode)?,
            flags: reader.i32()?,
        })
    }

    pub(crate) fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_text(&self.path);
        out.put_buffer(self.data.as_deref());
        out.put_vector(&self.acl, |out, acl| acl.encode(out));
        out.put_i32(self.flags);
    }
}

impl SetWatches {
    fn decode_one_shot(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            relative_zxid: reader.zxid()?,
            data: reader.vector(Reader::text_or_empty)?,
            exist: reader.vector(Reader::text_or_empty)?,
            child: reader.vector(Reader::text_or_empty)?,
            persistent: Vec::new(),
            recursive: Vec::new(),
        })
    }

    fn encode_one_shot(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_zxid(self.relative_zxid);
        put_texts(out, &self.data);
        put_texts(out, &self.exist);
        put_texts(out, &self.child);
    }
}

impl AuthPacket {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.i32()?;
        let scheme = reader.text_or_empty()?;
        Ok(Self { scheme, auth: reader.buffer()?.unwrap_or_default() })
    }
}

/// A path; a null one is refused, as Apache refuses it.
pub(crate) fn path(reader: &mut Reader<'_>) -> Result<Text, DecodeError> {
    reader.required_text("path")
}

fn put_texts(out: &mut (impl BufMut + ?Sized), texts: &[Text]) {
    out.put_vector(texts, |out, text| out.put_text(text));
}
