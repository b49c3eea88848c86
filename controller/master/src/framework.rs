//! One framework: who it is, how it is connected, and its tasks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use allocator::{FrameworkId, FrameworkSpec};
use mesos::resources::Form;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::{FrameworkInfo, Task as Wire};
use types::{Instant, Role};

use crate::StreamId;
use crate::task::Task;

/// A framework that may subscribe, or did.
#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    /// Invariant: `id` is set.
    pub(crate) info: FrameworkInfo,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) suppressed: BTreeSet<Role>,
    pub(crate) connection: Connection,
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Tasks on agents that answer no more, oldest first.
    pub(crate) unreachable: VecDeque<Task>,
    pub(crate) completed: VecDeque<Wire>,
    pub(crate) offers: BTreeSet<String>,
    pub(crate) registered: i64,
    pub(crate) reregistered: i64,
}

/// How a framework is connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Connection {
    /// It subscribed; `name` is what its calls must carry.
    Subscribed { stream: StreamId, name: String, heartbeat_at: Instant },
    /// Its stream closed; it is removed then unless it comes back.
    Disconnected { remove_at: Instant },
    /// Learnt of from an agent after a change of masters; it may come back at any time.
    Recovered,
}

impl Framework {
    pub(crate) fn new(id: FrameworkId, info: FrameworkInfo, now: i64) -> Self {
        let mut framework = Self {
            id,
            info: FrameworkInfo::default(),
            roles: BTreeSet::new(),
            suppressed: BTreeSet::new(),
            connection: Connection::Recovered,
            tasks: BTreeMap::new(),
            unreachable: VecDeque::new(),
            completed: VecDeque::new(),
            offers: BTreeSet::new(),
            registered: now,
            reregistered: now,
        };
        framework.describe(info);
        framework
    }

    /// Takes a new description; the id stays.
    pub(crate) fn describe(&mut self, info: FrameworkInfo) {
        self.roles = roles(&info);
        self.info = info;
        self.info.id = Some(self.id.as_str().into());
    }

    pub(crate) fn stream(&self) -> Option<StreamId> {
        match &self.connection {
            Connection::Subscribed { stream, .. } => Some(*stream),
            _ => None,
        }
    }

    pub(crate) fn spec(&self) -> FrameworkSpec {
        FrameworkSpec {
            roles: self.roles.clone(),
            suppressed: self.suppressed.clone(),
            active: self.stream().is_some(),
        }
    }

    pub(crate) fn can(&self, capability: Capability) -> bool {
        can(&self.info, capability)
    }

    pub(crate) fn partition_aware(&self) -> bool {
        self.can(Capability::PartitionAware)
    }

    /// The form in which it is shown resources.
    pub(crate) fn form(&self) -> Form {
        if self.can(Capability::ReservationRefinement) { Form::Refined } else { Form::Plain }
    }
}

pub(crate) fn can(info: &FrameworkInfo, capability: Capability) -> bool {
    info.capabilities.iter().any(|has| has.r#type() == capability)
}

/// The roles that a valid description subscribes to.
fn roles(info: &FrameworkInfo) -> BTreeSet<Role> {
    if can(info, Capability::MultiRole) {
        info.roles.iter().filter_map(|role| Role::parse(role).ok()).collect()
    } else {
        Role::parse(info.role()).into_iter().collect()
    }
}
