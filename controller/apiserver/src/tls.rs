//! TLS: what the server shows, and who the client is.
//!
//! Client certificates are asked for and not demanded: a client without one is anonymous.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::auth::User;
use crate::pki::Pair;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up with the certificates in the directory: {0}")]
pub struct TlsError(String);

/// The certificate shown to clients; it can be replaced while serving.
#[derive(Debug)]
pub(crate) struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    pub(crate) fn new(pair: &Pair) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(Arc::new(certified(pair)?)))))
    }

    pub(crate) fn replace(&self, pair: &Pair) -> Result<(), TlsError> {
        let fresh = Arc::new(certified(pair)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// HTTP/2 and HTTP/1.1 over TLS 1.2 and 1.3, with optional client certificates of `ca`.
pub(crate) fn config(shown: Arc<Shown>, ca: &Pair) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&ca.certificate)?).map_err(fail)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(fail)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fail)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The user a verified client certificate names: common name and organizations.
pub(crate) fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok())
        .map(str::to_owned)
        .collect();
    Some(User::authenticated(name, groups))
}

fn certified(pair: &Pair) -> Result<CertifiedKey, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(fail)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(fail)?;
    Ok(CertifiedKey::new(vec![certificate(&pair.certificate)?], key))
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(fail)
}

fn fail(error: impl std::fmt::Display) -> TlsError {
    TlsError(error.to_string())
}
