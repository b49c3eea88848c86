//! The in-process door: reads, writes and changes without a socket and without a session.
//!
//! Not subject to ACLs and owns no ephemerals. What it writes takes the same way as a client's request.

use bytes::Bytes;
use tokio::sync::mpsc;
use types::Zxid;

/// The figures kept with each znode.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stat {
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The transaction that last set its data.
    pub mzxid: Zxid,
    /// When it was created, milliseconds since 1970.
    pub ctime: i64,
    /// When its data was last set, milliseconds since 1970.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// Creations and deletions among its children.
    pub cversion: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// The session that owns it, or 0.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// Children.
    pub num_children: i32,
    /// The transaction that last created or deleted a child.
    pub pzxid: Zxid,
}

/// In-process access, without socket or session, not subject to ACLs. Cheap to clone.
#[derive(Clone)]
pub struct Local {}

/// One part of a [`Local::multi`].
#[derive(Clone, Debug)]
pub enum LocalOp {
    /// Creates a persistent znode, world-readable and writable.
    Create {
        /// Where.
        path: String,
        /// Its data.
        data: Bytes,
    },
    /// Replaces the data.
    Set {
        /// Where.
        path: String,
        /// The new data.
        data: Bytes,
        /// The version it must have; `None` is any.
        version: Option<i32>,
    },
    /// Deletes a znode without children.
    Delete {
        /// Where.
        path: String,
        /// The version it must have; `None` is any.
        version: Option<i32>,
    },
    /// Only checks; the whole fails when it does not hold.
    Check {
        /// Where.
        path: String,
        /// The version it must have; `None`: it must only exist.
        version: Option<i32>,
    },
}

/// What one part of a successful [`Local::multi`] did.
#[derive(Clone, Debug, PartialEq)]
pub enum LocalResult {
    /// The znode created.
    Created(Stat),
    /// The znode after its data was set.
    Set(Stat),
    /// It is gone, by this transaction.
    Deleted(Zxid),
    /// The check held.
    Checked,
}

/// Why an operation of [`Local`] was refused. Nothing was changed unless it is `Stopped`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// The znode, or for create its parent, does not exist.
    #[error("znode {path} (or its parent) does not exist")]
    NoNode {
        /// The path asked for.
        path: String,
    },
    /// Create: it exists already.
    #[error("znode {path} exists already")]
    NodeExists {
        /// The path asked for.
        path: String,
    },
    /// The version is another one.
    #[error("znode {path} has another version than the one expected")]
    BadVersion {
        /// The path asked for.
        path: String,
    },
    /// Delete: it has children.
    #[error("znode {path} has children")]
    NotEmpty {
        /// The path asked for.
        path: String,
    },
    /// The request is longer than the member takes.
    #[error("the request for {path} has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The path asked for.
        path: String,
        /// Its size.
        bytes: usize,
        /// `max_request_bytes`.
        limit: usize,
    },
    /// The disk is full: reads go on, writes are refused until there is room again.
    #[error(
        "writes are stopped: no space left for the transaction log in {dir}; free some, writes resume by themselves"
    )]
    DiskFull {
        /// The log's directory.
        dir: String,
    },
    /// The member is shutting down or has failed; the write may or may not be done.
    #[error("the member is stopped")]
    Stopped,
    /// Any other refusal, by its name in the protocol.
    #[error("{what} for znode {path}")]
    Refused {
        /// The path asked for.
        path: String,
        /// The name of the protocol's error.
        what: String,
    },
}

/// One change of a znode under a followed prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The transaction that made it. The changes of one transaction share it.
    pub zxid: Zxid,
    /// The znode.
    pub path: String,
    /// What happened to it.
    pub what: What,
}

/// What happened to a znode.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It is new.
    Created {
        /// Its data.
        data: Bytes,
        /// Its figures.
        stat: Stat,
    },
    /// Its data was set.
    Set {
        /// The data now.
        data: Bytes,
        /// Its figures.
        stat: Stat,
    },
    /// It is gone.
    Deleted,
}

impl Local {
    /// Creates a persistent znode; its parent must exist.
    pub async fn create(&self, path: &str, data: Bytes) -> Result<Stat, OpError> {
        todo!("{path} {data:?}")
    }

    /// Creates a persistent znode and, with empty data, the parents it lacks.
    pub async fn create_all(&self, path: &str, data: Bytes) -> Result<Stat, OpError> {
        todo!("{path} {data:?}")
    }

    /// Replaces the data when the version is the one expected; `None` is any.
    pub async fn set(
        &self,
        path: &str,
        data: Bytes,
        version: Option<i32>,
    ) -> Result<Stat, OpError> {
        todo!("{path} {data:?} {version:?}")
    }

    /// Deletes a znode without children; answers with the transaction that did it.
    pub async fn delete(&self, path: &str, version: Option<i32>) -> Result<Zxid, OpError> {
        todo!("{path} {version:?}")
    }

    /// All or nothing, in order; one result for each part.
    pub async fn multi(&self, ops: Vec<LocalOp>) -> Result<Vec<LocalResult>, OpError> {
        todo!("{ops:?}")
    }

    /// Data and figures of a znode as last applied.
    pub fn get(&self, path: &str) -> Option<(Bytes, Stat)> {
        todo!("{path}")
    }

    /// The names of its children, sorted.
    pub fn children(&self, path: &str) -> Option<Vec<String>> {
        todo!("{path}")
    }

    /// Every znode below `prefix` (itself not among them) with the zxid that is true at, sorted by path,
    /// and every later change, in order, without a gap.
    pub fn follow(
        &self,
        prefix: &str,
    ) -> (Zxid, Vec<(String, Bytes, Stat)>, mpsc::UnboundedReceiver<Change>) {
        todo!("{prefix}")
    }

    /// The last transaction that reads here see.
    pub fn applied(&self) -> Zxid {
        todo!()
    }
}
