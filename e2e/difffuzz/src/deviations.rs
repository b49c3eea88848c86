//! Where our server is not to do as Apache does, and what no program may hold so that two can run at once.
//!
//! Each is as narrow as a request can be told by; what is refused here is shown by tests of our server
//! alone.

use jute::{CreateRequest, MultiOp, MultiRead, OpCode, Request, SetWatches, create_flags};

use crate::names::{ELSEWHERE, GONE, QUOTAS};
use crate::program::{ROOT, SEEN_ZXID, Send};

/// Why a request is not sent in a comparison; `None` for all but a few.
pub(crate) fn why_not(send: &Send) -> Option<&'static str> {
    if send.op == OpCode::DeleteContainer.code() {
        return Some("a member's own request: Apache deletes without a look at the ACL");
    }
    if send.op == OpCode::CreateSession.code() {
        return Some("a member's own request: Apache makes a session of it");
    }
    if send.xid == jute::xid::NOTIFICATION {
        return Some("its reply cannot be told from a notification");
    }
    if send.body.len() + 8 > 0xf_ffff {
        return Some("longer than a request may be: Apache hangs up, ours answers with an error");
    }
    if is_set_watches(send.op) && !has_common_zxid(&send.body) {
        return Some(
            "zxids of the two begin elsewhere: which are older than such a number is chance",
        );
    }
    if let Some(why) = null_field(send) {
        return Some(why);
    }
    let request = send.decode()?;
    if let Some(why) = creates(&request).iter().find_map(|(op, create)| flags(*op, create)) {
        return Some(why);
    }
    if written(&request).iter().any(|(path, data)| is_spoilt_quota(path, *data)) {
        return Some("a znode quota that is none: Apache dies of the next change below it");
    }
    let tells_stat = !matches!(request, Request::Create(_));
    if tells_stat && creates(&request).iter().any(|(_, create)| is_quota(&create.path)) {
        return Some(
            "what is used of a quota, made: Apache tells its size before it counts, ours after",
        );
    }
    let shared = !paths(&request).iter().all(|path| is_own(path) || may_be_shared(&request, path));
    shared.then_some("it would touch what other programs see")
}

fn is_set_watches(op: i32) -> bool {
    op == OpCode::SetWatches.code() || op == OpCode::SetWatches2.code()
}

/// Whether the zxid at the start stands to all zxids of one server as to all of the other.
fn has_common_zxid(body: &[u8]) -> bool {
    let common = [SEEN_ZXID, [0; 8], [0xff; 8], i64::MAX.to_be_bytes()];
    body.first_chunk().is_none_or(|zxid| common.contains(zxid))
}

/// A null where no client writes one, at the start of a record: Apache stumbles over it at some later place,
/// ours where it is read.
fn null_field(send: &Send) -> Option<&'static str> {
    send.body.first_chunk::<4>().filter(|length| i32::from_be_bytes(**length) == -1)?;
    match OpCode::try_from(send.op).ok()? {
        OpCode::Sasl => Some("no token: Apache hangs up by a null dereference"),
        OpCode::AddWatch => Some("no path: Apache keeps a watch that nothing can fire"),
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            Some("no path: Apache names a wrong flag first, ours the path")
        }
        _ => None,
    }
}

/// A character beyond the first 65,536 as a reader of UTF-8 sees Java write it: each half of it as three bytes
/// that are no UTF-8. Ours writes what it was sent.
pub(crate) fn as_java_writes(line: &str) -> String {
    let halves = "\u{fffd}".repeat(6);
    let written = |c: char| if c as u32 > 0xffff { halves.clone() } else { c.to_string() };
    if line.is_ascii() { line.to_owned() } else { line.chars().map(written).collect() }
}

/// Whether what is read there depends on other programs.
pub(crate) fn is_shared(request: &Request) -> bool {
    paths(request).iter().any(|path| ELSEWHERE.contains(path))
}

fn flags(op: OpCode, create: &CreateRequest) -> Option<&'static str> {
    match op {
        // With no time to live besides, Apache logs what it cannot apply, dies, and never starts again.
        OpCode::CreateTtl
            if !matches!(create.flags, create_flags::TTL | create_flags::TTL_SEQUENTIAL) =>
        {
            Some("createTTL of another kind: Apache makes it, or dies of it")
        }
        OpCode::CreateContainer if create.flags != create_flags::CONTAINER => {
            Some("createContainer of another kind: Apache makes a container of it")
        }
        _ => None,
    }
}

