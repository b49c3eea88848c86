//! The tree of roles: what each uses, and who comes next by weighted dominant share.
//!
//! Lives here: usage by role and framework, and the orders kept sorted under every small change. Must
//! not: agents, filters. Start at [`RoleTree::walk`]. A role that has both frameworks and sub-roles
//! competes with its own sub-roles as a virtual child of weight 1 (Mesos, `sorter/drf`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use types::Role;

use crate::quantities::Quantities;
use crate::slots::Slots;
use crate::{Quota, Weight};

/// The root of the tree, which is no role.
pub(crate) const ROOT: u32 = 0;

/// What shares are shares of.
#[derive(Clone, Copy)]
pub(crate) struct Shares<'a> {
    /// The whole cluster, agents that are inactive included.
    pub(crate) total: &'a Quantities,
    /// By kind: whether it is left out of fairness.
    pub(crate) excluded: &'a [bool],
}

impl Shares<'_> {
    /// The largest fraction `used` is of any one kind of the total, over `weight`; 0.0 or more.
    ///
    /// A kind that the cluster has none of does not count.
    /// Source: Ghodsi et al., DRF (NSDI 2011); Mesos `calculateShare`.
    pub(crate) fn dominant(self, used: &Quantities, weight: Weight) -> f64 {
        let mut share = 0.0f64;
        for (kind, milli) in used.iter() {
            let total = self.total.get(kind);
            if total > 0 && milli > 0 && !self.excluded.get(kind).is_some_and(|out| *out) {
                share = share.max(milli as f64 / total as f64);
            }
        }
        share / weight.get()
    }
}

/// Place in an order: smaller share first, then fewer allocations so far, then by name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    /// The bits of a float that is not negative: they sort as it does.
    share: u64,
    count: u64,
    name: Arc<str>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Branch {
    /// The frameworks of the role itself.
    Own,
    /// A sub-role.
    Child(u32),
}

/// A framework in a role.
#[derive(Clone, Debug)]
struct Claim {
    name: Arc<str>,
    usage: Quantities,
    count: u64,
    active: bool,
    subscribed: bool,
    key: Option<Key>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) role: Role,
    component: Arc<str>,
    pub(crate) parent: u32,
    /// The top-level role above, or the role itself.
    pub(crate) top: u32,
    children: BTreeMap<Arc<str>, u32>,
    pub(crate) weight: Weight,
    pub(crate) quota: Quota,
    /// Offered or allocated, of the role and all below.
    pub(crate) usage: Quantities,
    /// The part of `usage` that quotas count: neither reserved nor revocable.
    charged: Quantities,
    /// Reservations of the role and all below, used or not.
    reserved: Quantities,
    count: u64,
    own_usage: Quantities,
    own_count: u64,
    claims: BTreeMap<u32, Claim>,
    claim_order: BTreeSet<(Key, u32)>,
    order: BTreeSet<(Key, Branch)>,
    key: Option<Key>,
    own_key: Option<Key>,
}

impl Node {
    fn new(role: Role, component: Arc<str>, parent: u32) -> Self {
        Self {
            role,
            component,
            parent,
            top: ROOT,
            children: BTreeMap::new(),
            weight: Weight::ONE,
            quota: Quota::default(),
            usage: Quantities::default(),
            charged: Quantities::default(),
            reserved: Quantities::default(),
            count: 0,
            own_usage: Quantities::default(),
            own_count: 0,
            claims: BTreeMap::new(),
            claim_order: BTreeSet::new(),
            order: BTreeSet::new(),
            key: None,
            own_key: None,
        }
    }

    /// What counts against the quota, in thousandths.
    pub(crate) fn consumed(&self, kind: usize) -> i64 {
        self.reserved.get(kind).saturating_add(self.charged.get(kind))
    }

    /// The frameworks of exactly this role, by index, and whether each may be offered something.
    pub(crate) fn frameworks(&self) -> impl Iterator<Item = (u32, bool)> {
        self.claims.iter().filter(|(_, c)| c.subscribed).map(|(at, c)| (*at, c.active))
    }

    fn is_idle(&self) -> bool {
        self.claims.is_empty()
            && self.children.is_empty()
            && self.quota.is_default()
            && self.weight == Weight::ONE
            && self.reserved.is_zero()
            && self.usage.is_zero()
    }
}

