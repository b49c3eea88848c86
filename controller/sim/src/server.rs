//! A member's side of clients: requests to transactions at the leader, through the leader elsewhere, reads from the own tree.
//!
//! Lives here: who waits for what, sessions, watches, in the order that clients are promised. Must not: the network (the
//! world carries out each [`Say`]), the order of transactions (`zab`). It is what `ensemble` does around `znodes` and `zab`,
//! without sockets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use jute::{Entry, ErrorCode, EventType, Members, Reader, Reconfig, Request, Response, Text};
use types::{Epoch, Instant, PeerId, SessionId, Zxid};
use zab::Txn;
use znodes::access::SUPER;
use znodes::reads::{self, Reading};
use znodes::{
    Prep, Requester, Rules, SessionIds, Sessions, Speaker, State, Turn, Watcher, Watches,
};

use crate::checkers::Violation;
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
    Request { session: SessionId, cxid: i32, request: Request },
    Revalidate { session: SessionId, timeout_ms: i32 },
    Revalidated { session: SessionId, valid: bool },
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
    syncs: VecDeque<u64>,
    /// Answered by the leader, and waiting until this much is applied here.
    synced: VecDeque<(Zxid, u64)>,
    returning: BTreeMap<SessionId, VecDeque<u64>>,
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
        let Leading { prep, sessions, outstanding, .. } = self.server.leading.as_mut()?;
        let turn = Turn { zxid, wall_ms: time.wall_ms, now: time.now };
        let requester = Requester { session: SessionId(0), cxid: 0, auth: &[SUPER], speaker: HERE };
        let ensemble = znodes::Ensemble {
            members: roster.now(),
            under_way: roster.next().is_some(),
            standalone: false,
            in_step: &|members| zab.may_reconfigure(&config_of(members)),
        };
        let (entry, members) =
            prep.prepare_reconfig(&self.tree.state, sessions, turn, &requester, request, &ensemble);
        let mut body = BytesMut::new();
        entry.encode(&mut body);
        outstanding.push_back(Outstanding { entry, origin: Origin::Elsewhere });
        Some((Txn { zxid, body: body.freeze() }, members))
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
        let mut body = BytesMut::new();
        entry.encode(&mut body);
        leading.outstanding.push_back(Outstanding { entry, origin });
        say.push(Say::Propose(Txn { zxid, body: body.freeze() }));
    }

    /// A client said something.
    pub(crate) fn on_call(&mut self, time: Time, link: u64, call: Call, say: &mut Vec<Say>) {
        match call {
            Call::Connect { session, timeout_ms, seen } => {
                let old = seen > self.server.shown && !self.planted.has(Defect::BackInTime);
                // What followers pass on between their observers and the leader is not simulated.
                if !self.serves || self.fed || old {
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
            self.server.returning.entry(session).or_default().push_back(link);
        }
    }

    fn forward(
        &mut self,
        session: SessionId,
        cxid: i32,
        request: Request,
        origin: Origin,
        say: &mut Vec<Say>,
    ) {
        match (&request, origin) {
            (Request::Sync { .. }, Origin::Client(link)) => self.server.syncs.push_back(link),
            _ => {
                self.server.forwarded.entry(session).or_default().push_back((cxid, origin));
            }
        }
        say.push(Say::Leader(Errand::Request { session, cxid, request }));
    }

    fn welcome_back(&mut self, link: u64, session: SessionId, valid: bool, say: &mut Vec<Say>) {
        if !self.server.conns.contains_key(&link) {
            return;
        }
        if !valid {
            say.push(Say::Client { link, answer: Answer::Expired });
            return self.hang_up(link, say);
        }
        if let Some(before) = self.server.speaking.insert(session, link)
            && before != link
        {
            self.hang_up(before, say);
        }
        say.push(Say::Client { link, answer: Answer::Connected(session) });
    }

    /// A learner said something.
    pub(crate) fn on_errand_up(
        &mut self,
        time: Time,
        connection: u64,
        errand: Errand,
        say: &mut Vec<Say>,
    ) {
        let deaf = self.planted.has(Defect::TouchesAreLost);
        let Some(leading) = &mut self.server.leading else { return };
        match errand {
            Errand::Request { request: Request::Sync { .. }, .. } => {
                let newest = leading.outstanding.back().map(|newest| newest.entry.header.zxid);
                leading.asked.push_back((newest.unwrap_or_default(), connection));
                self.answer_asked(say);
            }
            Errand::Request { session, cxid, request } => {
                let speaker = Speaker(connection);
                let origin = Origin::Elsewhere;
                self.propose(time, session, cxid, speaker, &request, origin, say);
            }
            Errand::Revalidate { session, timeout_ms } => {
                let valid = leading.sessions.touch(session, timeout(timeout_ms), time.now)
                    && leading.sessions.move_to(session, Speaker(connection));
                if valid && let Some(here) = self.server.speaking.remove(&session) {
                    self.hang_up(here, say);
                }
                let errand = Errand::Revalidated { session, valid };
                say.push(Say::Learner { connection, errand });
            }
            Errand::Touches(touches) if !deaf => {
                for (session, timeout_ms) in touches {
                    leading.sessions.touch(session, timeout(timeout_ms), time.now);
                }
            }
            _ => {}
        }
    }

    /// The leader said something.
    pub(crate) fn on_errand_down(&mut self, errand: Errand, say: &mut Vec<Say>) {
        match errand {
            Errand::Revalidated { session, valid } => {
                let Some(waiting) = self.server.returning.get_mut(&session) else { return };
                if let Some(link) = waiting.pop_front() {
                    self.welcome_back(link, session, valid, say);
                }
            }
            Errand::Synced => {
                let Some(link) = self.server.syncs.pop_front() else { return };
                // What is committed may still be on its way to this member's disk.
                let upto = match self.planted.has(Defect::SyncIsNotApplied) {
                    true => Zxid::ZERO,
                    false => self.zab.committed().unwrap_or_default(),
                };
                self.server.synced.push_back((upto, link));
                self.answer_synced(say);
            }
            _ => {}
        }
    }

    fn answer_asked(&mut self, say: &mut Vec<Say>) {
        let Some(leading) = &mut self.server.leading else { return };
        let oldest = leading.outstanding.front().map(|oldest| oldest.entry.header.zxid);
        while let Some((zxid, connection)) = leading.asked.front().copied()
            && oldest.is_none_or(|oldest| zxid < oldest)
        {
            leading.asked.pop_front();
            say.push(Say::Learner { connection, errand: Errand::Synced });
        }
    }

    fn answer_synced(&mut self, say: &mut Vec<Say>) {
        while let Some((zxid, link)) = self.server.synced.front().copied()
            && zxid <= self.server.shown
        {
            // What was asked before it is answered first: always so, unless a defect is planted.
            let oldest = self.server.conns.get(&link).and_then(|conn| conn.queue.front());
            if matches!(oldest, Some(Waiting::Write { sync: false, .. })) {
                return;
            }
            self.server.synced.pop_front();
            self.answer_front(link, Ok(Response::Empty), say);
        }
    }

    /// The signs of life since the last time, to go with an answer to the leader's ping.
    pub(crate) fn touches(&mut self, now: Instant) -> Option<Errand> {
        let server = &mut self.server;
        let since = server.touched_at;
        if server.leading.is_some() || now.saturating_since(since) < TICK / 4 {
            return None;
        }
        server.touched_at = now;
        let mut touches: Vec<_> = std::mem::take(&mut server.touched).into_iter().collect();
        for (session, link) in &server.speaking {
            let heard = server.conns.get(link).filter(|conn| conn.heard >= since);
            touches.extend(heard.map(|conn| (*session, conn.timeout_ms)));
        }
        Some(Errand::Touches(touches))
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

    /// What comes next in the history is applied, and whoever waits for it is told.
    pub(crate) fn deliver(
        &mut self,
        me: PeerId,
        txn: &Txn,
        say: &mut Vec<Say>,
    ) -> Result<(), Violation> {
        let zxid = txn.zxid;
        let (entry, applied) = self.tree.apply(me, txn)?;
        self.fire(zxid, &applied.changes, say);
        self.server.shown = self.server.shown.max(zxid);
        let mut origin = Origin::Elsewhere;
        if let Some(leading) = &mut self.server.leading {
            leading.prep.applied(zxid);
            while let Some(one) = leading.outstanding.front()
                && one.entry.header.zxid <= zxid
            {
                origin = one.origin;
                leading.outstanding.pop_front();
            }
        }
        let (session, cxid) = (entry.header.session, entry.header.cxid);
        if origin == Origin::Elsewhere
            && let Some(waiting) = self.server.forwarded.get_mut(&session)
            && waiting.front().is_some_and(|(waits, _)| *waits == cxid)
            && let Some((_, waits)) = waiting.pop_front()
        {
            origin = waits;
        }
        let ended = matches!(entry.txn, jute::Txn::CloseSession(_));
        let spoke = if ended { self.server.speaking.get(&session).copied() } else { None };
        if ended && let Some(leading) = &mut self.server.leading {
            leading.sessions.forget(session);
        }
        match origin {
            Origin::Client(link) => {
                let moved = applied.response == Err(ErrorCode::SessionMoved);
                self.answer(link, applied.response, say);
                if ended || moved {
                    self.hang_up(link, say);
                }
            }
            Origin::Connect(link) => {
                if let Some(conn) = self.server.conns.get_mut(&link) {
                    conn.session = session;
                    self.server.speaking.insert(session, link);
                    say.push(Say::Client { link, answer: Answer::Connected(session) });
                }
            }
            Origin::Elsewhere => {
                if let Some(link) = spoke {
                    self.hang_up(link, say);
                }
            }
        }
        for (link, answer) in std::mem::take(&mut self.server.held) {
            say.push(Say::Client { link, answer });
        }
        self.answer_synced(say);
        self.answer_asked(say);
        Ok(())
    }

    fn fire(&mut self, zxid: Zxid, changes: &[znodes::Change], say: &mut Vec<Say>) {
        let mut fired = Vec::new();
        self.server.watches.fire(changes, &mut fired);
        for one in fired {
            for (at, watcher) in one.watchers.iter().enumerate() {
                let link = u64::from(watcher.0);
                if !self.server.conns.contains_key(&link)
                    || self.planted.has(Defect::WatchIsLost) && at > 0
                {
                    continue;
                }
                let (kind, path) = (one.kind, one.path.clone());
                let answer = Answer::Event { kind, path, zxid: Some(zxid) };
                if self.planted.has(Defect::WatchFiresTwice) && zxid.counter().is_multiple_of(8) {
                    say.push(Say::Client { link, answer: answer.clone() });
                }
                if self.planted.has(Defect::WatchIsLate) {
                    self.server.held.push((link, answer));
                } else {
                    say.push(Say::Client { link, answer });
                }
            }
        }
    }

    /// Answers a write, and before it the syncs that were asked before it: all that they wait for is applied.
    fn answer(&mut self, link: u64, result: Result<Response, ErrorCode>, say: &mut Vec<Say>) {
        while let Some(conn) = self.server.conns.get(&link)
            && let Some(Waiting::Write { sync: true, .. }) = conn.queue.front()
            && !self.planted.has(Defect::WriteOvertakesSync)
        {
            let mut synced = self.server.synced.iter_mut().map(|(_, link)| link);
            let mut asked = self.server.syncs.iter_mut();
            let mine = synced.find(|one| **one == link).or_else(|| asked.find(|one| **one == link));
            if let Some(answered) = mine {
                *answered = NOBODY;
            }
            self.answer_front(link, Ok(Response::Empty), say);
        }
        self.answer_front(link, result, say);
    }

    /// Answers what the connection waits for, and the reads behind it.
    fn answer_front(&mut self, link: u64, result: Result<Response, ErrorCode>, say: &mut Vec<Say>) {
        let zxid = self.server.shown;
        let Some(conn) = self.server.conns.get_mut(&link) else { return };
        let Some(Waiting::Write { xid, .. }) = conn.queue.pop_front() else { return };
        say.push(Say::Client { link, answer: Answer::Reply { xid, zxid, result } });
        while let Some(conn) = self.server.conns.get_mut(&link)
            && matches!(conn.queue.front(), Some(Waiting::Read { .. }))
            && let Some(Waiting::Read { xid, request }) = conn.queue.pop_front()
        {
            self.read(link, xid, &request, say);
        }
    }

    fn read(&mut self, link: u64, xid: i32, request: &Request, say: &mut Vec<Say>) {
        let zxid = self.server.shown;
        let forgets = self.planted.has(Defect::MissedIsForgotten);
        let watches = &mut self.server.watches;
        let result = match request {
            Request::Sync { .. } => Ok(Response::Empty),
            Request::SetWatches(wanted) | Request::SetWatches2(wanted) => {
                let missed = watches.set_again(watcher(link), &self.tree.state, wanted);
                for (kind, path) in missed.into_iter().filter(|_| !forgets) {
                    let answer = Answer::Event { kind, path, zxid: None };
                    say.push(Say::Client { link, answer });
                }
                Ok(Response::Empty)
            }
            Request::AddWatch { path, mode } => {
                watches.add(watcher(link), path, *mode);
                Ok(Response::Number(0))
            }
            request => read(&self.tree.state, watches, link, request),
        };
        say.push(Say::Client { link, answer: Answer::Reply { xid, zxid, result } });
    }

    /// Proposals that nobody logged are taken back, and whoever waits is told; `true`: a learner waits, and is to come again.
    pub(crate) fn withdraw(&mut self, now: Instant, first: Zxid, say: &mut Vec<Say>) -> bool {
        let Some(leading) = &mut self.server.leading else { return false };
        let before = |waits: &Outstanding| waits.entry.header.zxid < first;
        let from = leading.outstanding.partition_point(before);
        let withdrawn = leading.outstanding.split_off(from);
        leading.prep.withdraw(first);
        for Outstanding { entry, .. } in &withdrawn {
            let session = entry.header.session;
            match entry.txn {
                jute::Txn::CreateSession { .. } => leading.sessions.forget(session),
                jute::Txn::CloseSession(_) => {
                    let granted = self.tree.state.session_timeout(session).unwrap_or(0);
                    leading.sessions.reopen(session, timeout(granted), now);
                }
                _ => {}
            }
        }
        let mut awaited = false;
        for Outstanding { origin, entry } in withdrawn {
            match origin {
                Origin::Client(link) => {
                    self.answer(link, Err(ErrorCode::SystemError), say);
                }
                Origin::Connect(link) => self.hang_up(link, say),
                Origin::Elsewhere => awaited |= entry.header.session != SessionId(0),
            }
        }
        self.answer_asked(say);
        awaited
    }
}

/// Answers from the tree, and sets the watch that goes with it.
fn read(
    state: &State,
    watches: &mut Watches,
    link: u64,
    request: &Request,
) -> Result<Response, ErrorCode> {
    let mut out = BytesMut::new();
    let reading = Reading { session: SessionId(0), auth: &[], longest: usize::MAX };
    let mut watch = |kind, place: znodes::Place<'_>| watches.watch(watcher(link), kind, place);
    reads::answer(state, request, reading, &mut watch, &mut out)?;
    let bytes = out.freeze();
    Response::decode(request.op(), &mut Reader::new(&bytes)).map_err(|_| ErrorCode::SystemError)
}

fn watcher(link: u64) -> Watcher {
    Watcher(u32::try_from(link).unwrap_or(u32::MAX))
}

fn timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The leader's own connections; those between members count from 1.
const HERE: Speaker = Speaker(0);
/// Instead of a link: connections count from 1.
const NOBODY: u64 = 0;
/// What deadlines of sessions are rounded up to.
const TICK: Duration = Duration::from_secs(2);
