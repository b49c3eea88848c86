//! What begins and ends with a member's role among others, for its clients.
//!
//! Lives here: leading, following, neither, and being read only meanwhile. Must not: connections with peers (`peers`), what a
//! learner lacks (`histories`).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering::Relaxed;

use types::{Epoch, PeerId, Zxid};
use zab::Input;
use znodes::{Prep, SessionIds, Sessions};

use super::{Core, Origin, wall_ms};
use crate::standing::Role;

impl Core {
    pub(super) fn on_following(&mut self, leader: PeerId, epoch: Epoch, kin: bool) {
        let Some(ensemble) = &mut self.ensemble else { return };
        if let Some(upstream) = &mut ensemble.upstream {
            upstream.serving = true;
            ensemble.masters.settle();
            upstream.kin = kin;
        }
        let master = ensemble.upstream.as_ref().map(|one| one.master);
        let since = ensemble.looking_since.take();
        self.note_served(since, false);
        self.end_read_only();
        // All that was before this epoch is here: a client that has seen that much on the leader may come.
        self.shared.applied_anew(self.shared.applied().max(Zxid::new(epoch, 0)));
        let observer = self.ensemble.as_ref().is_some_and(|ensemble| ensemble.observer);
        let role = if observer { Role::Observing } else { Role::Following };
        tracing::info!(%leader, epoch = epoch.0, "{}", role.word());
        self.show_members();
        self.ids = self.fresh_ids();
        self.shared.standing.update(|view| {
            view.role = role;
            view.leader = Some(leader);
            view.master = master.filter(|_| observer);
            view.epoch = epoch;
        });
        self.take_observers();
        self.told_ready();
        self.mending.on_in_step(self.appended);
        self.maybe_count_again();
        self.go_on_with_successor();
    }

    /// What is begun anew when an ensemble's member begins to lead.
    pub(super) fn on_leading_others(&mut self, epoch: Epoch) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let since = ensemble.looking_since.take();
        self.note_served(since, true);
        self.end_read_only();
        tracing::info!(epoch = epoch.0, "leader");
        self.outstanding.clear();
        self.sessions = Sessions::new(self.shared.config.tick_time);
        self.ids = self.fresh_ids();
        self.prep = Prep::new(&self.shared.tree()).under(self.shared.config.rules);
        self.show_members();
        let me = self.shared.config.myid;
        self.shared.standing.update(|view| {
            view.role = Role::Leading;
            view.leader = Some(me);
            view.epoch = epoch;
        });
    }

    /// By chance: a clock of the day may show the same twice.
    fn fresh_ids(&self) -> SessionIds {
        SessionIds::new(self.shared.config.myid, RandomState::new().hash_one(0))
    }

    /// Shows clients who is a member, where the tree says something else.
    pub(super) fn show_members(&mut self) {
        let Some(ensemble) = &self.ensemble else { return };
        let mut tree = self.shared.tree_mut();
        let shown = tree.get(znodes::CONFIG_PATH).and_then(|node| node.data());
        let text = ensemble.configs.text().as_bytes();
        if shown != Some(text) {
            let text = bytes::Bytes::copy_from_slice(text);
            tree.show_config(text, ensemble.configs.now().version, wall_ms());
        }
    }

    /// No write is taken any more, and nobody is connected to as leader or learner. Clients stay while they wait for a
    /// successor.
    pub(super) fn on_resigned(&mut self, successor: Option<PeerId>) {
        self.mending.on_out_of_step();
        let Some(ensemble) = &mut self.ensemble else { return };
        ensemble.upstream = None;
        ensemble.peers.take_no_observers();
        // The last that learners are told may be who leads next.
        self.finishing.clear();
        for (id, caller) in std::mem::take(&mut ensemble.callers) {
            match caller.peer {
                Some(_) => self.finishing.push(caller.link.finish()),
                None if caller.link.observes => {}
                None => drop(ensemble.callers.insert(id, caller)),
            }
        }
        ensemble.by_peer.clear();
        ensemble.let_all_come();
        // They would have to be asked for again between other requests of their sessions.
        let synced = ensemble.synced.drain(..).map(|(_, origin, _)| origin);
        for origin in synced.chain(ensemble.syncs.drain(..).map(|(origin, _)| origin)) {
            if let Origin::Client(conn) = origin {
                conn.send_away(false);
            }
        }
        ensemble.between = successor.is_some();
        ensemble.came_back.clear();
        for returning in std::mem::take(&mut ensemble.returning).into_values().flatten() {
            returning.give_up();
        }
        ensemble.looking_since.get_or_insert_with(|| self.shared.now());
        self.shared.standing.update(|view| {
            view.role = Role::Looking;
            view.leader = None;
            view.master = None;
            view.learners.clear();
        });
        self.outstanding.clear();
        self.shared.stats.outstanding.store(0, Relaxed);
        if successor.is_none() {
            self.leave_clients();
        }
    }

    /// Clients that are still here have nobody to wait for.
    pub(super) fn leave_clients(&mut self) {
        let Some(ensemble) = &mut self.ensemble else { return };
        ensemble.between = false;
        ensemble.forwarded.clear();
        ensemble.forwarded_count = 0;
        ensemble.touched.clear();
        self.waiting.clear();
        self.touch_locals();
        self.speaking.clear();
        // What was answered already is told: a change of the members may be what ended the role.
        self.send_clients_away(true);
    }

    /// Ends every connection: at once, or when what is to be sent is sent.
    pub(super) fn send_clients_away(&self, flush: bool) {
        let conns: Vec<_> = self.shared.watchers().conns().cloned().collect();
        for conn in conns {
            conn.send_away(flush);
        }
    }

    /// Nobody has led for a while: clients that wish so read what is there.
    pub(super) fn begin_read_only(&mut self) {
        tracing::warn!("nobody leads: clients that wish so are served what is there");
        self.shared.standing.update(|view| view.role = Role::ReadOnly);
    }

    /// What clients of that time had is gone: their sessions were this member's alone.
    fn end_read_only(&mut self) {
        if self.shared.standing.role() == Role::ReadOnly {
            self.send_clients_away(true);
        }
    }

    /// When [`Self::begin_read_only`] is due.
    pub(super) fn read_only_at(&self) -> Option<types::Instant> {
        let config = &self.shared.config;
        config.ensemble.as_ref().filter(|ensemble| ensemble.read_only_mode)?;
        let since = self.ensemble.as_ref()?.looking_since?;
        let looks = self.shared.standing.role() == Role::Looking;
        looks.then(|| since + config.tick_time.max(READ_ONLY_AFTER))
    }

    /// Another member is to lead, if this one does.
    pub(super) fn on_hand_over(&mut self, reply: tokio::sync::oneshot::Sender<()>) {
        self.handing_over = Some(reply);
        self.drive(Input::HandOver);
    }
}

/// How long nobody leads at least before clients are served nevertheless.
const READ_ONLY_AFTER: std::time::Duration = std::time::Duration::from_secs(2);
