//! The four-letter words of the client port.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use crate::MemberConfig;
use crate::conn::Conn;
use crate::shared::Shared;

/// The answer to a word; `None` when the bytes are none and so begin a frame.
pub(crate) fn answer(word: [u8; 4], shared: &Shared) -> Option<String> {
    let word = match &word {
        TELNET_CLOSE => "\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
        word => std::str::from_utf8(word).ok().filter(|word| WORDS.contains(word))?,
    };
    if !is_allowed(&shared.config, word) {
        return Some(format!("{word} is not executed because it is not in the whitelist.\n"));
    }
    Some(match word {
        "ruok" => "imok".to_owned(),
        "isro" => "rw".to_owned(),
        "srvr" => server(shared, None),
        "stat" => server(shared, Some(clients(shared))),
        "mntr" => monitor(shared),
        "conf" => configuration(shared),
        "envi" => environment(),
        "wchs" => watches(shared),
        "cons" => connections(shared),
        _ => format!("{word} has no answer yet.\n"),
    })
}

/// What `srvr` gives as its version: the release this server is compatible with.
const VERSION: &str = "3.9.4-troupe, built on 2025-01-01 00:00 UTC";
const TELNET_CLOSE: &[u8; 4] = b"\xff\xf4\xff\xfd";
const WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "ruok", "stmk", "srvr", "srst", "stat",
    "wchc", "wchp", "wchs", "mntr", "isro", "hash",
];

fn is_allowed(config: &MemberConfig, word: &str) -> bool {
    config.four_letter_words.iter().any(|allowed| allowed == "*" || allowed == word)
}

fn server(shared: &Shared, clients: Option<String>) -> String {
    let mut out = format!("Zookeeper version: {VERSION}\n");
    if let Some(clients) = clients {
        out.push_str("Clients:\n");
        out.push_str(&clients);
        out.push('\n');
    }
    let stats = &shared.stats;
    let latency = stats.latency();
    let nodes = shared.tree().node_count();
    put(
        &mut out,
        format_args!(
            "Latency min/avg/max: {}/{:?}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
             Outstanding: {}\nZxid: {}\nMode: standalone\nNode count: {nodes}\n",
            latency.min,
            latency.average,
            latency.max,
            stats.received.load(Relaxed),
            stats.sent.load(Relaxed),
            shared.watchers().conns().count(),
            stats.outstanding.load(Relaxed),
            shared.applied(),
        ),
    );
    out
}

fn monitor(shared: &Shared) -> String {
    let stats = &shared.stats;
    let latency = stats.latency();
    let (connections, watches) = {
        let watchers = shared.watchers();
        (watchers.conns().count(), watchers.watches.counts())
    };
    let (nodes, ephemerals, sessions) = {
        let tree = shared.tree();
        (tree.node_count(), tree.ephemeral_count(), tree.sessions().len())
    };
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        put(&mut out, format_args!("zk_{key}\t{value}\n"));
    };
    line("version", VERSION.to_owned());
    line("server_state", "standalone".to_owned());
    line("avg_latency", format!("{:?}", latency.average));
    line("max_latency", latency.max.to_string());
    line("min_latency", latency.min.to_string());
    line("packets_received", stats.received.load(Relaxed).to_string());
    line("packets_sent", stats.sent.load(Relaxed).to_string());
    line("num_alive_connections", connections.to_string());
    line("outstanding_requests", stats.outstanding.load(Relaxed).to_string());
    line("uptime", shared.now().as_millis().to_string());
    line("znode_count", nodes.to_string());
    line("watch_count", watches.all.to_string());
    line("ephemerals_count", ephemerals.to_string());
    line("global_sessions", sessions.to_string());
    line("local_sessions", "0".to_owned());
    line("open_file_descriptor_count", open_files().to_string());
    line("connection_rejected", stats.connections_rejected.load(Relaxed).to_string());
    line("stale_sessions_expired", stats.sessions_expired.load(Relaxed).to_string());
    line("large_requests_rejected", stats.oversize_requests.load(Relaxed).to_string());
    line("snapshots_written", stats.snapshots.load(Relaxed).to_string());
    line("writes_stopped_disk_full", stats.disk_full.load(Relaxed).to_string());
    out
}

fn configuration(shared: &Shared) -> String {
    let config = &shared.config;
    let (least, most) = config.session_timeouts();
    let data = config.data_dir.join("version-2");
    let log = config.data_log_dir.as_ref().unwrap_or(&config.data_dir).join("version-2");
    format!(
        "clientPort={}\nsecureClientPort=-1\ndataDir={}\ndataDirSize={}\ndataLogDir={}\n\
         dataLogSize={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={least}\n\
         maxSessionTimeout={most}\nclientPortListenBacklog=-1\nserverId={}\n",
        shared.client_addr.get().map_or(-1, |addr| i32::from(addr.port())),
        data.display(),
        size_of(&data, "snapshot."),
        log.display(),
        size_of(&log, "log."),
        config.tick_time.as_millis(),
        config.max_client_connections,
        config.myid,
    )
}

fn environment() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "Environment:\nzookeeper.version={VERSION}\nhost.name={}\nos.name={}\nos.arch={}\n\
         os.version={}\n",
        host.trim(),
        std::env::consts::OS,
        std::env::consts::ARCH,
        release.trim(),
    )
}

fn watches(shared: &Shared) -> String {
    let counts = shared.watchers().watches.counts();
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        counts.watchers, counts.paths, counts.data
    )
}

fn clients(shared: &Shared) -> String {
    each_connection(shared, |_, _| String::new())
}

fn connections(shared: &Shared) -> String {
    let mut out = each_connection(shared, |conn, now| {
        let inner = conn.lock();
        if inner.session.0 == 0 {
            return String::new();
        }
        let idle = now - conn.heard();
        format!(",sid={},to={},idle={}", inner.session, inner.timeout_ms, idle.as_millis())
    });
    out.push('\n');
    out
}

fn each_connection(shared: &Shared, more: impl Fn(&Conn, types::Instant) -> String) -> String {
    let now = shared.now();
    let conns: Vec<_> = shared.watchers().conns().cloned().collect();
    let mut out = String::new();
    for conn in conns {
        let queued = conn.lock().backlog().waiting;
        put(
            &mut out,
            format_args!(
                " /{}[1](queued={queued},recved={},sent={}{})\n",
                conn.remote,
                conn.received.load(Relaxed),
                conn.sent.load(Relaxed),
                more(&conn, now),
            ),
        );
    }
    out
}

/// Bytes of the files whose names begin so; what cannot be read counts as none.
fn size_of(dir: &std::path::Path, prefix: &str) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("strings grow");
}
