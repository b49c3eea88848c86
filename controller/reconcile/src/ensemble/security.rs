//! What `spec.tls` and `spec.authentication` mean: keys of `zoo.cfg`, and files with keys and passwords.
//!
//! Lives here: from Secrets to those files, and which fields contradict each other. Must not: read the API
//! (`observe`), or decide when members that run get it (`rungs`). Start at [`security`].

use std::collections::BTreeMap;
use std::fmt::Write;

use crds::{
    ClientCertificates, EnsembleAuthentication, EnsembleSpec, LocalRef, Plaintext, TlsSide, reasons,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use crate::conditions::Health;
use crate::platform::{PeerSecurity, PortWish};

/// Secrets by name, as far as they exist.
pub(crate) type Secrets = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// What the fields mean to every member.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Security {
    pub(crate) config: Vec<(String, String)>,
    /// Keys whose value is a file of `contents`.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) jaas: Option<String>,
    pub(crate) secure_port: Option<PortWish>,
    pub(crate) peers: PeerSecurity,
    /// Files by name.
    pub(crate) contents: BTreeMap<String, Vec<u8>>,
}

/// The Secrets that are named, each with the field that does.
pub(crate) fn named(spec: &EnsembleSpec) -> Vec<(&'static str, &LocalRef)> {
    let tls = spec.tls.as_ref();
    let auth = spec.authentication.as_ref();
    let named = [
        (CLIENT_TLS, tls.and_then(|tls| tls.client.as_ref()?.secret_ref.as_ref())),
        (PEER_TLS, tls.and_then(|tls| tls.peer.as_ref()?.secret_ref.as_ref())),
        (SASL_USERS, auth.and_then(|auth| auth.sasl_users.as_ref())),
        (PEER_USERS, auth.and_then(|auth| Some(&auth.peers.as_ref()?.secret_ref))),
    ];
    named.into_iter().filter_map(|(field, found)| Some((field, found?))).collect()
}

/// Decides. Pure and total. `super_digest`: the value that `spec.authentication.superDigest` names.
pub(crate) fn security(
    spec: &EnsembleSpec,
    secrets: &Secrets,
    super_digest: Option<&[u8]>,
) -> Result<Security, Health> {
    for (field, named) in named(spec) {
        if !secrets.contains_key(&named.name) {
            let message = format!(
                "Secret {} that {field} names does not exist; create it, or name another",
                named.name
            );
            return Err(Health::stalled(reasons::REFERENCE_NOT_FOUND, message));
        }
    }
    let mut security = Security::default();
    if let Some(side) = spec.tls.as_ref().and_then(|tls| tls.client.as_ref()) {
        security.client_tls(side, spec, secrets)?;
    } else if spec.ports.as_ref().is_some_and(|ports| ports.secure_client.is_some()) {
        return Err(invalid(
            "spec.ports.secureClient needs certificates; give spec.tls.client.secretRef, or remove it",
        ));
    }
    if let Some(side) = spec.tls.as_ref().and_then(|tls| tls.peer.as_ref()) {
        security.peer_tls(side, secrets)?;
    }
    if let Some(auth) = &spec.authentication {
        security.authentication(auth, spec, secrets, super_digest)?;
    }
    Ok(security)
}

impl Security {
    fn client_tls(
        &mut self,
        side: &TlsSide,
        spec: &EnsembleSpec,
        secrets: &Secrets,
    ) -> Result<(), Health> {
        if side.plaintext == Some(Plaintext::Refused) {
            return Err(Health::stalled(
                reasons::NOT_YET_SUPPORTED,
                "spec.tls.client.plaintext: Refused has no effect yet; the controller and masters speak without TLS \
                 (members listen on loopback only). Set it to Allowed",
            ));
        }
        let auth = client_auth(side);
        let files =
            [("ssl.keyStore.location", "client.pem"), ("ssl.trustStore.location", "client-ca.pem")];
        let files = self.store(CLIENT_TLS, side, secrets, files, auth)?;
        self.files.extend(files);
        let keys = [("ssl.clientAuth", auth), ("client.certReload", "true")];
        self.config.extend(keys.map(owned));
        let declared = spec.ports.as_ref().and_then(|ports| ports.secure_client);
        let declared = declared.and_then(|port| u16::try_from(port).ok());
        self.secure_port = Some(declared.map_or(PortWish::Chosen, PortWish::From));
        Ok(())
    }

    fn peer_tls(&mut self, side: &TlsSide, secrets: &Secrets) -> Result<(), Health> {
        let auth = client_auth(side);
        let files = [
            ("ssl.quorum.keyStore.location", "peer.pem"),
            ("ssl.quorum.trustStore.location", "peer-ca.pem"),
        ];
        // Whoever calls checks the one that is called, whatever that one checks.
        let files = self.store(PEER_TLS, side, secrets, files, "need")?;
        self.peers.tls_files = files;
        let keys = [
            ("ssl.quorum.clientAuth", auth),
            ("sslQuorumReloadCertFiles", "true"),
            // All are on loopback, which no certificate is for.
            ("ssl.quorum.hostnameVerification", "false"),
        ];
        self.peers.tls_config = keys.map(owned).into();
        self.peers.tls = if side.plaintext == Some(Plaintext::Allowed) { 2 } else { 3 };
        Ok(())
    }

