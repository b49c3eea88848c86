//! What to do about an Ensemble.

use crds::{DeletionPolicy, Ensemble, EnsembleSpec, reasons};

use super::observe::Observed;
use crate::conditions::{Health, Unsupported};
use crate::kind::{is_deleting, owner, restarted_at};
use crate::platform::{DataFate, Members};

/// The next step; leaves no choice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Plan {
    /// Nothing may be done, or nothing can be.
    Rest(Health),
    /// Deletion waits for the users.
    Hold(Vec<String>),
    /// End the members, then let the object go.
    Remove(DataFate),
    /// Bring the members to this.
    Run(Members),
}

/// Decides. Pure and total.
pub(crate) fn plan(ensemble: &Ensemble, observed: &Observed) -> Plan {
    if observed.paused {
        let message = format!("paused: remove the annotation {} to go on", crds::PAUSED);
        return Plan::Rest(Health::stalled(reasons::PAUSED, message));
    }
    let spec = &ensemble.spec;
    if is_deleting(ensemble) {
        if !observed.users.is_empty() {
            return Plan::Hold(observed.users.clone());
        }
        let policy = spec.storage.as_ref().and_then(|storage| storage.deletion_policy);
        return Plan::Remove(match policy {
            Some(DeletionPolicy::Delete) => DataFate::Delete,
            _ => DataFate::Keep,
        });
    }
    if let Some(field) = unsupported(spec, observed.pods) {
        return Plan::Rest(Health::unsupported(&field));
    }
    match config(spec) {
        Ok(config) => Plan::Run(Members {
            owner: owner(ensemble),
            count: spec.members,
            client_port: spec
                .ports
                .as_ref()
                .and_then(|p| p.client)
                .and_then(|p| u16::try_from(p).ok()),
            config,
            restarted_at: restarted_at(ensemble),
        }),
        Err(message) => Plan::Rest(Health::stalled(reasons::INVALID_SPEC, message)),
    }
}

/// The first field that has no effect yet.
fn unsupported(spec: &EnsembleSpec, pods: bool) -> Option<Unsupported> {
    if spec.members > 1 {
        return Some(Unsupported {
            path: format!("spec.members: {}", spec.members),
            remedy:
                "set spec.members to 1 (an ensemble of one member is durable, and cannot lose it)"
                    .into(),
        });
    }
    let storage = spec.storage.as_ref();
    let ports = spec.ports.as_ref();
    Unsupported::first(&[
        (spec.observers.is_some_and(|observers| observers > 0), "spec.observers"),
        (!spec.overrides.is_empty(), "spec.overrides"),
        (ports.is_some_and(|ports| ports.secure_client.is_some()), "spec.ports.secureClient"),
        (!pods && ports.is_some_and(|ports| ports.quorum.is_some()), "spec.ports.quorum"),
        (!pods && ports.is_some_and(|ports| ports.election.is_some()), "spec.ports.election"),
        (ports.is_some_and(|ports| ports.admin.is_some()), "spec.ports.admin"),
        (!pods && storage.is_some_and(|storage| storage.size.is_some()), "spec.storage.size"),
        (
            !pods && storage.is_some_and(|storage| storage.class_name.is_some()),
            "spec.storage.className",
        ),
        (storage.is_some_and(|storage| storage.log_size.is_some()), "spec.storage.logSize"),
        (spec.tls.is_some(), "spec.tls"),
        (spec.authentication.is_some(), "spec.authentication"),
        (spec.limits.connections.is_some(), "spec.limits.connections"),
        (spec.limits.outstanding_requests.is_some(), "spec.limits.outstandingRequests"),
        (spec.retention.size.is_some(), "spec.retention.size"),
        (spec.snapshots.compression.is_some(), "spec.snapshots.compression"),
        (spec.backups.is_some(), "spec.backups"),
        (spec.join.is_some(), "spec.join"),
        (!pods && spec.resources.is_some(), "spec.resources"),
        (!pods && spec.placement.is_some(), "spec.placement"),
        (spec.metrics.is_some(), "spec.metrics"),
    ])
}

