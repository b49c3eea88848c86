//! Synchronization, a learner's side: the leader's history becomes this peer's.
//!
//! Lives here: the order of 11.1 of the known defects. What is committed is logged and applied first, then
//! `currentEpoch` is saved, then NEWLEADER is acknowledged, and only then is anything else logged. Paper:
//! phase 2; `Learner.syncWithLeader`; ZOOKEEPER-3023, 3911, 4394, 4643, 4646, 4685, 4785.
//!
//! Decided: committed history is logged as it comes, not held until NEWLEADER, so that any distance takes
//! bounded memory. A crash in between leaves a log whose last epoch may be above `currentEpoch`; a peer that
//! votes with the lower of the two claims less than it has, which is safe.

use std::collections::VecDeque;

use types::{Epoch, Instant, PeerId, Zxid};

use crate::drain::{Drain, Unfinished};
use crate::following::Follower;
use crate::mutation::Mutation;
use crate::pending::Pending;
use crate::zab::{Core, Phase};
use crate::{Input, Message, Output, PeerMisbehaved, SavedEpoch};

/// A learner that has promised the epoch.
#[derive(Debug)]
pub(crate) struct CatchingUp {
    leader: PeerId,
    epoch: Epoch,
    kin: bool,
    /// It came as an observer.
    observer: bool,
    start: Start,
    pending: Pending,
    /// The end of the history that this peer shared with the leader.
    began: Zxid,
    settling: Settling,
    deadline: Instant,
}

/// What comes before the first transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    /// DIFF, TRUNC or SNAP has not come.
    Awaited,
    /// It has, and the disk is at work.
    Unfinished(Unfinished),
    /// The history begins where the leader's transactions go on.
    Done,
}

/// From NEWLEADER to its acknowledgement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Settling {
    /// NEWLEADER has not come.
    Awaited,
    /// It came; all up to here must be in the log and in the tree first.
    History(Zxid),
    /// `currentEpoch` is on its way to disk.
    Saving,
    /// The defect ZOOKEEPER-4643: the epoch is saved, and the history is not.
    Late(Zxid),
    /// Acknowledged.
    Done,
}

impl CatchingUp {
    pub(crate) fn begin(
        core: &Core,
        leader: PeerId,
        epoch: Epoch,
        kin: bool,
        deadline: Instant,
    ) -> Phase {
        Phase::CatchingUp(Self {
            leader,
            epoch,
            kin,
            observer: core.observer,
            start: Start::Awaited,
            pending: Pending::after(Zxid::default(), !core.observer),
            began: Zxid::ZERO,
            settling: Settling::Awaited,
            deadline,
        })
    }

