//! Requests become transactions.
//!
//! Lives here: what a write is refused for, in which order, and the transaction it becomes otherwise; each
//! sees the effects of those before it, applied or not. Must not: apply, order, wait, or read a clock.
//! Start at [`Prep::prepare`]. Source: `PrepRequestProcessor`; what is left out of it on purpose: deletes
//! of containers and openings of sessions sent by clients, creates whose opcode and flags disagree.

mod create;
mod overlay;
mod reconfig;
mod session;
mod write;

use jute::{AclList, Entry, ErrorCode, Id, MultiOp, Perms, Request, Txn, TxnDigest, TxnHeader};
use types::{Instant, SessionId, Zxid};

use crate::access::permits;
use crate::quota::Difference;
use crate::sessions::{Sessions, Speaker};
use crate::{QuotaExcess, Rules, State};
use overlay::{Overlay, Place, Seen};
pub use reconfig::Ensemble;

/// Makes the leader's transactions; made anew whenever a member begins to lead.
#[derive(Debug)]
pub struct Prep {
    rules: Rules,
    overlay: Overlay,
    /// The last quota that was exceeded.
    excess: Option<QuotaExcess>,
}

/// A place in the order, and when it is taken.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Of this transaction alone; a refused request takes one too.
    pub zxid: Zxid,
    /// ms since 1970, for stats.
    pub wall_ms: i64,
    /// For deadlines.
    pub now: Instant,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// The session; 0 is the member itself, which needs none.
    pub session: SessionId,
    /// The client's number for the request; 0 from a member.
    pub cxid: i32,
    /// Who the connection is authenticated as.
    pub auth: &'a [Id],
    /// Through whom the request came.
    pub speaker: Speaker,
}

/// All that one request is judged by.
struct Ask<'a> {
    state: &'a State,
    sessions: &'a mut Sessions,
    requester: &'a Requester<'a>,
    turn: Turn,
    /// A session that is not tracked may be one that its own member alone knows.
    local_sessions: bool,
}

impl Prep {
    /// Over a state to which everything in the log was applied.
    pub fn new(state: &State) -> Self {
        Self { rules: Rules::default(), overlay: Overlay::over(state), excess: None }
    }

