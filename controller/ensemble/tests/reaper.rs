//! Containers and times to live end by themselves, and clients are told.

use std::time::Duration;

use ensemble::{Member, MemberConfig};
use zookeeper_client as zk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_goes_with_its_last_child_and_a_ttl_with_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some(([127, 0, 0, 1], 0).into());
    config.rules.extended_types = true;
    config.reaper.check_every = Duration::from_millis(10);
    let member = Member::start(config).await.expect("the directory is good");
    let addr = member.client_addr().expect("a client port was asked for");
    let client = zk::Client::connect(&addr.to_string()).await.expect("the member listens");

    let open = zk::Acls::anyone_all();
    let plain = zk::CreateMode::Persistent.with_acls(open);
    let container = zk::CreateMode::Container.with_acls(open);
    client.create("/c", b"", &container).await.expect("it is new");
    client.create("/c/x", b"", &plain).await.expect("it is new");
    let ttl = plain.clone().with_ttl(Duration::from_millis(1));
    client.create("/t", b"", &ttl).await.expect("times to live are allowed");
    let (_, container_watch) = client.check_and_watch_stat("/c").await.expect("a connection");
    let (_, ttl_watch) = client.check_and_watch_stat("/t").await.expect("a connection");
    client.delete("/c/x", None).await.expect("it is there");
    // The second may be gone before it was watched.
    assert_eq!(container_watch.changed().await.event_type, zk::EventType::NodeDeleted);
    if client.check_stat("/t").await.expect("a connection").is_some() {
        assert_eq!(ttl_watch.changed().await.event_type, zk::EventType::NodeDeleted);
    }
    assert!(client.check_stat("/c").await.expect("a connection").is_none());
    member.shutdown().await;
}
