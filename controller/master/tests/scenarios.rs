//! Text scenarios: commands, `----`, and all that the master did. `UPDATE=1` rewrites them.
//!
//! ```text
//! subscribe <stream> [id=<id>] [roles=a,b] [failover=<s>] [checkpoint] [plain] [suppressed=a]
//! call <framework> <json without framework_id>      with the framework's current stream name
//! agent <stream> [id=<id>] [cpus=<n>] [mem=<n>] [port=<n>] [<framework>/<task>=<STATE> …]
//! update <agent> <framework>/<task> <STATE> [uuid=<n>] [latest=<STATE>]
//! link <agent> <json>     operator <json>     closed <stream>     pass <seconds>     written
//! restart                 a new master, with the registry as written
//! hold                    writes are not safe until `written`
//! mute                    agents answer no heartbeat from now on
//! ```
//! Frameworks are named f0, f1, …; agents S0, S1, …; offers O0, …: the master's id is `m`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use master::{
    AgentRecord, Answer, Change, Config, Input, Master, Now, Output, Registry, ReplyId, StreamId,
    WriteId,
};
use mesos::link::AgentEvent;
use mesos::v1::{MasterInfo, scheduler};
use serde_json::{Value, json};
use types::Instant;

#[test]
fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a scenario");
        let played = play(&text);
        if played == text {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, played).expect("written");
        } else {
            wrong.push(format!("{}\n{played}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "differs (UPDATE=1 rewrites):\n{}", wrong.join("\n"));
}

/// The scenario with what really happened.
fn play(text: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    for block in text.trim_end().split("\n\n") {
        let commands = block.split("\n----").next().unwrap_or_default();
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(commands);
        out.push_str("\n----\n");
        for line in commands.lines().filter(|line| !line.starts_with('#')) {
            world.command(line);
        }
        world.settle();
        for line in world.said.drain(..) {
            let _infallible = writeln!(out, "{line}");
        }
    }
    out
}

struct World {
    master: Master,
    now: Now,
    said: Vec<String>,
    /// Stream names, by framework and by agent.
    names: BTreeMap<String, String>,
    /// Who reads a stream.
    streams: BTreeMap<u64, String>,
    next_stream: u64,
    writes: Vec<WriteId>,
    agents: BTreeMap<String, AgentRecord>,
    registry: Registry,
    hold_writes: bool,
    mute: bool,
}

impl World {
    fn new() -> Self {
        let now = Now { instant: Instant::ZERO, unix_nanos: 1_000_000_000_000 };
        Self {
            master: Master::new(config(), Registry::default(), now),
            now,
            said: Vec::new(),
            names: BTreeMap::new(),
            streams: BTreeMap::new(),
            next_stream: 0,
            writes: Vec::new(),
            agents: BTreeMap::new(),
            registry: Registry::default(),
            hold_writes: false,
            mute: false,
        }
    }

    fn command(&mut self, line: &str) {
        let mut words = line.splitn(2, ' ');
        let (verb, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match verb {
            "subscribe" => self.subscribe(rest),
            "call" => {
                let (framework, call) = rest.split_once(' ').expect("a framework and a call");
                let mut call: Value = serde_json::from_str(call).expect("JSON");
                call["framework_id"] = json!({ "value": framework_id(framework) });
                let call = mesos::json::from_value(call).expect("a call");
                let valid = master::validate::call(&call);
                if let Err(why) = valid {
                    return self.said.push(format!("400 {why}"));
                }
                let stream_name = self.names.get(framework).cloned();
                let reply = ReplyId(0);
                self.step(Input::Call { reply, stream_name, call: Box::new(call) });
            }
            "agent" => self.agent(rest),
            "update" => self.update(rest),
            "link" => {
                let (agent, call) = rest.split_once(' ').expect("an agent and a call");
                let call = serde_json::from_str(call).expect("a call");
                let stream_name = self.names.get(agent).cloned();
                let reply = ReplyId(0);
                self.step(Input::AgentCall { reply, stream_name, call: Box::new(call) });
            }
            "operator" => {
                let call = mesos::json::from_slice(rest.as_bytes()).expect("a call");
                let reply = ReplyId(0);
                self.step(Input::Operator { reply, call: Box::new(call) });
            }
            "closed" => {
                let stream = self.streams.iter().rfind(|(_, name)| *name == rest);
                let stream = *stream.expect("an open stream").0;
                self.streams.remove(&stream);
                self.step(Input::Closed(StreamId(stream)));
            }
            "pass" => {
                let seconds: u64 = rest.parse().expect("seconds");
                let until = self.now.instant + Duration::from_secs(seconds);
                while let Some(at) = self.master.next_wake().filter(|at| *at <= until) {
                    self.pass_to(at.max(self.now.instant));
                    self.settle();
                    self.pong();
                }
                self.pass_to(until);
            }
            "hold" => self.hold_writes = true,
            "mute" => self.mute = true,
            "written" => {
                self.hold_writes = false;
                self.flush();
            }
            "restart" => {
                self.registry.agents = self.agents.values().cloned().collect();
                let mut config = config();
                config.info.id = "n".into();
                self.master = Master::new(config, self.registry.clone(), self.now);
                self.streams.clear();
            }
            other => panic!("{other}: no such command"),
        }
    }

    /// Takes heartbeats out of what was said, and answers those of the agents.
    fn pong(&mut self) {
        if self.mute {
            return;
        }
        let (beats, rest) = self.said.drain(..).partition(|line| line.ends_with(" HEARTBEAT"));
        self.said = rest;
        let beats: Vec<String> = beats;
        for name in beats.iter().filter_map(|line| line.split(' ').nth(1)) {
            if name.starts_with('S') {
                let stream_name = self.names.get(name).cloned();
                let call = Box::new(mesos::link::AgentCall::Pong);
                let _accepted = self
                    .master
                    .step(self.now, Input::AgentCall { reply: ReplyId(0), stream_name, call });
            }
        }
    }

    fn pass_to(&mut self, at: Instant) {
        let passed = at.saturating_since(self.now.instant);
        self.now.instant = at;
        self.now.unix_nanos += i64::try_from(passed.as_nanos()).expect("a short time");
    }

    fn open(&mut self, reader: &str) -> (StreamId, String) {
        let stream = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(stream, reader.into());
        (StreamId(stream), format!("name{stream}"))
    }

    fn subscribe(&mut self, rest: &str) {
        let words: Vec<_> = rest.split(' ').collect();
        let (stream, name) = self.open(words[0]);
        let flag = |flag: &str| words.contains(&flag);
        let mut info = json!({ "user": "u", "name": words[0], "checkpoint": flag("checkpoint"),
            "failover_timeout": word(&words, "failover").map_or(0.0, |s| s.parse().expect("s")),
            "capabilities": [] });
        let roles: Vec<_> = word(&words, "roles").unwrap_or("eng").split(',').collect();
        if flag("plain") {
            info["role"] = json!(roles[0]);
        } else {
            info["roles"] = json!(roles);
            info["capabilities"] = json!([{ "type": "MULTI_ROLE" }, { "type": "PARTITION_AWARE" },
                { "type": "RESERVATION_REFINEMENT" }]);
        }
        if let Some(id) = word(&words, "id") {
            info["id"] = json!({ "value": framework_id(id) });
        }
        let suppressed: Vec<_> = word(&words, "suppressed").into_iter().collect();
        let call = json!({ "framework_info": info, "suppressed_roles": suppressed });
        let call = mesos::json::from_value(call).expect("a call");
        self.names.insert(words[0].into(), name.clone());
        self.step(Input::Subscribe { stream, name, call: Box::new(call) });
    }

    fn agent(&mut self, rest: &str) {
        let words: Vec<_> = rest.split(' ').collect();
        let (stream, name) = self.open(words[0]);
        let figure =
            |name, usual: f64| word(&words, name).map_or(usual, |n| n.parse().expect("a number"));
        let scalar = |name: &str, value: f64| json!({ "name": name, "type": "SCALAR", "scalar": { "value": value } });
        let mut frameworks = Vec::new();
        let mut tasks = Vec::new();
        for (task, state) in words.iter().filter_map(|word| word.split_once('=')) {
            let Some((framework, task)) = task.split_once('/') else { continue };
            let framework = framework_id(framework);
            frameworks.push(json!({ "user": "u", "name": framework, "id": { "value": framework },
                "roles": ["eng"], "checkpoint": true, "capabilities": [{ "type": "MULTI_ROLE" }] }));
            let role = json!({ "role": "eng" });
            let resource = json!({ "name": "cpus", "type": "SCALAR", "scalar": { "value": 1 },
                "allocation_info": role });
            tasks.push(json!({ "framework_id": { "value": framework },
                "task": { "name": task, "task_id": { "value": task },
                    "agent_id": { "value": "" }, "resources": [resource] },
                "latest": { "task_id": { "value": task }, "state": state } }));
        }
        let mut call = json!({ "version": "1", "frameworks": frameworks, "tasks": tasks, "agent": {
            "hostname": "h", "port": figure("port", 5051.0),
            "resources": [scalar("cpus", figure("cpus", 4.0)), scalar("mem", figure("mem", 1024.0))] } });
        if let Some(id) = word(&words, "id") {
            call["agent_id"] = json!({ "value": agent_id(id) });
        }
        let call: mesos::link::Subscribe = serde_json::from_value(call).expect("a call");
        if let Err(why) = master::validate::agent(&call) {
            return self.said.push(format!("400 {why}"));
        }
        self.names.insert(words[0].into(), name.clone());
        self.step(Input::AgentSubscribe { stream, name, call: Box::new(call) });
    }

    fn update(&mut self, rest: &str) {
        let words: Vec<_> = rest.split(' ').collect();
        let (framework, task) = words[1].split_once('/').expect("framework/task");
        let uuid = vec![word(&words, "uuid").map_or(1, |n| n.parse().expect("a number")); 16];
        let state = words[2];
        let latest = word(&words, "latest").unwrap_or(state);
        let mut call = json!({ "type": "UPDATE", "framework_id": { "value": framework_id(framework) },
            "latest_state": latest,
            "status": { "task_id": { "value": task }, "state": state } });
        let status: mesos::v1::TaskStatus =
            mesos::v1::TaskStatus { uuid: Some(uuid), ..Default::default() };
        call["status"]["uuid"] = serde_json::to_value(&status).expect("JSON")["uuid"].clone();
        self.command(&format!("link {} {call}", words[0]));
    }

    fn settle(&mut self) {
        self.flush();
        self.step(Input::Settle);
        self.flush();
    }

    fn flush(&mut self) {
        while !self.hold_writes && !self.writes.is_empty() {
            let write = self.writes.remove(0);
            self.step(Input::Written(write));
        }
    }

    fn step(&mut self, input: Input) {
        for output in self.master.step(self.now, input) {
            self.hear(output);
        }
    }

    fn hear(&mut self, output: Output) {
        let reader = |stream: StreamId| {
            self.streams.get(&stream.0).cloned().unwrap_or_else(|| format!("{stream:?}"))
        };
        let line = match output {
            Output::Event { stream, event } => {
                format!("> {} {}", reader(stream), event_text(&event))
            }
            Output::AgentEvent { stream, event } => {
                format!("> {} {}", reader(stream), agent_text(&event))
            }
            Output::Close(stream) => {
                let line = format!("> {} closed", reader(stream));
                self.streams.remove(&stream.0);
                line
            }
            Output::Answer { answer, .. } => match answer {
                Answer::Accepted => "202".into(),
                Answer::Done => "200".into(),
                Answer::Response(response) => {
                    format!("200 {}", String::from_utf8_lossy(&mesos::json::to_vec(&*response)))
                }
                Answer::Refused { status, why } => format!("{status} {why}"),
            },
            Output::Write { write, change } => {
                self.writes.push(write);
                match *change {
                    Change::Agent(record) => {
                        let line = format!("registry: {} {:?}", record.id(), record.state);
                        let line = if record.deactivated { line + " deactivated" } else { line };
                        self.agents.insert(record.id().into(), record);
                        line
                    }
                    Change::ForgetAgent(id) => {
                        self.agents.remove(&id.value);
                        format!("registry: {id} forgotten")
                    }
                    Change::Weights(weights) => {
                        let each: Vec<_> =
                            weights.iter().map(|w| format!("{}={}", w.role(), w.weight)).collect();
                        self.registry.weights = weights;
                        format!("registry: weights {}", each.join(" "))
                    }
                    Change::Quotas(quotas) => {
                        let each: Vec<_> = quotas.iter().map(|q| q.role.clone()).collect();
                        self.registry.quotas = quotas;
                        format!("registry: quotas {}", each.join(" "))
                    }
                }
            }
        };
        self.said.push(line);
    }
}

fn config() -> Config {
    Config::new(MasterInfo { id: "m".into(), port: 5050, ..MasterInfo::default() })
}

fn word<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// `f0` stands for the first id that the master gives.
fn framework_id(name: &str) -> String {
    match name.strip_prefix('f').and_then(|n| n.parse::<u32>().ok()) {
        Some(n) => format!("m-{n:04}"),
        None => name.into(),
    }
}

fn agent_id(name: &str) -> String {
    if name.starts_with('S') { format!("m-{name}") } else { name.into() }
}

fn event_text(event: &scheduler::Event) -> String {
    use scheduler::event::Type;
    match event.r#type() {
        Type::Offers => {
            let offers = event.offers.iter().flat_map(|offers| &offers.offers);
            let each = offers.map(|offer| {
                let read = mesos::resources::read(&offer.resources).expect("valid resources");
                let role = offer.allocation_info.as_ref().map_or("-", |info| info.role());
                format!("{} on {} for {role}: {}", offer.id, offer.agent_id, read.resources)
            });
            format!("OFFERS {}", each.collect::<Vec<_>>().join(" | "))
        }
        Type::Update => {
            let status = event.update.clone().unwrap_or_default().status;
            let mut text = format!("UPDATE {} {}", status.task_id, status.state().as_str_name());
            if status.reason.is_some() {
                let _infallible = write!(text, " {}", status.reason().as_str_name());
            }
            if let Some(message) = &status.message {
                let _infallible = write!(text, " '{message}'");
            }
            if let Some(agent) = &status.agent_id {
                let _infallible = write!(text, " on {agent}");
            }
            if let Some(uuid) = &status.uuid {
                let _infallible =
                    write!(text, " uuid={}", uuid.first().copied().unwrap_or_default());
            }
            text
        }
        Type::Subscribed => {
            let subscribed = event.subscribed.clone().unwrap_or_default();
            format!("SUBSCRIBED {}", subscribed.framework_id)
        }
        Type::Error => format!("ERROR {}", event.error.clone().unwrap_or_default().message),
        Type::Rescind => format!("RESCIND {}", event.rescind.clone().unwrap_or_default().offer_id),
        Type::Failure => {
            let agent = event.failure.clone().unwrap_or_default().agent_id.unwrap_or_default();
            format!("FAILURE {agent}")
        }
        Type::UpdateOperationStatus => {
            let status = event.update_operation_status.clone().unwrap_or_default().status;
            let id = status.operation_id.clone().unwrap_or_default();
            format!("{} {id} '{}'", status.state().as_str_name(), status.message())
        }
        other => other.as_str_name().into(),
    }
}

fn agent_text(event: &AgentEvent) -> String {
    match event {
        AgentEvent::Subscribed { agent_id, .. } => format!("SUBSCRIBED {agent_id}"),
        AgentEvent::Heartbeat => "HEARTBEAT".into(),
        AgentEvent::Launch(launch) => {
            let read = mesos::resources::read(&launch.task.resources).expect("valid resources");
            format!("LAUNCH {} with {}", launch.task.task_id, read.resources)
        }
        AgentEvent::Kill { task_id, .. } => format!("KILL {task_id}"),
        AgentEvent::Acknowledge { task_id, uuid, .. } => {
            format!("ACKNOWLEDGE {task_id} uuid={}", uuid.first().copied().unwrap_or_default())
        }
        AgentEvent::UpdateFramework { framework } => format!("UPDATE_FRAMEWORK {}", framework.name),
        AgentEvent::ShutdownFramework { framework_id } => {
            format!("SHUTDOWN_FRAMEWORK {framework_id}")
        }
        AgentEvent::Reconcile { tasks } => {
            let each: Vec<_> = tasks.iter().map(|task| task.task_id.value.as_str()).collect();
            format!("RECONCILE {}", each.join(" "))
        }
        AgentEvent::Shutdown { message } => format!("SHUTDOWN {message}"),
    }
}
