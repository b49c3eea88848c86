//! What the core, the connections and the in-process door share.
//!
//! Lives here: the tree and who is told of its changes. Lock order: tree, then a connection, then the
//! watchers or the followers. **Invariant:** none of them is held over IO or an `await`.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Acquire, Ordering::Release};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::Duration;

use bytes::Bytes;
use jute::{Members, OpCode};
use tokio::sync::{mpsc, watch};
use types::{Instant, Zxid};
use znodes::{Access, State, Watcher, Watches};

use crate::conn::Conn;
use crate::core::Command;
use crate::local::{Change, What};
use crate::long_replies::Refusals;
use crate::metrics::Stats;
use crate::quiet::Quiet;
use crate::standing::{Role, Standing};
use crate::throttle::{Throttle, is_stale};
use crate::tls::Tls;
use crate::{MemberConfig, MemberFailed};

/// One member's shared parts.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: MemberConfig,
    pub(crate) max_request_bytes: usize,
    pub(crate) access: Access,
    /// What secure connections use.
    pub(crate) tls: Option<Tls>,
    pub(crate) stats: Stats,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) standing: Standing,
    /// Where clients connect, once that is known.
    client_addr: Mutex<Option<SocketAddr>>,
    /// Where they are to connect from now on.
    pub(crate) client_moves: watch::Sender<Option<SocketAddr>>,
    /// Who is a member of its ensemble.
    members: Mutex<Option<Arc<Members>>>,
    /// The same for those that must use TLS.
    pub(crate) secure_addr: OnceLock<SocketAddr>,
    /// What `gtmk` and `stmk` tell and set; nothing is traced by it.
    pub(crate) trace_mask: AtomicI64,
    /// The tree's digest every so many transactions, for `hash`.
    digests: Mutex<VecDeque<(Zxid, i64)>>,
    /// Where the log is, for messages.
    pub(crate) log_dir: PathBuf,
    /// Why the member ended by itself.
    pub(crate) failed: watch::Sender<Option<MemberFailed>>,
    /// The newest snapshot taken, and when, in seconds since 1970.
    last_snapshot: Mutex<(Zxid, i64)>,
    /// Who could not take a long answer.
    pub(crate) refusals: Refusals,
    /// Held while a snapshot is written.
    snapshot: Mutex<()>,
    /// The sockets of idle clients.
    pub(crate) quiet: Quiet,
    tree: RwLock<State>,
    watchers: Mutex<Watchers>,
    followers: Mutex<Vec<Follower>>,
    /// What replies carry: the last transaction applied, or the start of the present epoch.
    applied: AtomicI64,
    core: mpsc::UnboundedSender<Command>,
    origin: std::time::Instant,
}

/// The znode watches and the connections that hold them.
#[derive(Debug)]
pub(crate) struct Watchers {
    pub(crate) watches: Watches,
    /// By [`Conn::slot`].
    conns: Vec<Option<Arc<Conn>>>,
    free: Vec<u32>,
    /// How many connections each address has.
    from: HashMap<IpAddr, u32>,
}

#[derive(Debug)]
struct Follower {
    /// Ends in "/".
    prefix: String,
    changes: mpsc::UnboundedSender<Change>,
}

impl Shared {
    pub(crate) fn new(
        config: MemberConfig,
        tls: Option<Tls>,
        log_dir: PathBuf,
        state: State,
        quiet: Quiet,
        core: mpsc::UnboundedSender<Command>,
    ) -> Self {
        let standing = Standing::new(match config.ensemble {
            Some(_) => Role::Looking,
            None => Role::Standalone,
        });
        let members = config.ensemble.as_ref().map(|ensemble| Arc::new(ensemble.members.clone()));
        Self {
            max_request_bytes: config.max_request_bytes,
            watchers: Mutex::new(Watchers {
                watches: no_watches(&config),
                conns: Vec::new(),
                free: Vec::new(),
                from: HashMap::new(),
            }),
            access: Access {
                super_digest: config.super_digest.clone(),
                digest_algorithm: config.digest_algorithm,
                no_digest_ids: config.rules.no_digest_ids,
            },
            tls,
            throttle: Arc::new(Throttle::new(&config)),
            config,
            stats: Stats::default(),
            standing,
            client_addr: Mutex::default(),
            client_moves: watch::Sender::new(None),
            members: Mutex::new(members),
            secure_addr: OnceLock::new(),
            trace_mask: AtomicI64::new(DEFAULT_TRACE_MASK),
            digests: Mutex::default(),
            log_dir,
            failed: watch::Sender::new(None),
            applied: AtomicI64::new(state.zxid().bits()),
            last_snapshot: Mutex::new((Zxid::ZERO, 0)),
            refusals: Refusals::default(),
            snapshot: Mutex::default(),
            quiet,
            tree: RwLock::new(state),
            followers: Mutex::default(),
            core,
            origin: std::time::Instant::now(),
        }
    }

