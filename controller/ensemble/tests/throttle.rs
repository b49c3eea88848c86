//! Clients that ask for more than the member is told to let them.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ensemble::{
    ConnectionDrops, ConnectionTokens, ConnectionWeights, LargeRequests, Member, MemberConfig,
};
use jute::Request;
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
