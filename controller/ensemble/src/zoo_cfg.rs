//! Apache's `zoo.cfg`: a properties file of Java's syntax.
//!
//! Lives here: its syntax and what each key means to a member. A key that has no effect is named in a
//! [`Warning`]; a value that cannot be meant is an error with the line.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use types::PeerId;

use crate::{MemberConfig, Warning};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It, or the `myid` file it leads to, cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key that a member cannot do without is not there.
    #[error("{}: {key} is missing; add a line {key}=…", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// A value that cannot be meant.
    #[error("{}: line {line}: {key}={value} is not {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
        /// As written.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// More than one server is named.
    #[error("{}: {count} servers are named, and members do not form ensembles of more than one yet; leave one server line, or none", path.display())]
    Ensemble {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

impl MemberConfig {
    /// Reads Apache's configuration file, and the `myid` file in its data directory if there is one.
    /// Keys without effect are named in the warnings.
    pub fn from_zoo_cfg(path: &Path) -> Result<(Self, Vec<Warning>), ConfigError> {
        let text =
            fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let (mut config, warnings) = parse(path, &String::from_utf8_lossy(&text))?;
        let myid = config.data_dir.join("myid");
        match fs::read_to_string(&myid) {
            Ok(text) => {
                let first = text.lines().next().unwrap_or_default().trim();
                config.myid = PeerId(first.parse().map_err(|_| ConfigError::Value {
                    path: myid,
                    line: 1,
                    key: "myid".to_owned(),
                    value: first.chars().take(40).collect(),
                    expected: "a number",
                })?);
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ConfigError::Read { path: myid, source }),
        }
        Ok((config, warnings))
    }
}

fn parse(path: &Path, text: &str) -> Result<(MemberConfig, Vec<Warning>), ConfigError> {
    let mut config = MemberConfig {
        max_client_connections: 60,
        tick_time: Duration::from_millis(3000),
        four_letter_words: vec!["srvr".to_owned()],
        prealloc_bytes: 64 << 20,
        ..MemberConfig::in_process(PathBuf::new())
    };
    let mut warnings = Vec::new();
    let mut port = None;
    let mut address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut servers = 0;
    for property in properties(text) {
        let Property { line, key, value } = &property;
        let wrong = |expected| ConfigError::Value {
            path: path.to_owned(),
            line: *line,
            key: key.clone(),
            value: value.clone(),
            expected,
        };
        match key.as_str() {
            "dataDir" => config.data_dir = value.into(),
            "dataLogDir" => config.data_log_dir = Some(value.into()),
            "clientPort" => port = Some(number::<u16>(value).ok_or_else(|| wrong(PORT))?),
            "clientPortAddress" => {
                address = value.parse().map_err(|_| wrong("an IP address"))?;
            }
            "tickTime" => config.tick_time = millis(value).ok_or_else(|| wrong(MILLIS))?,
            "minSessionTimeout" => config.min_session_timeout = optional_millis(&property, &wrong)?,
            "maxSessionTimeout" => config.max_session_timeout = optional_millis(&property, &wrong)?,
            "maxClientCnxns" => {
                config.max_client_connections =
                    number(value).ok_or_else(|| wrong("a number of connections, or 0"))?;
            }
            "4lw.commands.whitelist" => {
                config.four_letter_words =
                    value.split(',').map(|word| word.trim().to_owned()).collect();
            }
            "snapCount" => {
                config.snap_count =
                    number::<u32>(value).ok_or_else(|| wrong("a number of transactions"))?.max(2);
            }
            "preAllocSize" => {
                let kib = number::<u32>(value).ok_or_else(|| wrong("a number of KiB"))?;
                config.prealloc_bytes = u64::from(kib) << 10;
            }
            "autopurge.snapRetainCount" => {
                config.snapshots_retained =
                    number(value).ok_or_else(|| wrong("a number of snapshots"))?;
            }
            "DigestAuthenticationProvider.superDigest" => {
                config.super_digest = Some(value.clone());
            }
            "extendedTypesEnabled" => config.rules.extended_types = boolean(value),
            "enforceQuota" => config.rules.enforce_quota = boolean(value),
            "reconfigEnabled" => config.rules.reconfig = boolean(value),
            "forceSync" => config.force_sync = value != "no",
            "jute.maxbuffer" => {
                let bytes = integer(value).ok_or_else(|| wrong("a number of bytes"))?;
                config.max_request_bytes = bytes;
            }
            "electionAlg" if value != "3" => return Err(wrong("3, the only election there is")),
            // Meant for peers; a member alone has none.
            "initLimit" | "syncLimit" | "electionAlg" | "standaloneEnabled" => {}
            // Retention is always on.
            "autopurge.purgeInterval" => {}
            _ if key.starts_with("server.") => {
                servers += 1;
                if let Some((_, client)) = value.split_once(';') {
                    (address, port) = client_part(client, address)
                        .ok_or_else(|| wrong("host:port:port[:role][;[address:]port]"))?;
                }
            }
            _ if NOT_YET.contains(&key.as_str()) => warnings
                .push(Warning(format!("{}: line {line}: {key} has no effect yet", path.display()))),
            _ => warnings.push(Warning(format!(
                "{}: line {line}: {key} is not known and has no effect",
                path.display()
            ))),
        }
    }
    if servers > 1 {
        return Err(ConfigError::Ensemble { path: path.to_owned(), count: servers });
    }
    if config.data_dir.as_os_str().is_empty() {
        return Err(ConfigError::Missing { path: path.to_owned(), key: "dataDir" });
    }
    let port =
        port.ok_or_else(|| ConfigError::Missing { path: path.to_owned(), key: "clientPort" })?;
    config.client_addr = Some(SocketAddr::new(address, port));
    Ok((config, warnings))
}

/// `port` or `address:port`.
fn client_part(text: &str, default: IpAddr) -> Option<(IpAddr, Option<u16>)> {
    match text.trim().rsplit_once(':') {
        None => Some((default, Some(number(text)?))),
        Some((address, port)) => {
            let address = address.trim_matches(['[', ']']).parse().ok()?;
            Some((address, Some(number(port)?)))
        }
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

/// As Java reads it: what is not `true` is false.
fn boolean(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case("true")
}

/// Java's properties for sizes also take 0x… .
fn integer(text: &str) -> Option<usize> {
    match text.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16).ok(),
        None => number(text),
    }
    .filter(|bytes| (1024..=MAX_REQUEST).contains(bytes))
}

fn millis(text: &str) -> Option<Duration> {
    number::<u32>(text).filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into()))
}

