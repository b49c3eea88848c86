//! The core: the one job that turns requests into transactions and transactions into answers.
//!
//! Lives here: the way of a write from request to proposal to log to tree to reply, sessions, snapshots.
//! Must not: sockets, frames, files. **Invariant:** transactions are applied in zxid order, each after
//! its flush; the replies of one connection leave in the order of its requests.
//! Start at [`Core::run`].

pub(crate) mod audit;
mod deliver;
mod ending;
mod feeding;
mod figures;
mod histories;
mod learners;
mod local_sessions;
mod mending;
mod peers;
mod recent;
mod reconfig;
mod restore;
mod roles;
mod sessions;
mod through;
mod tokens;
mod upkeep;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::peers::Ensemble;
pub(crate) use self::reconfig::{config_of, last_members, standing, voters_of};
use audit::Audited;
use bytes::BytesMut;
use ending::Ending;
use jute::{ConnectRequest, Entry, ErrorCode, Id, Request, Response};
use mending::Asking;
use restore::Pause;
use storage::{DataDir, EpochFile, LogCommand, LogEvent, LogThread, Records};
use tokens::Tokens;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use types::{Epoch, Instant, PeerId, SessionId, Zxid};
use zab::{Config, Input, Mending, Output, SavedEpoch, Txn, Zab};
use znodes::access::SUPER;
use znodes::{Prep, Reaper, Requester, SessionIds, Sessions, Speaker, State, Turn};

use crate::MemberFailed;
use crate::buffers;
use crate::conn::Conn;
use crate::load::words;
use crate::metrics::{Stats, Tally};
use crate::peers::{Event, LinkId, Peers};
use crate::shared::Shared;
use crate::snapshots::Snapshots;
use crate::throttle::Held;

/// What the core is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client's writes, in order. Their places in the connection's queue are taken already.
    Requests { conn: Arc<Conn>, auth: Arc<[Id]>, requests: Vec<Asked> },
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
    /// Finish what is on its way and take no more writes until [`Command::Resume`]; answered with the last
    /// transaction.
    Pause(oneshot::Sender<Zxid>),
    /// Take writes again, over another tree if one is given.
    Resume(Option<Box<State>>),
    /// Something of a peer.
    Peer(Event),
    /// A thread has done what the core asked for.
    Done(histories::Done),
    /// Have another member lead first, if this one leads; answered when it may end.
    HandOver(oneshot::Sender<()>),
    /// End in order.
    Stop,
}

/// One write of a client.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) xid: i32,
    pub(crate) request: Request,
    /// Its length.
    pub(crate) bytes: usize,
    /// What it takes, until it has its place among what is to be answered.
    pub(crate) held: Option<Box<Held>>,
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
    reaper: Reaper,
    /// When a quota that was exceeded may be logged again.
    quota_silent_until: Instant,
    ids: SessionIds,
    /// Who may connect now.
    tokens: Tokens,
    log: LogThread,
    snapshots: Snapshots,
    /// Which connection speaks for a session.
    speaking: HashMap<SessionId, Arc<Conn>>,
    /// Sessions that are this member's alone; `None`: all are everybody's.
    locals: Option<Sessions>,
    /// Sessions of which more must go before they end.
    endings: VecDeque<Ending>,
    /// Proposed and not applied, in zxid order.
    outstanding: VecDeque<Outstanding>,
    /// Writes that came while nobody led.
    waiting: VecDeque<Command>,
    /// The disk is full: writes are refused, and this is when to look for room again.
    full: Option<Instant>,
    /// Epoch files that could not be saved for lack of room.
    unsaved: Vec<(EpochFile, Epoch)>,
    /// No write is taken until the tree may have been replaced.
    paused: Option<Pause>,
    /// Told once, when the member leads for the first time, or has started and finds no room to.
    ready: Option<oneshot::Sender<()>>,
    outputs: Vec<Output>,
    /// Records on their way to the log, which takes them together.
    appends: Records,
    /// The time, as of the command that is carried out.
    now: Instant,
    wall_ms: i64,
    /// What the transaction that is applied changes.
    changes: znodes::Changes,
    /// Somebody is to be told of changes; right while transactions are applied.
    is_anybody_told: bool,
    /// One transaction on its way into `encoded`.
    encoding: Vec<u8>,
    encoded: BytesMut,
    fired: Vec<znodes::Fired>,
    /// Connections with something new to send.
    to_wake: Vec<Arc<Conn>>,
    /// The log is on the disk up to here, as far as this run knows.
    flushed: Zxid,
    /// The last one that the log was given.
    appended: Zxid,
    /// Committed by the present step.
    delivered: Vec<Txn>,
    tally: Tally,
    /// `None`: the member stands alone.
    ensemble: Option<Box<Ensemble>>,
    /// Leaders that cannot be connected to; the protocol is told at the end of the turn.
    lost: Vec<PeerId>,
    /// As it was told lastly, and since when.
    phase: &'static str,
    phase_since: Instant,
    /// The member must end.
    failed: bool,
    /// Connections with learners that are told their last words.
    finishing: Vec<tokio::task::JoinHandle<()>>,
    /// Its files are damaged, or were filled by a leader: it does not vote.
    mending: Mending,
    /// The others are asked for what is missing.
    asking: Option<Asking>,
    /// Who waits for another member to lead.
    handing_over: Option<oneshot::Sender<()>>,
    /// Held as long as the core lives: the lock of the directories.
    dirs: Arc<DataDir>,
}

