//! Keeps one process as wished: starts it, starts it again when it ends, stops it when told.
//!
//! Lives here: the loop of one process. Must not: know what the process is for. Start at [`Supervised`].
//! Invariant: a process of a key is started only after the one before was seen to end.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::home::DataGuard;
use super::ports::{holder, is_free};
use super::process::{Ending, Process};
use super::record::{Record, Records};
use crate::platform::PartState;

/// What to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ProcessSpec {
    pub(crate) key: String,
    /// Found in its environment: see [`super::process::MARK`].
    pub(crate) mark: String,
    pub(crate) argv: Vec<OsString>,
    /// What the process reads at its start beyond its arguments, and when somebody asked for a restart:
    /// a change means a restart.
    pub(crate) also: String,
    pub(crate) log: PathBuf,
    /// The ports that must be free before the start, and whether the user declared them.
    pub(crate) ports: Vec<(u16, bool)>,
    /// Data without which it is not started, once it had some.
    pub(crate) data: Option<DataGuard>,
    /// Asks it to end so that it can be started again with nothing lost.
    pub(crate) restart_signal: Signal,
    /// The time between asking and killing.
    pub(crate) grace: Duration,
    /// Where the process writes, once it was asked, how many seconds it needs on top of that.
    pub(crate) needs: Option<PathBuf>,
}

impl ProcessSpec {
    /// Digest of all that a running process cannot take up.
    pub(crate) fn revision(&self) -> String {
        let mut digest = Sha256::new();
        for argument in &self.argv {
            digest.update(argument.as_encoded_bytes());
            digest.update([0]);
        }
        digest.update(self.also.as_bytes());
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is wished.
#[derive(Clone, Debug)]
enum Goal {
    Run(Arc<ProcessSpec>),
    /// End it and forget it.
    End,
    /// Leave it running and stop watching it.
    Leave,
}

/// What is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Known {
    pub(crate) pid: Option<i32>,
    pub(crate) restarts: i32,
    pub(crate) state: PartState,
}

/// One supervised process.
pub(crate) struct Supervised {
    goal: watch::Sender<Goal>,
    known: watch::Receiver<Known>,
    job: JoinHandle<()>,
}

impl Supervised {
    /// Starts to supervise; `found` is the process of an earlier controller. `notify` is called after
    /// each change of [`Known`], and after the end.
    pub(crate) fn start(
        spec: ProcessSpec,
        found: Option<(Process, Record)>,
        records: Records,
        notify: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (goal, wished) = watch::channel(Goal::Run(Arc::new(spec.clone())));
        let state = if found.is_some() { PartState::Running } else { PartState::Starting };
        let pid = found.as_ref().map(|(process, _)| process.identity.pid);
        let restarts = found.as_ref().map_or(0, |(_, record)| record.restarts);
        let (tell, known) = watch::channel(Known { pid, restarts, state });
        let keeper = Keeper { wished, tell, records, notify: Box::new(notify), restarts };
        let job = tokio::spawn(keeper.run(Arc::new(spec), found));
        Self { goal, known, job }
    }

    /// Changes the wish; the same one changes nothing.
    pub(crate) fn wish(&self, spec: ProcessSpec) {
        self.goal.send_if_modified(|goal| {
            let same = matches!(goal, Goal::Run(known) if **known == spec);
            if !same {
                *goal = Goal::Run(Arc::new(spec));
            }
            !same
        });
    }

    /// Asks it to end for good.
    pub(crate) fn end(&self) {
        self.goal.send_if_modified(|goal| {
            let news = !matches!(goal, Goal::End);
            *goal = Goal::End;
            news
        });
    }

    pub(crate) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Whether it is told to end and has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.job.is_finished()
    }

    /// Asks it to end and waits.
    pub(crate) async fn ended(self) {
        self.end();
        // A panic there was told already; there is nothing left to wait for.
        let _over = self.job.await;
    }

    /// Stops watching; the process runs on.
    pub(crate) async fn leave(self) {
        self.goal.send_replace(Goal::Leave);
        let _over = self.job.await;
    }
}

struct Keeper {
    wished: watch::Receiver<Goal>,
    tell: watch::Sender<Known>,
    records: Records,
    notify: Box<dyn Fn() + Send + Sync>,
    restarts: i32,
}

/// Why a process is no longer awaited.
enum Turn {
    Ended(Ending),
    Wished(Goal),
}

