//! The command lines and the `zoo.cfg` that the local platform passes on. The binary's verbs take
//! exactly these.
//!
//! - `troupe member --config <zoo.cfg>`
//! - `troupe master --addr 127.0.0.1:<port> --zk zk://host:port,…/<path> --work-dir <dir> --pool <namespace>/<name>`
//! - `troupe agent --addr 127.0.0.1:0 --master <detector> --work-dir <dir> --hostname <name>`
//!   `--resources <text> [--attributes <text>] --isolation auto|cgroups|processes --pool <namespace>.<name>`
//!
//! SIGTERM ends a part in order, an agent with its tasks; SIGUSR1 ends an agent and leaves its tasks.

use std::ffi::OsString;
use std::fmt::{Display, Write};
use std::path::Path;

use super::{Listens, Peer};
use crate::platform::{AgentWish, Agents, Masters, MemberWish, PeerSecurity};

pub(super) fn member(exe: &Path, config: &Path) -> Vec<OsString> {
    command(exe, "member", &[("--config", config.as_os_str().to_owned())])
}

pub(super) fn master(exe: &Path, want: &Masters, port: u16, work_dir: &Path) -> Vec<OsString> {
    let options = vec![
        ("--addr", format!("127.0.0.1:{port}").into()),
        ("--zk", want.zk.clone().into()),
        ("--work-dir", work_dir.as_os_str().to_owned()),
        ("--pool", format!("{}/{}", want.owner.namespace, want.owner.name).into()),
    ];
    command(exe, "master", &options)
}

pub(super) fn agent(exe: &Path, want: &Agents, wish: &AgentWish, work_dir: &Path) -> Vec<OsString> {
    let isolation = match want.isolation {
        crds::Isolation::Auto => "auto",
        crds::Isolation::Cgroups => "cgroups",
        crds::Isolation::Processes => "processes",
    };
    let mut options = vec![
        ("--addr", "127.0.0.1:0".into()),
        ("--master", want.detector.clone().into()),
        ("--work-dir", work_dir.as_os_str().to_owned()),
        ("--hostname", wish.name.clone().into()),
        ("--resources", wish.resources.clone().into()),
    ];
    if !wish.attributes.is_empty() {
        options.push(("--attributes", wish.attributes.clone().into()));
    }
    options.push(("--isolation", isolation.into()));
    // A name of one path segment: it becomes a directory of the cgroup tree.
    options.push(("--pool", format!("{}.{}", want.owner.namespace, want.owner.name).into()));
    command(exe, "agent", &options)
}

/// The text of `zoo.cfg` for one member that listens on loopback. `files`: the folder of those that it names.
pub(super) fn zoo_cfg(
    wish: &MemberWish,
    listens: &Listens,
    peers: &[Peer],
    data_dir: &Path,
    files: &Path,
) -> String {
    let settings = &wish.settings;
    let mut text = format!("dataDir={}\n", data_dir.display());
    let mut put = |key: &str, value: &dyn Display| {
        writeln!(text, "{key}={value}").expect("a String takes all");
    };
    put("clientPort", &listens.client);
    put("clientPortAddress", &LOOPBACK);
    if let Some(port) = listens.secure {
        put("secureClientPort", &port);
        put("secureClientPortAddress", &LOOPBACK);
    }
    if let Some(port) = listens.admin {
        put("admin.serverPort", &port);
        put("admin.serverAddress", &LOOPBACK);
    }
    if let Some(port) = listens.metrics {
        put("metricsProvider.className", &PROMETHEUS);
        put("metricsProvider.httpPort", &port);
        put("metricsProvider.httpHost", &LOOPBACK);
    }
    for (key, value) in &settings.config {
        put(key, value);
    }
    for (key, file) in &settings.files {
        put(key, &files.join(file).display());
    }
    if let Some(file) = &settings.jaas {
        put("java.security.auth.login.config", &files.join(file).display());
    }
    peer_security(&settings.peers, files, &mut put);
    let peers = if wish.membership.others.is_some() { &[] } else { peers };
    for Peer { id, quorum, election, votes } in peers {
        let role = if *votes { "participant" } else { "observer" };
        writeln!(text, "server.{id}=127.0.0.1:{quorum}:{election}:{role}")
            .expect("a String takes all");
    }
    if wish.membership.others.is_some() {
        text.push_str("reconfigEnabled=true\nstandaloneEnabled=false\n");
        return text;
    }
    if peers.len() == 1 {
        text.push_str("standaloneEnabled=false\n");
    }
    if peers.iter().any(|peer| peer.id == wish.id && !peer.votes) {
        text.push_str("peerType=observer\n");
    }
    text
}

/// As the rungs say: see [`PeerSecurity`].
fn peer_security(peers: &PeerSecurity, files: &Path, put: &mut impl FnMut(&str, &dyn Display)) {
    if peers.tls > 0 {
        put("sslQuorum", &(peers.tls > 1));
        put("portUnification", &(peers.tls < 3));
        for (key, value) in &peers.tls_config {
            put(key, value);
        }
        for (key, file) in &peers.tls_files {
            put(key, &files.join(file).display());
        }
    }
    if peers.sasl > 0 {
        put("quorum.auth.enableSasl", &true);
        put("quorum.auth.learnerRequireSasl", &(peers.sasl > 1));
        put("quorum.auth.serverRequireSasl", &(peers.sasl > 2));
    }
}

fn command(exe: &Path, verb: &str, options: &[(&str, OsString)]) -> Vec<OsString> {
    let mut argv = vec![exe.as_os_str().to_owned(), verb.into()];
    for (name, value) in options {
        argv.push((*name).into());
        argv.push(value.clone());
    }
    argv
}

const LOOPBACK: &str = "127.0.0.1";
const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