struct Outstanding {
    entry: Entry,
    origin: Origin,
    /// When this member made it, or heard of it.
    since: Instant,
    /// Where changes are audited: what it is about.
    audited: Option<Box<Audited>>,
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
    /// Nobody: the znode's time was up.
    Reaper,
    /// Nobody here: another member's client, or one that is looked for when it is applied.
    Elsewhere,
    /// A client of an observer that learns through this member.
    Observer(LinkId),
    /// Who waits for the end of a session: these are some of its ephemerals.
    Ending(Box<Ending>),
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
        peers: Option<Peers>,
    ) -> Self {
        let prep = Prep::new(&shared.tree()).under(shared.config.rules);
        let (me, reconfig) = (shared.config.myid, shared.config.rules.reconfig);
        let ensemble = peers.zip(shared.config.ensemble.as_ref());
        let ensemble =
            ensemble.map(|(peers, config)| Box::new(Ensemble::new(peers, config, me, reconfig)));
        let reaper = Reaper::new(shared.config.reaper, shared.now());
        let locals = Self::locals_of(&shared.config);
        let seed = RandomState::new().hash_one(0);
        let tokens = Tokens::new(shared.config.connection_tokens, shared.now(), seed);
        Self {
            shared,
            zab,
            prep,
            sessions,
            reaper,
            quota_silent_until: Instant::ZERO,
            ids,
            tokens,
            log,
            snapshots,
            speaking: HashMap::new(),
            locals,
            endings: VecDeque::new(),
            outstanding: VecDeque::new(),
            waiting: VecDeque::new(),
            full: None,
            unsaved: Vec::new(),
            paused: None,
            ready: Some(ready),
            outputs: Vec::new(),
            appends: Records::default(),
            now: Instant::ZERO,
            wall_ms: 0,
            changes: znodes::Changes::default(),
            is_anybody_told: false,
            encoding: Vec::new(),
            encoded: BytesMut::new(),
            fired: Vec::new(),
            to_wake: Vec::new(),
            flushed: Zxid::ZERO,
            appended: Zxid::ZERO,
            delivered: Vec::new(),
            tally: Tally::default(),
            ensemble,
            lost: Vec::new(),
            phase: "",
            phase_since: Instant::ZERO,
            failed: false,
            finishing: Vec::new(),
            mending: Mending::Whole,
            asking: None,
            handing_over: None,
            dirs: Arc::new(dirs),
        }
    }

    /// What it shares with the connections.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Works until told to stop, or until the disk fails.
    pub(crate) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut batch = Vec::new();
        self.look_at_clock();
        self.drive(Input::Tick);
        self.settle_peers();
        self.send_appends();
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
            self.look_at_clock();
            self.maybe_go_on_ending();
            self.on_time();
            self.settle_peers();
            self.send_appends();
            self.wake();
            if end || self.failed {
                break;
            }
        }
        self.end_mending().await;
        self.end();
    }

    fn on(&mut self, command: Command) -> Flow {
        self.look_at_clock();
        let flow = self.on_command(command);
        // The log begins while the next ones are prepared, and not for few of them.
        if self.appends.len() >= APPENDS {
            self.send_appends();
        }
        flow
    }

    fn look_at_clock(&mut self) {
        self.now = self.shared.now();
        self.wall_ms = wall_ms();
    }

    /// Hands the log what was proposed. Also before anything else is asked of it.
    fn send_appends(&mut self) {
        if !self.appends.is_empty() {
            let next = self.log.records();
            let records = std::mem::replace(&mut self.appends, next);
            self.log.send(LogCommand::Append(records));
        }
    }

    fn tell_log(&mut self, command: LogCommand) {
        self.send_appends();
        self.log.send(command);
    }

    fn on_command(&mut self, command: Command) -> Flow {
        match command {
            Command::Requests { .. } | Command::Local { .. } | Command::Connect { .. } => {
                self.on_write(command);
            }
            Command::Gone(conn) => self.on_gone(&conn),
            Command::Log(event) => return self.on_log(event),
            Command::SnapshotDone => self.snapshots.done(),
            Command::Pause(reply) => self.on_pause(reply),
            Command::Resume(state) => self.on_resume(state),
            Command::Peer(event) => self.on_peer(event),
            Command::Done(done) => self.on_done(done),
            Command::HandOver(reply) => self.on_hand_over(reply),
            Command::Stop => return Flow::End,
        }
        Flow::On
    }

    fn on_write(&mut self, command: Command) {
        if self.is_through() {
            return self.on_write_through(command);
        }
        if self.paused.is_some() || self.zab.next_zxid().is_none() && self.full.is_none() {
            self.waiting.push_back(command);
            return;
        }
        match command {
            Command::Requests { conn, auth, requests } => self.on_requests(conn, auth, requests),
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

    fn on_requests(&mut self, conn: Arc<Conn>, auth: Arc<[Id]>, requests: Vec<Asked>) {
        let session = conn.lock().session;
        let mut requests = requests;
        // In place: they are not small.
        for at in 0..requests.len() {
            let asked = &requests[at];
            if conn.is_sent_away() {
                break;
            }
            if self.full.is_some() {
                self.refuse(Origin::Client(Arc::clone(&conn)));
                continue;
            }
            if self.zab.next_zxid().is_none() {
                // The epoch ended with the one before.
                requests.drain(..at);
                self.waiting.push_back(Command::Requests { conn, auth, requests });
                return;
            }
            let origin = Origin::Client(Arc::clone(&conn));
            if let Request::Sync { path } = &asked.request {
                // It was meant for the leader that this member followed when it was asked.
                self.answer_sync(origin, path.clone());
                continue;
            }
            if !self.may_order(session, &conn, &asked.request) {
                continue;
            }
            if matches!(asked.request, Request::CloseSession) {
                self.end_session(session, asked.xid, Arc::clone(&auth), origin);
            } else {
                self.propose(session, asked.xid, &auth, &asked.request, origin);
            }
        }
        buffers::give_back_writes(requests);
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
        self.propose_for(HERE, session, cxid, auth, request, origin);
    }

    /// The same for a session that speaks through `speaker`.
    fn propose_for(
        &mut self,
        speaker: Speaker,
        session: SessionId,
        cxid: i32,
        auth: &[Id],
        request: &Request,
        origin: Origin,
    ) {
        let Some(zxid) = self.zab.next_zxid() else { return };
        let turn = Turn { zxid, wall_ms: self.wall_ms, now: self.now };
        let requester = Requester { session, cxid, auth, speaker };
        self.shared.stats.proposals.fetch_add(1, Relaxed);
        let (entry, brings) = match (request, &self.ensemble) {
            (Request::Reconfig(reconfig), Some(_)) => {
                self.prepare_reconfig(turn, &requester, reconfig)
            }
            _ => {
                let tree = self.shared.tree();
                (self.prep.prepare(&tree, &mut self.sessions, turn, &requester, request), None)
            }
        };
        self.log_excess();
        let audits = self.shared.config.audit && matches!(origin, Origin::Client(_));
        let audited = if audits { Audited::of(request) } else { None };
        self.order(entry, brings, origin, audited);
    }

    /// Has a transaction ordered, which may bring other members.
    fn order(
        &mut self,
        entry: Entry,
        brings: Option<Arc<Config>>,
        origin: Origin,
        audited: Option<Box<Audited>>,
    ) {
        let zxid = entry.header.zxid;
        // One buffer for many: what was split off lives on by itself.
        if self.encoded.capacity() < ENCODED_LEAST {
            self.encoded = BytesMut::with_capacity(ENCODED_BYTES);
        }
        // Field by field into a vector, which is less work than into shared bytes.
        self.encoding.clear();
        entry.encode(&mut self.encoding);
        self.encoded.extend_from_slice(&self.encoding);
        let body = self.encoded.split().freeze();
        self.shared.stats.proposal_sizes.note(body.len());
        if self.ensemble.is_some() {
            Stats::count(&self.shared.stats.proposals_told);
        }
        self.outstanding.push_back(Outstanding { entry, origin, since: self.now, audited });
        self.shared.stats.outstanding.store(self.outstanding.len() as u64, Relaxed);
        let txn = Txn { zxid, body };
        self.drive(match brings {
            Some(config) => Input::Reconfigure { txn, config },
            None => Input::Propose(txn),
        });
    }

    fn on_log(&mut self, event: LogEvent) -> Flow {
        match event {
            LogEvent::Flushed(zxid, time) => {
                self.note_flushed(zxid, time);
                self.flushed = zxid;
                self.let_more_come(zxid);
                self.drive(Input::Flushed(zxid));
                self.maybe_count_again();
            }
            LogEvent::EpochSaved(file, epoch) => {
                let saved = match file {
                    EpochFile::Accepted => SavedEpoch::Accepted(epoch),
                    EpochFile::Current => SavedEpoch::Current(epoch),
                };
                self.drive(Input::EpochSaved(saved));
            }
            LogEvent::Full { first, error } => {
                tracing::error!(
                    error = words(&error),
                    "writes are stopped until there is room; reads go on"
                );
                self.stop_writes();
                self.drive(Input::AppendRefused { first });
                self.maybe_dismiss_learners();
            }
            LogEvent::EpochRefused { file, epoch, error } => {
                let error = words(&error);
                tracing::error!(error, "no room to begin an epoch; reads are served meanwhile");
                self.unsaved.push((file, epoch));
                self.stop_writes();
                if self.ensemble.is_none() {
                    self.begin_sessions();
                }
                self.drive(Input::EpochRefused);
                // What came to the log behind the epoch was dropped.
                let flushed = self.zab.durable().last_logged;
                let first = Zxid::from_bits(flushed.bits().saturating_add(1));
                self.drive(Input::AppendRefused { first });
            }
            LogEvent::HasRoom => {
                tracing::info!("there is room again: writes are taken");
                self.full = None;
                self.shared.stats.disk_full.store(0, Relaxed);
                let saved = self.zab.durable();
                for (file, epoch) in std::mem::take(&mut self.unsaved) {
                    let newer = match file {
                        EpochFile::Accepted => epoch > saved.accepted,
                        EpochFile::Current => epoch > saved.current,
                    };
                    // A later one may have found room before: it must not be taken back.
                    if !newer {
                        continue;
                    }
                    self.tell_log(LogCommand::SaveEpoch(file, epoch));
                }
            }
            LogEvent::Truncated(to) => self.on_truncated(to),
            LogEvent::TruncateRefused(to, error) => {
                tracing::warn!(%error, "the leader is asked for its whole state");
                self.drive(Input::TruncateRefused(to));
                self.on_history_of_tree();
            }
            LogEvent::Installed(zxid) => self.on_installed(zxid),
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
        if self.mending.stands_still() {
            return;
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        // A proposal is a part of the command whose time was looked at.
        let now = if matches!(input, Input::Propose(_)) { self.now } else { self.shared.now() };
        self.zab.step_into(now, input, &mut outputs);
        let mut led = None;
        let mut refused = None;
        for output in outputs.drain(..) {
            match output {
                // The log takes nothing until it has said that there is room, and tells only once that there is none.
                Output::Append(Txn { zxid, .. }) if self.full.is_some() => {
                    refused.get_or_insert(zxid);
                }
                Output::Append(Txn { zxid, body }) => {
                    self.appends.push(zxid, &body);
                    self.appended = zxid;
                }
                Output::Deliver(txn) => self.delivered.push(txn),
                Output::SaveEpoch(SavedEpoch::Accepted(epoch)) => {
                    self.tell_log(LogCommand::SaveEpoch(EpochFile::Accepted, epoch));
                }
                Output::SaveEpoch(SavedEpoch::Current(epoch)) => {
                    self.tell_log(LogCommand::SaveEpoch(EpochFile::Current, epoch));
                }
                // What it leads to comes behind the other outputs.
                Output::Leading(epoch) => led = Some(epoch),
                Output::Withdrawn { first } => self.on_withdrawn(first),
                Output::Send { to, message } => self.send(to, &message),
                other => {
                    // Each is about the tree as it is after what came before.
                    self.deliver();
                    match other {
                        Output::Absorb(txn) => self.absorb(txn),
                        other => self.on_peers_output(other),
                    }
                }
            }
        }
        self.outputs = outputs;
        self.deliver();
        if let Some(epoch) = led {
            self.on_leading(epoch);
        }
        if let Some(first) = refused {
            self.drive(Input::AppendRefused { first });
        }
    }

    fn on_leading(&mut self, epoch: Epoch) {
        self.on_leading_others(epoch);
        {
            let _tree = self.shared.tree_mut();
            self.shared.set_applied(Zxid::new(epoch, 0));
        }
        self.begin_sessions();
        self.go_on_with_successor();
        self.maybe_quiet();
    }

    /// Sessions may be come back to, and the member has started: it leads, or it cannot for lack of room.
    fn begin_sessions(&mut self) {
        self.reaper = Reaper::new(self.shared.config.reaper, self.shared.now());
        self.endings.clear();
        self.sessions.resume(&self.shared.tree(), self.shared.now());
        self.told_ready();
    }

    /// Whoever waits for the start of the member waits no more.
    fn told_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more when the start was given up.
            let _ = ready.send(());
        }
    }

    fn stop_writes(&mut self) {
        self.full = Some(self.shared.now() + PROBE_EVERY);
        self.shared.stats.disk_full.store(1, Relaxed);
        // What came before it was known.
        for command in std::mem::take(&mut self.waiting) {
            self.on_write(command);
        }
    }

    fn wake(&mut self) {
        for conn in self.to_wake.drain(..) {
            conn.wake_up();
        }
    }

    /// Closes every connection. What the log was given is finished by its drop.
    fn end(self) {
        self.send_clients_away(true);
    }
}

/// A timeout of the wire; a negative one is none at all.
fn timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// All connections of this member.
const HERE: Speaker = Speaker(0);
const BATCH: usize = 256;
/// The log is given so many records while there is more to be prepared.
const APPENDS: usize = 256;
/// The buffer that transactions are encoded into, and how little of it may be left.
const ENCODED_BYTES: usize = 32 << 10;
const ENCODED_LEAST: usize = 1 << 10;
/// How often a full disk is looked at.
const PROBE_EVERY: Duration = Duration::from_millis(250);
