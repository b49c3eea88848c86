//! A member that found its files damaged: it votes for nobody until they are whole, or a leader's.
//!
//! Lives here: the thread that asks the others, and how the protocol begins anew when it has. Must not: decide when
//! the others are asked, when a leader is to fill the files, or when what is there counts again (`zab::Mending`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use jute::ServerRole;
use storage::{Epochs, LogCommand, Mended};
use tokio::task::JoinHandle;
use types::{Epoch, Instant};
use zab::{Durable, Input, Mending};

use super::histories::Done;
use super::{Command, Core};
use crate::load::{Found, load, words};
use crate::mending::Asker;

/// A thread that asks the others.
#[derive(Debug)]
pub(super) struct Asking {
    job: JoinHandle<()>,
    stop: Arc<AtomicBool>,
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
        self.mending = Mending::Asks;
        self.asking = Some(Asking { job, stop });
    }

    pub(super) fn on_mended(&mut self, found: Result<Found, String>) {
        self.asking = None;
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
        self.on_history_of_tree();
        self.zab = self.protocol(found.durable);
        match storage::is_marked(self.dirs.snapshots()) {
            Ok(marked) => self.begin_filled(marked),
            Err(error) => return self.fail(&words(&error)),
        }
        self.drive(Input::Tick);
    }

    /// What the files hold came from a leader, and not all that this member may have acknowledged.
    pub(crate) fn begin_filled(&mut self, marked: bool) {
        let filling = "its files are a leader's: it votes again once it is in step".to_owned();
        self.mending = Mending::of_whole(marked, &mut self.zab);
        self.shared.standing.update(|view| view.mending = marked.then_some(filling));
    }

    fn wait_for_leader(&mut self) {
        // What an observer has promised nobody counts on.
        let nothing = self.only_observes().then_some(Epoch(0));
        let accepted = Epochs::promised(&self.dirs).ok().or(nothing);
        if let Some(durable) = self.mending.on_stuck(accepted, self.shared.now()) {
            self.zab = self.protocol(durable);
            self.zab.abstain();
            self.drive(Input::Tick);
        }
    }

    /// Whether this member is an observer, and nobody can have made it a voter.
    fn only_observes(&self) -> bool {
        let config = &self.shared.config;
        let servers = config.ensemble.as_ref().map(|ensemble| &ensemble.members.servers);
        let server = servers.and_then(|servers| servers.get(&config.myid));
        server.is_some_and(|server| server.role == ServerRole::Observer) && !config.rules.reconfig
    }

    pub(super) fn maybe_mend_again(&mut self, now: Instant) {
        if self.mending.is_to_ask(&self.zab, now) {
            let why = self.shared.standing.view().mending.unwrap_or_default();
            self.begin_mending(why);
        }
    }

    /// A leader's state is about to take the place of damaged files. `false`: the disk failed.
    pub(super) fn note_filling(&mut self) -> bool {
        if !self.mending.is_damaged() {
            return true;
        }
        let marked = storage::mark(self.dirs.snapshots());
        if let Err(error) = &marked {
            self.fail(&words(error));
        }
        marked.is_ok()
    }

    pub(super) fn maybe_count_again(&mut self) {
        if !self.mending.counts(self.flushed) {
            return;
        }
        if let Err(error) = storage::unmark(self.dirs.snapshots()) {
            return self.fail(&words(&error));
        }
        tracing::warn!("in step with the leader: this member votes again");
        self.mending = Mending::Whole;
        self.shared.standing.update(|view| view.mending = None);
        self.drive(Input::Counts);
    }

    /// The member ends; the directories are to be free then.
    pub(super) async fn end_mending(&mut self) {
        if let Some(Asking { job, stop }) = self.asking.take() {
            stop.store(true, Relaxed);
            // Its error is that it panicked, which was told.
            let _ = job.await;
        }
    }
}

/// How long a peer may take to be connected to.
const CONNECT: Duration = Duration::from_secs(1);
