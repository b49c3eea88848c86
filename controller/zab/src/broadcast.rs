//! Broadcast: the leader once a quorum is in sync with it.
//!
//! Lives here: the order of proposals and commits. Must not: sessions, what a transaction means.
//! Start at [`Leader::on`]. Paper: phase 3.
//!
//! Decided: a proposal is committed when a quorum **and this peer itself** have it on stable storage, so that
//! nothing is ever applied that is not in the own log (ZOOKEEPER-4882). A voter that has promised a later
//! epoch to somebody could never join this one; the leader then resigns, and all meet in a later one.

use std::collections::VecDeque;

use types::{Epoch, Instant, PeerId, Zxid};

use crate::drain::Drain;
use crate::learners::{Broadcast, Learners, Pings};
use crate::mutation::Mutation;
use crate::zab::{Core, Phase};
use crate::{Input, Message, Output, Txn};

/// The leader in broadcast.
#[derive(Debug)]
pub(crate) struct Leader {
    epoch: Epoch,
    /// How many transactions it has at most.
    counters: u32,
    pub(crate) learners: Learners,
    /// The last zxid proposed; the epoch's counter 0 before the first.
    last: Zxid,
    /// The last one committed; the end of the history before the first.
    committed: Zxid,
    /// Proposed and not delivered, in zxid order without a gap.
    proposals: VecDeque<Txn>,
    /// How far this peer's own log is on stable storage.
    flushed: Zxid,
    /// No more is proposed: when all is committed another peer takes over.
    leaving: bool,
    /// The same, for one that is no member any more: it follows then.
    pub(crate) ousted: bool,
    pings: Pings,
}

impl Leader {
    pub(crate) fn begin(core: &mut Core, mut learners: Learners, epoch: Epoch) -> Phase {
        if let Some(vote) = &mut core.vote {
            vote.epoch = epoch;
        }
        core.activate_history(core.durable.last_logged);
        core.outbox.push(Output::Leading(epoch));
        learners.up_to_date(core);
        Phase::Leading(Self {
            epoch,
            counters: core.counters,
            learners,
            last: Zxid::new(epoch, 0),
            committed: core.durable.last_logged,
            proposals: VecDeque::new(),
            flushed: Zxid::default(),
            leaving: false,
            ousted: false,
            pings: Pings::later(core),
        })
    }

    /// `None` while the epoch takes no more.
    pub(crate) fn next_zxid(&self) -> Option<Zxid> {
        let goes = self.leaving || self.ousted;
        self.last.next().filter(|next| next.counter() <= self.counters && !goes)
    }

