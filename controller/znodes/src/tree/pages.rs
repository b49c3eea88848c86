//! The arena: pages of slots that copies share until one of them is written.

use std::sync::Arc;

use jute::StatPersisted;

use super::body::Body;
use super::{NONE, NodeId, Tree};
use crate::acls::AclId;

/// Znodes in a page.
const PAGE: usize = 64;

/// A znode's fixed part: 40 bytes.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) parent: u32,
    pub(super) first_child: u32,
    /// The next sibling; of a vacant slot, the next vacant one.
    pub(super) next: u32,
    pub(super) prev: u32,
    pub(super) children: u32,
    pub(super) acl: AclId,
    pub(super) body: Body,
}

/// The arena; cloning shares the pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages(Vec<Arc<[Slot; PAGE]>>);

impl Pages {
    pub(super) fn slot_mut(&mut self, id: NodeId) -> &mut Slot {
        &mut Arc::make_mut(&mut self.0[id.0 as usize / PAGE])[id.0 as usize % PAGE]
    }

    /// Adds a page of vacant slots, linked so that it is filled from its start; returns the first.
    pub(super) fn grow(&mut self) -> u32 {
        let start = u32::try_from(self.0.len() * PAGE).expect("memory ends before ids do");
        let slot = |at: usize| {
            let next = u32::try_from(at + 1).expect("within a page");
            Slot::vacant(if at + 1 == PAGE { NONE } else { start + next })
        };
        self.0.push(Arc::new(std::array::from_fn(slot)));
        start
    }

    pub(super) fn slot(&self, id: NodeId) -> &Slot {
        &self.0[id.0 as usize / PAGE][id.0 as usize % PAGE]
    }

    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let some = |id: u32| (id != NONE).then_some(NodeId(id));
        std::iter::successors(some(self.slot(id).first_child), move |&at| some(self.slot(at).next))
    }

    /// Shows every znode to `visit`, parents first: path ("" for the root), data, ACL and stat.
    pub(crate) fn walk<E>(
        &self,
        mut visit: impl FnMut(&str, Option<&[u8]>, AclId, &StatPersisted) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut path = String::new();
        // Each: a znode, and how long its parent's path is.
        let mut stack = vec![(Tree::ROOT, 0)];
        while let Some((id, parent_length)) = stack.pop() {
            let slot = self.slot(id);
            path.truncate(parent_length);
            if id != Tree::ROOT {
                path.push('/');
                path.push_str(slot.body.name());
            }
            visit(&path, slot.body.data(), slot.acl, &slot.body.stat())?;
            stack.extend(self.children(id).map(|child| (child, path.len())));
        }
        Ok(())
    }
}

impl Slot {
    pub(super) fn vacant(next: u32) -> Self {
        Self { next, body: Body::empty(), ..Self::linked(NONE, NONE) }
    }

    pub(super) fn linked(parent: u32, next: u32) -> Self {
        Self {
            parent,
            first_child: NONE,
            next,
            prev: NONE,
            children: 0,
            acl: AclId::OPEN,
            body: Body::empty(),
        }
    }
}
