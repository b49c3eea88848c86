//! The in-process door: reads, writes and changes without a socket and without a session.
//!
//! Not subject to ACLs and owns no ephemerals. What it writes takes the same way as a client's request.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jute::{
    Acl, CreateRequest, ErrorCode, MultiOp, OpResult, Request, Response, Stat, create_flags,
};
use tokio::sync::{mpsc, oneshot};
use types::Zxid;

use crate::core::{Command, LocalReply};
use crate::shared::Shared;

/// In-process access, without socket or session, not subject to ACLs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Local {
    shared: Arc<Shared>,
}

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
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Creates a persistent znode; its parent must exist.
    pub async fn create(&self, path: &str, data: Bytes) -> Result<Stat, OpError> {
        match self.write(path, Request::Create2(create_request(path, data))).await? {
            (Response::Created { stat, .. }, _) => Ok(stat),
            _ => Err(unexpected(path)),
        }
    }

    /// Creates a persistent znode and, with empty data, the parents it lacks, in one transaction.
    pub async fn create_all(&self, path: &str, data: Bytes) -> Result<Stat, OpError> {
        loop {
            let mut ops = self.missing_parents(path);
            ops.push(LocalOp::Create { path: path.to_owned(), data: data.clone() });
            match self.multi(ops).await {
                Ok(mut results) => match results.pop() {
                    Some(LocalResult::Created(stat)) => return Ok(stat),
                    _ => return Err(unexpected(path)),
                },
                // Somebody else has made, or removed, a parent meanwhile: look again.
                Err(OpError::NodeExists { path: other }) if other != path => {}
                Err(OpError::NoNode { .. }) if is_absolute(path) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Replaces the data when the version is the one expected; `None` is any.
    pub async fn set(
        &self,
        path: &str,
        data: Bytes,
        version: Option<i32>,
    ) -> Result<Stat, OpError> {
        let version = version.unwrap_or(ANY_VERSION);
        let request = Request::SetData { path: path.into(), data: Some(data), version };
        match self.write(path, request).await? {
            (Response::Stat(stat), _) => Ok(stat),
            _ => Err(unexpected(path)),
        }
    }

    /// Deletes a znode without children; answers with the transaction that did it.
    pub async fn delete(&self, path: &str, version: Option<i32>) -> Result<Zxid, OpError> {
        let version = version.unwrap_or(ANY_VERSION);
        let (_, zxid) = self.write(path, Request::Delete { path: path.into(), version }).await?;
        Ok(zxid)
    }

    /// All or nothing, in order; one result for each part. An error tells of the first part that failed.
    pub async fn multi(&self, ops: Vec<LocalOp>) -> Result<Vec<LocalResult>, OpError> {
        let paths: Vec<_> = ops.iter().map(|op| op.path().to_owned()).collect();
        let first = paths.first().cloned().unwrap_or_default();
        let request = Request::Multi(ops.into_iter().map(LocalOp::into_jute).collect());
        let (response, zxid) = self.write(&first, request).await?;
        let Response::Multi(results) = response else { return Err(unexpected(&first)) };
        let mut done = Vec::with_capacity(results.len());
        for (path, result) in paths.iter().zip(results) {
            done.push(match result {
                OpResult::Created2 { stat, .. } => LocalResult::Created(stat),
                OpResult::Set(stat) => LocalResult::Set(stat),
                OpResult::Deleted => LocalResult::Deleted(zxid),
                OpResult::Checked => LocalResult::Checked,
                // One that was undone with a later one, which is the one to tell of.
                OpResult::Error(None) => continue,
                OpResult::Error(Some(code)) => return Err(OpError::from_code(code, path)),
                _ => return Err(unexpected(path)),
            });
        }
        Ok(done)
    }

    /// Data and figures of a znode as last applied.
    pub fn get(&self, path: &str) -> Option<(Bytes, Stat)> {
        let tree = self.shared.tree();
        let node = tree.get(path)?;
        Some((Bytes::copy_from_slice(node.data().unwrap_or_default()), node.stat()))
    }

    /// The names of its children, sorted.
    pub fn children(&self, path: &str) -> Option<Vec<String>> {
        let tree = self.shared.tree();
        let mut names: Vec<_> = tree.get(path)?.children().map(str::to_owned).collect();
        names.sort_unstable();
        Some(names)
    }

    /// Every znode below `prefix` (itself not among them) with the zxid that is true at, sorted by path,
    /// and every later change, in order, without a gap.
    ///
    /// The receiver holds what is not yet taken from it: a caller that stops taking drops it.
    pub fn follow(
        &self,
        prefix: &str,
    ) -> (Zxid, Vec<(String, Bytes, Stat)>, mpsc::UnboundedReceiver<Change>) {
        let mut found = Vec::new();
        let tree = self.shared.tree();
        tree.below(prefix, |path, data, stat| {
            if path != prefix {
                let data = Bytes::copy_from_slice(data.unwrap_or_default());
                found.push((path.to_owned(), data, stat));
            }
        });
        let changes = self.shared.add_follower(prefix);
        let zxid = self.shared.applied();
        drop(tree);
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        (zxid, found, changes)
    }

    /// The last transaction that reads here see.
    pub fn applied(&self) -> Zxid {
        self.shared.applied()
    }

    /// Creations of the ancestors that are not there, topmost first.
    fn missing_parents(&self, path: &str) -> Vec<LocalOp> {
        let tree = self.shared.tree();
        let ends = path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
        ends.map(|end| &path[..end])
            .filter(|ancestor| tree.get(ancestor).is_none())
            .map(|ancestor| LocalOp::Create { path: ancestor.to_owned(), data: Bytes::new() })
            .collect()
    }

    async fn write(&self, path: &str, request: Request) -> Result<(Response, Zxid), OpError> {
        let mut record = BytesMut::new();
        request.encode(&mut record);
        let (bytes, limit) = (record.len(), self.shared.max_request_bytes);
        if bytes > limit {
            return Err(OpError::TooLarge { path: path.to_owned(), bytes, limit });
        }
        let (reply, answer) = oneshot::channel();
        self.shared.tell(Command::Local { request, reply });
        match answer.await {
            Ok(LocalReply::Done { zxid, result: Ok(response) }) => Ok((response, zxid)),
            Ok(LocalReply::Done { result: Err(code), .. }) => Err(OpError::from_code(code, path)),
            Ok(LocalReply::DiskFull) => {
                Err(OpError::DiskFull { dir: self.shared.log_dir.display().to_string() })
            }
            Err(_) => Err(OpError::Stopped),
        }
    }
}

impl LocalOp {
    fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Set { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. } => path,
        }
    }

    fn into_jute(self) -> MultiOp {
        match self {
            Self::Create { path, data } => MultiOp::Create2(create_request(&path, data)),
            Self::Set { path, data, version } => MultiOp::SetData {
                path: path.into(),
                data: Some(data),
                version: version.unwrap_or(ANY_VERSION),
            },
            Self::Delete { path, version } => {
                MultiOp::Delete { path: path.into(), version: version.unwrap_or(ANY_VERSION) }
            }
            Self::Check { path, version } => {
                MultiOp::Check { path: path.into(), version: version.unwrap_or(ANY_VERSION) }
            }
        }
    }
}

impl OpError {
    fn from_code(code: ErrorCode, path: &str) -> Self {
        let path = path.to_owned();
        match code {
            ErrorCode::NoNode => Self::NoNode { path },
            ErrorCode::NodeExists => Self::NodeExists { path },
            ErrorCode::BadVersion => Self::BadVersion { path },
            ErrorCode::NotEmpty => Self::NotEmpty { path },
            other => Self::Refused { path, what: other.to_string() },
        }
    }
}

fn create_request(path: &str, data: Bytes) -> CreateRequest {
    CreateRequest {
        path: path.into(),
        data: Some(data),
        acl: [Acl::OPEN].into(),
        flags: create_flags::PERSISTENT,
    }
}

/// The prep crate answers each request with its own kind of response.
fn unexpected(path: &str) -> OpError {
    OpError::Refused { path: path.to_owned(), what: "an answer of another kind".to_owned() }
}

/// Whether creating its parents can help: without a leading "/" nothing has parents.
fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
}

const ANY_VERSION: i32 = -1;
