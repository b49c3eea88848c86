//! SASL DIGEST-MD5 as Java speaks it: with clients, and between members.
//!
//! Lives here: the exchange of one connection, pure. Must not: send, or know what an id may do.
//! Start at [`Exchange::begin`] and [`Exchange::finish`], or at [`Answer::to`] on the other side. Source: RFC 2831; the challenge is the JDK's.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use md5::{Digest, Md5};

/// Who may authenticate by SASL.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct SaslConfig {
    /// Names and passwords.
    pub users: BTreeMap<String, String>,
    /// Names that are above all ACLs.
    pub super_users: Vec<String>,
}

impl SaslConfig {
    /// What the first user answers to a member's challenge, with 16 random bytes; `None` when it is no challenge.
    pub fn answer(&self, challenge: &[u8], random: [u8; 16]) -> Option<Bytes> {
        let (user, password) = self.users.first_key_value()?;
        let answer = Answer::to(challenge, &MEMBERS, user, password, random);
        answer.ok().map(|answer| answer.token)
    }

    /// Whom an answer proves to a member that challenged with 16 random bytes.
    pub fn proven(&self, answer: &[u8], random: [u8; 16]) -> Option<String> {
        let (exchange, _) = Exchange::begin(random, &MEMBERS);
        exchange.finish(answer, self).ok().map(|proven| proven.user)
    }
}

impl std::fmt::Debug for SaslConfig {
    /// Without the passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users: Vec<_> = self.users.keys().collect();
        f.debug_struct("SaslConfig").field("users", &users).finish_non_exhaustive()
    }
}

/// What is authenticated for.
#[derive(Debug)]
pub(crate) struct Service {
    realm: &'static str,
    protocol: &'static str,
}

/// The client port.
pub(crate) const CLIENTS: Service = Service { realm: "zk-sasl-md5", protocol: "zookeeper" };
/// The ports for peers.
pub(crate) const MEMBERS: Service =
    Service { realm: "zk-quorum-sasl-md5", protocol: "zookeeper-quorum" };

/// 16 bytes that nobody foresees.
pub(crate) fn random() -> io::Result<[u8; 16]> {
    let mut random = [0; 16];
    let provider = rustls::crypto::ring::default_provider();
    let filled = provider.secure_random.fill(&mut random);
    filled.map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(random)
}

/// One connection's exchange, between the challenge and the answer to it.
#[derive(Debug)]
pub(crate) struct Exchange {
    nonce: String,
    service: &'static Service,
}

/// What one that was challenged answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) token: Bytes,
    /// What shows that the other side knows the password too.
    proof: String,
}

/// The client has proven who it is.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Proven {
    pub(crate) user: String,
    /// The last token: proof that the server knows the password too.
    pub(crate) token: Bytes,
}

/// The client's answer was no proof. It is not told why.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct NotProven(&'static str);

impl NotProven {
    /// Why, for the server's log.
    pub(crate) fn why(&self) -> &'static str {
        self.0
    }
}

