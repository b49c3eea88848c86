//! TLS: certificates from files, read again when they change, and the id a client's certificate proves.
//!
//! Lives here: from files to a configuration of rustls, from a certificate to a name. Must not: touch sockets
//! (`socket`, `peers`). Start at [`Tls::load`] for clients and at [`PeerTls::load`] for members.

mod names;
mod peers;
mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::stores::StoreFile;
pub(crate) use names::subject;
pub(crate) use peers::PeerTls;
pub use peers::PeerTlsConfig;
use reload::Reloaded;

/// How clients may speak TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsConfig {
    /// Where clients must speak TLS; `None`: no such port. Port 0 takes a free one.
    pub secure_addr: Option<SocketAddr>,
    /// Whether clients may speak TLS on the plain port, too.
    pub unify: bool,
    /// The versions of TLS that are spoken.
    pub versions: TlsVersions,
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

/// Which versions of TLS are spoken; there is nothing older.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersions {
    /// The newest that both sides know.
    #[default]
    Both,
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl TlsVersions {
    /// As `zoo.cfg` lists them. `Err`: what it must be.
    pub(crate) fn parse(list: &str) -> Result<Self, &'static str> {
        let mut both = [false; 2];
        for name in list.split(',') {
            match name.trim() {
                "TLSv1.2" => both[0] = true,
                "TLSv1.3" => both[1] = true,
                _ => return Err("TLSv1.2, TLSv1.3, or both with a comma between them"),
            }
        }
        Ok(match both {
            [true, false] => Self::Tls12,
            [false, true] => Self::Tls13,
            _ => Self::Both,
        })
    }

    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];
        static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::Both => rustls::DEFAULT_VERSIONS,
            Self::Tls12 => &ONLY_12,
            Self::Tls13 => &ONLY_13,
        }
    }
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

impl ClientAuth {
    /// As `zoo.cfg` writes it. `Err`: what it must be.
    pub(crate) fn parse(word: &str) -> Result<Self, &'static str> {
        match word.to_ascii_lowercase().as_str() {
            "need" => Ok(Self::Need),
            "want" => Ok(Self::Want),
            "none" => Ok(Self::None),
            _ => Err("need, want or none"),
        }
    }
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

/// What clients are served with.
#[derive(Debug)]
pub(crate) struct Tls {
    server: Reloaded<Arc<ServerConfig>>,
    super_user: Option<String>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let TlsConfig { versions, key_store, trust_store, client_auth, reload, super_user, .. } =
            config;
        let files = std::iter::once(&key_store).chain(&trust_store);
        let files = files.map(|file| file.path.clone()).collect();
        let make =
            move || server(&key_store, trust_store.as_ref(), client_auth, versions).map(Arc::new);
        Ok(Self { server: Reloaded::load(files, reload, make)?, super_user })
    }

    /// What a new connection is to use.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.current()
    }

    /// Whether a name in a certificate is above all ACLs.
    pub(crate) fn is_super(&self, name: &str) -> bool {
        self.super_user.as_deref() == Some(name)
    }
}

fn server(
    key_store: &StoreFile,
    trust_store: Option<&StoreFile>,
    client_auth: ClientAuth,
    versions: TlsVersions,
) -> Result<ServerConfig, TlsError> {
    let (chain, key) = identity(key_store)?;
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions.list())
        .map_err(|error| unfit(key_store, error))?;
    let builder = match (trust_store, client_auth) {
        (None, ClientAuth::Need) => {
            return Err(lacks(
                key_store,
                "trust store beside it, and clients need certificates; name one, or set ssl.clientAuth=none",
            ));
        }
        (_, ClientAuth::None) | (None, ClientAuth::Want) => builder.with_no_client_auth(),
        (Some(trust), auth) => {
            let roots = roots(trust)?.into();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match auth {
                ClientAuth::Want => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder
                .with_client_cert_verifier(verifier.build().map_err(|error| unfit(trust, error))?)
        }
    };
    let mut server =
        builder.with_single_cert(chain, key).map_err(|error| unfit(key_store, error))?;
    // Idle sessions are many: none keeps more than it must.
    server.max_fragment_size = None;
    server.send_half_rtt_data = false;
    Ok(server)
}

/// Who this member is: its certificates, its own first, and their key.
fn identity(
    file: &StoreFile,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let store = file.open()?;
    let key = store.key.ok_or_else(|| lacks(file, "private key that needs no password"))?;
    if store.chain.is_empty() {
        return Err(lacks(file, "certificate of its key"));
    }
    Ok((store.chain, key))
}

/// Those that others' certificates must be signed by.
fn roots(file: &StoreFile) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in file.open()?.trusted {
        roots.add(certificate).map_err(|error| unfit(file, error))?;
    }
    if roots.is_empty() {
        return Err(lacks(file, "certificate that is trusted"));
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn lacks(file: &StoreFile, what: &'static str) -> TlsError {
    TlsError::Lacks { path: file.path.clone(), what }
}

fn unfit(
    file: &StoreFile,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TlsError {
    TlsError::Unfit { path: file.path.clone(), source: source.into() }
}
