//! The arena: pages of slots that copies share until one of them is written.
//!
//! A page keeps the bytes of its znodes in one heap of its own, so that a znode costs no allocation; what
//! is long lies beside it, shared between copies. A change of length moves what follows: that is some KB
//! at most, and nothing is wasted. **Invariant:** each byte of a heap is of one slot, and `kids` has an
//! entry for just the slots with children, in their order.

use std::ops::Range;
use std::sync::Arc;

use jute::StatPersisted;

use super::body::Body;
use super::{NONE, NodeId, Tree};
use crate::acls::AclId;

/// Znodes in a page.
const PAGE: usize = 64;
/// The longest body that lies in a page's heap; so a heap never outgrows 16-bit offsets.
const LONGEST: usize = 512;
/// The part of a full page's heap that may stay free once it has grown.
const SLACK: usize = 16;

/// A znode's fixed part: 20 bytes.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) parent: u32,
    /// The next sibling; of a vacant slot, the next vacant one.
    pub(super) next: u32,
    /// The sibling before.
    pub(super) prev: u32,
    pub(super) acl: AclId,
    /// Where its bytes begin in the heap; [`BESIDE`] for a long body.
    at: u16,
    /// How many they are; 0 for a vacant slot and for a long body.
    length: u16,
}

const BESIDE: u16 = u16::MAX;

/// The children of a znode that has any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kids {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) count: u32,
}

/// The arena; cloning shares the pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    all: Vec<Arc<Page>>,
    /// What the heap of the last page that became full takes: the next one's will, mostly.
    typical: usize,
}

#[derive(Clone, Debug)]
struct Page {
    slots: [Slot; PAGE],
    /// By slot.
    kids: Vec<(u8, Kids)>,
    heap: Vec<u8>,
    /// Long bodies, by slot.
    beside: Vec<(u8, Arc<[u8]>)>,
    /// Slots that have a body.
    used: usize,
}

impl Pages {
    pub(super) fn slot(&self, id: NodeId) -> &Slot {
        &self.page(id).slots[place(id)]
    }

    pub(super) fn slot_mut(&mut self, id: NodeId) -> &mut Slot {
        &mut self.page_mut(id).slots[place(id)]
    }

