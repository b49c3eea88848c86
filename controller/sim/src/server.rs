//! A member's side of clients: requests to transactions at the leader, through the leader elsewhere, reads from the own tree.
//!
//! Lives here: who waits for what, sessions, watches, in the order that clients are promised. Must not: the network (the
//! world carries out each [`Say`]), the order of transactions (`zab`). It is what `ensemble` does around `znodes` and `zab`,
//! without sockets.

mod answering;
mod through;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use jute::{Entry, ErrorCode, EventType, Members, Reconfig, Request, Response, Text};
use types::{Epoch, Instant, PeerId, SessionId, Zxid};
use zab::Txn;
use znodes::access::SUPER;
use znodes::{Prep, Requester, Rules, SessionIds, Sessions, Speaker, Turn, Watcher, Watches};

use self::through::Asker;
use crate::clock::Time;
use crate::defect::Defect;
use crate::host::Running;
use crate::roster::{Roster, config_of};

/// What a client says on its connection.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// The first: a session of 0 is a new one.
    Connect {
        session: SessionId,
        timeout_ms: i32,
        seen: Zxid,
    },
    Request {
        xid: i32,
        request: Request,
    },
    Ping,
}

/// What it hears.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Connected(SessionId),
    Expired,
    Reply {
        xid: i32,
        zxid: Zxid,
        result: Result<Response, ErrorCode>,
    },
    /// Without a zxid: it was missed, and is told again.
    Event {
        kind: EventType,
        path: Text,
        zxid: Option<Zxid>,
    },
    Pong,
}

/// What a learner and its leader say beside the protocol.
#[derive(Clone, Debug)]
pub(crate) enum Errand {
    /// Of a session that speaks through somebody else by now.
    Late {
        session: SessionId,
        cxid: i32,
    },
    Request {
        session: SessionId,
        cxid: i32,
        request: Request,
    },
    Revalidate {
        session: SessionId,
        timeout_ms: i32,
    },
    Revalidated {
        session: SessionId,
        valid: bool,
    },
    Synced,
    Touches(Vec<(SessionId, i32)>),
}

/// What the world does for a member.
#[derive(Debug)]
pub(crate) enum Say {
    Client { link: u64, answer: Answer },
    Close { link: u64 },
    Leader(Errand),
    Learner { connection: u64, errand: Errand },
    Propose(Txn),
}

/// What a member has of clients. All of it ends with its role.
#[derive(Debug)]
pub(crate) struct Server {
    conns: BTreeMap<u64, Conn>,
    watches: Watches,
    /// The connection that each session speaks on.
    speaking: BTreeMap<SessionId, u64>,
    ids: SessionIds,
    /// What replies say is applied: at least the beginning of the epoch.
    shown: Zxid,
    /// Sent to the leader, not yet come back.
    forwarded: BTreeMap<SessionId, VecDeque<(i32, Origin)>>,
    syncs: VecDeque<Asker>,
    /// Answered by the leader, and waiting until this much is applied here.
    synced: VecDeque<(Zxid, Asker)>,
    returning: BTreeMap<SessionId, VecDeque<Asker>>,
    /// Through whom sessions speak that came back to this follower or to its observers.
    came_back: BTreeMap<SessionId, Asker>,
    touched: BTreeMap<SessionId, i32>,
    touched_at: Instant,
    leading: Option<Leading>,
    /// Events that a defect holds back.
    held: Vec<(u64, Answer)>,
}

/// A client's connection.
#[derive(Debug)]
struct Conn {
    session: SessionId,
    timeout_ms: i32,
    /// What is answered in this order.
    queue: VecDeque<Waiting>,
    heard: Instant,
}

#[derive(Debug)]
enum Waiting {
    /// Also a sync through the leader.
    Write {
        xid: i32,
        sync: bool,
    },
    Read {
        xid: i32,
        request: Request,
    },
}

/// What a leader has beside.
#[derive(Debug)]
struct Leading {
    prep: Prep,
    sessions: Sessions,
    outstanding: VecDeque<Outstanding>,
    /// Learners that asked for a sync, and behind what it is answered.
    asked: VecDeque<(Zxid, u64)>,
    /// Sessions whose time was up, and whose end is not proposed.
    expired: VecDeque<SessionId>,
}

impl Leading {
    /// What is proposed next, by `origin`.
    fn order(&mut self, entry: Entry, origin: Origin) -> Txn {
        let (zxid, mut body) = (entry.header.zxid, BytesMut::new());
        entry.encode(&mut body);
        self.outstanding.push_back(Outstanding { entry, origin });
        Txn { zxid, body: body.freeze() }
    }
}

#[derive(Debug)]
struct Outstanding {
    entry: Entry,
    origin: Origin,
}

/// Who waits for a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    Client(u64),
    Connect(u64),
    /// A learner, or nobody.
    Elsewhere,
}

