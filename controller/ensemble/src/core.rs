//! The core: the one job that turns requests into transactions and transactions into answers.
//!
//! Lives here: the way of a write from request to proposal to log to tree to reply, sessions, snapshots.
//! Must not: sockets, frames, files. **Invariant:** transactions are applied in zxid order, each after
//! its flush; the replies of one connection leave in the order of its requests.
//! Start at [`Core::run`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use jute::{
    ConnectRequest, ConnectResponse, Entry, ErrorCode, Id, Perms, Request, Response, Txn as Change,
};
use storage::{DataDir, EpochFile, LogCommand, LogEvent, LogThread};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use types::{Epoch, Instant, SessionId, Zxid};
use zab::{Input, Output, SavedEpoch, Txn, Zab};
use znodes::access::{SUPER, permits};
use znodes::{Prep, Requester, SessionIds, Sessions, Speaker, Turn, password};

use crate::MemberFailed;
use crate::conn::{Conn, Pending};
use crate::serve;
use crate::shared::Shared;
use crate::snapshots::Snapshots;
use crate::stats::Stats;

/// What the core is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client's write. Its place in the connection's queue is taken already.
    Request { conn: Arc<Conn>, auth: Arc<[Id]>, xid: i32, request: Request },
    /// A client opens a session or comes back to one.
    Connect { conn: Arc<Conn>, request: ConnectRequest },
    /// A connection has ended.
    Gone(Arc<Conn>),
    /// A write from within the process.
    Local { request: Request, reply: oneshot::Sender<LocalReply> },
    /// The log has something to tell.
    Log(LogEvent),
    /// A snapshot is on disk, or could not be written.
    SnapshotDone,
    /// End in order.
    Stop,
}

/// The answer to a local write.
#[derive(Debug)]
pub(crate) enum LocalReply {
    /// Applied or refused by this transaction.
    Done { zxid: Zxid, result: Result<Response, ErrorCode> },
    /// The disk is full.
    DiskFull,
}

/// The core and all that only it touches.
pub(crate) struct Core {
    shared: Arc<Shared>,
    zab: Zab,
    prep: Prep,
    sessions: Sessions,
    ids: SessionIds,
    log: LogThread,
    snapshots: Snapshots,
    /// Which connection speaks for a session.
    speaking: HashMap<SessionId, Arc<Conn>>,
    /// Proposed and not applied, in zxid order.
    outstanding: VecDeque<Outstanding>,
    /// Writes that came while nobody led.
    waiting: VecDeque<Command>,
    /// The disk is full: writes are refused, and this is when to look for room again.
    full: Option<Instant>,
    /// Told once, when the member leads for the first time.
    ready: Option<oneshot::Sender<()>>,
    outputs: Vec<Output>,
    encoded: BytesMut,
    fired: Vec<znodes::Fired>,
    /// Connections with something new to send.
    to_wake: Vec<Arc<Conn>>,
    /// Held as long as the core lives: the lock of the directories.
    _dirs: DataDir,
}

struct Outstanding {
    entry: Entry,
    origin: Origin,
}

/// Who waits for a transaction.
enum Origin {
    Client(Arc<Conn>),
    /// A connection whose session this begins.
    Connect {
        conn: Arc<Conn>,
        read_only: Option<bool>,
    },
    Local(oneshot::Sender<LocalReply>),
    /// Nobody: the session's time was up.
    Expiry,
}

/// Whether the core goes on.
enum Flow {
    On,
    End,
}

