//! Bodies of requests: as a client writes them, and spoilt.

use bytes::BytesMut;
use jute::{
    AddWatchMode, AuthPacket, ConnectRequest, CreateRequest, MultiOp, MultiRead, OpCode, Reconfig,
    Request, SetWatches, Text, WatcherType,
};
use types::{SessionId, Zxid};

use crate::program::{SEEN_ZXID, Send};
use crate::{Rng, names};

/// A request of `op`, as a client would write it.
pub(crate) fn request(rng: &mut Rng, op: OpCode) -> Request {
    let path = |rng: &mut Rng| Text::from(names::any_path_or_shared(rng));
    match op {
        OpCode::Create => Request::Create(create(rng, PLAIN)),
        OpCode::Create2 => Request::Create2(create(rng, PLAIN)),
        OpCode::CreateContainer => Request::CreateContainer(create(rng, CONTAINER)),
        OpCode::CreateTtl => Request::CreateTtl(create(rng, TTL), ttl(rng)),
        OpCode::Delete => Request::Delete { path: path(rng), version: version(rng) },
        OpCode::SetData => {
            let (path, data) = target(rng);
            Request::SetData { path, data, version: version(rng) }
        }
        OpCode::SetAcl => {
            let version = version(rng);
            Request::SetAcl { path: own(rng), acl: acl(rng), version }
        }
        OpCode::Multi => {
            let many = rng.weighted(&[(4, 0), (16, 1), (24, 2), (16, 3), (8, 6), (1, 60)]);
            Request::Multi((0..many).map(|_| multi_op(rng)).collect())
        }
        OpCode::MultiRead => {
            let many = rng.weighted(&[(1, 0), (4, 1), (6, 2), (4, 4)]);
            let read = |rng: &mut Rng| match rng.once_in(2) {
                true => MultiRead::GetData { path: path(rng), watch: false },
                false => MultiRead::GetChildren { path: path(rng), watch: rng.once_in(4) },
            };
            Request::MultiRead((0..many).map(|_| read(rng)).collect())
        }
        OpCode::Reconfig => Request::Reconfig(Reconfig {
            joining: rng.once_in(2).then(|| Text::from_static("server.2=h:1:2;3")),
            leaving: rng.once_in(2).then(|| Text::from_static("3")),
            members: None,
            config_id: -1,
        }),
        OpCode::Exists => Request::Exists { path: path(rng), watch: rng.once_in(3) },
        OpCode::GetData => Request::GetData { path: path(rng), watch: rng.once_in(3) },
        OpCode::GetAcl => Request::GetAcl { path: path(rng) },
        OpCode::GetChildren => Request::GetChildren { path: path(rng), watch: rng.once_in(3) },
        OpCode::GetChildren2 => Request::GetChildren2 { path: path(rng), watch: rng.once_in(3) },
        OpCode::GetEphemerals => Request::GetEphemerals { prefix: path(rng) },
        OpCode::GetAllChildrenNumber => Request::GetAllChildrenNumber { path: path(rng) },
        OpCode::WhoAmI => Request::WhoAmI,
        OpCode::Sync => Request::Sync { path: path(rng) },
        OpCode::SetWatches => {
            let wanted = watches(rng);
            Request::SetWatches(SetWatches {
                persistent: Vec::new(),
                recursive: Vec::new(),
                ..wanted
            })
        }
        OpCode::SetWatches2 => Request::SetWatches2(watches(rng)),
        OpCode::AddWatch => Request::AddWatch {
            path: own(rng),
            mode: rng.one(&[AddWatchMode::Persistent, AddWatchMode::PersistentRecursive]),
        },
        OpCode::CheckWatches => Request::CheckWatches { path: own(rng), kind: kind(rng) },
        OpCode::RemoveWatches => Request::RemoveWatches { path: own(rng), kind: kind(rng) },
        OpCode::Auth => {
            let (scheme, auth) = names::proof(rng);
            let scheme = Text::from_static(scheme);
            Request::Auth(AuthPacket { scheme, auth: bytes::Bytes::from_static(auth) })
        }
        OpCode::Sasl => Request::Sasl { token: rng.once_in(2).then(bytes::Bytes::new) },
        OpCode::Check => Request::Check { path: own(rng), version: version(rng) },
        OpCode::CloseSession => Request::CloseSession,
        // Not Apache's, or no client's.
        OpCode::Ping
        | OpCode::GetChildrenPaginated
        | OpCode::DeleteContainer
        | OpCode::CreateSession => Request::Ping,
    }
}

