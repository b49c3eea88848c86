//! One registered agent.

use std::collections::{BTreeMap, BTreeSet};

use allocator::AgentId;
use mesos::link::{Enforcement, TaskUsage};
use mesos::v1::AgentInfo;
use mesos::v1::agent_info::Capability;
use types::{Instant, Resources};

use crate::{AgentRecord, AgentState, StreamId};

/// An agent that registered with this master.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    /// Invariant: `id` is set.
    pub(crate) info: AgentInfo,
    /// Where it listens, if it said so; else its host name has to do.
    pub(crate) ip: Option<String>,
    pub(crate) total: Resources,
    pub(crate) version: String,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) enforcement: Option<Enforcement>,
    pub(crate) link: Link,
    /// An operator lets it have no new tasks.
    pub(crate) deactivated: bool,
    pub(crate) registered: i64,
    pub(crate) reregistered: Option<i64>,
    /// Framework and task, of all tasks that are listed with their frameworks.
    pub(crate) tasks: BTreeSet<(String, String)>,
    pub(crate) offers: BTreeSet<String>,
    /// What its tasks use, as it said last.
    pub(crate) usage: BTreeMap<(String, String), TaskUsage>,
}

/// How an agent is connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    /// `name` is what its calls must carry.
    Up { stream: StreamId, name: String, ping_at: Instant, unanswered: u32 },
    /// It is unreachable then unless it comes back.
    Down { unreachable_at: Instant },
}

impl Agent {
    /// The IP address to reach it at, if it is known.
    pub(crate) fn ip(&self) -> Option<String> {
        let by_name =
            || self.info.hostname.parse::<std::net::IpAddr>().ok().map(|ip| ip.to_string());
        self.ip.clone().or_else(by_name)
    }

    pub(crate) fn stream(&self) -> Option<StreamId> {
        match &self.link {
            Link::Up { stream, .. } => Some(*stream),
            Link::Down { .. } => None,
        }
    }

    /// Whether its resources may be offered.
    pub(crate) fn may_be_offered(&self) -> bool {
        self.stream().is_some() && !self.deactivated
    }

    pub(crate) fn record(&self) -> AgentRecord {
        AgentRecord {
            info: self.info.clone(),
            state: AgentState::Admitted,
            deactivated: self.deactivated,
        }
    }
}
