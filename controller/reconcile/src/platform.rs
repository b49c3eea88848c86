//! What reconcilers ask of the place where parts run.
//!
//! Lives here: the wishes (members, masters, agents), what is told of each part, and [`Platform`].
//! Must not: processes or pods. Every call says the whole wish, may be repeated, and changes only what
//! differs; a change that happens by itself (an exit, a pod that became ready) comes by
//! [`Platform::changes`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// A boxed future, so that the trait can be used behind a pointer.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where members, masters and agents run.
pub trait Platform: Send + Sync + 'static {
    /// The wishes of the last [`Platform::members`], by id. They outlive the controller and, with data that is
    /// kept, the Ensemble. A platform that has its members from elsewhere knows none.
    fn wished<'a>(&'a self, owner: &'a Owner) -> Wait<'a, Result<Vec<MemberWish>, PlatformError>>;
    /// Brings an ensemble's members to the wish, all at once, and tells of each: one whose wish differs from
    /// the one it was started with is ended in order and started again.
    fn members<'a>(&'a self, want: &'a Members) -> Wait<'a, Result<Vec<Part>, PlatformError>>;
    /// Brings a pool's masters to the wish and tells of each.
    fn masters<'a>(&'a self, want: &'a Masters) -> Wait<'a, Result<Vec<Part>, PlatformError>>;
    /// Brings a pool's agents to the wish and tells of each; tasks of agents that go are stopped.
    fn agents<'a>(&'a self, want: &'a Agents) -> Wait<'a, Result<Vec<Part>, PlatformError>>;
    /// Ends all parts of one sort that an owner has. `false`: some are still ending, and a change will
    /// come. Parts that were never there are gone already.
    fn remove<'a>(
        &'a self,
        owner: &'a Owner,
        sort: Sort,
        data: DataFate,
    ) -> Wait<'a, Result<bool, PlatformError>>;
    /// Whether parts are pods, so that wishes about pods, volumes and placement have an effect.
    fn has_pods(&self) -> bool;
    /// Owners whose parts changed by themselves.
    fn changes(&self) -> broadcast::Receiver<Owner>;
}

/// A sort of part.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Sort {
    /// A member of an ensemble.
    Member,
    /// A master of a pool.
    Master,
    /// An agent of a pool.
    Agent,
}

impl Sort {
    /// The word for it, which is also the verb of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Master => "master",
            Self::Agent => "agent",
        }
    }
}

/// The Ensemble or ResourcePool that parts belong to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a namesake created later is somebody else.
    pub uid: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What happens to the files of parts that go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DataFate {
    /// They stay.
    Keep,
    /// They go too.
    Delete,
}

/// The members of an ensemble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Members {
    /// The Ensemble.
    pub owner: Owner,
    /// Each of them, by id.
    pub members: Vec<MemberWish>,
    /// Files that they are given to read, by the names that wishes have for them. What no wish names is removed.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Where members listen for each other: member N on port + N - 1. Chosen and kept if not given.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerPorts {
    /// For followers of the leader.
    pub quorum: Option<u16>,
    /// For the election.
    pub election: Option<u16>,
}

/// What one member is started with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MemberWish {
    /// Its `myid`.
    pub id: i32,
    /// Whom it counts; itself too, unless it observes.
    pub membership: Membership,
    /// What else it is started with.
    pub settings: Box<Settings>,
    /// Counts its beginnings: with another number it begins with nothing.
    pub data: u64,
    /// Another number restarts it, and nothing else.
    pub again: u64,
}

/// Who votes, as a member is told. Two that follow each other differ by one voter, so that a majority of one
/// shares a member with every majority of the other.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Membership {
    /// Counts the changes.
    pub version: u64,
    /// The voters' ids.
    pub voters: BTreeSet<i32>,
    /// Whether there are observers, so that even a voter alone listens for others.
    #[serde(default)]
    pub observed: bool,
    /// The members that the ensemble itself keeps and changes, by what follows `server.N=`, but for this one: as they were
    /// when this one was told. `None`: `voters` are all there are, and each is told when they change.
    #[serde(default)]
    pub others: Option<BTreeMap<i32, String>>,
    /// Where they are found. It stays: members that were told different ports would not find each other.
    pub ports: PeerPorts,
}

/// What a member is started with beside its membership.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Settings {
    /// Keys of `zoo.cfg`, but for folders and addresses, which are the platform's.
    pub config: Vec<(String, String)>,
    /// Keys whose values are paths of [`Members::files`], with the files' names.
    #[serde(default)]
    pub files: Vec<(String, String)>,
    /// Where clients are listened for: member N on port + N - 1. Chosen and kept if not given.
    pub client_port: Option<u16>,
    /// Where clients that speak TLS are listened for, if anywhere.
    #[serde(default)]
    pub secure_port: Option<PortWish>,
    /// Where commands are taken over HTTP, if anywhere: member N on port + N - 1.
    #[serde(default)]
    pub admin_port: Option<u16>,
    /// Where figures are told to Prometheus, if anywhere: member N on port + N - 1.
    #[serde(default)]
    pub metrics_port: Option<u16>,
    /// The file with users and passwords, of clients and of members.
    #[serde(default)]
    pub jaas: Option<String>,
    /// Between members.
    #[serde(default)]
    pub peers: PeerSecurity,
    /// When somebody asked for a restart.
    pub restarted_at: Option<String>,
}

