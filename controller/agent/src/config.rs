//! What an agent is told at start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// All that one agent needs to know.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where its own HTTP port listens (`/health`, `/state`, `/containers`, `/files/read`). Port 0 takes a
    /// free one.
    pub addr: SocketAddr,
    /// How to find the leading master: `zk://host:port,…/path` or one `host:port`.
    pub master: String,
    /// Checkpoints and sandboxes, in Mesos's layout. Made if missing; one agent at a time may use it.
    pub work_dir: PathBuf,
    /// The name told to frameworks.
    pub hostname: String,
    /// What it offers, in Mesos's text form: `cpus:2;mem:4096;disk:1024;ports:[31000-32000]` (memory and
    /// disk in MB). `None`: all CPUs and the memory of the host but 1 GB (or half, if that is more), and
    /// Mesos's default ports.
    pub resources: Option<String>,
    /// Attributes in Mesos's text form: `rack:r1;zone:a`.
    pub attributes: Option<String>,
    /// Whether limits are enforced.
    pub isolation: Isolation,
    /// Only cgroup hierarchies at or below this directory. `None`: wherever they are mounted.
    pub cgroup_root: Option<PathBuf>,
    /// The pool's name, which is a directory of the cgroup tree.
    pub pool: String,
    /// How to start the holder.
    pub holder: HolderCommand,
}

/// Whether the limits of tasks are enforced by cgroups.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Isolation {
    /// Where the host allows it; otherwise tasks run without, and the agent says so with the reason.
    #[default]
    WherePossible,
    /// The agent refuses to start where it cannot enforce.
    Required,
    /// Never.
    Off,
}

/// The program and the leading arguments that run [`crate::holder::main`]; `--dir <directory>` follows.
#[derive(Clone, Debug)]
pub struct HolderCommand {
    /// The program.
    pub exe: PathBuf,
    /// Its leading arguments, for example `["holder"]`.
    pub args: Vec<OsString>,
}

/// How an agent ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    /// The agent goes, its tasks and their holder stay: for an upgrade or a restart. The next agent on
    /// the same work directory takes them over. A killed agent (SIGKILL) ends in the same way.
    KeepTasks,
    /// All tasks are ended with their grace periods, then the holder, then the agent.
    StopTasks,
}
