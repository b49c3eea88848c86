//! Mesos's layout of a work directory: where checkpoints and sandboxes are.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::holder::wire::User;

/// The directory that everything of one agent is below.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    work_dir: PathBuf,
}

/// An id from outside that would not be one directory name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the {what} id {id:?} cannot be used: it must be 1 to 255 bytes without `/` and control characters, and not `.` or `..`"
)]
pub(crate) struct HostileId {
    what: &'static str,
    id: String,
}

/// Refuses an id that would leave its directory. Source of the rule: Mesos `validateID`.
pub(crate) fn check_id(what: &'static str, id: &str) -> Result<(), HostileId> {
    let good = (1..=255).contains(&id.len())
        && id != "."
        && id != ".."
        && !id.chars().any(|c| c == '/' || c.is_control());
    if good { Ok(()) } else { Err(HostileId { what, id: id.to_owned() }) }
}

/// The ids that lead to a run, checked.
#[derive(Clone, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) agent: &'a str,
    pub(crate) framework: &'a str,
    /// Of a command task: the task's id.
    pub(crate) executor: &'a str,
    pub(crate) container: &'a str,
}

impl Layout {
    pub(crate) fn new(work_dir: PathBuf) -> Self {
        Self { work_dir }
    }

    pub(crate) fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    pub(crate) fn holder(&self) -> PathBuf {
        self.work_dir.join("holder")
    }

    /// How many seconds an agent that stops its tasks leaves them, from the moment the file was written.
    pub(crate) fn grace(&self) -> PathBuf {
        self.work_dir.join("meta/grace")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.work_dir.join("meta/lock")
    }

    pub(crate) fn latest_agent(&self) -> PathBuf {
        self.work_dir.join("meta/slaves/latest")
    }

    pub(crate) fn agent_meta(&self, agent: &str) -> PathBuf {
        self.work_dir.join("meta/slaves").join(agent)
    }

    pub(crate) fn framework_meta(&self, agent: &str, framework: &str) -> PathBuf {
        self.agent_meta(agent).join("frameworks").join(framework)
    }

    /// Where a run's checkpoint is.
    pub(crate) fn run_meta(&self, run: &Run<'_>) -> PathBuf {
        self.framework_meta(run.agent, run.framework)
            .join("executors")
            .join(run.executor)
            .join("runs")
            .join(run.container)
    }

    /// Where a run's sandbox is.
    pub(crate) fn sandbox(&self, run: &Run<'_>) -> PathBuf {
        self.runs(run).join(run.container)
    }

    fn runs(&self, run: &Run<'_>) -> PathBuf {
        self.work_dir
            .join("slaves")
            .join(run.agent)
            .join("frameworks")
            .join(run.framework)
            .join("executors")
            .join(run.executor)
            .join("runs")
    }

    /// All sandboxes are below it.
    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.work_dir.join("slaves")
    }

    /// Makes a run's sandbox with its output files, owned by the task's user, and turns `latest` to it.
    pub(crate) fn make_sandbox(&self, run: &Run<'_>, user: Option<&User>) -> io::Result<PathBuf> {
        let dir = self.sandbox(run);
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir)?;
        let mut options = fs::OpenOptions::new();
        options.append(true).create_new(true).mode(0o644);
        for name in ["stdout", "stderr"] {
            let file = dir.join(name);
            options.open(&file)?;
            own(&file, user)?;
        }
        own(&dir, user)?;
        replace_link(&self.runs(run).join("latest"), Path::new(run.container))?;
        Ok(dir)
    }
}

fn own(path: &Path, user: Option<&User>) -> io::Result<()> {
    user.map_or(Ok(()), |user| std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)))
}

/// Points a symbolic link elsewhere without a moment in which there is none.
pub(crate) fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    let fresh = link.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    symlink(target, &fresh)?;
    fs::rename(&fresh, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_not_leave_its_directory() {
        for bad in ["", ".", "..", "../x", "a/b", "a\0", "a\nb", &"x".repeat(256)] {
            assert!(check_id("task", bad).is_err(), "{bad:?}");
        }
        for good in ["hello.1", "ct:1:0:x", "ünï", "..."] {
            assert!(check_id("task", good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn latest_follows_the_newest_run() {
        let work = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(work.path().to_owned());
        for container in ["c1", "c2"] {
            let run = Run { agent: "S0", framework: "F", executor: "t", container };
            let dir = layout.make_sandbox(&run, None).expect("made");
            assert!(dir.join("stdout").is_file());
            let latest = dir.parent().expect("runs").join("latest");
            assert_eq!(fs::read_link(latest).expect("a link"), Path::new(container));
        }
    }
}
