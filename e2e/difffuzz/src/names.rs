//! Paths, data, access lists and proofs to draw from: few, so that requests meet; some odd.

use jute::{Acl, AclList, Id, Perms, Text};

use crate::Rng;
use crate::program::ROOT;

const PARTS: &[&str] = &["a", "b", "c", "d-"];
const ODD_PARTS: &[&str] = &[
    "",
    ".",
    "..",
    "...",
    ".a",
    "a\u{0}b",
    "a\u{1}",
    "a\u{1f}",
    "\u{7f}",
    "\u{9f}",
    "\u{a0}",
    "\u{e9}",
    "\u{20ac}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{f8ff}",
    "\u{f900}",
    "\u{ffef}",
    "\u{fff0}",
    "\u{ffff}",
    "\u{1f600}",
    " ",
    "%",
    "a b",
    "zookeeper_limits",
    "zookeeper_stats",
];
/// Not in the program's subtree: nothing can be made of them, and what is read of them is not compared.
pub(crate) const ELSEWHERE: &[&str] =
    &["", "/", "//", "/.", "/..", "x", "a/b", "/zookeeper", "/zookeeper/quota"];
pub(crate) const GONE: &[&str] = &["/nowhere/a", "/zookeeper/nowhere/a", "//a", "/nowhere/a/"];

/// A path in the program's subtree.
pub(crate) fn path(rng: &mut Rng) -> String {
    let mut path = ROOT.to_owned();
    for _ in 0..rng.weighted(&[(1, 0), (8, 1), (8, 2), (2, 3)]) {
        path.push('/');
        path.push_str(rng.pick(PARTS));
    }
    path
}

/// As [`path`], or below the place of its quotas, or odd.
pub(crate) fn any_path(rng: &mut Rng) -> String {
    match rng.below(40) {
        0 => {
            let mut path = path(rng);
            path.push('/');
            path.push_str(rng.pick(ODD_PARTS));
            path
        }
        1 => {
            let part = rng.pick(ODD_PARTS);
            format!("{ROOT}/{part}/{}", rng.pick(PARTS))
        }
        2 => rng.pick(GONE).to_owned(),
        3 => format!("{ROOT}/{}", "long".repeat(1 + rng.below(300))),
        4 => quota_path(rng),
        _ => path(rng),
    }
}

/// As [`any_path`], or one that all programs share.
pub(crate) fn any_path_or_shared(rng: &mut Rng) -> String {
    if rng.once_in(25) { rng.pick(ELSEWHERE).to_owned() } else { any_path(rng) }
}

/// Where the subtree's quotas are.
pub(crate) fn quota_path(rng: &mut Rng) -> String {
    let below = rng.pick(&["", "/a", "/a/b"]);
    let node = rng.pick(&["", "/zookeeper_limits", "/zookeeper_stats", "/other"]);
    format!("/zookeeper/quota{ROOT}{below}{node}")
}

/// A path with that what follows as its text is no UTF-8, for a request whose path is never stored.
pub(crate) fn broken_text(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = path(rng).into_bytes();
    bytes.push(b'/');
    bytes.extend_from_slice(rng.pick::<[u8]>(&[
        &[0xff],
        &[0xc3],
        &[0xc0, 0x80],
        &[0xe2, 0x82],
        &[0xf0, 0x9f, 0x98],
        &[0x80, b'a'],
    ]));
    bytes
}

/// Data of a znode.
pub(crate) fn data(rng: &mut Rng) -> Option<Vec<u8>> {
    if rng.once_in(800) {
        return Some(vec![b'l'; rng.below(LARGE)]);
    }
    match rng.below(12) {
        0 => None,
        1 | 2 => Some(Vec::new()),
        3 => Some(vec![b'x'; rng.below(3000)]),
        4 => Some(quota_text(rng).into_bytes()),
        5 => Some(rng.bits().to_be_bytes().to_vec()),
        _ => Some(vec![b'd'; 1 + rng.below(9)]),
    }
}

