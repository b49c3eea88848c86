//! A running member: started from its files, stopped in order.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{self, IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jute::{HostPort, Id, Members, ServerRole};
use storage::{DataDir, DirError, Epochs, LogEvent, LogThread, LogWriter};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use types::PeerId;
use zab::{Durable, Settings, Timing, Zab};
use znodes::access::{UNCHECKED, ip_id};
use znodes::{SessionIds, Sessions};

use crate::conn::Conn;
use crate::connection::{Connection, Security};
use crate::core::{Command, Core, audit, config_of, last_members, standing, voters_of};
use crate::load::{Found, LoadError, load, words};
use crate::mending::Desk;
use crate::metrics::{Stats, micros};
use crate::peers::{self, BoundPorts, EnsembleConfig, Limits, PeerSecurity, Peers, Tell};
use crate::quiet::{self, Quiet, Waking};
use crate::shared::Shared;
use crate::snapshots::Snapshots;
use crate::standing::{Role, View};
use crate::tls::{PeerTls, Tls};
use crate::{Local, MemberConfig, TlsError, admin};

/// A running member. Dropping it stops it without waiting; [`Member::shutdown`] waits for the end.
#[derive(Debug)]
pub struct Member {
    shared: Arc<Shared>,
    admin_addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    core: Option<JoinHandle<()>>,
    listeners: Vec<JoinHandle<()>>,
}

