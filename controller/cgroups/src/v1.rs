//! One tree for each controller.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Pid, Signal, kill_process};

use crate::files::{self, field};
use crate::limits::quota_micros;
use crate::{
    ContainerId, CpuUsage, CreateError, Description, Enforcer, Entry, GroupError, KillError,
    Limits, MemoryEvents, MemoryLimit, MemoryUsage, PidsUsage, Usage, Version,
};

/// Controllers that get a group for each container, in the order a child joins them.
pub(crate) const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "freezer"];

/// The kernel's figure for "no memory limit": the largest page-aligned i64.
const NO_LIMIT: u64 = 0x7fff_ffff_ffff_f000;
/// How long a killed container may take before its processes are frozen to be killed: a fork bomb
/// outruns single signals.
const PLAIN_KILL: Duration = Duration::from_millis(20);

/// The v1 hierarchies of one pool.
#[derive(Debug)]
pub(crate) struct V1 {
    /// Controller to the directory whose children are the containers. Two that are mounted together
    /// have the same directory.
    bases: BTreeMap<&'static str, PathBuf>,
}

impl V1 {
    pub(crate) fn new(bases: BTreeMap<&'static str, PathBuf>) -> Self {
        Self { bases }
    }

    pub(crate) fn controls(&self, controller: &str) -> bool {
        self.bases.contains_key(controller)
    }

    fn dir(&self, controller: &str, id: &ContainerId) -> Option<PathBuf> {
        self.bases.get(controller).map(|base| base.join(id.as_str()))
    }

    /// Each directory of the container once.
    fn dirs(&self, id: &ContainerId) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = Vec::with_capacity(CONTROLLERS.len());
        for dir in CONTROLLERS.iter().filter_map(|c| self.dir(c, id)) {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        dirs
    }

    /// The file that is asked which processes there are. All trees hold the same processes.
    fn procs(&self, id: &ContainerId) -> Option<PathBuf> {
        ["freezer", "pids", "memory", "cpu", "cpuacct"]
            .iter()
            .find_map(|c| self.dir(c, id))
            .map(|dir| dir.join("cgroup.procs"))
    }

    fn apply(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError> {
        if let Some(dir) = self.dir("cpu", id) {
            set_cpu(&dir, limits)?;
        }
        if let (Some(dir), Some(memory)) = (self.dir("memory", id), limits.memory) {
            set_memory(&dir, memory)?;
        }
        if let (Some(dir), Some(pids)) = (self.dir("pids", id), limits.pids) {
            let most = i64::try_from(pids).unwrap_or(i64::MAX);
            PidController::new(dir.clone(), dir.clone(), false)
                .set_pid_max(MaxValue::Value(most))
                .map_err(files::refused(&dir.join("pids.max"), most))?;
        }
        Ok(())
    }
}

impl Enforcer for V1 {
    fn describe(&self) -> Description {
        let mut bases: Vec<PathBuf> = self.bases.values().cloned().collect();
        bases.sort();
        bases.dedup();
        let controllers = self.bases.keys().map(|&c| c.to_owned()).collect();
        Description { version: Version::V1, controllers, bases }
    }

