//! Why a claimant gets no offer.

use std::collections::BTreeMap;
use std::fmt;

use types::{Instant, Role};

use crate::allocator::Allocator;
use crate::round::Stage;
use crate::{AllocatorError, FrameworkId};

/// The reason, or what each agent said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// The framework is not connected.
    Disconnected,
    /// The framework asked for no offers in this role.
    Suppressed,
    /// No agent is registered and active.
    NoAgents,
    /// Something fits; others with a smaller share may come before it.
    NextRound,
    /// Every active agent has a reason against it.
    Agents(Tally),
}

/// How many agents, by the reason against an offer of theirs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Nothing free that the role may have.
    pub full: u32,
    /// Less free than is worth an offer.
    pub too_little: u32,
    /// The framework declined what is free there.
    pub declined: u32,
    /// The role's limit leaves no room.
    pub limit: u32,
    /// What is free is kept for the guarantees of other roles.
    pub guarantees: u32,
}

/// One agent's reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Miss {
    Full,
    TooLittle,
    Declined,
    Limit,
    Guarantees,
}

impl Tally {
    pub(crate) fn count(&mut self, miss: Miss) {
        let counter = match miss {
            Miss::Full => &mut self.full,
            Miss::TooLittle => &mut self.too_little,
            Miss::Declined => &mut self.declined,
            Miss::Limit => &mut self.limit,
            Miss::Guarantees => &mut self.guarantees,
        };
        *counter = counter.saturating_add(1);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.full, "full"),
            (self.too_little, "with less free than is worth an offer"),
            (self.declined, "declined by the framework"),
            (self.limit, "beyond the role's limit"),
            (self.guarantees, "kept for the guarantees of other roles"),
        ];
        let said: Vec<String> = reasons
            .iter()
            .filter(|(agents, _)| *agents > 0)
            .map(|(agents, why)| format!("{agents} {why}"))
            .collect();
        write!(f, "agents: {}", said.join(", "))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the framework is not connected"),
            Self::Suppressed => f.write_str("the framework asked for no offers (revive it)"),
            Self::NoAgents => f.write_str("no agent is registered"),
            Self::NextRound => f.write_str("an offer is due"),
            Self::Agents(tally) => tally.fmt(f),
        }
    }
}

impl Allocator {
    /// For each role of a framework, why it has no offer now. Looks at every agent; changes nothing.
    pub fn why(
        &self,
        now: Instant,
        id: &FrameworkId,
    ) -> Result<BTreeMap<Role, Why>, AllocatorError> {
        let at = self.framework(id)?;
        let framework = &self.frameworks[at];
        let explain = |(role, suppressed): (&u32, &bool)| {
            let why = match (framework.active, suppressed) {
                (false, _) => Why::Disconnected,
                (true, true) => Why::Suppressed,
                (true, false) => self.why_in_role(now, at, *role),
            };
            (self.roles.node(*role).role.clone(), why)
        };
        Ok(framework.roles.iter().map(explain).collect())
    }

    fn why_in_role(&self, now: Instant, framework: u32, role: u32) -> Why {
        let mut tally = Tally::default();
        let mut active = 0;
        for (at, agent) in self.agents.iter().filter(|(_, agent)| agent.active) {
            active += 1;
            match self.fitting(at, role, framework, Stage::Shares) {
                Ok(_) => return Why::NextRound,
                Err(Miss::Declined) => {
                    let refusals = agent.refusals.get(&(framework, role));
                    if refusals.is_some_and(|all| all.iter().all(|one| one.until <= now)) {
                        return Why::NextRound;
                    }
                    tally.count(Miss::Declined);
                }
                Err(miss) => tally.count(miss),
            }
        }
        if active == 0 { Why::NoAgents } else { Why::Agents(tally) }
    }
}
