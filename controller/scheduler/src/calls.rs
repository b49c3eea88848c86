//! What a framework wants done, as v1 calls.

use std::time::Duration;

use frameworks::{Command, Launch, Reconciled, TaskId};
use mesos::resources::{Form, write};
use mesos::v1::command_info::Uri;
use mesos::v1::environment::Variable;
use mesos::v1::offer::Operation;
use mesos::v1::offer::operation::Type as OperationType;
use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::{
    Accept, Acknowledge, Decline, Kill, Reconcile, Revive, Subscribe, Suppress, Type, reconcile,
};
use mesos::v1::{
    CommandInfo, DurationInfo, Environment, Filters, FrameworkInfo, KillPolicy, Label, Labels,
    TaskInfo, value,
};
use types::Role;

pub(crate) fn subscribe(info: FrameworkInfo) -> Call {
    let id = info.id.clone();
    let subscribe = Subscribe { framework_info: info, ..Subscribe::default() };
    Call { framework_id: id, subscribe: Some(subscribe), ..of(Type::Subscribe) }
}

pub(crate) fn accept(offer: &str, launches: &[Launch], refuse: Duration, role: &Role) -> Call {
    let task_infos = launches.iter().map(|launch| task(launch, role)).collect();
    let operation = Operation {
        r#type: Some(OperationType::Launch as i32),
        launch: Some(mesos::v1::offer::operation::Launch { task_infos }),
        ..Operation::default()
    };
    let accept = Accept {
        offer_ids: vec![offer.into()],
        operations: vec![operation],
        filters: Some(filters(refuse)),
    };
    Call { accept: Some(accept), ..of(Type::Accept) }
}

pub(crate) fn decline(offers: &[String], refuse: Duration) -> Call {
    let offer_ids = offers.iter().map(|id| id.as_str().into()).collect();
    Call {
        decline: Some(Decline { offer_ids, filters: Some(filters(refuse)) }),
        ..of(Type::Decline)
    }
}

pub(crate) fn revive() -> Call {
    Call { revive: Some(Revive::default()), ..of(Type::Revive) }
}

pub(crate) fn suppress() -> Call {
    Call { suppress: Some(Suppress::default()), ..of(Type::Suppress) }
}

pub(crate) fn teardown() -> Call {
    of(Type::Teardown)
}

pub(crate) fn kill(task: &TaskId, agent: Option<&str>, grace: Duration) -> Call {
    let kill = Kill {
        task_id: task.as_str().into(),
        agent_id: agent.map(Into::into),
        kill_policy: Some(kill_policy(grace)),
    };
    Call { kill: Some(kill), ..of(Type::Kill) }
}

pub(crate) fn acknowledge(task: &TaskId, agent: &str, uuid: Vec<u8>) -> Call {
    let acknowledge = Acknowledge { agent_id: agent.into(), task_id: task.as_str().into(), uuid };
    Call { acknowledge: Some(acknowledge), ..of(Type::Acknowledge) }
}

pub(crate) fn reconcile(tasks: &[Reconciled]) -> Call {
    let task = |asked: &Reconciled| reconcile::Task {
        task_id: asked.task.as_str().into(),
        agent_id: Some(asked.agent.as_str().into()),
    };
    let tasks = tasks.iter().map(task).collect();
    Call { reconcile: Some(Reconcile { tasks }), ..of(Type::Reconcile) }
}

fn of(kind: Type) -> Call {
    Call { r#type: Some(kind as i32), ..Call::default() }
}

fn filters(refuse: Duration) -> Filters {
    Filters { refuse_seconds: Some(refuse.as_secs_f64()) }
}

fn kill_policy(grace: Duration) -> KillPolicy {
    let nanoseconds = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
    KillPolicy { grace_period: Some(DurationInfo { nanoseconds }) }
}

fn task(launch: &Launch, role: &Role) -> TaskInfo {
    let spec = &launch.task;
    let mut task = TaskInfo {
        name: launch.name.clone(),
        task_id: launch.record.id.as_str().into(),
        agent_id: launch.record.agent.as_str().into(),
        resources: write(&launch.resources, Some(role), Form::Refined),
        command: Some(command(launch)),
        kill_policy: Some(kill_policy(spec.grace)),
        ..TaskInfo::default()
    };
    let label = |key: &str, value: String| Label { key: key.into(), value: Some(value) };
    let mut labels: Vec<Label> =
        spec.labels.iter().map(|(key, value)| label(key, value.clone())).collect();
    // Mesos has limits for cpus and mem only.
    labels.extend(spec.pids_limit.map(|pids| label(PIDS_LABEL, pids.to_string())));
    task.labels = (!labels.is_empty()).then_some(Labels { labels });
    let mut limit = |name: &str, value: f64| {
        task.limits.insert(name.into(), value::Scalar { value });
    };
    if let Some(cpus) = spec.cpus_limit {
        limit("cpus", cpus.as_f64());
    }
    if let Some(mem) = spec.mem_limit {
        limit("mem", mem.as_f64());
    }
    task
}

fn command(launch: &Launch) -> CommandInfo {
    let spec = &launch.task;
    let mut command = CommandInfo { user: spec.user.clone(), ..CommandInfo::default() };
    match &spec.command {
        Command::Shell(line) => {
            command.shell = Some(true);
            command.value = Some(line.clone());
        }
        Command::Argv(argv) => {
            command.shell = Some(false);
            command.value = argv.first().cloned();
            command.arguments.clone_from(argv);
        }
    }
    command.uris = spec
        .fetch
        .iter()
        .map(|fetch| Uri {
            value: fetch.uri.clone(),
            executable: Some(fetch.executable),
            extract: Some(fetch.extract),
            output_file: fetch.output.clone(),
            ..Uri::default()
        })
        .collect();
    let variables: Vec<Variable> = environment(launch)
        .map(|(name, value)| Variable { name, value: Some(value), ..Variable::default() })
        .collect();
    command.environment = (!variables.is_empty()).then_some(Environment { variables });
    command
}

/// The instance's ports as `PORT0`…, `PORT_<NAME>` and `PORTS`, its number as `INSTANCE`, then what was
/// declared, which wins.
fn environment(launch: &Launch) -> impl Iterator<Item = (String, String)> {
    let mut all = std::collections::BTreeMap::new();
    all.insert(String::from("INSTANCE"), launch.record.index.to_string());
    let mut numbers = Vec::new();
    for (at, port) in launch.task.ports.iter().enumerate() {
        let Some(number) = launch.record.ports.get(&port.name) else { continue };
        let name: String = port.name.chars().map(as_variable).collect();
        all.insert(format!("PORT{at}"), number.to_string());
        all.insert(format!("PORT_{name}"), number.to_string());
        numbers.push(number.to_string());
    }
    if !numbers.is_empty() {
        all.insert(String::from("PORTS"), numbers.join(","));
    }
    all.extend(launch.task.env.clone());
    all.into_iter()
}

fn as_variable(c: char) -> char {
    if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }
}

/// How an agent of ours is told the most processes and threads.
const PIDS_LABEL: &str = "troupe.dev/pids";
