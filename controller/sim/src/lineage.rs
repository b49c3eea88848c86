//! The transactions that made a tree, each with the hash of all up to it.
//!
//! Lives here: how two histories are compared, and how one is kept by many at once: trees, snapshots on disks and on their way.

use std::rc::Rc;

use types::Zxid;

/// A transaction in a history, with the hash of all up to it: equal hashes are equal histories.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Link {
    pub(crate) zxid: Zxid,
    pub(crate) hash: u64,
}

/// A history since the beginning of the ensemble. Its copies share all but its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    /// Of [`PART`] links each.
    parts: Vec<Rc<[Link]>>,
    /// Fewer.
    end: Vec<Link>,
}

impl Link {
    /// The one behind `before`.
    pub(crate) fn after(before: Option<Self>, zxid: Zxid, body: &[u8]) -> Self {
        let hash = before.map_or(OFFSET, |link| link.hash);
        let hash = hashed(hash, &zxid.bits().to_be_bytes());
        Self { zxid, hash: hashed(hash, body) }
    }
}

impl Lineage {
    pub(crate) fn push(&mut self, link: Link) {
        self.end.push(link);
        if self.end.len() == PART {
            self.parts.push(Rc::from(&*self.end));
            self.end.clear();
        }
    }

    pub(crate) fn last(&self) -> Option<Link> {
        self.newest_first().next()
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = Link> {
        let parts = self.parts.iter().rev().flat_map(|part| part.iter().rev());
        self.end.iter().rev().chain(parts).copied()
    }

    /// The link of a transaction.
    pub(crate) fn find(&self, zxid: Zxid) -> Option<Link> {
        let before = |part: &Rc<[Link]>| part.last().is_some_and(|link| link.zxid < zxid);
        let part = self.parts.get(self.parts.partition_point(before));
        let part = part.map_or(&*self.end, |part| &**part);
        let place = part.binary_search_by_key(&zxid, |link| link.zxid).ok()?;
        part.get(place).copied()
    }
}

/// Goes on with a sum (FNV-1a).
pub(crate) fn hashed(sum: u64, bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(sum, step)
}

pub(crate) const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
/// So many links are copied at most.
const PART: usize = 128;

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;

    #[test]
    fn what_was_pushed_is_found_across_parts() {
        let mut all = Lineage::default();
        let count = u32::try_from(PART).expect("it is small") * 2 + 1;
        for counter in 1..=count {
            assert_eq!(all.last().map_or(0, |link| link.zxid.counter()), counter - 1);
            all.push(Link::after(all.last(), Zxid::new(Epoch(1), counter), b"body"));
        }
        for counter in 1..=count {
            let zxid = Zxid::new(Epoch(1), counter);
            assert_eq!(all.find(zxid).map(|link| link.zxid), Some(zxid));
        }
        assert_eq!(all.find(Zxid::new(Epoch(1), count + 1)), None);
        assert!(all.newest_first().map(|link| link.zxid.counter()).eq((1..=count).rev()));
    }
}