impl Exchange {
    /// Begins with 16 random bytes; answers with the challenge.
    pub(crate) fn begin(random: [u8; 16], service: &'static Service) -> (Self, Bytes) {
        let nonce = hex(&random);
        let realm = service.realm;
        let challenge =
            format!("realm=\"{realm}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
        (Self { nonce, service }, challenge.into())
    }

    /// Judges the client's answer.
    pub(crate) fn finish(self, answer: &[u8], config: &SaslConfig) -> Result<Proven, NotProven> {
        let text = std::str::from_utf8(answer).map_err(|_| NotProven("it is not text"))?;
        let said = directives(text).ok_or(NotProven("it is malformed"))?;
        let get = |key: &str| said.get(key).map(String::as_str);
        let need = |key: &str| get(key).ok_or(NotProven("a directive is missing"));
        let (user, cnonce, uri) = (need("username")?, need("cnonce")?, need("digest-uri")?);
        if need("nonce")? != self.nonce || need("nc")? != "00000001" {
            return Err(NotProven("it answers another challenge"));
        }
        let Service { realm, protocol } = self.service;
        let is_for_it = uri.strip_prefix(protocol).is_some_and(|rest| rest.starts_with('/'));
        if get("realm").unwrap_or_default() != *realm || !is_for_it {
            return Err(NotProven("it is for another service"));
        }
        if get("qop").unwrap_or("auth") != "auth" {
            return Err(NotProven("it asks for protection that is not offered"));
        }
        let password = config.users.get(user).ok_or(NotProven("the user is unknown"))?;
        let secret = Secret { realm, user, password, nonce: &self.nonce, cnonce, uri };
        if !same(need("response")?, &secret.proof("AUTHENTICATE", get("authzid"))) {
            return Err(NotProven("the password is wrong"));
        }
        let token = format!("rspauth={}", secret.proof("", get("authzid"))).into();
        Ok(Proven { user: user.to_owned(), token })
    }
}

impl Answer {
    /// Answers a challenge as this user, with 16 random bytes.
    pub(crate) fn to(
        challenge: &[u8],
        service: &Service,
        user: &str,
        password: &str,
        random: [u8; 16],
    ) -> Result<Self, NotProven> {
        let text = std::str::from_utf8(challenge).map_err(|_| NotProven("it is not text"))?;
        let said = directives(text).ok_or(NotProven("it is malformed"))?;
        let nonce = said.get("nonce").ok_or(NotProven("a directive is missing"))?;
        let realm = said.get("realm").map_or("", String::as_str);
        let (cnonce, uri) = (hex(&random), format!("{}/{}", service.protocol, service.realm));
        let secret = Secret { realm, user, password, nonce, cnonce: &cnonce, uri: &uri };
        let response = secret.proof("AUTHENTICATE", None);
        let (user, realm, nonce) = (quoted(user), quoted(realm), quoted(nonce));
        let token = format!(
            "charset=utf-8,username={user},realm={realm},nonce={nonce},nc=00000001,\
             cnonce=\"{cnonce}\",digest-uri=\"{uri}\",maxbuf=65536,response={response},qop=auth"
        );
        Ok(Self { token: token.into(), proof: format!("rspauth={}", secret.proof("", None)) })
    }

    /// Whether the other side has shown that it knows the password.
    pub(crate) fn is_proven_by(&self, token: &[u8]) -> bool {
        std::str::from_utf8(token).is_ok_and(|token| same(token, &self.proof))
    }
}

/// What both sides know and say.
struct Secret<'a> {
    realm: &'a str,
    user: &'a str,
    password: &'a str,
    nonce: &'a str,
    cnonce: &'a str,
    uri: &'a str,
}

impl Secret<'_> {
    fn proof(&self, method: &str, authzid: Option<&str>) -> String {
        let Self { realm, user, password, nonce, cnonce, uri } = *self;
        let secret = md5(&[&latin(user), b":", realm.as_bytes(), b":", &latin(password)]);
        let mut session = vec![&secret[..], b":", nonce.as_bytes(), b":", cnonce.as_bytes()];
        if let Some(authzid) = authzid {
            session.extend([&b":"[..], authzid.as_bytes()]);
        }
        let session = hex(&md5(&session));
        let a2 = hex(&md5(&[method.as_bytes(), b":", uri.as_bytes()]));
        hex(&md5(&[format!("{session}:{nonce}:00000001:{cnonce}:auth:{a2}").as_bytes()]))
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `key=value` and `key="quoted"`, with commas; `None` when it is anything else, or a key comes twice.
fn directives(text: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start_matches([',', ' ', '\t']);
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let mut value = String::new();
        if let Some(quoted) = behind.strip_prefix('"') {
            let mut chars = quoted.chars();
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => value.push(chars.next()?),
                    c => value.push(c),
                }
            }
            rest = chars.as_str();
        } else {
            let end = behind.find(',').unwrap_or(behind.len());
            behind[..end].trim().clone_into(&mut value);
            rest = &behind[end..];
        }
        if found.insert(key.trim().to_ascii_lowercase(), value).is_some() {
            return None;
        }
        let next = rest.trim_start_matches([',', ' ', '\t']);
        if next.len() == rest.len() && !rest.is_empty() {
            return None;
        }
        rest = next;
    }
    Some(found)
}

