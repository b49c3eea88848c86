//! Private keys on curves as Java writes them: without their public half, which `ring` wants to see.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::asn1_rs::{Any, OctetString, Sequence, oid};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AlgorithmIdentifier;

/// The key with the public half that its certificate holds; as it is when that is not what it lacks.
pub(super) fn completed(
    key: PrivateKeyDer<'static>,
    certificate: Option<&CertificateDer<'_>>,
) -> PrivateKeyDer<'static> {
    let PrivateKeyDer::Pkcs8(pkcs8) = &key else { return key };
    match certificate.and_then(|certificate| with_public(pkcs8.secret_pkcs8_der(), certificate)) {
        Some(whole) => PrivatePkcs8KeyDer::from(whole).into(),
        None => key,
    }
}

/// `PrivateKeyInfo` (RFC 5208) around `ECPrivateKey` (RFC 5915).
fn with_public(pkcs8: &[u8], certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, info) = Sequence::from_der(pkcs8).ok()?;
    let (rest, version) = Any::from_der(&info.content).ok()?;
    let (after, algorithm) = AlgorithmIdentifier::from_der(rest).ok()?;
    if algorithm.algorithm != oid!(1.2.840.10045.2.1) {
        return None;
    }
    let algorithm = &rest[..rest.len() - after.len()];
    let (_, inner) = OctetString::from_der(after).ok()?;
    let (_, key) = Sequence::from_der(inner.as_ref()).ok()?;
    let (mut rest, inner_version) = Any::from_der(&key.content).ok()?;
    let secret;
    (rest, secret) = OctetString::from_der(rest).ok()?;
    while !rest.is_empty() {
        let field;
        (rest, field) = Any::from_der(rest).ok()?;
        if field.tag().0 == PUBLIC_KEY {
            return None;
        }
    }
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let public = &certificate.public_key().subject_public_key.data;
    let public = wrap(CONTEXT | PUBLIC_KEY_TAG, &wrap(BIT_STRING, &[&[0], &public[..]].concat()));
    let key = [wrap(INTEGER, inner_version.data), wrap(OCTET_STRING, secret.as_ref()), public];
    let key = wrap(OCTET_STRING, &wrap(SEQUENCE, &key.concat()));
    Some(wrap(SEQUENCE, &[&wrap(INTEGER, version.data), algorithm, &key].concat()))
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..=0x7f) => out.push(short),
        // A length has at most eight digits.
        _ => out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8)),
    }
    if content.len() > 0x7f {
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(content);
    out
}

const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const SEQUENCE: u8 = 0x30;
const CONTEXT: u8 = 0xa0;
const PUBLIC_KEY: u32 = 1;
const PUBLIC_KEY_TAG: u8 = 1;
