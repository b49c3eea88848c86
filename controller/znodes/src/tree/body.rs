//! What one znode is in memory: name, stat and data in one run of bytes.
//!
//! Layout: flags, name length (1 or 4 bytes), name, stat, data to the end. Most znodes were never changed
//! since they were made, and most of the rest only in their data: a field of the stat is there only where
//! it differs from what follows from czxid and ctime, as a difference of few bytes.

use jute::StatPersisted;
use types::Zxid;

/// A znode's bytes, to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a>(&'a [u8]);

/// An owner follows.
const OWNED: u8 = 1;
/// The data is null.
const NULL: u8 = 2;
/// The name's length takes 4 bytes.
const LONG_NAME: u8 = 4;
/// mzxid, mtime and version follow.
const SET: u8 = 8;
/// pzxid and cversion follow.
const PARENT: u8 = 16;
/// aversion follows.
const ACL_SET: u8 = 32;

/// The flags that say which fields a stat takes.
const STAT: u8 = OWNED | SET | PARENT | ACL_SET;

/// Puts a znode's bytes into `out`, instead of what was there.
pub(super) fn pack(out: &mut Vec<u8>, stat: &StatPersisted, name: &[u8], data: Option<&[u8]>) {
    let fields = Fields::of(stat);
    let flag = |flag, on| if on { flag } else { 0 };
    let is_long = name.len() > usize::from(u8::MAX);
    out.clear();
    out.push(fields.flags | flag(NULL, data.is_none()) | flag(LONG_NAME, is_long));
    match u8::try_from(name.len()) {
        Ok(length) => out.push(length),
        Err(_) => {
            let length = u32::try_from(name.len()).expect("a frame is shorter than 4 GiB");
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(name);
    out.extend_from_slice(fields.bytes());
    out.extend_from_slice(data.unwrap_or_default());
}

/// Gives a znode's bytes another stat in place, if that takes as many bytes as the old one. `data` is the length of the
/// data, which stays.
pub(super) fn replace_stat(body: &mut [u8], stat: &StatPersisted, data: usize) -> bool {
    let fields = Fields::of(stat);
    let old = Body::new(body).name_range().1..body.len() - data;
    let fits = fields.flags == body[0] & STAT && fields.length == old.len();
    if fits {
        body[old].copy_from_slice(fields.bytes());
    }
    fits
}

/// The same for stat and data.
pub(super) fn replace(body: &mut [u8], stat: &StatPersisted, data: Option<&[u8]>) -> bool {
    let old = Body::new(body).data().map(<[u8]>::len);
    let fits = old == data.map(<[u8]>::len) && replace_stat(body, stat, old.unwrap_or(0));
    if let Some(data) = data.filter(|_| fits) {
        let start = body.len() - data.len();
        body[start..].copy_from_slice(data);
    }
    fits
}

/// A stat's fields, put together.
struct Fields {
    /// Of [`STAT`].
    flags: u8,
    bytes: [u8; STAT_MAX],
    length: usize,
}

/// Five of 64 bits at ten bytes each, three of 32 bits at five, the owner, and room for the last word.
const STAT_MAX: usize = 5 * 10 + 3 * 5 + 8 + 8;

impl Fields {
    /// Each that is not as it follows from those before it.
    fn of(stat: &StatPersisted) -> Self {
        let flag = |flag, on| if on { flag } else { 0 };
        let set = (stat.mzxid, stat.mtime, stat.version) != (stat.czxid, stat.ctime, 0);
        let flags = flag(OWNED, stat.ephemeral_owner != 0)
            | flag(SET, set)
            | flag(PARENT, (stat.pzxid, stat.cversion) != (stat.czxid, 0))
            | flag(ACL_SET, stat.aversion != 0);
        let mut fields = Self { flags, bytes: [0; STAT_MAX], length: 0 };
        let czxid = stat.czxid.bits();
        fields.put(czxid.cast_unsigned());
        fields.put(stat.ctime.cast_unsigned());
        if flags & OWNED != 0 {
            fields.put_word(stat.ephemeral_owner.to_be_bytes(), 8);
        }
        if flags & SET != 0 {
            fields.put(zigzag(stat.mzxid.bits().wrapping_sub(czxid)));
            fields.put(zigzag(stat.mtime.wrapping_sub(stat.ctime)));
            fields.put(zigzag(i64::from(stat.version)));
        }
        if flags & PARENT != 0 {
            fields.put(zigzag(stat.pzxid.bits().wrapping_sub(czxid)));
            fields.put(zigzag(i64::from(stat.cversion)));
        }
        if flags & ACL_SET != 0 {
            fields.put(zigzag(i64::from(stat.aversion)));
        }
        fields
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Seven bits to a byte, the lowest first; the top bit says that more follow.
    fn put(&mut self, mut value: u64) {
        if value < 0x80 {
            self.bytes[self.length] = (value & 0x7f) as u8;
            self.length += 1;
            return;
        }
        // What is longer than eight bytes begins with eight that all say so.
        if value >> 56 != 0 {
            self.put_word((sevens(value & (u64::MAX >> 8)) | MORE).to_le_bytes(), 8);
            value >>= 56;
        }
        let length = (63 - (value | 1).leading_zeros()) as usize / 7 + 1;
        let more = MORE & !(u64::MAX << (8 * (length - 1)));
        self.put_word((sevens(value) | more).to_le_bytes(), length);
    }

    /// The first bytes of a word, so many of them.
    fn put_word(&mut self, word: [u8; 8], length: usize) {
        self.bytes[self.length..self.length + 8].copy_from_slice(&word);
        self.length += length;
    }
}

/// The bits that say that more follow.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Eight times seven bits, the lowest first, each in a byte of its own. By eights, by fours, by pairs.
fn sevens(value: u64) -> u64 {
    let word = (value & 0x0fff_ffff) | ((value & 0x00ff_ffff_f000_0000) << 4);
    let word = (word & 0x0000_3fff_0000_3fff) | ((word & 0x0fff_c000_0fff_c000) << 2);
    (word & 0x007f_007f_007f_007f) | ((word & 0x3f80_3f80_3f80_3f80) << 1)
}

impl<'a> Body<'a> {
    /// Over what [`pack`] made.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn name(self) -> &'a str {
        std::str::from_utf8(self.name_bytes()).expect("packed from a str")
    }

    /// The name's bytes; what a lookup compares.
    pub(super) fn name_bytes(self) -> &'a [u8] {
        let (start, end) = self.name_range();
        &self.0[start..end]
    }

    pub(super) fn czxid(self) -> Zxid {
        Zxid::from_bits(take(&mut &self.0[self.name_range().1..]).cast_signed())
    }

    pub(super) fn stat(self) -> StatPersisted {
        self.parts().0
    }

    pub(super) fn data(self) -> Option<&'a [u8]> {
        let flags = self.0[0];
        if flags & NULL != 0 {
            return None;
        }
        let fields = |flag, count| if flags & flag != 0 { count } else { 0 };
        let behind = fields(SET, 3) + fields(PARENT, 2) + fields(ACL_SET, 1);
        let mut rest = &self.0[self.name_range().1..];
        if flags & OWNED != 0 {
            skip(&mut rest, 2);
            take_owner(&mut rest);
            skip(&mut rest, behind);
        } else {
            skip(&mut rest, 2 + behind);
        }
        Some(rest)
    }

    /// Stat and data; finding the data takes reading the stat.
    pub(super) fn parts(self) -> (StatPersisted, Option<&'a [u8]>) {
        let mut stat = StatPersisted::default();
        let data = self.read(&mut stat);
        (stat, data)
    }

    /// As [`Self::parts`]; the stat goes where it is wanted. All that was there is overwritten.
    pub(super) fn read(self, stat: &mut StatPersisted) -> Option<&'a [u8]> {
        let flags = self.0[0];
        let mut rest = &self.0[self.name_range().1..];
        let czxid = take(&mut rest).cast_signed();
        let ctime = take(&mut rest).cast_signed();
        let ephemeral_owner = if flags & OWNED != 0 { take_owner(&mut rest) } else { 0 };
        *stat = StatPersisted {
            czxid: Zxid::from_bits(czxid),
            mzxid: Zxid::from_bits(czxid),
            pzxid: Zxid::from_bits(czxid),
            ctime,
            mtime: ctime,
            ephemeral_owner,
            ..StatPersisted::default()
        };
        if flags & SET != 0 {
            stat.mzxid = Zxid::from_bits(czxid.wrapping_add(take_signed(&mut rest)));
            stat.mtime = ctime.wrapping_add(take_signed(&mut rest));
            stat.version = take_int(&mut rest);
        }
        if flags & PARENT != 0 {
            stat.pzxid = Zxid::from_bits(czxid.wrapping_add(take_signed(&mut rest)));
            stat.cversion = take_int(&mut rest);
        }
        if flags & ACL_SET != 0 {
            stat.aversion = take_int(&mut rest);
        }
        (flags & NULL == 0).then_some(rest)
    }

    fn name_range(self) -> (usize, usize) {
        if self.0[0] & LONG_NAME == 0 {
            return (2, 2 + usize::from(self.0[1]));
        }
        let mut length = [0; 4];
        length.copy_from_slice(&self.0[1..5]);
        (5, 5 + u32::from_be_bytes(length) as usize)
    }
}

