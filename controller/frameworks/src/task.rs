//! One task as it is remembered: in memory, and as a znode that any client can read.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// `<name>-<index>.<run>`: the run makes it unique for ever, so no id is used twice.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct TaskId(pub String);

impl TaskId {
    pub(crate) fn new(name: &str, index: u32, run: u64) -> Self {
        Self(format!("{name}-{index}.{run:x}"))
    }

    /// The instance it is a run of: `<name>-<index>`.
    pub fn instance(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(instance, _)| instance)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a task is. Ended tasks are not remembered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Phase {
    /// Stored, and sent to the master or about to be.
    Staging,
    /// Runs.
    Running,
    /// On an agent that is out of reach.
    Unreachable,
}

/// A task that has not ended, as stored under `tasks/<task id>`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Which instance it is; from 0.
    pub index: u32,
    /// The declaration it was launched from.
    pub revision: String,
    /// How far it is.
    pub phase: Phase,
    /// We want it to end. Remembered, so that a new leader goes on with the kill.
    pub killing: bool,
    /// The agent it is on.
    pub agent: String,
    /// That agent's host name.
    pub hostname: String,
    /// The agent's attributes that constraints look at, as text.
    pub attributes: BTreeMap<String, String>,
    /// The ports it has, by name.
    pub ports: BTreeMap<String, u16>,
    /// What its health check said last.
    pub healthy: Option<bool>,
}

impl TaskRecord {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "hostname" => Some(&self.hostname),
            _ => self.attributes.get(name).map(String::as_str),
        }
    }
}
