//! One tree for all controllers.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use rustix::fs::inotify;
use rustix::process::{Pid, Signal, kill_process};

use crate::files::{self, field};
use crate::limits::quota_micros;
use crate::{
    ContainerId, CpuUsage, CreateError, Description, Enforcer, Entry, GroupError, KillError,
    Limits, MemoryEvents, MemoryLimit, MemoryUsage, Usage, Version,
};

/// Controllers that limits are set on.
pub(crate) const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The unified tree of one pool.
#[derive(Debug)]
pub(crate) struct V2 {
    base: PathBuf,
    /// Those of [`CONTROLLERS`] that are enabled for the children of `base`.
    controllers: Vec<&'static str>,
}

impl V2 {
    pub(crate) fn new(base: PathBuf, controllers: Vec<&'static str>) -> Self {
        Self { base, controllers }
    }

    pub(crate) fn controls(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }

    fn dir(&self, id: &ContainerId) -> PathBuf {
        self.base.join(id.as_str())
    }

    fn reopen(&self) -> Result<(), CreateError> {
        let all_pools = self.base.parent().unwrap_or(&self.base);
        for dir in [all_pools, &self.base] {
            files::make(dir)?;
            enable(dir);
        }
        Ok(())
    }

    fn apply(&self, dir: &Path, limits: &Limits) -> Result<(), CreateError> {
        if let Some(weight) = limits.weight() {
            files::set(&dir.join("cpu.weight"), &weight.to_string())?;
        }
        if let Some(quota) = limits.cpu_quota {
            let (quota, period) = quota_micros(quota);
            files::set(&dir.join("cpu.max"), &format!("{quota} {period}"))?;
        }
        if let Some(memory) = limits.memory {
            set_memory(dir, memory)?;
        }
        if let Some(pids) = limits.pids {
            let most = i64::try_from(pids).unwrap_or(i64::MAX);
            PidController::new(dir.to_owned(), dir.to_owned(), true)
                .set_pid_max(MaxValue::Value(most))
                .map_err(files::refused(&dir.join("pids.max"), most))?;
        }
        Ok(())
    }
}

impl Enforcer for V2 {
    fn describe(&self) -> Description {
        let controllers = self.controllers.iter().map(|&c| c.to_owned()).collect();
        Description { version: Version::V2, controllers, bases: vec![self.base.clone()] }
    }