    /// Where clients connect, once that is known.
    pub(crate) fn client_addr(&self) -> Option<SocketAddr> {
        *self.client_addr.lock().expect("only read and set")
    }

    pub(crate) fn set_client_addr(&self, addr: Option<SocketAddr>) {
        *self.client_addr.lock().expect("only read and set") = addr;
    }

    /// Who is a member of its ensemble; `None`: it stands alone.
    pub(crate) fn members(&self) -> Option<Arc<Members>> {
        self.members.lock().expect("only read and set").clone()
    }

    pub(crate) fn set_members(&self, members: Arc<Members>) {
        *self.members.lock().expect("only read and set") = Some(members);
    }

    /// Time by the member's clock.
    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// An instant of the member's clock for the runtime's timers.
    pub(crate) fn deadline(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin) + at.saturating_since(Instant::ZERO)
    }

    pub(crate) fn tree(&self) -> RwLockReadGuard<'_, State> {
        self.tree.read().expect("nobody panics while changing the tree")
    }

    /// Only the core writes.
    pub(crate) fn tree_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.tree.write().expect("nobody panics while changing the tree")
    }

    pub(crate) fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().expect("nobody panics while holding the watchers")
    }

    pub(crate) fn applied(&self) -> Zxid {
        Zxid::from_bits(self.applied.load(Acquire))
    }

    /// To be called while the tree is locked for writing, so that no reader sees one without the other.
    pub(crate) fn set_applied(&self, zxid: Zxid) {
        self.applied.store(zxid.bits(), Release);
    }

    /// Whether the answer to this read waits for the leader, which is another member.
    pub(crate) fn goes_through(&self, request: &jute::Request) -> bool {
        matches!(request, jute::Request::Sync { .. }) && self.standing.is_through()
    }

    /// A request was answered that late.
    pub(crate) fn count_stale(&self, op: OpCode, time: Duration, timeout_ms: i32) {
        if self.config.request_throttle.stale_latency_check
            && op != OpCode::CloseSession
            && is_stale(time, timeout_ms)
        {
            Stats::count(&self.stats.stale_replies);
        }
    }

    /// The tree is as of this transaction.
    pub(crate) fn applied_anew(&self, zxid: Zxid) {
        let _tree = self.tree_mut();
        self.set_applied(zxid);
    }

    /// Keeps the tree's digest when the zxid is one of those that are kept.
    pub(crate) fn keep_digest(&self, zxid: Zxid, digest: i64) {
        if zxid.counter().is_multiple_of(DIGEST_EVERY) {
            let mut digests = self.lock_digests();
            if digests.len() == DIGESTS {
                digests.pop_front();
            }
            digests.push_back((zxid, digest));
        }
    }

    /// The digests that were kept, oldest first.
    pub(crate) fn digests(&self) -> Vec<(Zxid, i64)> {
        self.lock_digests().iter().copied().collect()
    }

    fn lock_digests(&self) -> MutexGuard<'_, VecDeque<(Zxid, i64)>> {
        self.digests.lock().expect("nobody panics while holding the digests")
    }

    /// The newest snapshot taken since the start, and when, in seconds since 1970.
    pub(crate) fn last_snapshot(&self) -> (Zxid, i64) {
        *self.last_snapshot.lock().expect("nobody panics while holding two numbers")
    }

    pub(crate) fn set_last_snapshot(&self, zxid: Zxid, seconds: i64) {
        *self.last_snapshot.lock().expect("nobody panics while holding two numbers") =
            (zxid, seconds);
    }

    /// For whoever writes a snapshot; the one lock that is held over IO, by threads
    /// that do nothing else.
    pub(crate) fn one_snapshot(&self) -> MutexGuard<'_, ()> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree is another one: what followed or watched the old one ends.
    pub(crate) fn replace(&self, state: State) {
        let mut tree = self.tree_mut();
        self.lock_followers().clear();
        self.watchers().watches = no_watches(&self.config);
        *tree = state;
    }

    /// Hands something to the core. False when it has ended.
    pub(crate) fn tell(&self, command: Command) -> bool {
        self.core.send(command).is_ok()
    }

    /// A new follower of what is below `prefix`. To be called while the tree is locked.
    pub(crate) fn add_follower(&self, prefix: &str) -> mpsc::UnboundedReceiver<Change> {
        let (changes, receiver) = mpsc::unbounded_channel();
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        self.lock_followers().push(Follower { prefix, changes });
        receiver
    }

    /// Whether a change may concern a watch or a follower.
    pub(crate) fn is_anybody_told(&self) -> bool {
        self.watchers().watches.total() > 0 || !self.lock_followers().is_empty()
    }

    /// Tells the followers what a transaction changed. To be called while the tree is locked for writing.
    pub(crate) fn tell_followers(&self, zxid: Zxid, changes: &[znodes::Change]) {
        if changes.is_empty() {
            return;
        }
        self.lock_followers().retain(|follower| {
            let below = changes.iter().filter(|change| change.path.starts_with(&follower.prefix));
            for change in below {
                let path = change.path.to_string();
                let change = Change { zxid, path, what: what_changed(&change.what) };
                if follower.changes.send(change).is_err() {
                    return false;
                }
            }
            !follower.changes.is_closed()
        });
    }

    fn lock_followers(&self) -> MutexGuard<'_, Vec<Follower>> {
        self.followers.lock().expect("nobody panics while holding the followers")
    }
}

