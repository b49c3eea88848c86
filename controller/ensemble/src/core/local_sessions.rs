//! Sessions that their own member alone knows: no transaction begins or ends them, and nothing is theirs.
//!
//! At its first ephemeral such a session may become everybody's. Here they outlive a change of who leads, which
//! Apache's do not. Source: `UpgradeableSessionTracker`, `LocalSessionTracker`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jute::{ConnectRequest, ErrorCode, MultiOp, OpCode, OpResult, Request, Response, create_flags};
use types::{Instant, SessionId};
use znodes::{Sessions, State};

use super::sessions::{is_proven, turn_away};
use super::{Core, Origin, timeout};
use crate::conn::{Conn, Pending};
use crate::metrics::Stats;

impl Core {
    /// Those of a member that has some.
    pub(super) fn locals_of(config: &crate::MemberConfig) -> Option<Sessions> {
        let wanted = config.rules.local_sessions && config.ensemble.is_some();
        wanted.then(|| Sessions::new(config.tick_time))
    }

    pub(super) fn is_local(&self, session: SessionId) -> bool {
        self.locals.as_ref().is_some_and(|locals| locals.is_tracked(session))
    }

    /// Begins a session or takes one back that is this member's alone. False: it is everybody's.
    pub(super) fn connect_local(
        &mut self,
        conn: &Arc<Conn>,
        request: &ConnectRequest,
        timeout_ms: i32,
        read_only: Option<bool>,
    ) -> bool {
        let now = self.shared.now();
        let Some(locals) = &mut self.locals else { return false };
        let session = match request.session {
            SessionId(0) => {
                let session = self.ids.next_id();
                locals.track(session, timeout(timeout_ms), now);
                session
            }
            session if !locals.is_tracked(session) => return false,
            session => {
                if !is_proven(request) {
                    turn_away(conn, read_only);
                    return true;
                }
                locals.touch(session, timeout(timeout_ms), now);
                session
            }
        };
        self.count_locals();
        if let Some(before) = self.speaking.insert(session, Arc::clone(conn)) {
            self.shared.refusals.ended(&before);
            before.send_away(false);
        }
        self.welcome(conn, session, read_only);
        true
    }

    /// What must be done before a request of this session is ordered. False: it is not to be ordered.
    pub(super) fn may_order(
        &mut self,
        session: SessionId,
        conn: &Arc<Conn>,
        request: &Request,
    ) -> bool {
        if !self.is_local(session) {
            return true;
        }
        if matches!(request, Request::CloseSession) {
            let shared = Arc::clone(&self.shared);
            self.maybe_close_local(&shared.tree(), conn);
            return false;
        }
        if self.shared.config.rules.session_upgrades && makes_ephemeral(request) {
            self.upgrade(session, conn.lock().timeout_ms);
        }
        true
    }

    /// From its next request on the session is everybody's: its beginning is ordered first.
    fn upgrade(&mut self, session: SessionId, timeout_ms: i32) {
        if let Some(locals) = &mut self.locals {
            locals.forget(session);
        }
        self.count_locals();
        let create = Request::CreateSession { timeout_ms };
        if self.is_through() {
            self.forward_own(session, create, Origin::Elsewhere);
        } else {
            self.propose(session, 0, &[], &create, Origin::Elsewhere);
        }
    }

    /// The beginning of a session was taken back for lack of room: it is what it was before.
    pub(super) fn maybe_local_again(&mut self, session: SessionId, timeout_ms: i32) {
        let now = self.shared.now();
        if let Some(locals) = &mut self.locals
            && self.speaking.contains_key(&session)
        {
            locals.track(session, timeout(timeout_ms), now);
            self.count_locals();
        }
    }

    /// Ends a session of this member alone if that is what its client is owed next.
    pub(super) fn maybe_close_local(&mut self, tree: &State, conn: &Arc<Conn>) {
        let session = {
            let inner = conn.lock();
            let closes =
                |first: &Pending| matches!(first, Pending::Write { op: OpCode::CloseSession, .. });
            if !inner.oldest().is_some_and(closes) {
                return;
            }
            inner.session
        };
        if !self.is_local(session) {
            return;
        }
        if let Some(locals) = &mut self.locals {
            locals.forget(session);
        }
        self.count_locals();
        self.speaking.remove(&session);
        let zxid = self.shared.applied();
        self.answer_client(tree, conn, zxid, &Ok(Response::Empty));
        conn.send_away(true);
    }

    /// The word for a session that the leader does not know, where the reason is that only this member does.
    pub(super) fn say_local(
        &self,
        session: SessionId,
        conn: &Conn,
        response: &mut Result<Response, ErrorCode>,
    ) {
        if !self.is_local(session) {
            return;
        }
        let creates =
            [OpCode::Create, OpCode::Create2, OpCode::Multi].map(Some).contains(&first_op(conn));
        match response {
            Err(error @ ErrorCode::SessionExpired) if creates => {
                *error = ErrorCode::EphemeralOnLocalSession;
            }
            Ok(Response::Multi(results)) => {
                for result in results {
                    if let OpResult::Error(error @ Some(ErrorCode::SessionExpired)) = result {
                        *error = Some(ErrorCode::EphemeralOnLocalSession);
                    }
                }
            }
            _ => {}
        }
    }

    /// Brings their deadlines up to when their connections were last heard.
    pub(super) fn touch_locals(&mut self) {
        let Some(locals) = &mut self.locals else { return };
        for (session, conn) in &self.speaking {
            locals.touch(*session, timeout(conn.lock().timeout_ms), conn.heard());
        }
    }

    /// Ends those whose time is up.
    pub(super) fn expire_locals(&mut self, now: Instant) {
        if self.locals_due().is_none_or(|at| at > now) {
            return;
        }
        self.touch_locals();
        let Some(locals) = &mut self.locals else { return };
        for session in locals.expire(now) {
            locals.forget(session);
            tracing::info!(%session, "session expired, which this member alone knew");
            Stats::count(&self.shared.stats.sessions_expired);
            if let Some(conn) = self.speaking.remove(&session) {
                conn.send_away(false);
            }
        }
        self.count_locals();
    }

    pub(super) fn locals_due(&self) -> Option<Instant> {
        self.locals.as_ref()?.next_expiry()
    }

    fn count_locals(&self) {
        let count = self.locals.as_ref().map_or(0, Sessions::len);
        self.shared.stats.local_sessions.store(count as u64, Relaxed);
    }
}

fn first_op(conn: &Conn) -> Option<OpCode> {
    match conn.lock().oldest() {
        Some(Pending::Write { op, .. }) => Some(*op),
        _ => None,
    }
}

fn makes_ephemeral(request: &Request) -> bool {
    let is_one =
        |flags| matches!(flags, create_flags::EPHEMERAL | create_flags::EPHEMERAL_SEQUENTIAL);
    match request {
        Request::Create(create) | Request::Create2(create) => is_one(create.flags),
        Request::Multi(ops) => ops.iter().any(|op| match op {
            MultiOp::Create(create) | MultiOp::Create2(create) => is_one(create.flags),
            _ => false,
        }),
        _ => false,
    }
}
