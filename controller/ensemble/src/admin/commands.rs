//! The commands that answer with JSON: each a name, its other names, and what it gathers.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value as Json, json};

use crate::four_letter;
use crate::metrics::{self, Number, Sizes, VERSION};
use crate::report::{self, Client};
use crate::shared::Shared;
use crate::standing::Role;

/// A command: its names, the first one proper, and its answer.
struct Command {
    names: &'static [&'static str],
    run: fn(&Shared, &str) -> Json,
}

/// The page that lists the commands.
pub(super) fn index(base: &str) -> String {
    let mut names: Vec<_> = COMMANDS.iter().map(|command| command.names[0]).collect();
    names.extend(["restore", "snapshot"]);
    names.sort_unstable();
    names.iter().map(|name| format!("<a href=\"{base}/{name}\">{name}</a>\n<br/>\n")).collect()
}

/// A command's answer; an unknown one is answered with an error, as Apache does.
pub(super) fn run(shared: &Shared, name: &str, query: &str) -> Json {
    match COMMANDS.iter().find(|command| command.names.contains(&name)) {
        None => json!({ "command": name, "error": format!("Unknown command: {name}") }),
        Some(command)
            if !shared.standing.role().serves() && !SERVER_LESS.contains(&command.names[0]) =>
        {
            json!({ "command": command.names[0], "error": four_letter::NOT_SERVING })
        }
        Some(command) => {
            let mut answer = json!({ "command": command.names[0], "error": null });
            if let (Json::Object(answer), Json::Object(found)) =
                (&mut answer, (command.run)(shared, query))
            {
                answer.extend(found);
            }
            answer
        }
    }
}

/// Commands that need no running server.
const SERVER_LESS: &[&str] = &[
    "environment",
    "get_trace_mask",
    "set_trace_mask",
    "monitor",
    "system_properties",
    "zabstate",
];

const COMMANDS: &[Command] = &[
    Command { names: &["configuration", "conf", "config"], run: |shared, _| configuration(shared) },
    Command { names: &["connections", "cons"], run: |shared, _| connections(shared, true) },
    Command {
        names: &["connection_stat_reset", "crst"],
        run: |shared, _| {
            report::reset_clients(shared);
            json!({})
        },
    },
    Command {
        names: &["stat_reset", "srst"],
        run: |shared, _| {
            shared.stats.reset();
            json!({})
        },
    },
    Command {
        names: &["dirs"],
        run: |shared, _| {
            let (data, log) = (report::snapshots(shared).1, report::logs(shared).1);
            json!({ "datadir_size": data, "logdir_size": log })
        },
    },
    Command { names: &["dump"], run: |shared, _| dump(shared) },
    Command { names: &["environment", "env", "envi"], run: |_, _| environment() },
    Command {
        names: &["get_trace_mask", "gtmk"],
        run: |shared, _| json!({ "tracemask": shared.trace_mask.load(Relaxed) }),
    },
    Command { names: &["set_trace_mask", "stmk"], run: set_trace_mask },
    Command {
        names: &["hash"],
        run: |shared, _| {
            let one = |(zxid, digest): (types::Zxid, i64)| json!({ "zxid": zxid.bits(), "digest": digest, "digestVersion": 2 });
            json!({ "digests": shared.digests().into_iter().map(one).collect::<Vec<_>>() })
        },
    },
    Command {
        names: &["initial_configuration", "icfg"],
        run: |shared, _| json!({ "initial_configuration": *shared.config.told_text }),
    },
    Command {
        names: &["is_read_only", "isro"],
        run: |shared, _| json!({ "read_only": shared.standing.role() == Role::ReadOnly }),
    },
    Command {
        names: &["last_snapshot", "lsnp"],
        run: |shared, _| {
            let (zxid, seconds) = shared.last_snapshot();
            json!({ "zxid": format!("0x{:x}", zxid.bits()), "timestamp": seconds })
        },
    },
    Command { names: &["leader", "lead"], run: |shared, _| leader(shared) },
    Command { names: &["monitor", "mntr"], run: |shared, _| monitor(shared) },
    Command { names: &["observers", "obsr"], run: |shared, _| observers(shared) },
    Command { names: &["observer_connection_stat_reset", "orst"], run: |_, _| json!({}) },
    Command { names: &["ruok"], run: |_, _| json!({}) },
    Command { names: &["server_stats", "srvr"], run: |shared, _| server_stats(shared) },
    Command {
        names: &["stats", "stat"],
        run: |shared, _| merged(server_stats(shared), connections(shared, false)),
    },
    Command {
        names: &["system_properties", "sysp"],
        // What Java's are is in the configuration here.
        run: |_, _| json!({}),
    },
    Command { names: &["voting_view"], run: |shared, _| voting_view(shared) },
    Command {
        names: &["watches", "wchc"],
        run: |shared, _| {
            let all = report::watches_by_session(shared);
            let by: Map<_, _> = all
                .into_iter()
                .map(|(session, paths)| (session.to_string(), json!(paths)))
                .collect();
            json!({ "session_id_to_watched_paths": by })
        },
    },
    Command {
        names: &["watches_by_path", "wchp"],
        run: |shared, _| {
            let ids = |sessions: Vec<types::SessionId>| {
                sessions.iter().map(|session| session.0).collect::<Vec<_>>()
            };
            let all = report::watches(shared);
            let by: Map<_, _> = all.into_iter().map(|(path, by)| (path, json!(ids(by)))).collect();
            json!({ "path_to_session_ids": by })
        },
    },
    Command {
        names: &["watch_summary", "wchs"],
        run: |shared, _| {
            let tree = shared.tree();
            let counts = shared.watchers().watches.counts(&tree);
            json!({
                "num_connections": counts.watchers,
                "num_paths": counts.paths,
                "num_total_watches": counts.data,
            })
        },
    },
    Command { names: &["zabstate"], run: |shared, _| zab_state(shared) },
];

