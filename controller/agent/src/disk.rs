//! The thread that writes checkpoints, in the order in which they were asked for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use uuid::Uuid;

use crate::error::chain;
use crate::store::{Store, StoreError};
use crate::task::{Spec, Status, TaskKey};

/// Something to put on disk.
pub(crate) enum Job {
    Update { spec: Arc<Spec>, status: Status },
    Acknowledged { spec: Arc<Spec>, uuid: Uuid },
    Forget { spec: Arc<Spec> },
    Framework { agent: String, id: String, info: serde_json::Value },
    ForgetFramework { agent: String, id: String },
    Agent { id: String },
}

/// A handle to the thread. Dropping it waits until all is written.
pub(crate) struct Disk {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Starts the thread. `recorded` is called for every update when it is on disk.
    pub(crate) fn start(
        store: Arc<Store>,
        recorded: impl Fn(TaskKey, Uuid) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || write_all(&store, &queue, &recorded))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a job.
    pub(crate) fn write(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only when this handle is dropped.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_all(store: &Store, queue: &Receiver<Job>, recorded: &impl Fn(TaskKey, Uuid)) {
    for job in queue {
        let done = match &job {
            Job::Update { spec, status } => store.add_update(spec, status),
            Job::Acknowledged { spec, uuid } => store.add_acknowledged(spec, *uuid),
            Job::Forget { spec } => store.forget(spec),
            Job::Framework { agent, id, info } => store.set_framework(agent, id, info),
            Job::ForgetFramework { agent, id } => {
                store.forget_framework(agent, id);
                Ok(())
            }
            Job::Agent { id } => store.set_agent(id),
        };
        report(done);
        // Also when the disk is full: the framework's knowledge is worth more than our record of it,
        // which only a crash before its acknowledgement would ask for.
        if let Job::Update { spec, status } = job {
            recorded(spec.key.clone(), status.uuid);
        }
    }
}

fn report(done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::error!(error = chain(&error), "a checkpoint was not written");
    }
}
