//! What a pool's status says of its masters, agents, resources and roles.

use std::collections::BTreeMap;

use crds::{MasterStatus, PoolRole, ResourcePool, ResourcePoolStatus, RoleStatus, reasons};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::agent::status::{Seen, enforcement, rows};
use crate::conditions::{Health, Truth, set};
use crate::master_api::{AgentReport, Figures};
use crate::parts;
use crate::platform::{Part, PartState};

/// What is known of a pool.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) masters: Vec<Part>,
    pub(crate) agents: Vec<Part>,
    /// The address of the leading master.
    pub(crate) leader: Option<String>,
    /// What the leading master says of each agent.
    pub(crate) reports: Vec<AgentReport>,
    /// What it answers to `GET_ROLES`.
    pub(crate) roles: Value,
    /// Each declared agent.
    pub(crate) seen: Vec<(String, Seen)>,
    /// Why the roles could not be settled.
    pub(crate) refused: Option<String>,
}

/// Fills the status; returns the summary.
pub(crate) fn status(
    status: &mut ResourcePoolStatus,
    pool: &ResourcePool,
    detector: &str,
    view: &View,
    now: &Time,
) -> Health {
    let generation = pool.metadata.generation.unwrap_or(0);
    let declared = pool.spec.agents.count;
    let ready = count(view.seen.iter().filter(|(_, seen)| is_registered(seen)).count());
    status.summary = Some(format!("{ready}/{declared}"));
    status.agent_count = Some(count(view.agents.len()));
    status.ready_agents = Some(ready);
    let name = pool.metadata.name.clone().unwrap_or_default();
    status.selector = Some(format!("{}={name}", crds::POOL_LABEL));
    status.leader.clone_from(&view.leader);
    status.detector = Some(detector.to_owned());
    status.masters =
        view.masters.iter().map(|part| master(&name, part, view.leader.as_deref())).collect();
    if view.leader.is_some() {
        let mut total = Figures::default();
        let (mut offered, mut allocated) = (Figures::default(), Figures::default());
        for report in &view.reports {
            total.plus(&report.total);
            offered.plus(&report.offered);
            allocated.plus(&report.allocated);
        }
        status.resources = rows(&total, &offered, &allocated);
        status.roles = roles(&pool.spec.roles, &view.roles, &view.reports, &total);
    }
    let (truth, reason, message) = enforced(pool, view);
    set(status, generation, reasons::ENFORCED, truth, reason, &message, now);
    health(declared, ready, view)
}

fn health(declared: i32, ready: i32, view: &View) -> Health {
    if view.leader.is_none() {
        let trouble = parts::trouble("master", "spec.masters.port", view.masters.iter());
        return trouble.unwrap_or_else(|| {
            Health::waiting(
                reasons::NO_LEADER,
                "no master leads yet; they are starting or electing",
            )
        });
    }
    if let Some(refused) = &view.refused {
        return Health::waiting(reasons::REFUSED, refused.clone());
    }
    if ready < declared {
        let missing = view.seen.iter().filter(|(_, seen)| !is_registered(seen));
        let troubled = missing.filter_map(|(_, seen)| seen.part.as_ref());
        return parts::trouble("agent", "", troubled).unwrap_or_else(|| {
            Health::waiting(
                reasons::AGENTS_MISSING,
                format!("{ready} of {declared} agents are registered"),
            )
        });
    }
    let over = view.agents.len().saturating_sub(view.seen.len());
    if over > 0 {
        return Health::waiting(
            reasons::IN_PROGRESS,
            format!("{over} agents are stopping their tasks"),
        );
    }
    Health::Ready(format!("{ready} of {declared} agents are registered"))
}

fn is_registered(seen: &Seen) -> bool {
    seen.report.as_ref().is_some_and(|report| report.active || report.deactivated)
}

fn enforced(pool: &ResourcePool, view: &View) -> (Truth, &'static str, String) {
    if pool.spec.agents.isolation == crds::Isolation::Processes {
        let message = "spec.agents.isolation is Processes: limits are not enforced";
        return (Truth::False, reasons::NOT_REQUESTED, message.into());
    }
    if view.seen.is_empty() {
        return (Truth::Unknown, reasons::NOT_REQUESTED, "there are no agents".into());
    }
    let each: Vec<_> =
        view.seen.iter().map(|(name, seen)| (name, enforcement(seen.state.as_ref()))).collect();
    let worst = each
        .iter()
        .find(|(_, (truth, ..))| *truth == Truth::False)
        .or_else(|| each.iter().find(|(_, (truth, ..))| *truth == Truth::Unknown));
    match worst {
        Some((name, (truth, reason, why))) => (*truth, reason, format!("agent {name}: {why}")),
        None => {
            (Truth::True, reasons::BY_CGROUPS, "cgroups enforce the limits on every agent".into())
        }
    }
}

fn master(pool: &str, part: &Part, leader: Option<&str>) -> MasterStatus {
    let leads = part.endpoint.is_some() && part.endpoint.as_deref() == leader;
    let state = match (&part.state, leads) {
        (PartState::Running, true) => "leading",
        (PartState::Running, false) => "waiting",
        _ => "down",
    };
    MasterStatus {
        name: format!("{pool}-master-{}", part.number),
        address: part.endpoint.clone(),
        state: state.into(),
        pid: part.pid,
        restarts: Some(part.restarts),
    }
}

