//! Apache ZooKeeper and this member take turns on one data directory; each finds what the other left: every
//! znode with its data, ACL and stat, every session with its timeout, and the sum over the tree.
//!
//! Needs Java and the jars of Apache ZooKeeper 3.9 with what they depend on, in the folder that
//! `ZOOKEEPER_LIB` names. Without them it says so and does nothing, unless `CI` is set. `NODES=n` hands over
//! so many znodes.

#[path = "support/alone.rs"]
mod alone;
mod support;
#[path = "support/taken.rs"]
mod taken;
#[path = "support/writes.rs"]
mod writes;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use alone::{Alone, Kind, Server};
use jute::{Acl, CreateRequest, Request, create_flags};
use support::raw::{Raw, Ticket};
use support::zookeeper_lib;
use taken::Taken;
use writes::writes;
use zookeeper_client as zk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_finds_what_the_other_left() {
    if zookeeper_lib().is_none() {
        return;
    }
    let mut place = Alone::new();
    let data = place.dir.path().join("data");
    std::fs::create_dir_all(&data).expect("it is writable");
    // Sessions of this member have a byte of their own, and are numbers below zero; Apache's, alone, are not.
    std::fs::write(data.join("myid"), "200").expect("it is writable");
    let mut left: Option<Left> = None;
    for (turn, (kind, compression)) in [
        (Kind::Apache, "gz"),
        (Kind::Ours, "snappy"),
        (Kind::Apache, "snappy"),
        (Kind::Ours, "gz"),
        (Kind::Apache, ""),
    ]
    .into_iter()
    .enumerate()
    {
        place.lines = format!("snapCount=300\nsnapshot.compression.method={compression}\n");
        let server = place.start(kind).await;
        let what = format!("turn {turn}, {kind:?}");
        if let Some(left) = &left {
            left.assert_found_by(&server, &what).await;
        }
        if turn == 4 {
            server.stop().await;
            break;
        }
        left = Some(Left::by(&server, turn).await);
        server.stop().await;
        let suffix = format!(".{compression}");
        let written = place.list("snapshot");
        let last = &written.last().expect("there is one").1;
        assert!(last.to_string_lossy().ends_with(&suffix), "{what}: {}", last.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_finds_what_the_other_left_without_digests() {
    if zookeeper_lib().is_none() {
        return;
    }
    let mut place = Alone::new();
    place.lines = "snapCount=300\ndigest.enabled=false\n".to_owned();
    let mut left: Option<Left> = None;
    for (turn, kind) in [Kind::Apache, Kind::Ours, Kind::Apache].into_iter().enumerate() {
        let server = place.start(kind).await;
        if let Some(left) = &left {
            left.assert_found_by(&server, &format!("turn {turn}, {kind:?}")).await;
        }
        left = Some(Left::by(&server, turn + 1).await);
        server.stop().await;
    }
}

/// What one server leaves to the other.
struct Left {
    taken: Taken,
    seen: Tree,
    digests: Vec<(i64, i64)>,
    tickets: Vec<Ticket>,
}

impl Left {
    /// Writes in many ways, and notes what is there in the end.
    async fn by(server: &Server, turn: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(turn as u64);
        let addr = server.addr;
        let mut tickets = Vec::new();
        let mut first = Raw::open(addr, 500_000);
        let root = format!("/t{turn}");
        assert_eq!(first.all(&[plain(&root, b"")]), [None]);
        if turn == 0 {
            fill(&mut first);
        }
        for number in 0..6 {
            let mut session = Raw::open(addr, 300_000 + number * 1_000);
            let refused = session.all(&writes(&mut rng, &root, 200));
            assert!(refused.contains(&None));
            if number % 2 == 0 {
                session.all(&[Request::CloseSession]);
            } else {
                session.create_ephemeral(&format!("/e{turn}-{number}"));
                tickets.push(session.ticket);
            }
        }
        let limits = format!("{root}-quota");
        assert_eq!(first.all(&[plain(&limits, b"")]), [None]);
        first.all(&[
            plain(&format!("/zookeeper/quota{limits}"), b""),
            plain(&format!("/zookeeper/quota{limits}/zookeeper_limits"), b"count=9,bytes=-1"),
            plain(&format!("/zookeeper/quota{limits}/zookeeper_stats"), b"count=0,bytes=0"),
            plain(&format!("{limits}/a"), b"12345"),
        ]);
        first.all(&[Request::CloseSession]);
        let seen = seen(addr, &root).await;
        Self { taken: server.take(), seen, digests: server.digests(), tickets }
    }

    async fn assert_found_by(&self, server: &Server, what: &str) {
        self.taken.assert_is(&server.take(), what);
        assert_eq!(server.digest_mismatches(), 0, "{what}");
        let found: BTreeMap<_, _> = server.digests().into_iter().collect();
        for (zxid, digest) in &self.digests {
            assert_eq!(found.get(zxid).unwrap_or(digest), digest, "{what}: at {zxid:#x}");
        }
        let root = self.seen.keys().next().expect("it has some");
        assert_eq!(seen(server.addr, root).await, self.seen, "{what}");
        for ticket in &self.tickets {
            let back = Raw::connect(server.addr, 400_000, *ticket);
            assert_eq!(back.ticket, *ticket, "{what}: a client comes back to its session");
        }
    }
}

/// Many znodes.
fn fill(session: &mut Raw) {
    let count = std::env::var("NODES").map_or(30_000, |text| text.parse().expect("a number"));
    assert_eq!(session.all(&[plain("/many", b"")]), [None]);
    let paths: Vec<_> = (0..count)
        .map(|number| match number % 100 {
            0 => format!("/many/{number}"),
            _ => format!("/many/{}/{number}", number - number % 100),
        })
        .collect();
    for some in paths.chunks(500) {
        let creates: Vec<_> = some.iter().map(|path| plain(path, path.as_bytes())).collect();
        assert!(session.all(&creates).iter().all(Option::is_none));
    }
}

fn plain(path: &str, data: &[u8]) -> Request {
    Request::Create(CreateRequest {
        path: path.into(),
        data: Some(bytes::Bytes::copy_from_slice(data)),
        acl: [Acl::OPEN].into(),
        flags: create_flags::PERSISTENT,
    })
}

type Tree = BTreeMap<String, (Vec<u8>, zk::Stat, Vec<zk::Acl>)>;

/// What an unmodified client sees.
async fn seen(addr: SocketAddr, root: &str) -> Tree {
    let client = zk::Client::connect(&addr.to_string()).await.expect("it serves");
    let mut tree = Tree::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let (data, stat) = client.get_data(&path).await.expect("it is listed");
        let (acl, _) = client.get_acl(&path).await.expect("it is listed");
        for name in client.list_children(&path).await.expect("it is listed") {
            paths.push(format!("{path}/{name}"));
        }
        tree.insert(path, (data, stat, acl));
    }
    tree
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apaches_snapshots_taken_under_writes_are_read_and_its_log_without_any() {
    if zookeeper_lib().is_none() {
        return;
    }
    let (mut place, left) = written_under_snapshots(Kind::Apache).await;
    let fuzzy = place.list("snapshot").into_iter().filter(|(zxid, path)| is_fuzzy(*zxid, path));
    assert!(fuzzy.count() > 0);
    // Each of them in its turn is the newest.
    for (zxid, path) in place.list("snapshot").into_iter().rev() {
        let copy = place.copy();
        let ours = copy.start(Kind::Ours).await;
        left.assert_is(&ours.take(), &format!("from {}", path.display()));
        assert_eq!(ours.digest_mismatches(), 0, "from {zxid:#x}");
        ours.stop().await;
        std::fs::remove_file(path).expect("it is there");
    }
    assert!(place.list("log").len() > 3, "{:?}", place.list("log"));
    let refused = place.try_start(Kind::Ours).await.err().expect("a log alone is not trusted");
    assert!(refused.contains("snapshot.trust.empty=true"), "{refused}");
    place.lines.push_str("snapshot.trust.empty=true\n");
    let ours = place.start(Kind::Ours).await;
    left.assert_is(&ours.take(), "from the log alone");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_reads_ours_taken_under_writes_and_our_log_without_any() {
    if zookeeper_lib().is_none() {
        return;
    }
    let (mut place, left) = written_under_snapshots(Kind::Ours).await;
    let (zxid, path) = place.list("snapshot").pop().expect("it takes some");
    assert!(zxid < left.zxid, "there is a log behind {}", path.display());
    let copy = place.copy();
    let apache = copy.start(Kind::Apache).await;
    left.assert_is(&apache.take(), &format!("from {}", path.display()));
    assert_eq!(apache.digest_mismatches(), 0);
    apache.stop().await;
    for (_, path) in place.list("snapshot") {
        std::fs::remove_file(path).expect("it is there");
    }
    let refused = place.try_start(Kind::Apache).await.err().expect("a log alone is not trusted");
    assert!(refused.contains("No snapshot found"), "{refused}");
    place.lines.push_str("snapshot.trust.empty=true\n");
    let apache = place.start(Kind::Apache).await;
    left.assert_is(&apache.take(), "from the log alone");
    apache.stop().await;
}

/// Sessions write, close and leave all at once while snapshots are taken; answers with a directory whose
/// snapshots are all older than its last transaction, and with what it holds.
async fn written_under_snapshots(kind: Kind) -> (Alone, Taken) {
    let mut place = Alone::new();
    // Ours keeps all of its log, too.
    place.lines = "snapCount=400\nautopurge.snapRetainCount=1000\n".to_owned();
    let server = place.start(kind).await;
    let addr = server.addr;
    fill_some(&mut Raw::open(addr, 400_000));
    for round in 0.. {
        std::thread::scope(|scope| {
            for writer in 0..4 {
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(round * 4 + writer);
                    for number in 0..4 {
                        let mut session = Raw::open(addr, 300_000);
                        for _ in 0..8 {
                            session.all(&writes(&mut rng, "/shared", 25));
                        }
                        if number != 3 {
                            session.all(&[Request::CloseSession]);
                        }
                    }
                });
            }
        });
        // Ours are never fuzzy; of Apache's it is a matter of luck.
        let all = place.list("snapshot");
        if kind == Kind::Ours || all.iter().any(|(zxid, path)| is_fuzzy(*zxid, path)) {
            break;
        }
        assert!(round < 50, "no snapshot was taken while something was written");
    }
    let left = server.take();
    server.stop().await;
    for (zxid, path) in place.list("snapshot") {
        if zxid >= left.zxid {
            std::fs::remove_file(path).expect("it is there");
        }
    }
    (place, left)
}

/// Enough for a snapshot to take its time.
fn fill_some(session: &mut Raw) {
    let creates: Vec<_> =
        (0..3000).map(|number| plain(&format!("/f{number}"), &[b'f'; 500])).collect();
    for some in creates.chunks(500) {
        assert!(session.all(some).iter().all(Option::is_none));
    }
    assert_eq!(session.all(&[plain("/shared", b"")]), [None]);
}

/// Whether a snapshot holds more than its name tells: the last transaction in it is named in its end.
fn is_fuzzy(zxid: u64, path: &std::path::Path) -> bool {
    let bytes = std::fs::read(path).expect("it is readable");
    let sealed = bytes.ends_with(b"\0\0\0\x01/") && bytes.len() > 100;
    let last = bytes.len().saturating_sub(21);
    sealed && bytes[last..last + 8] != zxid.to_be_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counter_of_an_epoch_may_run_out_under_either() {
    if zookeeper_lib().is_none() {
        return;
    }
    for (writer, reader) in [(Kind::Apache, Kind::Ours), (Kind::Ours, Kind::Apache)] {
        let place = Alone::new();
        let ours = place.start(Kind::Ours).await;
        assert_eq!(Raw::open(ours.addr, 400_000).all(&[plain("/shared", b"")]), [None]);
        let before = ours.take();
        ours.stop().await;
        // The same tree at the end of an epoch.
        for (_, path) in place.list("log") {
            std::fs::remove_file(path).expect("it is there");
        }
        let mut all = place.list("snapshot");
        let newest = all.pop().expect("it was taken").1;
        let late = Taken::renamed(&std::fs::read(&newest).expect("it is there"), 0x1_ffff_ff80);
        std::fs::write(place.files().join("snapshot.1ffffff80"), late).expect("it is writable");
        std::fs::remove_file(newest).expect("it is there");
        for (_, path) in all {
            std::fs::remove_file(path).expect("it is there");
        }
        for name in ["troupe.flushed", "troupe.flushed.copy", "troupe.logs", "troupe.logs.copy"] {
            let _ = std::fs::remove_file(place.files().join(name));
        }
        let server = place.start(writer).await;
        assert!(before.znodes.keys().all(|path| server.take().znodes.contains_key(path)));
        let mut session = Raw::open(server.addr, 400_000);
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..10 {
            session.all(&writes(&mut rng, "/shared", 25));
        }
        let left = server.take();
        assert!(left.zxid > 2 << 32, "{:#x}", left.zxid);
        server.stop().await;
        let server = place.start(reader).await;
        left.assert_is(&server.take(), &format!("{reader:?} after {writer:?}"));
        assert_eq!(server.digest_mismatches(), 0);
        server.stop().await;
    }
}
