//! Stories of a task: what comes in, and all that goes out.

use std::sync::Arc;
use std::time::Duration;

use types::Instant;
use uuid::Uuid;

use super::{Figures, Input, Now, Output, RecoveredRun, Tasks};
use crate::holder::wire::{Exit, ExitStatus, Running};
use crate::task::{Command, Spec, State, Status, TaskKey, TaskLimits};

/// The machine with a clock that a test turns, and outputs as text.
struct World {
    tasks: Tasks,
    seconds: u64,
    /// Answer `Record` with `Recorded` by itself.
    disk_works: bool,
    said: Vec<String>,
    /// Every update recorded.
    recorded: Vec<Status>,
}

impl World {
    fn new() -> Self {
        let mut count = 0;
        let uuids = Box::new(move || {
            count += 1;
            Uuid::from_u128(count)
        });
        let (said, recorded) = (Vec::new(), Vec::new());
        Self { tasks: Tasks::new(uuids), seconds: 0, disk_works: true, said, recorded }
    }

    fn now(&self) -> Now {
        let instant = Instant::ZERO + Duration::from_secs(self.seconds);
        Now { instant, unix: 0.0 }
    }

    /// One input and all that follows, until the machine waits for something else than the disk.
    fn step(&mut self, input: Input) -> Vec<String> {
        let outputs = self.tasks.step(self.now(), input);
        self.absorb(outputs);
        std::mem::take(&mut self.said)
    }

    fn absorb(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let record = match &output {
                Output::Record { spec, status } => Some((spec.key.clone(), status.clone())),
                _ => None,
            };
            self.said.push(render(&output));
            if let Some((key, status)) = record {
                let uuid = status.uuid;
                self.recorded.push(status);
                if self.disk_works {
                    let more = self.tasks.step(self.now(), Input::Recorded { key, uuid });
                    self.absorb(more);
                }
            }
        }
    }

    fn acknowledge(&mut self, update: u128) -> Vec<String> {
        self.step(Input::Acknowledge { key: key(), uuid: Uuid::from_u128(update) })
    }

    /// A task that runs as process 70 and whose two first updates are acknowledged.
    fn running() -> Self {
        let mut world = Self::new();
        world.step(Input::Connected);
        world.step(Input::Launch(Arc::new(spec())));
        world.step(Input::Prepared { container: "c".to_owned() });
        world.step(Input::Spawned { container: "c".to_owned(), pid: 70 });
        world.acknowledge(1);
        world.acknowledge(2);
        world
    }

    fn ended(&mut self, figures: Figures) -> Vec<String> {
        self.step(Input::Ended { container: "c".to_owned(), figures })
    }
}

fn key() -> TaskKey {
    TaskKey { framework: "F".to_owned(), task: "t".to_owned() }
}

fn spec() -> Spec {
    Spec {
        key: key(),
        agent: "S0".to_owned(),
        container: "c".to_owned(),
        command: Command::Shell("true".to_owned()),
        environment: Vec::new(),
        user: None,
        limits: TaskLimits { memory_hard_bytes: Some(64 << 20), ..TaskLimits::default() },
        grace: Duration::from_secs(3),
        max_completion: None,
        tells_killing: false,
        partition_aware: true,
        info: serde_json::Value::Null,
    }
}

fn exit(status: ExitStatus) -> Input {
    Input::Exited(Exit { number: 1, id: "c".to_owned(), pid: 70, status, at: 0 })
}

fn kill(grace: Option<u64>) -> Input {
    Input::Kill { key: key(), grace: grace.map(Duration::from_secs) }
}

fn render(output: &Output) -> String {
    match output {
        Output::Prepare(_) => "prepare".to_owned(),
        Output::Spawn(_) => "spawn".to_owned(),
        Output::Watch { .. } => "watch".to_owned(),
        Output::Terminate { first, .. } => format!("SIGTERM {first:?}"),
        Output::End { first, .. } => format!("end {first:?}"),
        Output::Record { status, .. } => format!("record {}", told(status)),
        Output::RecordAcknowledged { uuid, .. } => format!("record ack {}", uuid.as_u128()),
        Output::Send { status, latest, .. } => {
            format!("send {} {:?}/{latest:?}", status.uuid.as_u128(), status.state)
        }
        Output::Forget(_) => "forget".to_owned(),
        Output::Collected { through } => format!("collected {through}"),
    }
}

