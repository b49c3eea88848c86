//! Checkpoints: what must survive this process, in Mesos's layout, as JSON.
//!
//! Lives here: the files below `meta/`. Must not: decide what is recorded when. Every call blocks; a file
//! is either whole or not there, and a record file loses at most a last line that was never promised.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::layout::{Layout, replace_link};
use crate::task::{Spec, Status};
use crate::tasks::RecoveredRun;

/// Why a work directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another agent uses it.
    #[error("another agent works in {}; stop it, or give this one a work_dir of its own", path.display())]
    Busy {
        /// The work directory.
        path: PathBuf,
    },
    /// A file or directory could not be made, written or read.
    #[error("use {} (is the disk full, or the directory not writable?)", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// One line of a task's `task.updates`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    Update(Status),
    Ack(Uuid),
}

/// The checkpoints of one work directory.
#[derive(Debug)]
pub(crate) struct Store {
    layout: Layout,
    /// Held as long as the agent lives.
    _lock: File,
}

/// What an earlier agent left.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The id the master gave it.
    pub(crate) agent: Option<String>,
    pub(crate) runs: Vec<RecoveredRun>,
    /// The `FrameworkInfo`s as the master sent them.
    pub(crate) frameworks: Vec<serde_json::Value>,
    /// What could not be read, in words.
    pub(crate) damaged: Vec<String>,
}

impl Store {
    /// Makes the work directory if need be and locks it.
    pub(crate) fn open(layout: Layout) -> Result<Self, StoreError> {
        let meta = layout.work_dir().join("meta/slaves");
        fs::create_dir_all(&meta).map_err(at(&meta))?;
        let path = layout.lock();
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { layout, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(StoreError::Busy { path: layout.work_dir().to_owned() })
            }
            Err(e) => Err(at(&path)(e.into())),
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Keeps the id that the master gave, so that the next agent here is the same one.
    pub(crate) fn set_agent(&self, agent: &str) -> Result<(), StoreError> {
        let dir = self.layout.agent_meta(agent);
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        let link = self.layout.latest_agent();
        replace_link(&link, Path::new(agent)).map_err(at(&link))
    }

    /// Keeps a framework's description for the time its tasks outlive a master.
    pub(crate) fn set_framework(
        &self,
        agent: &str,
        id: &str,
        info: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let dir = self.layout.framework_meta(agent, id);
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        write_whole(&dir.join("framework.info"), info.to_string().as_bytes())
    }

    /// Records a task; on stable storage when this returns.
    pub(crate) fn set_task(&self, spec: &Spec) -> Result<(), StoreError> {
        let dir = self.task_dir(spec);
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        let body = serde_json::to_vec(spec).expect("a spec has string keys only");
        write_whole(&dir.join("task.info"), &body)
    }

    /// Records an update; on stable storage when this returns.
    pub(crate) fn add_update(&self, spec: &Spec, status: &Status) -> Result<(), StoreError> {
        self.append(spec, &Record::Update(status.clone()), true)
    }

    /// Records an acknowledgement. One that is lost costs a repetition only, so the disk is not waited for.
    pub(crate) fn add_acknowledged(&self, spec: &Spec, uuid: Uuid) -> Result<(), StoreError> {
        self.append(spec, &Record::Ack(uuid), false)
    }

    /// Drops a run's checkpoint, and its executor's if that was the last run.
    pub(crate) fn forget(&self, spec: &Spec) -> Result<(), StoreError> {
        let run = self.layout.run_meta(&spec.run());
        match fs::remove_dir_all(&run) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&run)(e)),
            _ => {}
        }
        // `runs`, then the executor's directory: both refuse to go while something is in them.
        for dir in run.ancestors().skip(1).take(2) {
            let _ = fs::remove_dir(dir);
        }
        Ok(())
    }

    /// Drops a framework that has no task left here.
    pub(crate) fn forget_framework(&self, agent: &str, id: &str) {
        let dir = self.layout.framework_meta(agent, id);
        // Refused while an executor is below, which is what keeps the description.
        if fs::remove_dir(dir.join("executors")).is_ok() || !dir.join("executors").exists() {
            let _ = fs::remove_dir_all(dir);
        }
    }

    /// Reads what an earlier agent left. Damage is told and passed by: one bad file must not keep the
    /// other tasks from being found.
    pub(crate) fn recover(&self) -> Recovered {
        let mut found = Recovered::default();
        let Ok(agent) = fs::read_link(self.layout.latest_agent()) else { return found };
        let Some(agent) = agent.to_str().map(str::to_owned) else { return found };
        for framework in children(&self.layout.agent_meta(&agent).join("frameworks")) {
            match read_json(&framework.join("framework.info")) {
                Ok(info) => found.frameworks.push(info),
                Err(why) => found.damaged.push(why),
            }
            for run in children(&framework.join("executors"))
                .iter()
                .flat_map(|executor| children(&executor.join("runs")))
                .flat_map(|run| children(&run.join("tasks")))
            {
                match read_run(&run) {
                    Ok(run) => found.runs.push(run),
                    Err(why) => found.damaged.push(why),
                }
            }
        }
        found.agent = Some(agent);
        found
    }

    fn append(&self, spec: &Spec, record: &Record, durable: bool) -> Result<(), StoreError> {
        let path = self.task_dir(spec).join("task.updates");
        let mut line = serde_json::to_vec(record).expect("a record has string keys only");
        line.push(b'\n');
        let written =
            OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| {
                file.write_all(&line)?;
                if durable { file.sync_data() } else { Ok(()) }
            });
        written.map_err(at(&path))
    }

    fn task_dir(&self, spec: &Spec) -> PathBuf {
        self.layout.run_meta(&spec.run()).join("tasks").join(&spec.key.task)
    }
}

