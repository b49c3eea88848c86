//! Clients that ask for more than the member is told to let them.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ensemble::{
    ConnectionDrops, ConnectionTokens, ConnectionWeights, LargeRequests, Member, MemberConfig,
};
use jute::{ErrorCode, Request};
use support::Ensemble;
use support::raw::Raw;

async fn start(dir: &std::path::Path, set: impl FnOnce(&mut MemberConfig)) -> (Member, SocketAddr) {
    let mut config = MemberConfig::in_process(dir);
    config.client_addr = Some("127.0.0.1:0".parse().expect("an address"));
    set(&mut config);
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.client_addr().expect("it was asked for");
    (member, addr)
}

/// What `mntr` says of one metric.
fn metric(addr: SocketAddr, name: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.write_all(b"mntr").expect("it is connected");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let of = |line: &str| line.strip_prefix(&format!("zk_{name}\t")).map(str::to_owned);
    answer.lines().find_map(of).expect("it is among them")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_take_tokens_by_what_their_session_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path(), |config| {
        config.connection_tokens = ConnectionTokens {
            most: 3,
            // None come while this runs.
            fill_time: Duration::from_secs(3600),
            weights: Some(ConnectionWeights { global: 3, local: 1, renewed: 2 }),
            ..ConnectionTokens::default()
        };
    })
    .await;
    let first = Raw::open(addr, 30_000);
    let back = first.come_back(addr);
    assert_eq!(back.ticket, first.ticket);
    let second = Raw::open(addr, 30_000);
    assert_eq!(metric(addr, "connection_rejected"), "0");
    // One token is left of nine, which none of these can do with.
    for ticket in [None, Some(second.ticket)] {
        assert!(Raw::maybe_connect(addr, 30_000, ticket).is_none());
    }
    assert_eq!(metric(addr, "connection_rejected"), "2");
    assert_eq!(metric(addr, "connection_request_count"), "3");
    assert_eq!(metric(addr, "max_connection_token_deficit"), "8");
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_too_many_connect_some_are_let_go_by_chance() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path(), |config| {
        config.connection_tokens = ConnectionTokens {
            most: 1,
            fill_time: Duration::from_secs(3600),
            drops: Some(ConnectionDrops {
                freeze_time: Duration::ZERO,
                increase: 0.5,
                ..ConnectionDrops::default()
            }),
            ..ConnectionTokens::default()
        };
    })
    .await;
    let first = Raw::open(addr, 30_000);
    assert_eq!(metric(addr, "connection_drop_probability"), "0.0");
    for probability in ["0.5", "1.0", "1.0"] {
        assert!(Raw::maybe_connect(addr, 30_000, Some(first.ticket)).is_none());
        assert_eq!(metric(addr, "connection_drop_probability"), probability);
    }
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_a_long_request_that_is_too_much_is_closed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path(), |config| {
        config.large_requests = Some(LargeRequests { threshold: 1000, most: 5000 });
    })
    .await;
    let mut client = Raw::open(addr, 30_000);
    assert_eq!(client.create("/a", 0), None);
    let set = |length| Request::SetData {
        path: "/a".into(),
        data: Some(vec![0; length].into()),
        version: -1,
    };
    // What is answered takes nothing any more.
    for _ in 0..10 {
        assert_eq!(client.ask(set(4000)), None);
    }
    assert_eq!(metric(addr, "large_requests_rejected"), "0");
    let mut other = Raw::open(addr, 30_000);
    // Its length is enough.
    client.send_length(5001);
    client.closed();
    assert_eq!(metric(addr, "large_requests_rejected"), "1");
    assert_eq!(other.ask(set(4000)), None);
    member.shutdown().await;
}

/// Writes and reads by turns.
fn by_turns(count: usize) -> Vec<Request> {
    let set = |at: usize| Request::SetData {
        path: "/a".into(),
        data: Some(at.to_string().into()),
        version: -1,
    };
    let exists = || Request::Exists { path: "/a".into(), watch: false };
    (0..count).map(|at| if at % 2 == 0 { set(at) } else { exists() }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_have_their_turn_when_more_is_asked_for_than_may_be_in_process() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path(), |config| config.request_throttle.most = 2).await;
    assert_eq!(Raw::open(addr, 30_000).create("/a", 0), None);
    let clients = (0..6).map(|_| {
        tokio::task::spawn_blocking(move || {
            let mut client = Raw::open(addr, 30_000);
            let answers = client.all(&by_turns(100));
            assert_eq!(answers, vec![None; 100]);
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("all are answered");
    }
    assert_ne!(metric(addr, "request_throttle_wait_count"), "0");
    assert_ne!(metric(addr, "cnt_request_throttle_queue_time_ms"), "0");
    assert_eq!(metric(addr, "stale_requests_dropped"), "0");
    assert_eq!(metric(addr, "throttled_ops"), "0");
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_waited_too_long_is_refused_and_its_session_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path(), |config| {
        config.request_throttle.most = 1;
        config.request_throttle.throttled_op_wait_time = Some(Duration::from_nanos(1));
    })
    .await;
    let mut client = Raw::open(addr, 30_000);
    assert_eq!(client.create("/a", 0), None);
    let answers = client.all(&by_turns(10));
    // Each that had to wait has waited longer.
    assert_eq!((answers[0], answers[2]), (None, Some(ErrorCode::ThrottledOp)));
    assert_eq!(client.ask(Request::Exists { path: "/a".into(), watch: false }), None);
    assert_ne!(metric(addr, "throttled_ops"), "0");
    client.close();
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_of_an_ensemble_has_so_many_of_its_own_clients_in_process() {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.particular = Some(Box::new(|_, config| {
        config.request_throttle.most = 1;
        config.four_letter_words = vec!["*".to_owned()];
    }));
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
    let addrs = [1, 2, 3].map(|id| ensemble.client_addr(id));
    let made = tokio::task::spawn_blocking(move || Raw::open(addrs[0], 30_000).create("/a", 0));
    assert_eq!(made.await.expect("it is answered"), None);
    let clients = addrs.into_iter().chain(addrs).map(|addr| {
        tokio::task::spawn_blocking(move || {
            let mut client = Raw::open(addr, 30_000);
            assert_eq!(client.ask(Request::Sync { path: "/".into() }), None);
            assert_eq!(client.all(&by_turns(40)), vec![None; 40]);
            client.close();
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("all are answered");
    }
    for addr in addrs {
        assert_ne!(metric(addr, "request_throttle_wait_count"), "0");
    }
    ensemble.shutdown().await;
}
