//! A member as an unmodified client sees it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ensemble::{Member, MemberConfig};
use zookeeper_client as zk;

const OPEN: &zk::CreateOptions<'static> =
    &zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
const EPHEMERAL: &zk::CreateOptions<'static> =
    &zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());

async fn start(dir: &std::path::Path) -> (Member, SocketAddr) {
    let mut config = MemberConfig::in_process(dir);
    config.client_addr = Some("127.0.0.1:0".parse().expect("an address"));
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.client_addr().expect("it was asked for");
    (member, addr)
}

async fn connect(addr: SocketAddr) -> zk::Client {
    zk::Client::connect(&addr.to_string()).await.expect("the member serves")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_reads_watches_and_ephemerals() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let one = connect(addr).await;
    let two = connect(addr).await;

    one.create("/a", b"1", OPEN).await.expect("it is new");
    let (data, stat, watcher) = two.get_and_watch_data("/a").await.expect("it is there");
    assert_eq!((&data[..], stat.version), (&b"1"[..], 0));
    one.set_data("/a", b"2", Some(0)).await.expect("the version is right");
    let event = watcher.changed().await;
    assert_eq!((event.event_type, &*event.path), (zk::EventType::NodeDataChanged, "/a"));
    let again = one.set_data("/a", b"3", Some(0)).await;
    assert_eq!(again, Err(zk::Error::BadVersion));

    let mut every = two.watch("/", zk::AddWatchMode::PersistentRecursive).await.expect("any path");
    one.create("/a/e", b"", EPHEMERAL).await.expect("it is new");
    assert_eq!(every.changed().await.event_type, zk::EventType::NodeCreated);
    drop(one);
    // The session is closed with its client, and its ephemerals with it.
    let event = every.changed().await;
    assert_eq!((event.event_type, &*event.path), (zk::EventType::NodeDeleted, "/a/e"));
    assert_eq!(two.check_stat("/a/e").await, Ok(None));
    drop((every, two));
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_of_a_session_are_answered_in_its_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let client = connect(addr).await;
    client.create("/n", b"", OPEN).await.expect("it is new");
    let mut waiting = Vec::new();
    for number in 0..300 {
        let text = number.to_string();
        let set = client.set_data("/n", text.as_bytes(), None);
        let get = client.get_data("/n");
        waiting.push((text, set, get));
    }
    for (text, set, get) in waiting {
        set.await.expect("it is there");
        let (data, _) = get.await.expect("it is there");
        assert_eq!(data, text.as_bytes());
    }
    drop(client);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_the_member() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let mut first = Raw::connect(addr, 0, [0; 16]);
    first.create_ephemeral("/mine");
    let (session, password) = (first.session, first.password);
    member.shutdown().await;
    drop(first);

    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some("127.0.0.1:0".parse().expect("an address"));
    let member = Member::start(config).await.expect("it is free again");
    let addr = member.client_addr().expect("it was asked for");
    assert!(member.local().get("/mine").is_some());
    let wrong = Raw::connect(addr, session, [7; 16]);
    assert_eq!((wrong.session, wrong.timeout), (0, 0), "a wrong password gets nothing");
    let back = Raw::connect(addr, session, password);
    assert_eq!(back.session, session);
    assert!(member.local().get("/mine").is_some());
    drop(back);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_request_is_refused_and_the_session_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let mut client = Raw::connect(addr, 0, [0; 16]);
    let mut oversize = Vec::new();
    oversize.extend_from_slice(&5_000_000_i32.to_be_bytes());
    oversize.extend_from_slice(&7_i32.to_be_bytes());
    oversize.extend_from_slice(&1_i32.to_be_bytes());
    oversize.resize(4 + 5_000_000, b'x');
    client.send(&oversize);
    assert_eq!(client.reply(), (7, -8));
    client.create_ephemeral("/still-here");
    drop(client);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_protocol_ends_the_connection_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 8], &[0, 0, 0, 2, 1, 2], &[]] {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.write_all(nonsense).expect("it is connected");
        stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{nonsense:?}");
    }
    // Nonsense inside a session: an unknown opcode, a frame too short for a header.
    let mut client = Raw::connect(addr, 0, [0; 16]);
    client.send(&[0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 3, 0xe7]);
    assert_eq!(client.reply(), (9, -6));
    client.is_closed();
    let mut client = Raw::connect(addr, 0, [0; 16]);
    client.send(&[0, 0, 0, 2, 1, 2]);
    client.is_closed();
    // A create whose record is cut short: an error, and writes go on.
    let mut client = Raw::connect(addr, 0, [0; 16]);
    client.send(&[0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 90]);
    assert_eq!(client.reply(), (3, -5));
    client.create_ephemeral("/after");
    drop(client);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_letter_words_answer_what_is_allowed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let ask = |word: &str| {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.write_all(word.as_bytes()).expect("it is connected");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is text");
        answer
    };
    assert_eq!(ask("ruok"), "imok");
    let server = ask("srvr");
    assert!(server.starts_with("Zookeeper version: 3.9."), "{server}");
    assert!(server.contains("\nMode: standalone\nNode count: 5\n"), "{server}");
    assert!(ask("mntr").contains("zk_znode_count\t5\n"));
    assert_eq!(ask("wchs"), "wchs is not executed because it is not in the whitelist.\n");
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_comes_before_the_reply_of_the_write_that_caused_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let mut client = Raw::connect(addr, 0, [0; 16]);
    client.create_ephemeral("/w");
    let mut get = vec![0, 0, 0, 2];
    get.extend_from_slice(b"/w");
    get.push(1);
    let mut set = vec![0, 0, 0, 2];
    set.extend_from_slice(b"/w");
    set.extend_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    // All in one segment: the read waits for nothing, the write behind it fires what the read set.
    let mut pipelined = frame(5, 4, &get);
    pipelined.extend_from_slice(&frame(6, 5, &set));
    pipelined.extend_from_slice(&frame(7, 4, &get));
    client.send(&pipelined);
    let xids: Vec<_> = (0..4).map(|_| client.reply().0).collect();
    assert_eq!(xids, [5, -1, 6, 7]);
    drop(client);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_session_expires_and_its_ephemerals_go() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some("127.0.0.1:0".parse().expect("an address"));
    config.tick_time = std::time::Duration::from_millis(50);
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.client_addr().expect("it was asked for");
    let mut client = Raw::connect(addr, 0, [0; 16]);
    assert_eq!(client.timeout, 1000, "granted at most twenty ticks");
    client.create_ephemeral("/mine");
    let (_, found, mut changes) = member.local().follow("/");
    assert!(found.iter().any(|(path, ..)| path == "/mine"));
    let gone = changes.recv().await.expect("the member runs");
    assert_eq!((&*gone.path, gone.what), ("/mine", ensemble::What::Deleted));
    client.is_closed();
    let back = Raw::connect(addr, client.session, client.password);
    assert_eq!((back.session, back.timeout), (0, 0));
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_many_ephemerals_ends_in_parts_and_others_are_served_between_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let count = 2500;
    let mut client = Raw::connect(addr, 0, [0; 16]);
    for at in 0..count {
        client.send(&create_ephemeral(&format!("/e{at:05}")));
    }
    for _ in 0..count {
        assert_eq!(client.reply(), (1, 0));
    }
    let (_, found, mut changes) = member.local().follow("/");
    assert_eq!(found.iter().filter(|(path, ..)| path.starts_with("/e")).count(), count);
    client.send(&frame(2, -11, &[]));
    assert_eq!(client.reply(), (2, 0), "answered once all are gone");
    client.is_closed();
    let mut parts = std::collections::BTreeMap::new();
    for _ in 0..count {
        let gone = changes.recv().await.expect("the member runs");
        assert_eq!(gone.what, ensemble::What::Deleted);
        *parts.entry(gone.zxid).or_insert(0) += 1;
    }
    assert_eq!(parts.into_values().collect::<Vec<_>>(), [1000, 1000, 500]);
    let back = Raw::connect(addr, client.session, client.password);
    assert_eq!(back.session, 0, "it has ended");
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_random_bytes_end_at_most_their_own_connection() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let ops = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 100, 101];
    let ops: Vec<i32> = ops.into_iter().chain([102, 103, 104, 105, 106, 107, -10]).collect();
    for _ in 0..60 {
        let mut client = Raw::connect(addr, 0, [0; 16]);
        let mut sent = Vec::new();
        for xid in 1..20 {
            let op = ops[usize::try_from(next() % 29).expect("small")];
            let length = usize::try_from(next() % 60).expect("small");
            let body: Vec<u8> = (0..length)
                .map(|_| match next() % 4 {
                    // Mostly small lengths and paths, so that decoding gets somewhere.
                    0 => b'/',
                    1 => next().to_le_bytes()[0],
                    _ => 0,
                })
                .collect();
            sent.extend_from_slice(&frame(xid, op, &body));
        }
        sent.extend_from_slice(&frame(99, -11, &[]));
        client.send(&sent);
        let mut answers = Vec::new();
        // A reset is as good an end as any.
        let _ = client.stream.read_to_end(&mut answers);
    }
    member.local().create("/after", "".into()).await.expect("nobody else was disturbed");
    member.shutdown().await;
}

