//! The accounts, and every small change to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use types::resources::Scalar;
use types::{Instant, Resources, Role};

use crate::agents::Agent;
use crate::filters::{FilterIndex, Refusal};
use crate::quantities::{Kinds, Quantities, counts_for_quota};
use crate::roles::{RoleTree, Shares};
use crate::slots::Slots;
use crate::{AgentId, AllocatorError, FrameworkId, Options, Quota, Weight};

/// What a framework wants to be offered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FrameworkSpec {
    /// The roles it subscribes to.
    pub roles: BTreeSet<Role>,
    /// Those of them in which it wants nothing for now; others are ignored.
    pub suppressed: BTreeSet<Role>,
    /// Whether it is connected; nothing is offered otherwise.
    pub active: bool,
}

/// One role's account, for an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleReport {
    /// The role.
    pub role: Role,
    /// Its weight.
    pub weight: Weight,
    /// Its quota.
    pub quota: Quota,
    /// Its dominant share, sub-roles included, over its weight.
    pub share: f64,
    /// Offered or allocated, sub-roles included.
    pub used: BTreeMap<Arc<str>, Scalar>,
    /// The frameworks subscribed to exactly this role.
    pub frameworks: Vec<FrameworkId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    pub(crate) active: bool,
    /// Roles subscribed to, with whether each is suppressed.
    pub(crate) roles: BTreeMap<u32, bool>,
    /// Agents, with roles, of which it holds something.
    holds: BTreeSet<(u32, u32)>,
}

/// Which agents the next round must look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) agents: BTreeSet<u32>,
    pub(crate) all: bool,
}

/// The allocator's accounts of one pool.
#[derive(Clone, Debug)]
pub struct Allocator {
    pub(crate) options: Options,
    pub(crate) kinds: Kinds,
    pub(crate) excluded: Vec<bool>,
    pub(crate) total: Quantities,
    /// Free, unreserved and lasting scalars of active agents: what guarantees can be met from.
    pub(crate) free: Quantities,
    pub(crate) agents: Slots<Agent>,
    agent_index: BTreeMap<AgentId, u32>,
    pub(crate) frameworks: Slots<Framework>,
    framework_index: BTreeMap<FrameworkId, u32>,
    pub(crate) roles: RoleTree,
    pub(crate) quota_roles: BTreeSet<u32>,
    pub(crate) filters: FilterIndex,
    pub(crate) dirty: Dirty,
    /// The total changed, so every share did.
    pub(crate) unsorted: bool,
}

