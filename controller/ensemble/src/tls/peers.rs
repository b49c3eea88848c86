//! TLS between members: each shows a certificate, and the one that is called shows one for the name that it is
//! called by.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::names::common_name;
use super::{
    ClientAuth, Reloaded, TlsError, TlsVersions, identity, provider, roots, server, unfit,
};
use crate::stores::StoreFile;

/// How members speak TLS with each other, on the ports for votes and for learners.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerTlsConfig {
    /// Whether this member calls others by TLS, and takes no calls without.
    pub speak: bool,
    /// Whether calls are taken with and without TLS: while the members change over, one after the other.
    pub unify: bool,
    /// The versions of TLS that are spoken.
    pub versions: TlsVersions,
    /// This member's private key and its chain of certificates.
    pub key_store: StoreFile,
    /// The certificates that other members' are signed by.
    pub trust_store: StoreFile,
    /// Whether a member that calls must show a certificate.
    pub client_auth: ClientAuth,
    /// Whether the certificate of a member that is called must name the host as its line `server.N` does.
    pub check_names: bool,
    /// Whether the files are read again when they change.
    pub reload: bool,
}

/// What members are called and answered with.
#[derive(Debug)]
pub(crate) struct PeerTls {
    speak: bool,
    unify: bool,
    sides: Reloaded<Sides>,
}

#[derive(Clone)]
struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl PeerTls {
    /// Reads the files.
    pub(crate) fn load(config: PeerTlsConfig) -> Result<Self, TlsError> {
        let (speak, unify, reload) = (config.speak, config.unify, config.reload);
        let files = [&config.key_store, &config.trust_store].map(|file| file.path.clone());
        let make = move || {
            let (keys, trusted) = (&config.key_store, Some(&config.trust_store));
            let server = server(keys, trusted, config.client_auth, config.versions)?;
            Ok(Sides { server: Arc::new(server), client: Arc::new(client(&config)?) })
        };
        Ok(Self { speak, unify, sides: Reloaded::load(files.to_vec(), reload, make)? })
    }

    /// Whether calls without TLS are taken.
    pub(crate) fn takes_plain(&self) -> bool {
        self.unify || !self.speak
    }

    /// Whether calls by TLS are taken.
    pub(crate) fn takes_tls(&self) -> bool {
        self.unify || self.speak
    }

    /// How one that calls is answered.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.sides.current().server
    }

    /// How others are called; `None`: without TLS.
    pub(crate) fn client(&self) -> Option<Arc<ClientConfig>> {
        self.speak.then(|| self.sides.current().client)
    }
}

fn client(config: &PeerTlsConfig) -> Result<ClientConfig, TlsError> {
    let (chain, key) = identity(&config.key_store)?;
    let roots = roots(&config.trust_store)?;
    let provider = provider();
    let verifier =
        Verifier { roots, provider: Arc::clone(&provider), check_names: config.check_names };
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(config.versions.list())
        .map_err(|error| unfit(&config.key_store, error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key)
        .map_err(|error| unfit(&config.key_store, error))
}

/// As rustls has it but for the name, which may be left unchecked or be only in the subject, as Java takes it.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    check_names: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        if self.check_names
            && let Err(error) = verify_server_name(&certificate, server_name)
            && common_name(end_entity).as_deref() != Some(&*server_name.to_str())
        {
            return Err(error);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
