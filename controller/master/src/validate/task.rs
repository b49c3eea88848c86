//! Tasks, before they are launched.

use mesos::resources;
use mesos::v1::environment::variable::Type as VariableType;
use mesos::v1::health_check::Type as HealthType;
use mesos::v1::{CommandInfo, HealthCheck, TaskInfo};
use types::{Resources, Role};

/// Checks a task by itself; what it takes.
pub(crate) fn task(info: &TaskInfo, role: &Role) -> Result<Resources, String> {
    let grace = info.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    if grace.is_some_and(|grace| grace.nanoseconds < 0) {
        return Err(String::from("Task's 'kill_policy.grace_period' must be non-negative"));
    }
    if info.max_completion_time.as_ref().is_some_and(|time| time.nanoseconds < 0) {
        return Err(String::from("Task's 'max_completion_time' must be non-negative"));
    }
    if let Some(check) = &info.health_check {
        health_check(check).map_err(|why| format!("Task uses invalid health check: {why}"))?;
    }
    if info.resources.is_empty() {
        return Err(String::from("Task uses no resources"));
    }
    let read = resources::read(&info.resources).map_err(|error| error.to_string())?;
    if let Some(other) = read.allocated_to.iter().find(|allocated| *allocated != role) {
        return Err(format!(
            "Task uses resources allocated to role '{other}' while the offers are allocated to role \
             '{role}'"
        ));
    }
    limits(info, &read.resources)?;
    if let Some(command) = &info.command {
        environment(command)?;
    }
    match (&info.command, &info.executor) {
        (Some(_), None) => Ok(read.resources),
        (None, Some(_)) => Err(String::from(
            "Tasks with an executor of their own are not supported by this pool: give the task a \
             'command'",
        )),
        _ => Err(String::from(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        )),
    }
}

fn limits(info: &TaskInfo, resources: &Resources) -> Result<(), String> {
    for (name, limit) in &info.limits {
        if name != "cpus" && name != "mem" {
            return Err(format!(
                "Task's limits contain '{name}': only 'cpus' and 'mem' can be limited"
            ));
        }
        let request = resources.scalar(name);
        if request.is_zero() {
            return Err(format!("When a limit is set for '{name}', a request must be set too"));
        }
        if limit.value.is_nan() || limit.value < request.as_f64() {
            return Err(format!(
                "Task's limit {} of '{name}' is less than its request {request}",
                limit.value
            ));
        }
    }
    Ok(())
}

fn environment(command: &CommandInfo) -> Result<(), String> {
    for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
        let name = &variable.name;
        match variable.r#type() {
            VariableType::Value if variable.value.is_some() && variable.secret.is_none() => {}
            VariableType::Secret if variable.secret.is_some() && variable.value.is_none() => {}
            VariableType::Value => {
                return Err(format!(
                    "Environment variable '{name}' of type 'VALUE' must have a value set and no secret"
                ));
            }
            VariableType::Secret => {
                return Err(format!(
                    "Environment variable '{name}' of type 'SECRET' must have a secret set and no value"
                ));
            }
            VariableType::Unknown => {
                return Err(String::from("Environment variable of type 'UNKNOWN' is not allowed"));
            }
        }
    }
    Ok(())
}

fn health_check(check: &HealthCheck) -> Result<(), String> {
    let kind = match check.r#type {
        Some(_) => check.r#type(),
        None if check.command.is_some() => HealthType::Command,
        None if check.http.is_some() => HealthType::Http,
        None => return Err(String::from("HealthCheck must specify 'type'")),
    };
    match kind {
        HealthType::Command if check.command.is_none() => {
            return Err(String::from("Expecting 'command' to be set for COMMAND health check"));
        }
        HealthType::Http if check.http.is_none() => {
            return Err(String::from("Expecting 'http' to be set for HTTP health check"));
        }
        HealthType::Tcp if check.tcp.is_none() => {
            return Err(String::from("Expecting 'tcp' to be set for TCP health check"));
        }
        HealthType::Unknown => {
            return Err(String::from("'UNKNOWN' is not a valid health check type"));
        }
        _ => {}
    }
    if check.http.as_ref().and_then(|http| http.path.as_ref()).is_some_and(|p| !p.starts_with('/'))
    {
        return Err(String::from("The path of HTTP health check must start with '/'"));
    }
    for (name, seconds) in [
        ("delay_seconds", check.delay_seconds()),
        ("interval_seconds", check.interval_seconds()),
        ("timeout_seconds", check.timeout_seconds()),
        ("grace_period_seconds", check.grace_period_seconds()),
    ] {
        if seconds.is_nan() || seconds < 0.0 {
            return Err(format!("Expecting '{name}' to be non-negative"));
        }
    }
    Ok(())
}

/// `cpus(allocated: cap):1; ports(allocated: cap):[1-2]`: resources in Mesos's errors.
pub(crate) fn shown(resources: &Resources, role: &Role) -> String {
    let each: Vec<_> = resources
        .iter()
        .map(|(key, value)| {
            let reserved = key.role().map(|role| format!("reservations: [({role})], "));
            let reserved = reserved.unwrap_or_default();
            format!("{}({reserved}allocated: {role}):{value}", key.name)
        })
        .collect();
    each.join("; ")
}
