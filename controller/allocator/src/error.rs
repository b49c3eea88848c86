//! Why an update of the accounts was refused. The accounts are as before then.

use types::Role;

use crate::{AgentId, FrameworkId};

/// What is wrong with an update.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AllocatorError {
    /// The agent is known already.
    #[error("agent {0} is there already")]
    AgentExists(AgentId),
    /// No such agent.
    #[error("agent {0} is not known")]
    UnknownAgent(AgentId),
    /// The framework is known already.
    #[error("framework {0} is there already")]
    FrameworkExists(FrameworkId),
    /// No such framework.
    #[error("framework {0} is not known")]
    UnknownFramework(FrameworkId),
    /// A call names a role that the framework did not subscribe to.
    #[error("framework {framework} is not subscribed to role {role}")]
    NotSubscribed {
        /// Who called.
        framework: FrameworkId,
        /// The role named.
        role: Role,
    },
    /// More came back than had been handed out.
    #[error("framework {framework} holds no {resources} of agent {agent} in role {role}")]
    NotHeld {
        /// Who should hold them.
        framework: FrameworkId,
        /// In which role.
        role: Role,
        /// Where.
        agent: AgentId,
        /// What came back.
        resources: String,
    },
    /// Quotas are for top-level roles.
    #[error("role {0} is below another role: set the quota on the top-level role")]
    QuotaBelowTop(Role),
    /// A guarantee above the limit can never be kept.
    #[error("quota of role {role}: guarantee of {name} is above its limit")]
    GuaranteeAboveLimit {
        /// The role.
        role: Role,
        /// The resource.
        name: String,
    },
}
