//! The first exchange of a connection, which has no headers.

use bytes::{BufMut, Bytes};
use types::{SessionId, Zxid};

use crate::{DecodeError, Put, Reader};

/// Bytes of a session's password.
pub const PASSWORD_LENGTH: usize = 16;

/// A client opens a session or comes back to one; 45 bytes, 44 without the last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectRequest {
    /// 0; means nothing.
    pub protocol_version: i32,
    /// The highest zxid the client saw in a reply; a member that is behind it must not serve.
    pub last_zxid_seen: Zxid,
    /// The session timeout it wishes, in ms.
    pub timeout_ms: i32,
    /// 0 asks for a new session.
    pub session: SessionId,
    /// Of the session it comes back to; anything for a new one.
    pub password: Option<Bytes>,
    /// Whether a read-only member will do; old clients leave the byte out, and then so does the reply.
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    /// Reads the record; the last byte may be missing.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: reader.zxid()?,
            timeout_ms: reader.i32()?,
            session: reader.session()?,
            password: reader.buffer()?,
            read_only: reader.bool().ok(),
        })
    }

    /// Writes the record.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.protocol_version);
        out.put_zxid(self.last_zxid_seen);
        out.put_i32(self.timeout_ms);
        out.put_session(self.session);
        out.put_buffer(self.password.as_deref());
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// The answer; 37 bytes, 36 to a request without the last byte.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectResponse {
    /// The timeout agreed on, in ms; 0 says that the session is not there.
    pub timeout_ms: i32,
    /// 0 when the session is not there.
    pub session: SessionId,
    /// Zeros when the session is not there.
    pub password: [u8; PASSWORD_LENGTH],
    /// There when the request had the byte; true on a read-only member.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The answer to a session that has ended or to a wrong password.
    pub const fn invalid(read_only: Option<bool>) -> Self {
        Self { timeout_ms: 0, session: SessionId(0), password: [0; PASSWORD_LENGTH], read_only }
    }

    /// Reads the record; a password of another length is cut or filled with zeros.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        reader.i32()?;
        let (timeout_ms, session) = (reader.i32()?, reader.session()?);
        let sent = reader.buffer()?.unwrap_or_default();
        let mut password = [0; PASSWORD_LENGTH];
        for (to, from) in password.iter_mut().zip(&sent) {
            *to = *from;
        }
        Ok(Self { timeout_ms, session, password, read_only: reader.bool().ok() })
    }

    /// Writes the record.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(0);
        out.put_i32(self.timeout_ms);
        out.put_session(self.session);
        out.put_buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}
