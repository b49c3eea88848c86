//! Apache's `zoo.cfg`: a properties file of Java's syntax.
//!
//! Lives here: the file, the flags a JVM would be given, and what both come to. Syntax is in `properties`, the
//! meaning of each key in `keys`. A key that has no effect is named in a [`Warning`]; a value that cannot be
//! meant is an error with the line.

mod jaas;
mod keys;
mod properties;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use types::PeerId;

use crate::{MemberConfig, Warning};
use keys::{Draft, Effect};
use properties::{Property, flags, properties};

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
    /// Reads Apache's configuration file, the flags in `SERVER_JVMFLAGS` and `JVMFLAGS`, which the file
    /// overrides, and the `myid` file in the data directory if there is one. Keys without effect are
    /// named in the warnings.
    pub fn from_zoo_cfg(path: &Path) -> Result<(Self, Vec<Warning>), ConfigError> {
        let text =
            fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let given = FLAGS.map(|name| (name, std::env::var(name).unwrap_or_default()));
        let given: Vec<_> = given.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let (mut config, warnings) = parse(path, &String::from_utf8_lossy(&text), &given)?;
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

/// `given`: names of variables and the flags in them.
fn parse(
    path: &Path,
    text: &str,
    given: &[(&str, &str)],
) -> Result<(MemberConfig, Vec<Warning>), ConfigError> {
    let mut draft = Draft::default();
    let mut warnings = Vec::new();
    for (name, text) in given {
        for property in flags(text) {
            let key = property.key.clone();
            // Other properties of a JVM are not for a ZooKeeper.
            if key.starts_with("zookeeper.") || keys::BARE.contains(&key.as_str()) {
                take(Path::new(name), property, &mut draft, &mut warnings)?;
            }
        }
    }
    for property in properties(text) {
        take(path, property, &mut draft, &mut warnings)?;
    }
    let config = draft.finish(path)?;
    Ok((config, warnings))
}

fn take(
    path: &Path,
    property: Property,
    draft: &mut Draft,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let Property { line, key, value } = property;
    let short = key.strip_prefix("zookeeper.").unwrap_or(&key);
    let what = match draft.set(short, &value) {
        Ok(Effect::Some) => return Ok(()),
        Ok(Effect::NotYet) => "has no effect yet",
        Ok(Effect::Unknown) => "is not known and has no effect",
        Err(expected) => {
            let path = path.to_owned();
            return Err(ConfigError::Value { path, line, key, value, expected });
        }
    };
    warnings.push(Warning(format!("{}: line {line}: {key} {what}", path.display())));
    Ok(())
}

/// Where Apache's scripts take a JVM's flags from; the second is for every ZooKeeper program.
const FLAGS: [&str; 2] = ["JVMFLAGS", "SERVER_JVMFLAGS"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(text: &str) -> Result<(MemberConfig, Vec<Warning>), ConfigError> {
        parse(Path::new("zoo.cfg"), text, &[])
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

    #[test]
    fn flags_count_and_the_file_overrides_them() {
        let given = [("JVMFLAGS", "-Xmx1g -Dzookeeper.snapCount=7 -Dzookeeper.nonsense=1 -Da=b")];
        let text = "dataDir=/d\nclientPort=1\n";
        let (config, warnings) = parse(Path::new("zoo.cfg"), text, &given).expect("it is complete");
        assert_eq!(config.snap_count, 7);
        let unknown = "JVMFLAGS: line 1: zookeeper.nonsense is not known and has no effect";
        assert_eq!(warnings, [Warning(unknown.to_owned())]);
        let text = format!("{text}snapCount=9\n");
        let (config, _) = parse(Path::new("zoo.cfg"), &text, &given).expect("it is complete");
        assert_eq!(config.snap_count, 9);
        let wrong = [("SERVER_JVMFLAGS", "-Dzookeeper.snapCount=many")];
        let error = parse(Path::new("zoo.cfg"), &text, &wrong).expect_err("no number").to_string();
        assert!(error.starts_with("SERVER_JVMFLAGS: line 1: zookeeper.snapCount=many"), "{error}");
    }

    #[test]
    fn switches_are_yes_or_no() {
        let text = "dataDir=/d\nclientPort=1\nskipACL=yes\nextendedTypesEnabled=true\n\
            enforceQuota=true\nglobalOutstandingLimit=5\nmaxCnxns=9\n";
        let (config, warnings) = check(text).expect("it is complete");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(config.skip_acl && config.rules.extended_types && config.rules.enforce_quota);
        assert_eq!((config.outstanding_limit, config.max_connections), (5, 9));
        assert!(!config.rules.reconfig);
    }

    #[test]
    fn ports_of_all_kinds_are_configured() {
        let text = "dataDir=/d\nsecureClientPort=2281\nssl.keyStore.location=/k.pem\n\
            ssl.clientAuth=none\nadmin.serverPort=8081\nsnapshot.compression.method=snappy\n\
            metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
            authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n\
            authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";
        let (config, warnings) = check(text).expect("it is complete");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(config.client_addr, None);
        assert!(config.rules.sasl_ids && config.rules.x509_ids);
        let tls = config.tls.expect("it is wanted");
        assert_eq!(tls.secure_addr, Some("0.0.0.0:2281".parse().expect("an address")));
        let admin = config.admin.expect("it is named");
        assert_eq!(admin.addr, "0.0.0.0:8081".parse().expect("an address"));
        assert_eq!(config.prometheus, Some("0.0.0.0:7000".parse().expect("an address")));
        let error = |text: &str| check(text).expect_err("it is wrong").to_string();
        let no_store = "dataDir=/d\nsecureClientPort=1\n";
        assert!(
            error(no_store).contains("add a line ssl.keyStore.location="),
            "{}",
            error(no_store)
        );
        let other = "ssl.keyStore.type=BCFKS\n";
        assert!(error(other).ends_with("is not PEM, JKS or PKCS12"), "{}", error(other));
    }
}
