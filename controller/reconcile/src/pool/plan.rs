//! What to do about a pool.

use std::collections::BTreeMap;
use std::fmt::Write;

use crds::{Agent, AllocatorPolicy, Amounts, Quantity, ResourcePool, reasons};
use kube::ResourceExt;

use super::folder;
use super::observe::Observed;
use crate::conditions::{Health, Unsupported};
use crate::kind::{is_deleting, owner, restarted_at};
use crate::platform::{AgentWish, Agents, Masters};

/// The next step; leaves no choice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Plan {
    /// Nothing may be done, or nothing can be.
    Rest(Health),
    /// Deletion waits for the users.
    Hold(Vec<String>),
    /// End agents, then masters, then let the object go.
    Remove,
    /// Bring masters and agents to this.
    Run { masters: Box<Masters>, agents: Box<Agents> },
}

/// Decides. Pure and total.
pub(crate) fn plan(pool: &ResourcePool, observed: &Observed) -> Plan {
    if observed.paused {
        let message = format!("paused: remove the annotation {} to go on", crds::PAUSED);
        return Plan::Rest(Health::stalled(reasons::PAUSED, message));
    }
    if is_deleting(pool) {
        return match observed.users.as_slice() {
            [] => Plan::Remove,
            users => Plan::Hold(users.to_vec()),
        };
    }
    if let Some(field) = unsupported(pool, observed.pods) {
        return Plan::Rest(Health::unsupported(&field));
    }
    let invalid = |message| Plan::Rest(Health::stalled(reasons::INVALID_SPEC, message));
    if let Err(message) = super::roles::quotas(&pool.spec.roles) {
        return invalid(message);
    }
    let agents = match wishes(pool, &observed.agents) {
        Ok(agents) => agents,
        Err(message) => return invalid(message),
    };
    let servers = match &observed.servers {
        Ok(servers) => servers,
        Err(health) => return Plan::Rest(health.clone()),
    };
    let owner = owner(pool);
    let zk = format!("zk://{servers}{}", folder(&owner.namespace, &owner.name));
    let detector = format!("{zk}/election");
    let restarted_at = restarted_at(pool);
    let masters = Masters {
        owner: owner.clone(),
        count: pool.spec.masters.count,
        port: pool.spec.masters.port.and_then(|port| u16::try_from(port).ok()),
        zk,
        restarted_at: restarted_at.clone(),
    };
    let isolation = pool.spec.agents.isolation;
    let agents = Agents { owner, agents, detector, isolation, restarted_at };
    Plan::Run { masters: Box::new(masters), agents: Box::new(agents) }
}

/// The name of an agent.
pub(crate) fn agent_name(pool: &str, ordinal: i32) -> String {
    format!("{pool}-{ordinal}")
}

fn unsupported(pool: &ResourcePool, pods: bool) -> Option<Unsupported> {
    let spec = &pool.spec;
    let allocator = &spec.allocator;
    Unsupported::first(&[
        (!pods && spec.masters.resources.is_some(), "spec.masters.resources"),
        (!pods && spec.masters.placement.is_some(), "spec.masters.placement"),
        (!pods && spec.agents.placement.is_some(), "spec.agents.placement"),
        (allocator.policy != AllocatorPolicy::DominantShare, "spec.allocator.policy"),
        (allocator.interval.is_some(), "spec.allocator.interval"),
        (allocator.offer_timeout.is_some(), "spec.allocator.offerTimeout"),
        (allocator.smallest_offer.is_some(), "spec.allocator.smallestOffer"),
        (spec.roles.iter().any(|role| role.priority.is_some()), "spec.roles[].priority"),
        (!spec.reservations.is_empty(), "spec.reservations"),
        (spec.registration.is_some(), "spec.registration"),
    ])
}

fn wishes(pool: &ResourcePool, objects: &[Agent]) -> Result<Vec<AgentWish>, String> {
    let spec = &pool.spec.agents;
    (0..spec.count)
        .map(|ordinal| {
            let name = agent_name(&pool.name_any(), ordinal);
            let own = objects.iter().find(|agent| agent.name_any() == name);
            let mut attributes = spec.attributes.clone();
            if let Some(own) = own {
                attributes.extend(own.spec.attributes.clone());
            }
            Ok(AgentWish {
                ordinal,
                resources: resources(&spec.resources, ports(pool, ordinal)?)?,
                attributes: text(&attributes)?,
                name,
            })
        })
        .collect()
}

/// The agent's own range, so that two agents of one machine never offer the same port.
fn ports(pool: &ResourcePool, ordinal: i32) -> Result<Option<(i32, i32)>, String> {
    let ports = &pool.spec.agents.ports;
    if ports.count == 0 {
        return Ok(None);
    }
    let first = ordinal.checked_mul(ports.count).and_then(|offset| ports.first.checked_add(offset));
    let range = first.and_then(|first| Some((first, first.checked_add(ports.count - 1)?)));
    match range {
        Some((first, last)) if last <= 65_535 => Ok(Some((first, last))),
        _ => Err(format!(
            "spec.agents.ports: agent {ordinal} would offer ports beyond 65535; lower spec.agents.ports.count \
             (now {}) or spec.agents.count (now {})",
            ports.count, pool.spec.agents.count
        )),
    }
}