fn configuration(shared: &Shared) -> Json {
    let config = &shared.config;
    let (least, most) = config.session_timeouts();
    json!({
        "client_port": shared.client_addr().map_or(-1, |addr| i32::from(addr.port())),
        "data_dir": report::snapshots(shared).0.display().to_string(),
        "data_log_dir": report::logs(shared).0.display().to_string(),
        "tick_time": u64::try_from(config.tick_time.as_millis()).unwrap_or(u64::MAX),
        "max_client_cnxns": config.max_client_connections,
        "min_session_timeout": least,
        "max_session_timeout": most,
        "server_id": report::server_id(config),
        "client_port_listen_backlog": -1,
    })
}

fn connections(shared: &Shared, long: bool) -> Json {
    let (secure, plain): (Vec<_>, Vec<_>) =
        report::clients(shared).into_iter().partition(|client| client.secure);
    let list = |clients: Vec<Client>| {
        clients.iter().map(|client| connection(client, long)).collect::<Vec<_>>()
    };
    json!({ "connections": list(plain), "secure_connections": list(secure) })
}

fn connection(client: &Client, long: bool) -> Json {
    let short = json!({
        "remote_socket_address": client.remote.to_string(),
        "interest_ops": 1,
        "outstanding_requests": client.queued,
        "packets_received": client.received,
        "packets_sent": client.sent,
    });
    if !long {
        return short;
    }
    let talk = client.talk;
    let more = json!({
        "session_id": client.session.0,
        "last_operation": talk.last_word(),
        "established": talk.since_ms,
        "session_timeout": client.timeout_ms,
        "last_cxid": talk.last_cxid,
        "last_zxid": talk.last_zxid,
        "last_response_time": talk.last_response_ms,
        "last_latency": talk.last_latency_ms,
        "min_latency": talk.min_latency(),
        "avg_latency": talk.average_latency(),
        "max_latency": talk.max_latency_ms,
    });
    merged(short, more)
}

fn dump(shared: &Shared) -> Json {
    let mut expiry: Map<String, Json> = Map::new();
    for client in report::clients(shared).iter().filter(|client| client.session.0 != 0) {
        let at = client.expires.as_millis().to_string();
        if let Json::Array(sessions) = expiry.entry(at).or_insert_with(|| json!([])) {
            sessions.push(json!(client.session.0));
        }
    }
    let ephemerals = report::ephemerals(shared);
    let by: Map<_, _> = ephemerals
        .into_iter()
        .map(|(session, paths)| (session.0.to_string(), json!(paths)))
        .collect();
    json!({ "expiry_time_to_session_ids": expiry, "session_id_to_ephemeral_paths": by })
}

fn environment() -> Json {
    let pairs =
        report::environment().into_iter().map(|(key, value)| (key.to_owned(), json!(value)));
    Json::Object(pairs.collect())
}

fn set_trace_mask(shared: &Shared, query: &str) -> Json {
    let wanted = "setTraceMask requires long traceMask argument";
    let Some(mask) = query.split('&').find_map(|pair| pair.strip_prefix("traceMask=")) else {
        return json!({ "error": wanted });
    };
    match mask.parse() {
        Err(_) => json!({ "error": format!("{wanted}, got {mask}") }),
        Ok(mask) => {
            shared.trace_mask.store(mask, Relaxed);
            json!({ "tracemask": mask })
        }
    }
}