    /// By other rules than the default.
    #[must_use]
    pub fn under(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// The transaction a write becomes; a refusal is one too ([`Txn::Error`]), and is applied like any other.
    ///
    /// `zxid`s of successive calls ascend. A request that is no write is refused as
    /// [`ErrorCode::Unimplemented`]. [`ErrorCode::SessionMoved`] is not for the client: its connection is
    /// closed.
    pub fn prepare(
        &mut self,
        state: &State,
        sessions: &mut Sessions,
        turn: Turn,
        requester: &Requester<'_>,
        request: &Request,
    ) -> Entry {
        let local_sessions = self.rules.local_sessions;
        let mut ask = Ask { state, sessions, requester, turn, local_sessions };
        match self.txn(&mut ask, request) {
            Ok(txn) => Entry { header: header(turn, requester), txn, digest: self.digest() },
            Err(code) => Self::refuse(turn, requester, code),
        }
    }

    /// Of the tree once all that is prepared is applied.
    fn digest(&self) -> Option<TxnDigest> {
        let digest = TxnDigest { version: TxnDigest::VERSION, tree: self.overlay.digest };
        (!self.rules.no_digests).then_some(digest)
    }

    /// The transaction of a request that was refused before it could be judged: its record is damaged.
    pub fn refuse(turn: Turn, requester: &Requester<'_>, code: ErrorCode) -> Entry {
        Entry { header: header(turn, requester), txn: Txn::Error(code), digest: None }
    }

    /// A quota that the requests prepared since the last call exceeded, if any did: one of them, to be
    /// logged. Hard ones were refused.
    pub fn take_excess(&mut self) -> Option<QuotaExcess> {
        self.excess.take()
    }

    /// Everything up to `zxid` was applied to the state that [`Self::prepare`] will be given next.
    pub fn applied(&mut self, zxid: Zxid) {
        self.overlay.applied(zxid);
    }

    /// The transactions from `first` on were given up before anyone logged them; their zxids are free again.
    ///
    /// What they did to sessions is the caller's to take back: [`Sessions::reopen`], [`Sessions::forget`].
    pub fn withdraw(&mut self, first: Zxid) {
        self.overlay.withdraw(first);
    }

    /// Whether every change that was prepared is applied.
    pub fn is_idle(&self) -> bool {
        self.overlay.is_empty()
    }

    fn txn(&mut self, ask: &mut Ask<'_>, request: &Request) -> Result<Txn, ErrorCode> {
        match request {
            Request::Create(create) => self.create(ask, create).map(Txn::Create),
            Request::Create2(create) => self.create(ask, create).map(Txn::Create2),
            Request::CreateContainer(create) => {
                self.create_container(ask, create).map(Txn::CreateContainer)
            }
            Request::CreateTtl(create, ttl) => self.create_ttl(ask, create, *ttl),
            Request::Delete { path, version } => self.delete(ask, path, *version),
            Request::DeleteContainer { path } => self.delete_container(ask, path),
            Request::SetData { path, data, version } => self.set_data(ask, path, data, *version),
            Request::SetAcl { path, acl, version } => self.set_acl(ask, path, acl, *version),
            Request::Check { path, version } => self.check(ask, path, *version),
            Request::Multi(ops) => self.multi(ask, ops),
            Request::Reconfig(_) => Err(self.refuse_reconfig(ask)),
            Request::CreateSession { timeout_ms } => Ok(Self::create_session(ask, *timeout_ms)),
            Request::CloseSession => Ok(self.close_session(ask)),
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    /// All or none: the first refusal undoes what came before it, and nothing after it is tried.
    fn multi(&mut self, ask: &mut Ask<'_>, ops: &[MultiOp]) -> Result<Txn, ErrorCode> {
        let mark = self.overlay.mark();
        let mut txns = Vec::with_capacity(ops.len());
        for op in ops {
            match self.op(ask, op) {
                Ok(txn) => txns.push(txn),
                Err(ErrorCode::SessionMoved) => {
                    self.overlay.undo_to(&mark);
                    return Err(ErrorCode::SessionMoved);
                }
                Err(code) => {
                    self.overlay.undo_to(&mark);
                    txns.push(Txn::Error(code));
                    txns.resize(ops.len(), Txn::Error(ErrorCode::RuntimeInconsistency));
                    break;
                }
            }
        }
        Ok(Txn::Multi(txns))
    }

    fn op(&mut self, ask: &mut Ask<'_>, op: &MultiOp) -> Result<Txn, ErrorCode> {
        match op {
            MultiOp::Create(create) => self.create(ask, create).map(Txn::Create),
            MultiOp::Create2(create) => self.create(ask, create).map(Txn::Create2),
            MultiOp::CreateContainer(create) => {
                self.create_container(ask, create).map(Txn::CreateContainer)
            }
            MultiOp::CreateTtl(create, ttl) => self.create_ttl(ask, create, *ttl),
            MultiOp::Delete { path, version } => self.delete(ask, path, *version),
            MultiOp::SetData { path, data, version } => self.set_data(ask, path, data, *version),
            MultiOp::Check { path, version } => self.check(ask, path, *version),
        }
    }

    /// A member that stands alone has no members to change. The order is Apache's.
    fn refuse_reconfig(&self, ask: &mut Ask<'_>) -> ErrorCode {
        if !self.rules.reconfig {
            return ErrorCode::ReconfigDisabled;
        }
        ask.check_session().err().unwrap_or(ErrorCode::Unimplemented)
    }

    fn check_quota(
        &mut self,
        ask: &Ask<'_>,
        path: &str,
        change: Difference,
    ) -> Result<(), ErrorCode> {
        if !self.rules.enforce_quota {
            return Ok(());
        }
        let Some(excess) = ask.state.excess(path, change) else {
            return Ok(());
        };
        let hard = excess.hard;
        self.excess = Some(excess);
        if hard { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
    }

    fn see<'a>(&'a mut self, ask: &Ask<'a>, path: &str) -> Result<(Place, Seen<'a>), ErrorCode> {
        let place = self.overlay.look(ask.state, path);
        let node = self.overlay.see(ask.state, place).ok_or(ErrorCode::NoNode)?;
        Ok((place, node))
    }
}

impl Ask<'_> {
    fn check_session(&mut self) -> Result<(), ErrorCode> {
        match self.requester.session {
            session if self.local_sessions && !self.sessions.is_tracked(session) => Ok(()),
            _ => self.check_global_session(),
        }
    }

    /// The same for what only a session may have that everybody knows.
    fn check_global_session(&mut self) -> Result<(), ErrorCode> {
        match self.requester.session {
            SessionId(0) => Ok(()),
            session => self.sessions.check(session, self.requester.speaker),
        }
    }

    fn check_access(&self, acl: &AclList, needed: Perms) -> Result<(), ErrorCode> {
        if permits(acl, needed, self.requester.auth) { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }
}

/// The version after this change.
fn next_version(expected: i32, is: i32) -> Result<i32, ErrorCode> {
    if expected == -1 || expected == is {
        Ok(is.wrapping_add(1))
    } else {
        Err(ErrorCode::BadVersion)
    }
}

fn header(turn: Turn, requester: &Requester<'_>) -> TxnHeader {
    let (session, cxid) = (requester.session, requester.cxid);
    TxnHeader { session, cxid, zxid: turn.zxid, time: turn.wall_ms }
}
