//! Whether anything may be done about an Ensemble, and what it means to be.
//!
//! The next step toward that is decided in [`super::steps`].

use std::collections::{BTreeMap, BTreeSet};

use crds::{DeletionPolicy, Ensemble, EnsembleJoin, EnsembleSpec, JoinVoters, reasons};

use super::observe::Users;
use super::security::security;
use super::settings;
use crate::conditions::{Health, Unsupported};
use crate::kind::{is_deleting, restarted_at};
use crate::platform::{DataFate, PeerPorts, Settings};

/// What to do; leaves no choice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Plan {
    /// Nothing may be done, or nothing can be.
    Rest(Health),
    /// Deletion waits for the users.
    Hold(Vec<String>),
    /// End the members, then let the object go.
    Remove(DataFate),
    /// Come nearer to this.
    Run(Target),
}

/// What the spec means.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Target {
    /// How many vote.
    pub(crate) voters: usize,
    /// How many observe.
    pub(crate) observers: usize,
    pub(crate) settings: Box<Settings>,
    pub(crate) ports: PeerPorts,
    /// What members read beside their settings, by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Why nothing is changed, though members that run are kept running: what is declared cannot be.
    pub(crate) fault: Option<Health>,
    /// An ensemble that is not ours, to be joined.
    pub(crate) join: Option<JoinTarget>,
}

/// What joining means.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct JoinTarget {
    /// What follows `server.N=`, by N.
    pub(crate) servers: BTreeMap<i32, String>,
    /// Where clients reach them.
    pub(crate) clients: BTreeMap<i32, String>,
    pub(crate) voters: JoinVoters,
    pub(crate) credentials: Option<Vec<u8>>,
}

impl Target {
    /// The voters to be, by id: of those that are the lowest stay, and the lowest free ids are taken.
    pub(crate) fn voters(&self, now: &BTreeSet<i32>) -> BTreeSet<i32> {
        let free = (1..FIRST_OBSERVER).filter(|id| !now.contains(id));
        now.iter().copied().chain(free).take(self.voters).collect()
    }

    /// The observers to be, by id.
    pub(crate) fn observers(&self) -> BTreeSet<i32> {
        (FIRST_OBSERVER..).take(self.observers).collect()
    }

    /// All members to be.
    pub(crate) fn members(&self) -> usize {
        self.voters + self.observers
    }
}

/// Decides. Pure and total.
pub(crate) fn plan(ensemble: &Ensemble, observed: &Users) -> Plan {
    if observed.paused {
        let message = format!("paused: remove the annotation {} to go on", crds::PAUSED);
        return Plan::Rest(Health::stalled(reasons::PAUSED, message));
    }
    let spec = &ensemble.spec;
    if is_deleting(ensemble) {
        if !observed.users.is_empty() {
            return Plan::Hold(observed.users.clone());
        }
        if !observed.pods && is_counted_on(ensemble) {
            return run(ensemble, observed);
        }
        let policy = spec.storage.as_ref().and_then(|storage| storage.deletion_policy);
        return Plan::Remove(match policy {
            Some(DeletionPolicy::Delete) => DataFate::Delete,
            _ => DataFate::Keep,
        });
    }
    run(ensemble, observed)
}

/// Whether members of an ensemble that was joined vote beside ours that do: they would miss ours.
fn is_counted_on(ensemble: &Ensemble) -> bool {
    let join = ensemble.spec.join.as_ref().and_then(|join| join_target(join).ok());
    let Some(join) = join else { return false };
    let members = ensemble.status.iter().flat_map(|status| &status.members);
    let votes = |is_ours: bool| {
        let mut of_one =
            members.clone().filter(|one| join.servers.contains_key(&one.id) != is_ours);
        of_one.any(|member| member.votes == Some(true))
    };
    votes(true) && votes(false)
}

fn run(ensemble: &Ensemble, observed: &Users) -> Plan {
    let spec = &ensemble.spec;
    let mut target = Target {
        voters: usize::try_from(spec.members).unwrap_or(1).max(1),
        observers: usize::try_from(spec.observers.unwrap_or(0)).unwrap_or(0),
        ..Target::default()
    };
    match fill(&mut target, ensemble, observed) {
        // What pods do is not this controller's to look at before it has made them.
        Err(fault) if observed.pods => return Plan::Rest(fault),
        Err(fault) => target.fault = Some(fault),
        Ok(()) => {}
    }
    Plan::Run(target)
}

