//! The hierarchies of the machine that runs the tests, whichever it has: limits bite, counters tell, nothing
//! is left. Left out, loudly, where this process may not make groups.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cgroups::{
    ContainerId, CreateError, DetectError, Enforcer, KillError, Limits, MemoryLimit, Options,
    Version, detect,
};
use types::{Bytes, MilliCpu};

const SOON: Duration = Duration::from_secs(10);

/// An enforcer with a pool of the test's own; `None` where there is no right to it.
fn enforcer(test: &str) -> Option<Guarded> {
    let pool = format!("test-{test}-{}", std::process::id());
    match detect(&Options { root: None, pool }) {
        Ok(enforcer) if enforcer.describe().controllers.iter().any(|c| c == "memory") => {
            Some(Guarded(enforcer))
        }
        Ok(_) | Err(DetectError::NotPermitted { .. } | DetectError::NotMounted { .. }) => {
            assert!(std::env::var_os("CI").is_none(), "CI must be able to make cgroups");
            eprintln!("LEFT OUT: no right to make cgroups with a memory controller here");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// An enforcer whose container goes with it, also when a test fails.
struct Guarded(Arc<dyn Enforcer>);

impl std::ops::Deref for Guarded {
    type Target = dyn Enforcer;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.kill(&id("c"), SOON);
        let _ = self.remove(&id("c"), SOON);
        self.close();
    }
}

fn id(name: &str) -> ContainerId {
    ContainerId::try_from(name.to_owned()).expect("an id")
}

/// A shell that enters the container and then does what it is told. (The agent's holder enters in another
/// way, which its own tests show.)
fn run(enforcer: &dyn Enforcer, id: &ContainerId, script: &str) -> Child {
    let entry = enforcer.entry(id);
    let unified = entry.unified.map(|dir| dir.join("cgroup.procs"));
    let mut whole = String::new();
    for file in unified.iter().chain(&entry.join) {
        whole += &format!("echo 0 > {} || exit 99\n", file.display());
    }
    whole += script;
    Command::new("sh").arg("-c").arg(whole).stdout(Stdio::piped()).spawn().expect("a shell")
}

fn groups(enforcer: &dyn Enforcer, id: &ContainerId) -> Vec<PathBuf> {
    let bases = enforcer.describe().bases;
    bases.into_iter().map(|base| base.join(id.as_str())).filter(|dir| dir.exists()).collect()
}

fn finish(enforcer: &dyn Enforcer, id: &ContainerId) {
    enforcer.kill(id, SOON).expect("killed");
    enforcer.remove(id, SOON).expect("removed");
    assert!(groups(enforcer, id).is_empty());
    enforcer.remove(id, SOON).expect("a second removal is none");
    enforcer.close();
    assert!(enforcer.describe().bases.iter().all(|base| !base.exists()));
}

fn memory(hard: u64) -> Limits {
    let hard = Bytes(hard);
    Limits { memory: Some(MemoryLimit { hard, request: None }), ..Limits::default() }
}

#[test]
fn the_declared_values_are_in_the_kernels_files() {
    let Some(enforcer) = enforcer("values") else { return };
    let id = id("c");
    let limits = Limits {
        cpu_request: Some(MilliCpu(250)),
        cpu_quota: Some(MilliCpu(500)),
        pids: Some(64),
        ..memory(256 << 20)
    };
    enforcer.create(&id, &limits).expect("made");
    let read = |name: &str| {
        let file = groups(&*enforcer, &id).into_iter().map(|g| g.join(name)).find(|f| f.exists());
        fs::read_to_string(file.expect(name)).expect(name).trim().to_owned()
    };
    if enforcer.describe().version == Version::V2 {
        assert_eq!(
            (read("memory.max"), read("cpu.max")),
            ("268435456".into(), "50000 100000".into())
        );
    } else {
        assert_eq!(read("memory.limit_in_bytes"), "268435456");
        assert_eq!((read("cpu.shares"), read("cpu.cfs_quota_us")), ("256".into(), "50000".into()));
    }
    assert_eq!(read("pids.max"), "64");
    // Up and down again: the kernel takes them in one order only.
    enforcer.update(&id, &memory(512 << 20)).expect("raised");
    enforcer.update(&id, &memory(64 << 20)).expect("lowered");
    let events = enforcer.memory_events(&id).expect("read").expect("memory");
    assert_eq!(events.limit, Some(64 << 20));
    finish(&*enforcer, &id);
}

#[test]
fn a_value_that_the_kernel_refuses_leaves_nothing() {
    let Some(enforcer) = enforcer("refused") else { return };
    let id = id("c");
    let limits = Limits { cpu_quota: Some(MilliCpu(u64::MAX / 1_000_000)), ..Limits::default() };
    let error = enforcer.create(&id, &limits).expect_err("the kernel's longest quota is shorter");
    assert!(matches!(error, CreateError::Refused { .. }), "{error}");
    assert!(groups(&*enforcer, &id).is_empty());
    enforcer.close();
}

#[test]
fn the_memory_limit_bites_and_is_told_also_for_a_grandchild() {
    let Some(enforcer) = enforcer("oom") else { return };
    let id = id("c");
    enforcer.create(&id, &memory(32 << 20)).expect("made");
    assert_eq!(enforcer.memory_events(&id).expect("read").expect("memory").oom_kills, 0);
    let watch = enforcer.memory_watch(&id).expect("watched").expect("memory");
    // The shell lives on when its child is killed.
    let script = "sh -c 'x=$(head -c 100000000 /dev/zero | tr \"\\0\" x)'; sleep 1000";
    let mut child = run(&*enforcer, &id, script);
    wait_readable(&watch);
    // The event comes when the limit is hit, the count when the kernel has killed.
    let events = loop {
        let events = enforcer.memory_events(&id).expect("read").expect("memory");
        if events.oom_kills > 0 {
            break events;
        }
        std::thread::yield_now();
    };
    assert_eq!(events.limit, Some(32 << 20));
    finish(&*enforcer, &id);
    child.wait().expect("reaped");
}

fn wait_readable(fd: &OwnedFd) {
    let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, None).expect("an event");
}

#[test]
fn a_fork_bomb_is_held_by_its_limit_and_dies_whole() {
    let Some(enforcer) = enforcer("bomb") else { return };
    let id = id("c");
    let limits = Limits { pids: Some(40), ..Limits::default() };
    enforcer.create(&id, &limits).expect("made");
    // Each has a session of its own, so that no signal to a group reaches them all.
    let mut child =
        run(&*enforcer, &id, "b() { setsid sh -c \"$0\" & b | b & }; b 2>/dev/null; sleep 1000");
    loop {
        let pids = enforcer.usage(&id).expect("read").pids.expect("pids");
        assert!(pids.current <= 40, "{pids:?}");
        if pids.refused > 0 {
            break;
        }
        std::thread::yield_now();
    }
    finish(&*enforcer, &id);
    child.wait().expect("reaped");
}

#[test]
fn a_frozen_container_uses_no_time_and_dies_nevertheless() {
    let Some(enforcer) = enforcer("freeze") else { return };
    let id = id("c");
    enforcer.create(&id, &Limits::default()).expect("made");
    let mut child = run(&*enforcer, &id, "while :; do :; done");
    let used = || {
        let cpu = enforcer.usage(&id).expect("read").cpu.expect("cpu");
        cpu.user + cpu.system
    };
    while used() < Duration::from_millis(20) {
        std::thread::yield_now();
    }
    enforcer.freeze(&id, true).expect("frozen");
    enforcer.freeze(&id, false).expect("thawed");
    let before = used();
    while used() == before {
        std::thread::yield_now();
    }
    enforcer.freeze(&id, true).expect("frozen");
    finish(&*enforcer, &id);
    child.wait().expect("reaped");
}

#[test]
fn a_container_with_a_process_is_not_removed() {
    let Some(enforcer) = enforcer("busy") else { return };
    let id = id("c");
    enforcer.create(&id, &Limits::default()).expect("made");
    let mut child = run(&*enforcer, &id, "echo in; exec sleep 1000");
    let mut line = [0; 3];
    let out = child.stdout.as_mut().expect("piped");
    std::io::Read::read_exact(out, &mut line).expect("it is in");
    assert!(
        enforcer.processes(&id).expect("read").contains(&i32::try_from(child.id()).expect("a pid"))
    );
    let error = enforcer.remove(&id, Duration::from_millis(5)).expect_err("busy");
    assert!(matches!(error, KillError::Remove { .. }), "{error}");
    finish(&*enforcer, &id);
    child.wait().expect("reaped");
}
