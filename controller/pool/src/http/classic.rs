//! The pages before v1, `/state` and its kin, with v0 names (`slave_id`), and the metrics.
//!
//! Beside Mesos's keys a slave has `troupe` (enforcement of limits, usage of tasks), a framework has `troupe`
//! (why it has no offer, by role), and the whole has `troupe` (the pool's name, the roles' shares).

use std::time::UNIX_EPOCH;

use master::{Master, Now};
use mesos::v1::master::call::Type;
use mesos::v1::master::response::{GetAgents, GetFrameworks, GetTasks, get_agents, get_frameworks};
use mesos::v1::value::Type as ValueType;
use mesos::v1::{Attribute, MasterInfo, Resource, Task, TaskStatus};
use serde_json::{Map, Value, json};

use super::reply::{self, Reply};
use super::{Phase, Site};
use crate::config::MESOS_VERSION;
use crate::leader::{Desk, Gone};

/// A page that only the leader has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Page {
    State,
    Slaves,
    Frameworks,
    Tasks,
    Roles,
}

impl Page {
    pub(super) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/state" | "/state.json" => Self::State,
            "/slaves" => Self::Slaves,
            "/frameworks" => Self::Frameworks,
            "/tasks" | "/tasks.json" => Self::Tasks,
            "/roles" | "/roles.json" => Self::Roles,
            _ => return None,
        })
    }
}

pub(super) async fn handle(site: &Site, desk: &Desk, page: Page) -> Reply {
    let info = site.info.clone();
    let (pool, started) = (site.pool.clone(), seconds(site));
    let flags = flags(site);
    let look = move |master: &Master, now: Now| {
        let all = All::of(master, now);
        match page {
            Page::State => {
                let mut state = all.state();
                about(&mut state, &info, started);
                if let Some(flags) = flags.get("flags") {
                    state.insert("flags".into(), flags.clone());
                }
                state.insert("troupe".into(), json!({ "pool": pool, "roles": shares(master) }));
                Value::Object(state)
            }
            Page::Slaves => json!({ "slaves": all.slaves(), "recovered_slaves": all.recovered() }),
            Page::Frameworks => json!({
                "frameworks": all.frameworks(),
                "completed_frameworks": all.completed(),
                "unregistered_frameworks": [],
            }),
            Page::Tasks => json!({ "tasks": all.tasks() }),
            Page::Roles => roles(master),
        }
    };
    match desk.look(look).await {
        Ok(page) => reply::json(page),
        Err(Gone) => *reply::gone(),
    }
}

pub(super) fn version() -> Value {
    json!({
        "build_date": "", "build_time": 0.0, "build_user": "", "version": MESOS_VERSION,
    })
}

pub(super) fn flags(site: &Site) -> Value {
    let flags: Map<String, Value> = flag_values(site)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    json!({ "flags": flags })
}

/// The settings by Mesos's names.
pub(super) fn flag_values(site: &Site) -> Vec<(&'static str, String)> {
    let settings = master::Config::new(MasterInfo::default());
    let period = |time: std::time::Duration| match time.as_secs() {
        secs if secs % 60 == 0 => format!("{}mins", secs / 60),
        secs => format!("{secs}secs"),
    };
    vec![
        ("agent_ping_timeout", period(settings.agent_ping)),
        ("agent_reregister_timeout", period(settings.agent_reregister)),
        ("allocation_interval", "1secs".into()),
        ("allocator", "hierarchical".into()),
        ("authenticate_agents", "false".into()),
        ("authenticate_frameworks", "false".into()),
        ("authenticate_http_frameworks", "false".into()),
        ("cluster", site.pool.clone()),
        ("hostname", site.info.hostname().into()),
        ("max_agent_ping_timeouts", settings.agent_pings_missed.to_string()),
        ("max_completed_frameworks", settings.completed_frameworks.to_string()),
        ("max_completed_tasks_per_framework", settings.completed_tasks.to_string()),
        ("port", site.info.port.to_string()),
        ("root_submissions", "true".into()),
        ("version", "false".into()),
    ]
}

pub(super) async fn metrics(site: &Site) -> Reply {
    let desk = match &*site.phase.borrow() {
        Phase::Leading(desk) => Some(desk.clone()),
        _ => None,
    };
    let figures = match desk {
        Some(desk) => figures(site, &desk).await.unwrap_or_default(),
        None => vec![("master/elected".into(), 0.0), uptime(site)],
    };
    let figures: Map<String, Value> =
        figures.into_iter().map(|(name, value)| (name, value.into())).collect();
    reply::json(figures)
}

