//! Several members in this process, as unmodified clients see them.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ensemble::Member;
use jute::Request;
use support::raw::Raw;
use support::{EPHEMERAL, Ensemble, OPEN};
use types::PeerId;
use zookeeper_client as zk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_elect_a_leader_and_each_takes_writes() {
    let ensemble = Ensemble::start(3, 0).await;
    let leader = ensemble.leader();
    for (id, member) in &ensemble.running {
        let view = member.view();
        assert_eq!(view.leader, Some(PeerId(leader)), "member {id}");
        let client = ensemble.client(&[*id]).await;
        let path = format!("/by-{id}");
        client.create(&path, b"1", OPEN).await.expect("it is new");
        client.set_data(&path, b"2", Some(0)).await.expect("its version");
        let refused = client.set_data(&path, b"3", Some(0)).await;
        assert_eq!(refused, Err(zk::Error::BadVersion), "member {id}");
    }
    for id in 1..=3 {
        let client = ensemble.client(&[id]).await;
        client.sync("/").await.expect("it has a leader");
        for by in 1..=3 {
            let (data, _) = client.get_data(&format!("/by-{by}")).await.expect("all have it");
            assert_eq!(&data[..], b"2", "member {id} of what {by} wrote");
        }
    }
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_tells_of_its_learners_and_of_what_it_proposes() {
    let ensemble = Ensemble::start(3, 1).await;
    let client = ensemble.client(&[ensemble.leader()]).await;
    client.create("/long", &[b'x'; 5000], OPEN).await.expect("it is new");
    client.create("/short", b"", OPEN).await.expect("it is new");
    let leader = &ensemble.running[&ensemble.leader()];
    // It is looked at now and then.
    while leader.view().learners.iter().filter(|learner| learner.synced).count() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let metrics = metrics(leader).await;
    let figure = |name| figure(&metrics, name);
    for (name, expected) in [
        ("quorum_size", 3.0),
        ("learners", 3.0),
        ("synced_followers", 2.0),
        ("synced_observers", 1.0),
        ("pending_syncs", 0.0),
    ] {
        assert_eq!(figure(name), expected, "{name}");
    }
    assert!((5000.0..6000.0).contains(&figure("max_proposal_size")));
    assert!((1.0..5000.0).contains(&figure("last_proposal_size")));
    assert!((1.0..5000.0).contains(&figure("min_proposal_size")));
    ensemble.shutdown().await;
}

async fn metrics(member: &Member) -> String {
    let addr = member.metrics_addr().expect("it was asked for");
    let ask = move || {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
        answer
    };
    tokio::task::spawn_blocking(ask).await.expect("it does not panic")
}

fn figure(metrics: &str, name: &str) -> f64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name}")).parse().expect("a number")
}