fn frame(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 8).expect("it is short");
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&xid.to_be_bytes());
    frame.extend_from_slice(&op.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

fn create_ephemeral(path: &str) -> Vec<u8> {
    let mut body = Vec::new();
    let put = |body: &mut Vec<u8>, text: &str| {
        let length = i32::try_from(text.len()).expect("it is short");
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    };
    put(&mut body, path);
    put(&mut body, "");
    body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 31]);
    put(&mut body, "world");
    put(&mut body, "anyone");
    body.extend_from_slice(&[0, 0, 0, 1]);
    frame(1, 1, &body)
}

/// A client made of frames.
struct Raw {
    stream: TcpStream,
    session: i64,
    timeout: i32,
    password: [u8; 16],
}

impl Raw {
    fn connect(addr: SocketAddr, session: i64, password: [u8; 16]) -> Self {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        let mut request = vec![0, 0, 0, 45, 0, 0, 0, 0];
        request.extend_from_slice(&0_i64.to_be_bytes());
        request.extend_from_slice(&30_000_i32.to_be_bytes());
        request.extend_from_slice(&session.to_be_bytes());
        request.extend_from_slice(&16_i32.to_be_bytes());
        request.extend_from_slice(&password);
        request.push(0);
        stream.write_all(&request).expect("it is connected");
        let mut answer = [0; 41];
        stream.read_exact(&mut answer).expect("a connect response");
        Self {
            stream,
            timeout: i32::from_be_bytes(answer[8..12].try_into().expect("4 bytes")),
            session: i64::from_be_bytes(answer[12..20].try_into().expect("8 bytes")),
            password: answer[24..40].try_into().expect("16 bytes"),
        }
    }

    fn create_ephemeral(&mut self, path: &str) {
        self.send(&create_ephemeral(path));
        assert_eq!(self.reply(), (1, 0));
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it is connected");
    }

    /// The xid and the error of the next reply.
    fn reply(&mut self) -> (i32, i32) {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("a reply");
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole reply");
        let int = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().expect("4 bytes"));
        (int(0), int(12))
    }

    fn is_closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is as good an end as any.
        let _ = self.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
}
