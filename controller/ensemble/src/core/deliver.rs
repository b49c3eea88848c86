//! What follows from a commit: apply, notify, answer; and from a disk without room: take back, refuse.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jute::{Entry, ErrorCode, EventType, OpCode, Perms, Response, Text, Txn};
use storage::LogCommand;
use types::{SessionId, Zxid};
use znodes::access::permits;
use znodes::{Change, State};

use super::{Core, LocalReply, Origin, Outstanding, audit, timeout};
use crate::conn::{Answered, Conn};
use crate::metrics::{Stats, micros};
use crate::serve;

impl Core {
    /// Applies what was committed and answers whoever waits for it.
    pub(super) fn deliver(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut tree = shared.tree_mut();
        let mut changes = std::mem::take(&mut self.changes);
        let mut delivered = std::mem::take(&mut self.delivered);
        let count = delivered.len();
        let bytes = delivered.iter().map(|txn| txn.body.len()).sum();
        let mut last = None;
        // What a start finds in its log is no news.
        let serves = shared.standing.role().serves();
        // Nobody is added while the tree is locked, but by the answers to what waited behind a write.
        self.is_anybody_told = shared.is_anybody_told();
        for txn in delivered.drain(..) {
            self.remember(&txn);
            let prepared = self.next_outstanding(txn.zxid);
            let is_prepared = prepared.is_some();
            let Some(mut found) = prepared.or_else(|| self.decode(txn)) else { break };
            if matches!(found.origin, Origin::Elsewhere)
                && let Some((origin, audited)) = self.claim(&found.entry)
            {
                (found.origin, found.audited) = (origin, audited);
            }
            let Outstanding { entry, origin, since, audited } = found;
            let zxid = entry.header.zxid;
            if let Origin::Client(conn) = &origin {
                self.answer_syncs_before_write(&tree, conn);
            }
            changes.begin(self.is_anybody_told);
            let response = match is_prepared {
                true => tree.apply_prepared(&entry, &mut changes),
                false => tree.apply_into(&entry.header, &entry.txn, &mut changes),
            };
            last = Some(zxid);
            if serves {
                self.note_applied(&entry, since, response.is_ok());
            }
            self.compare(&tree, &entry, is_prepared);
            self.fire(zxid, changes.list());
            // Not before its events are queued: a reply that carries this zxid comes behind them.
            shared.set_applied(zxid);
            if !shared.config.rules.no_digests {
                shared.keep_digest(zxid, tree.digest().tree);
            }
            shared.tell_followers(zxid, changes.list());
            if self.shared.config.audit {
                audit::tell_ephemerals(entry.header.session, &entry.txn);
            }
            if let (Some(audited), Origin::Client(conn)) = (audited, &origin) {
                audited.tell(conn, entry.header.session, &entry.txn, response.is_err());
            }
            self.answer(&tree, &entry, origin, response);
            self.answer_synced(&tree);
        }
        self.tally.settle(&shared.stats);
        changes.begin(false);
        self.changes = changes;
        if let Some(last) = last {
            self.prep.applied(last);
        }
        self.delivered = delivered;
        self.count_outstanding();
        let frozen = self.snapshots.count(count, bytes).then(|| tree.freeze());
        drop(tree);
        self.maybe_quiet();
        if let Some(frozen) = frozen {
            self.tell_log(LogCommand::Roll);
            self.snapshots.begin(frozen, &self.shared);
        }
    }

    /// What is known of a committed transaction that was prepared here: it is the oldest that is outstanding.
    fn next_outstanding(&mut self, zxid: Zxid) -> Option<Outstanding> {
        while self.outstanding.front()?.entry.header.zxid < zxid {
            self.outstanding.pop_front();
        }
        let is_it = self.outstanding.front()?.entry.header.zxid == zxid;
        if is_it { self.outstanding.pop_front() } else { None }
    }

