//! What must hold after every step, over the whole ensemble.
//!
//! Lives here: the one history that all agree on. Source: the invariants of the Zab paper and of the
//! specification work on ZooKeeper (one leader an epoch, prefix agreement, durability, primary order).

use std::collections::BTreeMap;
use std::fmt;

use types::{Epoch, PeerId, Zxid};

use crate::lineage::Lineage;
use crate::tree::Tree;

/// A promise of the protocol that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The committed history, as far as anybody has delivered it, and who led when.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    /// The hash of the history up to each committed transaction.
    committed: BTreeMap<Zxid, u64>,
    leaders: BTreeMap<Epoch, PeerId>,
    /// The end of the history that each epoch began with.
    begun: BTreeMap<Epoch, Zxid>,
    /// What each history made of a tree, by the history's hash.
    trees: BTreeMap<u64, u64>,
}

impl Checkers {
    /// A peer has this tree: whoever has the same history has the same one.
    pub(crate) fn has(&mut self, peer: PeerId, tree: &Tree) -> Result<(), Violation> {
        let Some(link) = tree.links.last() else { return Ok(()) };
        let is = tree.fingerprint();
        let was = *self.trees.entry(link.hash).or_insert(is);
        if is == was {
            return Ok(());
        }
        Err(Violation(format!("{peer}'s tree of {} is not that of others", link.zxid)))
    }

    /// A peer delivered the last transaction of its tree; `true` when it is the first to.
    pub(crate) fn delivered(&mut self, peer: PeerId, tree: &Lineage) -> Result<bool, Violation> {
        let Some(link) = tree.last() else { return Ok(false) };
        match self.committed.get(&link.zxid) {
            Some(hash) if *hash == link.hash => Ok(false),
            Some(_) => Err(Violation(format!(
                "{peer} delivers {} after another history than the first to deliver it",
                link.zxid
            ))),
            None => {
                let before = tree.newest_first().nth(1);
                let last = self.committed.last_key_value();
                if last.map(|(zxid, hash)| (*zxid, *hash))
                    != before.map(|link| (link.zxid, link.hash))
                {
                    return Err(Violation(format!(
                        "{peer} commits {} behind {before:?}, but {last:?} is committed",
                        link.zxid
                    )));
                }
                self.committed.insert(link.zxid, link.hash);
                Ok(true)
            }
        }
    }

    /// A peer leads an epoch with this tree.
    pub(crate) fn leads(
        &mut self,
        peer: PeerId,
        epoch: Epoch,
        tree: &Lineage,
    ) -> Result<(), Violation> {
        if let Some(other) = self.leaders.insert(epoch, peer)
            && other != peer
        {
            return Err(Violation(format!("{other} and {peer} both lead epoch {}", epoch.0)));
        }
        self.holds(peer, epoch, tree)?;
        let end = tree.last().map_or_else(Zxid::default, |link| link.zxid);
        self.begun.insert(epoch, end);
        // A quorum holds the leader's history by now: all of it is committed.
        let last = self.committed.last_key_value().map_or_else(Zxid::default, |(zxid, _)| *zxid);
        let fresh = tree.newest_first().take_while(|link| link.zxid > last);
        self.committed.extend(fresh.map(|link| (link.zxid, link.hash)));
        Ok(())
    }

    /// A peer starts with this on its disk: whoever claims an epoch has the history that it began with.
    pub(crate) fn starts(&self, peer: PeerId, current: Epoch, last: Zxid) -> Result<(), Violation> {
        match self.begun.get(&current) {
            Some(begun) if last < *begun => Err(Violation(format!(
                "{peer} claims epoch {}, which began with {begun}, and has {last}",
                current.0
            ))),
            _ => Ok(()),
        }
    }

    /// A peer serves clients as a learner: all that it has is committed, and it has all that the epoch began with.
    pub(crate) fn follows(
        &self,
        peer: PeerId,
        epoch: Epoch,
        tree: &Lineage,
    ) -> Result<(), Violation> {
        let end = tree.last().map_or_else(Zxid::default, |link| link.zxid);
        if self.begun.get(&epoch).is_none_or(|begun| end < *begun) {
            let epoch = epoch.0;
            return Err(Violation(format!("{peer} serves {end} in epoch {epoch}, too little")));
        }
        match tree.last() {
            Some(link) if self.committed.get(&link.zxid) != Some(&link.hash) => Err(Violation(
                format!("{peer} serves {}, which nobody has committed like that", link.zxid),
            )),
            _ => Ok(()),
        }
    }

    /// All that was committed in earlier epochs is in this tree. Of later ones it may know nothing: a leader
    /// that stood still finds the last word of its quorum waiting, leads by it, and hears only then that it is
    /// deposed. It commits nothing more, which [`Self::delivered`] sees to.
    fn holds(&self, peer: PeerId, epoch: Epoch, tree: &Lineage) -> Result<(), Violation> {
        let mut earlier = self.committed.range(..Zxid::new(epoch, 0));
        let Some((zxid, hash)) = earlier.next_back() else { return Ok(()) };
        if tree.find(*zxid).is_some_and(|link| link.hash == *hash) {
            return Ok(());
        }
        Err(Violation(format!("{peer} lost the committed {zxid}: it has {:?}", tree.last())))
    }

    /// Whether a transaction is.
    pub(crate) fn is_committed(&self, zxid: Zxid) -> bool {
        self.committed.contains_key(&zxid)
    }

    /// The last committed transaction.
    pub(crate) fn last(&self) -> Zxid {
        self.committed.last_key_value().map_or_else(Zxid::default, |(zxid, _)| *zxid)
    }

    /// How many transactions are committed.
    pub(crate) fn committed(&self) -> usize {
        self.committed.len()
    }

    /// How many epochs have a last transaction of this counter.
    pub(crate) fn full(&self, counter: u32) -> usize {
        self.committed.keys().filter(|zxid| zxid.counter() == counter).count()
    }

    /// How many epochs were led.
    pub(crate) fn epochs(&self) -> usize {
        self.leaders.len()
    }
}
