//! The unified interface on a plain directory that stands in for its root: which files are written, and how
//! the kernel's answers are read. What only a kernel does (killing, OOM) is not shown here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cgroups::{
    ContainerId, CreateError, DetectError, Entry, Limits, MemoryEvents, MemoryLimit, Options,
    Version, detect,
};
use types::{Bytes, MilliCpu};

/// A directory with the files that a v2 root with three controllers has.
fn root() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = dir.path().join("troupe/p");
    fs::create_dir_all(&pool).expect("made");
    for group in [dir.path(), pool.parent().expect("troupe"), &pool] {
        fs::write(group.join("cgroup.controllers"), "cpu io memory pids\n").expect("written");
        // The kernel would show what was enabled by writes of `+cpu`.
        fs::write(group.join("cgroup.subtree_control"), "cpu memory pids\n").expect("written");
    }
    dir
}

fn options(root: &Path) -> Options {
    Options { root: Some(root.to_owned()), pool: "p".to_owned() }
}

fn id() -> ContainerId {
    ContainerId::try_from("c1".to_owned()).expect("an id")
}

fn limits() -> Limits {
    Limits {
        cpu_request: Some(MilliCpu(250)),
        cpu_quota: Some(MilliCpu(500)),
        memory: Some(MemoryLimit { hard: Bytes(256 << 20), request: Some(Bytes(128 << 20)) }),
        pids: Some(64),
        unsupported: Vec::new(),
    }
}

#[test]
fn limits_are_written_in_the_units_of_the_interface() {
    let root = root();
    let enforcer = detect(&options(root.path())).expect("a v2 tree");
    let described = enforcer.describe();
    assert_eq!(described.version, Version::V2);
    assert_eq!(described.controllers, ["cpu", "memory", "pids"]);
    enforcer.create(&id(), &limits()).expect("made");
    let group = root.path().join("troupe/p/c1");
    let file = |name: &str| fs::read_to_string(group.join(name)).expect(name);
    assert_eq!(file("cpu.weight"), "25");
    assert_eq!(file("cpu.max"), "50000 100000");
    assert_eq!(file("memory.max"), "268435456");
    assert_eq!(file("memory.low"), "134217728");
    assert_eq!(file("pids.max"), "64");
    assert_eq!(enforcer.entry(&id()), Entry { unified: Some(group), join: Vec::new() });
}

#[test]
fn counters_are_read_as_the_kernel_prints_them() {
    let root = root();
    let enforcer = detect(&options(root.path())).expect("a v2 tree");
    enforcer.create(&id(), &limits()).expect("made");
    let group = root.path().join("troupe/p/c1");
    let events = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n";
    let cpu = "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 9\nnr_throttled 4\n\
               throttled_usec 77\n";
    for (name, text) in [
        ("memory.events", events),
        ("memory.peak", "268435456\n"),
        ("memory.current", "1000\n"),
        ("memory.stat", "anon 600\nfile 400\nkernel 7\n"),
        ("cpu.stat", cpu),
        ("pids.current", "3\n"),
        ("pids.events", "max 5\n"),
        ("cgroup.procs", "12\n13\n"),
    ] {
        fs::write(group.join(name), text).expect("written");
    }
    assert_eq!(
        enforcer.memory_events(&id()).expect("read"),
        Some(MemoryEvents {
            oom_kills: 1,
            limit_hits: 31,
            peak: Some(256 << 20),
            limit: Some(256 << 20)
        })
    );
    let usage = enforcer.usage(&id()).expect("read");
    let cpu = usage.cpu.expect("cpu");
    assert_eq!((cpu.user, cpu.system), (Duration::from_micros(20), Duration::from_micros(10)));
    assert_eq!((cpu.throttled_periods, cpu.throttled), (4, Duration::from_micros(77)));
    let memory = usage.memory.expect("memory");
    assert_eq!((memory.current, memory.anonymous, memory.file), (1000, 600, 400));
    let pids = usage.pids.expect("pids");
    assert_eq!((pids.current, pids.limit, pids.refused), (3, Some(64), 5));
    assert_eq!(enforcer.processes(&id()).expect("read"), [12, 13]);
    assert_eq!(enforcer.containers().expect("read"), [id()]);
}

#[test]
fn what_cannot_be_enforced_is_refused_by_name_and_leaves_nothing() {
    let root = root();
    for file in ["cgroup.controllers", "cgroup.subtree_control"] {
        fs::write(root.path().join("troupe/p").join(file), "cpu\n").expect("written");
    }
    let enforcer = detect(&options(root.path())).expect("a v2 tree");
    let error = enforcer.create(&id(), &limits()).expect_err("no memory controller");
    assert!(matches!(error, CreateError::NoController { controller: "memory", .. }), "{error}");
    let io = Limits { unsupported: vec!["io".to_owned()], ..Limits::default() };
    let error = enforcer.create(&id(), &io).expect_err("not supported");
    assert!(error.to_string().contains("\"io\""), "{error}");
    assert!(enforcer.containers().expect("read").is_empty());
}

#[test]
fn a_place_without_cgroups_or_a_bad_pool_is_told() {
    let empty = tempfile::tempdir().expect("a directory");
    let error = detect(&options(empty.path())).expect_err("nothing is mounted");
    assert!(matches!(error, DetectError::NotMounted { .. }), "{error}");
    let bad = Options { root: None, pool: "../x".to_owned() };
    assert!(matches!(detect(&bad), Err(DetectError::PoolName(_))));
}
