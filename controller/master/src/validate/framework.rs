//! Descriptions of frameworks.

use std::collections::BTreeSet;
use std::time::Duration;

use mesos::v1::FrameworkInfo;
use mesos::v1::framework_info::capability::Type as Capability;

use super::role;
use crate::framework::can;

/// Checks a description and the roles it starts without offers in. `Err` is the message of an ERROR event.
pub(crate) fn framework(info: &FrameworkInfo, suppressed: &[String]) -> Result<(), String> {
    if let Some(id) = info.id.as_ref().filter(|id| !id.value.is_empty()) {
        super::id(&id.value).map_err(|why| format!("Framework ID is not valid: {why}"))?;
    }
    let multi_role = can(info, Capability::MultiRole);
    if multi_role && info.role.is_some() {
        return Err(String::from(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
        ));
    }
    if !multi_role && !info.roles.is_empty() {
        return Err(String::from(
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable",
        ));
    }
    let mut roles = BTreeSet::new();
    if multi_role {
        let mut twice = BTreeSet::new();
        for name in &info.roles {
            if !roles.insert(name.as_str()) {
                twice.insert(name.as_str());
            }
        }
        if !twice.is_empty() {
            return Err(format!(
                "'FrameworkInfo.roles' contains duplicate items: {{ {} }}",
                list(&twice)
            ));
        }
        for name in &info.roles {
            role(name)
                .map_err(|why| format!("'FrameworkInfo.roles' contains invalid role: {why}"))?;
        }
    } else {
        role(info.role())
            .map_err(|why| format!("'FrameworkInfo.role' is not a valid role: {why}"))?;
        roles.insert(info.role());
    }
    failover_timeout(info)?;
    let strange: BTreeSet<_> =
        suppressed.iter().map(String::as_str).filter(|name| !roles.contains(name)).collect();
    if !strange.is_empty() {
        return Err(format!(
            "Suppressed roles {{ {} }} are not contained in the set of roles",
            list(&strange)
        ));
    }
    Ok(())
}

/// What may not change while a framework lives.
pub(crate) fn framework_update(old: &FrameworkInfo, new: &FrameworkInfo) -> Result<(), String> {
    let unsupported = |field: &str, from: &str, to: &str| {
        Err(format!(
            "Updating 'FrameworkInfo.{field}' is unsupported; attempted to update from '{from}' to \
             '{to}'"
        ))
    };
    if old.principal != new.principal {
        return unsupported("principal", old.principal(), new.principal());
    }
    if old.user != new.user {
        return unsupported("user", &old.user, &new.user);
    }
    if old.checkpoint() != new.checkpoint() {
        let (old, new) = (old.checkpoint().to_string(), new.checkpoint().to_string());
        return unsupported("checkpoint", &old, &new);
    }
    Ok(())
}

/// How long a framework may stay away. Negative is not at all, as for Mesos.
pub(crate) fn failover_timeout(info: &FrameworkInfo) -> Result<Duration, String> {
    let seconds = info.failover_timeout();
    // Mesos counts nanoseconds in 64 bits.
    if !seconds.is_finite() || seconds.abs() > 9.2e9 {
        return Err(format!("The framework failover_timeout ({}) is invalid", scientific(seconds)));
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO))
}

/// A large number as C++ prints it: 1e+300.
fn scientific(number: f64) -> String {
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => {
            format!("{digits}e+{exponent:0>2}")
        }
        _ => text,
    }
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
