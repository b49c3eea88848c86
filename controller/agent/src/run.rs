//! The start of an agent: everything that can be refused is refused here, before a master hears of it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use cgroups::{Enforcer, Options};
use election::Address;
use mesos::link::Enforcement;
use mesos::resources::{Form, write};
use mesos::v1::{AgentInfo, Attribute, value};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use types::Resources;

use crate::containers::Containers;
use crate::driver::{self, Parts};
use crate::error::{RunError, chain};
use crate::holder::client;
use crate::layout::Layout;
use crate::link::{self, About};
use crate::store::Store;
use crate::{AgentConfig, Isolation, Shutdown, command, http};

/// Events from the master and questions from HTTP that may wait for the loop.
const WAITING: usize = 256;
/// Kept for the host itself when resources are not declared. Source: Mesos `DEFAULT_EXECUTOR_MEM` rule of
/// `Containerizer::resources`: all but 1 GB, or half if less is left.
const HOST_MEMORY_MB: u64 = 1024;

/// Runs an agent until `shutdown` is ready, the master sends it away, or it cannot go on.
///
/// Needs a tokio runtime with IO and time; one thread is enough.
pub async fn run(
    config: AgentConfig,
    shutdown: impl Future<Output = Shutdown>,
) -> Result<(), RunError> {
    let address: Address = config
        .master
        .parse()
        .map_err(|e| RunError::Master { text: config.master.clone(), why: chain(&e) })?;
    let resources = resources(config.resources.as_deref())?;
    let attributes = attributes(config.attributes.as_deref().unwrap_or_default())?;
    let work_dir =
        std::path::absolute(&config.work_dir).unwrap_or_else(|_| config.work_dir.clone());
    let store = Arc::new(Store::open(Layout::new(work_dir.clone()))?);
    let (enforcer, enforcement) = enforcement(&config)?;
    let listen = |source| RunError::Listen { addr: config.addr, source };
    let listener = TcpListener::bind(config.addr).await.map_err(listen)?;
    let local = listener.local_addr().map_err(listen)?;
    let (holder, greeting, replies) =
        client::connect_or_start(&store.layout().holder(), &config.holder).await?;
    tracing::info!(
        %local,
        holder = greeting.pid,
        adopted = greeting.adopted,
        enforced = enforcement.enforced,
        hierarchy = enforcement.hierarchy,
        why = enforcement.message,
        "the agent is up"
    );

    let info = AgentInfo {
        hostname: config.hostname.clone(),
        port: Some(local.port().into()),
        resources: write(&resources, None, Form::Operator),
        attributes,
        ..AgentInfo::default()
    };
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "hostname": config.hostname,
        "port": local.port(),
        "pool": config.pool,
        "work_dir": work_dir,
        "resources": resources.to_string(),
        "enforcement": enforcement,
    });
    let ip = (!local.ip().is_unspecified()).then(|| local.ip().to_string());
    let (tell, from_master) = mpsc::channel(WAITING);
    let (to_master, updates) = mpsc::unbounded_channel();
    let (ask, questions) = mpsc::channel(WAITING);
    let sandboxes: PathBuf = store.layout().sandboxes();
    let recovered = store.recover();
    let jobs = [
        tokio::spawn(link::keep(address, About { info, enforcement, ip }, tell, updates)),
        tokio::spawn(http::serve(listener, ask, sandboxes)),
    ];
    let parts = Parts {
        store,
        containers: Containers::new(enforcer),
        node: command::Node { endpoint: local.to_string() },
        holder_command: config.holder,
        holder,
        greeting,
        replies,
        recovered,
        to_master,
        from_master,
        questions,
        about,
    };
    let ended = driver::run(parts, shutdown).await;
    jobs.iter().for_each(tokio::task::JoinHandle::abort);
    ended
}

/// What enforces limits, and what is told of it.
fn enforcement(config: &AgentConfig) -> Result<(Option<Arc<dyn Enforcer>>, Enforcement), RunError> {
    let none = |message: String| {
        (None, Enforcement { enforced: false, hierarchy: "none".to_owned(), message })
    };
    if config.isolation == Isolation::Off {
        return Ok(none("isolation is off by configuration".to_owned()));
    }
    let options = Options { root: config.cgroup_root.clone(), pool: config.pool.clone() };
    match cgroups::detect(&options) {
        Ok(enforcer) => {
            let described = enforcer.describe();
            let lacking: Vec<&str> = ["cpu", "memory", "pids"]
                .into_iter()
                .filter(|c| !described.controllers.iter().any(|d| d == c))
                .collect();
            if !lacking.is_empty() {
                // A task that asks for a limit would be refused; without limits it can run.
                let why = format!(
                    "the cgroup controllers {} are not available to us; enable them in the parent's \
                     cgroup.subtree_control",
                    lacking.join(", ")
                );
                tracing::warn!(why, "limits are not enforced");
                return Ok(none(why));
            }
            let message = described.bases.first().map(|b| b.display().to_string());
            Ok((
                Some(enforcer),
                Enforcement {
                    enforced: true,
                    hierarchy: described.version.to_string(),
                    message: message.unwrap_or_default(),
                },
            ))
        }
        Err(error) if config.isolation == Isolation::Required => Err(error.into()),
        Err(error) => {
            let why = chain(&error);
            tracing::warn!(why, "limits are not enforced");
            Ok(none(why))
        }
    }
}

fn resources(text: Option<&str>) -> Result<Resources, RunError> {
    let detected = text.is_none().then(detect);
    let text = detected.as_deref().or(text).unwrap_or_default();
    Resources::parse(text)
        .map_err(|e| RunError::Resources { text: text.to_owned(), why: chain(&e) })
}

/// What the host has, less what it needs itself.
fn detect() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = rustix::system::sysinfo();
    let memory = info.totalram.saturating_mul(u64::from(info.mem_unit)) >> 20;
    let offered = memory.saturating_sub(HOST_MEMORY_MB).max(memory / 2);
    format!("cpus:{cpus};mem:{offered};ports:[31000-32000]")
}

/// Source of the form: Mesos `--attributes`.
fn attributes(text: &str) -> Result<Vec<Attribute>, RunError> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once(':') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                Ok(attribute(name.trim(), value.trim()))
            }
            _ => Err(RunError::Attributes(part.to_owned())),
        })
        .collect()
}

fn attribute(name: &str, value: &str) -> Attribute {
    let empty = Attribute { name: name.to_owned(), ..Attribute::default() };
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Attribute {
            r#type: value::Type::Scalar.into(),
            scalar: Some(value::Scalar { value: number }),
            ..empty
        },
        _ => Attribute {
            r#type: value::Type::Text.into(),
            text: Some(value::Text { value: value.to_owned() }),
            ..empty
        },
    }
}
