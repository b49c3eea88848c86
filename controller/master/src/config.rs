//! What one master is told at its start.

use std::time::Duration;

use mesos::v1::MasterInfo;

/// The settings of a master. The defaults are Mesos's.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it is known; `id` is the prefix of all ids it gives away and differs for each process.
    pub info: MasterInfo,
    /// Between two heartbeats of an agent's link.
    pub agent_ping: Duration,
    /// An agent that answers none of so many is unreachable.
    pub agent_pings_missed: u32,
    /// An agent that is disconnected for so long is unreachable.
    pub agent_reregister: Duration,
    /// An offer that is neither accepted nor declined for so long is rescinded; `None`: never.
    pub offer_timeout: Option<Duration>,
    /// How many frameworks that ended are remembered: they may not come back.
    pub completed_frameworks: usize,
    /// How many tasks that ended are remembered for each framework.
    pub completed_tasks: usize,
    /// How many tasks on unreachable agents are remembered for each framework.
    pub unreachable_tasks: usize,
    /// Between two heartbeats of a framework's stream.
    pub heartbeat: Duration,
}

impl Config {
    /// Mesos's settings.
    pub const fn new(info: MasterInfo) -> Self {
        Self {
            info,
            agent_ping: Duration::from_secs(15),
            agent_pings_missed: 5,
            agent_reregister: Duration::from_secs(600),
            offer_timeout: None,
            completed_frameworks: 50,
            completed_tasks: 1000,
            unreachable_tasks: 1000,
            heartbeat: Duration::from_secs(15),
        }
    }
}
