//! Members that speak TLS with each other.

#[path = "support/authority.rs"]
mod authority;
mod support;

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use authority::Authority;
use ensemble::{ClientAuth, Member, PeerTlsConfig, Role, TlsVersions};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use support::{Ensemble, OPEN};
use types::PeerId;

fn tls(dir: &Path) -> PeerTlsConfig {
    PeerTlsConfig {
        speak: true,
        unify: false,
        versions: TlsVersions::default(),
        key_store: dir.join("server.pem").into(),
        trust_store: dir.join("trust.pem").into(),
        client_auth: ClientAuth::Need,
        check_names: true,
        reload: true,
    }
}

/// Three of which none runs, each with a folder of certificates.
fn three(change: impl Fn(i64, &mut PeerTlsConfig) + 'static) -> Ensemble {
    let mut ensemble = Ensemble::new(3, 0);
    let authority = Authority::new();
    for id in 1..=3 {
        let dir = folder(&ensemble, id);
        std::fs::create_dir_all(&dir).expect("it is writable");
        authority.write_server(&dir, "member", &ensemble.host.to_string());
    }
    let dirs: Vec<_> = (1..=3).map(|id| folder(&ensemble, id)).collect();
    ensemble.particular = Some(Box::new(move |id, config| {
        let mut tls = tls(&dirs[usize::try_from(id - 1).expect("it is one of three")]);
        change(id, &mut tls);
        config.ensemble.as_mut().expect("it is one of three").tls = Some(tls);
    }));
    ensemble
}

fn folder(ensemble: &Ensemble, id: i64) -> std::path::PathBuf {
    ensemble.dir.path().join(format!("certificates-{id}"))
}

/// Calls a port for peers as a stranger and listens until it is closed. What was said, or why it ended.
fn stranger(ensemble: &Ensemble, port: u16, config: Option<Arc<ClientConfig>>) -> String {
    let mut stream = TcpStream::connect((ensemble.host, port)).expect("it listens");
    let mut said = Vec::new();
    let ended = match config {
        None => {
            std::io::Write::write_all(&mut stream, &[0; 64]).expect("it is open");
            stream.read_to_end(&mut said)
        }
        Some(config) => {
            let name = ServerName::from(std::net::IpAddr::from(ensemble.host));
            let tls = ClientConnection::new(config, name).expect("a good configuration");
            StreamOwned::new(tls, stream).read_to_end(&mut said)
        }
    };
    assert!(said.is_empty(), "a stranger is told nothing: {said:?}");
    ended.err().map_or_else(String::new, |error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_a_strange_certificate_is_kept_out_until_it_has_a_good_one() {
    let mut ensemble = three(|_, _| {});
    let stranger_dir = folder(&ensemble, 3);
    let good: Vec<_> = ["server.pem", "trust.pem"]
        .map(|name| (name, std::fs::read(stranger_dir.join(name)).expect("it was written")))
        .into();
    let other = Authority::new();
    other.write_server(&stranger_dir, "member", &ensemble.host.to_string());
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    for id in 1..=2 {
        ensemble.running[&id].serving().await;
    }
    let client = ensemble.client(&[1]).await;
    client.create("/by-two", b"", OPEN).await.expect("two are a quorum");
    let leader = ensemble.leader();
    let address = &ensemble.members.servers[&PeerId(leader)].addresses[0];
    let ports = [address.quorum_port, address.election_port];
    tokio::task::block_in_place(|| {
        for port in ports {
            let said = stranger(&ensemble, port, Some(other.client(Some("member"))));
            assert!(said.contains("UnknownIssuer"), "the member's own is not trusted: {said}");
            stranger(&ensemble, port, None);
        }
    });
    assert_eq!(ensemble.running[&3].view().role, Role::Looking);
    for (name, bytes) in good {
        std::fs::write(stranger_dir.join(name), bytes).expect("it is writable");
    }
    ensemble.running[&3].serving().await;
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_change_over_one_after_the_other() {
    // One calls in the open, one by TLS, one by TLS only and takes no other call.
    let mut ensemble = three(|id, tls| {
        tls.speak = id > 1;
        tls.unify = id < 3;
    });
    for id in 2..=3 {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
    ensemble.run(1).await;
    // The last one leads no one that it cannot hear: the second is asked by both.
    ensemble.halt(3).await;
    ensemble.all_serve().await;
    let client = ensemble.client(&[1, 2]).await;
    client.create("/mixed", b"", OPEN).await.expect("two are a quorum");
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_must_name_the_host_unless_nobody_looks() {
    let mut ensemble = three(|_, tls| tls.check_names = false);
    let authority = Authority::new();
    for id in 1..=3 {
        authority.write_server(&folder(&ensemble, id), "member", "elsewhere.example");
    }
    ensemble.run(1).await;
    ensemble.run(2).await;
    ensemble.all_serve().await;
    // One that looks calls nobody: the others have the certificate of another host.
    let mut config = ensemble.config(3);
    config.ensemble.as_mut().expect("it is one of three").tls = Some(tls(&folder(&ensemble, 3)));
    let picky = Member::start(config).await.expect("its ports are free");
    let leader = ensemble.leader();
    let address = ensemble.members.servers[&PeerId(leader)].addresses[0].clone();
    let said = tokio::task::block_in_place(|| {
        stranger(&ensemble, address.quorum_port, Some(authority.client(Some("member"))))
    });
    assert!(said.contains("not valid for name"), "{said}");
    assert_eq!(picky.view().role, Role::Looking);
    picky.halt().await;
    ensemble.run(3).await;
    ensemble.all_serve().await;
    ensemble.shutdown().await;
}