/// The settings that the spec means, or why it means none.
fn fill(target: &mut Target, ensemble: &Ensemble, observed: &Users) -> Result<(), Health> {
    let spec = &ensemble.spec;
    if let Some(field) = unsupported(spec, observed.pods) {
        return Err(Health::unsupported(&field));
    }
    let invalid = |message| Health::stalled(reasons::INVALID_SPEC, message);
    // First: whatever else is wrong, these are asked how they are.
    target.join = spec.join.as_ref().map(join_target).transpose().map_err(invalid)?;
    if let Some(join) = &mut target.join {
        join.credentials = observed.credentials.clone().transpose()?;
    }
    let mut config = settings::keys(spec).map_err(invalid)?;
    let super_digest = observed.super_digest.clone().transpose()?;
    let mut security = security(spec, &observed.secrets, super_digest.as_deref())?;
    // What a person wrote by name counts.
    let is_ours = |(key, _): &(String, String)| !spec.config.contains_key(key);
    config.extend(security.config.into_iter().filter(is_ours));
    security.peers.tls_config.retain(is_ours);
    let ports = spec.ports.clone().unwrap_or_default();
    *target.settings = Settings {
        config,
        files: security.files,
        client_port: port(ports.client),
        secure_port: security.secure_port,
        admin_port: port(ports.admin),
        metrics_port: spec.metrics.as_ref().and_then(|metrics| port(metrics.port)),
        jaas: security.jaas,
        peers: security.peers,
        restarted_at: restarted_at(ensemble),
    };
    target.ports = PeerPorts { quorum: port(ports.quorum), election: port(ports.election) };
    target.files = security.contents;
    Ok(())
}

/// The servers by id and by address.
fn join_target(join: &EnsembleJoin) -> Result<JoinTarget, String> {
    let mut target = JoinTarget { voters: join.voters, ..JoinTarget::default() };
    for server in &join.servers {
        let wrong = || {
            format!(
                "spec.join.servers: {server:?} is not like server.1=host:2888:3888;2181, with the port for clients at \
                 its end"
            )
        };
        let (key, line) = server.split_once('=').ok_or_else(wrong)?;
        let id = key.trim().strip_prefix("server.").and_then(|id| id.parse::<i32>().ok());
        let id = id.filter(|id| (0..=255).contains(id)).ok_or_else(wrong)?;
        let (peers, client) = line.trim().split_once(';').ok_or_else(wrong)?;
        // Of several addresses the first.
        let first = peers.split('|').next().unwrap_or(peers);
        let mut fields = first.rsplitn(if has_role(first) { 4 } else { 3 }, ':');
        let host = fields.by_ref().last().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let (address, port) = client.rsplit_once(':').unwrap_or((host, client));
        port.parse::<u16>().map_err(|_| wrong())?;
        let address = if matches!(address, "0.0.0.0" | "[::]" | "::") { host } else { address };
        target.clients.insert(id, format!("{address}:{port}"));
        if target.servers.insert(id, line.trim().to_owned()).is_some() {
            return Err(format!("spec.join.servers: server.{id} is there twice; remove one"));
        }
    }
    Ok(target)
}

fn has_role(peers: &str) -> bool {
    peers.ends_with(":participant") || peers.ends_with(":observer")
}

fn port(declared: Option<i32>) -> Option<u16> {
    declared.and_then(|port| u16::try_from(port).ok())
}

/// The first field that has no effect yet.
fn unsupported(spec: &EnsembleSpec, pods: bool) -> Option<Unsupported> {
    let storage = spec.storage.as_ref();
    let ports = spec.ports.as_ref();
    let observers = spec.observers.is_some_and(|observers| observers > 0);
    Unsupported::first(&[
        (pods && observers, "spec.observers"),
        (!spec.overrides.is_empty(), "spec.overrides"),
        (
            pods && ports.is_some_and(|ports| ports.secure_client.is_some()),
            "spec.ports.secureClient",
        ),
        (pods && ports.is_some_and(|ports| ports.admin.is_some()), "spec.ports.admin"),
        (!pods && storage.is_some_and(|storage| storage.size.is_some()), "spec.storage.size"),
        (
            !pods && storage.is_some_and(|storage| storage.class_name.is_some()),
            "spec.storage.className",
        ),
        (storage.is_some_and(|storage| storage.log_size.is_some()), "spec.storage.logSize"),
        (pods && spec.tls.is_some(), "spec.tls"),
        (pods && spec.authentication.is_some(), "spec.authentication"),
        (spec.backups.is_some(), "spec.backups"),
        (pods && spec.join.is_some(), "spec.join"),
        (spec.join.is_some() && observers, "spec.observers beside spec.join"),
        (!pods && spec.resources.is_some(), "spec.resources"),
        (!pods && spec.placement.is_some(), "spec.placement"),
        (pods && spec.metrics.is_some(), "spec.metrics"),
    ])
}

