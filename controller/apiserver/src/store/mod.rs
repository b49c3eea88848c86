//! Where objects are kept: keys, versions, and the one stream of changes.
//!
//! Lives here: the trait every backend fulfils, and the backends. Must not: look into bodies.

mod feed;
mod memory;
mod znodes;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

pub use feed::Received;
pub use memory::MemoryStore;
pub use znodes::ZnodeStore;

/// Which object: resource, namespace and name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// Which kind of objects.
    pub resource: Resource,
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl Key {
    /// The key of an object; an empty namespace means cluster scope.
    pub fn new(resource: &Resource, namespace: &str, name: &str) -> Self {
        Self { resource: resource.clone(), namespace: namespace.into(), name: name.into() }
    }
}

/// A kind of objects as the store knows it: group (empty for core) and plural.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Plural in lower case.
    pub plural: Arc<str>,
}

impl Resource {
    /// The resource `plural` of `group`.
    pub fn new(group: &str, plural: &str) -> Self {
        Self { group: group.into(), plural: plural.into() }
    }
}

/// When an object was last written (its resourceVersion) and how often (for optimistic writes).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revision {
    /// Place in the order of all writes; unique per write.
    pub rv: u64,
    /// How often this object was replaced since it was created.
    pub version: i32,
}

/// One object with its body.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Which.
    pub key: Key,
    /// Its place in the order of writes.
    pub revision: Revision,
    /// JSON, without `metadata.resourceVersion`.
    pub body: Bytes,
}

/// One write, as every member sees it.
#[derive(Clone, Debug)]
pub enum Change {
    /// Created or replaced.
    Put(Stored),
    /// Deleted, at this place in the order of writes.
    Gone {
        /// Which.
        key: Key,
        /// The deletion's resourceVersion.
        rv: u64,
    },
}

/// Why a write was not done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// Create: it exists.
    #[error("it exists already")]
    Exists,
    /// Replace or delete: it does not exist.
    #[error("it does not exist")]
    Absent,
    /// It was replaced in between.
    #[error("it was changed in between")]
    Stale,
    /// The body is longer than the store takes.
    #[error("the object has {bytes} bytes and the store takes {limit} in one request")]
    TooLarge {
        /// Length of the request.
        bytes: usize,
        /// The store's limit.
        limit: usize,
    },
    /// The store cannot write now. The write may or may not have been done.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

/// A write under way.
pub type Writing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Everything now, the place in the order of writes that is true at, and every later change.
pub struct Following {
    /// All writes up to here are in `now`.
    pub rv: u64,
    /// All objects, in no particular order.
    pub now: Vec<Stored>,
    /// Later changes, in order and without a gap.
    pub later: Box<dyn Feed>,
}

/// A stream of changes. It ends when the store does.
pub trait Feed: Send {
    /// The next change that has already happened; never waits, whatever the task's budget.
    fn try_next(&mut self) -> Option<Change>;
    /// Waits for the next change; `None` is the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Change>>;
}

/// Keeps bodies under keys, in one total order of writes.
///
/// A write's change is in the stream of every follower before the write returns.
pub trait Store: Send + Sync + 'static {
    /// Adds an object.
    fn create<'a>(&'a self, key: &'a Key, body: Bytes) -> Writing<'a, Revision>;
    /// Replaces an object that still has `version`.
    fn replace<'a>(&'a self, key: &'a Key, body: Bytes, version: i32) -> Writing<'a, Revision>;
    /// Deletes an object that still has `version`; answers with the deletion's place in the order.
    fn delete<'a>(&'a self, key: &'a Key, version: i32) -> Writing<'a, u64>;
    /// Starts to follow.
    fn follow(&self) -> Following;
    /// The last place in the order that a follower has been sent.
    fn applied(&self) -> u64;
}
