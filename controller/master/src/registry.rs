//! What must survive every master: the agents, and what operators decided.

use mesos::v1::quota::QuotaConfig;
use mesos::v1::{AgentId, AgentInfo, WeightInfo};
use serde::{Deserialize, Serialize};

/// All that a new leader starts from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Every agent that was ever let in, and what became of it.
    pub agents: Vec<AgentRecord>,
    /// Weights of roles that differ from 1.
    pub weights: Vec<WeightInfo>,
    /// Quotas of roles.
    pub quotas: Vec<QuotaConfig>,
}

/// One agent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct AgentRecord {
    /// As it registered, with its id.
    pub info: AgentInfo,
    /// What became of it.
    pub state: AgentState,
    /// An operator lets it have no new tasks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deactivated: bool,
}

impl AgentRecord {
    /// Its id; empty in a record that nobody should have written.
    pub fn id(&self) -> &str {
        self.info.id.as_ref().map_or("", |id| &id.value)
    }
}

/// What became of an agent. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It belongs to the pool.
    #[default]
    Admitted,
    /// It answers no more; it may come back.
    Unreachable {
        /// Since when.
        since: i64,
    },
    /// An operator said that it will never come back.
    Gone {
        /// Since when.
        since: i64,
    },
}

/// One change of the registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An agent's record is this from now on.
    Agent(AgentRecord),
    /// An agent left.
    ForgetAgent(AgentId),
    /// All weights.
    Weights(Vec<WeightInfo>),
    /// All quotas.
    Quotas(Vec<QuotaConfig>),
}
