//! A declared service in the words of the scheduler: amounts in Mesos's units, times as times.
//!
//! Pure. A field that has no effect yet is told apart from one that makes no sense.

use std::time::Duration;

use crds::{ConstraintOperator, FrameworkSpec, GoDuration, Quantity, RESTARTED_AT};
use frameworks::{Backoff, Command, Constraint, Operator, Port, Rolling, ServiceSpec, TaskSpec};
use types::resources::Scalar;

use crate::conditions::Unsupported;

/// Why a spec cannot be carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    Unsupported(Unsupported),
    Invalid(String),
}

/// The service that a spec declares. `restarted_at` makes another revision of the same task.
pub(crate) fn service(
    name: &str,
    spec: &FrameworkSpec,
    restarted_at: Option<&str>,
) -> Result<ServiceSpec, Refused> {
    if let Some(field) = unsupported(spec) {
        return Err(Refused::Unsupported(field));
    }
    let mut service = ServiceSpec::new(name, task(spec, restarted_at).map_err(Refused::Invalid)?);
    service.instances = if spec.suspend { 0 } else { u32::try_from(spec.instances).unwrap_or(0) };
    if let Some(template) = &spec.service {
        service.rolling = rolling(template).map_err(Refused::Invalid)?;
        service.backoff = backoff(template).map_err(Refused::Invalid)?;
        let constraints: Result<Vec<_>, _> = template.constraints.iter().map(constraint).collect();
        service.constraints = constraints?;
    }
    service.check().map_err(|why| Refused::Invalid(why.to_string()))?;
    Ok(service)
}

/// The first field that has no effect yet.
fn unsupported(spec: &FrameworkSpec) -> Option<Unsupported> {
    let task = &spec.task;
    let health = spec.service.as_ref().is_some_and(|service| service.health_check.is_some());
    Unsupported::first(&[
        (spec.cron.is_some(), "spec.cron"),
        (spec.batch.is_some(), "spec.batch"),
        (spec.scheduler.is_some(), "spec.scheduler"),
        (spec.discovery.is_some(), "spec.discovery"),
        (health, "spec.service.healthCheck"),
        (task.image.is_some(), "spec.task.image"),
        (task.script.is_some(), "spec.task.script"),
        (!task.files.is_empty(), "spec.task.files"),
        (
            task.env.iter().any(|variable| variable.value_from.is_some()),
            "spec.task.env[].valueFrom",
        ),
        (task.resources.gpus.is_some(), "spec.task.resources.gpus"),
        (task.limits.as_ref().is_some_and(|limits| limits.disk.is_some()), "spec.task.limits.disk"),
    ])
}

fn task(spec: &FrameworkSpec, restarted_at: Option<&str>) -> Result<TaskSpec, String> {
    let declared = &spec.task;
    let command = match (&declared.shell, &declared.command) {
        (Some(line), _) => Command::Shell(line.clone()),
        (None, Some(argv)) => Command::Argv(argv.clone()),
        (None, None) => return Err("spec.task says nothing to run; give shell or command".into()),
    };
    let resources = &declared.resources;
    let cpus = cores("spec.task.resources.cpu", resources.cpu.as_ref())?;
    let mem = mebibytes("spec.task.resources.memory", resources.memory.as_ref())?;
    let disk = mebibytes("spec.task.resources.disk", resources.disk.as_ref())?;
    let limits = declared.limits.clone().unwrap_or_default();
    let cpus_limit = match &limits.cpu {
        Some(limit) => Some(at_least("cpu", cores("spec.task.limits.cpu", Some(limit))?, cpus)?),
        None => None,
    };
    let mem_limit = match &limits.memory {
        Some(limit) => {
            Some(at_least("memory", mebibytes("spec.task.limits.memory", Some(limit))?, mem)?)
        }
        None => None,
    };
    let ports = declared.ports.iter().map(|port| Port {
        name: port.name.clone(),
        fixed: port.port.and_then(|port| u16::try_from(port).ok()),
    });
    let env = declared
        .env
        .iter()
        .map(|variable| (variable.name.clone(), variable.value.clone().unwrap_or_default()));
    let label = restarted_at.map(|when| (RESTARTED_AT.to_owned(), when.to_owned()));
    Ok(TaskSpec {
        command,
        user: declared.user.clone(),
        env: env.collect(),
        fetch: Vec::new(),
        cpus,
        mem,
        disk,
        cpus_limit,
        mem_limit,
        pids_limit: limits.pids.and_then(|pids| u64::try_from(pids).ok()),
        ports: ports.collect(),
        labels: label.into_iter().collect(),
        grace: time("spec.task.gracePeriod", &declared.grace_period)?,
    })
}

fn rolling(service: &crds::ServiceTemplate) -> Result<Rolling, String> {
    let mut rolling = Rolling::default();
    if let Some(update) = &service.update {
        let count = |number: Option<i32>, default| {
            number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
        };
        rolling.max_unavailable = count(update.max_unavailable, rolling.max_unavailable);
        rolling.max_surge = count(update.max_surge, rolling.max_surge);
        if let Some(min_ready) = &update.min_ready {
            rolling.min_ready = time("spec.service.update.minReady", min_ready)?;
        }
    }
    Ok(rolling)
}