    /// One that came before this member's role, or from its leader.
    fn decode(&mut self, txn: zab::Txn) -> Option<Outstanding> {
        match Entry::decode(&txn.body) {
            Ok(entry) => Some(Outstanding {
                entry,
                origin: Origin::Elsewhere,
                since: self.now,
                audited: None,
            }),
            Err(error) => {
                let zxid = txn.zxid;
                self.fail(&format!("the log holds {zxid}, which is no transaction: {error}"));
                None
            }
        }
    }

    /// Whether the tree is what the leader said it would be.
    fn compare(&self, tree: &State, entry: &Entry, is_prepared: bool) {
        // What a leader of Apache's sends first may be of several moments.
        let settled =
            is_prepared || self.ensemble.is_some() && self.shared.standing.role().serves();
        if settled && entry.digest.is_some_and(|digest| !tree.agrees_with(digest)) {
            let before = self.shared.stats.digest_mismatches.fetch_add(1, Relaxed);
            if before == 0 {
                let zxid = entry.header.zxid;
                tracing::error!(%zxid, "the tree's digest is not the one its leader recorded");
            }
        }
    }

    /// Applies what the log has and no role did, before the next election.
    pub(super) fn absorb(&mut self, txn: zab::Txn) {
        self.delivered.push(txn);
        self.deliver();
    }

    fn count_outstanding(&self) {
        let through = self.ensemble.as_ref().map_or(0, |ensemble| ensemble.forwarded_count);
        let outstanding = through.max(self.outstanding.len() as u64);
        self.shared.stats.outstanding.store(outstanding, Relaxed);
    }

    /// Queues the notifications of a transaction, before any reply that shows it.
    fn fire(&mut self, zxid: Zxid, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut watchers = self.shared.watchers();
        watchers.watches.fire(changes, &mut self.fired);
        for fired in self.fired.drain(..) {
            let told = match fired.kind {
                EventType::Created => &self.shared.stats.created_watches,
                EventType::Deleted => &self.shared.stats.deleted_watches,
                EventType::DataChanged => &self.shared.stats.changed_watches,
                _ => &self.shared.stats.children_watches,
            };
            told.record(fired.watchers.len() as u64);
            for watcher in &fired.watchers {
                let Some(conn) = watchers.conn(*watcher) else { continue };
                let auth = Arc::clone(&conn.lock().auth);
                if permits(&fired.acl, Perms::READ, &auth) {
                    conn.notify(fired.kind, &fired.path, zxid);
                    Stats::count(&self.shared.stats.sent);
                    if conn.is_to_be_woken() {
                        self.to_wake.push(Arc::clone(conn));
                    }
                }
            }
        }
    }

    fn answer(
        &mut self,
        tree: &State,
        entry: &Entry,
        origin: Origin,
        mut response: Result<Response, ErrorCode>,
    ) {
        let zxid = entry.header.zxid;
        let session = entry.header.session;
        let ended = matches!(entry.txn, Txn::CloseSession(_));
        let speaking = ended.then(|| {
            self.sessions.forget(session);
            if let Some(ensemble) = &mut self.ensemble {
                ensemble.came_back.remove(&session);
            }
            self.speaking.remove(&session)
        });
        match origin {
            Origin::Client(conn) => {
                self.say_local(session, &conn, &mut response);
                self.answer_client(tree, &conn, zxid, &response);
                if ended || response == Err(ErrorCode::SessionMoved) {
                    conn.send_away(ended);
                }
            }
            Origin::Connect { conn, read_only } => {
                self.speaking.insert(session, Arc::clone(&conn));
                self.welcome(&conn, session, read_only);
            }
            // Nobody waits any more when the caller gave up.
            Origin::Local(reply) => drop(reply.send(LocalReply::Done { zxid, result: response })),
            Origin::Reaper | Origin::Observer(_) => {}
            Origin::Ending(ending) => self.on_gone_before(*ending, &entry.txn, &response),
            Origin::Elsewhere => {
                if let Some(conn) = speaking.flatten() {
                    conn.send_away(false);
                }
            }
            Origin::Expiry => {
                tracing::info!(%session, "session expired");
                Stats::count(&self.shared.stats.sessions_expired);
                if let Some(conn) = speaking.flatten() {
                    conn.send_away(false);
                }
            }
        }
    }

