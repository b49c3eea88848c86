//! The state as the bytes of a snapshot's body, and back.
//!
//! Lives here: sessions, ACL lists, znodes and the end mark, as a snapshot file and a leader's snapshot
//! stream both carry them. Must not: file headers, seals and checksums (`storage`). Start at
//! [`State::freeze`] and [`read`]. Source: `SerializeUtils.serializeSnapshot`, `DataTree.serialize`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::BufMut;
use jute::{Acl, Id, Perms, Put, StatPersisted, Text, TxnDigest};
use types::{SessionId, Zxid};

use crate::acls::{AclId, Acls};
use crate::tree::Pages;
use crate::{State, path};

/// A state as it was at one moment. Holds still while the original goes on; cheap to make, to be used on
/// any thread.
#[derive(Debug)]
pub struct Frozen {
    pages: Pages,
    acls: Acls,
    sessions: BTreeMap<SessionId, i32>,
    digest: TxnDigest,
    zxid: Zxid,
}

/// Why bytes are not a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// They could not be read, or end too early.
    #[error("read the snapshot at byte {at}")]
    Read {
        /// Offset in the body.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// A length below -1, or beyond what is believed.
    #[error("the snapshot has a length of {length} before byte {at}")]
    Length {
        /// Offset in the body.
        at: u64,
        /// As read.
        length: i32,
    },
    /// A znode whose parent does not come before it, or that comes twice.
    #[error("the snapshot has the znode {path:?} where it cannot be")]
    Misplaced {
        /// Which.
        path: String,
    },
}

/// Where the znodes end: the public name of the root, which is stored as "".
const END: &str = "/";
/// Bytes taken from the source before it is known whether more are there.
const CHUNK: usize = 64 * 1024;

impl State {
    /// The state as it is now.
    pub fn freeze(&self) -> Frozen {
        Frozen {
            pages: self.tree.freeze(),
            acls: self.acls.clone(),
            sessions: self.sessions.clone(),
            digest: self.digest(),
            zxid: self.zxid,
        }
    }
}

impl Frozen {
    /// The last transaction it has.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The sum over its tree.
    pub fn digest(&self) -> TxnDigest {
        self.digest
    }

    /// Writes the body, end mark included, in pieces of about 64 KiB.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut out = Vec::with_capacity(CHUNK);
        out.put_length(self.sessions.len());
        for (session, timeout_ms) in &self.sessions {
            out.put_session(*session);
            out.put_i32(*timeout_ms);
        }
        let lists = self.acls.iter();
        out.put_length(lists.len());
        for (id, list) in lists {
            out.put_i64(id.disk());
            out.put_vector(list, |out, acl| acl.encode(out));
        }
        self.pages.walk(|path, data, acl, stat| {
            out.put_text(path);
            out.put_buffer(data);
            out.put_i64(acl.disk());
            stat.encode(&mut out);
            if out.len() >= CHUNK {
                to.write_all(&out)?;
                out.clear();
            }
            Ok::<(), io::Error>(())
        })?;
        out.put_text(END);
        to.write_all(&out)
    }
}

/// Reads a body up to and including its end mark, and nothing beyond it; in small pieces, so `from` had
/// better be buffered.
///
/// The stats of quotas are counted anew, as they may be of another moment than the znodes.
///
/// `zxid` is the last transaction it is known to have: a file's name tells it, or the packet before a
/// stream. Later ones may be in it too, and are applied again. `limit` is the longest text or data that is
/// believed, in bytes; `hash_seed` is as in [`State::new`].
pub fn read(
    from: &mut impl Read,
    zxid: Zxid,
    limit: usize,
    hash_seed: u64,
) -> Result<State, SnapshotError> {
    let mut source = Source { from, at: 0, limit };
    let mut sessions = BTreeMap::new();
    for _ in 0..source.int()? {
        sessions.insert(SessionId(source.long()?), source.int()?);
    }
    let mut lists = BTreeMap::new();
    for _ in 0..source.int()? {
        lists.insert(source.long()?, source.acl()?);
    }
    let mut state: Option<State> = None;
    // Used again for each znode, so that loading allocates little but the tree.
    let (mut path, mut data) = (Vec::new(), Vec::new());
    loop {
        source.buffer(&mut path)?;
        let node_path = String::from_utf8_lossy(&path);
        if node_path == END {
            break;
        }
        let has_data = source.buffer(&mut data)?;
        let data = has_data.then_some(&data[..]);
        let node = Loaded { path: &node_path, data, acl: source.long()?, stat: source.stat()? };
        match &mut state {
            None if node.path.is_empty() => state = Some(node.into_root(&lists, hash_seed)),
            Some(state) => node.add_to(state, &lists)?,
            None => return Err(SnapshotError::Misplaced { path: node.path.to_owned() }),
        }
    }
    let mut state = state.ok_or_else(|| SnapshotError::Misplaced { path: END.to_owned() })?;
    state.sessions = sessions;
    state.zxid = zxid;
    state.take_up_quotas();
    Ok(state)
}

