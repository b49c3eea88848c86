//! What peers promised each other, written down as they do it, and the rules that it must keep.
//!
//! 1. An epoch has one leader.
//! 2. A zxid stands for one transaction, unless it was taken back by the only one that had it.
//! 3. Whoever delivers a transaction has before it all that anybody delivered before it, and nothing else.
//! 4. With each peer a configuration follows an earlier one, and a version is one configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::{Epoch, PeerId, Zxid};
use zab::{Config, Txn};

/// All that was promised so far.
#[derive(Default)]
pub(crate) struct Ledger {
    leaders: BTreeMap<Epoch, PeerId>,
    logged: BTreeMap<Zxid, Txn>,
    pub(crate) committed: BTreeSet<Zxid>,
    configs: BTreeMap<Zxid, Arc<Config>>,
}

impl Ledger {
    pub(crate) fn leads(&mut self, id: PeerId, epoch: Epoch) {
        let leader = *self.leaders.entry(epoch).or_insert(id);
        assert_eq!(leader, id, "two lead epoch {}", epoch.0);
    }

    pub(crate) fn logs(&mut self, id: PeerId, txn: &Txn) {
        let known = self.logged.entry(txn.zxid).or_insert_with(|| txn.clone());
        assert_eq!(known, txn, "{id} logs another transaction of the same zxid");
    }

    pub(crate) fn takes_back(&mut self, id: PeerId, first: Zxid) {
        self.logged.split_off(&first);
        let kept = self.committed.range(first..).next();
        assert_eq!(kept, None, "{id} takes back what was delivered");
    }

    /// `tree`: all that it has applied, in order, the last of it just delivered.
    pub(crate) fn delivers(&mut self, id: PeerId, tree: &[Zxid]) {
        let Some(last) = tree.last() else { return };
        self.committed.extend(tree);
        let all: Vec<_> = self.committed.range(..=last).copied().collect();
        assert_eq!(tree, all, "{id} delivers {last}, and has not what belongs before it");
    }

    pub(crate) fn activates(&mut self, id: PeerId, before: Option<&Config>, config: &Arc<Config>) {
        let later = before.is_none_or(|before| before.version < config.version);
        assert!(later, "{id} goes back to {}", config.version);
        let known = self.configs.entry(config.version).or_insert_with(|| Arc::clone(config));
        assert_eq!(known, config, "{id} has other members of the same version");
    }

    /// The configurations that were in force anywhere, but for first ones, which no transaction brings.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = Zxid> + '_ {
        self.configs.keys().copied().filter(|version| version.counter() > 0)
    }
}
