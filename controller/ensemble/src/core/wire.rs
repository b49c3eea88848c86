//! The protocol's messages as Apache's packets, both ways.
//!
//! Lives here: which packet a message is. Must not: sessions' packets, which the core answers itself.

use bytes::{Buf, Bytes, BytesMut};
use jute::election::{Notification as Vote, ServerState};
use jute::learner::{LeaderHello, LearnerInfo, PROTOCOL_VERSION, PacketType, QuorumPacket};
use jute::{Put, Text};
use types::{Epoch, PeerId, Zxid};
use zab::{Candidate, Introduction, Message, Notification, PeerState, Txn};

use crate::peers::put_packet;

/// What packets carry beside the messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) me: PeerId,
    /// The text of the last members seen.
    pub(super) members: &'a Text,
    pub(super) config_version: Zxid,
    /// What a learner's answer to a ping says of sessions; `None` on a leader.
    pub(super) touches: Option<&'a [u8]>,
}

/// Writes the packet of a message between leader and learner.
pub(super) fn put(message: &Message, context: &Context<'_>, out: &mut BytesMut) {
    let mut data = BytesMut::new();
    let epoch_zxid = |epoch| Zxid::new(epoch, 0);
    let mut packet = |kind, zxid, data: Option<&[u8]>| put_packet(out, kind, zxid, data);
    match message {
        Message::Proposal(Txn { zxid, body }) => packet(PacketType::Proposal, *zxid, Some(body)),
        Message::Inform(Txn { zxid, body }) => packet(PacketType::Inform, *zxid, Some(body)),
        Message::Commit(zxid) => packet(PacketType::Commit, *zxid, None),
        Message::Ack(zxid) => packet(PacketType::Ack, *zxid, None),
        Message::Ping(zxid) => packet(PacketType::Ping, *zxid, context.touches),
        Message::Introduction(introduction) => {
            let Introduction { accepted, observer, kin } = *introduction;
            let info = LearnerInfo {
                peer: Some(context.me),
                protocol_version: PROTOCOL_VERSION,
                config_version: context.config_version.bits(),
                kin,
            };
            info.encode(&mut data);
            let kind = match observer {
                true => PacketType::ObserverInfo,
                false => PacketType::FollowerInfo,
            };
            packet(kind, epoch_zxid(accepted), Some(&data));
        }
        Message::LeaderInfo { epoch, kin } => {
            LeaderHello { kin: *kin }.encode(&mut data);
            packet(PacketType::LeaderInfo, epoch_zxid(*epoch), Some(&data));
        }
        Message::AckEpoch { current, last } => {
            let current = current.map_or(-1, |epoch| epoch.0.cast_signed());
            packet(PacketType::AckEpoch, *last, Some(&current.to_be_bytes()));
        }
        Message::Diff(zxid) => packet(PacketType::Diff, *zxid, None),
        Message::Trunc(zxid) => packet(PacketType::Trunc, *zxid, None),
        Message::Snap(zxid) => packet(PacketType::Snap, *zxid, None),
        Message::NewLeader(epoch) => {
            packet(PacketType::NewLeader, epoch_zxid(*epoch), Some(context.members.as_bytes()));
        }
        Message::CommitAndActivate { zxid, leader } => {
            packet(PacketType::CommitAndActivate, *zxid, Some(&leader.0.to_be_bytes()));
        }
        Message::InformAndActivate { txn: Txn { zxid, body }, leader } => {
            data.extend_from_slice(&leader.0.to_be_bytes());
            data.extend_from_slice(body);
            packet(PacketType::InformAndActivate, *zxid, Some(&data));
        }
        Message::UpToDate => packet(PacketType::UpToDate, Zxid::from_bits(-1), None),
        Message::HandOver(peer) => packet(PacketType::HandOver, Zxid::from_bits(peer.0), None),
        other => tracing::error!(?other, "a message that has no packet"),
    }
}

/// Up to where a learner knows all to be committed that is told this.
pub(super) fn commits(message: &Message) -> Option<Zxid> {
    match message {
        Message::Commit(zxid) | Message::CommitAndActivate { zxid, .. } => Some(*zxid),
        Message::Inform(txn) | Message::InformAndActivate { txn, .. } => Some(txn.zxid),
        _ => None,
    }
}

