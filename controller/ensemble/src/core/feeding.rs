//! Observers at a follower, on both sides: whom an observer goes to, and what a follower passes on between its observers
//! and the leader.
//!
//! Lives here: introductions at the port for observers, their requests, sessions and syncs on the way to the leader and the
//! answers back. Must not: what is committed, which `zab` has told. Source: `ObserverMaster`, `QuorumPeer.findLearnerMaster`.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jute::learner::{Forwarded, LATE, LearnerInfo, PacketType, QuorumPacket, Touch};
use jute::{OpCode, Request};
use types::{PeerId, SessionId, Zxid};
use zab::{Input, Introduction};

use super::peers::{Ensemble, Upstream, send};
use super::through::Returning;
use super::{Core, Origin};
use crate::peers::{LinkId, put_packet};

/// Whom an observer may learn from, by turns.
#[derive(Debug, Default)]
pub(super) struct Masters {
    all: BTreeSet<PeerId>,
    /// The same in an order of this member's own, so that not all observers go to one follower.
    shuffled: Vec<PeerId>,
    next: usize,
    /// So many were called since this member was in step.
    in_vain: usize,
}

impl Masters {
    /// The next one of `voters` that does not lead, and whether all others have had their turn. `None`: it is the leader's turn. All
    /// others were called in vain: they may follow only once the leader has this member's promise, which has a vote by members that
    /// were proposed and does not know it.
    fn next(&mut self, voters: BTreeSet<PeerId>, leader: PeerId) -> Option<(PeerId, bool)> {
        if voters != self.all {
            let chance = RandomState::new();
            self.shuffled = voters.iter().copied().collect();
            self.shuffled.sort_by_key(|peer| chance.hash_one(peer));
            (self.all, self.next) = (voters, 0);
        }
        let others = self.shuffled.iter().filter(|peer| **peer != leader).count();
        if self.in_vain >= others {
            self.in_vain = 0;
            return None;
        }
        self.in_vain += 1;
        let mut again = false;
        loop {
            again |= self.next > 0 && self.next.is_multiple_of(self.shuffled.len());
            let peer = self.shuffled[self.next % self.shuffled.len()];
            self.next += 1;
            if peer != leader {
                return Some((peer, again));
            }
        }
    }

    /// This member is in step.
    pub(super) fn settle(&mut self) {
        self.in_vain = 0;
    }
}

impl Ensemble {
    /// Calls whom `leader`'s history comes from: the leader, or a follower of it, if there can be any. `None`: nobody can be called.
    pub(super) fn call(&mut self, leader: PeerId, port: Option<u16>) -> Option<Upstream> {
        let port = port.filter(|_| self.observer);
        let next = port.and_then(|port| {
            let voters = self.configs.voters().map(|(peer, _)| peer).collect();
            self.masters.next(voters, leader).map(|next| (port, next))
        });
        let (master, link) = match next {
            None => (leader, self.peers.call(self.configs.server(leader)?)),
            Some((port, (master, again))) => {
                let pause = if again { BETWEEN_ROUNDS } else { Duration::ZERO };
                let server = self.configs.server(master)?;
                tracing::info!(%leader, %master, "to be observed through a follower");
                (master, self.peers.observe(server, port, pause))
            }
        };
        Some(Upstream { leader, master, link, serving: false, kin: false })
    }

    /// Whether observers learn from this member.
    fn is_followed(&self) -> bool {
        self.upstream.as_ref().is_some_and(|one| one.serving) && !self.observer
    }

    /// Sends the leader what an observer asks of it.
    fn pass_on(&mut self, packet: &QuorumPacket) {
        if let Some(upstream) = &self.upstream {
            send(&upstream.link.outbox, &mut self.to_flush, |out| packet.encode(out));
        }
    }

    /// A session came back, here or to an observer that learns through this member.
    pub(super) fn note_came_back(&mut self, session: SessionId, to: &Returning) {
        let through = match to {
            Returning::AtObserver(link) => Some(*link),
            Returning::Here { .. } => None,
        };
        if self.callers.values().any(|caller| caller.link.observes) {
            self.came_back.insert(session, through);
        }
    }

