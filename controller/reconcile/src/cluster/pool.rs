//! What a ResourcePool becomes in a cluster, as pure functions.
//!
//! Lives here: masters as a Deployment with a Service, agents as a DaemonSet whose pods *request* what they
//! offer, so that Kubernetes accounts for it, and the accounts both run as. Must not: talk to the API.
//! Start at [`masters_objects`] and [`agents_objects`].

use crds::{Isolation, ResourcePool};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{Image, child, labels, placed, requests, selector};

const MASTER_PORT: i32 = 5050;
const AGENT_PORT: i32 = 5051;
const MASTER: &str = "master";
const AGENT: &str = "agent";

/// What a pool's masters become, in the order in which it is to be written.
///
/// `zk` is where they elect their leader and keep their registry: `zk://…`.
pub fn masters_objects(pool: &ResourcePool, zk: &str, image: &Image) -> Vec<DynamicObject> {
    vec![account(pool, MASTER), master_service(pool), masters(pool, zk, image)]
}

/// What a pool's agents become, in the order in which it is to be written.
///
/// `detector` is where they find the leading master: `zk://…`.
pub fn agents_objects(pool: &ResourcePool, detector: &str, image: &Image) -> Vec<DynamicObject> {
    vec![
        account(pool, AGENT),
        agent_role(pool),
        agent_role_binding(pool),
        agents(pool, detector, image),
    ]
}

fn named(pool: &ResourcePool, part: &str) -> String {
    format!("{}-{part}s", pool.name_any())
}

fn account(pool: &ResourcePool, part: &str) -> DynamicObject {
    let body = json!({"automountServiceAccountToken": false});
    child(pool, part, "v1", "ServiceAccount", &named(pool, part), body)
}

/// Agents may read how they are declared; nothing else.
fn agent_role(pool: &ResourcePool) -> DynamicObject {
    let rules = json!([{
        "apiGroups": [crds::GROUP],
        "resources": ["agents", "resourcepools"],
        "verbs": ["get", "list", "watch"],
    }]);
    let kind = "Role";
    let api = "rbac.authorization.k8s.io/v1";
    child(pool, AGENT, api, kind, &named(pool, AGENT), json!({"rules": rules}))
}

fn agent_role_binding(pool: &ResourcePool) -> DynamicObject {
    let name = named(pool, AGENT);
    let body = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{
            "kind": "ServiceAccount",
            "name": name,
            "namespace": pool.namespace().unwrap_or_default(),
        }],
    });
    child(pool, AGENT, "rbac.authorization.k8s.io/v1", "RoleBinding", &name, body)
}

/// Where masters listen.
pub fn master_port(pool: &ResourcePool) -> i32 {
    pool.spec.masters.port.unwrap_or(MASTER_PORT)
}

fn master_service(pool: &ResourcePool) -> DynamicObject {
    let spec = json!({
        "clusterIP": "None",
        "selector": selector(pool, MASTER),
        "ports": [{"name": "http", "port": master_port(pool), "targetPort": "http"}],
    });
    child(pool, MASTER, "v1", "Service", &named(pool, MASTER), json!({"spec": spec}))
}

fn field(path: &str) -> Value {
    json!({"fieldRef": {"fieldPath": path}})
}

fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

