//! What a member can tell of its clients and files, for the four-letter words and the admin port alike.
//!
//! Lives here: figures gathered under the locks' order (a connection is never locked while the watchers
//! are). Must not: format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use types::{Instant, SessionId};

use crate::MemberConfig;
use crate::conn::{Conn, Talk};
use crate::metrics::Sizes;
use crate::shared::Shared;
use crate::standing::{Learner, Role, View};

/// One connection at a moment.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) remote: std::net::SocketAddr,
    pub(crate) secure: bool,
    /// Requests that wait for their answer.
    pub(crate) queued: usize,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// 0: no session yet.
    pub(crate) session: SessionId,
    pub(crate) timeout_ms: i32,
    /// When its session's time will be up if nothing more is heard.
    pub(crate) expires: Instant,
    pub(crate) talk: Talk,
}

pub(crate) fn clients(shared: &Shared) -> Vec<Client> {
    let conns: Vec<_> = shared.watchers().conns().cloned().collect();
    conns.iter().map(|conn| client(shared, conn)).collect()
}

fn client(shared: &Shared, conn: &Conn) -> Client {
    let inner = conn.lock();
    let tick = u64::try_from(shared.config.tick_time.as_nanos()).unwrap_or(u64::MAX).max(1);
    let timeout = std::time::Duration::from_millis(u64::try_from(inner.timeout_ms).unwrap_or(0));
    let ticks = (conn.heard() + timeout).as_nanos() / tick;
    Client {
        remote: conn.remote,
        secure: conn.secure.load(Relaxed),
        queued: inner.backlog().waiting,
        received: conn.received.load(Relaxed),
        sent: inner.said.talk.sent,
        session: inner.session,
        timeout_ms: inner.timeout_ms,
        expires: Instant::from_nanos(ticks.saturating_add(1).saturating_mul(tick)),
        talk: inner.said.talk,
    }
}

/// Makes the figures of every connection begin anew.
pub(crate) fn reset_clients(shared: &Shared) {
    let conns: Vec<_> = shared.watchers().conns().cloned().collect();
    for conn in conns {
        conn.received.store(0, Relaxed);
        let mut inner = conn.lock();
        inner.said.talk = Talk::begun(inner.said.talk.since_ms);
    }
}

/// Each path that is watched for data or existence, with the sessions that do.
pub(crate) fn watches(shared: &Shared) -> BTreeMap<String, Vec<SessionId>> {
    let found: Vec<(String, Vec<Arc<Conn>>)> = {
        let tree = shared.tree();
        let watchers = shared.watchers();
        let mut found = Vec::new();
        watchers.watches.data_watches(&tree, |path, by| {
            let conns = by.iter().filter_map(|one| watchers.conn(*one)).cloned().collect();
            found.push((path.to_owned(), conns));
        });
        found
    };
    let session = |conn: &Arc<Conn>| conn.lock().session;
    found.into_iter().map(|(path, by)| (path, by.iter().map(session).collect())).collect()
}

/// The same by session.
pub(crate) fn watches_by_session(shared: &Shared) -> BTreeMap<SessionId, Vec<String>> {
    let mut by_session: BTreeMap<SessionId, Vec<String>> = BTreeMap::new();
    for (path, sessions) in watches(shared) {
        for session in sessions {
            by_session.entry(session).or_default().push(path.clone());
        }
    }
    by_session
}

/// The ephemerals of each session that has some.
pub(crate) fn ephemerals(shared: &Shared) -> BTreeMap<SessionId, Vec<String>> {
    let tree = shared.tree();
    let sessions: Vec<_> = tree.sessions().map(|(session, _)| session).collect();
    let of = |session| (session, tree.ephemerals(session).collect::<Vec<_>>());
    sessions.into_iter().map(of).filter(|(_, paths)| !paths.is_empty()).collect()
}

/// The number that it goes by: one that stands alone has none, as with Apache.
pub(crate) fn server_id(config: &MemberConfig) -> i64 {
    if config.ensemble.is_some() { config.myid.0 } else { 0 }
}

/// Where snapshots are, and their size in bytes.
pub(crate) fn snapshots(shared: &Shared) -> (PathBuf, u64) {
    let dir = shared.config.data_dir.join("version-2");
    let size = size_of(&dir, "snapshot.");
    (dir, size)
}

/// Where the log is, and its size in bytes.
pub(crate) fn logs(shared: &Shared) -> (PathBuf, u64) {
    let config = &shared.config;
    let dir = config.data_log_dir.as_ref().unwrap_or(&config.data_dir).join("version-2");
    let size = size_of(&dir, "log.");
    (dir, size)
}

