//! Apache ZooKeeper and this member take turns on one data directory; each finds what the other left.
//!
//! Needs Java and the jars of Apache ZooKeeper 3.9 with what they depend on, in the folder that
//! `ZOOKEEPER_LIB` names. Without them it says so and does nothing, unless `CI` is set.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ensemble::{Member, MemberConfig};
use zookeeper_client as zk;

const OPEN: &zk::CreateOptions<'static> =
    &zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
const READ_ONLY: &zk::CreateOptions<'static> =
    &zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_read());
const SEQUENTIAL: &zk::CreateOptions<'static> =
    &zk::CreateMode::PersistentSequential.with_acls(zk::Acls::anyone_all());

type Tree = BTreeMap<String, (Vec<u8>, zk::Stat, Vec<zk::Acl>)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_and_this_member_take_turns_on_one_directory() {
    let Some(lib) = std::env::var_os("ZOOKEEPER_LIB") else {
        assert!(std::env::var_os("CI").is_none(), "ZOOKEEPER_LIB is not set");
        eprintln!("LEFT OUT: ZOOKEEPER_LIB does not name a folder of Apache ZooKeeper's jars");
        return;
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path().join("data"));
    config.client_addr = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.snap_count = 25;
    let mut left = None;
    for turn in 0..6 {
        let mut after = if turn % 2 == 0 {
            let member = Member::start(config.clone()).await.expect("the directory is good");
            let addr = member.client_addr().expect("it was asked for");
            let tree = take_turn(addr, turn, left.as_ref()).await;
            member.shutdown().await;
            tree
        } else {
            let apache = Apache::start(Path::new(&lib), dir.path());
            let tree = take_turn(apache.addr, turn, left.as_ref()).await;
            drop(apache);
            tree
        };
        // Each keeps its own configuration text there.
        after.retain(|path, _| !path.starts_with("/zookeeper"));
        left = Some(after);
    }
}

/// Compares the tree with what was left, changes it, and answers with what it leaves.
async fn take_turn(addr: SocketAddr, turn: usize, left: Option<&Tree>) -> Tree {
    let client = loop {
        // Java takes its time to listen.
        if let Ok(client) = zk::Client::connect(&addr.to_string()).await {
            break client;
        }
        tokio::task::yield_now().await;
    };
    if let Some(left) = left {
        let mut found = dump(&client).await;
        found.retain(|path, _| !path.starts_with("/zookeeper"));
        assert_eq!(&found, left, "turn {turn}");
    }
    for number in 0..20 {
        let path = format!("/t{turn}-{number}");
        let options = if number % 3 == 0 { READ_ONLY } else { OPEN };
        client.create(&path, &vec![b'x'; number * 10], options).await.expect("it is new");
        if number % 3 != 0 {
            let prefix = format!("{path}/s-");
            client.create(&prefix, b"", SEQUENTIAL).await.expect("it is new");
        }
        client.set_data(&path, b"refused", Some(7)).await.expect_err("not its version");
        if number % 6 == 1 {
            client.set_data(&path, b"again", Some(0)).await.expect("its version");
        }
        if number % 5 == 3 {
            client.delete(&path, None).await.err();
        }
    }
    let mut multi = client.new_multi_writer();
    multi.add_create(&format!("/m{turn}"), b"m", OPEN).expect("a good path");
    multi.add_set_data(&format!("/t{turn}-2"), b"m", None).expect("a good path");
    multi.commit().await.expect("both can be done");
    let mut multi = client.new_multi_writer();
    multi.add_create(&format!("/n{turn}"), b"m", OPEN).expect("a good path");
    multi.add_delete("/nowhere", None).expect("a good path");
    multi.commit().await.expect_err("one cannot be done");
    dump(&client).await
}

async fn dump(client: &zk::Client) -> Tree {
    let mut tree = Tree::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let (data, stat) = client.get_data(&path).await.expect("it is listed");
        let (acl, _) = client.get_acl(&path).await.expect("it is listed");
        for name in client.list_children(&path).await.expect("it is listed") {
            paths.push(format!("{}/{name}", path.trim_end_matches('/')));
        }
        tree.insert(path, (data, stat, acl));
    }
    tree
}

struct Apache {
    process: Child,
    addr: SocketAddr,
}

impl Apache {
    fn start(lib: &Path, dir: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let addr = free.local_addr().expect("it is bound");
        drop(free);
        let file = dir.join("zoo.cfg");
        let text = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\nsnapCount=25\n",
            dir.join("data").display(),
            addr.port()
        );
        std::fs::write(&file, text).expect("it is writable");
        let process = Command::new("java")
            .args(["-Xmx256m", "-cp", &format!("{}/*", lib.display())])
            .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java is installed");
        Self { process, addr }
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Killed, as a crash would: what it acknowledged must be on disk.
        self.process.kill().expect("it runs");
        self.process.wait().expect("it was started");
    }
}
