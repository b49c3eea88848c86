//! The opcodes of requests.

use crate::DecodeError;

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What a request asks for. Source: `ZooDefs.OpCode`.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum OpCode {
            $($(#[$doc])* $name,)*
        }

        impl OpCode {
            /// Every opcode there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            pub const fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }

        impl TryFrom<i32> for OpCode {
            type Error = DecodeError;

            fn try_from(code: i32) -> Result<Self, DecodeError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    value => Err(DecodeError::Unknown { what: "opcode", value }),
                }
            }
        }
    };
}

opcodes! {
    /// Create a znode; answered with its path.
    Create = 1,
    /// Delete a znode.
    Delete = 2,
    /// Is there such a znode?
    Exists = 3,
    /// A znode's data.
    GetData = 4,
    /// Replace a znode's data.
    SetData = 5,
    /// A znode's ACL.
    GetAcl = 6,
    /// Replace a znode's ACL.
    SetAcl = 7,
    /// The names of a znode's children.
    GetChildren = 8,
    /// Wait until this member has all that was committed.
    Sync = 9,
    /// The session lives.
    Ping = 11,
    /// The names of a znode's children, and its stat.
    GetChildren2 = 12,
    /// Does the version hold? Only within a multi.
    Check = 13,
    /// Several writes, all or none.
    Multi = 14,
    /// Create a znode; answered with its path and stat.
    Create2 = 15,
    /// Change the members of the ensemble.
    Reconfig = 16,
    /// Is there such a watch?
    CheckWatches = 17,
    /// Remove a watch.
    RemoveWatches = 18,
    /// Create a znode that goes when its last child does.
    CreateContainer = 19,
    /// Delete such a znode; made by members only.
    DeleteContainer = 20,
    /// Create a znode with a time to live.
    CreateTtl = 21,
    /// Several reads.
    MultiRead = 22,
    /// Some of the names of a znode's children, the oldest first, and where the others begin. Not in Apache's
    /// releases: the fork of it that has the request is ZooKeeper of LinkedIn (ZOOKEEPER-2260).
    GetChildrenPaginated = 71,
    /// Authenticate the connection.
    Auth = 100,
    /// Set one-shot watches again after a reconnect.
    SetWatches = 101,
    /// A step of a SASL exchange.
    Sasl = 102,
    /// The session's ephemerals below a path.
    GetEphemerals = 103,
    /// How many znodes are below a path.
    GetAllChildrenNumber = 104,
    /// Set all kinds of watches again after a reconnect.
    SetWatches2 = 105,
    /// Set a persistent watch.
    AddWatch = 106,
    /// Who is this connection authenticated as?
    WhoAmI = 107,
    /// Open a session; made by members only.
    CreateSession = -10,
    /// End the session.
    CloseSession = -11,
}

impl OpCode {
    /// Whether it becomes a transaction.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Create2
                | Self::CreateContainer
                | Self::CreateTtl
                | Self::Delete
                | Self::DeleteContainer
                | Self::SetData
                | Self::SetAcl
                | Self::Check
                | Self::Multi
                | Self::Reconfig
                | Self::CreateSession
                | Self::CloseSession
        )
    }

    /// Whether a client's connection may send it.
    ///
    /// Apache also takes `DeleteContainer` and `CreateSession` from clients, the first without any check
    /// of the ACL; a defect that is not copied.
    pub const fn is_for_clients(self) -> bool {
        !matches!(self, Self::Check | Self::DeleteContainer | Self::CreateSession)
    }
}
