//! Every record comes back from its bytes, and no bytes do harm.

use bytes::{Bytes, BytesMut};
use jute::election::{Initial, Notification, ServerState};
use jute::learner::{Forwarded, LearnerInfo, PacketType, QuorumPacket, Revalidated, Touch};
use jute::{
    Acl, AclList, AddWatchMode, AuthPacket, ConnectRequest, ConnectResponse, CreateRequest,
    CreateTxn, Entry, ErrorCode, Id, MultiOp, MultiRead, OpCode, OpResult, PageStart, Perms,
    Reader, Reconfig, ReplyHeader, Request, Response, SetAclTxn, SetDataTxn, SetWatches, Stat,
    Text, Txn, TxnDigest, TxnHeader, VersionTxn, WatcherEvent, WatcherType,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use types::{PeerId, SessionId, Zxid};

proptest! {
    #[test]
    fn requests_come_back(request in request()) {
        let bytes = encoded(|out| request.encode(out));
        let decoded = Request::decode(request.op(), &mut Reader::new(&bytes));
        prop_assert_eq!(decoded, Ok(request));
    }

    #[test]
    fn responses_come_back((op, response) in response()) {
        let bytes = encoded(|out| response.encode(out));
        prop_assert_eq!(Response::decode(op, &mut Reader::new(&bytes)), Ok(response));
    }

    #[test]
    fn transactions_come_back(entry in entry()) {
        let bytes = encoded(|out| entry.encode(out));
        prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
    }

    #[test]
    fn packets_come_back(packet in packet()) {
        let mut stream = BytesMut::new();
        packet.encode(&mut stream);
        prop_assert_eq!(QuorumPacket::take(&mut stream, 1 << 20), Ok(Some(packet)));
        prop_assert!(stream.is_empty());
    }

    #[test]
    fn votes_come_back(vote in vote()) {
        let bytes = encoded(|out| vote.encode(out));
        prop_assert_eq!(Notification::decode(&bytes), Ok(vote));
    }

    #[test]
    fn a_record_that_is_cut_short_is_refused(request in request(), cut in 0.0..1.0) {
        let bytes = encoded(|out| request.encode(out));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a place within a few hundred bytes")]
        let cut = bytes.slice(..(bytes.len() as f64 * cut) as usize);
        if cut.len() < bytes.len() {
            prop_assert!(Request::decode(request.op(), &mut Reader::new(&cut)).is_err());
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in hostile()) {
        for &op in OpCode::ALL {
            let _ = Request::decode(op, &mut Reader::new(&bytes));
            let _ = Response::decode(op, &mut Reader::new(&bytes));
            let _ = Txn::decode(op.code(), &mut Reader::new(&bytes));
        }
        let _ = Entry::decode(&bytes);
        let _ = ConnectRequest::decode(&bytes);
        let _ = ConnectResponse::decode(&bytes);
        let _ = ReplyHeader::decode(&mut Reader::new(&bytes));
        let _ = WatcherEvent::decode(&mut Reader::new(&bytes));
        let _ = Notification::decode(&bytes);
        let _ = Initial::decode(&bytes);
        let _ = Forwarded::decode(&bytes);
        let _ = Touch::decode_all(&bytes);
        let _ = Revalidated::decode(&bytes);
        LearnerInfo::decode(Some(&bytes));
        let _ = QuorumPacket::take(&mut BytesMut::from(&bytes[..]), 1 << 20);
    }

    #[test]
    fn a_damaged_transaction_is_refused_or_read_but_does_no_harm(
        entry in entry(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = BytesMut::new();
        entry.encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Entry::decode(&bytes.freeze());
    }
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

/// Small numbers, where lengths and codes are, among arbitrary bytes.
fn hostile() -> impl Strategy<Value = Bytes> {
    let word = prop_oneof![
        (-3..120_i32).prop_map(|n| n.to_be_bytes().to_vec()),
        any::<[u8; 4]>().prop_map(|bytes| bytes.to_vec()),
        vec(any::<u8>(), 0..3),
    ];
    vec(word, 0..40).prop_map(|words| Bytes::from(words.concat()))
}

fn text() -> impl Strategy<Value = Text> {
    "[/a-zé\u{1f600}]{0,12}".prop_map(Text::from)
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..20).prop_map(Bytes::from))
}

fn zxid() -> impl Strategy<Value = Zxid> {
    any::<i64>().prop_map(Zxid::from_bits)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<i64>().prop_map(SessionId)
}

fn id() -> impl Strategy<Value = Id> {
    (text(), text()).prop_map(|(scheme, id)| Id { scheme, id })
}

fn acl() -> impl Strategy<Value = AclList> {
    let entry = (any::<i32>(), id()).prop_map(|(perms, id)| Acl { perms: Perms(perms), id });
    vec(entry, 0..4).prop_map(AclList::from)
}

fn stat() -> impl Strategy<Value = Stat> {
    (any::<[i64; 4]>(), any::<[i32; 5]>(), session(), zxid()).prop_map(
        |(longs, ints, ephemeral_owner, pzxid)| Stat {
            czxid: Zxid::from_bits(longs[0]),
            mzxid: Zxid::from_bits(longs[1]),
            ctime: longs[2],
            mtime: longs[3],
            version: ints[0],
            cversion: ints[1],
            aversion: ints[2],
            ephemeral_owner,
            data_length: ints[3],
            num_children: ints[4],
            pzxid,
        },
    )
}

fn create() -> impl Strategy<Value = CreateRequest> {
    (text(), data(), acl(), any::<i32>()).prop_map(|(path, data, acl, flags)| CreateRequest {
        path,
        data,
        acl,
        flags,
    })
}

fn flagged(flags: std::ops::RangeInclusive<i32>) -> impl Strategy<Value = CreateRequest> {
    (create(), flags).prop_map(|(create, flags)| CreateRequest { flags, ..create })
}

fn multi_op() -> impl Strategy<Value = MultiOp> {
    prop_oneof![
        flagged(0..=3).prop_map(MultiOp::Create),
        flagged(0..=3).prop_map(MultiOp::Create2),
        flagged(0..=4).prop_map(MultiOp::CreateContainer),
        (create(), any::<i64>()).prop_map(|(create, ttl)| MultiOp::CreateTtl(create, ttl)),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| MultiOp::SetData {
            path,
            data,
            version
        }),
        (text(), any::<i32>()).prop_map(|(path, version)| MultiOp::Check { path, version }),
    ]
}

fn multi_read() -> impl Strategy<Value = MultiRead> {
    (text(), any::<bool>(), any::<bool>()).prop_map(|(path, watch, data)| match data {
        true => MultiRead::GetData { path, watch },
        false => MultiRead::GetChildren { path, watch },
    })
}

fn kind() -> impl Strategy<Value = WatcherType> {
    (1..=5).prop_map(|code| WatcherType::try_from(code).expect("a known code"))
}

fn mode() -> impl Strategy<Value = AddWatchMode> {
    (0..=1).prop_map(|code| AddWatchMode::try_from(code).expect("a known code"))
}

fn texts() -> impl Strategy<Value = Vec<Text>> {
    vec(text(), 0..4)
}

fn request() -> impl Strategy<Value = Request> {
    let on_path = (text(), any::<bool>(), 0..9_u8).prop_map(|(path, watch, which)| match which {
        0 => Request::Exists { path, watch },
        1 => Request::GetData { path, watch },
        2 => Request::GetChildren { path, watch },
        3 => Request::GetChildren2 { path, watch },
        4 => Request::GetAcl { path },
        5 => Request::Sync { path },
        6 => Request::GetEphemerals { prefix: path },
        7 => Request::GetAllChildrenNumber { path },
        _ => Request::DeleteContainer { path },
    });
    let watches = (zxid(), texts(), texts(), texts(), texts(), texts());
    let watches = watches.prop_map(|(relative_zxid, data, exist, child, persistent, recursive)| {
        SetWatches { relative_zxid, data, exist, child, persistent, recursive }
    });
    let watches = (watches, any::<bool>()).prop_map(|(watches, all)| match all {
        true => Request::SetWatches2(watches),
        false => {
            let (persistent, recursive) = (Vec::new(), Vec::new());
            Request::SetWatches(SetWatches { persistent, recursive, ..watches })
        }
    });
    let reconfig = (option::of(text()), option::of(text()), option::of(text()), any::<i64>());
    prop_oneof![
        on_path,
        watches,
        create().prop_map(Request::Create),
        create().prop_map(Request::Create2),
        create().prop_map(Request::CreateContainer),
        (create(), any::<i64>()).prop_map(|(create, ttl)| Request::CreateTtl(create, ttl)),
        (text(), any::<i32>()).prop_map(|(path, version)| Request::Delete { path, version }),
        (text(), any::<i32>()).prop_map(|(path, version)| Request::Check { path, version }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Request::SetData {
            path,
            data,
            version
        }),
        (text(), acl(), any::<i32>()).prop_map(|(path, acl, version)| Request::SetAcl {
            path,
            acl,
            version
        }),
        vec(multi_op(), 0..4).prop_map(Request::Multi),
        vec(multi_read(), 0..4).prop_map(Request::MultiRead),
        reconfig.prop_map(|(joining, leaving, members, config_id)| {
            Request::Reconfig(Reconfig { joining, leaving, members, config_id })
        }),
        (text(), any::<i32>(), page_start(), any::<bool>()).prop_map(
            |(path, most, from, watch)| {
                Request::GetChildrenPaginated { path, most, from, watch }
            }
        ),
        any::<i32>().prop_map(|timeout_ms| Request::CreateSession { timeout_ms }),
        (text(), mode()).prop_map(|(path, mode)| Request::AddWatch { path, mode }),
        (text(), kind()).prop_map(|(path, kind)| Request::CheckWatches { path, kind }),
        (text(), kind()).prop_map(|(path, kind)| Request::RemoveWatches { path, kind }),
        (text(), data()).prop_map(|(scheme, auth)| {
            Request::Auth(AuthPacket { scheme, auth: auth.unwrap_or_default() })
        }),
        data().prop_map(|token| Request::Sasl { token }),
        Just(Request::CloseSession),
        Just(Request::WhoAmI),
        Just(Request::Ping),
    ]
}

fn page_start() -> impl Strategy<Value = PageStart> {
    (any::<i64>(), any::<i32>())
        .prop_map(|(czxid, offset)| PageStart { czxid: Zxid::from_bits(czxid), offset })
}

fn result() -> impl Strategy<Value = OpResult> {
    prop_oneof![
        text().prop_map(|path| OpResult::Created { path }),
        (text(), stat()).prop_map(|(path, stat)| OpResult::Created2 { path, stat }),
        Just(OpResult::Deleted),
        stat().prop_map(OpResult::Set),
        Just(OpResult::Checked),
        (data(), stat()).prop_map(|(data, stat)| OpResult::Data { data, stat }),
        texts().prop_map(OpResult::Children),
        any::<i32>().prop_map(|code| OpResult::Error(ErrorCode::from_code(code))),
    ]
}

fn response() -> impl Strategy<Value = (OpCode, Response)> {
    prop_oneof![
        text().prop_map(|path| (OpCode::Create, Response::Path(path))),
        (text(), stat())
            .prop_map(|(path, stat)| (OpCode::Create2, Response::Created { path, stat })),
        stat().prop_map(|stat| (OpCode::SetData, Response::Stat(stat))),
        (data(), stat()).prop_map(|(data, stat)| (OpCode::GetData, Response::Data { data, stat })),
        (acl(), stat()).prop_map(|(acl, stat)| {
            (OpCode::GetAcl, Response::Acl { acl: acl.to_vec(), stat })
        }),
        texts().prop_map(|names| (OpCode::GetChildren, Response::Names(names))),
        (texts(), stat())
            .prop_map(|(names, stat)| (OpCode::GetChildren2, Response::Children { names, stat })),
        (texts(), stat(), page_start()).prop_map(|(names, stat, next)| {
            (OpCode::GetChildrenPaginated, Response::Page { names, stat, next })
        }),
        any::<i32>().prop_map(|number| (OpCode::GetAllChildrenNumber, Response::Number(number))),
        vec(id(), 0..3).prop_map(|ids| (OpCode::WhoAmI, Response::Who(ids))),
        vec(result(), 0..4).prop_map(|results| (OpCode::Multi, Response::Multi(results))),
        data().prop_map(|token| (OpCode::Sasl, Response::Token(token))),
        Just((OpCode::Delete, Response::Empty)),
    ]
}

fn create_txn(lasting: bool) -> impl Strategy<Value = CreateTxn> {
    (text(), data(), acl(), any::<bool>(), any::<i32>()).prop_map(
        move |(path, data, acl, ephemeral, parent_cversion)| CreateTxn {
            path,
            data,
            acl,
            ephemeral: ephemeral && !lasting,
            parent_cversion,
        },
    )
}

fn set_data_txn() -> impl Strategy<Value = SetDataTxn> {
    (text(), data(), any::<i32>()).prop_map(|(path, data, version)| SetDataTxn {
        path,
        data,
        version,
    })
}

fn single() -> impl Strategy<Value = Txn> {
    prop_oneof![
        create_txn(false).prop_map(Txn::Create),
        create_txn(false).prop_map(Txn::Create2),
        create_txn(true).prop_map(Txn::CreateContainer),
        (create_txn(true), any::<i64>()).prop_map(|(create, ttl)| Txn::CreateTtl(create, ttl)),
        text().prop_map(|path| Txn::Delete { path }),
        text().prop_map(|path| Txn::DeleteContainer { path }),
        set_data_txn().prop_map(Txn::SetData),
        set_data_txn().prop_map(Txn::Reconfig),
        (text(), acl(), any::<i32>()).prop_map(|(path, acl, version)| Txn::SetAcl(SetAclTxn {
            path,
            acl,
            version
        })),
        (text(), any::<i32>()).prop_map(|(path, version)| Txn::Check(VersionTxn { path, version })),
        (-200..0).prop_map(|code| Txn::Error(ErrorCode::from_code(code).expect("not success"))),
        any::<i32>().prop_map(|timeout_ms| Txn::CreateSession { timeout_ms }),
        texts().prop_map(|paths| Txn::CloseSession(Some(paths))),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let header = (session(), any::<i32>(), zxid(), any::<i64>());
    let header =
        header.prop_map(|(session, cxid, zxid, time)| TxnHeader { session, cxid, zxid, time });
    let txn = prop_oneof![4 => single(), 1 => vec(single(), 0..4).prop_map(Txn::Multi)];
    let digest = option::of((any::<i32>(), any::<i64>()));
    let digest = digest.prop_map(|some| some.map(|(version, tree)| TxnDigest { version, tree }));
    (header, txn, digest).prop_map(|(header, txn, digest)| Entry { header, txn, digest })
}

fn packet() -> impl Strategy<Value = QuorumPacket> {
    let kind = prop::sample::select(PacketType::ALL);
    (kind, zxid(), data(), option::of(vec(id(), 0..3)))
        .prop_map(|(kind, zxid, data, auth)| QuorumPacket { kind, zxid, data, auth })
}

fn vote() -> impl Strategy<Value = Notification> {
    let state = (0..4).prop_map(|code| ServerState::try_from(code).expect("a known code"));
    let leader = any::<i64>().prop_map(PeerId);
    (state, leader, zxid(), any::<i64>(), any::<i64>(), option::of(text())).prop_map(
        |(state, leader, zxid, round, epoch, config)| Notification {
            state,
            leader,
            zxid,
            round,
            epoch,
            config,
        },
    )
}
