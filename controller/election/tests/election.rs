//! Elections in a real member: who leads, who follows, and what happens when a leader goes.

use std::net::{Ipv4Addr, SocketAddr};

use election::{Address, MasterInfo, Seat, ZkAddress, contend, detect};
use ensemble::{Member, MemberConfig};

/// A member with a client port, and the address of a group in it.
async fn member() -> (tempfile::TempDir, Member, ZkAddress) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = MemberConfig::in_process(folder.path());
    config.client_addr = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let member = Member::start(config).await.expect("a member");
    let port = member.client_addr().expect("a port").port();
    let zk = format!("zk://127.0.0.1:{port}/pools/a/election").parse().expect("an address");
    (folder, member, zk)
}

fn master(id: &str, port: u16) -> MasterInfo {
    MasterInfo::new(id.into(), "127.0.0.1", Ipv4Addr::LOCALHOST, port)
}

#[tokio::test]
async fn the_first_leads_and_the_next_follows_when_it_goes() {
    let (_folder, member, zk) = member().await;
    let mut leading = detect(&Address::Zk(zk.clone()));
    let first = contend(&zk, &master("first", 1)).await.expect("a place");
    let led_by = async |leading: &mut tokio::sync::watch::Receiver<Option<MasterInfo>>,
                        id: &str| {
        let is = |info: &Option<MasterInfo>| info.as_ref().is_some_and(|info| info.id == id);
        leading.wait_for(is).await.expect("the detector lives");
    };
    led_by(&mut leading, "first").await;
    let second = contend(&zk, &master("second", 2)).await.expect("a place");
    assert!(second.path() > first.path());
    first.resign().await;
    led_by(&mut leading, "second").await;
    second.resign().await;
    leading.wait_for(Option::is_none).await.expect("the detector lives");
    member.shutdown().await;
}

#[tokio::test]
async fn a_dead_run_at_the_same_address_is_not_waited_for() {
    let (_folder, member, zk) = member().await;
    let dead = contend(&zk, &master("dead", 7)).await.expect("a place");
    let alive = contend(&zk, &master("alive", 7)).await.expect("a place");
    dead.lost().await;
    let mut leading = detect(&Address::Zk(zk));
    let is = |info: &Option<MasterInfo>| info.as_ref().is_some_and(|info| info.id == "alive");
    leading.wait_for(is).await.expect("the detector lives");
    alive.resign().await;
    member.shutdown().await;
}

#[tokio::test]
async fn a_seat_goes_to_one_and_then_to_the_next() {
    let (_folder, member, zk) = member().await;
    let zk = zk.join("leader");
    let first = Seat::take(&zk, "a").await.expect("the seat");
    let waiting = tokio::spawn({
        let zk = zk.clone();
        async move { Seat::take(&zk, "b").await }
    });
    let (held, _) = first.client().get_data(&zk.path).await.expect("the seat's znode");
    assert_eq!(held, b"a");
    first.leave().await;
    let second = waiting.await.expect("no panic").expect("the seat");
    let (held, _) = second.client().get_data(&zk.path).await.expect("the seat's znode");
    assert_eq!(held, b"b");
    // The same candidate after a crash does not wait for its own dead session.
    let again = Seat::take(&zk, "b").await.expect("the seat");
    second.lost().await;
    again.leave().await;
    member.shutdown().await;
}
