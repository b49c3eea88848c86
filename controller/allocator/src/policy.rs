//! What an operator decides: weights, quotas, and the allocator's own settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use types::Resources;
use types::resources::Scalar;

/// How much more a role may have than its siblings: above 0, 1 unless set.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// The weight of whoever has none set.
    pub const ONE: Self = Self(1.0);

    /// A finite number of at least 0.001 and at most a billion.
    pub fn new(weight: f64) -> Result<Self, BadWeight> {
        if (0.001..=1e9).contains(&weight) { Ok(Self(weight)) } else { Err(BadWeight(weight)) }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

/// A number that is no weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadWeight(f64);

impl fmt::Display for BadWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {} is not valid: give a number from 0.001 to 1000000000", self.0)
    }
}

impl std::error::Error for BadWeight {}

/// What a top-level role with its sub-roles is assured of and held to, by the names of scalars.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// Held free for the role until it uses them.
    pub guarantees: BTreeMap<Arc<str>, Scalar>,
    /// Never exceeded by an offer; a name that is missing is unlimited.
    pub limits: BTreeMap<Arc<str>, Scalar>,
}

impl Quota {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

/// The allocator's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// An offer must hold one of these (totals by name); empty: any offer will do.
    pub min_allocatable: Vec<Resources>,
    /// Resources that do not count for fairness.
    pub fair_sharing_excluded: BTreeSet<Arc<str>>,
    /// The shortest time for which a declined agent rests with respect to the decliner, so that a
    /// framework which refuses for 0 seconds is asked again soon, but not in a tight loop.
    pub shortest_refusal: Duration,
}

impl Default for Options {
    /// As Mesos: `cpus:0.01|mem:32`, nothing excluded, one second.
    fn default() -> Self {
        let least = |text| Resources::parse(text).expect("a valid constant");
        Self {
            min_allocatable: vec![least("cpus:0.01"), least("mem:32")],
            fair_sharing_excluded: BTreeSet::new(),
            shortest_refusal: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// Whether so little is not worth an offer.
    pub(crate) fn too_little(&self, offer: &Resources) -> bool {
        !self.min_allocatable.is_empty()
            && !self.min_allocatable.iter().any(|least| {
                least.iter().all(|(key, _)| offer.scalar(&key.name) >= least.scalar(&key.name))
            })
    }
}
