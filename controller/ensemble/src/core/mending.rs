//! A member that found its files damaged: it votes for nobody until they are whole, or a leader's.
//!
//! Lives here: when the files are mended from those of others, when a leader is to fill them anew, and when what
//! is there counts again. First the files of the others are asked, which need no leader. What they cannot give
//! now, a leader that a quorum of others follows has; its state takes the place of all that is here, and counts
//! once all that it had proposed by then is on the disk: some of that this member may have acknowledged before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use jute::ServerRole;
use storage::{EpochFile, Epochs, LogCommand, Mended};
use tokio::task::JoinHandle;
use types::{Epoch, Instant, Zxid};
use zab::{Durable, Input};

use super::histories::Done;
use super::reconfig::last_members;
use super::{Command, Core};
use crate::load::{Found, load, words};
use crate::mending::Asker;

/// How far it is.
#[derive(Debug)]
pub(super) enum Mending {
    /// A thread asks the others; the protocol stands still.
    Files { job: JoinHandle<()>, stop: Arc<AtomicBool> },
    /// Not even what was promised is known: nothing is done until then.
    Waits { again: Instant },
    /// A leader may fill the files; if there is none by then, the others are asked again.
    Damaged { again: Instant },
    /// The files are whole and a leader's. They count from this transaction on, once that is known.
    Filled { upto: Option<Zxid> },
}

impl Core {
    /// Asks the others, in a thread of its own.
    pub(crate) fn begin_mending(&mut self, why: String) {
        let Some(ensemble) = &self.ensemble else { return self.fail(&why) };
        let config = &self.shared.config;
        let (me, limit) = (config.myid, config.longest_record());
        let connect =
            config.ensemble.as_ref().map_or(CONNECT, |one| one.connect_timeout.min(CONNECT));
        let stop = Arc::new(AtomicBool::new(false));
        let mut others = Asker::of(
            ensemble.configs.voters().filter(|(peer, _)| *peer != me),
            limit,
            connect,
            ensemble.peers.security().clone(),
            Arc::clone(&stop),
        );
        self.zab = self.protocol(Durable::default());
        self.shared.standing.update(|view| view.mending = Some(why));
        let (dirs, tell) = (Arc::clone(&self.dirs), Arc::clone(&self.shared));
        let (settles, rules) = (config.force_sync, config.rules);
        let job = tokio::task::spawn_blocking(move || {
            let mended = storage::mend(dirs.snapshots(), dirs.logs(), &mut others);
            let found = match mended {
                Ok(Mended::Whole { taken }) => {
                    tracing::warn!(taken, "the damaged files are whole again");
                    load(&dirs, limit, false, rules)
                        .and_then(|found| {
                            if settles {
                                storage::settle(&dirs, found.durable.last_logged)?;
                            }
                            Ok(found)
                        })
                        .map_err(|error| words(&error))
                }
                Ok(Mended::Stuck(why)) => Err(why),
                Err(error) => Err(words(&error)),
            };
            drop(dirs);
            tell.tell(Command::Done(Done::Mended(Box::new(found))));
        });
        self.mending = Some(Mending::Files { job, stop });
    }

    pub(super) fn on_mended(&mut self, found: Result<Found, String>) {
        match found {
            Ok(found) => self.go_on_with(found),
            Err(why) => {
                // It is asked for again and again, and told once.
                if self.shared.standing.view().mending.as_ref() != Some(&why) {
                    tracing::error!(why, "this member does not vote: its files are damaged");
                }
                self.shared.standing.update(|view| view.mending = Some(why));
                self.wait_for_leader();
            }
        }
    }