fn backoff(service: &crds::ServiceTemplate) -> Result<Backoff, String> {
    let mut backoff = Backoff::default();
    if let Some(declared) = &service.backoff {
        if let Some(initial) = &declared.initial {
            backoff.initial = time("spec.service.backoff.initial", initial)?;
        }
        if let Some(max) = &declared.max {
            backoff.max = time("spec.service.backoff.max", max)?;
        }
    }
    Ok(backoff)
}

fn constraint(declared: &crds::Constraint) -> Result<Constraint, Refused> {
    let value = || {
        declared.value.clone().ok_or_else(|| {
            let attribute = &declared.attribute;
            Refused::Invalid(format!(
                "spec.service.constraints: the rule on {attribute} needs a value"
            ))
        })
    };
    let operator = match declared.operator {
        ConstraintOperator::Unique => Operator::Unique,
        ConstraintOperator::Cluster => Operator::Equals(value()?),
        ConstraintOperator::MaxPer => {
            let value = value()?;
            let number = value.parse().map_err(|_| {
                let attribute = &declared.attribute;
                Refused::Invalid(format!(
                    "spec.service.constraints: MaxPer on {attribute} needs a number, not {value:?}"
                ))
            })?;
            Operator::MaxPer(number)
        }
        ConstraintOperator::GroupBy | ConstraintOperator::Like | ConstraintOperator::Unlike => {
            return Err(Refused::Unsupported(Unsupported {
                path: format!("spec.service.constraints[].operator: {:?}", declared.operator),
                remedy: "use Unique, Cluster or MaxPer".into(),
            }));
        }
    };
    Ok(Constraint { attribute: declared.attribute.clone(), operator })
}

fn cores(path: &str, quantity: Option<&Quantity>) -> Result<Scalar, String> {
    let Some(quantity) = quantity else { return Ok(Scalar::ZERO) };
    let millis = quantity.millis().ok_or_else(|| no_quantity(path, quantity))?;
    Ok(Scalar::from_milli(millis))
}

/// In units of 2^20 bytes, in thousandths, rounded up.
fn mebibytes(path: &str, quantity: Option<&Quantity>) -> Result<Scalar, String> {
    let Some(quantity) = quantity else { return Ok(Scalar::ZERO) };
    let millis = quantity.millis().ok_or_else(|| no_quantity(path, quantity))?;
    Ok(Scalar::from_milli((millis >> 20) + i64::from(millis & ((1 << 20) - 1) != 0)))
}

fn at_least(what: &str, limit: Scalar, promised: Scalar) -> Result<Scalar, String> {
    if limit.milli() < promised.milli() {
        return Err(format!(
            "spec.task.limits.{what} is below spec.task.resources.{what}; raise the limit or ask for less"
        ));
    }
    Ok(limit)
}

fn time(path: &str, duration: &GoDuration) -> Result<Duration, String> {
    let value = duration.value();
    value.ok_or_else(|| format!("{path}: {:?} is no duration; write it like 30s", duration.0))
}

fn no_quantity(path: &str, quantity: &Quantity) -> String {
    format!("{path}: {:?} is no quantity; write it like 500m or 64Mi", quantity.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(task: Value, more: Value) -> Result<ServiceSpec, Refused> {
        let mut spec = json!({ "poolRef": { "name": "p" }, "task": task, "service": {} });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let spec: FrameworkSpec = serde_json::from_value(spec).expect("a spec");
        service("f", &spec, None)
    }

    #[test]
    fn a_service_is_told_in_mesos_units() {
        let service = check(
            json!({
                "shell": "sleep 1",
                "resources": { "cpu": "100m", "memory": "32Mi" },
                "limits": { "cpu": "200m", "memory": "48Mi", "pids": 16 },
            }),
            json!({ "instances": 3 }),
        )
        .expect("a service");
        assert_eq!(service.instances, 3);
        assert_eq!((service.task.cpus.milli(), service.task.mem.milli()), (100, 32_000));
        assert_eq!(service.task.mem_limit.map(Scalar::milli), Some(48_000));
        assert_eq!(service.task.pids_limit, Some(16));
    }

    #[test]
    fn suspension_wants_no_instance() {
        let suspended =
            check(json!({ "shell": "x" }), json!({ "suspend": true })).expect("a service");
        assert_eq!(suspended.instances, 0);
    }

    #[test]
    fn what_has_no_effect_yet_is_refused_by_name() {
        for (task, path) in [
            (json!({ "shell": "x", "image": "a" }), "spec.task.image"),
            (json!({ "script": "#!/bin/sh" }), "spec.task.script"),
            (json!({ "shell": "x", "limits": { "disk": "1Gi" } }), "spec.task.limits.disk"),
        ] {
            match check(task, json!({})) {
                Err(Refused::Unsupported(field)) => assert_eq!(field.path, path),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_limit_below_the_promise_is_refused() {
        let task = json!({
            "shell": "x", "resources": { "memory": "64Mi" }, "limits": { "memory": "32Mi" },
        });
        let Err(Refused::Invalid(message)) = check(task, json!({})) else { panic!("accepted") };
        assert!(message.contains("spec.task.limits.memory"), "{message}");
    }
}