impl Allocator {
    /// An empty pool.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            kinds: Kinds::default(),
            excluded: Vec::new(),
            total: Quantities::default(),
            free: Quantities::default(),
            agents: Slots::new(),
            agent_index: BTreeMap::new(),
            frameworks: Slots::new(),
            framework_index: BTreeMap::new(),
            roles: RoleTree::new(),
            quota_roles: BTreeSet::new(),
            filters: FilterIndex::default(),
            dirty: Dirty::default(),
            unsorted: false,
        }
    }

    /// An agent registers, active, with `used` running on it already: framework, role, resources.
    ///
    /// All frameworks in `used` must be known. More may be used than `total` holds.
    pub fn add_agent(
        &mut self,
        id: AgentId,
        total: Resources,
        used: &[(FrameworkId, Role, Resources)],
    ) -> Result<(), AllocatorError> {
        if self.agent_index.contains_key(&id) {
            return Err(AllocatorError::AgentExists(id));
        }
        for (framework, ..) in used {
            self.framework(framework)?;
        }
        self.count_total(&total, true);
        let at = self.agents.insert(Agent::new(id.clone(), total));
        self.agent_index.insert(id, at);
        self.count_free(at, true);
        for (framework, role, resources) in used {
            let framework = self.framework(framework)?;
            self.book(at, framework, role, resources);
        }
        self.dirty.agents.insert(at);
        Ok(())
    }

    /// The agent has other resources now. What is held stays held.
    pub fn update_agent(&mut self, id: &AgentId, total: Resources) -> Result<(), AllocatorError> {
        let at = self.agent(id)?;
        self.count_free(at, false);
        let before = self.agents[at].total.clone();
        self.count_total(&before, false);
        self.count_total(&total, true);
        self.agents[at].replace_total(total);
        self.count_free(at, true);
        self.dirty.agents.insert(at);
        Ok(())
    }

    /// The agent is gone, with all that was held and declined there. Unknown: nothing to do.
    pub fn remove_agent(&mut self, id: &AgentId) {
        let Some(at) = self.agent_index.remove(id) else { return };
        self.count_free(at, false);
        let Some(agent) = self.agents.remove(at) else { return };
        for ((framework, role), resources) in &agent.held {
            self.discharge(*framework, *role, resources);
            self.frameworks[*framework].holds.remove(&(at, *role));
        }
        for ((framework, role), refusals) in &agent.refusals {
            self.filters.forget_place(*framework, *role, at);
            for refusal in refusals {
                self.filters.forget_end(refusal.until, *framework, *role, at);
            }
        }
        self.count_total(&agent.total, false);
        self.dirty.agents.remove(&at);
    }

    /// An inactive agent is offered to nobody (disconnected, draining, deactivated by an operator).
    pub fn set_agent_active(&mut self, id: &AgentId, active: bool) -> Result<(), AllocatorError> {
        let at = self.agent(id)?;
        if self.agents[at].active != active {
            self.count_free(at, false);
            self.agents[at].active = active;
            self.count_free(at, true);
            self.dirty.agents.insert(at);
        }
        Ok(())
    }

    /// A framework subscribes for the first time, or is learnt of from an agent (then inactive).
    pub fn add_framework(
        &mut self,
        id: FrameworkId,
        spec: &FrameworkSpec,
    ) -> Result<(), AllocatorError> {
        if self.framework_index.contains_key(&id) {
            return Err(AllocatorError::FrameworkExists(id));
        }
        let at = self.frameworks.insert(Framework {
            id: id.clone(),
            active: spec.active,
            roles: BTreeMap::new(),
            holds: BTreeSet::new(),
        });
        self.framework_index.insert(id, at);
        self.subscribe(at, spec);
        Ok(())
    }

    /// A framework subscribes again or changes its roles: `spec` replaces what was.
    ///
    /// Becoming inactive forgets all its filters; leaving a role forgets those of the role.
    pub fn update_framework(
        &mut self,
        id: &FrameworkId,
        spec: &FrameworkSpec,
    ) -> Result<(), AllocatorError> {
        let at = self.framework(id)?;
        let roles: Vec<u32> = self.frameworks[at].roles.keys().copied().collect();
        for role in roles {
            let stays = spec.roles.contains(&self.roles.node(role).role);
            if !stays || !spec.active {
                self.forget_filters(at, role);
            }
            if !stays {
                self.frameworks[at].roles.remove(&role);
                self.roles.unclaim(
                    role,
                    at,
                    Shares { total: &self.total, excluded: &self.excluded },
                );
            }
        }
        self.frameworks[at].active = spec.active;
        self.subscribe(at, spec);
        Ok(())
    }

    /// The framework connects or disconnects; a disconnected one loses its filters.
    pub fn set_framework_active(
        &mut self,
        id: &FrameworkId,
        active: bool,
    ) -> Result<(), AllocatorError> {
        let at = self.framework(id)?;
        self.frameworks[at].active = active;
        for role in self.frameworks[at].roles.keys().copied().collect::<Vec<_>>() {
            if !active {
                self.forget_filters(at, role);
            }
            self.reclaim(at, role);
        }
        Ok(())
    }

    /// The framework is gone; all it held is free again. Unknown: nothing to do.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(at) = self.framework_index.remove(id) else { return };
        for (agent, role) in std::mem::take(&mut self.frameworks[at].holds) {
            if let Some(held) = self.agents[agent].held.get(&(at, role)).cloned() {
                self.unbook(agent, at, role, &held);
            }
        }
        for role in self.frameworks[at].roles.keys().copied().collect::<Vec<_>>() {
            self.forget_filters(at, role);
            self.roles.unclaim(role, at, Shares { total: &self.total, excluded: &self.excluded });
        }
        self.frameworks.remove(at);
    }

    /// The framework wants no offers in these roles; empty means all of its roles.
    ///
    /// One role that is not subscribed refuses the whole call.
    pub fn suppress(
        &mut self,
        id: &FrameworkId,
        roles: &BTreeSet<Role>,
    ) -> Result<(), AllocatorError> {
        let at = self.framework(id)?;
        for role in self.named(at, roles)? {
            self.frameworks[at].roles.insert(role, true);
            self.reclaim(at, role);
        }
        Ok(())
    }

    /// The framework wants offers in these roles, and forgets what it declined in them; empty means all
    /// of its roles. One role that is not subscribed refuses the whole call.
    pub fn revive(
        &mut self,
        id: &FrameworkId,
        roles: &BTreeSet<Role>,
    ) -> Result<(), AllocatorError> {
        let at = self.framework(id)?;
        for role in self.named(at, roles)? {
            self.forget_filters(at, role);
            self.frameworks[at].roles.insert(role, false);
            self.reclaim(at, role);
        }
        Ok(())
    }

    /// Books resources to a framework without an offer (a task that an agent brought).
    pub fn charge(
        &mut self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        resources: &Resources,
    ) -> Result<(), AllocatorError> {
        let at = self.framework(framework)?;
        let agent = self.agent(agent)?;
        self.book(agent, at, role, resources);
        Ok(())
    }

    /// What was offered or allocated comes back.
    ///
    /// `declined` is how long the framework refuses it: `None` when it did not (a task ended, an offer
    /// was rescinded). A refusal lasts [`Options::shortest_refusal`] at least, 365 days at most.
    pub fn recover(
        &mut self,
        now: Instant,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        resources: &Resources,
        declined: Option<Duration>,
    ) -> Result<(), AllocatorError> {
        let agent_at = self.agent(agent)?;
        let at = self.framework(framework)?;
        let not_held = || AllocatorError::NotHeld {
            framework: framework.clone(),
            role: role.clone(),
            agent: agent.clone(),
            resources: resources.to_string(),
        };
        let role_at = self.roles.find(role).ok_or_else(not_held)?;
        if resources.is_empty() {
            return Ok(());
        }
        if !self.unbook(agent_at, at, role_at, resources) {
            return Err(not_held());
        }
        let subscribed =
            self.frameworks[at].active && self.frameworks[at].roles.contains_key(&role_at);
        if let Some(refused) = declined.filter(|_| subscribed) {
            let refused = refused.clamp(self.options.shortest_refusal, LONGEST_REFUSAL);
            let until = now + refused;
            let refusal = Refusal { resources: resources.clone(), until };
            self.agents[agent_at].refusals.entry((at, role_at)).or_default().push(refusal);
            self.filters.add(at, role_at, agent_at, until);
        }
        Ok(())
    }

    /// Sets a role's weight. Shares change at once, offers made stay.
    pub fn set_weight(&mut self, role: &Role, weight: Weight) {
        let at = self.roles.ensure(role);
        self.roles.set_weight(at, weight, Shares { total: &self.total, excluded: &self.excluded });
        self.roles.prune(at);
        self.dirty.all = true;
    }

    /// Sets a top-level role's quota; [`Quota::default`] takes it away. What is allocated stays.
    pub fn set_quota(&mut self, role: &Role, quota: Quota) -> Result<(), AllocatorError> {
        if role.parent().is_some() {
            return Err(AllocatorError::QuotaBelowTop(role.clone()));
        }
        for (name, guarantee) in &quota.guarantees {
            if quota.limits.get(name).is_some_and(|limit| limit < guarantee) {
                let name = name.to_string();
                return Err(AllocatorError::GuaranteeAboveLimit { role: role.clone(), name });
            }
            self.kinds.index(name);
        }
        let at = self.roles.ensure(role);
        if quota.is_default() {
            self.quota_roles.remove(&at);
        } else {
            self.quota_roles.insert(at);
        }
        self.roles.set_quota(at, quota);
        self.roles.prune(at);
        self.dirty.all = true;
        Ok(())
    }

    /// When a refusal ends next: then [`Allocator::allocate`] has something to look at again.
    pub fn next_wake(&self) -> Option<Instant> {
        self.filters.next_end()
    }

    /// Whether a round now would look at anything.
    pub fn has_work(&self, now: Instant) -> bool {
        self.dirty.all
            || !self.dirty.agents.is_empty()
            || self.filters.next_end().is_some_and(|end| end <= now)
    }

    /// What is free on an agent; `None` when it is unknown.
    pub fn available(&self, id: &AgentId) -> Option<&Resources> {
        Some(&self.agents[*self.agent_index.get(id)?].available)
    }

    /// Every role that is used, held or configured, by name.
    pub fn roles(&self) -> Vec<RoleReport> {
        let mut reports: Vec<RoleReport> =
            self.roles.iter().map(|(at, _)| self.report(at)).collect();
        reports.sort_by(|a, b| a.role.cmp(&b.role));
        reports
    }

    fn report(&self, at: u32) -> RoleReport {
        let node = self.roles.node(at);
        let names = self.kinds.names();
        RoleReport {
            role: node.role.clone(),
            weight: node.weight,
            quota: node.quota.clone(),
            share: self.roles.share(at, Shares { total: &self.total, excluded: &self.excluded }),
            used: node
                .usage
                .iter()
                .map(|(kind, milli)| (names[kind].clone(), Scalar::from_milli(milli)))
                .collect(),
            frameworks: node.frameworks().map(|(at, _)| self.frameworks[at].id.clone()).collect(),
        }
    }

    pub(crate) fn agent(&self, id: &AgentId) -> Result<u32, AllocatorError> {
        let at = self.agent_index.get(id).copied();
        at.ok_or_else(|| AllocatorError::UnknownAgent(id.clone()))
    }

    pub(crate) fn framework(&self, id: &FrameworkId) -> Result<u32, AllocatorError> {
        let at = self.framework_index.get(id).copied();
        at.ok_or_else(|| AllocatorError::UnknownFramework(id.clone()))
    }

    /// Hands `resources` of an agent to a framework in a role.
    pub(crate) fn book(&mut self, agent: u32, framework: u32, role: &Role, resources: &Resources) {
        let role = self.roles.ensure(role);
        self.count_free(agent, false);
        self.agents[agent].hold((framework, role), resources);
        self.count_free(agent, true);
        self.frameworks[framework].holds.insert((agent, role));
        let all = self.kinds.measure(resources, |_| true);
        let charged = self.kinds.measure(resources, counts_for_quota);
        let shares = Shares { total: &self.total, excluded: &self.excluded };
        let name = &self.frameworks[framework].id.0;
        self.roles.charge(role, framework, name, &all, &charged, shares);
    }

    fn unbook(&mut self, agent: u32, framework: u32, role: u32, resources: &Resources) -> bool {
        self.count_free(agent, false);
        let given = self.agents[agent].give_back((framework, role), resources);
        self.count_free(agent, true);
        if !given {
            return false;
        }
        if !self.agents[agent].held.contains_key(&(framework, role)) {
            self.frameworks[framework].holds.remove(&(agent, role));
        }
        self.discharge(framework, role, resources);
        self.dirty.agents.insert(agent);
        // Room under a limit, or beside a guarantee, opens on every agent.
        self.dirty.all |= !self.quota_roles.is_empty();
        true
    }

    fn discharge(&mut self, framework: u32, role: u32, resources: &Resources) {
        let all = self.kinds.measure(resources, |_| true);
        let charged = self.kinds.measure(resources, counts_for_quota);
        let shares = Shares { total: &self.total, excluded: &self.excluded };
        self.roles.discharge(role, framework, &all, &charged, shares);
    }

    fn subscribe(&mut self, at: u32, spec: &FrameworkSpec) {
        for role in &spec.roles {
            let suppressed = spec.suppressed.contains(role);
            let role = self.roles.ensure(role);
            self.frameworks[at].roles.insert(role, suppressed);
            self.reclaim(at, role);
        }
    }

    /// Makes the role tree know whether the framework may be offered something in this role.
    fn reclaim(&mut self, at: u32, role: u32) {
        let framework = &self.frameworks[at];
        let active = framework.active && framework.roles.get(&role).is_some_and(|s| !s);
        let shares = Shares { total: &self.total, excluded: &self.excluded };
        self.roles.claim(role, at, &framework.id.0, active, shares);
        self.dirty.all |= active;
    }

    fn named(&self, at: u32, roles: &BTreeSet<Role>) -> Result<Vec<u32>, AllocatorError> {
        let framework = &self.frameworks[at];
        if roles.is_empty() {
            return Ok(framework.roles.keys().copied().collect());
        }
        let find = |role: &Role| {
            let found = self.roles.find(role).filter(|role| framework.roles.contains_key(role));
            found.ok_or_else(|| AllocatorError::NotSubscribed {
                framework: framework.id.clone(),
                role: role.clone(),
            })
        };
        roles.iter().map(find).collect()
    }

    fn forget_filters(&mut self, framework: u32, role: u32) {
        for agent in self.filters.agents_of(framework, role) {
            self.filters.forget_place(framework, role, agent);
            let refusals = self.agents[agent].refusals.remove(&(framework, role));
            for refusal in refusals.into_iter().flatten() {
                self.filters.forget_end(refusal.until, framework, role, agent);
            }
            self.dirty.agents.insert(agent);
        }
    }

    /// Drops refusals that have ended; their agents are looked at again.
    pub(crate) fn expire_filters(&mut self, now: Instant) {
        while let Some((framework, role, at)) = self.filters.pop_ended(now) {
            self.dirty.agents.insert(at);
            let agent = &mut self.agents[at];
            let Some(refusals) = agent.refusals.get_mut(&(framework, role)) else { continue };
            refusals.retain(|refusal| refusal.until > now);
            if refusals.is_empty() {
                agent.refusals.remove(&(framework, role));
                self.filters.forget_place(framework, role, at);
            }
        }
    }

    /// Adds an agent's resources to the cluster's total and to the roles they are reserved to, or takes
    /// them off.
    fn count_total(&mut self, resources: &Resources, come: bool) {
        let all = self.kinds.measure(resources, |_| true);
        if come {
            self.total.add(&all);
        } else {
            self.total.subtract(&all);
        }
        let excluded = &self.options.fair_sharing_excluded;
        self.excluded = self.kinds.names().iter().map(|name| excluded.contains(name)).collect();
        let roles: BTreeSet<Role> =
            resources.iter().filter_map(|(key, _)| key.role().cloned()).collect();
        for role in roles {
            let held = self.kinds.measure(resources, |key| key.role() == Some(&role));
            let at = self.roles.ensure(&role);
            self.roles.reserve(at, &held, come);
        }
        self.unsorted = true;
    }

    /// Adds an active agent's free scalars to the running sum, or takes them off: around each change.
    fn count_free(&mut self, at: u32, come: bool) {
        let agent = &self.agents[at];
        if !agent.active {
            return;
        }
        let free = self.kinds.measure(&agent.available, counts_for_quota);
        if come {
            self.free.add(&free);
        } else {
            self.free.subtract(&free);
        }
    }
}

/// Mesos caps refusals at 365 days.
const LONGEST_REFUSAL: Duration = Duration::from_secs(365 * 24 * 3600);
