//! What a Framework's status says of its tasks.

use crds::{Framework, FrameworkStatus, TaskFailure, TaskSummary, reasons};
use frameworks::{Failure, Phase};
use k8s_openapi::jiff::Timestamp;

use super::RunReport;
use super::observe::Observed;
use crate::conditions::Health;

/// Fills the status; returns the summary.
pub(crate) fn status(
    status: &mut FrameworkStatus,
    framework: &Framework,
    observed: &Observed,
    report: &RunReport,
) -> Health {
    let service = &report.service;
    // A run that has only begun knows nothing yet: what was told before is truer.
    if report.framework_id.is_some() {
        status.framework_id.clone_from(&report.framework_id);
    }
    status.leader.clone_from(&report.leader);
    let desired = if framework.spec.suspend { 0 } else { framework.spec.instances };
    status.desired = Some(desired);
    status.staging = Some(count(service.staging));
    status.running = Some(count(service.running));
    status.healthy = Some(count(service.healthy));
    status.failed = i64::try_from(service.failed).ok();
    status.summary = Some(format!("{}/{desired}", service.running));
    status.replicas = i32::try_from(service.tasks.len()).ok();
    let name = framework.metadata.name.as_deref().unwrap_or_default();
    status.selector = Some(format!("troupe.dev/framework={name}"));
    if let Some(last) = &service.last_failure {
        status.last_failure = Some(failure(last, name));
    }
    let task = |(id, task): (&frameworks::TaskId, &frameworks::InstanceStatus)| TaskSummary {
        id: id.to_string(),
        instance: Some(format!("{name}-{}", task.index)),
        state: match (task.killing, task.phase) {
            (true, _) => "Ending".into(),
            (false, Phase::Staging) => "Staging".into(),
            (false, Phase::Running) => "Running".into(),
            (false, Phase::Unreachable) => "Unreachable".into(),
        },
        agent: Some(task.hostname.clone()).filter(|host| !host.is_empty()),
    };
    status.tasks = service.tasks.iter().take(100).map(task).collect();
    health(framework, observed, report, desired)
}

fn health(framework: &Framework, observed: &Observed, report: &RunReport, desired: i32) -> Health {
    let service = &report.service;
    if let Some(refused) = &service.refused {
        return Health::stalled(reasons::INVALID_SPEC, refused.clone());
    }
    let counted = format!("{} of {desired} instances run", service.running);
    if service.converged() && count(service.desired) == desired && report.framework_id.is_some() {
        return Health::Ready(if framework.spec.suspend {
            "suspended as declared: nothing runs".to_owned()
        } else {
            counted
        });
    }
    if let Some(trouble) = &report.trouble {
        return Health::waiting(reasons::UNREACHABLE, trouble.clone());
    }
    let pool = observed.pool.as_ref();
    if let Some(trouble) = pool.and_then(|pool| pool.trouble.as_ref()) {
        return Health::waiting(reasons::WAITING_FOR_REFERENCE, trouble.clone());
    }
    if let Some(last) = &service.last_failure
        && count(service.running) < desired
    {
        return Health::waiting(reasons::TASKS_FAILING, format!("{counted}; {}", last.message));
    }
    match &service.waiting {
        Some(waiting) => Health::waiting(reasons::TASKS_MISSING, format!("{counted}; {waiting}")),
        None => Health::waiting(reasons::IN_PROGRESS, counted),
    }
}

fn failure(failure: &Failure, name: &str) -> TaskFailure {
    #[allow(clippy::cast_possible_truncation, reason = "seconds of a date; a float cast saturates")]
    let time = failure.at.and_then(|at| Timestamp::from_second(at as i64).ok());
    TaskFailure {
        instance: format!("{name}-{}", failure.index),
        task_id: Some(failure.task.to_string()),
        reason: format!("{:?}", failure.reason),
        message: failure.message.clone(),
        time: time.map(|time| time.to_string()),
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
