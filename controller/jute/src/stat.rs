//! What is known of a znode beside its data.

use bytes::BufMut;
use types::{SessionId, Zxid};

use crate::{DecodeError, Put, Reader};

/// What a client is told of a znode; 68 bytes on the wire.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stat {
    /// The transaction that made it.
    pub czxid: Zxid,
    /// The last one that set its data.
    pub mzxid: Zxid,
    /// When it was made; ms since 1970 by the leader's clock.
    pub ctime: i64,
    /// When its data was last set; ms since 1970.
    pub mtime: i64,
    /// Changes of its data; wraps.
    pub version: i32,
    /// Children made and deleted; wraps.
    pub cversion: i32,
    /// Changes of its ACL; wraps.
    pub aversion: i32,
    /// The session whose end deletes it; 0 for none.
    pub ephemeral_owner: SessionId,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// How many children it has.
    pub num_children: i32,
    /// The last transaction that made or deleted a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Bytes on the wire.
    pub const LENGTH: usize = 68;

    /// Reads the eleven fields.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: reader.zxid()?,
            mzxid: reader.zxid()?,
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.session()?,
            data_length: reader.i32()?,
            num_children: reader.i32()?,
            pzxid: reader.zxid()?,
        })
    }

    /// Writes the eleven fields.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        // At once: a buffer that grows looks for room at each step.
        let mut bytes = [0; Self::LENGTH];
        let mut rest = &mut bytes[..];
        rest.put_zxid(self.czxid);
        rest.put_zxid(self.mzxid);
        rest.put_i64(self.ctime);
        rest.put_i64(self.mtime);
        rest.put_i32(self.version);
        rest.put_i32(self.cversion);
        rest.put_i32(self.aversion);
        rest.put_session(self.ephemeral_owner);
        rest.put_i32(self.data_length);
        rest.put_i32(self.num_children);
        rest.put_zxid(self.pzxid);
        out.put_slice(&bytes);
    }
}

/// What a snapshot keeps of a znode; 60 bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StatPersisted {
    /// The transaction that made it.
    pub czxid: Zxid,
    /// The last one that set its data.
    pub mzxid: Zxid,
    /// When it was made; ms since 1970.
    pub ctime: i64,
    /// When its data was last set; ms since 1970.
    pub mtime: i64,
    /// Changes of its data; wraps.
    pub version: i32,
    /// Children made, deletions not counted; wraps. The number of the next sequential child.
    pub cversion: i32,
    /// Changes of its ACL; wraps.
    pub aversion: i32,
    /// 0, a session, or one of the encodings of containers and times to live.
    pub ephemeral_owner: i64,
    /// The last transaction that made or deleted a child.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Bytes on the disk.
    pub const LENGTH: usize = 60;

    /// Reads the nine fields.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: reader.zxid()?,
            mzxid: reader.zxid()?,
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            pzxid: reader.zxid()?,
        })
    }

    /// Writes the nine fields.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        // At once: a buffer that grows looks for room at each step.
        let mut bytes = [0; Self::LENGTH];
        let mut rest = &mut bytes[..];
        rest.put_zxid(self.czxid);
        rest.put_zxid(self.mzxid);
        rest.put_i64(self.ctime);
        rest.put_i64(self.mtime);
        rest.put_i32(self.version);
        rest.put_i32(self.cversion);
        rest.put_i32(self.aversion);
        rest.put_i64(self.ephemeral_owner);
        rest.put_zxid(self.pzxid);
        out.put_slice(&bytes);
    }
}