pub(super) async fn figures(site: &Site, desk: &Desk) -> Result<Vec<(String, f64)>, Gone> {
    let figures = desk.look(|master, _| master.metrics()).await?;
    let mut figures: Vec<_> =
        figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    figures.push(uptime(site));
    figures.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(figures)
}

fn uptime(site: &Site) -> (String, f64) {
    let up = site.started.elapsed().unwrap_or_default();
    ("master/uptime_secs".into(), up.as_secs_f64())
}

pub(super) fn seconds(site: &Site) -> f64 {
    site.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn about(state: &mut Map<String, Value>, info: &MasterInfo, started: f64) {
    let leader = json!({
        "id": info.id, "pid": info.pid(), "port": info.port, "hostname": info.hostname(),
    });
    for (key, value) in [
        ("version", json!(MESOS_VERSION)),
        ("build_date", json!("")),
        ("build_time", json!(0.0)),
        ("build_user", json!("")),
        ("start_time", json!(started)),
        ("id", json!(info.id)),
        ("pid", json!(info.pid())),
        ("hostname", json!(info.hostname())),
        ("capabilities", json!(["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"])),
        ("leader", json!(info.pid())),
        ("leader_info", leader),
        ("orphan_tasks", json!([])),
        ("unregistered_frameworks", json!([])),
    ] {
        state.insert(key.into(), value);
    }
}

/// A copy of the pool, to be written in v0's words.
struct All {
    agents: GetAgents,
    frameworks: GetFrameworks,
    tasks: GetTasks,
    /// `troupe` of each agent and of each framework, in their order.
    of_agents: Vec<Value>,
    of_frameworks: Vec<Value>,
    elected: Option<f64>,
    unreachable: usize,
}

impl All {
    fn of(master: &Master, now: Now) -> Self {
        let response = master.respond(Type::GetState).and_then(|response| response.get_state);
        let state = response.unwrap_or_default();
        let agents = state.get_agents.unwrap_or_default();
        let frameworks = state.get_frameworks.unwrap_or_default();
        let agent_id =
            |agent: &get_agents::Agent| agent.agent_info.id.clone().unwrap_or_default().value;
        let of_agents = agents.agents.iter().map(|agent| details(master, &agent_id(agent)));
        let of_frameworks = frameworks.frameworks.iter().map(|framework| {
            let id = framework.framework_info.id.clone().unwrap_or_default().value;
            let why: Map<String, Value> = master
                .why_no_offer(now, &id)
                .into_iter()
                .map(|(role, why)| (role, Value::String(why)))
                .collect();
            json!({ "no_offer_because": why })
        });
        let figures = master.metrics();
        let unreachable = figures.iter().find(|(name, _)| *name == "master/slaves_unreachable");
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was counted in a usize"
        )]
        let unreachable = unreachable.map_or(0, |(_, count)| *count as usize);
        let leader = master.respond(Type::GetMaster).and_then(|response| response.get_master);
        Self {
            of_agents: of_agents.collect(),
            of_frameworks: of_frameworks.collect(),
            agents,
            frameworks,
            tasks: state.get_tasks.unwrap_or_default(),
            elected: leader.and_then(|leader| leader.elected_time),
            unreachable,
        }
    }

    fn state(&self) -> Map<String, Value> {
        let active = self.agents.agents.iter().filter(|agent| agent.active).count();
        let mut out = Map::new();
        out.insert("activated_slaves".into(), json!(active));
        out.insert("deactivated_slaves".into(), json!(self.agents.agents.len() - active));
        out.insert("unreachable_slaves".into(), json!(self.unreachable));
        out.insert("slaves".into(), self.slaves());
        out.insert("recovered_slaves".into(), self.recovered());
        out.insert("frameworks".into(), self.frameworks());
        out.insert("completed_frameworks".into(), self.completed());
        if let Some(elected) = self.elected {
            out.insert("elected_time".into(), json!(elected));
        }
        out
    }

    fn slaves(&self) -> Value {
        let agents = self.agents.agents.iter().zip(&self.of_agents);
        agents.map(|(agent, details)| slave(agent, details)).collect()
    }

    fn recovered(&self) -> Value {
        let recovered = self.agents.recovered_agents.iter();
        recovered
            .map(|info| {
                json!({
                    "id": info.id.clone().unwrap_or_default().value,
                    "hostname": info.hostname,
                    "port": info.port(),
                    "attributes": attributes(&info.attributes),
                })
            })
            .collect()
    }

    fn frameworks(&self) -> Value {
        let frameworks = self.frameworks.frameworks.iter().zip(&self.of_frameworks);
        frameworks.map(|(framework, details)| self.framework(framework, Some(details))).collect()
    }

    fn completed(&self) -> Value {
        let completed = self.frameworks.completed_frameworks.iter();
        completed.map(|framework| self.framework(framework, None)).collect()
    }

    fn tasks(&self) -> Value {
        let all = [&self.tasks.tasks, &self.tasks.unreachable_tasks, &self.tasks.completed_tasks];
        all.into_iter().flatten().map(task).collect()
    }

    fn framework(&self, given: &get_frameworks::Framework, details: Option<&Value>) -> Value {
        let info = &given.framework_info;
        let id = info.id.clone().unwrap_or_default();
        let own = |tasks: &[Task]| -> Value {
            tasks.iter().filter(|one| one.framework_id == id).map(task).collect()
        };
        let capabilities: Vec<_> =
            info.capabilities.iter().map(|has| has.r#type().as_str_name()).collect();
        let mut used = given.allocated_resources.clone();
        let mut out = json!({
            "id": id.value,
            "name": info.name,
            "user": info.user,
            "failover_timeout": info.failover_timeout(),
            "checkpoint": info.checkpoint(),
            "hostname": info.hostname(),
            "webui_url": info.webui_url(),
            "capabilities": capabilities,
            "active": given.active,
            "connected": given.connected,
            "recovered": given.recovered,
            "registered_time": time(given.registered_time.as_ref()),
            "unregistered_time": time(given.unregistered_time.as_ref()),
            "used_resources": resources(&used),
            "offered_resources": resources(&given.offered_resources),
            "tasks": own(&self.tasks.tasks),
            "unreachable_tasks": own(&self.tasks.unreachable_tasks),
            "completed_tasks": own(&self.tasks.completed_tasks),
            "offers": given.offers.iter().map(|offer| json!({
                "id": offer.id.value,
                "framework_id": offer.framework_id.value,
                "slave_id": offer.agent_id.value,
                "resources": resources(&offer.resources),
            })).collect::<Value>(),
            "executors": [],
        });
        used.extend(given.offered_resources.iter().cloned());
        out["resources"] = resources(&used);
        if info.roles.is_empty() {
            out["role"] = json!(info.role());
        } else {
            out["roles"] = json!(info.roles);
        }
        if let Some(principal) = &info.principal {
            out["principal"] = json!(principal);
        }
        if let Some(details) = details {
            out["troupe"] = details.clone();
        }
        out
    }
}

