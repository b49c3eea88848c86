//! Clients of a learner: their writes and sessions go through the leader.
//!
//! Lives here: what is sent on, who waits for what comes back, in the order in which it was sent. A session's
//! transaction is known by its session and the client's number for it. Source: `FollowerRequestProcessor`,
//! `CommitProcessor`, `LearnerSessionTracker`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{BufMut, Bytes, BytesMut};
use jute::learner::{Forwarded as Record, PacketType, Revalidated, Touch};
use jute::{ConnectRequest, Entry, ErrorCode, Id, OpCode, Put, Request, Response, Text};
use types::{PeerId, SessionId, Zxid};
use znodes::State;
use znodes::access::SUPER;

use super::audit::Audited;
use super::peers::{Ensemble, send};
use super::sessions::{is_proven, turn_away};
use super::{Asked, Command, Core, LocalReply, Origin, wire};
use crate::buffers;
use crate::conn::Conn;
use crate::peers::{LinkId, put_packet};
use crate::standing::Role;

/// A request that the leader has.
pub(super) struct Forwarded {
    cxid: i32,
    /// Whose; `None` of what this member asks for itself.
    auth: Option<Arc<[Id]>>,
    request: Request,
    origin: Origin,
    audited: Option<Box<Audited>>,
}

/// Who waits for the leader to know a session.
pub(super) enum Returning {
    /// A client that came back to it.
    Here { conn: Arc<Conn>, read_only: Option<bool> },
    /// An observer that learns through this member, for a client of its own.
    AtObserver(LinkId),
}

impl Returning {
    /// No word will come.
    pub(super) fn give_up(self) {
        if let Self::Here { conn, .. } = self {
            conn.send_away(false);
        }
    }
}

impl Core {
    /// Whether what clients ask for goes through a leader that is another member.
    pub(super) fn is_through(&self) -> bool {
        self.ensemble.is_some() && self.zab.next_zxid().is_none()
    }

