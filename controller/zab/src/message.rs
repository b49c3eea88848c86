//! What goes into a step and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use types::{Epoch, PeerId, Zxid};

use crate::Config;

/// A transaction as it goes to the log, to peers and into the tree: the same bytes everywhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Txn {
    /// Its place in the total order.
    pub zxid: Zxid,
    /// Header, record and digest, serialised. Zab never looks inside.
    pub body: Bytes,
}

/// What happened to this peer. Time, disk and network all come in here.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// Time has passed, at the latest when [`crate::Zab::alarm`] says. The first one starts the election.
    Tick,
    /// A peer sent a message.
    Received {
        /// The peer, as its connection was introduced.
        from: PeerId,
        /// What it said.
        message: Message,
    },
    /// An observer introduced itself where followers feed observers. What it says from then on is [`Input::Received`].
    Observer {
        /// The observer.
        from: PeerId,
        /// What it said.
        introduction: Introduction,
    },
    /// Votes can reach this peer now, or now again.
    Reachable(PeerId),
    /// Votes cannot reach this peer: its election connection broke, or could not be made.
    Unreachable(PeerId),
    /// The connection that [`Output::Follow`] asked for stands.
    LeaderUp(PeerId),
    /// The connection between this peer and its leader, or one of its learners, is gone or could not be made.
    LinkLost(PeerId),
    /// The leader's driver has a transaction to order. Its zxid must be [`crate::Zab::next_zxid`].
    Propose(Txn),
    /// The log is on stable storage up to and including this zxid.
    Flushed(Zxid),
    /// The log has no room: this and all later appends were not written and left no trace.
    AppendRefused {
        /// The first transaction that was not written.
        first: Zxid,
    },
    /// There is no room for the epoch file that [`Output::SaveEpoch`] asked for; the driver saves it, and answers, when there
    /// is. A peer that does not decide alone stands aside meanwhile.
    EpochRefused,
    /// An epoch file is on stable storage.
    EpochSaved(SavedEpoch),
    /// The answer to [`Output::Truncate`] where the log cannot be cut there, as all that is left of what was before is in a
    /// later snapshot; what was there is as it was.
    TruncateRefused(Zxid),
    /// There is no room for the state that [`Output::Install`] asked for, which ends here; what was there is as it was.
    InstallRefused(Zxid),
    /// The answer to [`Output::Locate`].
    Located {
        /// Whose history was looked for.
        learner: PeerId,
        /// Where it ends in this peer's log.
        found: Located,
    },
    /// The answer to [`Output::Truncate`]: nothing after this zxid is in the log, in a snapshot or in the tree.
    Truncated(Zxid),
    /// The answer to [`Output::Install`]: the leader's state as of this zxid is the tree, and durably on disk
    /// in place of all that was there.
    Installed(Zxid),
    /// The leader's driver has a reconfiguration to order, which [`crate::Zab::may_reconfigure`] allows. The zxid is
    /// [`crate::Zab::next_zxid`] and the configuration's version.
    Reconfigure {
        /// The transaction.
        txn: Txn,
        /// What it brings.
        config: Arc<Config>,
    },
    /// The leader's next message (PROPOSAL or INFORM) carries this configuration. Given before that message, so that it
    /// is known when its transaction is.
    Foreseen(Arc<Config>),
    /// The leader's next message is NEWLEADER and carries this configuration, the last one that the leader knows of. Whatever
    /// else this peer has foreseen was never committed.
    LeaderHas(Arc<Config>),
    /// The leader's next message is SNAP, and this is the last configuration that its state brings, or the one in force. Whatever
    /// else this peer has foreseen is not in it. Behind [`Input::InstallRefused`]: the same of what was there.
    LogHas(Arc<Config>),
    /// A peer's notification carries this committed configuration. Given before that notification; one that is not later than the
    /// one in force changes nothing.
    Committed(Arc<Config>),
    /// This peer is to stop: if it leads, another one shall take over first.
    HandOver,
    /// A peer that abstained holds all again that it may have acknowledged: it votes from the next election on.
    Counts,
}

/// Which epoch file was saved, and what it says now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SavedEpoch {
    /// `acceptedEpoch`: no leader of a lower epoch will be followed.
    Accepted(Epoch),
    /// `currentEpoch`: the history of this epoch's leader was taken over.
    Current(Epoch),
}