impl Core {
    #[expect(clippy::too_many_arguments, reason = "each part is made by one place of the start")]
    pub(crate) fn new(
        shared: Arc<Shared>,
        zab: Zab,
        sessions: Sessions,
        ids: SessionIds,
        log: LogThread,
        snapshots: Snapshots,
        dirs: DataDir,
        ready: oneshot::Sender<()>,
    ) -> Self {
        let prep = Prep::new(&shared.tree());
        Self {
            shared,
            zab,
            prep,
            sessions,
            ids,
            log,
            snapshots,
            speaking: HashMap::new(),
            outstanding: VecDeque::new(),
            waiting: VecDeque::new(),
            full: None,
            ready: Some(ready),
            outputs: Vec::new(),
            encoded: BytesMut::new(),
            fired: Vec::new(),
            to_wake: Vec::new(),
            _dirs: dirs,
        }
    }

    /// Works until told to stop, or until the disk fails.
    pub(crate) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut batch = Vec::new();
        self.drive(Input::Tick);
        loop {
            let alarm = self.next_alarm().map(|at| self.shared.deadline(at));
            let timer = async {
                match alarm {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                count = inbox.recv_many(&mut batch, BATCH) => if count == 0 { break },
                () = timer => {}
            }
            let end = batch.drain(..).any(|command| matches!(self.on(command), Flow::End));
            self.on_time();
            self.wake();
            if end {
                break;
            }
        }
        self.end();
    }

    fn on(&mut self, command: Command) -> Flow {
        match command {
            Command::Request { .. } | Command::Local { .. } | Command::Connect { .. } => {
                self.on_write(command);
            }
            Command::Gone(conn) => self.on_gone(&conn),
            Command::Log(event) => return self.on_log(event),
            Command::SnapshotDone => self.snapshots.done(),
            Command::Stop => return Flow::End,
        }
        Flow::On
    }

    fn on_write(&mut self, command: Command) {
        if self.zab.next_zxid().is_none() {
            self.waiting.push_back(command);
            return;
        }
        match command {
            Command::Request { conn, auth, xid, request } if !conn.is_closed() => {
                let session = conn.lock().session;
                let origin = Origin::Client(conn);
                if self.full.is_some() {
                    self.refuse(origin);
                } else {
                    self.propose(session, xid, &auth, &request, origin);
                }
            }
            Command::Connect { conn, request } if !conn.is_closed() => {
                self.on_connect(conn, &request);
            }
            Command::Local { request, reply } if self.full.is_some() => {
                drop(request);
                self.refuse(Origin::Local(reply));
            }
            Command::Local { request, reply } => {
                let auth = [SUPER];
                self.propose(SessionId(0), 0, &auth, &request, Origin::Local(reply));
            }
            _ => {}
        }
    }

    /// Makes the transaction that a request becomes, and has it ordered. The caller has seen that this
    /// member leads and has room.
    fn propose(
        &mut self,
        session: SessionId,
        cxid: i32,
        auth: &[Id],
        request: &Request,
        origin: Origin,
    ) {
        let Some(zxid) = self.zab.next_zxid() else { return };
        let turn = Turn { zxid, wall_ms: wall_ms(), now: self.shared.now() };
        let requester = Requester { session, cxid, auth, speaker: HERE };
        let entry = {
            let tree = self.shared.tree();
            self.prep.prepare(&tree, &mut self.sessions, turn, &requester, request)
        };
        entry.encode(&mut self.encoded);
        let body = self.encoded.split().freeze();
        self.outstanding.push_back(Outstanding { entry, origin });
        self.shared.stats.outstanding.store(self.outstanding.len() as u64, Relaxed);
        self.drive(Input::Propose(Txn { zxid, body }));
    }

    fn on_connect(&mut self, conn: Arc<Conn>, request: &ConnectRequest) {
        if request.last_zxid_seen > self.shared.applied() {
            tracing::info!(
                remote = %conn.remote,
                seen = %request.last_zxid_seen,
                "client has seen later transactions than this member has: closed"
            );
            conn.close(false);
            return;
        }
        let (least, most) = self.shared.config.session_timeouts();
        let timeout_ms = request.timeout_ms.clamp(least, most);
        conn.lock().timeout_ms = timeout_ms;
        let read_only = request.read_only.map(|_| false);
        if request.session != SessionId(0) {
            self.come_back(conn, request, timeout_ms, read_only);
        } else if self.full.is_some() {
            // A session is a transaction, and there is no room for one; the client tries again.
            conn.close(false);
        } else {
            let session = self.ids.next_id();
            let origin = Origin::Connect { conn, read_only };
            self.propose(session, 0, &[], &Request::CreateSession { timeout_ms }, origin);
        }
    }

