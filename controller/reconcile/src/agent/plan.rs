//! Which Agent objects there should be, and which agents take no new tasks.

use std::collections::BTreeMap;

use crds::{Agent, AgentSpec, LocalRef, POOL_LABEL, ResourcePool};
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

use crate::master_api::AgentReport;
use crate::platform::AgentWish;

/// Objects to make and to delete.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) create: Vec<Agent>,
    pub(crate) delete: Vec<String>,
}

/// Decides. `running` are the numbers of agents whose processes are still there: their objects stay until
/// the tasks have ended. Pure and total.
pub(crate) fn plan(
    pool: &ResourcePool,
    wishes: &[AgentWish],
    objects: &[Agent],
    running: &[i32],
) -> Plan {
    let missing = wishes.iter().filter(|wish| !objects.iter().any(|a| a.name_any() == wish.name));
    let over = objects.iter().filter(|agent| {
        let runs = agent.spec.ordinal.is_some_and(|ordinal| running.contains(&ordinal));
        !runs && !wishes.iter().any(|wish| wish.name == agent.name_any())
    });
    Plan {
        create: missing.map(|wish| object(pool, wish)).collect(),
        delete: over.map(ResourceExt::name_any).collect(),
    }
}

/// What the master must be told so that an agent takes tasks or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Switch {
    /// `DEACTIVATE_AGENT`
    Deactivate,
    /// `REACTIVATE_AGENT`
    Reactivate,
}

/// Decides what to tell the master, if anything.
pub(crate) fn switch(agent: &Agent, report: &AgentReport) -> Option<Switch> {
    match (agent.spec.unschedulable, report.deactivated) {
        (true, false) => Some(Switch::Deactivate),
        (false, true) => Some(Switch::Reactivate),
        _ => None,
    }
}

fn object(pool: &ResourcePool, wish: &AgentWish) -> Agent {
    let labels = BTreeMap::from([
        (POOL_LABEL.to_owned(), pool.name_any()),
        (crds::OWNER_UID_LABEL.to_owned(), pool.uid().unwrap_or_default()),
    ]);
    let spec = AgentSpec {
        pool_ref: LocalRef { name: pool.name_any() },
        ordinal: Some(wish.ordinal),
        node_name: None,
        unschedulable: false,
        drain: None,
        attributes: BTreeMap::new(),
    };
    let mut agent = Agent::new(&wish.name, spec);
    agent.metadata = ObjectMeta {
        name: Some(wish.name.clone()),
        namespace: pool.namespace(),
        labels: Some(labels),
        owner_references: pool.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    agent
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pool() -> ResourcePool {
        serde_json::from_value(json!({
            "apiVersion": "troupe.dev/v1alpha1", "kind": "ResourcePool",
            "metadata": { "name": "p", "namespace": "default", "uid": "1" },
            "spec": { "ensembleRef": { "name": "e" } },
        }))
        .expect("a pool")
    }

    fn wish(ordinal: i32) -> AgentWish {
        let name = format!("p-{ordinal}");
        AgentWish { ordinal, name, resources: String::new(), attributes: String::new() }
    }

    #[test]
    fn objects_follow_the_count_and_outlive_their_processes() {
        let wishes = [wish(0), wish(1)];
        let made = plan(&pool(), &wishes, &[], &[]).create;
        assert_eq!(made.len(), 2);
        assert_eq!(made[0].owner_references()[0].controller, Some(true));
        assert!(plan(&pool(), &wishes, &made, &[0, 1]).create.is_empty());
        assert!(plan(&pool(), &wishes[..1], &made, &[0, 1]).delete.is_empty());
        assert_eq!(plan(&pool(), &wishes[..1], &made, &[0]).delete, ["p-1"]);
    }

    #[test]
    fn the_master_is_told_only_of_a_change() {
        let mut agent = object(&pool(), &wish(0));
        let mut report = AgentReport::default();
        assert_eq!(switch(&agent, &report), None);
        agent.spec.unschedulable = true;
        assert_eq!(switch(&agent, &report), Some(Switch::Deactivate));
        report.deactivated = true;
        assert_eq!(switch(&agent, &report), None);
        agent.spec.unschedulable = false;
        assert_eq!(switch(&agent, &report), Some(Switch::Reactivate));
    }
}