/// The keys of `zoo.cfg` that the spec means.
fn config(spec: &EnsembleSpec) -> Result<Vec<(String, String)>, String> {
    let millis = |path: &str, duration: &crds::GoDuration| {
        let value = duration.value().map(|value| value.as_millis());
        value
            .filter(|millis| (1..=i32::MAX as u128).contains(millis))
            .map(|m| m.to_string())
            .ok_or_else(|| {
                format!("{path}: {:?} is not between 1ms and 596h; write it like 2s", duration.0)
            })
    };
    let bytes = spec.limits.request_size.units();
    let bytes =
        bytes.filter(|bytes| (1_024..=i64::from(i32::MAX)).contains(bytes)).ok_or_else(|| {
            format!(
                "spec.limits.requestSize: {:?} is not between 1Ki and 2047Mi; write it like 4Mi",
                spec.limits.request_size.0
            )
        })?;
    let timing = &spec.timing;
    // The controller's own questions must be answered.
    let mut words = spec.four_letter_words.clone();
    words.extend(["mntr", "srvr"].map(str::to_owned));
    words.sort();
    words.dedup();
    let mut keys = vec![
        ("tickTime".to_owned(), millis("spec.timing.tick", &timing.tick)?),
        ("initLimit".to_owned(), timing.init_limit.to_string()),
        ("syncLimit".to_owned(), timing.sync_limit.to_string()),
        ("maxClientCnxns".to_owned(), spec.limits.connections_per_address.to_string()),
        ("jute.maxbuffer".to_owned(), bytes.to_string()),
        ("snapCount".to_owned(), spec.snapshots.every.to_string()),
        ("autopurge.snapRetainCount".to_owned(), spec.retention.snapshots.to_string()),
        ("4lw.commands.whitelist".to_owned(), words.join(",")),
    ];
    if let Some(shortest) = &timing.min_session_timeout {
        keys.push(("minSessionTimeout".into(), millis("spec.timing.minSessionTimeout", shortest)?));
    }
    if let Some(longest) = &timing.max_session_timeout {
        keys.push(("maxSessionTimeout".into(), millis("spec.timing.maxSessionTimeout", longest)?));
    }
    // What a person wrote by name comes last and replaces ours.
    keys.retain(|(key, _)| !spec.config.contains_key(key));
    keys.extend(spec.config.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ensemble(spec: Value) -> Ensemble {
        serde_json::from_value(json!({
            "apiVersion": "troupe.dev/v1alpha1", "kind": "Ensemble",
            "metadata": { "name": "e", "namespace": "default", "uid": "1" },
            "spec": spec,
        }))
        .expect("an Ensemble")
    }

    fn check(spec: Value) -> Plan {
        plan(&ensemble(spec), &Observed::default())
    }

    fn reason(plan: Plan) -> (&'static str, String) {
        match plan {
            Plan::Rest(Health::Stalled { reason, message }) => (reason, message),
            other => panic!("not stalled: {other:?}"),
        }
    }

    #[test]
    fn one_member_runs_with_the_declared_configuration() {
        let Plan::Run(members) = check(json!({
            "members": 1, "timing": { "tick": "500ms" }, "config": { "snapCount": "7" },
            "ports": { "client": 2181 },
        })) else {
            panic!("it should run")
        };
        let value = |key: &str| {
            members
                .config
                .iter()
                .filter(|(k, _)| k == key)
                .map(|(_, v)| v.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(members.client_port, Some(2181));
        assert_eq!(value("tickTime"), ["500"]);
        assert_eq!(value("snapCount"), ["7"]);
        assert_eq!(value("jute.maxbuffer"), ["1048576"]);
        assert_eq!(value("4lw.commands.whitelist"), ["mntr,ruok,srvr"]);
    }

    #[test]
    fn what_has_no_effect_yet_is_refused_by_name() {
        for (spec, path) in [
            (json!({ "members": 3 }), "spec.members: 3"),
            (json!({ "members": 1, "observers": 1 }), "spec.observers"),
            (json!({ "members": 1, "tls": {} }), "spec.tls"),
            (json!({ "members": 1, "join": { "servers": ["server.1=a:1:2"] } }), "spec.join"),
        ] {
            let (reason, message) = reason(check(spec));
            assert_eq!(reason, reasons::NOT_YET_SUPPORTED);
            assert!(message.starts_with(path), "{message}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let (reason, message) = reason(check(json!({
            "members": 1, "limits": { "requestSize": "1Pi" },
        })));
        assert_eq!(reason, reasons::INVALID_SPEC);
        assert!(message.contains("spec.limits.requestSize"), "{message}");
    }

    #[test]
    fn deletion_waits_for_users_and_keeps_data_unless_told() {
        let mut gone = ensemble(json!({ "members": 1 }));
        gone.metadata.deletion_timestamp = Some(crate::kind::now());
        let used = Observed { users: vec!["ResourcePool default/p".into()], ..Observed::default() };
        assert_eq!(plan(&gone, &used), Plan::Hold(used.users.clone()));
        assert_eq!(plan(&gone, &Observed::default()), Plan::Remove(DataFate::Keep));
        gone.spec.storage = Some(crds::EnsembleStorage {
            deletion_policy: Some(DeletionPolicy::Delete),
            ..crds::EnsembleStorage::default()
        });
        assert_eq!(plan(&gone, &Observed::default()), Plan::Remove(DataFate::Delete));
    }
}
