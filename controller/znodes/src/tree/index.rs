//! The index of a tree, from the hash of parent and name to the znode.
//!
//! It is made of parts, each of which grows by itself: a table of millions that grows at once keeps all who write waiting
//! for a tenth of a second. That of a tree that is loaded is made beside, by another thread, for a look at each of its
//! places takes longer than the znode itself.

use hashbrown::HashTable;

/// Ids by hash.
#[derive(Debug)]
pub(super) struct Table {
    /// By the top bits of the hash. Each entry has its hash, so that a part grows without a look at its znodes.
    parts: Box<[HashTable<(u32, u32)>]>,
    len: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| HashTable::new()).collect(), len: 0 }
    }
}

impl Table {
    /// The id of that hash for which `is_it`.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.part(hash).find(spread(hash), |&(other, id)| other == hash && is_it(id));
        found.map(|&(_, id)| id)
    }

    /// Adds an id that is not there.
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        self.part_mut(hash).insert_unique(spread(hash), (hash, id), |&(hash, _)| spread(hash));
        self.len += 1;
    }

    /// Takes an id out.
    pub(super) fn remove(&mut self, hash: u32, id: u32) {
        if let Ok(entry) = self.part_mut(hash).find_entry(spread(hash), |&(_, other)| other == id) {
            entry.remove();
            self.len -= 1;
        }
    }

    /// There will be about so many.
    fn expect(&mut self, count: usize) {
        for part in &mut self.parts {
            part.reserve((count / PARTS).saturating_sub(part.len()), |&(hash, _)| spread(hash));
        }
    }

    /// The ids of that hash.
    fn of(&self, hash: u32) -> impl Iterator<Item = u32> {
        let all = self.part(hash).iter_hash(spread(hash));
        all.filter(move |entry| entry.0 == hash).map(|entry| entry.1)
    }

    fn part(&self, hash: u32) -> &HashTable<(u32, u32)> {
        &self.parts[hash as usize >> PART_SHIFT]
    }

    fn part_mut(&mut self, hash: u32) -> &mut HashTable<(u32, u32)> {
        &mut self.parts[hash as usize >> PART_SHIFT]
    }
}

const PARTS: usize = 256;
const PART_SHIFT: u32 = 24;

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
    table: Table,
    /// Ids whose hashes are one, the earlier first.
    alike: Vec<(u32, u32)>,
    /// One that is like too many others for that to be chance.
    crowded: Option<u32>,
}

impl Index {
    /// Adds what comes next.
    pub fn add(&mut self, batch: &Batch) {
        if batch.expected > self.table.len {
            self.table.expect(batch.expected);
        }
        for &(hash, id) in &batch.entries {
            let known = self.alike.len();
            self.alike.extend(self.table.of(hash).map(|before| (before, id)).take(MOST_ALIKE));
            if self.alike.len() - known == MOST_ALIKE {
                self.crowded = Some(id);
            } else {
                self.table.insert(hash, id);
            }
        }
    }

    /// The table, if no two of its znodes have one parent and name, as `same` tells. Else the later one of such two.
    pub(super) fn into_table(self, same: impl Fn(u32, u32) -> bool) -> Result<Table, u32> {
        let twice = self.alike.iter().find(|(one, other)| same(*one, *other));
        match self.crowded.or_else(|| twice.map(|twice| twice.1)) {
            Some(id) => Err(id),
            None => Ok(self.table),
        }
    }
}

/// Of 100 million names hardly four have one hash by chance.
const MOST_ALIKE: usize = 8;

/// A part takes its buckets from the low bits and its tags from the high ones; the top bits of the hash, which all of a
/// part share, must not be all that a tag is made of.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_their_hash_in_parts_of_which_none_is_large() {
        const COUNT: u32 = 100_000;
        // As hashes are: all bits differ.
        let hash = |id: u32| id.wrapping_mul(0x9e37_79b1).rotate_left(13);
        let mut table = Table::default();
        (0..COUNT).for_each(|id| table.insert(hash(id), id));
        // Another one of the same hash.
        table.insert(hash(7), COUNT);
        assert_eq!(table.find(hash(7), |id| id == COUNT), Some(COUNT));
        assert_eq!(table.of(hash(7)).count(), 2);
        (0..COUNT).step_by(2).for_each(|id| table.remove(hash(id), id));
        for id in 0..COUNT {
            let expected = (id % 2 == 1).then_some(id);
            assert_eq!(table.find(hash(id), |found| found == id), expected);
        }
        assert_eq!(table.len, COUNT as usize / 2 + 1);
        let largest = table.parts.iter().map(HashTable::len).max();
        assert!(largest < Some(2 * table.len / PARTS), "{largest:?}");
    }
}
