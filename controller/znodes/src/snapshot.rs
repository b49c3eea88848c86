//! The state as the bytes of a snapshot's body, and back.
//!
//! Lives here: sessions, ACL lists, znodes and the end mark, as a snapshot file and a leader's snapshot
//! stream both carry them. Must not: file headers, seals and checksums (`storage`). Start at
//! [`State::freeze`] and [`read`]. Source: `SerializeUtils.serializeSnapshot`, `DataTree.serialize`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use bytes::{Buf, BufMut};
use jute::{Acl, AclList, Id, Perms, Put, StatPersisted, Text, TxnDigest};
use types::{SessionId, Zxid};

use crate::acls::{AclId, Acls};
use crate::session_table::SessionTable;
pub use crate::tree::{Batch, Index};
use crate::tree::{NodeId, Pages, Tree};
use crate::{State, digest, path};

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
/// better be buffered: see [`read_buffered`].
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
    let source = Source { from: Stream { from, taken: Vec::new() }, at: 0, limit };
    read_alone(source, zxid, hash_seed)
}

/// As [`read`], without a copy of what is in the buffer already.
pub fn read_stream(
    from: &mut impl BufRead,
    zxid: Zxid,
    limit: usize,
    hash_seed: u64,
) -> Result<State, SnapshotError> {
    let from = Buffered { from, taken: 0, joined: Vec::new() };
    read_alone(Source { from, at: 0, limit }, zxid, hash_seed)
}

/// Tree, sum and index on one thread.
fn read_alone<T: Take>(
    source: Source<T>,
    zxid: Zxid,
    hash_seed: u64,
) -> Result<State, SnapshotError> {
    let mut index = Index::default();
    let mut add = |batch: &mut Batch| {
        index.add(batch);
        batch.clear();
    };
    let read = read_from(source, zxid, hash_seed, 0, digest::node, &mut add)?;
    let sum = read.0.digest;
    read.finish(sum, index)
}

/// A state whose sum is made by [`sum`], and its index by [`Index::add`], on other threads.
#[derive(Debug)]
pub struct Unfinished(State);

impl Unfinished {
    /// The state with the sum over the same bytes, and the index of all batches.
    pub fn finish(self, sum: i64, index: Index) -> Result<State, SnapshotError> {
        let mut state = self.0;
        if let Err(id) = state.tree.take_index(index) {
            return Err(SnapshotError::Misplaced { path: state.tree.path(id) });
        }
        state.digest = sum;
        state.take_up_quotas();
        Ok(state)
    }
}

/// As [`read`], without a copy of what is in the buffer already. `size` is about how many bytes there are:
/// room is made for as many znodes as that may be, once it is known how long they are. `add` is to have each batch
/// added to an [`Index`], and leaves it empty or another empty one in its place.
pub fn read_buffered(
    from: &mut impl BufRead,
    zxid: Zxid,
    limit: usize,
    hash_seed: u64,
    size: u64,
    mut add: impl FnMut(&mut Batch),
) -> Result<Unfinished, SnapshotError> {
    let from = Buffered { from, taken: 0, joined: Vec::new() };
    let source = Source { from, at: 0, limit };
    read_from(source, zxid, hash_seed, size, |_, _, _| 0, &mut add)
}

/// The sum over the tree in a body: a fair part of what it takes to load one, and nothing else needs it.
pub fn sum(from: &mut impl BufRead, limit: usize) -> Result<i64, SnapshotError> {
    let from = Buffered { from, taken: 0, joined: Vec::new() };
    let mut source = Source { from, at: 0, limit };
    read_sessions(&mut source)?;
    read_lists(&mut source)?;
    let mut sum = 0_i64;
    read_znodes(&mut source, |path, data, _, stat, _| {
        sum = sum.wrapping_add(digest::node(path, data, stat));
        Ok(())
    })?;
    Ok(sum)
}

fn read_from<T: Take>(
    mut source: Source<T>,
    zxid: Zxid,
    hash_seed: u64,
    size: u64,
    sum: impl Fn(&str, Option<&[u8]>, &StatPersisted) -> i64,
    add: &mut dyn FnMut(&mut Batch),
) -> Result<Unfinished, SnapshotError> {
    let sessions = read_sessions(&mut source)?;
    let mut loading = Loading::new(read_lists(&mut source)?, hash_seed);
    let (mut count, mut total) = (0, 0_i64);
    read_znodes(&mut source, |path, data, acl, stat, at| {
        loading.add(path, data, acl, stat)?;
        total = total.wrapping_add(sum(path, data, stat));
        count += 1;
        if count == TYPICAL {
            loading.expect(size / (at / TYPICAL));
        }
        if loading.batch.entries.len() >= BATCH {
            let expected = loading.batch.expected;
            add(&mut loading.batch);
            loading.batch.expected = expected;
        }
        Ok(())
    })?;
    add(&mut loading.batch);
    source.from.end();
    let misplaced = || SnapshotError::Misplaced { path: END.to_owned() };
    let mut state = loading.state.ok_or_else(misplaced)?;
    state.sessions = sessions;
    state.zxid = zxid;
    state.digest = total;
    Ok(Unfinished(state))
}