/// All roles that anyone uses, holds or configured.
#[derive(Clone, Debug)]
pub(crate) struct RoleTree {
    nodes: Slots<Node>,
    index: BTreeMap<Role, u32>,
}

impl RoleTree {
    pub(crate) fn new() -> Self {
        let mut nodes = Slots::new();
        nodes.insert(Node::new(Role::star(), "".into(), ROOT));
        Self { nodes, index: BTreeMap::new() }
    }

    pub(crate) fn find(&self, role: &Role) -> Option<u32> {
        self.index.get(role).copied()
    }

    pub(crate) fn node(&self, at: u32) -> &Node {
        &self.nodes[at]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Node)> {
        self.nodes.iter().filter(|(at, _)| *at != ROOT)
    }

    /// The node of a role, made with its ancestors if need be.
    pub(crate) fn ensure(&mut self, role: &Role) -> u32 {
        if let Some(at) = self.find(role) {
            return at;
        }
        let parent = role.parent().map_or(ROOT, |parent| self.ensure(&parent));
        let component: Arc<str> =
            role.as_str().rsplit_once('/').map_or(role.as_str(), |(_, last)| last).into();
        let at = self.nodes.insert(Node::new(role.clone(), component.clone(), parent));
        self.nodes[at].top = if parent == ROOT { at } else { self.nodes[parent].top };
        self.nodes[parent].children.insert(component, at);
        self.index.insert(role.clone(), at);
        at
    }

    /// Forgets the node, and its ancestors, when nothing keeps them.
    pub(crate) fn prune(&mut self, mut at: u32) {
        while at != ROOT && self.nodes.get(at).is_some_and(Node::is_idle) {
            self.unlist(at);
            let Some(node) = self.nodes.remove(at) else { return };
            self.index.remove(&node.role);
            self.nodes[node.parent].children.remove(&node.component);
            at = node.parent;
        }
    }

    pub(crate) fn set_weight(&mut self, at: u32, weight: Weight, shares: Shares<'_>) {
        self.nodes[at].weight = weight;
        self.relist_up(at, shares);
    }

    pub(crate) fn set_quota(&mut self, at: u32, quota: Quota) {
        self.nodes[at].quota = quota;
    }

    /// A framework subscribes to a role (or stays in it with another activity).
    pub(crate) fn claim(
        &mut self,
        at: u32,
        framework: u32,
        name: &Arc<str>,
        active: bool,
        shares: Shares<'_>,
    ) {
        let claim = self.nodes[at].claims.entry(framework).or_insert_with(|| Claim {
            name: name.clone(),
            usage: Quantities::default(),
            count: 0,
            active: false,
            subscribed: false,
            key: None,
        });
        claim.active = active;
        claim.subscribed = true;
        self.relist_claim(at, framework, shares);
        self.relist_up(at, shares);
    }

    /// A framework leaves a role; what it holds there stays booked until it comes back.
    pub(crate) fn unclaim(&mut self, at: u32, framework: u32, shares: Shares<'_>) {
        if let Some(claim) = self.nodes[at].claims.get_mut(&framework) {
            claim.active = false;
            claim.subscribed = false;
        }
        self.relist_claim(at, framework, shares);
        self.forget_if_empty(at, framework);
        self.relist_up(at, shares);
        self.prune(at);
    }

    /// Books an allocation.
    pub(crate) fn charge(
        &mut self,
        at: u32,
        framework: u32,
        name: &Arc<str>,
        all: &Quantities,
        charged: &Quantities,
        shares: Shares<'_>,
    ) {
        let node = &mut self.nodes[at];
        let claim = node.claims.entry(framework).or_insert_with(|| Claim {
            name: name.clone(),
            usage: Quantities::default(),
            count: 0,
            active: false,
            subscribed: false,
            key: None,
        });
        claim.usage.add(all);
        claim.count += 1;
        node.own_usage.add(all);
        node.own_count += 1;
        let mut up = at;
        while up != ROOT {
            let node = &mut self.nodes[up];
            node.usage.add(all);
            node.charged.add(charged);
            node.count += 1;
            up = node.parent;
        }
        self.relist_claim(at, framework, shares);
        self.relist_up(at, shares);
    }