fn masters(pool: &ResourcePool, zk: &str, image: &Image) -> DynamicObject {
    let port = master_port(pool);
    let (name, namespace) = (pool.name_any(), pool.namespace().unwrap_or_default());
    let mut container = json!({
        "name": "master",
        "image": image.name,
        "args": [
            "master",
            "--pool", format!("{namespace}/{name}"),
            "--addr", format!("0.0.0.0:{port}"),
            "--advertise", format!("$(POD_IP):{port}"),
            "--work-dir", "/tmp",
            "--zk", zk,
        ],
        "env": [{"name": "POD_IP", "valueFrom": field("status.podIP")}],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 10, "failureThreshold": 6,
        },
        "securityContext": restricted(),
    });
    if let Some(amounts) = &pool.spec.masters.resources {
        container["resources"] = json!({"requests": requests(amounts)});
    }
    let pod = json!({
        "serviceAccountName": named(pool, MASTER),
        "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    });
    let pod = placed(pod, pool.spec.masters.placement.as_ref(), &selector(pool, MASTER));
    let spec = json!({
        "replicas": pool.spec.masters.count,
        "selector": {"matchLabels": selector(pool, MASTER)},
        "template": {"metadata": {"labels": labels(pool, MASTER)}, "spec": pod},
    });
    child(pool, MASTER, "apps/v1", "Deployment", &named(pool, MASTER), json!({"spec": spec}))
}

fn agents(pool: &ResourcePool, detector: &str, image: &Image) -> DynamicObject {
    let agents = &pool.spec.agents;
    let (name, namespace) = (pool.name_any(), pool.namespace().unwrap_or_default());
    let mut args = vec![
        "agent".to_owned(),
        "--pool".to_owned(),
        format!("{namespace}.{name}"),
        "--master".to_owned(),
        detector.to_owned(),
        "--addr".to_owned(),
        format!("0.0.0.0:{AGENT_PORT}"),
        "--hostname".to_owned(),
        "$(NODE_NAME)".to_owned(),
        "--work-dir".to_owned(),
        "/var/lib/troupe".to_owned(),
        "--resources".to_owned(),
        offered(pool),
        "--isolation".to_owned(),
        match agents.isolation {
            Isolation::Auto => "auto",
            Isolation::Cgroups => "cgroups",
            Isolation::Processes => "processes",
        }
        .to_owned(),
    ];
    if !agents.attributes.is_empty() {
        let pairs: Vec<_> = agents.attributes.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        args.extend(["--attributes".to_owned(), pairs.join(";")]);
    }
    let amounts = requests(&agents.resources);
    let container = json!({
        "name": "agent",
        "image": image.name,
        "args": args,
        "env": [{"name": "NODE_NAME", "valueFrom": field("spec.nodeName")}],
        "ports": [{"name": "http", "containerPort": AGENT_PORT}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
        // What is offered is requested, and is the most that all tasks together may use.
        "resources": {"requests": amounts, "limits": amounts},
        // Tasks run in a subtree of this pod's own cgroup, which only a privileged container may write.
        "securityContext": {"privileged": agents.isolation != Isolation::Processes, "runAsUser": 0},
        "volumeMounts": [
            {"name": "work", "mountPath": "/var/lib/troupe"},
            {"name": "cgroup", "mountPath": "/sys/fs/cgroup"},
        ],
    });
    let pod = json!({
        "serviceAccountName": named(pool, AGENT),
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": [
            {"name": "work", "hostPath": {
                "path": format!("/var/lib/troupe/pools/{namespace}/{name}"), "type": "DirectoryOrCreate",
            }},
            {"name": "cgroup", "hostPath": {"path": "/sys/fs/cgroup", "type": "Directory"}},
        ],
    });
    // One agent a node: there is nothing to spread.
    let pod = placed(pod, agents.placement.as_ref(), &Value::Null);
    let spec = json!({
        "selector": {"matchLabels": selector(pool, AGENT)},
        // A restarted agent's tasks end with its pod, so an update goes node by node, on request.
        "updateStrategy": {"type": "OnDelete"},
        "template": {"metadata": {"labels": labels(pool, AGENT)}, "spec": pod},
    });
    child(pool, AGENT, "apps/v1", "DaemonSet", &named(pool, AGENT), json!({"spec": spec}))
}

/// What each agent offers, as Mesos writes it: processors, megabytes, ports.
fn offered(pool: &ResourcePool) -> String {
    let agents = &pool.spec.agents;
    let mut parts = Vec::new();
    if let Some(millis) = agents.resources.cpu.as_ref().and_then(|q| q.millis()) {
        parts.push(format!("cpus:{}.{:03}", millis / 1_000, millis % 1_000));
    }
    let megabytes = |quantity: &crds::Quantity| quantity.units().map(|bytes| bytes >> 20);
    if let Some(mem) = agents.resources.memory.as_ref().and_then(megabytes) {
        parts.push(format!("mem:{mem}"));
    }
    if let Some(disk) = agents.resources.disk.as_ref().and_then(megabytes) {
        parts.push(format!("disk:{disk}"));
    }
    if agents.ports.count > 0 {
        let last = agents.ports.first + agents.ports.count - 1;
        parts.push(format!("ports:[{}-{last}]", agents.ports.first));
    }
    parts.join(";")
}
