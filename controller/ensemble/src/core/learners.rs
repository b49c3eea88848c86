//! What learners ask of this member while it leads: their clients' requests, their sessions, syncs.
//!
//! Source: `LearnerHandler`, `LeaderRequestProcessor`.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jute::learner::{Forwarded, LATE, PacketType, QuorumPacket, Revalidated, Touch};
use jute::{ErrorCode, OpCode, Reader, Request};
use types::Zxid;
use znodes::access::SUPER;
use znodes::{Prep, Requester, Speaker, Turn};

use super::{Core, Origin, timeout};
use crate::metrics::Stats;
use crate::peers::{LinkId, put_packet};

impl Core {
    /// A request of a learner's client. The answer is the transaction it becomes.
    pub(super) fn on_forwarded(&mut self, link: LinkId, packet: QuorumPacket) {
        if self.passes_on() {
            return self.pass_request(link, &packet);
        }
        let forwarded = packet.data.as_ref().map(Forwarded::decode);
        let Some(Ok(Forwarded { session, cxid, op, record })) = forwarded else {
            return self.hang_up(link, "a request that cannot be read");
        };
        if op == OpCode::Sync.code() {
            return self.on_sync(link);
        }
        let mut auth = packet.auth.unwrap_or_default();
        // A learner of Apache's leaves it to the leader.
        auth.extend(self.shared.config.skip_acl.then_some(SUPER));
        let speaker = Speaker(link.0);
        let decoded = OpCode::try_from(op)
            .ok()
            .filter(|op| op.is_write() || matches!(op, OpCode::CreateSession | OpCode::Check))
            .map(|op| Request::decode(op, &mut Reader::new(&record)));
        match decoded {
            Some(Ok(request)) => {
                self.propose_for(speaker, session, cxid, &auth, &request, Origin::Elsewhere);
            }
            refused => {
                let error = match refused {
                    None if op == LATE => ErrorCode::SessionMoved,
                    Some(_) => ErrorCode::MarshallingError,
                    None => ErrorCode::Unimplemented,
                };
                let Some(zxid) = self.zab.next_zxid() else { return };
                let turn = Turn { zxid, wall_ms: self.wall_ms, now: self.now };
                let requester = Requester { session, cxid, auth: &auth, speaker };
                let entry = Prep::refuse(turn, &requester, error);
                self.order(entry, None, Origin::Elsewhere, None);
            }
        }
    }

    /// Answered behind all that is proposed by now.
    fn on_sync(&mut self, link: LinkId) {
        let newest = self.outstanding.back().map(|newest| newest.entry.header.zxid);
        let Some(ensemble) = &mut self.ensemble else { return };
        ensemble.sync_behind(link, newest.unwrap_or_default());
    }

    /// Whether a session that came back to a learner lives; then it speaks through that learner.
    pub(super) fn on_revalidate(&mut self, link: LinkId, data: Option<&Bytes>) {
        if self.passes_on() {
            return self.pass_question(link, data);
        }
        let asked =
            data.and_then(|data| Touch::decode_all(data).ok()).and_then(|mut all| all.pop());
        let Some(Touch { session, timeout_ms }) = asked else {
            return self.hang_up(link, "a question for a session that cannot be read");
        };
        Stats::count(&self.shared.stats.revalidations);
        let valid = self.zab.next_zxid().is_some()
            && self.sessions.touch(session, timeout(timeout_ms), self.shared.now())
            && self.sessions.move_to(session, Speaker(link.0));
        if valid && let Some(here) = self.speaking.remove(&session) {
            // It spoke through this member's own connection before.
            here.send_away(false);
        }
        let mut answer = BytesMut::new();
        Revalidated { session, valid }.encode(&mut answer);
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some(caller) = ensemble.callers.get(&link) else { return };
        let outbox = Arc::clone(&caller.link.outbox);
        let zxid = Zxid::from_bits(-1);
        outbox.put(|out| put_packet(out, PacketType::Revalidate, zxid, Some(&answer)));
        ensemble.to_flush.push(outbox);
    }

    /// Sessions that gave a sign of life on a learner.
    pub(super) fn on_touches(&mut self, data: Option<&Bytes>) {
        let touches = data.and_then(|data| Touch::decode_all(data).ok()).unwrap_or_default();
        if self.passes_on() {
            return self.pass_touches(touches);
        }
        let now = self.shared.now();
        for Touch { session, timeout_ms } in touches {
            self.sessions.touch(session, timeout(timeout_ms), now);
        }
    }
}
