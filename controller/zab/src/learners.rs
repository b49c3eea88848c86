//! What a leader knows of each learner, from its first packet to broadcast.
//!
//! Lives here: a learner's own way through the phases, which it may begin at any time. Must not: when a quorum
//! has come so far, which is each phase's own. Source: `LearnerHandler.java`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use types::{Epoch, Instant, PeerId, Zxid};

use crate::mutation::Mutation;
use crate::zab::Core;
use crate::{
    Introduction, Located, Message, Notification, Output, PeerMisbehaved, PeerState, SyncPlan,
    SyncStart, Timing, Txn,
};

/// The learners of a leader.
#[derive(Debug, Default)]
pub(crate) struct Learners {
    all: BTreeMap<PeerId, Learner>,
    /// Those that promised the epoch to this leader and to nobody before; it holds although they come again.
    fresh: BTreeSet<PeerId>,
    /// Voters that look for another leader, as far as is known.
    elsewhere: BTreeSet<PeerId>,
    /// Learners of Apache's that this leader told to cut their logs, and that have not come to its history since.
    cut: BTreeSet<PeerId>,
    /// The last transaction that was proposed to anybody, who may have it in a log and be away.
    told: Zxid,
}

#[derive(Debug)]
struct Learner {
    introduction: Introduction,
    stage: Stage,
    /// Its log holds this epoch's proposals up to here.
    flushed: Zxid,
    /// When something was last heard of it.
    heard: Instant,
    /// Since when it owes an acknowledgement.
    owes_since: Option<Instant>,
}

/// How far a learner has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    /// It introduced itself.
    Introduced,
    /// It was told the epoch.
    Told,
    /// It has promised the epoch; its history is looked for.
    Promised { last: Zxid },
    /// It is being brought in step and takes part in the broadcast.
    Syncing,
    /// It holds the history of the epoch.
    Synced,
    /// It serves clients.
    Live,
}

/// The committed history and what is proposed after it, which a learner joins at one point.
#[derive(Debug)]
pub(crate) struct Broadcast<'a> {
    pub(crate) epoch: Epoch,
    /// The last committed transaction.
    pub(crate) committed: Zxid,
    /// Proposed and not committed.
    pub(crate) proposals: &'a VecDeque<Txn>,
    /// It is a leader's; otherwise that of a follower with its observers.
    pub(crate) leads: bool,
}

/// When learners are to be pinged: kin often, Apache's as their own leader does.
#[derive(Debug)]
pub(crate) struct Pings {
    kin: Instant,
    others: Instant,
}

impl Pings {
    /// All are due at once.
    pub(crate) fn due(core: &Core) -> Self {
        Self { kin: core.now, others: core.now }
    }

    /// All were heard a moment ago.
    pub(crate) fn later(core: &Core) -> Self {
        let Timing { kin_ping, tick, .. } = core.timing;
        Self { kin: core.now + kin_ping, others: core.now + tick / 2 }
    }

    /// The next turn; that of Apache's also where there is none, if `watches`.
    pub(crate) fn alarm(&self, learners: &Learners, watches: bool) -> Option<Instant> {
        let kin = learners.any(true).then_some(self.kin);
        let others = (watches || learners.any(false)).then_some(self.others);
        kin.into_iter().chain(others).min()
    }

    /// Pings those whose turn it is; whether it was the turn of Apache's.
    pub(crate) fn send(&mut self, core: &mut Core, learners: &mut Learners, last: Zxid) -> bool {
        let next = Self::later(core);
        if core.now >= self.kin {
            self.kin = next.kin;
            learners.ping(core, true, last);
        }
        let others = core.now >= self.others;
        if others {
            self.others = next.others;
            learners.ping(core, false, last);
        }
        others
    }
}

impl Learners {
    /// Those that came before this peer led.
    pub(crate) fn early(core: &mut Core) -> Self {
        let mut learners = Self::default();
        for (peer, introduction) in std::mem::take(&mut core.early) {
            learners.introduce(core, peer, introduction);
        }
        learners
    }

    /// A learner's first packet. It may be one that comes back.
    pub(crate) fn introduce(&mut self, core: &Core, peer: PeerId, introduction: Introduction) {
        let learner = Learner {
            introduction,
            stage: Stage::Introduced,
            flushed: Zxid::default(),
            heard: core.now,
            owes_since: None,
        };
        self.all.insert(peer, learner);
        self.elsewhere.remove(&peer);
    }

