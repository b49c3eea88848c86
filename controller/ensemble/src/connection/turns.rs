//! A request's turn: it goes on, waits until fewer are in process, or ends its connection.
//!
//! Apache queues the requests of all connections; here each connection is in line with its next one and leaves the rest
//! unparsed, so that a line takes no memory of its own. Source: `RequestThrottler`, Apache ZooKeeper 3.9.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use jute::OpCode;
use tokio::time::{Sleep, sleep};
use types::Instant;

use super::{Connection, HangUp};
use crate::metrics::{Stats, micros};
use crate::throttle::{Entry, Held, TooLarge, is_stale};

/// What a connection knows of requests that had to wait.
pub(super) struct Wait {
    /// What the next request takes, while the connection is in line with it.
    in_line: Option<Held>,
    /// What the session takes that begins.
    begins: Option<Held>,
    /// When the first of those requests was there that came as early.
    since: Instant,
    /// How much of the input had come then.
    bytes: usize,
    /// It is first in line, and this is when it looks again.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    fn begun(since: Instant, bytes: usize) -> Box<Self> {
        Box::new(Self { in_line: None, begins: None, since, bytes, stall: None })
    }
}

impl Connection {
    /// Whether a request of so many bytes may be received, asked once of each.
    pub(super) fn look_at_size(&mut self, length: usize) -> Result<(), HangUp> {
        if self.looked_at || !self.shared.throttle.is_large(length) {
            return Ok(());
        }
        self.looked_at = true;
        self.shared.throttle.has_room_for(length).map_err(|TooLarge| self.too_large(length))
    }

    /// What the next request takes, which has so many bytes, when it is its turn. Pending: it is not, or the request is
    /// not there yet.
    pub(super) fn poll_turn_of(
        &mut self,
        length: usize,
    ) -> Result<Poll<Option<Box<Held>>>, HangUp> {
        self.look_at_size(length)?;
        if self.input.len() < 4 + length {
            return Ok(Poll::Pending);
        }
        // They are answered without any work.
        let is_free = matches!(self.next_op(), Some(OpCode::Auth | OpCode::Sasl | OpCode::Ping));
        if is_free && !self.is_in_line() {
            self.parsed(length);
            return Ok(Poll::Ready(None));
        }
        // The end of a session is wanted however late it comes.
        let is_patient = self.next_op() == Some(OpCode::CloseSession);
        Ok(self.try_hold(length, is_patient)?.map(|held| Some(Box::new(held))))
    }

    /// The same for a connect record. A session that begins is in process until it is there; one that is come back to
    /// is not.
    pub(super) fn poll_turn_of_opening(&mut self, length: usize) -> Result<Poll<()>, HangUp> {
        self.look_at_size(length)?;
        if self.input.len() < 4 + length {
            return Ok(Poll::Pending);
        }
        let begins = self.input.get(SESSION).is_some_and(|session| session == [0; 8]);
        if !begins || !self.shared.throttle.has_line() {
            return Ok(Poll::Ready(()));
        }
        let held = self.try_hold(length, true)?;
        Ok(held.map(|held| {
            let since = self.shared.now();
            self.wait.get_or_insert_with(|| Wait::begun(since, 0)).begins = Some(held);
        }))
    }