/// Observers' ids count from here, so that more voters take no id of theirs.
pub(crate) const FIRST_OBSERVER: i32 = 101;

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
        plan(&ensemble(spec), &Users::default())
    }

    fn reason(plan: Plan) -> (&'static str, String) {
        match plan {
            Plan::Run(Target { fault: Some(Health::Stalled { reason, message }), .. }) => {
                (reason, message)
            }
            other => panic!("not stalled: {other:?}"),
        }
    }

    #[test]
    fn members_run_with_the_declared_configuration() {
        let Plan::Run(target) = check(json!({
            "members": 3, "observers": 1, "timing": { "tick": "500ms" },
            "config": { "snapCount": "7" }, "ports": { "client": 2181, "quorum": 2888 },
        })) else {
            panic!("it should run")
        };
        let value = |key: &str| {
            let config = &target.settings.config;
            config.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((target.voters, target.observers), (3, 1));
        assert_eq!(target.settings.client_port, Some(2181));
        assert_eq!(target.ports, PeerPorts { quorum: Some(2888), election: None });
        assert_eq!(value("tickTime"), ["500"]);
        assert_eq!(value("snapCount"), ["7"]);
        assert_eq!(value("jute.maxbuffer"), ["1048576"]);
        assert_eq!(value("4lw.commands.whitelist"), ["mntr,ruok,srvr"]);
    }

    #[test]
    fn the_lowest_ids_stay_and_the_lowest_free_ones_are_taken() {
        let target = |voters| Target { voters, ..Target::default() };
        let ids = |ids: &[i32]| ids.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(target(3).voters(&ids(&[])), ids(&[1, 2, 3]));
        assert_eq!(target(3).voters(&ids(&[4, 5])), ids(&[1, 4, 5]));
        assert_eq!(target(1).voters(&ids(&[2, 7])), ids(&[2]));
    }

    #[test]
    fn what_has_no_effect_yet_is_refused_by_name() {
        let spec = json!({ "members": 1, "storage": { "logSize": "1Gi" } });
        let (reason, message) = reason(check(spec));
        assert_eq!(reason, reasons::NOT_YET_SUPPORTED);
        assert!(message.starts_with("spec.storage.logSize"), "{message}");
    }

    #[test]
    fn joining_in_a_cluster_is_refused_by_name() {
        let join = json!({ "servers": ["server.1=a:2888:3888;2181"] });
        let users = Users { pods: true, ..Users::default() };
        match plan(&ensemble(json!({ "members": 3, "join": join })), &users) {
            Plan::Rest(Health::Stalled { reason, message }) => {
                assert_eq!(reason, reasons::NOT_YET_SUPPORTED);
                assert!(message.starts_with("spec.join"), "{message}");
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn servers_to_join_are_read() {
        let join = |servers: &[&str]| {
            let servers = servers.iter().map(|server| (*server).to_owned()).collect();
            let join = EnsembleJoin { servers, voters: JoinVoters::Both, credentials: None };
            join_target(&join)
        };
        let read = join(&["server.1=a:2888:3888;2181", "server.2=b:1:2:participant;0.0.0.0:3"]);
        let clients: Vec<_> = read.expect("they are right").clients.into_values().collect();
        assert_eq!(clients, ["a:2181", "b:3"]);
        for (wrong, words) in [
            ("server.1=a:1:2", "with the port for clients"),
            ("1=a:1:2;3", "is not like"),
            ("server.1=a:1:2;x", "is not like"),
        ] {
            let told = join(&[wrong]).expect_err(wrong);
            assert!(told.contains(words), "{told}");
        }
        let twice = join(&["server.1=a:1:2;3", "server.1=b:1:2;3"]).expect_err("one too many");
        assert!(twice.contains("twice"), "{twice}");
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
        let used = Users { users: vec!["ResourcePool default/p".into()], ..Users::default() };
        assert_eq!(plan(&gone, &used), Plan::Hold(used.users.clone()));
        assert_eq!(plan(&gone, &Users::default()), Plan::Remove(DataFate::Keep));
        gone.spec.storage = Some(crds::EnsembleStorage {
            deletion_policy: Some(DeletionPolicy::Delete),
            ..crds::EnsembleStorage::default()
        });
        assert_eq!(plan(&gone, &Users::default()), Plan::Remove(DataFate::Delete));
    }
}
