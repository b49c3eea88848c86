//! Another tree in place of this one: writes pause, what is on its way is finished, the tree is replaced,
//! and a new epoch begins over it.

use storage::LogCommand;
use tokio::sync::oneshot;
use types::Zxid;
use zab::{Durable, Input, Settings, Zab};
use znodes::{Prep, Sessions, State};

use super::Core;

/// Writes are paused, on somebody's behalf.
pub(super) enum Pause {
    /// Until what is on its way is finished, who waits for that.
    Begun(oneshot::Sender<Zxid>),
    /// Nothing is on its way.
    Quiet,
}

impl Core {
    /// On a member of an ensemble nobody is answered: the others would not have what is restored.
    pub(super) fn on_pause(&mut self, reply: oneshot::Sender<Zxid>) {
        if self.ensemble.is_some() {
            return;
        }
        self.paused = Some(Pause::Begun(reply));
        self.maybe_quiet();
    }

    /// Tells who waits for it that nothing is on its way any more.
    pub(super) fn maybe_quiet(&mut self) {
        let settled =
            self.outstanding.is_empty() && (self.zab.next_zxid().is_some() || self.full.is_some());
        if settled
            && let Some(Pause::Begun(reply)) =
                self.paused.take_if(|pause| matches!(pause, Pause::Begun(_)))
        {
            self.paused = Some(Pause::Quiet);
            let last = self.shared.tree().zxid().max(self.shared.applied());
            // When nobody waits any more, the end of the pause is on its way already.
            let _ = reply.send(last);
        }
    }

    /// The end of a pause; only the first end of one counts.
    pub(super) fn on_resume(&mut self, state: Option<Box<State>>) {
        if self.paused.take().is_none() {
            return;
        }
        if let Some(state) = state {
            self.replace(*state);
        }
        for command in std::mem::take(&mut self.waiting) {
            self.on_write(command);
        }
    }

    /// The new tree is on the disk as a snapshot. Its zxid is later than all before, and the next epoch is
    /// later than both.
    fn replace(&mut self, state: State) {
        self.send_clients_away(false);
        self.speaking.clear();
        self.endings.clear();
        let last = state.zxid();
        let config = &self.shared.config;
        let epoch = last.epoch().max(self.shared.applied().epoch());
        let durable = Durable { accepted: epoch, current: epoch, last_logged: last };
        self.zab = Zab::new(Settings::alone(config.myid), durable);
        self.sessions = Sessions::new(config.tick_time);
        self.prep = Prep::new(&state).under(config.rules);
        self.shared.replace(state);
        self.tell_log(LogCommand::GoOnBehind(last));
        tracing::warn!(zxid = %last, "the tree was replaced by a restored one");
        self.drive(Input::Tick);
    }
}
