//! What goes through the leader: a learner's requests, sessions and syncs, what a leader makes of them, and what a follower
//! passes on between its observers and the leader.

use jute::{ErrorCode, Request, Response};
use types::{Instant, SessionId, Zxid};
use znodes::{Prep, Requester, Speaker, Turn};

use super::{Answer, Errand, Origin, Say, TICK, Waiting, timeout};
use crate::clock::Time;
use crate::defect::Defect;
use crate::host::Running;

/// Who waits for the leader's word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asker {
    /// On a link.
    Client(u64),
    /// On a connection: an observer of this follower's.
    Observer(u64),
    /// Who asked was answered already.
    Nobody,
}

impl Running {
    pub(super) fn forward(
        &mut self,
        session: SessionId,
        cxid: i32,
        request: Request,
        origin: Origin,
        say: &mut Vec<Say>,
    ) {
        match (&request, origin) {
            (Request::Sync { .. }, Origin::Client(link)) => {
                self.server.syncs.push_back(Asker::Client(link))
            }
            _ => {
                self.server.forwarded.entry(session).or_default().push_back((cxid, origin));
            }
        }
        say.push(Say::Leader(Errand::Request { session, cxid, request }));
    }

    pub(super) fn welcome_back(
        &mut self,
        link: u64,
        session: SessionId,
        valid: bool,
        say: &mut Vec<Say>,
    ) {
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
        let Some(leading) = &mut self.server.leading else {
            return self.pass_on(connection, errand, say);
        };
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
            Errand::Late { session, cxid } => {
                let Some(zxid) = self.zab.next_zxid() else { return };
                let turn = Turn { zxid, wall_ms: time.wall_ms, now: time.now };
                let speaker = Speaker(connection);
                let requester = Requester { session, cxid, auth: &[], speaker };
                let entry = Prep::refuse(turn, &requester, ErrorCode::SessionMoved);
                say.push(Say::Propose(leading.order(entry, Origin::Elsewhere)));
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

    /// An observer of this follower's said something: the leader hears of it, and who waits for the answer is noted.
    fn pass_on(&mut self, connection: u64, mut errand: Errand, say: &mut Vec<Say>) {
        let asker = Asker::Observer(connection);
        if let Errand::Request { session, cxid, request } = &errand
            && is_of_its_speaker(request)
            && self.server.came_back.get(session).is_some_and(|through| *through != asker)
        {
            // To the leader both who asked and who speaks are this member.
            errand = Errand::Late { session: *session, cxid: *cxid };
        }
        match errand {
            Errand::Request { request: Request::Sync { .. }, .. } => {
                self.server.syncs.push_back(asker);
            }
            Errand::Revalidate { session, .. } => {
                self.server.returning.entry(session).or_default().push_back(asker);
            }
            Errand::Touches(touches) => return self.server.touched.extend(touches),
            _ => {}
        }
        say.push(Say::Leader(errand));
    }

    /// The leader said something.
    pub(crate) fn on_errand_down(&mut self, errand: Errand, say: &mut Vec<Say>) {
        match errand {
            Errand::Revalidated { session, valid } => {
                let Some(waiting) = self.server.returning.get_mut(&session) else { return };
                let asker = waiting.pop_front();
                if valid && let Some(asker) = asker {
                    self.server.came_back.insert(session, asker);
                }
                match asker {
                    Some(Asker::Client(link)) => self.welcome_back(link, session, valid, say),
                    Some(Asker::Observer(connection)) => {
                        if valid && let Some(here) = self.server.speaking.remove(&session) {
                            self.hang_up(here, say);
                        }
                        say.push(Say::Learner { connection, errand });
                    }
                    Some(Asker::Nobody) | None => {}
                }
            }
            Errand::Synced => {
                let Some(asker) = self.server.syncs.pop_front() else { return };
                // What is committed may still be on its way to this member's disk.
                let upto = match self.planted.has(Defect::SyncIsNotApplied) {
                    true => Zxid::ZERO,
                    false => self.zab.committed().unwrap_or_default(),
                };
                self.server.synced.push_back((upto, asker));
                self.answer_synced(say);
            }
            _ => {}
        }
    }

    pub(super) fn answer_asked(&mut self, say: &mut Vec<Say>) {
        let Some(leading) = &mut self.server.leading else { return };
        let oldest = leading.outstanding.front().map(|oldest| oldest.entry.header.zxid);
        while let Some((zxid, connection)) = leading.asked.front().copied()
            && oldest.is_none_or(|oldest| zxid < oldest)
        {
            leading.asked.pop_front();
            say.push(Say::Learner { connection, errand: Errand::Synced });
        }
    }

    pub(super) fn answer_synced(&mut self, say: &mut Vec<Say>) {
        while let Some((zxid, asker)) = self.server.synced.front().copied()
            && zxid <= self.server.shown
        {
            // What was asked before it is answered first: always so, unless a defect is planted.
            if let Asker::Client(link) = asker
                && let Some(conn) = self.server.conns.get(&link)
                && let Some(Waiting::Write { sync: false, .. }) = conn.queue.front()
            {
                return;
            }
            self.server.synced.pop_front();
            match asker {
                Asker::Client(link) => self.answer_front(link, Ok(Response::Empty), say),
                Asker::Observer(connection) => {
                    say.push(Say::Learner { connection, errand: Errand::Synced });
                }
                Asker::Nobody => {}
            }
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
}

/// Whether only the one that a session speaks through may pass it on.
fn is_of_its_speaker(request: &Request) -> bool {
    let by_all = matches!(
        request,
        Request::Sync { .. } | Request::CreateSession { .. } | Request::CloseSession
    );
    !by_all
}