    pub(super) fn body(&self, id: NodeId) -> Body<'_> {
        let page = self.page(id);
        let slot = &page.slots[place(id)];
        Body::new(match slot.at {
            BESIDE => page.beside(place(id)),
            _ => &page.heap[slot.range()],
        })
    }

    /// The same to be changed in place; `None`: copies may share it.
    pub(super) fn body_mut(&mut self, id: NodeId) -> Option<&mut [u8]> {
        let page = self.page_mut(id);
        let slot = &page.slots[place(id)];
        (slot.at != BESIDE).then(|| &mut page.heap[slot.range()])
    }

    /// Fills a vacant slot: the last of its parent's children, behind `prev`.
    pub(super) fn fill(&mut self, id: NodeId, parent: u32, prev: u32, acl: AclId, bytes: &[u8]) {
        let typical = self.typical;
        // Mostly both are in one page.
        let is_near = prev as usize / PAGE == id.index() / PAGE;
        if prev != NONE && !is_near {
            self.slot_mut(NodeId(prev)).next = id.0;
        }
        let page = self.page_mut(id);
        if is_near {
            page.slots[place(NodeId(prev))].next = id.0;
        }
        let slot = &mut page.slots[place(id)];
        (slot.parent, slot.prev, slot.next, slot.acl) = (parent, prev, NONE, acl);
        if page.heap.capacity() == 0 {
            page.heap.reserve_exact(typical);
        }
        if page.set_body(place(id), bytes) {
            self.typical = page.heap.len();
        }
    }

    /// Replaces a znode's bytes by these, which are one at least.
    pub(super) fn set_body(&mut self, id: NodeId, bytes: &[u8]) {
        self.page_mut(id).set_body(place(id), bytes);
    }

    pub(super) fn kids(&self, id: NodeId) -> Option<Kids> {
        let kids = &self.page(id).kids;
        kids.binary_search_by_key(&key(id), |kid| kid.0).ok().map(|at| kids[at].1)
    }

    /// `None` when the last child is gone.
    pub(super) fn set_kids(&mut self, id: NodeId, now: Option<Kids>) {
        let kids = &mut self.page_mut(id).kids;
        match (kids.binary_search_by_key(&key(id), |kid| kid.0), now) {
            (Ok(at), Some(now)) => kids[at].1 = now,
            (Ok(at), None) => drop(kids.remove(at)),
            (Err(at), Some(now)) => kids.insert(at, (key(id), now)),
            (Err(_), None) => {}
        }
    }

    /// Gives a slot back, with its bytes.
    pub(super) fn vacate(&mut self, id: NodeId, next: u32) {
        let page = self.page_mut(id);
        page.resize(place(id), 0);
        page.slots[place(id)] = Slot::vacant(next);
        page.used -= 1;
        if page.heap.capacity() > 2 * page.heap.len() {
            page.heap.shrink_to_fit();
        }
    }

    /// There will be about so many znodes.
    pub(super) fn expect(&mut self, count: usize) {
        self.all.reserve((count / PAGE).saturating_sub(self.all.len()));
    }

    /// Adds a page of vacant slots, linked so that it is filled from its start; returns the first.
    pub(super) fn grow(&mut self) -> u32 {
        let start = u32::try_from(self.all.len() * PAGE).expect("memory ends before ids do");
        let slot = |at: usize| {
            let next = u32::try_from(at + 1).expect("within a page");
            Slot::vacant(if at + 1 == PAGE { NONE } else { start + next })
        };
        self.all.push(Arc::new(Page {
            slots: std::array::from_fn(slot),
            kids: Vec::new(),
            heap: Vec::new(),
            beside: Vec::new(),
            used: 0,
        }));
        start
    }

    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.kids(id).map(|kids| NodeId(kids.first));
        first.into_iter().flat_map(|first| self.siblings_from(first))
    }

    pub(super) fn siblings_from(&self, first: NodeId) -> impl Iterator<Item = NodeId> {
        let some = |id: u32| (id != NONE).then_some(NodeId(id));
        std::iter::successors(Some(first), move |&at| some(self.slot(at).next))
    }

    /// A vacant slot is nobody's child, and there may be no such slot.
    pub(super) fn is_child(&self, id: NodeId, parent: NodeId) -> bool {
        let slots = self.all.get(id.index() / PAGE).map(|page| &page.slots);
        slots.is_some_and(|slots| slots[place(id)].parent == parent.0)
    }

    /// Shows every znode to `visit`, parents first, siblings in their order: path ("" for the root), data, ACL
    /// and stat.
    pub(crate) fn walk<E>(
        &self,
        mut visit: impl FnMut(&str, Option<&[u8]>, AclId, &StatPersisted) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut path = String::new();
        // Each: a znode, and how long its parent's path is.
        let mut stack = vec![(Tree::ROOT, 0)];
        while let Some((id, parent_length)) = stack.pop() {
            let body = self.body(id);
            path.truncate(parent_length);
            if id != Tree::ROOT {
                path.push('/');
                path.push_str(body.name());
            }
            let (stat, data) = body.parts();
            visit(&path, data, self.slot(id).acl, &stat)?;
            let start = stack.len();
            stack.extend(self.children(id).map(|child| (child, path.len())));
            // The oldest comes first, so that who reads them back has them in the same order.
            stack[start..].reverse();
        }
        Ok(())
    }

    fn page(&self, id: NodeId) -> &Page {
        &self.all[id.0 as usize / PAGE]
    }

    fn page_mut(&mut self, id: NodeId) -> &mut Page {
        Arc::make_mut(&mut self.all[id.0 as usize / PAGE])
    }
}

impl Page {
    /// True when the page is full by this.
    fn set_body(&mut self, at: usize, bytes: &[u8]) -> bool {
        let fresh = self.slots[at].is_vacant();
        self.used += usize::from(fresh);
        if bytes.len() > LONGEST {
            self.resize(at, 0);
            let key = key_of(at);
            let place = self.beside.partition_point(|beside| beside.0 < key);
            self.beside.insert(place, (key, bytes.into()));
            self.slots[at].at = BESIDE;
        } else if fresh && self.heap.capacity() - self.heap.len() >= bytes.len() {
            self.slots[at].at = short(self.heap.len());
            self.slots[at].length = short(bytes.len());
            self.heap.extend_from_slice(bytes);
        } else {
            self.resize(at, bytes.len());
            let range = self.slots[at].range();
            self.heap[range].copy_from_slice(bytes);
        }
        let is_full = fresh && self.used == PAGE;
        if is_full {
            // Most znodes are never changed; a page of those that are grows again.
            self.heap.shrink_to_fit();
        }
        is_full
    }

