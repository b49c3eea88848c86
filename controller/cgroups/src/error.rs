//! Why a group could not be found, made, read or emptied.

use std::io;
use std::path::PathBuf;

/// Why this process cannot enforce limits. The agent then runs without, and says so.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// No cgroup filesystem is mounted below the root that was asked for.
    #[error("no cgroup filesystem is mounted{}; mount one, or run without limits", under(.root))]
    NotMounted {
        /// The root that was asked for, if one was.
        root: Option<PathBuf>,
    },
    /// The tables of the kernel could not be read.
    #[error("read {}", path.display())]
    Read {
        /// Which table.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Groups may not be made: neither at the mount's root nor below this process's own group.
    #[error(
        "no right to make cgroups at {}; run as root, or delegate a writable subtree (systemd: Delegate=yes)",
        path.display()
    )]
    NotPermitted {
        /// The last place tried.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A place for groups could not be made for another reason.
    #[error("make the cgroup {}", path.display())]
    Make {
        /// The place.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The pool's name cannot be one directory.
    #[error("the pool name {0:?} cannot name a cgroup: use letters, digits, `-`, `_` and `.`")]
    PoolName(String),
}

fn under(root: &Option<PathBuf>) -> String {
    root.as_ref().map_or_else(String::new, |root| format!(" under {}", root.display()))
}

/// Why a container's groups could not be made with the limits asked for. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A limit that this version does not enforce on any host.
    #[error("the limit {limit:?} is not supported; leave it out (supported: cpus, mem, pids)")]
    Unsupported {
        /// Its name as the caller gave it.
        limit: String,
    },
    /// A limit whose controller this host does not offer.
    #[error(
        "the limit on {limit} cannot be enforced: this host has no {controller} controller for us"
    )]
    NoController {
        /// What should be limited.
        limit: &'static str,
        /// The kernel's name of the controller.
        controller: &'static str,
    },
    /// The kernel refused a value.
    #[error("the kernel refused {value:?} for {}", path.display())]
    Refused {
        /// The file written.
        path: PathBuf,
        /// The value written.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The group itself could not be made.
    #[error("make the cgroup {}", path.display())]
    Make {
        /// The group's directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a group's files could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The group is not there (never made, or removed).
    #[error("the cgroup {} is gone", path.display())]
    Gone {
        /// The group's file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("use the cgroup file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a container's groups could not be emptied or removed in time.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// Processes are still there after the time allowed.
    #[error("{} processes (first: {first}) in {} outlive SIGKILL: they wait in the kernel", count, path.display())]
    StillAlive {
        /// The group.
        path: PathBuf,
        /// How many are left.
        count: usize,
        /// One of them.
        first: i32,
    },
    /// The directory could not be removed.
    #[error("remove the cgroup {}", path.display())]
    Remove {
        /// The group.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the group could not be used.
    #[error(transparent)]
    Group(#[from] GroupError),
}
