//! The four-letter words of the client port.
//!
//! Lives here: which words there are and the text of each answer. Must not: gather (`report`, `metrics`).
//! Start at [`answer`].

mod clients;
mod dump;

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use crate::MemberConfig;
use crate::metrics::{self, Number, Sizes, VERSION};
use crate::report;
use crate::shared::Shared;
use crate::standing::Role;

/// What the first bytes of a connection are.
pub(crate) enum Word {
    /// No word: they begin a frame.
    None,
    /// A word whose argument has not come yet.
    Wait,
    /// A word, answered.
    Answer(String),
}

/// The answer to a word, when `input` begins with one; its first four bytes are there.
pub(crate) fn answer(input: &[u8], shared: &Shared) -> Word {
    let Some(first) = input.first_chunk::<4>() else { return Word::Wait };
    let word = match first {
        TELNET_CLOSE => "telnet close",
        first => match std::str::from_utf8(first).ok().filter(|word| WORDS.contains(word)) {
            Some(word) => word,
            None => return Word::None,
        },
    };
    if !is_allowed(&shared.config, word) {
        let refusal = format!("{word} is not executed because it is not in the whitelist.\n");
        return Word::Answer(refusal);
    }
    let role = shared.standing.role();
    if !role.serves() && !SERVER_LESS.contains(&word) {
        let end = if word == "hash" { "" } else { "\n" };
        let mending = if word == "srvr" { mending(shared) } else { String::new() };
        return Word::Answer(format!("{NOT_SERVING}{end}{mending}"));
    }
    Word::Answer(match word {
        "ruok" => "imok".to_owned(),
        "isro" => match role {
            Role::Looking => "null",
            Role::ReadOnly => "ro",
            _ => "rw",
        }
        .to_owned(),
        "srvr" => server(shared, None) + &mending(shared),
        "stat" => server(shared, Some(clients::short(shared))),
        "mntr" => monitor(shared),
        "conf" => {
            let conf = lines("", &report::configuration(shared));
            let members = shared.members();
            let members = members.map(|members| format!("membership: \n{members}"));
            conf + &members.unwrap_or_default()
        }
        "envi" => lines("Environment:\n", &report::environment()),
        "wchs" => watches(shared),
        "wchp" => dump::watches_by_path(shared),
        "wchc" => dump::watches_by_session(shared),
        "cons" => clients::long(shared),
        "crst" => {
            report::reset_clients(shared);
            "Connection stats reset.\n".to_owned()
        }
        "srst" => {
            shared.stats.reset();
            "Server stats reset.\n".to_owned()
        }
        "dirs" => {
            let (snapshots, logs) = (report::snapshots(shared).1, report::logs(shared).1);
            format!("datadir_size: {snapshots}\nlogdir_size: {logs}\n")
        }
        "dump" => dump::sessions(shared),
        "hash" => dump::digests(shared),
        "gtmk" => shared.trace_mask.load(Relaxed).to_string(),
        "stmk" => match input[4..].first_chunk::<8>() {
            None => return Word::Wait,
            Some(mask) => {
                let mask = i64::from_be_bytes(*mask);
                shared.trace_mask.store(mask, Relaxed);
                mask.to_string()
            }
        },
        _ => return Word::None,
    })
}

/// Words that need no server behind the port.
const SERVER_LESS: &[&str] = &["ruok", "gtmk", "stmk", "envi", "isro"];
/// What every other word is answered while there is none.
pub(crate) const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";
const TELNET_CLOSE: &[u8; 4] = b"\xff\xf4\xff\xfd";
const WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "ruok", "stmk", "srvr", "srst", "stat",
    "wchc", "wchp", "wchs", "mntr", "isro", "hash",
];

fn is_allowed(config: &MemberConfig, word: &str) -> bool {
    // Apache's own scripts, and clients that look for a server, need these.
    let always = match word {
        "srvr" => true,
        "isro" => config.ensemble.as_ref().is_some_and(|ensemble| ensemble.read_only_mode),
        _ => false,
    };
    always || config.four_letter_words.iter().any(|allowed| allowed == "*" || allowed == word)
}

/// A line that Apache's has not, and only while files are damaged: it tells a controller what to tell people.
fn mending(shared: &Shared) -> String {
    let why = shared.standing.view().mending;
    why.map_or_else(String::new, |why| format!("Mending: {}\n", why.replace(['\r', '\n'], " ")))
}

fn server(shared: &Shared, clients: Option<String>) -> String {
    let mut out = format!("Zookeeper version: {VERSION}\n");
    let role = shared.standing.role();
    if role == Role::ReadOnly {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if let Some(clients) = clients {
        out.push_str("Clients:\n");
        out.push_str(&clients);
        out.push('\n');
    }
    let stats = &shared.stats;
    let latency = metrics::latency(stats);
    let nodes = shared.tree().node_count();
    put(
        &mut out,
        format_args!(
            "Latency min/avg/max: {}/{:?}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
             Outstanding: {}\nZxid: {}\nMode: {}\nNode count: {nodes}\n",
            latency.min,
            latency.average,
            latency.max,
            stats.received.load(Relaxed),
            stats.sent.load(Relaxed),
            shared.watchers().count(),
            stats.outstanding.load(Relaxed),
            shared.applied(),
            role.word(),
        ),
    );
    if role == Role::Leading {
        let Sizes { last, min, max } = &stats.proposal_sizes;
        let [last, min, max] = [last, min, max].map(|size| size.load(Relaxed));
        put(&mut out, format_args!("Proposal sizes last/min/max: {last}/{min}/{max}\n"));
    }
    out
}

fn monitor(shared: &Shared) -> String {
    let mut out = String::with_capacity(16 << 10);
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        put(&mut out, format_args!("zk_{key}\t{value}\n"));
    };
    line("version", &VERSION);
    let view = shared.standing.view();
    line("server_state", &view.role.word());
    if !view.phase.is_empty() {
        line("peer_state", &report::peer_state(&view));
    }
    report::each_of_ensemble(shared, &view, &mut |name, value| line(name, &value));
    metrics::each_number(shared, &mut |name, value| match value {
        Number::Whole(value) => line(name, &value),
        Number::Fraction(value) => line(name, &format_args!("{value:?}")),
    });
    out
}

fn watches(shared: &Shared) -> String {
    let tree = shared.tree();
    let counts = shared.watchers().watches.counts(&tree);
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        counts.watchers, counts.paths, counts.data
    )
}

fn lines(title: &str, pairs: &[(&str, String)]) -> String {
    let mut out = title.to_owned();
    for (key, value) in pairs {
        put(&mut out, format_args!("{key}={value}\n"));
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("strings grow");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnsembleConfig;

    #[test]
    fn what_scripts_and_clients_need_is_answered_whatever_the_list_says() {
        let mut config = MemberConfig::in_process("/d");
        config.four_letter_words = vec![String::new()];
        let allowed =
            |config: &MemberConfig| ["srvr", "isro", "ruok"].map(|word| is_allowed(config, word));
        assert_eq!(allowed(&config), [true, false, false]);
        let mut ensemble = EnsembleConfig::of(jute::Members::default());
        ensemble.read_only_mode = true;
        config.ensemble = Some(ensemble);
        assert_eq!(allowed(&config), [true, true, false]);
    }
}