/// A port of each member.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum PortWish {
    /// Chosen and kept.
    Chosen,
    /// Member N on port + N - 1.
    From(u16),
}

/// What members ask of each other. Members one rung apart understand each other, so all are brought up and down
/// rung by rung.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerSecurity {
    /// 0: none. 1: calls are taken with it and without. 2: others are called with it, too. 3: and are taken without it
    /// no more.
    pub tls: u8,
    /// Keys of `zoo.cfg` that TLS needs.
    pub tls_config: Vec<(String, String)>,
    /// The same, of files.
    pub tls_files: Vec<(String, String)>,
    /// 0: none. 1: callers may prove who they are. 2: this member does when it calls. 3: and callers must.
    pub sasl: u8,
    /// A digest of the user and password that it calls with.
    pub login: Option<String>,
    /// The same of all that it takes.
    pub logins: BTreeSet<String>,
}

/// The masters of a pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Masters {
    /// The ResourcePool.
    pub owner: Owner,
    /// How many; numbers count from 0.
    pub count: i32,
    /// Where the first listens; chosen and kept if not given.
    pub port: Option<u16>,
    /// The ensemble and the pool's folder in it: `zk://host:port,…/path`.
    pub zk: String,
    /// A change of this restarts them.
    pub restarted_at: Option<String>,
}

/// The agents of a pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agents {
    /// The ResourcePool.
    pub owner: Owner,
    /// Each of them.
    pub agents: Vec<AgentWish>,
    /// How they find the leading master.
    pub detector: String,
    /// How tasks are kept apart.
    pub isolation: crds::Isolation,
    /// A change of this restarts them; their tasks stay.
    pub restarted_at: Option<String>,
}

/// One agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentWish {
    /// Its number, from 0.
    pub ordinal: i32,
    /// The name of its Agent object, which is also the host name that frameworks see.
    pub name: String,
    /// What it offers, as Mesos writes it: `cpus:1;mem:512;disk:1024;ports:[31000-31099]`.
    pub resources: String,
    /// Its attributes, as Mesos writes them: `rack:r1;zone:a`.
    pub attributes: String,
}

/// What is known of one part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// A member's id (from 1), a master's or an agent's number (from 0).
    pub number: i32,
    /// `host:port` that clients reach it at, if it has one.
    pub endpoint: Option<String>,
    /// The same for clients that speak TLS.
    pub secure_endpoint: Option<String>,
    /// What follows `server.N=` where a member is found by others.
    pub line: Option<String>,
    /// Its process, where the platform has processes.
    pub pid: Option<i32>,
    /// Times that it was started again after it ended by itself.
    pub restarts: i32,
    /// How it is.
    pub state: PartState,
}

/// How a part is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PartState {
    /// It runs; whether it serves is for others to ask.
    Running,
    /// It is about to run.
    Starting,
    /// It is told to end.
    Ending,
    /// It is not ours to run.
    Elsewhere,
    /// Its process is there and does not run: a signal stopped it.
    Suspended,
    /// It had data before and finds none: it is not started, for it would vote as if it had never promised
    /// anything.
    DataLost {
        /// Where the data should be.
        path: String,
    },
    /// It ended by itself and will be started again.
    Failed {
        /// Why, and where to read more.
        why: String,
    },
    /// It cannot start, because its port belongs to somebody else.
    PortInUse {
        /// The port.
        port: u16,
        /// Who has it, if it can be told.
        holder: Option<String>,
        /// Whether the spec says this very port.
        declared: bool,
    },
}

/// Why the platform could not carry out a wish.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// A file.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// An object of the cluster.
    #[error("{what} {object}: {source}")]
    Api {
        /// What was tried.
        what: &'static str,
        /// With which object.
        object: String,
        /// What the API answered.
        source: Box<kube::Error>,
    },
    /// No port is free.
    #[error("no free port between {from} and {to}; end a process that has one, or declare a port")]
    NoPort {
        /// The first that was tried.
        from: u16,
        /// The last that was tried.
        to: u16,
    },
    /// Ports count on beyond the last.
    #[error("port {port} + {number} is beyond 65535; declare a lower port")]
    PortBeyond {
        /// The declared port.
        port: u16,
        /// The part's place.
        number: i32,
    },
    /// The platform is ending.
    #[error("the controller is ending")]
    Ending,
}
