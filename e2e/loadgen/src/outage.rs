//! How long clients cannot write, and whether what they were told is true: sessions that write numbers, each on a znode
//! of its own, one request in flight.
//!
//! Lives here: the time between two acknowledged writes of all sessions; that no acknowledged write is lost, done twice or
//! out of order, on any member. Cut off, a session comes back to the next address at once.

use std::io::{BufRead, Read, Write, stdin};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use jute::{
    ConnectRequest, ConnectResponse, Reader, ReplyHeader, Request, RequestHeader, Stat, Text,
};
use serde::Serialize;
use types::{SessionId, Zxid};

use crate::frames::path;
use crate::report;

/// The shape of the load.
pub(crate) struct Job {
    /// Not empty.
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) sessions: usize,
    pub(crate) timeout_ms: i32,
    /// Requests each second over all sessions, every other one a read; `None`: writes, each as soon as the one before is
    /// answered.
    pub(crate) rate: Option<f64>,
}

/// Works until input ends; answers each line of input, behind the next acknowledged write, with what was seen since the
/// line before, and the end of input, once every member was asked for what it has, with what was seen since then.
pub(crate) fn watch(job: &Job) -> Result<()> {
    let shared = Arc::new(Shared::default());
    shared.found().of_each = vec![0; job.sessions];
    let (told, lines) = mpsc::channel();
    let ended = Arc::clone(&shared);
    thread::spawn(move || {
        for _ in stdin().lock().lines().map_while(Result::ok) {
            let _ = told.send(());
        }
        ended.ended.store(true, Relaxed);
    });
    let workers: Vec<_> = (0..job.sessions)
        .map(|number| {
            let mut session = Session::new(job, number, Arc::clone(&shared));
            let pace = job.rate.map(|rate| Duration::from_secs_f64(job.sessions as f64 / rate));
            thread::spawn(move || {
                session.work(pace);
                session
            })
        })
        .collect();
    for () in &lines {
        let before = shared.found().writes;
        while shared.found().writes == before && !shared.ended.load(Relaxed) {
            thread::sleep(AGAIN);
        }
        report(&shared.found().take())?;
    }
    for worker in workers {
        let Ok(mut session) = worker.join() else { bail!("a session's thread ended by a fault") };
        session.compare(&job.addrs);
    }
    report(&shared.found().take())
}

#[derive(Default)]
struct Shared {
    found: Mutex<Found>,
    ended: AtomicBool,
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().expect("no thread ends while it holds it")
    }
}

/// What was seen since it was told lastly.
#[derive(Debug, Default, Serialize)]
struct Found {
    /// Acknowledged.
    writes: u64,
    /// Acknowledged from the start on, of each session.
    of_each: Vec<u64>,
    /// Answered.
    reads: u64,
    /// The longest time between two acknowledged writes, whoever wrote.
    longest_ms: f64,
    /// Connections that got their session.
    connects: u64,
    /// Sessions that the servers did not know any more.
    expired: u64,
    /// What must never be seen; the first ones in words.
    violations: u64,
    words: Vec<String>,
    #[serde(skip)]
    last: Option<Instant>,
}

impl Found {
    fn take(&mut self) -> Self {
        let (last, of_each) = (self.last, self.of_each.clone());
        std::mem::replace(self, Self { last, of_each, ..Self::default() })
    }

    fn acknowledged(&mut self, session: usize) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            let gap = now.duration_since(last).as_secs_f64() * 1e3;
            self.longest_ms = self.longest_ms.max(gap);
        }
        self.writes += 1;
        self.of_each[session] += 1;
    }
}

struct Session {
    number: usize,
    addrs: Vec<SocketAddr>,
    next: usize,
    timeout_ms: i32,
    session: SessionId,
    password: Bytes,
    /// The last zxid of an answer.
    seen: Zxid,
    xid: i32,
    path: Text,
    mixed: bool,
    /// What its znode has; `None` when that is not known.
    has: Option<Value>,
    /// The last number that was written, acknowledged or not, and the last that was acknowledged.
    written: u64,
    acknowledged: u64,
    shared: Arc<Shared>,
}

