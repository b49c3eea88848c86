//! Apache's `zoo.cfg`: a properties file of Java's syntax.
//!
//! Lives here: the file, the flags a JVM would be given, and what both come to. Syntax is in `properties`, the
//! meaning of each key in `keys`. A key that has no effect is named in a [`Warning`]; a value that cannot be
//! meant is an error with the line.

mod dynamic;
mod jaas;
mod keys;
mod limits;
mod properties;
mod quorum;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jute::Members;
use types::{PeerId, Zxid};

use crate::{MemberConfig, Warning};
pub(crate) use dynamic::MembersFiles;
pub(crate) use keys::client_addr;
use keys::{Draft, Effect};
use properties::{BadEscape, Property, flags, hidden, properties};

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
    /// A character is written as no character is.
    #[error("{}: line {line}: behind \\u there must be the four hexadecimal digits of a character; write \\\\ for a backslash", path.display())]
    Escape {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// No session timeout is allowed.
    #[error("{}: minSessionTimeout, {least} ms, is above maxSessionTimeout, {most} ms; they are 2 and 20 times tickTime unless they are set", path.display())]
    Timeouts {
        /// The file.
        path: PathBuf,
        /// In ms.
        least: i32,
        /// In ms.
        most: i32,
    },
    /// All clients would be refused.
    #[error("{}: enforce.auth.schemes={scheme} lets nobody in: this member has no such scheme", path.display())]
    Scheme {
        /// The file.
        path: PathBuf,
        /// The scheme.
        scheme: String,
    },
    /// The servers' lines do not make an ensemble.
    #[error("{}: the servers' lines", path.display())]
    Members {
        /// The file.
        path: PathBuf,
        /// Why.
        source: jute::MembersError,
    },
    /// The file of the members says its version, or its name does not.
    #[error("{}: the version of the members is in the name of their file, NAME.HEX, and not in a line of it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
    },
    /// There are servers' lines and none for this member.
    #[error("{}: there is no line server.{me}=…, and the id of this member is {me}; give it another id in {} or add the line", path.display(), myid.display())]
    NotAMember {
        /// The file.
        path: PathBuf,
        /// This member's id.
        me: PeerId,
        /// Where it is from.
        myid: PathBuf,
    },
    /// The JAAS file lacks a section, or what must be in it.
    #[error("{}: there is no section {section} for members; a server's has lines user_NAME=\"PASSWORD\", a learner's username=\"NAME\" and password=\"PASSWORD\"", path.display())]
    Section {
        /// The file.
        path: PathBuf,
        /// Its name.
        section: String,
    },
    /// A member of an ensemble must have an id of its own.
    #[error("{} is missing; write this member's id into it, the N of its line server.N=…", path.display())]
    NoId {
        /// The file.
        path: PathBuf,
    },
}

