//! Members change while an ensemble serves: they join, get a vote, move, leave, and lead no more. Ours alone, and mixed with Apache's.
//!
//! The mixed ones need Java and the jars of Apache ZooKeeper 3.9 with what they depend on, in the folder that `ZOOKEEPER_LIB` names.
//! Without them they say so and do nothing, unless `CI` is set.

#[path = "support/apache.rs"]
mod apache;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use apache::Apache;
use ensemble::{HostPort, Members, Role, ServerRole, View};
use support::{Ensemble, OPEN};
use types::PeerId;
use zookeeper_client as zk;

fn reconfigurable(voters: i64, observers: i64) -> Ensemble {
    let mut ensemble = Ensemble::new(voters, observers);
    ensemble.reconfig = true;
    ensemble
}

/// Asks for other members; answers with those in force.
async fn change(
    client: &zk::Client,
    joining: &[String],
    leaving: &[&str],
) -> Result<Members, zk::Error> {
    change_from(client, joining, leaving, None).await
}

/// The same for members of this version.
async fn change_from(
    client: &zk::Client,
    joining: &[String],
    leaving: &[&str],
    version: Option<i64>,
) -> Result<Members, zk::Error> {
    let joining: Vec<_> = joining.iter().map(String::as_str).collect();
    let update = zk::EnsembleUpdate::Incremental {
        joinings: joining.iter().copied(),
        leavings: leaving.iter().copied(),
    };
    let asked = client.update_ensemble(update, version);
    within("an answer to the change", asked).await.map(|(text, _)| members(&text))
}

fn members(text: &[u8]) -> Members {
    Members::parse(std::str::from_utf8(text).expect("a text")).expect("members")
}

/// A member's line, as `joining` wants it.
fn line(ensemble: &Ensemble, id: i64, role: ServerRole) -> String {
    let mut server = ensemble.members.servers[&PeerId(id)].clone();
    server.role = role;
    format!("server.{id}={server}")
}

/// The members that a server shows, once they are of this version.
async fn shown(client: &zk::Client, version: types::Zxid) -> Members {
    let shown = async {
        loop {
            let (text, stat, changed) = client.get_and_watch_config().await.expect("it serves");
            let members = members(&text);
            if members.version >= version {
                assert_eq!((stat.version, stat.mzxid), (-1, members.version.bits()));
                return members;
            }
            changed.changed().await;
        }
    };
    within(&format!("members of version {version} are shown"), shown).await
}

/// A client of these members.
async fn connect(ensemble: &Ensemble, ids: &[i64]) -> zk::Client {
    within(&format!("one of {ids:?} serves"), ensemble.client(ids)).await
}

/// A member whose part changes comes to the leader anew, and closes its clients' connections as it does.
async fn write(client: &zk::Client, path: &str) {
    let written = async {
        let mut lost = false;
        loop {
            match client.create(path, b"1", OPEN).await {
                Ok(_) => return,
                Err(zk::Error::ConnectionLoss) => lost = true,
                Err(zk::Error::NodeExists) if lost => return,
                Err(error) => panic!("{path}: {error}"),
            }
        }
    };
    within(&format!("{path} is written"), written).await;
}