/// A connect record, mostly spoilt.
pub(crate) fn opening(rng: &mut Rng) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: rng.one(&[0, 0, 1, -1, i32::MAX]),
        last_zxid_seen: Zxid::from_bits(rng.one(&[0, 0, 0, -1, 1])),
        timeout_ms: rng.one(&[0, 60_000, 60_000, -1, i32::MIN, i32::MAX]),
        session: SessionId(rng.one(&[0, 0, 0, -1, 1, i64::MIN, i64::MAX])),
        password: rng.one(&[None, Some(0), Some(1), Some(16), Some(16), Some(17), Some(1000)]).map(
            |length| {
                let byte = rng.one(&[0, 7]);
                bytes::Bytes::from(vec![byte; length])
            },
        ),
        read_only: rng.one(&[None, Some(false), Some(false), Some(true)]),
    };
    let mut body = BytesMut::new();
    request.encode(&mut body);
    let mut body = body.to_vec();
    match rng.below(6) {
        0 => body.truncate(rng.below(body.len() + 1)),
        1 => body.extend_from_slice(&[1; 40][..rng.below(41)]),
        2 => {
            // The length of the password, which is what a reader may stumble over.
            let number = rng.one(&[-2, i32::MIN, i32::MAX, 1 << 20, 17, 15]);
            body[24..28].copy_from_slice(&number.to_be_bytes());
        }
        _ => {}
    }
    body
}

/// The request's bytes; once in a while spoilt.
pub(crate) fn encode(rng: &mut Rng, xid: i32, request: &Request) -> Send {
    let mut body = BytesMut::new();
    request.encode(&mut body);
    let mut body = body.to_vec();
    if let Request::SetWatches(_) | Request::SetWatches2(_) = request
        && rng.once_in(2)
    {
        body[..8].copy_from_slice(&SEEN_ZXID);
    }
    if let Request::Multi(ops) = request
        && rng.once_in(12)
    {
        body = odd_multi(rng, ops);
    }
    if rng.once_in(25) {
        spoil(rng, &mut body);
    }
    Send { xid, op: request.op().code(), body }
}

/// Operations behind headers of which one is not as it should be.
fn odd_multi(rng: &mut Rng, ops: &[MultiOp]) -> Vec<u8> {
    let mut body = Vec::new();
    let odd = rng.below(ops.len() + 1);
    let mut header = |body: &mut Vec<u8>, at: usize, op: i32, done: u8, error: i32| {
        let (mut op, mut done, mut error) = (op, done, error);
        if at == odd {
            match rng.below(4) {
                0 => op = rng.one(&[-1, 0, 3, 4, 7, 8, 9, 11, 12, 14, 16, 20, 22, 99, -10, -11]),
                1 => done = rng.one(&[0, 1, 2, 0xff]),
                2 => error = rng.one(&[0, 1, -101, i32::MIN]),
                _ => return,
            }
        }
        body.extend_from_slice(&op.to_be_bytes());
        body.push(done);
        body.extend_from_slice(&error.to_be_bytes());
    };
    for (at, op) in ops.iter().enumerate() {
        header(&mut body, at, op.op().code(), 0, -1);
        let mut alone = BytesMut::new();
        Request::Multi(vec![op.clone()]).encode(&mut alone);
        body.extend_from_slice(&alone[MULTI_HEADER..alone.len() - MULTI_HEADER]);
    }
    header(&mut body, ops.len(), -1, 1, -1);
    body
}

/// What stands before each operation and behind the last.
const MULTI_HEADER: usize = 9;