impl Keeper {
    async fn run(mut self, mut spec: Arc<ProcessSpec>, found: Option<(Process, Record)>) {
        let mut running = None;
        if let Some((process, record)) = found {
            if record.revision == spec.revision() {
                tracing::info!("{} adopted: process {}", spec.key, process.identity.pid);
                running = Some(process);
            } else {
                tracing::info!("{} has another configuration: starting it again", spec.key);
                self.stop(process, spec.restart_signal, &spec).await;
            }
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(mut process) = running.take() else {
                match self.begin(&spec) {
                    Ok(process) => running = Some(process),
                    Err(state) => {
                        self.told(None, state);
                        match self.pause(pause).await {
                            Some(Goal::Run(wish)) => (spec, pause) = (wish, FIRST_PAUSE),
                            Some(Goal::End) => return self.over(&spec),
                            Some(Goal::Leave) => return,
                            None => pause = (pause * 2).min(LONGEST_PAUSE),
                        }
                    }
                }
                continue;
            };
            self.told(Some(process.identity.pid), PartState::Running);
            let began = Instant::now();
            match self.await_turn(&mut process).await {
                Turn::Ended(ending) => {
                    if began.elapsed() > STEADY {
                        pause = FIRST_PAUSE;
                    }
                    let why = ending.words(&spec.log);
                    tracing::warn!("{} {why}", spec.key);
                    self.restarts = self.restarts.saturating_add(1);
                    self.told(None, PartState::Failed { why });
                    match self.pause(pause).await {
                        Some(Goal::Run(wish)) => (spec, pause) = (wish, FIRST_PAUSE),
                        Some(Goal::End) => return self.over(&spec),
                        Some(Goal::Leave) => return,
                        None => pause = (pause * 2).min(LONGEST_PAUSE),
                    }
                }
                Turn::Wished(Goal::Leave) => return,
                Turn::Wished(Goal::End) => {
                    self.told(Some(process.identity.pid), PartState::Ending);
                    self.stop(process, Signal::TERM, &spec).await;
                    return self.over(&spec);
                }
                Turn::Wished(Goal::Run(wish)) => {
                    if wish.revision() == spec.revision() {
                        running = Some(process);
                    } else {
                        self.told(Some(process.identity.pid), PartState::Starting);
                        self.stop(process, spec.restart_signal, &spec).await;
                        pause = FIRST_PAUSE;
                    }
                    spec = wish;
                }
            }
        }
    }

    /// Starts the process and keeps its record, or tells why not.
    fn begin(&self, spec: &ProcessSpec) -> Result<Process, PartState> {
        if let Some((port, declared)) = spec.ports.iter().copied().find(|(port, _)| !is_free(*port))
        {
            return Err(PartState::PortInUse { port, holder: holder(port), declared });
        }
        if let Some(guard) = &spec.data {
            guard.note();
            if guard.is_lost() {
                return Err(PartState::DataLost { path: guard.data.display().to_string() });
            }
        }
        let failed = |why: String| PartState::Failed { why };
        let process = Process::spawn(&spec.argv, &spec.mark, &spec.log).map_err(|why| {
            let program = spec.argv.first().map(|p| p.display().to_string()).unwrap_or_default();
            failed(format!("cannot start {program}: {why}"))
        })?;
        let record = Record {
            identity: process.identity,
            revision: spec.revision(),
            restarts: self.restarts,
        };
        if let Err(why) = self.records.keep(&spec.key, &record) {
            // It runs and carries its mark: the next controller finds it without the record.
            tracing::warn!("keep the record of {}: {why}", spec.key);
        }
        Ok(process)
    }

    async fn await_turn(&mut self, process: &mut Process) -> Turn {
        tokio::select! {
            goal = next_goal(&mut self.wished) => Turn::Wished(goal),
            ending = process.ended() => Turn::Ended(ending),
        }
    }

    /// Waits before the next try; a changed wish ends it.
    async fn pause(&mut self, pause: Duration) -> Option<Goal> {
        tokio::select! {
            goal = next_goal(&mut self.wished) => Some(goal),
            () = sleep_until(Instant::now() + pause) => None,
        }
    }

    async fn stop(&self, mut process: Process, signal: Signal, spec: &ProcessSpec) {
        let asked = SystemTime::now();
        process.signal(signal);
        if timeout(spec.grace, process.ended()).await.is_ok() {
            return;
        }
        let (pid, key) = (process.identity.pid, &spec.key);
        let needs = spec.needs.as_deref().and_then(|path| needed_since(path, asked));
        if let Some(needs) = needs {
            tracing::warn!(
                "{key}: process {pid} leaves its tasks the {needs:?} that they were promised; \
                 a second Ctrl-C waits for nobody"
            );
            if timeout(needs, process.ended()).await.is_ok() {
                return;
            }
        }
        let waited = spec.grace + needs.unwrap_or_default();
        tracing::warn!("{key}: process {pid} did not end within {waited:?}: killing it");
        process.signal(Signal::KILL);
        process.ended().await;
    }

    fn told(&self, pid: Option<i32>, state: PartState) {
        let known = Known { pid, restarts: self.restarts, state };
        let news = self.tell.send_if_modified(|told| {
            let news = *told != known;
            *told = known;
            news
        });
        if news {
            (self.notify)();
        }
    }

    fn over(self, spec: &ProcessSpec) {
        if let Err(why) = self.records.drop(&spec.key) {
            tracing::warn!("drop the record of {}: {why}", spec.key);
        }
        // The owner asks whether the job is finished, so it is told a moment after this returns.
        let notify = self.notify;
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            notify();
        });
    }
}

/// The seconds in a file that was written after `asked`; `None` when there is no such word.
fn needed_since(path: &Path, asked: SystemTime) -> Option<Duration> {
    // File systems keep coarser times than the clock tells.
    let written = fs::metadata(path).ok()?.modified().ok()? + Duration::from_secs(1);
    let seconds = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (written >= asked).then(|| Duration::from_secs(seconds))
}

/// The next wish; for ever the last one when nobody wishes any more (the process is left).
async fn next_goal(wished: &mut watch::Receiver<Goal>) -> Goal {
    match wished.changed().await {
        Ok(()) => wished.borrow_and_update().clone(),
        Err(_) => Goal::Leave,
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A process that ran for so long has shown that it can.
const STEADY: Duration = Duration::from_secs(10);
