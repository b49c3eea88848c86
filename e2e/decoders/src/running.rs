//! A whole member behind its ports, which takes any bytes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::OnceLock;

use ensemble::{AdminConfig, Member, MemberConfig};
use tokio::runtime::Runtime;

/// What a client sends, from the first byte of its connection on; the member must go on.
pub(crate) fn client_port(bytes: &[u8], _: &Path) {
    let running = running();
    send(running.client, bytes);
    // Whatever was said, others are served.
    assert_eq!(ask(running.client, b"ruok"), b"imok");
}

/// What comes to the admin port.
pub(crate) fn admin_port(bytes: &[u8], _: &Path) {
    let running = running();
    send(running.admin, bytes);
    let answer = ask(running.admin, b"GET /commands/ruok HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.0 200 OK"), "{}", answer.escape_ascii());
}

struct Running {
    client: SocketAddr,
    admin: SocketAddr,
    _member: Member,
    _runtime: Runtime,
    _dir: tempfile::TempDir,
}

/// One for the whole process.
fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = MemberConfig::in_process(dir.path());
        config.client_addr = Some(any);
        config.force_sync = false;
        config.admin = Some(AdminConfig { addr: any, ..AdminConfig::default() });
        let runtime = Runtime::new().expect("threads can be had");
        let member = runtime.block_on(Member::start(config)).expect("the directory is new");
        let client = member.client_addr().expect("it was asked for");
        let admin = member.admin_addr().expect("it was asked for");
        Running { client, admin, _member: member, _runtime: runtime, _dir: dir }
    })
}

/// Sends it all, ends the connection for its part, and waits for the other to end it too, which may be early.
fn send(addr: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let _ = stream.read_to_end(&mut Vec::new());
}

/// What it answers before it ends the connection.
fn ask(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    stream.write_all(bytes).expect("it listens");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    answer
}
