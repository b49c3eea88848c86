//! What a member is in its ensemble, for those who ask.
//!
//! Written by the core alone; read by connections, words, commands and metrics.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use tokio::sync::watch;
use types::{Epoch, PeerId, Zxid};

/// What a member is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Role {
    /// Alone, and no ensemble's member.
    Standalone,
    /// Without a leader: no client is served.
    Looking,
    /// Without a leader, and clients that wish so read what is there.
    ReadOnly,
    /// The leader.
    Leading,
    /// A follower.
    Following,
    /// An observer.
    Observing,
}

/// A learner as its leader sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Learner {
    /// Who it is.
    pub peer: PeerId,
    /// Whether it has a vote.
    pub votes: bool,
    /// Whether it has taken over the leader's history and serves clients.
    pub synced: bool,
    /// The last transaction that it has said to have logged; observers say nothing.
    pub acknowledged: Zxid,
}

/// A member in its ensemble, at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    /// What it is.
    pub role: Role,
    /// Whom it follows, itself if it leads.
    pub leader: Option<PeerId>,
    /// The reign it takes part in; zero before the first.
    pub epoch: Epoch,
    /// On an observer: through whom it observes, the leader or a follower.
    pub master: Option<PeerId>,
    /// On a leader: those that are connected. On a follower: its observers.
    pub learners: Vec<Learner>,
    /// `election`, `discovery`, `synchronization` or `broadcast`; empty for a member alone.
    pub phase: &'static str,
    /// Its files are damaged, and it does not vote: what is missing, in words.
    pub mending: Option<String>,
}

/// The view, and its changes.
#[derive(Debug)]
pub(crate) struct Standing {
    role: AtomicU8,
    view: Mutex<View>,
    changed: watch::Sender<Role>,
}

impl Role {
    /// The word of `srvr` and `mntr`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Looking => "looking",
            Self::ReadOnly => "read-only",
            Self::Leading => "leader",
            Self::Following => "follower",
            Self::Observing => "observer",
        }
    }

    /// Whether clients are served.
    pub fn serves(self) -> bool {
        self != Self::Looking
    }
}

impl Standing {
    pub(crate) fn new(role: Role) -> Self {
        let view = View {
            role,
            leader: None,
            epoch: Epoch::default(),
            master: None,
            learners: Vec::new(),
            phase: "",
            mending: None,
        };
        let changed = watch::Sender::new(role);
        Self { role: AtomicU8::new(role as u8), view: Mutex::new(view), changed }
    }

    pub(crate) fn role(&self) -> Role {
        let role = self.role.load(Relaxed);
        let all = [Role::Standalone, Role::Looking, Role::ReadOnly, Role::Leading, Role::Following];
        all.into_iter().find(|one| *one as u8 == role).unwrap_or(Role::Observing)
    }

    /// Whether what must be ordered is not for this member to order.
    pub(crate) fn is_through(&self) -> bool {
        !matches!(self.role(), Role::Standalone | Role::Leading)
    }

    pub(crate) fn view(&self) -> View {
        self.view.lock().expect("nobody panics while holding the view").clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.lock().expect("nobody panics while holding the view");
        change(&mut view);
        self.role.store(view.role as u8, Relaxed);
        self.changed.send_if_modified(|role| std::mem::replace(role, view.role) != view.role);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Role> {
        self.changed.subscribe()
    }
}