/// Declared roles and those in use, with their dominant shares.
fn roles(
    declared: &[PoolRole],
    known: &Value,
    reports: &[AgentReport],
    total: &Figures,
) -> Vec<RoleStatus> {
    let mut held: BTreeMap<String, Figures> = BTreeMap::new();
    for (role, figures) in reports.iter().flat_map(|report| &report.by_role) {
        held.entry(role.clone()).or_default().plus(figures);
    }
    let mut frameworks: BTreeMap<String, i32> = BTreeMap::new();
    let mut weights: BTreeMap<String, f64> = BTreeMap::new();
    for role in known["get_roles"]["roles"].as_array().into_iter().flatten() {
        let Some(name) = role["name"].as_str() else { continue };
        let members = role["frameworks"].as_array().map_or(0, Vec::len);
        frameworks.insert(name.to_owned(), count(members));
        weights.insert(name.to_owned(), role["weight"].as_f64().unwrap_or(1.0));
    }
    let mut names: Vec<&String> = declared.iter().map(|role| &role.name).collect();
    names.extend(
        held.keys().chain(frameworks.iter().filter(|(_, n)| **n > 0).map(|(name, _)| name)),
    );
    names.sort();
    names.dedup();
    let nothing = Figures::default();
    names
        .into_iter()
        .filter(|name| !name.is_empty())
        .take(512)
        .map(|name| {
            let figures = held.get(name).unwrap_or(&nothing);
            let (share, resource) = dominant(figures, total);
            let spec = declared.iter().find(|role| &role.name == name).and_then(|role| role.weight);
            RoleStatus {
                name: name.clone(),
                weight: weights.get(name).copied().or(spec).unwrap_or(1.0),
                dominant_share: format!("{share:.3}"),
                dominant_resource: resource,
                allocated: Some(figures.words()).filter(|words| !words.is_empty()),
                frameworks: frameworks.get(name).copied().unwrap_or(0),
            }
        })
        .collect()
}

/// The largest fraction of any one resource, 0.0 to 1.0, and which resource it is.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn dominant(held: &Figures, total: &Figures) -> (f64, Option<String>) {
    let shares = held.0.iter().filter_map(|(name, amount)| {
        let all = total.of(name);
        (all > 0 && *amount > 0).then(|| (*amount as f64 / all as f64, name))
    });
    let largest = shares.max_by(|a, b| a.0.total_cmp(&b.0));
    largest.map_or((0.0, None), |(share, name)| (share, Some(name.clone())))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool() -> ResourcePool {
        serde_json::from_value(json!({
            "apiVersion": "troupe.dev/v1alpha1", "kind": "ResourcePool",
            "metadata": { "name": "p", "namespace": "default", "uid": "1", "generation": 3 },
            "spec": {
                "ensembleRef": { "name": "e" }, "agents": { "count": 1 },
                "roles": [{ "name": "web", "weight": 2.0 }],
            },
        }))
        .expect("a pool")
    }

    fn part(number: i32) -> Part {
        let endpoint = Some("127.0.0.1:5050".into());
        Part {
            number,
            endpoint,
            secure_endpoint: None,
            line: None,
            pid: Some(1),
            restarts: 0,
            state: PartState::Running,
        }
    }

    #[test]
    fn a_registered_agent_makes_it_ready_and_shares_are_told() {
        let figures = |value: Value| Figures(serde_json::from_value(value).expect("figures"));
        let report = AgentReport {
            id: "S0".into(),
            active: true,
            total: figures(json!({ "cpus": 1_000, "mem": 512_000 })),
            allocated: figures(json!({ "cpus": 300, "mem": 96_000 })),
            by_role: BTreeMap::from([(
                "web".into(),
                figures(json!({ "cpus": 300, "mem": 96_000 })),
            )]),
            ..AgentReport::default()
        };
        let state = Some(json!({ "enforcement": { "enforced": false, "message": "not root" } }));
        let seen = Seen { part: Some(part(0)), report: Some(report.clone()), state };
        let view = View {
            masters: vec![part(0)],
            agents: vec![part(0)],
            leader: Some("127.0.0.1:5050".into()),
            reports: vec![report],
            seen: vec![("p-0".into(), seen)],
            ..View::default()
        };
        let mut told = ResourcePoolStatus::default();
        let health = status(&mut told, &pool(), "zk://x", &view, &crate::kind::now());
        assert!(health.is_ready(), "{health:?}");
        assert_eq!(told.summary.as_deref(), Some("1/1"));
        assert_eq!(told.resources[0].free, "0.7");
        assert_eq!(told.roles[0].dominant_share, "0.300");
        assert_eq!(told.roles[0].dominant_resource.as_deref(), Some("cpus"));
        assert_eq!(told.masters[0].state, "leading");
        let enforced = &told.conditions[0];
        assert_eq!(
            (enforced.status.as_str(), enforced.message.as_str()),
            ("False", "agent p-0: not root")
        );
    }

    #[test]
    fn without_a_leader_it_waits_and_says_so() {
        let mut told = ResourcePoolStatus::default();
        let health = status(&mut told, &pool(), "zk://x", &View::default(), &crate::kind::now());
        assert!(
            matches!(health, Health::Reconciling { reason: reasons::NO_LEADER, .. }),
            "{health:?}"
        );
    }
}