fn spoil(rng: &mut Rng, body: &mut Vec<u8>) {
    match rng.below(7) {
        0 => body.truncate(rng.below(body.len() + 1)),
        1 => body.extend_from_slice(&[0; 9][..rng.below(10)]),
        2 => body.clear(),
        // The first field of most is a text: null, then broken.
        3 => replace_text(body, None),
        4 => replace_text(body, Some(&names::broken_text(rng))),
        5 if !body.is_empty() => {
            let at = rng.below(body.len());
            body[at] = rng.one(&[0, 1, 0x7f, 0x80, 0xff]);
        }
        _ => {
            let at = rng.below(body.len() + 1);
            let number = rng.one(&[-2, i32::MIN, i32::MAX, 1 << 20, 2_097_151, 65_536]);
            for (to, from) in body[at..].iter_mut().zip(number.to_be_bytes()) {
                *to = from;
            }
        }
    }
}

fn replace_text(body: &mut Vec<u8>, text: Option<&[u8]>) {
    let Some(length) = body.first_chunk::<4>() else { return };
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return };
    if 4 + length > body.len() {
        return;
    }
    let with = match text {
        None => (-1_i32).to_be_bytes().to_vec(),
        Some(text) => {
            let length = i32::try_from(text.len()).unwrap_or(0);
            [&length.to_be_bytes()[..], text].concat()
        }
    };
    body.splice(..4 + length, with);
}

const PLAIN: &[(usize, i32)] =
    &[(8, 0), (4, 1), (4, 2), (2, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, -1), (1, i32::MAX)];
const CONTAINER: &[(usize, i32)] = &[(1, 4)];
const TTL: &[(usize, i32)] = &[(3, 5), (1, 6)];

fn create(rng: &mut Rng, flags: &[(usize, i32)]) -> CreateRequest {
    let flags = rng.weighted(flags);
    let (path, data) = target(rng);
    let path = match flags {
        2 | 3 | 6 if rng.once_in(4) => Text::from(format!("{}/", &*path)),
        _ => path,
    };
    CreateRequest { path, data, acl: acl(rng), flags }
}

/// A path and data that is of use there.
fn target(rng: &mut Rng) -> (Text, Option<bytes::Bytes>) {
    let path = names::any_path_or_shared(rng);
    let data = match path.starts_with("/zookeeper/quota") && path.contains("/zookeeper_") {
        true => Some(names::quota_text(rng).into_bytes()),
        false => names::data(rng),
    };
    (Text::from(path), data.map(bytes::Bytes::from))
}

fn multi_op(rng: &mut Rng) -> MultiOp {
    match rng.below(12) {
        0..=2 => MultiOp::Create(create(rng, PLAIN)),
        3 => MultiOp::Create2(create(rng, PLAIN)),
        4 => MultiOp::CreateContainer(create(rng, CONTAINER)),
        5 => MultiOp::CreateTtl(create(rng, TTL), ttl(rng)),
        6 | 7 => MultiOp::Delete { path: own(rng), version: version(rng) },
        8 | 9 => {
            let (path, data) = target(rng);
            MultiOp::SetData { path, data, version: version(rng) }
        }
        _ => MultiOp::Check { path: own(rng), version: version(rng) },
    }
}

fn own(rng: &mut Rng) -> Text {
    Text::from(names::any_path(rng))
}

fn acl(rng: &mut Rng) -> jute::AclList {
    if rng.once_in(3) { names::acl(rng) } else { names::open() }
}

fn version(rng: &mut Rng) -> i32 {
    rng.weighted(&[(10, -1), (4, 0), (3, 1), (1, 2), (1, -2), (1, i32::MAX)])
}

fn ttl(rng: &mut Rng) -> i64 {
    const MOST: i64 = 0xff_ffff_ffff;
    rng.one(&[1 << 36, 1 << 37, MOST, MOST + 1, 0, -1, i64::MIN, i64::MAX])
}

fn kind(rng: &mut Rng) -> WatcherType {
    rng.one(&[
        WatcherType::Any,
        WatcherType::Children,
        WatcherType::Data,
        WatcherType::Persistent,
        WatcherType::PersistentRecursive,
    ])
}

fn watches(rng: &mut Rng) -> SetWatches {
    let relative_zxid = Zxid::from_bits(rng.one(&[0, -1, i64::MAX]));
    let most = if rng.once_in(20) { 200 } else { 3 };
    let mut some = || (0..rng.below(most)).map(|_| own(rng)).collect();
    SetWatches {
        relative_zxid,
        data: some(),
        exist: some(),
        child: some(),
        persistent: some(),
        recursive: some(),
    }
}