    /// Whether a session that was an observer's speaks through somebody else by now.
    fn has_left(&self, session: SessionId, link: LinkId) -> bool {
        self.came_back.get(&session).is_some_and(|through| *through != Some(link))
    }

    /// Sends a packet to an observer, if it is still there.
    fn tell_observer(&mut self, link: LinkId, kind: PacketType, zxid: Zxid, data: Option<&[u8]>) {
        if let Some(observer) = self.callers.get(&link) {
            let outbox = &observer.link.outbox;
            send(outbox, &mut self.to_flush, |out| put_packet(out, kind, zxid, data));
        }
    }
}

impl Core {
    /// Why one that introduces itself, as `peer`, is turned away at the port for observers.
    pub(super) fn no_observer(&self, link: LinkId, packet: &QuorumPacket) -> Option<&'static str> {
        let ensemble = self.ensemble.as_ref()?;
        ensemble.callers.get(&link).filter(|caller| caller.link.observes)?;
        let peer = LearnerInfo::decode(packet.data.as_ref()).peer;
        if packet.kind != PacketType::ObserverInfo {
            Some("it is no observer; followers call the leader")
        } else if !ensemble.is_followed() {
            Some("this member follows nobody")
        } else if peer.is_some() && peer == ensemble.upstream.as_ref().map(|one| one.leader) {
            Some("it has the leader's id; each needs a myid of its own")
        } else {
            None
        }
    }

    /// A learner has said who it is.
    pub(super) fn introduce(&mut self, link: LinkId, from: PeerId, packet: QuorumPacket) {
        let caller = self.ensemble.as_ref().and_then(|ensemble| ensemble.callers.get(&link));
        if caller.is_some_and(|caller| caller.link.observes) {
            let kin = LearnerInfo::decode(packet.data.as_ref()).kin;
            let introduction = Introduction { accepted: packet.zxid.epoch(), observer: true, kin };
            self.drive(Input::Observer { from, introduction });
        } else {
            self.receive(link, from, packet);
        }
    }

    /// This member follows: observers may come.
    pub(super) fn take_observers(&mut self) {
        let me = self.shared.config.myid;
        let Some(ensemble) = self.ensemble.as_mut().filter(|one| one.is_followed()) else { return };
        if let (Some(config), Some(server)) =
            (&self.shared.config.ensemble, ensemble.configs.server(me))
        {
            ensemble.peers.take_observers(config, server);
        }
    }

    /// Whether what learners ask is for another member to answer.
    pub(super) fn passes_on(&self) -> bool {
        self.ensemble.as_ref().is_some_and(|ensemble| ensemble.upstream.is_some())
    }

    /// A request of an observer's client.
    pub(super) fn pass_request(&mut self, link: LinkId, packet: &QuorumPacket) {
        let Some(Ok(forwarded)) = packet.data.as_ref().map(Forwarded::decode) else {
            return self.hang_up(link, "a request that cannot be read");
        };
        let Some(ensemble) = &mut self.ensemble else { return };
        if !ENDS_AND_BEGINS.contains(&forwarded.op) && ensemble.has_left(forwarded.session, link) {
            let kin = ensemble.upstream.as_ref().is_some_and(|one| one.kin);
            ensemble.pass_on(&refused(&forwarded, kin));
            return self.await_refusal(forwarded.session, forwarded.cxid, delete_root());
        }
        ensemble.pass_on(packet);
        if forwarded.op == OpCode::Sync.code() {
            // The leader's answer does not say whose it is.
            ensemble.syncs.push_back((Origin::Observer(link), "".into()));
        }
    }

    /// An observer asks whether a session lives that came back to it.
    pub(super) fn pass_question(&mut self, link: LinkId, data: Option<&Bytes>) {
        let asked = data.and_then(|data| Touch::decode_all(data).ok()).unwrap_or_default();
        let [Touch { session, .. }] = asked[..] else {
            return self.hang_up(link, "a question for a session that cannot be read");
        };
        let Some(ensemble) = &mut self.ensemble else { return };
        let zxid = Zxid::from_bits(-1);
        ensemble.pass_on(&QuorumPacket::new(PacketType::Revalidate, zxid, data.cloned()));
        ensemble.returning.entry(session).or_default().push(Returning::AtObserver(link));
    }

    /// The leader's word on it.
    pub(super) fn pass_answer(&mut self, link: LinkId, data: &[u8]) {
        if let Some(ensemble) = &mut self.ensemble {
            let zxid = Zxid::from_bits(-1);
            ensemble.tell_observer(link, PacketType::Revalidate, zxid, Some(data));
        }
    }

    /// Sessions gave a sign of life on an observer: the leader hears of it with the next answer to its ping.
    pub(super) fn pass_touches(&mut self, touches: Vec<Touch>) {
        if let Some(ensemble) = &mut self.ensemble {
            let touches = touches.into_iter().map(|touch| (touch.session, touch.timeout_ms));
            ensemble.touched.extend(touches);
        }
    }
}