/// What [`Fields::put`] put.
fn take(rest: &mut &[u8]) -> u64 {
    if let Some(eight) = rest.first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let ends = !word & MORE;
        if ends != 0 {
            let bits = ends.trailing_zeros() + 1;
            *rest = &rest[bits as usize / 8..];
            // The sevens move together, by pairs, by fours, by eights.
            let word = word & (u64::MAX >> (64 - bits)) & 0x7f7f_7f7f_7f7f_7f7f;
            let word = (word & 0x007f_007f_007f_007f) | ((word >> 1) & 0x3f80_3f80_3f80_3f80);
            let word = (word & 0x0000_3fff_0000_3fff) | ((word >> 2) & 0x0fff_c000_0fff_c000);
            return (word & 0x0fff_ffff) | ((word >> 4) & 0x00ff_ffff_f000_0000);
        }
    }
    take_slowly(rest)
}

/// As so many times [`take`], without a look at the values.
fn skip(rest: &mut &[u8], count: u32) {
    let mut left = count;
    while let Some(eight) = rest.first_chunk() {
        let mut ends = !u64::from_le_bytes(*eight) & MORE;
        let here = ends.count_ones();
        if here >= left {
            for _ in 1..left {
                ends &= ends - 1;
            }
            let length = if left > 0 { ends.trailing_zeros() as usize / 8 + 1 } else { 0 };
            *rest = &rest[length..];
            return;
        }
        left -= here;
        *rest = &rest[8..];
    }
    for _ in 0..left {
        take_slowly(rest);
    }
}

