//! Containers as the host knows them: groups, processes, figures. Every call may block.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cgroups::{
    ContainerId, CreateError, Enforcer, Entry, GroupError, KillError, Limits, MemoryEvents, Usage,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::processes;

/// How long the kernel may take to end and remove what was killed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at processes that were killed and no group tells about.
const RETRY: Duration = Duration::from_millis(1);

/// The containers of this agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Containers {
    enforcer: Option<Arc<dyn Enforcer>>,
}

/// What was found when a container ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Remains {
    /// What the memory controller did to it, where there is one.
    pub(crate) memory: Option<MemoryEvents>,
    /// What it used in all.
    pub(crate) usage: Usage,
}

/// Why a container could not be ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndError {
    #[error(transparent)]
    Kill(#[from] KillError),
    #[error("{count} processes of the container outlive SIGKILL (first: {first})")]
    StillAlive { count: usize, first: i32 },
}

impl Containers {
    pub(crate) fn new(enforcer: Option<Arc<dyn Enforcer>>) -> Self {
        Self { enforcer }
    }

    /// Makes the groups; nothing to do without enforcement.
    pub(crate) fn create(&self, id: &ContainerId, limits: &Limits) -> Result<Entry, CreateError> {
        let Some(enforcer) = &self.enforcer else { return Ok(Entry::default()) };
        enforcer.create(id, limits)?;
        Ok(enforcer.entry(id))
    }

    /// A descriptor that wakes at out-of-memory events, where they are told.
    pub(crate) fn memory_watch(&self, id: &ContainerId) -> Result<Option<OwnedFd>, GroupError> {
        self.enforcer.as_ref().map_or(Ok(None), |e| e.memory_watch(id))
    }

    /// What the memory controller did so far.
    pub(crate) fn memory_events(&self, id: &ContainerId) -> Option<MemoryEvents> {
        self.enforcer.as_ref().and_then(|e| e.memory_events(id).ok().flatten())
    }

    /// What it uses; all `None` without enforcement.
    pub(crate) fn usage(&self, id: &ContainerId) -> Usage {
        self.enforcer.as_ref().and_then(|e| e.usage(id).ok()).unwrap_or_default()
    }

    /// Sends a signal to every process of the container.
    pub(crate) fn signal(
        &self,
        id: &ContainerId,
        holder: i32,
        first: Option<i32>,
        signal: Signal,
    ) -> Result<(), GroupError> {
        let pids = match &self.enforcer {
            Some(enforcer) => enforcer.processes(id)?,
            None => processes::of_container(holder, first, id.as_str()),
        };
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            // One that ended meanwhile needs no signal.
            let _ = kill_process(pid, signal);
        }
        Ok(())
    }

    /// Kills what is left, reads the figures, removes the groups. Afterwards nothing of the container
    /// is left in the kernel.
    pub(crate) fn end(
        &self,
        id: &ContainerId,
        holder: i32,
        first: Option<i32>,
    ) -> Result<Remains, EndError> {
        let Some(enforcer) = &self.enforcer else {
            kill_listed(id, holder, first)?;
            return Ok(Remains::default());
        };
        enforcer.kill(id, END_WITHIN)?;
        // Only now: exit and counters come in no fixed order, but an empty group counts no more.
        let remains = Remains { memory: self.memory_events(id), usage: self.usage(id) };
        enforcer.remove(id, END_WITHIN)?;
        Ok(remains)
    }

    /// Removes the pool's directories from the cgroup trees, if no other agent has a container there.
    pub(crate) fn close(&self) {
        if let Some(enforcer) = &self.enforcer {
            enforcer.close();
        }
    }
}

fn kill_listed(id: &ContainerId, holder: i32, first: Option<i32>) -> Result<(), EndError> {
    let deadline = Instant::now() + END_WITHIN;
    loop {
        let pids = processes::of_container(holder, first, id.as_str());
        let Some(&one) = pids.first() else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(EndError::StillAlive { count: pids.len(), first: one });
        }
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(RETRY);
    }
}

/// Lets an async caller wait for the descriptor of [`Containers::memory_watch`].
pub(crate) fn pollable(fd: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    #[allow(
        deprecated,
        reason = "the unsafe new form is for types that may close early; OwnedFd may not"
    )]
    tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)
}
