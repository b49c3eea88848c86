//! Sessions as the member's own connections hold them: begun, come back to, left, expired.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jute::{ConnectRequest, ConnectResponse, Request};
use storage::LogCommand;
use types::{Instant, SessionId};
use znodes::password;

use super::tokens::Kind;
use super::{Core, HERE, Origin, PROBE_EVERY, timeout};
use crate::conn::{Conn, put_frame};
use crate::metrics::Stats;

impl Core {
    pub(super) fn on_connect(&mut self, conn: Arc<Conn>, request: &ConnectRequest) {
        if !self.may_connect(&conn, request) {
            return;
        }
        // As signed numbers: a client that has seen nothing may say so by one below zero.
        if request.last_zxid_seen.bits() > self.shared.applied().bits() {
            tracing::info!(
                remote = %conn.remote,
                seen = %request.last_zxid_seen,
                "client has seen later transactions than this member has: closed"
            );
            conn.send_away(false);
            return;
        }
        let (least, most) = self.shared.config.session_timeouts();
        let timeout_ms = request.timeout_ms.clamp(least, most);
        conn.lock().timeout_ms = timeout_ms;
        let read_only = request.read_only.map(|_| false);
        if self.connect_local(&conn, request, timeout_ms, read_only) {
            return;
        }
        if self.is_through() {
            return self.connect_through(conn, request, timeout_ms, read_only);
        }
        if request.session != SessionId(0) {
            self.come_back(conn, request, timeout_ms, read_only);
        } else if self.full.is_some() {
            // A session is a transaction, and there is no room for one; the client tries again.
            conn.send_away(false);
        } else {
            let session = self.ids.next_id();
            let origin = Origin::Connect { conn, read_only };
            self.propose(session, 0, &[], &Request::CreateSession { timeout_ms }, origin);
        }
    }

    /// Takes tokens for a connection. False: there were none, and it is closed.
    pub(super) fn may_connect(&mut self, conn: &Conn, request: &ConnectRequest) -> bool {
        let kind = match request.session {
            SessionId(0) if self.locals.is_some() => Kind::Local,
            SessionId(0) => Kind::Global,
            _ => Kind::Renewed,
        };
        let stats = &self.shared.stats;
        let taken = self.tokens.take(self.now, kind);
        stats.drop_probability.store(self.tokens.drop_probability().to_bits(), Relaxed);
        if !taken {
            Stats::count(&stats.connections_rejected);
            tracing::info!(remote = %conn.remote, "more clients connect than connection_throttle_tokens lets: closed");
            conn.send_away(false);
            return false;
        }
        Stats::count(&stats.connection_requests);
        stats.token_deficit.record(self.tokens.deficit().into());
        true
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
        if !is_proven(request)
            || !self.sessions.touch(session, timeout(timeout_ms), self.shared.now())
            || !self.sessions.move_to(session, HERE)
        {
            return turn_away(&conn, read_only);
        }
        if let Some(before) = self.speaking.insert(session, Arc::clone(&conn)) {
            self.shared.refusals.ended(&before);
            before.send_away(false);
        }
        self.welcome(&conn, session, read_only);
    }

    pub(super) fn welcome(
        &mut self,
        conn: &Arc<Conn>,
        session: SessionId,
        read_only: Option<bool>,
    ) {
        let timeout_ms = {
            let mut inner = conn.lock();
            inner.session = session;
            let mut long = inner.said.long();
            long.limit(self.shared.refusals.longest(session));
            inner.said.set_long(long);
            inner.timeout_ms
        };
        let password = password(session);
        put_connect_response(conn, &ConnectResponse { timeout_ms, session, password, read_only });
        Stats::count(&self.shared.stats.sent);
        self.will_wake(conn);
    }

    pub(super) fn on_gone(&mut self, conn: &Arc<Conn>) {
        let session = conn.lock().session;
        if self.speaking.get(&session).is_some_and(|speaking| Arc::ptr_eq(speaking, conn)) {
            // The session lives on until its timeout, counted from the last sign of life.
            self.touch(session, conn);
            self.speaking.remove(&session);
            if self.is_through()
                && !self.is_local(session)
                && let Some(ensemble) = &mut self.ensemble
            {
                ensemble.touched.insert(session, conn.lock().timeout_ms);
            }
        }
        self.shared.watchers().remove(conn.slot);
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let protocol = self.zab.alarm().filter(|_| !self.mending.stands_still());
        let protocol =
            protocol.into_iter().chain(self.read_only_at()).chain(self.mending.again_at());
        let protocol = protocol.chain(self.locals_due()).min();
        if self.full.is_some() || self.zab.next_zxid().is_none() {
            return self.full.into_iter().chain(protocol).min();
        }
        let reap = self.reaper.next_due(&self.shared.tree());
        self.sessions.next_expiry().into_iter().chain(reap).chain(protocol).min()
    }

    pub(super) fn on_time(&mut self) {
        let now = self.shared.now();
        self.maybe_mend_again(now);
        if !self.mending.stands_still() && self.zab.alarm().is_some_and(|at| at <= now) {
            self.drive(zab::Input::Tick);
            self.view_learners();
        }
        if self.read_only_at().is_some_and(|at| at <= now) {
            self.begin_read_only();
        }
        self.expire_locals(now);
        if let Some(look) = self.full {
            if look <= now {
                self.tell_log(LogCommand::Probe);
                self.full = Some(now + PROBE_EVERY);
            }
            return;
        }
        if self.zab.next_zxid().is_none() {
            return;
        }
        self.reap(now);
        if self.sessions.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        let speaking = std::mem::take(&mut self.speaking);
        for (session, conn) in &speaking {
            self.touch(*session, conn);
        }
        self.speaking = speaking;
        for session in self.sessions.expire(now) {
            self.end_session(session, 0, Arc::from([]), Origin::Expiry);
        }
    }

    /// Brings the session's deadline up to when its connection was last heard.
    fn touch(&mut self, session: SessionId, conn: &Conn) {
        let timeout_ms = conn.lock().timeout_ms;
        self.sessions.touch(session, timeout(timeout_ms), conn.heard());
        if let Some(locals) = &mut self.locals {
            locals.touch(session, timeout(timeout_ms), conn.heard());
        }
    }
}

/// Whether the client shows that the session it names is its own.
pub(super) fn is_proven(request: &ConnectRequest) -> bool {
    request.password.as_deref() == Some(password(request.session).as_slice())
}

/// The session is not to be had: the client is told so.
pub(super) fn turn_away(conn: &Conn, read_only: Option<bool>) {
    put_connect_response(conn, &ConnectResponse::invalid(read_only));
    conn.send_away(true);
}

fn put_connect_response(conn: &Conn, response: &ConnectResponse) {
    let mut inner = conn.lock();
    inner.said.talk.sent += 1;
    put_frame(&mut inner.out, |out| response.encode(out));
}
