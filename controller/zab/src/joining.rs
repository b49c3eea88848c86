//! Discovery, a learner's side: the leader's epoch is promised.
//!
//! Lives here: this peer's promise, durable before it is given. Paper: phase 1; `Learner.registerWithLeader`.

use std::collections::VecDeque;
use std::time::Duration;

use types::{Epoch, Instant, PeerId, Zxid};

use crate::catching_up::CatchingUp;
use crate::drain::Drain;
use crate::zab::{Core, Phase};
use crate::{Input, Introduction, Message, Output, PeerMisbehaved, SavedEpoch};

/// Has chosen a leader and is on its way to it.
#[derive(Debug)]
pub(crate) struct Joining {
    leader: PeerId,
    /// The connection stands.
    up: bool,
    /// What the leader wants promised, and whether it is kin, while the promise goes to disk.
    promising: Option<(Epoch, bool)>,
    deadline: Instant,
    /// Until then a leader that closes the connection is called again: it was named by the one before, and may hear of
    /// that later than this peer.
    patient_until: Instant,
}

impl Joining {
    /// On its way to `leader`, who was elected, or named by the one before.
    pub(crate) fn begin(core: &mut Core, leader: PeerId, named: bool) -> Phase {
        // Those that took this peer for the leader must look again.
        for peer in std::mem::take(&mut core.early).into_keys() {
            core.outbox.push(Output::HangUp { peer, why: PeerMisbehaved::NotLeading });
        }
        core.outbox.push(Output::Follow(leader));
        let deadline = core.now + core.timing.init_limit;
        let patience = if named { core.timing.kin_silence } else { Duration::ZERO };
        let patient_until = core.now + patience;
        Phase::Joining(Self { leader, up: false, promising: None, deadline, patient_until })
    }

    pub(crate) fn alarm(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn on(mut self, core: &mut Core, input: Input) -> Phase {
        match input {
            Input::LeaderUp(leader) if leader == self.leader && !self.up => {
                self.up = true;
                let accepted = least(core);
                let introduction = Introduction { accepted, observer: core.observer, kin: true };
                core.send(leader, Message::Introduction(introduction));
            }
            Input::LinkLost(peer) if peer == self.leader => {
                if core.now >= self.patient_until || self.promising.is_some() {
                    return give_up(core);
                }
                self.up = false;
                core.outbox.push(Output::Follow(self.leader));
            }
            Input::Received { from, message } if from == self.leader && self.up => {
                return self.on_message(core, message);
            }
            Input::EpochSaved(SavedEpoch::Accepted(saved)) => {
                if let Some((epoch, kin)) = self.promising.filter(|(epoch, _)| *epoch == saved) {
                    return self.promise(core, epoch, kin, true);
                }
            }
            Input::EpochRefused => {
                core.stand_aside();
                return give_up(core);
            }
            Input::Tick if core.now >= self.deadline => return give_up(core),
            _ => {}
        }
        Phase::Joining(self)
    }

    fn on_message(mut self, core: &mut Core, message: Message) -> Phase {
        let Message::LeaderInfo { epoch, kin } = message else {
            return self.hang_up(core, PeerMisbehaved::OutOfTurn);
        };
        if self.promising.is_some() {
            return self.hang_up(core, PeerMisbehaved::OutOfTurn);
        }
        if epoch < least(core) {
            return self.hang_up(core, PeerMisbehaved::OldEpoch(epoch));
        }
        if epoch <= core.promised {
            return self.promise(core, epoch, kin, false);
        }
        self.promising = Some((epoch, kin));
        core.promise(epoch);
        Phase::Joining(self)
    }

    fn promise(self, core: &mut Core, epoch: Epoch, kin: bool, fresh: bool) -> Phase {
        let current = (fresh && !core.abstains).then_some(core.durable.current);
        // A promise that may count tells the whole history; a second one to the same leader only where to go on from.
        let last = match core.wants_state && !fresh {
            true => NOWHERE,
            false => core.durable.last_logged,
        };
        core.send(self.leader, Message::AckEpoch { current, last });
        CatchingUp::begin(core, self.leader, epoch, kin, self.deadline)
    }

    fn hang_up(self, core: &mut Core, why: PeerMisbehaved) -> Phase {
        core.outbox.push(Output::HangUp { peer: self.leader, why });
        give_up(core)
    }
}

/// The lowest epoch whose leader is followed. Nobody counts on what an observer has promised: it only must not go behind its
/// own history.
fn least(core: &Core) -> Epoch {
    match core.observer {
        true => core.durable.current.max(core.durable.last_logged.epoch()),
        false => core.promised,
    }
}

fn give_up(core: &mut Core) -> Phase {
    Drain::begin(core, VecDeque::new(), None, None)
}

/// A place that no log has: whoever leads sends its whole state.
const NOWHERE: Zxid = Zxid::new(Epoch(0), 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durable, Settings, Voters, Zab};

    const LEADER: PeerId = PeerId(2);

    /// What a peer that promised 9, with a history of 3, sends to a leader that leads this epoch.
    fn answers(observer: bool, epoch: u32) -> Vec<Output> {
        let voters = Voters::majority([LEADER, PeerId(3)]);
        let durable =
            Durable { accepted: Epoch(9), current: Epoch(3), last_logged: Zxid::new(Epoch(3), 5) };
        let mut zab =
            Zab::new(Settings { voters, observer, ..Settings::alone(PeerId(1)) }, durable);
        let phase = Joining::begin(&mut zab.core, LEADER, false);
        zab.core.outbox.clear();
        zab.set_phase(phase);
        let mut step = |input| zab.step(Instant::ZERO, input).collect::<Vec<_>>();
        let accepted = Epoch(if observer { 3 } else { 9 });
        let message = Message::Introduction(Introduction { accepted, observer, kin: true });
        assert_eq!(step(Input::LeaderUp(LEADER)), [Output::Send { to: LEADER, message }]);
        let message = Message::LeaderInfo { epoch: Epoch(epoch), kin: true };
        step(Input::Received { from: LEADER, message })
    }

    #[test]
    fn a_promise_binds_a_voter_and_an_observer_only_its_history() {
        let refused = |epoch| {
            let why = PeerMisbehaved::OldEpoch(Epoch(epoch));
            Output::HangUp { peer: LEADER, why }
        };
        let last = Zxid::new(Epoch(3), 5);
        let followed =
            Output::Send { to: LEADER, message: Message::AckEpoch { current: None, last } };
        for epoch in 3..9 {
            assert_eq!(answers(true, epoch).first(), Some(&followed));
            assert_eq!(answers(false, epoch).first(), Some(&refused(epoch)));
        }
        assert_eq!(answers(true, 2).first(), Some(&refused(2)));
        assert_eq!(answers(true, 10), [Output::SaveEpoch(SavedEpoch::Accepted(Epoch(10)))]);
    }
}
