//! One-shot watches of znodes that exist: by the znode's number, in few bytes each.
//!
//! A page has the watches of 64 znodes as one run of words: whoever watches the first of them, then the
//! second, and so on; most znodes have few. A znode that many watch has a set of its own. What a watcher
//! has is a list of znodes that may name some twice or too many: it is looked through when it is used.
//! **Invariant:** a znode in its watcher's list as long as it has a watch of it, and `live` is how many.

use std::collections::{BTreeMap, BTreeSet};

use super::Watcher;
use crate::tree::NodeId;

/// One-shot watches by znode.
#[derive(Debug, Default)]
pub(super) struct Near {
    pages: Vec<Option<Box<Page>>>,
    crowds: Vec<BTreeSet<Word>>,
    vacant: Vec<u32>,
    by_watcher: BTreeMap<Watcher, Held>,
    /// Watches of data, and of children.
    len: usize,
}

/// A watcher in the high bits, [`DATA`], [`CHILD`] and [`LAST`] in the low ones; without the first two it
/// is the number of a crowd.
type Word = u32;

/// Data or existence.
pub(super) const DATA: u32 = 1;
/// Children.
pub(super) const CHILD: u32 = 2;
/// The last word of a znode.
const LAST: u32 = 4;
const KINDS: u32 = DATA | CHILD;
const BITS: u32 = 3;
/// More watchers of one znode than this are a crowd.
const FEW: usize = 8;
/// Znodes in a page.
const PAGE: usize = 64;

#[derive(Debug, Default)]
struct Page {
    /// Which znodes are watched.
    watched: u64,
    words: Vec<Word>,
}

#[derive(Debug, Default)]
struct Held {
    nodes: Vec<u32>,
    live: usize,
}

