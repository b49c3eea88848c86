//! What every kind of hierarchy offers: the trait and its words.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::{CreateError, GroupError, KillError, Limits};

/// Makes, reads and ends the groups of containers. All calls block for as long as the kernel takes
/// (usually under a millisecond; `kill` and `remove` up to the time given), so an async caller uses a thread.
pub trait Enforcer: Send + Sync + fmt::Debug {
    /// Which kind of hierarchy this is and where its groups are.
    fn describe(&self) -> Description;

    /// Makes the container's groups and writes its limits. All or nothing: after an error no group is left.
    fn create(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError>;

    /// Writes new limits into existing groups.
    fn update(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError>;

    /// How a new process gets into the container.
    fn entry(&self, id: &ContainerId) -> Entry;

    /// The processes in the container, in no order. Empty when the groups are gone.
    fn processes(&self, id: &ContainerId) -> Result<Vec<i32>, GroupError>;

    /// What it used so far and uses now.
    fn usage(&self, id: &ContainerId) -> Result<Usage, GroupError>;

    /// What the memory controller did to it so far. `None` when memory is not controlled here.
    fn memory_events(&self, id: &ContainerId) -> Result<Option<MemoryEvents>, GroupError>;

    /// A descriptor that becomes readable at each out-of-memory event. The counters of
    /// [`Enforcer::memory_events`] say what happened, some milliseconds later on v1, where the event comes
    /// before the kernel has killed. The descriptor also wakes when the group is removed.
    fn memory_watch(&self, id: &ContainerId) -> Result<Option<OwnedFd>, GroupError>;

    /// Stops all processes of the container where they are, or lets them go on.
    fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<(), GroupError>;

    /// Ends every process in the container, fork bombs included; returns when it is empty.
    fn kill(&self, id: &ContainerId, within: Duration) -> Result<(), KillError>;

    /// Removes the groups of an empty container. No error when they are gone already.
    fn remove(&self, id: &ContainerId, within: Duration) -> Result<(), KillError>;

    /// Removes the pool's directories if no container is in them. A later [`Enforcer::create`], also by
    /// another agent of the pool, makes them again.
    fn close(&self);

    /// All containers of the pool that have groups, for finding orphans.
    fn containers(&self) -> Result<Vec<ContainerId>, GroupError>;
}

/// Which cgroup interface a host offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// One tree for each controller.
    V1,
    /// One tree for all.
    V2,
    /// Controllers in trees of v1, with an additional v2 tree that kills and places.
    Hybrid,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
        })
    }
}

/// Which kind of hierarchy an [`Enforcer`] drives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Description {
    /// The kind.
    pub version: Version,
    /// Controllers that limits can be set on, by the kernel's names, sorted.
    pub controllers: Vec<String>,
    /// The directories whose children are the containers' groups.
    pub bases: Vec<PathBuf>,
}

/// How a new process gets into a container's groups, in this order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// The v2 group to be born in (`clone3` with `CLONE_INTO_CGROUP`, or a write to its `cgroup.procs`).
    pub unified: Option<PathBuf>,
    /// Files to which the single-threaded child writes `0` before it execs. v1's `tasks`, which spares
    /// the lock that `cgroup.procs` takes.
    pub join: Vec<PathBuf>,
}

/// What a container used. Parts are `None` where their controller is absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// CPU time.
    pub cpu: Option<CpuUsage>,
    /// Memory.
    pub memory: Option<MemoryUsage>,
    /// Processes and threads.
    pub pids: Option<PidsUsage>,
}

/// CPU time used, since the container was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CpuUsage {
    /// In user code.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
    /// Periods in which it could run, under a quota.
    pub periods: u64,
    /// Periods in which it was held back by its quota.
    pub throttled_periods: u64,
    /// Time it was held back by its quota.
    pub throttled: Duration,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MemoryUsage {
    /// All that is charged now.
    pub current: u64,
    /// The most that was ever charged; `None` on kernels that do not keep it.
    pub peak: Option<u64>,
    /// The limit; `None` when there is none.
    pub limit: Option<u64>,
    /// Anonymous memory (heap, stacks).
    pub anonymous: u64,
    /// Page cache.
    pub file: u64,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PidsUsage {
    /// Alive now.
    pub current: u64,
    /// The limit; `None` when there is none.
    pub limit: Option<u64>,
    /// How often a fork was refused.
    pub refused: u64,
}

/// What the memory controller did to a container since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MemoryEvents {
    /// Processes of the container that the kernel killed for want of memory. Any makes it an OOM.
    pub oom_kills: u64,
    /// How often the limit was hit (reclaim may have helped).
    pub limit_hits: u64,
    /// The most that was ever charged, in bytes, where the kernel keeps it.
    pub peak: Option<u64>,
    /// The limit in bytes; `None` when there is none.
    pub limit: Option<u64>,
}

/// The name of a container's groups: one directory name of 1 to 242 bytes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ContainerId(String);

/// A container id that would not be one directory name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} cannot name a container: use 1 to 242 letters, digits, `-`, `_` and `.`, not starting with `.`"
)]
pub struct InvalidContainerId(String);

impl ContainerId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidContainerId;

    fn try_from(name: String) -> Result<Self, InvalidContainerId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let good =
            (1..=242).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.');
        if good { Ok(Self(name)) } else { Err(InvalidContainerId(name)) }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_is_one_directory_name() {
        for bad in ["", ".", "..", "a/b", ".hidden", "a\0b", "tasks\n", &"x".repeat(243)] {
            assert!(ContainerId::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for good in ["5a1f-9", "A.b_c", &"x".repeat(242)] {
            assert_eq!(ContainerId::try_from(good.to_owned()).expect("good").as_str(), good);
        }
    }
}
