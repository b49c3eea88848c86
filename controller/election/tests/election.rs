//! Elections over a member of an ensemble in this process.

use std::net::SocketAddr;

use election::{Address, Contender, Detector, MASTER_LABEL, Place, RegistryError, Standing};
use ensemble::{Member, MemberConfig};
use mesos::v1::MasterInfo;

async fn member(dir: &tempfile::TempDir) -> (Member, SocketAddr) {
    member_at(dir, SocketAddr::from(([127, 0, 0, 1], 0))).await
}

async fn member_at(dir: &tempfile::TempDir, addr: SocketAddr) -> (Member, SocketAddr) {
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some(addr);
    let member = Member::start(config).await.expect("a member");
    let addr = member.client_addr().expect("a client port");
    (member, addr)
}

fn master(place: &Place, id: &str) -> Contender {
    let info = MasterInfo { id: id.into(), port: 5050, ..MasterInfo::default() };
    Contender::enter(place.clone(), MASTER_LABEL, mesos::json::to_vec(&info))
}

#[tokio::test]
async fn the_next_in_line_leads_and_the_last_leader_cannot_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let (member, addr) = member(&dir).await;
    let place: Place = format!("zk://{addr}/pools/a/election").parse().expect("a place");
    let detector = Detector::start(Address::Elected(place.clone()));
    let mut leader = detector.leader();

    let first = master(&place, "first");
    let mut standing = first.standing();
    let standing = standing.wait_for(Standing::is_leading).await.expect("told").clone();
    let Standing::Leading(first_leads) = standing else { unreachable!("waited for it") };
    let is = |id: &'static str| {
        move |info: &Option<MasterInfo>| info.as_ref().is_some_and(|info| info.id == id)
    };
    leader.wait_for(is("first")).await.expect("told");

    let second = master(&place, "second");
    let mut standing = second.standing();
    standing.wait_for(|s| matches!(s, Standing::Behind { .. })).await.expect("told");

    first_leads.put("/pools/a/registry/agents/S0", b"one").await.expect("written");
    first_leads.put("/pools/a/registry/agents/S0", b"two").await.expect("written");
    first_leads.put("/pools/a/registry/agents/S1", b"x").await.expect("written");
    first_leads.delete("/pools/a/registry/agents/S1").await.expect("deleted");
    first_leads.delete("/pools/a/registry/agents/S1").await.expect("deleted before");

    first.withdraw().await;
    let standing = standing.wait_for(Standing::is_leading).await.expect("told").clone();
    leader.wait_for(is("second")).await.expect("told");
    let refused = first_leads.put("/pools/a/registry/agents/S0", b"late").await;
    assert!(matches!(refused, Err(RegistryError::NotLeading { .. })), "{refused:?}");

    let Standing::Leading(second_leads) = standing else { unreachable!("waited for it") };
    let agents = second_leads.children("/pools/a/registry/agents").await.expect("read");
    assert_eq!(agents, [("S0".to_owned(), "two".into())]);
    assert_eq!(second_leads.get("/pools/a/nothing").await.expect("read"), None);

    second.withdraw().await;
    leader.wait_for(Option::is_none).await.expect("told");
    drop((detector, first_leads, second_leads));
    member.shutdown().await;
}

#[tokio::test]
async fn a_dead_contender_is_not_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let (member, addr) = member(&dir).await;
    let place: Place = format!("zk://{addr}/e").parse().expect("a place");
    // It stands for one whose process died and whose session lives on.
    let dead = Contender::enter(place.clone(), "candidate", b"a".to_vec());
    dead.standing().wait_for(Standing::is_leading).await.expect("told");
    let other = Contender::enter(place.clone(), "candidate", b"b".to_vec());
    let behind = |s: &Standing| matches!(s, Standing::Behind { .. });
    other.standing().wait_for(behind).await.expect("told");

    let again =
        Contender::enter_instead_of(place, "candidate", b"a2".to_vec(), |data| data == b"a");
    other.standing().wait_for(Standing::is_leading).await.expect("told");
    again.standing().wait_for(behind).await.expect("told");
    drop((dead, other, again));
    member.shutdown().await;
}

#[tokio::test]
async fn a_leader_leads_on_when_its_server_was_restarted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (first, addr) = member(&dir).await;
    // Nobody listens at the other address: a member that is away.
    let place: Place = format!("zk://127.0.0.1:1,{addr}/e").parse().expect("a place");
    let detector = Detector::start(Address::Elected(place.clone()));
    let contender = master(&place, "first");
    let mut standing = contender.standing();
    let led = standing.wait_for(Standing::is_leading).await.expect("told").clone();
    let Standing::Leading(leadership) = led else { unreachable!("waited for it") };
    let mut leader = detector.leader();
    leader.wait_for(Option::is_some).await.expect("told");
    standing.mark_unchanged();
    leader.mark_unchanged();

    first.shutdown().await;
    let (second, _) = member_at(&dir, addr).await;
    // Written in the same session, by the same leadership.
    leadership.put("/e/registry", b"one").await.expect("written");
    assert_eq!(leadership.get("/e/registry").await.expect("read"), Some("one".into()));
    assert!(!standing.has_changed().expect("it goes on") && standing.borrow().is_leading());
    assert!(!leader.has_changed().expect("it goes on"), "the detector lost sight of the leader");
    // And the watch that was set before it still tells.
    contender.withdraw().await;
    leader.wait_for(Option::is_none).await.expect("told");
    drop((detector, leadership));
    second.shutdown().await;
}