impl MemberConfig {
    /// Reads Apache's configuration file, the flags in `SERVER_JVMFLAGS` and `JVMFLAGS`, which the file
    /// overrides, the file of the members that it may name, and the `myid` file in the data directory,
    /// which an ensemble's member needs unless `id` says it. Keys without effect are named in the
    /// warnings.
    pub fn from_zoo_cfg(
        path: &Path,
        id: Option<PeerId>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let given = FLAGS.map(|name| (name, std::env::var(name).unwrap_or_default()));
        let given: Vec<_> = given.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let text = read(path)?;
        let dynamic = lines(path, &text)?.iter().any(|line| line.key == "dynamicConfigFile");
        let (mut config, warnings) = parse(path, &text, &given)?;
        let told = hidden(&text, is_secret).map_err(|bad| escape(path, bad))?;
        config.told_text = told.into();
        let file = config.data_dir.join("myid");
        match (id, read_id(&file)?) {
            (Some(id), _) | (None, Some(id)) => config.myid = id,
            (None, None) if config.ensemble.is_some() => {
                return Err(ConfigError::NoId { path: file });
            }
            (None, None) => {}
        }
        if let Some(ensemble) = config.ensemble.as_mut().filter(|_| config.rules.reconfig) {
            // What was proposed counts where it was this file that the members were in.
            ensemble.next = if dynamic { next_members(path)? } else { None };
            ensemble.zoo_cfg = Some(path.to_owned());
        }
        if let Some(ensemble) = &config.ensemble {
            let (path, me) = (path.to_owned(), config.myid);
            let Some(server) = ensemble.members.servers.get(&me) else {
                return Err(ConfigError::NotAMember { path, me, myid: file });
            };
            let secure = config.tls.as_ref().is_some_and(|tls| tls.secure_addr.is_some());
            config.client_addr = client_addr(server).or(config.client_addr);
            if config.client_addr.is_none() && !secure {
                return Err(ConfigError::Missing { path, key: "clientPort" });
            }
        }
        Ok((config, warnings))
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let text = fs::read(path);
    let text = text.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn lines(path: &Path, text: &str) -> Result<Vec<Property>, ConfigError> {
    properties(text).map_err(|bad| escape(path, bad))
}

fn escape(path: &Path, bad: BadEscape) -> ConfigError {
    ConfigError::Escape { path: path.to_owned(), line: bad.line }
}

/// Whether the key's value is for the member alone.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("password") || key.ends_with("superdigest")
}

/// Members that were proposed when this member ended.
fn next_members(zoo_cfg: &Path) -> Result<Option<Members>, ConfigError> {
    let path = MembersFiles::of(zoo_cfg).next();
    if !path.exists() {
        return Ok(None);
    }
    let members = Members::parse(&read(&path)?);
    members.map(Some).map_err(|source| ConfigError::Members { path, source })
}

/// The id in a member's own file; `None` when there is no file.
fn read_id(path: &Path) -> Result<Option<PeerId>, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    let first = text.lines().next().unwrap_or_default().trim();
    let id = first.parse().map_err(|_| ConfigError::Value {
        path: path.to_owned(),
        line: 1,
        key: "myid".to_owned(),
        value: first.chars().take(40).collect(),
        expected: "a number",
    })?;
    Ok(Some(PeerId(id)))
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
    for property in lines(path, text)? {
        take(path, property, &mut draft, &mut warnings)?;
    }
    if let Some(file) = draft.dynamic.take() {
        // Relative to where the member was started, as Apache has it.
        let text = read(&file)?;
        for property in lines(&file, &text)? {
            if property.key == "version" {
                return Err(ConfigError::Version { path: file });
            }
            take(&file, property, &mut draft, &mut warnings)?;
        }
        let version = file.extension().and_then(|hex| hex.to_str());
        let version = version.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        draft.set_version(version.map(|bits| Zxid::from_bits(bits.cast_signed())));
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
        assert_eq!(warnings, ["zoo.cfg: line 12: tickTyme is not known and has no effect",]);
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
        assert_eq!(
            error("dataDir=/d\nclientPort=1\nmaxSessionTimeout=1000"),
            "zoo.cfg: minSessionTimeout, 6000 ms, is above maxSessionTimeout, 1000 ms; they are 2 and 20 times \
            tickTime unless they are set"
        );
        assert!(
            error("dataDir=C:\\users").starts_with("zoo.cfg: line 1: behind \\u there must be")
        );
        let unknown = error("DigestAuthenticationProvider.digestAlg=CRC32");
        assert!(
            unknown.contains("digestAlg=CRC32 is not MD5, SHA1, SHA-224, SHA-256"),
            "{unknown}"
        );
        let enforced = "dataDir=/d\nclientPort=1\nenforce.auth.enabled=true\n";
        let digest = "enforce.auth.schemes=digest\nDigestAuthenticationProvider.enabled=false";
        assert!(error(&format!("{enforced}{digest}")).contains("has no such scheme"));
        assert_eq!(
            error(&format!("{enforced}enforce.auth.schemes=digest,x509")),
            "zoo.cfg: enforce.auth.schemes=x509 lets nobody in: this member has no such scheme"
        );
        let two = "dataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2|c:1:2;3\n";
        assert!(error(two).contains("multiAddress.enabled is missing"), "{}", error(two));
        let two = "dataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2;3\nquorum.auth.enableSasl=true\n";
        assert!(error(two).contains("java.security.auth.login.config is missing"));
        let demands = format!("{two}quorum.auth.serverRequireSasl=true\n");
        assert!(error(&demands).contains("quorum.auth.learnerRequireSasl is missing"));
        let refused = error("ssl.quorum.crl=true");
        assert!(
            refused.ends_with(
                "ssl.quorum.crl=true is not false: revoked certificates are not looked up"
            ),
            "{refused}"
        );
        let two = "dataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2;3\nsslQuorum=true\n";
        assert_eq!(
            error(two),
            "zoo.cfg: ssl.quorum.keyStore.location is missing; add a line ssl.quorum.keyStore.location=…"
        );
        let two = "dataDir=/d\nserver.1=a:1:2:observer;3\nserver.2=b:1:2:observer;3";
        assert_eq!(error(two), "zoo.cfg: the servers' lines");
        assert!(
            error("dataDir=/d\nserver.1=a:1:1").contains("line 2: server.1=a:1:1 is not host:")
        );
    }

