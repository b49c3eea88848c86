//! Random writes of every kind, from a seed.

use bytes::Bytes;
use jute::{Acl, AclList, CreateRequest, Id, MultiOp, Perms, Request, Text, create_flags};

/// Requests below `root`, most of which can be done; paths come again and again, so that znodes are deleted and
/// made anew.
pub(crate) fn writes(rng: &mut fastrand::Rng, root: &str, count: usize) -> Vec<Request> {
    (0..count).map(|_| write(rng, root)).collect()
}

fn write(rng: &mut fastrand::Rng, root: &str) -> Request {
    let path = path(rng, root);
    let version = if rng.u8(..8) == 0 { 3 } else { -1 };
    match rng.u8(..20) {
        0..=4 => Request::Create2(create(rng, path, create_flags::PERSISTENT)),
        5 => Request::Create(create(rng, path, create_flags::PERSISTENT_SEQUENTIAL)),
        6 => Request::Create2(create(rng, path, create_flags::EPHEMERAL)),
        7 => Request::Create(create(rng, path, create_flags::EPHEMERAL_SEQUENTIAL)),
        8 => Request::CreateContainer(create(rng, path, create_flags::CONTAINER)),
        9 => Request::CreateTtl(create(rng, path, create_flags::TTL), rng.i64(3_600_000..1 << 40)),
        10..=13 => Request::Delete { path, version },
        14 | 15 => Request::SetData { path, data: data(rng), version },
        16 | 17 => Request::SetAcl { path, acl: acl(rng), version },
        _ => Request::Multi((0..rng.usize(1..5)).map(|_| part(rng, root)).collect()),
    }
}

fn part(rng: &mut fastrand::Rng, root: &str) -> MultiOp {
    let path = path(rng, root);
    match rng.u8(..8) {
        0..=1 => MultiOp::Create(create(rng, path, create_flags::PERSISTENT_SEQUENTIAL)),
        2 => MultiOp::Create2(create(rng, path, create_flags::EPHEMERAL_SEQUENTIAL)),
        3 => MultiOp::CreateContainer(create(rng, path, create_flags::CONTAINER)),
        4 => MultiOp::Delete { path, version: -1 },
        5 => MultiOp::Check { path, version: -1 },
        _ => MultiOp::SetData { path, data: data(rng), version: -1 },
    }
}

fn path(rng: &mut fastrand::Rng, root: &str) -> Text {
    let mut path = format!("{root}/{}", rng.u8(..12));
    while rng.u8(..3) == 0 && path.len() < 60 {
        path = format!("{path}/{}", ["a", "ä", "x y"][rng.usize(..3)]);
    }
    path.as_str().into()
}

fn create(rng: &mut fastrand::Rng, path: Text, flags: i32) -> CreateRequest {
    CreateRequest { path, data: data(rng), acl: acl(rng), flags }
}

fn data(rng: &mut fastrand::Rng) -> Option<Bytes> {
    match rng.u8(..8) {
        0 => None,
        1 => Some(Bytes::new()),
        _ => Some(vec![rng.u8(..); rng.usize(..300)].into()),
    }
}

/// Everybody may go on writing.
fn acl(rng: &mut fastrand::Rng) -> AclList {
    let mut list = vec![Acl::OPEN];
    if rng.u8(..3) == 0 {
        let id = Id::new("ip", format!("10.0.0.{}", rng.u8(..4)).as_str());
        list.push(Acl { perms: Perms(rng.i32(1..32)), id });
    }
    list.into()
}
