//! `snapshot` and `restore`: the whole tree out, and in again.
//!
//! Who may is decided as Apache does: by an `Authorization` header of a scheme and what proves it, against
//! the root's ACL. Unlike Apache's, a restore is on the disk before it is served, under a zxid of a new
//! epoch: a restart keeps it, and no client meets a time before its own. Connections are closed, so that
//! clients come back and are told what they missed.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use jute::Perms;
use serde_json::json;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, oneshot};
use types::Zxid;
use znodes::access::{ip_id, permits};

use super::{Admin, Body, Limit, json, status};
use crate::core::Command;
use crate::load::words;
use crate::metrics::{Stats, micros};
use crate::shared::Shared;
use crate::snapshots;

/// How often each may be done.
#[derive(Debug, Default)]
pub(super) struct Limits {
    snapshots: Limit,
    restores: Limit,
    /// One restore at a time.
    restoring: Mutex<()>,
}

/// Takes a snapshot to disk and sends it, or only says that it is there.
pub(super) async fn snapshot(admin: &Admin, request: &Request<Incoming>) -> Response<Body> {
    if let Some(refusal) = refusal(&admin.shared, "snapshot", request) {
        return refusal;
    }
    let no = |status| no("snapshot", status);
    if !admin.config.snapshot {
        return no(StatusCode::SERVICE_UNAVAILABLE);
    }
    let stats = &admin.shared.stats;
    if !admin.limits.snapshots.take(admin.config.rate_limit) {
        Stats::count(&stats.snapshots_limited);
        return no(StatusCode::TOO_MANY_REQUESTS);
    }
    let shared = Arc::clone(&admin.shared);
    let frozen = shared.tree().freeze();
    let zxid = frozen.zxid();
    let take = move || {
        let path = snapshots::take(&shared, &frozen).map_err(|error| words(&error))?;
        storage::open_for_reading(&path).map_err(|error| error.to_string())
    };
    let opened = match tokio::task::spawn_blocking(take).await {
        Ok(opened) => opened.map(File::from_std),
        Err(error) => Err(error.to_string()),
    };
    let (file, size) = match opened {
        Ok(file) => {
            let size = file.metadata().await.map_or(0, |metadata| metadata.len());
            (file, size)
        }
        Err(error) => {
            tracing::warn!(error, "snapshot not taken for the admin port");
            return no(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let streaming = !request.uri().query().unwrap_or_default().contains("streaming=false");
    let mut response = if streaming {
        let mut response = Response::new(stream(file));
        let kind = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    } else {
        json(StatusCode::OK, &json!({ "command": "snapshot", "error": null }))
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(format!("0x{:x}", zxid.bits())) {
        headers.insert("last_zxid", value);
    }
    headers.insert("snapshot_size", size.into());
    response
}

/// Replaces the tree by the snapshot in the body.
pub(super) async fn restore(admin: &Admin, request: Request<Incoming>) -> Response<Body> {
    if request.method() != Method::POST {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    if let Some(refusal) = refusal(&admin.shared, "restore", &request) {
        return refusal;
    }
    let no = |status| no("restore", status);
    if !admin.config.restore {
        return no(StatusCode::SERVICE_UNAVAILABLE);
    }
    let _one = admin.limits.restoring.lock().await;
    let stats = &admin.shared.stats;
    if !admin.limits.restores.take(admin.config.rate_limit) {
        Stats::count(&stats.restores_limited);
        return no(StatusCode::TOO_MANY_REQUESTS);
    }
    let begun = std::time::Instant::now();
    let received = Received(snapshots::dir(&admin.shared.config).join(RECEIVED));
    let restored = match receive(&received, request.into_body()).await {
        Ok(0) => return no(StatusCode::BAD_REQUEST),
        Ok(_) => replace(&admin.shared, &received).await,
        Err(error) => Err(error.to_string()),
    };
    match restored {
        Ok(zxid) => {
            stats.restore_time.record(micros(begun.elapsed()));
            let answer = json!({ "command": "restore", "error": null, "last_zxid": zxid.bits().to_string() });
            json(StatusCode::OK, &answer)
        }
        Err(error) => {
            Stats::count(&stats.restore_errors);
            tracing::warn!(error, "tree not restored");
            json(
                StatusCode::INTERNAL_SERVER_ERROR,
                &json!({ "command": "restore", "error": error }),
            )
        }
    }
}

/// What is not done, as the status tells; Apache names no error then.
fn no(command: &str, status: StatusCode) -> Response<Body> {
    json(status, &json!({ "command": command, "error": null }))
}

/// A file that goes with this value.
struct Received(PathBuf);

impl Drop for Received {
    fn drop(&mut self) {
        // What stays behind has a name that the next purge removes.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn receive(into: &Received, mut body: Incoming) -> std::io::Result<u64> {
    let mut file = File::create(&into.0).await?;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(std::io::Error::other)?;
        if let Ok(bytes) = frame.into_data() {
            length += bytes.len() as u64;
            file.write_all(&bytes).await?;
        }
    }
    file.flush().await?;
    Ok(length)
}

/// Writes go on when it is dropped.
struct Paused<'a>(&'a Shared);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.tell(Command::Resume(None));
    }
}

async fn replace(shared: &Arc<Shared>, received: &Received) -> Result<Zxid, String> {
    let (reply, quiet) = oneshot::channel();
    shared.tell(Command::Pause(reply));
    let paused = Paused(shared);
    let last = quiet.await.map_err(|_| "the member ends".to_owned())?;
    let (path, keeper) = (received.0.clone(), Arc::clone(shared));
    let work = move || {
        let seed = RandomState::new().hash_one(0);
        let limit = keeper.config.longest_record();
        let state = storage::load_plain(&path, |zxid, reader| {
            // Later than anything here, so that no client's time goes back and no file has the name.
            let zxid = if zxid > last { zxid } else { last.next().unwrap_or(zxid) };
            znodes::snapshot::read(reader, zxid, limit, seed).map_err(|error| words(&error))
        })
        .map_err(|error| words(&error))?;
        snapshots::take(&keeper, &state.freeze()).map_err(|error| words(&error))?;
        Ok::<_, String>(state)
    };
    let state = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())??;
    let zxid = state.zxid();
    shared.tell(Command::Resume(Some(Box::new(state))));
    drop(paused);
    Ok(zxid)
}

/// The answer to who may not; `None`: the requester may.
fn refusal(shared: &Shared, command: &str, request: &Request<Incoming>) -> Option<Response<Body>> {
    let refuse = |status, error: &str| json(status, &json!({ "command": command, "error": error }));
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        let error = "Auth info is missing for the command";
        return Some(refuse(StatusCode::UNAUTHORIZED, error));
    };
    let words: Vec<_> = header.to_str().unwrap_or_default().split(' ').collect();
    let remote = request.extensions().get::<SocketAddr>();
    let ids = match (words.as_slice(), remote) {
        // It needs no more proof than the connection.
        (["ip"] | ["ip", _], Some(remote)) => vec![ip_id(remote.ip())],
        ([scheme, info], _) => {
            shared.access.authenticate(scheme, info.as_bytes()).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    if ids.is_empty() {
        return Some(refuse(StatusCode::UNAUTHORIZED, "Not authenticated"));
    }
    let tree = shared.tree();
    let root = tree.get("/").map(|root| root.acl().clone());
    let each = [Perms::READ, Perms::WRITE, Perms::CREATE, Perms::DELETE, Perms::ADMIN];
    if root.is_some_and(|acl| each.iter().all(|perm| permits(&acl, *perm, &ids))) {
        None
    } else {
        Some(refuse(StatusCode::FORBIDDEN, "Not authorized"))
    }
}

fn stream(file: File) -> Body {
    let frames = futures::stream::try_unfold(file, |mut file| async {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok((!piece.is_empty()).then(|| (Frame::data(Bytes::from(piece)), file)))
    });
    StreamBody::new(frames).boxed_unsync()
}

const PIECE: usize = 64 << 10;
/// It ends as what interrupted snapshots leave, so that a purge removes it.
const RECEIVED: &str = "troupe-snapshot.received.tmp";
