//! The holder as a process: what it promises to agents of any version, in the bytes of its protocol.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A holder in a directory of its own; killed at the end if a test leaves it.
struct Holder {
    process: Child,
    dir: tempfile::TempDir,
}

impl Holder {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { process: launch(dir.path()), dir }
    }

    fn connect(&self) -> Agent {
        let stream = UnixStream::connect(self.dir.path().join("h/socket")).expect("it serves");
        let mut agent = Agent { stream };
        agent.send(&json!({"Hello": {"version": 1}}));
        agent
    }

    fn sandbox(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).expect("a sandbox");
        for file in ["stdout", "stderr"] {
            File::create(dir.join(file)).expect("an output");
        }
        dir
    }

    fn command(&self, id: &str, script: &str) -> Value {
        let cwd = self.sandbox(id);
        json!({"Spawn": {
            "id": id, "program": "/bin/sh", "argv": ["sh", "-c", script], "env": ["A=1"],
            "cwd": cwd, "stdout": cwd.join("stdout"), "stderr": cwd.join("stderr"),
            "user": null, "unified": null, "join": []
        }})
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(dir: &Path) -> Child {
    let mut process = Command::new(env!("CARGO_BIN_EXE_holder-for-tests"))
        .arg("--dir")
        .arg(dir.join("h"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the holder runs");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("its word");
    assert_eq!(line, "ready\n");
    process
}

struct Agent {
    stream: UnixStream,
}

impl Agent {
    fn send(&mut self, request: &Value) {
        let body = request.to_string();
        let length = u32::try_from(body.len()).expect("short").to_le_bytes();
        self.stream.write_all(&length).expect("sent");
        self.stream.write_all(body.as_bytes()).expect("sent");
    }

    fn receive(&mut self) -> Value {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("a reply");
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        self.stream.read_exact(&mut body).expect("a whole reply");
        serde_json::from_slice(&body).expect("JSON")
    }
}

#[test]
fn a_command_runs_in_its_sandbox_and_its_end_is_told() {
    let holder = Holder::start();
    let mut agent = holder.connect();
    let hello = agent.receive();
    assert_eq!(hello["Hello"]["running"], json!([]));
    agent.send(&holder.command("one", "echo $A $$ $(pwd); echo oops >&2; exit 7"));
    let spawned = agent.receive();
    let pid = spawned["Spawned"]["pid"].as_i64().expect("a pid");
    let exited = agent.receive();
    assert_eq!(exited["Exited"]["id"], "one");
    assert_eq!(exited["Exited"]["status"], json!({"Code": 7}));
    let sandbox = fs::canonicalize(holder.dir.path().join("one")).expect("the sandbox");
    let said = fs::read_to_string(sandbox.join("stdout")).expect("output");
    assert_eq!(said, format!("1 {pid} {}\n", sandbox.display()));
    assert_eq!(fs::read_to_string(sandbox.join("stderr")).expect("output"), "oops\n");
}

#[test]
fn an_exit_waits_for_an_agent_and_for_a_holder_until_it_is_collected() {
    let mut holder = Holder::start();
    let mut agent = holder.connect();
    agent.receive();
    agent.send(&holder.command("quick", "kill -9 $$"));
    agent.receive();
    agent.receive();
    drop(agent);

    let mut next = holder.connect();
    let exits = next.receive()["Hello"]["exits"].clone();
    assert_eq!(exits[0]["status"], json!({"Signal": 9}));

    holder.process.kill().expect("killed");
    holder.process.wait().expect("gone");
    holder.process = launch(holder.dir.path());
    let mut third = holder.connect();
    let exits = third.receive()["Hello"]["exits"].clone();
    assert_eq!((&exits[0]["id"], &exits[0]["status"]), (&json!("quick"), &json!({"Signal": 9})));
    third.send(&json!({"Collected": {"through": exits[0]["number"]}}));

    third.send(&json!("Quit"));
    assert!(holder.process.wait().expect("it ends").success());
    assert!(!holder.dir.path().join("h/socket").exists());
    assert_eq!(fs::read(holder.dir.path().join("h/exits")).expect("the log"), b"");
}

#[test]
fn a_running_task_is_there_for_the_next_agent_and_keeps_the_holder() {
    let mut holder = Holder::start();
    let mut agent = holder.connect();
    agent.receive();
    agent.send(&holder.command("long", "exec sleep 1000"));
    let pid = agent.receive()["Spawned"]["pid"].clone();
    drop(agent);
    let mut next = holder.connect();
    assert_eq!(next.receive()["Hello"]["running"], json!([{"id": "long", "pid": pid}]));
    next.send(&json!("Quit"));
    assert!(next.receive()["Refused"]["why"].as_str().expect("words").contains("1 tasks"));
    next.send(&json!({"Signal": {"id": "long", "signal": 15}}));
    assert_eq!(next.receive()["Exited"]["status"], json!({"Signal": 15}));
    next.send(&json!("Quit"));
    assert!(holder.process.wait().expect("it ends").success());
}

#[test]
fn a_start_that_fails_says_at_which_step_and_why() {
    let holder = Holder::start();
    let mut agent = holder.connect();
    agent.receive();
    let mut missing = holder.command("missing", "");
    missing["Spawn"]["program"] = json!("/no/such/program");
    agent.send(&missing);
    assert_eq!(
        agent.receive(),
        json!({"SpawnFailed": {"id": "missing", "step": "Exec", "errno": libc::ENOENT}})
    );
    let mut nowhere = holder.command("nowhere", "");
    nowhere["Spawn"]["cwd"] = json!("/no/such/directory");
    agent.send(&nowhere);
    assert_eq!(
        agent.receive(),
        json!({"SpawnFailed": {"id": "nowhere", "step": "WorkingDirectory", "errno": libc::ENOENT}})
    );
    let mut nul = holder.command("nul", "");
    nul["Spawn"]["argv"] = json!(["a\u{0}b"]);
    agent.send(&nul);
    assert_eq!(agent.receive()["SpawnFailed"]["errno"], json!(libc::EINVAL));
}

#[test]
fn malice_ends_one_connection_and_nothing_else() {
    let holder = Holder::start();
    let mut good = holder.connect();
    good.receive();
    for bytes in [&[0xff_u8; 64][..], &[3, 0, 0, 0, b'{', b'}', b'}']] {
        let mut bad = UnixStream::connect(holder.dir.path().join("h/socket")).expect("it serves");
        bad.write_all(bytes).expect("sent");
        assert_eq!(bad.read(&mut [0; 16]).expect("hung up"), 0);
    }
    good.send(&holder.command("after", "exit 0"));
    assert!(good.receive()["Spawned"]["pid"].is_i64());
}

#[test]
fn daemons_of_a_task_are_reaped_and_its_signals_are_the_kernels_defaults() {
    let holder = Holder::start();
    let mut agent = holder.connect();
    agent.receive();
    // The subshell leaves the session; its parent ends first, so the holder becomes its parent.
    let script =
        "setsid sh -c 'echo orphan; exit 3' & grep -E '^Sig(Blk|Ign)' /proc/self/status; wait";
    agent.send(&holder.command("daemon", script));
    agent.receive();
    assert_eq!(agent.receive()["Exited"]["status"], json!({"Code": 0}));
    let said = fs::read_to_string(holder.dir.path().join("daemon/stdout")).expect("output");
    assert!(said.contains("SigBlk:\t0000000000000000"), "{said}");
    let ignored = said.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("the set");
    let ignored = u64::from_str_radix(ignored, 16).expect("hexadecimal");
    // 32 and 33 are the C library's own.
    assert_eq!(ignored & 0x7fff_ffff, 0, "{said}");
}
