//! The decision: one round of offers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use types::resources::{Scalar, Value};
use types::{Instant, Resources, Role};

use crate::allocator::Allocator;
use crate::explain::{Miss, Tally, Why};
use crate::quantities::counts_for_quota;
use crate::{AgentId, FrameworkId};

/// Resources of one agent for one framework in one role. They count as held from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfferedResources {
    /// To whom.
    pub framework: FrameworkId,
    /// In which of its roles.
    pub role: Role,
    /// Of which agent.
    pub agent: AgentId,
    /// What.
    pub resources: Resources,
}

/// A claimant that was asked about an agent in this round and got nothing in the whole of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    /// Who.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// Why.
    pub why: Why,
}

/// What one round decided.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Round {
    /// In the order they were made.
    pub offers: Vec<OfferedResources>,
    /// Whose turn it was, in vain. A claimant that is not here either got something or others came
    /// before it; [`Allocator::why`] tells about any claimant.
    pub skipped: Vec<Skipped>,
    /// How many agents were looked at.
    pub looked_at: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Roles whose guarantee is not met yet.
    Guarantees,
    /// Everyone.
    Shares,
}

impl Allocator {
    /// Decides one round of offers, over the agents on which something changed since the last.
    ///
    /// First guarantees are met, then dominant shares decide; an agent's resources go to the first
    /// claimant that may have them, as far as quotas let them. `seed` shuffles the agents. The same
    /// history and seed give the same round.
    pub fn allocate(&mut self, now: Instant, seed: u64) -> Round {
        self.expire_filters(now);
        if self.unsorted {
            self.unsorted = false;
            let shares = crate::roles::Shares { total: &self.total, excluded: &self.excluded };
            self.roles.resort(shares);
        }
        let mut order = self.candidates();
        let mut round = Round { looked_at: order.len(), ..Round::default() };
        let mut tallies = BTreeMap::new();
        let mut seed = seed;
        let guaranteed =
            self.quota_roles.iter().any(|at| !self.roles.node(*at).quota.guarantees.is_empty());
        if guaranteed {
            shuffle(&mut order, &mut seed);
            for &agent in &order {
                self.offer_agent(agent, Stage::Guarantees, &mut round, &mut tallies);
            }
        }
        shuffle(&mut order, &mut seed);
        for &agent in &order {
            self.offer_agent(agent, Stage::Shares, &mut round, &mut tallies);
        }
        self.list_skipped(&mut round, tallies);
        round
    }

    fn candidates(&mut self) -> Vec<u32> {
        let dirty = std::mem::take(&mut self.dirty);
        let open = |at: &u32| {
            self.agents.get(*at).is_some_and(|agent| agent.active && !agent.available.is_empty())
        };
        if dirty.all {
            self.agents.iter().map(|(at, _)| at).filter(open).collect()
        } else {
            dirty.agents.into_iter().filter(open).collect()
        }
    }

    fn offer_agent(
        &mut self,
        agent: u32,
        stage: Stage,
        round: &mut Round,
        tallies: &mut BTreeMap<(u32, u32), Tally>,
    ) {
        // A claimant gets at most one offer of an agent in a stage.
        let mut served = Vec::new();
        while !self.options.too_little(&self.agents[agent].available) {
            let Some((role, framework, resources)) =
                self.first_fitting(agent, stage, &served, tallies)
            else {
                return;
            };
            served.push((role, framework));
            let name = self.roles.node(role).role.clone();
            self.book(agent, framework, &name, &resources);
            round.offers.push(OfferedResources {
                framework: self.frameworks[framework].id.clone(),
                role: name,
                agent: self.agents[agent].id.clone(),
                resources,
            });
        }
    }

    fn first_fitting(
        &self,
        agent: u32,
        stage: Stage,
        served: &[(u32, u32)],
        tallies: &mut BTreeMap<(u32, u32), Tally>,
    ) -> Option<(u32, u32, Resources)> {
        let found = self.roles.walk(&mut |role, framework| {
            if served.contains(&(role, framework)) {
                return ControlFlow::Continue(());
            }
            match self.fitting(agent, role, framework, stage) {
                Ok(resources) => ControlFlow::Break((role, framework, resources.into_owned())),
                Err(miss) => {
                    if stage == Stage::Shares {
                        tallies.entry((role, framework)).or_default().count(miss);
                    }
                    ControlFlow::Continue(())
                }
            }
        });
        found.break_value()
    }

