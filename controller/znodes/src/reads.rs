//! Requests that only read, answered from the state into the caller's buffer.
//!
//! Lives here: what is checked before a read, and its answer's bytes. Must not: write, wait, keep watches
//! (it says which to set). Start at [`answer`]. Source: `FinalRequestProcessor`.

use bytes::BytesMut;
use jute::{ErrorCode, Id, MultiRead, OpResult, Perms, Put, Request, Response, Stat, Text};
use types::SessionId;

use crate::access::{permits, redact, told};
use crate::state::Node;
use crate::{Place, State, WatchKind};

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The session, for its ephemerals.
    pub session: SessionId,
    /// Who the connection is authenticated as.
    pub auth: &'a [Id],
    /// The longest body that the reader takes, in bytes. A list of names that is longer is refused as
    /// [`ErrorCode::MarshallingError`]; it can be had in pages.
    pub longest: usize,
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
            put_children(readable(state, path, auth)?, reading.longest, out)?;
            if *wanted {
                watch(WatchKind::Child, state.place(path));
            }
        }
        Request::GetChildren2 { path, watch: wanted } => {
            let node = readable(state, path, auth)?;
            put_children(node, reading.longest, out)?;
            node.stat().encode(out);
            if *wanted {
                watch(WatchKind::Child, state.place(path));
            }
        }
        Request::GetAllChildrenNumber { path } => {
            let count = readable(state, path, auth)?.descendants();
            out.put_length(count);
        }
        Request::GetEphemerals { prefix } => {
            // Only whether all are meant is seen past blanks; Java takes controls for blanks.
            let all = matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
            let wanted = |path: &String| all || path.starts_with(prefix.as_str());
            put_names(state.ephemerals(reading.session).filter(wanted), reading.longest, out)?;
        }
        Request::WhoAmI => {
            Response::Who(auth.iter().filter_map(told).collect()).encode(out);
        }
        Request::MultiRead(reads) => {
            let mut left = reading.longest;
            let mut results = Vec::new();
            for read in reads {
                let result = answer_one(state, read, auth, left);
                left = left.checked_sub(size(&result)).ok_or(ErrorCode::MarshallingError)?;
                results.push(result);
            }
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
        | Request::GetChildren2 { watch, .. }
        | Request::GetChildrenPaginated { watch, .. } => usize::from(*watch),
        Request::AddWatch { .. } => 1,
        Request::SetWatches(set) | Request::SetWatches2(set) => {
            let lists = [&set.data, &set.exist, &set.child, &set.persistent, &set.recursive];
            lists.iter().map(|list| list.len()).sum()
        }
        _ => 0,
    }
}

/// One of several reads; a refusal is its own only.
fn answer_one(state: &State, read: &MultiRead, auth: &[Id], longest: usize) -> OpResult {
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
            // One more than is taken tells the caller that there are too many.
            let mut left = longest.saturating_add(1);
            let fits = |name: &&str| {
                let before = left;
                left = left.saturating_sub(4 + name.len());
                before > 0
            };
            OpResult::Children(node.children().take_while(fits).map(Text::from).collect())
        }
    }
}

/// What a result takes in an answer, about, in bytes.
fn size(result: &OpResult) -> usize {
    const HEADER: usize = 9;
    HEADER
        + match result {
            OpResult::Data { data, .. } => {
                data.as_ref().map_or(0, bytes::Bytes::len) + Stat::LENGTH
            }
            OpResult::Children(names) => names.iter().map(|name| 4 + name.len()).sum(),
            _ => 4,
        }
}

fn put_children(node: Node<'_>, longest: usize, out: &mut BytesMut) -> Result<(), ErrorCode> {
    put_names(node.children(), longest, out)
}

fn put_names<T: AsRef<str>>(
    names: impl Iterator<Item = T>,
    longest: usize,
    out: &mut BytesMut,
) -> Result<(), ErrorCode> {
    let start = out.len();
    out.put_length(0);
    let mut count: i32 = 0;
    for name in names {
        out.put_text(name.as_ref());
        count += 1;
        if out.len() - start > longest {
            return Err(ErrorCode::MarshallingError);
        }
    }
    out[start..start + 4].copy_from_slice(&count.to_be_bytes());
    Ok(())
}

pub(crate) fn readable<'a>(
    state: &'a State,
    path: &str,
    auth: &[Id],
) -> Result<Node<'a>, ErrorCode> {
    let node = state.get(path).ok_or(ErrorCode::NoNode)?;
    check(node, Perms::READ, auth)?;
    Ok(node)
}

fn check(node: Node<'_>, needed: Perms, auth: &[Id]) -> Result<(), ErrorCode> {
    if permits(node.acl(), needed, auth) { Ok(()) } else { Err(ErrorCode::NoAuth) }
}
