//! What a learner has received and not yet applied.
//!
//! Lives here: which of it may be appended, acknowledged and delivered. Must not: who leads, and whether a
//! synchronization is over. Source: `Learner.java`, `FollowerZooKeeperServer.java`.

use std::collections::VecDeque;

use types::{PeerId, Zxid};

use crate::mutation::Mutation;
use crate::zab::Core;
use crate::{Message, Output, PeerMisbehaved, Txn};

/// Transactions on their way through a learner.
///
/// Invariant: `queue` is in zxid order without a gap, all of it after what was delivered.
#[derive(Debug)]
pub(crate) struct Pending {
    queue: VecDeque<Txn>,
    /// How many of the queue, from its front, were given to the log.
    appended: usize,
    /// The last one received, or the end of the history before them.
    last: Zxid,
    /// The leader has committed all up to here.
    committed: Zxid,
    /// Delivered up to here.
    delivered: Zxid,
    /// Given to the log and not acknowledged; empty where nothing is to be.
    unacked: VecDeque<Zxid>,
    /// Whether proposals are to be acknowledged.
    acks: bool,
    /// Never anything, unless a defect is planted.
    pretended: Vec<Txn>,
}

impl Pending {
    /// Nothing is on its way after `last`, the end of this peer's history. An observer acknowledges nothing.
    pub(crate) fn after(last: Zxid, acks: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            appended: 0,
            last,
            committed: Zxid::default(),
            delivered: last,
            unacked: VecDeque::new(),
            acks,
            pretended: Vec::new(),
        }
    }

    /// Takes a proposal. One that is here already is skipped: the leader sends again what it is not sure of.
    pub(crate) fn propose(&mut self, txn: Txn) -> Result<(), PeerMisbehaved> {
        if txn.zxid <= self.last {
            return Ok(());
        }
        if !follows(self.last, txn.zxid) {
            return Err(PeerMisbehaved::Gap { last: self.last, got: txn.zxid });
        }
        if self.queue.len() >= MAX_PENDING {
            return Err(PeerMisbehaved::TooMuch);
        }
        self.last = txn.zxid;
        self.queue.push_back(txn);
        Ok(())
    }

    /// Takes a commit; it covers all before it.
    pub(crate) fn commit(&mut self, zxid: Zxid) -> Result<(), PeerMisbehaved> {
        if zxid > self.last {
            return Err(PeerMisbehaved::CommitOfUnknown(zxid));
        }
        self.committed = self.committed.max(zxid);
        Ok(())
    }

    /// The last zxid that is committed and was received.
    pub(crate) fn committed(&self) -> Zxid {
        self.committed
    }

    /// Gives the log what is committed, in order, and no more.
    pub(crate) fn append_committed(&mut self, core: &mut Core) {
        self.append_upto(core, self.committed);
    }

    /// The defect ZOOKEEPER-4785: what is committed counts as logged.
    pub(crate) fn pretend_committed(&mut self, core: &mut Core) {
        while self.queue.get(self.appended).is_some_and(|txn| txn.zxid <= self.committed) {
            let txn = &self.queue[self.appended];
            core.durable.last_logged = core.durable.last_logged.max(txn.zxid);
            self.pretended.push(txn.clone());
            self.appended += 1;
        }
    }

    /// The same: now it goes to the log.
    pub(crate) fn write_pretended(&mut self, core: &mut Core) {
        core.outbox.extend(self.pretended.drain(..).map(Output::Append));
    }

    /// Gives the log all that is here.
    pub(crate) fn append_all(&mut self, core: &mut Core) {
        self.append_upto(core, self.last);
    }

    fn append_upto(&mut self, core: &mut Core, upto: Zxid) {
        for txn in self.queue.range(self.appended..).take_while(|txn| txn.zxid <= upto) {
            core.outbox.push(Output::Append(txn.clone()));
            self.appended += 1;
            if self.acks {
                self.unacked.push_back(txn.zxid);
            }
        }
    }

    /// Delivers what is committed and in this peer's own log, as history.
    pub(crate) fn deliver(&mut self, core: &mut Core) {
        while let Some(txn) = self.take_next(core) {
            core.outbox.push(Output::Deliver(txn));
        }
    }

    /// The next one that is committed and in this peer's own log, which counts as delivered from here on.
    pub(crate) fn take_next(&mut self, core: &Core) -> Option<Txn> {
        let upto = self.committed.min(core.durable.last_logged);
        self.queue.front().filter(|txn| self.appended > 0 && txn.zxid <= upto)?;
        let txn = self.queue.pop_front()?;
        self.appended -= 1;
        self.delivered = txn.zxid;
        Some(txn)
    }

    /// The last one that was delivered.
    pub(crate) fn delivered(&self, core: &Core) -> Zxid {
        // Before the first of an epoch comes the last of any epoch.
        if self.queue.is_empty() { core.durable.last_logged } else { self.delivered }
    }

    /// Whether nothing up to `upto` waits to be delivered.
    pub(crate) fn is_delivered(&self, upto: Zxid) -> bool {
        self.queue.front().is_none_or(|txn| txn.zxid > upto)
    }

    /// What is here by now counts as acknowledged: the leader sent it as history.
    pub(crate) fn begin_acks(&mut self) {
        self.unacked.clear();
    }

    /// Acknowledges what is in the log by now: to kin all at once, to Apache's leader one by one. What stands behind a
    /// reconfiguration waits until that is in force here (`reconfiguration`).
    pub(crate) fn ack(&mut self, core: &mut Core, leader: PeerId, kin: bool) {
        let logged = core.durable.last_logged;
        let next = core.voters.next().filter(|_| !core.has(Mutation::AckedBeforeInForce));
        let upto = next.map_or(logged, |next| logged.min(next.version));
        let fresh = self.unacked.partition_point(|zxid| *zxid <= upto);
        let send = |zxid| Output::Send { to: leader, message: Message::Ack(zxid) };
        let mut fresh = self.unacked.drain(..fresh);
        if kin {
            core.outbox.extend(fresh.next_back().map(send));
        } else {
            core.outbox.extend(fresh.map(send));
        }
    }

    /// The log refused this one and all after it.
    pub(crate) fn refuse(&mut self, first: Zxid) {
        let kept = self.queue.iter().take_while(|txn| txn.zxid < first).count();
        self.queue.truncate(kept);
        self.appended = self.appended.min(kept);
        self.unacked.retain(|zxid| *zxid < first);
    }

    /// Whether all that was received is committed, and given to the log.
    pub(crate) fn is_committed(&self) -> bool {
        self.appended == self.queue.len()
            && self.queue.back().is_none_or(|txn| txn.zxid <= self.committed)
    }

    /// What was given to the log and not delivered: it is part of this peer's history.
    pub(crate) fn into_appended(mut self) -> VecDeque<Txn> {
        self.queue.truncate(self.appended);
        self.queue
    }
}

/// Whether `next` may stand behind `last` in a log: the next one of its epoch, or the first of a later one.
pub(crate) fn follows(last: Zxid, next: Zxid) -> bool {
    last.next() == Some(next) || next.epoch() > last.epoch() && next.counter() == 1
}

/// Transactions that may wait for a commit or the disk; an honest leader's clients stop long before.
const MAX_PENDING: usize = 1_000_000;