    /// The session is there.
    pub(super) fn session_has_begun(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.begins = None;
            if wait.bytes == 0 {
                self.wait = None;
            }
        }
    }

    /// `is_patient`: it is neither refused nor stale, however long it has waited.
    fn try_hold(&mut self, length: usize, is_patient: bool) -> Result<Poll<Held>, HangUp> {
        if let Some(held) = self.wait.as_mut().and_then(|wait| wait.in_line.take()) {
            return self.try_enter(held, length, true, is_patient);
        }
        let held = self.shared.throttle.hold(length);
        let held = held.map_err(|TooLarge| self.too_large(length))?;
        match self.shared.throttle.has_line() {
            true => self.try_enter(held, length, false, is_patient),
            false => Ok(Poll::Ready(held)),
        }
    }

    fn try_enter(
        &mut self,
        mut held: Held,
        length: usize,
        waited: bool,
        is_patient: bool,
    ) -> Result<Poll<Held>, HangUp> {
        let requests = self.shared.throttle.requests;
        let now = self.shared.now();
        let since = self.wait.as_ref().map_or(now, |wait| wait.since);
        let time = now.saturating_since(since);
        let is_stale = requests.stale_latency_check
            && !is_patient
            && is_stale(time, self.conn.lock().timeout_ms);
        if is_stale && requests.drop_stale {
            return Err(self.dropped_stale());
        }
        let stays = self.wait.is_some();
        let stats = &self.shared.stats;
        match self.shared.throttle.enter(&self.conn, waited, stays, &mut held) {
            Entry::Entered => {
                if is_stale {
                    Stats::count(&stats.stale_requests);
                }
                stats.throttle_queue_time.record(micros(time));
                let too_long = requests.throttled_op_wait_time.is_some_and(|most| time > most);
                held.is_throttled = too_long && !is_patient;
                self.parsed(length);
                Ok(Poll::Ready(held))
            }
            Entry::Waits { is_first } => {
                let bytes = self.input.len();
                let wait = self.wait.get_or_insert_with(|| Wait::begun(since, bytes));
                wait.in_line = Some(held);
                if is_first && wait.stall.is_none() {
                    Stats::count(&stats.throttle_waits);
                    wait.stall = Some(Box::pin(sleep(requests.stall_time)));
                }
                Ok(Poll::Pending)
            }
            Entry::Closed => Err(HangUp),
        }
    }

    /// The next request is taken from the input.
    fn parsed(&mut self, length: usize) {
        if let Some(wait) = &mut self.wait {
            wait.stall = None;
            wait.bytes = wait.bytes.saturating_sub(4 + length);
            if wait.bytes == 0 {
                self.wait = None;
            }
        }
    }

    pub(super) fn is_in_line(&self) -> bool {
        self.wait.as_ref().is_some_and(|wait| wait.in_line.is_some())
    }

    /// Whether to read on while the next request waits: only to be told of the client's end, and not for ever.
    pub(super) fn may_read_in_line(&self) -> bool {
        !self.is_in_line() || self.drops_of_the_gone() && self.input.len() < READ_IN_LINE
    }

    /// Ready: the first in line is to look again.
    pub(super) fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wait) = &mut self.wait else { return Poll::Pending };
        let Some(stall) = &mut wait.stall else { return Poll::Pending };
        let stalled = stall.as_mut().poll(cx);
        if stalled.is_ready() {
            wait.stall = None;
        }
        stalled
    }

    /// The connection has ended, or is about to: the others in line go on.
    pub(super) fn leave_line(&mut self) {
        if self.is_in_line() {
            if self.drops_of_the_gone() {
                Stats::count(&self.shared.stats.stale_requests_dropped);
            }
            self.wait = None;
            self.shared.throttle.pass_on();
        }
    }

    fn drops_of_the_gone(&self) -> bool {
        let requests = &self.shared.throttle.requests;
        requests.drop_stale && requests.stale_connection_check
    }

    /// Later requests of the connection must not be done without this one.
    fn dropped_stale(&mut self) -> HangUp {
        Stats::count(&self.shared.stats.stale_requests_dropped);
        tracing::info!(remote = %self.conn.remote, "a request has waited for longer than its session's timeout: closed");
        self.wait = None;
        self.conn.close(false);
        self.shared.throttle.pass_on();
        HangUp
    }

    fn too_large(&self, bytes: usize) -> HangUp {
        Stats::count(&self.shared.stats.large_requests_rejected);
        tracing::warn!(
            remote = %self.conn.remote,
            bytes,
            "long requests take more than largeRequestMaxBytes lets them: closed"
        );
        HangUp
    }

    /// What the next request wants, if enough of it is there.
    fn next_op(&self) -> Option<OpCode> {
        let op = self.input.get(8..12)?.first_chunk()?;
        OpCode::try_from(i32::from_be_bytes(*op)).ok()
    }
}

