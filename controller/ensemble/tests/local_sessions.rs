//! Sessions that their own member alone knows.

mod support;

use std::time::Duration;

use jute::{ErrorCode, MultiOp, Request, create_flags};
use support::Ensemble;
use support::raw::{Raw, create};
use types::SessionId;

async fn three(upgrades: bool) -> Ensemble {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.tick = Duration::from_millis(500);
    ensemble.particular = Some(Box::new(move |_, config| {
        config.rules.local_sessions = true;
        config.rules.session_upgrades = upgrades;
        config.max_session_timeout = Some(Duration::from_secs(60));
    }));
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
    ensemble
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_cost_no_transaction_and_have_no_ephemerals() {
    let ensemble = three(false).await;
    let leader = ensemble.leader();
    tokio::task::block_in_place(|| {
        for id in 1..=3 {
            let begun = ensemble.running[&leader].local().applied();
            let mut client = Raw::open(ensemble.client_addr(id), 10_000);
            assert_ne!(client.ticket.session, SessionId(0));
            assert_eq!(ensemble.running[&leader].local().applied(), begun, "member {id}");
            assert_eq!(client.create(&format!("/by-{id}"), create_flags::PERSISTENT), None);
            let refused = Some(ErrorCode::EphemeralOnLocalSession);
            assert_eq!(client.create("/mine", create_flags::EPHEMERAL), refused, "member {id}");
            let ops = vec![MultiOp::Create(create("/mine", create_flags::EPHEMERAL))];
            assert_eq!(client.ask(Request::Multi(ops)), None, "it fails as a whole, in its body");
            // It comes back where it is known, and nowhere else.
            let other = id % 3 + 1;
            assert_eq!(client.come_back(ensemble.client_addr(other)).ticket.session, SessionId(0));
            let mut client = client.come_back(ensemble.client_addr(id));
            // The end is answered behind what is on its way.
            let path = format!("/last-{id}");
            let last = Request::Create(create(&path, create_flags::PERSISTENT));
            assert_eq!(client.all(&[last, Request::CloseSession]), [None, None]);
            client.closed();
            assert_eq!(client.come_back(ensemble.client_addr(id)).ticket.session, SessionId(0));
        }
    });
    let tree = ensemble.assert_alike().await;
    assert!(tree.contains_key("/last-3") && !tree.contains_key("/mine"));
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_ephemeral_makes_one_everybodys() {
    let ensemble = three(true).await;
    tokio::task::block_in_place(|| {
        for id in 1..=3 {
            let mut client = Raw::open(ensemble.client_addr(id), 10_000);
            let path = format!("/mine-{id}");
            if id == 1 {
                client.create_ephemeral(&path);
            } else {
                let ops = vec![MultiOp::Create(create(&path, create_flags::EPHEMERAL_SEQUENTIAL))];
                assert_eq!(client.ask(Request::Multi(ops)), None);
            }
            let other = id % 3 + 1;
            let mut moved = client.come_back(ensemble.client_addr(other));
            assert_eq!(moved.ticket.session, client.ticket.session, "member {id}");
            moved.create_ephemeral(&format!("/also-{id}"));
            moved.close();
        }
    });
    let tree = ensemble.assert_alike().await;
    assert!(!tree.keys().any(|path| path.contains("mine") || path.contains("also")), "{tree:?}");
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_own_member_ends_them_when_their_time_is_up() {
    let mut ensemble = three(false).await;
    let (leader, follower) = (ensemble.leader(), ensemble.any_follower());
    let addr = ensemble.client_addr(follower);
    let mut silent = tokio::task::block_in_place(|| {
        let mut silent = Raw::open(ensemble.client_addr(leader), 1000);
        silent.closed();
        assert_eq!(silent.come_back(ensemble.client_addr(leader)).ticket.session, SessionId(0));
        Raw::open(addr, 60_000)
    });
    // It outlives a change of who leads.
    ensemble.halt(leader).await;
    tokio::task::block_in_place(|| silent.closed());
    ensemble.all_serve().await;
    tokio::task::block_in_place(|| {
        assert_eq!(silent.come_back(addr).ticket.session, silent.ticket.session);
    });
    ensemble.shutdown().await;
}
