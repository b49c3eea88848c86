//! Ensembles of members in this process, on loopback addresses that no other test uses.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod raw;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use ensemble::{
    EnsembleConfig, HostPort, Member, MemberConfig, Members, Role, Server, ServerAddress,
    ServerRole,
};
use tempfile::TempDir;
use types::PeerId;
use zookeeper_client as zk;

pub(crate) const OPEN: &zk::CreateOptions<'static> =
    &zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
pub(crate) const EPHEMERAL: &zk::CreateOptions<'static> =
    &zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());

/// Members by id, some of which run.
pub(crate) struct Ensemble {
    pub(crate) dir: TempDir,
    pub(crate) members: Members,
    pub(crate) host: Ipv4Addr,
    pub(crate) running: BTreeMap<i64, Member>,
    pub(crate) tick: Duration,
    pub(crate) read_only_mode: bool,
    /// What is particular about each member of ours.
    pub(crate) particular: Option<Particular>,
    /// What is particular about each member of Apache's: lines of its file.
    pub(crate) apaches_lines: Option<Box<dyn Fn(i64) -> String>>,
    /// Flags of its JVM.
    pub(crate) apaches_flags: Vec<String>,
    /// Members may be changed, by everybody; each is told of them by a file of its own.
    pub(crate) reconfig: bool,
}

type Particular = Box<dyn Fn(i64, &mut MemberConfig)>;

pub(crate) type Tree = BTreeMap<String, (Vec<u8>, ensemble::Stat)>;

