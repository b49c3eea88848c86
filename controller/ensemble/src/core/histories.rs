//! How a learner's history becomes its leader's.
//!
//! Lives here: where a history ends in the log, what is sent of it, and on the learner what is cut, or replaced by the
//! leader's state. Must not: connections (`peers`).

use std::sync::Arc;

use jute::learner::PacketType;
use storage::{History, LogCommand, SnapshotWriteError, SnapshotWriter};
use types::{PeerId, Zxid};
use zab::{Input, Located, Message, SyncPlan, SyncStart};
use znodes::{Frozen, Rules, State};

use super::reconfig::last_members;
use super::{Command, Core};
use crate::load::{Found, LoadError, load, words};
use crate::peers::{LinkId, Source, put_packet};
use crate::snapshots;

/// What a thread did for the core.
#[derive(Debug)]
pub(crate) enum Done {
    /// The end of a learner's history was looked for.
    Located { learner: PeerId, found: Located },
    /// The leader's state is on disk, beside what is there.
    Staged(Zxid, Result<(), SnapshotWriteError>),
    /// What is on disk was loaded anew, after it was cut to this zxid.
    Rebuilt { to: Zxid, found: Box<Result<Found, LoadError>> },
    /// The files were made whole and loaded, or something is missing yet, in words.
    Mended(Box<Result<Found, String>>),
}

impl Core {
    pub(super) fn on_snapshot(
        &mut self,
        link: LinkId,
        state: Box<State>,
        staged: Option<SnapshotWriter>,
    ) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let upstream = ensemble.upstream.as_ref().filter(|one| one.link.id == link);
        let Some(from) = upstream.map(|one| one.leader) else { return };
        let zxid = state.zxid();
        let last = last_members(&state);
        ensemble.received = Some((state, staged));
        self.on_history(last);
        self.drive(Input::Received { from, message: Message::Snap(zxid) });
    }

    /// Keeps what was applied for learners that lack it.
    pub(super) fn remember(&mut self, txn: &zab::Txn) {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.recent.push(txn.zxid, &txn.body);
        }
    }

    pub(super) fn locate(&mut self, learner: PeerId, last: Zxid) {
        // What others have flushed and this member has not is waited for later.
        let applied = self.shared.tree().zxid();
        let flushed = if self.flushed == Zxid::ZERO { applied } else { applied.min(self.flushed) };
        // The usual case when a leader was lost, which is not to wait for a disk.
        let here = last == applied;
        let Some(ensemble) = &self.ensemble else { return };
        if here || ensemble.recent.has(last) {
            self.shared.tell(Command::Done(Done::Located { learner, found: Located::Here }));
            return;
        }
        let most = if ensemble.is_kin(learner) { usize::MAX } else { MAX_DIFFERENCE };
        let dir = self.shared.log_dir.clone();
        let tell = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let found = locate(&dir, last, flushed, most).unwrap_or_else(|error| {
                tracing::warn!(error = words(&error), "the log cannot bring a learner in step");
                Located::Gone
            });
            tell.tell(Command::Done(Done::Located { learner, found }));
        });
    }

    pub(super) fn sync(&mut self, to: PeerId, plan: SyncPlan) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some(outbox) = ensemble.outbox(to).cloned() else { return };
        let SyncPlan { start, after, upto } = plan;
        let kin = ensemble.is_kin(to);
        tracing::info!(learner = %to, ?start, %after, %upto, "brought in step");
        let (kind, zxid) = match start {
            SyncStart::Diff => (PacketType::Diff, upto),
            SyncStart::Trunc(zxid) => (PacketType::Trunc, zxid),
            SyncStart::Snap(zxid) => (PacketType::Snap, zxid),
        };
        self.note_learner(matches!(start, SyncStart::Snap(_)));
        let Some(ensemble) = &mut self.ensemble else { return };
        outbox.put(|out| put_packet(out, kind, zxid, None));
        if matches!(start, SyncStart::Snap(_)) {
            let frozen = self.shared.tree().freeze();
            outbox.splice(Source::Snapshot(Box::new(frozen)));
        } else if after < upto && ensemble.recent.has(after) {
            outbox.put(|out| {
                ensemble.recent.each(after, upto, |zxid, body| {
                    put_packet(out, PacketType::Proposal, zxid, Some(body));
                    if !kin || zxid == upto {
                        put_packet(out, PacketType::Commit, zxid, None);
                    }
                });
            });
        } else if after < upto {
            let dir = self.shared.log_dir.clone();
            outbox.splice(Source::Log { dir, after, to: upto, kin });
        }
        ensemble.to_flush.push(outbox);
        ensemble.note_told(to, upto);
    }

    pub(super) fn install(&mut self, zxid: Zxid) {
        self.leave_clients();
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some((state, staged)) = &mut ensemble.received else { return };
        let staged = staged.take();
        let (dir, frozen) = (snapshots::dir(&self.shared.config), state.freeze());
        if !self.note_filling() {
            return;
        }
        tracing::info!(%zxid, "the leader's state takes the place of this member's");
        let tell = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let staged = stage(&dir, &frozen, staged, tell.config.rules);
            tell.tell(Command::Done(Done::Staged(zxid, staged)));
        });
    }

    /// The log thread has put the leader's state in place.
    pub(super) fn on_installed(&mut self, zxid: Zxid) {
        let Some(ensemble) = &mut self.ensemble else { return };
        ensemble.recent.clear();
        if let Some((state, _)) = ensemble.received.take() {
            self.shared.replace(*state);
            self.shared.applied_anew(zxid);
        }
        self.mending.on_installed();
        self.drive(Input::Installed(zxid));
    }

    /// The log ends here; the tree is built from what is left.
    pub(super) fn on_truncated(&mut self, to: Zxid) {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.recent.clear();
        }
        // The old tree goes first: two of them may not fit.
        self.shared.replace(State::new(0));
        let (dirs, limit) = (Arc::clone(&self.dirs), self.shared.config.longest_record());
        let tell = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            // What is left of a log that was cut begins from a snapshot: `truncate` sees to it.
            let found = Box::new(load(&dirs, limit, false, tell.config.rules));
            tell.tell(Command::Done(Done::Rebuilt { to, found }));
        });
    }

    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Located { learner, found } => self.drive(Input::Located { learner, found }),
            Done::Mended(found) => self.on_mended(*found),
            Done::Staged(_, Ok(())) => self.tell_log(LogCommand::Install),
            Done::Staged(zxid, Err(error)) if error.is_full() => {
                let error = words(&error);
                tracing::error!(error, "no room for the leader's state; tried again in a while");
                if let Some(ensemble) = &mut self.ensemble {
                    ensemble.received = None;
                }
                self.drive(Input::InstallRefused(zxid));
                self.on_history_of_tree();
            }
            Done::Staged(_, Err(error)) => self.fail(&words(&error)),
            Done::Rebuilt { to, found } => match *found {
                Ok(found) if found.durable.last_logged == to => {
                    self.shared.replace(found.state);
                    self.shared.applied_anew(to);
                    self.drive(Input::Truncated(to));
                }
                Ok(found) => {
                    let last = found.durable.last_logged;
                    self.fail(&format!("the log was cut at {to} and ends at {last}"));
                }
                Err(error) => self.fail(&words(&error)),
            },
        }
    }
}

