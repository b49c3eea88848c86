//! What a service is declared to be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::resources::Scalar;

/// A service: so many like instances, kept running.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// The start of every task id; letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// How many; 0 to 10,000.
    pub instances: u32,
    /// What each is.
    pub task: TaskSpec,
    /// How instances of an older declaration are replaced.
    pub rolling: Rolling,
    /// When a failed instance starts again.
    pub backoff: Backoff,
    /// Where instances may go; all must hold.
    pub constraints: Vec<Constraint>,
    /// What tells that an instance is well. Not enforced by agents yet, so refused.
    pub health_check: Option<HealthCheck>,
    /// An instance on an agent that is out of reach is replaced after this time.
    pub replace_unreachable_after: Duration,
}

impl ServiceSpec {
    /// A service of one instance with the defaults.
    pub fn new(name: &str, task: TaskSpec) -> Self {
        Self {
            name: name.into(),
            instances: 1,
            task,
            rolling: Rolling::default(),
            backoff: Backoff::default(),
            constraints: Vec::new(),
            health_check: None,
            replace_unreachable_after: Duration::from_secs(60),
        }
    }

    /// What about the declaration cannot be carried out.
    pub fn check(&self) -> Result<(), SpecError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.name.is_empty() || self.name.len() > 128 || !self.name.chars().all(fits) {
            return Err(SpecError::Name(self.name.chars().take(200).collect()));
        }
        if self.instances > MOST_INSTANCES {
            return Err(SpecError::TooMany(self.instances));
        }
        if self.health_check.is_some() {
            return Err(SpecError::HealthCheck);
        }
        if self.task.cpus.is_zero() && self.task.mem.is_zero() {
            return Err(SpecError::NoResources);
        }
        let fixed = self.task.ports.iter().filter_map(|port| port.fixed);
        let mut seen: Vec<u16> = fixed.collect();
        seen.sort_unstable();
        if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SpecError::PortTwice(twice[0]));
        }
        for constraint in &self.constraints {
            constraint.check()?;
        }
        Ok(())
    }

    /// Which declaration of the task this is: another value means that instances are replaced.
    pub fn revision(&self) -> String {
        let text = serde_json::to_vec(&self.task).expect("a task is plain data with text keys");
        // FNV-1a: the same on every machine and in every version.
        let hash = text.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// What one instance is. Two that serialise alike are the same revision.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TaskSpec {
    /// What runs.
    pub command: Command,
    /// The user it runs as; the agent's own when missing.
    pub user: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// What is fetched into the sandbox before.
    pub fetch: Vec<Fetch>,
    /// Cores.
    #[serde(with = "milli")]
    pub cpus: Scalar,
    /// Memory in units of 2^20 bytes.
    #[serde(with = "milli")]
    pub mem: Scalar,
    /// Disk in units of 2^20 bytes; zero asks for none.
    #[serde(with = "milli")]
    pub disk: Scalar,
    /// Cores it may burst to; at least `cpus`.
    #[serde(with = "maybe_milli")]
    pub cpus_limit: Option<Scalar>,
    /// Memory it may burst to, in units of 2^20 bytes; at least `mem`.
    #[serde(with = "maybe_milli")]
    pub mem_limit: Option<Scalar>,
    /// Processes and threads it may have.
    pub pids_limit: Option<u64>,
    /// Ports, from those offered.
    pub ports: Vec<Port>,
    /// Labels that agents and people see.
    pub labels: BTreeMap<String, String>,
    /// From the polite signal to the last one.
    pub grace: Duration,
}

impl TaskSpec {
    /// A shell line with 0.1 cores and 32 MB.
    pub fn shell(line: &str) -> Self {
        Self {
            command: Command::Shell(line.into()),
            user: None,
            env: BTreeMap::new(),
            fetch: Vec::new(),
            cpus: Scalar::from_milli(100),
            mem: Scalar::from_milli(32_000),
            disk: Scalar::ZERO,
            cpus_limit: None,
            mem_limit: None,
            pids_limit: None,
            ports: Vec::new(),
            labels: BTreeMap::new(),
            grace: Duration::from_secs(5),
        }
    }
}