fn read_sessions<T: Take>(source: &mut Source<T>) -> Result<SessionTable, SnapshotError> {
    let mut sessions = SessionTable::default();
    for _ in 0..source.int()? {
        sessions.insert(SessionId(source.long()?), source.int()?);
    }
    Ok(sessions)
}

fn read_lists<T: Take>(source: &mut Source<T>) -> Result<BTreeMap<i64, AclList>, SnapshotError> {
    let mut lists = BTreeMap::new();
    for _ in 0..source.int()? {
        lists.insert(source.long()?, source.acl()?.into());
    }
    Ok(lists)
}

/// Shows each znode: path, data, ACL, stat, and how many bytes were read before what follows it.
fn read_znodes<T: Take>(
    source: &mut Source<T>,
    mut show: impl FnMut(&str, Option<&[u8]>, i64, &StatPersisted, u64) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    let mut show = |path: &[u8], data: Option<&[u8]>, tail: &Tail, at| match str::from_utf8(path) {
        Ok(path) => show(path, data, tail.acl, &tail.stat, at),
        Err(_) => show(&String::from_utf8_lossy(path), data, tail.acl, &tail.stat, at),
    };
    // Used again for each znode that lies in two buffers.
    let mut path = Vec::new();
    let mut path_length = source.length()?;
    loop {
        let (begin, limit) = (source.at, source.limit);
        let buffer = source.rest()?;
        let mut used = 0;
        let mut at = begin;
        while let Some((znode, length)) = Lying::of(&buffer[used..], path_length, at, limit)? {
            used += length;
            at = begin + used as u64;
            show(znode.path, znode.data, &znode.tail, at)?;
            path_length = believed(znode.tail.next_path, limit, at)?;
        }
        source.skip(used);
        path.clear();
        path.extend_from_slice(source.take(path_length.unwrap_or(0))?);
        if path == END.as_bytes() {
            source.from.end();
            return Ok(());
        }
        // What follows is taken in as few pieces as may be: the end comes only where a path is expected.
        let data_length = source.length()?;
        let length = data_length.unwrap_or(0);
        let at = source.at + (length + Tail::LENGTH) as u64;
        let rest = source.take(length + Tail::LENGTH)?;
        let (data, tail) = rest.split_at(length);
        let tail = Tail::from_bytes(tail);
        show(&path, data_length.map(|_| data), &tail, at)?;
        path_length = source.believed(tail.next_path)?;
    }
}

/// A znode that lies in a buffer as a whole.
struct Lying<'a> {
    path: &'a [u8],
    data: Option<&'a [u8]>,
    tail: Tail,
}

impl<'a> Lying<'a> {
    /// The first one in `buffer`, which begins with its path at byte `at`, and its bytes up to the next one's path. `None`: not
    /// all of it is there, or it is the end mark.
    fn of(
        buffer: &'a [u8],
        path_length: Option<usize>,
        at: u64,
        limit: usize,
    ) -> Result<Option<(Self, usize)>, SnapshotError> {
        let Some((path, rest)) = buffer.split_at_checked(path_length.unwrap_or(0)) else {
            return Ok(None);
        };
        let Some((data_length, rest)) = rest.split_first_chunk() else { return Ok(None) };
        if path == END.as_bytes() {
            return Ok(None);
        }
        let at = at + path.len() as u64 + data_length.len() as u64;
        let data_length = believed(i32::from_be_bytes(*data_length), limit, at)?;
        let Some((data, rest)) = rest.split_at_checked(data_length.unwrap_or(0)) else {
            return Ok(None);
        };
        let Some((tail, rest)) = rest.split_first_chunk::<{ Tail::LENGTH }>() else {
            return Ok(None);
        };
        let length = buffer.len() - rest.len();
        let data = data_length.map(|_| data);
        Ok(Some((Self { path, data, tail: Tail::from_bytes(tail) }, length)))
    }
}

/// So many znodes tell how long the others are.
const TYPICAL: u64 = 1024;
/// Znodes in a batch for the index.
const BATCH: usize = 1024;

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
    lists: BTreeMap<i64, AclList>,
    /// The lists that a znode had so far, and their ids here.
    taken: BTreeMap<i64, AclId>,
    hash_seed: u64,
    state: Option<State>,
    /// The last znode's path, and where in it those above end, and itself: a znode's parent is among them, as each is
    /// followed by what is below it.
    path: String,
    above: Vec<(usize, NodeId)>,
    batch: Batch,
}

impl Loading {
    fn new(lists: BTreeMap<i64, AclList>, hash_seed: u64) -> Self {
        let above = vec![(0, Tree::ROOT)];
        let (path, batch) = (String::new(), Batch::default());
        Self { lists, taken: BTreeMap::new(), hash_seed, state: None, path, above, batch }
    }

