//! The tasks of one agent as a state machine: what the master, the holder and the kernel say goes in, what is
//! to be done comes out.
//!
//! Lives here: the life of a task from launch to its last acknowledged update. Must not: files, processes,
//! sockets, clocks, randomness of its own. Start at [`Tasks::step`].
//!
//! **Invariants.** A task's process is asked for only after its checkpoint is on disk. An update is sent only
//! after it is on disk, and one update of a task is under way at a time. A terminal update is made only when
//! nothing of the container is left.

mod recover;
mod stream;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use types::Instant;
use uuid::Uuid;

use crate::holder::wire::{Exit, ExitStatus};
use crate::task::{Reason, Source, Spec, State, Status, TaskKey};

pub(crate) use recover::RecoveredRun;
use stream::Stream;
use verdict::Cause;
pub(crate) use verdict::Figures;

/// The time as this machine is told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// For deadlines.
    pub(crate) instant: Instant,
    /// For people: seconds since 1970.
    pub(crate) unix: f64,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// Time passed; see [`Tasks::deadline`].
    Tick,
    /// A master took us in: updates flow, beginning with those that wait.
    Connected,
    /// The master is gone.
    Disconnected,
    /// The master wants a task.
    Launch(Arc<Spec>),
    /// The master sent a task that cannot be one; it is told so.
    Invalid { key: TaskKey, why: String },
    /// The master believes in this task; if it is not here it is told so.
    Unknown { key: TaskKey },
    /// The master wants a task ended. `grace` replaces the task's own.
    Kill { key: TaskKey, grace: Option<Duration> },
    /// The framework has this update.
    Acknowledge { key: TaskKey, uuid: Uuid },
    /// The framework is gone: its tasks end, and nobody hears of it.
    ShutdownFramework { framework: String },
    /// End everything: the agent goes for good.
    StopAll,
    /// The checkpoint, the sandbox and the groups are there.
    Prepared { container: String },
    /// They are not, and this is why.
    NotPrepared { container: String, why: String },
    /// The command runs.
    Spawned { container: String, pid: i32 },
    /// It does not.
    NotSpawned { container: String, why: String },
    /// The first process ended.
    Exited(Exit),
    /// The kernel killed in this container for want of memory.
    OutOfMemory { container: String },
    /// Nothing of the container is left.
    Ended { container: String, figures: Figures },
    /// An update is on disk.
    Recorded { key: TaskKey, uuid: Uuid },
    /// The holder died, and with it every exit status not yet told.
    HolderLost { pid: i32 },
}

/// What the driver must do. Outputs for one container are done in order.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Checkpoint the task, make sandbox and groups; then [`Input::Prepared`] or [`Input::NotPrepared`].
    Prepare(Arc<Spec>),
    /// Have the holder start it; then [`Input::Spawned`] or [`Input::NotSpawned`].
    Spawn(Arc<Spec>),
    /// Tell [`Input::OutOfMemory`] when it happens.
    Watch { container: String },
    /// SIGTERM to all its processes.
    Terminate { container: String, first: Option<i32> },
    /// SIGKILL to all, read the figures, remove the groups; then [`Input::Ended`].
    End { container: String, first: Option<i32> },
    /// Put an update on disk; then [`Input::Recorded`].
    Record { spec: Arc<Spec>, status: Status },
    /// Note on disk that the framework has the update.
    RecordAcknowledged { spec: Arc<Spec>, uuid: Uuid },
    /// Send an update to the master. `latest` is where the task is by now.
    Send { key: TaskKey, status: Status, latest: State },
    /// The task is over and acknowledged: drop its checkpoint; its sandbox is for collection.
    Forget(Arc<Spec>),
    /// The holder need not keep exits up to this one.
    Collected { through: u64 },
}

/// All tasks of one agent.
pub(crate) struct Tasks {
    tasks: BTreeMap<TaskKey, Task>,
    /// Invariant: holds exactly the containers of `tasks`.
    by_container: BTreeMap<String, TaskKey>,
    /// Exits told by the holder whose outcome is not on disk yet.
    uncollected: BTreeMap<u64, String>,
    last_exit: u64,
    /// What the holder was last told it may forget.
    collected: u64,
    connected: bool,
    stopping: bool,
    uuids: Box<dyn FnMut() -> Uuid + Send>,
    outbox: Vec<Output>,
}

struct Task {
    spec: Arc<Spec>,
    phase: Phase,
    updates: Stream,
    kill: Option<Kill>,
    /// Nobody wants its updates.
    orphaned: bool,
}

