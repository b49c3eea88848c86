//! How members prove to each other who they are, on both of their ports (`QuorumAuthPacket`).
//!
//! Lives here: the packet. Must not: the mechanism (`ensemble::sasl`). Start at [`AuthPacket`].

use bytes::{BufMut, Bytes};

use crate::{DecodeError, Put, Reader};

/// What such a packet begins with, and no other first packet does.
pub const MAGIC: [u8; 8] = 0x5f24_3501_3501_edcc_i64.to_be_bytes();

/// How far the exchange is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthStatus {
    /// The other side answers.
    InProgress,
    /// The one that called is believed.
    Success,
    /// It is not.
    Refused,
}

/// One step of the exchange.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthPacket {
    /// How far it is.
    pub status: AuthStatus,
    /// The mechanism's.
    pub token: Bytes,
}

impl AuthPacket {
    /// The length of what is in front of the token, in bytes.
    pub const HEAD: usize = 16;

    /// The length of the token that follows this head, in bytes. Errors: another first packet, a length
    /// beyond `limit`.
    pub fn token_length(head: &[u8; Self::HEAD], limit: usize) -> Result<usize, DecodeError> {
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        if head[..8] != MAGIC {
            let value = i32::from_be_bytes(word(0));
            return Err(DecodeError::Unknown { what: "first packet of an authentication", value });
        }
        let length = i32::from_be_bytes(word(12));
        match usize::try_from(length) {
            Ok(bytes) if bytes <= limit => Ok(bytes),
            // Null is empty here.
            Err(_) if length == -1 => Ok(0),
            _ => Err(DecodeError::Length { at: 12, length }),
        }
    }

    /// Reads the packet.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.i64()?;
        let status = match reader.i32()? {
            0 => AuthStatus::InProgress,
            1 => AuthStatus::Success,
            -1 => AuthStatus::Refused,
            value => {
                return Err(DecodeError::Unknown { what: "status of an authentication", value });
            }
        };
        Ok(Self { status, token: reader.buffer()?.unwrap_or_default() })
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_slice(&MAGIC);
        out.put_i32(match self.status {
            AuthStatus::InProgress => 0,
            AuthStatus::Success => 1,
            AuthStatus::Refused => -1,
        });
        out.put_buffer(Some(&self.token));
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn a_packet_is_read_as_it_was_written_and_nonsense_is_refused() {
        for status in [AuthStatus::InProgress, AuthStatus::Success, AuthStatus::Refused] {
            let packet = AuthPacket { status, token: Bytes::from_static(b"token") };
            let mut out = BytesMut::new();
            packet.encode(&mut out);
            let head: [u8; AuthPacket::HEAD] = out[..16].try_into().expect("16 bytes");
            assert_eq!(AuthPacket::token_length(&head, 5), Ok(5));
            AuthPacket::token_length(&head, 4).expect_err("too long");
            let mut other = head;
            other[0] ^= 1;
            AuthPacket::token_length(&other, 5).expect_err("another packet");
            let bytes = out.freeze();
            assert_eq!(AuthPacket::decode(&bytes), Ok(packet));
            for cut in 0..bytes.len() {
                AuthPacket::decode(&bytes.slice(..cut)).expect_err("cut short");
            }
        }
    }
}