fn told(status: &Status) -> String {
    let mut text = format!("{:?} {:?}", status.state, status.source);
    if let Some(reason) = status.reason {
        text += &format!(" {reason:?}");
    }
    if let Some(message) = &status.message {
        text += &format!(": {message}");
    }
    text
}

#[test]
fn an_agent_that_stops_knows_how_long_its_tasks_have() {
    let mut world = World::running();
    assert_eq!(world.tasks.grace_left(world.now().instant), Duration::ZERO);
    world.step(Input::StopAll);
    assert_eq!(world.tasks.grace_left(world.now().instant), Duration::from_secs(3));
    world.step(exit(ExitStatus::Code(0)));
    world.ended(Figures::default());
    assert_eq!(world.tasks.grace_left(world.now().instant), Duration::ZERO);
}

#[test]
fn a_task_lives_and_its_updates_go_one_at_a_time() {
    let mut world = World::new();
    world.step(Input::Connected);
    assert_eq!(world.step(Input::Launch(Arc::new(spec()))), ["prepare"]);
    assert_eq!(
        world.step(Input::Prepared { container: "c".to_owned() }),
        ["record Starting Executor", "send 1 Starting/Starting", "watch", "spawn"]
    );
    // The second update waits for the first one's acknowledgement.
    assert_eq!(
        world.step(Input::Spawned { container: "c".to_owned(), pid: 70 }),
        ["record Running Executor"]
    );
    assert_eq!(world.acknowledge(1), ["record ack 1", "send 2 Running/Running"]);
    assert!(world.acknowledge(1).is_empty());
    assert_eq!(world.acknowledge(2), ["record ack 2"]);
    assert_eq!(world.step(exit(ExitStatus::Code(0))), ["end Some(70)"]);
    // The exit is collected when its outcome is on disk, not before.
    assert_eq!(
        world.ended(Figures::default()),
        [
            "record Finished Executor: Command exited with status 0",
            "collected 1",
            "send 3 Finished/Finished"
        ]
    );
    assert_eq!(world.acknowledge(3), ["forget"]);
    assert!(world.tasks.all_acknowledged());
}

#[test]
fn an_update_is_sent_only_after_it_is_on_disk() {
    let mut world = World::new();
    world.disk_works = false;
    world.step(Input::Connected);
    world.step(Input::Launch(Arc::new(spec())));
    let said = world.step(Input::Prepared { container: "c".to_owned() });
    assert_eq!(said, ["record Starting Executor", "watch", "spawn"]);
    let said = world.step(Input::Recorded { key: key(), uuid: Uuid::from_u128(1) });
    assert_eq!(said, ["send 1 Starting/Starting"]);
}

#[test]
fn an_update_is_repeated_with_growing_pauses_and_at_once_to_a_new_master() {
    let mut world = World::running();
    world.step(exit(ExitStatus::Code(1)));
    world.ended(Figures::default());
    for (pause, seconds) in [(10, 10), (20, 30), (40, 70)] {
        world.seconds = seconds - 1;
        assert!(world.step(Input::Tick).is_empty(), "after {pause}");
        world.seconds = seconds;
        assert_eq!(world.tasks.deadline(), Some(world.now().instant));
        assert_eq!(world.step(Input::Tick), ["send 3 Failed/Failed"]);
    }
    world.step(Input::Disconnected);
    world.seconds = 1000;
    assert!(world.step(Input::Tick).is_empty());
    assert_eq!(world.step(Input::Connected), ["send 3 Failed/Failed"]);
    assert_eq!(world.tasks.deadline(), Some(Instant::ZERO + Duration::from_secs(1010)));
}