fn read_run(dir: &Path) -> Result<RecoveredRun, String> {
    let spec: Spec = serde_json::from_value(read_json(&dir.join("task.info"))?)
        .map_err(|e| format!("{}: {e}", dir.join("task.info").display()))?;
    let path = dir.join("task.updates");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(format!("{}: {e}", path.display())),
    };
    let mut run = RecoveredRun { spec, updates: Vec::new(), acknowledged: Vec::new() };
    // A line that was cut off by a crash was never acted on.
    for record in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match record {
            Record::Update(status) => run.updates.push(status),
            Record::Ack(uuid) => run.acknowledged.push(uuid),
        }
    }
    Ok(run)
}

fn read_json(path: &Path) -> Result<serde_json::Value, String> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    dirs.sort();
    dirs
}

/// Writes beside, flushes, renames: the file is the old one or the new one.
fn write_whole(path: &Path, body: &[u8]) -> Result<(), StoreError> {
    let fresh = path.with_extension("new");
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(body)?;
        file.sync_data()?;
        fs::rename(&fresh, path)?;
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        File::open(dir)?.sync_all()
    });
    written.map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Command, Source, State, TaskKey, TaskLimits};
    use std::time::Duration;

    fn spec(task: &str) -> Spec {
        Spec {
            key: TaskKey { framework: "F".to_owned(), task: task.to_owned() },
            agent: "S0".to_owned(),
            container: format!("c-{task}"),
            command: Command::Shell("true".to_owned()),
            environment: vec![("A".to_owned(), "1".to_owned())],
            user: None,
            limits: TaskLimits::default(),
            grace: Duration::from_secs(3),
            max_completion: None,
            tells_killing: true,
            partition_aware: true,
            info: serde_json::json!({"name": "n"}),
        }
    }

    fn status(n: u128, state: State) -> Status {
        Status {
            uuid: Uuid::from_u128(n),
            state,
            source: Source::Executor,
            reason: None,
            message: None,
            timestamp: 1.5,
            memory_at_limit: None,
            pid: Some(7),
        }
    }

    #[test]
    fn what_was_recorded_is_found_again_and_a_torn_line_is_not() {
        let work = tempfile::tempdir().expect("a directory");
        let store = Store::open(Layout::new(work.path().to_owned())).expect("open");
        store.set_agent("S0").expect("set");
        store.set_framework("S0", "F", &serde_json::json!({"name": "f"})).expect("set");
        store.set_task(&spec("a")).expect("set");
        store.add_update(&spec("a"), &status(1, State::Starting)).expect("added");
        store.add_update(&spec("a"), &status(2, State::Running)).expect("added");
        store.add_acknowledged(&spec("a"), Uuid::from_u128(1)).expect("added");
        let torn = store.task_dir(&spec("a")).join("task.updates");
        let mut torn = OpenOptions::new().append(true).open(torn).expect("open");
        torn.write_all(b"{\"update\":{\"uu").expect("written");

        let found = store.recover();
        assert_eq!(found.agent.as_deref(), Some("S0"));
        assert_eq!(found.frameworks, [serde_json::json!({"name": "f"})]);
        assert_eq!(found.runs.len(), 1);
        assert_eq!(found.runs[0].spec, spec("a"));
        assert_eq!(found.runs[0].updates, [status(1, State::Starting), status(2, State::Running)]);
        assert_eq!(found.runs[0].acknowledged, [Uuid::from_u128(1)]);
        assert!(found.damaged.is_empty());
    }

    #[test]
    fn damage_to_one_task_is_told_and_costs_no_other() {
        let work = tempfile::tempdir().expect("a directory");
        let store = Store::open(Layout::new(work.path().to_owned())).expect("open");
        store.set_agent("S0").expect("set");
        store.set_framework("S0", "F", &serde_json::json!({})).expect("set");
        for task in ["a", "b"] {
            store.set_task(&spec(task)).expect("set");
        }
        fs::write(store.task_dir(&spec("a")).join("task.info"), b"{").expect("damaged");
        let found = store.recover();
        assert_eq!(found.runs.iter().map(|r| r.spec.key.task.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(found.damaged[0].contains("task.info"), "{:?}", found.damaged);
    }

    #[test]
    fn what_is_forgotten_leaves_no_directory() {
        let work = tempfile::tempdir().expect("a directory");
        let store = Store::open(Layout::new(work.path().to_owned())).expect("open");
        store.set_agent("S0").expect("set");
        store.set_framework("S0", "F", &serde_json::json!({})).expect("set");
        store.set_task(&spec("a")).expect("set");
        store.forget_framework("S0", "F");
        assert_eq!(store.recover().runs.len(), 1, "a task keeps its framework");
        store.forget(&spec("a")).expect("forgotten");
        store.forget_framework("S0", "F");
        let found = store.recover();
        assert!(found.runs.is_empty() && found.frameworks.is_empty());
        assert!(!work.path().join("meta/slaves/S0/frameworks/F").exists());
    }

    #[test]
    fn a_work_directory_has_one_agent() {
        let work = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(work.path().to_owned());
        let first = Store::open(layout.clone()).expect("open");
        assert!(matches!(Store::open(layout.clone()), Err(StoreError::Busy { .. })));
        drop(first);
        Store::open(layout).expect("open again");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let error = Store::open(Layout::new("/proc/no/such".into())).expect_err("not there");
        assert!(error.to_string().contains("/proc/no/such"), "{error}");
    }
}
