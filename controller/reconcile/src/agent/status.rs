//! What an Agent's status says.

use crds::{Agent, AgentStatus, ResourceUsage, reasons};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::conditions::{Health, Truth, Unsupported, set};
use crate::master_api::{AgentReport, decimal};
use crate::parts;
use crate::platform::Part;

/// What is known of one agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Its process or pod.
    pub(crate) part: Option<Part>,
    /// What the leading master says of it.
    pub(crate) report: Option<AgentReport>,
    /// What it says of itself (`/state`).
    pub(crate) state: Option<Value>,
}

/// Fills the status; returns the summary.
pub(crate) fn status(
    status: &mut AgentStatus,
    agent: &Agent,
    seen: &Seen,
    generation: i64,
    now: &Time,
) -> Health {
    status.pid = seen.part.as_ref().and_then(|part| part.pid);
    status.restarts = seen.part.as_ref().map(|part| part.restarts);
    if let Some(report) = &seen.report {
        status.agent_id = Some(report.id.clone());
        status.address.clone_from(&report.address);
        status.hostname = Some(report.hostname.clone());
        status.registered_at = report
            .registered
            .and_then(|nanos| Timestamp::from_second(nanos / 1_000_000_000).ok())
            .map(|time| time.to_string());
        status.resources = usage(report);
        let fraction = |name: &str, unit: &str| {
            let (used, all) = (report.allocated.of(name), report.total.of(name));
            format!("{}{unit}/{}{unit}", decimal(used), decimal(all))
        };
        status.cpu = Some(fraction("cpus", ""));
        status.memory = Some(fraction("mem", "Mi"));
    }
    if let Some(state) = &seen.state {
        let tasks = state["tasks"].as_array().map(Vec::len);
        status.tasks = tasks.and_then(|tasks| i32::try_from(tasks).ok());
        status.cgroups = Some(
            state["enforcement"]["hierarchy"].as_str().unwrap_or("none").chars().take(32).collect(),
        );
    }
    let (enforced, reason, why) = enforcement(seen.state.as_ref());
    set(status, generation, reasons::ENFORCED, enforced, reason, &why, now);
    let stops = agent.spec.unschedulable;
    let reason = if stops { reasons::SUSPENDED } else { reasons::NOT_REQUESTED };
    let why = if stops {
        "spec.unschedulable: no new tasks; those that run stay"
    } else {
        "not asked for"
    };
    set(status, generation, reasons::DRAINING, Truth::False, reason, why, now);
    health(agent, seen)
}

/// Whether an agent enforces limits: by what it says of itself.
pub(crate) fn enforcement(state: Option<&Value>) -> (Truth, &'static str, String) {
    let Some(state) = state else {
        return (Truth::Unknown, reasons::STARTING, "the agent has not told yet".into());
    };
    let told = &state["enforcement"];
    match (told["enforced"].as_bool(), told["message"].as_str()) {
        (Some(true), _) => (Truth::True, reasons::BY_CGROUPS, "cgroups enforce the limits".into()),
        (Some(false), Some(why)) => (Truth::False, reasons::CGROUPS_NOT_WRITABLE, why.to_owned()),
        (Some(false), None) => {
            let why = "limits are not enforced: run as root, or let this user write a cgroup";
            (Truth::False, reasons::CGROUPS_NOT_WRITABLE, why.to_owned())
        }
        (None, _) => (Truth::Unknown, reasons::STARTING, "the agent does not tell".into()),
    }
}

fn health(agent: &Agent, seen: &Seen) -> Health {
    let drain = agent.spec.drain.is_some();
    if let Some(field) = Unsupported::first(&[(drain, "spec.drain")]) {
        return Health::unsupported(&field);
    }
    match &seen.report {
        Some(report) if report.active || report.deactivated => {
            Health::Ready(format!("registered as {}", report.id))
        }
        _ => seen
            .part
            .iter()
            .find_map(|part| parts::trouble("agent", "", std::iter::once(part)))
            .unwrap_or_else(|| {
                Health::waiting(reasons::STARTING, "it is not registered with the leading master")
            }),
    }
}

/// Each resource of one agent.
pub(crate) fn usage(report: &AgentReport) -> Vec<ResourceUsage> {
    rows(&report.total, &report.offered, &report.allocated)
}

/// Rows of a table of resources.
pub(crate) fn rows(
    total: &crate::master_api::Figures,
    offered: &crate::master_api::Figures,
    allocated: &crate::master_api::Figures,
) -> Vec<ResourceUsage> {
    total
        .0
        .iter()
        .take(64)
        .map(|(name, all)| {
            let (offered, allocated) = (offered.of(name), allocated.of(name));
            let free = all.saturating_sub(offered).saturating_sub(allocated);
            ResourceUsage {
                name: name.clone(),
                total: decimal(*all),
                offered: decimal(offered),
                allocated: decimal(allocated),
                free: decimal(free),
            }
        })
        .collect()
}