/// Bytes of the files whose names begin so; what cannot be read counts as none.
fn size_of(dir: &Path, prefix: &str) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// The machine and the process, by Apache's keys; what only Java has is said to be none.
pub(crate) fn environment() -> Vec<(&'static str, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let memory = read("/proc/meminfo");
    let mb = |key: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        format!("{}MB", kib.unwrap_or(0) / 1024)
    };
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let dir = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    let mut found = vec![
        ("zookeeper.version", crate::metrics::VERSION.to_owned()),
        ("host.name", read("/proc/sys/kernel/hostname")),
    ];
    found.extend(
        ["java.version", "java.vendor", "java.home", "java.class.path", "java.library.path"]
            .map(|key| (key, "<NA>".to_owned())),
    );
    found.extend([
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", "<NA>".to_owned()),
        ("os.name", "Linux".to_owned()),
        ("os.arch", std::env::consts::ARCH.to_owned()),
        ("os.version", read("/proc/sys/kernel/osrelease")),
        ("user.name", var("USER")),
        ("user.home", var("HOME")),
        ("user.dir", dir),
        ("os.memory.free", mb("MemFree:")),
        ("os.memory.max", mb("MemTotal:")),
        ("os.memory.total", mb("MemTotal:")),
    ]);
    found
}

/// A member of an ensemble in Apache's words: `following - broadcast`.
pub(crate) fn peer_state(view: &View) -> String {
    let state = match view.role {
        Role::Leading => "leading",
        Role::Following => "following",
        Role::Observing => "observing",
        _ => "looking",
    };
    format!("{state} - {}", view.phase)
}

/// The figures that only a member of an ensemble has.
pub(crate) fn each_of_ensemble(shared: &Shared, view: &View, put: &mut dyn FnMut(&str, i64)) {
    let Some(members) = shared.members() else { return };
    if view.role == Role::Observing {
        put("observer_master_id", view.master.map_or(0, |master| master.0));
    }
    put("quorum_size", figure(members.voters().count()));
    if view.role == Role::Leading {
        let count = |of: &dyn Fn(&Learner) -> bool| {
            figure(view.learners.iter().filter(|learner| of(learner)).count())
        };
        put("learners", count(&|_| true));
        put("synced_followers", count(&|learner| learner.votes && learner.synced));
        put("synced_non_voting_followers", 0);
        put("synced_observers", count(&|learner| !learner.votes && learner.synced));
        put("pending_syncs", count(&|learner| !learner.synced));
        let Sizes { last, min, max } = &shared.stats.proposal_sizes;
        put("last_proposal_size", last.load(Relaxed));
        put("min_proposal_size", min.load(Relaxed));
        put("max_proposal_size", max.load(Relaxed));
    }
    let takes = shared.config.ensemble.as_ref().and_then(|ensemble| ensemble.observer_master_port);
    if view.role == Role::Following && takes.is_some() {
        let synced = view.learners.iter().filter(|one| one.synced).count();
        put("synced_observers", figure(synced));
    }
}

fn figure(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The member's configuration by the keys of `conf`.
pub(crate) fn configuration(shared: &Shared) -> Vec<(&'static str, String)> {
    let config = &shared.config;
    let (least, most) = config.session_timeouts();
    let (data, data_size) = snapshots(shared);
    let (log, log_size) = logs(shared);
    let port = |addr: Option<&std::net::SocketAddr>| {
        addr.map_or(-1, |addr| i32::from(addr.port())).to_string()
    };
    let mut found = vec![
        ("clientPort", port(shared.client_addr().as_ref())),
        ("secureClientPort", port(shared.secure_addr.get())),
        ("dataDir", data.display().to_string()),
        ("dataDirSize", data_size.to_string()),
        ("dataLogDir", log.display().to_string()),
        ("dataLogSize", log_size.to_string()),
        ("tickTime", config.tick_time.as_millis().to_string()),
        ("maxClientCnxns", config.max_client_connections.to_string()),
        ("minSessionTimeout", least.to_string()),
        ("maxSessionTimeout", most.to_string()),
        ("clientPortListenBacklog", "-1".to_owned()),
        ("serverId", server_id(config).to_string()),
    ];
    if let (Some(ensemble), Some(members)) = (&config.ensemble, shared.members()) {
        let server = members.servers.get(&config.myid);
        let address = server.and_then(|server| server.addresses.first());
        let port = |port: Option<u16>| port.map_or(-1, i32::from).to_string();
        let observes = server.is_some_and(|server| server.role == jute::ServerRole::Observer);
        found.extend([
            ("initLimit", ensemble.init_limit.to_string()),
            ("syncLimit", ensemble.sync_limit.to_string()),
            ("electionAlg", "3".to_owned()),
            ("electionPort", port(address.map(|one| one.election_port))),
            ("quorumPort", port(address.map(|one| one.quorum_port))),
            ("peerType", i32::from(observes).to_string()),
        ]);
    }
    found
}
