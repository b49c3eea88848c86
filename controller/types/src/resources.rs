//! What agents have and tasks hold, in exact integers: scalars of three decimals, ranges and sets.
//!
//! Lives here: [`Resources`] and its arithmetic, role names, the text form `cpus:2;ports:[31000-32000]`.
//! Must not: messages of the wire, shares, policy. Start at [`Resources`]. Source: Apache Mesos 1.11,
//! `values.cpp` (fixed point) and `resources.cpp` (which resources add up).

mod parse;
mod role;
mod value;

pub use parse::ParseResourcesError;
pub use role::{BadRole, Role};
pub use value::{BadScalar, RangeSet, Scalar, Value};

use std::fmt;
use std::sync::Arc;

/// CPU in thousandths of a core.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MilliCpu(pub u64);

/// A size in bytes. Mesos counts memory and disk in units of 2^20 bytes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Bytes(pub u64);

/// How a resource came to be held back for a role.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ReservedBy {
    /// The agent's own configuration; cannot be undone while it runs.
    Configuration,
    /// An operation (RESERVE), which UNRESERVE undoes.
    Operation,
}

/// One layer of a reservation.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reservation {
    /// Who may use it, with the role's sub-roles.
    pub role: Role,
    /// How it was made.
    pub by: ReservedBy,
    /// Who made it, when that is known.
    pub principal: Option<Arc<str>>,
    /// Labels, sorted: two reservations whose labels differ do not add up.
    pub labels: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// What must be equal for two amounts to add up: the name and the whole stack of reservations.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResourceKey {
    /// `cpus`, `mem`, `disk`, `gpus`, `ports`, or any custom name.
    pub name: Arc<str>,
    /// Outermost first; each later role is a strict sub-role of the one before. Empty: unreserved.
    pub reservations: Vec<Reservation>,
    /// May be taken back at any time (oversubscription).
    pub revocable: bool,
}

impl ResourceKey {
    /// The key of an unreserved, lasting resource.
    pub fn unreserved(name: &str) -> Self {
        Self { name: name.into(), reservations: Vec::new(), revocable: false }
    }

    /// The key of a resource reserved to `role` by the agent's configuration; `*` reserves nothing.
    pub fn reserved(name: &str, role: Role) -> Self {
        let mut key = Self::unreserved(name);
        if !role.is_star() {
            let by = ReservedBy::Configuration;
            key.reservations.push(Reservation { role, by, principal: None, labels: Vec::new() });
        }
        key
    }

    /// The role that holds it: the innermost reservation's; `None` when unreserved.
    pub fn role(&self) -> Option<&Role> {
        self.reservations.last().map(|layer| &layer.role)
    }

    /// Whether a framework in `role` may be offered it: unreserved, or reserved to it or an ancestor.
    pub fn allocatable_to(&self, role: &Role) -> bool {
        self.role().is_none_or(|holder| holder == role || role.is_below(holder))
    }
}

/// A bag of resources: each key once, no amount empty, sorted by key.
///
/// Scalars are exact to three decimals, so 0.1 + 0.2 is 0.3. Amounts of nothing vanish.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Resources(Vec<(ResourceKey, Value)>);

