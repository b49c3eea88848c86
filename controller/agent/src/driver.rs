//! The agent's loop: inputs from the holder, the master, the disk and the kernel go into [`Tasks`], and its
//! outputs are carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use types::Instant;

use crate::containers::Containers;
use crate::disk::{Disk, Job};
use crate::error::RunError;
use crate::holder::client::{self, Client, Greeting};
use crate::holder::wire::{self, Reply, Request};
use crate::http::Question;
use crate::link::{FromMaster, Introduction, KnownTask, ToMaster};
use crate::store::{Recovered, Store};
use crate::task::{Spec, State};
use crate::tasks::{Input, Now, Output, Tasks};
use crate::{HolderCommand, Shutdown, command, gc, kernel};

/// Between two collections of sandboxes. Source: Mesos `--disk_watch_interval`.
const COLLECT_EVERY: Duration = Duration::from_secs(60);
/// How long an agent that stops its tasks waits for their last acknowledgements.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long it waits for its holder to end.
const HOLDER_ENDS: Duration = Duration::from_secs(5);

/// What an agent runs on, made before the loop begins.
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) containers: Containers,
    pub(crate) node: command::Node,
    pub(crate) holder_command: HolderCommand,
    pub(crate) holder: Client,
    pub(crate) greeting: Greeting,
    pub(crate) replies: mpsc::UnboundedReceiver<Reply>,
    pub(crate) recovered: Recovered,
    pub(crate) to_master: mpsc::UnboundedSender<ToMaster>,
    pub(crate) from_master: mpsc::Receiver<FromMaster>,
    pub(crate) questions: mpsc::Receiver<Question>,
    /// What `/state` tells of the node itself.
    pub(crate) about: Value,
}

/// What the agent's own jobs bring back.
enum Event {
    Input(Input),
    Prepared(Box<wire::Spawn>),
}

pub(crate) struct Driver {
    tasks: Tasks,
    store: Arc<Store>,
    disk: Disk,
    containers: Containers,
    node: Arc<command::Node>,
    holder_command: HolderCommand,
    holder: Client,
    holder_pid: i32,
    to_master: mpsc::UnboundedSender<ToMaster>,
    agent: Option<String>,
    frameworks: BTreeMap<String, Value>,
    /// What the holder is to run, until it is told to.
    prepared: BTreeMap<String, wire::Spawn>,
    events: mpsc::UnboundedSender<Event>,
    about: Value,
    origin: std::time::Instant,
}

/// Runs until the shutdown's future is ready or nothing can go on.
pub(crate) async fn run(
    parts: Parts,
    shutdown: impl Future<Output = Shutdown>,
) -> Result<(), RunError> {
    let (events, mut from_jobs) = mpsc::unbounded_channel();
    let on_disk = events.clone();
    let recorded = move |key, uuid| {
        let _ = on_disk.send(Event::Input(Input::Recorded { key, uuid }));
    };
    let disk = Disk::start(Arc::clone(&parts.store), recorded).map_err(RunError::Thread)?;
    let mut driver = Driver {
        tasks: Tasks::new(Box::new(uuid::Uuid::new_v4)),
        store: parts.store,
        disk,
        containers: parts.containers,
        node: Arc::new(parts.node),
        holder_command: parts.holder_command,
        holder: parts.holder,
        holder_pid: parts.greeting.pid,
        to_master: parts.to_master,
        agent: parts.recovered.agent.clone(),
        frameworks: BTreeMap::new(),
        prepared: BTreeMap::new(),
        events,
        about: parts.about,
        origin: std::time::Instant::now(),
    };
    driver.recover(parts.recovered, parts.greeting);

    let (mut replies, mut from_master, mut questions) =
        (parts.replies, parts.from_master, parts.questions);
    let mut shutdown = pin!(shutdown);
    let mut collect = interval(COLLECT_EVERY);
    collect.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Set once the agent stops its tasks.
    let mut stopping = false;
    let mut farewell = None;
    loop {
        if stopping && driver.tasks.all_ended() {
            let until = *farewell.get_or_insert_with(|| tokio::time::Instant::now() + FAREWELL);
            if driver.tasks.all_acknowledged() || tokio::time::Instant::now() >= until {
                return driver.stop(replies).await;
            }
        }
        let deadline = driver.deadline();
        let wake = [deadline, farewell].into_iter().flatten().min();
        tokio::select! {
            Some(event) = from_jobs.recv() => driver.on_event(event),
            reply = replies.recv() => match reply {
                Some(reply) => driver.on_reply(reply),
                None => replies = driver.on_holder_lost().await?,
            },
            Some(said) = from_master.recv() => {
                if let Some(why) = driver.on_master(said) {
                    tracing::warn!(why, "the master told this agent to shut down");
                    driver.stop_tasks();
                    stopping = true;
                }
            }
            Some(question) = questions.recv() => driver.answer(question),
            () = sleep_until(wake.unwrap_or_else(far)), if wake.is_some() => {
                driver.step(Input::Tick);
            }
            _ = collect.tick() => driver.collect_sandboxes(),
            how = &mut shutdown, if !stopping => match how {
                Shutdown::KeepTasks => {
                    tracing::info!("the agent ends; its tasks stay with their holder");
                    return Ok(());
                }
                Shutdown::StopTasks => {
                    tracing::info!("the agent ends with its tasks");
                    driver.stop_tasks();
                    stopping = true;
                }
            },
        }
    }
}

