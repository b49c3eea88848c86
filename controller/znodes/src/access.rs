//! Who someone is and what they may do.
//!
//! Lives here: the schemes world, auth, ip, digest, sasl, x509 and super: what proves an id, which ids an ACL may
//! name, whom an entry means. Must not: which znode's ACL counts for a request (`prep`, `reads`).
//! Start at [`permits`]. Source: `ZooKeeperServer.checkACL`, `DigestAuthenticationProvider`,
//! `IPAuthenticationProvider`, `SASLAuthenticationProvider`, `X509AuthenticationProvider`, Apache ZooKeeper 3.9.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jute::{Acl, AclList, ErrorCode, Id, Perms, Text};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use crate::Rules;

/// How a member authenticates its clients.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The digest id that is above all ACLs, `super:<hash>`; `None` for nobody.
    pub super_digest: Option<String>,
    /// How a password is hashed for an id.
    pub digest_algorithm: DigestAlgorithm,
    /// Nobody is known by a user and password.
    pub no_digest_ids: bool,
}

/// How the hash of a digest id is made: all members must agree on it, and with them whoever writes such ids into ACLs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "each is named as its standard names it")]
pub enum DigestAlgorithm {
    Md5,
    #[default]
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512To224,
    Sha512To256,
}

impl DigestAlgorithm {
    /// By Java's name for it. `Err`: what it must be.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "MD5" => Self::Md5,
            "SHA" | "SHA1" | "SHA-1" => Self::Sha1,
            "SHA-224" => Self::Sha224,
            "SHA-256" => Self::Sha256,
            "SHA-384" => Self::Sha384,
            "SHA-512" => Self::Sha512,
            "SHA-512/224" => Self::Sha512To224,
            "SHA-512/256" => Self::Sha512To256,
            _ => return Err(ALGORITHMS),
        })
    }

    /// The digest id of `user:password`.
    pub fn id(self, user_and_password: &str) -> Id {
        let hash = match self {
            Self::Md5 => hash::<Md5>,
            Self::Sha1 => hash::<Sha1>,
            Self::Sha224 => hash::<Sha224>,
            Self::Sha256 => hash::<Sha256>,
            Self::Sha384 => hash::<Sha384>,
            Self::Sha512 => hash::<Sha512>,
            Self::Sha512To224 => hash::<Sha512_224>,
            Self::Sha512To256 => hash::<Sha512_256>,
        };
        let user = user_and_password.split(':').next().unwrap_or_default();
        let hash = hash(user_and_password);
        Id { scheme: Text::from_static("digest"), id: format!("{user}:{hash}").into() }
    }
}

fn hash<D: Digest>(text: &str) -> String {
    STANDARD.encode(D::digest(text.as_bytes()))
}

const ALGORITHMS: &str =
    "MD5, SHA1, SHA-224, SHA-256, SHA-384, SHA-512, SHA-512/224 or SHA-512/256";

impl Access {
    /// The ids that an auth packet proves.
    ///
    /// A digest always proves something: a wrong password is another id. [`ErrorCode::AuthFailed`] for a
    /// scheme that is unknown or cannot be used so; the connection is closed after it.
    pub fn authenticate(&self, scheme: &str, token: &[u8]) -> Result<Vec<Id>, ErrorCode> {
        match scheme {
            "digest" if !self.no_digest_ids => {
                let id = self.digest_algorithm.id(&String::from_utf8_lossy(token));
                let is_super = self.super_digest.as_deref().is_some_and(|above| id.id == above);
                Ok(if is_super { vec![id, SUPER] } else { vec![id] })
            }
            // Every connection has its address as an id from the start; asking again changes nothing.
            "ip" => Ok(Vec::new()),
            _ => Err(ErrorCode::AuthFailed),
        }
    }
}

/// Above all ACLs. A member gives it to its own requests.
pub const SUPER: Id = Id { scheme: Text::from_static("super"), id: Text::from_static("") };

/// What every client has where ACLs are skipped: above all of them, and told to nobody.
pub const UNCHECKED: Id =
    Id { scheme: Text::from_static("super"), id: Text::from_static("unchecked") };

