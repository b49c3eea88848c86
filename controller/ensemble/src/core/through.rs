//! Clients of a learner: their writes and sessions go through the leader.
//!
//! Lives here: what is sent on, who waits for what comes back, in the order in which it was sent. A session's
//! transaction is known by its session and the client's number for it. Source: `FollowerRequestProcessor`,
//! `CommitProcessor`, `LearnerSessionTracker`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};
use jute::learner::{Forwarded as Record, PacketType, QuorumPacket, Revalidated, Touch};
use jute::{ConnectRequest, ConnectResponse, Entry, ErrorCode, Id, Request, Response};
use types::{PeerId, SessionId, Zxid};
use znodes::password;

use super::audit::Audited;
use super::sessions::put_connect_response;
use super::{Asked, Command, Core, LocalReply, Origin, wire};
use crate::buffers;
use crate::conn::Conn;
use crate::peers::{LinkId, put_packet};
use crate::standing::Role;

/// A request that the leader has.
pub(super) struct Forwarded {
    cxid: i32,
    origin: Origin,
    audited: Option<Box<Audited>>,
}

/// A client that came back, and waits for the leader to know its session.
pub(super) struct Returning {
    pub(super) conn: Arc<Conn>,
    pub(super) read_only: Option<bool>,
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
        let read_only = self.shared.standing.role() == Role::ReadOnly;
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
                conn.close(false);
            }
            Command::Requests { conn, auth, mut requests } => {
                let session = conn.lock().session;
                let audits = self.shared.config.audit;
                for Asked { xid, request, .. } in requests.drain(..) {
                    if !conn.is_closed() {
                        let audited = if audits { Audited::of(&request) } else { None };
                        let origin = Origin::Client(Arc::clone(&conn));
                        self.forward(session, xid, Some(&auth), &request, origin, audited);
                    }
                }
                buffers::give_back_writes(requests);
            }
            Command::Connect { conn, request } if !conn.is_closed() => {
                self.on_connect(conn, &request);
            }
            Command::Local { request, reply } if serving => {
                ensemble.last_local = ensemble.last_local.wrapping_add(1);
                let (cxid, auth) = (ensemble.last_local, [znodes::access::SUPER]);
                let origin = Origin::Local(reply);
                self.forward(SessionId(0), cxid, Some(&auth), &request, origin, None);
            }
            // Whoever waits for it hears that nobody will answer.
            _ => {}
        }
    }

    /// A session of this member alone, for a client that only reads. One that has a session keeps it for
    /// when there is a leader.
    fn connect_read_only(&mut self, conn: &Arc<Conn>, request: &ConnectRequest) {
        let is_new = request.session == SessionId(0) && request.read_only == Some(true);
        if !is_new || request.last_zxid_seen > self.shared.applied() {
            return conn.close(false);
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
            let create = Request::CreateSession { timeout_ms };
            let origin = Origin::Connect { conn, read_only };
            return self.forward(session, 0, None, &create, origin, None);
        }
        if request.password.as_deref() != Some(password(session).as_slice()) {
            put_connect_response(&conn, &ConnectResponse::invalid(read_only));
            return conn.close(true);
        }
        let mut data = BytesMut::new();
        Touch { session, timeout_ms }.encode(&mut data);
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some(upstream) = &ensemble.upstream else { return };
        let outbox = Arc::clone(&upstream.link.outbox);
        outbox.put(|out| put_packet(out, PacketType::Revalidate, NO_ZXID, Some(&data)));
        ensemble.to_flush.push(outbox);
        ensemble.returning.entry(session).or_default().push(Returning { conn, read_only });
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
        let Returning { conn, read_only } = waiting.remove(0);
        if !waiting.is_empty() {
            ensemble.returning.insert(session, waiting);
        }
        if conn.is_closed() {
            return;
        }
        if !answer.valid {
            put_connect_response(&conn, &ConnectResponse::invalid(read_only));
            return conn.close(true);
        }
        if let Some(before) = self.speaking.insert(session, Arc::clone(&conn)) {
            before.close(false);
        }
        self.welcome(&conn, session, read_only);
    }

    fn forward(
        &mut self,
        session: SessionId,
        cxid: i32,
        auth: Option<&[Id]>,
        request: &Request,
        origin: Origin,
        audited: Option<Box<Audited>>,
    ) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some(upstream) = &ensemble.upstream else { return };
        let mut record = BytesMut::new();
        request.encode(&mut record);
        let record = Record { session, cxid, op: request.op().code(), record: record.freeze() };
        let mut data = BytesMut::new();
        record.encode(&mut data);
        let packet = QuorumPacket {
            kind: PacketType::Request,
            zxid: NO_ZXID,
            data: Some(data.freeze()),
            auth: auth.map(<[Id]>::to_vec),
        };
        let outbox = Arc::clone(&upstream.link.outbox);
        outbox.put(|out| packet.encode(out));
        ensemble.to_flush.push(outbox);
        if let Request::Sync { path } = request {
            ensemble.syncs.push_back((origin, path.clone()));
            return;
        }
        let forwarded = Forwarded { cxid, origin, audited };
        ensemble.forwarded.entry(session).or_default().push_back(forwarded);
        ensemble.forwarded_count += 1;
        self.shared.stats.outstanding.store(ensemble.forwarded_count, Relaxed);
    }

    /// Who waits here for a transaction that the leader ordered.
    pub(super) fn claim(&mut self, entry: &Entry) -> Option<(Origin, Option<Box<Audited>>)> {
        let ensemble = self.ensemble.as_mut()?;
        let session = entry.header.session;
        let waiting = ensemble.forwarded.get_mut(&session)?;
        waiting.front().filter(|first| first.cxid == entry.header.cxid)?;
        let first = waiting.pop_front()?;
        if waiting.is_empty() {
            ensemble.forwarded.remove(&session);
        }
        ensemble.forwarded_count -= 1;
        Some((first.origin, first.audited))
    }

    /// The leader has sent all that was committed when it heard of the oldest sync.
    pub(super) fn on_synced(&mut self) {
        let Some((origin, path)) =
            self.ensemble.as_mut().and_then(|ensemble| ensemble.syncs.pop_front())
        else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let zxid = shared.applied();
        match origin {
            Origin::Client(conn) => {
                let tree = shared.tree();
                self.answer_client(&tree, &conn, zxid, &Ok(Response::Path(path)));
            }
            Origin::Local(reply) => {
                drop(reply.send(LocalReply::Done { zxid, result: Ok(Response::Path(path)) }));
            }
            _ => {}
        }
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
            if conn.heard() >= since {
                wire::put_touch(*session, conn.lock().timeout_ms, &mut touches);
            }
        }
        Some(touches)
    }
}

const NO_ZXID: Zxid = Zxid::from_bits(-1);
