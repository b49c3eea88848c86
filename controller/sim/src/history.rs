//! What the committed history says: what each read must show, each write was answered, each watch must tell.
//!
//! Lives here: the state as of any zxid, made from the one committed history and nothing else. Must not: hosts, clients.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use bytes::Bytes;
use jute::{
    CreateRequest, Entry, ErrorCode, EventType, MultiOp, OpResult, Request, Response, Stat,
};
use types::{SessionId, Zxid};
use zab::Txn;
use znodes::{State, What};

use crate::checkers::Violation;

/// The committed history.
#[derive(Debug)]
pub(crate) struct History {
    state: State,
    /// What each znode was from when on; `None`: not there.
    znodes: BTreeMap<String, Vec<(Zxid, Option<Version>)>>,
    changes: BTreeMap<Zxid, Vec<Changed>>,
    outcomes: BTreeMap<Zxid, Outcome>,
    /// The last request of each session that was served.
    last_cxid: BTreeMap<SessionId, i32>,
    /// Sessions that ended, and whether nobody asked for it.
    ended: Vec<(SessionId, bool)>,
}

/// A znode as it was.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    data: Option<Bytes>,
    version: i32,
    czxid: Zxid,
    mzxid: Zxid,
}

/// A znode that a transaction changed.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) kind: EventType,
    pub(crate) path: String,
}

#[derive(Debug)]
struct Outcome {
    session: SessionId,
    cxid: i32,
    result: Result<Response, ErrorCode>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            state: State::new(1),
            znodes: BTreeMap::new(),
            changes: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            last_cxid: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// The next transaction is committed.
    pub(crate) fn commit(&mut self, txn: &Txn) -> Result<(), Violation> {
        let zxid = txn.zxid;
        let broken = |what: &str| Err(Violation(format!("{zxid}: {what}")));
        let Ok(entry) = Entry::decode(&txn.body) else { return broken("is no transaction") };
        let (session, cxid) = (entry.header.session, entry.header.cxid);
        let is_end = matches!(entry.txn, jute::Txn::CloseSession(_));
        let is_change = !is_end
            && !is_refusal(&entry.txn)
            && !matches!(entry.txn, jute::Txn::CreateSession { .. });
        if is_change && session != SessionId(0) && self.state.session_timeout(session).is_none() {
            return broken(&format!("{session} is served, and has ended"));
        }
        let applied = self.state.apply(&entry.header, &entry.txn);
        if entry.digest.is_some_and(|digest| !self.state.agrees_with(digest)) {
            return broken("does not make of the committed history what its leader meant");
        }
        // An end counts whichever member it comes through, as in Apache.
        if cxid != 0 && is_change {
            let last = self.last_cxid.insert(session, cxid);
            if last.is_some_and(|last| last >= cxid) {
                return broken(&format!("{session} is served {cxid} behind {last:?}"));
            }
        }
        for change in applied.changes {
            let path = change.path.to_string();
            let (kind, version) = match change.what {
                What::Created { data, stat, .. } => {
                    let owner = stat.ephemeral_owner;
                    if owner != SessionId(0) && self.state.session_timeout(owner).is_none() {
                        return broken(&format!("{path} is of {owner}, which has ended"));
                    }
                    (EventType::Created, Some(Version::of(data, &stat)))
                }
                What::DataSet { data, stat } => {
                    (EventType::DataChanged, Some(Version::of(data, &stat)))
                }
                What::Deleted { .. } => (EventType::Deleted, None),
            };
            self.znodes.entry(path.clone()).or_default().push((zxid, version));
            self.changes.entry(zxid).or_default().push(Changed { kind, path });
        }
        if is_end {
            if self.state.ephemerals(session).next().is_some() {
                return broken(&format!("{session} has ended, and an ephemeral of it is there"));
            }
            self.ended.push((session, cxid == 0));
        }
        if session != SessionId(0) {
            let result = applied.response;
            self.outcomes.insert(zxid, Outcome { session, cxid, result });
        }
        Ok(())
    }

