//! What frameworks declined, and until when.

use std::collections::BTreeSet;

use types::{Instant, Resources};

/// One decline. It blocks offers that are contained in `resources`; anything more breaks through.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) resources: Resources,
    pub(crate) until: Instant,
}

/// Where refusals are (they live with their agents), and when the next one ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterIndex {
    /// Framework, role, agent.
    places: BTreeSet<(u32, u32, u32)>,
    /// End, framework, role, agent.
    ends: BTreeSet<(Instant, u32, u32, u32)>,
}

impl FilterIndex {
    pub(crate) fn add(&mut self, framework: u32, role: u32, agent: u32, until: Instant) {
        self.places.insert((framework, role, agent));
        self.ends.insert((until, framework, role, agent));
    }

    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(until, ..)| *until)
    }

    /// The next place where a refusal has ended.
    pub(crate) fn pop_ended(&mut self, now: Instant) -> Option<(u32, u32, u32)> {
        let &(until, framework, role, agent) = self.ends.first()?;
        if until > now {
            return None;
        }
        self.ends.pop_first();
        Some((framework, role, agent))
    }

    pub(crate) fn forget_place(&mut self, framework: u32, role: u32, agent: u32) {
        self.places.remove(&(framework, role, agent));
    }

    /// The agents on which this claimant declined something.
    pub(crate) fn agents_of(&self, framework: u32, role: u32) -> Vec<u32> {
        let all = (framework, role, 0)..=(framework, role, u32::MAX);
        self.places.range(all).map(|(_, _, agent)| *agent).collect()
    }

    pub(crate) fn forget_end(&mut self, until: Instant, framework: u32, role: u32, agent: u32) {
        self.ends.remove(&(until, framework, role, agent));
    }
}
