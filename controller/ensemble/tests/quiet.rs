//! Clients that are idle, busy and idle again: their sockets change hands, and nobody sees it.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ensemble::{Member, MemberConfig};
use jute::{CreateRequest, Request};
use support::raw::{Raw, create};
use zookeeper_client as zk;

async fn start(dir: &std::path::Path) -> (Member, SocketAddr) {
    let mut config = MemberConfig::in_process(dir);
    config.client_addr = Some(([127, 0, 0, 1], 0).into());
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.client_addr().expect("it was asked for");
    (member, addr)
}

fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_served_idle_or_busy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let client = zk::Client::connect(&addr.to_string()).await.expect("it serves");
    let other = zk::Client::connect(&addr.to_string()).await.expect("it serves");
    let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    client.create("/n", b"", &options).await.expect("it is new");
    for _ in 0..3 {
        for _ in 0..100 {
            client.get_data("/n").await.expect("it is there");
        }
        let (_, _, watcher) = client.get_and_watch_data("/n").await.expect("it is there");
        tokio::time::sleep(PAUSE).await;
        other.set_data("/n", b"1", None).await.expect("it is there");
        watcher.changed().await;
        let (_, _, watcher) = client.get_and_watch_data("/n").await.expect("it is there");
        other.set_data("/n", b"2", None).await.expect("it is there");
        watcher.changed().await;
    }
    drop((client, other));
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_client_is_sent_more_than_its_socket_takes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let mut client = Raw::open(addr, 30_000);
    let data = Some(Bytes::from(vec![1; 900_000]));
    let long = Request::Create(CreateRequest { data, ..create("/long", 0) });
    assert_eq!(client.ask(long), None);
    // One look at each lot: it is not busy by them.
    for _ in 0..3 {
        let refused = client.all(&vec![get("/long"); 40]);
        assert!(refused.iter().all(Option::is_none));
        tokio::time::sleep(PAUSE).await;
    }
    for _ in 0..40 {
        assert_eq!(client.ask(get("/long")), None);
    }
    let refused = client.all(&vec![get("/long"); 40]);
    assert!(refused.iter().all(Option::is_none));
    member.shutdown().await;
}

/// After it a client counts as idle.
const PAUSE: Duration = Duration::from_millis(1200);