impl Server {
    pub(crate) fn new(ids: SessionIds, now: Instant) -> Self {
        Self {
            conns: BTreeMap::new(),
            watches: Watches::new(1, usize::MAX),
            speaking: BTreeMap::new(),
            ids,
            shown: Zxid::ZERO,
            forwarded: BTreeMap::new(),
            syncs: VecDeque::new(),
            synced: VecDeque::new(),
            returning: BTreeMap::new(),
            came_back: BTreeMap::new(),
            touched: BTreeMap::new(),
            touched_at: now,
            leading: None,
            held: Vec::new(),
        }
    }

    /// The connections of clients.
    pub(crate) fn links(&self) -> Vec<u64> {
        self.conns.keys().copied().collect()
    }
}

impl Running {
    /// The role has ended: nobody is served.
    pub(crate) fn end_role(&mut self, now: Instant) {
        self.serves = false;
        self.server = Server::new(self.server.ids.clone(), now);
    }

    /// This member is in step with a leader, or is it.
    pub(crate) fn begin_role(
        &mut self,
        me: PeerId,
        epoch: Epoch,
        leads: bool,
        time: Time,
        chance: u64,
    ) {
        self.serves = true;
        self.in_vain = 0;
        let by_clock = self.planted.has(Defect::IdsByClock);
        let chance = if by_clock { time.wall_ms.cast_unsigned() << 16 } else { chance };
        self.server.ids = SessionIds::new(me, chance);
        self.server.shown = self.tree.last().max(Zxid::new(epoch, 0));
        if leads {
            let mut sessions = Sessions::new(TICK);
            sessions.resume(&self.tree.state, time.now);
            let rules = Rules { reconfig: true, ..Rules::default() };
            let prep = Prep::new(&self.tree.state).under(rules);
            self.server.leading = Some(Leading {
                prep,
                sessions,
                outstanding: VecDeque::new(),
                asked: VecDeque::new(),
                expired: VecDeque::new(),
            });
        }
    }

