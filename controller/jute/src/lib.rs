//! ZooKeeper's client and peer packets and its transaction records, to and from bytes.
//!
//! Lives here: one type for each record of the wire and the disk, its layout, and what bytes are refused.
//! Must not: meaning (who may, what changes: `znodes`), order (`zab`), IO, limits of a deployment.
//!
//! Start at [`Request::decode`] and [`Entry::decode`]. Decoding takes a frame as [`bytes::Bytes`] and gives
//! records whose texts and data are slices of that frame: nothing is copied, and a record may travel to
//! another thread. Encoding goes into the caller's [`bytes::BytesMut`]. Any bytes may come in: a length is
//! believed only as far as bytes are left, so that none of them allocates what was not sent.
//! Source: Apache ZooKeeper 3.9, `zookeeper.jute` and its captures.

mod acl;
mod connect;
pub mod election;
mod error_code;
mod header;
pub mod learner;
mod members;
mod multi;
mod op;
mod page;
pub mod quorum_auth;
mod read;
mod request;
mod response;
mod stat;
mod text;
mod txn;
mod watch;
mod write;

pub use acl::{Acl, AclList, Id, Perms};
pub use connect::{ConnectRequest, ConnectResponse, PASSWORD_LENGTH};
pub use error_code::ErrorCode;
pub use header::{ReplyHeader, RequestHeader, xid};
pub use members::{HostPort, Members, MembersError, Server, ServerAddress, ServerRole, spelled};
pub use multi::{MultiOp, MultiRead, MultiResult, OpResult};
pub use op::OpCode;
pub use page::PageStart;
pub use read::{DecodeError, Reader};
pub use request::{
    AuthPacket, CreateRequest, CreateTtl, Reconfig, Request, SetWatches, create_flags,
};
pub use response::Response;
pub use stat::{Stat, StatPersisted};
pub use text::Text;
pub use txn::{
    CreateTxn, Entry, SetAclTxn, SetDataTxn, Txn, TxnDigest, TxnHeader, TxnType, VersionTxn,
};
pub use watch::{AddWatchMode, EventType, WatcherEvent, WatcherType};
pub use write::Put;
