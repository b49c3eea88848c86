//! One framework on this process: candidate for its leadership, then its scheduler.

use std::time::Duration;

use election::{Address, Contender, Place, Standing};
use frameworks::{ServiceSpec, ServiceStatus};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::Role;

use crate::lead::{End, Lead};
use crate::{StopError, znodes};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct FrameworkRun {
    /// Of the declaration; a part of the znodes' path.
    pub namespace: String,
    /// Of the declaration; a part of the znodes' path.
    pub name: String,
    /// Who runs it: the content of the candidate's znode. The same after a restart, and of no two
    /// processes alive: a leader found under this name is our own dead run, and is not waited for.
    pub candidate: String,
    /// The ensemble that keeps its state; the path is not used.
    pub ensemble: Place,
    /// How the leading master is found.
    pub master: Address,
    /// What it is.
    pub spec: ServiceSpec,
    /// The role in which it is offered resources.
    pub role: Role,
    /// The user its tasks run as, unless the task says otherwise; empty: the agents' own.
    pub user: String,
    /// How long the master keeps its tasks when nobody schedules it.
    pub failover_timeout: Duration,
}

/// What a framework's runner knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Whether this process leads the framework; if not, `service` is empty.
    pub leading: bool,
    /// The id that the master gave it.
    pub framework_id: Option<String>,
    /// The master it is subscribed to, as `host:port`.
    pub master: Option<String>,
    /// What is in the way, with its causes; empty when nothing is.
    pub error: Option<String>,
    /// The account of the service; its `waiting` tells why instances have no place.
    pub service: ServiceStatus,
}

/// What to do about an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    No,
    /// Another may go on: tasks stay.
    Leave,
    /// End the tasks, the framework, and its znodes.
    Teardown,
}

/// Starts frameworks.
#[derive(Debug)]
pub struct Runner;

impl Runner {
    /// Runs a framework until it is stopped. Must be called on a tokio runtime with IO and time.
    pub fn start(run: FrameworkRun) -> RunHandle {
        let (specs, spec) = watch::channel(run.spec.clone());
        let (stops, stop) = watch::channel(Stop::No);
        let (told, status) = watch::channel(Status::default());
        let job = tokio::spawn(drive(run, spec, stop, told));
        RunHandle { specs, stops, status, job: Some(job) }
    }
}

/// A running framework. Dropped, it stops scheduling at once; its tasks go on.
#[derive(Debug)]
pub struct RunHandle {
    specs: watch::Sender<ServiceSpec>,
    stops: watch::Sender<Stop>,
    status: watch::Receiver<Status>,
    job: Option<JoinHandle<Result<(), StopError>>>,
}

impl RunHandle {
    /// Another declaration; carried out at once. A refused one leaves what runs and is told in the
    /// status.
    pub fn update(&self, spec: ServiceSpec) {
        self.specs.send_if_modified(|before| {
            let differs = *before != spec;
            *before = spec;
            differs
        });
    }

    /// The status now, and each change.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Stops scheduling. With `teardown` all tasks are ended first, the framework is taken off the master
    /// and its znodes are deleted; without, tasks run on for whoever leads next.
    pub async fn stop(mut self, teardown: bool) -> Result<(), StopError> {
        self.stops.send_replace(if teardown { Stop::Teardown } else { Stop::Leave });
        match self.job.take() {
            None => Ok(()),
            Some(job) => job.await.unwrap_or_else(|why| {
                tracing::error!(%why, "a framework's job ended in an unexpected way");
                Ok(())
            }),
        }
    }
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.abort();
        }
    }
}

async fn drive(
    run: FrameworkRun,
    specs: watch::Receiver<ServiceSpec>,
    mut stop: watch::Receiver<Stop>,
    told: watch::Sender<Status>,
) -> Result<(), StopError> {
    let place = znodes::election(&run.ensemble, &run.namespace, &run.name);
    let contender =
        Contender::enter(place.clone(), "candidate", run.candidate.clone().into_bytes());
    let mut standing = contender.standing();
    let mut result = Ok(());
    let mut patience = std::pin::pin!(give_up(stop.clone()));
    loop {
        let now = standing.borrow_and_update().clone();
        if let Standing::Leading(leadership) = now {
            let lead =
                Lead::new(&run, leadership, &told, specs.clone(), stop.clone(), standing.clone());
            match lead.run().await {
                End::Deposed => {
                    tokio::time::sleep(AFTER_DEPOSITION).await;
                    told.send_modify(|status| status.leading = false);
                    continue;
                }
                End::Left => break,
                End::TornDown(done) => {
                    result = done;
                    break;
                }
            }
        }
        if let Standing::Behind { leader } = &now
            && let Err(why) = znodes::bury_own_dead(&place, leader, &run.candidate).await
        {
            tracing::debug!(framework = run.name, %why, "cannot look at the leader's znode");
        }
        // Whoever leads ends the tasks; a follower just leaves.
        let followed = matches!(now, Standing::Behind { .. });
        if followed && *stop.borrow() != Stop::No || *stop.borrow() == Stop::Leave {
            break;
        }
        told.send_if_modified(|status| {
            let error =
                (!followed).then(|| format!("no session with the ensemble at {}", run.ensemble));
            let differs = status.leading || status.error != error;
            *status = Status { error, ..Status::default() };
            differs
        });
        tokio::select! {
            _ = standing.changed() => {}
            _ = stop.changed() => {}
            () = &mut patience => {
                let framework = format!("{}/{}", run.namespace, run.name);
                let why = format!("there is no session with the ensemble at {}", run.ensemble);
                let tasks = told.borrow().service.tasks.len();
                result = Err(StopError::TasksLeft { framework, tasks, why });
                break;
            }
        }
    }
    contender.withdraw().await;
    result
}

/// Ends some time after a teardown was asked for.
async fn give_up(mut stop: watch::Receiver<Stop>) {
    if stop.wait_for(|stop| *stop == Stop::Teardown).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(LONGEST_TEARDOWN).await;
}

/// Before it leads again after a write was refused, so that a broken ensemble is not hammered.
const AFTER_DEPOSITION: Duration = Duration::from_millis(500);
/// For the end of a framework whose ensemble or master is out of reach, beside the tasks' grace.
pub(crate) const LONGEST_TEARDOWN: Duration = Duration::from_secs(20);
