//! The link between our masters and our agents: `POST /api/v1/troupe/agent`.
//!
//! Lives here: what the two say to each other, as JSON. Must not: transport, decisions. Start at
//! [`AgentCall`] and [`AgentEvent`].
//!
//! An agent posts [`AgentCall::Subscribe`] and keeps the response open: a RecordIO stream of
//! [`AgentEvent`]s, of which the first is [`AgentEvent::Subscribed`]; the response's header
//! `Mesos-Stream-Id` names the link. All further calls are posts of their own with that header: 202 when
//! taken, 4xx with a text when not. 307 or 503 when the master does not lead. When the stream ends the
//! agent finds the leader again and subscribes again, with all its tasks.

use serde::{Deserialize, Serialize};

use crate::v1::agent_info::Capability;
use crate::v1::{
    AgentId, AgentInfo, ExecutorId, FrameworkId, FrameworkInfo, KillPolicy, TaskId, TaskInfo,
    TaskState, TaskStatus,
};

/// Where agents find the link at the leading master.
pub const PATH: &str = "/api/v1/troupe/agent";

/// The largest call or event, in bytes: a subscription with some ten thousand tasks.
pub const MAX_BYTES: usize = 64 << 20;

/// What an agent says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgentCall {
    /// Here I am, with all that runs on me. Answered by the stream of events.
    Subscribe(Box<Subscribe>),
    /// A task's state changed, or an unacknowledged change is told again.
    Update(Box<Update>),
    /// The answer to [`AgentEvent::Heartbeat`].
    Pong,
    /// What the tasks use, now and then.
    Usage {
        /// One entry for each running task.
        tasks: Vec<TaskUsage>,
    },
    /// This agent ends on purpose, its tasks with it.
    Leave,
}

/// The first word of an agent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Subscribe {
    /// Host name, port, resources and attributes. `id` is left out.
    pub agent: AgentInfo,
    /// The IP address it listens at, where that is one address: the host name need not be one that others
    /// can resolve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The id from an earlier registration, kept in its checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// The agent's own version.
    pub version: String,
    /// What it can do, beside what every agent can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// The frameworks of its tasks, so that a new master knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frameworks: Vec<FrameworkInfo>,
    /// Tasks that run, and ended ones with unacknowledged updates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<RunningTask>,
    /// Whether limits are enforced; when not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
}

/// Whether cgroups hold the tasks to their limits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Enforcement {
    /// Whether limits are enforced.
    pub enforced: bool,
    /// `v1`, `v2`, `hybrid` or `none`.
    pub hierarchy: String,
    /// Why not, with the remedy; or a word on how.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One task of an agent that subscribes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RunningTask {
    /// As it was launched.
    pub task: TaskInfo,
    /// Whose it is.
    pub framework_id: FrameworkId,
    /// Its executor, if it has one that is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<ExecutorId>,
    /// What it is now, told or not; without `uuid`.
    pub latest: TaskStatus,
    /// The oldest change that was not acknowledged, with its `uuid`; the agent tells it again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacknowledged: Option<TaskStatus>,
}

/// One change of a task's state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Update {
    /// Whose task it is.
    pub framework_id: FrameworkId,
    /// The change, with its `uuid`. One is on its way for each task until it is acknowledged.
    pub status: TaskStatus,
    /// The state after all changes, told or not: resources are free when it is terminal.
    pub latest_state: StateName,
}

/// What a task uses, since its start or now.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct TaskUsage {
    /// Whose it is.
    pub framework_id: FrameworkId,
    /// Which it is.
    pub task_id: TaskId,
    /// CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Time for which it was held back by its CPU quota, in seconds.
    pub throttled_seconds: f64,
    /// Memory now, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads now.
    pub pids: u64,
}

/// What a master says to an agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgentEvent {
    /// The agent is registered.
    Subscribed {
        /// Its id from now on, to be checkpointed. Another one than it brought when the master does not
        /// take the old one back (the agent was marked gone).
        agent_id: AgentId,
        /// A heartbeat comes this often. A link that is silent for five of them is dead.
        heartbeat_seconds: f64,
    },
    /// The master is there; answer [`AgentCall::Pong`].
    Heartbeat,
    /// Start a task.
    Launch(Box<Launch>),
    /// End a task.
    Kill {
        /// Whose it is.
        framework_id: FrameworkId,
        /// Which it is.
        task_id: TaskId,
        /// Instead of the task's own policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kill_policy: Option<KillPolicy>,
    },
    /// A framework has this update.
    Acknowledge {
        /// Whose task it is.
        framework_id: FrameworkId,
        /// Which it is.
        task_id: TaskId,
        /// The update's, 16 bytes.
        #[serde(with = "base64_bytes")]
        uuid: Vec<u8>,
    },
    /// A framework changed its name, roles or capabilities.
    UpdateFramework {
        /// As it is now.
        framework: Box<FrameworkInfo>,
    },
    /// End all tasks of a framework and forget it; their updates have no reader.
    ShutdownFramework {
        /// Which.
        framework_id: FrameworkId,
    },
    /// The master believes in these tasks: answer each that is not known with an update, TASK_DROPPED
    /// or TASK_LOST.
    Reconcile {
        /// The tasks in question.
        tasks: Vec<Believed>,
    },
    /// End all tasks, then the agent itself.
    Shutdown {
        /// Why.
        message: String,
    },
}

/// A launch.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Launch {
    /// Whose task it is, with its id.
    pub framework: FrameworkInfo,
    /// The task; its resources carry their role.
    pub task: TaskInfo,
}

/// A task that the master believes to be on the agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Believed {
    /// Whose it is.
    pub framework_id: FrameworkId,
    /// Which it is.
    pub task_id: TaskId,
    /// Whether its framework knows TASK_DROPPED; TASK_LOST if not.
    pub partition_aware: bool,
}

/// A task's state by its name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StateName(pub TaskState);

impl Serialize for StateName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str_name())
    }
}

impl<'de> Deserialize<'de> for StateName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let state = TaskState::from_str_name(&name);
        state.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("'{name}' is no state of a task (TASK_RUNNING, …)"))
        })
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
