//! Outputs that block, carried out on threads: making, signalling, watching and ending containers.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use cgroups::{ContainerId, Limits, MemoryLimit};
use rustix::process::Signal;
use serde_json::{Value, json};
use types::{Bytes, MilliCpu};

use crate::command;
use crate::containers::{Containers, EndError, Remains, pollable};
use crate::error::chain;
use crate::holder::wire;
use crate::store::Store;
use crate::task::{Spec, TaskLimits};
use crate::tasks::Figures;
use crate::users;

/// Between two attempts to end a container that would not end.
const STUBBORN: Duration = Duration::from_secs(5);

/// Records the task, makes its sandbox and its groups. What the holder is to run is the result.
///
/// The record comes first: whatever happens after it is found by the next agent.
pub(crate) fn prepare(
    store: &Store,
    containers: &Containers,
    node: &command::Node,
    spec: &Spec,
) -> Result<wire::Spawn, String> {
    store.set_task(spec).map_err(|e| format!("cannot record the task: {}", chain(&e)))?;
    let user = match &spec.user {
        Some(name) => users::resolve(name).map_err(|e| chain(&e))?,
        None => None,
    };
    let sandbox = store
        .layout()
        .make_sandbox(&spec.run(), user.as_ref())
        .map_err(|e| format!("cannot make the sandbox: {e}"))?;
    let environment = command::environment(spec, node, &sandbox);
    let (program, argv) =
        command::resolve(&spec.command, &environment, &sandbox).map_err(|e| e.to_string())?;
    let id = container_id(spec);
    let entry = containers.create(&id, &limits(&spec.limits)).map_err(|e| chain(&e))?;
    Ok(wire::Spawn {
        id: spec.container.clone(),
        program,
        argv,
        env: environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        stdout: sandbox.join("stdout"),
        stderr: sandbox.join("stderr"),
        cwd: sandbox,
        user,
        unified: entry.unified,
        join: entry.join,
    })
}

/// SIGTERM to every process of the container.
pub(crate) fn terminate(containers: &Containers, spec: &Spec, holder: i32, first: Option<i32>) {
    if let Err(error) = containers.signal(&container_id(spec), holder, first, Signal::TERM) {
        tracing::warn!(task = %spec.key, error = chain(&error), "cannot send SIGTERM");
    }
}

/// Ends the container. What cannot be ended is told in the figures, and tried again without end.
pub(crate) fn end(
    containers: &Containers,
    spec: &Spec,
    holder: i32,
    first: Option<i32>,
) -> Figures {
    let id = container_id(spec);
    match containers.end(&id, holder, first) {
        Ok(remains) => figures(&remains),
        Err(error) => {
            let why = chain(&error);
            tracing::error!(task = %spec.key, error = why, "a container would not end; trying on");
            let (containers, task) = (containers.clone(), spec.key.clone());
            let again = move || {
                while let Err(error) = containers.end(&id, holder, None) {
                    tracing::debug!(%task, error = chain(&error), "still not ended");
                    std::thread::sleep(STUBBORN);
                }
                tracing::info!(%task, "the container ended at last");
            };
            // A thread of its own: a runtime that ends must not wait for it.
            let _ = std::thread::Builder::new().name("stubborn".to_owned()).spawn(again);
            Figures { leftover: Some(leftover(&error)), ..Figures::default() }
        }
    }
}