/// Where a learner's history ends in the leader's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Located {
    /// The log has the learner's last transaction and all after it without a gap (or, for an epoch's counter 0,
    /// all after it).
    Here,
    /// The log does not have it, but has this one before it, and all after this one without a gap.
    After(Zxid),
    /// The log does not reach back so far.
    Gone,
}

/// What the driver must do. One target sees its outputs in order, two targets in any order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Append to the log, make durable, then answer with [`Input::Flushed`] (one may cover many).
    Append(Txn),
    /// Committed: apply it now. Strictly in zxid order, each once.
    Deliver(Txn),
    /// Logged, and this peer's role has ended: apply it now, as it would be after a start. Whether it is
    /// committed the next leader decides: it may be cut by [`Output::Truncate`].
    Absorb(Txn),
    /// Send to a peer.
    Send {
        /// To whom.
        to: PeerId,
        /// What.
        message: Message,
    },
    /// Close the connection between leader and learner: the peer broke the protocol or is of no more use.
    HangUp {
        /// Which.
        peer: PeerId,
        /// Why.
        why: PeerMisbehaved,
    },
    /// Save an epoch file durably, then answer with [`Input::EpochSaved`].
    SaveEpoch(SavedEpoch),
    /// Connect to this peer as its learner, resolving its name anew; answer with [`Input::LeaderUp`] or, when
    /// tries are used up, [`Input::LinkLost`]. Connections to another leader are closed.
    Follow(PeerId),
    /// This peer leads from now on; [`crate::Zab::next_zxid`] says what it proposes first.
    Leading(Epoch),
    /// This peer is in step with this leader: it serves clients from now on.
    Following {
        /// Where requests go.
        leader: PeerId,
        /// Its epoch.
        epoch: Epoch,
        /// Both know the cumulative dialect.
        kin: bool,
    },
    /// The role has ended: this peer leads and follows nobody. What was proposed and not delivered may or may
    /// not survive, unless a successor is named: then all of it is in the log of this peer and of the successor, and
    /// nothing else was ordered. No write is taken; connections between leader and learner are closed.
    Resigned {
        /// Who leads next, where the leader before has said so.
        successor: Option<PeerId>,
    },
    /// Proposals from here on are taken back: no peer holds them, their zxids are free again.
    Withdrawn {
        /// The first of them.
        first: Zxid,
    },
    /// Find the end of a learner's history in the log; answer with [`Input::Located`].
    Locate {
        /// Whose.
        learner: PeerId,
        /// Its last transaction.
        last: Zxid,
    },
    /// Bring a learner in step. What is sent to it after this goes behind it.
    Sync {
        /// Whom.
        to: PeerId,
        /// How.
        plan: SyncPlan,
    },
    /// Cut the log after this zxid, delete newer snapshots, rebuild the tree from what is left; answer with
    /// [`Input::Truncated`], or with [`Input::TruncateRefused`].
    Truncate(Zxid),
    /// Make the state that was received with [`Message::Snap`] the tree and the only history on disk; answer
    /// with [`Input::Installed`].
    Install(Zxid),
    /// This configuration is in force from now on: write the files, dial by it. Before the [`Output::Deliver`] of its
    /// transaction, if that brought it.
    Activate(Arc<Config>),
    /// The first configuration has got this version: NEWLEADER carries it from now on.
    Foreseen(Arc<Config>),
    /// What was foreseen last is not in this peer's log: it is forgotten, and NEWLEADER carries the configuration in force.
    Unforeseen,
    /// This peer leads no more and may stop: another one is about to lead, or none could at once and an election follows.
    HandedOver(Option<PeerId>),
}

/// How a learner is brought in step: first `start`, then PROPOSAL and COMMIT of each logged transaction
/// after `after` up to and including `upto`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SyncPlan {
    /// What the learner does first.
    pub start: SyncStart,
    /// Transactions after this one are sent. For [`SyncStart::Snap`] the driver takes the state as it is when
    /// it carries this out, which is that of `upto`, and sends none.
    pub after: Zxid,
    /// The last committed transaction when the learner joined the broadcast.
    pub upto: Zxid,
}

/// The first packet of a synchronization.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SyncStart {
    /// Keep what is there (DIFF, with `upto`).
    Diff,
    /// Cut what the leader does not have (TRUNC, with this zxid).
    Trunc(Zxid),
    /// Take the leader's state (SNAP, with this zxid, then the state). The zxid is `upto`, or for a learner of Apache's
    /// the epoch's counter 0 if that is later.
    Snap(Zxid),
}

