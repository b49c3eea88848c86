//! What an Ensemble becomes in a cluster, as pure functions.
//!
//! Lives here: a ConfigMap with `zoo.cfg`, a headless Service by which members find each other, a Service
//! for clients, a PodDisruptionBudget that spares the quorum, and a StatefulSet. Must not: talk to the API.
//! Start at [`objects`].

use crds::{DeletionPolicy, Ensemble, Quantity};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::ensemble::settings;

use super::{Image, child, labels, placed, selector};

const CLIENT: i32 = 2181;
const QUORUM: i32 = 2888;
const ELECTION: i32 = 3888;

/// The component label of everything of an Ensemble.
const COMPONENT: &str = "member";

/// All objects an Ensemble is made of, in the order in which they are to be written: what a pod needs comes
/// before the pods.
pub fn objects(ensemble: &Ensemble, image: &Image) -> Vec<DynamicObject> {
    vec![
        config(ensemble),
        members_service(ensemble),
        client_service(ensemble),
        budget(ensemble),
        stateful_set(ensemble, image),
    ]
}

/// What clients of the cluster connect to.
pub fn connect_string(ensemble: &Ensemble) -> String {
    let namespace = ensemble.namespace().unwrap_or_default();
    format!("{}-client.{namespace}.svc:{}", ensemble.name_any(), ports(ensemble).0)
}

/// Where members listen for clients.
pub fn client_port(ensemble: &Ensemble) -> i32 {
    ports(ensemble).0
}

fn ports(ensemble: &Ensemble) -> (i32, i32, i32) {
    let given = ensemble.spec.ports.clone().unwrap_or_default();
    (
        given.client.unwrap_or(CLIENT),
        given.quorum.unwrap_or(QUORUM),
        given.election.unwrap_or(ELECTION),
    )
}

/// `zoo.cfg` without `myid`, which each pod takes from the ordinal in its name.
pub fn zoo_cfg(ensemble: &Ensemble) -> String {
    let spec = &ensemble.spec;
    let (client, quorum, election) = ports(ensemble);
    let mut lines = vec!["dataDir=/var/lib/troupe".to_owned(), format!("clientPort={client}")];
    // A spec with values that cannot be meant is refused before it gets here.
    let keys = settings::keys(spec).unwrap_or_default();
    lines.extend(keys.iter().map(|(key, value)| format!("{key}={value}")));
    if spec.members > 1 {
        let (name, namespace) = (ensemble.name_any(), ensemble.namespace().unwrap_or_default());
        for member in 1..=spec.members {
            let host = format!("{name}-{}.{name}-members.{namespace}.svc", member - 1);
            lines.push(format!("server.{member}={host}:{quorum}:{election}:participant;{client}"));
        }
    }
    lines.join("\n") + "\n"
}

fn config(ensemble: &Ensemble) -> DynamicObject {
    let name = format!("{}-config", ensemble.name_any());
    child(
        ensemble,
        COMPONENT,
        "v1",
        "ConfigMap",
        &name,
        json!({"data": {"zoo.cfg": zoo_cfg(ensemble)}}),
    )
}

fn service_ports(ensemble: &Ensemble) -> Value {
    let (client, quorum, election) = ports(ensemble);
    json!([
        {"name": "client", "port": client, "targetPort": "client"},
        {"name": "quorum", "port": quorum, "targetPort": "quorum"},
        {"name": "election", "port": election, "targetPort": "election"},
    ])
}

/// Members must find each other before they are ready: that is how they become it.
fn members_service(ensemble: &Ensemble) -> DynamicObject {
    let spec = json!({
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": selector(ensemble, COMPONENT),
        "ports": service_ports(ensemble),
    });
    let name = format!("{}-members", ensemble.name_any());
    child(ensemble, COMPONENT, "v1", "Service", &name, json!({"spec": spec}))
}

fn client_service(ensemble: &Ensemble) -> DynamicObject {
    let spec = json!({
        "selector": selector(ensemble, COMPONENT),
        "ports": [{"name": "client", "port": ports(ensemble).0, "targetPort": "client"}],
    });
    let name = format!("{}-client", ensemble.name_any());
    child(ensemble, COMPONENT, "v1", "Service", &name, json!({"spec": spec}))
}

/// As many members may be away as leave a majority of the voters.
fn budget(ensemble: &Ensemble) -> DynamicObject {
    let spec = json!({
        "maxUnavailable": (ensemble.spec.members - 1) / 2,
        "selector": {"matchLabels": selector(ensemble, COMPONENT)},
    });
    let name = ensemble.name_any();
    child(ensemble, COMPONENT, "policy/v1", "PodDisruptionBudget", &name, json!({"spec": spec}))
}

fn stateful_set(ensemble: &Ensemble, image: &Image) -> DynamicObject {
    let name = ensemble.name_any();
    let (client, quorum, election) = ports(ensemble);
    let storage = ensemble.spec.storage.clone().unwrap_or_default();
    let size = storage.size.unwrap_or_else(|| Quantity::new("1Gi"));
    let mut claim = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size.to_string()}},
    });
    if let Some(class) = &storage.class_name {
        claim["storageClassName"] = json!(class);
    }
    let when_deleted = match storage.deletion_policy.unwrap_or_default() {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Delete => "Delete",
    };
    let mut container = json!({
        "name": "member",
        "image": image.name,
        "args": ["member", "--config", "/etc/troupe/zoo.cfg", "--pod-name", "$(POD_NAME)"],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [
            {"name": "client", "containerPort": client},
            {"name": "quorum", "containerPort": quorum},
            {"name": "election", "containerPort": election},
        ],
        "readinessProbe": {"tcpSocket": {"port": "client"}, "periodSeconds": 5},
        "livenessProbe": {"tcpSocket": {"port": "client"}, "periodSeconds": 10, "failureThreshold": 6},
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/troupe"},
            {"name": "config", "mountPath": "/etc/troupe", "readOnly": true},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    if let Some(amounts) = &ensemble.spec.resources {
        container["resources"] = json!({"requests": super::requests(amounts)});
    }
    let pod = json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": format!("{name}-config")}}],
    });
    let pod = placed(pod, ensemble.spec.placement.as_ref(), &selector(ensemble, COMPONENT));
    let spec = json!({
        "replicas": ensemble.spec.members,
        "serviceName": format!("{name}-members"),
        // Membership, not the StatefulSet, decides the order; waiting for readiness could deadlock a quorum.
        "podManagementPolicy": "Parallel",
        // The controller restarts members one by one, the leader last.
        "updateStrategy": {"type": "OnDelete"},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when_deleted, "whenScaled": "Retain"},
        "selector": {"matchLabels": selector(ensemble, COMPONENT)},
        "template": {"metadata": {"labels": labels(ensemble, COMPONENT)}, "spec": pod},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    });
    child(ensemble, COMPONENT, "apps/v1", "StatefulSet", &name, json!({"spec": spec}))
}
