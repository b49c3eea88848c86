//! Files with keys and certificates, in the forms that ZooKeeper's users have them: PEM, JKS, PKCS #12.
//!
//! Lives here: from a file and its password to what is in it; the form is told by the bytes. Must not: decide who
//! is trusted (`tls`). Start at [`StoreFile::open`].

mod jks;
mod pkcs8;

use std::fmt;
use std::fs;
use std::path::PathBuf;

use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::TlsError;

/// A file with keys or certificates: PEM, Java's own JKS, or PKCS #12.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreFile {
    /// The file.
    pub path: PathBuf,
    /// What opens it; PEM needs none.
    pub password: Option<Password>,
}

impl From<PathBuf> for StoreFile {
    fn from(path: PathBuf) -> Self {
        Self { path, password: None }
    }
}

/// A word that is not printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(String);

impl Password {
    /// Takes it as it is.
    pub fn new(word: String) -> Self {
        Self(word)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// The first private key.
    pub(crate) key: Option<PrivateKeyDer<'static>>,
    /// The certificates of that key, its own first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Those that others' may be signed by.
    pub(crate) trusted: Vec<CertificateDer<'static>>,
}

/// Why what is in a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("it is cut short or damaged")]
    Damaged,
    #[error("its password is wrong, or it was changed by another hand")]
    Password,
    #[error("a JKS file of version {0}; versions 1 and 2 are known")]
    Version(u32),
    #[error("its key is encrypted in a way that is not Java's own")]
    KeyProtection,
    #[error(transparent)]
    Pkcs12(#[from] p12_keystore::error::Error),
    #[error(transparent)]
    Pem(#[from] rustls::pki_types::pem::Error),
}

impl StoreFile {
    /// Whether it can be read and opened, and holds what its form says.
    pub fn check(&self) -> Result<(), TlsError> {
        self.open().map(drop)
    }

    pub(crate) fn open(&self) -> Result<Store, TlsError> {
        let path = || self.path.clone();
        let bytes =
            fs::read(&self.path).map_err(|source| TlsError::Read { path: path(), source })?;
        let password = self.password.as_ref().map_or("", |password| &password.0);
        let opened = match bytes.as_slice() {
            bytes if bytes.starts_with(&jks::MAGIC) => jks::open(bytes, password),
            bytes if is_pem(bytes) => pem(bytes),
            [DER_SEQUENCE, ..] => pkcs12(&bytes, password),
            _ => return Err(TlsError::Form { path: path() }),
        };
        let mut store =
            opened.map_err(|source| TlsError::Unfit { path: path(), source: source.into() })?;
        store.key = store.key.map(|key| pkcs8::completed(key, store.chain.first()));
        Ok(store)
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(10).any(|ten| ten == b"-----BEGIN")
}

fn pem(bytes: &[u8]) -> Result<Store, StoreError> {
    let chain = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>()?;
    // A file of certificates has no key, and a key with a password is none here.
    let key = PrivateKeyDer::from_pem_slice(bytes).ok();
    Ok(Store { key, trusted: chain.clone(), chain })
}

fn pkcs12(bytes: &[u8], password: &str) -> Result<Store, StoreError> {
    let linked = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict)?;
    let mut store = Store::default();
    if let Some((_, chain)) = linked.private_key_chain() {
        store.key = Some(PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec()).into());
        store.chain = chain.certs().iter().map(der).collect();
    }
    // Java marks the certificates that it trusts, others do not.
    let all = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Raw)?;
    store.trusted.extend(all.entries().filter_map(|(_, entry)| match entry {
        KeyStoreEntry::Certificate(certificate) => Some(der(certificate)),
        _ => None,
    }));
    Ok(store)
}

fn der(certificate: &p12_keystore::Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.as_der().to_vec())
}

/// What a PKCS #12 file begins with.
const DER_SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and its certificate as `p12-keystore` writes them, and as it writes what is only trusted.
    fn files() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().expect("random bytes");
        let params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        let signed = params.self_signed(&key).expect("it can be signed");
        let certificate = || p12_keystore::Certificate::from_der(signed.der()).expect("it is one");
        let pkcs8 = p12_keystore::PrivateKey::from_der(&key.serialize_der()).expect("it is one");
        let chain = p12_keystore::PrivateKeyChain::new("1", pkcs8, [certificate()]);
        let mut keys = KeyStore::new();
        keys.add_entry("server", KeyStoreEntry::PrivateKeyChain(chain));
        let mut trust = KeyStore::new();
        trust.add_entry("ca", KeyStoreEntry::Certificate(certificate()));
        let write = |store: &KeyStore| store.writer("secret").write().expect("it is written");
        (write(&keys), write(&trust), signed.der().to_vec())
    }

    #[test]
    fn the_form_is_told_by_the_bytes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (keys, trust, certificate) = files();
        let file = |bytes: &[u8], password: &str| {
            let path = dir.path().join("store");
            fs::write(&path, bytes).expect("it is writable");
            StoreFile { path, password: Some(Password::new(password.to_owned())) }
        };
        let store = file(&keys, "secret").open().expect("it is PKCS #12");
        assert!(store.key.is_some());
        assert_eq!(store.chain, [CertificateDer::from(certificate.clone())]);
        let store = file(&trust, "secret").open().expect("it is PKCS #12");
        assert!(store.key.is_none());
        assert_eq!(store.trusted, [CertificateDer::from(certificate)]);
        let error = file(&keys, "wrong").open().expect_err("another password").to_string();
        assert!(error.ends_with("store cannot be used"), "{error}");
        for cut in (1..keys.len()).step_by(61) {
            file(&keys[..cut], "secret").open().expect_err("it is cut short");
        }
        let error = file(b"key=value", "").open().expect_err("none of them").to_string();
        assert!(error.contains("store is no PEM, JKS or PKCS #12 file"), "{error}");
        assert!(!format!("{:?}", file(b"", "secret")).contains("secret"));
    }
}
