//! What each key means to a member.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jute::{Members, Server};
use types::Zxid;
use znodes::DigestAlgorithm;

use super::limits::Limits;
use super::quorum::Quorum;
use super::{ConfigError, jaas};
use crate::{
    AdminConfig, ClientAuth, Compression, EnsembleConfig, MemberConfig, Password, SaslConfig,
    StoreFile, TlsConfig, TlsVersions,
};

/// A configuration while its keys are read; the last of a key counts.
#[derive(Debug)]
pub(super) struct Draft {
    config: MemberConfig,
    port: Option<u16>,
    address: IpAddr,
    /// The file says where.
    address_named: bool,
    members: Members,
    peers: EnsembleConfig,
    /// One server is an ensemble, too.
    ensemble_of_one: bool,
    /// Where the members are named, when the file itself does not.
    pub(super) dynamic: Option<PathBuf>,
    admin: AdminConfig,
    /// As the file says.
    admin_enabled: Option<bool>,
    /// The file says where.
    admin_named: bool,
    metrics: SocketAddr,
    prometheus: bool,
    secure_port: Option<u16>,
    secure_address: Option<IpAddr>,
    unify: bool,
    reload: bool,
    key_store: Store,
    trust_store: Store,
    client_auth: ClientAuth,
    versions: Versions,
    quorum: Quorum,
    limits: Limits,
    x509_super: Option<String>,
    /// The JAAS file and its section.
    jaas: Option<PathBuf>,
    jaas_section: String,
    super_password: Option<String>,
    sasl_supers: Vec<String>,
    require_sasl: bool,
    enforce: bool,
    schemes: Vec<String>,
}

/// A file with keys or certificates; the file of its password counts before the word.
#[derive(Debug, Default)]
pub(super) struct Store {
    path: Option<PathBuf>,
    password: Option<Password>,
    password_path: Option<PathBuf>,
}

impl Store {
    /// Takes one key, without what says whose it is.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<Effect, &'static str> {
        match key {
            "location" => self.path = Some(value.into()),
            "password" => self.password = password(value),
            "passwordPath" => self.password_path = Some(value.into()),
            // The form is told by what is in the file.
            "type" => {
                let known = ["", "PEM", "JKS", "PKCS12"];
                if !known.iter().any(|form| value.eq_ignore_ascii_case(form)) {
                    return Err("PEM, JKS or PKCS12");
                }
            }
            _ => return Ok(Effect::Unknown),
        }
        Ok(Effect::Some)
    }

    pub(super) fn file(self) -> Result<Option<StoreFile>, ConfigError> {
        let Some(path) = self.path else { return Ok(None) };
        let password = match self.password_path {
            None => self.password,
            Some(path) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|source| ConfigError::Read { path, source })?;
                Some(Password::new(text.lines().next().unwrap_or_default().to_owned()))
            }
        };
        Ok(Some(StoreFile { path, password }))
    }
}

/// Which versions of TLS are spoken; the list counts before the one.
#[derive(Debug, Default)]
pub(super) struct Versions {
    protocol: Option<TlsVersions>,
    enabled: Option<TlsVersions>,
}

impl Versions {
    /// Takes one key, without what says whose it is.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let versions = Some(TlsVersions::parse(value)?);
        match key {
            "protocol" => self.protocol = versions,
            _ => self.enabled = versions,
        }
        Ok(())
    }

    pub(super) fn chosen(&self) -> TlsVersions {
        self.enabled.or(self.protocol).unwrap_or_default()
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// Something, or rightly nothing.
    Some,
    /// Nothing yet.
    NotYet,
    /// It is not Apache's.
    Unknown,
}

impl Default for Draft {
    fn default() -> Self {
        let config = MemberConfig {
            max_client_connections: 60,
            tick_time: Duration::from_millis(3000),
            four_letter_words: vec!["srvr".to_owned()],
            prealloc_bytes: 64 << 20,
            ..MemberConfig::in_process(PathBuf::new())
        };
        let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            config,
            port: None,
            address,
            address_named: false,
            members: Members::default(),
            peers: EnsembleConfig::of(Members::default()),
            ensemble_of_one: false,
            dynamic: None,
            admin: AdminConfig::default(),
            admin_enabled: None,
            admin_named: false,
            metrics: SocketAddr::new(address, 7000),
            prometheus: false,
            secure_port: None,
            secure_address: None,
            unify: false,
            reload: false,
            key_store: Store::default(),
            trust_store: Store::default(),
            client_auth: ClientAuth::default(),
            versions: Versions::default(),
            quorum: Quorum::default(),
            limits: Limits::default(),
            x509_super: None,
            jaas: None,
            jaas_section: "Server".to_owned(),
            super_password: None,
            sasl_supers: Vec::new(),
            require_sasl: false,
            enforce: false,
            schemes: Vec::new(),
        }
    }
}

