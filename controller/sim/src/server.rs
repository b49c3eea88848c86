//! What a member does with requests: at the leader they become transactions.

use std::time::Duration;

use bytes::BytesMut;
use jute::{Entry, Request};
use types::{Instant, PeerId, SessionId, Zxid};
use zab::Txn;
use znodes::{Applied, Prep, Requester, Sessions, Speaker, Turn};

use crate::checkers::Violation;
use crate::host::Running;

/// What a leader has beside its tree.
#[derive(Debug)]
pub(crate) struct Leading {
    prep: Prep,
    sessions: Sessions,
}

impl Running {
    /// This member leads, over the tree as it is.
    pub(crate) fn lead(&mut self, now: Instant) {
        let mut sessions = Sessions::new(TICK);
        sessions.resume(&self.tree.state, now);
        self.leading = Some(Leading { prep: Prep::new(&self.tree.state), sessions });
    }

    /// The transaction that a write of no session becomes; `None` while it takes none.
    pub(crate) fn prepare(&mut self, now: Instant, request: &Request) -> Option<Txn> {
        let zxid = self.zab.next_zxid()?;
        let Leading { prep, sessions } = self.leading.as_mut()?;
        let turn = Turn { zxid, wall_ms: wall_ms(now), now };
        let requester = Requester { session: SessionId(0), cxid: 0, auth: &[], speaker: HERE };
        let entry = prep.prepare(&self.tree.state, sessions, turn, &requester, request);
        let mut body = BytesMut::new();
        entry.encode(&mut body);
        Some(Txn { zxid, body: body.freeze() })
    }

    /// What comes next in the history is applied.
    pub(crate) fn deliver(&mut self, me: PeerId, txn: &Txn) -> Result<(Entry, Applied), Violation> {
        let delivered = self.tree.apply(me, txn)?;
        if let Some(Leading { prep, .. }) = &mut self.leading {
            prep.applied(txn.zxid);
        }
        Ok(delivered)
    }

    /// Proposals that nobody logged are taken back.
    pub(crate) fn withdraw(&mut self, first: Zxid) {
        if let Some(Leading { prep, .. }) = &mut self.leading {
            prep.withdraw(first);
        }
    }
}

/// The wall clock, in ms.
fn wall_ms(now: Instant) -> i64 {
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// The leader's own connections.
const HERE: Speaker = Speaker(0);
/// What deadlines of sessions are rounded up to.
const TICK: Duration = Duration::from_secs(2);