/// Writes the leader's state beside what is there, or finishes what was written as it came.
fn stage(
    dir: &std::path::Path,
    frozen: &Frozen,
    copy: Option<SnapshotWriter>,
    rules: Rules,
) -> Result<(), SnapshotWriteError> {
    let zxid = frozen.zxid();
    let writer = match copy {
        Some(copy) => copy,
        None => {
            let mut writer = SnapshotWriter::stage(dir, zxid)?;
            if let Err(source) = frozen.write(&mut writer) {
                return Err(writer.failed(source));
            }
            writer
        }
    };
    writer.finish(snapshots::digest(frozen, rules), zxid).map(drop)
}

/// Where a history that ends at `last` leaves this log, which is whole up to `upto` at least. A difference of more than
/// `most` bytes is none.
fn locate(
    dir: &std::path::Path,
    last: Zxid,
    upto: Zxid,
    most: usize,
) -> Result<Located, storage::TxnLogError> {
    let Some(there) = History::last_up_to(dir, last)? else { return Ok(Located::Gone) };
    let mut history = History::open(dir, there, upto)?;
    let mut bytes = 0;
    while let Some(entry) = history.next_entry()? {
        bytes += entry.body.len();
        if bytes > most {
            return Ok(Located::Gone);
        }
    }
    Ok(if there == last || last.counter() == 0 { Located::Here } else { Located::After(there) })
}

/// The longest difference that is sent as such to a learner of Apache's, in bytes; beyond it the whole state is: such a
/// learner keeps what it lacks in memory until it has all of it, and a state it reads as it comes.
const MAX_DIFFERENCE: usize = 128 << 20;
