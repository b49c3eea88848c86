//! What a leader and its learners say to each other (port 2888).
//!
//! Lives here: the packet and the records within its data. Must not: when which is sent (`zab`).
//! Start at [`QuorumPacket`]. The stream has no frames: a packet ends where its last field does.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use types::{PeerId, SessionId, Zxid};

use crate::{DecodeError, Id, Put, Reader};

/// The one protocol version: with epochs acknowledged.
pub const PROTOCOL_VERSION: i32 = 0x10000;

macro_rules! packet_types {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What a packet is. L is any learner, F a follower, O an observer.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum PacketType {
            $($(#[$doc])* $name,)*
        }

        impl PacketType {
            /// Every type there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            pub const fn code(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }

        impl TryFrom<i32> for PacketType {
            type Error = DecodeError;

            fn try_from(code: i32) -> Result<Self, DecodeError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    value => Err(DecodeError::Unknown { what: "type of a quorum packet", value }),
                }
            }
        }
    };
}

packet_types! {
    /// L to leader: a [`Forwarded`] request.
    Request = 1,
    /// Leader to F: a transaction to log.
    Proposal = 2,
    /// F to leader: logged.
    Ack = 3,
    /// Leader to F: apply.
    Commit = 4,
    /// Both ways; the reply carries [`Touch`]es.
    Ping = 5,
    /// Both ways: does this session live?
    Revalidate = 6,
    /// Leader to L: all before it was sent.
    Sync = 7,
    /// Leader to O: a transaction that is committed.
    Inform = 8,
    /// Leader to F: apply a change of the members.
    CommitAndActivate = 9,
    /// Leader to L: the history is complete.
    NewLeader = 10,
    /// F to leader: a [`LearnerInfo`].
    FollowerInfo = 11,
    /// Leader to L: serve.
    UpToDate = 12,
    /// Leader to L: what is missing follows.
    Diff = 13,
    /// Leader to L: cut the log.
    Trunc = 14,
    /// Leader to L: a snapshot follows in the stream.
    Snap = 15,
    /// O to leader: a [`LearnerInfo`].
    ObserverInfo = 16,
    /// Leader to L: the new epoch.
    LeaderInfo = 17,
    /// L to leader: the epoch is accepted.
    AckEpoch = 18,
    /// Leader to O: a change of the members that is committed.
    InformAndActivate = 19,
    /// Leader to F, between kin only: the peer whose number stands in the zxid is to lead.
    HandOver = 84,
    /// Both ways, between kin only, whoever leads: what is asked and told of damaged files.
    Mend = 85,
}

/// One packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QuorumPacket {
    /// What it is.
    pub kind: PacketType,
    /// Of what; -1 where there is none.
    pub zxid: Zxid,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Who asked, in a request; null in all else.
    pub auth: Option<Vec<Id>>,
}

impl QuorumPacket {
    /// A packet without a requester.
    pub fn new(kind: PacketType, zxid: Zxid, data: Option<Bytes>) -> Self {
        Self { kind, zxid, data, auth: None }
    }

    /// Takes one packet from the front of `stream`; `None` when it is not all there yet, and nothing is
    /// taken then.
    ///
    /// `limit` bounds the data in bytes: a longer one is an error as soon as its length is there, so
    /// that a peer cannot make the caller collect more.
    pub fn take(stream: &mut BytesMut, limit: usize) -> Result<Option<Self>, DecodeError> {
        let Some(length) = packet_length(stream, limit)? else {
            return Ok(None);
        };
        let frame = stream.split_to(length).freeze();
        let mut reader = Reader::new(&frame);
        let kind = PacketType::try_from(reader.i32()?)?;
        let (zxid, data) = (reader.zxid()?, reader.buffer()?);
        // Nearly all packets have none.
        let auth = match frame[length_before_auth(data.as_ref())..] == (-1_i32).to_be_bytes() {
            true => None,
            false => Some(reader.vector(Id::decode)?),
        };
        Ok(Some(Self { kind, zxid, data, auth }))
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.kind.code());
        out.put_zxid(self.zxid);
        out.put_buffer(self.data.as_deref());
        match &self.auth {
            Some(ids) => out.put_vector(ids, |out, id| id.encode(out)),
            None => out.put_i32(-1),
        }
    }
}

/// What a learner tells of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LearnerInfo {
    /// `None` when it sent nothing: the leader gives it a number of its own.
    pub peer: Option<PeerId>,
    /// [`PROTOCOL_VERSION`]; 0 when not sent.
    pub protocol_version: i32,
    /// Of the configuration it knows; 0 when not sent.
    pub config_version: i64,
    /// It knows what only members of this make do; Apache reads no further than the field before.
    pub kin: bool,
}

/// What kin say of themselves, behind what Apache reads.
const KIN: &[u8; 4] = b"trp1";

