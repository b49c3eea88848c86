//! Bytes captured from Apache ZooKeeper 3.9.4 on loopback, both ways.

use bytes::{Bytes, BytesMut};
use jute::election::{Initial, Notification, ServerState};
use jute::learner::{
    Forwarded, LeaderHello, LearnerInfo, PROTOCOL_VERSION, PacketType, QuorumPacket, Revalidated,
    Touch,
};
use jute::{
    ConnectRequest, ConnectResponse, Entry, ErrorCode, EventType, OpCode, OpResult, Put, Reader,
    ReplyHeader, Response, Text, Txn, TxnDigest, TxnHeader, WatcherEvent, xid,
};
use types::{PeerId, SessionId, Zxid};

const LIMIT: usize = 1 << 20;

#[test]
fn connect_responses() {
    let password = hex("d9d36d73f25ab918dff0b9698b31ca17");
    let response = ConnectResponse {
        timeout_ms: 10_000,
        session: SessionId(0x0100_001b_587d_0000),
        password: password[..].try_into().expect("16 bytes"),
        read_only: Some(false),
    };
    let captured =
        hex("00000000 00002710 0100001b587d0000 00000010 d9d36d73f25ab918dff0b9698b31ca17 00");
    check(&captured, |out| response.encode(out));
    assert_eq!(ConnectResponse::decode(&captured), Ok(response));

    let captured =
        hex("00000000 00000000 0000000000000000 00000010 00000000000000000000000000000000 00");
    check(&captured, |out| ConnectResponse::invalid(Some(false)).encode(out));
    check(&captured.slice(..36), |out| ConnectResponse::invalid(None).encode(out));
}

#[test]
fn a_connect_request_has_44_or_45_bytes() {
    for (read_only, length) in [(None, 44), (Some(true), 45)] {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::from_bits(5),
            timeout_ms: 10_000,
            session: SessionId(0),
            password: Some(Bytes::from_static(&[0; 16])),
            read_only,
        };
        let mut out = BytesMut::new();
        request.encode(&mut out);
        assert_eq!(out.len(), length);
        assert_eq!(ConnectRequest::decode(&out.freeze()), Ok(request));
    }
}

#[test]
fn notifications() {
    let event = WatcherEvent { kind: EventType::Created, path: "/w".into() };
    let header =
        |zxid| ReplyHeader { xid: xid::NOTIFICATION, zxid: Zxid::from_bits(zxid), error: None };
    let captured = hex("ffffffff 0000000000000013 00000000 00000001 00000003 00000002 2f77");
    check(&captured, |out| {
        header(0x13).encode(out);
        event.encode(out);
    });
    let mut reader = Reader::new(&captured);
    assert_eq!(ReplyHeader::decode(&mut reader), Ok(header(0x13)));
    assert_eq!(WatcherEvent::decode(&mut reader), Ok(event));
    assert_eq!(header(-1).zxid, ReplyHeader::NO_ZXID);
}

#[test]
fn a_failed_multi() {
    let captured = hex("ffffffff 00 00000000 00000000 ffffffff 00 ffffff9b ffffff9b \
         ffffffff 00 fffffffe fffffffe ffffffff 01 ffffffff");
    let results = Response::Multi(vec![
        OpResult::Error(None),
        OpResult::Error(Some(ErrorCode::NoNode)),
        OpResult::Error(Some(ErrorCode::RuntimeInconsistency)),
    ]);
    check(&captured, |out| results.encode(out));
    assert_eq!(Response::decode(OpCode::Multi, &mut Reader::new(&captured)), Ok(results));
}

#[test]
fn transactions() {
    let header = |zxid, time| TxnHeader {
        session: SessionId(0x0100_001d_bf47_0000),
        cxid: 0,
        zxid: Zxid::from_bits(zxid),
        time,
    };
    let captured = hex("0100001dbf470000 00000000 0000000100000001 000001a1fcc85a17 fffffff6 \
         00002710 00000002 0000000051c6d660");
    let entry = Entry {
        header: header(0x1_0000_0001, 0x1a1_fcc8_5a17),
        txn: Txn::CreateSession { timeout_ms: 10_000 },
        digest: Some(TxnDigest { version: 2, tree: 0x51c6_d660 }),
    };
    check(&captured, |out| entry.encode(out));
    assert_eq!(Entry::decode(&captured), Ok(entry));

    let mut out = BytesMut::new();
    Txn::Error(ErrorCode::NodeExists).encode(&mut out);
    assert_eq!(out, hex("ffffff92"));
}