/// What the leader refuses, in place of a request that comes too late: its session speaks elsewhere, and may have asked for more
/// there. To the leader both are this member's, and the observer waits for a transaction. One of Apache's has no word for it: it
/// refuses to delete the root.
fn refused(late: &Forwarded, kin: bool) -> QuorumPacket {
    let (mut data, mut record) = (BytesMut::new(), BytesMut::new());
    let op = if kin { LATE } else { OpCode::Delete.code() };
    delete_root().encode(&mut record);
    let (session, cxid, record) = (late.session, late.cxid, record.freeze());
    Forwarded { session, cxid, op, record }.encode(&mut data);
    let packet = QuorumPacket::new(PacketType::Request, Zxid::from_bits(-1), Some(data.freeze()));
    QuorumPacket { auth: Some(Vec::new()), ..packet }
}

/// Everybody refuses this.
fn delete_root() -> Request {
    Request::Delete { path: "/".into(), version: -1 }
}

/// What is asked whoever a session speaks through.
const ENDS_AND_BEGINS: [i32; 3] =
    [OpCode::Sync.code(), OpCode::CreateSession.code(), OpCode::CloseSession.code()];
/// Followers that send an observer away are not asked again at once.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_leader_have_their_turn_before_one_has_it_again() {
        let voters = |ids: &[i64]| ids.iter().map(|id| PeerId(*id)).collect::<BTreeSet<_>>();
        let mut masters = Masters::default();
        let all = voters(&[1, 2, 3, 4, 5]);
        let round = |masters: &mut Masters, leader, again| {
            let mut met = BTreeSet::new();
            while met.len() < 4 {
                let next = masters.next(all.clone(), PeerId(leader)).expect("there are others");
                assert!(met.insert(next.0), "{next:?} has had its turn");
                assert!(!next.1 || again, "{next:?} is the first round's");
            }
            met
        };
        assert_eq!(round(&mut masters, 3, false), voters(&[1, 2, 4, 5]));
        masters.settle();
        assert_eq!(round(&mut masters, 3, true), voters(&[1, 2, 4, 5]));
        assert_eq!(masters.next(voters(&[7]), PeerId(7)), None);
        assert_eq!(masters.next(voters(&[7, 8]), PeerId(8)), Some((PeerId(7), false)));
    }

    #[test]
    fn the_leader_has_its_turn_when_all_others_were_called_in_vain() {
        let all = BTreeSet::from([1, 2, 3].map(PeerId));
        let mut masters = Masters::default();
        for _ in 0..3 {
            let called = [0; 3].map(|_| masters.next(all.clone(), PeerId(2)).map(|next| next.0));
            assert!(called[0].is_some() && called[1].is_some(), "{called:?}");
            assert_eq!(called[2], None);
        }
    }
}