impl Draft {
    /// Takes one key, without `zookeeper.` before it. `Err`: what its value must be.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<Effect, &'static str> {
        if let Some(taken) = self.quorum.set(key, value) {
            return taken;
        }
        if let Some(taken) = self.limits.set(key, value) {
            return taken;
        }
        let config = &mut self.config;
        match key {
            "dataDir" => config.data_dir = value.into(),
            "dataLogDir" => config.data_log_dir = Some(value.into()),
            "clientPort" => self.port = Some(number::<u16>(value).ok_or(PORT)?),
            "clientPortAddress" => {
                self.address_named = true;
                self.address = address(value)?;
            }
            "tickTime" => config.tick_time = millis(value).ok_or(MILLIS)?,
            "minSessionTimeout" => config.min_session_timeout = session_timeout(value)?,
            "maxSessionTimeout" => config.max_session_timeout = session_timeout(value)?,
            "maxClientCnxns" => config.max_client_connections = limit(value)?,
            "maxCnxns" => config.max_connections = limit(value)?,
            "globalOutstandingLimit" => {
                config.outstanding_limit = number(value).ok_or("a number of requests")?;
            }
            "4lw.commands.whitelist" => {
                config.four_letter_words =
                    value.split(',').map(|word| word.trim().to_owned()).collect();
            }
            "snapCount" => {
                let count: u32 = number(value).ok_or("a number of transactions")?;
                config.snap_count = count.max(2);
            }
            "snapshot.trust.empty" => config.trust_empty = switch(value)?,
            "preAllocSize" => {
                let kib: u32 = number(value).ok_or("a number of KiB")?;
                config.prealloc_bytes = u64::from(kib) << 10;
            }
            "autopurge.snapRetainCount" => {
                config.retention.snapshots = number(value).ok_or("a number of snapshots")?;
            }
            "autopurge.sizeLimitInKb" => {
                let kib: u64 = number(value).ok_or("a number of KiB")?;
                config.retention.bytes = (kib > 0).then(|| kib.saturating_mul(1 << 10));
            }
            "snapSizeLimitInKb" => {
                let kib: i64 = number(value).ok_or("a number of KiB")?;
                let kib = u64::try_from(kib).ok().filter(|kib| *kib > 0);
                config.snap_log_bytes = kib.map(|kib| kib.saturating_mul(1 << 10));
            }
            "DigestAuthenticationProvider.superDigest" => {
                config.super_digest = Some(value.to_owned());
            }
            "DigestAuthenticationProvider.digestAlg" => {
                config.digest_algorithm = DigestAlgorithm::parse(value)?;
            }
            "DigestAuthenticationProvider.enabled" => config.rules.no_digest_ids = !switch(value)?,
            "forceSync" => config.force_sync = value != "no",
            "skipACL" => config.skip_acl = value == "yes",
            "extendedTypesEnabled" => config.rules.extended_types = switch(value)?,
            "digest.enabled" => config.rules.no_digests = !switch(value)?,
            // What such a member writes is read; ours always names what it deletes.
            "closeSessionTxn.enabled" if !switch(value)? => return Ok(Effect::NotYet),
            "closeSessionTxn.enabled" => {}
            "enforceQuota" => config.rules.enforce_quota = switch(value)?,
            "localSessionsEnabled" => config.rules.local_sessions = switch(value)?,
            "localSessionsUpgradingEnabled" => config.rules.session_upgrades = switch(value)?,
            "reconfigEnabled" => config.rules.reconfig = switch(value)?,
            "jute.maxbuffer" => {
                config.max_request_bytes = integer(value).ok_or("a number of bytes")?;
            }
            "znode.container.checkIntervalMs" => {
                config.reaper.check_every = millis(value).ok_or(MILLIS)?;
            }
            "znode.container.maxPerMinute" => {
                config.reaper.max_per_minute =
                    number(value).filter(|count| *count > 0).ok_or("a number above 0")?;
            }
            "znode.container.maxNeverUsedIntervalMs" => {
                let ms: u32 = number(value).ok_or("a number of milliseconds, or 0")?;
                let time = Duration::from_millis(ms.into());
                config.reaper.never_used = Some(time).filter(|time| !time.is_zero());
            }
            "snapshot.compression.method" => {
                config.snapshot_compression = match value {
                    "" => Compression::None,
                    "gz" => Compression::Gzip,
                    "snappy" => Compression::Snappy,
                    _ => return Err("gz, snappy or empty"),
                };
            }
            "audit.enable" => config.audit = switch(value)?,
            "admin.enableServer" => self.admin_enabled = Some(switch(value)?),
            "admin.serverPort" => {
                self.admin_named = true;
                self.admin.addr.set_port(number(value).ok_or(PORT)?);
            }
            "admin.serverAddress" => {
                self.admin_named = true;
                self.admin.addr.set_ip(address(value)?);
            }
            "admin.commandURL" => {
                if !value.starts_with('/') {
                    return Err("a path that begins with /");
                }
                value.clone_into(&mut self.admin.command_url);
            }
            "admin.idleTimeout" => self.admin.idle_timeout = millis(value).ok_or(MILLIS)?,
            "admin.snapshot.enabled" => self.admin.snapshot = switch(value)?,
            "admin.restore.enabled" => self.admin.restore = switch(value)?,
            "admin.rateLimiterIntervalInMS" => {
                let ms: u32 = number(value).ok_or("a number of milliseconds, or 0")?;
                self.admin.rate_limit = Duration::from_millis(ms.into());
            }
            "metricsProvider.className" => {
                self.prometheus = value.ends_with(".PrometheusMetricsProvider");
                let known = self.prometheus || value.ends_with(".DefaultMetricsProvider");
                return if known { Ok(Effect::Some) } else { Ok(Effect::NotYet) };
            }
            "metricsProvider.httpPort" => {
                self.metrics.set_port(number(value).ok_or(PORT)?);
            }
            "metricsProvider.httpHost" => self.metrics.set_ip(address(value)?),
            // There is no Java to tell of, and no pool of threads to size.
            "metricsProvider.exportJvmInfo"
            | "metricsProvider.numWorkerThreads"
            | "metricsProvider.maxQueueSize"
            | "metricsProvider.workerShutdownTimeoutMs" => {}
            "secureClientPort" => self.secure_port = Some(number(value).ok_or(PORT)?),
            "secureClientPortAddress" => {
                self.secure_address = Some(address(value)?);
            }
            "client.portUnification" => self.unify = switch(value)?,
            "client.certReload" => self.reload = switch(value)?,
            _ if key.starts_with("ssl.keyStore.") => {
                return self.key_store.set(&key["ssl.keyStore.".len()..], value);
            }
            _ if key.starts_with("ssl.trustStore.") => {
                return self.trust_store.set(&key["ssl.trustStore.".len()..], value);
            }
            "ssl.protocol" | "ssl.enabledProtocols" => {
                self.versions.set(&key["ssl.".len()..], value)?;
            }
            "ssl.clientAuth" => self.client_auth = ClientAuth::parse(value)?,
            "ssl.authProvider" if value != "x509" => return Ok(Effect::NotYet),
            "ssl.authProvider" => {}
            // The only factory there is does both.
            "serverCnxnFactory" => {}
            "X509AuthenticationProvider.superUser" => {
                self.x509_super = Some(value.to_owned());
            }
            "java.security.auth.login.config" => self.jaas = Some(value.into()),
            "sasl.serverconfig" => value.clone_into(&mut self.jaas_section),
            "SASLAuthenticationProvider.superPassword" => {
                self.super_password = Some(value.to_owned());
            }
            _ if key == "superUser" || key.starts_with("superUser.") => {
                self.sasl_supers.push(value.to_owned());
            }
            "allowSaslFailedClients" => config.sasl_failed_stay = switch(value)?,
            "sessionRequireClientSASLAuth" => self.require_sasl = switch(value)?,
            "enforce.auth.enabled" => self.enforce = switch(value)?,
            "enforce.auth.schemes" => {
                self.schemes = value.split(',').map(|scheme| scheme.trim().to_owned()).collect();
            }
            _ if key.starts_with("authProvider.") => match value.rsplit('.').next() {
                Some("SASLAuthenticationProvider") => config.rules.sasl_ids = true,
                Some("X509AuthenticationProvider") => config.rules.x509_ids = true,
                Some("DigestAuthenticationProvider" | "IPAuthenticationProvider") => {}
                _ => return Ok(Effect::NotYet),
            },
            "electionAlg" if value != "3" => return Err("3, the only election there is"),
            "electionAlg" => {}
            "multiAddress.enabled" => self.peers.multi_address = switch(value)?,
            // All addresses are tried at once: there is nothing to be found out before.
            "multiAddress.reachabilityCheckEnabled" | "multiAddress.reachabilityCheckTimeoutMs" => {
            }
            "initLimit" => self.peers.init_limit = number(value).ok_or(TICKS)?,
            "syncLimit" => self.peers.sync_limit = number(value).ok_or(TICKS)?,
            "cnxTimeout" => self.peers.connect_timeout = millis(value).ok_or(MILLIS)?,
            // 0 or less is none, as with Apache.
            "observerMasterPort" => {
                let port: i32 = number(value).ok_or(PORT)?;
                let port = u16::try_from(port.max(0)).map_err(|_| PORT)?;
                self.peers.observer_master_port = Some(port).filter(|port| *port > 0);
            }
            "observerMaster.sizeLimit" => {
                let most = number(value).filter(|bytes| *bytes > 0);
                self.peers.observer_master_limit = most.ok_or("a number of bytes above 0")?;
            }
            "quorumListenOnAllIPs" => self.peers.listen_on_all_addresses = switch(value)?,
            "electionPortBindRetry" => {
                let retries: u32 = number(value).ok_or("a number of times, or 0 for ever")?;
                self.peers.bind_retries = Some(retries).filter(|retries| *retries > 0);
            }
            "readonlymode.enabled" => self.peers.read_only_mode = switch(value)?,
            "standaloneEnabled" => self.ensemble_of_one = !switch(value)?,
            "dynamicConfigFile" => self.dynamic = Some(value.into()),
            // The server's line says it.
            "peerType" if matches!(value, "participant" | "observer") => {}
            "peerType" => return Err("participant or observer"),
            // Retention is always on.
            "autopurge.purgeInterval" => {
                number::<i32>(value).ok_or("a number of hours, or 0")?;
            }
            // Threads, caches and shortcuts of Apache's own that have no counterpart.
            "nio.numSelectorThreads"
            | "nio.numWorkerThreads"
            | "commitProcessor.numWorkerThreads"
            | "commitProcessor.maxReadBatchSize"
            | "commitProcessor.maxCommitBatchSize"
            | "maxResponseCacheSize"
            | "maxGetChildrenResponseCacheSize"
            | "quorum.cnxn.threads.size"
            | "learner.asyncSending"
            | "learner.closeSocketAsync"
            | "leader.closeSocketAsync"
            | "leader.ackLoggingFrequency"
            | "watchManagerName" => {}
            _ if ["server.", "group.", "weight."].iter().any(|kind| key.starts_with(kind)) => {
                self.members.set(key, value).map_err(|_| SERVER)?;
            }
            _ if NOT_YET.contains(&key) => return Ok(Effect::NotYet),
            _ => return Ok(Effect::Unknown),
        }
        Ok(Effect::Some)
    }

    /// As the name of the members' file says.
    pub(super) fn set_version(&mut self, version: Option<Zxid>) {
        self.members.version = version.unwrap_or_default();
    }

    /// All keys were taken.
    pub(super) fn finish(mut self, path: &Path) -> Result<MemberConfig, ConfigError> {
        let missing = |key| ConfigError::Missing { path: path.to_owned(), key };
        if self.config.data_dir.as_os_str().is_empty() {
            return Err(missing("dataDir"));
        }
        std::mem::take(&mut self.limits).finish(&mut self.config);
        self.config.tls = self.tls(missing)?;
        self.config.rules.x509_ids |= self.config.tls.is_some();
        self.config.sasl = self.sasl()?;
        self.config.required_schemes = match (self.require_sasl, self.enforce) {
            (true, _) => vec!["sasl".to_owned()],
            (false, true) if self.schemes.is_empty() => {
                return Err(missing("enforce.auth.schemes"));
            }
            (false, true) => std::mem::take(&mut self.schemes),
            (false, false) => Vec::new(),
        };
        self.check_schemes(path)?;
        self.check_timeouts(path)?;
        // Apache opens 8080 to everyone unasked; here somebody must want it.
        let wanted = self.admin_enabled.unwrap_or(self.admin_named);
        self.config.admin = wanted.then_some(self.admin);
        self.config.prometheus = self.prometheus.then_some(self.metrics);
        self.config.client_addr = self.port.map(|port| SocketAddr::new(self.address, port));
        let servers = self.members.servers.len();
        if servers > 1 || servers == 1 && self.ensemble_of_one {
            let members = |source| ConfigError::Members { path: path.to_owned(), source };
            self.members.check().map_err(members)?;
            self.peers.members = self.members;
            if !self.peers.multi_address
                && self.peers.members.servers.values().any(|server| server.addresses.len() > 1)
            {
                return Err(missing("multiAddress.enabled"));
            }
            self.peers.sasl = self.quorum.sasl(self.jaas.as_deref(), missing)?;
            self.peers.tls = self.quorum.tls(missing)?;
            self.peers.standalone_enabled = !self.ensemble_of_one;
            self.config.ensemble = Some(self.peers);
        } else if let (None, Some(server)) = (self.port, self.members.servers.values().next()) {
            // A member alone may have its client port there.
            self.config.client_addr = client_addr(server);
        }
        // A member alone has nobody to keep a session from.
        self.config.rules.local_sessions &= self.config.ensemble.is_some();
        let secure = self.config.tls.as_ref().is_some_and(|tls| tls.secure_addr.is_some());
        let by_line = self.config.ensemble.is_some();
        if self.config.client_addr.is_none() && !secure && !by_line {
            return Err(missing("clientPort"));
        }
        Ok(self.config)
    }

    /// Whether the ids that are asked for can be proven.
    fn check_schemes(&self, path: &Path) -> Result<(), ConfigError> {
        let config = &self.config;
        let is_there = |scheme: &&String| match scheme.as_str() {
            "ip" => true,
            "digest" => !config.rules.no_digest_ids,
            "sasl" => config.sasl.is_some() || config.rules.sasl_ids,
            "x509" => config.rules.x509_ids,
            _ => false,
        };
        match config.required_schemes.iter().find(|scheme| !is_there(scheme)) {
            // Apache starts so, too.
            Some(_) if self.require_sasl => Ok(()),
            Some(scheme) => {
                Err(ConfigError::Scheme { path: path.to_owned(), scheme: scheme.clone() })
            }
            None => Ok(()),
        }
    }

    fn check_timeouts(&self, path: &Path) -> Result<(), ConfigError> {
        let (least, most) = self.config.declared_timeouts();
        if least > most {
            return Err(ConfigError::Timeouts { path: path.to_owned(), least, most });
        }
        Ok(())
    }

    fn tls(
        &mut self,
        missing: impl Fn(&'static str) -> ConfigError,
    ) -> Result<Option<TlsConfig>, ConfigError> {
        if self.secure_port.is_none() && !self.unify {
            return Ok(None);
        }
        let address = self.secure_address.unwrap_or(self.address);
        let key_store = std::mem::take(&mut self.key_store).file()?;
        let key_store = key_store.ok_or_else(|| missing("ssl.keyStore.location"))?;
        let trust_store = std::mem::take(&mut self.trust_store).file()?;
        if trust_store.is_none() && self.client_auth == ClientAuth::Need {
            return Err(missing("ssl.trustStore.location"));
        }
        Ok(Some(TlsConfig {
            secure_addr: self.secure_port.map(|port| SocketAddr::new(address, port)),
            unify: self.unify,
            versions: self.versions.chosen(),
            key_store,
            trust_store,
            client_auth: self.client_auth,
            reload: self.reload,
            super_user: self.x509_super.take(),
        }))
    }

    fn sasl(&mut self) -> Result<Option<SaslConfig>, ConfigError> {
        let Some(path) = self.jaas.clone() else { return Ok(None) };
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        let Some(mut users) = jaas::users(&text, &self.jaas_section) else { return Ok(None) };
        if let Some(password) = self.super_password.take() {
            users.insert("super".to_owned(), password);
        }
        Ok(Some(SaslConfig { users, super_users: std::mem::take(&mut self.sasl_supers) }))
    }
}

