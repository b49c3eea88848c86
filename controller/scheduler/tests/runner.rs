//! A framework's life against a member of an ensemble and a master that a test plays by hand.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ensemble::{Member, MemberConfig};
use frameworks::{ServiceSpec, TaskSpec};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use scheduler::{FrameworkRun, RunHandle, Runner};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The test's end of a master: calls come out, events go in.
struct Master {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Value>,
    streams: Arc<Mutex<VecDeque<mpsc::UnboundedSender<Bytes>>>>,
}

impl Master {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (told, calls) = mpsc::unbounded_channel();
        let streams: Arc<Mutex<VecDeque<_>>> = Arc::default();
        let kept = streams.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("accepting");
                let (told, kept) = (told.clone(), kept.clone());
                let serve = service_fn(move |request| answer(request, told.clone(), kept.clone()));
                let io = TokioIo::new(socket);
                tokio::spawn(async move {
                    let _closed = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, serve)
                        .await;
                });
            }
        });
        Self { address, calls, streams }
    }

    /// The next call, which must be of this type.
    async fn expect(&mut self, kind: &str) -> Value {
        let call = self.calls.recv().await.expect("a call");
        assert_eq!(call["type"], kind, "{call}");
        call
    }

    fn say(&self, event: &Value) {
        let record = mesos::recordio::encode(event.to_string().as_bytes());
        let streams = self.streams.lock().expect("no panic holds it");
        streams.back().expect("subscribed").send(record).expect("the framework listens");
    }

    /// Takes the subscription, and what follows from there being nothing yet to ask about.
    async fn subscribed(&mut self) -> Value {
        let call = self.expect("SUBSCRIBE").await;
        self.say(&json!({"type": "SUBSCRIBED", "subscribed": {
            "framework_id": {"value": "F1"}, "heartbeat_interval_seconds": 15.0}}));
        call
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    told: mpsc::UnboundedSender<Value>,
    streams: Arc<Mutex<VecDeque<mpsc::UnboundedSender<Bytes>>>>,
) -> Result<Response<Body>, Infallible> {
    let stream = request.headers().get("Mesos-Stream-Id").cloned();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let call: Value = serde_json::from_slice(&body).expect("JSON");
    let subscribes = call["type"] == "SUBSCRIBE";
    assert_eq!(stream.is_some(), !subscribes, "only SUBSCRIBE goes without a stream id");
    let response = if subscribes {
        let (say, said) = mpsc::unbounded_channel();
        streams.lock().expect("no panic holds it").push_back(say);
        let body = BodyExt::boxed(Said(said));
        Response::builder().header("Mesos-Stream-Id", "s").body(body)
    } else {
        Response::builder().status(202).body(BodyExt::boxed(Full::new(Bytes::new())))
    };
    told.send(call).expect("the test listens");
    Ok(response.expect("a response"))
}

struct Said(mpsc::UnboundedReceiver<Bytes>);

impl hyper::body::Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|record| record.map(|record| Ok(Frame::data(record))))
    }
}

async fn member(dir: &tempfile::TempDir) -> Member {
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Member::start(config).await.expect("a member")
}

fn start(member: &Member, master: &Master, instances: u32) -> RunHandle {
    let servers = member.client_addr().expect("a client port");
    let task = TaskSpec::shell("sleep 1000");
    Runner::start(FrameworkRun {
        namespace: "default".into(),
        name: "hello".into(),
        candidate: "test".into(),
        ensemble: format!("zk://{servers}/x").parse().expect("a place"),
        master: master.address.to_string().parse().expect("an address"),
        spec: ServiceSpec { instances, ..ServiceSpec::new("hello", task) },
        role: types::Role::parse("web").expect("a role"),
        user: String::new(),
        failover_timeout: Duration::from_secs(3600),
    })
}

fn offer() -> Value {
    let scalar = |name: &str, value: f64| {
        json!({"name": name, "type": "SCALAR",
        "scalar": {"value": value}, "allocation_info": {"role": "web"}})
    };
    json!({"type": "OFFERS", "offers": {"offers": [{
        "id": {"value": "O1"}, "framework_id": {"value": "F1"}, "agent_id": {"value": "A1"},
        "hostname": "host", "allocation_info": {"role": "web"},
        "resources": [scalar("cpus", 1.0), scalar("mem", 256.0)]}]}})
}

