//! What becomes of histories when members fail, return and disagree.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use bytes::BytesMut;
use jute::{Acl, CreateTxn, Entry, Txn, TxnHeader};
use storage::{Compression, DataDir, LogReader, LogWriter, SnapshotDigest, SnapshotWriter};
use support::raw::Raw;
use support::{EPHEMERAL, Ensemble, OPEN};
use types::SessionId;
use zookeeper_client as zk;

/// A member that has what no quorum ever logged takes it back, whether a snapshot has it or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_one_member_logged_is_taken_back() {
    for with_snapshot in [false, true] {
        let mut ensemble = Ensemble::start(3, 0).await;
        let client = ensemble.client(&[ensemble.leader()]).await;
        client.create("/kept", b"", OPEN).await.expect("it is new");
        let odd = ensemble.leader();
        ensemble.assert_alike().await;
        drop(client);
        for id in 1..=3 {
            ensemble.halt(id).await;
        }
        log_more(&ensemble.data_dir(odd), 3, with_snapshot);
        for id in (1..=3).filter(|id| *id != odd) {
            ensemble.run(id).await;
        }
        ensemble.all_serve().await;
        let client = ensemble.client(&[ensemble.leader()]).await;
        client.create("/later", b"", OPEN).await.expect("two are a quorum");
        ensemble.run(odd).await;
        ensemble.all_serve().await;
        let tree = ensemble.assert_alike().await;
        let names: Vec<_> = tree.keys().map(String::as_str).collect();
        assert_eq!(names, ["/kept", "/later"]);
        // And it stays so when the member starts from its files.
        ensemble.halt(odd).await;
        ensemble.run(odd).await;
        ensemble.all_serve().await;
        ensemble.assert_alike().await;
        ensemble.shutdown().await;
    }
}

/// Puts creations of `/odd-1` and so on behind the log of a member that does not run; if told so, writes a
/// snapshot with them.
fn log_more(dir: &Path, count: u32, with_snapshot: bool) {
    let dirs = DataDir::open(dir, None).expect("nobody holds it");
    let loaded = storage::load_newest(dirs.snapshots(), |zxid, reader| {
        znodes::snapshot::read(reader, zxid, 1 << 20, 0).map_err(|error| error.to_string())
    });
    let mut state = loaded.expect("it is whole").expect("there is one").body;
    let mut log = LogReader::open(dirs.logs(), state.zxid()).expect("it is there");
    while let Some(entry) = log.next_entry().expect("it is whole") {
        let entry = Entry::decode(&entry.body).expect("it is a transaction");
        state.apply(&entry.header, &entry.txn);
    }
    let mut writer = LogWriter::new(dirs.logs(), 0, true);
    for number in 1..=count {
        let zxid = state.zxid().next().expect("far from the end");
        let create = CreateTxn {
            path: format!("/odd-{number}").into(),
            data: None,
            acl: [Acl::OPEN].into(),
            ephemeral: false,
            parent_cversion: i32::try_from(100 + number).expect("few"),
        };
        let header = TxnHeader { session: SessionId(0), cxid: 0, zxid, time: 0 };
        let entry = Entry { header, txn: Txn::Create(create), digest: None };
        let mut body = BytesMut::new();
        entry.encode(&mut body);
        writer.stage(zxid, &body);
        state.apply(&entry.header, &entry.txn);
    }
    writer.commit().expect("there is room");
    if with_snapshot {
        let (zxid, digest) = (state.zxid(), state.digest());
        let mut writer = SnapshotWriter::create(dirs.snapshots(), zxid, Compression::None)
            .expect("it is writable");
        state.freeze().write(&mut writer).expect("there is room");
        let digest = SnapshotDigest { zxid, version: digest.version, digest: digest.tree };
        writer.finish(digest, zxid).expect("there is room");
    }
}