#[test]
fn old_logs_lack_the_last_fields() {
    let header = hex("0000000000000001 00000000 0000000000000001 0000000000000000");
    let close = [&header[..], &OpCode::CloseSession.code().to_be_bytes()].concat();
    let close = Entry::decode(&Bytes::from(close)).expect("a header alone is a close");
    assert_eq!((close.txn, close.digest), (Txn::CloseSession(None), None));

    // As Apache's writes it with closeSessionTxn.enabled=false.
    let digest = TxnDigest { version: 2, tree: 0xaf_51c6_d660 };
    let close = Entry {
        header: Entry::decode(&Bytes::from([&header[..], &hex("fffffff5")].concat()))
            .expect("a header alone is a close")
            .header,
        txn: Txn::CloseSession(None),
        digest: Some(digest),
    };
    let mut with_digest = BytesMut::new();
    close.encode(&mut with_digest);
    assert_eq!(with_digest.len(), 32 + 12);
    assert_eq!(Entry::decode(&with_digest.freeze()), Ok(close));

    let mut create = BytesMut::from(&header[..]);
    create.extend_from_slice(&OpCode::Create.code().to_be_bytes());
    create.extend_from_slice(&hex("00000002 2f61 ffffffff 00000000 01"));
    let Ok(Entry { txn: Txn::Create(create), .. }) = Entry::decode(&create.freeze()) else {
        panic!("a create without the parent's version is read");
    };
    assert!(create.ephemeral && create.data.is_none());
    assert_eq!(create.parent_cversion, -1);
}

#[test]
fn learner_packets() {
    let none = Zxid::from_bits(-1);
    let epoch = Zxid::from_bits(0x1_0000_0000);
    let data = |text: &str| Some(hex(text));
    let config = "server.1=127.0.0.1:2282:3382:participant\nversion=0";
    for (captured, packet) in [
        (
            "0000000b 0000000000000000 00000014 0000000000000001 00010000 0000000000000000 ffffffff",
            QuorumPacket::new(
                PacketType::FollowerInfo,
                Zxid::ZERO,
                Some(encoded(|out| {
                    let peer = Some(PeerId(1));
                    let protocol_version = PROTOCOL_VERSION;
                    LearnerInfo { peer, protocol_version, config_version: 0, kin: false }
                        .encode(out);
                })),
            ),
        ),
        (
            "00000011 0000000100000000 00000004 00010000 ffffffff",
            QuorumPacket::new(PacketType::LeaderInfo, epoch, data("00010000")),
        ),
        (
            "00000012 0000000100000004 00000004 ffffffff ffffffff",
            QuorumPacket::new(
                PacketType::AckEpoch,
                Zxid::from_bits(0x1_0000_0004),
                data("ffffffff"),
            ),
        ),
        (
            "0000000d 0000000000000000 ffffffff ffffffff",
            QuorumPacket::new(PacketType::Diff, Zxid::ZERO, None),
        ),
        (
            "00000003 0000000100000000 ffffffff ffffffff",
            QuorumPacket::new(PacketType::Ack, epoch, None),
        ),
        (
            "0000000c ffffffffffffffff ffffffff ffffffff",
            QuorumPacket::new(PacketType::UpToDate, none, None),
        ),
        (
            "00000005 0000000100000000 00000000 ffffffff",
            QuorumPacket::new(PacketType::Ping, epoch, Some(Bytes::new())),
        ),
        (
            "00000001 ffffffffffffffff 00000014 0100001dbf470000 00000000 fffffff6 00002710 ffffffff",
            QuorumPacket::new(
                PacketType::Request,
                none,
                Some(encoded(|out| {
                    let session = SessionId(0x0100_001d_bf47_0000);
                    let op = OpCode::CreateSession.code();
                    Forwarded { session, cxid: 0, op, record: hex("00002710") }.encode(out);
                })),
            ),
        ),
        (
            "00000006 ffffffffffffffff 0000000c 0100001dbf470000 00002710 ffffffff",
            QuorumPacket::new(
                PacketType::Revalidate,
                none,
                Some(encoded(|out| {
                    let session = SessionId(0x0100_001d_bf47_0000);
                    Touch { session, timeout_ms: 10_000 }.encode(out);
                })),
            ),
        ),
        (
            "00000006 ffffffffffffffff 00000009 0100001dbf470000 01 ffffffff",
            QuorumPacket::new(
                PacketType::Revalidate,
                none,
                Some(encoded(|out| {
                    let session = SessionId(0x0100_001d_bf47_0000);
                    Revalidated { session, valid: true }.encode(out);
                })),
            ),
        ),
        (
            &format!(
                "0000000a 0000000100000000 {:08x} {} ffffffff",
                config.len(),
                config.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()
            ),
            QuorumPacket::new(PacketType::NewLeader, epoch, Some(Bytes::from(config))),
        ),
    ] {
        let captured = hex(captured);
        check(&captured, |out| packet.encode(out));
        let mut stream = BytesMut::from(&captured[..]);
        stream.extend_from_slice(&captured);
        for _ in 0..2 {
            assert_eq!(QuorumPacket::take(&mut stream, LIMIT), Ok(Some(packet.clone())));
        }
        assert_eq!(QuorumPacket::take(&mut stream, LIMIT), Ok(None));
        for cut in 0..captured.len() {
            let mut stream = BytesMut::from(&captured[..cut]);
            assert_eq!(QuorumPacket::take(&mut stream, LIMIT), Ok(None), "cut at {cut}");
            assert_eq!(stream.len(), cut, "nothing is taken");
        }
    }
}

