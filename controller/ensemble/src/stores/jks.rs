//! Java's own form of a key store, and its way to encrypt a key.
//!
//! Integers are big-endian and strings carry 16 bits of length. A private key is XORed with a stream of SHA-1 sums; the
//! whole ends in a SHA-1 sum over the password, a fixed phrase and all before it.

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};
use x509_parser::asn1_rs::{OctetString, Sequence, oid};
use x509_parser::prelude::FromDer;
use x509_parser::x509::AlgorithmIdentifier;

use super::{Store, StoreError};

pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

pub(super) fn open(bytes: &[u8], password: &str) -> Result<Store, StoreError> {
    let password: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let (body, sum) = bytes.split_last_chunk::<SUM>().ok_or(StoreError::Damaged)?;
    // Java, too, opens without a password what holds nothing secret.
    let sealed = Sha1::new().chain_update(&password).chain_update(PHRASE).chain_update(body);
    if !password.is_empty() && sealed.finalize().as_slice() != sum {
        return Err(StoreError::Password);
    }
    let mut rest = Reader(body);
    rest.take(MAGIC.len())?;
    let version = rest.number()?;
    if !(1..=2).contains(&version) {
        return Err(StoreError::Version(version));
    }
    let mut store = Store::default();
    for _ in 0..rest.number()? {
        let kind = rest.number()?;
        rest.string()?;
        rest.take(TIME)?;
        match kind {
            PRIVATE_KEY => {
                let key = rest.bytes()?;
                let mut chain = Vec::new();
                for _ in 0..rest.number()? {
                    chain.push(rest.certificate(version)?);
                }
                if store.key.is_none() {
                    let key = PrivatePkcs8KeyDer::from(decrypt(key, &password)?);
                    store.key = Some(key.into());
                    store.chain = chain;
                }
            }
            TRUSTED => store.trusted.push(rest.certificate(version)?),
            _ => return Err(StoreError::Damaged),
        }
    }
    Ok(store)
}

/// The PKCS #8 bytes of a key.
fn decrypt(wrapped: &[u8], password: &[u8]) -> Result<Vec<u8>, StoreError> {
    let (_, wrapped) = Sequence::from_der(wrapped).map_err(|_| StoreError::Damaged)?;
    let (rest, algorithm) =
        AlgorithmIdentifier::from_der(&wrapped.content).map_err(|_| StoreError::Damaged)?;
    // Sun's "JavaSoft proprietary key-protection algorithm".
    if algorithm.algorithm != oid!(1.3.6.1.4.1.42.2.17.1.1) {
        return Err(StoreError::KeyProtection);
    }
    let (_, sealed) = OctetString::from_der(rest).map_err(|_| StoreError::Damaged)?;
    let (salt, rest) = sealed.as_ref().split_first_chunk::<SUM>().ok_or(StoreError::Damaged)?;
    let (hidden, check) = rest.split_last_chunk::<SUM>().ok_or(StoreError::Damaged)?;
    let mut key = hidden.to_vec();
    let mut stream = salt.to_vec();
    for block in key.chunks_mut(SUM) {
        stream = Sha1::new().chain_update(password).chain_update(&stream).finalize().to_vec();
        block.iter_mut().zip(&stream).for_each(|(byte, mask)| *byte ^= mask);
    }
    let sum = Sha1::new().chain_update(password).chain_update(&key).finalize();
    if sum.as_slice() == check { Ok(key) } else { Err(StoreError::Password) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(StoreError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, StoreError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(StoreError::Damaged)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    fn string(&mut self) -> Result<&'a [u8], StoreError> {
        let length = self.take(2)?;
        self.take(usize::from(u16::from_be_bytes([length[0], length[1]])))
    }

    fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let length = usize::try_from(self.number()?).map_err(|_| StoreError::Damaged)?;
        self.take(length)
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, StoreError> {
        // Version 1 knows only one kind, and does not name it.
        if version > 1 {
            self.string()?;
        }
        Ok(CertificateDer::from(self.bytes()?.to_vec()))
    }
}

const PHRASE: &[u8] = b"Mighty Aphrodite";
const PRIVATE_KEY: u32 = 1;
const TRUSTED: u32 = 2;
const SUM: usize = 20;
/// Milliseconds since 1970 when the entry was made.
const TIME: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Both were made by Java's `keytool`, for a key on a curve.
    const KEYS: &[u8] = include_bytes!("../../tests/data/keys.jks");
    const TRUST: &[u8] = include_bytes!("../../tests/data/trust.jks");

    #[test]
    fn what_keytool_wrote_is_read() {
        let keys = open(KEYS, "pass word").expect("it is whole");
        let trust = open(TRUST, "pass word").expect("it is whole");
        assert_eq!(keys.chain, trust.trusted);
        assert!(trust.key.is_none() && keys.trusted.is_empty());
        let provider = rustls::crypto::ring::default_provider();
        let fit = rustls::sign::CertifiedKey::from_der(
            keys.chain.clone(),
            super::super::pkcs8::completed(keys.key.expect("there is one"), keys.chain.first()),
            &provider,
        );
        fit.expect("the key is that of its certificate");
        assert_eq!(open(TRUST, "").expect("nothing in it is secret").trusted, trust.trusted);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let error = |bytes: &[u8], password: &str| open(bytes, password).expect_err("it is wrong");
        assert!(matches!(error(KEYS, "password"), StoreError::Password));
        assert!(matches!(error(KEYS, ""), StoreError::Password));
        for cut in MAGIC.len()..KEYS.len() {
            error(&KEYS[..cut], "pass word");
            // Without the check of the whole.
            let _ = open(&KEYS[..cut], "");
        }
        let mut changed = KEYS.to_vec();
        for at in MAGIC.len()..KEYS.len() {
            changed[at] ^= 0xff;
            error(&changed, "pass word");
            let _ = open(&changed, "");
            changed[at] ^= 0xff;
        }
    }
}