#[test]
fn a_kill_is_polite_first_and_a_second_one_only_shortens_it() {
    let mut world = World::running();
    assert_eq!(world.step(kill(Some(30))), ["SIGTERM Some(70)"]);
    assert!(world.step(kill(Some(60))).is_empty());
    assert_eq!(world.tasks.deadline(), Some(Instant::ZERO + Duration::from_secs(30)));
    world.step(kill(Some(5)));
    world.seconds = 5;
    assert_eq!(world.step(Input::Tick), ["end Some(70)"]);
    world.step(exit(ExitStatus::Signal(9)));
    assert_eq!(
        world.ended(Figures::default())[0],
        "record Killed Executor: Command terminated with signal Killed"
    );
}

#[test]
fn a_killed_task_is_killed_whatever_its_exit_code() {
    let mut world = World::running();
    world.step(kill(None));
    assert_eq!(world.step(exit(ExitStatus::Code(0))), ["end Some(70)"]);
    let said = world.ended(Figures::default());
    assert_eq!(said[0], "record Killed Executor: Command exited with status 0");
}

#[test]
fn a_kill_before_the_start_leaves_nothing_behind() {
    let mut world = World::new();
    world.step(Input::Launch(Arc::new(spec())));
    assert!(world.step(kill(None)).is_empty());
    assert_eq!(world.step(Input::Prepared { container: "c".to_owned() }), ["end None"]);
    assert_eq!(
        world.ended(Figures::default())[0],
        "record Killed Agent KilledDuringLaunch: Killed before it was started"
    );
}

#[test]
fn the_memory_limit_is_named_with_its_figures_whichever_process_it_hit() {
    let figures = Figures {
        oom_kills: 1,
        memory_peak: Some(64 << 20),
        memory_limit: Some(64 << 20),
        ..Figures::default()
    };
    let want = "record Failed Agent MemoryLimit: Memory limit exceeded: Requested: 64MB Maximum \
                Used: 64MB; the kernel killed 1 process";
    // The kernel's event first, as for a grandchild; the shell lives on.
    let mut world = World::running();
    assert_eq!(world.step(Input::OutOfMemory { container: "c".to_owned() }), ["end Some(70)"]);
    assert!(world.step(exit(ExitStatus::Signal(9))).is_empty());
    assert_eq!(world.ended(figures.clone())[0], want);
    assert_eq!(world.recorded.last().and_then(|s| s.memory_at_limit), Some(64 << 20));
    // The exit first, the counter found afterwards.
    let mut world = World::running();
    world.step(exit(ExitStatus::Signal(9)));
    assert_eq!(world.ended(figures)[0], want);
}

#[test]
fn what_cannot_start_is_failed_with_the_reason() {
    let mut world = World::new();
    world.step(Input::Launch(Arc::new(spec())));
    let why = "execute the command: No such file or directory".to_owned();
    world.step(Input::Prepared { container: "c".to_owned() });
    assert_eq!(world.step(Input::NotSpawned { container: "c".to_owned(), why }), ["end None"]);
    assert_eq!(
        world.ended(Figures::default())[0],
        "record Failed Agent LaunchFailed: Failed to launch container: execute the command: No such \
         file or directory"
    );
}

#[test]
fn a_framework_that_is_gone_hears_nothing_more() {
    let mut world = World::running();
    let said = world.step(Input::ShutdownFramework { framework: "F".to_owned() });
    assert_eq!(said, ["SIGTERM Some(70)"]);
    world.step(exit(ExitStatus::Signal(15)));
    assert_eq!(
        world.ended(Figures::default()),
        [
            "record Killed Executor: Command terminated with signal Terminated",
            "collected 1",
            "forget"
        ]
    );
}

#[test]
fn a_lost_holder_ends_its_tasks_honestly() {
    let mut world = World::running();
    assert_eq!(world.step(Input::HolderLost { pid: 9 }), ["end Some(70)"]);
    let said = world.ended(Figures::default());
    assert!(
        said[0].starts_with("record Failed Agent ExecutorTerminated: The task's exit status is")
    );
    assert!(said[0].contains("(pid 9)"), "{said:?}");
}

