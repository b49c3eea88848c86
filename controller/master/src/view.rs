//! What operators see of the pool.

use std::collections::{BTreeMap, BTreeSet};

use allocator::{AgentId, FrameworkId};
use mesos::link::{Enforcement, TaskUsage};
use mesos::resources::{Form, write};
use mesos::v1::agent_info::Capability;
use mesos::v1::agent_info::capability::Type as CapabilityType;
use mesos::v1::master::Response;
use mesos::v1::master::call::Type;
use mesos::v1::master::response::{
    GetAgents, GetExecutors, GetFrameworks, GetHealth, GetMaster, GetOperations, GetQuota,
    GetRoles, GetState, GetTasks, GetWeights, Type as Kind, get_agents, get_frameworks,
};
use mesos::v1::quota::{QuotaInfo, QuotaStatus};
use mesos::v1::{Resource, Role as WireRole, TaskState, TimeInfo};
use types::{Resources, Role};

use crate::agent::Agent;
use crate::framework::Framework;
use crate::{AgentState, Master, Now};

/// A framework that ended.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) framework: Framework,
    pub(crate) unregistered: i64,
}

/// What every 1.11 agent can do.
const AGENTS_CAN: [CapabilityType; 8] = [
    CapabilityType::MultiRole,
    CapabilityType::HierarchicalRole,
    CapabilityType::ReservationRefinement,
    CapabilityType::ResourceProvider,
    CapabilityType::ResizeVolume,
    CapabilityType::AgentOperationFeedback,
    CapabilityType::AgentDraining,
    CapabilityType::TaskResourceLimits,
];

impl Master {
    /// The answer to a question of the operator API; `None` for what the state machine does not know.
    pub fn respond(&self, kind: Type) -> Option<Response> {
        let mut out = Response::default();
        let kind = match kind {
            Type::GetHealth => {
                out.get_health = Some(GetHealth { healthy: true });
                Kind::GetHealth
            }
            Type::GetMaster => {
                out.get_master = Some(self.get_master());
                Kind::GetMaster
            }
            Type::GetAgents => {
                out.get_agents = Some(self.get_agents());
                Kind::GetAgents
            }
            Type::GetFrameworks => {
                out.get_frameworks = Some(self.get_frameworks());
                Kind::GetFrameworks
            }
            Type::GetTasks => {
                out.get_tasks = Some(self.get_tasks());
                Kind::GetTasks
            }
            Type::GetExecutors => {
                out.get_executors = Some(GetExecutors::default());
                Kind::GetExecutors
            }
            Type::GetOperations => {
                out.get_operations = Some(GetOperations::default());
                Kind::GetOperations
            }
            Type::GetState => {
                out.get_state = Some(GetState {
                    get_tasks: Some(self.get_tasks()),
                    get_executors: Some(GetExecutors::default()),
                    get_frameworks: Some(self.get_frameworks()),
                    get_agents: Some(self.get_agents()),
                });
                Kind::GetState
            }
            Type::GetRoles => {
                out.get_roles = Some(self.get_roles());
                Kind::GetRoles
            }
            Type::GetWeights => {
                if !self.weights.is_empty() {
                    out.get_weights = Some(GetWeights { weight_infos: self.weights.clone() });
                }
                Kind::GetWeights
            }
            Type::GetQuota => {
                out.get_quota = Some(GetQuota { status: self.quota_status() });
                Kind::GetQuota
            }
            _ => return None,
        };
        out.r#type = Some(kind as i32);
        Some(out)
    }

    fn get_master(&self) -> GetMaster {
        GetMaster {
            master_info: Some(self.config.info.clone()),
            start_time: None,
            elected_time: Some(self.elected.unix_seconds()),
        }
    }

    fn get_agents(&self) -> GetAgents {
        let recovered = self.absent.values().filter(|r| r.state == AgentState::Admitted);
        GetAgents {
            agents: self.agents.values().map(|agent| self.agent_view(agent)).collect(),
            recovered_agents: recovered.map(|record| record.info.clone()).collect(),
        }
    }

