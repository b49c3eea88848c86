//! The sum over the tree that members are compared by. Source: `DigestCalculator`, version 2.

use jute::StatPersisted;

/// A znode's part of the sum; 0 below `/zookeeper/`, where members differ. The root's path is "".
///
/// CRC-32 of path, data and stat. The ACL is not covered.
pub(crate) fn node(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> i64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(path.as_bytes());
    crc.update(data.unwrap_or_default());
    let mut fields = [0; StatPersisted::LENGTH];
    for (at, long) in [
        (0, stat.czxid.bits()),
        (8, stat.mzxid.bits()),
        (16, stat.pzxid.bits()),
        (24, stat.ctime),
        (32, stat.mtime),
        (52, stat.ephemeral_owner),
    ] {
        fields[at..at + 8].copy_from_slice(&long.to_be_bytes());
    }
    for (at, int) in [(40, stat.version), (44, stat.cversion), (48, stat.aversion)] {
        fields[at..at + 4].copy_from_slice(&int.to_be_bytes());
    }
    crc.update(&fields);
    i64::from(crc.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_znodes_of_an_empty_tree_have_the_captured_digests() {
        let stat = StatPersisted::default();
        assert_eq!(node("", Some(b""), &stat), 68_323_592);
        assert_eq!(node("/zookeeper", Some(b""), &stat), 1_303_661_912);
        assert_eq!(node("/zookeeper/config", Some(b""), &stat), 0);
    }
}