/// A znode's number and how often it was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Value {
    number: u64,
    version: i32,
}

impl Session {
    fn new(job: &Job, number: usize, shared: Arc<Shared>) -> Self {
        Self {
            number,
            addrs: job.addrs.clone(),
            next: number,
            timeout_ms: job.timeout_ms,
            session: SessionId(0),
            password: Bytes::from_static(&[0; jute::PASSWORD_LENGTH]),
            seen: Zxid::ZERO,
            xid: 0,
            path: path(number as u64),
            mixed: job.rate.is_some(),
            has: None,
            written: 0,
            acknowledged: 0,
            shared,
        }
    }

    fn work(&mut self, pace: Option<Duration>) {
        let start = Instant::now();
        let mut done = 0_u32;
        while !self.shared.ended.load(Relaxed) {
            let Some(mut stream) = self.connect() else {
                thread::sleep(AGAIN);
                continue;
            };
            self.shared.found().connects += 1;
            // A write of the connection before may be ordered and not be here yet; what it became is known behind a sync.
            let sync = Request::Sync { path: self.path.clone() };
            if self.ask(&mut stream, &sync).is_err() {
                continue;
            }
            // An error is an end of the connection like any other: the next one tells more.
            while !self.shared.ended.load(Relaxed) {
                if let Some(pace) = pace {
                    // What came late is not made up for: an outage must not end in a burst.
                    let due = start + pace * done;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let late = Instant::now().saturating_duration_since(due);
                    let behind = late.as_nanos() / pace.as_nanos().max(1);
                    done += u32::try_from(behind).unwrap_or(0) + 1;
                }
                let asked = match self.has {
                    Some(value) if !self.mixed || done.is_multiple_of(2) => {
                        self.write(&mut stream, value)
                    }
                    _ => self.read(&mut stream),
                };
                if asked.is_err() {
                    break;
                }
            }
        }
    }

