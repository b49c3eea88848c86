//! Broadcast, a follower that feeds observers: they learn from it what is committed, as from a leader.
//!
//! Lives here: an observer's way in step with a follower, and what it is told from then on. Must not: requests and
//! sessions, which the driver passes on. Source: `ObserverMaster.java`.
//!
//! Decided:
//! 1. Observers are told what this peer has delivered, not what it knows to be committed: none of them ever has what a
//!    start of this peer could lose.
//! 2. One that has more of this epoch than this peer is sent away, to another follower or until this one has it too. Apache's
//!    has it cut what was committed, and take it again.
//! 3. Whoever follows a leader of Apache's is nobody's kin to its observers: what kin trust in is the leader's to keep.

use std::collections::VecDeque;

use types::{Epoch, Instant, PeerId, Zxid};

use crate::learners::{Broadcast, Learners, Pings};
use crate::zab::Core;
use crate::{Introduction, Located, Message, Output, PeerMisbehaved, Txn};

/// The observers of a follower.
#[derive(Debug)]
pub(crate) struct Feeding {
    epoch: Epoch,
    /// The leader is kin.
    kin: bool,
    observers: Learners,
    pings: Pings,
}

impl Feeding {
    /// Nobody is fed yet.
    pub(crate) fn begin(core: &Core, epoch: Epoch, kin: bool) -> Self {
        Self { epoch, kin, observers: Learners::default(), pings: Pings::due(core) }
    }

