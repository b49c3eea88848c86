//! One member: the protocol, its disk and its tree.
//!
//! Lives here: what lives and dies with a host. Must not: other hosts (the world connects them).

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{Instant, PeerId, Zxid};
use zab::{Durable, Mending, SavedEpoch, Settings, Voters, Zab};
use znodes::SessionIds;

use crate::checkers::Violation;
use crate::clock::{Clock, Time};
use crate::defect::{Defect, Planted};
use crate::disk::{Disk, Found};
use crate::roster::{Roster, config_of};
use crate::server::Server;
use crate::tree::{Base, Tree};

/// A member on its machine.
pub(crate) struct Host {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    /// What the last start that found damage said of it.
    pub(crate) damage: String,
    /// The members that it knows of, which are in files of their own; `None`: reconfiguration is off.
    pub(crate) roster: Option<Roster>,
    /// `None` while it is down.
    pub(crate) running: Option<Running>,
    /// Counts starts: what was meant for an earlier run is not for this one.
    pub(crate) run: u64,
    /// Nothing is done before this.
    pub(crate) paused_until: Instant,
    /// Each write takes this much longer.
    pub(crate) slow_by: std::time::Duration,
    /// A defect of its protocol.
    #[cfg(feature = "mutants")]
    pub(crate) mutation: Option<zab::Mutation>,
    /// A defect of what it does for clients.
    pub(crate) planted: Planted,
}

/// What a process has in memory; times are of its host's clock.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) zab: Zab,
    pub(crate) tree: Tree,
    pub(crate) server: Server,
    /// What the day's clock showed when it started.
    pub(crate) began_ms: i64,
    /// The leader that is followed, and the connection to it, or to a follower of its.
    pub(crate) up: Option<(usize, u64)>,
    /// It is one to a follower.
    pub(crate) fed: bool,
    /// So many followers were called since it was in step.
    pub(crate) in_vain: usize,
    /// As a leader: the newest connection of each learner.
    pub(crate) learners: BTreeMap<usize, u64>,
    /// When the next tick is due, as scheduled.
    pub(crate) tick_at: Option<Instant>,
    /// When the log has rested for long, if it is given nothing until then.
    pub(crate) rests_at: Option<Instant>,
    /// It leads, or follows in step.
    pub(crate) serves: bool,
    /// The state that came with SNAP and is not installed.
    pub(crate) received: Option<Base>,
    pub(crate) stopping: bool,
    /// Until its files are whole, or a leader's.
    pub(crate) mending: Mending,
    /// There is no room; looked at again then.
    pub(crate) full: Option<Instant>,
    /// Epochs that there was no room for.
    pub(crate) unsaved: Vec<SavedEpoch>,
    /// The last transaction that the log was given, and the last that it has flushed, since the start.
    pub(crate) appended: Zxid,
    pub(crate) flushed: Zxid,
    /// Transactions since the last snapshot.
    pub(crate) since_snapshot: u32,
    pub(crate) planted: Planted,
}

impl Host {
    pub(crate) fn new(settings: Settings, disk: Disk) -> Self {
        Self {
            settings,
            clock: Clock::right(),
            disk,
            damage: String::new(),
            roster: None,
            running: None,
            run: 0,
            paused_until: Instant::ZERO,
            slow_by: std::time::Duration::ZERO,
            #[cfg(feature = "mutants")]
            mutation: None,
            planted: Planted::default(),
        }
    }

    pub(crate) fn me(&self) -> PeerId {
        self.settings.me
    }

    /// The voters that it knows of, and whether it is told only what is committed.
    pub(crate) fn ensemble(&self) -> (Voters, bool) {
        match &self.roster {
            None => (self.settings.voters.clone(), self.settings.observer),
            Some(roster) => {
                let now = config_of(roster.now());
                let observes = now.observers.contains(&self.me());
                (now.voters, observes)
            }
        }
    }

    /// `None`: it could not start. Else whether its files are whole.
    pub(crate) fn start(&mut self, time: Time) -> Result<Option<bool>, Violation> {
        let (tree, durable, marked, whole) = match self.disk.start(self.me())? {
            Found::Whole { tree, durable, marked } => (*tree, durable, marked, true),
            Found::Damaged(why) => {
                self.damage = why;
                (Tree::new(), Durable::default(), false, false)
            }
            Found::Failed => return Ok(None),
        };
        self.run += 1;
        if let Some(roster) = &mut self.roster
            && !self.planted.has(Defect::NextIsBelieved)
        {
            roster.settle(&tree);
        }
        let mut zab = self.protocol(durable);
        let marked = marked && !self.disk.planted.has(Defect::FilledCountsAtOnce);
        let mending = if whole { Mending::of_whole(marked, &mut zab) } else { Mending::Asks };
        self.running = Some(Running {
            zab,
            tree,
            server: Server::new(SessionIds::new(self.settings.me, 0), time.now),
            began_ms: time.wall_ms,
            up: None,
            fed: false,
            in_vain: 0,
            learners: BTreeMap::new(),
            tick_at: None,
            rests_at: None,
            serves: false,
            received: None,
            stopping: false,
            mending,
            full: None,
            unsaved: Vec::new(),
            appended: Zxid::ZERO,
            flushed: Zxid::ZERO,
            since_snapshot: 0,
            planted: self.planted,
        });
        Ok(Some(whole))
    }

    /// The protocol at its beginning.
    pub(crate) fn protocol(&self, durable: Durable) -> Zab {
        let zab = match &self.roster {
            None => Zab::new(self.settings.clone(), durable),
            Some(roster) => {
                let me = self.settings.me;
                let now = config_of(roster.now());
                let (voters, observer) = (now.voters.clone(), now.observers.contains(&me));
                let settings = Settings { voters, observer, ..self.settings.clone() };
                let next = roster.next().filter(|_| !self.planted.has(Defect::NextIsForgotten));
                let next = next.map(|next| Arc::new(config_of(next)));
                Zab::new(settings, durable).reconfigurable(Arc::new(now), next)
            }
        };
        #[cfg(feature = "mutants")]
        let zab = zab.mutated(self.mutation);
        zab
    }
}

impl Running {
    /// When something is due that only time brings.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        let protocol = self.zab.alarm().filter(|_| !self.mending.stands_still());
        let expiry = self.next_expiry().filter(|_| self.full.is_none());
        [protocol, expiry, self.mending.again_at(), self.full].into_iter().flatten().min()
    }
}