fn creates(request: &Request) -> Vec<(OpCode, &CreateRequest)> {
    match request {
        Request::Create(create) | Request::Create2(create) => vec![(OpCode::Create, create)],
        Request::CreateContainer(create) => vec![(OpCode::CreateContainer, create)],
        Request::CreateTtl(create, _) => vec![(OpCode::CreateTtl, create)],
        Request::Multi(ops) => ops
            .iter()
            .filter_map(|op| match op {
                MultiOp::Create(create) | MultiOp::Create2(create) => {
                    Some((OpCode::Create, create))
                }
                MultiOp::CreateContainer(create) => Some((OpCode::CreateContainer, create)),
                MultiOp::CreateTtl(create, _) => Some((OpCode::CreateTtl, create)),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn written(request: &Request) -> Vec<(&str, Option<&[u8]>)> {
    let mut found: Vec<_> = creates(request)
        .iter()
        .map(|(_, create)| (&*create.path, create.data.as_deref()))
        .collect();
    match request {
        Request::SetData { path, data, .. } => found.push((path, data.as_deref())),
        Request::Multi(ops) => found.extend(ops.iter().filter_map(|op| match op {
            MultiOp::SetData { path, data, .. } => Some((&**path, data.as_deref())),
            _ => None,
        })),
        _ => {}
    }
    found
}

fn is_quota(path: &str) -> bool {
    path.starts_with("/zookeeper/quota")
        && (path.ends_with("/zookeeper_limits") || path.ends_with("/zookeeper_stats"))
}

fn is_spoilt_quota(path: &str, data: Option<&[u8]>) -> bool {
    let known = |data: &[u8]| QUOTAS.iter().any(|quota| quota.as_bytes() == data);
    is_quota(path) && !data.is_some_and(known)
}

/// Whether only this program has it.
fn is_own(path: &str) -> bool {
    let path = path.strip_prefix("/zookeeper/quota").unwrap_or(path);
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a request may name what is not the program's own: it changes nothing and watches nothing.
fn may_be_shared(request: &Request, path: &str) -> bool {
    if !ELSEWHERE.contains(&path) && !GONE.contains(&path) {
        return false;
    }
    match request {
        Request::Multi(ops) => ops.iter().all(|op| match op {
            MultiOp::SetData { path, .. } => is_own(path),
            _ => true,
        }),
        Request::MultiRead(ops) => ops.iter().all(|op| match op {
            MultiRead::GetData { watch, .. } | MultiRead::GetChildren { watch, .. } => !watch,
        }),
        Request::Exists { watch, .. }
        | Request::GetData { watch, .. }
        | Request::GetChildren { watch, .. }
        | Request::GetChildren2 { watch, .. } => !watch,
        Request::SetData { .. }
        | Request::SetAcl { .. }
        | Request::AddWatch { .. }
        | Request::SetWatches(_)
        | Request::SetWatches2(_) => false,
        _ => true,
    }
}

fn paths(request: &Request) -> Vec<&str> {
    let of_create = |create: &CreateRequest| -> &str {
        // A number at the end counts what all programs made, unless the parent is the program's own.
        match create.flags {
            create_flags::PERSISTENT_SEQUENTIAL
            | create_flags::EPHEMERAL_SEQUENTIAL
            | create_flags::TTL_SEQUENTIAL
                if !create
                    .path
                    .strip_prefix("/zookeeper/quota")
                    .unwrap_or(&create.path)
                    .strip_prefix(ROOT)
                    .is_some_and(|rest| rest.starts_with('/')) =>
            {
                "/never"
            }
            _ => "",
        }
    };
    let mut found: Vec<&str> = match request {
        Request::Create(create)
        | Request::Create2(create)
        | Request::CreateContainer(create)
        | Request::CreateTtl(create, _) => vec![&create.path],
        Request::Delete { path, .. }
        | Request::DeleteContainer { path }
        | Request::SetData { path, .. }
        | Request::SetAcl { path, .. }
        | Request::Check { path, .. }
        | Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::GetAcl { path }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::GetChildrenPaginated { path, .. }
        | Request::GetAllChildrenNumber { path }
        | Request::AddWatch { path, .. }
        | Request::CheckWatches { path, .. }
        | Request::RemoveWatches { path, .. } => vec![path],
        Request::Multi(ops) => ops
            .iter()
            .map(|op| match op {
                MultiOp::Create(create)
                | MultiOp::Create2(create)
                | MultiOp::CreateContainer(create)
                | MultiOp::CreateTtl(create, _) => &*create.path,
                MultiOp::Delete { path, .. }
                | MultiOp::SetData { path, .. }
                | MultiOp::Check { path, .. } => path,
            })
            .collect(),
        Request::MultiRead(ops) => ops
            .iter()
            .map(|op| match op {
                MultiRead::GetData { path, .. } | MultiRead::GetChildren { path, .. } => &**path,
            })
            .collect(),
        Request::SetWatches(wanted) | Request::SetWatches2(wanted) => {
            let SetWatches { data, exist, child, persistent, recursive, .. } = wanted;
            [data, exist, child, persistent, recursive]
                .into_iter()
                .flatten()
                .map(|path| &**path)
                .collect()
        }
        // What they name is echoed, or compared with what the session has.
        Request::Sync { .. } | Request::GetEphemerals { .. } => Vec::new(),
        Request::Reconfig(_)
        | Request::CreateSession { .. }
        | Request::CloseSession
        | Request::WhoAmI
        | Request::Ping
        | Request::Auth(_)
        | Request::Sasl { .. } => Vec::new(),
    };
    found.extend(
        creates(request)
            .iter()
            .map(|(_, create)| of_create(create))
            .filter(|path| !path.is_empty()),
    );
    found
}