/// Where a task is on its way.
enum Phase {
    Preparing,
    Spawning,
    Running { pid: i32, until: Option<Instant> },
    Ending { cause: Cause, exit: Option<ExitStatus> },
    Ended,
}

/// A kill under way.
struct Kill {
    cause: Cause,
    /// When SIGKILL follows; `None` before SIGTERM could be sent.
    deadline: Option<Instant>,
    grace: Duration,
}

/// A task as a master or a person is told of it.
pub(crate) struct View<'a> {
    pub(crate) spec: &'a Arc<Spec>,
    /// The last update made; `None` before the first.
    pub(crate) latest: Option<&'a Status>,
    /// The update that its framework has not acknowledged, if there is one.
    pub(crate) unacknowledged: Option<&'a Status>,
    pub(crate) pid: Option<i32>,
}

impl Tasks {
    /// No tasks. `uuids` makes the ids of updates.
    pub(crate) fn new(uuids: Box<dyn FnMut() -> Uuid + Send>) -> Self {
        Self {
            tasks: BTreeMap::new(),
            by_container: BTreeMap::new(),
            uncollected: BTreeMap::new(),
            last_exit: 0,
            collected: 0,
            connected: false,
            stopping: false,
            uuids,
            outbox: Vec::new(),
        }
    }