impl Driver {
    fn now(&self) -> Now {
        let since = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Now { instant: Instant::from_nanos(since), unix }
    }

    fn deadline(&self) -> Option<tokio::time::Instant> {
        let at = Duration::from_nanos(self.tasks.deadline()?.as_nanos());
        Some(tokio::time::Instant::from_std(self.origin + at))
    }

    fn recover(&mut self, found: Recovered, greeting: Greeting) {
        for damage in &found.damaged {
            tracing::error!(damage, "a checkpoint cannot be read; its task is not found again");
        }
        if !found.runs.is_empty() {
            tracing::info!(
                tasks = found.runs.len(),
                running = greeting.running.len(),
                exits = greeting.exits.len(),
                "taking over the tasks of the agent before"
            );
        }
        for info in found.frameworks {
            if let Some(id) = info.pointer("/id/value").and_then(Value::as_str) {
                self.frameworks.insert(id.to_owned(), info);
            }
        }
        let known: BTreeSet<String> = found.runs.iter().map(|r| r.spec.container.clone()).collect();
        let now = self.now();
        let outputs = self.tasks.recover(now, found.runs, &greeting.running, greeting.exits);
        self.carry_out(outputs);
        // Nothing starts without a checkpoint, so this is a task whose checkpoint was damaged.
        for orphan in greeting.running.iter().filter(|r| !known.contains(&r.id)) {
            tracing::error!(
                container = orphan.id,
                pid = orphan.pid,
                "ending a process without a task"
            );
            let signal = libc::SIGKILL;
            self.holder.send(Request::Signal { id: orphan.id.clone(), signal });
        }
    }

    fn step(&mut self, input: Input) {
        let now = self.now();
        let outputs = self.tasks.step(now, input);
        self.carry_out(outputs);
    }

