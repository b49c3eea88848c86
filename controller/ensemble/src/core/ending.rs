//! The end of a session with many ephemerals: some of them at a time, so that nobody waits for all of them.
//!
//! Apache deletes them in one transaction, however long it is. Here those beyond a number go before, in
//! transactions of their own; meanwhile the session is closing, so that it makes no more of them.

use std::sync::Arc;

use jute::{ErrorCode, Id, MultiOp, OpResult, Request, Response, Text, Txn};
use types::SessionId;
use znodes::access::SUPER;

use super::{Core, Origin, audit, timeout};

/// A session on its way to its end.
pub(super) struct Ending {
    session: SessionId,
    cxid: i32,
    auth: Arc<[Id]>,
    /// Who waits for the end.
    origin: Origin,
    /// Its ephemerals could not go before it: they go with it.
    at_once: bool,
}

impl Core {
    /// Proposes the end of a session, or of the first of its ephemerals. The caller has seen that this member
    /// leads and has room.
    pub(super) fn end_session(
        &mut self,
        session: SessionId,
        cxid: i32,
        auth: Arc<[Id]>,
        origin: Origin,
    ) {
        let ending = Ending { session, cxid, auth, origin, at_once: false };
        self.go_on_ending(ending);
    }

    /// What became of ephemerals that went before their session.
    pub(super) fn on_gone_before(
        &mut self,
        ending: Ending,
        txn: &Txn,
        response: &Result<Response, ErrorCode>,
    ) {
        let done = match response {
            Ok(Response::Multi(results)) => {
                !results.iter().any(|result| matches!(result, OpResult::Error(_)))
            }
            _ => false,
        };
        if done && self.shared.config.audit {
            audit::tell_gone_before(ending.session, txn);
        }
        // Not here, where the tree is being changed.
        self.endings.push_back(Ending { at_once: !done, ..ending });
    }

    /// The disk is full: the session lives on until its end can be written.
    pub(super) fn refuse_ending(&mut self, ending: Ending) {
        let timeout = timeout(self.granted(ending.session));
        self.sessions.reopen(ending.session, timeout, self.shared.now());
        self.refuse(ending.origin);
    }

    /// Proposes what follows for the sessions whose last part was applied.
    pub(super) fn maybe_go_on_ending(&mut self) {
        if self.endings.is_empty() || self.paused.is_some() {
            return;
        }
        for ending in std::mem::take(&mut self.endings) {
            if self.full.is_some() {
                self.refuse_ending(ending);
            } else if self.zab.next_zxid().is_some() {
                self.go_on_ending(ending);
            }
            // Else nobody leads, and the next to lead takes up every session anew.
        }
    }

    fn go_on_ending(&mut self, ending: Ending) {
        let paths: Vec<Text> = {
            let tree = self.shared.tree();
            let count = if ending.at_once { 0 } else { AT_ONCE + 1 };
            tree.ephemerals(ending.session).take(count).map(Text::from).collect()
        };
        if paths.len() <= AT_ONCE {
            let Ending { session, cxid, auth, origin, .. } = ending;
            return self.propose(session, cxid, &auth, &Request::CloseSession, origin);
        }
        self.sessions.close(ending.session);
        let delete = |path| MultiOp::Delete { path, version: ANY_VERSION };
        let request = Request::Multi(paths.into_iter().take(AT_ONCE).map(delete).collect());
        self.propose(SessionId(0), 0, &[SUPER], &request, Origin::Ending(Box::new(ending)));
    }
}

/// So many ephemerals go in one transaction: it takes about a millisecond.
const AT_ONCE: usize = 1000;
const ANY_VERSION: i32 = -1;
