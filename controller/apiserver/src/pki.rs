//! The certificates: a CA, the server's and the administrator's, kept in a directory.
//!
//! Lives here: making, checking and renewing them. Must not: know TLS sessions. Start at [`Pki::open`].
//! All keys are ECDSA P-256: made in a millisecond, understood by every client.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why the certificates could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The directory or a file in it cannot be used.
    #[error("certificate file {} cannot be read or written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} is not usable: {what}; move it away and it is made anew", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A certificate could not be made, for example because of a name it cannot hold.
    #[error("a certificate could not be made")]
    Make(#[from] rcgen::Error),
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The certificates of one server.
pub(crate) struct Pki {
    dir: PathBuf,
    /// Host names and addresses that the serving certificate is good for, sorted.
    names: Vec<String>,
    pub(crate) ca: Pair,
}

impl Pki {
    /// Opens or makes the directory and its CA.
    pub(crate) fn open(dir: &Path, extra_names: &[String]) -> Result<Self, PkiError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| PkiError::File { path: dir.to_owned(), source })?;
        let mut names: Vec<String> = USUAL_NAMES.map(String::from).to_vec();
        names.extend(extra_names.iter().cloned());
        names.sort();
        names.dedup();
        let ca = match read_pair(dir, "ca")? {
            Some(pair) if still_good(dir, "ca", &pair.certificate, RENEW_CA)? => pair,
            _ => make_ca(dir)?,
        };
        Ok(Self { dir: dir.to_owned(), names, ca })
    }

    /// The server's certificate, made anew when it is about to expire, lacks a name or is of another CA.
    pub(crate) fn serving(&self) -> Result<Pair, PkiError> {
        let covers = |der: &[u8]| {
            let held = names_in(der);
            self.names.iter().all(|name| held.contains(name))
        };
        self.leaf("apiserver", covers, || {
            let mut params = CertificateParams::new(self.names.clone())?;
            params.distinguished_name.push(DnType::CommonName, "apiserver");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            Ok(params)
        })
    }

    /// The administrator's client certificate: a member of `system:masters`.
    pub(crate) fn admin(&self) -> Result<Pair, PkiError> {
        self.leaf(
            "admin",
            |_| true,
            || {
                let mut params = CertificateParams::default();
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::OrganizationName, "system:masters");
                params.distinguished_name.push(DnType::CommonName, "kubernetes-admin");
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                Ok(params)
            },
        )
    }

    fn leaf(
        &self,
        name: &str,
        fits: impl Fn(&[u8]) -> bool,
        params: impl Fn() -> Result<CertificateParams, rcgen::Error>,
    ) -> Result<Pair, PkiError> {
        if let Some(pair) = read_pair(&self.dir, name)?
            && still_good(&self.dir, name, &pair.certificate, RENEW_LEAF)?
            && let Ok(der) = der_of(&self.dir, name, &pair.certificate)
            && fits(&der)
            && self.signed(&der)?
        {
            return Ok(pair);
        }
        let ca_key = KeyPair::from_pem(&self.ca.key).map_err(|e| self.broken("ca.key", &e))?;
        let issuer = Issuer::from_ca_cert_pem(&self.ca.certificate, ca_key)
            .map_err(|e| self.broken("ca.crt", &e))?;
        let mut params = params()?;
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(LEAF_DAYS);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        write_pair(&self.dir, name, &Pair { certificate, key: key.serialize_pem() })
    }

    fn signed(&self, leaf: &[u8]) -> Result<bool, PkiError> {
        let ca = der_of(&self.dir, "ca", &self.ca.certificate)?;
        let (Ok((_, leaf)), Ok((_, ca))) =
            (X509Certificate::from_der(leaf), X509Certificate::from_der(&ca))
        else {
            return Ok(false);
        };
        // A leaf of an earlier CA of the same name carries another key identifier.
        let made_by = leaf.extensions().iter().find_map(|e| match e.parsed_extension() {
            x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        });
        let ours = ca.extensions().iter().find_map(|e| match e.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                Some(id.0.to_vec())
            }
            _ => None,
        });
        Ok(made_by == ours && leaf.issuer() == ca.subject())
    }

    fn broken(&self, file: &str, what: &rcgen::Error) -> PkiError {
        PkiError::Broken { path: self.dir.join(file), what: what.to_string() }
    }
}

fn make_ca(dir: &Path) -> Result<Pair, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "apiserver-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(CA_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    write_pair(dir, "ca", &Pair { certificate, key: key.serialize_pem() })
}

/// `None` when either file is missing.
fn read_pair(dir: &Path, name: &str) -> Result<Option<Pair>, PkiError> {
    let read = |path: PathBuf| match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::File { path, source }),
    };
    let certificate = read(dir.join(format!("{name}.crt")))?;
    let key = read(dir.join(format!("{name}.key")))?;
    Ok(certificate.zip(key).map(|(certificate, key)| Pair { certificate, key }))
}

fn write_pair(dir: &Path, name: &str, pair: &Pair) -> Result<Pair, PkiError> {
    for (suffix, text) in [("key", &pair.key), ("crt", &pair.certificate)] {
        write_private(&dir.join(format!("{name}.{suffix}")), text.as_bytes())?;
    }
    Ok(pair.clone())
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    let fail = |source| PkiError::File { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&beside, path).map_err(fail)
}

fn der_of(dir: &Path, name: &str, pem: &str) -> Result<Vec<u8>, PkiError> {
    match x509_parser::pem::parse_x509_pem(pem.as_bytes()) {
        Ok((_, pem)) => Ok(pem.contents),
        Err(e) => Err(PkiError::Broken {
            path: dir.join(format!("{name}.crt")),
            what: format!("it is no PEM certificate: {e}"),
        }),
    }
}

fn still_good(dir: &Path, name: &str, pem: &str, spare: Duration) -> Result<bool, PkiError> {
    let der = der_of(dir, name, pem)?;
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
        return Err(PkiError::Broken {
            path: dir.join(format!("{name}.crt")),
            what: "it is no X.509 certificate".to_owned(),
        });
    };
    let now = OffsetDateTime::now_utc();
    let validity = certificate.validity();
    Ok(validity.not_before.to_datetime() <= now && validity.not_after.to_datetime() > now + spare)
}

fn names_in(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            },
            _ => None,
        })
        .collect()
}

const USUAL_NAMES: [&str; 6] =
    ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 365;
const RENEW_CA: Duration = Duration::days(366);
const RENEW_LEAF: Duration = Duration::days(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_kept_and_renewed_for_new_names_or_a_new_ca() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &[]).unwrap();
        let serving = first.serving().unwrap();
        let again = Pki::open(dir.path(), &[]).unwrap();
        assert_eq!(again.ca.certificate, first.ca.certificate);
        assert_eq!(again.serving().unwrap().certificate, serving.certificate);

        let more = Pki::open(dir.path(), &["host.example".to_owned()]).unwrap();
        let renewed = more.serving().unwrap();
        assert_ne!(renewed.certificate, serving.certificate);

        fs::remove_file(dir.path().join("ca.key")).unwrap();
        let other = Pki::open(dir.path(), &["host.example".to_owned()]).unwrap();
        assert_ne!(other.serving().unwrap().certificate, renewed.certificate);
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path(), &[]).unwrap();
        fs::write(dir.path().join("ca.crt"), "nonsense").unwrap();
        let error = Pki::open(dir.path(), &[]).err().unwrap().to_string();
        assert!(error.contains("ca.crt"), "{error}");
    }
}