    #[test]
    fn addresses_may_be_names_and_no_limit_may_be_below_zero() {
        let text = "dataDir=/d\nclientPort=1\nclientPortAddress=localhost\nmaxClientCnxns=-1\n\
            admin.serverAddress=localhost\nautopurge.purgeInterval=24\n";
        let (config, warnings) = check(text).expect("it is complete");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(config.client_addr.is_some_and(|addr| addr.ip().is_loopback()));
        assert!(config.admin.is_some_and(|admin| admin.addr.ip().is_loopback()));
        assert_eq!(config.max_client_connections, 0);
        for (least, ms) in [(-1, 6000), (0, 0), (-5, 0)] {
            let text = format!("dataDir=/d\nclientPort=1\nminSessionTimeout={least}\n");
            let (config, _) = check(&text).expect("it is complete");
            assert_eq!(config.declared_timeouts(), (ms, 60_000), "{least}");
        }
    }

    #[test]
    fn a_server_line_may_carry_the_client_port() {
        let (config, _) =
            check("dataDir=/d\nserver.1=a:1:2:participant;127.0.0.1:2181").expect("it is complete");
        assert_eq!(config.client_addr, Some("127.0.0.1:2181".parse().expect("an address")));
    }

    #[test]
    fn several_server_lines_make_an_ensemble() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (file, data) = (dir.path().join("zoo.cfg"), dir.path().join("data"));
        let text = |more: &str| {
            let text = format!("dataDir={}\ninitLimit=7\nsyncLimit=3\n{more}", data.display());
            fs::write(&file, text).expect("it is writable");
        };
        text("server.1=a:1:2;127.0.0.1:3\nserver.2=b:1:2:observer;4\nelectionPortBindRetry=0\n");
        let read = |id| MemberConfig::from_zoo_cfg(&file, id);
        let error = read(None).expect_err("it has no id").to_string();
        assert!(error.contains("myid is missing"), "{error}");
        let error = read(Some(PeerId(3))).expect_err("it is none of them").to_string();
        assert!(error.contains("no line server.3="), "{error}");
        let (config, warnings) = read(Some(PeerId(1))).expect("it is complete");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(config.client_addr, Some("127.0.0.1:3".parse().expect("an address")));
        let ensemble = config.ensemble.expect("there are two");
        assert_eq!((ensemble.init_limit, ensemble.sync_limit), (7, 3));
        assert_eq!((ensemble.bind_retries, ensemble.members.voters().count()), (None, 1));
        fs::create_dir(&data).expect("it is writable");
        fs::write(data.join("myid"), "2\n").expect("it is writable");
        assert_eq!(read(None).expect("it is complete").0.myid, PeerId(2));
        let secret = "DigestAuthenticationProvider.superDigest=super:hash";
        text(&format!("server.2=a:1:2;3\n{secret}"));
        let told = read(None).expect("it is complete").0.told_text;
        let shown = "server.2=a:1:2;3\nDigestAuthenticationProvider.superDigest=...\n";
        assert!(told.starts_with("dataDir=") && told.ends_with(shown), "{told}");
        // One alone is no ensemble unless it is told to be.
        text("server.2=a:1:2;3");
        assert!(read(None).expect("it is complete").0.ensemble.is_none());
        text("server.2=a:1:2;3\nstandaloneEnabled=false");
        assert!(read(None).expect("it is complete").0.ensemble.is_some());
    }

    #[test]
    fn where_followers_take_observers_is_said_as_apache_has_it() {
        let of = |more: &str, given: &str| {
            let text = format!("dataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2;3\n{more}");
            let (config, warnings) = parse(Path::new("zoo.cfg"), &text, &[("JVMFLAGS", given)])?;
            assert!(warnings.is_empty(), "{warnings:?}");
            let ensemble = config.ensemble.expect("there are two");
            Ok::<_, ConfigError>((ensemble.observer_master_port, ensemble.observer_master_limit))
        };
        let found = |more, given| of(more, given).expect("it is right");
        assert_eq!(found("", ""), (None, 32 << 20));
        assert_eq!(found("observerMasterPort=0\n", ""), (None, 32 << 20));
        let limit = "-Dzookeeper.observerMaster.sizeLimit=1000";
        assert_eq!(found("observerMasterPort=2191\n", limit), (Some(2191), 1000));
        assert_eq!(found("observerMaster.sizeLimit=2000\n", limit), (None, 2000));
        for wrong in
            ["observerMasterPort=x", "observerMasterPort=65536", "observerMaster.sizeLimit=-1"]
        {
            assert!(matches!(of(wrong, ""), Err(ConfigError::Value { .. })), "{wrong}");
        }
    }

    #[test]
    fn the_members_may_be_in_a_file_of_their_own() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (file, members) = (dir.path().join("zoo.cfg"), dir.path().join("m.dynamic.100000003"));
        let text = format!("dataDir=/d\nclientPort=5\ndynamicConfigFile={}\n", members.display());
        fs::write(&file, text).expect("it is writable");
        fs::write(&members, "server.1=a:1:2\nserver.2=b:1:2\n").expect("it is writable");
        let (config, _) = MemberConfig::from_zoo_cfg(&file, Some(PeerId(1))).expect("complete");
        let ensemble = config.ensemble.expect("there are two");
        assert_eq!(ensemble.members.version, Zxid::from_bits(0x1_0000_0003));
        fs::write(&members, "server.1=a:1:2\nversion=5\n").expect("it is writable");
        let wrong = MemberConfig::from_zoo_cfg(&file, Some(PeerId(1)));
        assert!(matches!(wrong, Err(ConfigError::Version { .. })), "{wrong:?}");
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
    fn members_may_speak_tls_with_each_other() {
        let text = "dataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2;3\nsslQuorum=true\n\
            sslQuorumReloadCertFiles=true\nssl.quorum.keyStore.location=/k.jks\n\
            ssl.quorum.keyStore.password=word\nssl.quorum.trustStore.location=/t.pem\n\
            ssl.quorum.protocol=TLSv1.3\nssl.quorum.hostnameVerification=false\nssl.quorum.clientAuth=want\n";
        let (config, warnings) = check(text).expect("it is complete");
        assert!(warnings.is_empty(), "{warnings:?}");
        let tls = config.ensemble.and_then(|ensemble| ensemble.tls).expect("it is wanted");
        assert!(tls.speak && tls.reload && !tls.unify && !tls.check_names);
        assert_eq!(tls.client_auth, crate::ClientAuth::Want);
        assert_eq!(tls.versions, crate::TlsVersions::Tls13);
        assert_eq!(tls.key_store.path, Path::new("/k.jks"));
        assert!(tls.key_store.password.is_some() && tls.trust_store.password.is_none());
        let text = text.replace("sslQuorum=true", "sslQuorum=false");
        let (config, _) = check(&text).expect("it is complete");
        assert_eq!(config.ensemble.and_then(|ensemble| ensemble.tls), None);
    }

    #[test]
    fn members_may_authenticate_by_a_jaas_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("jaas.conf");
        let jaas = "QuorumServer { x required user_m=\"w\"; };\n\
            QuorumLearner { x required username=\"m\" password=\"w\"; };\n";
        fs::write(&file, jaas).expect("it is writable");
        let text = format!(
            "dataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2;3\nquorum.auth.enableSasl=true\n\
             quorum.auth.learnerRequireSasl=true\njava.security.auth.login.config={}\n",
            file.display()
        );
        let (config, warnings) = check(&text).expect("it is complete");
        assert!(warnings.is_empty(), "{warnings:?}");
        let sasl = config.ensemble.and_then(|ensemble| ensemble.sasl).expect("it is wanted");
        assert!(!sasl.required && !format!("{sasl:?}").contains("\"w\""));
        assert_eq!(sasl.login, Some(("m".to_owned(), "w".to_owned())));
        fs::write(&file, "QuorumServer { x required; };").expect("it is writable");
        let error = check(&text).expect_err("no learner").to_string();
        assert!(error.contains("there is no section QuorumLearner for members"), "{error}");
    }

    #[test]
    fn ports_of_all_kinds_are_configured() {
        let text = "dataDir=/d\nsecureClientPort=2281\nssl.keyStore.location=/k.pem\n\
            ssl.clientAuth=none\nssl.enabledProtocols=TLSv1.2\nssl.protocol=TLSv1.3\nadmin.serverPort=8081\nsnapshot.compression.method=snappy\n\
            metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
            authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider\n\
            authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";
        let (config, warnings) = check(text).expect("it is complete");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(config.client_addr, None);
        assert!(config.rules.sasl_ids && config.rules.x509_ids);
        let tls = config.tls.expect("it is wanted");
        assert_eq!(tls.secure_addr, Some("0.0.0.0:2281".parse().expect("an address")));
        assert_eq!(tls.versions, crate::TlsVersions::Tls12);
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
        let old = error("ssl.enabledProtocols=TLSv1.3,TLSv1.1");
        assert!(
            old.ends_with("TLSv1.1 is not TLSv1.2, TLSv1.3, or both with a comma between them")
        );
        let other = "ssl.keyStore.type=BCFKS\n";
        assert!(error(other).ends_with("is not PEM, JKS or PKCS12"), "{}", error(other));
    }
}
