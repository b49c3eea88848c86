//! What declared things become in a cluster: each `tests/cluster/*.yaml` holds an object, and beside it
//! stands all that it becomes. `UPDATE=1 cargo test -p reconcile --test cluster` rewrites it; read the diff.

use std::fs;
use std::path::Path;

use crds::{Ensemble, ResourcePool};
use kube::api::DynamicObject;
use reconcile::cluster::{Image, ensemble, pool};
use serde::de::DeserializeOwned;

const ZK: &str = "zk://zk-client.prod.svc:2181/troupe/pools/prod/main";

fn check<K: DeserializeOwned>(
    name: &str,
    become_objects: impl Fn(&K, &Image) -> Vec<DynamicObject>,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster");
    let declared =
        fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("the declared object");
    let declared: K = serde_yaml::from_str(&declared).expect("an object of its kind");
    let image = Image { name: "registry.test/troupe:1".into() };
    let mut became = String::new();
    for object in become_objects(&declared, &image) {
        became.push_str("---\n");
        became.push_str(&serde_yaml::to_string(&object).expect("an object as YAML"));
    }
    let path = folder.join(format!("{name}.becomes.yaml"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &became).expect("write the snapshot");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == became, "{name} becomes something else; UPDATE=1 rewrites {}", path.display());
}

#[test]
fn an_ensemble() {
    check::<Ensemble>("ensemble", ensemble::objects);
}

#[test]
fn an_ensemble_with_every_wish() {
    check::<Ensemble>("ensemble-full", ensemble::objects);
}

#[test]
fn a_pool() {
    check::<ResourcePool>("pool", |declared, image| {
        let mut all = pool::masters_objects(declared, ZK, image);
        all.extend(pool::agents_objects(declared, ZK, image));
        all
    });
}

#[test]
fn the_budget_spares_a_majority_of_the_voters() {
    for (members, may_go) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 3)] {
        let declared: Ensemble = serde_yaml::from_str(&format!(
            "apiVersion: troupe.dev/v1alpha1\nkind: Ensemble\nmetadata: {{name: e, namespace: n, uid: u}}\n\
             spec: {{members: {members}}}"
        ))
        .expect("an ensemble");
        let image = Image { name: "i".into() };
        let objects = ensemble::objects(&declared, &image);
        let budget = objects
            .iter()
            .find(|o| o.types.as_ref().is_some_and(|t| t.kind == "PodDisruptionBudget"))
            .expect("a budget");
        assert_eq!(budget.data["spec"]["maxUnavailable"], may_go, "{members} members");
    }
}
