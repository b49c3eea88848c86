//! One client's socket: frames in, answers out.
//!
//! Lives here: framing, the first bytes, the request limit, back-pressure; in `turns`, which request may go on. Must
//! not: decide what a write does (the core) or what a read shows (`serve`). Start at [`Connection::poll_turns`].

mod turns;

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use jute::{
    ConnectRequest, ErrorCode, Id, OpCode, Reader, ReplyHeader, Request, RequestHeader, Response,
};
use tokio::time::{Instant, Sleep, sleep_until};
use types::Zxid;
use znodes::access::SUPER;

use crate::buffers;
use crate::conn::{Backlog, Conn, Pending};
use crate::core::{Asked, Command};
use crate::four_letter::{self, Word};
use crate::metrics::Stats;
use crate::sasl::{CLIENTS, Exchange, random};
use crate::serve;
use crate::shared::Shared;
use crate::socket::Socket;
use crate::tls;
use turns::Wait;

/// The job of one connection, polled by hand: an idle one is this struct and nothing else, for there may be a
/// hundred thousand of them.
pub(crate) struct Connection {
    socket: Socket,
    conn: Arc<Conn>,
    shared: Arc<Shared>,
    /// Received and not parsed.
    input: Bytes,
    /// Taken from the connection's queue and not yet sent.
    sending: BytesMut,
    /// Bytes of an oversize request that are still to be thrown away.
    skip: usize,
    /// By when the client must have said what it wants or, at the end, have read what it is told.
    timer: Option<Pin<Box<Sleep>>>,
    /// How it may turn to TLS.
    security: Security,
    stage: Stage,
    /// It is to end once all is sent.
    closing: bool,
    /// Requests were received that wait until the client has taken answers.
    held_back: bool,
    /// The next request is a long one, and there was room for it when its length came.
    looked_at: bool,
    /// Requests had to wait for their turn.
    wait: Option<Box<Wait>>,
    /// How often it was heard since its client made a pause; not counted while its socket is busy.
    streak: u8,
}

/// Whether a connection speaks TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Security {
    /// Never.
    Plain,
    /// As its first byte tells.
    Either,
    /// From the first byte on.
    Secure,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    /// The first byte tells whether TLS is spoken.
    Detecting,
    /// TLS is begun.
    Handshake,
    /// A four-letter word or a connect record comes first.
    Opening,
    /// The core has the connect record; what follows waits until the session is there.
    Connecting,
    Open,
}

