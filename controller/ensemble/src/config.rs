//! What a member must know before it starts.
//!
//! Lives here: the parsed configuration and its defaults. Must not: read files (see `zoo_cfg`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{AdminConfig, EnsembleConfig, SaslConfig, TlsConfig};
use storage::{Compression, Retention};
use types::PeerId;
use znodes::{DigestAlgorithm, ReaperConfig, Rules};

/// Everything a member needs to start. [`MemberConfig::in_process`] gives the defaults of our own
/// ensembles.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// The number of this member; its low 8 bits are the top byte of the session ids it makes.
    pub myid: PeerId,
    /// Snapshots, epoch files and `myid` are kept in and under it.
    pub data_dir: PathBuf,
    /// The transaction log is kept under it; `None` means under `data_dir`.
    pub data_log_dir: Option<PathBuf>,
    /// Where clients connect; port 0 takes a free one. `None`: no client port, only [`crate::Local`].
    pub client_addr: Option<SocketAddr>,
    /// The base of all timing; sessions expire at multiples of it.
    pub tick_time: Duration,
    /// The shortest session timeout granted; `None` is two ticks.
    pub min_session_timeout: Option<Duration>,
    /// The longest session timeout granted; `None` is twenty ticks.
    pub max_session_timeout: Option<Duration>,
    /// The longest request accepted, in bytes (`jute.maxbuffer`).
    pub max_request_bytes: usize,
    /// Connections allowed from one address; 0 is no limit.
    pub max_client_connections: usize,
    /// Connections allowed in all; 0 is no limit.
    pub max_connections: usize,
    /// Clients that may connect within a time.
    pub connection_tokens: ConnectionTokens,
    /// How much long requests may take together; `None`: no request counts as long.
    pub large_requests: Option<LargeRequests>,
    /// How many requests may be in process.
    pub request_throttle: RequestThrottle,
    /// While more writes than this are on their way, connections that wait for an answer are not read.
    pub outstanding_limit: u64,
    /// Everybody may do everything.
    pub skip_acl: bool,
    /// Watches that one connection may have; a request for more is refused.
    pub max_watches: usize,
    /// The four-letter words that are answered; `*` answers all.
    pub four_letter_words: Vec<String>,
    /// The digest id that is above all ACLs, `super:<hash>`; `None` for nobody.
    pub super_digest: Option<String>,
    /// How passwords are hashed for digest ids.
    pub digest_algorithm: DigestAlgorithm,
    /// Znodes with a time to live, quotas, changes of the members: what is allowed.
    pub rules: Rules,
    /// How often containers and times to live are looked at, and how fast they may go.
    pub reaper: ReaperConfig,
    /// A snapshot is taken after so many transactions.
    pub snap_count: u32,
    /// And after so many bytes of log; `None`: no matter how many.
    pub snap_log_bytes: Option<u64>,
    /// Whether a log without any snapshot is read from its beginning (`snapshot.trust.empty`); otherwise it
    /// is refused, for it can be what is left of more.
    pub trust_empty: bool,
    /// A log file grows by steps of so many bytes.
    pub prealloc_bytes: u64,
    /// What is kept of snapshots and logs; what is older is deleted.
    pub retention: Retention,
    /// How snapshots are written; all forms are read.
    pub snapshot_compression: Compression,
    /// Where commands are taken over HTTP; `None`: nowhere.
    pub admin: Option<AdminConfig>,
    /// Where Prometheus finds `/metrics`; `None`: nowhere.
    pub prometheus: Option<SocketAddr>,
    /// How clients may speak TLS; `None`: not at all.
    pub tls: Option<TlsConfig>,
    /// Who may authenticate by SASL; `None`: nobody.
    pub sasl: Option<SaslConfig>,
    /// Whether a client whose SASL proof fails may go on as if it had not tried.
    pub sasl_failed_stay: bool,
    /// A client must have proven an id of one of these schemes before it asks for anything; none: it
    /// need not.
    pub required_schemes: Vec<String>,
    /// Whether every change that a client asks for is told to the log's target `audit`.
    pub audit: bool,
    /// The ensemble it is a member of; `None`: it stands alone.
    pub ensemble: Option<EnsembleConfig>,
    /// The file it is from, without its secrets, for whoever asks; empty when it is from none.
    pub told_text: Arc<str>,
    /// Whether a commit waits for the disk; `false` loses acknowledged writes at a power cut.
    pub force_sync: bool,
}

/// How many clients may connect within a time; whoever comes when none may is let go and tries again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnectionTokens {
    /// So many at once; 0 is no limit.
    pub most: u32,
    /// After so long,
    pub fill_time: Duration,
    /// so many more.
    pub fill_count: u32,
    /// What a connection takes by its session, where `most` and `fill_count` are of new sessions; `None`: one token.
    pub weights: Option<ConnectionWeights>,
    /// Whether some are let go by chance while there are too many; `None`: only tokens decide.
    pub drops: Option<ConnectionDrops>,
}

impl Default for ConnectionTokens {
    fn default() -> Self {
        let fill_time = Duration::from_millis(1);
        Self { most: 0, fill_time, fill_count: 1, weights: None, drops: None }
    }
}

