//! Requests that only read, answered from the state into the caller's buffer.
//!
//! Lives here: what is checked before a read, and its answer's bytes. Must not: write, wait, keep watches
//! (it says which to set). Start at [`answer`]. Source: `FinalRequestProcessor`.

use bytes::BytesMut;
use jute::{ErrorCode, Id, MultiRead, OpResult, Perms, Put, Request, Response, Text};
use types::SessionId;

use crate::access::{permits, redact, user};
use crate::state::Node;
use crate::{Place, State, WatchKind};

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The session, for its ephemerals.
    pub session: SessionId,
    /// Who the connection is authenticated as.
    pub auth: &'a [Id],
}

/// Puts the body of the answer into `out`; on a refusal nothing.
///
/// `watch` is told of each watch to set, before this returns: whoever calls holds the state still until
/// the watch is set, so that no change between the two is missed. A watch may be set although the read
/// is refused (`exists` of what does not exist). Not for writes, nor for what concerns the connection
/// itself (ping, sync, auth, watches): those are refused as [`ErrorCode::Unimplemented`].
pub fn answer(
    state: &State,
    request: &Request,
    reading: Reading<'_>,
    watch: &mut dyn FnMut(WatchKind, Place<'_>),
    out: &mut BytesMut,
) -> Result<(), ErrorCode> {
    let auth = reading.auth;
    match request {
        Request::Exists { path, watch: wanted } => {
            if path.contains('\0') {
                return Err(ErrorCode::BadArguments);
            }
            let node = state.get(path);
            if let Some(node) = node {
                check(node, Perms::READ, auth)?;
            }
            if *wanted {
                watch(WatchKind::Data, state.place(path));
            }
            node.ok_or(ErrorCode::NoNode)?.stat().encode(out);
        }
        Request::GetData { path, watch: wanted } => {
            let node = readable(state, path, auth)?;
            if *wanted {
                watch(WatchKind::Data, state.place(path));
            }
            out.put_buffer(node.data());
            node.stat().encode(out);
        }
        Request::GetAcl { path } => {
            let node = state.get(path).ok_or(ErrorCode::NoNode)?;
            check(node, Perms::READ | Perms::ADMIN, auth)?;
            if permits(node.acl(), Perms::ADMIN, auth) {
                out.put_vector(node.acl(), |out, acl| acl.encode(out));
            } else {
                out.put_vector(&redact(node.acl()), |out, acl| acl.encode(out));
            }
            node.stat().encode(out);
        }
        Request::GetChildren { path, watch: wanted } => {
            let node = readable(state, path, auth)?;
            if *wanted {
                watch(WatchKind::Child, state.place(path));
            }
            put_children(node, out);
        }
        Request::GetChildren2 { path, watch: wanted } => {
            let node = readable(state, path, auth)?;
            if *wanted {
                watch(WatchKind::Child, state.place(path));
            }
            put_children(node, out);
            node.stat().encode(out);
        }
        Request::GetAllChildrenNumber { path } => {
            let count = readable(state, path, auth)?.descendants();
            out.put_length(count);
        }
        Request::GetEphemerals { prefix } => {
            // Only whether all are meant is seen past blanks; Java takes controls for blanks.
            let all = matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
            let wanted = |path: &String| all || path.starts_with(prefix.as_str());
            let paths: Vec<String> = state.ephemerals(reading.session).filter(wanted).collect();
            out.put_vector(&paths, |out, path| out.put_text(path));
        }
        Request::WhoAmI => {
            let who = |id: &Id| Id { scheme: id.scheme.clone(), id: user(id) };
            Response::Who(auth.iter().map(who).collect()).encode(out);
        }
        Request::MultiRead(reads) => {
            let results = reads.iter().map(|read| answer_one(state, read, auth)).collect();
            Response::Multi(results).encode(out);
        }
        _ => return Err(ErrorCode::Unimplemented),
    }
    Ok(())
}

/// How many watches a request may set: to be seen before it is answered, see [`crate::Watches::has_room`].
pub fn watches_wanted(request: &Request) -> usize {
    match request {
        Request::Exists { watch, .. }
        | Request::GetData { watch, .. }
        | Request::GetChildren { watch, .. }
        | Request::GetChildren2 { watch, .. } => usize::from(*watch),
        Request::AddWatch { .. } => 1,
        Request::SetWatches(set) | Request::SetWatches2(set) => {
            let lists = [&set.data, &set.exist, &set.child, &set.persistent, &set.recursive];
            lists.iter().map(|list| list.len()).sum()
        }
        _ => 0,
    }
}

/// One of several reads; a refusal is its own only.
fn answer_one(state: &State, read: &MultiRead, auth: &[Id]) -> OpResult {
    let (MultiRead::GetData { path, .. } | MultiRead::GetChildren { path, .. }) = read;
    let node = match readable(state, path, auth) {
        Ok(node) => node,
        Err(code) => return OpResult::Error(Some(code)),
    };
    match read {
        MultiRead::GetData { .. } => OpResult::Data {
            data: node.data().map(bytes::Bytes::copy_from_slice),
            stat: node.stat(),
        },
        MultiRead::GetChildren { .. } => {
            OpResult::Children(node.children().map(Text::from).collect())
        }
    }
}

fn put_children(node: Node<'_>, out: &mut BytesMut) {
    out.put_length(node.child_count() as usize);
    for name in node.children() {
        out.put_text(name);
    }
}

fn readable<'a>(state: &'a State, path: &str, auth: &[Id]) -> Result<Node<'a>, ErrorCode> {
    let node = state.get(path).ok_or(ErrorCode::NoNode)?;
    check(node, Perms::READ, auth)?;
    Ok(node)
}

fn check(node: Node<'_>, needed: Perms, auth: &[Id]) -> Result<(), ErrorCode> {
    if permits(node.acl(), needed, auth) { Ok(()) } else { Err(ErrorCode::NoAuth) }
}