    /// About so many znodes will come in all.
    fn expect(&mut self, count: u64) {
        if let (Some(state), Ok(count)) = (&mut self.state, usize::try_from(count)) {
            state.tree.expect(count);
            self.batch.expected = count;
        }
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
        let (parent, name) = path::split(path).ok_or_else(misplaced)?;
        if name.is_empty() {
            return Err(misplaced());
        }
        let is_above = self.path.get(..parent.len()) == Some(parent);
        let above = self.above.iter().rposition(|above| is_above && above.0 == parent.len());
        let id = match above {
            Some(at) => {
                self.above.truncate(at + 1);
                self.above[at].1
            }
            // In another order than all that are known write.
            None => {
                let id = state.tree.find_unindexed(parent).ok_or_else(misplaced)?;
                self.above.clear();
                self.above.push((parent.len(), id));
                id
            }
        };
        let acl = take(&mut state.acls, &self.lists, &mut self.taken, acl);
        let (id, entry) = state.tree.insert_unindexed(id, name, stat, data, acl);
        state.take_in(id, stat);
        self.batch.entries.push(entry);
        self.above.push((path.len(), id));
        self.path.clear();
        self.path.push_str(path);
        Ok(())
    }
}

/// The id here of a list that has another one in the snapshot.
fn take(
    acls: &mut Acls,
    lists: &BTreeMap<i64, AclList>,
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

/// Gives bytes in order.
trait Take {
    /// The next `length` bytes. Takes no more memory than a chunk beyond what is there.
    fn take(&mut self, length: usize) -> io::Result<&[u8]>;

    /// What lies ready behind what was taken; empty where nothing does, or it is not known.
    fn rest(&mut self) -> io::Result<&[u8]> {
        Ok(&[])
    }

    /// So many of the bytes that lie ready are taken.
    fn skip(&mut self, _length: usize) {}

    /// What was taken is all: the bytes behind it are another's.
    fn end(&mut self) {}
}

/// From what gives no look at its buffer.
struct Stream<'a, R> {
    from: &'a mut R,
    taken: Vec<u8>,
}

impl<R: Read> Take for Stream<'_, R> {
    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        self.taken.clear();
        while self.taken.len() < length {
            let begin = self.taken.len();
            self.taken.resize(length.min(begin + CHUNK), 0);
            self.from.read_exact(&mut self.taken[begin..])?;
        }
        Ok(&self.taken)
    }
}

/// From a buffer, as it lies there.
struct Buffered<'a, R> {
    from: &'a mut R,
    /// Bytes of the buffer that were returned and are still in it.
    taken: usize,
    /// What lay in two buffers.
    joined: Vec<u8>,
}

impl<R: BufRead> Take for Buffered<'_, R> {
    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        self.end();
        if self.from.fill_buf()?.len() >= length {
            self.taken = length;
            return Ok(&self.from.fill_buf()?[..length]);
        }
        self.joined.clear();
        while self.joined.len() < length {
            let there = self.from.fill_buf()?;
            if there.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = there.len().min(length - self.joined.len());
            self.joined.extend_from_slice(&there[..count]);
            self.from.consume(count);
        }
        Ok(&self.joined)
    }

    fn rest(&mut self) -> io::Result<&[u8]> {
        self.end();
        self.from.fill_buf()
    }

    fn skip(&mut self, length: usize) {
        self.from.consume(length);
    }

    fn end(&mut self) {
        self.from.consume(std::mem::take(&mut self.taken));
    }
}

/// A length as it is written, before byte `at`; `None` for null.
fn believed(length: i32, limit: usize, at: u64) -> Result<Option<usize>, SnapshotError> {
    match usize::try_from(length) {
        Ok(bytes) if bytes <= limit => Ok(Some(bytes)),
        Err(_) if length == -1 => Ok(None),
        _ => Err(SnapshotError::Length { at, length }),
    }
}

/// Takes primitives and counts their bytes.
struct Source<T> {
    from: T,
    at: u64,
    limit: usize,
}

impl<T: Take> Source<T> {
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
        let length = self.length()?.unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned().into())
    }

    /// The length of a text or of data; `None` for null.
    fn length(&mut self) -> Result<Option<usize>, SnapshotError> {
        let length = self.int()?;
        self.believed(length)
    }

    fn believed(&self, length: i32) -> Result<Option<usize>, SnapshotError> {
        believed(length, self.limit, self.at)
    }

    fn rest(&mut self) -> Result<&[u8], SnapshotError> {
        let at = self.at;
        self.from.rest().map_err(|source| SnapshotError::Read { at, source })
    }

    fn skip(&mut self, length: usize) {
        self.at += length as u64;
        self.from.skip(length);
    }

    fn take(&mut self, length: usize) -> Result<&[u8], SnapshotError> {
        let at = self.at;
        self.at += length as u64;
        self.from.take(length).map_err(|source| SnapshotError::Read { at, source })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}
