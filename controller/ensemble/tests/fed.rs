//! Observers that learn through followers (`observerMasterPort`), members of ours alone.

#[path = "support/authority.rs"]
mod authority;
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use authority::Authority;
use bytes::{Bytes, BytesMut};
use ensemble::{
    ClientAuth, EnsembleConfig, PeerSaslConfig, PeerTlsConfig, Role, SaslConfig, TlsVersions,
};
use jute::learner::{LearnerInfo, PROTOCOL_VERSION, PacketType, QuorumPacket};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use support::raw::Raw;
use support::{EPHEMERAL, Ensemble, OPEN};
use types::{PeerId, SessionId, Zxid};
use zookeeper_client as zk;

const PORT: u16 = 2700;

/// Each member has an address of its own, where it takes observers while it follows.
fn fed(voters: i64, observers: i64, limit: usize) -> Ensemble {
    fed_with(voters, observers, move |_, ensemble| ensemble.observer_master_limit = limit)
}

/// The same, with what is particular about each.
fn fed_with(
    voters: i64,
    observers: i64,
    particular: impl Fn(i64, &mut EnsembleConfig) + 'static,
) -> Ensemble {
    let mut ensemble = Ensemble::new(voters, observers);
    for server in ensemble.members.servers.values_mut() {
        server.addresses[0].host = support::own_host().to_string();
    }
    ensemble.particular = Some(Box::new(move |id, config| {
        let ensemble = config.ensemble.as_mut().expect("it is one of several");
        ensemble.observer_master_port = Some(PORT);
        particular(id, ensemble);
    }));
    ensemble
}