/// What a task runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Command {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments.
    Argv(Vec<String>),
}

/// A file fetched into the sandbox.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Fetch {
    /// From where.
    pub uri: String,
    /// Its path in the sandbox; the last part of the URI when missing.
    pub output: Option<String>,
    /// Made executable.
    pub executable: bool,
    /// Unpacked, if it is an archive.
    pub extract: bool,
}

/// A port that an instance wants.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Port {
    /// Its name; `PORT_<NAME>` in the environment.
    pub name: String,
    /// This one; any that is offered when missing.
    pub fixed: Option<u16>,
}

/// How a new declaration comes in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rolling {
    /// Instances that may be missing meanwhile. When this and `max_surge` are 0, it counts as 1.
    pub max_unavailable: u32,
    /// Instances that may be over meanwhile.
    pub max_surge: u32,
    /// How long an instance runs well before it counts.
    pub min_ready: Duration,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { max_unavailable: 1, max_surge: 0, min_ready: Duration::ZERO }
    }
}

/// When a failed instance starts again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// After the first failure; doubled by each that follows without a good run between.
    pub initial: Duration,
    /// At most. An instance that ran this long has had a good run.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

/// A rule about the agents that instances go to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Constraint {
    /// `hostname`, or the name of an agent's attribute.
    pub attribute: String,
    /// The rule. An agent without the attribute does not satisfy it.
    pub operator: Operator,
}

/// What a constraint asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operator {
    /// This value, as text.
    Equals(String),
    /// At most one instance for each value.
    Unique,
    /// At most so many for each value; 1 or more.
    MaxPer(u32),
}

impl Constraint {
    fn check(&self) -> Result<(), SpecError> {
        if self.operator == Operator::MaxPer(0) {
            return Err(SpecError::MaxPerZero(self.attribute.clone()));
        }
        Ok(())
    }
}

/// What tells that an instance is well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HealthCheck {
    /// A shell line that ends with 0.
    Command(String),
    /// A path that answers 200 to 399 on a named port.
    Http {
        /// The port's name; the first when missing.
        port: Option<String>,
        /// The path.
        path: String,
    },
    /// A named port that can be connected to.
    Tcp {
        /// The port's name; the first when missing.
        port: Option<String>,
    },
}

/// Why a declaration is refused; what ran before runs on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// The name cannot start a task id.
    #[error("name {0:?} cannot start a task id: use up to 128 letters, digits, '.', '-' and '_'")]
    Name(String),
    /// Too many instances.
    #[error("{0} instances are too many: at most 10000")]
    TooMany(u32),
    /// Agents do not run health checks yet.
    #[error("health checks are not carried out by agents yet: leave healthCheck out")]
    HealthCheck,
    /// Nothing to account for.
    #[error("a task needs cpu or memory: Mesos refuses tasks without resources")]
    NoResources,
    /// One port twice.
    #[error("port {0} is asked for twice")]
    PortTwice(u16),
    /// A bound that nothing satisfies.
    #[error("constraint on {0}: at most 0 instances for each value leaves none; give 1 or more")]
    MaxPerZero(String),
}

/// The most instances of one service.
const MOST_INSTANCES: u32 = 10_000;

mod milli {
    use serde::{Deserialize, Deserializer, Serializer};
    use types::resources::Scalar;

    pub(super) fn serialize<S: Serializer>(scalar: &Scalar, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(scalar.milli())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Scalar, D::Error> {
        i64::deserialize(d).map(Scalar::from_milli)
    }
}

mod maybe_milli {
    use serde::{Deserialize, Deserializer, Serializer};
    use types::resources::Scalar;

    pub(super) fn serialize<S: Serializer>(
        scalar: &Option<Scalar>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match scalar {
            Some(scalar) => s.serialize_some(&scalar.milli()),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Option<Scalar>, D::Error> {
        Ok(Option::<i64>::deserialize(d)?.map(Scalar::from_milli))
    }
}
