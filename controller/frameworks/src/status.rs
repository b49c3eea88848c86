//! What a service tells about itself.

use std::collections::BTreeMap;

use crate::{Failure, Phase, TaskId};

/// The account of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceStatus {
    /// Instances that are wanted.
    pub desired: u32,
    /// Launched, not running yet.
    pub staging: u32,
    /// Running.
    pub running: u32,
    /// Running and well: those without a health check are well when they run.
    pub healthy: u32,
    /// On agents out of reach.
    pub unreachable: u32,
    /// Running from the present declaration.
    pub updated: u32,
    /// Ends that nobody asked for, since this leader began.
    pub failed: u64,
    /// The last of them.
    pub last_failure: Option<Failure>,
    /// Why the declaration is not carried out, if it is refused.
    pub refused: Option<String>,
    /// Why instances wait for a place, in words with figures.
    pub waiting: Option<String>,
    /// Every task that has not ended, by id.
    pub tasks: BTreeMap<TaskId, InstanceStatus>,
}

impl ServiceStatus {
    /// Whether exactly the declared instances run, all of them well and from the present declaration.
    pub fn converged(&self) -> bool {
        self.refused.is_none()
            && self.updated == self.desired
            && self.healthy == self.desired
            && usize::try_from(self.desired).is_ok_and(|desired| desired == self.tasks.len())
    }
}

/// One task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstanceStatus {
    /// Which instance it is.
    pub index: u32,
    /// How far it is.
    pub phase: Phase,
    /// It is being ended.
    pub killing: bool,
    /// The agent's id.
    pub agent: String,
    /// The agent's host name.
    pub hostname: String,
    /// Its ports by name.
    pub ports: BTreeMap<String, u16>,
}