fn monitor(shared: &Shared) -> Json {
    let mut out = Map::new();
    out.insert("version".to_owned(), json!(VERSION));
    let view = shared.standing.view();
    out.insert("server_state".to_owned(), json!(view.role.word()));
    report::each_of_ensemble(shared, &view, &mut |name, value| {
        out.insert(name.to_owned(), json!(value));
    });
    metrics::each_number(shared, &mut |name, value| {
        let value = match value {
            Number::Whole(value) => json!(value),
            Number::Fraction(value) => json!(value),
        };
        out.insert(name.to_owned(), value);
    });
    Json::Object(out)
}

fn server_stats(shared: &Shared) -> Json {
    let stats = &shared.stats;
    let latency = metrics::latency(stats);
    let responses = sizes(&stats.responses);
    let all = json!({
        "version": VERSION,
        "read_only": shared.standing.role() == Role::ReadOnly,
        "server_stats": {
            "packets_sent": stats.sent.load(Relaxed),
            "packets_received": stats.received.load(Relaxed),
            "fsync_threshold_exceed_count": 0,
            "client_response_stats": responses,
            "provider_null": false,
            "data_dir_size": report::snapshots(shared).1,
            "log_dir_size": report::logs(shared).1,
            "last_processed_zxid": shared.applied().bits(),
            "outstanding_requests": stats.outstanding.load(Relaxed),
            "server_state": shared.standing.role().word(),
            "avg_latency": latency.average,
            "max_latency": latency.max,
            "min_latency": latency.min,
            "num_alive_client_connections": shared.watchers().count(),
            "uptime": shared.now().as_millis(),
            "auth_failed_count": stats.auth_failed.load(Relaxed),
            "non_mtlsremote_conn_count": 0,
            "non_mtlslocal_conn_count": 0,
        },
        "client_response": responses,
        "node_count": shared.tree().node_count(),
    });
    match shared.standing.role() {
        Role::Leading => merged(all, json!({ "proposal_stats": sizes(&stats.proposal_sizes) })),
        _ => all,
    }
}

fn sizes(sizes: &Sizes) -> Json {
    json!({
        "last_buffer_size": sizes.last.load(Relaxed),
        "min_buffer_size": sizes.min.load(Relaxed),
        "max_buffer_size": sizes.max.load(Relaxed),
    })
}

fn zab_state(shared: &Shared) -> Json {
    if shared.config.ensemble.is_none() {
        return json!({ "voting": false, "zabstate": "" });
    }
    let zxid = shared.applied();
    let view = shared.standing.view();
    let me = shared.config.myid;
    let members = shared.members();
    let address = members.as_ref().and_then(|members| members.servers.get(&me)?.addresses.first());
    let at = |port: fn(&jute::ServerAddress) -> u16| {
        address.map(|one| format!("{}:{}", one.host, port(one))).unwrap_or_default()
    };
    json!({
        "myid": me.0,
        "is_leader": view.role == Role::Leading,
        "quorum_address": at(|one| one.quorum_port),
        "election_address": at(|one| one.election_port),
        "client_address": shared.client_addr().as_ref().map(ToString::to_string).unwrap_or_default(),
        "voting": members.as_ref().is_some_and(|members| members.is_voter(me)),
        "last_zxid": format!("0x{:x}", zxid.bits()),
        "zab_epoch": zxid.epoch().0,
        "zab_counter": zxid.counter(),
        "zabstate": view.phase,
    })
}

fn leader(shared: &Shared) -> Json {
    let view = shared.standing.view();
    let Some(members) = shared.members() else {
        return json!({ "error": "server is not initialized" });
    };
    let server = view.leader.and_then(|leader| members.servers.get(&leader));
    let host = server.and_then(|server| server.addresses.first()).map(|one| &one.host);
    json!({
        "is_leader": view.role == Role::Leading,
        "leader_id": view.leader.map(|leader| leader.0),
        "leader_ip": host,
    })
}

fn observers(shared: &Shared) -> Json {
    let view = shared.standing.view();
    let observers = view.learners.iter().filter(|learner| !learner.votes && learner.synced);
    json!({ "synced_observers": observers.count(), "observers": [] })
}

fn voting_view(shared: &Shared) -> Json {
    let Some(members) = shared.members() else { return json!({ "current_config": {} }) };
    let voters = members.servers.iter().filter(|(peer, _)| members.is_voter(**peer));
    let voters = voters.map(|(peer, server)| {
        let at = |port: fn(&jute::ServerAddress) -> u16| -> Vec<String> {
            server.addresses.iter().map(|one| format!("{}:{}", one.host, port(one))).collect()
        };
        let view = json!({
            "server_addresses": at(|one| one.quorum_port),
            "election_addresses": at(|one| one.election_port),
            "client_address": server.client.as_ref().map(ToString::to_string).unwrap_or_default(),
            "learner_type": "PARTICIPANT",
        });
        (peer.to_string(), view)
    });
    json!({ "current_config": voters.collect::<Map<_, _>>() })
}

fn merged(mut one: Json, other: Json) -> Json {
    if let (Json::Object(one), Json::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}
