//! One connection has so many watches and no more, and goes on.

use ensemble::{Member, MemberConfig};
use zookeeper_client as zk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_too_many_is_refused_and_the_next_fits_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some(([127, 0, 0, 1], 0).into());
    config.max_watches = 2;
    let member = Member::start(config).await.expect("the directory is good");
    let addr = member.client_addr().expect("a client port was asked for");
    let client = zk::Client::connect(&addr.to_string()).await.expect("the member listens");
    let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    client.create("/a", b"", &options).await.expect("it is new");

    let data = client.get_and_watch_data("/a").await.expect("the first fits");
    let missing = client.check_and_watch_stat("/b").await.expect("the second fits");
    assert!(client.check_and_watch_stat("/c").await.is_err());
    // Without a watch it is no matter, and what fires makes room.
    assert_eq!(client.check_stat("/c").await, Ok(None));
    client.create("/b", b"", &options).await.expect("it is new");
    missing.1.changed().await;
    client.check_and_watch_stat("/c").await.expect("there is room again");
    drop(data);
    member.shutdown().await;
}