/// The message of a packet; `None` when it is none of the protocol's, or its data is not what it must be.
pub(super) fn message(packet: QuorumPacket) -> Option<Message> {
    let QuorumPacket { kind, zxid, data, .. } = packet;
    let txn = |data: Option<Bytes>| data.map(|body| Txn { zxid, body });
    Some(match kind {
        PacketType::Proposal => Message::Proposal(txn(data)?),
        PacketType::Inform => Message::Inform(txn(data)?),
        PacketType::Commit => Message::Commit(zxid),
        PacketType::Ack => Message::Ack(zxid),
        PacketType::Ping => Message::Ping(zxid),
        PacketType::FollowerInfo | PacketType::ObserverInfo => {
            let info = LearnerInfo::decode(data.as_ref());
            Message::Introduction(Introduction {
                accepted: zxid.epoch(),
                observer: kind == PacketType::ObserverInfo,
                kin: info.kin,
            })
        }
        PacketType::LeaderInfo => {
            let kin = LeaderHello::decode(data.as_ref()).kin;
            Message::LeaderInfo { epoch: zxid.epoch(), kin }
        }
        PacketType::AckEpoch => {
            let current = data.as_ref().and_then(|data| data.first_chunk::<4>().copied())?;
            // -1: it had promised the epoch before.
            let current = u32::try_from(i32::from_be_bytes(current)).ok().map(Epoch);
            Message::AckEpoch { current, last: zxid }
        }
        PacketType::CommitAndActivate => {
            let leader = named(&mut data?)?;
            Message::CommitAndActivate { zxid, leader }
        }
        PacketType::InformAndActivate => {
            let mut body = data?;
            let leader = named(&mut body)?;
            Message::InformAndActivate { txn: Txn { zxid, body }, leader }
        }
        PacketType::Diff => Message::Diff(zxid),
        PacketType::Trunc => Message::Trunc(zxid),
        PacketType::Snap => Message::Snap(zxid),
        PacketType::NewLeader => Message::NewLeader(zxid.epoch()),
        PacketType::UpToDate => Message::UpToDate,
        PacketType::HandOver => Message::HandOver(PeerId(zxid.bits())),
        _ => return None,
    })
}

/// Who leads from a change of the members on, in front of what else a packet says.
pub(super) fn named(data: &mut Bytes) -> Option<PeerId> {
    (data.len() >= 8).then(|| PeerId(data.get_i64()))
}

/// A vote as it goes to a peer.
pub(super) fn vote(notification: &Notification, members: &Text) -> Vote {
    let state = match notification.state {
        PeerState::Looking => ServerState::Looking,
        PeerState::Following => ServerState::Following,
        PeerState::Leading => ServerState::Leading,
        PeerState::Observing => ServerState::Observing,
    };
    let config = Some(members.clone());
    let round = notification.round;
    match notification.candidate {
        Some(Candidate { epoch, last, leader }) => {
            Vote { state, leader, zxid: last, round, epoch: epoch.0.into(), config }
        }
        None => {
            let zxid = Zxid::from_bits(i64::MIN);
            Vote { state, leader: PeerId(i64::MIN), zxid, round, epoch: i64::MIN, config }
        }
    }
}

/// A peer's vote.
pub(super) fn notification(vote: &Vote) -> Notification {
    let state = match vote.state {
        ServerState::Looking => PeerState::Looking,
        ServerState::Following => PeerState::Following,
        ServerState::Leading => PeerState::Leading,
        ServerState::Observing => PeerState::Observing,
    };
    // One without a vote sends the smallest numbers there are, an untrusted history is at -1.
    let trusted = vote.leader.0 != i64::MIN && vote.zxid.bits() >= 0;
    let epoch = u32::try_from(vote.epoch).ok().map(Epoch).filter(|_| trusted);
    let candidate = epoch.map(|epoch| Candidate { epoch, last: vote.zxid, leader: vote.leader });
    Notification { state, candidate, round: vote.round }
}

/// The data of an answer to a ping: sessions that gave a sign of life.
pub(super) fn put_touch(session: types::SessionId, timeout_ms: i32, out: &mut BytesMut) {
    out.put_session(session);
    bytes::BufMut::put_i32(out, timeout_ms);
}
