//! What a call must be before it means anything, with Mesos's words about what is wrong.
//!
//! Lives here: checks that need no state. Must not: HTTP. Source: Apache Mesos 1.11,
//! `master/validation.cpp`, and recorded answers of a real master.

mod framework;
mod role;
mod task;

pub(crate) use framework::{failover_timeout, framework, framework_update};
pub(crate) use role::role;
pub(crate) use task::{shown, task};

use std::collections::{BTreeMap, BTreeSet};

use allocator::Quota;
use mesos::link;
use mesos::resources;
use mesos::v1::quota::QuotaConfig;
use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::Type;
use mesos::v1::value::Scalar as WireScalar;
use mesos::v1::{TaskState, master};
use types::Role;
use types::resources::Scalar;

/// Checks a scheduler's call: type, message and framework id. `Err` is a 400.
pub fn call(call: &Call) -> Result<(), String> {
    check_call(call).map_err(|why| format!("Failed to validate scheduler::Call: {why}"))
}

fn check_call(call: &Call) -> Result<(), String> {
    let Some(kind) = call.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return Err(absent("type"));
    };
    if kind == Type::Subscribe {
        let Some(subscribe) = &call.subscribe else { return Err(absent("subscribe")) };
        if subscribe.framework_info.id != call.framework_id {
            return Err(String::from("'framework_id' differs from 'subscribe.framework_info.id'"));
        }
        return Ok(());
    }
    if call.framework_id.is_none() {
        return Err(absent("framework_id"));
    }
    let there = match kind {
        Type::Accept => call.accept.is_some(),
        Type::Decline => call.decline.is_some(),
        Type::AcceptInverseOffers => call.accept_inverse_offers.is_some(),
        Type::DeclineInverseOffers => call.decline_inverse_offers.is_some(),
        Type::Kill => call.kill.is_some(),
        Type::Shutdown => call.shutdown.is_some(),
        Type::Acknowledge => call.acknowledge.is_some(),
        Type::AcknowledgeOperationStatus => call.acknowledge_operation_status.is_some(),
        Type::Reconcile => call.reconcile.is_some(),
        Type::ReconcileOperations => call.reconcile_operations.is_some(),
        Type::Message => call.message.is_some(),
        Type::Request => call.request.is_some(),
        Type::UpdateFramework => call.update_framework.is_some(),
        Type::Unknown | Type::Subscribe | Type::Teardown | Type::Revive | Type::Suppress => true,
    };
    if !there {
        return Err(absent(&kind.as_str_name().to_ascii_lowercase()));
    }
    let uuids = [
        call.acknowledge.as_ref().map(|message| &message.uuid),
        call.acknowledge_operation_status.as_ref().map(|message| &message.uuid),
    ];
    if uuids.into_iter().flatten().any(|uuid| uuid.len() != 16) {
        return Err(String::from("Not a valid UUID"));
    }
    if let Some(status) = &call.acknowledge_operation_status
        && status.agent_id.is_none()
    {
        return Err(absent("agent_id"));
    }
    if let Some(update) = &call.update_framework
        && update.framework_info.id != call.framework_id
    {
        return Err(String::from(
            "'framework_id' differs from 'update_framework.framework_info.id'",
        ));
    }
    Ok(())
}

/// Checks an operator's call: type and message. `Err` is a 400.
pub fn operator(call: &master::Call) -> Result<(), String> {
    use master::call::Type;
    let fail = |why: String| Err(format!("Failed to validate master::Call: {why}"));
    let Some(kind) = call.r#type.and_then(|kind| Type::try_from(kind).ok()) else {
        return fail(absent("type"));
    };
    let there = match kind {
        Type::GetMetrics => call.get_metrics.is_some(),
        Type::SetLoggingLevel => call.set_logging_level.is_some(),
        Type::ListFiles => call.list_files.is_some(),
        Type::ReadFile => call.read_file.is_some(),
        Type::UpdateWeights => call.update_weights.is_some(),
        Type::ReserveResources => call.reserve_resources.is_some(),
        Type::UnreserveResources => call.unreserve_resources.is_some(),
        Type::CreateVolumes => call.create_volumes.is_some(),
        Type::DestroyVolumes => call.destroy_volumes.is_some(),
        Type::GrowVolume => call.grow_volume.is_some(),
        Type::ShrinkVolume => call.shrink_volume.is_some(),
        Type::UpdateMaintenanceSchedule => call.update_maintenance_schedule.is_some(),
        Type::StartMaintenance => call.start_maintenance.is_some(),
        Type::StopMaintenance => call.stop_maintenance.is_some(),
        Type::SetQuota => call.set_quota.is_some(),
        Type::RemoveQuota => call.remove_quota.is_some(),
        Type::UpdateQuota => call.update_quota.is_some(),
        Type::Teardown => call.teardown.is_some(),
        Type::MarkAgentGone => call.mark_agent_gone.is_some(),
        Type::DrainAgent => call.drain_agent.is_some(),
        Type::DeactivateAgent => call.deactivate_agent.is_some(),
        Type::ReactivateAgent => call.reactivate_agent.is_some(),
        _ => true,
    };
    if there { Ok(()) } else { fail(absent(&kind.as_str_name().to_ascii_lowercase())) }
}