#[test]
fn a_task_that_runs_too_long_is_ended() {
    let mut world = World::new();
    let spec = Spec { max_completion: Some(Duration::from_secs(60)), ..spec() };
    world.step(Input::Launch(Arc::new(spec)));
    world.step(Input::Prepared { container: "c".to_owned() });
    world.step(Input::Spawned { container: "c".to_owned(), pid: 70 });
    assert_eq!(world.tasks.deadline(), Some(Instant::ZERO + Duration::from_secs(60)));
    world.seconds = 60;
    assert_eq!(world.step(Input::Tick), ["end Some(70)"]);
    let said = world.ended(Figures::default());
    assert!(said[0].starts_with("record Failed Agent MaxCompletionTime"), "{said:?}");
}

/// The story so far as a checkpoint, taken over by a fresh machine.
fn restarted(
    world: World,
    acknowledged: &[u128],
    running: &[Running],
    exits: Vec<Exit>,
) -> (World, Vec<String>) {
    let acknowledged = acknowledged.iter().map(|&n| Uuid::from_u128(n)).collect();
    let run = RecoveredRun { spec: spec(), updates: world.recorded, acknowledged };
    let mut next = World::new();
    // The ids of the old machine must not come again.
    for _ in 0..100 {
        (next.tasks.uuids)();
    }
    let outputs = next.tasks.recover(next.now(), vec![run], running, exits);
    next.absorb(outputs);
    let said = std::mem::take(&mut next.said);
    (next, said)
}

#[test]
fn a_restarted_agent_finds_its_task_alive() {
    let running = [Running { id: "c".to_owned(), pid: 70 }];
    let (mut world, said) = restarted(World::running(), &[1], &running, Vec::new());
    assert_eq!(said, ["watch"]);
    assert_eq!(world.step(Input::Connected), ["send 2 Running/Running"]);
    assert_eq!(world.tasks.views().next().and_then(|view| view.pid), Some(70));
    assert_eq!(world.step(exit(ExitStatus::Code(0))), ["end Some(70)"]);
}

#[test]
fn a_restarted_agent_misses_no_exit() {
    let Input::Exited(exit) = exit(ExitStatus::Code(3)) else { unreachable!("it is one") };
    let (mut world, said) = restarted(World::running(), &[1, 2], &[], vec![exit]);
    assert_eq!(said, ["end None"]);
    assert_eq!(
        world.ended(Figures::default())[..2],
        ["record Failed Executor: Command exited with status 3", "collected 1"]
    );
}

#[test]
fn a_restarted_agent_tells_what_it_cannot_know() {
    let (mut world, said) = restarted(World::running(), &[1, 2], &[], Vec::new());
    assert_eq!(said, ["end None"]);
    let said = world.ended(Figures::default());
    assert!(said[0].starts_with("record Failed Agent ExecutorTerminated"), "{said:?}");

    // A checkpoint and no start.
    let (mut world, said) = restarted(World::new(), &[], &[], Vec::new());
    assert_eq!(said, ["end None"]);
    let said = world.ended(Figures::default());
    assert!(said[0].starts_with("record Dropped Agent AgentRestarted"), "{said:?}");
}

#[test]
fn a_restarted_agent_forgets_what_was_acknowledged_to_the_end() {
    let mut world = World::running();
    world.step(exit(ExitStatus::Code(0)));
    world.ended(Figures::default());
    assert_eq!(world.recorded.last().map(|status| status.state), Some(State::Finished));
    let (world, said) = restarted(world, &[1, 2, 3], &[], Vec::new());
    assert_eq!(said, ["forget"]);
    assert!(world.tasks.all_acknowledged());
}

#[test]
fn a_stopping_agent_ends_everything_and_takes_nothing_new() {
    let mut world = World::running();
    assert_eq!(world.step(Input::StopAll), ["SIGTERM Some(70)"]);
    let other = Spec {
        key: TaskKey { task: "u".to_owned(), ..key() },
        container: "d".to_owned(),
        ..spec()
    };
    assert_eq!(world.step(Input::Launch(Arc::new(other))), ["send 3 Dropped/Dropped"]);
    world.step(exit(ExitStatus::Signal(15)));
    let said = world.ended(Figures::default());
    assert!(said[0].starts_with("record Killed Agent: The agent was told to stop"), "{said:?}");
    assert!(world.tasks.all_ended());
}
