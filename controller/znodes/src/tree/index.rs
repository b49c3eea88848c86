//! The index of a tree that is loaded: a look at each of its places takes longer than the znode itself, so it is
//! made beside, by another thread.

use hashbrown::HashTable;

/// Hashes of (parent, name) and ids, to be added to an [`Index`].
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) entries: Vec<(u32, u32)>,
    /// How many there will be in all, as far as is known.
    pub(crate) expected: usize,
}

impl Batch {
    /// Empties it, to be filled again.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// What will be a tree's index.
#[derive(Debug, Default)]
pub struct Index {
    table: HashTable<(u32, u32)>,
    /// Ids whose hashes are one, the earlier first.
    alike: Vec<(u32, u32)>,
    /// One that is like too many others for that to be chance.
    crowded: Option<u32>,
}

impl Index {
    /// Adds what comes next.
    pub fn add(&mut self, batch: &Batch) {
        let more = batch.expected.saturating_sub(self.table.len());
        self.table.reserve(more, |&(hash, _)| spread(hash));
        for &(hash, id) in &batch.entries {
            let before = self.table.iter_hash(spread(hash)).filter(|entry| entry.0 == hash);
            let known = self.alike.len();
            self.alike.extend(before.map(|entry| (entry.1, id)).take(MOST_ALIKE));
            if self.alike.len() - known == MOST_ALIKE {
                self.crowded = Some(id);
            } else {
                self.table.insert_unique(spread(hash), (hash, id), |&(hash, _)| spread(hash));
            }
        }
    }

    /// The table, if no two of its znodes have one parent and name, as `same` tells. Else the later one of such two.
    pub(super) fn into_table(
        self,
        same: impl Fn(u32, u32) -> bool,
    ) -> Result<HashTable<(u32, u32)>, u32> {
        let twice = self.alike.iter().find(|(one, other)| same(*one, *other));
        match self.crowded.or_else(|| twice.map(|twice| twice.1)) {
            Some(id) => Err(id),
            None => Ok(self.table),
        }
    }
}

/// Of 100 million names hardly four have one hash by chance.
const MOST_ALIKE: usize = 8;

/// The index takes its buckets from the low bits and its tags from the high ones.
pub(super) fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
