//! What a connection shares with the core: its answers on their way out, and the order they are due in.
//!
//! Replies leave in the order of the requests. A read is answered at once when nothing of the same
//! session waits for the log; behind a write it waits in [`Queue::pending`] and is answered in the very
//! step that applies that write. Lock order: the tree, then a connection's [`Inner`], then the watchers;
//! under the tree's write lock nobody else holds either of the last two for long.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::task::AtomicWaker;
use jute::{ErrorCode, EventType, Id, OpCode, ReplyHeader, Request, Response, WatcherEvent, xid};
use types::{Instant, SessionId, Zxid};
use znodes::listing::PageMark;

use crate::buffers;
use crate::core::wall_ms;
use crate::long_replies::LongReplies;
use crate::metrics::micros;
use crate::sasl::Exchange;
use crate::throttle::Held;

/// One client connection. This part has at most 104 bytes: such fill the room that the allocator leaves beside the
/// job's own part, which begins at a multiple of 128.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Its place among the watchers, its own as long as it is open.
    pub(crate) slot: u32,
    pub(crate) remote: SocketAddr,
    /// It came through TLS.
    pub(crate) secure: AtomicBool,
    /// Wakes the connection's job: there is something to send, or it must end.
    pub(crate) wake: AtomicWaker,
    /// The core will wake it.
    to_wake: AtomicBool,
    /// When the client was last heard, in nanoseconds of the member's clock.
    heard: AtomicU64,
    /// The client has gone or was sent away: nothing more is taken from it, and nobody waits for answers.
    closed: AtomicBool,
    /// It was sent away: what it asked for and is not begun must not be, for what it asked for before may be lost.
    sent_away: AtomicBool,
    pub(crate) received: AtomicU64,
    inner: Box<Mutex<Inner>>,
}

/// What is guarded by the connection's lock.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Encoded and not yet taken by the connection's job.
    pub(crate) out: BytesMut,
    /// Requests not yet answered; `None`: none.
    queue: Option<Box<Queue>>,
    /// 0 until the session is there.
    pub(crate) session: SessionId,
    pub(crate) timeout_ms: i32,
    /// Who the client has shown to be.
    pub(crate) auth: Arc<[Id]>,
    /// Close once all of `out` is sent.
    pub(crate) closing: bool,
    pub(crate) said: Said,
}

#[derive(Debug, Default)]
struct Queue {
    /// Oldest first. Invariant: the first is a [`Pending::Write`], unless [`Inner::is_stuffed`].
    pending: VecDeque<Pending>,
    /// What the requests in `pending` keep in memory.
    bytes: usize,
}

/// What is kept of what was said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) talk: Talk,
    /// `None`: as at first.
    rare: Option<Box<Rare>>,
}

/// What few connections have.
#[derive(Debug, Default)]
struct Rare {
    /// Where the last page of children ended.
    page: Option<PageMark>,
    long: LongReplies,
    /// The client was challenged and has not answered.
    exchange: Option<Box<Exchange>>,
}

impl Said {
    /// Where the last page of children ended; to be put back.
    pub(crate) fn take_page(&mut self) -> Option<PageMark> {
        self.rare.as_mut()?.page.take()
    }

    pub(crate) fn put_page(&mut self, page: Option<PageMark>) {
        if page.is_some() {
            self.rare.get_or_insert_default().page = page;
        }
    }

    /// With what the client was challenged, if it has not answered.
    pub(crate) fn take_exchange(&mut self) -> Option<Box<Exchange>> {
        self.rare.as_mut()?.exchange.take()
    }

    pub(crate) fn put_exchange(&mut self, exchange: Exchange) {
        self.rare.get_or_insert_default().exchange = Some(Box::new(exchange));
    }

    /// The client's long answers.
    pub(crate) fn long(&self) -> LongReplies {
        self.rare.as_ref().map(|rare| rare.long).unwrap_or_default()
    }

    pub(crate) fn set_long(&mut self, long: LongReplies) {
        if self.rare.is_some() || long != LongReplies::default() {
            self.rare.get_or_insert_default().long = long;
        }
    }
}

/// What was said lastly, and how quickly it was answered; times in ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Talk {
    /// Since 1970: when the connection was made.
    pub(crate) since_ms: i64,
    /// By the member's clock: when the last answer was made.
    pub(crate) last_response_ms: u64,
    pub(crate) last_zxid: i64,
    pub(crate) last_cxid: i32,
    /// Answers to requests and notifications.
    pub(crate) sent: u64,
    last_op: Option<OpCode>,
    answers: u32,
    total_us: u64,
    pub(crate) last_latency_ms: u32,
    min_latency_ms: u32,
    pub(crate) max_latency_ms: u32,
}