    pub(super) fn answer_client(
        &mut self,
        tree: &State,
        conn: &Arc<Conn>,
        zxid: Zxid,
        response: &Result<Response, ErrorCode>,
    ) {
        let mut inner = conn.lock();
        // The queue is empty when the connection has ended meanwhile.
        let answered = inner.answer_write(zxid, response.as_ref().map_err(|error| *error));
        let Some(Answered { xid, op, since, length }) = answered else {
            if self.shared.config.request_throttle.stale_connection_check {
                Stats::count(&self.shared.stats.stale_replies);
            }
            return;
        };
        let now = self.now;
        self.shared.stats.responded(length);
        self.shared.stats.updates.record(micros(now.saturating_since(since)));
        self.shared.count_stale(op, now.saturating_since(since), inner.timeout_ms);
        inner.said.talk.answered(op, xid, zxid, now.saturating_since(since), now);
        inner.said.talk.sent += 1;
        // Nobody is told anything behind the end of its session.
        let is_held_up = op != OpCode::CloseSession && inner.is_held_up();
        if is_held_up {
            serve::what_waited(tree, &self.shared, conn, &mut inner);
        }
        if self.shared.throttle.is_on() && inner.is_stuffed() {
            inner.let_go();
        }
        drop(inner);
        if is_held_up {
            self.is_anybody_told = self.shared.is_anybody_told();
        }
        self.will_wake(conn);
        if self.locals.is_some() {
            self.maybe_close_local(tree, conn);
        }
    }

    /// Has the connection look at what it is to send, once all that is known now is queued.
    pub(super) fn will_wake(&mut self, conn: &Arc<Conn>) {
        if conn.is_to_be_woken() {
            self.to_wake.push(Arc::clone(conn));
        }
    }