impl Near {
    /// How many watches there are; two when one watcher has both kinds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn held(&self, watcher: Watcher) -> usize {
        self.by_watcher.get(&watcher).map_or(0, |held| held.live)
    }

    pub(super) fn kinds(&self, id: NodeId, watcher: Watcher) -> u32 {
        let least = watcher.0 << BITS;
        let word = match self.crowd_at(id) {
            Some(at) => self.crowds[at as usize].range(least..=least | KINDS).next().copied(),
            None => self.words(id).find(|word| word >> BITS == watcher.0),
        };
        word.map_or(0, kinds)
    }

    /// Each znode that is watched, and the words of its watchers: see [`watcher`] and [`kinds`].
    pub(super) fn watched(&self) -> impl Iterator<Item = (NodeId, impl Iterator<Item = Word>)> {
        let pages = self.pages.iter().enumerate();
        let pages = pages.filter_map(|(at, page)| page.as_deref().map(|page| (at, page)));
        pages.flat_map(move |(at, page)| {
            let ids = (0..PAGE).filter(|place| page.watched & 1 << place != 0);
            ids.map(move |place| {
                let id = NodeId::from_index(at * PAGE + place);
                (id, self.words(id))
            })
        })
    }

    /// Who watches a znode's data, by number.
    pub(super) fn data_watchers(&self, id: NodeId) -> impl Iterator<Item = Watcher> {
        self.words(id).filter(|word| word & DATA != 0).map(watcher)
    }

    pub(super) fn set(&mut self, id: NodeId, watcher: Watcher, kind: u32) {
        let before = self.change(id, watcher, |kinds| kinds | kind);
        if before & kind == 0 {
            self.len += 1;
        }
        if before == 0 {
            self.take_up(id, watcher);
        }
    }

    /// Removes watches of these kinds.
    pub(super) fn clear(&mut self, id: NodeId, watcher: Watcher, kinds: u32) {
        let before = self.change(id, watcher, |now| now & !kinds);
        self.len -= (before & kinds).count_ones() as usize;
        if before != 0 && before & !kinds == 0 {
            self.let_go(watcher);
        }
    }

    pub(super) fn drop_watcher(&mut self, watcher: Watcher) {
        for node in self.by_watcher.remove(&watcher).unwrap_or_default().nodes {
            self.clear(NodeId::from_index(node as usize), watcher, KINDS);
        }
    }

    /// Adds whoever has a watch of this kind to `watchers`, and spends it.
    pub(super) fn fire(&mut self, id: NodeId, kind: u32, watchers: &mut Vec<Watcher>) {
        if self.page(id).is_none_or(|page| page.watched & bit(id) == 0) {
            return;
        }
        let words: Vec<Word> = self.words(id).collect();
        let mut rest = Vec::with_capacity(words.len());
        for word in words {
            if word & kind != 0 {
                self.len -= 1;
                watchers.push(Watcher(word >> BITS));
            }
            match word & KINDS & !kind {
                0 => self.let_go(Watcher(word >> BITS)),
                kinds => rest.push(word & !KINDS | kinds),
            }
        }
        self.put(id, rest);
    }

    /// The words of a znode, by watcher.
    fn words(&self, id: NodeId) -> impl Iterator<Item = Word> {
        let run = self.page(id).map_or(&[][..], |page| &page.words[page.run(id)]);
        let crowd = match run {
            [word] if word & KINDS == 0 => Some(&self.crowds[(word >> BITS) as usize]),
            _ => None,
        };
        let few = if crowd.is_some() { &[][..] } else { run };
        few.iter().map(|word| word & !LAST).chain(crowd.into_iter().flatten().copied())
    }

    /// Changes what one watcher has of a znode; returns what it had.
    fn change(&mut self, id: NodeId, watcher: Watcher, to: impl Fn(u32) -> u32) -> u32 {
        let before = self.kinds(id, watcher);
        let (old, new) = (watcher.0 << BITS | before, watcher.0 << BITS | to(before));
        if old == new {
            return before;
        }
        if let Some(crowd) = self.crowd_mut(id) {
            crowd.remove(&old);
            if new & KINDS != 0 {
                crowd.insert(new);
            }
            if crowd.len() > FEW / 2 {
                return before;
            }
        }
        let mut words: Vec<Word> =
            self.words(id).filter(|word| word >> BITS != watcher.0).collect();
        if new & KINDS != 0 {
            let place = words.partition_point(|&word| word < new);
            words.insert(place, new);
        }
        self.put(id, words);
        before
    }

    /// Replaces the words of a znode by these.
    fn put(&mut self, id: NodeId, mut words: Vec<Word>) {
        if let Some(at) = self.crowd_at(id) {
            self.crowds[at as usize] = BTreeSet::new();
            self.vacant.push(at);
        }
        if words.len() > FEW {
            let crowd = words.drain(..).collect();
            words.push(self.take_crowd(crowd) << BITS);
        }
        if let Some(last) = words.last_mut() {
            *last |= LAST;
        }
        let at = id.index() / PAGE;
        if self.pages.len() <= at {
            if words.is_empty() {
                return;
            }
            self.pages.resize_with(at + 1, || None);
        }
        let page = self.pages[at].get_or_insert_default();
        page.put(id, &words);
        if page.watched == 0 {
            self.pages[at] = None;
        }
    }

    fn take_crowd(&mut self, crowd: BTreeSet<Word>) -> u32 {
        if let Some(at) = self.vacant.pop() {
            self.crowds[at as usize] = crowd;
            return at;
        }
        self.crowds.push(crowd);
        u32::try_from(self.crowds.len() - 1).expect("fewer than znodes")
    }

    fn crowd_at(&self, id: NodeId) -> Option<u32> {
        let page = self.page(id)?;
        match page.words[page.run(id)] {
            [word] if word & KINDS == 0 => Some(word >> BITS),
            _ => None,
        }
    }

    fn crowd_mut(&mut self, id: NodeId) -> Option<&mut BTreeSet<Word>> {
        let at = self.crowd_at(id)?;
        self.crowds.get_mut(at as usize)
    }

    fn page(&self, id: NodeId) -> Option<&Page> {
        self.pages.get(id.index() / PAGE)?.as_deref()
    }

    /// The watcher has a first watch of the znode.
    fn take_up(&mut self, id: NodeId, watcher: Watcher) {
        let held = self.by_watcher.entry(watcher).or_default();
        held.live += 1;
        if held.nodes.len() == held.nodes.capacity() {
            held.nodes.reserve_exact((held.nodes.len() / 4).max(4));
        }
        held.nodes.push(id.number());
        if held.nodes.len() > 2 * held.live + PAGE {
            let mut nodes = std::mem::take(&mut held.nodes);
            nodes.sort_unstable();
            nodes.dedup();
            nodes.retain(|&node| self.kinds(NodeId::from_index(node as usize), watcher) != 0);
            nodes.shrink_to_fit();
            self.by_watcher.entry(watcher).or_default().nodes = nodes;
        }
    }

    /// The watcher has no watch of some znode any more.
    fn let_go(&mut self, watcher: Watcher) {
        // It is not there while all its watches are dropped.
        if let Some(held) = self.by_watcher.get_mut(&watcher) {
            held.live -= 1;
            if held.live == 0 {
                self.by_watcher.remove(&watcher);
            }
        }
    }
}

/// Whose word it is.
pub(super) fn watcher(word: Word) -> Watcher {
    Watcher(word >> BITS)
}

/// What it watches.
pub(super) fn kinds(word: Word) -> u32 {
    word & KINDS
}

impl Page {
    /// Where a znode's words are; where they would be, when it has none.
    fn run(&self, id: NodeId) -> std::ops::Range<usize> {
        let before = (self.watched & (bit(id) - 1)).count_ones();
        let (mut start, mut seen) = (0, 0);
        while seen < before {
            seen += u32::from(self.words[start] & LAST != 0);
            start += 1;
        }
        if self.watched & bit(id) == 0 {
            return start..start;
        }
        let length = self.words[start..].iter().position(|word| word & LAST != 0);
        start..start + length.expect("each run has an end") + 1
    }

    fn put(&mut self, id: NodeId, words: &[Word]) {
        let run = self.run(id);
        let more = words.len().saturating_sub(run.len());
        if self.words.len() + more > self.words.capacity() {
            self.words.reserve_exact(more.max(self.words.len() / 8));
        }
        self.words.splice(run, words.iter().copied());
        if self.words.capacity() > 2 * self.words.len() + FEW {
            self.words.shrink_to_fit();
        }
        if words.is_empty() {
            self.watched &= !bit(id);
        } else {
            self.watched |= bit(id);
        }
    }
}

fn bit(id: NodeId) -> u64 {
    1 << (id.index() % PAGE)
}
