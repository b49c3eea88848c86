//! Broadcast: the leader once a quorum is in sync with it.
//!
//! Lives here: the order of proposals and commits. Must not: sessions, what a transaction means.
//! Start at [`Leader::on`]. Paper: phase 3.

use std::collections::{BTreeMap, VecDeque};

use types::{Epoch, PeerId, Zxid};

use crate::election::Election;
use crate::zab::{Core, Phase};
use crate::{Input, Output, Txn};

/// The leader in broadcast.
#[derive(Debug)]
pub(crate) struct Leader {
    epoch: Epoch,
    /// The last zxid proposed; the epoch's counter 0 before the first.
    last: Zxid,
    /// Proposed and not delivered, in zxid order without a gap.
    proposals: VecDeque<Txn>,
    /// How far each peer's log is on stable storage.
    flushed: BTreeMap<PeerId, Zxid>,
}

impl Leader {
    pub(crate) fn begin(core: &mut Core, epoch: Epoch) -> Phase {
        core.outbox.push(Output::Leading(epoch));
        Phase::Leading(Self {
            epoch,
            last: Zxid::new(epoch, 0),
            proposals: VecDeque::new(),
            flushed: BTreeMap::new(),
        })
    }

    /// The counter's last value is never used: Apache ends an epoch there, and so do its followers.
    pub(crate) fn next_zxid(&self) -> Option<Zxid> {
        self.last.next().filter(|next| next.counter() != u32::MAX)
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from: _, message } => match message {},
            Input::Propose(txn) if Some(txn.zxid) == self.next_zxid() => {
                self.last = txn.zxid;
                self.proposals.push_back(txn.clone());
                core.outbox.push(Output::Append(txn));
            }
            Input::Flushed(zxid) => {
                let flushed = self.flushed.entry(core.me).or_default();
                *flushed = zxid.max(*flushed);
                self.maybe_commit(core);
            }
            Input::AppendRefused { first } => return self.on_append_refused(core, first),
            _ => {}
        }
        if self.next_zxid().is_none() && self.proposals.is_empty() {
            core.outbox.push(Output::Resigned);
            return Election::begin(core);
        }
        Phase::Leading(self)
    }

    /// Delivers, in order, all that a quorum has on stable storage.
    fn maybe_commit(&mut self, core: &mut Core) {
        while let Some(oldest) = self.proposals.front() {
            let holders = self.flushed.iter().filter(|(_, flushed)| **flushed >= oldest.zxid);
            if !core.voters.is_quorum(holders.map(|(peer, _)| *peer)) {
                break;
            }
            core.outbox.extend(self.proposals.pop_front().map(Output::Deliver));
        }
    }

    /// A lone voter takes the unwritten proposals back, since nobody can have seen them. With other voters
    /// they may live on elsewhere, so the leader gives way to one that has room.
    fn on_append_refused(mut self, core: &mut Core, first: Zxid) -> Phase {
        let oldest = self.proposals.front().map(|txn| txn.zxid);
        if oldest.is_none_or(|oldest| first < oldest) || first > self.last {
            return Phase::Leading(self);
        }
        if !core.voters.is_only(core.me) {
            core.outbox.push(Output::Resigned);
            return Election::begin(core);
        }
        self.proposals.retain(|txn| txn.zxid < first);
        // `first` is in this epoch and not its counter 0, so the counter before it is too.
        self.last = Zxid::new(self.epoch, first.counter() - 1);
        core.outbox.push(Output::Withdrawn { first });
        Phase::Leading(self)
    }
}

#[cfg(test)]
mod tests {
    use types::Instant;

    use super::*;
    use crate::{Durable, SavedEpoch, Voters, Zab};

    #[test]
    fn a_spent_counter_ends_the_epoch_once_all_is_delivered() {
        let me = PeerId(1);
        let durable =
            Durable { accepted: Epoch(6), current: Epoch(6), last_logged: Zxid::default() };
        let mut zab = Zab::new(me, Voters::majority([me]), durable);
        let last = Zxid::new(Epoch(6), u32::MAX - 1);
        zab.set_phase(Phase::Leading(Leader {
            epoch: Epoch(6),
            last: Zxid::new(Epoch(6), u32::MAX - 2),
            proposals: VecDeque::new(),
            flushed: BTreeMap::new(),
        }));
        let mut step = |input| zab.step(Instant::ZERO, input).collect::<Vec<_>>();
        let txn = Txn { zxid: last, body: "x".into() };
        assert_eq!(step(Input::Propose(txn.clone())), [Output::Append(txn.clone())]);
        let over = Txn { zxid: Zxid::new(Epoch(6), u32::MAX), body: "y".into() };
        assert_eq!(step(Input::Propose(over)), []);
        let promise = Output::SaveEpoch(SavedEpoch::Accepted(Epoch(7)));
        assert_eq!(step(Input::Flushed(last)), [Output::Deliver(txn), Output::Resigned, promise]);
    }
}