impl Ensemble {
    /// None of them runs yet.
    pub(crate) fn new(voters: i64, observers: i64) -> Self {
        // What members say is told beside a failure.
        let told = tracing_subscriber::fmt().with_test_writer().with_max_level(level());
        let _ = told.try_init();
        let host = own_host();
        let mut members = Members::default();
        for id in 1..=voters + observers {
            let offset = u16::try_from(id).expect("few");
            let address = ServerAddress {
                host: host.to_string(),
                quorum_port: 2800 + offset,
                election_port: 3800 + offset,
            };
            let role = if id > voters { ServerRole::Observer } else { ServerRole::Participant };
            let client = HostPort { host: host.to_string(), port: 2100 + offset };
            let server = Server { addresses: vec![address], role, client: Some(client) };
            members.servers.insert(PeerId(id), server);
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tick = Duration::from_secs(2);
        Self {
            dir,
            members,
            host,
            running: BTreeMap::new(),
            tick,
            read_only_mode: false,
            particular: None,
            apaches_lines: None,
            apaches_flags: Vec::new(),
            reconfig: false,
        }
    }

    /// A member's file, written once: who is a member by now is what it begins with.
    pub(crate) fn zoo_cfg(&self, id: i64) -> PathBuf {
        let file = self.dir.path().join(format!("zoo-{id}.cfg"));
        let more = if self.reconfig { "reconfigEnabled=true\nskipACL=yes\n" } else { "" };
        let apaches = self.apaches_lines.as_ref().map(|lines| lines(id)).unwrap_or_default();
        let text = format!(
            "tickTime={}\ninitLimit=10\nsyncLimit=5\ndataDir={}\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\npreAllocSize=256\n{more}{}\n{apaches}",
            self.tick.as_millis(),
            self.data_dir(id).display(),
            self.members.lines(),
        );
        if !file.exists() {
            std::fs::write(&file, text).expect("it is writable");
        }
        file
    }

    /// All of them run, and clients are served by each.
    pub(crate) async fn start(voters: i64, observers: i64) -> Self {
        let mut ensemble = Self::new(voters, observers);
        for id in 1..=voters + observers {
            ensemble.run(id).await;
        }
        ensemble.all_serve().await;
        ensemble
    }

    pub(crate) fn data_dir(&self, id: i64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) fn config(&self, id: i64) -> MemberConfig {
        if self.reconfig {
            let read = MemberConfig::from_zoo_cfg(&self.zoo_cfg(id), Some(PeerId(id)));
            return read.expect("the file is right").0;
        }
        let mut config = MemberConfig::in_process(self.data_dir(id));
        config.myid = PeerId(id);
        config.tick_time = self.tick;
        config.client_addr = Some(self.client_addr(id));
        config.prometheus = Some((Ipv4Addr::LOCALHOST, 0).into());
        config.four_letter_words = vec!["*".to_owned()];
        let mut ensemble = EnsembleConfig::of(self.members.clone());
        ensemble.read_only_mode = self.read_only_mode;
        config.ensemble = Some(ensemble);
        if let Some(particular) = &self.particular {
            particular(id, &mut config);
        }
        config
    }

    pub(crate) async fn run(&mut self, id: i64) {
        let member = Member::start(self.config(id)).await.expect("its ports and files are free");
        self.running.insert(id, member);
    }

    pub(crate) fn client_addr(&self, id: i64) -> SocketAddr {
        let client = self.members.servers[&PeerId(id)].client.as_ref().expect("it was set");
        SocketAddr::new(IpAddr::V4(self.host), client.port)
    }

    pub(crate) async fn all_serve(&self) {
        for member in self.running.values() {
            member.serving().await;
        }
    }

    /// Ends without a word to the others.
    pub(crate) async fn halt(&mut self, id: i64) {
        self.running.remove(&id).expect("it runs").halt().await;
    }

    pub(crate) fn leader(&self) -> i64 {
        let leads = |member: &&i64| self.running[*member].view().role == Role::Leading;
        *self.running.keys().find(leads).expect("somebody leads")
    }

    pub(crate) fn any_follower(&self) -> i64 {
        let leader = self.leader();
        *self.running.keys().find(|id| **id != leader).expect("there are several")
    }

    /// A client of these members.
    pub(crate) async fn client(&self, ids: &[i64]) -> zk::Client {
        let cluster: Vec<_> = ids.iter().map(|id| self.client_addr(*id).to_string()).collect();
        let connector = || zk::Client::connector().with_session_timeout(Duration::from_secs(30));
        loop {
            // A member that has just lost its leader closes whoever comes.
            if let Ok(client) = connector().connect(&cluster.join(",")).await {
                return client;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What a member has, once it has all that `like` has.
    pub(crate) async fn tree(&self, id: i64, like: i64) -> Tree {
        let wanted = self.running[&like].view().epoch;
        let zxid = self.running[&like].local().applied();
        let local = self.running[&id].local();
        while local.applied() < zxid {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(self.running[&id].view().epoch <= wanted);
        let (_, found, _) = local.follow("/");
        let found = found.into_iter().filter(|(path, _, _)| !path.starts_with("/zookeeper"));
        found.map(|(path, data, stat)| (path, (data.to_vec(), stat))).collect()
    }

    /// All that run have the same.
    pub(crate) async fn assert_alike(&self) -> Tree {
        let leader = self.leader();
        let expected = self.tree(leader, leader).await;
        for id in self.running.keys() {
            assert_eq!(self.tree(*id, leader).await, expected, "member {id}");
        }
        expected
    }

    pub(crate) async fn shutdown(mut self) {
        while let Some((_, member)) = self.running.pop_first() {
            member.halt().await;
        }
    }
}

/// The folder of Apache's jars, when there is one. Without, whoever asks does nothing unless `CI` is set.
pub(crate) fn zookeeper_lib() -> Option<PathBuf> {
    let lib = std::env::var_os("ZOOKEEPER_LIB").map(PathBuf::from);
    if lib.is_none() {
        assert!(std::env::var_os("CI").is_none(), "ZOOKEEPER_LIB is not set");
        eprintln!("LEFT OUT: ZOOKEEPER_LIB does not name a folder of Apache ZooKeeper's jars");
    }
    lib
}

/// `TROUPE_LOG=debug` and the like.
fn level() -> tracing_subscriber::filter::LevelFilter {
    let level = std::env::var("TROUPE_LOG").ok().and_then(|level| level.parse().ok());
    level.unwrap_or(tracing_subscriber::filter::LevelFilter::WARN)
}

/// An address of 127.0.0.0/8 of this process and this call.
pub(crate) fn own_host() -> Ipv4Addr {
    static CALLS: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let third = high.wrapping_mul(37) ^ CALLS.fetch_add(1, Relaxed);
    Ipv4Addr::new(127, 64 | (third >> 2), low, ((third & 3) << 6) | (1 + (high & 31)))
}
