//! What members say to each other while they elect a leader (port 3888).
//!
//! Lives here: the first message of a connection and the notification. Must not: who wins (`zab`).
//! Start at [`Notification`].

use bytes::{BufMut, Bytes};
use types::{PeerId, Zxid};

use crate::{DecodeError, Put, Reader, Text};

/// One address follows.
const ONE_ADDRESS: i64 = -65536;
/// Addresses follow, joined by `|`.
const SEVERAL_ADDRESSES: i64 = -65535;
/// The longest address that is believed, in bytes.
const MAX_ADDRESS: usize = 2048;

/// The first message of whoever opens the connection. It has no frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Initial {
    /// Who opens it.
    pub peer: PeerId,
    /// Where that member can be dialled: `host:port`, one or more.
    pub addresses: Vec<Text>,
}

impl Initial {
    /// Reads the message.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.i64()?;
        // The first releases sent their id and nothing else.
        if version >= 0 {
            return Ok(Self { peer: PeerId(version), addresses: Vec::new() });
        }
        if version != ONE_ADDRESS && version != SEVERAL_ADDRESSES {
            let value = i32::try_from(version).unwrap_or(i32::MIN);
            return Err(DecodeError::Unknown { what: "version of the election protocol", value });
        }
        let (peer, at) = (PeerId(reader.i64()?), reader.at());
        let text = reader.required_text("election address")?;
        if text.is_empty() || text.len() > MAX_ADDRESS {
            let length = i32::try_from(text.len()).unwrap_or(i32::MAX);
            return Err(DecodeError::Length { at, length });
        }
        Ok(Self { peer, addresses: text.split('|').map(|part| text.slice(part)).collect() })
    }

    /// Writes the message; to be sent at once, in one piece.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        let several = self.addresses.len() > 1;
        out.put_i64(if several { SEVERAL_ADDRESSES } else { ONE_ADDRESS });
        out.put_i64(self.peer.0);
        let addresses: Vec<&str> = self.addresses.iter().map(Text::as_str).collect();
        out.put_text(&addresses.join("|"));
    }
}

/// What a member is, as far as an election goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ServerState {
    /// Electing.
    Looking,
    /// A follower.
    Following,
    /// The leader.
    Leading,
    /// An observer.
    Observing,
}

impl ServerState {
    const fn code(self) -> i32 {
        match self {
            Self::Looking => 0,
            Self::Following => 1,
            Self::Leading => 2,
            Self::Observing => 3,
        }
    }
}

impl TryFrom<i32> for ServerState {
    type Error = DecodeError;

    fn try_from(code: i32) -> Result<Self, DecodeError> {
        match code {
            0 => Ok(Self::Looking),
            1 => Ok(Self::Following),
            2 => Ok(Self::Leading),
            3 => Ok(Self::Observing),
            value => Err(DecodeError::Unknown { what: "state of a member", value }),
        }
    }
}

/// A vote, within a frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notification {
    /// The sender's.
    pub state: ServerState,
    /// Whom it proposes; the smallest number there is from a member without a vote.
    pub leader: PeerId,
    /// The proposed leader's last zxid.
    pub zxid: Zxid,
    /// The sender's round.
    pub round: i64,
    /// The proposed leader's epoch.
    pub epoch: i64,
    /// The text of the committed configuration; `None` from older releases.
    pub config: Option<Text>,
}

/// The notification with a configuration.
const NOTIFICATION_VERSION: i32 = 2;

impl Notification {
    /// Reads the message within a frame: 28 bytes, 40, or with a configuration.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        let state = ServerState::try_from(reader.i32()?)?;
        let (leader, zxid, round) = (PeerId(reader.i64()?), reader.zxid()?, reader.i64()?);
        let epoch = if reader.left() == 0 { i64::from(zxid.epoch().0) } else { reader.i64()? };
        let version = if reader.left() == 0 { 0 } else { reader.i32()? };
        let config = if version >= NOTIFICATION_VERSION {
            Some(reader.required_text("configuration")?)
        } else {
            None
        };
        Ok(Self { state, leader, zxid, round, epoch, config })
    }

    /// Writes the message within a frame; without a configuration the 40-byte form.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.state.code());
        out.put_i64(self.leader.0);
        out.put_zxid(self.zxid);
        out.put_i64(self.round);
        out.put_i64(self.epoch);
        match &self.config {
            Some(config) => {
                out.put_i32(NOTIFICATION_VERSION);
                out.put_text(config);
            }
            None => out.put_i32(1),
        }
    }
}
