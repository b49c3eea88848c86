//! Built-in frameworks in this process, each a client of the scheduler API of its pool.

use std::collections::BTreeMap;

use election::{Address, Place};
use futures::future::join_all;
use scheduler::{FrameworkRun, RunHandle, Runner, Status};
use tokio::sync::{Mutex, broadcast};
use tokio::task::JoinHandle;
use types::Role;

use super::{Run, RunReport, Runs};
use crate::platform::{Owner, Wait};

/// Runs by Framework.
pub(crate) struct SchedulerRuns {
    /// Who this controller is: its next run, which takes over its seats, must say the same.
    identity: String,
    open: Mutex<BTreeMap<Owner, Open>>,
    changes: broadcast::Sender<Owner>,
}

struct Open {
    run: Run,
    handle: RunHandle,
    /// Passes changes of its status on.
    messenger: Messenger,
}

struct Messenger(JoinHandle<()>);

impl Drop for Messenger {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SchedulerRuns {
    pub(crate) fn new(identity: String) -> Self {
        Self { identity, open: Mutex::default(), changes: broadcast::channel(1_024).0 }
    }

    async fn ensured(&self, run: Run) -> Result<RunReport, String> {
        let mut open = self.open.lock().await;
        let fits = |known: &Run| Run { service: known.service.clone(), ..run.clone() } == *known;
        if let Some(entry) = open.get_mut(&run.owner)
            && fits(&entry.run)
        {
            entry.handle.update(run.service.clone());
            entry.run = run;
            return Ok(report(&entry.handle.status().borrow()));
        }
        // Elsewhere, or in another role: its tasks stay until the new run has taken over.
        if let Some(entry) = open.remove(&run.owner) {
            entry.end(false).await?;
        }
        let entry = self.begin(run)?;
        let report = report(&entry.handle.status().borrow());
        open.insert(entry.run.owner.clone(), entry);
        Ok(report)
    }

    fn begin(&self, run: Run) -> Result<Open, String> {
        let ensemble: Place = format!("zk://{}/troupe", run.servers)
            .parse()
            .map_err(|why: election::BadAddress| why.to_string())?;
        let master: Address =
            run.detector.parse().map_err(|why: election::BadAddress| why.to_string())?;
        let handle = Runner::start(FrameworkRun {
            namespace: run.owner.namespace.clone(),
            name: run.owner.name.clone(),
            candidate: self.identity.clone(),
            ensemble,
            master,
            spec: run.service.clone(),
            role: Role::parse(&run.role).map_err(|why| why.to_string())?,
            user: run.service.task.user.clone().unwrap_or_default(),
            failover_timeout: run.failover_timeout,
        });
        let (mut status, changes, owner) =
            (handle.status(), self.changes.clone(), run.owner.clone());
        let messenger = tokio::spawn(async move {
            while status.changed().await.is_ok() {
                // Nobody listens while the controller starts or ends.
                let _heard = changes.send(owner.clone());
            }
        });
        Ok(Open { run, handle, messenger: Messenger(messenger) })
    }
}

impl Open {
    async fn end(self, teardown: bool) -> Result<(), String> {
        drop(self.messenger);
        self.handle.stop(teardown).await.map_err(|why| why.to_string())
    }
}

impl Runs for SchedulerRuns {
    fn ensure(&self, run: Run) -> Wait<'_, RunReport> {
        Box::pin(async move {
            self.ensured(run).await.unwrap_or_else(|trouble| RunReport {
                trouble: Some(trouble),
                ..RunReport::default()
            })
        })
    }

    fn tear_down(&self, run: Run) -> Wait<'_, Result<(), String>> {
        Box::pin(async move {
            let owner = run.owner.clone();
            let known = self.open.lock().await.remove(&owner);
            let entry = match known {
                Some(entry) => entry,
                None => self.begin(run)?,
            };
            entry.end(true).await
        })
    }

    fn leave<'a>(&'a self, owner: &'a Owner) -> Wait<'a, ()> {
        Box::pin(async move {
            let entry = self.open.lock().await.remove(owner);
            if let Some(entry) = entry
                && let Err(why) = entry.end(false).await
            {
                tracing::warn!("leave framework {owner}: {why}");
            }
        })
    }

    fn leave_all(&self) -> Wait<'_, ()> {
        Box::pin(async move {
            let all = std::mem::take(&mut *self.open.lock().await);
            for ended in join_all(all.into_values().map(|entry| entry.end(false))).await {
                if let Err(why) = ended {
                    tracing::warn!("leave a framework: {why}");
                }
            }
        })
    }

    fn changes(&self) -> broadcast::Receiver<Owner> {
        self.changes.subscribe()
    }
}

fn report(status: &Status) -> RunReport {
    RunReport {
        framework_id: status.framework_id.clone(),
        leader: status.leading.then(|| "troupe-controller".to_owned()),
        service: status.service.clone(),
        trouble: status.error.clone(),
    }
}