    /// What this claimant may have of this agent now.
    pub(crate) fn fitting(
        &self,
        agent: u32,
        role: u32,
        framework: u32,
        stage: Stage,
    ) -> Result<Cow<'_, Resources>, Miss> {
        let agent = &self.agents[agent];
        let mut offer = Cow::Borrowed(&agent.available);
        if agent.has_reservations {
            offer = Cow::Owned(agent.available.allocatable_to(&self.roles.node(role).role));
        }
        if offer.is_empty() {
            return Err(Miss::Full);
        }
        if !self.quota_roles.is_empty() {
            offer = Cow::Owned(self.within_quotas(&offer, role, stage)?);
        }
        if self.options.too_little(&offer) {
            return Err(Miss::TooLittle);
        }
        let refused = agent.refusals.get(&(framework, role));
        if refused.is_some_and(|all| all.iter().any(|one| one.resources.contains(&offer))) {
            return Err(Miss::Declined);
        }
        Ok(offer)
    }

    /// Cuts scalars to what the role's limit leaves and to what is not held back for the guarantees of
    /// others.
    fn within_quotas(&self, offer: &Resources, role: u32, stage: Stage) -> Result<Resources, Miss> {
        let top = self.roles.node(self.roles.node(role).top);
        let mut any_guaranteed = false;
        let mut cut_by_limit = false;
        let mut cut_by_others = false;
        let mut within = Resources::new();
        for (key, value) in offer.iter() {
            let mut value = value.clone();
            if let Value::Scalar(amount) = value
                && counts_for_quota(key)
                && let Some(kind) = self.kinds.find(&key.name)
            {
                let due = match stage {
                    Stage::Guarantees => self.due(top, kind).min(amount.milli()),
                    Stage::Shares => 0,
                };
                any_guaranteed |= due > 0;
                let mut may = amount.milli();
                if let Some(limit) = top.quota.limits.get(&key.name) {
                    let room = (limit.milli() - top.consumed(kind)).max(0);
                    cut_by_limit |= room < may;
                    may = may.min(room);
                }
                if let Some(surplus) = self.surplus(kind) {
                    let room = due.saturating_add(surplus.max(0));
                    cut_by_others |= room < may;
                    may = may.min(room);
                }
                value = Value::Scalar(Scalar::from_milli(may));
            }
            let inserted = within.insert(key.clone(), value);
            debug_assert!(inserted.is_ok(), "each key comes once");
        }
        if stage == Stage::Guarantees && !any_guaranteed {
            return Err(Miss::Full);
        }
        match within.is_empty() || (self.options.too_little(&within)) {
            true if cut_by_limit => Err(Miss::Limit),
            true if cut_by_others => Err(Miss::Guarantees),
            _ => Ok(within),
        }
    }

    /// How much of its guarantee a top-level role lacks.
    fn due(&self, top: &crate::roles::Node, kind: usize) -> i64 {
        let guarantee = top.quota.guarantees.get(&self.kinds.names()[kind]);
        guarantee.map_or(0, |guarantee| (guarantee.milli() - top.consumed(kind)).max(0))
    }

    /// What is free in the cluster beyond all unmet guarantees; `None` when nobody has one of this kind.
    fn surplus(&self, kind: usize) -> Option<i64> {
        let mut required = None;
        for at in &self.quota_roles {
            let top = self.roles.node(*at);
            if top.quota.guarantees.contains_key(&self.kinds.names()[kind]) {
                *required.get_or_insert(0i64) += self.due(top, kind);
            }
        }
        required.map(|required| self.free.get(kind).saturating_sub(required))
    }

    fn list_skipped(&self, round: &mut Round, mut tallies: BTreeMap<(u32, u32), Tally>) {
        for offer in &round.offers {
            if let (Some(role), Ok(framework)) =
                (self.roles.find(&offer.role), self.framework(&offer.framework))
            {
                tallies.remove(&(role, framework));
            }
        }
        round.skipped = tallies
            .into_iter()
            .map(|((role, framework), tally)| Skipped {
                framework: self.frameworks[framework].id.clone(),
                role: self.roles.node(role).role.clone(),
                why: Why::Agents(tally),
            })
            .collect();
    }
}

/// Fisher and Yates with splitmix64: repeatable, and no crate for twelve lines.
fn shuffle(order: &mut [u32], seed: &mut u64) {
    for at in (1..order.len()).rev() {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is at most `at`")]
        let other = (z % (at as u64 + 1)) as usize;
        order.swap(at, other);
    }
}