    pub(crate) fn alarm(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from, message } if from == self.leader => {
                // `initLimit` bounds the silence, not the length of what is missing, as Apache's read timeout does.
                self.deadline = core.now + core.timing.init_limit;
                if message == Message::UpToDate && self.settling == Settling::Done {
                    return self.up_to_date(core);
                }
                if let Err(why) = self.on_message(core, message) {
                    core.outbox.push(Output::HangUp { peer: self.leader, why });
                    return self.give_up(core);
                }
            }
            Input::Truncated(zxid) if self.start == truncating(zxid) => self.started(core, zxid),
            Input::Installed(zxid) if self.start == installing(zxid) => self.started(core, zxid),
            Input::EpochSaved(SavedEpoch::Current(epoch))
                if epoch == self.epoch && self.settling == Settling::Saving =>
            {
                if core.has(Mutation::Zk4643) {
                    self.settling = Settling::Late(self.pending.committed());
                } else {
                    self.settled(core);
                }
            }
            Input::AppendRefused { first } => {
                self.pending.refuse(first);
                core.stand_aside();
                return self.give_up(core);
            }
            Input::EpochRefused => {
                core.stand_aside();
                return self.give_up(core);
            }
            Input::TruncateRefused(zxid) if self.start == truncating(zxid) => {
                core.wants_state = true;
                // An election would only choose the same leader, whose second epoch cannot be promised without the whole history.
                return Drain::begin(core, VecDeque::new(), None, Some(self.leader));
            }
            Input::InstallRefused(zxid) if self.start == installing(zxid) => {
                self.start = Start::Awaited;
                core.stand_aside();
                return self.give_up(core);
            }
            Input::LinkLost(peer) if peer == self.leader => return self.give_up(core),
            Input::Tick if core.now >= self.deadline => return self.give_up(core),
            _ => {}
        }
        self.go_on(core);
        Phase::CatchingUp(self)
    }

    fn on_message(&mut self, core: &mut Core, message: Message) -> Result<(), PeerMisbehaved> {
        let last = core.durable.last_logged;
        match message {
            Message::Diff(_) if self.start == Start::Awaited => {
                self.start = Start::Done;
                self.begin_after(last);
            }
            // Nothing is behind it: the tree stays as it is.
            Message::Trunc(zxid) if self.start == Start::Awaited && zxid == last => {
                self.start = Start::Done;
                self.begin_after(last);
            }
            Message::Trunc(zxid) if self.start == Start::Awaited && zxid < last => {
                self.begin_after(zxid);
                self.start = truncating(zxid);
                core.withdraw_after(zxid);
                core.outbox.push(Output::Truncate(zxid));
            }
            Message::Snap(zxid) if self.start == Start::Awaited => {
                self.begin_after(zxid);
                self.start = installing(zxid);
                core.outbox.push(Output::Install(zxid));
            }
            // The next that Apache's leader takes from a learner is the acknowledgement of NEWLEADER; anything else ends it.
            Message::Ping(zxid) if self.kin || self.settling == Settling::Done => {
                core.send(self.leader, Message::Ping(zxid));
            }
            Message::Ping(_) => {}
            _ if self.start == Start::Awaited => return Err(PeerMisbehaved::OutOfTurn),
            Message::Proposal(txn) => self.pending.propose(txn)?,
            Message::Commit(zxid)
                if core.has(Mutation::Zk4394)
                    && self.settling != Settling::Awaited
                    && !self.pending.is_delivered(zxid) =>
            {
                return Err(PeerMisbehaved::CommitOfUnknown(zxid));
            }
            Message::Commit(zxid) | Message::CommitAndActivate { zxid, .. } => {
                self.pending.commit(zxid)?;
            }
            Message::Inform(txn) | Message::InformAndActivate { txn, .. } => {
                let zxid = txn.zxid;
                self.pending.propose(txn)?;
                self.pending.commit(zxid)?;
            }
            Message::NewLeader(epoch)
                if epoch == self.epoch && self.settling == Settling::Awaited =>
            {
                self.settling = Settling::History(self.pending.committed());
                if core.has(Mutation::Zk3911)
                    || core.has(Mutation::Zk4643)
                    || core.has(Mutation::Zk4646)
                {
                    self.hasten(core);
                }
            }
            _ => return Err(PeerMisbehaved::OutOfTurn),
        }
        Ok(())
    }

    fn begin_after(&mut self, last: Zxid) {
        self.began = last;
        self.pending = Pending::after(last, !self.observer);
    }

    fn started(&mut self, core: &mut Core, zxid: Zxid) {
        core.durable.last_logged = zxid;
        core.wants_state = false;
        self.start = Start::Done;
    }

    /// Does what the disk and the leader allow by now.
    fn go_on(&mut self, core: &mut Core) {
        if self.start != Start::Done {
            return;
        }
        if self.settling == Settling::Done || core.has(Mutation::Zk4685) {
            self.pending.append_all(core);
        } else if core.has(Mutation::Zk4785) {
            self.pending.pretend_committed(core);
        } else if !self.holds_back(core) {
            self.pending.append_committed(core);
        }
        if core.has(Mutation::Zk4685) {
            self.pending.ack(core, self.leader, self.kin);
        }
        if !core.has(Mutation::Zk3023) {
            self.pending.deliver(core);
        }
        if core.has(Mutation::Zk3023)
            && let Settling::History(upto) = self.settling
            && core.durable.last_logged >= upto
        {
            self.settling = Settling::Saving;
            core.outbox.push(Output::SaveEpoch(SavedEpoch::Current(self.epoch)));
        }
        if let Settling::History(upto) = self.settling
            && self.pending.is_delivered(upto)
        {
            self.settling = Settling::Saving;
            core.outbox.push(Output::SaveEpoch(SavedEpoch::Current(self.epoch)));
        }
        if let Settling::Late(upto) = self.settling
            && self.pending.is_delivered(upto)
        {
            self.settled(core);
        }
    }

    /// Defects of the order in which history, epoch and acknowledgement follow each other.
    fn hasten(&mut self, core: &mut Core) {
        core.outbox.push(Output::SaveEpoch(SavedEpoch::Current(self.epoch)));
        if core.has(Mutation::Zk4643) {
            self.settling = Settling::Saving;
            return;
        }
        if core.has(Mutation::Zk4646) {
            self.pending.append_committed(core);
        }
        self.settled(core);
    }

    /// Defects that keep the history in memory for too long.
    fn holds_back(&self, core: &Core) -> bool {
        core.has(Mutation::Zk3911)
            || core.has(Mutation::Zk4643) && self.settling == Settling::Saving
            || core.has(Mutation::Zk4643) && self.settling == Settling::Awaited
    }

    fn settled(&mut self, core: &mut Core) {
        if core.has(Mutation::Zk4785) {
            self.pending.write_pretended(core);
        }
        self.settling = Settling::Done;
        core.send(self.leader, Message::Ack(Zxid::new(self.epoch, 0)));
        // What was logged so far came as history; the rest is acknowledged from here on.
        self.pending.begin_acks();
    }

    fn up_to_date(self, core: &mut Core) -> Phase {
        if !self.kin {
            // Apache's leader ignores it and Apache's follower sends it.
            core.send(self.leader, Message::Ack(Zxid::new(self.epoch, 0)));
        }
        core.caught_up = (self.began, self.pending.delivered(core));
        core.activate_history(core.caught_up.1);
        if core.observer != self.observer {
            // The configuration makes it what it did not come as: it comes again.
            return Drain::begin(core, self.pending.into_appended(), None, Some(self.leader));
        }
        Follower::begin(core, self.leader, self.epoch, self.kin, self.pending)
    }

    fn give_up(self, core: &mut Core) -> Phase {
        let unfinished = match self.start {
            Start::Unfinished(unfinished) => Some(unfinished),
            Start::Awaited | Start::Done => None,
        };
        Drain::begin(core, self.pending.into_appended(), unfinished, None)
    }
}

