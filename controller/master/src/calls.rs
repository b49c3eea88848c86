//! The calls of subscribed schedulers.

use std::collections::BTreeSet;

use allocator::FrameworkId;
use mesos::link::AgentEvent;
use mesos::v1::TaskState;
use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::{Acknowledge, Decline, Kill, Type, UpdateFramework};
use types::Role;

use crate::framework::Connection;
use crate::offers::{refusal, sure};
use crate::status::is_terminal;
use crate::{Answer, Master, Now, validate};

impl Master {
    /// Everything but SUBSCRIBE. The order of the checks is Mesos's.
    pub(crate) fn call(&mut self, now: Now, stream_name: Option<&str>, call: Call) -> Answer {
        let id = call.framework_id.as_ref().map_or("", |id| id.value.as_str()).into();
        if let Err(refused) = self.check_stream(&id, stream_name) {
            return refused;
        }
        let kind = call.r#type();
        match kind {
            Type::Teardown => self.remove_framework(now, &id),
            Type::Accept => self.accept(now, &id, call.accept.unwrap_or_default()),
            Type::Decline => self.decline(now, &id, call.decline.unwrap_or_default()),
            Type::Revive => self.revive(&id, &call.revive.unwrap_or_default().roles),
            Type::Suppress => self.suppress(&id, &call.suppress.unwrap_or_default().roles),
            Type::Kill => self.kill(now, &id, call.kill.unwrap_or_default()),
            Type::Acknowledge => self.acknowledge(&id, call.acknowledge.unwrap_or_default()),
            Type::Reconcile => self.reconcile(now, &id, call.reconcile.unwrap_or_default()),
            Type::ReconcileOperations => {
                self.reconcile_operations(&id, call.reconcile_operations.unwrap_or_default());
            }
            Type::UpdateFramework => {
                return self.update_framework(&id, call.update_framework.unwrap_or_default());
            }
            Type::Unknown => return Answer::refused(501, ""),
            // There are no inverse offers, operations or executors that these could be about, and REQUEST
            // is accepted and ignored by Mesos too.
            Type::Subscribe
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers
            | Type::Shutdown
            | Type::AcknowledgeOperationStatus
            | Type::Message
            | Type::Request => {}
        }
        Answer::Accepted
    }

    fn check_stream(&self, id: &FrameworkId, stream_name: Option<&str>) -> Result<(), Answer> {
        let Some(framework) = self.frameworks.get(id) else {
            return Err(Answer::refused(400, "Framework cannot be found"));
        };
        let Connection::Subscribed { name, .. } = &framework.connection else {
            return Err(Answer::refused(403, "Framework is not subscribed"));
        };
        let Some(given) = stream_name else {
            let why = "All non-subscribe calls should include the 'Mesos-Stream-Id' header";
            return Err(Answer::refused(400, why));
        };
        if given != name {
            let given: String = given.chars().take(128).collect();
            return Err(Answer::refused(
                400,
                format!(
                    "The stream ID '{given}' included in this request didn't match the stream ID \
                     currently associated with framework ID {id}"
                ),
            ));
        }
        Ok(())
    }

    fn decline(&mut self, now: Now, id: &FrameworkId, decline: Decline) {
        let refused_for = refusal(decline.filters.as_ref());
        for offer in &decline.offer_ids {
            let own = self.offers.get(&offer.value).is_some_and(|offer| offer.framework == *id);
            if own && let Some(offer) = self.take_offer(&offer.value) {
                self.recover(now, &offer, Some(refused_for));
            }
        }
    }

    fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        // One role that is not the framework's drops the whole call.
        let Some(roles) = self.own_roles(id, roles) else { return };
        sure(self.allocator.revive(id, &roles));
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.suppressed.retain(|role| !roles.contains(role));
        }
    }

    fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        let Some(roles) = self.own_roles(id, roles) else { return };
        sure(self.allocator.suppress(id, &roles));
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.suppressed.extend(roles);
        }
    }

    /// The roles named, or all of the framework's; `None` when one is not its own.
    fn own_roles(&self, id: &FrameworkId, names: &[String]) -> Option<BTreeSet<Role>> {
        let framework = self.frameworks.get(id)?;
        if names.is_empty() {
            return Some(framework.roles.clone());
        }
        let mut roles = BTreeSet::new();
        for name in names {
            let role = Role::parse(name).ok().filter(|role| framework.roles.contains(role))?;
            roles.insert(role);
        }
        Some(roles)
    }

    fn kill(&mut self, now: Now, id: &FrameworkId, kill: Kill) {
        let Some(task) = self.task_mut(id, &kill.task_id.value) else {
            // The framework learns what became of it.
            return self.reconcile_one(now, id, &kill.task_id, kill.agent_id.as_ref());
        };
        if kill.agent_id.as_ref().is_some_and(|agent| *agent != task.wire.agent_id) {
            return;
        }
        task.killed = true;
        let agent = task.agent.clone();
        let framework_id = id.as_str().into();
        let (task_id, kill_policy) = (kill.task_id, kill.kill_policy);
        self.tell_agent(&agent, AgentEvent::Kill { framework_id, task_id, kill_policy });
    }

    fn acknowledge(&mut self, id: &FrameworkId, acknowledge: Acknowledge) {
        let Acknowledge { agent_id, task_id, uuid } = acknowledge;
        let agent = agent_id.value.as_str().into();
        if self.agents.get(&agent).and_then(crate::agent::Agent::stream).is_none() {
            // The agent will tell the update again when it is back.
            return;
        }
        if let Some(task) = self.task_mut(id, &task_id.value) {
            if task.wire.status_update_uuid.is_none() {
                return;
            }
            if task.unacknowledged.as_ref().is_some_and(|status| status.uuid() == uuid) {
                task.unacknowledged = None;
            }
            let told: TaskState = task.told_state();
            if is_terminal(told) && task.wire.status_update_uuid() == uuid {
                self.complete(id, &task_id.value);
            }
        }
        let framework_id = id.as_str().into();
        self.tell_agent(&agent, AgentEvent::Acknowledge { framework_id, task_id, uuid });
    }

    fn update_framework(&mut self, id: &FrameworkId, update: UpdateFramework) -> Answer {
        let Some(framework) = self.frameworks.get(id) else {
            return Answer::refused(400, "Framework cannot be found");
        };
        let info = update.framework_info;
        let checked = validate::framework(&info, &update.suppressed_roles)
            .and_then(|()| validate::framework_update(&framework.info, &info));
        if let Err(why) = checked {
            return Answer::refused(400, format!("FrameworkInfo update is not valid: {why}"));
        }
        self.redescribe(id, info);
        if let Some(framework) = self.frameworks.get_mut(id) {
            let suppressed = update.suppressed_roles.iter();
            framework.suppressed = suppressed.filter_map(|role| Role::parse(role).ok()).collect();
            sure(self.allocator.update_framework(id, &framework.spec()));
        }
        Answer::Done
    }
}