    /// A lone voter has nobody to watch over.
    pub(crate) fn alarm(&self, core: &Core) -> Option<Instant> {
        self.pings.alarm(&self.learners, !core.voters.is_only(core.me))
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from, message } => return self.on_message(core, from, message),
            Input::LinkLost(peer) => self.learners.remove(peer),
            Input::Reconfigure { txn, config }
                if Some(txn.zxid) == self.next_zxid()
                    && config.version == txn.zxid
                    && self.may_reconfigure(core, &config) =>
            {
                core.foresee(&config);
                self.propose(core, txn);
            }
            Input::Flushed(zxid) => {
                self.flushed = zxid.max(self.flushed);
                return self.maybe_commit(core);
            }
            Input::Located { learner, found } => {
                let (committed, proposals) = (self.committed, &self.proposals);
                let at = Broadcast { epoch: self.epoch, committed, proposals, leads: true };
                self.learners.sync(core, learner, found, &at);
            }
            Input::AppendRefused { first } => return self.on_append_refused(core, first),
            Input::HandOver => self.leaving = true,
            Input::Tick => return self.on_tick(core),
            _ => {}
        }
        self.maybe_leave(core)
    }

    fn on_message(mut self, core: &mut Core, from: PeerId, message: Message) -> Phase {
        match message {
            Message::Introduction(introduction) => {
                if introduction.accepted > self.epoch && core.voters.contains(from) {
                    return self.resign(core);
                }
                self.learners.introduce(core, from, introduction);
                self.learners.tell_epoch(core, self.epoch);
            }
            Message::AckEpoch { current, last } => {
                // What it has beyond the committed history is cut; only the promise counts here.
                let current = current.filter(|current| *current > self.epoch);
                if !self.learners.promise(core, from, current, last) {
                    return self.resign(core);
                }
                self.learners.locate(core, from);
            }
            Message::Ack(zxid) => {
                if zxid <= self.last
                    && self.learners.ack(core, from, (self.epoch, zxid), self.committed)
                {
                    self.learners.up_to_date(core);
                    return self.maybe_commit(core);
                }
            }
            _ => self.learners.hear(core, from),
        }
        self.maybe_leave(core)
    }

    /// [`Input::Propose`], in place: most inputs are proposals, and none ends the phase.
    pub(crate) fn on_propose(&mut self, core: &mut Core, txn: Txn) {
        if Some(txn.zxid) == self.next_zxid() {
            self.propose(core, txn);
        }
    }

    fn propose(&mut self, core: &mut Core, txn: Txn) {
        self.last = txn.zxid;
        core.outbox.push(Output::Append(txn.clone()));
        self.learners.propose(core, &txn);
        self.proposals.push_back(txn);
    }

    /// Delivers, in order, all that a quorum has on stable storage.
    fn maybe_commit(mut self, core: &mut Core) -> Phase {
        loop {
            let reached =
                |peer| if peer == core.me { self.flushed } else { self.learners.flushed(peer) };
            let voters = match core.voters.next() {
                Some(next) if core.has(Mutation::NewVotersAlone) => &next.voters,
                _ => core.voters.voters(),
            };
            let upto = voters.decided(reached).min(self.flushed);
            let upto = Self::bounded(core, upto, reached);
            let next = core.voters.next().filter(|next| next.version <= upto).cloned();
            let plain = |txn: &Txn| {
                txn.zxid <= upto && next.as_ref().is_none_or(|next| txn.zxid < next.version)
            };
            let count = self.proposals.partition_point(plain);
            if count > 0 {
                self.learners.commit(core, self.proposals.range(..count));
                self.committed = self.proposals[count - 1].zxid;
                core.outbox.extend(self.proposals.drain(..count).map(Output::Deliver));
            }
            let Some(next) = next else { return self.maybe_leave(core) };
            let first = self.proposals.front().map(|txn| txn.zxid);
            let first = first.filter(|zxid| *zxid == next.version);
            let Some(txn) = first.and_then(|_| self.proposals.pop_front()) else {
                return self.maybe_leave(core);
            };
            self.committed = txn.zxid;
            if let Err(leader) = self.commit_reconfig(core, txn, &next) {
                return self.give_way(core, leader);
            }
        }
    }

    pub(crate) fn into_proposals(self) -> VecDeque<Txn> {
        self.proposals
    }

    fn on_tick(mut self, core: &mut Core) -> Phase {
        if self.pings.send(core, &mut self.learners, self.last) && !self.is_followed(core) {
            return self.resign(core);
        }
        self.maybe_leave(core)
    }

    /// Whether something was heard of a quorum lately.
    fn is_followed(&self, core: &Core) -> bool {
        let recently = |peer| {
            let heard = self.learners.heard(peer);
            heard.is_some_and(|heard| core.now.saturating_since(heard) <= core.timing.sync_limit)
        };
        core.voters.decide(|peer| peer == core.me || recently(peer))
    }

    /// A spent counter, members without this one, or an end that was asked for, ends the epoch once all is delivered.
    fn maybe_leave(mut self, core: &mut Core) -> Phase {
        self.ousted |= self.is_ousted(core);
        if self.next_zxid().is_some() || !self.proposals.is_empty() {
            return Phase::Leading(self);
        }
        if core.voters.is_only(core.me) && !self.leaving {
            return self.resign(core);
        }
        let successor = self.learners.successor(core, self.last);
        if let Some(successor) = successor {
            self.learners.hand_over(core, successor);
        }
        if !self.leaving {
            return Drain::begin(core, VecDeque::new(), None, successor);
        }
        core.outbox.push(Output::Resigned { successor: None });
        core.outbox.push(Output::HandedOver(successor));
        Phase::Retired
    }

    /// Whether anybody may have a transaction that this leader has not written.
    fn was_sent(&self, core: &Core, zxid: Zxid) -> bool {
        if core.has(Mutation::SentIsTakenBack) {
            return self.learners.broadcast_to().any(|(_, observer)| !observer);
        }
        zxid <= self.learners.told()
    }

    fn resign(self, core: &mut Core) -> Phase {
        Drain::dismiss(core, self.learners, self.proposals)
    }

    /// A lone voter takes the unwritten proposals back, if nobody has seen them. With others that log them they may live on
    /// elsewhere, so the leader gives way to one that has room, and what it proposes next is of another epoch.
    fn on_append_refused(mut self, core: &mut Core, first: Zxid) -> Phase {
        let oldest = self.proposals.front().map(|txn| txn.zxid);
        if oldest.is_none_or(|oldest| first < oldest) || first > self.last {
            return Phase::Leading(self);
        }
        self.proposals.retain(|txn| txn.zxid < first);
        if !core.voters.is_only(core.me) || self.was_sent(core, first) {
            core.stand_aside();
            return self.resign(core);
        }
        // `first` is in this epoch and not its counter 0, so the counter before it is too.
        self.last = Zxid::new(self.epoch, first.counter() - 1);
        core.outbox.push(Output::Withdrawn { first });
        Phase::Leading(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durable, SavedEpoch, Settings, Zab};

    #[test]
    fn a_spent_counter_ends_the_epoch_once_all_is_delivered() {
        let durable =
            Durable { accepted: Epoch(6), current: Epoch(6), last_logged: Zxid::default() };
        let mut zab = Zab::new(Settings::alone(PeerId(1)), durable);
        let last = Zxid::new(Epoch(6), u32::MAX - 1);
        zab.set_phase(Phase::Leading(Leader {
            epoch: Epoch(6),
            counters: zab.core.counters,
            learners: Learners::default(),
            last: Zxid::new(Epoch(6), u32::MAX - 2),
            committed: Zxid::default(),
            proposals: VecDeque::new(),
            flushed: Zxid::default(),
            leaving: false,
            ousted: false,
            pings: Pings::due(&zab.core),
        }));
        let mut step = |input| zab.step(Instant::ZERO, input).collect::<Vec<_>>();
        let txn = Txn { zxid: last, body: "x".into() };
        assert_eq!(step(Input::Propose(txn.clone())), [Output::Append(txn.clone())]);
        let over = Txn { zxid: Zxid::new(Epoch(6), u32::MAX), body: "y".into() };
        assert_eq!(step(Input::Propose(over)), []);
        let promise = Output::SaveEpoch(SavedEpoch::Accepted(Epoch(7)));
        let resigned = Output::Resigned { successor: None };
        assert_eq!(step(Input::Flushed(last)), [Output::Deliver(txn), resigned, promise]);
    }
}
