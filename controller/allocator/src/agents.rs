//! One agent's account: what it has, what of it is free, who holds the rest.

use std::collections::BTreeMap;

use types::Resources;

use crate::AgentId;
use crate::filters::Refusal;

/// Invariant: `available` + all of `held` = `total`, unless the holders hold more than there is (an
/// agent came back smaller); then `available` is what `total` leaves, and `overdrawn` is set.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) total: Resources,
    pub(crate) available: Resources,
    pub(crate) active: bool,
    pub(crate) overdrawn: bool,
    /// By framework and role (their indices).
    pub(crate) held: BTreeMap<(u32, u32), Resources>,
    /// By framework and role: what was declined here.
    pub(crate) refusals: BTreeMap<(u32, u32), Vec<Refusal>>,
    /// Whether some of `total` is reserved; if not, every role sees all of `available`.
    pub(crate) has_reservations: bool,
}

impl Agent {
    pub(crate) fn new(id: AgentId, total: Resources) -> Self {
        Self {
            id,
            available: total.clone(),
            has_reservations: has_reservations(&total),
            total,
            active: true,
            overdrawn: false,
            held: BTreeMap::new(),
            refusals: BTreeMap::new(),
        }
    }

    pub(crate) fn replace_total(&mut self, total: Resources) {
        self.has_reservations = has_reservations(&total);
        self.total = total;
        self.balance();
    }

    /// Books `resources` to a holder, from what is free as far as it goes.
    pub(crate) fn hold(&mut self, holder: (u32, u32), resources: &Resources) {
        if self.available.subtract(resources).is_err() {
            self.available.subtract_available(resources);
            self.overdrawn = true;
        }
        self.held.entry(holder).or_default().add(resources);
    }

    /// Takes `resources` back from a holder; `false`, and nothing done, when it does not hold them.
    pub(crate) fn give_back(&mut self, holder: (u32, u32), resources: &Resources) -> bool {
        let Some(held) = self.held.get_mut(&holder) else { return false };
        if held.subtract(resources).is_err() {
            return false;
        }
        if held.is_empty() {
            self.held.remove(&holder);
        }
        if self.overdrawn {
            self.balance();
        } else {
            self.available.add(resources);
        }
        true
    }

    fn balance(&mut self) {
        let mut available = self.total.clone();
        self.overdrawn = false;
        for held in self.held.values() {
            if available.subtract(held).is_err() {
                available.subtract_available(held);
                self.overdrawn = true;
            }
        }
        self.available = available;
    }
}

fn has_reservations(resources: &Resources) -> bool {
    resources.iter().any(|(key, _)| !key.reservations.is_empty())
}