impl LearnerInfo {
    /// Reads the data of its packet; shorter forms are those of older releases.
    pub fn decode(data: Option<&Bytes>) -> Self {
        let none = Bytes::new();
        let mut reader = Reader::new(data.unwrap_or(&none));
        Self {
            peer: reader.i64().ok().map(PeerId),
            protocol_version: reader.i32().unwrap_or(0),
            config_version: reader.i64().unwrap_or(0),
            kin: *reader.rest() == *KIN,
        }
    }

    /// Writes the full form.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i64(self.peer.map_or(-1, |peer| peer.0));
        out.put_i32(self.protocol_version);
        out.put_i64(self.config_version);
        if self.kin {
            out.put_slice(KIN);
        }
    }
}

/// The data of a leader's first packet: the protocol's version, and whether it knows what only members of this
/// make do, which it says to kin alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaderHello {
    /// See [`LearnerInfo::kin`].
    pub kin: bool,
}

impl LeaderHello {
    /// Reads the data of its packet; what is not understood is no kin's.
    pub fn decode(data: Option<&Bytes>) -> Self {
        Self { kin: data.and_then(|data| data.get(4..)).is_some_and(|rest| rest == KIN) }
    }

    /// Writes the data of its packet.
    pub fn encode(self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(PROTOCOL_VERSION);
        if self.kin {
            out.put_slice(KIN);
        }
    }
}

/// A client's request on its way to the leader.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forwarded {
    /// Whose.
    pub session: SessionId,
    /// The client's number for it.
    pub cxid: i32,
    /// The opcode, as sent.
    pub op: i32,
    /// The record, as the client sent it.
    pub record: Bytes,
}

impl Forwarded {
    /// Reads the data of its packet.
    pub fn decode(data: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        Ok(Self {
            session: reader.session()?,
            cxid: reader.i32()?,
            op: reader.i32()?,
            record: reader.rest(),
        })
    }

    /// Writes the data of its packet.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_session(self.session);
        out.put_i32(self.cxid);
        out.put_i32(self.op);
        out.put_slice(&self.record);
    }
}

/// In place of the opcode, between our own: the request came too late, for its session has moved. Not Apache's.
pub const LATE: i32 = -120;

/// A session that gave a sign of life on a learner; also the question whether a session lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Touch {
    /// Which.
    pub session: SessionId,
    /// As agreed on.
    pub timeout_ms: i32,
}

impl Touch {
    /// Reads all that a reply to a ping carries; a torn one at the end is an error.
    pub fn decode_all(data: &Bytes) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(data);
        let mut touches = Vec::with_capacity(reader.left() / 12);
        while reader.left() > 0 {
            touches.push(Self { session: reader.session()?, timeout_ms: reader.i32()? });
        }
        Ok(touches)
    }

    /// Writes one.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_session(self.session);
        out.put_i32(self.timeout_ms);
    }
}

/// The answer to the question whether a session lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revalidated {
    /// Which.
    pub session: SessionId,
    /// Whether it does.
    pub valid: bool,
}

impl Revalidated {
    /// Reads the data of its packet.
    pub fn decode(data: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        Ok(Self { session: reader.session()?, valid: reader.bool()? })
    }

    /// Writes the data of its packet.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_session(self.session);
        out.put_bool(self.valid);
    }
}

/// Bytes before the data's length: type and zxid.
const DATA_AT: usize = 12;

fn length_before_auth(data: Option<&Bytes>) -> usize {
    DATA_AT + 4 + data.map_or(0, Bytes::len)
}

/// Bytes the packet at the front takes; `None` when its end is not there yet.
fn packet_length(stream: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
    let mut at = DATA_AT;
    if !skip_buffer(stream, &mut at, limit)? {
        return Ok(None);
    }
    let Some(count) = peek(stream, at) else {
        return Ok(None);
    };
    at += 4;
    for _ in 0..count.max(0) {
        let all_there =
            skip_buffer(stream, &mut at, limit)? && skip_buffer(stream, &mut at, limit)?;
        if !all_there {
            return if at <= limit { Ok(None) } else { Err(too_long(at, count)) };
        }
    }
    Ok(Some(at))
}

fn skip_buffer(stream: &[u8], at: &mut usize, limit: usize) -> Result<bool, DecodeError> {
    let Some(length) = peek(stream, *at) else {
        return Ok(false);
    };
    match usize::try_from(length) {
        Ok(bytes) if bytes > limit => return Err(too_long(*at, length)),
        Ok(bytes) => *at += 4 + bytes,
        Err(_) if length == -1 => *at += 4,
        Err(_) => return Err(DecodeError::Length { at: *at, length }),
    }
    Ok(stream.len() >= *at)
}

fn too_long(at: usize, length: i32) -> DecodeError {
    DecodeError::Length { at, length }
}

fn peek(stream: &[u8], at: usize) -> Option<i32> {
    let mut bytes = stream.get(at..at + 4)?;
    Some(bytes.get_i32())
}
