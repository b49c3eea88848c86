//! Apache's members and ours in one ensemble, in every split of three, led by either.
//!
//! Needs Java and the jars of Apache ZooKeeper 3.9 with what they depend on, in the folder that
//! `ZOOKEEPER_LIB` names. Without them it says so and does nothing, unless `CI` is set.

#[path = "support/apache.rs"]
mod apache;
#[path = "support/authority.rs"]
mod authority;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use apache::Apache;
use authority::Authority;
use ensemble::{ClientAuth, PeerSaslConfig, PeerTlsConfig, SaslConfig, ServerAddress, TlsVersions};
use jute::ErrorCode;
use support::raw::Raw;
use support::{EPHEMERAL, Ensemble, OPEN};
use zookeeper_client as zk;

/// One alone is started first, then one that makes a quorum with it: of two that know nothing the larger id
/// leads.
async fn mixed(ours: &[i64], leader: i64) {
    if apache::lib().is_none() {
        return;
    }
    mixed_as(Ensemble::new(3, 0), ours, leader).await;
}

async fn mixed_as(mut ensemble: Ensemble, ours: &[i64], leader: i64) {
    let mut apaches = BTreeMap::new();
    let smaller: Vec<i64> = (1..=3).filter(|id| *id != leader).collect();
    // With the third one missing the leader is the larger of two, so it must not be the smallest.
    let first_two = [leader, smaller[0]];
    for id in first_two.into_iter().chain([smaller[1]]) {
        if id == smaller[1] {
            for id in first_two {
                mode(&ensemble, id, &["leader", "follower"]).await;
            }
        }
        if ours.contains(&id) {
            ensemble.run(id).await;
        } else {
            apaches.insert(id, Apache::start(&ensemble, id));
        }
    }
    assert_eq!(mode(&ensemble, leader, &["leader"]).await, "leader");
    for id in smaller {
        mode(&ensemble, id, &["follower"]).await;
    }
    one_history(&ensemble, 3).await;
    drop(apaches);
    ensemble.shutdown().await;
}

