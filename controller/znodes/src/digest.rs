//! The sum over the tree that members are compared by. Source: `DigestCalculator`, version 2.

use jute::StatPersisted;

/// A znode's part of the sum; 0 below `/zookeeper/`, where members differ. The root's path is "".
///
/// CRC-32 of path, data and stat. The ACL is not covered.
pub(crate) fn node(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> i64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let (path, data) = (path.as_bytes(), data.unwrap_or_default());
    let length = path.len() + data.len() + StatPersisted::LENGTH;
    let mut joined = [0; JOINED];
    let Some(joined) = joined.get_mut(..length) else {
        let mut crc = crc32fast::Hasher::new();
        crc.update(path);
        crc.update(data);
        crc.update(&fields(stat));
        return i64::from(crc.finalize());
    };
    let (first, rest) = joined.split_at_mut(path.len());
    first.copy_from_slice(path);
    let (second, third) = rest.split_at_mut(data.len());
    second.copy_from_slice(data);
    third.copy_from_slice(&fields(stat));
    i64::from(crc32fast::hash(joined))
}

/// The stat as it is summed.
fn fields(stat: &StatPersisted) -> [u8; StatPersisted::LENGTH] {
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
    fields
}

/// Most znodes are joined before they are summed: many bytes at once take less time than few.
const JOINED: usize = 320;

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

    #[test]
    fn long_ones_are_summed_as_short_ones_are() {
        let stat = StatPersisted { ctime: 7, ..StatPersisted::default() };
        let sum = |length: usize| {
            let data = vec![7; length];
            let mut crc = crc32fast::Hasher::new();
            crc.update(b"/a");
            crc.update(&data);
            let mut fields = [0; StatPersisted::LENGTH];
            fields[31] = 7;
            crc.update(&fields);
            (node("/a", Some(&data), &stat), i64::from(crc.finalize()))
        };
        for length in [0, 1, JOINED - 63, JOINED - 62, JOINED - 61, 4000] {
            let (found, expected) = sum(length);
            assert_eq!(found, expected, "{length}");
        }
    }
}