    /// Checks a side's Secret and makes the two files of it that members read.
    fn store(
        &mut self,
        field: &str,
        side: &TlsSide,
        secrets: &Secrets,
        files: [(&str, &str); 2],
        auth: &str,
    ) -> Result<Vec<(String, String)>, Health> {
        let Some(secret_ref) = &side.secret_ref else {
            return Err(invalid(format!(
                "{field} is missing; name a Secret with tls.crt, tls.key and ca.crt as PEM \
                 (kubectl create secret generic NAME --from-file=tls.crt --from-file=tls.key --from-file=ca.crt)"
            )));
        };
        let name = &secret_ref.name;
        let Some(secret) = secrets.get(name) else { return Ok(Vec::new()) };
        let key = |key: &str| {
            secret.get(key).ok_or_else(|| {
                Health::stalled(
                    reasons::REFERENCE_NOT_FOUND,
                    format!("Secret {name} that {field} names has no key {key}; add it"),
                )
            })
        };
        let (chain, private) = (key("tls.crt")?, key("tls.key")?);
        check_pair(chain, private)
            .map_err(|why| invalid(format!("Secret {name} that {field} names: {why}")))?;
        let mut store = chain.clone();
        store.push(b'\n');
        store.extend_from_slice(private);
        let [(store_key, store_file), (trust_key, trust_file)] = files;
        self.contents.insert(store_file.to_owned(), store);
        let mut made = vec![(store_key.to_owned(), store_file.to_owned())];
        if auth != "none" {
            let trusted = key("ca.crt")?;
            check_roots(trusted)
                .map_err(|why| invalid(format!("Secret {name} that {field} names: {why}")))?;
            self.contents.insert(trust_file.to_owned(), trusted.clone());
            made.push((trust_key.to_owned(), trust_file.to_owned()));
        }
        Ok(made)
    }

    fn authentication(
        &mut self,
        auth: &EnsembleAuthentication,
        spec: &EnsembleSpec,
        secrets: &Secrets,
        super_digest: Option<&[u8]>,
    ) -> Result<(), Health> {
        if let Some(digest) = super_digest {
            let digest = std::str::from_utf8(digest).map(str::trim).unwrap_or_default();
            let hash = digest.split_once(':').map(|(_, hash)| hash).unwrap_or_default();
            if !digest.starts_with("super:")
                || hash.is_empty()
                || digest.contains(char::is_whitespace)
            {
                return Err(invalid(
                    "spec.authentication.superDigest: the value is not super:<digest>, where <digest> is the base64 of \
                     the SHA-1 of super:<password>",
                ));
            }
            self.config.push(owned(("DigestAuthenticationProvider.superDigest", digest)));
        }
        let mut jaas = String::new();
        if let Some(users) = &auth.sasl_users {
            let users = passwords(SASL_USERS, users, secrets)?;
            section(&mut jaas, "Server", &users, None);
            self.config.push(owned(("authProvider.sasl", SASL_PROVIDER)));
        }
        if let Some(peers) = &auth.peers {
            let users = passwords(PEER_USERS, &peers.secret_ref, secrets)?;
            let login = login(&users, peers.user.as_deref(), &peers.secret_ref.name)?;
            section(&mut jaas, "QuorumServer", &users, None);
            section(&mut jaas, "QuorumLearner", &BTreeMap::new(), Some(login));
            self.peers.sasl = 3;
            self.peers.login = Some(short_digest(login.0, login.1));
            self.peers.logins = users.iter().map(|(user, word)| short_digest(user, word)).collect();
        }
        if !jaas.is_empty() {
            // By its content: other users are another file, and members that run get it at their restart.
            let file = format!("users-{}.conf", short_digest("", &jaas));
            self.contents.insert(file.clone(), jaas.into_bytes());
            self.jaas = Some(file);
        }
        self.requirement(auth, spec)
    }

    /// Who has proven nothing may do nothing.
    fn requirement(
        &mut self,
        auth: &EnsembleAuthentication,
        spec: &EnsembleSpec,
    ) -> Result<(), Health> {
        if auth.required != Some(true) {
            return Ok(());
        }
        let side = spec.tls.as_ref().and_then(|tls| tls.client.as_ref());
        let by_certificate = side.is_some_and(|side| client_auth(side) != "none");
        let schemes: Vec<&str> = [(auth.sasl_users.is_some(), "sasl"), (by_certificate, "x509")]
            .into_iter()
            .filter_map(|(known, scheme)| known.then_some(scheme))
            .collect();
        if schemes.is_empty() {
            return Err(invalid(
                "spec.authentication.required: nobody could prove anything; give spec.authentication.saslUsers, or \
                 spec.tls.client with clientCertificates: Required, or remove it",
            ));
        }
        self.config.push(owned(("enforce.auth.enabled", "true")));
        self.config.push(owned(("enforce.auth.schemes", &schemes.join(","))));
        Ok(())
    }
}