/// Near the end, and what is longer than eight bytes.
fn take_slowly(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    while let Some((&byte, after)) = rest.split_first() {
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    value
}

/// Small numbers of either sign become small ones without.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn take_signed(rest: &mut &[u8]) -> i64 {
    let value = take(rest);
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn take_int(rest: &mut &[u8]) -> i32 {
    i32::try_from(take_signed(rest)).expect("packed from an i32")
}

fn take_owner(rest: &mut &[u8]) -> i64 {
    let (owner, after) = rest.split_first_chunk().expect("packed with an owner");
    *rest = after;
    i64::from_be_bytes(*owner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(stat: StatPersisted, name: &str, data: Option<&[u8]>) -> usize {
        let mut bytes = Vec::new();
        pack(&mut bytes, &stat, name.as_bytes(), data);
        let body = Body::new(&bytes);
        assert_eq!((body.stat(), body.name(), body.data()), (stat, name, data));
        bytes.len()
    }

    /// Replaces in place what can be, which is what takes as many bytes and has the same flags.
    fn check_replaced(old: StatPersisted, new: StatPersisted) {
        let packed = |stat: &StatPersisted, data: &[u8]| {
            let mut bytes = Vec::new();
            pack(&mut bytes, stat, b"name", Some(data));
            bytes
        };
        let (old, new) = (packed(&old, b"old"), packed(&new, b"new"));
        let stat = Body::new(&new).stat();
        let fits = new.len() == old.len() && new[0] == old[0];
        let mut bytes = old.clone();
        assert!(!replace(&mut bytes, &stat, Some(b"longer")));
        assert!(!replace(&mut bytes, &stat, None));
        assert_eq!(bytes, old);
        assert_eq!(replace_stat(&mut bytes, &stat, 3), fits);
        assert_eq!(bytes, if fits { packed(&stat, b"old") } else { old });
        assert_eq!(replace(&mut bytes, &stat, Some(b"new")), fits);
        assert!(!fits || bytes == new);
    }

    fn long() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -2..3_i64, Just(i64::MIN), Just(i64::MAX), Just(1 << 40)]
    }

    fn int() -> impl Strategy<Value = i32> {
        prop_oneof![any::<i32>(), -2..3_i32, Just(i32::MIN), Just(i32::MAX)]
    }

    proptest! {
        #[test]
        fn every_stat_comes_back(longs in [long(), long(), long(), long(), long(), long()], ints in [int(), int(), int()]) {
            let [czxid, mzxid, pzxid, ctime, mtime, ephemeral_owner] = longs;
            let [version, cversion, aversion] = ints;
            let [czxid, mzxid, pzxid] = [czxid, mzxid, pzxid].map(Zxid::from_bits);
            let stat = StatPersisted {
                czxid, mzxid, pzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner,
            };
            check(stat, "name", Some(b"data"));
            let other = StatPersisted { version: version ^ 1, cversion: cversion ^ 1, ..stat };
            check_replaced(stat, other);
            check_replaced(stat, StatPersisted { mzxid: pzxid, pzxid: mzxid, ..stat });
        }
    }

    #[test]
    fn names_and_data_of_any_length_come_back() {
        let long = "n".repeat(300);
        for name in ["", "a", long.as_str()] {
            for data in [None, Some(&b""[..]), Some(b"data")] {
                check(StatPersisted::default(), name, data);
            }
        }
    }

    #[test]
    fn what_is_as_most_is_short() {
        let zxid = Zxid::from_bits(0x3_0001_0000);
        let made = StatPersisted { czxid: zxid, mzxid: zxid, pzxid: zxid, ..Default::default() };
        let made = StatPersisted { ctime: 1_790_000_000_000, mtime: 1_790_000_000_000, ..made };
        assert_eq!(check(made, "name", Some(b"data")), 2 + 4 + 11 + 4);
        let mzxid = Zxid::from_bits(0x3_0002_0000);
        let set = StatPersisted { mzxid, mtime: made.ctime + 60_000, version: 1, ..made };
        assert_eq!(check(set, "name", Some(b"data")), 2 + 4 + 18 + 4);
    }
}
