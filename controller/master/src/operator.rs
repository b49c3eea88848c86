//! Operators' calls: questions about the pool, and decisions that outlive the master.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocator::{AgentId, FrameworkId, Weight};
use mesos::v1::master::call::{Type, UpdateQuota};
use mesos::v1::master::{Call, Response};
use mesos::v1::quota::QuotaConfig;
use mesos::v1::task_status::Reason;
use mesos::v1::{TaskState, WeightInfo};
use types::Role;
use types::resources::Scalar;

use crate::master::Pending;
use crate::offers::sure;
use crate::{AgentRecord, AgentState, Answer, Change, Master, Now, ReplyId, validate};

/// A decision on its way to the registry.
#[derive(Debug)]
pub(crate) enum Decision {
    Weights(Vec<WeightInfo>),
    Quotas(Vec<QuotaConfig>),
    Gone(AgentId),
    Deactivated(AgentId, bool),
}

impl Master {
    pub(crate) fn operator(&mut self, now: Now, reply: ReplyId, call: Call) {
        let decided = match call.r#type() {
            Type::UpdateWeights => {
                self.update_weights(call.update_weights.unwrap_or_default().weight_infos)
            }
            Type::UpdateQuota => self.update_quota(call.update_quota.unwrap_or_default()),
            Type::Teardown => {
                let id = call.teardown.unwrap_or_default().framework_id.value.as_str().into();
                let answer = self.teardown(now, &id);
                return self.answer(reply, answer);
            }
            Type::MarkAgentGone => {
                let id = call.mark_agent_gone.unwrap_or_default().agent_id.value.as_str().into();
                self.mark_gone(now, id)
            }
            Type::DeactivateAgent => {
                let id = call.deactivate_agent.unwrap_or_default().agent_id.value.as_str().into();
                self.deactivate(id, true)
            }
            Type::ReactivateAgent => {
                let id = call.reactivate_agent.unwrap_or_default().agent_id.value.as_str().into();
                self.deactivate(id, false)
            }
            kind => {
                let answer = match self.question(kind) {
                    Some(response) => Answer::Response(Box::new(response)),
                    None => Answer::refused(
                        501,
                        format!("{} is not implemented by this pool", kind.as_str_name()),
                    ),
                };
                return self.answer(reply, answer);
            }
        };
        match decided {
            Ok((change, decision)) => {
                self.write(change, Pending::Decision { reply, decision });
            }
            Err(answer) => self.answer(reply, answer),
        }
    }

    /// The registry holds the decision: carry it out.
    pub(crate) fn decide(&mut self, now: Now, reply: ReplyId, decision: Decision) {
        match decision {
            Decision::Weights(weights) => {
                self.set_weights(weights);
                self.rescind_all(now);
            }
            Decision::Quotas(quotas) => {
                self.set_quotas(quotas);
                self.rescind_all(now);
            }
            Decision::Gone(id) => {
                let (gone, reason) =
                    (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator);
                let record = self.agents.get(&id).map(crate::agent::Agent::record);
                self.remove_agent(now, &id, gone, reason, "Agent has been marked gone");
                let record = record.or_else(|| self.absent.remove(&id)).unwrap_or_default();
                let state = AgentState::Gone { since: now.unix_nanos };
                self.absent.insert(id, AgentRecord { state, ..record });
            }
            Decision::Deactivated(id, deactivated) => {
                if let Some(agent) = self.agents.get_mut(&id) {
                    agent.deactivated = deactivated;
                    let may = agent.may_be_offered();
                    sure(self.allocator.set_agent_active(&id, may));
                    if deactivated {
                        self.rescind_offers_of_agent(now, &id);
                    }
                } else if let Some(record) = self.absent.get_mut(&id) {
                    record.deactivated = deactivated;
                }
            }
        }
        self.answer(reply, Answer::Done);
    }

    /// Who has an offer may not be the one who should have it now.
    fn rescind_all(&mut self, now: Now) {
        let ids: Vec<_> = self.offers.keys().cloned().collect();
        for id in ids {
            self.rescind(now, &id);
        }
    }

    fn update_weights(&self, given: Vec<WeightInfo>) -> Result<(Change, Decision), Answer> {
        let mut weights = self.weights.clone();
        for info in given {
            let fail = |why: String| {
                let role: String = info.role().chars().take(255).collect();
                Answer::refused(
                    400,
                    format!(
                        "Failed to validate update weights request JSON for role '{role}': {why}"
                    ),
                )
            };
            validate::role(info.role())
                .map_err(|why| fail(format!("Invalid role '{}': {why}", info.role())))?;
            if info.weight.is_nan() || info.weight <= 0.0 {
                let why = format!("Invalid weight '{}': Weights must be positive", info.weight);
                return Err(fail(why));
            }
            if let Err(error) = Weight::new(info.weight) {
                return Err(fail(format!("Invalid weight '{}': {error}", info.weight)));
            }
            weights.retain(|known| known.role() != info.role());
            weights.push(info);
        }
        weights.sort_by(|a, b| a.role().cmp(b.role()));
        Ok((Change::Weights(weights.clone()), Decision::Weights(weights)))
    }

    fn update_quota(&self, call: UpdateQuota) -> Result<(Change, Decision), Answer> {
        let refused = |why: String| Answer::refused(400, why);
        let mut quotas = self.quotas.clone();
        for config in &call.quota_configs {
            let quota = validate::quota(config).map_err(refused)?;
            if !call.force() {
                self.check_consumption(&config.role, &quota).map_err(refused)?;
            }
            quotas.retain(|known| known.role != config.role);
            if !quota.is_default() {
                quotas.push(config.clone());
            }
        }
        if !call.force() {
            self.check_capacity(&quotas).map_err(refused)?;
        }
        quotas.sort_by(|a, b| a.role.cmp(&b.role));
        Ok((Change::Quotas(quotas.clone()), Decision::Quotas(quotas)))
    }

    fn check_consumption(&self, role: &str, quota: &allocator::Quota) -> Result<(), String> {
        let mut used: BTreeMap<Arc<str>, Scalar> = BTreeMap::new();
        for task in self.frameworks.values().flat_map(|f| f.tasks.values()).filter(|t| t.holds) {
            let role_of = task.role.as_str();
            if role_of != role && !role_of.starts_with(&format!("{role}/")) {
                continue;
            }
            for name in quota.limits.keys() {
                let sum = used.entry(Arc::clone(name)).or_default();
                *sum = sum.saturating_add(task.resources.scalar(name));
            }
        }
        if used.iter().all(|(name, used)| quota.limits.get(name).is_none_or(|most| used <= most)) {
            return Ok(());
        }
        Err(format!(
            "Invalid QuotaConfig: Role '{role}' is already consuming '{}'; this is more than the \
             requested limits '{}' (use 'force' flag to bypass this check)",
            validate::quantities(&used, ":", "; "),
            validate::quantities(&quota.limits, ":", "; ")
        ))
    }

    fn check_capacity(&self, quotas: &[QuotaConfig]) -> Result<(), String> {
        let mut guaranteed: BTreeMap<Arc<str>, Scalar> = BTreeMap::new();
        for config in quotas {
            for (name, amount) in validate::quota(config)?.guarantees {
                let sum = guaranteed.entry(name).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
        let mut capacity: BTreeMap<Arc<str>, Scalar> = BTreeMap::new();
        for agent in self.agents.values() {
            for (key, value) in agent.total.iter() {
                if let types::resources::Value::Scalar(amount) = value {
                    let sum = capacity.entry(Arc::clone(&key.name)).or_default();
                    *sum = sum.saturating_add(*amount);
                }
            }
        }
        let fits = |(name, amount): (&Arc<str>, &Scalar)| {
            *amount <= capacity.get(name).copied().unwrap_or_default()
        };
        if guaranteed.iter().all(fits) {
            return Ok(());
        }
        Err(format!(
            "Invalid QuotaConfig: total quota guarantees '{}' exceed cluster capacity '{}' (use \
             'force' flag to bypass this check)",
            validate::quantities(&guaranteed, ":", "; "),
            validate::quantities(&capacity, ":", "; ")
        ))
    }

    fn teardown(&mut self, now: Now, id: &FrameworkId) -> Answer {
        if !self.frameworks.contains_key(id) {
            return Answer::refused(400, "No framework found with specified ID");
        }
        self.remove_framework(now, id);
        Answer::Done
    }

    fn mark_gone(&self, now: Now, id: AgentId) -> Result<(Change, Decision), Answer> {
        let record = match (self.agents.get(&id), self.absent.get(&id)) {
            (Some(agent), _) => agent.record(),
            (None, Some(AgentRecord { state: AgentState::Gone { .. }, .. })) => {
                return Err(Answer::Done);
            }
            (None, Some(record)) => record.clone(),
            (None, None) => {
                return Err(Answer::refused(404, format!("Agent '{id}' not found")));
            }
        };
        let state = AgentState::Gone { since: now.unix_nanos };
        Ok((Change::Agent(AgentRecord { state, ..record }), Decision::Gone(id)))
    }

    fn deactivate(&self, id: AgentId, deactivated: bool) -> Result<(Change, Decision), Answer> {
        let record = self.agents.get(&id).map(crate::agent::Agent::record);
        let Some(record) = record.or_else(|| self.absent.get(&id).cloned()) else {
            return Err(Answer::refused(400, "Unknown agent"));
        };
        if matches!(record.state, AgentState::Gone { .. }) {
            return Err(Answer::refused(409, "Agent has been marked gone"));
        }
        if !deactivated && !record.deactivated {
            return Err(Answer::refused(400, "Agent is not deactivated"));
        }
        let change = Change::Agent(AgentRecord { deactivated, ..record });
        Ok((change, Decision::Deactivated(id, deactivated)))
    }

    /// The answer to a question; `None` for what this pool has not got.
    fn question(&self, kind: Type) -> Option<Response> {
        self.respond(kind)
    }

    /// The weight of a role.
    pub(crate) fn weight(&self, role: &Role) -> f64 {
        let set = self.weights.iter().find(|info| info.role() == role.as_str());
        set.map_or(1.0, |info| info.weight)
    }
}