/// What peers tell each other: the election's notifications and the packets between leader and learner.
/// Requests, revalidations and syncs of clients are the driver's own. Source: `QuorumPacket`, `Leader.java`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// A vote, on the election port.
    Notification(Notification),
    /// FOLLOWERINFO or OBSERVERINFO.
    Introduction(Introduction),
    /// LEADERINFO: the epoch that the leader wants promised.
    LeaderInfo {
        /// The new epoch.
        epoch: Epoch,
        /// The leader knows the cumulative dialect.
        kin: bool,
    },
    /// ACKEPOCH: the promise, and what the learner has.
    AckEpoch {
        /// Its `currentEpoch`; `None` when it had promised this epoch before.
        current: Option<Epoch>,
        /// Its last logged transaction.
        last: Zxid,
    },
    /// DIFF, up to this zxid.
    Diff(Zxid),
    /// TRUNC, after this zxid.
    Trunc(Zxid),
    /// SNAP of this zxid, once the driver has received and checked the state behind it.
    Snap(Zxid),
    /// PROPOSAL.
    Proposal(Txn),
    /// COMMIT. Between kin it covers all before it too.
    Commit(Zxid),
    /// INFORM: proposal and commit in one.
    Inform(Txn),
    /// COMMITANDACTIVATE: of a reconfiguration.
    CommitAndActivate {
        /// Its zxid.
        zxid: Zxid,
        /// Who leads from then on.
        leader: PeerId,
    },
    /// INFORMANDACTIVATE: of a reconfiguration, to observers.
    InformAndActivate {
        /// The transaction.
        txn: Txn,
        /// Who leads from then on.
        leader: PeerId,
    },
    /// NEWLEADER: what came before it is the history of this epoch.
    NewLeader(Epoch),
    /// ACK, of NEWLEADER when the counter is 0. It covers all before it: a learner logs in order.
    Ack(Zxid),
    /// UPTODATE: serve clients.
    UpToDate,
    /// PING, with the leader's last proposal; a learner gives it back.
    Ping(Zxid),
    /// Between kin only: the leader stops and this peer, which holds all it ever proposed, is to lead.
    HandOver(PeerId),
}

/// The first packet of a learner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Introduction {
    /// Its `acceptedEpoch`.
    pub accepted: Epoch,
    /// It came with OBSERVERINFO.
    pub observer: bool,
    /// It knows the cumulative dialect: an acknowledgement or commit covers all before it.
    pub kin: bool,
}

/// A vote. Source: `FastLeaderElection.java`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notification {
    /// What the sender is doing.
    pub state: PeerState,
    /// For whom it votes; `None` of a sender that has no vote, or whose history cannot be trusted.
    pub candidate: Option<Candidate>,
    /// The round of elections it is in, or in which its vote was decided (`electionEpoch`).
    pub round: i64,
}

/// What a peer says it is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerState {
    /// Looking for a leader.
    Looking,
    /// Following one, or about to.
    Following,
    /// Leading, or about to.
    Leading,
    /// Observing.
    Observing,
}

/// Who is to lead. The order is the one that votes are compared by: the history of the later epoch wins, then
/// the longer one, then the larger id.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Candidate {
    /// Its `currentEpoch`.
    pub epoch: Epoch,
    /// Its last logged transaction.
    pub last: Zxid,
    /// Who.
    pub leader: PeerId,
}

/// Why a connection between leader and learner is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// It sent what has no meaning at this point.
    OutOfTurn,
    /// Its proposals leave a zxid out.
    Gap {
        /// The last one before.
        last: Zxid,
        /// What came.
        got: Zxid,
    },
    /// It proposes and proposes, and commits nothing.
    TooMuch,
    /// It commits what it never proposed.
    CommitOfUnknown(Zxid),
    /// It leads in an epoch below what this peer has promised.
    OldEpoch(Epoch),
    /// It has a history that this leader lacks, so another one must lead.
    AheadOfLeader(Zxid),
    /// It did not answer in time.
    Silent,
    /// It did not acknowledge in time.
    Behind,
    /// Not a fault: this peer does not lead, or follows nobody that an observer could be fed from.
    NotLeading,
    /// Not a fault: what it holds besides its log may be of what was cut, so it comes again for the whole state.
    LogCut,
}