    /// Makes a slot's bytes so many; their content is to be set. What it had beside the heap is gone.
    fn resize(&mut self, at: usize, length: usize) {
        if self.slots[at].at == BESIDE {
            let key = key_of(at);
            self.beside.retain(|beside| beside.0 != key);
        }
        let old = usize::from(self.slots[at].length);
        if old == length {
            return;
        }
        if old == 0 {
            self.slots[at].at = short(self.heap.len());
        }
        let Range { start, end } = self.slots[at].range();
        let heap_end = self.heap.len();
        if length > old {
            let more = length - old;
            if self.heap.capacity() < heap_end + more {
                let step = if self.used == PAGE { SLACK } else { 4 };
                self.heap.reserve_exact(more.max(heap_end / step));
            }
            self.heap.resize(heap_end + more, 0);
            self.heap.copy_within(end..heap_end, start + length);
        } else {
            self.heap.copy_within(end.., start + length);
            self.heap.truncate(heap_end - (old - length));
        }
        self.slots[at].length = short(length);
        let moved = |slot: &&mut Slot| slot.length > 0 && usize::from(slot.at) > start;
        for slot in self.slots.iter_mut().filter(moved) {
            slot.at = short(usize::from(slot.at) + length - old);
        }
        if length == 0 {
            self.slots[at].at = 0;
        }
    }

    fn beside(&self, at: usize) -> &[u8] {
        let found = self.beside.binary_search_by_key(&key_of(at), |beside| beside.0);
        &self.beside[found.expect("the slot says so")].1
    }
}

impl Slot {
    fn vacant(next: u32) -> Self {
        Self { parent: NONE, next, prev: NONE, acl: AclId::OPEN, at: 0, length: 0 }
    }

    fn is_vacant(&self) -> bool {
        self.at != BESIDE && self.length == 0
    }

    fn range(&self) -> Range<usize> {
        let begin = usize::from(self.at);
        begin..begin + usize::from(self.length)
    }
}

fn place(id: NodeId) -> usize {
    id.0 as usize % PAGE
}

fn key(id: NodeId) -> u8 {
    key_of(place(id))
}

fn key_of(place: usize) -> u8 {
    u8::try_from(place).expect("within a page")
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("64 bodies of 512 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Bodies of any length, set and taken back in any order, beside a copy that holds still.
        #[test]
        fn bodies_are_what_was_set(steps in vec((0..64_u32, 0..1200_usize, any::<u8>()), 1..300)) {
            let mut pages = Pages::default();
            pages.grow();
            let mut expected: Vec<Vec<u8>> = vec![Vec::new(); PAGE];
            let mut copies = Vec::new();
            for (at, length, byte) in steps {
                let id = NodeId(at);
                let at = at as usize;
                // Short ones are as frequent as long ones.
                let length = if byte % 2 == 0 { length % 200 } else { length };
                match length {
                    0 if !expected[at].is_empty() => pages.vacate(id, NONE),
                    0 => {}
                    _ if expected[at].is_empty() => {
                        pages.fill(id, 1, 2, AclId::OPEN, &vec![byte; length]);
                    }
                    _ => pages.set_body(id, &vec![byte; length]),
                }
                expected[at] = vec![byte; length];
                if byte == 7 {
                    copies.push((pages.clone(), expected.clone()));
                }
                let page = &pages.all[0];
                let live: usize = page.slots.iter().map(|slot| usize::from(slot.length)).sum();
                prop_assert_eq!(page.heap.len(), live);
                prop_assert_eq!(page.used, expected.iter().filter(|body| !body.is_empty()).count());
            }
            copies.push((pages, expected));
            for (pages, expected) in &copies {
                for (at, body) in expected.iter().enumerate().filter(|body| !body.1.is_empty()) {
                    let page = &pages.all[0];
                    let slot = &page.slots[at];
                    let found = if slot.at == BESIDE { page.beside(at) } else { &page.heap[slot.range()] };
                    prop_assert_eq!(found, &body[..]);
                }
            }
        }
    }
}
