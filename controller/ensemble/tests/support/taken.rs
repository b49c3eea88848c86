//! All that a server has, from the bytes that it hands out as a snapshot; read without our own reader of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use jute::{Acl, Reader, StatPersisted};

/// What a server has: each znode with its data, its ACL and its stat, each session with its timeout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    /// The last transaction.
    pub(crate) zxid: u64,
    /// Timeouts in ms, from [`LONG`] on.
    pub(crate) sessions: BTreeMap<i64, i32>,
    pub(crate) znodes: BTreeMap<String, Znode>,
    /// The sum over the tree; `None`: the server tells none.
    pub(crate) digest: Option<i64>,
}

/// The shortest timeout, in ms, of a session that is compared.
const LONG: i32 = 100_000;

/// A zxid and its seal.
const LAST_PART: usize = 8 + 13;

/// Data, ACL and stat.
pub(crate) type Znode = (Option<Bytes>, Vec<Acl>, StatPersisted);

impl Taken {
    /// Reads a snapshot that is exact, since nothing was written while it was made.
    pub(crate) fn decode(zxid: u64, bytes: &[u8]) -> Self {
        let bytes = Bytes::copy_from_slice(bytes);
        assert!(bytes.starts_with(b"ZKSN\0\0\0\x02"), "a snapshot, not compressed");
        let body = bytes.slice(16..);
        let mut reader = Reader::new(&body);
        let mut timeouts = BTreeMap::new();
        for _ in 0..reader.i32().expect("how many sessions") {
            let session = reader.i64().expect("a session");
            let timeout = reader.i32().expect("its timeout");
            // Who only looks comes with a short one, and may be gone or not.
            if timeout >= LONG {
                timeouts.insert(session, timeout);
            }
        }
        let mut lists = BTreeMap::from([(-1, vec![Acl::OPEN])]);
        for _ in 0..reader.i32().expect("how many lists") {
            let id = reader.i64().expect("its number");
            let list = reader.vector(Acl::decode).expect("a list");
            lists.insert(id, list);
        }
        let mut znodes = BTreeMap::new();
        loop {
            let path = reader.text_or_empty().expect("a path").to_string();
            if path == "/" {
                break;
            }
            let data = reader.buffer().expect("its data");
            let number = reader.i64().expect("its list's number");
            let acl = lists.get(&number).unwrap_or_else(|| panic!("{path} has list {number}"));
            let stat = StatPersisted::decode(&mut reader).expect("its stat");
            assert!(znodes.insert(path, (data, acl.clone(), stat)).is_none(), "each once");
        }
        reader.i64().expect("the first checksum");
        assert_eq!(reader.text_or_empty().expect("its end").as_str(), "/");
        let digest = (reader.left() > LAST_PART).then(|| {
            assert_eq!(reader.i64().expect("the digest's zxid").cast_unsigned(), zxid);
            assert_eq!(reader.i32().expect("its version"), 2);
            reader.i64().expect("a digest")
        });
        // Each writes its own configuration there, without a transaction.
        znodes.remove("/zookeeper/config");
        Self { zxid, sessions: timeouts, znodes, digest }
    }

    /// Whether the last seal is the checksum, Adler-32, of all that is before it.
    pub(crate) fn is_whole(bytes: &[u8]) -> bool {
        let Some((sealed, seal)) = bytes.split_last_chunk::<13>() else { return false };
        seal[..8] == checksum(sealed).to_be_bytes()
    }

    /// The same snapshot as of a later transaction.
    pub(crate) fn renamed(bytes: &[u8], zxid: u64) -> Vec<u8> {
        let mut other = bytes[..bytes.len() - 21].to_vec();
        other.extend(zxid.to_be_bytes());
        other.extend(checksum(&other).to_be_bytes());
        other.extend(b"\0\0\0\x01/");
        other
    }

    /// Fails with the first difference.
    pub(crate) fn assert_is(&self, other: &Self, what: &str) {
        for path in self.znodes.keys().chain(other.znodes.keys()) {
            assert_eq!(self.znodes.get(path), other.znodes.get(path), "{what}: {path}");
        }
        assert_eq!(self.sessions, other.sessions, "{what}: sessions");
        assert_eq!(self.digest, other.digest, "{what}: digest");
    }
}

fn checksum(bytes: &[u8]) -> i64 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    i64::from(high << 16 | low)
}