    /// When sessions end next, if this member says when.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.zab.next_zxid()?;
        self.server.leading.as_ref()?.sessions.next_expiry()
    }

    /// Ends a session whose time is up; `false` when there is none.
    pub(crate) fn expire(&mut self, time: Time, say: &mut Vec<Say>) -> bool {
        let due = self.next_expiry().is_some_and(|at| at <= time.now);
        let Some(leading) = &mut self.server.leading else { return false };
        if due {
            for (session, link) in &self.server.speaking {
                if let Some(conn) = self.server.conns.get(link) {
                    leading.sessions.touch(*session, timeout(conn.timeout_ms), conn.heard);
                }
            }
            leading.expired.extend(leading.sessions.expire(time.now));
        }
        if self.zab.next_zxid().is_none() {
            return false;
        }
        let Some(session) = leading.expired.pop_front() else { return false };
        self.propose(time, session, 0, HERE, &Request::CloseSession, Origin::Elsewhere, say);
        true
    }

    /// The transaction that a write of no session becomes; `None` while it takes none.
    pub(crate) fn prepare(&mut self, time: Time, request: &Request) -> Option<Txn> {
        let mut say = Vec::new();
        self.propose(time, SessionId(0), 0, HERE, request, Origin::Elsewhere, &mut say);
        say.into_iter().find_map(|say| match say {
            Say::Propose(txn) => Some(txn),
            _ => None,
        })
    }

    /// The transaction that a change of the members becomes, and whom it brings; `None` while this member takes none.
    pub(crate) fn prepare_reconfig(
        &mut self,
        time: Time,
        request: &Reconfig,
        roster: &Roster,
    ) -> Option<(Txn, Option<Members>)> {
        let (zxid, zab) = (self.zab.next_zxid()?, &self.zab);
        let leading = self.server.leading.as_mut()?;
        let turn = Turn { zxid, wall_ms: time.wall_ms, now: time.now };
        let requester = Requester { session: SessionId(0), cxid: 0, auth: &[SUPER], speaker: HERE };
        let ensemble = znodes::Ensemble {
            members: roster.now(),
            under_way: roster.next().is_some(),
            standalone: false,
            in_step: &|members| zab.may_reconfigure(&config_of(members)),
        };
        let Leading { prep, sessions, .. } = leading;
        let (entry, members) =
            prep.prepare_reconfig(&self.tree.state, sessions, turn, &requester, request, &ensemble);
        Some((leading.order(entry, Origin::Elsewhere), members))
    }

    #[expect(clippy::too_many_arguments, reason = "a request is all of these")]
    fn propose(
        &mut self,
        time: Time,
        session: SessionId,
        cxid: i32,
        speaker: Speaker,
        request: &Request,
        origin: Origin,
        say: &mut Vec<Say>,
    ) {
        let Some(zxid) = self.zab.next_zxid() else { return };
        let forgets = self.planted.has(Defect::MoveIsNotSeen);
        let revives = self.planted.has(Defect::ClosedIsServed);
        let Some(leading) = &mut self.server.leading else { return };
        let turn = Turn { zxid, wall_ms: time.wall_ms, now: time.now };
        let speaker = if forgets { HERE } else { speaker };
        let requester = Requester { session, cxid, auth: &[], speaker };
        if revives && !matches!(request, Request::CreateSession { .. } | Request::CloseSession) {
            leading.sessions.track(session, TICK, time.now);
        }
        let Leading { prep, sessions, .. } = leading;
        let entry = prep.prepare(&self.tree.state, sessions, turn, &requester, request);
        say.push(Say::Propose(leading.order(entry, origin)));
    }

    /// A client said something.
    pub(crate) fn on_call(&mut self, time: Time, link: u64, call: Call, say: &mut Vec<Say>) {
        match call {
            Call::Connect { session, timeout_ms, seen } => {
                let old = seen > self.server.shown && !self.planted.has(Defect::BackInTime);
                if !self.serves || old {
                    return say.push(Say::Close { link });
                }
                let conn = Conn { session, timeout_ms, queue: VecDeque::new(), heard: time.now };
                self.server.conns.insert(link, conn);
                self.on_connect(time, link, session, timeout_ms, say);
            }
            Call::Request { xid, request } => {
                let overtakes = self.planted.has(Defect::ReadOvertakes);
                let Some(conn) = self.server.conns.get_mut(&link) else { return };
                conn.heard = time.now;
                let session = conn.session;
                let leads = self.server.leading.is_some();
                let is_write = request.op().is_write();
                if !is_write && (leads || !matches!(request, Request::Sync { .. })) {
                    if conn.queue.is_empty() || overtakes {
                        self.read(link, xid, &request, say);
                    } else {
                        conn.queue.push_back(Waiting::Read { xid, request });
                    }
                    return;
                }
                if leads && self.zab.next_zxid().is_none() {
                    // The real one lets it wait for the next epoch; here its client comes again.
                    return self.hang_up(link, say);
                }
                let sync = matches!(request, Request::Sync { .. });
                conn.queue.push_back(Waiting::Write { xid, sync });
                if leads {
                    let origin = Origin::Client(link);
                    self.propose(time, session, xid, HERE, &request, origin, say);
                } else {
                    self.forward(session, xid, request, Origin::Client(link), say);
                }
            }
            Call::Ping => {
                if let Some(conn) = self.server.conns.get_mut(&link) {
                    conn.heard = time.now;
                    say.push(Say::Client { link, answer: Answer::Pong });
                }
            }
        }
    }

    fn on_connect(
        &mut self,
        time: Time,
        link: u64,
        session: SessionId,
        timeout_ms: i32,
        say: &mut Vec<Say>,
    ) {
        let leads = self.server.leading.is_some();
        if session == SessionId(0) {
            let session = self.server.ids.next_id();
            let create = Request::CreateSession { timeout_ms };
            let origin = Origin::Connect(link);
            if leads {
                self.propose(time, session, 0, HERE, &create, origin, say);
            } else {
                self.forward(session, 0, create, origin, say);
            }
        } else if let Some(leading) = &mut self.server.leading {
            let valid = leading.sessions.touch(session, timeout(timeout_ms), time.now)
                && leading.sessions.move_to(session, HERE);
            self.welcome_back(link, session, valid, say);
        } else {
            say.push(Say::Leader(Errand::Revalidate { session, timeout_ms }));
            self.server.returning.entry(session).or_default().push_back(Asker::Client(link));
        }
    }

    /// A client's connection is gone.
    pub(crate) fn on_gone(&mut self, link: u64) {
        let server = &mut self.server;
        let Some(conn) = server.conns.remove(&link) else { return };
        server.watches.drop_watcher(watcher(link));
        if server.speaking.get(&conn.session) == Some(&link) {
            server.speaking.remove(&conn.session);
            match &mut server.leading {
                Some(leading) => {
                    let _lives =
                        leading.sessions.touch(conn.session, timeout(conn.timeout_ms), conn.heard);
                }
                None => drop(server.touched.insert(conn.session, conn.timeout_ms)),
            }
        }
    }

    fn hang_up(&mut self, link: u64, say: &mut Vec<Say>) {
        self.on_gone(link);
        say.push(Say::Close { link });
    }
}

fn watcher(link: u64) -> Watcher {
    Watcher(u32::try_from(link).unwrap_or(u32::MAX))
}

fn timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The leader's own connections; those between members count from 1.
const HERE: Speaker = Speaker(0);
/// What deadlines of sessions are rounded up to.
const TICK: Duration = Duration::from_secs(2);