/// Waits until the member says it is one of these.
async fn mode(ensemble: &Ensemble, id: i64, wanted: &[&str]) -> String {
    loop {
        let addr = ensemble.client_addr(id);
        let said = tokio::task::spawn_blocking(move || word(addr, "srvr").unwrap_or_default());
        let said = said.await.expect("it does not panic");
        let mode = said.lines().find_map(|line| line.strip_prefix("Mode: "));
        if let Some(mode) = mode.filter(|mode| wanted.contains(mode)) {
            return mode.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn word(addr: SocketAddr, word: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    // Apache's that is just starting may take a word and never answer it.
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Clients on every member of the first `count` write, and every one shows all of it.
async fn one_history(ensemble: &Ensemble, count: i64) {
    let mut clients = Vec::new();
    for id in 1..=count {
        clients.push((id, ensemble.client(&[id]).await));
    }
    for (id, client) in &clients {
        for number in 0..30 {
            let path = format!("/by-{id}-{number}");
            client.create(&path, b"1", OPEN).await.expect("it is new");
            client.set_data(&path, b"2", Some(0)).await.expect("its version");
            let refused = client.set_data(&path, b"3", Some(0)).await;
            assert_eq!(refused, Err(zk::Error::BadVersion), "member {id}");
        }
        let mut multi = client.new_multi_writer();
        multi.add_create(&format!("/multi-{id}"), b"m", OPEN).expect("a good path");
        multi.add_set_data(&format!("/by-{id}-0"), b"m", None).expect("a good path");
        multi.commit().await.expect("both can be done");
        client.create(&format!("/mine-{id}"), b"", EPHEMERAL).await.expect("it is new");
    }
    let mut trees = Vec::new();
    for (_, client) in &clients {
        client.sync("/").await.expect("it has a leader");
        trees.push(dump(client).await);
    }
    assert_eq!(trees[0].len(), 1 + clients.len() * 32);
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:#?}");
    // A session that moves keeps what is its own. Its client is gone: one that is there would come back for it.
    let (_, _first) = clients.remove(0);
    let mover = zk::Client::connector().with_detached();
    let mover = mover.connect(&ensemble.client_addr(1).to_string()).await.expect("it serves");
    mover.create("/moving", b"", EPHEMERAL).await.expect("it is new");
    let session = mover.session().clone();
    drop(mover);
    for (id, client) in &clients {
        let moved = zk::Client::connector().with_session(session.clone()).with_detached();
        let moved = moved.connect(&ensemble.client_addr(*id).to_string()).await;
        let moved = moved.expect("the session lives");
        // Its client comes anew and has seen nothing, which members may be behind.
        moved.sync("/").await.expect("it has a leader");
        assert!(moved.check_stat("/moving").await.expect("it is served").is_some());
        moved.set_data("/moving", b"moved", None).await.expect("it speaks here now");
        drop(moved);
        client.sync("/").await.expect("it has a leader");
        let (data, _) = client.get_data("/moving").await.expect("the session lives");
        assert_eq!(&data[..], b"moved");
    }
    let watched = clients[0].1.check_and_watch_stat("/mine-2").await.expect("it is served");
    drop(clients.remove(0));
    // Closing the session takes its ephemeral away everywhere.
    drop(watched);
    let (_, last) = &clients[0];
    loop {
        let (stat, watcher) = last.check_and_watch_stat("/mine-2").await.expect("it is served");
        if stat.is_none() {
            break;
        }
        watcher.changed().await;
    }
}

async fn dump(client: &zk::Client) -> Vec<(String, Vec<u8>, zk::Stat)> {
    let mut tree = Vec::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let (data, stat) = client.get_data(&path).await.expect("it is listed");
        for name in client.list_children(&path).await.expect("it is listed") {
            if name != "zookeeper" {
                paths.push(format!("{}/{name}", path.trim_end_matches('/')));
            }
        }
        tree.push((path, data, stat));
    }
    tree.sort_by(|a, b| a.0.cmp(&b.0));
    tree
}

/// Each of Apache's members gives way to one of ours over its files and, after all have, the way back; a client
/// writes all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_is_replaced_member_by_member_and_back_while_a_client_writes() {
    if apache::lib().is_none() {
        return;
    }
    let mut ensemble = Ensemble::new(3, 0);
    let mut apaches: BTreeMap<i64, Apache> =
        (1..=3).map(|id| (id, Apache::start(&ensemble, id))).collect();
    for id in 1..=3 {
        mode(&ensemble, id, &["leader", "follower"]).await;
    }
    let client = ensemble.client(&[1, 2, 3]).await;
    client.create("/mine", b"", EPHEMERAL).await.expect("it is new");
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(async move {
        let mut acknowledged = BTreeMap::new();
        for number in 0_u32.. {
            if stopped.try_recv().is_ok() {
                break;
            }
            let path = format!("/n{number:06}");
            match client.create(&path, number.to_string().as_bytes(), OPEN).await {
                Ok((stat, _)) => drop(acknowledged.insert(path, stat.czxid)),
                Err(zk::Error::SessionExpired) => panic!("the session must outlive all of it"),
                // Whether it was done is not known: it is no acknowledgement.
                Err(_) => {}
            }
        }
        (acknowledged, client)
    });
    for id in 1..=3 {
        apaches.remove(&id);
        ensemble.run(id).await;
        ensemble.running[&id].serving().await;
        for other in 1..=3 {
            mode(&ensemble, other, &["leader", "follower"]).await;
        }
    }
    // The client goes on writing: what all have is compared at the end.
    for id in 1..=3 {
        assert!(ensemble.tree(id, ensemble.leader()).await.contains_key("/mine"), "on {id}");
    }
    for id in 1..=3 {
        ensemble.running.remove(&id).expect("it runs").shutdown().await;
        apaches.insert(id, Apache::start(&ensemble, id));
        for other in 1..=3 {
            mode(&ensemble, other, &["leader", "follower"]).await;
        }
    }
    stop.send(()).expect("the writer runs");
    let (acknowledged, client) = writer.await.expect("the writer does not panic");
    client.sync("/").await.expect("it has a leader");
    assert!(client.check_stat("/mine").await.expect("it is served").is_some());
    for id in 1..=3 {
        let one = ensemble.client(&[id]).await;
        one.sync("/").await.expect("it has a leader");
        let tree = dump(&one).await;
        let found: BTreeMap<_, _> =
            tree.iter().map(|(path, _, stat)| (path.as_str(), stat.czxid)).collect();
        for (path, czxid) in &acknowledged {
            assert_eq!(found.get(path.as_str()), Some(czxid), "{path} on {id}");
        }
    }
    eprintln!("{} writes were acknowledged meanwhile", acknowledged.len());
}

/// Apache's server, of no ensemble, over the directory of member `id` and at the member's address.
fn alone(ensemble: &Ensemble, id: i64) -> Apache {
    let file = ensemble.dir.path().join(format!("alone-{id}.cfg"));
    let (data, addr) = (ensemble.data_dir(id), ensemble.client_addr(id));
    let text = format!(
        "tickTime=2000\ndataDir={}\nadmin.enableServer=false\n4lw.commands.whitelist=*\n\
         clientPortAddress={}\nclientPort={}\n",
        data.display(),
        addr.ip(),
        addr.port(),
    );
    std::fs::write(&file, text).expect("it is writable");
    Apache::run(ensemble, id, &file)
}

/// Apache's keep a snapshot of what they cut from their logs, and build their tree from it (ZOOKEEPER-4837).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_one_of_apaches_had_is_gone_from_its_snapshots_too() {
    if apache::lib().is_none() {
        return;
    }
    let mut ensemble = Ensemble::new(3, 0);
    let apache = Apache::start(&ensemble, 3);
    ensemble.run(1).await;
    assert_eq!(mode(&ensemble, 3, &["leader", "follower"]).await, "leader");
    ensemble.run(2).await;
    mode(&ensemble, 2, &["follower"]).await;
    let client = ensemble.client(&[3]).await;
    client.create("/all", b"", OPEN).await.expect("it is new");
    drop((client, apache));
    // As a leader has it whose last proposals reached nobody, and that led nobody when it had come back: by a start that
    // takes a snapshot.
    let server = alone(&ensemble, 3);
    mode(&ensemble, 3, &["standalone"]).await;
    let client = ensemble.client(&[3]).await;
    client.create("/lost", b"", OPEN).await.expect("it is new");
    client.set_data("/all", b"lost", None).await.expect("it is there");
    drop((client, server));
    let server = alone(&ensemble, 3);
    mode(&ensemble, 3, &["standalone"]).await;
    drop(server);
    ensemble.all_serve().await;
    // Also while there is nothing of the later epoch that could be newer than the snapshot.
    for again in 0..2 {
        let apache = Apache::start(&ensemble, 3);
        mode(&ensemble, 3, &["follower"]).await;
        let mut trees = Vec::new();
        for id in 1..=3 {
            let client = ensemble.client(&[id]).await;
            client.sync("/").await.expect("it has a leader");
            trees.push(dump(&client).await);
        }
        assert!(trees[0] == trees[2] && trees[1] == trees[2], "start {again}: {trees:#?}");
        assert!(trees[2].iter().all(|(path, data, _)| path != "/lost" && data.is_empty()));
        drop(apache);
    }
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_follows_apaches() {
    mixed(&[1], 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_leads_apaches() {
    mixed(&[3], 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_ours_lead_one_of_apaches() {
    mixed(&[1, 3], 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_ours_follow_one_of_apaches() {
    mixed(&[1, 2], 3).await;
}

/// Sessions are their member's alone, up to their first ephemeral.
fn with_local_sessions() -> Ensemble {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.particular = Some(Box::new(|_, config| {
        config.rules.local_sessions = true;
        config.rules.session_upgrades = true;
    }));
    let lines = "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n";
    ensemble.apaches_lines = Some(Box::new(move |_| lines.to_owned()));
    ensemble
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_sessions_are_upgraded_when_apache_leads() {
    if apache::lib().is_some() {
        mixed_as(with_local_sessions(), &[1], 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_sessions_are_upgraded_when_ours_leads() {
    if apache::lib().is_some() {
        mixed_as(with_local_sessions(), &[3], 3).await;
    }
}

/// Each member has two addresses, and listens on both.
fn with_two_addresses() -> Ensemble {
    let mut ensemble = Ensemble::new(3, 0);
    let second = support::own_host().to_string();
    for server in ensemble.members.servers.values_mut() {
        let first = server.addresses[0].clone();
        server.addresses.push(ServerAddress { host: second.clone(), ..first });
    }
    ensemble.particular = Some(Box::new(|_, config| {
        config.ensemble.as_mut().expect("it is one of three").multi_address = true;
    }));
    ensemble.apaches_lines = Some(Box::new(|_| "multiAddress.enabled=true\n".to_owned()));
    // Apache looks for it there when it reads the servers' lines.
    ensemble.apaches_flags = vec!["-Dzookeeper.multiAddress.enabled=true".to_owned()];
    ensemble
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_two_addresses_follow_apaches() {
    if apache::lib().is_some() {
        mixed_as(with_two_addresses(), &[1], 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_two_addresses_lead_apaches() {
    if apache::lib().is_some() {
        mixed_as(with_two_addresses(), &[3], 3).await;
    }
}

/// Members that all prove by SASL who they are.
fn by_sasl() -> Ensemble {
    let mut ensemble = Ensemble::new(3, 0);
    let jaas = ensemble.dir.path().join("jaas.conf");
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    let text = format!(
        "QuorumServer {{ {module} user_member=\"a \\\"word\\\"\"; }};\n\
         QuorumLearner {{ {module} username=\"member\" password=\"a \\\"word\\\"\"; }};\n"
    );
    std::fs::write(&jaas, text).expect("it is writable");
    ensemble.particular = Some(Box::new(|_, config| {
        let both = || ("member".to_owned(), "a \"word\"".to_owned());
        let users = SaslConfig { users: [both()].into(), super_users: Vec::new() };
        config.ensemble.as_mut().expect("it is one of three").sasl =
            Some(PeerSaslConfig { users, login: Some(both()), required: true });
    }));
    ensemble.apaches_lines = Some(Box::new(|_| {
        "quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n\
         quorum.auth.serverRequireSasl=true\n"
            .to_owned()
    }));
    ensemble.apaches_flags = vec![format!("-Djava.security.auth.login.config={}", jaas.display())];
    ensemble
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_follows_apaches_by_sasl() {
    if apache::lib().is_some() {
        mixed_as(by_sasl(), &[1], 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_leads_apaches_by_sasl() {
    if apache::lib().is_some() {
        mixed_as(by_sasl(), &[3], 3).await;
    }
}

/// Members that speak TLS with each other, each with a certificate for its own address.
fn by_tls() -> Ensemble {
    let mut ensemble = Ensemble::new(3, 0);
    let authority = Authority::new();
    let dir = ensemble.dir.path().join("certificates");
    for id in 1..=3 {
        let dir = dir.join(id.to_string());
        std::fs::create_dir_all(&dir).expect("it is writable");
        authority.write_server(&dir, &format!("member {id}"), &ensemble.host.to_string());
    }
    let stores = move |id: i64| {
        let dir = dir.join(id.to_string());
        (dir.join("server.pem"), dir.join("trust.pem"))
    };
    let of = stores.clone();
    ensemble.particular = Some(Box::new(move |id, config| {
        let (key, trust) = of(id);
        config.ensemble.as_mut().expect("it is one of three").tls = Some(PeerTlsConfig {
            speak: true,
            unify: false,
            versions: TlsVersions::default(),
            key_store: key.into(),
            trust_store: trust.into(),
            client_auth: ClientAuth::Need,
            check_names: true,
            reload: false,
        });
    }));
    ensemble.apaches_lines = Some(Box::new(move |id| {
        let (key, trust) = stores(id);
        format!(
            "sslQuorum=true\nssl.quorum.keyStore.location={}\nssl.quorum.trustStore.location={}\n",
            key.display(),
            trust.display()
        )
    }));
    ensemble
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_follows_apaches_over_tls() {
    if apache::lib().is_some() {
        mixed_as(by_tls(), &[1], 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_ours_leads_apaches_over_tls() {
    if apache::lib().is_some() {
        mixed_as(by_tls(), &[3], 3).await;
    }
}

/// Voters 1, which is ours and follows, and 2; observer 3 learns through 1. A session moves from the observer to the follower
/// while requests of it are on their way by the observer.
async fn late_requests_are_refused(leader_is_ours: bool, refused: ErrorCode) {
    if apache::lib().is_none() {
        return;
    }
    let mut ensemble = observed(2, 1);
    let mut apaches = Vec::new();
    ensemble.run(1).await;
    match leader_is_ours {
        true => ensemble.run(2).await,
        false => apaches.push(Apache::start(&ensemble, 2)),
    }
    assert_eq!(mode(&ensemble, 2, &["leader"]).await, "leader");
    ensemble.run(3).await;
    mode(&ensemble, 3, &["observer"]).await;
    assert_eq!(figure(&ensemble, 3, "observer_master_id").await, Some(1));
    let (follower, observer) = (ensemble.client_addr(1), ensemble.client_addr(3));
    // Some clients number their requests anew on each connection. Then a late one may have the number of one that is in time.
    for alike in [false, true] {
        let path = format!("/alike-{alike}");
        let of = path.clone();
        let refusals = tokio::task::spawn_blocking(move || {
            let mut before = Raw::open(observer, 30_000);
            assert_eq!(before.create(&of, 0), None);
            for _ in 0..LATE {
                assert_eq!(before.create(&of, 0), Some(ErrorCode::NodeExists));
            }
            let mut after = match alike {
                true => before.come_back(follower),
                false => Raw::connect(follower, 30_000, before.ticket),
            };
            assert_eq!(after.ticket, before.ticket);
            let mut numbers = Vec::new();
            for _ in 0..LATE {
                before.send_set(&of);
                numbers.push(after.send_set(&of));
            }
            for (xid, version) in numbers.into_iter().zip(1..) {
                assert_eq!(after.receive_version(xid), version);
            }
            // Which of two with one number is answered is told apart where the session speaks, and nowhere else.
            let refusals = if alike { Vec::new() } else { before.refusals(LATE) };
            after.close();
            refusals
        });
        let refusals = refusals.await.expect("each is answered as it should be");
        assert!(refusals.iter().all(|one| *one == Some(refused)), "{refusals:?}");
        // Where the session is known to have moved, the connection ends.
        assert!(alike || leader_is_ours || refusals.len() == LATE, "{refusals:?}");
        for id in 1..=3 {
            let client = ensemble.client(&[id]).await;
            client.sync("/").await.expect("it has a leader");
            let (_, stat) = client.get_data(&path).await.expect("it was made");
            assert_eq!(usize::try_from(stat.version), Ok(LATE), "on {id}");
        }
    }
    // Nobody fell: they are what they were.
    assert_eq!(mode(&ensemble, 2, &["leader"]).await, "leader");
    assert_eq!(figure(&ensemble, 1, "synced_observers").await, Some(1));
    drop(apaches);
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_too_late_through_a_follower_are_refused_when_apache_leads() {
    late_requests_are_refused(false, ErrorCode::BadArguments).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_come_too_late_through_a_follower_are_refused_when_ours_leads() {
    late_requests_are_refused(true, ErrorCode::SessionMoved).await;
}

/// Members that take observers while they follow, each at an address of its own.
fn observed(voters: i64, observers: i64) -> Ensemble {
    let mut ensemble = Ensemble::new(voters, observers);
    for server in ensemble.members.servers.values_mut() {
        server.addresses[0].host = support::own_host().to_string();
    }
    ensemble.particular = Some(Box::new(|_, config| {
        let ensemble = config.ensemble.as_mut().expect("it is one of several");
        ensemble.observer_master_port = Some(2700);
    }));
    ensemble.apaches_lines = Some(Box::new(|_| "observerMasterPort=2700\n".to_owned()));
    ensemble
}

/// Voters 1 and 2, of which the larger leads; observers 3, which is Apache's, and 4. What observers need of the leader they get
/// through the one follower, as each voter has an address of its own and the same port there.
async fn observers_at_a_follower(leader_is_ours: bool) {
    if apache::lib().is_none() {
        return;
    }
    let mut ensemble = observed(2, 2);
    let (follower, leader) = (1, 2);
    let mut apaches = BTreeMap::new();
    for id in 1..=4 {
        let ours = id == 4 || (id == leader) == leader_is_ours && id <= 2;
        match ours {
            true => ensemble.run(id).await,
            false => drop(apaches.insert(id, Apache::start(&ensemble, id))),
        }
        if id == leader {
            mode(&ensemble, leader, &["leader"]).await;
            // What it finds out about at once, and what it must catch up with.
            let client = ensemble.client(&[leader]).await;
            client.create("/early", b"", OPEN).await.expect("it is new");
            client.delete("/early", None).await.expect("it is there");
        }
    }
    for id in 3..=4 {
        mode(&ensemble, id, &["observer"]).await;
        assert_eq!(figure(&ensemble, id, "observer_master_id").await, Some(follower));
    }
    one_history(&ensemble, 4).await;
    assert_eq!(figure(&ensemble, leader, "synced_observers").await, Some(0));
    assert_eq!(figure(&ensemble, follower, "synced_observers").await, Some(2));
    // With the follower an observer loses its way, and finds it again; the history goes on.
    match leader_is_ours {
        true => drop(apaches.remove(&follower)),
        false => ensemble.halt(follower).await,
    }
    match leader_is_ours {
        true => drop(apaches.insert(follower, Apache::start(&ensemble, follower))),
        false => ensemble.run(follower).await,
    }
    let client = ensemble.client(&[leader]).await;
    client.create("/late", b"", OPEN).await.expect("two are a quorum");
    for id in 3..=4 {
        let client = ensemble.client(&[id]).await;
        client.sync("/").await.expect("it has a leader");
        assert!(client.check_stat("/late").await.expect("it is served").is_some(), "on {id}");
    }
    drop(apaches);
    ensemble.shutdown().await;
}

/// What the member says of itself by `mntr`.
async fn figure(ensemble: &Ensemble, id: i64, name: &str) -> Option<i64> {
    let addr = ensemble.client_addr(id);
    let said = tokio::task::spawn_blocking(move || word(addr, "mntr"));
    let said = said.await.expect("it does not panic").expect("it serves");
    let value = said.lines().find_map(|line| line.strip_prefix(&format!("zk_{name}\t")));
    value.map(|value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_learn_through_a_follower_of_ours() {
    observers_at_a_follower(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_learn_through_a_follower_of_apaches() {
    observers_at_a_follower(true).await;
}

/// So many requests come too late.
const LATE: usize = 50;
