//! Members that cannot tell an epoch any more.

use std::fs;
use std::path::Path;
use std::time::Duration;

use storage::EpochFile;
use types::Epoch;

use super::support::{Ensemble, OPEN};
use super::{Template, all_are_whole, version_2, within};

/// A promise beyond the history, and nothing that tells what that is worth.
fn forget(dir: &Path) {
    EpochFile::Accepted.write(dir, Epoch(7)).expect("it is writable");
    fs::remove_file(dir.join("currentEpoch")).expect("it is there");
    fs::write(dir.join("troupe.epochs"), "damaged").expect("it is writable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_know_its_epoch_is_filled_by_a_leader_and_votes_again() {
    let template = Template::new().await;
    let mut ensemble = template.copy();
    let dir = version_2(&ensemble, 1);
    forget(&dir);
    ensemble.run(1).await;
    ensemble.run(2).await;
    // Two of three, and one of them must not vote.
    within("it asks", &ensemble, async {
        while !ensemble.running[&1].view().mending.is_some_and(|why| why.contains("currentEpoch")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(ensemble.running[&2].view().epoch, Epoch::default(), "nobody leads");
    ensemble.halt(1).await;
    ensemble.run(3).await;
    within("the others are a quorum", &ensemble, ensemble.all_serve()).await;
    ensemble.run(1).await;
    all_are_whole("it votes again", &ensemble).await;
    assert_eq!(ensemble.assert_alike().await, template.tree);
    // And it can be one of two.
    ensemble.halt(3).await;
    let client = ensemble.client(&[1, 2]).await;
    loop {
        match client.create("/by-two", b"", OPEN).await {
            Ok(_) | Err(zookeeper_client::Error::NodeExists) => break,
            // The connection broke, in one of its ways.
            Err(_) => tokio::task::yield_now().await,
        }
    }
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_all_doubt_their_epochs_find_out_together() {
    let template = Template::new().await;
    for mask in [3, 7] {
        let mut ensemble = template.copy();
        for id in (1..=3).filter(|id| mask & (1 << (id - 1)) != 0) {
            forget(&version_2(&ensemble, id));
        }
        for id in 1..=3 {
            ensemble.run(id).await;
        }
        all_are_whole("all are there and at rest", &ensemble).await;
        assert!(ensemble.running[&ensemble.leader()].view().epoch > Epoch(7), "{mask}");
        assert_eq!(ensemble.assert_alike().await, template.tree);
        ensemble.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_whose_promise_is_damaged_observes_again() {
    let mut ensemble = Ensemble::start(3, 1).await;
    let leader = ensemble.leader();
    let client = ensemble.client(&[leader]).await;
    client.create("/before", b"", OPEN).await.expect("it is new");
    ensemble.tree(4, leader).await;
    // One of the voters is gone, and cannot tell what it has promised.
    ensemble.halt((1..=3).find(|id| *id != leader).expect("there are three")).await;
    let dir = version_2(&ensemble, 4);
    for unreadable in [false, true] {
        ensemble.halt(4).await;
        // A flipped bit makes a higher number of one.
        fs::write(dir.join("acceptedEpoch"), if unreadable { "?" } else { "9" })
            .expect("it is writable");
        if unreadable {
            fs::write(dir.join("troupe.epochs"), "damaged").expect("it is writable");
        }
        ensemble.run(4).await;
        within("it observes", &ensemble, ensemble.running[&4].serving()).await;
    }
    client.create("/after", b"", OPEN).await.expect("it is new");
    within("it has all", &ensemble, ensemble.assert_alike()).await;
    ensemble.shutdown().await;
}
