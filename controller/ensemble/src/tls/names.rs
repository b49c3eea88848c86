//! Names in certificates.

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// The subject of a certificate as Java spells it (RFC 2253): the last part first.
pub(crate) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(spell(certificate.subject()))
}

/// The name of a certificate's subject, when the certificate names nothing in the newer place for names.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    if !matches!(certificate.subject_alternative_name(), Ok(None)) {
        return None;
    }
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_ascii_lowercase)
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
    let begin = text.len() - text.trim_start_matches(' ').len();
    let end = text.trim_end_matches(' ').len();
    for (at, c) in text.char_indices() {
        let is_special = matches!(c, ',' | '=' | '+' | '"' | '\\' | '<' | '>' | '#' | ';');
        if is_special || at < begin || at >= end {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

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

    /// Java escapes more than RFC 2253 asks for.
    #[test]
    fn what_would_be_taken_for_syntax_is_escaped() {
        for (text, escaped) in [
            ("a=b#c", "a\\=b\\#c"),
            ("#a,b+c;d", "\\#a\\,b\\+c\\;d"),
            ("<\"\\\">", "\\<\\\"\\\\\\\"\\>"),
            ("  a b  ", "\\ \\ a b\\ \\ "),
            ("  ", "\\ \\ "),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }
}