    /// Takes an allocation off the books.
    pub(crate) fn discharge(
        &mut self,
        at: u32,
        framework: u32,
        all: &Quantities,
        charged: &Quantities,
        shares: Shares<'_>,
    ) {
        let node = &mut self.nodes[at];
        if let Some(claim) = node.claims.get_mut(&framework) {
            claim.usage.subtract(all);
        }
        node.own_usage.subtract(all);
        let mut up = at;
        while up != ROOT {
            let node = &mut self.nodes[up];
            node.usage.subtract(all);
            node.charged.subtract(charged);
            up = node.parent;
        }
        self.relist_claim(at, framework, shares);
        self.forget_if_empty(at, framework);
        self.relist_up(at, shares);
        self.prune(at);
    }

    /// Books reservations (`made`) or takes them off the books.
    pub(crate) fn reserve(&mut self, at: u32, amount: &Quantities, made: bool) {
        let mut up = at;
        while up != ROOT {
            let node = &mut self.nodes[up];
            if made {
                node.reserved.add(amount);
            } else {
                node.reserved.subtract(amount);
            }
            up = node.parent;
        }
        if !made {
            self.prune(at);
        }
    }

    /// The dominant share of a role with all below, over its weight.
    pub(crate) fn share(&self, at: u32, shares: Shares<'_>) -> f64 {
        shares.dominant(&self.nodes[at].usage, self.nodes[at].weight)
    }

    /// Sorts everything anew: the total changed.
    pub(crate) fn resort(&mut self, shares: Shares<'_>) {
        let leaves: Vec<(u32, Vec<u32>)> =
            self.iter().map(|(at, node)| (at, node.claims.keys().copied().collect())).collect();
        for (at, frameworks) in leaves {
            for framework in frameworks {
                self.relist_claim(at, framework, shares);
            }
            self.relist_up(at, shares);
        }
    }

    /// Shows every active claimant, who should be served first at first: role by role down the tree,
    /// in each the frameworks by their share of it.
    pub(crate) fn walk<B>(
        &self,
        visit: &mut impl FnMut(u32, u32) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.walk_below(ROOT, visit)
    }

    fn walk_below<B>(
        &self,
        at: u32,
        visit: &mut impl FnMut(u32, u32) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for (_, branch) in &self.nodes[at].order {
            match *branch {
                Branch::Child(child) => self.walk_below(child, visit)?,
                Branch::Own => {
                    for (_, framework) in &self.nodes[at].claim_order {
                        visit(at, *framework)?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn forget_if_empty(&mut self, at: u32, framework: u32) {
        let claims = &mut self.nodes[at].claims;
        if claims.get(&framework).is_some_and(|claim| !claim.subscribed && claim.usage.is_zero()) {
            claims.remove(&framework);
        }
    }

    fn relist_claim(&mut self, at: u32, framework: u32, shares: Shares<'_>) {
        let node = &mut self.nodes[at];
        let Some(claim) = node.claims.get_mut(&framework) else { return };
        if let Some(key) = claim.key.take() {
            node.claim_order.remove(&(key, framework));
        }
        if claim.active {
            let share = shares.dominant(&claim.usage, Weight::ONE).to_bits();
            let key = Key { share, count: claim.count, name: claim.name.clone() };
            claim.key = Some(key.clone());
            node.claim_order.insert((key, framework));
        }
    }

    /// Renews the places of a role's frameworks among its sub-roles, of the role among its siblings,
    /// and so on up.
    fn relist_up(&mut self, mut at: u32, shares: Shares<'_>) {
        let node = &mut self.nodes[at];
        if let Some(key) = node.own_key.take() {
            node.order.remove(&(key, Branch::Own));
        }
        if !node.claim_order.is_empty() {
            let share = shares.dominant(&node.own_usage, Weight::ONE).to_bits();
            let key = Key { share, count: node.own_count, name: ".".into() };
            node.own_key = Some(key.clone());
            node.order.insert((key, Branch::Own));
        }
        while at != ROOT {
            self.unlist(at);
            let node = &mut self.nodes[at];
            let parent = node.parent;
            if !node.order.is_empty() {
                let share = shares.dominant(&node.usage, node.weight).to_bits();
                let key = Key { share, count: node.count, name: node.component.clone() };
                node.key = Some(key.clone());
                self.nodes[parent].order.insert((key, Branch::Child(at)));
            }
            at = parent;
        }
    }

    fn unlist(&mut self, at: u32) {
        let node = &mut self.nodes[at];
        let parent = node.parent;
        if let Some(key) = node.key.take() {
            self.nodes[parent].order.remove(&(key, Branch::Child(at)));
        }
    }
}