/// Why a member could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process uses the directory.
    #[error("data directory {} is in use by another member; stop that one or choose another directory", path.display())]
    DirInUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be made or opened.
    #[error("data directory {} cannot be used; check that it exists and is writable", path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is in the one of the directories where it would not be read.
    #[error(transparent)]
    Misplaced(DirError),
    /// A leader's snapshot could not be put in place of what is there.
    #[error("put the leader's snapshot in place")]
    Install(#[source] storage::TruncateError),
    /// The client port, or that of the admin commands or the metrics, is taken.
    #[error("address {addr} is in use; stop what listens there or choose another port")]
    AddrInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// One of the ports cannot be opened.
    #[error("address {addr} cannot be listened on")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The ports for peers cannot be opened.
    #[error(
        "{place}, the address for peers of this member, cannot be listened on; check its line server.N=…"
    )]
    ListenForPeers {
        /// As its line says.
        place: HostPort,
        /// The system's reason.
        source: io::Error,
    },
    /// Its own id is not among the members.
    #[error("the id of this member is {me}, and no member has it; give it another one, or add it")]
    NotAMember {
        /// Its id.
        me: PeerId,
    },
    /// The certificates cannot be used.
    #[error("TLS for clients")]
    Tls(#[from] TlsError),
    /// The certificates that members show each other cannot be used.
    #[error("TLS between members")]
    PeerTls(#[source] TlsError),
    /// The data cannot be loaded.
    #[error("load the data")]
    Load(#[from] LoadError),
    /// It cannot be told whether this member may vote.
    #[error("look for the mark of a member that must not vote")]
    Mark(#[source] io::Error),
    /// The system gives no thread.
    #[error("start the log thread")]
    Thread(#[source] io::Error),
    /// The system gives no descriptor that the sockets of idle clients could wait with.
    #[error("make what the sockets of idle clients wait with")]
    Quiet(#[source] io::Error),
    /// The epoch could not be made durable.
    #[error("begin to lead: {0}")]
    Lead(String),
}

/// Why a member ended by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct MemberFailed(pub String);

impl Member {
    /// Loads the data, opens the client port and serves. Returns when writes are taken or, on a full disk,
    /// when reads are: writes are then refused until there is room.
    pub async fn start(config: MemberConfig) -> Result<Self, StartError> {
        let audited = config.audit;
        let started = Self::try_start(config).await;
        if audited {
            audit::tell_server("serverStart", if started.is_ok() { "success" } else { "failure" });
        }
        started
    }

    async fn try_start(config: MemberConfig) -> Result<Self, StartError> {
        // The port first: one that is taken must leave the files as they are.
        let listener = match config.client_addr {
            Some(addr) => Some(listen(addr).await?),
            None => None,
        };
        let secure = match config.tls.as_ref().and_then(|tls| tls.secure_addr) {
            Some(addr) => Some(listen(addr).await?),
            None => None,
        };
        let unify = config.tls.as_ref().is_some_and(|tls| tls.unify);
        let security = if unify { Security::Either } else { Security::Plain };
        let tls = config.tls.clone().map(Tls::load).transpose()?;
        let peers_security = security_of(config.ensemble.as_ref())?;
        let admin = match &config.admin {
            Some(admin) => Some((listen(admin.addr).await?, admin.clone())),
            None => None,
        };
        let metrics = match config.prometheus {
            Some(addr) => Some(listen(addr).await?),
            None => None,
        };
        let ports = match &config.ensemble {
            Some(ensemble) => Some(bind_for_peers(ensemble, config.myid).await?),
            None => None,
        };
        let dirs = DataDir::open(&config.data_dir, config.data_log_dir.as_deref())?;
        let (limit, trust, rules) = (config.longest_record(), config.trust_empty, config.rules);
        let promises = config.ensemble.is_some();
        let loading = tokio::task::spawn_blocking(move || {
            let found = load(&dirs, limit, trust, rules).and_then(|found| {
                if promises {
                    Epochs::check(&dirs)?;
                }
                Ok(found)
            });
            (found, dirs)
        });
        let (found, dirs) = loading.await.map_err(|error| StartError::Lead(error.to_string()))?;
        let found = match found {
            // Others may have what is lost: the member asks them before it votes.
            Err(error) if config.ensemble.is_some() && error.is_damage() => {
                tracing::error!(error = words(&error), "damaged files: this member does not vote");
                Found::nothing(&error)
            }
            found => found?,
        };
        let (shared, core, ready) = assemble(config, tls, peers_security, found, dirs, ports)?;
        let mut failed = shared.failed.subscribe();
        // A member of an ensemble has started when others can reach it, whether it has a leader or not.
        if shared.config.ensemble.is_none() {
            let leads = tokio::select! {
                led = ready => led.is_ok(),
                _ = failed.changed() => false,
            };
            if !leads {
                shared.tell(Command::Stop);
                // Who is told that it did not start may start it again: the directories are free by then.
                if let Err(error) = core.await {
                    tracing::error!(%error, "the member's core did not end in order");
                }
                return Err(StartError::Lead(failure(&failed)));
            }
        }
        if let Some(listener) = &listener {
            let addr = listener.local_addr().map_err(StartError::Thread)?;
            shared.set_client_addr(Some(addr));
        }
        let mut member = Self {
            shared,
            admin_addr: None,
            metrics_addr: None,
            core: Some(core),
            listeners: Vec::new(),
        };
        if let Some(listener) = listener {
            let listener = apart(listener).map_err(StartError::Thread)?;
            let serve = accept(listener, security, Arc::clone(&member.shared));
            member.listeners.push(tokio::spawn(serve));
        }
        if let Some(listener) = secure {
            let addr = listener.local_addr().map_err(StartError::Thread)?;
            member.shared.secure_addr.get_or_init(|| addr);
            let listener = apart(listener).map_err(StartError::Thread)?;
            let serve = accept(listener, Security::Secure, Arc::clone(&member.shared));
            member.listeners.push(tokio::spawn(serve));
        }
        if let Some((listener, config)) = admin {
            member.admin_addr = listener.local_addr().ok();
            let serve = admin::serve(listener, config, Arc::clone(&member.shared));
            member.listeners.push(tokio::spawn(serve));
        }
        if let Some(listener) = metrics {
            member.metrics_addr = listener.local_addr().ok();
            let serve = admin::serve_metrics(listener, Arc::clone(&member.shared));
            member.listeners.push(tokio::spawn(serve));
        }
        Ok(member)
    }

    /// Where clients connect, with the port that was taken. A change of the members may move it.
    pub fn client_addr(&self) -> Option<SocketAddr> {
        self.shared.client_addr()
    }

    /// Where clients connect by TLS only, with the port that was taken.
    pub fn secure_addr(&self) -> Option<SocketAddr> {
        self.shared.secure_addr.get().copied()
    }

    /// Where commands are taken over HTTP, with the port that was taken.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// Where Prometheus finds `/metrics`, with the port that was taken.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The in-process door to this member.
    pub fn local(&self) -> Local {
        Local::new(Arc::clone(&self.shared))
    }

    /// Resolves when the member ends by itself, with the reason (a disk that fails, for example).
    pub async fn failed(&self) -> MemberFailed {
        let mut failed = self.shared.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(|| MemberFailed(String::new())),
            // The sender is in `shared`, which this member holds.
            Err(_) => std::future::pending().await,
        }
    }

    /// What it is, whom it follows and who follows it.
    pub fn view(&self) -> View {
        self.shared.standing.view()
    }

    /// Waits until clients are served; answers with what the member is then. For ever, when it cannot be.
    pub async fn serving(&self) -> Role {
        let mut role = self.shared.standing.watch();
        match role.wait_for(|role| role.serves()).await {
            Ok(role) => *role,
            // The sender is in `shared`, which this member holds.
            Err(_) => std::future::pending().await,
        }
    }

    /// Has another member lead, if this one does and another can at once; waits a little for it.
    async fn hand_over(&self) {
        if self.shared.standing.role() != Role::Leading {
            return;
        }
        let (reply, done) = oneshot::channel();
        self.shared.tell(Command::HandOver(reply));
        // Without it an election takes its place.
        let _ = tokio::time::timeout(HAND_OVER_TIME, done).await;
    }

    /// Has another member lead first, if this one does. Stops taking requests, finishes what the log was given, closes the connections, and ends. The
    /// directories are free when it returns.
    pub async fn shutdown(self) {
        self.hand_over().await;
        self.halt().await;
    }

    /// As [`Self::shutdown`], where the process ends next: the tree is left to the system, which takes its memory back at
    /// once. Freed znode by znode it would keep a processor from the next leader.
    pub async fn shutdown_with_process(self) {
        let shared = Arc::clone(&self.shared);
        self.shutdown().await;
        std::mem::forget(shared);
    }

    /// As [`Self::shutdown`], without a word to other members.
    pub async fn halt(mut self) {
        if self.shared.config.audit {
            audit::tell_server("serverStop", "invoked");
        }
        let listeners = std::mem::take(&mut self.listeners);
        listeners.iter().for_each(JoinHandle::abort);
        self.shared.throttle.drain().await;
        self.stop();
        for listener in listeners {
            // Cancelled; its port is free now.
            let _ = listener.await;
        }
        if let Some(core) = self.core.take()
            && let Err(error) = core.await
        {
            tracing::error!(%error, "the member's core did not end in order");
        }
    }

    fn stop(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.abort();
        }
        self.shared.tell(Command::Stop);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop();
    }
}

impl From<DirError> for StartError {
    fn from(error: DirError) -> Self {
        match error {
            DirError::InUse { path } => Self::DirInUse { path },
            DirError::Open { path, source } => Self::Dir { path, source },
            DirError::Install(error) => Self::Install(error),
            misplaced @ DirError::Misplaced { .. } => Self::Misplaced(misplaced),
        }
    }
}

type Assembled = (Arc<Shared>, JoinHandle<()>, oneshot::Receiver<()>);
type Made = (Core, oneshot::Receiver<()>, Waking);

/// Puts the parts together and sets the core to work; the receiver tells when it leads.
fn assemble(
    config: MemberConfig,
    tls: Option<Tls>,
    security: PeerSecurity,
    found: Found,
    dirs: DataDir,
    ports: Option<BoundPorts>,
) -> Result<Assembled, StartError> {
    let (commands, inbox) = mpsc::unbounded_channel();
    let tell = commands.clone();
    let peers = match (&config.ensemble, ports) {
        (Some(ensemble), Some(ports)) => {
            let desk = Desk::of(&dirs);
            Some(start_peers(&config, ensemble, ports, security, desk, commands.clone())?)
        }
        _ => None,
    };
    let (core, ready, waking) =
        make_core(config, tls, found, dirs, commands, peers, move |event| {
            // The core is gone only when the member ends.
            let _ = tell.send(Command::Log(event));
        })?;
    let shared = core.shared();
    waking.start(Arc::downgrade(&shared)).map_err(StartError::Quiet)?;
    Ok((shared, tokio::spawn(core.run(inbox)), ready))
}

/// A core that is stepped by hand and hears nothing from its log.
#[cfg(test)]
pub(crate) fn stopped_core(config: MemberConfig) -> Result<Core, StartError> {
    Ok(stopped_core_and_inbox(config)?.0)
}

/// The same, and what it is to be told.
#[cfg(test)]
pub(crate) fn stopped_core_and_inbox(
    config: MemberConfig,
) -> Result<(Core, mpsc::UnboundedReceiver<Command>), StartError> {
    let dirs = DataDir::open(&config.data_dir, None)?;
    let found = load(&dirs, config.max_request_bytes, config.trust_empty, config.rules)?;
    let (commands, inbox) = mpsc::unbounded_channel();
    Ok((make_core(config, None, found, dirs, commands, None, |_| {})?.0, inbox))
}

fn make_core(
    config: MemberConfig,
    tls: Option<Tls>,
    found: Found,
    dirs: DataDir,
    commands: mpsc::UnboundedSender<Command>,
    peers: Option<Peers>,
    tell: impl Fn(LogEvent) + Send + 'static,
) -> Result<Made, StartError> {
    let Found { state, durable, replayed, disagreed, snapshot_time, replay_time, damage } = found;
    let marked = config.ensemble.is_some()
        && storage::is_marked(dirs.snapshots()).map_err(StartError::Mark)?;
    let writer = LogWriter::new(dirs.logs(), config.prealloc_bytes, config.force_sync)
        .behind(durable.last_logged);
    // Damaged files are left as they are: how far the log went tells whoever mends it what is missing.
    if config.force_sync && damage.is_none() {
        storage::settle(&dirs, durable.last_logged).map_err(LoadError::Settle)?;
    }
    let log = LogThread::spawn(writer, dirs.snapshots(), tell).map_err(StartError::Thread)?;
    let me = config.myid;
    let mut config = config;
    // What is damaged does not tell.
    if let (Some(ensemble), None) = (&mut config.ensemble, &damage) {
        let kept = ensemble.next.take();
        ensemble.next = standing(&ensemble.members, kept, last_members(&state));
    }
    let zab = match &config.ensemble {
        Some(ensemble) => protocol(&config, &ensemble.members, ensemble.next.as_ref(), durable),
        None => Zab::new(Settings::alone(me), durable),
    };
    let sessions = Sessions::new(config.tick_time);
    let ids = SessionIds::new(me, RandomState::new().hash_one(0));
    let snapshots = Snapshots::new(&config, replayed, &dirs);
    let (quiet, waking) = Quiet::new().map_err(StartError::Quiet)?;
    let log_dir = dirs.logs().to_owned();
    let shared = Arc::new(Shared::new(config, tls, log_dir, state, quiet, commands));
    let stats = &shared.stats;
    stats.snapshot_load_time.record(micros(snapshot_time));
    stats.replay_time.record(micros(replay_time));
    stats.load_time.record(micros(snapshot_time + replay_time));
    stats.replayed.record(replayed.transactions.into());
    stats.digest_mismatches.store(u64::from(disagreed), Relaxed);
    let (led, ready) = oneshot::channel();
    let mut core = Core::new(shared, zab, sessions, ids, log, snapshots, dirs, led, peers);
    match damage {
        Some(damage) => core.begin_mending(damage),
        None => core.begin_filled(marked),
    }
    Ok((core, ready, waking))
}

/// The protocol among these members, of whom `next` may take the place, from what is durable on.
pub(crate) fn protocol(
    config: &MemberConfig,
    members: &Members,
    next: Option<&Members>,
    durable: Durable,
) -> Zab {
    let (me, tick) = (config.myid, config.tick_time);
    let limits =
        config.ensemble.as_ref().map(|ensemble| (ensemble.init_limit, ensemble.sync_limit));
    let (init, sync) = limits.unwrap_or((1, 1));
    let timing = Timing {
        tick,
        init_limit: tick * init.max(1),
        sync_limit: tick * sync.max(1),
        ..Timing::default()
    };
    let role = members.servers.get(&me).map(|server| server.role);
    let (voters, observer) = (voters_of(members), role == Some(ServerRole::Observer));
    let settings = Settings { voters, observer, timing, ..Settings::alone(me) };
    let zab = Zab::new(settings, durable);
    if !config.rules.reconfig {
        return zab;
    }
    let next = next.map(|next| Arc::new(config_of(next)));
    zab.reconfigurable(Arc::new(config_of(members)), next)
}

/// The member's own line, by which it listens.
fn own_server(ensemble: &EnsembleConfig, me: PeerId) -> Result<&jute::Server, StartError> {
    ensemble.members.servers.get(&me).ok_or(StartError::NotAMember { me })
}

/// What members must show each other.
fn security_of(ensemble: Option<&EnsembleConfig>) -> Result<PeerSecurity, StartError> {
    let tls = ensemble.and_then(|ensemble| ensemble.tls.clone());
    let tls = tls.map(PeerTls::load).transpose().map_err(StartError::PeerTls)?;
    let sasl = ensemble.and_then(|ensemble| ensemble.sasl.clone());
    Ok(PeerSecurity { tls: tls.map(Arc::new), sasl: sasl.map(Arc::new) })
}

async fn bind_for_peers(ensemble: &EnsembleConfig, me: PeerId) -> Result<BoundPorts, StartError> {
    let server = own_server(ensemble, me)?;
    let bound = peers::bind(ensemble, server).await;
    bound.map_err(|(place, source)| StartError::ListenForPeers { place, source })
}

fn start_peers(
    config: &MemberConfig,
    ensemble: &EnsembleConfig,
    ports: BoundPorts,
    security: PeerSecurity,
    desk: Desk,
    commands: mpsc::UnboundedSender<Command>,
) -> Result<Peers, StartError> {
    let record = config.longest_record();
    let limits = Limits {
        packet: record,
        record,
        unsent: MAX_UNSENT,
        introduction: config.tick_time * ensemble.init_limit.max(1),
        connect: ensemble.connect_timeout,
    };
    let tell = Tell::new(move |event| {
        // The core is gone only when the member ends.
        let _ = commands.send(Command::Peer(event));
    });
    let server = own_server(ensemble, config.myid)?;
    Ok(Peers::start(config.myid, ensemble.told(server), ports, limits, security, desk, tell))
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddrInUse { addr },
        _ => StartError::Listen { addr, source },
    })
}

/// A client port whose sockets the runtime does not know.
type ClientPort = AsyncFd<net::TcpListener>;

fn apart(listener: TcpListener) -> io::Result<ClientPort> {
    quiet::readable(listener.into_std()?)
}

fn accept_one(listener: &net::TcpListener) -> io::Result<(net::TcpStream, SocketAddr)> {
    let (stream, remote) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, remote))
}

