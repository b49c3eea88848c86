//! What a member has applied: the replicated state, and the hash of the history that made it.
//!
//! Lives here: transactions into the real state machine, its snapshots, and what two trees are compared by.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use jute::Entry;
use storage::SnapshotDigest;
use types::{PeerId, Zxid};
use zab::Txn;
use znodes::{Applied, State, snapshot};

use crate::checkers::Violation;
use crate::lineage::{Lineage, Link, OFFSET, hashed};

/// A member's tree.
#[derive(Debug)]
pub(crate) struct Tree {
    /// All that was applied, since the beginning of the ensemble.
    pub(crate) links: Lineage,
    pub(crate) state: State,
}

/// A tree as a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) zxid: Zxid,
    pub(crate) body: Bytes,
    pub(crate) digest: SnapshotDigest,
    /// What its tree is known by.
    fingerprint: u64,
    links: Lineage,
}

/// The histories of all snapshots that were ever on a disk: no file tells them.
#[derive(Debug, Default)]
pub(crate) struct Known(RefCell<BTreeMap<(Zxid, u64), Lineage>>);

impl Known {
    /// A snapshot is written.
    pub(crate) fn note(&self, base: &Base) {
        self.0.borrow_mut().insert((base.zxid, base.fingerprint), base.links.clone());
    }
}

impl Tree {
    /// That of a member that has nothing.
    pub(crate) fn new() -> Self {
        Self { links: Lineage::default(), state: State::new(HASH_SEED) }
    }

    /// The tree of a snapshot that was read.
    pub(crate) fn of(zxid: Zxid, state: State, known: &Known) -> Result<Self, Violation> {
        let mut tree = Self { links: Lineage::default(), state };
        match known.0.borrow().get(&(zxid, tree.fingerprint())) {
            Some(links) => tree.links.clone_from(links),
            None => return Err(Violation(format!("a snapshot of {zxid} is none that was taken"))),
        }
        Ok(tree)
    }

    /// The tree that a snapshot was made of.
    pub(crate) fn read(base: &Base) -> Result<Self, Violation> {
        let read = snapshot::read(&mut base.body.as_ref(), base.zxid, usize::MAX, HASH_SEED);
        let state =
            read.map_err(|why| Violation(format!("the snapshot of {}: {why}", base.zxid)))?;
        Ok(Self { links: base.links.clone(), state })
    }

    /// A snapshot of it.
    pub(crate) fn freeze(&self) -> Base {
        let frozen = self.state.freeze();
        let mut body = Vec::new();
        // Nothing is refused by a vector.
        let _written = frozen.write(&mut body);
        let (zxid, digest) = (self.last(), frozen.digest());
        let digest = SnapshotDigest { zxid, version: digest.version, digest: digest.tree };
        let fingerprint = self.fingerprint();
        Base { zxid, body: body.into(), digest, fingerprint, links: self.links.clone() }
    }

    /// The last transaction that was applied.
    pub(crate) fn last(&self) -> Zxid {
        self.links.last().map_or_else(Zxid::default, |link| link.zxid)
    }

    /// Whether its history has this transaction.
    pub(crate) fn has(&self, zxid: Zxid) -> bool {
        self.links.find(zxid).is_some()
    }

    /// What is applied next, which must continue the tree.
    pub(crate) fn next(&self, me: PeerId, txn: &Txn) -> Result<Entry, Violation> {
        let last = self.last();
        let next = last.next() == Some(txn.zxid)
            || txn.zxid.epoch() > last.epoch() && txn.zxid.counter() == 1;
        if !next {
            return Err(Violation(format!("{me} applies {} behind {last}", txn.zxid)));
        }
        Entry::decode(&txn.body)
            .map_err(|why| Violation(format!("{me} applies {}: {why}", txn.zxid)))
    }

    /// Applies what nobody waits for.
    pub(crate) fn apply(&mut self, me: PeerId, txn: &Txn) -> Result<(), Violation> {
        let entry = self.next(me, txn)?;
        self.apply_next(me, txn, &entry).map(drop)
    }

    /// Applies it, which must make of the tree what its leader said.
    pub(crate) fn apply_next(
        &mut self,
        me: PeerId,
        txn: &Txn,
        entry: &Entry,
    ) -> Result<Applied, Violation> {
        let applied = self.state.apply(&entry.header, &entry.txn);
        if entry.digest.is_some_and(|digest| !self.state.agrees_with(digest)) {
            let zxid = txn.zxid;
            return Err(Violation(format!(
                "{me}'s tree of {zxid} is not the one its leader meant"
            )));
        }
        self.links.push(Link::after(self.links.last(), txn.zxid, &txn.body));
        Ok(applied)
    }

    /// Equal histories have equal ones: of all znodes, and of the sessions.
    pub(crate) fn fingerprint(&self) -> u64 {
        let sum = hashed(OFFSET, &self.state.digest().tree.to_be_bytes());
        self.state.sessions().fold(sum, |sum, (session, timeout_ms)| {
            let sum = hashed(sum, &session.0.to_be_bytes());
            hashed(sum, &timeout_ms.to_be_bytes())
        })
    }
}

/// Where hash maps begin: nothing that is seen depends on it.
pub(crate) const HASH_SEED: u64 = 1;