    /// A client's request or connection on a member that does not lead.
    pub(super) fn on_write_through(&mut self, command: Command) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let serving = ensemble.upstream.as_ref().is_some_and(|one| one.serving);
        let role = self.shared.standing.role();
        // A leader that takes no more names another one, or none.
        if !serving && (ensemble.between || role == Role::Leading) {
            self.waiting.push_back(command);
            return;
        }
        let read_only = role == Role::ReadOnly;
        match command {
            Command::Requests { conn, mut requests, .. } if read_only => {
                let shared = Arc::clone(&self.shared);
                let (tree, zxid) = (shared.tree(), shared.applied());
                for _ in requests.drain(..) {
                    self.answer_client(&tree, &conn, zxid, &Err(ErrorCode::NotReadOnly));
                }
                buffers::give_back_writes(requests);
            }
            Command::Connect { conn, request } if read_only => {
                self.connect_read_only(&conn, &request);
            }
            // Clients come again, here or elsewhere.
            Command::Requests { conn, .. } | Command::Connect { conn, .. } if !serving => {
                conn.send_away(false);
            }
            Command::Requests { conn, auth, mut requests } => {
                let session = conn.lock().session;
                let audits = self.shared.config.audit;
                for Asked { xid, request, .. } in requests.drain(..) {
                    if !conn.is_sent_away() && self.may_order(session, &conn, &request) {
                        let audited = if audits { Audited::of(&request) } else { None };
                        let origin = Origin::Client(Arc::clone(&conn));
                        let auth = Some(Arc::clone(&auth));
                        let cxid = xid;
                        self.forward(session, Forwarded { cxid, auth, request, origin, audited });
                    }
                }
                buffers::give_back_writes(requests);
            }
            Command::Connect { conn, request } if !conn.is_closed() => {
                self.on_connect(conn, &request);
            }
            Command::Local { request, reply } if serving => {
                ensemble.last_local = ensemble.last_local.wrapping_add(1);
                let (cxid, origin) = (ensemble.last_local, Origin::Local(reply));
                let auth = Some(Arc::from([SUPER]));
                let audited = None;
                self.forward(SessionId(0), Forwarded { cxid, auth, request, origin, audited });
            }
            // Whoever waits for it hears that nobody will answer.
            _ => {}
        }
    }

    /// A session of this member alone, for a client that only reads. One that has a session keeps it for
    /// when there is a leader.
    fn connect_read_only(&mut self, conn: &Arc<Conn>, request: &ConnectRequest) {
        if !self.may_connect(conn, request) {
            return;
        }
        let is_new = request.session == SessionId(0) && request.read_only == Some(true);
        if !is_new || request.last_zxid_seen > self.shared.applied() {
            return conn.send_away(false);
        }
        let (least, most) = self.shared.config.session_timeouts();
        conn.lock().timeout_ms = request.timeout_ms.clamp(least, most);
        let session = self.ids.next_id();
        self.welcome(conn, session, Some(true));
    }

    /// A new session, or one that comes back, whose timeout is agreed on.
    pub(super) fn connect_through(
        &mut self,
        conn: Arc<Conn>,
        request: &ConnectRequest,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) {
        let session = request.session;
        if session == SessionId(0) {
            let session = self.ids.next_id();
            let request = Request::CreateSession { timeout_ms };
            let origin = Origin::Connect { conn, read_only };
            return self.forward_own(session, request, origin);
        }
        if !is_proven(request) {
            return turn_away(&conn, read_only);
        }
        let mut data = BytesMut::new();
        Touch { session, timeout_ms }.encode(&mut data);
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some(upstream) = &ensemble.upstream else { return };
        let outbox = Arc::clone(&upstream.link.outbox);
        outbox.put(|out| put_packet(out, PacketType::Revalidate, NO_ZXID, Some(&data)));
        ensemble.to_flush.push(outbox);
        let returning = Returning::Here { conn, read_only };
        ensemble.returning.entry(session).or_default().push(returning);
    }

    /// The leader's word on a session that has come back.
    pub(super) fn on_revalidated(&mut self, link: LinkId, data: Option<&Bytes>) {
        let Some(answer) = data.and_then(|data| Revalidated::decode(data).ok()) else {
            return self.hang_up(link, "a word on a session that cannot be read");
        };
        let Some(ensemble) = &mut self.ensemble else { return };
        let session = answer.session;
        let Some(mut waiting) = ensemble.returning.remove(&session) else { return };
        // One answer for each question: the others are on their way.
        let first = waiting.remove(0);
        if !waiting.is_empty() {
            ensemble.returning.insert(session, waiting);
        }
        if answer.valid {
            ensemble.note_came_back(session, &first);
        }
        let (conn, read_only) = match first {
            Returning::Here { conn, read_only } => (conn, read_only),
            Returning::AtObserver(link) => {
                // It spoke through this member's own connection before.
                if answer.valid
                    && let Some(before) = self.speaking.remove(&session)
                {
                    before.send_away(false);
                }
                return self.pass_answer(link, data.map_or(&[], |data| &data[..]));
            }
        };
        if conn.is_closed() {
            return;
        }
        if !answer.valid {
            return turn_away(&conn, read_only);
        }
        if let Some(before) = self.speaking.insert(session, Arc::clone(&conn)) {
            before.send_away(false);
        }
        self.welcome(&conn, session, read_only);
    }

    /// Has the leader order what this member asks for itself.
    pub(super) fn forward_own(&mut self, session: SessionId, request: Request, origin: Origin) {
        let (cxid, auth, audited) = (0, None, None);
        self.forward(session, Forwarded { cxid, auth, request, origin, audited });
    }

    fn forward(&mut self, session: SessionId, forwarded: Forwarded) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some(upstream) = &ensemble.upstream else { return };
        let put = |out: &mut BytesMut| put_request(session, &forwarded, out);
        send(&upstream.link.outbox, &mut ensemble.to_flush, put);
        if let Request::Sync { path } = forwarded.request {
            ensemble.syncs.push_back((forwarded.origin, path));
            return;
        }
        self.await_transaction(session, forwarded);
    }

    /// What has come by now is not its transaction. Some clients number their requests anew on each connection.
    fn await_transaction(&mut self, session: SessionId, forwarded: Forwarded) {
        let Some(ensemble) = &mut self.ensemble else { return };
        ensemble.forwarded.entry(session).or_default().push_back((self.appended, forwarded));
        ensemble.forwarded_count += 1;
        self.shared.stats.outstanding.store(ensemble.forwarded_count, Relaxed);
    }

    /// The leader refuses a request that it was sent for somebody else. Nobody here waits for that, and least of all a request with
    /// the same number.
    pub(super) fn await_refusal(&mut self, session: SessionId, cxid: i32, request: Request) {
        let (auth, origin, audited) = (None, Origin::Elsewhere, None);
        self.await_transaction(session, Forwarded { cxid, auth, request, origin, audited });
    }

    /// The leader before has named its successor, which is there now: what it did not order is asked for again, in the
    /// order in which each session asked, and then what came meanwhile.
    pub(super) fn go_on_with_successor(&mut self) {
        if let Some(ensemble) = &mut self.ensemble
            && std::mem::take(&mut ensemble.between)
        {
            ensemble.forwarded_count = 0;
            for (session, queue) in std::mem::take(&mut ensemble.forwarded) {
                for (_, forwarded) in queue {
                    self.ask_again(session, forwarded);
                }
            }
        }
        for command in std::mem::take(&mut self.waiting) {
            self.on_write(command);
        }
    }

    fn ask_again(&mut self, session: SessionId, forwarded: Forwarded) {
        match &forwarded.origin {
            // Its client does not know any more what became of it.
            Origin::Client(conn) if conn.is_sent_away() => return,
            Origin::Connect { conn, .. } if conn.is_closed() => return,
            // Whoever asked for it does so itself.
            Origin::Elsewhere => return,
            _ => {}
        }
        if self.is_through() {
            return self.forward(session, forwarded);
        }
        let Forwarded { cxid, auth, request, origin, .. } = forwarded;
        let auth = auth.unwrap_or_else(|| Arc::from([]));
        match request {
            Request::CloseSession => self.end_session(session, cxid, auth, origin),
            request => self.propose(session, cxid, &auth, &request, origin),
        }
    }

    /// Who waits here for a transaction that the leader ordered.
    pub(super) fn claim(&mut self, entry: &Entry) -> Option<(Origin, Option<Box<Audited>>)> {
        let ensemble = self.ensemble.as_mut()?;
        let session = entry.header.session;
        let waiting = ensemble.forwarded.get_mut(&session)?;
        let (cxid, zxid) = (entry.header.cxid, entry.header.zxid);
        waiting.front().filter(|(behind, first)| first.cxid == cxid && *behind < zxid)?;
        let (_, first) = waiting.pop_front()?;
        if waiting.is_empty() {
            ensemble.forwarded.remove(&session);
        }
        ensemble.forwarded_count -= 1;
        Some((first.origin, first.audited))
    }

    /// The leader has sent all that was committed when it heard of the oldest sync. What this member has not applied yet is on the
    /// way to its own log.
    pub(super) fn on_synced(&mut self) {
        let upto = self.zab.committed().unwrap_or_default();
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some((origin, path)) = ensemble.syncs.pop_front() else { return };
        if let Origin::Observer(link) = origin {
            return ensemble.sync_behind(link, upto);
        }
        ensemble.synced.push_back((upto, origin, path));
        let shared = Arc::clone(&self.shared);
        self.answer_synced(&shared.tree());
    }

    /// Answers the syncs for which enough is applied.
    pub(super) fn answer_synced(&mut self, tree: &State) {
        let zxid = self.shared.applied();
        while let Some(ensemble) = &mut self.ensemble
            && ensemble.synced.front().is_some_and(|(upto, ..)| *upto <= zxid)
            && let Some((_, origin, path)) = ensemble.synced.pop_front()
        {
            let result = Ok(Response::Path(path));
            match origin {
                Origin::Client(conn) => self.answer_client(tree, &conn, zxid, &result),
                Origin::Local(reply) => drop(reply.send(LocalReply::Done { zxid, result })),
                _ => {}
            }
        }
    }

    /// Answers the syncs that a client asked before its write that is applied next, and the reads behind them, which must not see
    /// it: all that they wait for is applied, though the leader's word on them may have come late.
    pub(super) fn answer_syncs_before_write(&mut self, tree: &State, conn: &Arc<Conn>) {
        let are_there =
            |ensemble: &Ensemble| !ensemble.synced.is_empty() || !ensemble.syncs.is_empty();
        while self.ensemble.as_deref().is_some_and(are_there)
            && conn.lock().oldest_write() == Some(OpCode::Sync)
            && let Some(path) = self.take_sync(conn)
        {
            let zxid = self.shared.applied();
            self.answer_client(tree, conn, zxid, &Ok(Response::Path(path)));
        }
    }

    /// The oldest sync of a client, which is nobody's from here on.
    fn take_sync(&mut self, conn: &Arc<Conn>) -> Option<Text> {
        let ensemble = self.ensemble.as_mut()?;
        let synced = ensemble.synced.iter_mut().map(|(_, origin, path)| (origin, path));
        let asked = ensemble.syncs.iter_mut().map(|(origin, path)| (origin, path));
        let is_of = |origin: &Origin| match origin {
            Origin::Client(one) => Arc::ptr_eq(one, conn),
            _ => false,
        };
        let (origin, path) = synced.chain(asked).find(|(origin, _)| is_of(origin))?;
        *origin = Origin::Elsewhere;
        Some(path.clone())
    }

    /// What an answer to the leader's ping says: the sessions that were heard since the last one. `None`
    /// when this member leads.
    pub(super) fn touches(&mut self, to: PeerId) -> Option<BytesMut> {
        let now = self.shared.now();
        let ensemble = self.ensemble.as_mut()?;
        ensemble.upstream.as_ref().filter(|one| one.leader == to)?;
        let mut touches = BytesMut::new();
        // A leader of our own pings more often than sessions need it.
        let since = ensemble.touched_at;
        if now.saturating_since(since) < self.shared.config.tick_time / 4 {
            return Some(touches);
        }
        ensemble.touched_at = now;
        for (session, timeout_ms) in ensemble.touched.drain() {
            wire::put_touch(session, timeout_ms, &mut touches);
        }
        for (session, conn) in &self.speaking {
            let local = self.locals.as_ref().is_some_and(|locals| locals.is_tracked(*session));
            if !local && conn.heard() >= since {
                wire::put_touch(*session, conn.lock().timeout_ms, &mut touches);
            }
        }
        Some(touches)
    }
}

/// Writes the packet of a request, without a copy of it between.
fn put_request(session: SessionId, forwarded: &Forwarded, out: &mut BytesMut) {
    let Forwarded { cxid, auth, request, .. } = forwarded;
    out.put_i32(PacketType::Request.code());
    out.put_zxid(NO_ZXID);
    let at = out.len();
    out.put_i32(0);
    let record = Bytes::new();
    Record { session, cxid: *cxid, op: request.op().code(), record }.encode(out);
    request.encode(out);
    let length = i32::try_from(out.len() - at - 4).expect("a frame bounds it");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    match auth {
        Some(ids) => out.put_vector(ids, |out, id| id.encode(out)),
        None => out.put_i32(-1),
    }
}

const NO_ZXID: Zxid = Zxid::from_bits(-1);