/// The id that a connection from `address` has; IPv6 without `::`, as ACLs made elsewhere spell it.
pub fn ip_id(address: IpAddr) -> Id {
    Id { scheme: Text::from_static("ip"), id: jute::spelled(address).into() }
}

/// Whether `auth` may do any of `needed` where `acl` rules.
pub fn permits(acl: &[Acl], needed: Perms, auth: &[Id]) -> bool {
    let entry_permits = |entry: &Acl| {
        entry.perms.intersects(needed)
            && (entry.id == Id::ANYONE || auth.iter().any(|id| means(&entry.id, id)))
    };
    acl.is_empty() || acl.iter().any(entry_permits) || auth.iter().any(|id| id.scheme == "super")
}

/// The list as it is kept: duplicates dropped, `auth` replaced by whom the requester proved to be.
///
/// [`ErrorCode::InvalidAcl`] for an empty list, an unknown scheme, an id that is invalid in its scheme, or
/// `auth` from someone who proved nothing.
pub(crate) fn normalise(acl: &AclList, auth: &[Id], rules: Rules) -> Result<AclList, ErrorCode> {
    let is_kept = |(at, entry): (usize, &Acl)| {
        is_valid_id(&entry.id.scheme, &entry.id.id, rules) && !acl[..at].contains(entry)
    };
    // Most lists are kept as they are, and shared.
    if !acl.is_empty() && acl.iter().enumerate().all(is_kept) {
        return Ok(acl.clone());
    }
    let mut kept: Vec<Acl> = Vec::with_capacity(acl.len());
    for (at, entry) in acl.iter().enumerate() {
        if acl[..at].contains(entry) {
            continue;
        }
        match entry.id.scheme.as_str() {
            "auth" => {
                let before = kept.len();
                let proven = auth.iter().filter(|id| is_proof(&id.scheme));
                kept.extend(proven.map(|id| Acl { perms: entry.perms, id: id.clone() }));
                if kept.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            scheme if is_valid_id(scheme, &entry.id.id, rules) => kept.push(entry.clone()),
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if kept.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(kept.into()) }
}

/// The list as someone without ADMIN sees it: users, and not their hashes.
pub(crate) fn redact(acl: &[Acl]) -> Vec<Acl> {
    let redact = |entry: &Acl| match (entry.id.scheme.as_str(), entry.id.id.split_once(':')) {
        ("digest", Some((user, _))) => {
            let id = format!("{user}:x").into();
            Acl { perms: entry.perms, id: Id { scheme: entry.id.scheme.clone(), id } }
        }
        _ => entry.clone(),
    };
    acl.iter().map(redact).collect()
}

/// What `whoAmI` tells of an id: users, and not their hashes; `None`: nothing.
pub(crate) fn told(id: &Id) -> Option<Id> {
    let user = match (id.scheme.as_str(), id.id.split_once(':')) {
        _ if *id == UNCHECKED => return None,
        ("digest", Some((user, _))) => id.id.slice(user),
        _ => id.id.clone(),
    };
    Some(Id { scheme: id.scheme.clone(), id: user })
}

/// Schemes whose ids were proven; an address is not.
fn is_proof(scheme: &str) -> bool {
    matches!(scheme, "digest" | "sasl" | "x509")
}

fn is_valid_id(scheme: &str, id: &str, rules: Rules) -> bool {
    match scheme {
        "world" => id == "anyone",
        "digest" => {
            !rules.no_digest_ids
                && matches!(id.split_once(':'), Some((_, hash)) if !hash.is_empty() && !hash.contains(':'))
        }
        "ip" => Network::parse(id).is_some(),
        "sasl" => rules.sasl_ids && is_principal(id),
        "x509" => rules.x509_ids && is_distinguished_name(id),
        _ => false,
    }
}

/// A name as Kerberos has them, `service/host@REALM`, or any text without an `@`.
fn is_principal(id: &str) -> bool {
    match id.split_once('@') {
        Some((name, realm)) => {
            !realm.contains(['/', '@']) && name.bytes().filter(|byte| *byte == b'/').count() <= 1
        }
        None => true,
    }
}

/// Attributes with values, by commas: `CN=…,O=…`. A backslash or quotes hide a comma.
fn is_distinguished_name(id: &str) -> bool {
    let mut quoted = false;
    let mut hidden = false;
    let mut part = String::new();
    let mut parts = Vec::new();
    for c in id.chars() {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            '"' => quoted = !quoted,
            ',' | ';' | '+' if !quoted => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    let is_attribute = |part: &String| {
        let kind = part.split_once('=').map_or("", |(kind, _)| kind.trim());
        !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
    };
    !quoted && !hidden && parts.iter().all(is_attribute)
}

/// Whether an ACL's id means the one a connection has.
fn means(in_acl: &Id, id: &Id) -> bool {
    if in_acl.scheme != id.scheme {
        return false;
    }
    match in_acl.scheme.as_str() {
        "ip" => match (Network::parse(&in_acl.id), parse_address(&id.id)) {
            (Some(network), Some(address)) => network.contains(address),
            _ => false,
        },
        // To SASL that name is above the others.
        "sasl" if id.id == "super" => true,
        _ => in_acl.id == id.id,
    }
}

/// The addresses that share their first bits with one.
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// `address` or `address/bits`.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (parse_address(address)?, Some(bits.parse().ok()?)),
            None => (parse_address(text)?, None),
        };
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self { address, bits })
    }

    fn contains(&self, other: IpAddr) -> bool {
        let differ = match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= self.bits
    }
}