/// Between two looks at the counters after an event: at first, and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// Waits until the kernel kills in the container for want of memory: `true`. `false` when the container
/// is gone, or nobody would tell.
pub(crate) async fn out_of_memory(containers: Containers, spec: Arc<Spec>) -> bool {
    let id = container_id(&spec);
    let watch = match containers.memory_watch(&id) {
        Ok(Some(watch)) => watch,
        Ok(None) => return false,
        Err(error) => {
            // The counters are read at the end in any case; only a killed grandchild is found later.
            tracing::warn!(task = %spec.key, error = chain(&error), "cannot watch for out-of-memory");
            return false;
        }
    };
    let Ok(watch) = pollable(watch) else { return false };
    // The event comes when the limit is hit, the count when the kernel has killed, some time later: after
    // an event the counters are looked at again and again, ever less often.
    let mut pause = None;
    loop {
        match containers.memory_events(&id) {
            None => return false,
            Some(events) if events.oom_kills > 0 => return true,
            Some(_) => {}
        }
        let woken = match pause {
            None => Ok(watch.readable().await),
            Some(pause) => tokio::time::timeout(pause, watch.readable()).await,
        };
        pause = match woken {
            Err(_) => pause.map(|pause| (pause * 2).min(LOOK_AGAIN.1)),
            Ok(Err(_)) => return false,
            Ok(Ok(mut ready)) => {
                // An eventfd gives 8 bytes, inotify its events: what they say is read from the counters.
                let mut events = [0; 4096];
                while rustix::io::read(watch.as_fd(), &mut events).is_ok_and(|n| n > 0) {}
                ready.clear_ready();
                Some(LOOK_AGAIN.0)
            }
        };
    }
}

/// What a container uses, as `/containers` tells it, in Mesos's names.
pub(crate) fn describe(containers: &Containers, spec: &Spec) -> Value {
    let usage = containers.usage(&container_id(spec));
    let mut statistics = serde_json::Map::new();
    if let Some(cpu) = usage.cpu {
        statistics.insert("cpus_user_time_secs".to_owned(), json!(cpu.user.as_secs_f64()));
        statistics.insert("cpus_system_time_secs".to_owned(), json!(cpu.system.as_secs_f64()));
        statistics.insert("cpus_nr_periods".to_owned(), json!(cpu.periods));
        statistics.insert("cpus_nr_throttled".to_owned(), json!(cpu.throttled_periods));
        let throttled = cpu.throttled.as_secs_f64();
        statistics.insert("cpus_throttled_time_secs".to_owned(), json!(throttled));
    }
    if let Some(memory) = usage.memory {
        statistics.insert("mem_total_bytes".to_owned(), json!(memory.current));
        statistics.insert("mem_limit_bytes".to_owned(), json!(memory.limit));
        statistics.insert("mem_anon_bytes".to_owned(), json!(memory.anonymous));
        statistics.insert("mem_file_bytes".to_owned(), json!(memory.file));
        statistics.insert("mem_peak_bytes".to_owned(), json!(memory.peak));
    }
    if let Some(pids) = usage.pids {
        statistics.insert("threads".to_owned(), json!(pids.current));
        statistics.insert("threads_limit".to_owned(), json!(pids.limit));
    }
    json!({
        "container_id": spec.container,
        "executor_id": spec.key.task,
        "framework_id": spec.key.framework,
        "statistics": statistics,
    })
}

/// A container id that a spec carries was made by us, or checked when it was read.
fn container_id(spec: &Spec) -> ContainerId {
    ContainerId::try_from(spec.container.clone()).expect("container ids are UUIDs")
}

fn limits(asked: &TaskLimits) -> Limits {
    Limits {
        cpu_request: asked.cpu_request_milli.map(MilliCpu),
        cpu_quota: asked.cpu_quota_milli.map(MilliCpu),
        memory: asked.memory_hard_bytes.map(|hard| MemoryLimit {
            hard: Bytes(hard),
            request: asked.memory_request_bytes.map(Bytes),
        }),
        pids: asked.pids,
        unsupported: asked.unsupported.clone(),
    }
}

fn figures(remains: &Remains) -> Figures {
    let memory = remains.memory.unwrap_or_default();
    Figures {
        oom_kills: memory.oom_kills,
        memory_peak: memory.peak,
        memory_limit: memory.limit,
        forks_refused: remains.usage.pids.map_or(0, |pids| pids.refused),
        leftover: None,
    }
}

fn leftover(error: &EndError) -> String {
    format!("not all of the container could be removed yet: {}", chain(error))
}
