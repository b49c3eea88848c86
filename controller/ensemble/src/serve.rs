//! Answering what needs no transaction, from the tree as it stands.
//!
//! The caller holds the tree, so that a read, the watch it sets and its place in the connection's queue
//! are one: no event can come between them.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use jute::{ErrorCode, MultiRead, Put, ReplyHeader, Request, Stat};
use types::Instant;
use znodes::listing::{PageMark, PageOf, answer_page};
use znodes::reads::{self, Reading};
use znodes::{Place, State, WatchKind, Watcher};

use crate::conn::{Conn, Inner, Pending, put_frame};
use crate::metrics::{micros, namespace};
use crate::shared::Shared;
use crate::throttle::Held;

/// Answers now, or queues the request behind the session's own writes.
pub(crate) fn read_in_turn(
    tree: &State,
    shared: &Shared,
    conn: &Conn,
    xid: i32,
    request: Request,
    bytes: usize,
    held: Option<Box<Held>>,
) {
    let since = shared.now();
    let mut inner = conn.lock();
    if inner.closing {
        return;
    }
    if inner.oldest().is_none() {
        answer(tree, shared, conn, &mut inner, xid, &request, since);
    } else {
        inner.push(Pending::Read { xid, request: Box::new(request), bytes, since, held });
    }
}

/// Answers what waited behind a write that is answered now, up to the next write, or until there is more than
/// the client may leave unread. The rest of them see the tree as it is then, which may have later writes of the
/// session in it.
pub(crate) fn what_waited(tree: &State, shared: &Shared, conn: &Conn, inner: &mut Inner) {
    while inner.is_held_up() {
        match inner.pop() {
            Some(Pending::Read { xid, request, since, .. }) => {
                answer(tree, shared, conn, inner, xid, &request, since);
            }
            Some(Pending::Ready { frame }) => inner.out.extend_from_slice(&frame),
            Some(Pending::Write { .. }) | None => {}
        }
    }
}

fn answer(
    tree: &State,
    shared: &Shared,
    conn: &Conn,
    inner: &mut Inner,
    xid: i32,
    request: &Request,
    since: Instant,
) {
    let watcher = Watcher(conn.slot);
    let auth = Arc::clone(&inner.auth);
    let mut long = inner.said.long();
    let longest = long.longest();
    let reading = Reading { session: inner.session, auth: &auth, longest };
    let mut page = inner.said.take_page();
    let has_room = has_room(shared, watcher, request);
    if let Request::SetWatches(wanted) | Request::SetWatches2(wanted) = request
        && has_room
    {
        let missed = shared.watchers().watches.set_again(watcher, tree, wanted);
        for (kind, path) in missed {
            inner.put_event(kind, &path, ReplyHeader::NO_ZXID);
        }
    }
    let start = inner.out.len();
    let mut read = None;
    put_frame(&mut inner.out, |out| {
        let start = out.len();
        ReplyHeader { xid, zxid: shared.applied(), error: None }.encode(out);
        let answered = match has_room {
            true => put_body(tree, shared, watcher, reading, &mut page, request, out),
            false => Err(ErrorCode::SystemError),
        };
        // A list ends early by itself.
        let answered = answered.and_then(|()| match out.len() - start > longest {
            true => Err(ErrorCode::MarshallingError),
            false => Ok(()),
        });
        if let Err(error) = answered {
            out.truncate(start);
            ReplyHeader { xid, zxid: shared.applied(), error: Some(error) }.encode(out);
        } else {
            read = bytes_read(request, &out[start + HEADER_BYTES..]);
        }
    });
    let now = shared.now();
    let length = inner.out.len() - start;
    inner.said.put_page(page);
    long.answered(length - LENGTH_BYTES);
    inner.said.set_long(long);
    shared.stats.responded(length);
    if let Some((path, bytes)) = read {
        note_read(shared, path, bytes);
    } else if let Request::MultiRead(reads) = request {
        for read in reads {
            let bytes = bytes_read_of(tree, read);
            let (MultiRead::GetData { path, .. } | MultiRead::GetChildren { path, .. }) = read;
            if let Some(bytes) = bytes {
                note_read(shared, path, bytes);
            }
        }
    }
    shared.stats.reads.record(micros(now - since));
    shared.count_stale(request.op(), now - since, inner.timeout_ms);
    inner.said.talk.answered(request.op(), xid, shared.applied(), now - since, now);
    inner.said.talk.sent += 1;
}