    /// Ends the tasks with their grace periods, and leaves word for whoever waits for this agent's end.
    fn stop_tasks(&mut self) {
        self.step(Input::StopAll);
        let grace = self.tasks.grace_left(self.now().instant);
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let path = self.store.layout().grace();
        if let Err(error) = std::fs::write(&path, seconds.to_string()) {
            // Whoever waits may then be less patient than the tasks were promised.
            tracing::warn!(%error, path = %path.display(), "how long the tasks have cannot be told");
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Prepare(spec) => self.prepare(spec),
                Output::Spawn(spec) => self.spawn(&spec),
                Output::Watch { container } => self.watch(&container),
                Output::Terminate { container, first } => {
                    let holder = self.holder_pid;
                    self.with_container(&container, move |containers, spec| {
                        kernel::terminate(containers, spec, holder, first);
                        None
                    });
                }
                Output::End { container, first } => {
                    let holder = self.holder_pid;
                    self.prepared.remove(&container);
                    self.with_container(&container, move |containers, spec| {
                        let figures = kernel::end(containers, spec, holder, first);
                        Some(Input::Ended { container: spec.container.clone(), figures })
                    });
                }
                Output::Record { spec, status } => {
                    tracing::info!(task = %spec.key, state = ?status.state, message = status.message);
                    self.disk.write(Job::Update { spec, status });
                }
                Output::RecordAcknowledged { spec, uuid } => {
                    self.disk.write(Job::Acknowledged { spec, uuid });
                }
                Output::Send { key, status, latest } => {
                    let spec = self.tasks.views().find(|v| v.spec.key == key);
                    let spec = spec.map(|view| Arc::clone(view.spec));
                    // Without a master it is dropped there, and sent again to the next.
                    let _ = self.to_master.send(ToMaster::Update { key, spec, status, latest });
                }
                Output::Forget(spec) => self.forget(spec),
                Output::Collected { through } => self.holder.send(Request::Collected { through }),
            }
        }
    }

    fn prepare(&mut self, spec: Arc<Spec>) {
        let (store, containers) = (Arc::clone(&self.store), self.containers.clone());
        let (node, events) = (Arc::clone(&self.node), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let _ = events.send(match kernel::prepare(&store, &containers, &node, &spec) {
                Ok(spawn) => Event::Prepared(Box::new(spawn)),
                Err(why) => {
                    Event::Input(Input::NotPrepared { container: spec.container.clone(), why })
                }
            });
        });
    }

    fn spawn(&mut self, spec: &Spec) {
        if let Some(spawn) = self.prepared.remove(&spec.container) {
            self.holder.send(Request::Spawn(Box::new(spawn)));
        }
    }

    fn watch(&self, container: &str) {
        let Some(spec) = self.tasks.spec_of(container).cloned() else { return };
        let (containers, events) = (self.containers.clone(), self.events.clone());
        tokio::spawn(async move {
            let container = spec.container.clone();
            if kernel::out_of_memory(containers, spec).await {
                let _ = events.send(Event::Input(Input::OutOfMemory { container }));
            }
        });
    }

    /// Does something that blocks with a container, and brings its result back.
    fn with_container(
        &self,
        container: &str,
        work: impl FnOnce(&Containers, &Spec) -> Option<Input> + Send + 'static,
    ) {
        let Some(spec) = self.tasks.spec_of(container).cloned() else { return };
        let (containers, events) = (self.containers.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            if let Some(input) = work(&containers, &spec) {
                let _ = events.send(Event::Input(input));
            }
        });
    }

    fn forget(&mut self, spec: Arc<Spec>) {
        let (agent, id) = (spec.agent.clone(), spec.key.framework.clone());
        self.disk.write(Job::Forget { spec });
        if !self.tasks.views().any(|view| view.spec.key.framework == id) {
            self.frameworks.remove(&id);
            self.disk.write(Job::ForgetFramework { agent, id });
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.step(input),
            Event::Prepared(spawn) => {
                let container = spawn.id.clone();
                self.prepared.insert(container.clone(), *spawn);
                self.step(Input::Prepared { container });
            }
        }
    }

    fn on_reply(&mut self, reply: Reply) {
        match reply {
            Reply::Spawned { id, pid } => self.step(Input::Spawned { container: id, pid }),
            Reply::SpawnFailed { id, step, errno } => {
                let spec = self.tasks.spec_of(&id);
                let with = spec.map(|spec| step.with(spec)).unwrap_or_default();
                let errno = std::io::Error::from_raw_os_error(errno);
                let why = format!("{}{with}: {errno}", step.doing());
                self.step(Input::NotSpawned { container: id, why });
            }
            Reply::Exited(exit) => self.step(Input::Exited(exit)),
            Reply::Refused { why } => tracing::warn!(why, "the holder refused"),
            Reply::Hello { .. } => {}
        }
    }

    /// Ends what cannot be known any more, and starts a new holder.
    async fn on_holder_lost(&mut self) -> Result<mpsc::UnboundedReceiver<Reply>, RunError> {
        let pid = self.holder_pid;
        tracing::error!(pid, "the holder is gone");
        self.holder.reap();
        self.step(Input::HolderLost { pid });
        let dir = self.store.layout().holder();
        let (holder, greeting, replies) =
            client::connect_or_start(&dir, &self.holder_command).await?;
        (self.holder, self.holder_pid) = (holder, greeting.pid);
        for exit in greeting.exits {
            self.step(Input::Exited(exit));
        }
        Ok(replies)
    }

    /// The reason, if the agent was told to go.
    fn on_master(&mut self, said: FromMaster) -> Option<String> {
        match said {
            FromMaster::Introduce(reply) => {
                // A link that gave up asks again.
                let _ = reply.send(self.introduction());
            }
            FromMaster::Subscribed { agent } => self.on_subscribed(agent),
            FromMaster::Lost => self.step(Input::Disconnected),
            FromMaster::Launch { framework, info, spec } => {
                self.keep_framework(&framework, info);
                self.step(Input::Launch(Arc::new(*spec)));
            }
            FromMaster::Input(input) => self.step(input),
            FromMaster::Framework { framework, info } => {
                if self.frameworks.contains_key(&framework) {
                    self.keep_framework(&framework, info);
                }
            }
            FromMaster::ShutDown { why } => return Some(why),
        }
        None
    }

    fn on_subscribed(&mut self, agent: String) {
        if self.agent.as_ref() != Some(&agent) {
            tracing::info!(agent, "registered");
            self.disk.write(Job::Agent { id: agent.clone() });
            self.agent = Some(agent);
        }
        self.step(Input::Connected);
    }

    fn keep_framework(&mut self, id: &str, info: Value) {
        let Some(agent) = self.agent.clone() else { return };
        if self.frameworks.get(id) != Some(&info) {
            self.frameworks.insert(id.to_owned(), info.clone());
            self.disk.write(Job::Framework { agent, id: id.to_owned(), info });
        }
    }

    fn introduction(&self) -> Introduction {
        let tasks = self.tasks.views().map(|view| KnownTask {
            spec: Arc::clone(view.spec),
            latest: view.latest.cloned(),
            unacknowledged: view.unacknowledged.cloned(),
        });
        Introduction {
            agent: self.agent.clone(),
            frameworks: self.frameworks.values().cloned().collect(),
            tasks: tasks.collect(),
        }
    }

    fn collect_sandboxes(&self) {
        let live = self.tasks.views().map(|view| view.spec.container.clone()).collect();
        let sandboxes = self.store.layout().sandboxes();
        tokio::task::spawn_blocking(move || gc::collect(&sandboxes, &live, SystemTime::now()));
    }

    fn answer(&self, question: Question) {
        match question {
            Question::State(reply) => {
                let _ = reply.send(self.state());
            }
            Question::Containers(reply) => {
                let running: Vec<Arc<Spec>> =
                    self.tasks.views().map(|view| Arc::clone(view.spec)).collect();
                let containers = self.containers.clone();
                tokio::task::spawn_blocking(move || {
                    let all = running.iter().map(|spec| kernel::describe(&containers, spec));
                    let _ = reply.send(all.collect());
                });
            }
        }
    }

    fn state(&self) -> Value {
        let layout = self.store.layout();
        let tasks: Vec<Value> = self
            .tasks
            .views()
            .map(|view| {
                json!({
                    "id": view.spec.key.task,
                    "framework_id": view.spec.key.framework,
                    "container": view.spec.container,
                    "state": view.latest.map_or("TASK_STAGING", |s| state_name(s.state)),
                    "pid": view.pid,
                    "directory": layout.sandbox(&view.spec.run()),
                })
            })
            .collect();
        let mut state = self.about.clone();
        if let Value::Object(state) = &mut state {
            state.insert("id".to_owned(), json!(self.agent));
            state.insert("holder_pid".to_owned(), json!(self.holder_pid));
            state.insert("tasks".to_owned(), json!(tasks));
        }
        state
    }

    /// The last steps of an agent whose tasks are over.
    async fn stop(mut self, mut replies: mpsc::UnboundedReceiver<Reply>) -> Result<(), RunError> {
        let (said, left) = tokio::sync::oneshot::channel();
        let _ = self.to_master.send(ToMaster::Leave(said));
        // Dropped unsent when it is said, or when no master is there to hear it.
        let _ = tokio::time::timeout(FAREWELL, left).await;
        self.holder.send(Request::Quit);
        let ended = async { while replies.recv().await.is_some() {} };
        if tokio::time::timeout(HOLDER_ENDS, ended).await.is_err() {
            tracing::warn!(pid = self.holder_pid, "the holder does not end");
        }
        self.holder.wait();
        self.containers.close();
        Ok(())
    }
}

/// Mesos's name of a state.
pub(crate) fn state_name(state: State) -> &'static str {
    match state {
        State::Starting => "TASK_STARTING",
        State::Running => "TASK_RUNNING",
        State::Killing => "TASK_KILLING",
        State::Finished => "TASK_FINISHED",
        State::Failed => "TASK_FAILED",
        State::Killed => "TASK_KILLED",
        State::Error => "TASK_ERROR",
        State::Dropped => "TASK_DROPPED",
    }
}

fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(24 * 3600)
}
