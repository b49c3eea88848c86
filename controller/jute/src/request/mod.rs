//! What a client or a learner asks for, by opcode.

mod codec;

use bytes::Bytes;
use types::Zxid;

use crate::{AclList, AddWatchMode, MultiOp, MultiRead, OpCode, PageStart, Text, WatcherType};

pub(crate) use codec::path;

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
    pub acl: AclList,
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
        acl: AclList,
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
    /// Answered with names, stat and where the next page begins.
    GetChildrenPaginated {
        /// Absolute.
        path: Text,
        /// Names on the page; what is below 1 is none.
        most: i32,
        /// Where the page begins.
        from: PageStart,
        /// Whether to tell of the next change; set with the last page only.
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
            Self::GetChildrenPaginated { .. } => OpCode::GetChildrenPaginated,
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
}