    fn create(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError> {
        limits.check(|c| self.controls(c))?;
        if !self.base.exists() {
            // Another agent of the pool closed it.
            self.reopen()?;
        }
        let dir = self.dir(id);
        files::make(&dir)?;
        self.apply(&dir, limits).inspect_err(|_| {
            // Nothing has entered yet, so this removal cannot be refused for a process inside.
            let _ = files::remove(&dir, Instant::now());
        })
    }

    fn update(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError> {
        limits.check(|c| self.controls(c))?;
        self.apply(&self.dir(id), limits)
    }

    fn entry(&self, id: &ContainerId) -> Entry {
        Entry { unified: Some(self.dir(id)), join: Vec::new() }
    }

    fn processes(&self, id: &ContainerId) -> Result<Vec<i32>, GroupError> {
        files::pids(&self.dir(id).join("cgroup.procs"))
    }

    fn usage(&self, id: &ContainerId) -> Result<Usage, GroupError> {
        let dir = self.dir(id);
        // The kernel keeps cpu.stat in every group, with or without the controller.
        let cpu = files::read(&dir.join("cpu.stat")).map(|stat| cpu_usage(&stat))?;
        let memory = self.controls("memory").then(|| memory_usage(&dir)).transpose()?;
        let pids = self.controls("pids").then(|| crate::v1::pids_usage(&dir)).transpose()?;
        Ok(Usage { cpu: Some(cpu), memory, pids })
    }

    fn memory_events(&self, id: &ContainerId) -> Result<Option<MemoryEvents>, GroupError> {
        if !self.controls("memory") {
            return Ok(None);
        }
        let dir = self.dir(id);
        let events = files::read(&dir.join("memory.events"))?;
        Ok(Some(MemoryEvents {
            oom_kills: field(&events, "oom_kill"),
            limit_hits: field(&events, "max"),
            peak: peak(&dir),
            limit: files::number(&dir.join("memory.max"))?,
        }))
    }

    fn memory_watch(&self, id: &ContainerId) -> Result<Option<OwnedFd>, GroupError> {
        if !self.controls("memory") {
            return Ok(None);
        }
        let path = self.dir(id).join("memory.events");
        // The watch itself reports a missing file as ENOENT without a path; open it for the error's sake.
        File::open(&path).map_err(|source| GroupError::File { path: path.clone(), source })?;
        let failed =
            |e: rustix::io::Errno| GroupError::File { path: path.clone(), source: e.into() };
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(failed)?;
        inotify::add_watch(&watch, &path, inotify::WatchFlags::MODIFY).map_err(failed)?;
        Ok(Some(watch))
    }

    fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<(), GroupError> {
        files::write(&self.dir(id).join("cgroup.freeze"), if frozen { "1" } else { "0" })
    }

    fn kill(&self, id: &ContainerId, within: Duration) -> Result<(), KillError> {
        let dir = self.dir(id);
        let procs = dir.join("cgroup.procs");
        let deadline = Instant::now() + within;
        match files::write(&dir.join("cgroup.kill"), "1") {
            Ok(()) => {}
            // Before Linux 5.14, or the group is gone: then there is nobody to signal.
            Err(GroupError::Gone { .. }) => signal_all(self, id, &procs)?,
            Err(error) => return Err(error.into()),
        }
        let left = files::wait_empty(&procs, deadline)?;
        match left.first() {
            None => Ok(()),
            Some(&first) => Err(KillError::StillAlive { path: dir, count: left.len(), first }),
        }
    }

    fn remove(&self, id: &ContainerId, within: Duration) -> Result<(), KillError> {
        files::remove(&self.dir(id), Instant::now() + within)
    }

    fn close(&self) {
        files::remove_base(&self.base);
    }

    fn containers(&self) -> Result<Vec<ContainerId>, GroupError> {
        let names = files::children(&self.base)?;
        Ok(names.into_iter().filter_map(|name| ContainerId::try_from(name).ok()).collect())
    }
}

/// Hands what controllers a group has, of those wanted here, on to its children. A refusal shows later:
/// the controller is then not among those of the base.
pub(crate) fn enable(dir: &Path) {
    for controller in CONTROLLERS {
        let offered = files::read(&dir.join("cgroup.controllers")).unwrap_or_default();
        let enabled = files::read(&dir.join("cgroup.subtree_control")).unwrap_or_default();
        let listed = |list: &str| list.split(' ').any(|c| c == controller);
        if listed(&offered) && !listed(&enabled) {
            let _ = files::write(&dir.join("cgroup.subtree_control"), &format!("+{controller}"));
        }
    }
}

/// Without `cgroup.kill`: frozen processes cannot fork between the look and the signal, and v2 kills
/// what is frozen.
fn signal_all(tree: &V2, id: &ContainerId, procs: &Path) -> Result<(), GroupError> {
    if files::pids(procs)?.is_empty() {
        return Ok(());
    }
    tree.freeze(id, true)?;
    for pid in files::pids(procs)?.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
    tree.freeze(id, false)
}

fn set_memory(dir: &Path, limit: MemoryLimit) -> Result<(), CreateError> {
    let memory = MemController::new(dir.to_owned(), dir.to_owned(), true);
    let hard = i64::try_from(limit.hard.0).unwrap_or(i64::MAX);
    memory.set_limit(hard).map_err(files::refused(&dir.join("memory.max"), hard))?;
    // Swap is a limit of its own here; none of it, or the limit would not bite.
    let swap = dir.join("memory.swap.max");
    if swap.exists() {
        memory.set_memswap_limit(0).map_err(files::refused(&swap, 0))?;
    }
    if let Some(request) = limit.request {
        let low = i64::try_from(request.0).unwrap_or(i64::MAX);
        memory.set_soft_limit(low).map_err(files::refused(&dir.join("memory.low"), low))?;
    }
    Ok(())
}

fn cpu_usage(stat: &str) -> CpuUsage {
    let micros = |key| Duration::from_micros(field(stat, key));
    CpuUsage {
        user: micros("user_usec"),
        system: micros("system_usec"),
        periods: field(stat, "nr_periods"),
        throttled_periods: field(stat, "nr_throttled"),
        throttled: micros("throttled_usec"),
    }
}

fn memory_usage(dir: &Path) -> Result<MemoryUsage, GroupError> {
    let stat = files::read(&dir.join("memory.stat"))?;
    Ok(MemoryUsage {
        current: files::number(&dir.join("memory.current"))?.unwrap_or(0),
        peak: peak(dir),
        limit: files::number(&dir.join("memory.max"))?,
        anonymous: field(&stat, "anon"),
        file: field(&stat, "file"),
    })
}

/// `memory.peak` came with Linux 5.19.
fn peak(dir: &Path) -> Option<u64> {
    files::number(&dir.join("memory.peak")).ok().flatten()
}