impl Watchers {
    /// Takes in a connection, made with the slot it is given.
    pub(crate) fn add(&mut self, make: impl FnOnce(u32) -> Conn) -> Arc<Conn> {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.conns.len() == self.conns.capacity() {
                // By less than doubling, as there may be very many.
                self.conns.reserve_exact(16 + self.conns.len() / 8);
            }
            self.conns.push(None);
            u32::try_from(self.conns.len() - 1).expect("file descriptors end long before")
        });
        let conn = Arc::new(make(slot));
        self.conns[slot as usize] = Some(Arc::clone(&conn));
        *self.from.entry(conn.remote.ip()).or_default() += 1;
        conn
    }

    /// Lets a connection go, with its watches.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.watches.drop_watcher(Watcher(slot));
        if let Some(conn) = self.conns[slot as usize].take() {
            let address = conn.remote.ip();
            let count = self.from.get(&address).map_or(0, |count| count - 1);
            match count {
                0 => drop(self.from.remove(&address)),
                count => drop(self.from.insert(address, count)),
            }
            self.free.push(slot);
        }
    }

    pub(crate) fn conn(&self, watcher: Watcher) -> Option<&Arc<Conn>> {
        self.conns.get(watcher.0 as usize)?.as_ref()
    }

    pub(crate) fn conns(&self) -> impl Iterator<Item = &Arc<Conn>> {
        self.conns.iter().flatten()
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    /// Connections from one address.
    pub(crate) fn count_from(&self, address: IpAddr) -> usize {
        self.from.get(&address).copied().unwrap_or(0) as usize
    }
}

/// Apache's.
const DEFAULT_TRACE_MASK: i64 = 306;
const DIGEST_EVERY: u32 = 128;
const DIGESTS: usize = 1024;

fn no_watches(config: &MemberConfig) -> Watches {
    Watches::new(RandomState::new().hash_one(0), config.max_watches)
}

fn what_changed(what: &znodes::What) -> What {
    let own = |data: &Option<Bytes>| data.as_ref().map_or_else(Bytes::new, Clone::clone);
    match what {
        znodes::What::Created { data, stat, .. } => What::Created { data: own(data), stat: *stat },
        znodes::What::DataSet { data, stat } => What::Set { data: own(data), stat: *stat },
        znodes::What::Deleted { .. } => What::Deleted,
    }
}