/// What kin say of themselves stands behind what Apache reads.
#[test]
fn kin_know_each_other_and_others_see_what_they_always_saw() {
    for kin in [false, true] {
        let (peer, protocol_version) = (Some(PeerId(1)), PROTOCOL_VERSION);
        let info = LearnerInfo { peer, protocol_version, config_version: 7, kin };
        let bytes = encoded(|out| info.encode(out));
        assert_eq!(bytes[..20], hex("0000000000000001 00010000 0000000000000007"));
        assert_eq!(LearnerInfo::decode(Some(&bytes)), info);
        let bytes = encoded(|out| LeaderHello { kin }.encode(out));
        assert_eq!(bytes[..4], hex("00010000"));
        assert_eq!(LeaderHello::decode(Some(&bytes)), LeaderHello { kin });
    }
    assert_eq!(LeaderHello::decode(None), LeaderHello { kin: false });
}

#[test]
fn a_packet_longer_than_the_limit_is_refused_before_it_is_there() {
    let mut stream = BytesMut::from(&hex("00000002 0000000000000001 7fffffff")[..]);
    assert!(QuorumPacket::take(&mut stream, LIMIT).is_err());
}

#[test]
fn election_messages() {
    let initial = Initial { peer: PeerId(3), addresses: vec!["127.0.0.1:3384".into()] };
    let mut captured = BytesMut::from(&hex("ffffffffffff0000 0000000000000003 0000000e")[..]);
    captured.extend_from_slice(b"127.0.0.1:3384");
    let captured = captured.freeze();
    check(&captured, |out| initial.encode(out));
    assert_eq!(Initial::decode(&captured), Ok(initial));

    let several = Initial { peer: PeerId(3), addresses: vec!["a:1".into(), "b:1".into()] };
    assert_eq!(Initial::decode(&encoded(|out| several.encode(out))), Ok(several));

    let config: Text = "x".repeat(170).into();
    let answer = Notification {
        state: ServerState::Leading,
        leader: PeerId(2),
        zxid: Zxid::ZERO,
        round: 1,
        epoch: 1,
        config: Some(config.clone()),
    };
    let mut captured = BytesMut::from(
        &hex(
            "00000002 0000000000000002 0000000000000000 0000000000000001 0000000000000001 00000002 000000aa",
        )[..],
    );
    captured.extend_from_slice(config.as_bytes());
    let captured = captured.freeze();
    check(&captured, |out| answer.encode(out));
    assert_eq!(Notification::decode(&captured), Ok(answer.clone()));

    // Older releases send less.
    let short = Notification::decode(&captured.slice(..28)).expect("28 bytes are enough");
    assert_eq!((short.epoch, short.config), (0, None));
    let middle = Notification::decode(&captured.slice(..36)).expect("36 bytes are enough");
    assert_eq!((middle.epoch, middle.config), (1, None));
}

fn check(captured: &Bytes, encode: impl FnOnce(&mut BytesMut)) {
    assert_eq!(encoded(encode), captured);
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    digits.chunks(2).map(byte).collect()
}

#[test]
fn the_helpers_put_what_java_puts() {
    assert_eq!(encoded(|out| out.put_optional_text(None)), hex("ffffffff"));
    assert_eq!(encoded(|out| out.put_text("")), hex("00000000"));
}
