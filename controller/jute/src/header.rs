//! What stands before every request and every reply once a session is there.

use bytes::BufMut;
use types::Zxid;

use crate::{DecodeError, ErrorCode, Put, Reader};

/// The xids with a meaning of their own.
pub mod xid {
    /// Member to client: a watch has fired.
    pub const NOTIFICATION: i32 = -1;
    /// A ping, and the reply to any ping.
    pub const PING: i32 = -2;
    /// An auth packet of most clients.
    pub const AUTH: i32 = -4;
    /// Setting watches again, of most clients.
    pub const SET_WATCHES: i32 = -8;
}

/// Before a request: 8 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestHeader {
    /// The client's number for this request; every reply but that to a ping echoes it.
    pub xid: i32,
    /// The opcode, as sent: it may be none that is known.
    pub op: i32,
}

impl RequestHeader {
    /// Reads `xid, type`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: reader.i32()?, op: reader.i32()? })
    }

    /// Writes `xid, type`.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.xid);
        out.put_i32(self.op);
    }
}

/// Before a reply or a notification: 16 bytes. A refusal is this and nothing more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReplyHeader {
    /// The request's, or one of [`xid`].
    pub xid: i32,
    /// What the answering member had applied when it made the reply; see [`Self::NO_ZXID`].
    pub zxid: Zxid,
    /// `None` is success.
    pub error: Option<ErrorCode>,
}

impl ReplyHeader {
    /// Bytes on the wire.
    pub const LENGTH: usize = 16;

    /// The zxid of an `Unimplemented` reply and of a notification that setting watches again made.
    pub const NO_ZXID: Zxid = Zxid::from_bits(-1);

    /// Reads `xid, zxid, err`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: reader.i32()?,
            zxid: reader.zxid()?,
            error: ErrorCode::from_code(reader.i32()?),
        })
    }

    /// Writes `xid, zxid, err`.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        // At once: a buffer that grows looks for room at each step.
        let mut bytes = [0; Self::LENGTH];
        let mut rest = &mut bytes[..];
        rest.put_i32(self.xid);
        rest.put_zxid(self.zxid);
        rest.put_i32(self.error.map_or(0, ErrorCode::code));
        out.put_slice(&bytes);
    }
}
