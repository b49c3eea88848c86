//! The connection to the leading master: find it, subscribe, hear events, post updates, and begin again.
//!
//! Lives here: transport and its failures. Must not: what events mean for tasks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use election::{Address, Detector};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mesos::link::{self as wire, AgentCall, AgentEvent, Believed, Enforcement, Subscribe};
use mesos::recordio::Decoder;
use mesos::v1::{AgentInfo, MasterInfo};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::error::chain;
use crate::task::{Spec, State, Status, TaskKey};
use crate::tasks::Input;
use crate::translate;

/// First and longest pause after a subscription failed.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A subscription or a post that is not answered within this time has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Heartbeats that may be missed. Source: the link's own rule.
const MISSED_HEARTBEATS: f64 = 5.0;
/// How much of a refusal is repeated in a log.
const SHOWN: usize = 500;

/// From the connection to the loop.
#[derive(Debug)]
pub(crate) enum FromMaster {
    /// A master is there: what is it to be told?
    Introduce(oneshot::Sender<Introduction>),
    /// It took us in, under this id.
    Subscribed { agent: String },
    /// The connection is gone.
    Lost,
    /// It wants a task. `info` is the framework's description.
    Launch { framework: String, info: Value, spec: Box<Spec> },
    /// A framework's description changed.
    Framework { framework: String, info: Value },
    /// Something that the tasks' machine understands.
    Input(Input),
    /// It wants us gone.
    ShutDown { why: String },
}

/// What a master is told of us.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) agent: Option<String>,
    /// `FrameworkInfo`s as masters sent them.
    pub(crate) frameworks: Vec<Value>,
    pub(crate) tasks: Vec<KnownTask>,
}

/// A task as a master is told of it.
#[derive(Debug)]
pub(crate) struct KnownTask {
    pub(crate) spec: Arc<Spec>,
    pub(crate) latest: Option<Status>,
    pub(crate) unacknowledged: Option<Status>,
}

/// For the master.
#[derive(Debug)]
pub(crate) enum ToMaster {
    /// An update. `spec` is `None` for a task that has no container.
    Update { key: TaskKey, spec: Option<Arc<Spec>>, status: Status, latest: State },
    /// We end on purpose. The sender is dropped when that is said.
    Leave(oneshot::Sender<()>),
}

/// What never changes of this agent.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) info: AgentInfo,
    pub(crate) enforcement: Enforcement,
    /// Where it listens, if that is one address.
    pub(crate) ip: Option<String>,
}

/// Keeps the agent connected to whoever leads, until the loop is gone.
pub(crate) async fn keep(
    address: Address,
    about: About,
    tell: mpsc::Sender<FromMaster>,
    mut updates: mpsc::UnboundedReceiver<ToMaster>,
) {
    let detector = Detector::start(address);
    let mut leader = detector.leader();
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let mut pause = RETRY.0;
    loop {
        let master = leader.borrow_and_update().clone();
        let Some(uri) = master.as_ref().and_then(uri) else {
            // Nobody leads: updates wait in the tasks' streams and are sent again on connection.
            tokio::select! {
                changed = leader.changed() => if changed.is_err() { return },
                update = updates.recv() => if update.is_none() { return },
            }
            continue;
        };
        let mut session =
            Session { client: &client, uri, about: &about, tell: &tell, partition: Vec::new() };
        let ended = tokio::select! {
            ended = session.run(&mut updates) => ended,
            () = changes(&mut leader, &master) => Err(SessionError::AnotherLeads),
        };
        let _ = tell.send(FromMaster::Lost).await;
        match ended {
            Ok(Worked::LoopEnded) => return,
            Err(SessionError::AnotherLeads) => {
                tracing::info!("another master leads");
                pause = RETRY.0;
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "lost the master");
                if matches!(error, SessionError::Ended | SessionError::Silent) {
                    pause = RETRY.0;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = changes(&mut leader, &master) => {}
                    () = tell.closed() => return,
                }
                pause = (pause * 2).min(RETRY.1);
            }
        }
    }
}