/// So many bytes of data or names were read there.
fn note_read(shared: &Shared, path: &str, bytes: usize) {
    if let Some(namespace) = namespace(path) {
        let bytes = (path.len() + bytes + Stat::LENGTH) as u64;
        shared.stats.read.record(namespace, bytes, 1);
    }
}

/// What was read of a znode, and how many bytes of data or names; the body of the answer tells.
fn bytes_read<'a>(request: &'a Request, body: &[u8]) -> Option<(&'a str, usize)> {
    let of_names = |stat: usize| {
        let count = body.first_chunk().map_or(0, |count| i32::from_be_bytes(*count));
        let lengths = usize::try_from(count).unwrap_or(0) * LENGTH_BYTES;
        body.len().saturating_sub(LENGTH_BYTES + lengths + stat)
    };
    match request {
        Request::Exists { path, .. } => Some((path, 0)),
        Request::GetData { path, .. } => {
            Some((path, body.len().saturating_sub(LENGTH_BYTES + Stat::LENGTH)))
        }
        Request::GetChildren { path, .. } => Some((path, of_names(0))),
        Request::GetChildren2 { path, .. } => Some((path, of_names(Stat::LENGTH))),
        _ => None,
    }
}

/// The same of one of several reads, as far as there is something.
fn bytes_read_of(tree: &State, read: &MultiRead) -> Option<usize> {
    match read {
        MultiRead::GetData { path, .. } => {
            tree.get(path).map(|node| node.data().map_or(0, <[u8]>::len))
        }
        MultiRead::GetChildren { path, .. } => {
            tree.get(path).map(|node| node.children().map(str::len).sum())
        }
    }
}

/// Whether the connection may have the watches that the request asks for. Without, nothing of it is done.
fn has_room(shared: &Shared, watcher: Watcher, request: &Request) -> bool {
    let wanted = reads::watches_wanted(request);
    if wanted == 0 {
        return true;
    }
    let watchers = shared.watchers();
    let has_room = watchers.watches.has_room(watcher, wanted);
    if !has_room {
        let remote = watchers.conn(watcher).map(|conn| conn.remote);
        tracing::warn!(
            ?remote,
            held = watchers.watches.held(watcher),
            wanted,
            limit = shared.config.max_watches,
            "request refused: too many watches on one connection"
        );
    }
    has_room
}

fn put_body(
    tree: &State,
    shared: &Shared,
    watcher: Watcher,
    reading: Reading<'_>,
    mark: &mut Option<PageMark>,
    request: &Request,
    out: &mut BytesMut,
) -> Result<(), ErrorCode> {
    match request {
        // As long as a stock client takes, and all that a client which sets another limit takes.
        &Request::GetChildrenPaginated { ref path, most, from, watch } => {
            let reading = Reading { longest: shared.max_request_bytes - HEADER_BYTES, ..reading };
            let set = |place: Place<'_>| {
                shared.watchers().watches.watch(watcher, WatchKind::Child, place);
            };
            let set = |place: Place<'_>| {
                if watch {
                    set(place)
                }
            };
            answer_page(tree, PageOf { path, most, from }, reading, mark, set, out)
        }
        Request::SetWatches(_) | Request::SetWatches2(_) => Ok(()),
        // All that was committed before it is applied: the core applies before anybody hears of a commit.
        Request::Sync { path } => {
            out.put_text(path);
            Ok(())
        }
        Request::AddWatch { path, mode } => {
            shared.watchers().watches.add(watcher, path, *mode);
            out.put_i32(0);
            Ok(())
        }
        Request::CheckWatches { path, kind } => {
            let there = shared.watchers().watches.has(watcher, tree.place(path), *kind);
            there.then_some(()).ok_or(ErrorCode::NoWatcher)
        }
        Request::RemoveWatches { path, kind } => {
            let there = shared.watchers().watches.remove(watcher, tree.place(path), *kind);
            there.then_some(()).ok_or(ErrorCode::NoWatcher)
        }
        request => {
            let mut watch = |kind: WatchKind, place: Place<'_>| {
                shared.watchers().watches.watch(watcher, kind, place);
            };
            reads::answer(tree, request, reading, &mut watch, out)
        }
    }
}

/// Before a frame: its length, which does not count itself.
const LENGTH_BYTES: usize = 4;
/// Of an answer, before its body.
const HEADER_BYTES: usize = 16;
