//! TLS for clients: certificates from files, read again when they change, and the id a client's
//! certificate proves.
//!
//! Lives here: from files to a configuration of rustls, from a certificate to a name. Must not: touch sockets
//! (`socket`). Start at [`Tls::load`].

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::stores::StoreFile;

/// How clients may speak TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsConfig {
    /// Where clients must speak TLS; `None`: no such port. Port 0 takes a free one.
    pub secure_addr: Option<SocketAddr>,
    /// Whether clients may speak TLS on the plain port, too.
    pub unify: bool,
    /// The server's private key and its chain of certificates.
    pub key_store: StoreFile,
    /// The certificates that clients' are signed by; `None`: clients have none.
    pub trust_store: Option<StoreFile>,
    /// Whether a client must have a certificate.
    pub client_auth: ClientAuth,
    /// Whether the files are read again when they change.
    pub reload: bool,
    /// The name in a certificate that is above all ACLs.
    pub super_user: Option<String>,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientAuth {
    /// Without one nobody gets in.
    #[default]
    Need,
    /// One that is shown must be good.
    Want,
    /// They are not asked.
    None,
}

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// None of the forms that are read.
    #[error("{} is no PEM, JKS or PKCS #12 file; keytool -importkeystore -deststoretype PKCS12 makes one of what Java reads", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// Something is not in a file that must be.
    #[error("{} holds no {what}", path.display())]
    Lacks {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// What the files hold does not fit together.
    #[error("{} cannot be used", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The configuration in use, and when it was made from which files.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    server: Arc<ServerConfig>,
    stamps: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let stamps = stamps(&config);
        let server = Arc::new(server(&config)?);
        let current = Current { server, stamps, looked: Instant::now() };
        Ok(Self { config, current: Mutex::new(current) })
    }

    /// What a new connection is to use. Files that have changed are read first; when they cannot be used,
    /// the ones before are kept.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().expect("nobody panics while reading certificates");
        if self.config.reload && current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let stamps = stamps(&self.config);
            if stamps != current.stamps {
                match server(&self.config) {
                    Ok(server) => {
                        tracing::info!("the certificates have changed and are in use");
                        current.server = Arc::new(server);
                    }
                    Err(error) => {
                        let error = crate::load::words(&error);
                        tracing::error!(error, "the changed certificates cannot be used");
                    }
                }
                current.stamps = stamps;
            }
        }
        Arc::clone(&current.server)
    }

    /// Whether a name in a certificate is above all ACLs.
    pub(crate) fn is_super(&self, name: &str) -> bool {
        self.config.super_user.as_deref() == Some(name)
    }
}

/// The subject of a certificate as Java spells it (RFC 2253): the last part first.
pub(crate) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(spell(certificate.subject()))
}

fn spell(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let one = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
                let oid = attribute.attr_type().to_id_string();
                match (keyword(&oid), attribute.as_str()) {
                    (Some(keyword), Ok(text)) => format!("{keyword}={}", escape(text)),
                    // Java gives what it has no word for as the bytes of the value.
                    _ => format!("{oid}=#{}", der(attribute)),
                }
            };
            rdn.iter().map(one).collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn der(attribute: &x509_parser::x509::AttributeTypeAndValue<'_>) -> String {
    use std::fmt::Write as _;
    let value = attribute.attr_value();
    let mut bytes = vec![u8::try_from(value.tag().0).unwrap_or(0)];
    match u8::try_from(value.data.len()) {
        Ok(length @ 0..=0x7f) => bytes.push(length),
        Ok(length) => bytes.extend([0x81, length]),
        Err(_) => {
            let length = u16::try_from(value.data.len()).unwrap_or(u16::MAX).to_be_bytes();
            bytes.extend([0x82, length[0], length[1]]);
        }
    }
    bytes.extend_from_slice(value.data);
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("strings grow");
        out
    })
}

fn keyword(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => return None,
    })
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        let edge_blank = c == ' ' && (at == 0 || at == last);
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || edge_blank
            || c == '#' && at == 0
        {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn server(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let lacks = |file: &StoreFile, what| TlsError::Lacks { path: file.path.clone(), what };
    let unfit = |file: &StoreFile, error: rustls::Error| TlsError::Unfit {
        path: file.path.clone(),
        source: error.into(),
    };
    let file = &config.key_store;
    let store = file.open()?;
    let key = store.key.ok_or_else(|| lacks(file, "private key that needs no password"))?;
    if store.chain.is_empty() {
        return Err(lacks(file, "certificate of its key"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(file, error))?;
    let builder = match (&config.trust_store, config.client_auth) {
        (None, ClientAuth::Need) => {
            return Err(lacks(
                file,
                "trust store beside it, and clients need certificates; name one, or set ssl.clientAuth=none",
            ));
        }
        (_, ClientAuth::None) | (None, ClientAuth::Want) => builder.with_no_client_auth(),
        (Some(trust), auth) => {
            let mut roots = RootCertStore::empty();
            for certificate in trust.open()?.trusted {
                roots.add(certificate).map_err(|error| unfit(trust, error))?;
            }
            if roots.is_empty() {
                return Err(lacks(trust, "certificate that is trusted"));
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let verifier = match auth {
                ClientAuth::Want => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|error| TlsError::Unfit {
                path: trust.path.clone(),
                source: error.into(),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server =
        builder.with_single_cert(store.chain, key).map_err(|error| unfit(file, error))?;
    // Idle sessions are many: none keeps more than it must.
    server.max_fragment_size = None;
    server.send_half_rtt_data = false;
    Ok(server)
}

fn stamps(config: &TlsConfig) -> Vec<Option<SystemTime>> {
    let files = std::iter::once(&config.key_store).chain(&config.trust_store);
    files.map(|file| fs::metadata(&file.path).and_then(|found| found.modified()).ok()).collect()
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_spelled_as_java_spells_it() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, text) in [
            (rcgen::DnType::CountryName, "DE"),
            (rcgen::DnType::OrganizationName, "Acme, Inc."),
            (rcgen::DnType::CommonName, "zk client"),
        ] {
            params.distinguished_name.push(kind, text);
        }
        let key = rcgen::KeyPair::generate().expect("random bytes");
        let certificate = params.self_signed(&key).expect("it can be signed");
        let name = subject(certificate.der()).expect("it is a certificate");
        assert_eq!(name, "CN=zk client,O=Acme\\, Inc.,C=DE");
        assert_eq!(subject(b"nonsense"), None);
    }
}