/// A znode as the snapshot has it.
struct Loaded<'a> {
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: i64,
    stat: StatPersisted,
}

impl Loaded<'_> {
    fn into_root(self, lists: &BTreeMap<i64, Vec<Acl>>, hash_seed: u64) -> State {
        let mut acls = Acls::new();
        let acl = take(&mut acls, lists, self.acl);
        let mut state = State::bare(hash_seed, &self.stat, self.data, acl);
        state.acls = acls;
        state
    }

    fn add_to(
        self,
        state: &mut State,
        lists: &BTreeMap<i64, Vec<Acl>>,
    ) -> Result<(), SnapshotError> {
        let name = path::name(self.path);
        let parent = path::parent(self.path).and_then(|parent| state.tree.find(parent));
        let free = |&parent: &_| !name.is_empty() && state.tree.child(parent, name).is_none();
        let Some(parent) = parent.filter(free) else {
            return Err(SnapshotError::Misplaced { path: self.path.to_owned() });
        };
        let acl = take(&mut state.acls, lists, self.acl);
        state.add(parent, self.path, &self.stat, self.data, acl);
        Ok(())
    }
}

/// The id here of a list that has another one in the snapshot.
fn take(acls: &mut Acls, lists: &BTreeMap<i64, Vec<Acl>>, disk: i64) -> AclId {
    match lists.get(&disk) {
        _ if disk == AclId::OPEN.disk() => AclId::OPEN,
        Some(list) => acls.take(list),
        None => AclId::UNKNOWN,
    }
}

/// Takes primitives from a stream and counts its bytes.
struct Source<'a, R> {
    from: &'a mut R,
    at: u64,
    limit: usize,
}

impl<R: Read> Source<'_, R> {
    fn int(&mut self) -> Result<i32, SnapshotError> {
        self.array().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, SnapshotError> {
        self.array().map(i64::from_be_bytes)
    }

    fn stat(&mut self) -> Result<StatPersisted, SnapshotError> {
        Ok(StatPersisted {
            czxid: Zxid::from_bits(self.long()?),
            mzxid: Zxid::from_bits(self.long()?),
            ctime: self.long()?,
            mtime: self.long()?,
            version: self.int()?,
            cversion: self.int()?,
            aversion: self.int()?,
            ephemeral_owner: self.long()?,
            pzxid: Zxid::from_bits(self.long()?),
        })
    }

    fn acl(&mut self) -> Result<Vec<Acl>, SnapshotError> {
        let mut list = Vec::new();
        for _ in 0..self.int()? {
            let perms = Perms(self.int()?);
            list.push(Acl { perms, id: Id { scheme: self.text()?, id: self.text()? } });
        }
        Ok(list)
    }

    fn text(&mut self) -> Result<Text, SnapshotError> {
        let mut text = Vec::new();
        self.buffer(&mut text)?;
        Ok(Text::from_utf8_lossy(text.into()))
    }

    /// Puts a buffer into `to`, instead of what was there; false for a null one.
    fn buffer(&mut self, to: &mut Vec<u8>) -> Result<bool, SnapshotError> {
        to.clear();
        let length = self.int()?;
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.limit => self.bytes(bytes, to).map(|()| true),
            Err(_) if length == -1 => Ok(false),
            _ => Err(SnapshotError::Length { at: self.at, length }),
        }
    }

    /// Adds `length` bytes; reserves no more than a chunk beyond what is there.
    fn bytes(&mut self, length: usize, to: &mut Vec<u8>) -> Result<(), SnapshotError> {
        to.reserve(length.min(CHUNK));
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        let taken = self.from.by_ref().take(wanted).read_to_end(to);
        let taken = taken.map_err(|source| SnapshotError::Read { at: self.at, source })?;
        self.at += u64::try_from(taken).unwrap_or(u64::MAX);
        if taken == length {
            Ok(())
        } else {
            let source = io::ErrorKind::UnexpectedEof.into();
            Err(SnapshotError::Read { at: self.at, source })
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut array = [0; N];
        let read = self.from.read_exact(&mut array);
        read.map_err(|source| SnapshotError::Read { at: self.at, source })?;
        self.at += u64::try_from(N).unwrap_or(u64::MAX);
        Ok(array)
    }
}
