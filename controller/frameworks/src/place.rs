//! Where instances may go: pure functions from offers to places.

use std::collections::BTreeMap;

use types::resources::{RangeSet, ResourceKey, Scalar, Value};
use types::{Resources, Role};

use crate::io::Offer;
use crate::{Operator, ServiceSpec, TaskRecord};

/// What is left of an offer while instances are placed on it.
pub(crate) struct Room<'a> {
    pub(crate) offer: &'a Offer,
    left: Resources,
}

/// A place: what an instance takes there.
pub(crate) struct Place {
    pub(crate) resources: Resources,
    pub(crate) ports: BTreeMap<String, u16>,
}

/// Why an instance has no place on an offer.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Misfit {
    /// Wanted and offered, of a scalar.
    Short(&'static str, Scalar, Scalar),
    /// Not that many ports, or not this one.
    Ports(Option<u16>),
    /// The constraint on this attribute.
    Constraint(String),
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short(name, want, have) => write!(f, "{name}: {want} wanted, {have} offered"),
            Self::Ports(Some(port)) => write!(f, "port {port} is not offered"),
            Self::Ports(None) => f.write_str("too few ports offered"),
            Self::Constraint(attribute) => write!(f, "the constraint on {attribute}"),
        }
    }
}

impl<'a> Room<'a> {
    pub(crate) fn new(offer: &'a Offer) -> Self {
        Self { offer, left: offer.resources.clone() }
    }

    /// Finds what an instance would take here, beside the tasks that live already.
    pub(crate) fn try_place(
        &self,
        spec: &ServiceSpec,
        living: &[&TaskRecord],
    ) -> Result<Place, Misfit> {
        for constraint in &spec.constraints {
            let misfit = || Misfit::Constraint(constraint.attribute.clone());
            let here = self.attribute(&constraint.attribute).ok_or_else(misfit)?;
            let like = || {
                living.iter().filter(|t| t.attribute(&constraint.attribute) == Some(here)).count()
            };
            let holds = match &constraint.operator {
                Operator::Equals(value) => here == value,
                Operator::Unique => like() == 0,
                Operator::MaxPer(most) => like() < usize::try_from(*most).unwrap_or(usize::MAX),
            };
            if !holds {
                return Err(misfit());
            }
        }
        let mut left = self.left.clone();
        let mut taken = Resources::new();
        let wants = [("cpus", spec.task.cpus), ("mem", spec.task.mem), ("disk", spec.task.disk)];
        for (name, want) in wants {
            let have = left.scalar(name);
            if have < want {
                return Err(Misfit::Short(name, want, have));
            }
            take_scalar(&mut left, &mut taken, name, want, &self.offer.role);
        }
        let ports = self.take_ports(spec, &mut taken)?;
        Ok(Place { resources: taken, ports })
    }

    /// Takes a place found by [`Self::try_place`].
    pub(crate) fn take(&mut self, place: &Place) {
        self.left.subtract_available(&place.resources);
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "hostname" => Some(&self.offer.hostname),
            _ => self.offer.attributes.get(name).map(String::as_str),
        }
    }

    fn take_ports(
        &self,
        spec: &ServiceSpec,
        taken: &mut Resources,
    ) -> Result<BTreeMap<String, u16>, Misfit> {
        let mut free = self.left.ranges("ports");
        let mut ports = BTreeMap::new();
        // Fixed ones first, so that none of them is taken for another.
        let (fixed, any): (Vec<_>, Vec<_>) =
            spec.task.ports.iter().partition(|p| p.fixed.is_some());
        for port in fixed.into_iter().chain(any) {
            let number = match port.fixed {
                Some(fixed) if free.has(u64::from(fixed)) => fixed,
                Some(fixed) => return Err(Misfit::Ports(Some(fixed))),
                None => free
                    .values()
                    .next()
                    .and_then(|value| u16::try_from(value).ok())
                    .ok_or(Misfit::Ports(None))?,
            };
            let one = RangeSet::new(u64::from(number), u64::from(number));
            free.remove(&one);
            let key = self.port_key(u64::from(number));
            let inserted = taken.insert(key, Value::Ranges(one));
            debug_assert!(inserted.is_ok(), "ports are ranges");
            ports.insert(port.name.clone(), number);
        }
        Ok(ports)
    }

    /// Under which key (reservation) the offer has this port.
    fn port_key(&self, number: u64) -> ResourceKey {
        let has = |value: &Value| matches!(value, Value::Ranges(ranges) if ranges.has(number));
        let found = self.left.iter().find(|(key, value)| *key.name == *"ports" && has(value));
        found.map_or_else(|| ResourceKey::unreserved("ports"), |(key, _)| key.clone())
    }
}

/// Moves `want` of a scalar from `left` to `taken`, reserved amounts first.
fn take_scalar(left: &mut Resources, taken: &mut Resources, name: &str, want: Scalar, role: &Role) {
    let mut keys: Vec<(ResourceKey, Scalar)> = left
        .iter()
        .filter_map(|(key, value)| match value {
            Value::Scalar(have) if *key.name == *name => Some((key.clone(), *have)),
            _ => None,
        })
        .collect();
    keys.sort_by_key(|(key, _)| key.role() != Some(role));
    let mut missing = want;
    for (key, have) in keys {
        let part = have.min(missing);
        if part.is_zero() {
            continue;
        }
        missing = missing.saturating_sub(part);
        let inserted = taken.insert(key, Value::Scalar(part));
        debug_assert!(inserted.is_ok(), "scalars add up");
    }
    left.subtract_available(taken);
}