async fn accept(mut listener: ClientPort, security: Security, shared: Arc<Shared>) {
    let mut recent: Option<(IpAddr, Arc<[Id]>)> = None;
    let mut moves = shared.client_moves.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.async_io(Interest::READABLE, accept_one) => accepted,
            Ok(()) = moves.changed(), if security != Security::Secure => {
                listener = move_to(listener, &mut moves, &shared).await;
                continue;
            }
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly: no file descriptors left. Others must close before it can succeed.
                tracing::warn!(error = words(&error), "client connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let limit = shared.config.max_client_connections;
        let conn = {
            let mut watchers = shared.watchers();
            let all = shared.config.max_connections;
            let from_one = limit > 0 && watchers.count_from(remote.ip()) >= limit;
            if from_one || all > 0 && watchers.count() >= all {
                drop(watchers);
                Stats::count(&shared.stats.connections_rejected);
                let (what, limit) =
                    if from_one { ("from this address", limit) } else { ("in all", all) };
                tracing::warn!(%remote, limit, "refused: too many connections {what}");
                continue;
            }
            // Clients of one host share what their address proves.
            let auth = match &recent {
                Some((address, auth)) if *address == remote.ip() => Arc::clone(auth),
                _ => {
                    let above = shared.config.skip_acl.then_some(UNCHECKED);
                    let auth: Arc<[Id]> =
                        std::iter::once(ip_id(remote.ip())).chain(above).collect();
                    recent = Some((remote.ip(), Arc::clone(&auth)));
                    auth
                }
            };
            watchers.add(|slot| Conn::new(slot, remote, auth, shared.now()))
        };
        // Replies are written whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        if let Err(error) = shared.quiet.add(&stream, conn.slot) {
            // Mostly: the system lets this user wait for no more sockets.
            tracing::warn!(error = words(&error), "client connection not accepted");
            shared.watchers().remove(conn.slot);
            continue;
        }
        tokio::spawn(Connection::new(stream, security, conn, Arc::clone(&shared)));
    }
}