/// Waits until a member's view is as wanted.
async fn until(ensemble: &Ensemble, id: i64, what: &str, wanted: impl Fn(&View) -> bool) {
    let waits = async {
        while !wanted(&ensemble.running[&id].view()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(&format!("member {id} {what}"), waits).await;
}

/// What is waited for is there within a time that is enough on any machine.
async fn within<T>(what: &str, waits: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, waits).await {
        Ok(there) => there,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until the leader has this one's history.
async fn synced(ensemble: &Ensemble, id: i64, votes: bool) {
    let leader = ensemble.leader();
    let what = format!("has member {id} as a learner in step, with a vote: {votes}");
    until(ensemble, leader, &what, |view| {
        view.learners.iter().any(|one| one.peer == PeerId(id) && one.synced && one.votes == votes)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_a_leader_that_leaves_hands_over() {
    let mut ensemble = reconfigurable(3, 0);
    let file = ensemble.zoo_cfg(1);
    let before = std::fs::read_to_string(&file).expect("it is there");
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    within("all serve", ensemble.all_serve()).await;
    let kept = std::fs::read_to_string(file.with_extension("cfg.bak")).expect("it was rewritten");
    assert_eq!(kept, before);
    // The next ones are told of all, and of themselves; others learn of them by the change alone.
    let four = Ensemble::new(5, 0).members.servers;
    for (id, mut server) in four.into_iter().filter(|(id, _)| id.0 > 3) {
        server.addresses[0].host = ensemble.host.to_string();
        server.client.as_mut().expect("it has one").host = ensemble.host.to_string();
        ensemble.members.servers.insert(id, server);
    }
    ensemble.run(4).await;
    within("it serves", ensemble.running[&4].serving()).await;
    synced(&ensemble, 4, false).await;
    let client = connect(&ensemble, &[1, 2, 3]).await;
    write(&client, "/before").await;
    let refused = change_from(&client, &[], &["1"], Some(77)).await;
    assert_eq!(refused, Err(zk::Error::BadVersion));
    let joining = [line(&ensemble, 4, ServerRole::Participant)];
    let now = change(&client, &joining, &[]).await.expect("it is in step");
    assert_eq!(now.voters().count(), 4);
    for id in 1..=4 {
        let client = connect(&ensemble, &[id]).await;
        assert_eq!(shown(&client, now.version).await, now, "member {id}");
    }
    synced(&ensemble, 4, true).await;
    // The leader goes: whoever takes over has all of it, and the one that left serves on without a vote.
    let gone = ensemble.leader();
    let now = change(&client, &[], &[&gone.to_string()]).await.expect("the others are a quorum");
    assert!(!now.is_voter(PeerId(gone)));
    until(&ensemble, gone, "follows", |view| view.role == Role::Following).await;
    let leader = ensemble.leader();
    assert_ne!(leader, gone);
    let rest: Vec<_> = (1..=4).filter(|id| *id != gone).collect();
    let client = connect(&ensemble, &rest).await;
    write(&client, "/after").await;
    synced(&ensemble, gone, false).await;
    // One of three voters may be missing; one that is no voter any more does not count.
    ensemble.halt(gone).await;
    let lost = *rest.iter().find(|id| **id != leader).expect("there are three");
    ensemble.halt(lost).await;
    let rest: Vec<_> = rest.into_iter().filter(|id| *id != lost).collect();
    let client = connect(&ensemble, &rest).await;
    write(&client, "/two-of-three").await;
    // By its files it knows whom to look for, and that it has a vote.
    ensemble.run(lost).await;
    within("it serves", ensemble.running[&lost].serving()).await;
    assert_eq!(shown(&connect(&ensemble, &[lost]).await, now.version).await, now);
    // An observer gets a vote, and gives it back.
    let observer = [line(&ensemble, lost, ServerRole::Observer)];
    change(&client, &observer, &[]).await.expect("two remain");
    until(&ensemble, lost, "observes", |view| view.role == Role::Observing).await;
    let voter = [line(&ensemble, lost, ServerRole::Participant)];
    let now = change(&client, &voter, &[]).await.expect("two of three are in step");
    until(&ensemble, lost, "follows", |view| view.role == Role::Following).await;
    // Its clients find it elsewhere.
    let mut server = now.servers[&PeerId(lost)].clone();
    server.client = Some(HostPort { host: ensemble.host.to_string(), port: 2990 });
    ensemble.members.servers.insert(PeerId(lost), server);
    let moved = [line(&ensemble, lost, ServerRole::Participant)];
    let now = change(&client, &moved, &[]).await.expect("nobody leaves");
    let elsewhere = connect(&ensemble, &[lost]).await;
    assert_eq!(shown(&elsewhere, now.version).await, now);
    write(&elsewhere, "/moved").await;
    // All of them at once, and too few.
    let whole = now.lines().replace('\n', ",");
    let update = zk::EnsembleUpdate::New { ensemble: std::iter::once(whole.as_str()) };
    let update: zk::EnsembleUpdate<'_, std::iter::Once<&str>> = update;
    let replaced = client.update_ensemble(update, Some(now.version.bits()));
    within("all are replaced", replaced).await.expect("nobody leaves");
    let ids: Vec<_> = rest.iter().map(ToString::to_string).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let refused = change(&client, &[], &ids).await;
    assert!(matches!(refused, Err(zk::Error::BadArguments(_))), "{refused:?}");
    let tree = within("all have the same", ensemble.assert_alike()).await;
    assert_eq!(tree.len(), 4);
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_change_under_one_that_observes_through_a_follower() {
    let mut ensemble = reconfigurable(3, 1);
    for server in ensemble.members.servers.values_mut() {
        server.addresses[0].host = support::own_host().to_string();
    }
    ensemble.apaches_lines = Some(Box::new(|_| "observerMasterPort=2700\n".to_owned()));
    for id in 1..=4 {
        ensemble.run(id).await;
    }
    within("all serve", ensemble.all_serve()).await;
    // The one that it observes through goes: it learns of that from it, and learns on through the other.
    let leader = ensemble.leader();
    let gone = ensemble.running[&4].view().master.expect("it observes").0;
    assert_ne!(gone, leader);
    let client = connect(&ensemble, &[4]).await;
    write(&client, "/before").await;
    let now = change(&client, &[], &[&gone.to_string()]).await.expect("two remain");
    assert!(!now.is_voter(PeerId(gone)));
    assert_eq!(shown(&connect(&ensemble, &[4]).await, now.version).await, now);
    ensemble.halt(gone).await;
    let next = PeerId((1..=3).find(|id| ![gone, leader].contains(id)).expect("three less two"));
    until(&ensemble, 4, "observes through the other", |view| view.master == Some(next)).await;
    write(&connect(&ensemble, &[4]).await, "/through-the-other").await;
    // It gets a vote, with which it learns from the leader, and gives it back.
    let client =
        connect(&ensemble, &[1, 2, 3].map(|id| if id == gone { leader } else { id })).await;
    let now = change(&client, &[line(&ensemble, 4, ServerRole::Participant)], &[]).await;
    assert!(now.expect("it is in step").is_voter(PeerId(4)));
    until(&ensemble, 4, "follows", |view| view.role == Role::Following).await;
    synced(&ensemble, 4, true).await;
    write(&connect(&ensemble, &[4]).await, "/with-a-vote").await;
    let now = change(&client, &[line(&ensemble, 4, ServerRole::Observer)], &[]).await;
    let now = now.expect("two remain");
    until(&ensemble, 4, "observes again", |view| view.master == Some(next)).await;
    let observer = connect(&ensemble, &[4]).await;
    assert_eq!(shown(&observer, now.version).await, now);
    write(&observer, "/without-one").await;
    let tree = within("all have the same", ensemble.assert_alike()).await;
    assert_eq!(tree.len(), 4);
    ensemble.shutdown().await;
}

/// One of Apache's leads, or one of ours; the change is asked of a follower and of the leader.
async fn mixed(ours: &[i64]) {
    if apache::lib().is_none() {
        return;
    }
    let mut ensemble = reconfigurable(3, 0);
    let mut apaches = BTreeMap::new();
    for id in [3, 1] {
        start(&mut ensemble, &mut apaches, id, ours.contains(&id)).await;
    }
    let client = connect(&ensemble, &[1, 3]).await;
    write(&client, "/two").await;
    start(&mut ensemble, &mut apaches, 2, ours.contains(&2)).await;
    let second = connect(&ensemble, &[2]).await;
    write(&second, "/three").await;
    let mut now = members(&client.get_config().await.expect("it serves").0);
    assert!(now.version.epoch().0 > 0, "the first members have a version");
    // A follower leaves, observes, and votes again.
    let mut clients = Vec::new();
    for id in [1, 2, 3] {
        clients.push(connect(&ensemble, &[id]).await);
    }
    let as_observer = [line(&ensemble, 1, ServerRole::Observer)];
    let as_voter = [line(&ensemble, 1, ServerRole::Participant)];
    for (joining, leaving) in [
        (&[][..], &["1"][..]),
        (&as_observer, &[]),
        (&as_voter, &[]),
        (&[], &["1"]),
        (&as_voter, &[]),
    ] {
        let client = connect(&ensemble, &[2]).await;
        let taken = async {
            loop {
                match change(&client, joining, leaving).await {
                    Ok(now) => return now,
                    // The one that is to vote is on its way to the leader still.
                    Err(zk::Error::UnexpectedErrorCode(-14 | -13)) => {}
                    Err(error) => panic!("{joining:?} {leaving:?}: {error}"),
                }
            }
        };
        now = within(&format!("{joining:?} join and {leaving:?} leave"), taken).await;
        for id in [1, 2, 3] {
            let client = connect(&ensemble, &[id]).await;
            assert_eq!(shown(&client, now.version).await, now, "member {id}");
            let path = format!("/by-{id}-{}", now.version.bits());
            write(&client, &path).await;
        }
        for id in [1, 2, 3] {
            let name = format!("zoo-{id}.cfg.dynamic.{:x}", now.version.bits());
            let file = ensemble.dir.path().join(name);
            assert_eq!(
                std::fs::read_to_string(&file).expect("it is there"),
                now.lines().trim_end()
            );
        }
    }
    // The leader leaves, and comes back.
    let client = connect(&ensemble, &[1, 2]).await;
    let before = now.version.next().expect("there are more");
    match change(&client, &[], &["3"]).await {
        Ok(now) => assert!(!now.is_voter(PeerId(3))),
        // Apache's follower may close before it has answered.
        Err(zk::Error::ConnectionLoss) => {}
        Err(error) => panic!("two remain: {error}"),
    }
    let again = connect(&ensemble, &[1, 2]).await;
    write(&again, "/another-leads").await;
    let now = shown(&again, before).await;
    assert_eq!(now.voters().collect::<Vec<_>>(), [PeerId(1), PeerId(2)]);
    let third = connect(&ensemble, &[3]).await;
    assert_eq!(shown(&third, now.version).await, now);
    write(&third, "/by-the-one-that-left").await;
    let voter = [line(&ensemble, 3, ServerRole::Participant)];
    let now = change(&again, &voter, &[]).await.expect("it follows");
    // Each of the other kind takes up what the one before left: data and files.
    for id in [1, 2, 3] {
        let mine = ensemble.running.contains_key(&id);
        match mine {
            true => ensemble.halt(id).await,
            false => drop(apaches.remove(&id)),
        }
        start(&mut ensemble, &mut apaches, id, !mine).await;
        let client = connect(&ensemble, &[id]).await;
        let path = format!("/swapped-{id}");
        write(&client, &path).await;
        assert_eq!(shown(&client, now.version).await, now, "member {id}");
    }
    drop(apaches);
    ensemble.shutdown().await;
}

async fn start(ensemble: &mut Ensemble, apaches: &mut BTreeMap<i64, Apache>, id: i64, ours: bool) {
    match ours {
        true => ensemble.run(id).await,
        false => drop(apaches.insert(id, Apache::start(ensemble, id))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apaches_leader_changes_members_of_both() {
    mixed(&[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_leader_changes_members_of_both() {
    mixed(&[3]).await;
}
