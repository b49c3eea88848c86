//! Certificates, made for one test.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// An authority, and what it has signed.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        // Told apart by name too: else a stranger's signature would be looked at, and not only its issuer.
        static MADE: AtomicU32 = AtomicU32::new(1);
        let name = format!("authority {}", MADE.fetch_add(1, Relaxed));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("random bytes");
        let certificate = params.self_signed(&key).expect("it can be signed");
        Self { issuer: rcgen::Issuer::new(params, key), certificate }
    }

    /// A certificate of `name` for `host`, a name or an address.
    fn sign(&self, name: &str, host: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).expect("a good name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().expect("random bytes");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        (certificate, key)
    }

    /// Writes `server.pem` and `trust.pem`.
    pub(crate) fn write_server(&self, dir: &Path, name: &str, host: &str) {
        let (certificate, key) = self.sign(name, host);
        let both = key.serialize_pem() + &certificate.pem();
        fs::write(dir.join("server.pem"), both).expect("it is writable");
        fs::write(dir.join("trust.pem"), self.certificate.pem()).expect("it is writable");
    }

    /// How one with a certificate of `name` calls, or one without.
    pub(crate) fn client(&self, name: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots);
        Arc::new(match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (certificate, key) = self.sign(name, "localhost");
                let chain = vec![CertificateDer::from(certificate)];
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
                builder.with_client_auth_cert(chain, key).expect("they fit")
            }
        })
    }
}