/// The most a program writes: near what a request may be long.
const LARGE: usize = 1_040_000;

/// Limits of a znode quota, or what is used of it.
pub(crate) const QUOTAS: &[&str] = &[
    "count=3,bytes=-1",
    "count=-1,bytes=10",
    "count=3,bytes=10=;byteHardLimit=20;countHardLimit=4",
    "count=-1,bytes=-1=;byteHardLimit=30;countHardLimit=-1",
    "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3",
    "count=-1,bytes=-1=;countHardLimit=0",
    "count=1,bytes=1",
    "bytes=5",
    "count=0,bytes=0",
];

/// What a limits node may hold.
pub(crate) fn quota_text(rng: &mut Rng) -> String {
    rng.pick(QUOTAS).to_owned()
}

/// An access list.
pub(crate) fn acl(rng: &mut Rng) -> AclList {
    let length = rng.weighted(&[(10, 0), (120, 1), (40, 2), (10, 3), (1, 100)]);
    (0..length).map(|_| entry(rng)).collect()
}

/// Everybody, everything: what most znodes have.
pub(crate) fn open() -> AclList {
    [Acl::OPEN].into()
}

fn entry(rng: &mut Rng) -> Acl {
    let perms = match rng.below(10) {
        0 => Perms(rng.one(&[0, 32, -1, 63, 1 << 30])),
        1..=5 => Perms::ALL,
        _ => Perms(1 + rng.int().rem_euclid(31)),
    };
    let (scheme, id): (&str, &str) = rng.weighted(&[
        (10, ("world", "anyone")),
        (1, ("world", "somebody")),
        (4, ("auth", "")),
        (1, ("auth", "ignored")),
        (4, ("digest", USER_ONE)),
        (2, ("digest", "two:x")),
        (1, ("digest", "no colon")),
        (1, ("digest", "a:b:c")),
        (1, ("digest", ":")),
        (1, ("digest", "a:")),
        (1, ("digest", ":a")),
        (2, ("ip", "127.0.0.1")),
        (1, ("ip", "127.0.0.0/8")),
        (1, ("ip", "10.0.0.1")),
        (1, ("ip", "10.0.0.0/0")),
        (1, ("ip", "127.0.0.1/33")),
        (1, ("ip", "127.0.0.1/-1")),
        (1, ("ip", "127.0.0")),
        (1, ("ip", "1.2.3.256")),
        (1, ("ip", "")),
        (1, ("super", "")),
        (1, ("sasl", "x")),
        (1, ("x509", "CN=a")),
        (1, ("nobody", "x")),
        (1, ("", "")),
    ]);
    Acl { perms, id: Id::new(Text::from_static(scheme), Text::from_static(id)) }
}

/// Scheme and proof of an auth packet.
pub(crate) fn proof(rng: &mut Rng) -> (&'static str, &'static [u8]) {
    rng.weighted::<(&str, &[u8])>(&[
        (8, ("digest", b"one:1")),
        (4, ("digest", b"two:2")),
        (3, ("digest", SUPER_PROOF)),
        (1, ("digest", b"")),
        (1, ("digest", b"no colon")),
        (1, ("digest", b":")),
        (1, ("digest", b"a:b:c")),
        (1, ("digest", b"u\xff:x")),
        (1, ("ip", b"")),
        (1, ("ip", b"1.2.3.4")),
        (1, ("world", b"anyone")),
        (1, ("nobody", b"x")),
        (1, ("", b"")),
    ])
}

/// The id that `one:1` proves.
const USER_ONE: &str = "one:lj6jV0CklO+B740yxtWS4XOn7ag=";
/// Proves the id of [`SUPER_DIGEST`].
pub(crate) const SUPER_PROOF: &[u8] = b"super:test";
/// What both servers are configured with, as `DigestAuthenticationProvider.superDigest`.
pub const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
