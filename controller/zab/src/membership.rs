//! Who decides: the configuration in force, and one that may take its place.
//!
//! Lives here: which of the two must agree on what. Must not: when one takes the other's place (`reconfiguration`). While a later
//! one has been seen and is not committed, leaders are chosen by quorums of both. Source: Apache's `QuorumPeer`,
//! `getLastSeenQuorumVerifier`; `SyncedLearnerTracker`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::{PeerId, Zxid};

use crate::Voters;

/// The members of an ensemble as of one reconfiguration. The driver makes it of text, and keeps the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The transaction that brought it; zero for what members were started with.
    pub version: Zxid,
    /// Who decides.
    pub voters: Voters,
    /// Who observes. Whoever is in neither may follow without a vote.
    pub observers: BTreeSet<PeerId>,
    /// The quorum address of each, as written: a leader whose address changes gives way.
    pub addresses: BTreeMap<PeerId, Arc<str>>,
}

impl Config {
    /// These members with another version.
    #[must_use]
    pub fn at(&self, version: Zxid) -> Self {
        Self { version, ..self.clone() }
    }
}

/// What a peer knows of who decides.
#[derive(Debug)]
pub(crate) struct Membership {
    voters: Voters,
    /// In force; `None`: reconfiguration is off.
    config: Option<Arc<Config>>,
    /// Seen, later than the one in force, and not known to be committed.
    next: Option<Arc<Config>>,
}

impl Membership {
    pub(crate) fn fixed(voters: Voters) -> Self {
        Self { voters, config: None, next: None }
    }

    /// Reconfiguration is on.
    pub(crate) fn set(&mut self, config: Arc<Config>, next: Option<Arc<Config>>) {
        self.next = next.filter(|next| next.version > config.version);
        self.voters = config.voters.clone();
        self.config = Some(config);
    }

    pub(crate) fn config(&self) -> Option<&Arc<Config>> {
        self.config.as_ref()
    }

    pub(crate) fn next(&self) -> Option<&Arc<Config>> {
        self.next.as_ref()
    }

    /// Remembers a later configuration; `true` when it is news.
    pub(crate) fn foresee(&mut self, next: &Arc<Config>) -> bool {
        let Some(config) = &self.config else { return false };
        let newest = self.next.as_ref().map_or(config.version, |next| next.version);
        let news = next.version > newest;
        if news {
            self.next = Some(Arc::clone(next));
        }
        news
    }

    /// The last one that the leader knows of takes the place of whatever was foreseen.
    pub(crate) fn settle(&mut self, last: &Arc<Config>) {
        if let Some(config) = &self.config {
            self.next = Some(Arc::clone(last)).filter(|last| last.version > config.version);
        }
    }

    /// A later configuration takes the place of the one in force; `true` when it does.
    pub(crate) fn activate(&mut self, config: &Arc<Config>) -> bool {
        let later = self.config.as_ref().is_some_and(|now| config.version > now.version);
        if later {
            self.next.take_if(|next| next.version <= config.version);
            self.voters = config.voters.clone();
            self.config = Some(Arc::clone(config));
        }
        later
    }

    /// The transactions after `last` are not in this peer's log; `true` when one of them was to bring other members. Those that an
    /// ensemble was started with come with none.
    pub(crate) fn withdraw_after(&mut self, last: Zxid) -> bool {
        let is_lost = |next: &mut Arc<Config>| next.version > last && next.version.counter() > 0;
        self.next.take_if(is_lost).is_some()
    }

    /// Those that decide now.
    pub(crate) fn voters(&self) -> &Voters {
        &self.voters
    }

    /// Whether the peers that `has` picks can decide under each configuration that counts.
    pub(crate) fn decide(&self, mut has: impl FnMut(PeerId) -> bool) -> bool {
        self.voters.decide(&mut has)
            && self.next.as_ref().is_none_or(|next| next.voters.decide(&mut has))
    }

    /// Whether this peer votes under either.
    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.all().any(|voters| voters.contains(peer))
    }

    /// Whether this peer may lead under either. One that the later configuration leaves out may have the history that
    /// brings it.
    pub(crate) fn may_lead(&self, peer: PeerId) -> bool {
        self.all().any(|voters| voters.may_lead(peer))
    }

    /// All that vote under either.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PeerId> + '_ {
        let more = self.next.iter().flat_map(|next| next.voters.iter());
        self.voters.iter().chain(more.filter(|peer| !self.voters.contains(*peer)))
    }

    /// Whether nobody but this peer votes.
    pub(crate) fn is_only(&self, peer: PeerId) -> bool {
        self.all().all(|voters| voters.is_only(peer))
    }

    fn all(&self) -> impl Iterator<Item = &Voters> {
        std::iter::once(&self.voters).chain(self.next.iter().map(|next| &next.voters))
    }
}