/// Members fail one after another while a client writes; what was acknowledged stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_one_failure_after_another() {
    let rounds: usize =
        std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(6);
    let mut ensemble = Ensemble::start(3, 0).await;
    let client = ensemble.client(&[1, 2, 3]).await;
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(async move {
        let mut acknowledged = BTreeMap::new();
        let mut number = 0_u32;
        while stopped.try_recv().is_err() {
            let path = format!("/n{number:06}");
            match client.create(&path, number.to_string().as_bytes(), OPEN).await {
                Ok((stat, _)) => {
                    acknowledged.insert(path, stat.czxid);
                    number += 1;
                }
                Err(zk::Error::SessionExpired) => panic!("the session must outlive all of it"),
                // Whether it was done is not known: it is no acknowledgement.
                Err(_) => number += 1,
            }
        }
        (acknowledged, client)
    });
    for round in 0..rounds {
        // The leader every other time; each of the others in turn.
        let id = match round % 2 {
            0 => ensemble.leader(),
            _ => ensemble.any_follower(),
        };
        ensemble.halt(id).await;
        ensemble.all_serve().await;
        if round % 3 == 2 {
            std::fs::remove_dir_all(ensemble.data_dir(id)).expect("nobody holds it");
        }
        ensemble.run(id).await;
        ensemble.all_serve().await;
    }
    stop.send(()).expect("the writer runs");
    let (acknowledged, client) = writer.await.expect("the writer does not panic");
    let tree = ensemble.assert_alike().await;
    assert!(!acknowledged.is_empty());
    for (path, czxid) in &acknowledged {
        let found = tree.get(path).map(|(_, stat)| stat.czxid.bits());
        assert_eq!(found, Some(*czxid), "{path}");
    }
    // The session has moved about and lives.
    assert!(tree.contains_key("/mine"));
    drop(client);
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_shows_what_is_committed_and_takes_writes_and_does_not_count() {
    let mut ensemble = Ensemble::start(3, 1).await;
    assert_eq!(ensemble.running[&4].view().role, ensemble::Role::Observing);
    let client = ensemble.client(&[4]).await;
    client.create("/by-observer", b"", OPEN).await.expect("it is new");
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    client.sync("/").await.expect("it has a leader");
    ensemble.assert_alike().await;
    let gone = ensemble.any_follower();
    ensemble.halt(gone).await;
    client.set_data("/by-observer", b"x", None).await.expect("two of three vote");
    ensemble.halt(4).await;
    let client = ensemble.client(&[ensemble.leader()]).await;
    client.set_data("/by-observer", b"y", None).await.expect("two of three vote");
    ensemble.run(4).await;
    ensemble.all_serve().await;
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}

/// Signs of life reach the leader through any member; without them only the leader ends a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_on_a_follower_lives_by_its_signs_of_life() {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.tick = std::time::Duration::from_millis(500);
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
    let follower = ensemble.any_follower();
    let addr = ensemble.client_addr(follower);
    let quiet = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::open(addr, 4000);
        raw.create_ephemeral("/quiet");
        raw
    });
    let quiet = quiet.await.expect("it is served");
    // Half as long, and alive by pings.
    let connector = zk::Client::connector().with_session_timeout(quiet.timeout / 2);
    let alive = connector.connect(&addr.to_string()).await.expect("it is served");
    alive.create("/alive", b"", EPHEMERAL).await.expect("it is new");
    let watcher = ensemble.client(&[ensemble.leader()]).await;
    loop {
        let (stat, gone) = watcher.check_and_watch_stat("/quiet").await.expect("it is served");
        if stat.is_none() {
            break;
        }
        gone.changed().await;
    }
    assert!(alive.check_stat("/alive").await.expect("its session lives").is_some());
    let tree = ensemble.assert_alike().await;
    assert!(tree.contains_key("/alive") && !tree.contains_key("/quiet"));
    drop(quiet);
    ensemble.shutdown().await;
}