/// An address, perhaps with a `%scope` that does not count.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.split('%').next()?;
    text.parse().ok().or_else(|| parse_padded(text))
}

/// Four numbers of which some may begin with zeros, which do not make them octal here nor with Apache.
fn parse_padded(text: &str) -> Option<IpAddr> {
    let parts: Vec<u8> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    Some(IpAddr::from(<[u8; 4]>::try_from(parts).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(perms: Perms, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id::new(scheme, id) }
    }

    #[test]
    fn the_super_digest_is_above_all() {
        let digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned());
        let access = Access { super_digest: digest, ..Access::default() };
        let ids = access.authenticate("digest", b"super:test").expect("digest is known");
        assert!(ids.contains(&SUPER));
        assert!(permits(&[acl(Perms(0), "world", "anyone")], Perms::ADMIN, &ids));
        let other = access.authenticate("digest", b"super:wrong").expect("digest is known");
        assert!(!permits(&[acl(Perms::READ, "world", "anyone")], Perms::ADMIN, &other));
        assert_eq!(access.authenticate("kerberos", b""), Err(ErrorCode::AuthFailed));
    }

    /// The hashes are `openssl dgst`'s.
    #[test]
    fn a_digest_is_made_as_it_is_configured_or_not_at_all() {
        for (name, hash) in [
            ("MD5", "yzhcGieXAe2NBWh0Znxa3g=="),
            ("SHA1", "D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("SHA-1", "D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("SHA-224", "opwh3FU/0WUpM+8JAOS98bsQFC+823kv438mIg=="),
            ("SHA-256", "wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="),
            ("SHA-384", "FA/2SgoedA21NnGcUl5C1HBsMwuibAPXlAq/FqXTuUQPExUJgxpf8gWeD4eOupjP"),
            (
                "SHA-512",
                "cMAGk13FCMtJkaVQImGEKhjqoGELCiVjYdIhiD8stB1FnIpdGeFvKwAHh5mf4tUYmBR2ZY9181dZTXEHMlkVhg==",
            ),
            ("SHA-512/224", "Jbob8j2c9tikAuLuqxcIJr3TG4aS6fcELZsiHw=="),
            ("SHA-512/256", "GV6U44a5U7SXgFZS9GkWgmwq2+im64wGlYXjCHia3mo="),
        ] {
            let digest_algorithm = DigestAlgorithm::parse(name).expect(name);
            let super_digest = Some(format!("super:{hash}"));
            let access = Access { super_digest, digest_algorithm, ..Access::default() };
            let ids = access.authenticate("digest", b"super:test").expect("digest is known");
            assert!(ids.contains(&SUPER), "{name}: {ids:?}");
        }
        assert_eq!(DigestAlgorithm::parse("sha-256"), Ok(DigestAlgorithm::Sha256));
        DigestAlgorithm::parse("SHA256").expect_err("Java has no such name");
        let access = Access { no_digest_ids: true, ..Access::default() };
        assert_eq!(access.authenticate("digest", b"u:p"), Err(ErrorCode::AuthFailed));
        let list = [acl(Perms::ALL, "digest", "u:hash")].into();
        let rules = Rules { no_digest_ids: true, ..Rules::default() };
        assert_eq!(normalise(&list, &[], rules), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn where_acls_are_skipped_nobody_is_told_of_an_id_for_it() {
        assert!(permits(&[acl(Perms(0), "world", "anyone")], Perms::ADMIN, &[UNCHECKED]));
        assert_eq!(told(&UNCHECKED), None);
        assert_eq!(told(&SUPER), Some(SUPER));
        assert_eq!(told(&Id::new("digest", "u:hash")), Some(Id::new("digest", "u")));
    }

    #[test]
    fn an_address_is_meant_by_its_network() {
        let list = [acl(Perms::ALL, "ip", "10.1.0.0/16")];
        let from = |address: &str| [ip_id(address.parse().expect("an address"))];
        assert!(permits(&list, Perms::READ, &from("10.1.2.3")));
        assert!(!permits(&list, Perms::READ, &from("10.2.2.3")));
        assert!(!permits(&list, Perms::READ, &from("::1")));
        assert_eq!(from("::1")[0].id, "0:0:0:0:0:0:0:1");
        assert!(permits(&[acl(Perms::ALL, "ip", "::/0")], Perms::READ, &from("::1")));
        assert!(permits(&[acl(Perms::ALL, "ip", "010.01.0.0/16")], Perms::READ, &from("10.1.2.3")));
    }

    #[test]
    fn lists_are_normalised_or_refused() {
        let me = [ip_id(IpAddr::from([127, 0, 0, 1])), DigestAlgorithm::Sha1.id("me:secret")];
        let normalise = |acl: &[Acl], auth: &[Id]| normalise(&acl.into(), auth, Rules::default());
        let mine = normalise(&[acl(Perms::READ, "auth", "")], &me);
        assert_eq!(mine, Ok([Acl { perms: Perms::READ, id: me[1].clone() }].into()));
        assert_eq!(normalise(&[Acl::OPEN, Acl::OPEN], &me), Ok([Acl::OPEN].into()));
        assert_eq!(normalise(&[acl(Perms::ALL, "auth", "")], &me[..1]), Err(ErrorCode::InvalidAcl));
        for (scheme, id) in [
            ("world", "someone"),
            ("digest", "nohash"),
            ("digest", "a:b:c"),
            ("digest", "a:"),
            ("ip", "10.0.0.1/33"),
            ("ip", "nowhere"),
            ("sasl", "jane"),
            ("x509", "CN=jane"),
            ("super", ""),
            ("", ""),
        ] {
            let refused = normalise(&[acl(Perms::ALL, scheme, id)], &me);
            assert_eq!(refused, Err(ErrorCode::InvalidAcl), "{scheme}:{id}");
        }
        assert_eq!(normalise(&[], &me), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn ids_of_other_proofs_are_named_where_they_can_be_proven() {
        let rules = Rules { sasl_ids: true, x509_ids: true, ..Rules::default() };
        let valid = |scheme: &str, id: &str| {
            let list = [acl(Perms::ALL, scheme, id)].into();
            normalise(&list, &[], rules).map(|kept| kept == list) == Ok(true)
        };
        for id in ["jane", "", "a/b/c", "zk/host@REALM", "jane@REALM"] {
            assert!(valid("sasl", id), "{id}");
        }
        for id in ["a@b@c", "a/b/c@R", "a@R/b"] {
            assert!(!valid("sasl", id), "{id}");
        }
        for id in ["CN=jane", "CN=a b, O=\"x, y\"", "cn=a\\,b+1.2.3=#04,C=DE"] {
            assert!(valid("x509", id), "{id}");
        }
        for id in ["", "jane", "CN=a,b", "=a", "CN=\"a"] {
            assert!(!valid("x509", id), "{id}");
        }
        let janes = [acl(Perms::READ, "sasl", "jane")];
        assert!(permits(&janes, Perms::READ, &[Id::new("sasl", "super")]));
        assert!(!permits(&janes, Perms::READ, &[Id::new("sasl", "joe")]));
        assert!(!permits(&janes, Perms::READ, &[Id::new("x509", "jane")]));
    }
}
