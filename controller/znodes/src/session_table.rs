//! A table by session, in order: the replicated one has timeouts.
//!
//! A copy shares its chunks with the original until one of them is written, so that a snapshot begins at
//! once however many sessions there are. **Invariant:** no chunk is empty or longer than [`CHUNK`], and
//! ids ascend through all of them.

use std::sync::Arc;

use types::SessionId;

/// Sessions, and of each a timeout in ms or another small value.
#[derive(Clone, Debug)]
pub(crate) struct SessionTable<V = i32> {
    chunks: Vec<Arc<Vec<Row<V>>>>,
    len: usize,
}

/// One session. The id is in halves, so that a row is no longer than its parts.
#[derive(Clone, Copy, Debug)]
struct Row<V> {
    high: u32,
    low: u32,
    value: V,
}

/// Rows in a chunk.
const CHUNK: usize = 256;

impl<V> Default for SessionTable<V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<V: Copy> Row<V> {
    fn new(session: SessionId, value: V) -> Self {
        let [a, b, c, d, low @ ..] = session.0.to_be_bytes();
        Self { high: u32::from_be_bytes([a, b, c, d]), low: u32::from_be_bytes(low), value }
    }

    fn session(&self) -> SessionId {
        let id = u64::from(self.high) << u32::BITS | u64::from(self.low);
        SessionId(id.cast_signed())
    }
}

impl<V: Copy> SessionTable<V> {
    pub(crate) fn get(&self, session: SessionId) -> Option<V> {
        let chunk = self.chunks.get(self.chunk_of(session))?;
        let found = chunk.binary_search_by_key(&session, Row::session);
        found.ok().map(|at| chunk[at].value)
    }

    pub(crate) fn get_mut(&mut self, session: SessionId) -> Option<&mut V> {
        let at = self.chunk_of(session);
        let chunk = self.chunks.get_mut(at)?;
        let found = chunk.binary_search_by_key(&session, Row::session).ok()?;
        Some(&mut Arc::make_mut(chunk)[found].value)
    }

    /// Adds a session, or changes its value; returns what it had.
    pub(crate) fn insert(&mut self, session: SessionId, value: V) -> Option<V> {
        let at = self.chunk_of(session);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Arc::new(vec![Row::new(session, value)]));
            self.len += 1;
            return None;
        };
        let place = match chunk.binary_search_by_key(&session, Row::session) {
            Ok(place) => {
                let before = std::mem::replace(&mut Arc::make_mut(chunk)[place].value, value);
                return Some(before);
            }
            Err(place) => place,
        };
        self.len += 1;
        let row = Row::new(session, value);
        if chunk.len() < CHUNK {
            Arc::make_mut(chunk).insert(place, row);
            return None;
        }
        // New sessions mostly have the highest id: what came before them stays full.
        let split = if place == CHUNK { CHUNK } else { CHUNK / 2 };
        let mut rest = Arc::make_mut(chunk).split_off(split);
        match place.checked_sub(split) {
            Some(place) => rest.insert(place, row),
            None => Arc::make_mut(chunk).insert(place, row),
        }
        self.chunks.insert(at + 1, Arc::new(rest));
        None
    }

    /// Removes a session; returns what it had.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<V> {
        let at = self.chunk_of(session);
        let chunk = self.chunks.get_mut(at)?;
        let place = chunk.binary_search_by_key(&session, Row::session).ok()?;
        let removed = Arc::make_mut(chunk).remove(place).value;
        self.len -= 1;
        let len = chunk.len();
        if len == 0 {
            self.chunks.remove(at);
        } else if self.chunks.get(at + 1).is_some_and(|next| len + next.len() <= CHUNK / 2) {
            let next = self.chunks.remove(at + 1);
            Arc::make_mut(&mut self.chunks[at]).extend_from_slice(&next);
        }
        Some(removed)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (SessionId, V)> {
        let rows = self.chunks.iter().flat_map(|chunk| chunk.iter());
        Rows { rows: rows.map(|row| (row.session(), row.value)), left: self.len }
    }

    /// The chunk that has the session, or would take it.
    fn chunk_of(&self, session: SessionId) -> usize {
        self.chunks.partition_point(|chunk| chunk[0].session() <= session).saturating_sub(1)
    }
}

/// Rows that know how many they are.
struct Rows<I> {
    rows: I,
    left: usize,
}

impl<I: Iterator> Iterator for Rows<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let row = self.rows.next()?;
        self.left -= 1;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Rows<I> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_row_is_no_longer_than_its_parts() {
        assert_eq!(size_of::<Row<i32>>(), 12);
        for id in [i64::MIN, -1, 0, 1, 0x0123_4567_89ab_cdef, i64::MAX] {
            assert_eq!(Row::new(SessionId(id), ()).session(), SessionId(id));
        }
    }

    proptest! {
        /// As a map, and a copy holds still.
        #[test]
        fn it_is_a_map(steps in vec((0..1500_i64, any::<bool>()), 0..3000), ascending in 0..1000_i64) {
            let (mut table, mut map) = (SessionTable::default(), BTreeMap::new());
            for id in 0..ascending {
                table.insert(SessionId(id), 1);
                map.insert(SessionId(id), 1);
            }
            let copy = (table.clone(), map.clone());
            for (at, (id, gone)) in steps.into_iter().enumerate() {
                let session = SessionId(id);
                if gone {
                    prop_assert_eq!(table.remove(session), map.remove(&session));
                } else {
                    let timeout_ms = i32::try_from(at).expect("few");
                    prop_assert_eq!(table.insert(session, timeout_ms), map.insert(session, timeout_ms));
                }
                if let Some(value) = table.get_mut(session) {
                    *value += 1;
                    map.insert(session, *value);
                }
                prop_assert_eq!(table.get(session), map.get(&session).copied());
            }
            for (table, map) in [(table, map), copy] {
                prop_assert_eq!(table.len(), map.len());
                prop_assert!(table.iter().eq(map.iter().map(|(&id, &timeout_ms)| (id, timeout_ms))));
                prop_assert!(table.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
            }
        }
    }
}