    /// The files are whole: this member is what it was.
    fn go_on_with(&mut self, found: Found) {
        let last = found.durable.last_logged;
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.recent.clear();
        }
        self.shared.replace(found.state);
        self.shared.applied_anew(last);
        self.tell_log(LogCommand::GoOnBehind(last));
        let last = last_members(&self.shared.tree());
        self.on_history(last);
        self.zab = self.protocol(found.durable);
        self.mending = None;
        match storage::is_marked(self.dirs.snapshots()) {
            Ok(marked) => self.begin_filled(marked),
            Err(error) => return self.fail(&words(&error)),
        }
        self.drive(Input::Tick);
    }

    /// What the files hold came from a leader, and not all that this member may have acknowledged.
    pub(crate) fn begin_filled(&mut self, marked: bool) {
        let filling = "its files are a leader's: it votes again once it is in step".to_owned();
        if marked {
            self.mending = Some(Mending::Filled { upto: None });
            self.zab.abstain();
        }
        self.shared.standing.update(|view| view.mending = marked.then_some(filling));
    }

    fn wait_for_leader(&mut self) {
        let again = self.shared.now() + AGAIN;
        let accepted = Epochs::check(&self.dirs)
            .and_then(|()| EpochFile::Accepted.read(self.dirs.snapshots(), Epoch(0)));
        let accepted = match accepted {
            Ok(accepted) => accepted,
            // What it has promised nobody counts on.
            Err(_) if self.only_observes() => None,
            // A leader of an epoch before the one that was promised must be known for what it is.
            Err(_) => {
                self.mending = Some(Mending::Waits { again });
                return;
            }
        };
        // A place that no log has: whoever leads sends its whole state.
        let durable = Durable {
            accepted: accepted.unwrap_or_default(),
            current: Epoch(0),
            last_logged: Zxid::new(Epoch(0), 1),
        };
        self.zab = self.protocol(durable);
        self.zab.abstain();
        self.mending = Some(Mending::Damaged { again });
        self.drive(Input::Tick);
    }

    /// Whether this member is an observer, and nobody can have made it a voter.
    fn only_observes(&self) -> bool {
        let config = &self.shared.config;
        let servers = config.ensemble.as_ref().map(|ensemble| &ensemble.members.servers);
        let server = servers.and_then(|servers| servers.get(&config.myid));
        server.is_some_and(|server| server.role == ServerRole::Observer) && !config.rules.reconfig
    }

    /// Whether the protocol must not be stepped: what it would begin with is not known.
    pub(super) fn stands_still(&self) -> bool {
        matches!(self.mending, Some(Mending::Files { .. } | Mending::Waits { .. }))
    }

    /// Whether the files are damaged, so that nothing may be added to them.
    pub(super) fn is_damaged(&self) -> bool {
        matches!(self.mending, Some(Mending::Damaged { .. }))
    }

    /// When [`Self::maybe_mend_again`] is due.
    pub(super) fn mend_again_at(&self) -> Option<Instant> {
        match self.mending {
            Some(Mending::Waits { again } | Mending::Damaged { again }) => Some(again),
            _ => None,
        }
    }

    pub(super) fn maybe_mend_again(&mut self, now: Instant) {
        if self.mend_again_at().is_none_or(|again| now < again) {
            return;
        }
        if self.stands_still() || self.zab.is_electing() {
            let why = self.shared.standing.view().mending.unwrap_or_default();
            self.begin_mending(why);
        } else {
            // It is on its way to a leader.
            self.mending = Some(Mending::Damaged { again: now + AGAIN });
        }
    }

    /// A leader's state is about to take the place of damaged files. `false`: the disk failed.
    pub(super) fn note_filling(&mut self) -> bool {
        if !self.is_damaged() {
            return true;
        }
        let marked = storage::mark(self.dirs.snapshots());
        if let Err(error) = &marked {
            self.fail(&words(error));
        }
        marked.is_ok()
    }

    pub(super) fn on_filled(&mut self) {
        if self.is_damaged() {
            self.mending = Some(Mending::Filled { upto: None });
        }
    }

    /// In step with a leader: all that it had proposed was given to the log.
    pub(super) fn note_in_step(&mut self) {
        if let Some(Mending::Filled { upto }) = &mut self.mending {
            *upto = Some(self.appended);
        }
        self.maybe_count_again();
    }

    /// The leader has gone: the next one's proposals are waited for.
    pub(super) fn note_out_of_step(&mut self) {
        if let Some(Mending::Filled { upto }) = &mut self.mending {
            *upto = None;
        }
    }

    pub(super) fn maybe_count_again(&mut self) {
        let Some(Mending::Filled { upto: Some(upto) }) = self.mending else { return };
        if self.flushed < upto {
            return;
        }
        if let Err(error) = storage::unmark(self.dirs.snapshots()) {
            return self.fail(&words(&error));
        }
        tracing::warn!("in step with the leader: this member votes again");
        self.mending = None;
        self.shared.standing.update(|view| view.mending = None);
        self.drive(Input::Counts);
    }

    /// The member ends; the directories are to be free then.
    pub(super) async fn end_mending(&mut self) {
        if let Some(Mending::Files { job, stop }) = self.mending.take() {
            stop.store(true, Relaxed);
            // Its error is that it panicked, which was told.
            let _ = job.await;
        }
    }
}

/// How long a leader is waited for before the others are asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a peer may take to be connected to.
const CONNECT: Duration = Duration::from_secs(1);