async fn run(ensemble: &mut Ensemble, ids: std::ops::RangeInclusive<i64>) {
    for id in ids {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
}

/// Through whom a member observes, once it does.
async fn master(ensemble: &Ensemble, id: i64) -> i64 {
    assert_eq!(ensemble.running[&id].serving().await, Role::Observing);
    ensemble.running[&id].view().master.expect("it observes").0
}

/// Whom a member has in step with it, once these are.
async fn in_step(ensemble: &Ensemble, id: i64, wanted: &[i64]) {
    loop {
        let view = ensemble.running[&id].view();
        let learners = view.learners.iter().filter(|learner| learner.synced);
        let learners: BTreeSet<_> = learners.map(|learner| learner.peer.0).collect();
        if learners == wanted.iter().copied().collect() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_serves_through_a_follower_all_that_it_serves_through_the_leader() {
    let mut ensemble = fed(3, 1, 32 << 20);
    run(&mut ensemble, 1..=3).await;
    let (leader, voters) = (ensemble.leader(), ensemble.client(&[1, 2, 3]).await);
    for number in 0..20 {
        voters.create(&format!("/old-{number}"), &[b'x'; 5000], OPEN).await.expect("it is new");
    }
    run(&mut ensemble, 4..=4).await;
    let follower = master(&ensemble, 4).await;
    assert_ne!(follower, leader);
    in_step(&ensemble, follower, &[4]).await;
    let others: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    in_step(&ensemble, leader, &others).await;
    // Writes through it, syncs between them, and watches there of what others do.
    let addr = ensemble.client_addr(4);
    let ask = move || Raw::open(addr, 10_000).sync_and_create(0, 100);
    let replies = tokio::task::spawn_blocking(ask).await.expect("it does not panic");
    let expected = (0..100).flat_map(|number| ["/".to_owned(), format!("/n{number}")]);
    assert_eq!(replies, (1..).zip(expected).collect::<Vec<_>>());
    let client = ensemble.client(&[4]).await;
    let (.., watcher) = client.get_and_watch_data("/old-0").await.expect("it is old");
    voters.set_data("/old-0", b"new", None).await.expect("it is there");
    let event = watcher.changed().await;
    assert_eq!(event.event_type, zk::EventType::NodeDataChanged);
    voters.create("/newest", b"", OPEN).await.expect("it is new");
    client.sync("/").await.expect("it has a leader");
    assert!(client.check_stat("/newest").await.expect("it is served").is_some());
    let refused = client.set_data("/newest", b"", Some(7)).await;
    assert_eq!(refused, Err(zk::Error::BadVersion));
    // A session moves there and away again, and takes what is its own with it; also to and from the follower in between.
    let places = [leader, 4, follower, 4, leader].map(|id| ensemble.client_addr(id));
    let moves = move || {
        let mut here = Raw::open(places[0], 30_000);
        here.create_ephemeral("/mine");
        for (xid, place) in (2..).zip(&places[1..]) {
            let moved = here.come_back(*place);
            assert_eq!(moved.ticket, here.ticket);
            here = moved;
            here.send_set("/mine");
            here.receive_version(xid);
        }
        let unknown = Raw::connect(
            places[1],
            30_000,
            support::raw::Ticket { session: SessionId(here.ticket.session.0 + 1), ..here.ticket },
        );
        assert_eq!(unknown.ticket.session, SessionId(0));
        here.close();
    };
    tokio::task::spawn_blocking(moves).await.expect("it does not panic");
    let tree = ensemble.assert_alike().await;
    assert!(!tree.contains_key("/mine") && tree.contains_key("/n99"));
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_its_follower_goes_to_another_and_nothing_is_lost() {
    let mut ensemble = fed(5, 1, 32 << 20);
    run(&mut ensemble, 1..=6).await;
    let client = ensemble.client(&[6]).await;
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    let mut acknowledged = 0;
    let mut gone = Vec::new();
    for _ in 0..2 {
        let follower = master(&ensemble, 6).await;
        ensemble.halt(follower).await;
        gone.push(follower);
        let mut written = 0;
        while written < 20 {
            match client.create(&format!("/n{acknowledged}"), b"x", OPEN).await {
                Ok(_) | Err(zk::Error::NodeExists) => {
                    (acknowledged, written) = (acknowledged + 1, written + 1)
                }
                Err(zk::Error::SessionExpired) => panic!("the session must outlive the follower"),
                // The connection broke, in one of its ways.
                Err(_) => {}
            }
        }
        let next = master(&ensemble, 6).await;
        assert!(!gone.contains(&next) && next != ensemble.leader());
    }
    // A leader that goes makes all of them look again; the rest is what they need.
    ensemble.run(gone[0]).await;
    let leader = ensemble.leader();
    ensemble.halt(leader).await;
    ensemble.all_serve().await;
    while client.check_stat("/mine").await.is_err() {}
    assert!(client.check_stat("/mine").await.expect("it is served").is_some());
    let tree = ensemble.assert_alike().await;
    assert_eq!(tree.keys().filter(|path| path.starts_with("/n")).count(), acknowledged);
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_follow_the_leader_is_observed() {
    let mut ensemble = fed(1, 1, 32 << 20);
    run(&mut ensemble, 1..=2).await;
    assert_eq!(master(&ensemble, 2).await, 1);
    let client = ensemble.client(&[2]).await;
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    ensemble.shutdown().await;
}

/// Somebody at the port of member `id` for observers.
fn call(ensemble: &Ensemble, id: i64) -> std::io::Result<TcpStream> {
    let host = &ensemble.members.servers[&PeerId(id)].addresses[0].host;
    let host: Ipv4Addr = host.parse().expect("an address");
    TcpStream::connect(SocketAddr::from((host, PORT)))
}

/// The same, once it takes observers.
fn called(ensemble: &Ensemble, id: i64) -> TcpStream {
    loop {
        match call(ensemble, id) {
            Ok(stream) => return stream,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn packet(kind: PacketType, zxid: Zxid, data: Option<Vec<u8>>) -> Vec<u8> {
    let mut out = BytesMut::new();
    QuorumPacket::new(kind, zxid, data.map(Bytes::from)).encode(&mut out);
    out.to_vec()
}

fn introduction(kind: PacketType, id: i64) -> Vec<u8> {
    let mut info = Vec::new();
    let (protocol_version, peer) = (PROTOCOL_VERSION, Some(PeerId(id)));
    LearnerInfo { peer, protocol_version, config_version: 0, kin: false }.encode(&mut info);
    packet(kind, Zxid::ZERO, Some(info))
}

/// Hears packets up to one of this kind.
fn until(stream: &mut TcpStream, kind: PacketType) {
    let mut heard = BytesMut::new();
    loop {
        while let Some(packet) = QuorumPacket::take(&mut heard, 1 << 20).expect("packets") {
            if packet.kind == kind {
                return;
            }
        }
        let mut more = [0; 4096];
        let count = stream.read(&mut more).expect("it is open");
        assert_ne!(count, 0, "closed before {kind:?}");
        heard.extend_from_slice(&more[..count]);
    }
}

/// What comes until the other side closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset closes, too.
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_no_observer_is_turned_away() {
    let mut ensemble = fed(2, 0, 32 << 20);
    run(&mut ensemble, 1..=2).await;
    let (leader, follower) = (ensemble.leader(), ensemble.any_follower());
    let refused = call(&ensemble, leader).expect_err("a leader takes none there");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let observer = introduction(PacketType::ObserverInfo, 9);
    let too_long = [&PacketType::ObserverInfo.code().to_be_bytes()[..], &[0; 8], &[0x7f; 4]];
    let wrong: Vec<(&str, Vec<u8>)> = vec![
        ("no packet", vec![0xff; 64]),
        ("another packet first", packet(PacketType::Ping, Zxid::ZERO, None)),
        ("a follower", introduction(PacketType::FollowerInfo, 9)),
        ("the follower's own id", introduction(PacketType::ObserverInfo, follower)),
        ("the leader's id", introduction(PacketType::ObserverInfo, leader)),
        ("endless data", too_long.concat()),
        ("a snapshot", packet(PacketType::Snap, Zxid::ZERO, None)),
        ("a question for files", packet(PacketType::Mend, Zxid::ZERO, Some(vec![0; 9]))),
        ("twice", observer.repeat(2)),
        ("a snapshot later", [&observer[..], &packet(PacketType::Snap, Zxid::ZERO, None)].concat()),
        (
            "an early word",
            [&observer[..], &packet(PacketType::Ack, Zxid::from_bits(1), None)].concat(),
        ),
        (
            "a request without its head",
            [&observer[..], &packet(PacketType::Request, Zxid::ZERO, Some(vec![1; 15]))].concat(),
        ),
        (
            "a question without a session",
            [&observer[..], &packet(PacketType::Revalidate, Zxid::ZERO, Some(vec![1; 7]))].concat(),
        ),
        (
            "no question",
            [&observer[..], &packet(PacketType::Revalidate, Zxid::ZERO, None)].concat(),
        ),
    ];
    for (what, said) in wrong {
        let mut stream = called(&ensemble, follower);
        stream.write_all(&said).expect("it is open");
        let heard = tokio::task::spawn_blocking(move || rest(stream)).await.expect("no panic");
        // At most what every observer is told first.
        assert!(heard.len() <= 24, "{what}: {heard:?}");
    }
    let client = ensemble.client(&[follower]).await;
    client.create("/after", b"", OPEN).await.expect("nothing has happened to them");
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_too_little_is_let_go() {
    let mut ensemble = fed(2, 0, 1 << 20);
    run(&mut ensemble, 1..=2).await;
    let follower = ensemble.any_follower();
    let mut stream = called(&ensemble, follower);
    let epoch = Zxid::new(ensemble.running[&follower].view().epoch, 0);
    let current = Some(vec![0xff; 4]);
    stream.write_all(&introduction(PacketType::ObserverInfo, 9)).expect("it is open");
    stream.write_all(&packet(PacketType::AckEpoch, Zxid::ZERO, current)).expect("it is open");
    until(&mut stream, PacketType::NewLeader);
    stream.write_all(&packet(PacketType::Ack, epoch, None)).expect("it is open");
    in_step(&ensemble, follower, &[9]).await;
    let client = ensemble.client(&[follower]).await;
    client.create("/much", b"", OPEN).await.expect("it is new");
    // The system takes some of it for a peer that reads nothing.
    let (data, times) = (vec![b'x'; 500_000], 80);
    for _ in 0..times {
        client.set_data("/much", &data, None).await.expect("it is there");
    }
    let heard = tokio::task::spawn_blocking(move || rest(stream)).await.expect("no panic");
    assert!(heard.len() < data.len() * times, "{} bytes waited for it", heard.len());
    client.set_data("/much", b"", None).await.expect("it is there");
    in_step(&ensemble, follower, &[]).await;
    ensemble.shutdown().await;
}

/// The follower of two voters, once member 3 observes through it and has written there.
async fn observed(ensemble: &mut Ensemble) -> i64 {
    run(ensemble, 1..=3).await;
    let follower = master(ensemble, 3).await;
    assert_ne!(follower, ensemble.leader());
    in_step(ensemble, follower, &[3]).await;
    let client = ensemble.client(&[3]).await;
    client.create("/observed", b"", OPEN).await.expect("it is new");
    ensemble.assert_alike().await;
    follower
}

/// What somebody hears who says this in the open at the port for observers.
async fn heard_in_the_open(ensemble: &Ensemble, follower: i64, said: &[u8]) -> Vec<u8> {
    let mut stream = called(ensemble, follower);
    stream.write_all(said).expect("it is open");
    tokio::task::spawn_blocking(move || rest(stream)).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_come_by_tls_where_members_speak_it() {
    let certificates = tempfile::tempdir().expect("a temporary directory");
    let dir = certificates.path().to_owned();
    let folder = move |id: i64| dir.join(id.to_string());
    let of = folder.clone();
    let mut ensemble = fed_with(2, 1, move |id, config| {
        config.tls = Some(PeerTlsConfig {
            speak: true,
            unify: false,
            versions: TlsVersions::default(),
            key_store: of(id).join("server.pem").into(),
            trust_store: of(id).join("trust.pem").into(),
            client_auth: ClientAuth::Need,
            check_names: true,
            reload: false,
        });
    });
    let authority = Authority::new();
    for (id, server) in &ensemble.members.servers {
        std::fs::create_dir(folder(id.0)).expect("it is writable");
        authority.write_server(&folder(id.0), "member", &server.addresses[0].host);
    }
    let follower = observed(&mut ensemble).await;
    let introduction = introduction(PacketType::ObserverInfo, 9);
    assert_eq!(heard_in_the_open(&ensemble, follower, &introduction).await, b"");
    // By TLS, one without a certificate is told nothing, and one that has a good one what every observer is told.
    for (name, told) in [(None, false), (Some("member"), true)] {
        let stream = called(&ensemble, follower);
        let host = stream.peer_addr().expect("it is connected").ip();
        let tls = ClientConnection::new(authority.client(name), ServerName::from(host));
        let mut tls = StreamOwned::new(tls.expect("a good configuration"), stream);
        let mut first = [0; 4];
        // Whether the other side closes first is a matter of chance.
        let said = tls.write_all(&introduction).and_then(|()| tls.read_exact(&mut first));
        assert_eq!(said.is_ok(), told, "{name:?}: {said:?}");
        assert!(!told || first == PacketType::LeaderInfo.code().to_be_bytes());
    }
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_prove_by_sasl_who_they_are_where_members_do() {
    let mut ensemble = fed_with(2, 1, |_, config| {
        let word = ("member".to_owned(), "word".to_owned());
        let users = SaslConfig { users: [word.clone()].into(), super_users: Vec::new() };
        config.sasl = Some(PeerSaslConfig { users, login: Some(word), required: true });
    });
    let follower = observed(&mut ensemble).await;
    let introduction = introduction(PacketType::ObserverInfo, 9);
    assert_eq!(heard_in_the_open(&ensemble, follower, &introduction).await, b"");
    ensemble.shutdown().await;
}