/// In Mesos's words: memory and disk in MiB, rounded down so that nothing is offered that is not there.
fn resources(amounts: &Amounts, ports: Option<(i32, i32)>) -> Result<String, String> {
    let mut words = Vec::new();
    let millis = |path: &str, quantity: &Quantity| {
        quantity
            .millis()
            .ok_or_else(|| format!("spec.agents.resources.{path}: {:?} is no quantity", quantity.0))
    };
    if let Some(cpu) = &amounts.cpu {
        words.push(format!("cpus:{}", crate::master_api::decimal(millis("cpu", cpu)?)));
    }
    for (path, name, quantity) in
        [("memory", "mem", &amounts.memory), ("disk", "disk", &amounts.disk)]
    {
        if let Some(quantity) = quantity {
            words.push(format!("{name}:{}", (millis(path, quantity)? / 1_000) >> 20));
        }
    }
    if let Some(gpus) = &amounts.gpus {
        words.push(format!("gpus:{}", crate::master_api::decimal(millis("gpus", gpus)?)));
    }
    if let Some((first, last)) = ports {
        words.push(format!("ports:[{first}-{last}]"));
    }
    Ok(words.join(";"))
}

fn text(attributes: &BTreeMap<String, String>) -> Result<String, String> {
    let mut text = String::new();
    for (name, value) in attributes {
        if value.contains([';', '\n', '\0']) {
            return Err(format!(
                "attribute {name}: {value:?} holds a character that separates attributes"
            ));
        }
        let separator = if text.is_empty() { "" } else { ";" };
        write!(text, "{separator}{name}:{value}").expect("a String takes all");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn pool(spec: Value) -> ResourcePool {
        serde_json::from_value(json!({
            "apiVersion": "troupe.dev/v1alpha1", "kind": "ResourcePool",
            "metadata": { "name": "p", "namespace": "default", "uid": "1" },
            "spec": spec,
        }))
        .expect("a pool")
    }

    fn observed() -> Observed {
        Observed {
            pods: false,
            paused: false,
            servers: Ok("127.0.0.1:2181".into()),
            agents: Vec::new(),
            users: Vec::new(),
        }
    }

    #[test]
    fn a_pool_becomes_masters_and_agents_with_ranges_of_their_own() {
        let spec = json!({
            "ensembleRef": { "name": "e" },
            "agents": {
                "count": 2, "attributes": { "rack": "r1" },
                "resources": { "cpu": "500m", "memory": "512Mi", "disk": "1Gi" },
            },
        });
        let Plan::Run { masters, agents } = plan(&pool(spec), &observed()) else {
            panic!("it should run")
        };
        assert_eq!(masters.zk, "zk://127.0.0.1:2181/troupe/pools/default/p");
        assert_eq!(agents.detector, "zk://127.0.0.1:2181/troupe/pools/default/p/election");
        let offered: Vec<_> = agents.agents.iter().map(|agent| agent.resources.as_str()).collect();
        assert_eq!(
            offered,
            [
                "cpus:0.5;mem:512;disk:1024;ports:[31000-31099]",
                "cpus:0.5;mem:512;disk:1024;ports:[31100-31199]",
            ]
        );
        assert_eq!(agents.agents[0].attributes, "rack:r1");
    }

    #[test]
    fn trouble_is_told_before_anything_is_done() {
        let reason = |spec: Value, observed: &Observed| match plan(&pool(spec), observed) {
            Plan::Rest(Health::Stalled { reason, .. } | Health::Reconciling { reason, .. }) => {
                reason
            }
            other => panic!("{other:?}"),
        };
        let spec = json!({ "ensembleRef": { "name": "e" }, "allocator": { "policy": "Demand" } });
        assert_eq!(reason(spec, &observed()), reasons::NOT_YET_SUPPORTED);
        let spec = json!({ "ensembleRef": { "name": "e" }, "agents": { "count": 1000 } });
        assert_eq!(reason(spec, &observed()), reasons::INVALID_SPEC);
        let missing = Health::stalled(reasons::REFERENCE_NOT_FOUND, "no Ensemble e");
        let spec = json!({ "ensembleRef": { "name": "e" } });
        let observed = Observed { servers: Err(missing), ..observed() };
        assert_eq!(reason(spec, &observed), reasons::REFERENCE_NOT_FOUND);
    }

    #[test]
    fn deletion_waits_for_frameworks() {
        let mut gone = pool(json!({ "ensembleRef": { "name": "e" } }));
        gone.metadata.deletion_timestamp = Some(crate::kind::now());
        let used = Observed { users: vec!["Framework default/f".into()], ..observed() };
        assert_eq!(plan(&gone, &used), Plan::Hold(used.users.clone()));
        assert_eq!(plan(&gone, &observed()), Plan::Remove);
    }

    proptest! {
        #[test]
        fn ranges_of_ports_never_meet(first in 1024..65_535_i32, count in 0..2_000_i32, agents in 0..40_i32) {
            let spec = json!({
                "ensembleRef": { "name": "e" },
                "agents": { "count": agents, "ports": { "first": first, "count": count } },
            });
            let pool = pool(spec);
            let ranges: Result<Vec<_>, _> = (0..agents).map(|ordinal| ports(&pool, ordinal)).collect();
            if let Ok(ranges) = ranges {
                for pair in ranges.windows(2) {
                    if let [Some(a), Some(b)] = pair {
                        prop_assert!(a.1 < b.0 && b.1 <= 65_535);
                    }
                }
            }
        }
    }
}