fn client_auth(side: &TlsSide) -> &'static str {
    match side.client_certificates {
        None | Some(ClientCertificates::Required) => "need",
        Some(ClientCertificates::Optional) => "want",
        Some(ClientCertificates::Ignored) => "none",
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn invalid(message: impl Into<String>) -> Health {
    Health::stalled(reasons::INVALID_SPEC, message)
}

/// Users and passwords of a Secret.
fn passwords<'a>(
    field: &str,
    named: &LocalRef,
    secrets: &'a Secrets,
) -> Result<BTreeMap<&'a str, &'a str>, Health> {
    let name = &named.name;
    let mut users = BTreeMap::new();
    for (user, word) in secrets.get(name).into_iter().flatten() {
        let word = std::str::from_utf8(word).ok().map(|word| word.trim_end_matches(['\r', '\n']));
        let word = word.filter(|word| !word.is_empty() && !word.contains(char::is_control));
        let Some(word) = word else {
            return Err(invalid(format!(
                "Secret {name} that {field} names: the password of {user} is empty or not one line of text; write another"
            )));
        };
        users.insert(user.as_str(), word);
    }
    if users.is_empty() {
        return Err(Health::stalled(
            reasons::REFERENCE_NOT_FOUND,
            format!(
                "Secret {name} that {field} names has no users; add one \
                 (kubectl create secret generic {name} --from-literal=USER=PASSWORD)"
            ),
        ));
    }
    Ok(users)
}

fn login<'a>(
    users: &BTreeMap<&'a str, &'a str>,
    named: Option<&str>,
    secret: &str,
) -> Result<(&'a str, &'a str), Health> {
    let mut all = users.iter().map(|(user, word)| (*user, *word));
    let known = || users.keys().copied().collect::<Vec<_>>().join(", ");
    match (named, users.len()) {
        (Some(name), _) => all.find(|(user, _)| *user == name).ok_or_else(|| {
            let message = format!(
                "spec.authentication.peers.user: Secret {secret} has no user {name}, but {}; name one of them",
                known()
            );
            Health::stalled(reasons::REFERENCE_NOT_FOUND, message)
        }),
        (None, 1) => all.next().ok_or_else(|| invalid("unreachable without users")),
        (None, _) => Err(invalid(format!(
            "spec.authentication.peers.user is missing: Secret {secret} has the users {}; name the one that members \
             call each other as",
            known()
        ))),
    }
}

/// One section of a JAAS file.
fn section(
    text: &mut String,
    name: &str,
    users: &BTreeMap<&str, &str>,
    login: Option<(&str, &str)>,
) {
    write!(text, "{name} {{\n  {LOGIN_MODULE} required").expect("a String takes all");
    let users = users.iter().map(|(user, word)| (format!("user_{user}"), *word));
    let login = login
        .into_iter()
        .flat_map(|(user, word)| [("username".to_owned(), user), ("password".to_owned(), word)]);
    for (key, value) in users.chain(login) {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        write!(text, "\n  {key}=\"{value}\"").expect("a String takes all");
    }
    text.push_str(";\n};\n");
}

/// Tells apart what it is made of, and nothing else.
fn short_digest(name: &str, secret: &str) -> String {
    let digest = Sha256::new().chain_update(name).chain_update([0]).chain_update(secret).finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the private key is that of the first certificate.
fn check_pair(chain: &[u8], private: &[u8]) -> Result<(), String> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|why| format!("tls.crt is no PEM: {why}"))?;
    if chain.is_empty() {
        return Err(
            "tls.crt holds no certificate; it begins with -----BEGIN CERTIFICATE-----".into()
        );
    }
    let private = PrivateKeyDer::from_pem_slice(private).map_err(|_| {
        "tls.key holds no private key without a password, as PEM; openssl pkey -in KEY writes it so".to_owned()
    })?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map(drop).map_err(|why| match why {
        rustls::Error::InconsistentKeys(_) => {
            "tls.key is not the key of the first certificate of tls.crt; put the two together that belong together"
                .to_owned()
        }
        why => format!("tls.crt and tls.key cannot be used: {why}"),
    })
}

fn check_roots(trusted: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted) {
        let certificate = certificate.map_err(|why| format!("ca.crt is no PEM: {why}"))?;
        roots.add(certificate).map_err(|why| format!("ca.crt cannot be used: {why}"))?;
    }
    if roots.is_empty() {
        return Err(
            "ca.crt holds no certificate; it begins with -----BEGIN CERTIFICATE-----".into()
        );
    }
    Ok(())
}

const CLIENT_TLS: &str = "spec.tls.client.secretRef";
const PEER_TLS: &str = "spec.tls.peer.secretRef";
const SASL_USERS: &str = "spec.authentication.saslUsers";
const PEER_USERS: &str = "spec.authentication.peers.secretRef";
const SASL_PROVIDER: &str = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
const LOGIN_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

#[cfg(test)]
#[path = "security_tests.rs"]
mod tests;
