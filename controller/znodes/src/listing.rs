//! Children by pages, for znodes that have more of them than one answer should hold.
//!
//! Lives here: which children are on a page, and where the next one begins. Must not: keep anything (the
//! mark of where a page ended is the caller's, and only saves a search). Start at [`answer_page`]. The order
//! is that of czxids, so that a page begins at the same child on every member and after every restart.

use bytes::BytesMut;
use jute::{ErrorCode, PageStart, Put, Stat, Text};

use crate::reads::{Reading, readable};
use crate::state::State;
use crate::tree::{NodeId, Tree};
use crate::watches::Place;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PageOf<'a> {
    /// The parent's path.
    pub path: &'a Text,
    /// Names on the page; below 1 is none.
    pub most: i32,
    /// Where it begins.
    pub from: PageStart,
}

/// Where the last page ended: the next one is found by it without a walk over those before. It may be of any
/// znode, and be out of date.
#[derive(Clone, Copy, Debug)]
pub struct PageMark {
    parent: NodeId,
    next: NodeId,
    start: PageStart,
}

/// Puts the body of the answer into `out`: names, stat, start of the next page. On a refusal nothing.
///
/// The body is at most `reading.longest` bytes, but for a single name that is longer. With the last page
/// `watch` is told of the place to watch, before this returns. Source: `DataTree.getPaginatedChildren` of
/// LinkedIn's ZooKeeper.
pub fn answer_page(
    state: &State,
    page: PageOf<'_>,
    reading: Reading<'_>,
    mark: &mut Option<PageMark>,
    watch: impl FnOnce(Place<'_>),
    out: &mut BytesMut,
) -> Result<(), ErrorCode> {
    let stat = readable(state, page.path, reading.auth)?.stat();
    let tree = &state.tree;
    let parent = tree.find(page.path).ok_or(ErrorCode::NoNode)?;
    let next = if !tree.has_order(parent) {
        put_page(tree, page, sorted(tree, parent, page.from).into_iter(), reading.longest, out)
    } else if let Some(first) = mark.take().and_then(|mark| mark.holds(tree, parent, page.from)) {
        put_page(tree, page, tree.siblings_from(first), reading.longest, out)
    } else {
        put_page(tree, page, searched(tree, parent, page.from), reading.longest, out)
    };
    *mark = next.map(|(next, start)| PageMark { parent, next, start });
    stat.encode(out);
    next.map_or(PageStart::NONE, |(_, start)| start).encode(out);
    if next.is_none() {
        watch(state.place(page.path));
    }
    Ok(())
}

impl PageMark {
    /// The child to go on with, if this is the mark of just that page.
    fn holds(self, tree: &Tree, parent: NodeId, from: PageStart) -> Option<NodeId> {
        let same = self.parent == parent && self.start == from;
        // Of a child that was deleted the place may be another's.
        let there = tree.is_child(self.next, parent) && tree.czxid(self.next) == from.czxid;
        (same && there).then_some(self.next)
    }
}

/// Names as they fit; answers with the first child that did not.
fn put_page(
    tree: &Tree,
    page: PageOf<'_>,
    children: impl Iterator<Item = NodeId>,
    longest: usize,
    out: &mut BytesMut,
) -> Option<(NodeId, PageStart)> {
    let start = out.len();
    out.put_length(0);
    let (mut count, mut next) = (0, None);
    // Of the czxid at hand: how many children are on this page and those before it.
    let mut of_czxid = page.from;
    for child in children {
        let czxid = tree.czxid(child);
        if czxid != of_czxid.czxid {
            of_czxid = PageStart { czxid, offset: 0 };
        }
        let name = tree.name(child);
        let length = out.len() - start + 4 + name.len() + TAIL;
        if count >= page.most || (count > 0 && length > longest) {
            next = Some((child, of_czxid));
            break;
        }
        out.put_text(name);
        count += 1;
        of_czxid.offset = of_czxid.offset.max(0).saturating_add(1);
    }
    out[start..start + 4].copy_from_slice(&count.to_be_bytes());
    next
}

/// The children from there on, found by a walk over all that are older.
fn searched(tree: &Tree, parent: NodeId, from: PageStart) -> impl Iterator<Item = NodeId> {
    let mut left_out = 0;
    tree.children(parent).skip_while(move |&child| {
        let czxid = tree.czxid(child).bits();
        let same = czxid == from.czxid.bits();
        left_out += i32::from(same);
        czxid < from.czxid.bits() || (same && left_out <= from.offset)
    })
}

/// The same where the children have no order.
fn sorted(tree: &Tree, parent: NodeId, from: PageStart) -> Vec<NodeId> {
    let mut found: Vec<_> = tree
        .children(parent)
        .map(|child| (tree.czxid(child).bits(), child))
        .filter(|(czxid, _)| *czxid >= from.czxid.bits())
        .collect();
    // Equal ones stay as they are.
    found.sort_by_key(|(czxid, _)| *czxid);
    let same = found.iter().take_while(|(czxid, _)| *czxid == from.czxid.bits()).count();
    let left_out = usize::try_from(from.offset).unwrap_or(0).min(same);
    found.into_iter().skip(left_out).map(|(_, child)| child).collect()
}

/// Stat and the next page's start, in bytes.
const TAIL: usize = Stat::LENGTH + 12;

#[cfg(test)]
mod tests {
    use jute::{OpCode, Reader, Response, StatPersisted};
    use types::{SessionId, Zxid};

    use super::*;
    use crate::acls::AclId;

    /// A znode with children of these czxids, in this order; each child's name is its place.
    fn parent_of(czxids: &[i64]) -> State {
        let mut state = State::new(1);
        let stat = StatPersisted::default();
        let parent = state.add(Tree::ROOT, "/p", &stat, None, AclId::OPEN);
        for (name, czxid) in czxids.iter().enumerate() {
            let stat = StatPersisted { czxid: Zxid::from_bits(*czxid), ..stat };
            state.add(parent, &format!("/p/{name}"), &stat, None, AclId::OPEN);
        }
        state
    }

    fn page(
        state: &State,
        (most, longest): (i32, usize),
        from: PageStart,
        mark: &mut Option<PageMark>,
    ) -> (Vec<String>, PageStart, bool) {
        let path = Text::from("/p");
        let reading = Reading { session: SessionId(1), auth: &[], longest };
        let mut out = BytesMut::new();
        let mut watched = false;
        let asked = PageOf { path: &path, most, from };
        answer_page(state, asked, reading, mark, |_| watched = true, &mut out)
            .expect("it is there");
        let body = out.freeze();
        match Response::decode(OpCode::GetChildrenPaginated, &mut Reader::new(&body)) {
            Ok(Response::Page { names, next, .. }) => {
                (names.iter().map(ToString::to_string).collect(), next, watched)
            }
            other => panic!("{other:?}"),
        }
    }

    /// All pages joined, with `between` called behind each.
    fn all(
        state: &mut State,
        size: (i32, usize),
        marked: bool,
        mut between: impl FnMut(&mut State),
    ) -> Vec<String> {
        let (mut names, mut mark, mut from) = (Vec::new(), None, PageStart::FIRST);
        loop {
            let (more, next, watched) = page(state, size, from, &mut mark);
            assert!(i32::try_from(more.len()).expect("few") <= size.0);
            assert_eq!(watched, next == PageStart::NONE, "a watch comes with the last page");
            names.extend(more);
            if next == PageStart::NONE {
                return names;
            }
            from = next;
            between(state);
            if !marked {
                mark = None;
            }
        }
    }

    #[test]
    fn pages_hold_every_child_once_whatever_their_size() {
        // Some were made by one transaction, and 3, 4 and 5 are out of order.
        for czxids in [&[4, 4, 4, 7, 8, 8, 9][..], &[5, 6, 6, 2, 6, 2, 9, 6], &[3], &[]] {
            let mut state = parent_of(czxids);
            let mut wanted: Vec<_> = (0..czxids.len()).collect();
            wanted.sort_by_key(|name| czxids[*name]);
            let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
            for size in [(1, 9999), (2, 9999), (3, 9999), (i32::MAX, 9999), (i32::MAX, 0)] {
                for marked in [false, true] {
                    assert_eq!(
                        all(&mut state, size, marked, |_| ()),
                        wanted,
                        "{size:?} {czxids:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn children_that_come_and_go_between_pages_disturb_no_others() {
        for marked in [false, true] {
            let mut state = parent_of(&[1, 2, 3, 4, 5, 6]);
            let mut gone = ["2", "0", "3"].into_iter();
            let names = all(&mut state, (2, 9999), marked, |state| {
                let Some(name) = gone.next() else { return };
                let path = format!("/p/{name}");
                let id = state.tree.find(&path).expect("it is there");
                state.cut_leaf(id, &path);
                // It takes the place of the one that went.
                let parent = state.tree.find("/p").expect("it is there");
                let stat = StatPersisted { czxid: Zxid::from_bits(9), ..StatPersisted::default() };
                let path = format!("/p/new-{name}");
                state.add(parent, &path, &stat, None, AclId::OPEN);
            });
            assert_eq!(names, ["0", "1", "3", "4", "5", "new-2", "new-0", "new-3"], "{marked}");
        }
    }

    #[test]
    fn a_page_is_as_long_as_it_may_be() {
        let state = parent_of(&[1, 2, 3, 4, 5, 6]);
        let three = 4 + 3 * 5 + TAIL;
        for (longest, names) in [(three, 3), (three - 1, 2), (three + 4, 3), (three + 5, 4)] {
            let page = page(&state, (i32::MAX, longest), PageStart::FIRST, &mut None);
            assert_eq!(page.0.len(), names, "{longest}");
        }
    }

    #[test]
    fn children_keep_their_order_over_a_snapshot() {
        let state = parent_of(&[1, 2, 3, 4]);
        let mut bytes = Vec::new();
        state.freeze().write(&mut bytes).expect("a vector takes all");
        let read = crate::snapshot::read(&mut &bytes[..], Zxid::ZERO, 1 << 20, 7);
        let state = read.expect("it is whole");
        let parent = state.tree.find("/p").expect("it was there");
        assert!(state.tree.has_order(parent));
        let names: Vec<_> = state.get("/p").expect("it was there").children().collect();
        assert_eq!(names, ["0", "1", "2", "3"]);
    }
}
