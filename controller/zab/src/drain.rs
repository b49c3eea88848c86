//! From a role that has ended to the next election.
//!
//! Lives here: that what was given to the log is in the log and in the tree before this peer votes with it,
//! and that a cut or a new state that was begun is finished; and that a peer whose disk is full stands aside for a while,
//! so that one with room is elected. Source: ZOOKEEPER-2845, 4541, 4712, 5094.

use std::collections::VecDeque;

use types::{PeerId, Zxid};

use crate::election::Election;
use crate::learners::Learners;
use crate::mutation::Mutation;
use crate::zab::{Core, Phase};
use crate::{Input, Output, Txn};

/// Waiting for the disk.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Given to the log and not delivered.
    appended: VecDeque<Txn>,
    unfinished: Option<Unfinished>,
    /// Who leads next, where that is settled.
    successor: Option<PeerId>,
}

/// A change of the history that was asked for and is not done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unfinished {
    Truncating(Zxid),
    Installing(Zxid),
}

impl Drain {
    /// Ends the role and begins an election as soon as the disk is done.
    pub(crate) fn begin(
        core: &mut Core,
        appended: VecDeque<Txn>,
        unfinished: Option<Unfinished>,
        successor: Option<PeerId>,
    ) -> Phase {
        core.outbox.push(Output::Resigned { successor });
        Self { appended, unfinished, successor }.maybe_end(core)
    }

    /// The same where a reconfiguration has named the next leader. Clients may only wait for that one if what they asked for
    /// is either delivered or not ordered: what was proposed behind the reconfiguration may survive or not. `is_last`: the
    /// leader before proposes nothing more.
    pub(crate) fn make_way(
        core: &mut Core,
        appended: VecDeque<Txn>,
        leader: PeerId,
        is_last: bool,
    ) -> Phase {
        let is_settled = is_last && appended.is_empty();
        core.outbox.push(Output::Resigned { successor: is_settled.then_some(leader) });
        Self { appended, unfinished: None, successor: Some(leader) }.maybe_end(core)
    }

    /// The same for a leader: its learners are sent away first.
    pub(crate) fn dismiss(
        core: &mut Core,
        mut learners: Learners,
        proposals: VecDeque<Txn>,
    ) -> Phase {
        learners.hang_up_all(core);
        Self::begin(core, proposals, None, None)
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::AppendRefused { first } => self.appended.retain(|txn| txn.zxid < first),
            Input::Truncated(zxid) if self.unfinished == Some(Unfinished::Truncating(zxid)) => {
                core.durable.last_logged = zxid;
                self.unfinished = None;
            }
            Input::Installed(zxid) if self.unfinished == Some(Unfinished::Installing(zxid)) => {
                core.durable.last_logged = zxid;
                self.unfinished = None;
            }
            Input::TruncateRefused(zxid)
                if self.unfinished == Some(Unfinished::Truncating(zxid)) =>
            {
                self.unfinished = None;
            }
            Input::InstallRefused(zxid)
                if self.unfinished == Some(Unfinished::Installing(zxid)) =>
            {
                self.unfinished = None;
                core.stand_aside();
            }
            _ => {}
        }
        self.maybe_end(core)
    }

    fn maybe_end(mut self, core: &mut Core) -> Phase {
        if core.has(Mutation::Zk4712) {
            self.appended.retain(|txn| txn.zxid <= core.durable.last_logged);
        }
        let last = self.appended.back().map_or_else(Zxid::default, |txn| txn.zxid);
        let aside = core.aside_until.is_some_and(|until| core.now < until);
        if self.unfinished.is_some() || last > core.durable.last_logged || aside {
            return Phase::Drain(self);
        }
        core.aside_until = None;
        // A learner that was not in step yet foresaw what it never logged.
        core.withdraw_after(core.durable.last_logged);
        if core.has(Mutation::Zk2845) {
            self.appended.clear();
        }
        core.outbox.extend(self.appended.into_iter().map(Output::Absorb));
        match self.successor {
            Some(leader) => Election::skip(core, leader),
            None => Election::begin(core),
        }
    }
}
