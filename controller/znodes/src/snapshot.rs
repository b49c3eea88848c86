//! The state as the bytes of a snapshot's body, and back.
//!
//! Lives here: sessions, ACL lists, znodes and the end mark, as a snapshot file and a leader's snapshot
//! stream both carry them. Must not: file headers, seals and checksums (`storage`). Start at
//! [`State::freeze`] and [`read`]. Source: `SerializeUtils.serializeSnapshot`, `DataTree.serialize`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use bytes::{Buf, BufMut};
use jute::{Acl, Id, Perms, Put, StatPersisted, Text, TxnDigest};
use types::{SessionId, Zxid};

use crate::acls::{AclId, Acls};
use crate::session_table::SessionTable;
use crate::tree::{NodeId, Pages, Tree};
use crate::{State, path};

/// A state as it was at one moment. Holds still while the original goes on; cheap to make, to be used on
/// any thread.
#[derive(Debug)]
pub struct Frozen {
    pages: Pages,
    acls: Acls,
    sessions: SessionTable,
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
        for (session, timeout_ms) in self.sessions.iter() {
            out.put_session(session);
            out.put_i32(timeout_ms);
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
    let mut sessions = SessionTable::default();
    for _ in 0..source.int()? {
        sessions.insert(SessionId(source.long()?), source.int()?);
    }
    let mut lists = BTreeMap::new();
    for _ in 0..source.int()? {
        lists.insert(source.long()?, source.acl()?);
    }
    let mut loading = Loading::new(lists, hash_seed);
    // Used again for each znode, so that loading allocates little but the tree.
    let (mut path, mut rest) = (Vec::new(), Vec::new());
    let mut path_length = source.length()?;
    loop {
        path.clear();
        source.bytes(path_length.unwrap_or(0), &mut path)?;
        if path == END.as_bytes() {
            break;
        }
        // What follows is taken in as few pieces as may be: the end comes only where a path is expected.
        let data_length = source.length()?;
        let length = data_length.unwrap_or(0);
        rest.clear();
        source.bytes(length + Tail::LENGTH, &mut rest)?;
        let (data, tail) = rest.split_at(length);
        let tail = Tail::from_bytes(tail);
        let data = data_length.map(|_| data);
        loading.add(&String::from_utf8_lossy(&path), data, tail.acl, &tail.stat)?;
        path_length = source.believed(tail.next_path)?;
    }
    let misplaced = || SnapshotError::Misplaced { path: END.to_owned() };
    let mut state = loading.state.ok_or_else(misplaced)?;
    state.sessions = sessions;
    state.zxid = zxid;
    state.take_up_quotas();
    Ok(state)
}

/// What follows a znode's data: ACL, stat and the length of the next path.
struct Tail {
    acl: i64,
    stat: StatPersisted,
    next_path: i32,
}

impl Tail {
    const LENGTH: usize = 8 + StatPersisted::LENGTH + 4;

    /// From [`Self::LENGTH`] bytes.
    fn from_bytes(mut bytes: &[u8]) -> Self {
        Self {
            acl: bytes.get_i64(),
            stat: StatPersisted {
                czxid: Zxid::from_bits(bytes.get_i64()),
                mzxid: Zxid::from_bits(bytes.get_i64()),
                ctime: bytes.get_i64(),
                mtime: bytes.get_i64(),
                version: bytes.get_i32(),
                cversion: bytes.get_i32(),
                aversion: bytes.get_i32(),
                ephemeral_owner: bytes.get_i64(),
                pzxid: Zxid::from_bits(bytes.get_i64()),
            },
            next_path: bytes.get_i32(),
        }
    }
}

/// A state that is being filled.
struct Loading {
    lists: BTreeMap<i64, Vec<Acl>>,
    /// The lists that a znode had so far, and their ids here.
    taken: BTreeMap<i64, AclId>,
    hash_seed: u64,
    state: Option<State>,
    /// The last znode's parent: the next one's, mostly.
    parent: (String, NodeId),
}

impl Loading {
    fn new(lists: BTreeMap<i64, Vec<Acl>>, hash_seed: u64) -> Self {
        let parent = (String::new(), Tree::ROOT);
        Self { lists, taken: BTreeMap::new(), hash_seed, state: None, parent }
    }

    fn add(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        let misplaced = || SnapshotError::Misplaced { path: path.to_owned() };
        let Some(state) = &mut self.state else {
            if !path.is_empty() {
                return Err(misplaced());
            }
            let mut acls = Acls::new();
            let acl = take(&mut acls, &self.lists, &mut self.taken, acl);
            let mut state = State::bare(self.hash_seed, stat, data, acl);
            state.acls = acls;
            self.state = Some(state);
            return Ok(());
        };
        let parent = path::parent(path).ok_or_else(misplaced)?;
        if parent != self.parent.0 {
            let id = state.tree.find(parent).ok_or_else(misplaced)?;
            self.parent.0.clear();
            self.parent.0.push_str(parent);
            self.parent.1 = id;
        }
        let free = !path::name(path).is_empty();
        let acl = take(&mut state.acls, &self.lists, &mut self.taken, acl);
        let added = free.then(|| state.add_new(self.parent.1, path, stat, data, acl)).flatten();
        added.map(drop).ok_or_else(misplaced)
    }
}

/// The id here of a list that has another one in the snapshot.
fn take(
    acls: &mut Acls,
    lists: &BTreeMap<i64, Vec<Acl>>,
    taken: &mut BTreeMap<i64, AclId>,
    disk: i64,
) -> AclId {
    if disk == AclId::OPEN.disk() {
        return AclId::OPEN;
    }
    if let Some(&id) = taken.get(&disk) {
        acls.take_again(id);
        return id;
    }
    let id = lists.get(&disk).map_or(AclId::UNKNOWN, |list| acls.take(list));
    taken.insert(disk, id);
    id
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
        let length = self.length()?.unwrap_or(0);
        self.bytes(length, &mut text)?;
        Ok(Text::from_utf8_lossy(text.into()))
    }

    /// The length of a text or of data; `None` for null.
    fn length(&mut self) -> Result<Option<usize>, SnapshotError> {
        let length = self.int()?;
        self.believed(length)
    }

    fn believed(&self, length: i32) -> Result<Option<usize>, SnapshotError> {
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.limit => Ok(Some(bytes)),
            Err(_) if length == -1 => Ok(None),
            _ => Err(SnapshotError::Length { at: self.at, length }),
        }
    }

    /// Adds `length` bytes; takes no more memory than a chunk beyond what is there.
    fn bytes(&mut self, length: usize, to: &mut Vec<u8>) -> Result<(), SnapshotError> {
        let end = to.len() + length;
        while to.len() < end {
            let begin = to.len();
            to.resize(end.min(begin + CHUNK), 0);
            let read = self.from.read_exact(&mut to[begin..]);
            read.map_err(|source| SnapshotError::Read { at: self.at, source })?;
            self.at += u64::try_from(to.len() - begin).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut array = [0; N];
        let read = self.from.read_exact(&mut array);
        read.map_err(|source| SnapshotError::Read { at: self.at, source })?;
        self.at += u64::try_from(N).unwrap_or(u64::MAX);
        Ok(array)
    }
}
