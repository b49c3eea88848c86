//! ACCEPT: offers become tasks.

use std::collections::BTreeSet;

use allocator::{AgentId, FrameworkId};
use mesos::link::{AgentEvent, Launch};
use mesos::v1::offer::Operation;
use mesos::v1::offer::operation::Type;
use mesos::v1::resource::AllocationInfo;
use mesos::v1::scheduler::Event;
use mesos::v1::scheduler::call::Accept;
use mesos::v1::scheduler::event::{Type as EventType, UpdateOperationStatus};
use mesos::v1::task_status::Reason;
use mesos::v1::{OfferId, OperationState, OperationStatus, TaskInfo, TaskState};
use types::{Resources, Role};

use crate::offers::{Offer, refusal};
use crate::status::{as_known, from_master};
use crate::task::Task;
use crate::{Master, Now, validate};

impl Master {
    pub(crate) fn accept(&mut self, now: Now, id: &FrameworkId, accept: Accept) {
        let refused_for = refusal(accept.filters.as_ref());
        let mut pot = match self.take_offers(id, &accept.offer_ids) {
            Ok(pot) => pot,
            Err(why) => return self.refuse_operations(now, id, &accept, &why),
        };
        for operation in accept.operations {
            match operation.r#type() {
                Type::Launch => {
                    for task in operation.launch.unwrap_or_default().task_infos {
                        self.launch(now, &mut pot, task);
                    }
                }
                Type::LaunchGroup => {
                    let why =
                        "Task groups are not supported by this pool: launch each task by LAUNCH";
                    self.refuse_tasks(
                        now,
                        id,
                        tasks_of(&operation),
                        TaskState::TaskError,
                        Reason::TaskGroupInvalid,
                        why,
                    );
                }
                _ => self.refuse_operation(id, &operation, &unsupported(&operation)),
            }
        }
        if !pot.resources.is_empty() {
            self.recover(now, &pot, Some(refused_for));
        }
    }

    /// All named offers as one, if they may be used together. Nothing is taken otherwise.
    fn take_offers(&mut self, id: &FrameworkId, ids: &[OfferId]) -> Result<Offer, String> {
        let mut pot: Option<Offer> = None;
        let mut seen = BTreeSet::new();
        for OfferId { value } in ids {
            let Some(offer) = self.offers.get(value) else {
                let value: String = value.chars().take(255).collect();
                return Err(format!("Offer {value} is no longer valid"));
            };
            if !seen.insert(value.as_str()) {
                return Err(format!("Duplicate offer {value} in offer list"));
            }
            if offer.framework != *id {
                return Err(format!(
                    "Offer {value} has invalid framework {} while framework {id} is expected",
                    offer.framework
                ));
            }
            match &mut pot {
                None => pot = Some(offer.clone()),
                Some(pot) if pot.role != offer.role => {
                    return Err(format!(
                        "Aggregated offers must be allocated to the same role. Offer {value} is \
                         allocated to role {}, while another is to {}",
                        offer.role, pot.role
                    ));
                }
                Some(pot) if pot.agent != offer.agent => {
                    return Err(format!(
                        "Aggregated offers must belong to one single agent. Offer {value} uses \
                         agent {} and agent {}",
                        offer.agent, pot.agent
                    ));
                }
                Some(pot) => pot.resources.add(&offer.resources),
            }
        }
        let Some(pot) = pot else { return Err(String::from("No offers specified")) };
        for OfferId { value } in ids {
            self.take_offer(value);
        }
        Ok(pot)
    }

    /// Offers that cannot be used together: those that were the framework's go back, nothing runs.
    fn refuse_operations(&mut self, now: Now, id: &FrameworkId, accept: &Accept, why: &str) {
        for OfferId { value } in &accept.offer_ids {
            if self.offers.get(value).is_some_and(|offer| offer.framework == *id)
                && let Some(offer) = self.take_offer(value)
            {
                self.recover(now, &offer, None);
            }
        }
        let told = format!("Task launched with invalid offers: {why}");
        for operation in &accept.operations {
            let tasks = tasks_of(operation);
            let dropped = TaskState::TaskDropped;
            self.refuse_tasks(now, id, tasks, dropped, Reason::InvalidOffers, &told);
            if tasks.is_empty() {
                let told = format!("Operation attempted with invalid resources: {why}");
                self.refuse_operation(id, operation, &told);
            }
        }
    }

    fn refuse_tasks(
        &mut self,
        now: Now,
        id: &FrameworkId,
        tasks: &[TaskInfo],
        state: TaskState,
        reason: Reason,
        why: &str,
    ) {
        let state = as_known(state, self.partition_aware(id));
        for task in tasks {
            let status = from_master(now, &task.task_id, Some(&task.agent_id), state, reason, why);
            self.tell_status(id, status);
        }
    }

    /// Only an operation with an id has somebody who waits for its status.
    fn refuse_operation(&mut self, id: &FrameworkId, operation: &Operation, why: &str) {
        let Some(operation_id) = operation.id.clone() else { return };
        let Some(stream) = self.frameworks.get(id).and_then(|f| f.stream()) else { return };
        let status = OperationStatus {
            operation_id: Some(operation_id),
            state: OperationState::OperationError as i32,
            message: Some(why.into()),
            ..OperationStatus::default()
        };
        let event = Event {
            r#type: Some(EventType::UpdateOperationStatus as i32),
            update_operation_status: Some(UpdateOperationStatus { status }),
            ..Event::default()
        };
        self.event(stream, event);
    }

    /// Launches one task on what is left of the offers.
    fn launch(&mut self, now: Now, pot: &mut Offer, mut info: TaskInfo) {
        let id = pot.framework.clone();
        let resources = match self.check(pot, &info) {
            Ok(resources) => resources,
            Err(why) => {
                let (error, invalid) = (TaskState::TaskError, Reason::TaskInvalid);
                return self.refuse_tasks(now, &id, &[info], error, invalid, &why);
            }
        };
        let left = pot.resources.subtract(&resources);
        debug_assert!(left.is_ok(), "the check has compared them");
        inject_role(&mut info, &pot.role);
        let (Some(framework), Some(agent)) =
            (self.frameworks.get_mut(&id), self.agents.get_mut(&pot.agent))
        else {
            return;
        };
        let framework_id = id.as_str().into();
        let task = Task::new(&info, &framework_id, pot.agent.clone(), pot.role.clone(), resources);
        agent.tasks.insert((framework_id.value, task.id().into()));
        framework.tasks.insert(task.id().into(), task);
        self.counters.launched += 1;
        let launch = Launch { framework: framework.info.clone(), task: info };
        self.tell_agent(&pot.agent, AgentEvent::Launch(Box::new(launch)));
    }

    /// Mesos's checks in Mesos's order; what the task takes of the offers.
    fn check(&self, pot: &Offer, info: &TaskInfo) -> Result<Resources, String> {
        let task_id = info.task_id.value.as_str();
        validate::id(task_id)?;
        if let Some(framework) = self.frameworks.get(&pot.framework) {
            let unreachable = framework.unreachable.iter().any(|task| task.id() == task_id);
            if unreachable || framework.tasks.contains_key(task_id) {
                return Err(format!("Task has duplicate ID: {task_id}"));
            }
        }
        check_agent(info, &pot.agent)?;
        let resources = validate::task(info, &pot.role)?;
        if !pot.resources.contains(&resources) {
            return Err(format!(
                "Total resources {} required by task and its executor is more than available {}",
                validate::shown(&resources, &pot.role),
                validate::shown(&pot.resources, &pot.role)
            ));
        }
        Ok(resources)
    }
}

fn check_agent(info: &TaskInfo, expected: &AgentId) -> Result<(), String> {
    if info.agent_id.value == expected.as_str() {
        return Ok(());
    }
    let given: String = info.agent_id.value.chars().take(255).collect();
    Err(format!("Task uses invalid agent {given} while agent {expected} is expected"))
}

/// The role of the offer goes into every resource that does not name one.
fn inject_role(info: &mut TaskInfo, role: &Role) {
    for resource in &mut info.resources {
        let allocation = resource.allocation_info.get_or_insert_with(AllocationInfo::default);
        allocation.role.get_or_insert_with(|| role.as_str().into());
    }
}

fn tasks_of(operation: &Operation) -> &[TaskInfo] {
    match operation.r#type() {
        Type::Launch => operation.launch.as_ref().map_or(&[], |launch| &launch.task_infos),
        Type::LaunchGroup => {
            operation.launch_group.as_ref().map_or(&[], |launch| &launch.task_group.tasks)
        }
        _ => &[],
    }
}

fn unsupported(operation: &Operation) -> String {
    format!("{} is not supported by this pool: only LAUNCH is", operation.r#type().as_str_name())
}
