//! Real tasks on a real agent process, under a master that the test plays: from launch to the last
//! acknowledgement, over limits, restarts and ends. Limits are shown where groups may be made.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A master: takes any agent, tells its calls, and says what the test wants.
struct Master {
    address: String,
    calls: Receiver<Value>,
    streams: Receiver<TcpStream>,
}

impl Master {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let (tell, calls) = channel();
        let (give, streams) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tell, give) = (tell.clone(), give.clone());
                std::thread::spawn(move || serve(stream, &tell, &give));
            }
        });
        Self { address, calls, streams }
    }

    /// The next call of this type; heartbeats' answers and other types are passed by.
    fn call(&self, kind: &str) -> Value {
        loop {
            let call = self.calls.recv_timeout(PATIENCE).expect(kind);
            if call["type"] == kind {
                return call;
            }
        }
    }

    /// Lets the agent in, under the id `S0`; returns what it said of itself and the stream to it.
    fn subscribed(&self) -> (Value, Stream) {
        let said = self.call("SUBSCRIBE");
        let mut stream = Stream(self.streams.recv_timeout(PATIENCE).expect("a stream"));
        stream.say(&json!({
            "type": "SUBSCRIBED", "agent_id": {"value": "S0"}, "heartbeat_seconds": 15.0
        }));
        (said, stream)
    }

    /// The next update, acknowledged, which must have this state.
    fn update(&self, stream: &mut Stream, state: &str) -> Value {
        let call = self.call("UPDATE");
        let status = call["status"].clone();
        assert_eq!(status["state"], state, "{status}");
        stream.acknowledge(&call);
        status
    }
}