/// Where a server's line says that clients connect. A name is for the clients: the port is opened on all
/// addresses then.
pub(crate) fn client_addr(server: &Server) -> Option<SocketAddr> {
    let client = server.client.as_ref()?;
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Some(SocketAddr::new(client.host.parse().unwrap_or(all), client.port))
}

fn password(word: &str) -> Option<Password> {
    (!word.is_empty()).then(|| Password::new(word.to_owned()))
}

pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

/// Java's properties for sizes also take 0x… .
fn integer(text: &str) -> Option<usize> {
    match text.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16).ok(),
        None => number(text),
    }
    .filter(|bytes| (1024..=MAX_REQUEST).contains(bytes))
}

/// 0, or less as Apache has it, is no limit.
fn limit(text: &str) -> Result<usize, &'static str> {
    let most: i64 = number(text).ok_or(CONNECTIONS)?;
    usize::try_from(most.max(0)).map_err(|_| CONNECTIONS)
}

/// An address, or the first one of a name.
fn address(text: &str) -> Result<IpAddr, &'static str> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let mut found = (text, 0).to_socket_addrs().map_err(|_| ADDRESS)?;
    found.next().map(|found| found.ip()).ok_or(ADDRESS)
}

pub(super) fn millis(text: &str) -> Option<Duration> {
    number::<u32>(text).filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into()))
}