/// The C client closes its socket as soon as it has said that its session is to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_last_is_done_though_it_does_not_wait_for_the_answer() {
    let ensemble = Ensemble::start(3, 0).await;
    let leader = ensemble.leader();
    let watching = ensemble.client(&[leader]).await;
    for id in [leader, ensemble.any_follower()] {
        let addr = ensemble.client_addr(id);
        let (first, second) = (format!("/mine-{id}"), format!("/too-{id}"));
        let paths = (first.clone(), second.clone());
        let mut events = watching.watch(&second, zk::AddWatchMode::Persistent).await.expect("any");
        let leave = move || {
            let mut client = Raw::open(addr, 10_000);
            client.create_ephemeral(&first);
            let create = support::raw::create(&second, jute::create_flags::EPHEMERAL);
            client.tell(&[Request::Create(create), Request::CloseSession]);
        };
        tokio::task::spawn_blocking(leave).await.expect("it does not panic");
        assert_eq!(events.changed().await.event_type, zk::EventType::NodeCreated, "member {id}");
        assert_eq!(events.changed().await.event_type, zk::EventType::NodeDeleted, "member {id}");
        for path in [paths.0, paths.1] {
            assert_eq!(watching.check_stat(&path).await, Ok(None), "member {id}");
        }
    }
    // By its word, and not because nothing was heard of it.
    let metrics = metrics(&ensemble.running[&leader]).await;
    assert_eq!(figure(&metrics, "stale_sessions_expired"), 0.0);
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_behind_the_end_of_a_session() {
    let ensemble = Ensemble::start(3, 0).await;
    for id in [ensemble.leader(), ensemble.any_follower()] {
        let addr = ensemble.client_addr(id);
        let ask = move || {
            let mut client = Raw::open(addr, 10_000);
            let look = Request::Exists { path: "/".into(), watch: false };
            client.tell(&[look.clone(), Request::CloseSession, look]);
            client.refusals(3)
        };
        let answered = tokio::task::spawn_blocking(ask).await.expect("it does not panic");
        assert_eq!(answered, [None, None], "member {id}");
    }
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_and_a_write_behind_it_are_each_answered_on_a_learner_too() {
    let ensemble = Ensemble::start(3, 1).await;
    for (id, first) in [(ensemble.any_follower(), 0), (4, 100)] {
        let addr = ensemble.client_addr(id);
        let ask = move || Raw::open(addr, 10_000).sync_and_create(first, 100);
        let replies = tokio::task::spawn_blocking(ask).await.expect("it does not panic");
        let expected =
            (first..first + 100).flat_map(|number| ["/".to_owned(), format!("/n{number}")]);
        assert_eq!(replies, (1..).zip(expected).collect::<Vec<_>>(), "member {id}");
    }
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_leader_an_ensemble_goes_on_and_the_one_that_returns_catches_up() {
    let mut ensemble = Ensemble::start(3, 0).await;
    let client = ensemble.client(&[1, 2, 3]).await;
    client.create("/before", b"", OPEN).await.expect("it is new");
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    let gone = ensemble.leader();
    ensemble.halt(gone).await;
    ensemble.all_serve().await;
    // What was on its way when the connection broke is for the caller to do again.
    let mut number = 0;
    while number < 50 {
        match client.create(&format!("/n{number}"), b"x", OPEN).await {
            Ok(_) | Err(zk::Error::NodeExists) => number += 1,
            Err(zk::Error::SessionExpired) => panic!("the session must outlive its leader"),
            // The connection broke, in one of its ways.
            Err(_) => {}
        }
    }
    assert!(client.check_stat("/mine").await.expect("it is served").is_some());
    ensemble.run(gone).await;
    ensemble.all_serve().await;
    let tree = ensemble.assert_alike().await;
    assert!(tree.contains_key("/before") && tree.contains_key("/mine"));
    ensemble.shutdown().await;
}

/// Whoever calls at the ports for peers may say nothing for longer than this test is patient.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_call_and_say_nothing_keep_no_member_out() {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.particular = Some(Box::new(|_, config| {
        let ensemble = config.ensemble.as_mut().expect("it is one of three");
        (ensemble.init_limit, ensemble.connect_timeout) = (10_000, Duration::from_secs(3600));
    }));
    ensemble.run(1).await;
    ensemble.run(2).await;
    ensemble.all_serve().await;
    let mut strangers = Vec::new();
    let address = |id| &ensemble.members.servers[&PeerId(id)].addresses[0];
    let ports = (1..=2).map(|id| (address(id).election_port, 100));
    for (port, count) in ports.chain([(address(ensemble.leader()).quorum_port, 1100)]) {
        for number in 0..count {
            let mut stream = TcpStream::connect((ensemble.host, port)).expect("it listens");
            // Some begin to say something.
            stream.write_all(&[0xff; 4][..number % 4]).expect("it is open");
            strangers.push(stream);
        }
    }
    ensemble.run(3).await;
    ensemble.all_serve().await;
    let leader = ensemble.leader();
    ensemble.halt(leader).await;
    ensemble.all_serve().await;
    let client = ensemble.client(&[3]).await;
    client.create("/after", b"", OPEN).await.expect("two are a quorum");
    drop(strangers);
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_its_files_gets_them_from_the_leader() {
    let mut ensemble = Ensemble::start(3, 0).await;
    let client = ensemble.client(&[ensemble.leader()]).await;
    for number in 0..20 {
        client.create(&format!("/n{number}"), &[b'x'; 5000], OPEN).await.expect("it is new");
    }
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    let lost = ensemble.any_follower();
    ensemble.halt(lost).await;
    std::fs::remove_dir_all(ensemble.data_dir(lost)).expect("nobody holds it");
    client.create("/while-away", b"", OPEN).await.expect("two are a quorum");
    ensemble.run(lost).await;
    ensemble.all_serve().await;
    let tree = ensemble.assert_alike().await;
    assert_eq!(tree.len(), 22);
    // And it holds them: it can be one of two.
    let leader = ensemble.leader();
    let other = (1..=3).find(|id| *id != lost && *id != leader).expect("there are three");
    ensemble.halt(other).await;
    client.create("/by-two", b"", OPEN).await.expect("two are a quorum");
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}
