//! What happens to a framework, and what it wants done.

use std::collections::BTreeMap;
use std::time::Duration;

use types::resources::{Resources, Scalar};
use types::{Instant, Role};

use crate::{ServiceSpec, ServiceStatus, TaskId, TaskRecord, TaskSpec};

/// An offer's id.
pub type OfferId = String;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The declaration is this now.
    Spec(Box<ServiceSpec>),
    /// The master took the subscription. Offers and updates may follow.
    Subscribed,
    /// The stream broke; offers held are void.
    Disconnected,
    /// Resources to use or decline.
    Offers(Vec<Offer>),
    /// A task's state.
    Update(Update),
    /// Time passed.
    Tick,
    /// End all tasks and stay without any.
    Stop,
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write the task's record; what follows waits until it is durable.
    Store(TaskRecord),
    /// Delete the task's record; what follows waits until that is durable.
    Forget(TaskId),
    /// Take an offer for these tasks; the rest is refused for so long.
    Accept {
        /// The offer.
        offer: OfferId,
        /// At least one.
        launches: Vec<Launch>,
        /// For the rest of the offer.
        refuse: Duration,
    },
    /// Give offers back.
    Decline {
        /// At least one.
        offers: Vec<OfferId>,
        /// For so long.
        refuse: Duration,
    },
    /// Ask for offers again, forgetting what was declined.
    Revive,
    /// Ask for no offers.
    Suppress,
    /// End a task.
    Kill {
        /// Which.
        task: TaskId,
        /// On which agent, if known.
        agent: Option<String>,
        /// Between the polite signal and the last.
        grace: Duration,
    },
    /// Tell the agent that an update needs no repeating.
    Acknowledge {
        /// Which task.
        task: TaskId,
        /// On which agent.
        agent: String,
        /// Of the update; 16 bytes.
        uuid: Vec<u8>,
    },
    /// Ask for the state of these tasks; none means all that the master knows.
    Reconcile(Vec<Reconciled>),
    /// Call [`crate::Service::step`] with [`Input::Tick`] then, if not before.
    WakeAt(Instant),
    /// The account changed.
    Status(Box<ServiceStatus>),
}

/// A task to ask about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reconciled {
    /// Which.
    pub task: TaskId,
    /// Where it was.
    pub agent: String,
}

/// Resources of one agent.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// The agent.
    pub agent: String,
    /// The agent's host name.
    pub hostname: String,
    /// What is offered.
    pub resources: Resources,
    /// For which role.
    pub role: Role,
    /// The agent's attributes.
    pub attributes: BTreeMap<String, AttributeValue>,
}

/// An attribute of an agent, as text: `5`, `[1-2]`, `{a,b}` or the text itself.
pub type AttributeValue = String;

/// A task to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Its record, stored already.
    pub record: TaskRecord,
    /// The framework's name with the instance: what people see.
    pub name: String,
    /// What it takes of the offer.
    pub resources: Resources,
    /// What it is.
    pub task: TaskSpec,
}

/// The states of tasks that the master tells of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TaskState {
    /// Before it runs (staging, starting).
    Starting,
    /// Runs.
    Running,
    /// Is being ended.
    Killing,
    /// Its agent is out of reach; it may run.
    Unreachable,
    /// Ended by itself with status 0.
    Finished,
    /// Ended otherwise.
    Failed,
    /// Ended by request.
    Killed,
    /// Its description was refused.
    Error,
    /// Not there, not any more, or never was (lost, dropped, gone, unknown).
    Gone,
}

/// News of a task.
#[derive(Clone, Debug)]
pub struct Update {
    /// Which.
    pub task: TaskId,
    /// On which agent.
    pub agent: Option<String>,
    /// Its state.
    pub state: TaskState,
    /// What its health check says, if it has one.
    pub healthy: Option<bool>,
    /// The reason's name as Mesos spells it, for example `REASON_CONTAINER_LIMITATION_MEMORY`.
    pub reason: Option<String>,
    /// Words of whoever sent it.
    pub message: Option<String>,
    /// The limit that was hit.
    pub limitation: Limitation,
    /// Seconds since 1970.
    pub timestamp: Option<f64>,
    /// Present when it wants to be acknowledged.
    pub uuid: Option<Vec<u8>>,
}

/// Amounts that a container hit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limitation {
    /// Memory in units of 2^20 bytes.
    pub mem: Option<Scalar>,
    /// Disk in units of 2^20 bytes.
    pub disk: Option<Scalar>,
}