fn update(task: &str, state: &str) -> Value {
    json!({"type": "UPDATE", "update": {"status": {"task_id": {"value": task},
        "agent_id": {"value": "A1"}, "state": state, "uuid": "AAAAAAAAAAAAAAAAAAAAAA=="}}})
}

#[tokio::test]
async fn a_framework_lives_fails_over_and_is_torn_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let member = member(&dir).await;
    let znodes = member.local();
    let mut master = Master::start().await;
    // The seat of a run that was killed, whose session has not ended: it is not waited for.
    let seat = "/troupe/frameworks/default/hello/leader/candidate_0000000000";
    znodes.create_all(seat, "test".into()).await.expect("a seat");

    let first = start(&member, &master, 1);
    let call = master.subscribed().await;
    let info = &call["subscribe"]["framework_info"];
    assert_eq!(info["name"], "default/hello");
    assert_eq!(info["roles"], json!(["web"]));
    assert_eq!(info.get("id"), None);
    master.expect("RECONCILE").await;
    master.say(&offer());
    let accept = master.expect("ACCEPT").await;
    let task = &accept["accept"]["operations"][0]["launch"]["task_infos"][0];
    let id = task["task_id"]["value"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("hello-0."), "{id}");
    assert_eq!(task["command"]["value"], "sleep 1000");
    let path = format!("/troupe/frameworks/default/hello/tasks/{id}");
    assert!(znodes.get(&path).is_some(), "stored before it is launched");
    master.expect("SUPPRESS").await;
    master.say(&update(&id, "TASK_RUNNING"));
    let call = master.expect("ACKNOWLEDGE").await;
    assert_eq!(call["acknowledge"]["task_id"]["value"], *id);
    let mut status = first.status();
    status.wait_for(|status| status.service.converged()).await.expect("told");
    first.stop(false).await.expect("left");

    // The next leader subscribes as the same framework, asks about the task, and launches nothing.
    let second = start(&member, &master, 1);
    let call = master.subscribed().await;
    assert_eq!(call["framework_id"]["value"], "F1");
    let call = master.expect("RECONCILE").await;
    assert_eq!(call["reconcile"]["tasks"][0]["task_id"]["value"], *id);
    master.expect("RECONCILE").await;
    master.expect("SUPPRESS").await;
    master.say(&update(&id, "TASK_RUNNING"));
    master.expect("ACKNOWLEDGE").await;

    // A scale takes effect at once; what has no place is told with figures.
    let mut spec = ServiceSpec::new("hello", TaskSpec::shell("sleep 1000"));
    spec.instances = 2;
    second.update(spec);
    master.expect("REVIVE").await;
    let mut status = second.status();
    let waits = |status: &scheduler::Status| status.service.waiting.is_some();
    let told = status.wait_for(waits).await.expect("told").service.waiting.clone();
    assert_eq!(told.as_deref(), Some("1 instance waits for a place: no offer yet"));

    let stopping = tokio::spawn(second.stop(true));
    // Whether offers are refused before or after the kill is all the same.
    let calls = [master.calls.recv().await, master.calls.recv().await];
    let kinds: Vec<_> = calls.iter().flatten().map(|call| call["type"].clone()).collect();
    assert!(kinds.contains(&json!("KILL")) && kinds.contains(&json!("SUPPRESS")), "{kinds:?}");
    master.say(&update(&id, "TASK_KILLED"));
    master.expect("ACKNOWLEDGE").await;
    master.expect("TEARDOWN").await;
    stopping.await.expect("no panic").expect("torn down");
    assert!(znodes.get(&path).is_none());
    assert!(znodes.get("/troupe/frameworks/default/hello/info").is_none());
    member.shutdown().await;
}

#[tokio::test]
async fn a_master_that_forgot_the_framework_gets_a_new_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let member = member(&dir).await;
    let mut master = Master::start().await;
    let run = start(&member, &master, 1);
    master.subscribed().await;
    master.expect("RECONCILE").await;
    master.say(&json!({"type": "ERROR", "error": {"message": "Framework has been removed"}}));
    let call = master.subscribed().await;
    assert_eq!(call.get("framework_id"), None, "a new framework");
    master.expect("RECONCILE").await;
    run.stop(false).await.expect("left");
    member.shutdown().await;
}