    /// When observers must be pinged; `None` while there are none.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.pings.alarm(&self.observers, false)
    }

    pub(crate) fn introduce(&mut self, core: &mut Core, peer: PeerId, introduction: Introduction) {
        if introduction.accepted > self.epoch {
            let why = PeerMisbehaved::NotLeading;
            core.outbox.push(Output::HangUp { peer, why });
            return;
        }
        self.observers.introduce(core, peer, introduction);
        self.observers.tell_epoch_as(core, self.epoch, self.kin);
    }

    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.observers.remove(peer);
    }

    pub(crate) fn on_message(&mut self, core: &mut Core, from: PeerId, message: Message) {
        match message {
            Message::AckEpoch { current, last } => {
                // It votes nowhere: nothing follows for this peer from what it has.
                self.observers.promise(core, from, current, last);
                self.observers.locate(core, from);
            }
            Message::Ack(zxid) => {
                if self.observers.ack(core, from, (self.epoch, zxid), Zxid::ZERO) {
                    self.observers.up_to_date(core);
                }
            }
            _ => self.observers.hear(core, from),
        }
    }

    /// The end of an observer's history was found. `delivered` is how far this peer's goes.
    pub(crate) fn sync(&mut self, core: &mut Core, to: PeerId, found: Located, delivered: Zxid) {
        let proposals = &VecDeque::new();
        let at = Broadcast { epoch: self.epoch, committed: delivered, proposals, leads: false };
        self.observers.sync(core, to, found, &at);
    }

    /// A transaction is delivered; one that changes the members names who leads from then on.
    pub(crate) fn tell(&self, core: &mut Core, txn: &Txn, names: Option<PeerId>) {
        match names {
            Some(leader) => self.observers.activate(core, txn, leader),
            None => self.observers.commit(core, std::iter::once(txn)),
        }
    }

    pub(crate) fn on_tick(&mut self, core: &mut Core, delivered: Zxid) {
        self.pings.send(core, &mut self.observers, delivered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::following::Follower;
    use crate::pending::Pending;
    use crate::{Durable, Input, Settings, SyncPlan, SyncStart, Voters, Zab};

    const LEADER: PeerId = PeerId(2);
    const OBSERVER: PeerId = PeerId(3);

    fn zxid(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    /// A follower of epoch 2 that has delivered up to 5 there.
    fn follower() -> Zab {
        let last_logged = zxid(2, 5);
        let durable = Durable { accepted: Epoch(2), current: Epoch(2), last_logged };
        let voters = Voters::majority([PeerId(1), LEADER]);
        let mut zab = Zab::new(Settings { voters, ..Settings::alone(PeerId(1)) }, durable);
        let pending = Pending::after(last_logged, true);
        let phase = Follower::begin(&mut zab.core, LEADER, Epoch(2), true, pending);
        zab.core.outbox.clear();
        zab.set_phase(phase);
        zab
    }

    fn step(zab: &mut Zab, input: Input) -> Vec<Output> {
        zab.step(Instant::ZERO, input).collect()
    }

    fn heard(from: PeerId, message: Message) -> Input {
        Input::Received { from, message }
    }

    /// What follows when an observer that ends at `last` comes, and its end is `found`.
    fn met(zab: &mut Zab, kin: bool, last: Zxid, found: Located) -> Vec<Output> {
        let introduction = Introduction { accepted: Epoch(2), observer: true, kin };
        let told = step(zab, Input::Observer { from: OBSERVER, introduction });
        let message = Message::LeaderInfo { epoch: Epoch(2), kin: true };
        assert_eq!(told, [Output::Send { to: OBSERVER, message }]);
        let promised = step(zab, heard(OBSERVER, Message::AckEpoch { current: None, last }));
        assert_eq!(promised, [Output::Locate { learner: OBSERVER, last }]);
        step(zab, Input::Located { learner: OBSERVER, found })
    }

    fn synced(start: SyncStart, after: Zxid) -> [Output; 2] {
        let plan = SyncPlan { start, after, upto: zxid(2, 5) };
        let message = Message::NewLeader(Epoch(2));
        [Output::Sync { to: OBSERVER, plan }, Output::Send { to: OBSERVER, message }]
    }

    #[test]
    fn an_observer_gets_in_step_and_is_told_what_is_delivered() {
        let mut zab = follower();
        let outputs = met(&mut zab, true, zxid(2, 3), Located::Here);
        assert_eq!(outputs, synced(SyncStart::Diff, zxid(2, 3)));
        let outputs = step(&mut zab, heard(OBSERVER, Message::Ack(zxid(2, 0))));
        assert_eq!(outputs, [Output::Send { to: OBSERVER, message: Message::UpToDate }]);
        let txn = Txn { zxid: zxid(2, 6), body: "x".into() };
        step(&mut zab, heard(LEADER, Message::Proposal(txn.clone())));
        assert_eq!(step(&mut zab, heard(LEADER, Message::Commit(txn.zxid))), []);
        let outputs = step(&mut zab, Input::Flushed(txn.zxid));
        let message = Message::Inform(txn.clone());
        let ack = Output::Send { to: LEADER, message: Message::Ack(txn.zxid) };
        let inform = Output::Send { to: OBSERVER, message };
        assert_eq!(outputs, [ack, inform, Output::Deliver(txn)]);
    }

    #[test]
    fn one_that_has_more_is_sent_away_whether_it_is_kin_or_not() {
        for kin in [true, false] {
            let why = PeerMisbehaved::AheadOfLeader(zxid(2, 6));
            let outputs = met(&mut follower(), kin, zxid(2, 6), Located::After(zxid(2, 5)));
            assert_eq!(outputs, [Output::HangUp { peer: OBSERVER, why }]);
        }
    }

    #[test]
    fn what_an_epoch_before_left_is_cut_or_for_apaches_replaced() {
        let found = Located::After(zxid(1, 8));
        let outputs = met(&mut follower(), true, zxid(1, 9), found);
        assert_eq!(outputs, synced(SyncStart::Trunc(zxid(1, 8)), zxid(1, 8)));
        let outputs = met(&mut follower(), false, zxid(1, 9), found);
        assert_eq!(outputs, synced(SyncStart::Snap(zxid(2, 5)), zxid(2, 5)));
    }

    #[test]
    fn who_follows_nobody_feeds_nobody() {
        let mut zab = follower();
        step(&mut zab, Input::LinkLost(LEADER));
        let introduction = Introduction { accepted: Epoch(2), observer: true, kin: true };
        let outputs = step(&mut zab, Input::Observer { from: OBSERVER, introduction });
        let why = PeerMisbehaved::NotLeading;
        assert_eq!(outputs, [Output::HangUp { peer: OBSERVER, why }]);
    }
}