    /// The disk is full and nothing from `first` on was written: those who wait are told.
    pub(super) fn on_withdrawn(&mut self, first: Zxid) {
        let from = self.outstanding.partition_point(|waits| waits.entry.header.zxid < first);
        let withdrawn = self.outstanding.split_off(from);
        self.prep.withdraw(first);
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.let_all_come();
            let newest = self.outstanding.back().map(|newest| newest.entry.header.zxid);
            ensemble.forget_behind(newest.unwrap_or_default());
        }
        for Outstanding { entry, origin, .. } in withdrawn {
            let session = entry.header.session;
            match entry.txn {
                // It never began.
                Txn::CreateSession { timeout_ms } => {
                    self.sessions.forget(session);
                    self.maybe_local_again(session, timeout_ms);
                }
                // It lives on until its end can be written.
                Txn::CloseSession(_) => {
                    let timeout = timeout(self.granted(session));
                    self.sessions.reopen(session, timeout, self.shared.now());
                }
                _ => {}
            }
            if matches!(origin, Origin::Elsewhere)
                && session != SessionId(0)
                && let Some(ensemble) = &mut self.ensemble
            {
                ensemble.awaited = true;
            }
            self.refuse(origin);
        }
        self.maybe_quiet();
    }

    /// The timeout of a session, in milliseconds: from the table, or on its way there.
    pub(super) fn granted(&self, session: SessionId) -> i32 {
        let coming = || {
            let of_it = self.outstanding.iter().filter(|one| one.entry.header.session == session);
            of_it.rev().find_map(|one| match one.entry.txn {
                Txn::CreateSession { timeout_ms } => Some(timeout_ms),
                _ => None,
            })
        };
        self.shared.tree().session_timeout(session).or_else(coming).unwrap_or(0)
    }

    /// Tells whoever waits that there is no room.
    pub(super) fn refuse(&mut self, origin: Origin) {
        match origin {
            Origin::Client(conn) => {
                let shared = Arc::clone(&self.shared);
                let tree = shared.tree();
                let zxid = shared.applied();
                self.answer_client(&tree, &conn, zxid, &Err(ErrorCode::SystemError));
            }
            Origin::Connect { conn, .. } => conn.send_away(false),
            Origin::Local(reply) => drop(reply.send(LocalReply::DiskFull)),
            Origin::Ending(ending) => self.refuse_ending(*ending),
            Origin::Expiry | Origin::Reaper | Origin::Observer(_) | Origin::Elsewhere => {}
        }
    }

    /// A sync on a member that leads, or alone: all that was committed before it is applied.
    pub(super) fn answer_sync(&mut self, origin: Origin, path: Text) {
        if let Origin::Client(conn) = origin {
            let shared = Arc::clone(&self.shared);
            let (tree, zxid) = (shared.tree(), shared.applied());
            self.answer_client(&tree, &conn, zxid, &Ok(Response::Path(path)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use jute::{Acl, CreateRequest, Request};
    use storage::{AppendError, EpochFile, LogEvent};
    use tokio::sync::oneshot;
    use types::{Epoch, SessionId};
    use zab::Input;

    use super::super::{Command, HERE};
    use super::*;
    use crate::MemberConfig;
    use crate::member::stopped_core;

    /// A core that leads epoch 1, whose log tells it nothing by itself.
    fn leading(dir: &std::path::Path) -> Core {
        let mut core = stopped_core(MemberConfig::in_process(dir)).expect("the directory is new");
        core.drive(Input::Tick);
        for file in [EpochFile::Accepted, EpochFile::Current] {
            core.on_log(LogEvent::EpochSaved(file, Epoch(1)));
        }
        core
    }

    fn create(core: &mut Core, path: &str) -> oneshot::Receiver<LocalReply> {
        let (reply, answer) = oneshot::channel();
        let (path, acl) = (path.into(), [Acl::OPEN].into());
        let create = CreateRequest { path, data: None, acl, flags: 0 };
        core.on(Command::Local { request: Request::Create(create), reply });
        answer
    }

    fn zxid(counter: u32) -> Zxid {
        Zxid::new(Epoch(1), counter)
    }

    fn full(core: &mut Core, first: Zxid) {
        let source = io::ErrorKind::StorageFull.into();
        let error = AppendError::NoSpace { dir: "log".into(), source };
        core.on_log(LogEvent::Full { first, error });
    }

    #[tokio::test]
    async fn what_is_on_its_way_before_the_withdrawn_counts_for_what_comes_after() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut core = leading(dir.path());
        let mut kept = create(&mut core, "/a");
        let mut refused = create(&mut core, "/a/b");
        full(&mut core, zxid(2));
        assert!(matches!(refused.try_recv(), Ok(LocalReply::DiskFull)));
        core.on_log(LogEvent::HasRoom);
        let mut next = create(&mut core, "/a/b");
        let digest = core.outstanding.back().and_then(|one| one.entry.digest).expect("no refusal");
        core.on_log(LogEvent::Flushed(zxid(2), Duration::ZERO));
        for answer in [&mut kept, &mut next] {
            assert!(matches!(answer.try_recv(), Ok(LocalReply::Done { result: Ok(_), .. })));
        }
        assert!(core.shared.tree().agrees_with(digest));
    }

    #[tokio::test]
    async fn a_session_whose_end_was_withdrawn_goes_on_and_one_that_never_began_is_not_there() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut core = leading(dir.path());
        let propose = |core: &mut Core, session, request: &Request| {
            let (reply, _) = oneshot::channel();
            core.propose(SessionId(session), 0, &[], request, Origin::Local(reply));
        };
        propose(&mut core, 7, &Request::CreateSession { timeout_ms: 4000 });
        core.on_log(LogEvent::Flushed(zxid(1), Duration::ZERO));
        propose(&mut core, 7, &Request::CloseSession);
        propose(&mut core, 8, &Request::CreateSession { timeout_ms: 4000 });
        full(&mut core, zxid(2));
        assert_eq!(core.sessions.check(SessionId(7), HERE), Ok(()));
        assert!(core.sessions.next_expiry().is_some());
        assert_eq!(core.sessions.check(SessionId(8), HERE), Err(ErrorCode::SessionExpired));
    }
}