/// Checks an agent's subscription. `Err` is a 400 that says what to mend.
pub fn agent(call: &link::Subscribe) -> Result<(), String> {
    if call.agent.hostname.is_empty() {
        return Err(absent("agent.hostname"));
    }
    if let Some(given) = call.agent_id.as_ref().filter(|given| !given.value.is_empty()) {
        id(&given.value).map_err(|why| format!("agent_id: {why}"))?;
    }
    resources::read(&call.agent.resources).map_err(|error| error.to_string())?;
    let mut frameworks = BTreeSet::new();
    for info in &call.frameworks {
        let Some(given) = &info.id else { return Err(absent("frameworks[].id")) };
        id(&given.value).map_err(|why| format!("framework id: {why}"))?;
        framework(info, &[]).map_err(|why| format!("framework {given}: {why}"))?;
        frameworks.insert(given.value.as_str());
    }
    for task in &call.tasks {
        let name = &task.task.task_id;
        id(&name.value).map_err(|why| format!("task id: {why}"))?;
        if !frameworks.contains(task.framework_id.value.as_str()) {
            return Err(format!(
                "task {name} belongs to framework {}, which is not among 'frameworks'",
                task.framework_id
            ));
        }
        let read = resources::read(&task.task.resources);
        let read = read.map_err(|error| format!("task {name}: {error}"))?;
        if read.allocated_to.len() != 1 {
            return Err(format!("task {name}: its resources must all be allocated to one role"));
        }
        if TaskState::try_from(task.latest.state).is_err() {
            return Err(format!("task {name}: its state is not known"));
        }
    }
    Ok(())
}

/// Whether an id can be a component of a path.
pub(crate) fn id(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err(String::from("ID must not be empty"));
    }
    if id.len() > 255 {
        return Err(String::from("ID must not be greater than 255 characters"));
    }
    if id == "." || id == ".." {
        return Err(format!("'{id}' is disallowed"));
    }
    if id.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        return Err(format!("'{id}' contains invalid characters"));
    }
    Ok(())
}

/// Checks one quota by itself. `Err` begins with Mesos's words.
pub(crate) fn quota(config: &QuotaConfig) -> Result<Quota, String> {
    let fail = |why: String| format!("Invalid QuotaConfig: {why}");
    role(&config.role).map_err(|why| fail(format!("Invalid 'QuotaConfig.role': {why}")))?;
    if Role::parse(&config.role).is_ok_and(|role| role.parent().is_some()) {
        return Err(fail(format!(
            "Invalid 'QuotaConfig.role': setting quota on nested role '{}' is not supported yet",
            config.role
        )));
    }
    let scalars = |what: &str, given: &BTreeMap<String, WireScalar>| {
        let mut scalars = BTreeMap::new();
        for (name, scalar) in given {
            let scalar = Scalar::from_f64(scalar.value).map_err(|error| {
                fail(format!("Invalid 'QuotaConfig.{what}' for '{name}': {error}"))
            })?;
            scalars.insert(name.as_str().into(), scalar);
        }
        Ok::<_, String>(scalars)
    };
    let guarantees = scalars("guarantees", &config.guarantees)?;
    let limits = scalars("limits", &config.limits)?;
    let above = |(name, amount): (&std::sync::Arc<str>, &Scalar)| {
        limits.get(name).is_some_and(|limit| amount > limit)
    };
    if guarantees.iter().any(above) {
        return Err(fail(format!(
            "'QuotaConfig.guarantees' {{ {} }} is not contained within the 'QuotaConfig.limits' \
             {{ {} }}",
            quantities(&guarantees, ": ", ", "),
            quantities(&limits, ": ", ", ")
        )));
    }
    Ok(Quota { guarantees, limits })
}

/// `cpus:2; mem:64`, with the given signs.
pub(crate) fn quantities(
    scalars: &BTreeMap<std::sync::Arc<str>, Scalar>,
    is: &str,
    and: &str,
) -> String {
    let each: Vec<_> = scalars.iter().map(|(name, value)| format!("{name}{is}{value}")).collect();
    each.join(and)
}

fn absent(what: &str) -> String {
    format!("Expecting '{what}' to be present")
}
