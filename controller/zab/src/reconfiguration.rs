//! One configuration after another: proposed, committed by quorums of both, in force.
//!
//! Lives here: when that is, and who leads then. Source: Apache's `Leader.tryToCommit`, `getDesignatedLeader`,
//! `QuorumPeer.processReconfig`. Decided here:
//! 1. A learner that gets in step puts a configuration in force at UPTODATE, if its transaction is in the history by then. Apache's
//!    takes NEWLEADER's, which may still be a proposal.
//! 2. Whoever learns of a committed configuration from a notification takes it only while it looks for a leader.
//! 3. A leader that is elected with a configuration that leaves it out brings that into force, and leads until a quorum of the
//!    others is in step.
//! 4. Who helps the new voters alone to decide has their configuration in force: a follower holds back acknowledgements of what is
//!    behind a reconfiguration until that is, and until UPTODATE; drivers send away a learner with an earlier one, which a vote tells
//!    it. So a leader among the old voters that has promises of a quorum of both, and from nobody with the later one in force (drivers
//!    send those away too), has all that is committed; and a voter of the later one alone that has more is cut, where a voter of
//!    the present one would have to lead. Else nobody could while the longest log is with one that no quorum knows for a voter.
//!    Apache's asks the old voters alone for promises and cuts the others likewise, and commits what was proposed while a reconfiguration was
//!    under way with quorums of both: which never comes once the old voters are stopped.

use std::sync::Arc;

use types::{PeerId, Zxid};

use crate::broadcast::Leader;
use crate::drain::Drain;
use crate::learners::Learners;
use crate::mutation::Mutation;
use crate::zab::{Core, Phase};
use crate::{Config, Message, Output, Txn};

impl Core {
    /// A later configuration was seen.
    pub(crate) fn foresee(&mut self, next: &Arc<Config>) {
        self.voters.foresee(next);
    }

    /// The transactions after `last` are not in this peer's log: a configuration that one of them was to bring is not this peer's
    /// to tell of, nor to put in force.
    pub(crate) fn withdraw_after(&mut self, last: Zxid) {
        if self.voters.withdraw_after(last) {
            self.outbox.push(Output::Unforeseen);
        }
    }

    /// A later configuration is committed.
    pub(crate) fn activate(&mut self, config: &Arc<Config>) {
        if self.voters.activate(config) {
            // One that it does not name follows without a vote, so that it can be given one.
            self.observer = config.observers.contains(&self.me);
            self.outbox.push(Output::Activate(Arc::clone(config)));
        }
    }

    /// Delivers a transaction, and before it the configuration that it brings.
    pub(crate) fn deliver(&mut self, txn: Txn) {
        if let Some(next) = self.voters.next().filter(|next| next.version == txn.zxid).cloned() {
            self.activate(&next);
        }
        self.outbox.push(Output::Deliver(txn));
    }

    /// This peer is in step with a history that ends at `last`, all of it committed.
    pub(crate) fn activate_history(&mut self, last: Zxid) {
        let known = |next: &&Arc<Config>| next.version <= last || next.version.counter() == 0;
        if let Some(next) = self.voters.next().filter(known).cloned() {
            self.activate(&next);
        }
    }

    /// The leader of a new epoch gives the first configuration a version, below that of its first transaction; it is told with
    /// NEWLEADER and in force once a quorum has taken the history over.
    pub(crate) fn number_first(&mut self, version: Zxid) {
        let first = self.voters.config().filter(|config| config.version == Zxid::ZERO);
        if let Some(first) = first.filter(|_| self.voters.next().is_none()) {
            let first = Arc::new(first.at(version));
            self.voters.foresee(&first);
            self.outbox.push(Output::Foreseen(first));
        }
    }
}

impl Leader {
    /// Whether a reconfiguration to `next` can be proposed now. Observers do not acknowledge it, so they do not count; nor do
    /// followers that the one before has just made observers, and that have not come again as such.
    pub(crate) fn may_reconfigure(&self, core: &Core, next: &Config) -> bool {
        let Some(now) = core.voters.config() else { return false };
        let follows = |peer| self.learners.is_live_follower(peer) && !now.observers.contains(&peer);
        core.voters.next().is_none()
            && self.next_zxid().is_some()
            && next.voters.decide(|peer| peer == core.me || follows(peer))
    }

    /// How far a transaction may be committed when the voters in force have logged up to `old`: a reconfiguration, and all
    /// behind it, needs a quorum of the voters that it brings too.
    pub(crate) fn bounded(core: &Core, old: Zxid, reached: impl Fn(PeerId) -> Zxid) -> Zxid {
        if core.has(Mutation::OldVotersAlone) {
            return old;
        }
        let Some(next) = core.voters.next().filter(|next| next.version <= old) else { return old };
        let new = next.voters.decided(reached);
        if new >= next.version { new.min(old) } else { before(next.version) }
    }

    /// Commits a reconfiguration. `Err`: another peer leads from now on.
    pub(crate) fn commit_reconfig(
        &mut self,
        core: &mut Core,
        txn: Txn,
        next: &Config,
    ) -> Result<(), PeerId> {
        let leader = self.designated(core, next);
        self.learners.activate(core, &txn, leader);
        core.deliver(txn);
        if leader == core.me { Ok(()) } else { Err(leader) }
    }

    /// This leader, if it stays a voter at the same address; else the voter that has logged most.
    fn designated(&self, core: &Core, next: &Config) -> PeerId {
        let now = core.voters.config().and_then(|config| config.addresses.get(&core.me));
        if next.voters.may_lead(core.me) && next.addresses.get(&core.me) == now {
            return core.me;
        }
        let voters = next
            .voters
            .iter()
            .filter(|peer| next.voters.may_lead(*peer) && self.learners.is_live(*peer));
        voters.max_by_key(|peer| (self.learners.flushed(*peer), *peer)).unwrap_or(core.me)
    }

    /// Whether this leader is no member any more, and those that are can do without it.
    pub(crate) fn is_ousted(&self, core: &Core) -> bool {
        let voters = core.voters.voters();
        !voters.may_lead(core.me)
            && core.voters.config().is_some()
            && core.voters.next().is_none()
            && voters.decide(|peer| self.learners.is_live_follower(peer))
    }

    /// The reconfiguration named another leader. What was proposed behind it is that one's to commit.
    pub(crate) fn give_way(self, core: &mut Core, leader: PeerId) -> Phase {
        Drain::make_way(core, self.into_proposals(), leader, true)
    }
}

impl Learners {
    /// Commits a reconfiguration at all learners.
    pub(crate) fn activate(&self, core: &mut Core, txn: &Txn, leader: PeerId) {
        for (peer, observer) in self.broadcast_to() {
            let message = if observer {
                Message::InformAndActivate { txn: txn.clone(), leader }
            } else {
                Message::CommitAndActivate { zxid: txn.zxid, leader }
            };
            core.send(peer, message);
        }
    }
}

/// The place before a transaction.
pub(crate) fn before(zxid: Zxid) -> Zxid {
    Zxid::new(zxid.epoch(), zxid.counter().saturating_sub(1))
}
