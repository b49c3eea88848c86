//! The admin port, as `curl` and Prometheus see it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use ensemble::{AdminConfig, Compression, Member, MemberConfig};
use serde_json::Value;
use zookeeper_client as zk;

const OPEN: &zk::CreateOptions<'static> =
    &zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
const AUTHORISED: &str = "Authorization: digest super:test\r\n";

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn config(dir: &Path) -> MemberConfig {
    let mut config = MemberConfig::in_process(dir);
    config.client_addr = Some(loopback());
    config.prometheus = Some(loopback());
    config.super_digest = Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned());
    let rate_limit = Duration::ZERO;
    config.admin = Some(AdminConfig { addr: loopback(), rate_limit, ..AdminConfig::default() });
    config
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::trim)
    }
}

fn ask(addr: SocketAddr, line: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let length = body.len();
    // HTTP/1.0 has no chunks, and ends with the connection.
    write!(stream, "{line} HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n")
        .and_then(|()| stream.write_all(body))
        .expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers and closes");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head, body: answer[end..].to_vec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_answers_by_its_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = MemberConfig { told_text: "# mine\n".into(), ..config(dir.path()) };
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.admin_addr().expect("it was asked for");
    let page = ask(addr, "GET /commands", "", b"");
    let page = String::from_utf8(page.body).expect("text");
    let names: Vec<_> =
        page.lines().filter_map(|line| line.split_once("\">")?.1.strip_suffix("</a>")).collect();
    assert!(names.len() > 25 && names.is_sorted(), "{names:?}");
    for name in names.iter().filter(|name| !["snapshot", "restore"].contains(name)) {
        let answer = ask(addr, &format!("GET /commands/{name}"), "", b"");
        assert_eq!((answer.status, &answer.json()["command"]), (200, &Value::from(*name)));
    }
    assert_eq!(ask(addr, "GET /commands/mntr", "", b"").json()["znode_count"], 5);
    let unknown = ask(addr, "GET /commands/nope", "", b"").json();
    assert_eq!(unknown["error"], "Unknown command: nope");
    assert_eq!(ask(addr, "GET /", "", b"").status, 404);
    let mask = ask(addr, "GET /commands/set_trace_mask?traceMask=9", "", b"").json();
    assert_eq!(mask["tracemask"], 9);
    let initial = ask(addr, "GET /commands/icfg", "", b"").json();
    assert_eq!(initial["initial_configuration"], "# mine\n");
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_apaches_names() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let member = Member::start(config(dir.path())).await.expect("the directory is new");
    let addr = member.metrics_addr().expect("it was asked for");
    let answer = ask(addr, "GET /metrics", "", b"");
    let text = String::from_utf8(answer.body).expect("text");
    for line in [
        "# TYPE znode_count gauge",
        "znode_count 5.0",
        "# TYPE looking_count counter",
        "# TYPE readlatency summary",
        "readlatency{quantile=\"0.99\",} NaN",
        "readlatency_count 0.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    assert_eq!(ask(addr, "GET /else", "", b"").status, 404);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_do_everything_may_take_a_snapshot() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    let member = Member::start(config.clone()).await.expect("the directory is new");
    let addr = member.admin_addr().expect("it was asked for");
    let status = |line: &str, headers: &str| ask(addr, line, headers, b"x").status;
    assert_eq!(status("GET /commands/snapshot", ""), 401);
    assert_eq!(status("GET /commands/snapshot", "Authorization: kerberos x\r\n"), 401);
    for (header, expected) in
        [("digest", 401), ("digest a:b c", 401), ("", 401), ("ip", 200), ("ip 1.2.3.4", 200)]
    {
        let header = format!("Authorization: {header}\r\n");
        assert_eq!(status("GET /commands/snapshot", &header), expected, "{header}");
    }
    assert_eq!(status("POST /commands/restore", ""), 401);
    assert_eq!(status("PUT /commands/ruok", ""), 405);
    assert_eq!(status("TRACE /commands/ruok", ""), 403);
    let options = ask(addr, "OPTIONS /commands/ruok", "", b"");
    assert_eq!((options.status, options.header("allow").is_some()), (200, true));
    let client = member.client_addr().expect("it was asked for").to_string();
    let client = zk::Client::connect(&client).await.expect("it serves");
    client.set_acl("/", &zk::Acls::anyone_read(), None).await.expect("anyone may");
    assert_eq!(status("GET /commands/snapshot", "Authorization: digest a:b\r\n"), 403);
    assert_eq!(status("GET /commands/snapshot", AUTHORISED), 200);
    assert_eq!(status("POST /commands/restore", AUTHORISED), 500);
    drop(client);
    member.shutdown().await;

    config.admin.as_mut().expect("it was set").rate_limit = Duration::from_secs(1000);
    let member = Member::start(config).await.expect("it is free again");
    let addr = member.admin_addr().expect("it was asked for");
    let once = ask(addr, "GET /commands/snapshot?streaming=false", AUTHORISED, b"");
    assert_eq!((once.status, once.json()["error"].is_null()), (200, true));
    assert!(once.header("last_zxid").is_some_and(|zxid| zxid.starts_with("0x")), "{}", once.head);
    let again = ask(addr, "GET /commands/snapshot", AUTHORISED, b"");
    assert_eq!((again.status, &again.json()["command"]), (429, &Value::from("snapshot")));
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_fetched_from_one_member_is_restored_in_another_and_stays() {
    let there = tempfile::tempdir().expect("a temporary directory");
    let member = Member::start(config(there.path())).await.expect("the directory is new");
    for number in 0..50 {
        member.local().create(&format!("/n{number}"), "x".into()).await.expect("it is new");
    }
    let addr = member.admin_addr().expect("it was asked for");
    let fetched = ask(addr, "GET /commands/snapshot", AUTHORISED, b"");
    assert_eq!(fetched.header("snapshot_size"), Some(fetched.body.len().to_string().as_str()));
    member.shutdown().await;

    let here = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(here.path());
    config.snapshot_compression = Compression::Gzip;
    let member = Member::start(config.clone()).await.expect("the directory is new");
    let addr = member.admin_addr().expect("it was asked for");
    let client = member.client_addr().expect("it was asked for").to_string();
    let client = zk::Client::connect(&client).await.expect("it serves");
    client.create("/before", b"", OPEN).await.expect("it is new");
    let damaged = &fetched.body[..fetched.body.len() - 40];
    assert_eq!(ask(addr, "POST /commands/restore", AUTHORISED, damaged).status, 500);
    assert_eq!(ask(addr, "POST /commands/restore", AUTHORISED, b"").status, 400);
    client.create("/still", b"", OPEN).await.expect("nothing has changed");
    let restored = ask(addr, "POST /commands/restore", AUTHORISED, &fetched.body);
    assert_eq!(restored.status, 200, "{}", String::from_utf8_lossy(&restored.body));
    let local = member.local();
    let after = local.create("/after", "".into()).await.expect("writes go on");
    assert!(local.get("/n49").is_some() && local.get("/before").is_none());
    drop(client);
    member.shutdown().await;

    let member = Member::start(config).await.expect("it is free again");
    let local = member.local();
    assert!(local.get("/n49").is_some() && local.get("/before").is_none());
    let (_, stat) = local.get("/after").expect("it was acknowledged");
    assert_eq!(stat.czxid, after.czxid);
    member.shutdown().await;
}