/// The client broke the framing, or has gone.
struct HangUp;

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        security: Security,
        conn: Arc<Conn>,
        shared: Arc<Shared>,
    ) -> Self {
        let stage = match security {
            Security::Plain => Stage::Opening,
            Security::Either | Security::Secure => Stage::Detecting,
        };
        Self {
            socket: Socket::plain(stream),
            conn,
            shared,
            input: Bytes::new(),
            sending: BytesMut::new(),
            skip: 0,
            timer: Some(Box::pin(sleep_until(Instant::now() + HANDSHAKE_TIME))),
            security,
            stage,
            closing: false,
            held_back: false,
            looked_at: false,
            wait: None,
            streak: 0,
        }
    }

    /// Goes on until there is nothing to do but wait, or an end.
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<HangUp> {
        // Before anything is looked at, so that what comes meanwhile is not missed.
        self.conn.wake.register(cx.waker());
        for _ in 0..TURNS {
            match self.poll_turn(cx) {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
        // The others have their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready: it has received or sent something, and may go on at once.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, HangUp> {
        self.held_back = false;
        self.parse()?;
        let (closing, backlog) = self.send().map_err(|_| HangUp)?;
        if backlog.held_up && backlog.unsent == 0 {
            self.answer_what_was_held_up();
            return Ok(Poll::Ready(()));
        }
        // Nothing else may ever wake it: all may be sent, and the client may wait for the rest.
        if self.held_back && !closing && !backlog.is_too_much() {
            return Ok(Poll::Ready(()));
        }
        if closing && backlog.unsent == 0 && !self.socket.wants_write() {
            return Err(HangUp);
        }
        if closing && !self.closing {
            self.closing = true;
            self.timer = Some(Box::pin(sleep_until(Instant::now() + LAST_WORDS_TIME)));
        }
        if !closing && !self.stage.is_before_session() {
            self.timer = None;
        }
        // Each of its answers wakes it, so it is read again once there are fewer.
        let busy = backlog.waiting > 0
            && self.shared.stats.outstanding.load(Relaxed) > self.shared.config.outstanding_limit;
        let read = !closing && self.stage != Stage::Connecting && !backlog.is_too_much() && !busy;
        let read = read && self.may_read_in_line();
        if read {
            match self.socket.poll_read(cx, &mut self.input) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(HangUp),
                Poll::Ready(Ok(count)) => {
                    self.shared.stats.bytes_received.fetch_add(count as u64, Relaxed);
                    return Ok(Poll::Ready(()));
                }
                Poll::Pending => {}
            }
        }
        if !self.sending.is_empty() || self.socket.wants_write() {
            match self.socket.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => return Ok(Poll::Ready(())),
                Poll::Ready(Err(_)) => return Err(HangUp),
                Poll::Pending => {}
            }
        }
        if self.poll_stall(cx).is_ready() {
            return Ok(Poll::Ready(()));
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(cx).is_ready()
        {
            if !self.closing {
                Stats::count(&self.shared.stats.sessionless_expired);
            }
            return Err(HangUp);
        }
        Ok(Poll::Pending)
    }

    /// The client has taken its answers: reads that waited for that have theirs now.
    fn answer_what_was_held_up(&self) {
        let tree = self.shared.tree();
        let mut inner = self.conn.lock();
        serve::what_waited(&tree, &self.shared, &self.conn, &mut inner);
    }

    /// Tells whoever must know that the client is gone.
    fn end(&mut self) {
        if self.stage == Stage::Handshake {
            Stats::count(&self.shared.stats.tls_failed);
            self.shared.stats.tls_handshakes.fetch_sub(1, Relaxed);
        }
        self.shared.refusals.ended(&self.conn);
        self.conn.close(false);
        self.leave_line();
        self.shared.tell(Command::Gone(Arc::clone(&self.conn)));
    }

    /// Sends as much as the socket takes. Answers whether the connection is to close, and what it keeps.
    fn send(&mut self) -> io::Result<(bool, Backlog)> {
        loop {
            if self.sending.is_empty() {
                let mut inner = self.conn.lock();
                if inner.out.is_empty() {
                    let state = (inner.closing, inner.backlog());
                    drop(inner);
                    buffers::give_back(&mut self.sending);
                    self.socket.flush()?;
                    return Ok(state);
                }
                std::mem::swap(&mut self.sending, &mut inner.out);
            }
            match self.socket.write(&self.sending) {
                Ok(sent) if sent == self.sending.len() => self.sending.clear(),
                Ok(sent) => self.sending.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let inner = self.conn.lock();
        let mut backlog = inner.backlog();
        backlog.unsent += self.sending.len();
        Ok((inner.closing, backlog))
    }

    fn parse(&mut self) -> Result<(), HangUp> {
        loop {
            let progress = match self.stage {
                Stage::Detecting => self.detect()?,
                Stage::Handshake => self.after_handshake(),
                Stage::Opening => self.parse_opening()?,
                Stage::Connecting => {
                    let there = self.conn.lock().session.0 != 0;
                    if there {
                        self.session_has_begun();
                        self.stage = Stage::Open;
                    }
                    there
                }
                Stage::Open => self.parse_open()?,
            };
            if !progress || self.conn.is_closed() {
                return Ok(());
            }
        }
    }

    /// A record of TLS begins with 22; a frame's length and the words do not.
    fn detect(&mut self) -> Result<bool, HangUp> {
        let Some(first) = self.input.first() else { return Ok(false) };
        if self.security == Security::Either && *first != TLS_HANDSHAKE {
            self.stage = Stage::Opening;
            return Ok(true);
        }
        let config = self.shared.tls.as_ref().ok_or(HangUp)?.server();
        self.stage = Stage::Handshake;
        self.conn.secure.store(true, Relaxed);
        self.shared.stats.tls_handshakes.fetch_add(1, Relaxed);
        let received = std::mem::take(&mut self.input);
        self.input = self.socket.secure(config, &received).map_err(|_| HangUp)?;
        Ok(true)
    }

    /// The certificate that a client has shown is an id.
    fn after_handshake(&mut self) -> bool {
        if self.socket.is_handshaking() {
            return false;
        }
        self.stage = Stage::Opening;
        self.shared.stats.tls_handshakes.fetch_sub(1, Relaxed);
        if let Some(ids) = self.proven_by_certificate() {
            self.conn.lock().add_ids(ids);
        }
        true
    }

    fn proven_by_certificate(&self) -> Option<Vec<Id>> {
        let (certificate, tls) = (self.socket.certificate()?, self.shared.tls.as_ref()?);
        let name = tls::subject(certificate)?;
        let above = tls.is_super(&name).then(|| Id::new("super", name.as_str()));
        Some(std::iter::once(Id::new("x509", name.as_str())).chain(above).collect())
    }

    fn parse_opening(&mut self) -> Result<bool, HangUp> {
        let Some(word) = self.input.first_chunk::<4>().copied() else { return Ok(false) };
        match four_letter::answer(&self.input, &self.shared) {
            Word::None => {}
            Word::Wait => return Ok(false),
            Word::Answer(answer) => {
                Stats::count(&self.shared.stats.received);
                self.conn.lock().out.extend_from_slice(answer.as_bytes());
                self.conn.close(true);
                return Ok(false);
            }
        }
        let length = usize::try_from(i32::from_be_bytes(word)).map_err(|_| HangUp)?;
        if length > self.shared.max_request_bytes {
            return Err(HangUp);
        }
        if self.shared.throttle.is_on() && self.poll_turn_of_opening(length)?.is_pending() {
            return Ok(false);
        }
        let Some(frame) = self.take_frame(length) else { return Ok(false) };
        let request = ConnectRequest::decode(&frame).map_err(|_| HangUp)?;
        self.heard(1)?;
        self.stage = Stage::Connecting;
        self.tell(Command::Connect { conn: Arc::clone(&self.conn), request })?;
        Ok(false)
    }

    /// Handles whole frames, up to a number after which others have their turn at the tree.
    fn parse_open(&mut self) -> Result<bool, HangUp> {
        let mut writes = buffers::provide_writes();
        let handled = self.parse_frames(&mut writes);
        // Also when the framing broke behind them.
        self.submit(&mut writes)?;
        buffers::give_back_writes(writes);
        let handled = handled?;
        if handled > 0 {
            self.heard(handled)?;
        }
        Ok(handled == FRAMES_PER_TURN)
    }

    /// Writes are only gathered in `writes` as long as nothing else comes between them: the core takes them
    /// together.
    fn parse_frames(&mut self, writes: &mut Vec<Asked>) -> Result<u64, HangUp> {
        let shared = Arc::clone(&self.shared);
        let mut tree = None;
        let mut handled = 0;
        while handled < FRAMES_PER_TURN {
            if self.skip > 0 {
                let gone = self.skip.min(self.input.len());
                self.input.advance(gone);
                self.skip -= gone;
                self.heard(0)?;
                if self.skip > 0 {
                    break;
                }
            }
            // What is gathered is no more than was received at once.
            let is_too_much = || writes.is_empty() && self.conn.lock().backlog().is_too_much();
            if self.conn.is_closed() {
                self.leave_line();
                break;
            }
            // In line it takes its turn, or nobody behind it had one.
            if !self.is_in_line() && is_too_much() {
                self.held_back = true;
                break;
            }
            let Some(length) = self.input.first_chunk::<4>() else { break };
            let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| HangUp)?;
            if length > self.shared.max_request_bytes {
                self.submit(writes)?;
                if !self.refuse_oversize(length)? {
                    break;
                }
                handled += 1;
                continue;
            }
            let mut held = None;
            if shared.throttle.is_on() {
                let Poll::Ready(now_held) = self.poll_turn_of(length)? else { break };
                held = now_held;
            }
            let Some(frame) = self.take_frame(length) else { break };
            handled += 1;
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::decode(&mut reader).map_err(|_| HangUp)?;
            let op = OpCode::try_from(header.op);
            if !op.is_ok_and(OpCode::is_write) {
                self.submit(writes)?;
            }
            if !self.has_required_id(header.op) {
                self.submit(writes)?;
                let error = Err(ErrorCode::SessionClosedRequireSaslAuth);
                self.conn.lock().put_reply(header.xid, Zxid::ZERO, error);
                self.conn.close(true);
                break;
            }
            if held.as_ref().is_some_and(|held| held.is_throttled) {
                self.submit(writes)?;
                Stats::count(&shared.stats.throttled);
                self.refuse(header.xid, ErrorCode::ThrottledOp);
                continue;
            }
            match op {
                Ok(op) if op.is_for_clients() => match Request::decode(op, &mut reader) {
                    Ok(request) if op.is_write() || shared.goes_through(&request) => {
                        writes.push(Asked { xid: header.xid, request, bytes: length, held });
                    }
                    Ok(Request::Ping) => self.pong(),
                    Ok(Request::Auth(packet)) => self.authenticate(header.xid, &packet),
                    Ok(Request::Sasl { token }) => {
                        self.sasl(header.xid, token.as_deref().unwrap_or_default());
                    }
                    Ok(request) => {
                        let tree = tree.get_or_insert_with(|| shared.tree());
                        let conn = &self.conn;
                        let xid = header.xid;
                        serve::read_in_turn(tree, &shared, conn, xid, request, length, held);
                    }
                    // Who the client is cannot be told then; Apache hangs up too.
                    Err(_) if matches!(op, OpCode::Auth | OpCode::Sasl) => return Err(HangUp),
                    Err(_) => {
                        self.submit(writes)?;
                        self.refuse(header.xid, ErrorCode::MarshallingError);
                    }
                },
                _ => {
                    self.submit(writes)?;
                    let unknown = Err(ErrorCode::Unimplemented);
                    self.conn.lock().put_reply(header.xid, ReplyHeader::NO_ZXID, unknown);
                    self.conn.close(true);
                }
            }
        }
        Ok(handled)
    }

    fn take_frame(&mut self, length: usize) -> Option<Bytes> {
        if self.input.len() < 4 + length {
            return None;
        }
        self.looked_at = false;
        self.input.advance(4);
        if self.input.len() == length {
            return Some(std::mem::take(&mut self.input));
        }
        Some(self.input.split_to(length))
    }

    /// Answers with an error as soon as the xid is there and throws the rest away as it comes: the session
    /// stays. A length that no client of ours can mean is taken for nonsense.
    fn refuse_oversize(&mut self, length: usize) -> Result<bool, HangUp> {
        if length > MAX_SKIPPED {
            return Err(HangUp);
        }
        let Some(head) = self.input.get(4..12) else { return Ok(false) };
        let head = Bytes::copy_from_slice(head);
        let header = RequestHeader::decode(&mut Reader::new(&head)).map_err(|_| HangUp)?;
        Stats::count(&self.shared.stats.oversize_requests);
        tracing::warn!(
            remote = %self.conn.remote,
            bytes = length,
            limit = self.shared.max_request_bytes,
            "request refused: longer than jute.maxbuffer"
        );
        self.refuse(header.xid, ErrorCode::BadArguments);
        self.input.advance(12);
        self.skip = length - 8;
        Ok(true)
    }

    fn refuse(&self, xid: i32, error: ErrorCode) {
        let zxid = self.shared.applied();
        self.conn.lock().reply_in_turn(xid, zxid, Some(error));
        Stats::count(&self.shared.stats.sent);
    }

    /// Hands gathered writes to the core, in order; each has its place among what is to be answered.
    fn submit(&self, writes: &mut Vec<Asked>) -> Result<(), HangUp> {
        if writes.is_empty() {
            return Ok(());
        }
        let since = self.shared.now();
        let auth = {
            let mut inner = self.conn.lock();
            for Asked { xid, request, bytes, held } in &mut *writes {
                let (xid, op, bytes, held) = (*xid, request.op(), *bytes, held.take());
                inner.push(Pending::Write { xid, op, bytes, since, held });
            }
            Arc::clone(&inner.auth)
        };
        let requests = std::mem::replace(writes, buffers::provide_writes());
        self.tell(Command::Requests { conn: Arc::clone(&self.conn), auth, requests })
    }

    fn tell(&self, command: Command) -> Result<(), HangUp> {
        if self.shared.tell(command) { Ok(()) } else { Err(HangUp) }
    }

    fn pong(&self) {
        let zxid = self.shared.applied();
        let now = self.shared.now();
        let mut inner = self.conn.lock();
        inner.put_reply(jute::xid::PING, zxid, Ok(&Response::Empty));
        inner.said.talk.answered(OpCode::Ping, jute::xid::PING, zxid, Duration::ZERO, now);
        drop(inner);
        Stats::count(&self.shared.stats.sent);
    }

    /// Counts at once, also for what is already queued behind it; answered in turn.
    fn authenticate(&self, xid: i32, packet: &jute::AuthPacket) {
        let result = match packet.scheme.as_str() {
            // Its proof came with TLS; what the packet says does not count.
            "x509" => self.proven_by_certificate().ok_or(ErrorCode::AuthFailed),
            scheme => self.shared.access.authenticate(scheme, &packet.auth),
        };
        let mut inner = self.conn.lock();
        match result {
            Ok(ids) => {
                inner.add_ids(ids);
                inner.reply_in_turn(xid, Zxid::ZERO, None);
            }
            Err(error) => {
                inner.put_reply(xid, Zxid::ZERO, Err(error));
                drop(inner);
                Stats::count(&self.shared.stats.auth_failed);
                self.conn.close(true);
            }
        }
    }

    /// One step of the exchange: the first token is answered with a challenge, the second is the proof.
    fn sasl(&self, xid: i32, token: &[u8]) {
        let mut inner = self.conn.lock();
        let Some(config) = &self.shared.config.sasl else {
            // No mechanism is configured; clients that insist on one end by themselves.
            return inner.reply_with_in_turn(xid, Zxid::ZERO, Ok(&Response::Token(None)));
        };
        let Some(exchange) = inner.said.take_exchange() else {
            let Ok(random) = random() else {
                drop(inner);
                return self.refuse(xid, ErrorCode::SystemError);
            };
            let (exchange, challenge) = Exchange::begin(random, &CLIENTS);
            inner.said.put_exchange(exchange);
            let response = Response::Token(Some(challenge));
            return inner.reply_with_in_turn(xid, Zxid::ZERO, Ok(&response));
        };
        match exchange.finish(token, config) {
            Ok(proven) => {
                let above = config.super_users.contains(&proven.user).then_some(SUPER);
                let id = Id::new("sasl", proven.user.as_str());
                inner.add_ids(std::iter::once(id).chain(above));
                let response = Response::Token(Some(proven.token));
                inner.reply_with_in_turn(xid, Zxid::ZERO, Ok(&response));
            }
            Err(refused) => {
                tracing::warn!(remote = %self.conn.remote, why = refused.why(), "SASL refused");
                Stats::count(&self.shared.stats.auth_failed);
                let enforced =
                    self.shared.config.required_schemes.iter().any(|scheme| scheme == "sasl");
                if !enforced && self.shared.config.sasl_failed_stay {
                    let none = Response::Token(None);
                    return inner.reply_with_in_turn(xid, Zxid::ZERO, Ok(&none));
                }
                let error = match enforced {
                    true => ErrorCode::SessionClosedRequireSaslAuth,
                    false => ErrorCode::AuthFailed,
                };
                inner.put_reply(xid, Zxid::ZERO, Err(error));
                drop(inner);
                self.conn.close(true);
            }
        }
    }

    /// Whether the client may ask for this before it has shown more of who it is.
    fn has_required_id(&self, op: i32) -> bool {
        let required = &self.shared.config.required_schemes;
        required.is_empty()
            || op == OpCode::Auth.code()
            || op == OpCode::Sasl.code()
            || self
                .conn
                .lock()
                .auth
                .iter()
                .any(|id| required.iter().any(|one| one.as_str() == id.scheme.as_str()))
    }

    fn heard(&mut self, packets: u64) -> Result<(), HangUp> {
        let now = self.shared.now();
        let pause = now.saturating_since(self.conn.heard());
        self.conn.heard_at(now);
        self.conn.received.fetch_add(packets, Relaxed);
        self.shared.stats.received.fetch_add(packets, Relaxed);
        self.keep_pace(pause).map_err(|_| HangUp)
    }

    /// A client that says much has its socket with the runtime, which tells of it at less cost, and one that is idle
    /// with the quiet ones: a sign of life now and then does not make it busy.
    fn keep_pace(&mut self, pause: Duration) -> io::Result<()> {
        if pause >= PAUSE {
            self.streak = 0;
            return self.socket.settle(&self.shared.quiet, self.conn.slot);
        }
        if self.streak < BUSY {
            self.streak += 1;
            if self.streak == BUSY {
                return self.socket.rouse(&self.shared.quiet);
            }
        }
        Ok(())
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        match this.poll_turns(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(HangUp) => {
                this.end();
                Poll::Ready(())
            }
        }
    }
}

impl Stage {
    fn is_before_session(self) -> bool {
        matches!(self, Self::Detecting | Self::Handshake | Self::Opening)
    }
}

const TLS_HANDSHAKE: u8 = 0x16;
/// How long a client may take to say what it wants.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How often one connection is read before others have their turn.
const TURNS: usize = 8;
const FRAMES_PER_TURN: u64 = 256;
/// A client that says nothing for so long is idle.
const PAUSE: Duration = Duration::from_secs(1);
/// Heard so often without a pause, a client is busy.
const BUSY: u8 = 16;
/// How long a connection that is to end waits for its client to read the last answers.
const LAST_WORDS_TIME: Duration = Duration::from_secs(5);
/// The longest request that is thrown away for the session's sake.
const MAX_SKIPPED: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounded up to whole 128 bytes, of which 104 are the runtime's.
    #[test]
    fn an_idle_job_fills_what_the_runtime_allocates_for_it() {
        assert!(104 + size_of::<Connection>() <= 256, "{}", size_of::<Connection>());
    }
}
