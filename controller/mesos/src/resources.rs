//! Resources at the border: messages to exact amounts and back.
//!
//! Lives here: [`read`], which takes both of Mesos's formats, and [`write`]. Must not: arithmetic (see
//! `types::resources`). Start at [`read`]. Source: Apache Mesos 1.11, `Resources::validate`,
//! `upgradeResource` and `downgradeResource`.

use std::collections::BTreeSet;
use std::sync::Arc;

use types::Resources;
use types::resources::{
    RangeSet, Reservation, ReservedBy, ResourceKey, Role, Scalar, Value as Amount,
};

use crate::v1::resource::reservation_info::Type as ReservationType;
use crate::v1::resource::{AllocationInfo, ReservationInfo, RevocableInfo};
use crate::v1::value::{Range, Ranges, Scalar as WireScalar, Set, Type};
use crate::v1::{Label, Labels, Resource};

/// What a list of resources says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// The sum.
    pub resources: Resources,
    /// The roles they are allocated to; those that do not say so are not counted.
    pub allocated_to: BTreeSet<Role>,
}

/// Why a resource is not valid.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("Resource '{resource}' is invalid: {why}")]
pub struct BadResource {
    /// The resource, as `cpus:1`.
    pub resource: String,
    /// What is wrong with it.
    pub why: String,
}

/// Whose form resources are written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// For frameworks with RESERVATION_REFINEMENT: `reservations` only.
    Refined,
    /// For frameworks without: `role` and `reservation`. Refined reservations cannot be told.
    Plain,
    /// For operators: `reservations`, and `role` and `reservation` where they say as much.
    Operator,
}

/// Reads a list in either format. What cannot be kept yet (volumes, shared and provided resources) is
/// refused by name.
pub fn read(list: &[Resource]) -> Result<Read, BadResource> {
    let mut out = Read::default();
    for resource in list {
        let bad = |why: String| BadResource { resource: shown(resource), why };
        if let Some(AllocationInfo { role: Some(role) }) = &resource.allocation_info {
            out.allocated_to.insert(Role::parse(role).map_err(|error| bad(error.to_string()))?);
        }
        let key = key(resource).map_err(bad)?;
        let amount = amount(resource).map_err(bad)?;
        let kind_differs = out.resources.insert(key, amount).is_err();
        if kind_differs {
            return Err(bad(String::from("the same name stands for different kinds")));
        }
    }
    Ok(out)
}

/// Writes amounts as messages; `allocated_to` goes into each.
pub fn write(resources: &Resources, allocated_to: Option<&Role>, form: Form) -> Vec<Resource> {
    resources.iter().map(|(key, value)| one(key, value, allocated_to, form)).collect()
}

fn key(resource: &Resource) -> Result<ResourceKey, String> {
    if resource.name.is_empty() {
        return Err(String::from("Empty resource name"));
    }
    for (there, what) in [
        (resource.disk.is_some(), "'disk' (persistent volumes and disk sources)"),
        (resource.shared.is_some(), "'shared'"),
        (resource.provider_id.is_some(), "'provider_id'"),
    ] {
        if there {
            return Err(format!("{what} is not supported here: leave it out"));
        }
    }
    let reservations = if resource.reservations.is_empty() {
        plain_reservation(resource)?
    } else {
        refined_reservations(resource)?
    };
    let revocable = resource.revocable.is_some();
    Ok(ResourceKey { name: resource.name.as_str().into(), reservations, revocable })
}

/// `role` with or without `reservation`: the format before refinement.
fn plain_reservation(resource: &Resource) -> Result<Vec<Reservation>, String> {
    let role = Role::parse(resource.role()).map_err(|error| error.to_string())?;
    match &resource.reservation {
        None if role.is_star() => Ok(Vec::new()),
        None => {
            let by = ReservedBy::Configuration;
            Ok(vec![Reservation { role, by, principal: None, labels: Vec::new() }])
        }
        Some(_) if role.is_star() => {
            Err(String::from("Invalid reservation: role \"*\" cannot be reserved"))
        }
        Some(info) if info.role.is_some() || info.r#type.is_some() => Err(String::from(
            "'Resource.ReservationInfo.type' and '.role' must not be set beside 'Resource.role'",
        )),
        Some(info) => Ok(vec![layer(info, role, ReservedBy::Operation)]),
    }
}