fn truncating(zxid: Zxid) -> Start {
    Start::Unfinished(Unfinished::Truncating(zxid))
}

fn installing(zxid: Zxid) -> Start {
    Start::Unfinished(Unfinished::Installing(zxid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durable, Settings, Voters, Zab};

    /// What a learner answers to pings before and after it acknowledged NEWLEADER.
    fn answers(kin: bool) -> [bool; 2] {
        let [me, leader] = [PeerId(1), PeerId(2)];
        let voters = Voters::majority([me, leader]);
        let durable =
            Durable { accepted: Epoch(1), current: Epoch(0), last_logged: Zxid::default() };
        let mut zab = Zab::new(Settings { voters, ..Settings::alone(me) }, durable);
        let mut phase = CatchingUp::begin(&zab.core, leader, Epoch(1), kin, Instant::from_nanos(1));
        if let Phase::CatchingUp(catching_up) = &mut phase {
            catching_up.start = Start::Done;
        }
        zab.set_phase(phase);
        let mut step = |input| zab.step(Instant::ZERO, input).collect::<Vec<_>>();
        let ping = Message::Ping(Zxid::default());
        let pong = [Output::Send { to: leader, message: ping.clone() }];
        let heard = |message: &Message| Input::Received { from: leader, message: message.clone() };
        let before = step(heard(&ping)) == pong;
        step(heard(&Message::NewLeader(Epoch(1))));
        let acknowledged = step(Input::EpochSaved(SavedEpoch::Current(Epoch(1))));
        let ack = Message::Ack(Zxid::new(Epoch(1), 0));
        assert_eq!(acknowledged, [Output::Send { to: leader, message: ack }]);
        [before, step(heard(&ping)) == pong]
    }

    #[test]
    fn apaches_leader_hears_nothing_before_the_acknowledgement() {
        assert_eq!(answers(false), [false, true]);
        assert_eq!(answers(true), [true, true]);
    }
}