/// Opens the client port elsewhere; connections that there are stay.
async fn move_to(
    listener: ClientPort,
    moves: &mut watch::Receiver<Option<SocketAddr>>,
    shared: &Shared,
) -> ClientPort {
    // The same port may be asked for at another address.
    drop(listener);
    loop {
        let addr = *moves.borrow_and_update();
        let addr = addr.or_else(|| shared.client_addr()).expect("it was open somewhere");
        match TcpListener::bind(addr).await.and_then(apart) {
            Ok(opened) => {
                tracing::info!(%addr, "client port moved");
                shared.set_client_addr(opened.get_ref().local_addr().ok());
                return opened;
            }
            Err(error) => {
                tracing::warn!(%addr, %error, "client port not moved yet; tried again");
                tokio::time::sleep(MOVE_PAUSE).await;
            }
        }
    }
}

fn failure(failed: &watch::Receiver<Option<MemberFailed>>) -> String {
    failed.borrow().as_ref().map_or_else(|| "the core has ended".to_owned(), |why| why.0.clone())
}

/// What may wait for one peer before it is given up, in bytes.
const MAX_UNSENT: usize = 128 << 20;
/// How long a leader that is to end waits for another one.
const HAND_OVER_TIME: std::time::Duration = std::time::Duration::from_secs(2);
/// How long a client port that cannot be opened yet is left.
const MOVE_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn damaged_files_are_left_as_they_are_for_whoever_mends_them() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = MemberConfig::in_process(dir.path().to_owned());
        let open = || DataDir::open(dir.path(), None).expect("nobody else is there");
        let found = || load(&open(), config.max_request_bytes, false, config.rules);
        found().expect("the directory is new");
        let last = types::Zxid::new(types::Epoch(1), 3);
        storage::settle(&open(), last).expect("it is writable");
        let damage = found().expect_err("what was flushed is lost");
        assert!(damage.is_damage(), "{damage}");
        let flushed = open().logs().join("troupe.flushed");
        let before = fs::read(&flushed).expect("it is there");
        let (commands, _) = mpsc::unbounded_channel();
        let core = make_core(config, None, Found::nothing(&damage), open(), commands, None, |_| {});
        drop(core.expect("it starts"));
        assert_eq!(fs::read(&flushed).expect("it is there"), before);
    }
}