    fn create(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError> {
        limits.check(|c| self.controls(c))?;
        for base in self.bases.values().filter(|base| !base.exists()) {
            // Another agent of the pool closed it.
            fs::create_dir_all(base)
                .map_err(|source| CreateError::Make { path: base.clone(), source })?;
        }
        let made = self.dirs(id).iter().try_for_each(|dir| files::make(dir));
        made.and_then(|()| self.apply(id, limits)).inspect_err(|_| {
            // Nothing has entered yet, so this removal cannot be refused for a process inside.
            for dir in self.dirs(id) {
                let _ = files::remove(&dir, Instant::now());
            }
        })
    }

    fn update(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError> {
        limits.check(|c| self.controls(c))?;
        self.apply(id, limits)
    }

    fn entry(&self, id: &ContainerId) -> Entry {
        let join = self.dirs(id).into_iter().map(|dir| dir.join("tasks")).collect();
        Entry { unified: None, join }
    }

    fn processes(&self, id: &ContainerId) -> Result<Vec<i32>, GroupError> {
        self.procs(id).map_or_else(|| Ok(Vec::new()), |procs| files::pids(&procs))
    }

    fn usage(&self, id: &ContainerId) -> Result<Usage, GroupError> {
        Ok(Usage {
            cpu: self.cpu_usage(id)?,
            memory: self.dir("memory", id).map(|dir| memory_usage(&dir)).transpose()?,
            pids: self.dir("pids", id).map(|dir| pids_usage(&dir)).transpose()?,
        })
    }

    fn memory_events(&self, id: &ContainerId) -> Result<Option<MemoryEvents>, GroupError> {
        let Some(dir) = self.dir("memory", id) else { return Ok(None) };
        Ok(Some(MemoryEvents {
            oom_kills: field(&files::read(&dir.join("memory.oom_control"))?, "oom_kill"),
            limit_hits: files::number(&dir.join("memory.failcnt"))?.unwrap_or(0),
            peak: files::number(&dir.join("memory.max_usage_in_bytes"))?,
            limit: memory_limit(&dir)?,
        }))
    }

    fn memory_watch(&self, id: &ContainerId) -> Result<Option<OwnedFd>, GroupError> {
        let Some(dir) = self.dir("memory", id) else { return Ok(None) };
        let control = dir.join("memory.oom_control");
        let failed = |source| GroupError::File { path: control.clone(), source };
        let watched = File::open(&control).map_err(failed)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| failed(e.into()))?;
        let registration = format!("{} {}", event.as_raw_fd(), watched.as_raw_fd());
        files::write(&dir.join("cgroup.event_control"), &registration)?;
        Ok(Some(event))
    }

    fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<(), GroupError> {
        let Some(dir) = self.dir("freezer", id) else { return Ok(()) };
        files::write(&dir.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
    }

    fn kill(&self, id: &ContainerId, within: Duration) -> Result<(), KillError> {
        let Some(procs) = self.procs(id) else { return Ok(()) };
        let deadline = Instant::now() + within;
        let mut plain = true;
        loop {
            // SIGKILL reaches a frozen process only when it thaws; freezing keeps it from forking
            // between the look and the signal.
            if !plain {
                let _ = self.freeze(id, true);
            }
            for pid in files::pids(&procs)?.into_iter().filter_map(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
            if !plain {
                let _ = self.freeze(id, false);
            }
            let round = deadline.min(Instant::now() + PLAIN_KILL);
            let left = files::wait_empty(&procs, round)?;
            let Some(&first) = left.first() else { return Ok(()) };
            if Instant::now() >= deadline {
                let path = procs.parent().map_or_else(|| procs.clone(), Path::to_owned);
                return Err(KillError::StillAlive { path, count: left.len(), first });
            }
            plain = false;
        }
    }

    fn remove(&self, id: &ContainerId, within: Duration) -> Result<(), KillError> {
        let deadline = Instant::now() + within;
        self.dirs(id).iter().try_for_each(|dir| files::remove(dir, deadline))
    }

    fn close(&self) {
        self.describe().bases.iter().for_each(|base| files::remove_base(base));
    }

    fn containers(&self) -> Result<Vec<ContainerId>, GroupError> {
        let mut names = Vec::new();
        for base in self.describe().bases {
            names.extend(files::children(&base)?);
        }
        names.sort();
        names.dedup();
        Ok(names.into_iter().filter_map(|name| ContainerId::try_from(name).ok()).collect())
    }
}

impl V1 {
    fn cpu_usage(&self, id: &ContainerId) -> Result<Option<CpuUsage>, GroupError> {
        let Some(account) = self.dir("cpuacct", id) else { return Ok(None) };
        let nanos = |file: &str| {
            files::number(&account.join(file)).map(|n| Duration::from_nanos(n.unwrap_or(0)))
        };
        let stat = match self.dir("cpu", id) {
            Some(dir) => files::read(&dir.join("cpu.stat"))?,
            None => String::new(),
        };
        Ok(Some(CpuUsage {
            user: nanos("cpuacct.usage_user")?,
            system: nanos("cpuacct.usage_sys")?,
            periods: field(&stat, "nr_periods"),
            throttled_periods: field(&stat, "nr_throttled"),
            throttled: Duration::from_nanos(field(&stat, "throttled_time")),
        }))
    }
}

fn set_cpu(dir: &Path, limits: &Limits) -> Result<(), CreateError> {
    let cpu = CpuController::new(dir.to_owned(), dir.to_owned(), false);
    if let Some(shares) = limits.shares() {
        cpu.set_shares(shares).map_err(files::refused(&dir.join("cpu.shares"), shares))?;
    }
    if let Some(quota) = limits.cpu_quota {
        let (quota, period) = quota_micros(quota);
        cpu.set_cfs_period(period)
            .map_err(files::refused(&dir.join("cpu.cfs_period_us"), period))?;
        cpu.set_cfs_quota(quota).map_err(files::refused(&dir.join("cpu.cfs_quota_us"), quota))?;
    }
    Ok(())
}

/// The kernel keeps `limit <= memory+swap limit` at each write, so the order turns with the direction.
fn set_memory(dir: &Path, limit: MemoryLimit) -> Result<(), CreateError> {
    let memory = MemController::new(dir.to_owned(), dir.to_owned(), false);
    let hard = i64::try_from(limit.hard.0).unwrap_or(i64::MAX);
    let set_hard =
        || memory.set_limit(hard).map_err(files::refused(&dir.join("memory.limit_in_bytes"), hard));
    let set_swap = || {
        let file = dir.join("memory.memsw.limit_in_bytes");
        if !file.exists() {
            return Ok(());
        }
        memory.set_memswap_limit(hard).map_err(files::refused(&file, hard))
    };
    let now = memory_limit(dir).ok().flatten();
    if now.is_some_and(|now| limit.hard.0 > now) {
        set_swap()?;
        set_hard()?;
    } else {
        set_hard()?;
        set_swap()?;
    }
    if let Some(request) = limit.request {
        let soft = i64::try_from(request.0).unwrap_or(i64::MAX);
        let file = dir.join("memory.soft_limit_in_bytes");
        memory.set_soft_limit(soft).map_err(files::refused(&file, soft))?;
    }
    Ok(())
}

fn memory_limit(dir: &Path) -> Result<Option<u64>, GroupError> {
    let limit = files::number(&dir.join("memory.limit_in_bytes"))?;
    Ok(limit.filter(|&limit| limit < NO_LIMIT))
}

fn memory_usage(dir: &Path) -> Result<MemoryUsage, GroupError> {
    let stat = files::read(&dir.join("memory.stat"))?;
    Ok(MemoryUsage {
        current: files::number(&dir.join("memory.usage_in_bytes"))?.unwrap_or(0),
        peak: files::number(&dir.join("memory.max_usage_in_bytes"))?,
        limit: memory_limit(dir)?,
        anonymous: field(&stat, "total_rss"),
        file: field(&stat, "total_cache"),
    })
}

/// The files of the pids controller, which both interfaces share.
pub(crate) fn pids_usage(dir: &Path) -> Result<PidsUsage, GroupError> {
    Ok(PidsUsage {
        current: files::number(&dir.join("pids.current"))?.unwrap_or(0),
        limit: files::number(&dir.join("pids.max"))?,
        refused: field(&files::read(&dir.join("pids.events"))?, "max"),
    })
}
