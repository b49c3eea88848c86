//! What follows from a commit: apply, notify, answer; and from a disk without room: take back, refuse.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jute::{Entry, ErrorCode, Perms, Response, Txn};
use storage::LogCommand;
use types::Zxid;
use znodes::access::permits;
use znodes::{Change, Prep, State};

use super::{Core, LocalReply, Origin, Outstanding, timeout};
use crate::conn::{Conn, Pending};
use crate::serve;
use crate::stats::Stats;

impl Core {
    /// Applies the oldest `count` outstanding transactions and answers whoever waits for them.
    pub(super) fn deliver(&mut self, count: usize) {
        let shared = Arc::clone(&self.shared);
        let mut tree = shared.tree_mut();
        for _ in 0..count {
            let Some(Outstanding { entry, origin }) = self.outstanding.pop_front() else { break };
            let zxid = entry.header.zxid;
            let applied = tree.apply(&entry.header, &entry.txn);
            self.prep.applied(zxid);
            self.fire(zxid, &applied.changes);
            // Not before its events are queued: a reply that carries this zxid comes behind them.
            shared.set_applied(zxid);
            shared.tell_followers(zxid, &applied.changes);
            self.answer(&tree, &entry, origin, applied.response);
        }
        self.shared.stats.outstanding.store(self.outstanding.len() as u64, Relaxed);
        let frozen = self.snapshots.count(count).then(|| tree.freeze());
        drop(tree);
        if let Some(frozen) = frozen {
            self.log.send(LogCommand::Roll);
            self.snapshots.begin(frozen, &self.shared);
        }
    }

    /// Queues the notifications of a transaction, before any reply that shows it.
    fn fire(&mut self, zxid: Zxid, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut watchers = self.shared.watchers();
        watchers.watches.fire(changes, &mut self.fired);
        for fired in self.fired.drain(..) {
            for watcher in &fired.watchers {
                let Some(conn) = watchers.conn(*watcher) else { continue };
                let auth = Arc::clone(&conn.lock().auth);
                if permits(&fired.acl, Perms::READ, &auth) {
                    conn.notify(fired.kind, &fired.path, zxid);
                    Stats::count(&self.shared.stats.sent);
                    self.to_wake.push(Arc::clone(conn));
                }
            }
        }
    }

    fn answer(
        &mut self,
        tree: &State,
        entry: &Entry,
        origin: Origin,
        response: Result<Response, ErrorCode>,
    ) {
        let zxid = entry.header.zxid;
        let session = entry.header.session;
        let ended = matches!(entry.txn, Txn::CloseSession(_));
        let speaking = ended.then(|| {
            self.sessions.forget(session);
            self.speaking.remove(&session)
        });
        match origin {
            Origin::Client(conn) => {
                self.answer_client(tree, &conn, zxid, &response);
                if ended || response == Err(ErrorCode::SessionMoved) {
                    conn.close(ended);
                }
            }
            Origin::Connect { conn, read_only } => {
                self.speaking.insert(session, Arc::clone(&conn));
                self.welcome(&conn, session, read_only);
            }
            // Nobody waits any more when the caller gave up.
            Origin::Local(reply) => drop(reply.send(LocalReply::Done { zxid, result: response })),
            Origin::Expiry => {
                tracing::info!(%session, "session expired");
                Stats::count(&self.shared.stats.sessions_expired);
                if let Some(conn) = speaking.flatten() {
                    conn.close(false);
                }
            }
        }
    }

    fn answer_client(
        &mut self,
        tree: &State,
        conn: &Arc<Conn>,
        zxid: Zxid,
        response: &Result<Response, ErrorCode>,
    ) {
        let mut inner = conn.lock();
        // The queue is empty when the connection has ended meanwhile.
        let Some(Pending::Write { xid, since, .. }) = inner.pop() else { return };
        inner.put_reply(xid, zxid, response.as_ref().map_err(|error| *error));
        self.shared.stats.answered_after(self.shared.now() - since);
        Stats::count(&self.shared.stats.sent);
        conn.sent.fetch_add(1, Relaxed);
        serve::what_waited(tree, &self.shared, conn, &mut inner);
        drop(inner);
        self.to_wake.push(Arc::clone(conn));
    }

    /// The disk is full and nothing from `first` on was written: those who wait are told.
    pub(super) fn on_withdrawn(&mut self, first: Zxid) {
        let from = self.outstanding.partition_point(|waits| waits.entry.header.zxid < first);
        let withdrawn = self.outstanding.split_off(from);
        self.prep = Prep::new(&self.shared.tree());
        for Outstanding { entry, origin } in withdrawn {
            let session = entry.header.session;
            if matches!(entry.txn, Txn::CloseSession(_) | Txn::CreateSession { .. }) {
                // One lives on until its end can be written, the other never began.
                self.sessions.forget(session);
                if let Some(ms) = self.shared.tree().session_timeout(session) {
                    self.sessions.track(session, timeout(ms), self.shared.now());
                }
            }
            self.refuse(origin);
        }
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
            Origin::Connect { conn, .. } => conn.close(false),
            Origin::Local(reply) => drop(reply.send(LocalReply::DiskFull)),
            Origin::Expiry => {}
        }
    }
}