/// Waits until somebody else leads.
async fn changes(leader: &mut watch::Receiver<Option<MasterInfo>>, master: &Option<MasterInfo>) {
    while leader.borrow_and_update().as_ref() == master.as_ref() {
        if leader.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn uri(master: &MasterInfo) -> Option<Uri> {
    let host = master.address.as_ref().and_then(|a| a.ip.clone().or_else(|| a.hostname.clone()));
    let host = host.or_else(|| master.hostname.clone())?;
    let port =
        master.address.as_ref().map_or_else(|| i64::from(master.port), |a| i64::from(a.port));
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("http://{host}:{port}{}", wire::PATH).parse().ok()
}

enum Worked {
    LoopEnded,
}

/// Why a session with a master ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("another master leads")]
    AnotherLeads,
    #[error("connect to the master at {uri}")]
    Connect { uri: Uri, source: hyper_util::client::legacy::Error },
    #[error("the master at {uri} answered {status}: {said}")]
    Refused { uri: Uri, status: StatusCode, said: String },
    #[error("the master does not answer")]
    Timeout,
    #[error("the master ended the stream")]
    Ended,
    #[error("the master is silent")]
    Silent,
    #[error("read the master's stream")]
    Read(#[from] hyper::Error),
    #[error("the master's stream is not RecordIO")]
    Frame(#[from] mesos::recordio::RecordError),
    #[error("the master sent an event that is not understood")]
    Event(#[from] serde_json::Error),
}

struct Session<'a> {
    client: &'a Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    about: &'a About,
    tell: &'a mpsc::Sender<FromMaster>,
    /// Tasks asked for in reconciliation whose frameworks know TASK_DROPPED.
    partition: Vec<TaskKey>,
}

impl Session<'_> {
    async fn run(
        &mut self,
        updates: &mut mpsc::UnboundedReceiver<ToMaster>,
    ) -> Result<Worked, SessionError> {
        let (reply, introduction) = oneshot::channel();
        if self.tell.send(FromMaster::Introduce(reply)).await.is_err() {
            return Ok(Worked::LoopEnded);
        }
        let Ok(introduction) = introduction.await else { return Ok(Worked::LoopEnded) };
        let call = AgentCall::Subscribe(Box::new(self.subscribe(introduction)));
        let response = self.post(&call, None).await?;
        let stream = response.headers().get("mesos-stream-id").cloned();
        let mut body = response.into_body();
        let mut decoder = Decoder::new(wire::MAX_BYTES);
        let mut agent = String::new();
        let mut silence = ANSWER_WITHIN;
        loop {
            while let Some(record) = decoder.next_record()? {
                match serde_json::from_slice(&record)? {
                    AgentEvent::Subscribed { agent_id, heartbeat_seconds } => {
                        agent = agent_id.value;
                        silence =
                            Duration::try_from_secs_f64(heartbeat_seconds * MISSED_HEARTBEATS)
                                .unwrap_or(ANSWER_WITHIN)
                                .max(ANSWER_WITHIN);
                        // What waited was for an earlier master; the streams send it again.
                        while updates.try_recv().is_ok() {}
                        let told = FromMaster::Subscribed { agent: agent.clone() };
                        if self.tell.send(told).await.is_err() {
                            return Ok(Worked::LoopEnded);
                        }
                    }
                    AgentEvent::Heartbeat => {
                        drop(self.post(&AgentCall::Pong, stream.as_ref()).await?)
                    }
                    event => {
                        if !self.pass_on(event, &agent).await {
                            return Ok(Worked::LoopEnded);
                        }
                    }
                }
            }
            tokio::select! {
                frame = tokio::time::timeout(silence, body.frame()) => match frame {
                    Ok(Some(frame)) => {
                        if let Ok(data) = frame?.into_data() {
                            decoder.feed(&data);
                        }
                    }
                    Ok(None) => return Err(SessionError::Ended),
                    Err(_) => return Err(SessionError::Silent),
                },
                update = updates.recv(), if !agent.is_empty() => match update {
                    Some(ToMaster::Update { key, spec, status, latest }) => {
                        let call = self.update(&agent, key, spec, &status, latest);
                        drop(self.post(&call, stream.as_ref()).await?);
                    }
                    Some(ToMaster::Leave(said)) => {
                        drop(self.post(&AgentCall::Leave, stream.as_ref()).await?);
                        drop(said);
                    }
                    None => return Ok(Worked::LoopEnded),
                },
            }
        }
    }

    fn subscribe(&self, introduction: Introduction) -> Subscribe {
        Subscribe {
            agent: self.about.info.clone(),
            ip: self.about.ip.clone(),
            agent_id: introduction.agent.map(Into::into),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: Vec::new(),
            frameworks: introduction.frameworks.iter().filter_map(translate::framework).collect(),
            tasks: introduction.tasks.iter().filter_map(translate::known).collect(),
            enforcement: Some(self.about.enforcement.clone()),
        }
    }

    fn update(
        &self,
        agent: &str,
        key: TaskKey,
        spec: Option<Arc<Spec>>,
        status: &Status,
        latest: State,
    ) -> AgentCall {
        let aware = match &spec {
            Some(spec) => spec.partition_aware,
            None => self.partition.contains(&key),
        };
        let container = spec.as_ref().map(|spec| spec.container.as_str());
        AgentCall::Update(Box::new(wire::Update {
            status: translate::status(&key, Some(agent), container, aware, status),
            framework_id: key.framework.into(),
            latest_state: translate::latest(latest, aware),
        }))
    }

    /// Whether the loop is still there.
    async fn pass_on(&mut self, event: AgentEvent, agent: &str) -> bool {
        let said = match event {
            AgentEvent::Subscribed { .. } | AgentEvent::Heartbeat => return true,
            AgentEvent::Launch(launch) => match translate::spec(&launch, agent) {
                Ok(spec) => FromMaster::Launch {
                    framework: spec.key.framework.clone(),
                    info: serde_json::to_value(&launch.framework).unwrap_or_default(),
                    spec: Box::new(spec),
                },
                Err((key, why)) => FromMaster::Input(Input::Invalid { key, why }),
            },
            AgentEvent::Kill { framework_id, task_id, kill_policy } => {
                let key = TaskKey { framework: framework_id.value, task: task_id.value };
                let grace = translate::grace(kill_policy.as_ref());
                FromMaster::Input(Input::Kill { key, grace })
            }
            AgentEvent::Acknowledge { framework_id, task_id, uuid } => {
                let key = TaskKey { framework: framework_id.value, task: task_id.value };
                let Ok(uuid) = Uuid::from_slice(&uuid) else { return true };
                FromMaster::Input(Input::Acknowledge { key, uuid })
            }
            AgentEvent::UpdateFramework { framework } => FromMaster::Framework {
                framework: framework.id.clone().unwrap_or_default().value,
                info: serde_json::to_value(&*framework).unwrap_or_default(),
            },
            AgentEvent::ShutdownFramework { framework_id } => {
                FromMaster::Input(Input::ShutdownFramework { framework: framework_id.value })
            }
            AgentEvent::Reconcile { tasks } => return self.reconcile(tasks).await,
            AgentEvent::Shutdown { message } => FromMaster::ShutDown { why: message },
        };
        self.tell.send(said).await.is_ok()
    }

    async fn reconcile(&mut self, tasks: Vec<Believed>) -> bool {
        let key = |t: &Believed| TaskKey {
            framework: t.framework_id.value.clone(),
            task: t.task_id.value.clone(),
        };
        self.partition = tasks.iter().filter(|t| t.partition_aware).map(key).collect();
        for task in &tasks {
            let input = Input::Unknown { key: key(task) };
            if self.tell.send(FromMaster::Input(input)).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn post(
        &self,
        call: &AgentCall,
        stream: Option<&http::HeaderValue>,
    ) -> Result<http::Response<Incoming>, SessionError> {
        let body = serde_json::to_vec(call).map_err(SessionError::Event)?;
        let mut request = Request::post(self.uri.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json");
        if let Some(stream) = stream {
            request = request.header("Mesos-Stream-Id", stream);
        }
        let request =
            request.body(Full::new(Bytes::from(body))).expect("all parts were parsed before");
        let response = tokio::time::timeout(ANSWER_WITHIN, self.client.request(request))
            .await
            .map_err(|_| SessionError::Timeout)?
            .map_err(|source| SessionError::Connect { uri: self.uri.clone(), source })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let said = http_body_util::Limited::new(response.into_body(), SHOWN * 4).collect().await;
        let said = said.map(|said| said.to_bytes()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).chars().take(SHOWN).collect();
        Err(SessionError::Refused { uri: self.uri.clone(), status, said })
    }
}
