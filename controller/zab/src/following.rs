//! Broadcast, a learner's side: a follower or observer in step with its leader.
//!
//! Lives here: logging, acknowledging and delivering in the leader's order, and noticing that it has gone. Observers are
//! fed in `feeding`.
//! Paper: phase 3; `Follower.java`, `Observer.java`.

use types::{Epoch, Instant, PeerId, Zxid};

use crate::drain::Drain;
use crate::feeding::Feeding;
use crate::pending::Pending;
use crate::zab::{Core, Phase};
use crate::{Input, Message, Output, PeerMisbehaved};

/// In step with a leader.
#[derive(Debug)]
pub(crate) struct Follower {
    leader: PeerId,
    kin: bool,
    pending: Pending,
    /// When the leader was last heard.
    heard: Instant,
    /// Who takes over when all is delivered.
    successor: Option<PeerId>,
    /// It follows as an observer.
    observer: bool,
    /// The reconfiguration that names a leader, and whom.
    named: Option<(Zxid, PeerId)>,
    feeding: Feeding,
}

impl Follower {
    pub(crate) fn begin(
        core: &mut Core,
        leader: PeerId,
        epoch: Epoch,
        kin: bool,
        mut pending: Pending,
    ) -> Phase {
        if let Some(vote) = &mut core.vote {
            vote.epoch = epoch;
        }
        core.outbox.push(Output::Following { leader, epoch, kin });
        pending.ack(core, leader, kin);
        Phase::Following(Self {
            leader,
            kin,
            pending,
            heard: core.now,
            successor: None,
            observer: core.observer,
            named: None,
            feeding: Feeding::begin(core, epoch, kin),
        })
    }

    pub(crate) fn alarm(&self, core: &Core) -> Instant {
        let silent = self.silent_at(core);
        self.feeding.alarm().map_or(silent, |at| at.min(silent))
    }

    /// When the leader has said nothing for too long.
    fn silent_at(&self, core: &Core) -> Instant {
        self.heard + if self.kin { core.timing.kin_silence } else { core.timing.sync_limit }
    }

    pub(crate) fn committed(&self) -> Zxid {
        self.pending.committed()
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::Received { from, message } if from == self.leader => {
                self.heard = core.now;
                if let Err(why) = self.on_message(core, message) {
                    core.outbox.push(Output::HangUp { peer: self.leader, why });
                    return self.give_up(core);
                }
            }
            Input::Flushed(_) => {
                self.pending.ack(core, self.leader, self.kin);
                self.deliver(core);
                // What waited for a reconfiguration.
                self.pending.ack(core, self.leader, self.kin);
            }
            Input::Received { from, message } => self.feeding.on_message(core, from, message),
            Input::Observer { from, introduction } if !self.observer => {
                self.feeding.introduce(core, from, introduction);
            }
            Input::Observer { from: peer, .. } => {
                core.outbox.push(Output::HangUp { peer, why: PeerMisbehaved::NotLeading });
            }
            Input::Located { learner, found } => {
                let delivered = self.pending.delivered(core);
                self.feeding.sync(core, learner, found, delivered);
            }
            Input::AppendRefused { first } => {
                self.pending.refuse(first);
                core.stand_aside();
                return self.give_up(core);
            }
            Input::LinkLost(peer) if peer == self.leader => return self.give_up(core),
            Input::LinkLost(peer) => self.feeding.remove(peer),
            Input::Tick if core.now >= self.silent_at(core) => {
                // The election does not wait for its vote.
                core.unreachable.insert(self.leader);
                let why = PeerMisbehaved::Silent;
                core.outbox.push(Output::HangUp { peer: self.leader, why });
                return self.give_up(core);
            }
            Input::Tick => {
                let delivered = self.pending.delivered(core);
                self.feeding.on_tick(core, delivered);
            }
            _ => {}
        }
        if let Some((zxid, leader)) = self.named
            && self.pending.is_delivered(zxid)
        {
            self.named = None;
            if leader != self.leader || core.observer != self.observer {
                // Apache's leader may go on to propose until it has heard that another one leads.
                return Drain::make_way(core, self.pending.into_appended(), leader, self.kin);
            }
        }
        // The disk need not have finished: the way out waits for it.
        if self.successor.is_some() && self.pending.is_committed() {
            return self.give_up(core);
        }
        Phase::Following(self)
    }

    fn on_message(&mut self, core: &mut Core, message: Message) -> Result<(), PeerMisbehaved> {
        match message {
            Message::Proposal(txn) => self.pending.propose(txn)?,
            Message::Commit(zxid) => self.pending.commit(zxid)?,
            Message::Inform(txn) => {
                let zxid = txn.zxid;
                self.pending.propose(txn)?;
                self.pending.commit(zxid)?;
            }
            Message::CommitAndActivate { zxid, leader } => {
                self.pending.commit(zxid)?;
                self.named = Some((zxid, leader));
            }
            Message::InformAndActivate { txn, leader } => {
                let zxid = txn.zxid;
                self.pending.propose(txn)?;
                self.pending.commit(zxid)?;
                self.named = Some((zxid, leader));
            }
            Message::Ping(zxid) => core.send(self.leader, Message::Ping(zxid)),
            Message::HandOver(to) if self.kin && core.voters.may_lead(to) => {
                self.successor = Some(to);
            }
            _ => return Err(PeerMisbehaved::OutOfTurn),
        }
        self.pending.append_all(core);
        self.deliver(core);
        self.pending.ack(core, self.leader, self.kin);
        Ok(())
    }

    fn deliver(&mut self, core: &mut Core) {
        while let Some(txn) = self.pending.take_next(core) {
            let named = self.named.filter(|(zxid, _)| *zxid == txn.zxid).map(|(_, leader)| leader);
            // It may have been committed while this peer got in step, and was not told then who leads.
            let changes = core.voters.next().is_some_and(|next| next.version == txn.zxid);
            let by = if changes { named.or(Some(self.leader)) } else { named };
            self.feeding.tell(core, &txn, by);
            core.deliver(txn);
        }
    }

    /// Only a peer that holds all that was committed may take the word of the leader before.
    fn give_up(self, core: &mut Core) -> Phase {
        let successor = self.successor.filter(|_| self.pending.is_committed());
        Drain::begin(core, self.pending.into_appended(), None, successor)
    }
}