/// Without a quorum, clients that wish so read what is there, and nobody writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_quorum_is_read_only_when_it_is_told_to_be() {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.read_only_mode = true;
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
    let client = ensemble.client(&[1, 2, 3]).await;
    client.create("/a", b"x", OPEN).await.expect("it is new");
    ensemble.assert_alike().await;
    drop(client);
    for id in [2, 3] {
        ensemble.halt(id).await;
    }
    let addr = ensemble.client_addr(1).to_string();
    let reader = loop {
        if let Ok(reader) = zk::Client::connector().with_readonly(true).connect(&addr).await {
            break reader;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let view = ensemble.running[&1].view();
    assert_eq!(view.role, ensemble::Role::ReadOnly);
    assert_eq!(&reader.get_data("/a").await.expect("it is served").0[..], b"x");
    let refused = reader.create("/b", b"", OPEN).await.err();
    assert_eq!(refused, Some(zk::Error::NotReadOnly));
    // With a quorum again it is over.
    ensemble.run(2).await;
    ensemble.running[&2].serving().await;
    let client = ensemble.client(&[1, 2]).await;
    client.create("/b", b"", OPEN).await.expect("two are a quorum");
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}

/// Clients of the other members keep their connections through it, with all that is in flight: each write is done once,
/// in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_others_do_not_notice_that_a_leader_hands_over() {
    let mut ensemble = Ensemble::start(3, 1).await;
    let leader = ensemble.leader();
    let client = ensemble.client(&[leader]).await;
    let (stop, mut writers) = (Arc::new(AtomicBool::new(false)), Vec::new());
    for id in (1..=4).filter(|id| *id != leader) {
        let path = format!("/by-{id}");
        client.create(&path, b"", OPEN).await.expect("it is new");
        let (stop, written) = (Arc::clone(&stop), Arc::new(AtomicI32::new(0)));
        let (addr, count) = (ensemble.client_addr(id), Arc::clone(&written));
        let thread = std::thread::spawn(move || {
            let mut raw = Raw::open(addr, 30_000);
            let mut sent = 0;
            for answered in 1.. {
                while sent < answered + 16 {
                    raw.send_set(&path);
                    sent += 1;
                }
                assert_eq!(raw.receive_version(answered), answered);
                count.store(answered, Relaxed);
                if stop.load(Relaxed) {
                    for rest in answered + 1..=sent {
                        assert_eq!(raw.receive_version(rest), rest);
                    }
                    break;
                }
            }
        });
        writers.push((thread, written));
    }
    let more = async |writers: &[(std::thread::JoinHandle<()>, Arc<AtomicI32>)]| {
        for (thread, written) in writers {
            let goal = written.load(Relaxed) + 100;
            while written.load(Relaxed) < goal && !thread.is_finished() {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
    };
    drop(client);
    more(&writers).await;
    ensemble.running.remove(&leader).expect("it runs").shutdown().await;
    ensemble.all_serve().await;
    more(&writers).await;
    stop.store(true, Relaxed);
    for (thread, _) in writers {
        thread.join().expect("every write was done once, in order, on one connection");
    }
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}

/// A leader that ends in order names another one first: nobody has to find out that it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_ends_in_order_hands_over() {
    let mut ensemble = Ensemble::start(3, 0).await;
    let client = ensemble.client(&[1, 2, 3]).await;
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    ensemble.assert_alike().await;
    for _ in 0..2 {
        let leader = ensemble.leader();
        let epoch = ensemble.running[&leader].view().epoch;
        ensemble.running.remove(&leader).expect("it runs").shutdown().await;
        ensemble.all_serve().await;
        let next = ensemble.leader();
        assert!(ensemble.running[&next].view().epoch > epoch);
        ensemble.run(leader).await;
        ensemble.all_serve().await;
    }
    let tree = ensemble.assert_alike().await;
    assert!(tree.contains_key("/mine"), "its session lives");
    drop(client);
    ensemble.shutdown().await;
}
