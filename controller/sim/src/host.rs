//! One member: the protocol, its disk and its tree.
//!
//! Lives here: what lives and dies with a host. Must not: other hosts (the world connects them).

use std::collections::BTreeMap;

use types::{Instant, PeerId};
use zab::{Settings, Zab};

use crate::checkers::Violation;
use crate::disk::Disk;
use crate::server::Server;
use crate::tree::{Base, Tree};

/// A member on its machine.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) settings: Settings,
    pub(crate) disk: Disk,
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
    #[cfg(feature = "mutants")]
    pub(crate) defect: Option<crate::Defect>,
}

/// What a process has in memory.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) zab: Zab,
    pub(crate) tree: Tree,
    pub(crate) server: Server,
    /// The connection to the leader that is followed.
    pub(crate) up: Option<(usize, u64)>,
    /// As a leader: the newest connection of each learner.
    pub(crate) learners: BTreeMap<usize, u64>,
    /// When the next tick is due, as scheduled.
    pub(crate) tick_at: Option<Instant>,
    /// It leads, or follows in step.
    pub(crate) serves: bool,
    /// The state that came with SNAP and is not installed.
    pub(crate) received: Option<Base>,
    pub(crate) stopping: bool,
    #[cfg(feature = "mutants")]
    pub(crate) defect: Option<crate::Defect>,
}

impl Host {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            disk: Disk::default(),
            running: None,
            run: 0,
            paused_until: Instant::ZERO,
            slow_by: std::time::Duration::ZERO,
            #[cfg(feature = "mutants")]
            mutation: None,
            #[cfg(feature = "mutants")]
            defect: None,
        }
    }

    pub(crate) fn me(&self) -> PeerId {
        self.settings.me
    }

    pub(crate) fn start(&mut self, now: Instant) -> Result<(), Violation> {
        self.run += 1;
        let zab = Zab::new(self.settings.clone(), self.disk.durable());
        #[cfg(feature = "mutants")]
        let zab = zab.mutated(self.mutation);
        self.running = Some(Running {
            zab,
            tree: self.disk.tree(self.settings.me)?,
            server: Server::new(self.settings.me, now),
            up: None,
            learners: BTreeMap::new(),
            tick_at: None,
            serves: false,
            received: None,
            stopping: false,
            #[cfg(feature = "mutants")]
            defect: self.defect,
        });
        Ok(())
    }

    pub(crate) fn crash(&mut self, part: u8) -> Result<(), Violation> {
        self.running = None;
        self.run += 1;
        self.disk.crash(part)
    }
}