    /// The password is checked first: a wrong one must not disturb the rightful owner.
    fn come_back(
        &mut self,
        conn: Arc<Conn>,
        request: &ConnectRequest,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        let session = request.session;
        let proven = request.password.as_deref() == Some(password(session).as_slice());
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        if !proven
            || !self.sessions.touch(session, timeout, self.shared.now())
            || !self.sessions.move_to(session, HERE)
        {
            put_connect_response(&conn, &ConnectResponse::invalid(read_only));
            conn.close(true);
            return;
        }
        if let Some(before) = self.speaking.insert(session, Arc::clone(&conn)) {
            before.close(false);
        }
        self.welcome(&conn, session, read_only);
    }

    fn welcome(&mut self, conn: &Arc<Conn>, session: SessionId, read_only: Option<bool>) {
        let timeout_ms = {
            let mut inner = conn.lock();
            inner.session = session;
            inner.timeout_ms
        };
        let password = password(session);
        put_connect_response(conn, &ConnectResponse { timeout_ms, session, password, read_only });
        Stats::count(&self.shared.stats.sent);
        self.to_wake.push(Arc::clone(conn));
    }

    fn on_gone(&mut self, conn: &Arc<Conn>) {
        let session = conn.lock().session;
        if self.speaking.get(&session).is_some_and(|speaking| Arc::ptr_eq(speaking, conn)) {
            // The session lives on until its timeout, counted from the last sign of life.
            self.touch(session, conn);
            self.speaking.remove(&session);
        }
        self.shared.watchers().remove(conn.slot);
    }

    fn on_log(&mut self, event: LogEvent) -> Flow {
        match event {
            LogEvent::Flushed(zxid) => self.drive(Input::Flushed(zxid)),
            LogEvent::EpochSaved(file, epoch) => {
                let saved = match file {
                    EpochFile::Accepted => SavedEpoch::Accepted(epoch),
                    EpochFile::Current => SavedEpoch::Current(epoch),
                };
                self.drive(Input::EpochSaved(saved));
            }
            LogEvent::Full { first, error } => {
                tracing::error!(%error, "writes are stopped until there is room; reads go on");
                self.full = Some(self.shared.now() + PROBE_EVERY);
                self.shared.stats.disk_full.store(1, Relaxed);
                self.drive(Input::AppendRefused { first });
            }
            LogEvent::HasRoom => {
                tracing::info!("there is room again: writes are taken");
                self.full = None;
                self.shared.stats.disk_full.store(0, Relaxed);
            }
            LogEvent::Failed(why) => {
                tracing::error!(%why, "the member ends: its log cannot be trusted any more");
                self.shared.failed.send_replace(Some(MemberFailed(why)));
                return Flow::End;
            }
        }
        Flow::On
    }

    /// Steps the protocol and carries out what follows.
    fn drive(&mut self, input: Input) {
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.extend(self.zab.step(self.shared.now(), input));
        let mut delivered = 0;
        for output in outputs.drain(..) {
            match output {
                Output::Append(Txn { zxid, body }) => {
                    self.log.send(LogCommand::Append { zxid, body });
                }
                Output::Deliver(_) => delivered += 1,
                Output::SaveEpoch(SavedEpoch::Accepted(epoch)) => {
                    self.log.send(LogCommand::SaveEpoch(EpochFile::Accepted, epoch));
                }
                Output::SaveEpoch(SavedEpoch::Current(epoch)) => {
                    self.log.send(LogCommand::SaveEpoch(EpochFile::Current, epoch));
                }
                Output::Leading(epoch) => self.on_leading(epoch),
                Output::Withdrawn { first } => self.on_withdrawn(first),
                // Proposals of a lone voter are all delivered before it resigns.
                Output::Resigned => {}
                other => tracing::error!(?other, "no peer is connected: not carried out"),
            }
        }
        self.outputs = outputs;
        if delivered > 0 {
            self.deliver(delivered);
        }
    }