fn details(master: &Master, agent: &str) -> Value {
    let Some((enforcement, usage)) = master.agent_details(agent) else { return json!({}) };
    json!({ "enforcement": enforcement, "usage": usage.collect::<Vec<_>>() })
}

fn slave(agent: &get_agents::Agent, details: &Value) -> Value {
    let info = &agent.agent_info;
    let capabilities: Vec<_> =
        agent.capabilities.iter().map(|has| has.r#type().as_str_name()).collect();
    let unreserved: Vec<_> =
        agent.total_resources.iter().filter(|one| one.reservations.is_empty()).cloned().collect();
    let mut reserved: Map<String, Value> = Map::new();
    for one in &agent.total_resources {
        if let Some(role) = one.reservations.last().and_then(|layer| layer.role.clone()) {
            let of_role = |other: &&Resource| {
                other.reservations.last().and_then(|layer| layer.role.as_ref()) == Some(&role)
            };
            let all: Vec<_> = agent.total_resources.iter().filter(of_role).cloned().collect();
            reserved.insert(role.clone(), resources(&all));
        }
    }
    let mut out = json!({
        "id": info.id.clone().unwrap_or_default().value,
        "hostname": info.hostname,
        "port": info.port(),
        "attributes": attributes(&info.attributes),
        "pid": agent.pid(),
        "registered_time": time(agent.registered_time.as_ref()),
        "resources": resources(&agent.total_resources),
        "used_resources": resources(&agent.allocated_resources),
        "offered_resources": resources(&agent.offered_resources),
        "reserved_resources": reserved,
        "unreserved_resources": resources(&unreserved),
        "active": agent.active,
        "deactivated": agent.deactivated(),
        "version": agent.version,
        "capabilities": capabilities,
        "troupe": details,
    });
    if agent.reregistered_time.is_some() {
        out["reregistered_time"] = json!(time(agent.reregistered_time.as_ref()));
    }
    out
}

fn task(task: &Task) -> Value {
    let role = task.resources.iter().find_map(|one| one.allocation_info.as_ref()?.role.clone());
    let mut out = json!({
        "id": task.task_id.value,
        "name": task.name,
        "framework_id": task.framework_id.value,
        "executor_id": task.executor_id.clone().unwrap_or_default().value,
        "slave_id": task.agent_id.value,
        "state": task.state().as_str_name(),
        "resources": resources(&task.resources),
        "role": role.unwrap_or_else(|| "*".into()),
        "statuses": task.statuses.iter().map(status).collect::<Value>(),
    });
    if let Some(user) = &task.user {
        out["user"] = json!(user);
    }
    if let Some(labels) = &task.labels {
        out["labels"] = json!(labels.labels);
    }
    if let Some(discovery) = &task.discovery {
        out["discovery"] = json!(discovery);
    }
    out
}

fn status(status: &TaskStatus) -> Value {
    let mut out = json!({
        "state": status.state().as_str_name(),
        "timestamp": status.timestamp(),
    });
    if let Some(container) = &status.container_status {
        out["container_status"] = json!(container);
    }
    if let Some(healthy) = status.healthy {
        out["healthy"] = json!(healthy);
    }
    out
}

/// `{"cpus": 1.5, …, "ports": "[1-2]"}`: the four usual scalars are always there.
fn resources(list: &[Resource]) -> Value {
    let mut out = Map::new();
    for name in ["cpus", "gpus", "mem", "disk"] {
        out.insert(name.into(), json!(0.0));
    }
    let Ok(read) = mesos::resources::read(list) else { return Value::Object(out) };
    for (key, value) in read.resources.iter() {
        let name =
            if key.revocable { format!("{}_revocable", key.name) } else { key.name.to_string() };
        let value = match value {
            types::resources::Value::Scalar(amount) => {
                let before = out.get(&name).and_then(Value::as_f64).unwrap_or_default();
                json!(before + amount.as_f64())
            }
            other => json!(other.to_string()),
        };
        out.insert(name, value);
    }
    Value::Object(out)
}

fn attributes(list: &[Attribute]) -> Value {
    let mut out = Map::new();
    for attribute in list {
        let value = match attribute.r#type() {
            ValueType::Scalar => json!(attribute.scalar.as_ref().map_or(0.0, |s| s.value)),
            ValueType::Text => {
                json!(attribute.text.as_ref().map_or("", |text| text.value.as_str()))
            }
            ValueType::Set => {
                let items = attribute.set.as_ref().map(|set| set.item.join(", "));
                json!(format!("{{{}}}", items.unwrap_or_default()))
            }
            ValueType::Ranges => {
                let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
                let ranges: Vec<_> = ranges.map(|r| format!("{}-{}", r.begin, r.end)).collect();
                json!(format!("[{}]", ranges.join(", ")))
            }
        };
        out.insert(attribute.name.clone(), value);
    }
    Value::Object(out)
}

fn time(time: Option<&mesos::v1::TimeInfo>) -> f64 {
    time.map_or(0.0, |time| time.nanoseconds as f64 / 1e9)
}

fn roles(master: &Master) -> Value {
    let response = master.respond(Type::GetRoles).and_then(|response| response.get_roles);
    let roles: Vec<_> = response
        .unwrap_or_default()
        .roles
        .iter()
        .map(|role| {
            json!({
                "name": role.name,
                "weight": role.weight,
                "frameworks": role.frameworks.iter().map(|id| &id.value).collect::<Vec<_>>(),
                "resources": resources(&role.resources),
            })
        })
        .collect();
    json!({ "roles": roles })
}

fn shares(master: &Master) -> Value {
    let roles = master.roles().into_iter();
    let shares = roles.map(|report| {
        let value = json!({ "share": report.share, "weight": report.weight.get() });
        (report.role.to_string(), value)
    });
    Value::Object(shares.collect())
}
