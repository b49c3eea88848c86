//! The keys that say how members prove to each other who they are.

use std::path::Path;

use super::keys::{Effect, Store, Versions, switch};
use super::{ConfigError, jaas};
use crate::{ClientAuth, PeerSaslConfig, PeerTlsConfig, SaslConfig};

/// What the file says of it.
#[derive(Debug)]
pub(super) struct Quorum {
    speak: bool,
    unify: bool,
    reload: bool,
    check_names: bool,
    client_auth: ClientAuth,
    versions: Versions,
    key_store: Store,
    trust_store: Store,
    sasl: bool,
    /// This member proves itself to those that it calls.
    proves: bool,
    /// Those that call it must.
    demands: bool,
    server_section: String,
    learner_section: String,
}

impl Default for Quorum {
    fn default() -> Self {
        Self {
            speak: false,
            unify: false,
            reload: false,
            check_names: true,
            client_auth: ClientAuth::Need,
            versions: Versions::default(),
            key_store: Store::default(),
            trust_store: Store::default(),
            sasl: false,
            proves: false,
            demands: false,
            server_section: "QuorumServer".to_owned(),
            learner_section: "QuorumLearner".to_owned(),
        }
    }
}

impl Quorum {
    /// Takes one key; `None`: it is about something else.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<Result<Effect, &'static str>> {
        self.try_set(key, value).transpose()
    }

    fn try_set(&mut self, key: &str, value: &str) -> Result<Option<Effect>, &'static str> {
        match key {
            "sslQuorum" => self.speak = switch(value)?,
            "portUnification" => self.unify = switch(value)?,
            "quorum.auth.enableSasl" => self.sasl = switch(value)?,
            "quorum.auth.learnerRequireSasl" => self.proves = switch(value)?,
            "quorum.auth.serverRequireSasl" => self.demands = switch(value)?,
            "quorum.auth.server.saslLoginContext" => value.clone_into(&mut self.server_section),
            "quorum.auth.learner.saslLoginContext" => value.clone_into(&mut self.learner_section),
            // Calls are answered as they come, without a pool.
            "quorum.cnxn.threads.size" => {}
            "quorum.auth.kerberos.servicePrincipal" => return Ok(Some(Effect::NotYet)),
            "sslQuorumReloadCertFiles" => self.reload = switch(value)?,
            _ => {
                let Some(key) = key.strip_prefix("ssl.quorum.") else { return Ok(None) };
                return self.set_ssl(key, value).map(Some);
            }
        }
        Ok(Some(Effect::Some))
    }

    fn set_ssl(&mut self, key: &str, value: &str) -> Result<Effect, &'static str> {
        if let Some(key) = key.strip_prefix("keyStore.") {
            return self.key_store.set(key, value);
        }
        if let Some(key) = key.strip_prefix("trustStore.") {
            return self.trust_store.set(key, value);
        }
        match key {
            "protocol" | "enabledProtocols" => self.versions.set(key, value)?,
            "clientAuth" => self.client_auth = ClientAuth::parse(value)?,
            "hostnameVerification" => self.check_names = switch(value)?,
            // As Apache has it in its FIPS mode, which is its default: only the one that is called is looked at.
            "clientHostnameVerification" | "allowReverseDnsLookup" if !switch(value)? => {}
            // Both are told by the first byte, however late it comes.
            "handshakeDetectionTimeoutMillis" => {}
            "clientHostnameVerification"
            | "allowReverseDnsLookup"
            | "ciphersuites"
            | "context.supplier.class" => return Ok(Effect::NotYet),
            // Somebody who asks for it must not believe to have it.
            "crl" | "ocsp" if switch(value)? => {
                return Err("false: revoked certificates are not looked up");
            }
            "crl" | "ocsp" => {}
            _ => return Ok(Effect::Unknown),
        }
        Ok(Effect::Some)
    }

    /// With the JAAS file that was named. What is asked for without what it needs is refused, as Apache does.
    pub(super) fn sasl(
        &self,
        file: Option<&Path>,
        missing: impl Fn(&'static str) -> ConfigError,
    ) -> Result<Option<PeerSaslConfig>, ConfigError> {
        if !self.sasl {
            return match self.proves || self.demands {
                true => Err(missing("quorum.auth.enableSasl")),
                false => Ok(None),
            };
        }
        if self.demands && !self.proves {
            // It could not join those that demand the same.
            return Err(missing("quorum.auth.learnerRequireSasl"));
        }
        let file = file.ok_or_else(|| missing("java.security.auth.login.config"))?;
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        let section =
            |name: &str| ConfigError::Section { path: file.to_owned(), section: name.to_owned() };
        let users = jaas::users(&text, &self.server_section);
        let users = users.ok_or_else(|| section(&self.server_section))?;
        let login = jaas::login(&text, &self.learner_section);
        let login = match self.proves {
            true => Some(login.ok_or_else(|| section(&self.learner_section))?),
            false => None,
        };
        let users = SaslConfig { users, super_users: Vec::new() };
        Ok(Some(PeerSaslConfig { users, login, required: self.demands }))
    }

    pub(super) fn tls(
        self,
        missing: impl Fn(&'static str) -> ConfigError,
    ) -> Result<Option<PeerTlsConfig>, ConfigError> {
        if !self.speak && !self.unify {
            return Ok(None);
        }
        let key_store = self.key_store.file()?;
        let trust_store = self.trust_store.file()?;
        Ok(Some(PeerTlsConfig {
            speak: self.speak,
            unify: self.unify,
            versions: self.versions.chosen(),
            key_store: key_store.ok_or_else(|| missing("ssl.quorum.keyStore.location"))?,
            trust_store: trust_store.ok_or_else(|| missing("ssl.quorum.trustStore.location"))?,
            client_auth: self.client_auth,
            check_names: self.check_names,
            reload: self.reload,
        }))
    }
}