    fn agent_view(&self, agent: &Agent) -> get_agents::Agent {
        let mut offered = Vec::new();
        for (role, resources) in self.sum(
            agent
                .offers
                .iter()
                .filter_map(|id| self.offers.get(id).map(|offer| (&offer.role, &offer.resources))),
        ) {
            offered.extend(write(&resources, Some(&role), Form::Operator));
        }
        let mut allocated = Vec::new();
        for (role, resources) in self.sum(self.tasks_of(agent)) {
            allocated.extend(write(&resources, Some(&role), Form::Operator));
        }
        let mut capabilities: Vec<_> =
            AGENTS_CAN.iter().map(|kind| Capability { r#type: Some(*kind as i32) }).collect();
        let more = agent.capabilities.iter().filter(|more| !AGENTS_CAN.contains(&more.r#type()));
        capabilities.extend(more.copied());
        get_agents::Agent {
            agent_info: agent.info.clone(),
            active: agent.may_be_offered(),
            deactivated: Some(agent.deactivated),
            version: agent.version.clone(),
            pid: Some(format!(
                "slave(1)@{}:{}",
                agent.ip().unwrap_or_else(|| agent.info.hostname.clone()),
                agent.info.port()
            )),
            registered_time: Some(TimeInfo { nanoseconds: agent.registered }),
            reregistered_time: agent.reregistered.map(|nanoseconds| TimeInfo { nanoseconds }),
            total_resources: write(&agent.total, None, Form::Operator),
            allocated_resources: allocated,
            offered_resources: offered,
            capabilities,
            ..get_agents::Agent::default()
        }
    }

    /// The role and resources of each running task of an agent.
    fn tasks_of<'a>(&'a self, agent: &'a Agent) -> impl Iterator<Item = (&'a Role, &'a Resources)> {
        agent.tasks.iter().filter_map(|(framework, task)| {
            let framework = FrameworkId::from(framework.as_str());
            let task = self.frameworks.get(&framework)?.tasks.get(task)?;
            task.holds.then_some((&task.role, &task.resources))
        })
    }

    fn sum<'a>(
        &self,
        parts: impl Iterator<Item = (&'a Role, &'a Resources)>,
    ) -> BTreeMap<Role, Resources> {
        let mut sums: BTreeMap<Role, Resources> = BTreeMap::new();
        for (role, resources) in parts {
            sums.entry(role.clone()).or_default().add(resources);
        }
        sums
    }

    fn get_frameworks(&self) -> GetFrameworks {
        GetFrameworks {
            frameworks: self.frameworks.values().map(|f| self.framework_view(f, None)).collect(),
            completed_frameworks: self
                .completed
                .iter()
                .map(|c| self.framework_view(&c.framework, Some(c.unregistered)))
                .collect(),
            ..GetFrameworks::default()
        }
    }

    fn framework_view(
        &self,
        framework: &Framework,
        ended: Option<i64>,
    ) -> get_frameworks::Framework {
        let connected = framework.stream().is_some() && ended.is_none();
        let offers: Vec<_> = framework
            .offers
            .iter()
            .filter_map(|id| self.offer_message(id, self.offers.get(id)?))
            .collect();
        let offered = offers.iter().flat_map(|offer| offer.resources.clone()).collect();
        let held = framework.tasks.values().filter(|task| task.holds);
        let mut allocated: Vec<Resource> = Vec::new();
        for (role, resources) in self.sum(held.map(|task| (&task.role, &task.resources))) {
            allocated.extend(write(&resources, Some(&role), Form::Operator));
        }
        get_frameworks::Framework {
            framework_info: framework.info.clone(),
            active: connected,
            connected,
            recovered: ended.is_none()
                && framework.connection == crate::framework::Connection::Recovered,
            registered_time: Some(TimeInfo { nanoseconds: framework.registered }),
            reregistered_time: Some(TimeInfo { nanoseconds: framework.reregistered }),
            unregistered_time: ended.map(|nanoseconds| TimeInfo { nanoseconds }),
            offers,
            allocated_resources: allocated,
            offered_resources: offered,
            ..get_frameworks::Framework::default()
        }
    }

    fn get_tasks(&self) -> GetTasks {
        let mut out = GetTasks::default();
        let ended = self.completed.iter().map(|completed| &completed.framework);
        for framework in self.frameworks.values().chain(ended) {
            out.tasks.extend(framework.tasks.values().map(|task| task.wire.clone()));
            out.unreachable_tasks.extend(framework.unreachable.iter().map(|t| t.wire.clone()));
            out.completed_tasks.extend(framework.completed.iter().cloned());
        }
        out
    }

    fn get_roles(&self) -> GetRoles {
        let mut roles: BTreeMap<Role, (BTreeSet<FrameworkId>, Resources)> = BTreeMap::new();
        for framework in self.frameworks.values() {
            for role in &framework.roles {
                roles.entry(role.clone()).or_default().0.insert(framework.id.clone());
            }
        }
        let tasks = self.frameworks.values().flat_map(|f| f.tasks.values()).filter(|t| t.holds);
        let held = tasks.map(|task| (&task.role, &task.resources));
        let offered = self.offers.values().map(|offer| (&offer.role, &offer.resources));
        for (role, resources) in held.chain(offered) {
            // What a role holds its parents hold too.
            let mut at = Some(role.clone());
            while let Some(role) = at {
                roles.entry(role.clone()).or_default().1.add(resources);
                at = role.parent();
            }
        }
        for role in self.weights.iter().filter_map(|info| Role::parse(info.role()).ok()) {
            roles.entry(role).or_default();
        }
        for role in self.quotas.iter().filter_map(|config| Role::parse(&config.role).ok()) {
            roles.entry(role).or_default();
        }
        let each = roles.into_iter().map(|(role, (frameworks, resources))| WireRole {
            name: role.as_str().into(),
            weight: self.weight(&role),
            frameworks: frameworks.iter().map(|id| id.as_str().into()).collect(),
            resources: write(&resources, None, Form::Refined),
        });
        GetRoles { roles: each.collect() }
    }

    fn quota_status(&self) -> QuotaStatus {
        let info = |config: &mesos::v1::quota::QuotaConfig| {
            let guarantees: Resources = config
                .guarantees
                .iter()
                .filter_map(|(name, amount)| {
                    let amount = types::resources::Scalar::from_f64(amount.value).ok()?;
                    let key = types::resources::ResourceKey::unreserved(name);
                    Some((key, types::resources::Value::Scalar(amount)))
                })
                .collect();
            QuotaInfo {
                role: Some(config.role.clone()),
                guarantee: write(&guarantees, None, Form::Refined),
                ..QuotaInfo::default()
            }
        };
        QuotaStatus { infos: self.quotas.iter().map(info).collect(), configs: self.quotas.clone() }
    }

    /// What an agent said about the enforcement of limits, and what its tasks use: framework, task.
    pub fn agent_details(
        &self,
        id: &str,
    ) -> Option<(Option<&Enforcement>, impl Iterator<Item = &TaskUsage>)> {
        let agent = self.agents.get(&AgentId::from(id))?;
        Some((agent.enforcement.as_ref(), agent.usage.values()))
    }

    /// Why each role of a framework has no offer now, in words; empty for an unknown framework.
    pub fn why_no_offer(&self, now: Now, framework: &str) -> Vec<(String, String)> {
        let why =
            self.allocator.why(now.instant, &FrameworkId::from(framework)).unwrap_or_default();
        why.into_iter().map(|(role, why)| (role.to_string(), why.to_string())).collect()
    }

    /// Every role's account: weight, quota, share.
    pub fn roles(&self) -> Vec<allocator::RoleReport> {
        self.allocator.roles()
    }

    /// Figures by Mesos's names.
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        let count = |number: usize| number as f64;
        let connected = self.agents.values().filter(|agent| agent.stream().is_some()).count();
        let active = self.agents.values().filter(|agent| agent.may_be_offered()).count();
        let subscribed = self.frameworks.values().filter(|f| f.stream().is_some()).count();
        let unreachable = self.absent.values();
        let unreachable = unreachable
            .filter(|record| matches!(record.state, AgentState::Unreachable { .. }))
            .count();
        let tasks = || self.frameworks.values().flat_map(|f| f.tasks.values());
        let in_state = |state| count(tasks().filter(|task| task.state() == state).count());
        let ended = |state: TaskState| {
            self.counters.ended.get(&(state as i32)).copied().unwrap_or_default() as f64
        };
        let mut total = Resources::new();
        let mut used = Resources::new();
        for agent in self.agents.values() {
            total.add(&agent.total);
            for (_, resources) in self.tasks_of(agent) {
                used.add(resources);
            }
        }
        let mut out = vec![
            ("master/elected", 1.0),
            ("master/slaves_connected", count(connected)),
            ("master/slaves_disconnected", count(self.agents.len() - connected)),
            ("master/slaves_active", count(active)),
            ("master/slaves_inactive", count(self.agents.len() - active)),
            ("master/slaves_unreachable", count(unreachable)),
            ("master/slave_removals", self.counters.agents_unreachable as f64),
            ("master/frameworks_connected", count(subscribed)),
            ("master/frameworks_disconnected", count(self.frameworks.len() - subscribed)),
            ("master/frameworks_active", count(subscribed)),
            ("master/frameworks_inactive", count(self.frameworks.len() - subscribed)),
            ("master/outstanding_offers", count(self.offers.len())),
            ("master/tasks_staging", in_state(TaskState::TaskStaging)),
            ("master/tasks_starting", in_state(TaskState::TaskStarting)),
            ("master/tasks_running", in_state(TaskState::TaskRunning)),
            ("master/tasks_killing", in_state(TaskState::TaskKilling)),
            ("master/tasks_finished", ended(TaskState::TaskFinished)),
            ("master/tasks_failed", ended(TaskState::TaskFailed)),
            ("master/tasks_killed", ended(TaskState::TaskKilled)),
            ("master/tasks_error", ended(TaskState::TaskError)),
            ("master/tasks_lost", ended(TaskState::TaskLost)),
            ("master/tasks_dropped", ended(TaskState::TaskDropped)),
            ("master/tasks_gone", ended(TaskState::TaskGone)),
            ("master/tasks_gone_by_operator", ended(TaskState::TaskGoneByOperator)),
            ("master/valid_status_updates", self.counters.updates as f64),
            ("allocator/mesos/allocation_runs", self.counters.rounds as f64),
        ];
        let percent = |name: &str| {
            let total = total.scalar(name).as_f64();
            if total == 0.0 { 0.0 } else { used.scalar(name).as_f64() / total }
        };
        let scalar = |resources: &Resources, name: &str| resources.scalar(name).as_f64();
        out.extend([
            ("master/cpus_total", scalar(&total, "cpus")),
            ("master/cpus_used", scalar(&used, "cpus")),
            ("master/cpus_percent", percent("cpus")),
            ("master/mem_total", scalar(&total, "mem")),
            ("master/mem_used", scalar(&used, "mem")),
            ("master/mem_percent", percent("mem")),
            ("master/disk_total", scalar(&total, "disk")),
            ("master/disk_used", scalar(&used, "disk")),
            ("master/disk_percent", percent("disk")),
            ("master/gpus_total", scalar(&total, "gpus")),
            ("master/gpus_used", scalar(&used, "gpus")),
            ("master/gpus_percent", percent("gpus")),
        ]);
        out
    }
}