fn optional_millis(
    property: &Property,
    wrong: &impl Fn(&'static str) -> ConfigError,
) -> Result<Option<Duration>, ConfigError> {
    match property.value.as_str() {
        "-1" => Ok(None),
        text => millis(text).map(Some).ok_or_else(|| wrong(MILLIS)),
    }
}

struct Property {
    line: usize,
    key: String,
    value: String,
}

/// Java's properties: `#` and `!` begin comments, `=`, `:` or blanks end a key, a backslash continues a
/// line or takes the next character as it is.
fn properties(text: &str) -> Vec<Property> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        found.push(Property { line: at + 1, key, value: value.trim().to_owned() });
    }
    found
}

fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut key = String::new();
    let mut chars = line.chars();
    let mut rest = "";
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.extend(chars.next()),
            '=' | ':' => {
                rest = chars.as_str();
                break;
            }
            c if c.is_whitespace() => {
                let behind = chars.as_str().trim_start();
                rest = behind.strip_prefix(['=', ':']).unwrap_or(behind);
                break;
            }
            c => key.push(c),
        }
    }
    (key, unescape(rest))
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                other => out.extend(other),
            },
            c => out.push(c),
        }
    }
    out
}

const PORT: &str = "a port from 0 to 65535";
const MILLIS: &str = "a number of milliseconds above 0";
/// A frame's length is a signed 32-bit number; half of that leaves room for what a transaction adds.
const MAX_REQUEST: usize = 1 << 30;

/// Keys of Apache's that a member understands later.
const NOT_YET: &[&str] = &[
    "secureClientPort",
    "secureClientPortAddress",
    "clientPortListenBacklog",
    "maxCnxns",
    "dynamicConfigFile",
    "peerType",
    "quorumListenOnAllIPs",
    "syncEnabled",
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "sslQuorum",
    "client.portUnification",
    "globalOutstandingLimit",
    "snapSizeLimitInKb",
    "commitLogCount",
    "txnLogSizeLimitInKb",
    "fsync.warningthresholdms",
    "flushDelay",
    "maxBatchSize",
    "leaderServes",
    "skipACL",
    "digest.enabled",
    "snapshot.compression.method",
    "snapshot.trust.empty",
    "admin.enableServer",
    "admin.serverPort",
    "admin.serverAddress",
    "audit.enable",
    "tcpKeepAlive",
    "clientTcpKeepAlive",
    "metricsProvider.className",
    "metricsProvider.httpPort",
    "metricsProvider.httpHost",
    "metricsProvider.exportJvmInfo",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(MemberConfig, Vec<Warning>), ConfigError> {
        parse(Path::new("zoo.cfg"), text)
    }

    #[test]
    fn apaches_sample_is_understood() {
        let text = "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\n\
            syncLimit=5\ndataDir=/tmp/zookeeper\nclientPort=2181\n#maxClientCnxns=60\n\
            4lw.commands.whitelist=srvr, \\\n  ruok\njute.maxbuffer=0x1fffff\nsslQuorum=false\n\
            tickTyme : 3\n";
        let (config, warnings) = check(text).expect("it is the sample");
        assert_eq!(config.tick_time, Duration::from_secs(2));
        assert_eq!(config.data_dir, Path::new("/tmp/zookeeper"));
        assert_eq!(config.client_addr, Some("0.0.0.0:2181".parse().expect("an address")));
        assert_eq!(config.four_letter_words, ["srvr", "ruok"]);
        assert_eq!(config.max_request_bytes, 0x1f_ffff);
        let warnings: Vec<_> = warnings.iter().map(|warning| warning.0.as_str()).collect();
        assert_eq!(
            warnings,
            [
                "zoo.cfg: line 11: sslQuorum has no effect yet",
                "zoo.cfg: line 12: tickTyme is not known and has no effect",
            ]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_named_with_its_line() {
        let error = |text: &str| check(text).expect_err("it is wrong").to_string();
        assert_eq!(error("clientPort=1"), "zoo.cfg: dataDir is missing; add a line dataDir=…");
        assert_eq!(error("dataDir=/d"), "zoo.cfg: clientPort is missing; add a line clientPort=…");
        assert_eq!(
            error("dataDir=/d\nclientPort=70000"),
            "zoo.cfg: line 2: clientPort=70000 is not a port from 0 to 65535"
        );
        assert_eq!(
            error("tickTime=0"),
            "zoo.cfg: line 1: tickTime=0 is not a number of milliseconds above 0"
        );
        let two = "dataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2;3";
        assert!(error(two).contains("2 servers are named"), "{}", error(two));
    }

    #[test]
    fn a_server_line_may_carry_the_client_port() {
        let (config, _) =
            check("dataDir=/d\nserver.1=a:1:2:participant;127.0.0.1:2181").expect("it is complete");
        assert_eq!(config.client_addr, Some("127.0.0.1:2181".parse().expect("an address")));
    }
}