/// -1 is the default, and less is none as 0 is.
fn session_timeout(value: &str) -> Result<Option<Duration>, &'static str> {
    let ms: i32 = number(value).ok_or("a number of milliseconds, or -1")?;
    Ok((ms != -1).then(|| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}

/// As Java's `Boolean.parseBoolean`, but what is neither is refused.
pub(super) fn switch(value: &str) -> Result<bool, &'static str> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false"),
    }
}

/// Properties of ours that Apache reads without `zookeeper.` before them.
pub(super) const BARE: &[&str] = &[
    "readonlymode.enabled",
    "java.security.auth.login.config",
    "jute.maxbuffer",
    "znode.container.checkIntervalMs",
    "znode.container.maxPerMinute",
    "znode.container.maxNeverUsedIntervalMs",
];
const PORT: &str = "a port from 0 to 65535";
const TICKS: &str = "a number of ticks";
const SERVER: &str = "host:port:port[:role][;[address:]port], sid:sid… or a number";
const ADDRESS: &str = "an IP address, or a name that is one's";
pub(super) const CONNECTIONS: &str = "a number of connections, or 0";
pub(super) const MILLIS: &str = "a number of milliseconds above 0";
/// A frame's length is a signed 32-bit number; half of that leaves room for what a transaction adds.
const MAX_REQUEST: usize = 1 << 30;

/// Keys of Apache's that a member understands later.
const NOT_YET: &[&str] = &[
    "admin.forceHttps",
    "admin.needClientAuth",
    "admin.portUnification",
    "audit.impl.class",
    "clientPortListenBacklog",
    "clientTcpKeepAlive",
    "connectToLearnerMasterLimit",
    "datadir.autocreate",
    "db.autocreate",
    "enableEagerACLCheck",
    "fastleader.maxNotificationInterval",
    "fastleader.minNotificationInterval",
    "fsync.warningthresholdms",
    "leader.maxConcurrentDiffSyncs",
    "leader.maxConcurrentSnapSyncs",
    "leader.maxTimeToWaitForEpoch",
    "leaderConnectDelayDuringRetryMs",
    "nio.sessionlessCnxnTimeout",
    "observer.election.DelayMs",
    "observer.reconnectDelayMs",
    "oraclePath",
    "quorumCnxnTimeoutMs",
    "serializeLastProcessedZxid.enabled",
    "snapshotSizeFactor",
    "tcpKeepAlive",
    "syncEnabled",
    "commitLogCount",
    "txnLogSizeLimitInKb",
    "flushDelay",
    "maxBatchSize",
    "leaderServes",
];