impl Talk {
    /// Nothing was said yet on a connection made at `since_ms`.
    pub(crate) fn begun(since_ms: i64) -> Self {
        Self { since_ms, last_cxid: -1, last_zxid: -1, ..Self::default() }
    }

    /// A request is answered after `time`, at `now`.
    pub(crate) fn answered(
        &mut self,
        op: OpCode,
        cxid: i32,
        zxid: Zxid,
        time: Duration,
        now: Instant,
    ) {
        let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        self.last_op = Some(op);
        self.last_cxid = cxid;
        self.last_zxid = zxid.bits();
        self.last_response_ms = now.as_millis();
        self.last_latency_ms = ms;
        self.min_latency_ms = if self.answers == 0 { ms } else { self.min_latency_ms.min(ms) };
        self.max_latency_ms = self.max_latency_ms.max(ms);
        self.answers = self.answers.saturating_add(1);
        self.total_us = self.total_us.saturating_add(micros(time));
    }

    pub(crate) fn min_latency(&self) -> u32 {
        self.min_latency_ms
    }

    pub(crate) fn average_latency(&self) -> u64 {
        self.total_us / 1000 / u64::from(self.answers.max(1))
    }

    /// The last request in Apache's short words.
    pub(crate) fn last_word(&self) -> &'static str {
        match self.last_op {
            None => "NA",
            Some(op) => word(op),
        }
    }
}

fn word(op: OpCode) -> &'static str {
    match op {
        OpCode::Ping => "PING",
        OpCode::CreateSession => "SESS",
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::SetData => "SETD",
        OpCode::Reconfig => "RECO",
        OpCode::SetAcl => "SETA",
        OpCode::CloseSession => "CLOS",
        OpCode::Sync => "SYNC",
        OpCode::Check => "CHEC",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetWatches | OpCode::SetWatches2 => "SETW",
        OpCode::AddWatch => "ADDW",
        OpCode::GetAcl => "GETA",
        OpCode::GetChildren | OpCode::GetChildren2 | OpCode::GetChildrenPaginated => "GETC",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::WhoAmI => "HOMI",
        OpCode::GetEphemerals => "GETE",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        _ => "NA",
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) enum Pending {
    /// With the core.
    Write { xid: i32, op: OpCode, bytes: usize, since: Instant, held: Option<Box<Held>> },
    /// To be answered behind the write before it.
    Read { xid: i32, request: Box<Request>, bytes: usize, since: Instant, held: Option<Box<Held>> },
    /// The answer is known and waits for its turn.
    Ready { frame: Bytes },
}

/// A write that has its answer, of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) xid: i32,
    pub(crate) op: OpCode,
    pub(crate) since: Instant,
    pub(crate) length: usize,
}

/// What a connection keeps in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    /// Bytes that wait to be sent.
    pub(crate) unsent: usize,
    /// Requests that wait to be answered.
    pub(crate) waiting: usize,
    /// Bytes of those requests.
    pub(crate) waiting_bytes: usize,
    /// See [`Inner::is_held_up`].
    pub(crate) held_up: bool,
}

impl Backlog {
    /// Whether the client must take answers before more of its requests are read.
    pub(crate) fn is_too_much(self) -> bool {
        self.unsent > MAX_UNSENT_BYTES
            || self.waiting > MAX_WAITING
            || self.waiting_bytes > MAX_WAITING_BYTES
    }
}

impl Pending {
    fn bytes(&self) -> usize {
        match self {
            Self::Write { bytes, .. } | Self::Read { bytes, .. } => *bytes,
            Self::Ready { frame } => frame.len(),
        }
    }

    fn let_go(&mut self) {
        if let Self::Write { held, .. } | Self::Read { held, .. } = self {
            *held = None;
        }
    }
}