    /// The session on the next address; `None` when it is not to be had there.
    fn connect(&mut self) -> Option<TcpStream> {
        let addr = self.addrs[self.next % self.addrs.len()];
        self.next += 1;
        let mut stream = TcpStream::connect_timeout(&addr, CONNECT).ok()?;
        stream.set_nodelay(true).ok()?;
        // As client libraries: two thirds of the session's time without a word are an end.
        let silence = u64::try_from(self.timeout_ms).unwrap_or_default() * 2 / 3;
        stream.set_read_timeout(Some(Duration::from_millis(silence.max(1)))).ok()?;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.seen,
            timeout_ms: self.timeout_ms,
            session: self.session,
            password: Some(self.password.clone()),
            read_only: Some(false),
        };
        let mut body = BytesMut::new();
        request.encode(&mut body);
        send(&mut stream, &body).ok()?;
        let response = ConnectResponse::decode(&receive(&mut stream).ok()?).ok()?;
        if response.timeout_ms <= 0 {
            self.shared.found().expired += 1;
            self.session = SessionId(0);
            self.password = Bytes::from_static(&[0; jute::PASSWORD_LENGTH]);
            return None;
        }
        self.session = response.session;
        self.password = Bytes::copy_from_slice(&response.password);
        Some(stream)
    }

    fn write(&mut self, stream: &mut TcpStream, before: Value) -> Result<()> {
        self.written += 1;
        let mut data = BytesMut::with_capacity(DATA);
        data.put_u64(self.written);
        data.resize(DATA, b'x');
        let (path, data) = (self.path.clone(), Some(data.freeze()));
        let request = Request::SetData { path, data, version: -1 };
        self.has = None;
        let zxid = self.seen;
        let answer = self.ask(stream, &request)?;
        let version =
            Stat::decode(&mut Reader::new(&answer)).context("a setData's answer")?.version;
        if version != before.version + 1 {
            self.tell(format!("write {} came as {version} behind {before:?}", self.written));
        }
        if self.seen <= zxid {
            self.tell(format!("write {} at {} came behind {zxid}", self.written, self.seen));
        }
        self.acknowledged = self.written;
        self.has = Some(Value { number: self.written, version });
        self.shared.found().acknowledged(self.number);
        Ok(())
    }

    fn read(&mut self, stream: &mut TcpStream) -> Result<()> {
        let request = Request::GetData { path: self.path.clone(), watch: false };
        let answer = self.ask(stream, &request)?;
        let found = value(&answer)?;
        match self.has {
            Some(has) if has != found => self.tell(format!("{found:?} was read where {has:?} is")),
            None => self.judge(found, "its client"),
            Some(_) => {}
        }
        self.has = Some(found);
        self.shared.found().reads += 1;
        Ok(())
    }

    /// What of the writes is there: the last acknowledged one, or a later one whose answer got lost. Before the first one
    /// the znode has what it was made with.
    fn judge(&self, found: Value, whom: &str) {
        let known = (self.acknowledged.max(1)..=self.written).contains(&found.number);
        if !known && self.acknowledged > 0 {
            let (least, most) = (self.acknowledged, self.written);
            self.tell(format!("{} has {found:?} for {whom}, not {least} to {most}", self.path));
        }
    }

    fn tell(&self, words: String) {
        let mut found = self.shared.found();
        found.violations += 1;
        if found.words.len() < MOST_WORDS {
            found.words.push(words);
        }
    }

    /// Asks every member for what it has, behind a sync.
    fn compare(&mut self, addrs: &[SocketAddr]) {
        let mut first = None;
        for addr in addrs {
            let end = Instant::now() + PATIENCE;
            let found = loop {
                self.addrs = vec![*addr];
                let found = self.connect().map(|mut stream| {
                    let sync = Request::Sync { path: self.path.clone() };
                    self.ask(&mut stream, &sync)?;
                    let path = self.path.clone();
                    value(&self.ask(&mut stream, &Request::GetData { path, watch: false })?)
                });
                match found {
                    Some(Ok(found)) => break Some(found),
                    _ if Instant::now() > end => break None,
                    _ => thread::sleep(AGAIN),
                }
            };
            let Some(found) = found else {
                self.tell(format!("{addr} gave no answer within {} s", PATIENCE.as_secs()));
                continue;
            };
            self.judge(found, &addr.to_string());
            if *first.get_or_insert(found) != found {
                self.tell(format!("{addr} has {found:?} and another member {first:?}"));
            }
        }
    }

    fn ask(&mut self, stream: &mut TcpStream, request: &Request) -> Result<Bytes> {
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        let mut out = BytesMut::new();
        RequestHeader { xid: self.xid, op: request.op().code() }.encode(&mut out);
        request.encode(&mut out);
        send(stream, &out)?;
        let answer = receive(stream)?;
        let header = ReplyHeader::decode(&mut Reader::new(&answer)).context("a reply")?;
        ensure!(header.xid == self.xid, "reply {} came in place of {}", header.xid, self.xid);
        if let Some(error) = header.error {
            bail!("a request was answered with {error:?}");
        }
        if header.zxid < self.seen {
            self.tell(format!("an answer at {} came behind {}", header.zxid, self.seen));
        }
        self.seen = self.seen.max(header.zxid);
        Ok(answer.slice(ReplyHeader::LENGTH..))
    }
}

/// Of the answer to a getData.
fn value(answer: &Bytes) -> Result<Value> {
    let mut reader = Reader::new(answer);
    let data = reader.buffer().context("a getData's answer")?.unwrap_or_default();
    let stat = Stat::decode(&mut reader).context("a getData's answer")?;
    let number = data.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
    Ok(Value { number, version: stat.version })
}

fn send(stream: &mut TcpStream, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len()).context("a frame's length")?;
    stream.write_all(&[&length.to_be_bytes()[..], body].concat()).context("send to the server")
}

fn receive(stream: &mut TcpStream) -> Result<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("receive from the server")?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    ensure!(length < LONGEST, "the server announced a frame of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).context("receive from the server")?;
    Ok(body.into())
}

const DATA: usize = 100;
const CONNECT: Duration = Duration::from_secs(1);
/// Before the next address is tried.
const AGAIN: Duration = Duration::from_millis(1);
/// How long a member may take to answer at the end.
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST: usize = 1 << 20;
const MOST_WORDS: usize = 10;
