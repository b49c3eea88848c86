//! A member's disk: one queue of writes, done in order, of which a crash keeps what was flushed.
//!
//! Lives here: what is durable and what only was written. Must not: decide when a write ends (the world does).

use std::collections::VecDeque;

use types::{Epoch, PeerId, Zxid};
use zab::{Durable, Located, SavedEpoch, Txn};

use crate::checkers::Violation;
use crate::tree::{Base, Tree};

/// What is on disk, and what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// The snapshot that the log goes on from; empty and zxid 0 at first.
    base: Base,
    log: Vec<Txn>,
    accepted: Epoch,
    current: Epoch,
    queue: VecDeque<Write>,
    /// How many of the queue, from its front, the write under way covers; 0 when the disk is idle.
    under_way: usize,
    /// There is no room for appends.
    pub(crate) full: bool,
}

/// One thing to write.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Append(Txn),
    Epoch(SavedEpoch),
    Truncate(Zxid),
    Install(Base),
}

/// What a finished write tells.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Flushed(Zxid),
    Epoch(SavedEpoch),
    Truncated(Zxid),
    Installed(Zxid),
    Refused { first: Zxid },
}

impl Disk {
    pub(crate) fn write(&mut self, write: Write) {
        self.queue.push_back(write);
    }

    /// Begins the next write if the disk is idle; one flush covers all appends that wait. `true` when begun.
    pub(crate) fn begin(&mut self) -> bool {
        if self.under_way > 0 || self.queue.is_empty() {
            return false;
        }
        let appends = self.queue.iter().take_while(|write| matches!(write, Write::Append(_)));
        self.under_way = appends.count().max(1);
        true
    }

    /// The write under way is done.
    pub(crate) fn end(&mut self) -> Result<Option<Written>, Violation> {
        let count = std::mem::take(&mut self.under_way);
        if self.full {
            return Ok(self.refuse());
        }
        let mut written = None;
        for write in self.queue.drain(..count).collect::<Vec<_>>() {
            written = Some(match write {
                Write::Append(txn) => {
                    let zxid = txn.zxid;
                    self.append(txn)?;
                    Written::Flushed(zxid)
                }
                Write::Epoch(saved) => {
                    self.save(saved)?;
                    Written::Epoch(saved)
                }
                Write::Truncate(zxid) => {
                    self.truncate(zxid)?;
                    Written::Truncated(zxid)
                }
                Write::Install(base) => {
                    let zxid = base.zxid;
                    self.base = base;
                    self.log.clear();
                    Written::Installed(zxid)
                }
            });
        }
        Ok(written)
    }

    /// No room: appends are refused, other writes wait.
    fn refuse(&mut self) -> Option<Written> {
        let Some(Write::Append(first)) = self.queue.front() else { return None };
        let first = first.zxid;
        self.queue.retain(|write| !matches!(write, Write::Append(_)));
        Some(Written::Refused { first })
    }

    /// The host dies: of the write under way a part may have reached the platter, `part` of 256.
    pub(crate) fn crash(&mut self, part: u8) -> Result<(), Violation> {
        let kept = self.under_way * usize::from(part) / 256;
        self.under_way = 0;
        let queue = std::mem::take(&mut self.queue);
        if self.full {
            return Ok(());
        }
        for write in queue.into_iter().take(kept) {
            match write {
                Write::Append(txn) => self.append(txn)?,
                Write::Epoch(saved) => self.save(saved)?,
                // Both take effect by one rename, or not at all.
                Write::Truncate(_) | Write::Install(_) => {}
            }
        }
        Ok(())
    }

    fn append(&mut self, txn: Txn) -> Result<(), Violation> {
        let last = self.last();
        if txn.zxid <= last {
            return Err(Violation(format!("{} is appended behind {last}", txn.zxid)));
        }
        self.log.push(txn);
        Ok(())
    }

    fn save(&mut self, saved: SavedEpoch) -> Result<(), Violation> {
        let (file, epoch) = match saved {
            SavedEpoch::Accepted(epoch) => (&mut self.accepted, epoch),
            SavedEpoch::Current(epoch) => (&mut self.current, epoch),
        };
        if epoch < *file {
            return Err(Violation(format!("an epoch goes back from {} to {}", file.0, epoch.0)));
        }
        *file = epoch;
        Ok(())
    }

    fn truncate(&mut self, zxid: Zxid) -> Result<(), Violation> {
        let kept = self.log.partition_point(|txn| txn.zxid <= zxid);
        self.log.truncate(kept);
        if self.last() != zxid {
            return Err(Violation(format!("truncated to {zxid}, which is not in the log")));
        }
        Ok(())
    }

    /// The last durable transaction.
    pub(crate) fn last(&self) -> Zxid {
        self.log.last().map_or(self.base.zxid, |txn| txn.zxid)
    }

    /// What a start finds.
    pub(crate) fn durable(&self) -> Durable {
        Durable { accepted: self.accepted, current: self.current, last_logged: self.last() }
    }

    /// The tree that a start builds.
    pub(crate) fn tree(&self, me: PeerId) -> Result<Tree, Violation> {
        let mut tree = Tree::read(&self.base)?;
        for txn in &self.log {
            tree.apply(me, txn)?;
        }
        Ok(tree)
    }

    /// Where a learner's history ends in this log.
    pub(crate) fn locate(&self, last: Zxid) -> Located {
        let upto = self.log.partition_point(|txn| txn.zxid <= last);
        let at = upto.checked_sub(1).and_then(|index| self.log.get(index));
        match at.map_or(self.base.zxid, |txn| txn.zxid) {
            at if at == last => Located::Here,
            at if at > last => Located::Gone,
            at => Located::After(at),
        }
    }

    /// The log after one zxid up to another.
    pub(crate) fn range(&self, after: Zxid, upto: Zxid) -> impl Iterator<Item = &Txn> {
        self.log.iter().filter(move |txn| txn.zxid > after && txn.zxid <= upto)
    }
}
