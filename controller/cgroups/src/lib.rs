//! Limits and accounts of containers on cgroup v1, v2 and hybrid hosts, behind one trait.
//!
//! Lives here: where groups go, what is written into them and what is read from them. Must not: spawn
//! processes, know tasks or frameworks, keep state of its own (the kernel's files are the state).
//! Start at [`detect`], which returns an [`Enforcer`]. Facts: `Documentation/admin-guide/cgroup-v1`
//! and `cgroup-v2.rst` of the Linux kernel.
//!
//! A container's groups are at `<base>/troupe/<pool>/<container id>`, with one base for each controller:
//! the root of the mount where that is writable, else the group this process itself runs in.

mod detect;
mod enforcer;
mod error;
mod files;
mod hybrid;
mod limits;
mod v1;
mod v2;

pub use detect::{Options, detect};
pub use enforcer::{
    ContainerId, CpuUsage, Description, Enforcer, Entry, InvalidContainerId, MemoryEvents,
    MemoryUsage, PidsUsage, Usage, Version,
};
pub use error::{CreateError, DetectError, GroupError, KillError};
pub use limits::{Limits, MemoryLimit};
