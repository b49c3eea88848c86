//! The error codes of replies and of error transactions.

use std::fmt;

use crate::DecodeError;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a request was refused, as a client sees it. Source: `KeeperException.Code`.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A code that only another implementation knows; kept so that nothing is lost in passing on.
            Other(i32),
        }

        impl ErrorCode {
            /// The number on the wire.
            pub const fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// The refusal a number stands for; `None` for 0, which is success.
            pub const fn from_code(code: i32) -> Option<Self> {
                match code {
                    0 => None,
                    $($code => Some(Self::$name),)*
                    other => Some(Self::Other(other)),
                }
            }
        }
    };
}

error_codes! {
    /// Not produced here.
    SystemError = -1,
    /// An operation of a multi that follows the failing one.
    RuntimeInconsistency = -2,
    /// Not produced here.
    DataInconsistency = -3,
    /// Made by clients only.
    ConnectionLoss = -4,
    /// The request's record could not be decoded, or its path is null.
    MarshallingError = -5,
    /// An unknown opcode, or a feature that is switched off.
    Unimplemented = -6,
    /// Made by clients only.
    OperationTimeout = -7,
    /// An invalid path, flag or time to live.
    BadArguments = -8,
    /// No such session; told to clients as [`Self::SessionExpired`].
    UnknownSession = -12,
    /// No synced quorum of the new configuration is connected.
    NewConfigNoQuorum = -13,
    /// Another change of the members is under way.
    ReconfigInProgress = -14,
    /// No such znode.
    NoNode = -101,
    /// The ACL does not allow it.
    NoAuth = -102,
    /// The znode has another version than the one given.
    BadVersion = -103,
    /// The parent is an ephemeral.
    NoChildrenForEphemerals = -108,
    /// There is such a znode already.
    NodeExists = -110,
    /// The znode has children.
    NotEmpty = -111,
    /// The session is closing or has ended.
    SessionExpired = -112,
    /// Made by clients only.
    InvalidCallback = -113,
    /// An ACL that is empty, or names an unknown scheme or an id that is invalid in its scheme.
    InvalidAcl = -114,
    /// Authentication failed; the connection is closed after it.
    AuthFailed = -115,
    /// The session is served by another connection now. Never sent: the connection is closed instead.
    SessionMoved = -118,
    /// A write on a read-only member.
    NotReadOnly = -119,
    /// An ephemeral on a session that is only known locally.
    EphemeralOnLocalSession = -120,
    /// There is no such watch to check or remove.
    NoWatcher = -121,
    /// Made by clients only.
    RequestTimeout = -122,
    /// Changing the members by request is switched off.
    ReconfigDisabled = -123,
    /// Authentication is enforced and missing; the connection is closed after it.
    SessionClosedRequireSaslAuth = -124,
    /// A hard limit of a znode quota.
    QuotaExceeded = -125,
    /// Held back for too long by throttling.
    ThrottledOp = -127,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", self.code())
    }
}

impl std::error::Error for ErrorCode {}

impl From<DecodeError> for ErrorCode {
    fn from(_: DecodeError) -> Self {
        Self::MarshallingError
    }
}
