//! What comes back to clients: answers in the order of their requests, and events before what shows them.

use bytes::BytesMut;
use jute::{ErrorCode, Reader, Request, Response};
use types::{Instant, PeerId, SessionId, Zxid};
use zab::Txn;
use znodes::reads::{self, Reading};
use znodes::{State, Watches};

use super::through::Asker;
use super::{Answer, Origin, Outstanding, Say, Waiting, timeout, watcher};
use crate::checkers::Violation;
use crate::defect::Defect;
use crate::host::Running;

impl Running {
    /// What comes next in the history is applied, and whoever waits for it is told.
    pub(crate) fn deliver(
        &mut self,
        me: PeerId,
        txn: &Txn,
        say: &mut Vec<Say>,
    ) -> Result<(), Violation> {
        let zxid = txn.zxid;
        let entry = self.tree.next(me, txn)?;
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
        let late = self.planted.has(Defect::ReadSeesLaterWrite);
        if let Origin::Client(link) = origin
            && !late
        {
            self.answer_syncs_before_write(link, say);
        }
        let applied = self.tree.apply_next(me, txn, &entry)?;
        self.fire(zxid, &applied.changes, say);
        self.server.shown = self.server.shown.max(zxid);
        let ended = matches!(entry.txn, jute::Txn::CloseSession(_));
        let spoke = if ended { self.server.speaking.get(&session).copied() } else { None };
        if ended && let Some(leading) = &mut self.server.leading {
            leading.sessions.forget(session);
        }
        match origin {
            Origin::Client(link) => {
                let moved = applied.response == Err(ErrorCode::SessionMoved);
                if late {
                    self.answer_syncs_before_write(link, say);
                }
                self.answer_front(link, applied.response, say);
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

    /// Answers the syncs that a client asked before its write that is applied next, and the reads behind them: all that they wait
    /// for is applied.
    fn answer_syncs_before_write(&mut self, link: u64, say: &mut Vec<Say>) {
        while let Some(conn) = self.server.conns.get(&link)
            && let Some(Waiting::Write { sync: true, .. }) = conn.queue.front()
            && !self.planted.has(Defect::WriteOvertakesSync)
        {
            let synced = self.server.synced.iter_mut().map(|(_, asker)| asker);
            let mut asked = synced.chain(&mut self.server.syncs);
            if let Some(answered) = asked.find(|one| **one == Asker::Client(link)) {
                *answered = Asker::Nobody;
            }
            self.answer_front(link, Ok(Response::Empty), say);
        }
    }

    /// Answers what the connection waits for, and the reads behind it.
    pub(super) fn answer_front(
        &mut self,
        link: u64,
        result: Result<Response, ErrorCode>,
        say: &mut Vec<Say>,
    ) {
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

    pub(super) fn read(&mut self, link: u64, xid: i32, request: &Request, say: &mut Vec<Say>) {
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
                    self.answer_syncs_before_write(link, say);
                    self.answer_front(link, Err(ErrorCode::SystemError), say);
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
