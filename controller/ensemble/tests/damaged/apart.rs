//! Each member damaged in its own way, started in any order, and one damaged after the other.

use std::time::Duration;

use super::support::OPEN;
use super::{FAULTS, Fault, TARGETS, Target, Template, all_are_whole, damage, version_2, within};

const ORDERS: [[i64; 3]; 6] = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];

/// By member: what was done to each; the last one may be whole.
async fn try_apart(template: &Template, told: &[(Target, Fault)], order: [i64; 3]) {
    let what = format!("{told:?} by {order:?}");
    let mut ensemble = template.copy();
    for (id, (target, fault)) in (1..).zip(told) {
        damage(&version_2(&ensemble, id), *target, *fault);
    }
    for id in order {
        ensemble.run(id).await;
        // It has asked those that are there, unless it needs nobody.
        within(&what, &ensemble, async {
            let has_asked = |why: String| {
                ["start them all", "nobody gives one", "learns what is", "in step"]
                    .iter()
                    .any(|words| why.contains(words))
            };
            while !ensemble.running[&id].view().mending.is_none_or(has_asked) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    all_are_whole(&what, &ensemble).await;
    assert_eq!(ensemble.assert_alike().await, template.tree, "{what}");
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_damaged_each_in_its_own_way_and_started_in_any_order() {
    let template = Template::new().await;
    let all = std::env::var("MENDING").is_ok_and(|all| all == "all");
    let mut seed = 0x2545_f491_4f6c_dd1d_usize;
    let mut pick = |count: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 20) % count
    };
    for _ in 0..if all { 200 } else { 6 } {
        let members = 2 + pick(2);
        let told: Vec<_> =
            (0..members).map(|_| (TARGETS[pick(TARGETS.len())], FAULTS[pick(4)])).collect();
        let record = told[0].0.record();
        let is_lost = members == 3
            && record.is_some()
            && told.iter().all(|(target, _)| target.record() == record);
        if !is_lost {
            try_apart(&template, &told, ORDERS[pick(6)]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_after_the_other_is_damaged_and_mended() {
    let template = Template::new().await;
    let mut ensemble = template.copy();
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    all_are_whole("nothing is damaged yet", &ensemble).await;
    let rounds = [
        [(Target::OldLog, Fault::Delete), (Target::NewLog, Fault::Flip)],
        [(Target::Epochs, Fault::Delete), (Target::Snapshot, Fault::Truncate)],
        [(Target::NewLog, Fault::Truncate), (Target::Beside("troupe.logs"), Fault::Zero)],
    ];
    for (round, damages) in rounds.into_iter().enumerate() {
        for id in 1..=3 {
            let what = format!("{damages:?} at {id}");
            ensemble.halt(id).await;
            for (target, fault) in damages {
                damage(&version_2(&ensemble, id), target, fault);
            }
            ensemble.run(id).await;
            all_are_whole(&what, &ensemble).await;
            let client = ensemble.client(&[id]).await;
            let path = format!("/behind-{round}-{id}");
            client.create(&path, b"", OPEN).await.expect("it is new");
            let tree = ensemble.assert_alike().await;
            // Of the root the children have changed.
            let is_kept = |(path, znode)| path == "/" || tree.get(path) == Some(znode);
            assert!(template.tree.iter().all(is_kept), "{what}: {tree:?}");
            let count = template.tree.len() + 3 * round + usize::try_from(id).expect("small");
            assert_eq!(tree.len(), count, "{what}");
        }
    }
    ensemble.shutdown().await;
}