    /// Sessions that ended since the last call, and whether by the leader's clock.
    pub(crate) fn take_ended(&mut self) -> Vec<(SessionId, bool)> {
        std::mem::take(&mut self.ended)
    }

    /// The sessions that live as of the last commit.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.state.sessions().map(|(session, _)| session)
    }

    /// The changes after one transaction up to another.
    pub(crate) fn changes(
        &self,
        after: Zxid,
        upto: Zxid,
    ) -> impl Iterator<Item = (Zxid, &Changed)> {
        let upto = if upto < after { after } else { upto };
        let some = self.changes.range((Excluded(after), Included(upto)));
        some.flat_map(|(zxid, all)| all.iter().map(|change| (*zxid, change)))
    }

    /// The changes after a transaction.
    pub(crate) fn changes_after(&self, after: Zxid) -> impl Iterator<Item = (Zxid, &Changed)> {
        let some = self.changes.range((Excluded(after), Unbounded));
        some.flat_map(|(zxid, all)| all.iter().map(|change| (*zxid, change)))
    }

    /// A znode as of a zxid.
    pub(crate) fn at(&self, path: &str, zxid: Zxid) -> Option<&Version> {
        let versions = self.znodes.get(path)?;
        let upto = versions.partition_point(|(at, _)| *at <= zxid);
        versions.get(upto.checked_sub(1)?)?.1.as_ref()
    }

    /// A read was answered so, with all up to `zxid` applied.
    pub(crate) fn check_read(
        &self,
        request: &Request,
        zxid: Zxid,
        result: &Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        let fits = match (request, result) {
            (Request::GetData { path, .. }, Ok(Response::Data { data, stat })) => {
                self.at(path, zxid).is_some_and(|is| is.data == *data && is.is(stat))
            }
            (Request::Exists { path, .. }, Ok(Response::Stat(stat))) => {
                self.at(path, zxid).is_some_and(|is| is.is(stat))
            }
            (
                Request::GetData { path, .. }
                | Request::Exists { path, .. }
                | Request::GetChildren { path, .. },
                Err(ErrorCode::NoNode),
            ) => self.at(path, zxid).is_none(),
            (Request::GetChildren { path, .. }, Ok(Response::Names(names))) => {
                let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
                names.sort_unstable();
                self.at(path, zxid).is_some() && self.children(path, zxid) == names
            }
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let said = format!("{request:?} as of {zxid} is answered {result:?}");
        Err(Violation(format!("{said}, and the history says something else")))
    }

    fn children(&self, path: &str, zxid: Zxid) -> Vec<String> {
        let prefix = format!("{path}/");
        let from = (Included(prefix.clone()), Unbounded);
        let below = self.znodes.range(from).take_while(|(path, _)| path.starts_with(&prefix));
        let name = |path: &String| path[prefix.len()..].to_owned();
        let names = below.map(|(path, _)| (path, name(path)));
        let direct =
            names.filter(|(path, name)| !name.contains('/') && self.at(path, zxid).is_some());
        direct.map(|(_, name)| name).collect()
    }

    /// A session's write was answered so, with this zxid.
    pub(crate) fn check_write(
        &self,
        (session, cxid): (SessionId, i32),
        request: &Request,
        zxid: Zxid,
        result: &Result<Response, ErrorCode>,
    ) -> Result<(), Violation> {
        let outcome = self.outcomes.get(&zxid);
        let outcome = outcome.filter(|one| one.session == session && one.cxid == cxid);
        let Some(outcome) = outcome else {
            return Err(Violation(format!(
                "{session} is told that {cxid}, {request:?}, is {zxid}: {result:?}; nothing like it is committed"
            )));
        };
        let before = Zxid::from_bits(zxid.bits() - 1);
        if outcome.result != *result || !self.follows(request, before, result) {
            return Err(Violation(format!(
                "{request:?} is answered {result:?} as {zxid}, and should not"
            )));
        }
        Ok(())
    }

    /// Whether a write's answer follows from what was there before it.
    fn follows(
        &self,
        request: &Request,
        before: Zxid,
        result: &Result<Response, ErrorCode>,
    ) -> bool {
        let version = |path: &str| self.at(path, before).map(|is| is.version);
        match (request, result) {
            (Request::SetData { path, version: wanted, .. }, Ok(Response::Stat(stat))) => {
                version(path).is_some_and(|is| agree(*wanted, is) && stat.version == is + 1)
            }
            (Request::Delete { path, version: wanted }, Ok(_)) => {
                version(path).is_some_and(|is| agree(*wanted, is))
            }
            (
                Request::SetData { path, version: wanted, .. }
                | Request::Delete { path, version: wanted },
                Err(ErrorCode::BadVersion),
            ) => version(path).is_some_and(|is| !agree(*wanted, is)),
            (
                Request::SetData { path, .. } | Request::Delete { path, .. },
                Err(ErrorCode::NoNode),
            ) => version(path).is_none(),
            (Request::Delete { path, .. }, Err(ErrorCode::NotEmpty)) => {
                !self.children(path, before).is_empty()
            }
            (Request::Create(create), Ok(Response::Path(path))) => {
                self.is_made(create, path, before)
            }
            (Request::Create(create), Err(ErrorCode::NodeExists)) => {
                version(&create.path).is_some()
            }
            (Request::Create(create), Err(ErrorCode::NoNode)) => version(&create.path).is_none(),
            (Request::Multi(ops), Ok(Response::Multi(results))) => {
                let failed = results.iter().any(|one| matches!(one, OpResult::Error(_)));
                failed
                    || ops.iter().all(|op| match op {
                        MultiOp::Check { path, version: wanted } => {
                            version(path).is_some_and(|is| agree(*wanted, is))
                        }
                        MultiOp::Create(create) => version(&create.path).is_none(),
                        _ => true,
                    })
            }
            // Nothing is said against these.
            (_, Err(ErrorCode::NoChildrenForEphemerals | ErrorCode::SessionExpired)) => true,
            (Request::CloseSession, Ok(_)) => true,
            _ => false,
        }
    }

    /// A name of its own: as asked for, or a number behind it that is above all since its parent was made.
    fn is_made(&self, create: &CreateRequest, path: &str, before: Zxid) -> bool {
        if self.at(path, before).is_some() {
            return false;
        }
        let Some(number) = path.strip_prefix(&*create.path) else { return false };
        let parent = path.rfind('/').and_then(|at| self.at(&path[..at], before));
        let since = parent.map_or(Zxid::ZERO, |parent| parent.czxid);
        let from = (Excluded(path.to_owned()), Unbounded);
        let later = self.znodes.range(from).take_while(|(other, _)| {
            other.strip_prefix(&*create.path).is_some_and(|rest| rest.len() == number.len())
        });
        let were = later.flat_map(|(_, versions)| versions);
        let mut made = were.filter(|(at, is)| is.is_some() && *at > since && *at <= before);
        number.is_empty() || number.parse::<u32>().is_ok() && made.next().is_none()
    }
}

fn is_refusal(txn: &jute::Txn) -> bool {
    match txn {
        jute::Txn::Error(_) => true,
        jute::Txn::Multi(txns) => txns.iter().any(is_refusal),
        _ => false,
    }
}

impl Version {
    fn of(data: Option<Bytes>, stat: &Stat) -> Self {
        Self { data, version: stat.version, czxid: stat.czxid, mzxid: stat.mzxid }
    }

    fn is(&self, stat: &Stat) -> bool {
        (self.version, self.czxid, self.mzxid) == (stat.version, stat.czxid, stat.mzxid)
    }
}

fn agree(wanted: i32, is: i32) -> bool {
    wanted == -1 || wanted == is
}