    /// Takes one input and returns all that follows from it. Total: what does not fit the state (a kill of an
    /// unknown task, an event of a container that is gone) is ignored.
    pub(crate) fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        match input {
            Input::Tick => self.on_tick(now),
            Input::Connected => self.on_connected(now),
            Input::Disconnected => self.connected = false,
            Input::Launch(spec) => self.on_launch(now, spec),
            Input::Invalid { key, why } => {
                self.refuse(now, key, State::Error, Reason::TaskInvalid, why)
            }
            Input::Unknown { key } if self.tasks.contains_key(&key) => {}
            Input::Unknown { key } => {
                let why = "Reconciliation: task unknown to the agent".to_owned();
                self.refuse(now, key, State::Dropped, Reason::Reconciliation, why);
            }
            Input::Kill { key, grace } => self.kill(now, &key, Cause::Killed, grace),
            Input::Acknowledge { key, uuid } => self.on_acknowledge(now, &key, uuid),
            Input::ShutdownFramework { framework } => self.on_shutdown_framework(now, &framework),
            Input::StopAll => self.on_stop_all(now),
            Input::Prepared { container } => self.on_prepared(now, &container),
            Input::NotPrepared { container, why } => {
                self.end_container(&container, Cause::LaunchFailed(why), None);
            }
            Input::Spawned { container, pid } => self.on_spawned(now, &container, pid),
            Input::NotSpawned { container, why } => {
                self.end_container(&container, Cause::LaunchFailed(why), None);
            }
            Input::Exited(exit) => self.on_exited(exit),
            Input::OutOfMemory { container } => {
                self.end_container(&container, Cause::Exited, None);
            }
            Input::Ended { container, figures } => self.on_ended(now, &container, figures),
            Input::Recorded { key, uuid } => self.on_recorded(now, &key, uuid),
            Input::HolderLost { pid } => self.on_holder_lost(pid),
        }
        std::mem::take(&mut self.outbox)
    }

    /// When [`Input::Tick`] is next needed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.tasks.values().filter_map(|task| task.deadline(self.connected)).min()
    }

    /// Every task that a master should know of.
    pub(crate) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.tasks.values().map(Task::view)
    }

    /// The container's task, if it has one.
    pub(crate) fn spec_of(&self, container: &str) -> Option<&Arc<Spec>> {
        self.by_container.get(container).and_then(|key| self.tasks.get(key)).map(|t| &t.spec)
    }

    /// Whether a container is still there for any task.
    pub(crate) fn all_ended(&self) -> bool {
        self.tasks.values().all(|task| matches!(task.phase, Phase::Ended))
    }

    /// The longest that the kills under way leave any task; zero when none is killed.
    pub(crate) fn grace_left(&self, now: Instant) -> Duration {
        let kills = self.tasks.values().filter_map(|task| task.kill.as_ref());
        let left = kills.map(|kill| {
            kill.deadline.map_or(kill.grace, |at| {
                Duration::from_nanos(at.as_nanos().saturating_sub(now.as_nanos()))
            })
        });
        left.max().unwrap_or_default()
    }

    /// Whether every update was acknowledged.
    pub(crate) fn all_acknowledged(&self) -> bool {
        self.tasks.is_empty()
    }

    fn on_launch(&mut self, now: Now, spec: Arc<Spec>) {
        // The master repeats itself after a lost connection.
        if self.tasks.contains_key(&spec.key) {
            return;
        }
        if self.stopping {
            let why = "the agent is stopping".to_owned();
            self.refuse(now, spec.key.clone(), State::Dropped, Reason::AgentRestarted, why);
            return;
        }
        self.outbox.push(Output::Prepare(Arc::clone(&spec)));
        self.insert(Task::new(spec, Phase::Preparing));
    }

    fn insert(&mut self, task: Task) {
        self.by_container.insert(task.spec.container.clone(), task.spec.key.clone());
        self.tasks.insert(task.spec.key.clone(), task);
    }

    /// An update for a task that has no container and no checkpoint: sent once, and again by the next
    /// reconciliation.
    fn refuse(&mut self, now: Now, key: TaskKey, state: State, reason: Reason, why: String) {
        let status = Status {
            uuid: (self.uuids)(),
            state,
            source: Source::Agent,
            reason: Some(reason),
            message: Some(why),
            timestamp: now.unix,
            memory_at_limit: None,
            pid: None,
        };
        self.outbox.push(Output::Send { key, status, latest: state });
    }

    fn on_prepared(&mut self, now: Now, container: &str) {
        let Some(key) = self.by_container.get(container).cloned() else { return };
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if !matches!(task.phase, Phase::Preparing) {
            return;
        }
        if let Some(kill) = &task.kill {
            let cause = kill.cause.clone().before_start();
            self.end_container(container, cause, None);
            return;
        }
        task.phase = Phase::Spawning;
        let spec = Arc::clone(&task.spec);
        self.update(now, &key, State::Starting, Source::Executor, |_| {});
        self.outbox.push(Output::Watch { container: container.to_owned() });
        self.outbox.push(Output::Spawn(spec));
    }

    fn on_spawned(&mut self, now: Now, container: &str, pid: i32) {
        let Some(key) = self.by_container.get(container).cloned() else { return };
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if !matches!(task.phase, Phase::Spawning) {
            return;
        }
        let until = task.spec.max_completion.map(|limit| now.instant + limit);
        task.phase = Phase::Running { pid, until };
        let killed = task.kill.take();
        self.update(now, &key, State::Running, Source::Executor, |_| {});
        if let Some(kill) = killed {
            self.kill(now, &key, kill.cause, Some(kill.grace));
        }
    }

    fn on_exited(&mut self, exit: Exit) {
        self.last_exit = self.last_exit.max(exit.number);
        let known = self.by_container.get(&exit.id).and_then(|key| self.tasks.get_mut(key));
        match known {
            None | Some(Task { phase: Phase::Ended, .. }) => {}
            Some(Task { phase: Phase::Ending { exit: known, .. }, .. }) => {
                known.get_or_insert(exit.status);
                self.uncollected.insert(exit.number, exit.id);
            }
            Some(task) => {
                let cause = task.kill.as_ref().map_or(Cause::Exited, |kill| kill.cause.clone());
                self.uncollected.insert(exit.number, exit.id.clone());
                self.end_container(&exit.id, cause, Some(exit.status));
            }
        }
        self.collect();
    }

    /// Tells the holder what it may forget: everything below the first exit that is still under way.
    fn collect(&mut self) {
        let through = match self.uncollected.keys().next() {
            Some(&first) => first - 1,
            None => self.last_exit,
        };
        if through > self.collected {
            self.collected = through;
            self.outbox.push(Output::Collected { through });
        }
    }

    /// Begins the end of a container, once.
    fn end_container(&mut self, container: &str, cause: Cause, exit: Option<ExitStatus>) {
        let Some(task) = self.by_container.get(container).and_then(|key| self.tasks.get_mut(key))
        else {
            return;
        };
        let first = match task.phase {
            Phase::Preparing | Phase::Spawning => None,
            Phase::Running { pid, .. } => Some(pid),
            Phase::Ending { .. } | Phase::Ended => return,
        };
        task.phase = Phase::Ending { cause, exit };
        self.outbox.push(Output::End { container: container.to_owned(), first });
    }

    fn on_ended(&mut self, now: Now, container: &str, figures: Figures) {
        let Some(key) = self.by_container.get(container).cloned() else { return };
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let Phase::Ending { cause, exit } = &task.phase else { return };
        let verdict = verdict::judge(cause, *exit, &figures, &task.spec);
        task.phase = Phase::Ended;
        task.kill = None;
        self.update(now, &key, verdict.state, verdict.source, |status| {
            status.reason = verdict.reason;
            status.message = Some(verdict.message);
            status.memory_at_limit = verdict.memory_at_limit;
        });
    }

    fn on_holder_lost(&mut self, pid: i32) {
        let alive: Vec<String> = self
            .tasks
            .values()
            .filter(|task| !matches!(task.phase, Phase::Ending { .. } | Phase::Ended))
            .map(|task| task.spec.container.clone())
            .collect();
        for container in alive {
            self.end_container(&container, Cause::HolderLost { pid }, None);
        }
        // What it did not tell it will not tell.
        self.uncollected.clear();
        self.last_exit = 0;
        self.collected = 0;
    }

    fn kill(&mut self, now: Now, key: &TaskKey, cause: Cause, grace: Option<Duration>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let grace = grace.unwrap_or(task.spec.grace);
        let running = match task.phase {
            Phase::Ending { .. } | Phase::Ended => return,
            Phase::Preparing | Phase::Spawning => None,
            Phase::Running { pid, .. } => Some(pid),
        };
        if let Some(kill) = &mut task.kill {
            // A second kill may only shorten the first one's grace.
            kill.grace = kill.grace.min(grace);
            kill.deadline = kill.deadline.map(|at| at.min(now.instant + grace));
            return;
        }
        let deadline = running.map(|_| now.instant + grace);
        task.kill = Some(Kill { cause, deadline, grace });
        let Some(first) = running else { return };
        let (container, tells) = (task.spec.container.clone(), task.spec.tells_killing);
        if tells {
            self.update(now, key, State::Killing, Source::Executor, |_| {});
        }
        if grace.is_zero() {
            self.on_tick(now);
        } else {
            self.outbox.push(Output::Terminate { container, first: Some(first) });
        }
    }

    fn on_shutdown_framework(&mut self, now: Now, framework: &str) {
        let mut gone = Vec::new();
        for (key, task) in &mut self.tasks {
            if key.framework == framework {
                task.orphaned = true;
                gone.push((key.clone(), matches!(task.phase, Phase::Ended)));
            }
        }
        for (key, ended) in gone {
            if ended {
                self.forget(&key);
            } else {
                self.kill(now, &key, Cause::Killed, None);
            }
        }
    }

    fn on_stop_all(&mut self, now: Now) {
        self.stopping = true;
        let keys: Vec<TaskKey> = self.tasks.keys().cloned().collect();
        for key in keys {
            self.kill(now, &key, Cause::Stopped, None);
        }
    }

    fn on_tick(&mut self, now: Now) {
        let mut due = BTreeSet::new();
        let mut overdue = Vec::new();
        for (key, task) in &self.tasks {
            if let Some(Kill { cause, deadline: Some(at), .. }) = &task.kill
                && *at <= now.instant
            {
                due.insert((task.spec.container.clone(), cause.clone()));
            } else if let Phase::Running { until: Some(until), .. } = task.phase
                && until <= now.instant
                && task.kill.is_none()
            {
                overdue.push(key.clone());
            }
        }
        for (container, cause) in due {
            self.end_container(&container, cause, None);
        }
        for key in overdue {
            self.kill(now, &key, Cause::TooLong, Some(Duration::ZERO));
        }
        let keys: Vec<TaskKey> = self.tasks.keys().cloned().collect();
        for key in keys {
            self.send_head(now, &key, false);
        }
    }
}

impl Task {
    fn new(spec: Arc<Spec>, phase: Phase) -> Self {
        Self { spec, phase, updates: Stream::default(), kill: None, orphaned: false }
    }

    fn deadline(&self, connected: bool) -> Option<Instant> {
        let kill = match self.phase {
            Phase::Running { .. } => self.kill.as_ref().and_then(|kill| kill.deadline),
            _ => None,
        };
        let until = match self.phase {
            Phase::Running { until, .. } if self.kill.is_none() => until,
            _ => None,
        };
        let resend = if connected { self.updates.resend_at() } else { None };
        [kill, until, resend].into_iter().flatten().min()
    }

    fn view(&self) -> View<'_> {
        let pid = match self.phase {
            Phase::Running { pid, .. } => Some(pid),
            _ => None,
        };
        View {
            spec: &self.spec,
            latest: self.updates.latest(),
            unacknowledged: self.updates.head(),
            pid,
        }
    }
}

#[cfg(test)]
mod tests;
