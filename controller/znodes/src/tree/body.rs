//! What one znode is in memory: stat, name and data in a single allocation.
//!
//! A znode that was never changed since it was made, which most are, has four of its nine stat fields
//! equal to two others and three zero; those are not stored. Layout: flags, name length (1 or 4 bytes),
//! stat (16, 24 or 60 bytes), name, data to the end.

use bytes::BufMut;
use jute::StatPersisted;
use types::Zxid;

/// Stat, name and data of a znode.
#[derive(Clone, Debug)]
pub(super) struct Body(Box<[u8]>);

/// All nine fields of the stat are there; otherwise czxid and ctime.
const FULL: u8 = 1;
/// Not full, and an owner follows.
const OWNED: u8 = 2;
/// The data is null.
const NULL: u8 = 4;
/// The name's length takes 4 bytes.
const LONG_NAME: u8 = 8;

impl Body {
    pub(super) fn empty() -> Self {
        Self(Box::default())
    }

    pub(super) fn pack(stat: &StatPersisted, name: &str, data: Option<&[u8]>) -> Self {
        let mut flags = if data.is_none() { NULL } else { 0 };
        flags |= if name.len() > usize::from(u8::MAX) { LONG_NAME } else { 0 };
        flags |= match (is_fresh(stat), stat.ephemeral_owner) {
            (false, _) => FULL,
            (true, 0) => 0,
            (true, _) => OWNED,
        };
        let data = data.unwrap_or_default();
        let mut body = Vec::with_capacity(stat_end(flags) + name.len() + data.len());
        body.put_u8(flags);
        if flags & LONG_NAME != 0 {
            body.put_u32(u32::try_from(name.len()).expect("a frame is shorter than 4 GiB"));
        } else {
            body.put_u8(u8::try_from(name.len()).expect("not a long name"));
        }
        if flags & FULL != 0 {
            stat.encode(&mut body);
        } else {
            body.put_i64(stat.czxid.bits());
            body.put_i64(stat.ctime);
            if flags & OWNED != 0 {
                body.put_i64(stat.ephemeral_owner);
            }
        }
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(data);
        Self(body.into_boxed_slice())
    }

    pub(super) fn stat(&self) -> StatPersisted {
        let flags = self.0[0];
        let mut at = stat_start(flags);
        if flags & FULL != 0 {
            return StatPersisted {
                czxid: Zxid::from_bits(self.long(&mut at)),
                mzxid: Zxid::from_bits(self.long(&mut at)),
                ctime: self.long(&mut at),
                mtime: self.long(&mut at),
                version: self.int(&mut at),
                cversion: self.int(&mut at),
                aversion: self.int(&mut at),
                ephemeral_owner: self.long(&mut at),
                pzxid: Zxid::from_bits(self.long(&mut at)),
            };
        }
        let (czxid, ctime) = (Zxid::from_bits(self.long(&mut at)), self.long(&mut at));
        let ephemeral_owner = if flags & OWNED != 0 { self.long(&mut at) } else { 0 };
        let fresh = StatPersisted { czxid, mzxid: czxid, pzxid: czxid, ..StatPersisted::default() };
        StatPersisted { ctime, mtime: ctime, ephemeral_owner, ..fresh }
    }

    /// Replaces the stat; in place once all of its fields are stored.
    pub(super) fn set_stat(&mut self, stat: &StatPersisted) {
        let flags = self.0[0];
        if flags & FULL != 0 {
            stat.encode(&mut &mut self.0[stat_start(flags)..stat_end(flags)]);
        } else {
            *self = Self::pack(stat, self.name(), self.data());
        }
    }

    /// Replaces stat and data; in place when the stat is full and the data keeps its length.
    pub(super) fn set_data(&mut self, stat: &StatPersisted, data: Option<&[u8]>) {
        let flags = self.0[0];
        let at = self.name_start() + self.name_length();
        let same_room = data.is_some_and(|data| data.len() == self.0.len() - at);
        if flags & FULL != 0 && flags & NULL == 0 && same_room {
            stat.encode(&mut &mut self.0[stat_start(flags)..stat_end(flags)]);
            self.0[at..].copy_from_slice(data.unwrap_or_default());
        } else {
            *self = Self::pack(stat, self.name(), data);
        }
    }

    pub(super) fn name(&self) -> &str {
        let start = self.name_start();
        let name = &self.0[start..start + self.name_length()];
        std::str::from_utf8(name).expect("packed from a str")
    }

    /// The name's bytes; what a lookup compares.
    pub(super) fn name_bytes(&self) -> &[u8] {
        let start = self.name_start();
        &self.0[start..start + self.name_length()]
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        let null = self.0[0] & NULL != 0;
        (!null).then(|| &self.0[self.name_start() + self.name_length()..])
    }

    fn name_start(&self) -> usize {
        stat_end(self.0[0])
    }

    fn name_length(&self) -> usize {
        if self.0[0] & LONG_NAME == 0 {
            return usize::from(self.0[1]);
        }
        let mut length = [0; 4];
        length.copy_from_slice(&self.0[1..5]);
        u32::from_be_bytes(length) as usize
    }

    fn long(&self, at: &mut usize) -> i64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[*at..*at + 8]);
        *at += 8;
        i64::from_be_bytes(bytes)
    }

    fn int(&self, at: &mut usize) -> i32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[*at..*at + 4]);
        *at += 4;
        i32::from_be_bytes(bytes)
    }
}

fn is_fresh(stat: &StatPersisted) -> bool {
    let zxids = stat.mzxid == stat.czxid && stat.pzxid == stat.czxid;
    let versions = (stat.version, stat.cversion, stat.aversion) == (0, 0, 0);
    zxids && versions && stat.mtime == stat.ctime
}

const fn stat_start(flags: u8) -> usize {
    if flags & LONG_NAME != 0 { 5 } else { 2 }
}

const fn stat_end(flags: u8) -> usize {
    let stat = if flags & FULL != 0 {
        StatPersisted::LENGTH
    } else if flags & OWNED != 0 {
        24
    } else {
        16
    };
    stat_start(flags) + stat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(version: i32, owner: i64) -> StatPersisted {
        let zxid = Zxid::from_bits(7);
        let fresh = StatPersisted { czxid: zxid, mzxid: zxid, pzxid: zxid, ..Default::default() };
        StatPersisted { ctime: 5, mtime: 5, version, ephemeral_owner: owner, ..fresh }
    }

    #[test]
    fn every_form_gives_back_what_was_packed() {
        let long = "n".repeat(300);
        for name in ["", "a", long.as_str()] {
            for data in [None, Some(&b""[..]), Some(b"data")] {
                for stat in [stat(0, 0), stat(0, 9), stat(3, 0), stat(-1, 9)] {
                    let body = Body::pack(&stat, name, data);
                    assert_eq!((body.stat(), body.name(), body.data()), (stat, name, data));
                }
            }
        }
    }

    #[test]
    fn a_change_keeps_the_rest() {
        let mut body = Body::pack(&stat(0, 0), "a", Some(b"old"));
        for data in [Some(&b"new"[..]), Some(b"other"), Some(b"again"), None, Some(b""), Some(b"x")]
        {
            body.set_data(&stat(4, 0), data);
            assert_eq!((body.stat(), body.name(), body.data()), (stat(4, 0), "a", data));
        }
        body.set_stat(&stat(5, 2));
        assert_eq!((body.stat(), body.name(), body.data()), (stat(5, 2), "a", Some(&b"x"[..])));
    }
}