impl Resources {
    /// Nothing at all.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads `name(role):value;…`; see [`ParseResourcesError`] for what is refused.
    pub fn parse(text: &str) -> Result<Self, ParseResourcesError> {
        parse::parse(text)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every key with its amount, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceKey, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The amount under exactly this key.
    pub fn get(&self, key: &ResourceKey) -> Option<&Value> {
        let at = self.0.binary_search_by(|(held, _)| held.cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The scalars of that name over all reservations; zero when there is none.
    pub fn scalar(&self, name: &str) -> Scalar {
        let mut sum = Scalar::ZERO;
        for (key, value) in &self.0 {
            if let Value::Scalar(amount) = value
                && *key.name == *name
            {
                sum = sum.saturating_add(*amount);
            }
        }
        sum
    }

    /// The ranges of that name over all reservations (ports, mostly).
    pub fn ranges(&self, name: &str) -> RangeSet {
        let mut all = RangeSet::default();
        for (key, value) in &self.0 {
            if let Value::Ranges(ranges) = value
                && *key.name == *name
            {
                all.add(ranges);
            }
        }
        all
    }

    /// The cores in it (`cpus`).
    pub fn cpus(&self) -> MilliCpu {
        MilliCpu(self.scalar("cpus").milli().unsigned_abs())
    }

    /// The memory in it (`mem`, counted in 2^20 bytes).
    pub fn memory(&self) -> Bytes {
        let milli = u128::from(self.scalar("mem").milli().unsigned_abs());
        Bytes(u64::try_from((milli << 20) / 1000).unwrap_or(u64::MAX))
    }

    /// Adds one amount. A scalar, ranges or a set meets its own kind; another kind under the same key
    /// replaces nothing and is refused by returning it.
    pub fn insert(&mut self, key: ResourceKey, value: Value) -> Result<(), Value> {
        if value.is_empty() {
            return Ok(());
        }
        match self.0.binary_search_by(|(held, _)| held.cmp(&key)) {
            Ok(at) => self.0[at].1.add(value),
            Err(at) => {
                self.0.insert(at, (key, value));
                Ok(())
            }
        }
    }

    /// Adds everything in `more`. An amount whose kind differs from the one held under its key is left
    /// out (agents are refused before such a pair can meet).
    pub fn add(&mut self, more: &Self) {
        for (key, value) in &more.0 {
            match self.0.binary_search_by(|(held, _)| held.cmp(key)) {
                Ok(at) => {
                    let _kind_differs = self.0[at].1.add(value.clone());
                }
                Err(at) => self.0.insert(at, (key.clone(), value.clone())),
            }
        }
    }

    /// Whether all of `part` is in here, key by key.
    pub fn contains(&self, part: &Self) -> bool {
        part.0.iter().all(|(key, want)| self.get(key).is_some_and(|have| have.contains(want)))
    }

    /// Takes `part` out, all or nothing.
    pub fn subtract(&mut self, part: &Self) -> Result<(), NotContained> {
        for (key, want) in &part.0 {
            let have = self.get(key);
            if !have.is_some_and(|have| have.contains(want)) {
                return Err(NotContained {
                    name: key.name.clone(),
                    wanted: want.to_string(),
                    available: have.map_or_else(|| String::from("none"), Value::to_string),
                });
            }
        }
        for (key, want) in &part.0 {
            if let Ok(at) = self.0.binary_search_by(|(held, _)| held.cmp(key)) {
                self.0[at].1.remove(want);
            }
        }
        self.0.retain(|(_, value)| !value.is_empty());
        Ok(())
    }

    /// What is left of this when `part` is taken out; an error when it is not all in here.
    pub fn minus(&self, part: &Self) -> Result<Self, NotContained> {
        let mut left = self.clone();
        left.subtract(part)?;
        Ok(left)
    }

    /// Takes out as much of `part` as there is.
    pub fn subtract_available(&mut self, part: &Self) {
        for (key, want) in &part.0 {
            if let Ok(at) = self.0.binary_search_by(|(held, _)| held.cmp(key)) {
                self.0[at].1.remove(want);
            }
        }
        self.0.retain(|(_, value)| !value.is_empty());
    }

    /// Splits off what `keep` does not want.
    pub fn filter(&self, mut keep: impl FnMut(&ResourceKey) -> bool) -> Self {
        Self(self.0.iter().filter(|(key, _)| keep(key)).cloned().collect())
    }

    /// The part nobody holds a reservation on.
    pub fn unreserved(&self) -> Self {
        self.filter(|key| key.reservations.is_empty())
    }

    /// The part that a framework in `role` may be offered.
    pub fn allocatable_to(&self, role: &Role) -> Self {
        self.filter(|key| key.allocatable_to(role))
    }
}

impl FromIterator<(ResourceKey, Value)> for Resources {
    /// Sums up; of two kinds under one key the first stays.
    fn from_iter<I: IntoIterator<Item = (ResourceKey, Value)>>(all: I) -> Self {
        let mut sum = Self::new();
        for (key, value) in all {
            let _kind_differs = sum.insert(key, value);
        }
        sum
    }
}

impl fmt::Display for Resources {
    /// As `--resources` takes it, standard names first in the order of the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            f.write_str(&key.name)?;
            if let Some(role) = key.role() {
                write!(f, "({role})")?;
            }
            if key.revocable {
                f.write_str("{REV}")?;
            }
            write!(f, ":{value}")?;
        }
        Ok(())
    }
}

/// Something was to be taken that is not there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotContained {
    /// The resource's name.
    pub name: Arc<str>,
    /// What was asked for.
    pub wanted: String,
    /// What there is.
    pub available: String,
}

impl fmt::Display for NotContained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} wanted, {} available", self.name, self.wanted, self.available)
    }
}

impl std::error::Error for NotContained {}

#[cfg(test)]
mod tests;