impl Conn {
    pub(crate) fn new(slot: u32, remote: SocketAddr, auth: Arc<[Id]>, now: Instant) -> Self {
        Self {
            slot,
            remote,
            secure: AtomicBool::new(false),
            wake: AtomicWaker::new(),
            to_wake: AtomicBool::new(false),
            heard: AtomicU64::new(now.as_nanos()),
            closed: AtomicBool::new(false),
            sent_away: AtomicBool::new(false),
            received: AtomicU64::new(0),
            inner: Box::new(Mutex::new(Inner {
                out: BytesMut::new(),
                queue: None,
                session: SessionId(0),
                timeout_ms: 0,
                auth,
                closing: false,
                said: Said { talk: Talk::begun(wall_ms()), rare: None },
            })),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding a connection's lock")
    }

    pub(crate) fn heard_at(&self, now: Instant) {
        self.heard.store(now.as_nanos(), Relaxed);
    }

    pub(crate) fn heard(&self) -> Instant {
        Instant::from_nanos(self.heard.load(Relaxed))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn is_sent_away(&self) -> bool {
        self.sent_away.load(Relaxed)
    }

    /// True when whoever asks must see to it that [`Self::wake_up`] is called, as nobody else does so far.
    pub(crate) fn is_to_be_woken(&self) -> bool {
        !self.to_wake.swap(true, Relaxed)
    }

    pub(crate) fn wake_up(&self) {
        self.to_wake.store(false, Relaxed);
        self.wake.wake();
    }

    /// The member has nothing more to do with the client: as [`Self::close`], and what waits of its requests is dropped.
    pub(crate) fn send_away(&self, flush: bool) {
        self.sent_away.store(true, Relaxed);
        self.close(flush);
    }

    /// Ends the connection: at once, or when what is to be sent is sent. What its client has asked for is done, as one that
    /// says good-bye does not always wait for the answer.
    pub(crate) fn close(&self, flush: bool) {
        self.closed.store(true, Relaxed);
        let mut inner = self.lock();
        inner.closing = true;
        inner.queue = None;
        if !flush {
            inner.out.clear();
        }
        drop(inner);
        self.wake.wake();
    }

    /// Queues a notification. A client that does not read what it asked to be told is sent away before
    /// its queue grows without bound.
    pub(crate) fn notify(&self, kind: EventType, path: &str, zxid: Zxid) {
        let mut inner = self.lock();
        if inner.closing {
            return;
        }
        if inner.out.len() > MAX_QUEUED_BYTES {
            tracing::warn!(remote = %self.remote, "client does not read its notifications: closed");
            inner.out.clear();
            inner.closing = true;
            self.closed.store(true, Relaxed);
            return;
        }
        inner.put_event(kind, path, zxid);
        inner.said.talk.sent += 1;
    }
}

impl Inner {
    /// The client has shown to be these, too.
    pub(crate) fn add_ids(&mut self, ids: impl IntoIterator<Item = Id>) {
        let mut auth = self.auth.to_vec();
        for id in ids {
            if !auth.contains(&id) {
                auth.push(id);
            }
        }
        self.auth = auth.into();
    }

    pub(crate) fn backlog(&self) -> Backlog {
        Backlog {
            unsent: self.out.len(),
            waiting: self.queue.as_ref().map_or(0, |queue| queue.pending.len()),
            waiting_bytes: self.queue.as_ref().map_or(0, |queue| queue.bytes),
            held_up: self.is_held_up(),
        }
    }

    /// Whether the client must take answers before more of them are made.
    pub(crate) fn is_stuffed(&self) -> bool {
        self.out.len() > MAX_QUEUED_BYTES
    }

    /// Whether something could be answered that could not be while the client did not take its answers.
    pub(crate) fn is_held_up(&self) -> bool {
        !matches!(self.oldest(), None | Some(Pending::Write { .. })) && !self.is_stuffed()
    }

    /// Requests that wait for the client to take its answers hold nothing that others wait for.
    pub(crate) fn let_go(&mut self) {
        let is_read = |one: &&mut Pending| !matches!(one, Pending::Write { .. });
        let pending = self.queue.iter_mut().flat_map(|queue| &mut queue.pending);
        pending.take_while(is_read).for_each(Pending::let_go);
    }

    /// What the oldest write is; a sync through a leader counts as one.
    pub(crate) fn oldest_write(&self) -> Option<OpCode> {
        self.queue.as_ref()?.pending.iter().find_map(|one| match one {
            Pending::Write { op, .. } => Some(*op),
            _ => None,
        })
    }

    /// Answers the oldest write. It is the oldest request, too, or its answer waits behind those of the reads
    /// before it, which wait for the client.
    pub(crate) fn answer_write(
        &mut self,
        zxid: Zxid,
        result: Result<&Response, ErrorCode>,
    ) -> Option<Answered> {
        let is_write = |one: &Pending| matches!(one, Pending::Write { .. });
        let pending = &self.queue.as_ref()?.pending;
        let at = pending.iter().position(is_write)?;
        let Some(&Pending::Write { xid, op, since, .. }) = pending.get(at) else { return None };
        let start = self.out.len();
        let length = if at == 0 {
            self.pop();
            self.put_reply(xid, zxid, result);
            self.out.len() - start
        } else {
            let mut frame = BytesMut::new();
            put_reply(&mut frame, xid, zxid, result);
            let ready = Pending::Ready { frame: frame.freeze() };
            let length = ready.bytes();
            let queue = self.queue.as_mut()?;
            queue.bytes += length;
            queue.bytes -= queue.pending[at].bytes();
            queue.pending[at] = ready;
            length
        };
        Some(Answered { xid, op, since, length })
    }

    /// The oldest request that is not answered.
    pub(crate) fn oldest(&self) -> Option<&Pending> {
        self.queue.as_ref()?.pending.front()
    }

    pub(crate) fn push(&mut self, pending: Pending) {
        let queue = self.queue.get_or_insert_default();
        queue.bytes += pending.bytes();
        queue.pending.push_back(pending);
    }

    pub(crate) fn pop(&mut self) -> Option<Pending> {
        let queue = self.queue.as_mut()?;
        let oldest = queue.pending.pop_front()?;
        queue.bytes -= oldest.bytes();
        if queue.pending.is_empty() && queue.pending.capacity() > KEEP_PENDING {
            self.queue = None;
        }
        Some(oldest)
    }

    pub(crate) fn put_event(&mut self, kind: EventType, path: &str, zxid: Zxid) {
        put_frame(&mut self.out, |out| {
            ReplyHeader { xid: xid::NOTIFICATION, zxid, error: None }.encode(out);
            WatcherEvent { kind, path: path.into() }.encode(out);
        });
    }

    pub(crate) fn put_reply(&mut self, xid: i32, zxid: Zxid, result: Result<&Response, ErrorCode>) {
        put_reply(&mut self.out, xid, zxid, result);
    }

    /// Answers in turn: now when nothing waits, else behind what waits.
    pub(crate) fn reply_in_turn(&mut self, xid: i32, zxid: Zxid, error: Option<ErrorCode>) {
        self.reply_with_in_turn(xid, zxid, error.map_or(Ok(&Response::Empty), Err));
    }

    pub(crate) fn reply_with_in_turn(
        &mut self,
        xid: i32,
        zxid: Zxid,
        result: Result<&Response, ErrorCode>,
    ) {
        if self.oldest().is_none() {
            self.put_reply(xid, zxid, result);
        } else {
            let mut frame = BytesMut::new();
            put_reply(&mut frame, xid, zxid, result);
            self.push(Pending::Ready { frame: frame.freeze() });
        }
    }
}

/// A frame: the length of what `fill` writes, and that.
pub(crate) fn put_frame(out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    buffers::provide(out);
    let start = out.len();
    out.put_i32(0);
    fill(out);
    let length = out.len() - start - 4;
    let length = i32::try_from(length).expect("one answer is far below 2 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_reply(out: &mut BytesMut, xid: i32, zxid: Zxid, result: Result<&Response, ErrorCode>) {
    put_frame(out, |out| {
        ReplyHeader { xid, zxid, error: result.err() }.encode(out);
        if let Ok(response) = result {
            response.encode(out);
        }
    });
}

/// What a client may leave unread before notifications end its connection, and reads behind a write wait.
const MAX_QUEUED_BYTES: usize = 32 << 20;
const MAX_UNSENT_BYTES: usize = 1 << 20;
/// A queue that is empty again keeps room for so many requests.
const KEEP_PENDING: usize = 8;
const MAX_WAITING: usize = 4096;
/// One request more than this may be in memory.
const MAX_WAITING_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn conn() -> Conn {
        let remote = "127.0.0.1:1".parse().expect("an address");
        Conn::new(0, remote, Arc::from([]), Instant::ZERO)
    }

    #[test]
    fn a_connection_fills_the_room_beside_what_it_is_allocated_with() {
        let counts = 2 * size_of::<usize>();
        assert!(counts + size_of::<Conn>() <= 104, "{}", size_of::<Conn>());
        assert!(size_of::<Mutex<Inner>>() <= 152, "{}", size_of::<Mutex<Inner>>());
    }

    #[test]
    fn an_answer_that_is_known_waits_for_the_write_before_it() {
        let conn = conn();
        let mut inner = conn.lock();
        inner.reply_in_turn(1, Zxid::ZERO, None);
        let answered = inner.out.len();
        assert!(answered > 0 && inner.oldest().is_none());
        inner.push(Pending::Write {
            xid: 2,
            op: OpCode::SetData,
            bytes: 100,
            since: Instant::ZERO,
            held: None,
        });
        inner.reply_in_turn(3, Zxid::ZERO, Some(ErrorCode::BadArguments));
        assert_eq!(inner.out.len(), answered, "not before the write");
        assert!(matches!(inner.pop(), Some(Pending::Write { xid: 2, .. })));
        assert!(matches!(inner.pop(), Some(Pending::Ready { .. })));
        assert_eq!(inner.backlog().waiting_bytes, 0);
    }

    #[test]
    fn a_client_that_does_not_read_its_notifications_is_sent_away() {
        let conn = conn();
        conn.notify(EventType::Created, "/a", Zxid::ZERO);
        assert!(!conn.is_closed());
        conn.lock().out.resize(MAX_QUEUED_BYTES + 1, 0);
        conn.notify(EventType::Created, "/a", Zxid::ZERO);
        assert!(conn.is_closed() && conn.lock().out.is_empty());
    }
}