    /// A peer votes. `false` once a quorum cannot come to this leader any more: those that it lacks look for another one, or
    /// are gone. They may have missed that this one was named, or have left it before it led.
    pub(crate) fn may_come(&mut self, core: &Core, peer: PeerId, vote: &Notification) -> bool {
        if vote.state != PeerState::Looking {
            return true;
        }
        let for_me = vote.candidate.is_none_or(|candidate| candidate.leader == core.me);
        if for_me || self.is_introduced(peer) {
            self.elsewhere.remove(&peer);
        } else {
            self.elsewhere.insert(peer);
        }
        core.voters.decide(|peer| {
            let gone = self.elsewhere.contains(&peer) || core.unreachable.contains(&peer);
            peer == core.me || self.is_introduced(peer) || !gone
        })
    }

    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.all.remove(&peer);
    }

    pub(crate) fn hang_up(&mut self, core: &mut Core, peer: PeerId, why: PeerMisbehaved) {
        if self.all.remove(&peer).is_some() {
            core.outbox.push(Output::HangUp { peer, why });
        }
    }

    pub(crate) fn hang_up_all(&mut self, core: &mut Core) {
        for peer in std::mem::take(&mut self.all).into_keys() {
            core.outbox.push(Output::HangUp { peer, why: PeerMisbehaved::NotLeading });
        }
    }

    /// The highest epoch that a learner has promised to anybody.
    pub(crate) fn accepted(&self) -> Epoch {
        self.all.values().map(|learner| learner.introduction.accepted).max().unwrap_or_default()
    }

    pub(crate) fn is_introduced(&self, peer: PeerId) -> bool {
        self.all.contains_key(&peer)
    }

    /// Whether its promise counts. One that had promised the epoch before may have done so to another leader.
    pub(crate) fn has_promised(&self, peer: PeerId) -> bool {
        let promised = self.all.get(&peer).is_some_and(|learner| learner.stage > Stage::Told);
        promised && self.fresh.contains(&peer)
    }

    pub(crate) fn is_synced(&self, peer: PeerId) -> bool {
        self.all.get(&peer).is_some_and(|learner| learner.stage >= Stage::Synced)
    }

    /// Whether it serves clients.
    pub(crate) fn is_live(&self, peer: PeerId) -> bool {
        self.all.get(&peer).is_some_and(|learner| learner.stage == Stage::Live)
    }

    /// Whether it serves clients and acknowledges what is proposed.
    pub(crate) fn is_live_follower(&self, peer: PeerId) -> bool {
        let learner = self.all.get(&peer).filter(|learner| learner.stage == Stage::Live);
        learner.is_some_and(|learner| !learner.introduction.observer)
    }

    /// All that take part in the broadcast, and whether they observe.
    pub(crate) fn broadcast_to(&self) -> impl Iterator<Item = (PeerId, bool)> + '_ {
        let all = self.all.iter().filter(|(_, learner)| learner.stage >= Stage::Syncing);
        all.map(|(peer, learner)| (*peer, learner.introduction.observer))
    }

    /// When something was last heard of it.
    pub(crate) fn heard(&self, peer: PeerId) -> Option<Instant> {
        self.all.get(&peer).map(|learner| learner.heard)
    }

    /// How far its log counts: not at all before it holds the history of the epoch.
    pub(crate) fn flushed(&self, peer: PeerId) -> Zxid {
        let learner = self.all.get(&peer).filter(|learner| learner.stage >= Stage::Synced);
        learner.map_or_else(Zxid::default, |learner| learner.flushed)
    }

    /// Tells the new epoch to all that do not know it.
    pub(crate) fn tell_epoch(&mut self, core: &mut Core, epoch: Epoch) {
        self.tell_epoch_as(core, epoch, true);
    }

    /// The same, as one that is kin or not.
    pub(crate) fn tell_epoch_as(&mut self, core: &mut Core, epoch: Epoch, kin: bool) {
        for (peer, learner) in &mut self.all {
            if learner.stage == Stage::Introduced {
                learner.stage = Stage::Told;
                let message = Message::LeaderInfo { epoch, kin };
                core.outbox.push(Output::Send { to: *peer, message });
            }
        }
    }

    /// A promise; `false` when the learner has a history that this leader lacks, so that it must not lead.
    pub(crate) fn promise(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        current: Option<Epoch>,
        last: Zxid,
    ) -> bool {
        let Some(learner) = self.all.get_mut(&peer) else { return true };
        learner.heard = core.now;
        if learner.stage != Stage::Told {
            self.hang_up(core, peer, PeerMisbehaved::OutOfTurn);
            return true;
        }
        let mine = (core.durable.current, core.durable.last_logged);
        // Whoever votes only once a proposed change of the members is committed may be ahead with what never can be: it is
        // cut (`reconfiguration`, 4).
        let ahead = current.is_some_and(|current| (current, last) > mine);
        let in_force = core.voters.voters().contains(peer);
        if ahead && core.has(Mutation::AheadIsSentAway) && !in_force {
            self.hang_up(core, peer, PeerMisbehaved::AheadOfLeader(last));
            return true;
        }
        if ahead && in_force {
            self.hang_up(core, peer, PeerMisbehaved::AheadOfLeader(last));
            return false;
        }
        learner.stage = Stage::Promised { last };
        if current.is_some() {
            self.fresh.insert(peer);
        }
        true
    }

    /// Has the end of a learner's history found, if it has promised the epoch.
    pub(crate) fn locate(&self, core: &mut Core, peer: PeerId) {
        if let Some(Learner { stage: Stage::Promised { last }, .. }) = self.all.get(&peer) {
            core.outbox.push(Output::Locate { learner: peer, last: *last });
        }
    }

    pub(crate) fn locate_all(&self, core: &mut Core) {
        for peer in self.all.keys() {
            self.locate(core, *peer);
        }
    }

    /// Brings a learner in step and has it join the broadcast at one point: behind what is committed now,
    /// in front of what is proposed after it. Source: `LearnerHandler.syncFollower`.
    ///
    /// Decided: Apache's keep snapshots newer than a cut and build their tree from them again (ZOOKEEPER-4837), so theirs may
    /// hold what was cut. Such a learner cuts its log, comes again, and takes the whole state then. One that a follower feeds takes
    /// it at once: it may come again to another follower, which does not know that it cut.
    pub(crate) fn sync(&mut self, core: &mut Core, to: PeerId, found: Located, at: &Broadcast<'_>) {
        let Some(learner) = self.all.get_mut(&to) else { return };
        let Stage::Promised { last } = learner.stage else { return };
        let upto = at.committed;
        if !at.leads && last > upto && last.epoch() >= at.epoch && last.counter() > 0 {
            return self.hang_up(core, to, PeerMisbehaved::AheadOfLeader(last));
        }
        learner.stage = Stage::Syncing;
        let diff = |start, after| SyncPlan { start, after, upto };
        // An epoch's counter 0 is the place of a leader that has proposed nothing: nothing to cut.
        let begins_epoch = last.counter() == 0;
        let plan = match found {
            _ if last == upto || last > upto && begins_epoch => diff(SyncStart::Diff, upto),
            // Uncommitted: cut, and sent again behind.
            _ if last > upto && upto > Zxid::default() => diff(SyncStart::Trunc(upto), upto),
            Located::Here if last < upto => diff(SyncStart::Diff, last),
            Located::After(there) if begins_epoch => diff(SyncStart::Diff, there),
            Located::After(there) if there.epoch() == last.epoch() => {
                diff(SyncStart::Trunc(there), there)
            }
            // Across epochs what the learner has may not be cut at this leader's transaction.
            _ => diff(SyncStart::Snap(upto), upto),
        };
        let plan = match plan.start {
            _ if learner.introduction.kin => plan,
            SyncStart::Trunc(upto) if at.leads => {
                core.outbox.push(Output::Sync { to, plan: SyncPlan { upto, ..plan } });
                self.cut.insert(to);
                return self.hang_up(core, to, PeerMisbehaved::LogCut);
            }
            SyncStart::Diff if !self.cut.contains(&to) => plan,
            // Behind every snapshot that it may have of what was cut: all of the epochs before is in the state.
            _ => diff(SyncStart::Snap(upto.max(Zxid::new(at.epoch, 0))), upto),
        };
        let plan = match plan.start {
            SyncStart::Diff if core.has(Mutation::Zk4925) && plan.after >= core.caught_up.0 => {
                SyncPlan { after: plan.after.max(core.caught_up.1.min(upto)), ..plan }
            }
            _ => plan,
        };
        core.outbox.push(Output::Sync { to, plan });
        if !learner.introduction.observer {
            for txn in at.proposals.iter().filter(|txn| txn.zxid > upto) {
                self.told = self.told.max(txn.zxid);
                let message = Message::Proposal(txn.clone());
                core.outbox.push(Output::Send { to, message });
            }
        }
        core.outbox.push(Output::Send { to, message: Message::NewLeader(at.epoch) });
    }

    /// An acknowledgement; `true` when it moves anything. `committed` is the leader's.
    pub(crate) fn ack(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        (epoch, zxid): (Epoch, Zxid),
        committed: Zxid,
    ) -> bool {
        let Some(learner) = self.all.get_mut(&peer) else { return false };
        learner.heard = core.now;
        if learner.stage < Stage::Syncing || zxid.epoch() != epoch {
            self.hang_up(core, peer, PeerMisbehaved::OutOfTurn);
            return false;
        }
        if zxid.counter() == 0 && learner.stage == Stage::Syncing {
            learner.stage = Stage::Synced;
            self.cut.remove(&peer);
            // What was committed while it got in step it logged as history: no acknowledgement of that will come.
            learner.flushed = learner.flushed.max(committed);
            learner.owes_since = learner.owes_since.map(|_| core.now);
            return true;
        }
        if zxid <= learner.flushed {
            return false;
        }
        if learner.stage < Stage::Synced && core.has(Mutation::Zk4685) {
            self.hang_up(core, peer, PeerMisbehaved::OutOfTurn);
            return false;
        }
        // One that comes before the history is held is kept and counts from then on: Apache's older followers send it
        // once only (ZOOKEEPER-4685).
        learner.flushed = zxid;
        learner.owes_since = Some(core.now);
        learner.stage >= Stage::Synced
    }

    /// Lets those serve that hold the history of the epoch.
    pub(crate) fn up_to_date(&mut self, core: &mut Core) {
        for (peer, learner) in &mut self.all {
            if learner.stage == Stage::Synced {
                learner.stage = Stage::Live;
                core.outbox.push(Output::Send { to: *peer, message: Message::UpToDate });
            }
        }
    }

    pub(crate) fn propose(&mut self, core: &mut Core, txn: &Txn) {
        for (peer, learner) in &mut self.all {
            if learner.stage >= Stage::Syncing && !learner.introduction.observer {
                learner.owes_since.get_or_insert(core.now);
                self.told = txn.zxid;
                let message = Message::Proposal(txn.clone());
                core.outbox.push(Output::Send { to: *peer, message });
            }
        }
    }

    /// Commits these, the oldest first: to kin with one packet, to observers with the transactions themselves.
    pub(crate) fn commit<'a>(
        &self,
        core: &mut Core,
        txns: impl DoubleEndedIterator<Item = &'a Txn> + Clone,
    ) {
        for (peer, learner) in &self.all {
            let send = |message| Output::Send { to: *peer, message };
            if learner.stage < Stage::Syncing {
                continue;
            }
            if learner.introduction.observer {
                core.outbox.extend(txns.clone().map(|txn| send(Message::Inform(txn.clone()))));
            } else if learner.introduction.kin {
                let last = txns.clone().next_back();
                core.outbox.extend(last.map(|txn| send(Message::Commit(txn.zxid))));
            } else {
                core.outbox.extend(txns.clone().map(|txn| send(Message::Commit(txn.zxid))));
            }
        }
    }

    /// Something came from a learner that needs no answer.
    pub(crate) fn hear(&mut self, core: &Core, peer: PeerId) {
        if let Some(learner) = self.all.get_mut(&peer) {
            learner.heard = core.now;
        }
    }

    /// Pings learners of one dialect, and drops those that owe an acknowledgement for too long.
    fn ping(&mut self, core: &mut Core, kin: bool, last: Zxid) {
        let mut behind = Vec::new();
        for (peer, learner) in &mut self.all {
            if learner.stage < Stage::Syncing || learner.introduction.kin != kin {
                continue;
            }
            if learner.flushed >= last || learner.introduction.observer || last.counter() == 0 {
                learner.owes_since = None;
            }
            let limit = match learner.stage {
                Stage::Syncing => core.timing.init_limit,
                _ => core.timing.sync_limit,
            };
            let silent = core.now > learner.heard + limit;
            if silent || learner.owes_since.is_some_and(|since| core.now > since + limit) {
                let why = if silent { PeerMisbehaved::Silent } else { PeerMisbehaved::Behind };
                behind.push((*peer, why));
                continue;
            }
            core.outbox.push(Output::Send { to: *peer, message: Message::Ping(last) });
        }
        for (peer, why) in behind {
            self.hang_up(core, peer, why);
        }
    }

    /// The last transaction that was proposed to any learner, gone or not.
    pub(crate) fn told(&self) -> Zxid {
        self.told
    }

    /// Whether any learner speaks this dialect.
    pub(crate) fn any(&self, kin: bool) -> bool {
        self.all.values().any(|learner| learner.introduction.kin == kin)
    }

    /// A live voter among kin that holds all up to `last`: fit to lead at once. The one with the largest id,
    /// as an election would choose.
    pub(crate) fn successor(&self, core: &Core, last: Zxid) -> Option<PeerId> {
        let fit = self.all.iter().filter(|(peer, learner)| {
            learner.stage == Stage::Live
                && learner.introduction.kin
                && core.voters.may_lead(**peer)
                && (learner.flushed >= last || last.counter() == 0)
        });
        fit.map(|(peer, _)| *peer).max()
    }

    /// Names the successor to kin.
    pub(crate) fn hand_over(&self, core: &mut Core, successor: PeerId) {
        for (peer, learner) in &self.all {
            if learner.introduction.kin && learner.stage == Stage::Live {
                core.outbox.push(Output::Send { to: *peer, message: Message::HandOver(successor) });
            }
        }
    }
}
