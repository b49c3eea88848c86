//! The four-letter words, as an operator's tools read them.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ensemble::{Member, MemberConfig};
use zookeeper_client as zk;

async fn start(dir: &std::path::Path) -> (Member, SocketAddr) {
    let mut config = MemberConfig::in_process(dir);
    config.client_addr = Some("127.0.0.1:0".parse().expect("an address"));
    config.four_letter_words = vec!["*".to_owned()];
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.client_addr().expect("it was asked for");
    (member, addr)
}

fn ask(addr: SocketAddr, word: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).expect("the member listens");
    stream.write_all(word).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_word_is_answered_with_what_is_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    let client = zk::Client::connect(&addr.to_string()).await.expect("it serves");
    let session = format!("{:#x}", client.session_id().0);
    let open = zk::Acls::anyone_all();
    let ephemeral = zk::CreateMode::Ephemeral.with_acls(open);
    client.create("/mine", b"12345", &ephemeral).await.expect("it is new");
    let _watch = client.get_and_watch_data("/mine").await.expect("it is there");

    assert_eq!(ask(addr, b"ruok"), "imok");
    assert_eq!(ask(addr, b"isro"), "rw");
    assert_eq!(ask(addr, b"gtmk"), "306");
    assert_eq!(ask(addr, b"stmk\0\0\0\0\0\0\0\x07"), "7");
    assert_eq!(ask(addr, b"gtmk"), "7");
    assert_eq!(ask(addr, b"wchs"), "1 connections watching 1 paths\nTotal watches:1\n");
    assert_eq!(ask(addr, b"wchp"), format!("/mine\n\t{session}\n\n"));
    assert_eq!(ask(addr, b"wchc"), format!("{session}\n\t/mine\n\n"));
    let dump = ask(addr, b"dump");
    assert!(
        dump.starts_with("SessionTracker dump:\nSession Sets (1)/(1):\n1 expire at "),
        "{dump}"
    );
    let owned = format!("Sessions with Ephemerals (1):\n{session}:\n\t/mine\n");
    assert!(dump.contains(&owned), "{dump}");
    assert!(dump.contains(&format!("sessionId: {session}\n")), "{dump}");
    let cons = ask(addr, b"cons");
    assert!(cons.contains(&format!("sid={session},lop=GETD,")), "{cons}");
    assert!(cons.contains(",maxlat="), "{cons}");
    let dirs = ask(addr, b"dirs");
    assert!(dirs.starts_with("datadir_size: ") && dirs.contains("\nlogdir_size: "), "{dirs}");
    assert!(ask(addr, b"envi").starts_with("Environment:\nzookeeper.version=3.9."));
    let expired = "zk_sessionless_connections_expired\t0\n";
    assert!(ask(addr, b"mntr").contains(expired), "those who asked by words were served");
    let conf = ask(addr, b"conf");
    assert!(conf.contains("\nsecureClientPort=-1\n") && conf.ends_with("\nserverId=0\n"), "{conf}");
    assert_eq!(ask(addr, b"crst"), "Connection stats reset.\n");
    assert!(ask(addr, b"stat").contains("(queued=0,recved=0,sent=0)"));
    assert_eq!(ask(addr, b"srst"), "Server stats reset.\n");
    assert!(ask(addr, b"srvr").contains("Latency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\n"));
    drop(client);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_is_kept_now_and_then() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    assert_eq!(ask(addr, b"hash"), "");
    for number in 0..260 {
        member.local().create(&format!("/n{number}"), "".into()).await.expect("it is new");
    }
    let hash = ask(addr, b"hash");
    let zxids: Vec<_> = hash.lines().filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(zxids.iter().map(|line| line.0).collect::<Vec<_>>(), ["100000080", "100000100"]);
    assert!(zxids.iter().all(|line| line.1.parse::<i64>().is_ok()), "{hash}");
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mntr_has_apaches_keys_once_each() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (member, addr) = start(dir.path()).await;
    member.local().create("/a", "123".into()).await.expect("it is new");
    let mntr = ask(addr, b"mntr");
    let lines: Vec<_> = mntr.lines().filter_map(|line| line.split_once('\t')).collect();
    let keys: HashSet<_> = lines.iter().map(|line| line.0).collect();
    assert_eq!(keys.len(), lines.len(), "a key twice");
    let value = |key: &str| lines.iter().find(|line| line.0 == key).map(|line| line.1);
    assert_eq!(lines[0].0, "zk_version");
    assert_eq!(lines[1], ("zk_server_state", "standalone"));
    assert_eq!(lines[2].0, "zk_avg_latency");
    assert_eq!(value("zk_znode_count"), Some("6"));
    assert_eq!(value("zk_max_client_response_size"), Some("-1"));
    assert_eq!(value("zk_looking_count"), Some("0"));
    for key in ["zk_avg_fsynctime", "zk_p999_readlatency", "zk_cnt_startup_txns_loaded"] {
        assert!(value(key).is_some(), "{key}");
    }
    let fsyncs: u64 = value("zk_cnt_fsynctime").and_then(|n| n.parse().ok()).expect("a number");
    assert!(fsyncs > 0);
    member.shutdown().await;
}
