//! A client with a session: what it asks, what it has seen, what it may be told.
//!
//! Lives here: its own checks, by what was promised to it alone. Must not: connections (the world carries them).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use jute::{Acl, AddWatchMode, CreateRequest, ErrorCode, MultiOp, Request, Response, create_flags};
use types::{Instant, SessionId, Zxid};

use crate::checkers::Violation;
use crate::history::History;
use crate::watching::Watching;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    /// 0 without one.
    pub(crate) session: SessionId,
    pub(crate) timeout: Duration,
    /// Milliseconds between what it does, at most.
    pub(crate) every: u64,
    /// The last zxid a reply said.
    pub(crate) seen: Zxid,
    pub(crate) link: Option<u64>,
    /// The session speaks on the link, since then.
    pub(crate) connected: Option<Instant>,
    pub(crate) heard: Instant,
    pub(crate) watching: Watching,
    pub(crate) in_flight: VecDeque<Asked>,
    xid: i32,
    /// The newest version it has seen of each znode.
    versions: BTreeMap<String, i32>,
}

/// A request that waits for its reply.
#[derive(Debug)]
pub(crate) struct Asked {
    xid: i32,
    request: Request,
    /// The last zxid that any client was told of before this was asked.
    floor: Zxid,
}

impl Client {
    pub(crate) fn drawn(rng: &mut fastrand::Rng) -> Self {
        Self {
            session: SessionId(0),
            timeout: Duration::from_secs([4, 6, 10][rng.usize(0..3)]),
            every: [50, 200, 800, 2_000][rng.usize(0..4)],
            seen: Zxid::ZERO,
            link: None,
            connected: None,
            heard: Instant::ZERO,
            watching: Watching::default(),
            in_flight: VecDeque::new(),
            xid: 0,
            versions: BTreeMap::new(),
        }
    }

    /// A request is sent.
    pub(crate) fn ask(&mut self, request: Request, floor: Zxid) -> (i32, Request) {
        self.xid += 1;
        self.in_flight.push_back(Asked { xid: self.xid, request: request.clone(), floor });
        (self.xid, request)
    }

    /// The end of the session is asked for.
    pub(crate) fn is_closing(&self) -> bool {
        self.in_flight.iter().any(|asked| asked.request == Request::CloseSession)
    }

    /// The connection is gone; nobody knows what became of what was asked.
    pub(crate) fn on_gone(&mut self, history: &History) -> Result<(), Violation> {
        self.link = None;
        self.connected = None;
        self.in_flight.clear();
        self.watching.on_gone(history)
    }

    /// The session is over.
    pub(crate) fn on_expired(&mut self) {
        self.session = SessionId(0);
        self.watching = Watching::default();
    }

    /// A reply came.
    pub(crate) fn on_reply(
        &mut self,
        history: &History,
        xid: i32,
        zxid: Zxid,
        result: &Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        let session = self.session;
        let asked = self.in_flight.pop_front().filter(|asked| asked.xid == xid);
        let Some(Asked { request, floor, .. }) = asked else {
            return Err(Violation(format!("{session} is answered {xid} out of turn: {result:?}")));
        };
        let seen = self.seen;
        if zxid < seen {
            return Err(Violation(format!("{session} is shown {zxid}, and has seen {seen}")));
        }
        self.seen = zxid;
        if let Request::SetWatches2(wanted) = &request {
            self.watching.on_set_again(history, wanted, zxid)?;
        } else {
            self.watching.on_shown(history, zxid)?;
            self.watching.on_answered(&request, result);
        }
        match &request {
            // A leader that was deposed and does not know it answers a sync: promised is only what the epoch has.
            Request::Sync { .. } if floor.epoch() <= zxid.epoch() && floor > zxid => {
                Err(Violation(format!("a sync is answered as of {zxid}, {floor} was known before")))
            }
            Request::Sync { .. } | Request::SetWatches2(_) | Request::AddWatch { .. } => Ok(()),
            // The disk is full, or the session speaks through another member.
            _ if matches!(result, Err(ErrorCode::SystemError | ErrorCode::SessionMoved)) => Ok(()),
            request if request.op().is_write() => {
                if zxid <= seen {
                    return Err(Violation(format!(
                        "{request:?} is {zxid}, and what was asked before it was answered as of {seen}"
                    )));
                }
                if zxid <= floor {
                    return Err(Violation(format!(
                        "{request:?} is {zxid}, and {floor} was known before it was asked"
                    )));
                }
                if let (Request::SetData { path, .. }, Ok(Response::Stat(stat))) = (request, result)
                {
                    self.versions.insert(path.to_string(), stat.version);
                }
                history.check_write((session, xid), request, zxid, result)
            }
            request => {
                if let (Request::GetData { path, .. }, Ok(Response::Data { stat, .. })) =
                    (request, result)
                {
                    self.versions.insert(path.to_string(), stat.version);
                }
                history.check_read(request, zxid, result)
            }
        }
    }

    /// What it wants next, one after the other.
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng, count: u64) -> Vec<Request> {
        let path = PATHS[rng.usize(0..PATHS.len())];
        let data = Some(Bytes::copy_from_slice(&count.to_be_bytes()));
        let watch = rng.u8(..) < 96;
        let known = self.versions.get(path).copied().unwrap_or(0);
        let version = if rng.bool() { -1 } else { known };
        let make = |path: &str, flags| {
            let (path, data, acl) = (path.into(), data.clone(), [Acl::OPEN].into());
            CreateRequest { path, data, acl, flags }
        };
        let read = Request::GetData { path: path.into(), watch };
        vec![match rng.u8(0..32) {
            0..6 => read,
            6..8 => Request::Exists { path: path.into(), watch },
            8..10 => Request::GetChildren { path: path.into(), watch },
            10..16 => Request::SetData { path: path.into(), data, version },
            16..19 => Request::Create(make(path, create_flags::PERSISTENT)),
            19..21 => Request::Create(make(path, create_flags::EPHEMERAL)),
            21 => {
                let flags =
                    [create_flags::EPHEMERAL_SEQUENTIAL, create_flags::PERSISTENT_SEQUENTIAL];
                Request::Create(make(&format!("{path}/n-"), flags[usize::from(rng.u8(..) < 32)]))
            }
            22..25 => Request::Delete { path: path.into(), version },
            25 => Request::Multi(vec![
                MultiOp::Check { path: path.into(), version: known },
                MultiOp::SetData { path: path.into(), data: data.clone(), version: -1 },
                MultiOp::Create(make("/a/m", create_flags::PERSISTENT)),
                MultiOp::Delete { path: "/a/m".into(), version: -1 },
            ]),
            26 => {
                let modes = [AddWatchMode::Persistent, AddWatchMode::PersistentRecursive];
                Request::AddWatch { path: path.into(), mode: modes[rng.usize(0..2)] }
            }
            27..30 => return vec![Request::Sync { path: path.into() }, read],
            _ => return vec![Request::SetData { path: path.into(), data, version: -1 }, read],
        }]
    }
}

/// Few, so that clients meet.
const PATHS: [&str; 8] = ["/a", "/b", "/a/x", "/a/y", "/b/x", "/c", "/e", "/a/e"];