    fn on_leading(&mut self, epoch: Epoch) {
        {
            let _tree = self.shared.tree_mut();
            self.shared.set_applied(Zxid::new(epoch, 0));
        }
        self.sessions.resume(&self.shared.tree(), self.shared.now());
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more when the start was given up.
            let _ = ready.send(());
        }
        for command in std::mem::take(&mut self.waiting) {
            self.on_write(command);
        }
    }

    /// Applies the oldest `count` outstanding transactions and answers whoever waits for them.
    fn deliver(&mut self, count: usize) {
        let shared = Arc::clone(&self.shared);
        let mut tree = shared.tree_mut();
        for _ in 0..count {
            let Some(Outstanding { entry, origin }) = self.outstanding.pop_front() else { break };
            let zxid = entry.header.zxid;
            let applied = tree.apply(&entry.header, &entry.txn);
            self.prep.applied(zxid);
            shared.set_applied(zxid);
            self.fire(zxid, &applied.changes);
            shared.tell_followers(zxid, &applied.changes);
            self.answer(&tree, &entry, origin, applied.response);
        }
        self.shared.stats.outstanding.store(self.outstanding.len() as u64, Relaxed);
        let frozen = self.snapshots.count(count).then(|| tree.freeze());
        drop(tree);
        if let Some(frozen) = frozen {
            self.log.send(LogCommand::Roll);
            self.snapshots.begin(frozen, &self.shared);
        }
    }

    /// Queues the notifications of a transaction, before any reply that shows it.
    fn fire(&mut self, zxid: Zxid, changes: &[znodes::Change]) {
        if changes.is_empty() {
            return;
        }
        let mut watchers = self.shared.watchers();
        watchers.watches.fire(changes, &mut self.fired);
        for fired in self.fired.drain(..) {
            for watcher in &fired.watchers {
                let Some(conn) = watchers.conn(*watcher) else { continue };
                let auth = Arc::clone(&conn.lock().auth);
                if permits(&fired.acl, Perms::READ, &auth) {
                    conn.notify(fired.kind, &fired.path, zxid);
                    Stats::count(&self.shared.stats.sent);
                    self.to_wake.push(Arc::clone(conn));
                }
            }
        }
    }

    fn answer(
        &mut self,
        tree: &znodes::State,
        entry: &Entry,
        origin: Origin,
        response: Result<Response, ErrorCode>,
    ) {
        let zxid = entry.header.zxid;
        let session = entry.header.session;
        let ended = matches!(entry.txn, Change::CloseSession(_));
        let speaking = ended.then(|| {
            self.sessions.forget(session);
            self.speaking.remove(&session)
        });
        match origin {
            Origin::Client(conn) => {
                self.answer_client(tree, &conn, zxid, &response);
                if ended || response == Err(ErrorCode::SessionMoved) {
                    conn.close(ended);
                }
            }
            Origin::Connect { conn, read_only } => {
                self.speaking.insert(session, Arc::clone(&conn));
                self.welcome(&conn, session, read_only);
            }
            // Nobody waits any more when the caller gave up.
            Origin::Local(reply) => drop(reply.send(LocalReply::Done { zxid, result: response })),
            Origin::Expiry => {
                tracing::info!(%session, "session expired");
                Stats::count(&self.shared.stats.sessions_expired);
                if let Some(conn) = speaking.flatten() {
                    conn.close(false);
                }
            }
        }
    }

    fn answer_client(
        &mut self,
        tree: &znodes::State,
        conn: &Arc<Conn>,
        zxid: Zxid,
        response: &Result<Response, ErrorCode>,
    ) {
        let mut inner = conn.lock();
        // The queue is empty when the connection has ended meanwhile.
        let Some(Pending::Write { xid, since, .. }) = inner.pop() else { return };
        inner.put_reply(xid, zxid, response.as_ref().map_err(|error| *error));
        self.shared.stats.answered_after(self.shared.now() - since);
        Stats::count(&self.shared.stats.sent);
        conn.sent.fetch_add(1, Relaxed);
        serve::what_waited(tree, &self.shared, conn, &mut inner);
        drop(inner);
        self.to_wake.push(Arc::clone(conn));
    }

    /// The disk is full and nothing from `first` on was written: those who wait are told.
    fn on_withdrawn(&mut self, first: Zxid) {
        let from = self.outstanding.partition_point(|waits| waits.entry.header.zxid < first);
        let withdrawn = self.outstanding.split_off(from);
        self.prep = Prep::new(&self.shared.tree());
        for Outstanding { entry, origin } in withdrawn {
            let session = entry.header.session;
            if matches!(entry.txn, Change::CloseSession(_) | Change::CreateSession { .. }) {
                // One lives on until its end can be written, the other never began.
                self.sessions.forget(session);
                if let Some(ms) = self.shared.tree().session_timeout(session) {
                    let timeout = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
                    self.sessions.track(session, timeout, self.shared.now());
                }
            }
            self.refuse(origin);
        }
    }

    /// Tells whoever waits that there is no room.
    fn refuse(&mut self, origin: Origin) {
        match origin {
            Origin::Client(conn) => {
                let shared = Arc::clone(&self.shared);
                let tree = shared.tree();
                let zxid = shared.applied();
                self.answer_client(&tree, &conn, zxid, &Err(ErrorCode::SystemError));
            }
            Origin::Connect { conn, .. } => conn.close(false),
            Origin::Local(reply) => drop(reply.send(LocalReply::DiskFull)),
            Origin::Expiry => {}
        }
    }

    fn next_alarm(&self) -> Option<Instant> {
        if self.full.is_some() {
            return self.full;
        }
        self.zab.next_zxid()?;
        self.sessions.next_expiry()
    }

    fn on_time(&mut self) {
        let now = self.shared.now();
        if let Some(look) = self.full {
            if look <= now {
                self.log.send(LogCommand::Probe);
                self.full = Some(now + PROBE_EVERY);
            }
            return;
        }
        if self.zab.next_zxid().is_none() || self.sessions.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        let speaking: Vec<_> =
            self.speaking.iter().map(|(session, conn)| (*session, Arc::clone(conn))).collect();
        for (session, conn) in speaking {
            self.touch(session, &conn);
        }
        for session in self.sessions.expire(now) {
            self.propose(session, 0, &[], &Request::CloseSession, Origin::Expiry);
        }
    }

    /// Brings the session's deadline up to when its connection was last heard.
    fn touch(&mut self, session: SessionId, conn: &Conn) {
        let timeout_ms = conn.lock().timeout_ms;
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        self.sessions.touch(session, timeout, conn.heard());
    }

    fn wake(&mut self) {
        for conn in self.to_wake.drain(..) {
            conn.wake.notify_one();
        }
    }

    /// Closes every connection. What the log was given is finished by its drop.
    fn end(self) {
        let conns: Vec<_> = self.shared.watchers().conns().cloned().collect();
        for conn in conns {
            conn.close(true);
        }
    }
}

fn put_connect_response(conn: &Conn, response: &ConnectResponse) {
    crate::conn::put_frame(&mut conn.lock().out, |out| response.encode(out));
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// All connections of this member.
const HERE: Speaker = Speaker(0);
const BATCH: usize = 256;
/// How often a full disk is looked at.
const PROBE_EVERY: Duration = Duration::from_millis(250);