/// The stack of `reservations`.
fn refined_reservations(resource: &Resource) -> Result<Vec<Reservation>, String> {
    let mut stack: Vec<Reservation> = Vec::with_capacity(resource.reservations.len());
    for info in &resource.reservations {
        let role = Role::parse(info.role.as_deref().unwrap_or_default());
        let role = role.map_err(|error| error.to_string())?;
        if role.is_star() {
            return Err(String::from("Invalid reservation: role \"*\" cannot be reserved"));
        }
        let by = match info.r#type() {
            ReservationType::Static => ReservedBy::Configuration,
            ReservationType::Dynamic => ReservedBy::Operation,
            ReservationType::Unknown => {
                return Err(String::from("Invalid reservation: 'type' must be STATIC or DYNAMIC"));
            }
        };
        if let Some(outer) = stack.last() {
            if by == ReservedBy::Configuration {
                return Err(String::from("Invalid reservation: only the first can be STATIC"));
            }
            if !role.is_below(&outer.role) {
                return Err(format!(
                    "Invalid refined reservation: role '{role}' is not below '{}'",
                    outer.role
                ));
            }
        }
        stack.push(layer(info, role, by));
    }
    Ok(stack)
}

fn layer(info: &ReservationInfo, role: Role, by: ReservedBy) -> Reservation {
    let labels = info.labels.iter().flat_map(|labels| &labels.labels);
    let mut labels: Vec<(Arc<str>, Option<Arc<str>>)> = labels
        .map(|label| (label.key.as_str().into(), label.value.as_deref().map(Into::into)))
        .collect();
    labels.sort();
    Reservation { role, by, principal: info.principal.as_deref().map(Into::into), labels }
}

fn amount(resource: &Resource) -> Result<Amount, String> {
    match resource.r#type() {
        Type::Scalar => {
            let (Some(scalar), None, None) = (&resource.scalar, &resource.ranges, &resource.set)
            else {
                return Err(String::from("Invalid scalar resource"));
            };
            match Scalar::from_f64(scalar.value) {
                Ok(scalar) => Ok(Amount::Scalar(scalar)),
                Err(types::resources::BadScalar::Negative) => {
                    Err(String::from("Invalid scalar resource: value <= 0"))
                }
                Err(other) => Err(format!("Invalid scalar resource: {other}")),
            }
        }
        Type::Ranges => {
            let (None, Some(ranges), None) = (&resource.scalar, &resource.ranges, &resource.set)
            else {
                return Err(String::from("Invalid ranges resource"));
            };
            read_ranges(ranges)
        }
        Type::Set => {
            let (None, None, Some(set)) = (&resource.scalar, &resource.ranges, &resource.set)
            else {
                return Err(String::from("Invalid set resource"));
            };
            let mut items: BTreeSet<Arc<str>> = BTreeSet::new();
            for item in &set.item {
                if !items.insert(item.as_str().into()) {
                    return Err(String::from("Invalid set resource: duplicated elements"));
                }
            }
            Ok(Amount::Set(items))
        }
        Type::Text => Err(String::from("Unsupported resource type")),
    }
}

fn read_ranges(ranges: &Ranges) -> Result<Amount, String> {
    let mut bounds: Vec<(u64, u64)> = Vec::with_capacity(ranges.range.len());
    for range in &ranges.range {
        if range.begin > range.end {
            return Err(String::from("Invalid ranges resource: begin is above end"));
        }
        bounds.push((range.begin, range.end));
    }
    bounds.sort_unstable();
    if bounds.windows(2).any(|pair| matches!(pair, [(_, end), (begin, _)] if begin <= end)) {
        return Err(String::from("Invalid ranges resource: overlapping ranges"));
    }
    // Adjacent ranges merge, so building it up in order stays linear enough.
    let mut set = RangeSet::default();
    for (begin, end) in bounds {
        set.add(&RangeSet::new(begin, end));
    }
    Ok(Amount::Ranges(set))
}