/// How much long requests may take until they are answered; the connection of one that is too much is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LargeRequests {
    /// Those of more bytes than this are long.
    pub threshold: usize,
    /// The most bytes that they may have together.
    pub most: usize,
}

/// How many requests of clients may be in process; others wait for their turn. A request that comes to nothing ends its
/// connection, for later ones must not be done without it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestThrottle {
    /// So many at once; 0 is no limit.
    pub most: usize,
    /// When nothing has ended for so long, the one whose turn is next is looked at again.
    pub stall_time: Duration,
    /// Whether requests that wait and are stale come to nothing.
    pub drop_stale: bool,
    /// A request is stale when its connection has ended.
    pub stale_connection_check: bool,
    /// A request is stale when it has taken longer than the timeout of its session.
    pub stale_latency_check: bool,
    /// What has waited for longer is refused; `None`: nothing is.
    pub throttled_op_wait_time: Option<Duration>,
    /// How long a member that is to end goes on with what waits.
    pub shutdown_timeout: Duration,
}

impl Default for RequestThrottle {
    fn default() -> Self {
        Self {
            most: 0,
            stall_time: Duration::from_millis(100),
            drop_stale: true,
            stale_connection_check: true,
            stale_latency_check: false,
            throttled_op_wait_time: None,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// How many tokens a connection takes by its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionWeights {
    /// For a new session of the ensemble.
    pub global: u32,
    /// For a new session of this member alone.
    pub local: u32,
    /// For coming back to a session.
    pub renewed: u32,
}

impl Default for ConnectionWeights {
    fn default() -> Self {
        Self { global: 3, local: 1, renewed: 2 }
    }
}

/// How likely a connection is let go whether there are tokens or not: who connects a little later than the others
/// has the same chance then. Source: BLUE, as Apache's `BlueThrottle` has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnectionDrops {
    /// The probability stays for so long.
    pub freeze_time: Duration,
    /// By so much it rises when no token is left, to at most 1,
    pub increase: f64,
    /// and falls by so much, to at least 0,
    pub decrease: f64,
    /// when of the tokens no larger part than this is taken.
    pub decrease_ratio: f64,
}

impl Default for ConnectionDrops {
    fn default() -> Self {
        let freeze_time = Duration::ZERO;
        Self { freeze_time, increase: 0.02, decrease: 0.002, decrease_ratio: 0.0 }
    }
}

/// Something in a configuration file that has no effect, for a person to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning(pub String);

impl MemberConfig {
    /// One member that lives inside this process and has no client port.
    pub fn in_process(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            myid: PeerId(1),
            data_dir: data_dir.into(),
            data_log_dir: None,
            client_addr: None,
            tick_time: Duration::from_secs(2),
            min_session_timeout: None,
            max_session_timeout: None,
            max_request_bytes: DEFAULT_MAX_REQUEST,
            max_client_connections: 0,
            max_watches: 1_000_000,
            max_connections: 0,
            connection_tokens: ConnectionTokens::default(),
            large_requests: None,
            request_throttle: RequestThrottle::default(),
            outstanding_limit: 1000,
            skip_acl: false,
            four_letter_words: ["srvr", "ruok", "mntr"].map(String::from).to_vec(),
            super_digest: None,
            digest_algorithm: DigestAlgorithm::default(),
            rules: Rules::default(),
            reaper: ReaperConfig::default(),
            snap_count: 100_000,
            snap_log_bytes: Some(4 << 30),
            trust_empty: false,
            prealloc_bytes: 4 << 20,
            retention: Retention { snapshots: 3, bytes: None },
            snapshot_compression: Compression::None,
            admin: None,
            prometheus: None,
            tls: None,
            sasl: None,
            sasl_failed_stay: false,
            required_schemes: Vec::new(),
            audit: false,
            ensemble: None,
            told_text: "".into(),
            force_sync: true,
        }
    }

    /// The longest text or data believed in a record of the log or of a snapshot, in bytes.
    pub(crate) fn longest_record(&self) -> usize {
        self.max_request_bytes.saturating_mul(2).saturating_add(RECORD_SPARE)
    }

    /// The shortest and the longest session timeout granted, in milliseconds.
    pub(crate) fn session_timeouts(&self) -> (i32, i32) {
        let (least, most) = self.declared_timeouts();
        (least, most.max(least))
    }

    /// The same as they are declared: the longest may be below the shortest.
    pub(crate) fn declared_timeouts(&self) -> (i32, i32) {
        let ms = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let least =
            ms(self.min_session_timeout.unwrap_or_else(|| self.tick_time.saturating_mul(2)));
        let most =
            ms(self.max_session_timeout.unwrap_or_else(|| self.tick_time.saturating_mul(20)));
        (least, most)
    }
}

/// What a transaction may be longer than the request that made it, as Apache has it.
const RECORD_SPARE: usize = 1 << 20;
/// Apache's default of `jute.maxbuffer`.
pub(crate) const DEFAULT_MAX_REQUEST: usize = 0xf_ffff;