/// Where a connect record, behind its length, names the session.
const SESSION: Range<usize> = 20..28;
/// What a connection in line keeps of what its client sends meanwhile.
const READ_IN_LINE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use bytes::BytesMut;
    use jute::{ConnectRequest, ErrorCode, Reader, ReplyHeader, Request, RequestHeader, Response};
    use tempfile::TempDir;
    use tokio::sync::mpsc::UnboundedReceiver;
    use types::{SessionId, Zxid};

    use super::super::{Security, Stage};
    use super::*;
    use crate::conn::Conn;
    use crate::core::{Command, Core};
    use crate::member::stopped_core_and_inbox;
    use crate::shared::Shared;
    use crate::{LargeRequests, MemberConfig, RequestThrottle};

    /// A member whose core does nothing by itself.
    struct Stopped {
        shared: Arc<Shared>,
        inbox: UnboundedReceiver<Command>,
        _core: Core,
        _dir: TempDir,
    }

    /// A client with a session and the job of its connection, which is polled by hand.
    struct Client {
        stream: TcpStream,
        job: Connection,
        conn: Arc<Conn>,
        woken: Arc<Woken>,
        xid: i32,
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    fn stopped(set: impl FnOnce(&mut MemberConfig)) -> Stopped {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = MemberConfig::in_process(dir.path());
        // Nothing here waits for it.
        config.request_throttle.stall_time = Duration::from_secs(3600);
        set(&mut config);
        let (core, inbox) = stopped_core_and_inbox(config).expect("the directory is new");
        Stopped { shared: core.shared(), inbox, _core: core, _dir: dir }
    }

    fn at_once(most: usize) -> Stopped {
        stopped(|config| config.request_throttle.most = most)
    }

    impl Stopped {
        fn connect(&self) -> Client {
            let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
            let addr = listener.local_addr().expect("it is bound");
            let stream = TcpStream::connect(addr).expect("it listens");
            let (socket, remote) = listener.accept().expect("somebody connects");
            socket.set_nonblocking(true).expect("it is a socket");
            let now = self.shared.now();
            let make = |slot| Conn::new(slot, remote, Arc::from([]), now);
            let conn = self.shared.watchers().add(make);
            conn.lock().session = SessionId(1);
            conn.lock().timeout_ms = 10_000;
            let (its, shared) = (Arc::clone(&conn), Arc::clone(&self.shared));
            let mut job = Connection::new(socket, Security::Plain, its, shared);
            job.stage = Stage::Open;
            Client { stream, job, conn, woken: Arc::default(), xid: 0 }
        }

        /// How many writes the core was told of since it was asked lastly.
        fn asked(&mut self) -> usize {
            let mut count = 0;
            while let Ok(command) = self.inbox.try_recv() {
                if let Command::Requests { requests, .. } = command {
                    count += requests.len();
                }
            }
            count
        }

        fn waits(&self) -> u64 {
            self.shared.stats.throttle_waits.load(Relaxed)
        }

        fn dropped(&self) -> u64 {
            self.shared.stats.stale_requests_dropped.load(Relaxed)
        }
    }

    impl Client {
        /// The requests are sent, and received, and have had their turn if they could.
        fn send(&mut self, requests: &[Request]) {
            let mut all = BytesMut::new();
            for request in requests {
                self.xid += 1;
                let mut one = BytesMut::new();
                RequestHeader { xid: self.xid, op: request.op().code() }.encode(&mut one);
                request.encode(&mut one);
                let length = u32::try_from(one.len()).expect("it is short");
                all.extend_from_slice(&length.to_be_bytes());
                all.extend_from_slice(&one);
            }
            self.send_bytes(&all);
        }

        fn send_bytes(&mut self, all: &[u8]) {
            let received = self.job.shared.stats.bytes_received.load(Relaxed) + all.len() as u64;
            self.stream.write_all(all).expect("it is connected");
            while self.job.shared.stats.bytes_received.load(Relaxed) < received {
                assert!(!self.poll(), "it goes on");
            }
            assert!(!self.poll(), "it goes on");
        }

        /// True when the connection has ended.
        fn poll(&mut self) -> bool {
            self.woken.0.store(false, Relaxed);
            let waker = Waker::from(Arc::clone(&self.woken));
            Pin::new(&mut self.job).poll(&mut Context::from_waker(&waker)).is_ready()
        }

        fn is_woken(&self) -> bool {
            self.woken.0.load(Relaxed)
        }

        /// As the core does it.
        fn answer(&self) {
            let mut inner = self.conn.lock();
            inner.answer_write(Zxid::ZERO, Ok(&Response::Empty)).expect("a write waits");
        }

        /// The number and the error of the next answer.
        fn reply(&mut self) -> (i32, Option<ErrorCode>) {
            assert!(!self.poll(), "it goes on");
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).expect("an answer");
            let mut frame = BytesMut::zeroed(u32::from_be_bytes(length) as usize);
            self.stream.read_exact(&mut frame).expect("all of it");
            let header = ReplyHeader::decode(&mut Reader::new(&frame.freeze())).expect("an answer");
            (header.xid, header.error)
        }
    }

    /// What a client sends first.
    fn connect_record(session: i64) -> Vec<u8> {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session: SessionId(session),
            password: Some(vec![0; 16].into()),
            read_only: None,
        };
        let mut record = BytesMut::new();
        request.encode(&mut record);
        let length = u32::try_from(record.len()).expect("it is short").to_be_bytes();
        [&length, &record[..]].concat()
    }

    fn set(bytes: usize) -> Request {
        let data = Some(vec![0; bytes].into());
        Request::SetData { path: "/".into(), data, version: -1 }
    }

    fn exists() -> Request {
        Request::Exists { path: "/".into(), watch: false }
    }

    #[tokio::test]
    async fn so_many_are_in_process_and_the_others_have_their_turn_when_one_is_answered() {
        let mut member = at_once(2);
        let (mut one, mut two) = (member.connect(), member.connect());
        one.send(&[set(1), set(1), set(1)]);
        assert_eq!((member.asked(), member.waits()), (2, 1));
        two.send(&[set(1)]);
        assert_eq!((member.asked(), member.waits()), (0, 1), "who is second does not look");
        one.answer();
        assert!(one.is_woken() && !two.is_woken());
        assert_eq!(one.reply(), (1, None));
        assert_eq!((member.asked(), two.is_woken()), (1, true));
        assert!(!two.poll());
        assert_eq!((member.asked(), member.waits()), (0, 2));
        one.answer();
        assert!(two.is_woken() && !two.poll());
        assert_eq!(member.asked(), 1);
        let queued = member.shared.stats.throttle_queue_time.seen();
        assert_eq!(queued.count, 4);
    }

    #[tokio::test]
    async fn what_is_answered_at_once_and_signs_of_life_keep_nobody_waiting() {
        let mut member = at_once(1);
        let mut client = member.connect();
        client.send(&[exists(), exists(), set(1)]);
        assert_eq!((member.asked(), member.waits()), (1, 0));
        assert_eq!([client.reply(), client.reply()], [(1, None), (2, None)]);
        client.send(&[Request::Ping]);
        assert_eq!(client.reply(), (-2, None));
        // Behind the write it would not be answered, but it has to wait before that.
        client.send(&[exists()]);
        assert_eq!((member.asked(), member.waits()), (0, 1));
        client.answer();
        assert_eq!([client.reply(), client.reply()], [(3, None), (5, None)]);
    }

    #[tokio::test]
    async fn a_session_is_in_process_until_it_has_begun() {
        let mut member = at_once(1);
        let [mut new, mut other] = [(); 2].map(|()| member.connect());
        for client in [&mut new, &mut other] {
            client.job.stage = Stage::Opening;
            client.conn.lock().session = SessionId(0);
        }
        let mut writes = member.connect();
        writes.send(&[set(1)]);
        new.send_bytes(&connect_record(0));
        // It is no request to come back.
        other.send_bytes(&connect_record(7));
        assert!(new.job.stage == Stage::Opening && other.job.stage == Stage::Connecting);
        writes.answer();
        assert!(new.is_woken() && !new.poll());
        assert!(new.job.stage == Stage::Connecting);
        writes.send(&[set(1)]);
        assert_eq!((member.asked(), member.waits()), (1, 2));
        new.conn.lock().session = SessionId(8);
        assert!(!new.poll() && new.job.wait.is_none());
        assert!(writes.is_woken() && !writes.poll());
        assert_eq!(member.asked(), 1);
    }

    #[tokio::test]
    async fn what_has_waited_too_long_is_refused_in_its_order() {
        let mut member = stopped(|config| {
            config.request_throttle.most = 1;
            config.request_throttle.throttled_op_wait_time = Some(Duration::ZERO);
        });
        let mut client = member.connect();
        client.send(&[set(1), set(1), exists(), Request::CloseSession]);
        client.answer();
        assert_eq!(client.reply(), (1, None));
        for xid in [2, 3] {
            assert_eq!(client.reply(), (xid, Some(ErrorCode::ThrottledOp)));
        }
        assert_eq!(member.asked(), 2, "the first and the end of the session");
        assert_eq!(member.shared.stats.throttled.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn a_client_that_is_gone_comes_to_nothing_and_others_go_on() {
        let mut member = at_once(1);
        let (mut one, mut two) = (member.connect(), member.connect());
        let mut gone = member.connect();
        one.send(&[set(1)]);
        gone.send(&[set(1), set(1)]);
        two.send(&[set(1)]);
        assert_eq!(member.asked(), 1);
        drop(gone.stream);
        let waker = Waker::from(Arc::clone(&gone.woken));
        while Pin::new(&mut gone.job).poll(&mut Context::from_waker(&waker)).is_pending() {}
        assert_eq!(member.dropped(), 1);
        // It is first now.
        assert!(two.is_woken() && !two.poll());
        assert_eq!((member.asked(), member.waits()), (0, 2));
        one.answer();
        assert!(two.is_woken() && !two.poll());
        assert_eq!(member.asked(), 1);
    }

    #[tokio::test]
    async fn what_takes_longer_than_its_sessions_timeout_is_dropped_or_counted() {
        for drop_stale in [true, false] {
            let mut member = stopped(|config| {
                config.request_throttle = RequestThrottle {
                    most: 1,
                    drop_stale,
                    stale_latency_check: true,
                    ..config.request_throttle
                };
            });
            let mut client = member.connect();
            client.send(&[set(1), set(1)]);
            assert_eq!(member.asked(), 1);
            client.conn.lock().timeout_ms = 0;
            // Until a millisecond has passed.
            let since = member.shared.now();
            while member.shared.now().saturating_since(since) < Duration::from_millis(2) {}
            client.answer();
            assert_eq!(client.poll(), drop_stale);
            assert_eq!(member.asked(), usize::from(!drop_stale));
            let counted = member.shared.stats.stale_requests.load(Relaxed);
            assert_eq!((member.dropped(), counted), if drop_stale { (1, 0) } else { (0, 1) });
        }
    }

    #[tokio::test]
    async fn long_requests_take_their_bytes_until_they_are_answered() {
        let mut member = stopped(|config| {
            config.large_requests = Some(LargeRequests { threshold: 1000, most: 5000 });
        });
        let (mut one, mut two) = (member.connect(), member.connect());
        one.send(&[set(4000)]);
        two.send(&[set(10), exists()]);
        assert_eq!(member.asked(), 2);
        one.answer();
        two.send(&[set(4000)]);
        assert_eq!(member.asked(), 1);
        let frame = [1000_u32 + 1, 1, 0].map(u32::to_be_bytes).concat();
        one.stream.write_all(&frame).expect("it is connected");
        while !one.poll() {}
        assert_eq!(member.shared.stats.large_requests_rejected.load(Relaxed), 1);
        // A connection that ends takes nothing any more.
        two.conn.close(false);
        let mut three = member.connect();
        three.send(&[set(4000)]);
        assert_eq!(member.asked(), 1);
    }

    #[tokio::test]
    async fn who_does_not_take_answers_keeps_nobody_waiting() {
        let member = at_once(2);
        let (mut one, mut two) = (member.connect(), member.connect());
        one.send(&[set(1), exists()]);
        two.send(&[exists()]);
        assert_eq!(member.waits(), 1);
        {
            let mut inner = one.conn.lock();
            inner.out.resize(33 << 20, 0);
            inner.answer_write(Zxid::ZERO, Ok(&Response::Empty)).expect("a write waits");
            assert!(inner.is_stuffed());
            inner.let_go();
        }
        assert_eq!(two.reply(), (1, None));
        assert!(two.job.wait.is_none());
    }
}