fn one(key: &ResourceKey, value: &Amount, allocated_to: Option<&Role>, form: Form) -> Resource {
    let mut out = Resource { name: key.name.as_ref().into(), ..Resource::default() };
    match value {
        Amount::Scalar(scalar) => {
            out.set_type(Type::Scalar);
            out.scalar = Some(WireScalar { value: scalar.as_f64() });
        }
        Amount::Ranges(ranges) => {
            out.set_type(Type::Ranges);
            let range = ranges.iter().map(|(begin, end)| Range { begin, end }).collect();
            out.ranges = Some(Ranges { range });
        }
        Amount::Set(set) => {
            out.set_type(Type::Set);
            out.set = Some(Set { item: set.iter().map(|item| item.as_ref().into()).collect() });
        }
    }
    out.revocable = key.revocable.then(RevocableInfo::default);
    out.allocation_info =
        allocated_to.map(|role| AllocationInfo { role: Some(role.as_str().into()) });
    if form != Form::Plain {
        out.reservations = key.reservations.iter().map(|layer| told(layer, true)).collect();
    }
    if form != Form::Refined && key.reservations.len() <= 1 {
        let layer = key.reservations.last();
        out.role = Some(layer.map_or("*", |layer| layer.role.as_str()).into());
        let dynamic = layer.filter(|layer| layer.by == ReservedBy::Operation);
        out.reservation = dynamic.map(|layer| told(layer, false));
    }
    out
}

fn told(layer: &Reservation, whole: bool) -> ReservationInfo {
    let by = match layer.by {
        ReservedBy::Configuration => ReservationType::Static,
        ReservedBy::Operation => ReservationType::Dynamic,
    };
    let labels: Vec<_> = layer
        .labels
        .iter()
        .map(|(key, value)| Label {
            key: key.as_ref().into(),
            value: value.as_deref().map(Into::into),
        })
        .collect();
    ReservationInfo {
        r#type: whole.then_some(by as i32),
        role: whole.then(|| layer.role.as_str().into()),
        principal: layer.principal.as_deref().map(Into::into),
        labels: (!labels.is_empty()).then_some(Labels { labels }),
    }
}

/// `cpus(allocated: cap):-1`: what an error calls it.
fn shown(resource: &Resource) -> String {
    let name: String = resource.name.chars().take(80).collect();
    let role = resource.allocation_info.as_ref().and_then(|info| info.role.as_deref());
    let role = role.map(|role| format!("(allocated: {role})")).unwrap_or_default();
    let value = match (&resource.scalar, &resource.ranges, &resource.set) {
        (Some(scalar), ..) => scalar.value.to_string(),
        (_, Some(ranges), _) => {
            let ranges = ranges.range.iter().take(8).map(|r| format!("{}-{}", r.begin, r.end));
            format!("[{}]", ranges.collect::<Vec<_>>().join(", "))
        }
        (_, _, Some(set)) => format!("{{{}}}", set.item.join(", ")),
        _ => String::new(),
    };
    format!("{name}{role}:{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_read_the_same() {
        let plain = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":0.1},"role":"eng"}"#;
        let refined = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":0.1},
            "reservations":[{"type":"STATIC","role":"eng"}]}"#;
        let of =
            |text: &str| read(&[crate::json::from_slice(text.as_bytes()).expect("a resource")]);
        assert_eq!(of(plain), of(refined));
        assert_eq!(of(plain).expect("valid").resources.to_string(), "cpus(eng):0.1");
    }

    #[test]
    fn what_is_written_reads_back() {
        let resources = Resources::parse("cpus:1.5;mem(eng):64;ports:[1-2,8-9]").expect("valid");
        let role = Role::parse("eng").expect("valid");
        for form in [Form::Refined, Form::Plain, Form::Operator] {
            let list = write(&resources, Some(&role), form);
            let back = read(&list).expect("valid");
            assert_eq!(back.resources, resources);
            assert_eq!(back.allocated_to, BTreeSet::from([role.clone()]));
        }
    }

    #[test]
    fn refusals_name_the_resource() {
        let of = |text: &str| {
            let resource = crate::json::from_slice(text.as_bytes()).expect("a resource");
            read(&[resource]).expect_err("refused").to_string()
        };
        assert_eq!(
            of(
                r#"{"name":"cpus","type":"SCALAR","scalar":{"value":-1},"allocation_info":{"role":"cap"}}"#
            ),
            "Resource 'cpus(allocated: cap):-1' is invalid: Invalid scalar resource: value <= 0"
        );
        assert_eq!(
            of(
                r#"{"name":"p","type":"RANGES","ranges":{"range":[{"begin":1,"end":3},{"begin":3,"end":4}]}}"#
            ),
            "Resource 'p:[1-3, 3-4]' is invalid: Invalid ranges resource: overlapping ranges"
        );
    }
}