/// One connection: posts, of which a subscription stays open.
fn serve(stream: TcpStream, tell: &Sender<Value>, give: &Sender<TcpStream>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    while let Some(body) = request(&mut reader) {
        let call: Value = serde_json::from_slice(&body).expect("JSON");
        let subscribes = call["type"] == "SUBSCRIBE";
        let answer = if subscribes {
            "HTTP/1.1 200 OK\r\nMesos-Stream-Id: s\r\nTransfer-Encoding: chunked\r\n\r\n"
        } else {
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        };
        writer.write_all(answer.as_bytes()).expect("answered");
        if tell.send(call).is_err() {
            return;
        }
        if subscribes {
            give.send(writer).expect("the test listens");
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

/// The master's side of a subscription.
struct Stream(TcpStream);

impl Stream {
    fn say(&mut self, event: &Value) {
        let text = event.to_string();
        let record = format!("{}\n{text}", text.len());
        write!(self.0, "{:x}\r\n{record}\r\n", record.len()).expect("the agent listens");
    }

    fn acknowledge(&mut self, call: &Value) {
        self.say(&json!({
            "type": "ACKNOWLEDGE", "framework_id": call["framework_id"],
            "task_id": call["status"]["task_id"], "uuid": call["status"]["uuid"]
        }));
    }

    fn launch(&mut self, id: &str, script: &str, memory: f64) {
        let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
        self.say(&json!({
            "type": "LAUNCH",
            "framework": {"user": "root", "name": "f", "id": {"value": "F"},
                          "capabilities": [{"type": "PARTITION_AWARE"}]},
            "task": {"name": id, "task_id": {"value": id}, "agent_id": {"value": "S0"},
                     "resources": [scalar("cpus", 0.25), scalar("mem", memory)],
                     "command": {"value": script}}
        }));
    }

    fn kill(&mut self, id: &str) {
        self.say(
            &json!({"type": "KILL", "framework_id": {"value": "F"}, "task_id": {"value": id}}),
        );
    }
}

/// An agent on a work directory of its own, ended with its tasks when the test ends.
struct Agent {
    process: Child,
    work: tempfile::TempDir,
    master: String,
    pool: String,
}

impl Agent {
    fn start(master: &Master, test: &str) -> Self {
        let work = tempfile::tempdir().expect("a directory");
        let pool = format!("test-{test}-{}", std::process::id());
        let process = launch(work.path(), &master.address, &pool);
        Self { process, work, master: master.address.clone(), pool }
    }

    fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }

    fn restart(&mut self) {
        self.process = launch(self.work.path(), &self.master, &self.pool);
    }

    fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    fn sandbox(&self, task: &str) -> PathBuf {
        let runs = format!("slaves/S0/frameworks/F/executors/{task}/runs/latest");
        self.work.path().join(runs)
    }

    /// Every directory of this pool below the cgroup mounts.
    fn groups(&self) -> Vec<PathBuf> {
        let trees = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let pool = |tree: PathBuf| tree.join("troupe").join(&self.pool);
        let pools = trees.map(|tree| pool(tree.path())).chain([pool("/sys/fs/cgroup".into())]);
        pools.filter(|pool| pool.is_dir()).collect()
    }

    fn containers(&self) -> usize {
        let inside = |pool: PathBuf| std::fs::read_dir(pool).into_iter().flatten().flatten();
        self.groups().into_iter().flat_map(inside).filter(|e| e.path().is_dir()).count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal(libc::SIGTERM);
            let _ = self.process.wait();
        }
    }
}

fn launch(work: &Path, master: &str, pool: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_agent-for-tests"))
        .args([work.as_os_str(), master.as_ref(), pool.as_ref(), "cpus:4;mem:4096".as_ref()])
        .arg(env!("CARGO_BIN_EXE_holder-for-tests"))
        .stdin(Stdio::null())
        .spawn()
        .expect("the agent runs")
}

fn alive(pid: i64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn pid(status: &Value) -> i64 {
    status["container_status"]["executor_pid"].as_i64().expect("a pid")
}

#[test]
fn a_task_runs_and_is_killed_with_its_children_and_leaves_nothing() {
    let master = Master::start();
    let agent = Agent::start(&master, "life");
    let (said, mut stream) = master.subscribed();
    let enforced = said["enforcement"]["enforced"] == true;
    assert_eq!(said["agent"]["hostname"], "localhost");
    stream.launch("t", "echo hello; setsid sleep 1000 & echo $! > child; exec sleep 1001", 256.0);
    assert_eq!(master.update(&mut stream, "TASK_STARTING")["source"], "SOURCE_EXECUTOR");
    let running = master.update(&mut stream, "TASK_RUNNING");
    if enforced {
        let limit = |file: &str, name: &str| {
            let container = running["container_status"]["container_id"]["value"].as_str();
            let groups = agent.groups().into_iter();
            let file = groups.map(|g| g.join(container.expect("an id")).join(file));
            let text = file.filter(|f| f.exists()).map(|f| std::fs::read_to_string(f).expect(name));
            text.map(|t| t.trim().to_owned()).next()
        };
        let v1 = limit("memory.limit_in_bytes", "v1");
        assert_eq!(v1.or_else(|| limit("memory.max", "v2")).as_deref(), Some("268435456"));
    } else {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to make cgroups");
        eprintln!("LEFT OUT: limits, {}", said["enforcement"]["message"]);
    }
    let child = agent.sandbox("t").join("child");
    while !std::fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n')) {
        std::thread::yield_now();
    }
    stream.kill("t");
    let killed = master.update(&mut stream, "TASK_KILLED");
    assert_eq!(killed["message"], "Command terminated with signal Terminated");
    let child = std::fs::read_to_string(child).expect("written");
    assert!(!alive(pid(&running)) && !alive(child.trim().parse().expect("a pid")));
    assert_eq!(agent.containers(), 0);
    assert_eq!(
        std::fs::read_to_string(agent.sandbox("t").join("stdout")).expect("output"),
        "hello\n"
    );
}

#[test]
fn a_task_over_its_memory_limit_is_told_with_figures() {
    let master = Master::start();
    let agent = Agent::start(&master, "memory");
    let (said, mut stream) = master.subscribed();
    if said["enforcement"]["enforced"] != true {
        eprintln!("LEFT OUT: {}", said["enforcement"]["message"]);
        return;
    }
    // The shell survives its child.
    let hog = "sh -c 'x=$(head -c 100000000 /dev/zero | tr \"\\0\" x)'; sleep 1000";
    stream.launch("hog", hog, 32.0);
    master.update(&mut stream, "TASK_STARTING");
    master.update(&mut stream, "TASK_RUNNING");
    let failed = master.update(&mut stream, "TASK_FAILED");
    assert_eq!(failed["reason"], "REASON_CONTAINER_LIMITATION_MEMORY");
    assert_eq!(failed["source"], "SOURCE_AGENT");
    assert_eq!(failed["limitation"]["resources"][0]["scalar"]["value"], 32.0);
    let message = failed["message"].as_str().expect("words");
    assert!(
        message.starts_with("Memory limit exceeded: Requested: 32MB Maximum Used: 32MB"),
        "{message}"
    );
    assert_eq!(agent.containers(), 0);
}

#[test]
fn a_killed_agent_finds_its_tasks_and_misses_no_exit() {
    let master = Master::start();
    let mut agent = Agent::start(&master, "restart");
    let (_, mut stream) = master.subscribed();
    stream.launch("long", "exec sleep 1000", 64.0);
    master.update(&mut stream, "TASK_STARTING");
    let running = master.update(&mut stream, "TASK_RUNNING");
    stream.launch("short", "read line < go; exit 3", 64.0);
    master.update(&mut stream, "TASK_STARTING");
    master.update(&mut stream, "TASK_RUNNING");
    let sandbox = agent.sandbox("short");
    drop(stream);
    agent.kill();
    // It ends (for want of the file) or has ended while there is no agent.
    let _ = std::fs::write(sandbox.join("go"), "now\n");
    agent.restart();

    let (said, mut stream) = master.subscribed();
    assert_eq!(said["agent_id"]["value"], "S0");
    assert_eq!(said["frameworks"][0]["id"]["value"], "F");
    let tasks = said["tasks"].as_array().expect("tasks");
    let of = |id: &str| tasks.iter().find(|t| t["task"]["task_id"]["value"] == id).expect("known");
    assert_eq!(of("long")["latest"]["state"], "TASK_RUNNING");
    assert!(alive(pid(&running)));
    // Acknowledgements that the killed agent did not record cost a repetition, of any update before the end.
    let ended = loop {
        let call = master.call("UPDATE");
        stream.acknowledge(&call);
        let state = &call["status"]["state"];
        if state != "TASK_STARTING" && state != "TASK_RUNNING" {
            break call["status"].clone();
        }
    };
    assert_eq!(
        (&ended["task_id"]["value"], &ended["state"]),
        (&json!("short"), &json!("TASK_FAILED"))
    );
    assert!(ended["message"].as_str().expect("words").starts_with("Command exited with status"));
    stream.kill("long");
    assert_eq!(master.update(&mut stream, "TASK_KILLED")["task_id"]["value"], "long");
    assert!(!alive(pid(&running)));
}

#[test]
fn what_cannot_run_is_failed_with_a_reason_that_helps() {
    let master = Master::start();
    let agent = Agent::start(&master, "refuse");
    let (_, mut stream) = master.subscribed();
    stream.say(&json!({
        "type": "LAUNCH", "framework": {"user": "", "name": "f", "id": {"value": "F"}},
        "task": {"name": "n", "task_id": {"value": "n"}, "agent_id": {"value": "S0"},
                 "command": {"shell": false, "value": "no-such-command"}}
    }));
    let failed = master.update(&mut stream, "TASK_FAILED");
    assert_eq!(failed["reason"], "REASON_CONTAINER_LAUNCH_FAILED");
    assert!(failed["message"].as_str().expect("words").contains("not found in PATH"), "{failed}");
    stream.launch("../../escape", "true", 64.0);
    let error = master.update(&mut stream, "TASK_ERROR");
    assert_eq!(error["reason"], "REASON_TASK_INVALID");
    assert_eq!(agent.containers(), 0);
}

#[test]
fn a_stopped_agent_leaves_no_process_and_no_group() {
    let master = Master::start();
    let mut agent = Agent::start(&master, "stop");
    let (_, mut stream) = master.subscribed();
    stream.launch("t", "exec sleep 1000", 64.0);
    master.update(&mut stream, "TASK_STARTING");
    let running = master.update(&mut stream, "TASK_RUNNING");
    agent.signal(libc::SIGTERM);
    master.update(&mut stream, "TASK_KILLED");
    master.call("LEAVE");
    assert!(agent.process.wait().expect("it ends").success());
    assert!(!alive(pid(&running)));
    assert!(agent.groups().is_empty());
    assert!(!agent.work.path().join("holder/socket").exists());
}