/// As the RFC hashes names: in ISO 8859-1 where that is possible.
fn latin(text: &str) -> Vec<u8> {
    let narrow: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    narrow.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut sum = Md5::new();
    for part in parts {
        sum.update(part);
    }
    sum.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes as long wherever they differ.
fn same(one: &str, other: &str) -> bool {
    let differ = one.bytes().zip(other.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SaslConfig {
        let users = [("jane".to_owned(), "s\u{e9}cret".to_owned())].into();
        SaslConfig { users, super_users: Vec::new() }
    }

    /// What a client answers, computed by the RFC's text step by step.
    fn answer(nonce: &str, user: &str, password: &str) -> String {
        let uri = "zookeeper/zk-sasl-md5";
        let secret = md5(&[&latin(user), b":zk-sasl-md5:", &latin(password)]);
        let a1 = [&secret[..], format!(":{nonce}:c\"n").as_bytes()].concat();
        let (a1, a2) = (hex(&md5(&[&a1])), hex(&md5(&[format!("AUTHENTICATE:{uri}").as_bytes()])));
        let response = hex(&md5(&[format!("{a1}:{nonce}:00000001:c\"n:auth:{a2}").as_bytes()]));
        format!(
            "charset=utf-8,username=\"{user}\",realm=\"zk-sasl-md5\",nonce=\"{nonce}\",nc=00000001,\
             cnonce=\"c\\\"n\",digest-uri=\"{uri}\",maxbuf=65536,response={response},qop=auth"
        )
    }

    #[test]
    fn the_right_password_is_proof_and_nothing_else_is() {
        let begin = || Exchange::begin([7; 16], &CLIENTS);
        let (exchange, challenge) = begin();
        let nonce = hex(&[7; 16]);
        assert_eq!(
            challenge,
            format!("realm=\"zk-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess")
        );
        let good = answer(&nonce, "jane", "s\u{e9}cret");
        let proven = exchange.finish(good.as_bytes(), &config()).expect("it is right");
        assert_eq!(proven.user, "jane");
        assert!(proven.token.starts_with(b"rspauth=") && proven.token.len() == 40);
        for bad in [
            answer(&nonce, "jane", "other"),
            answer(&nonce, "john", "s\u{e9}cret"),
            answer("0000", "jane", "s\u{e9}cret"),
            good.replace("00000001", "00000002"),
            good.replace("qop=auth", "qop=auth-conf"),
            good.replace("nc=", "nc"),
            format!("{good},nc=00000001"),
            String::new(),
        ] {
            begin().0.finish(bad.as_bytes(), &config()).expect_err(&bad);
        }
    }

    #[test]
    fn both_sides_of_ours_believe_each_other_and_only_with_the_same_password() {
        for (password, right) in [("s\u{e9}cret", true), ("other", false)] {
            let (exchange, challenge) = Exchange::begin([7; 16], &MEMBERS);
            let answer = Answer::to(&challenge, &MEMBERS, "jane", password, [8; 16]);
            let answer = answer.expect("it is a challenge");
            let judged = exchange.finish(&answer.token, &config());
            assert_eq!(judged.is_ok(), right, "{judged:?}");
            if let Ok(proven) = judged {
                assert!(answer.is_proven_by(&proven.token));
                assert!(!answer.is_proven_by(b"rspauth=00000000000000000000000000000000"));
            }
        }
        let (exchange, _) = Exchange::begin([7; 16], &MEMBERS);
        let nonce = hex(&[7; 16]);
        let for_clients = answer(&nonce, "jane", "s\u{e9}cret");
        exchange.finish(for_clients.as_bytes(), &config()).expect_err("it is for clients");
    }

    #[test]
    fn whatever_comes_is_no_panic() {
        let good = answer(&hex(&[7; 16]), "jane", "x");
        for at in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = b'"';
            let _ = Exchange::begin([7; 16], &CLIENTS).0.finish(&bad, &config());
            let _ = Exchange::begin([7; 16], &CLIENTS).0.finish(&bad[..at], &config());
        }
    }
}
