//! A server alone on a directory, Apache's or ours, from the same `zoo.cfg`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use ensemble::{Member, MemberConfig};
use jute::Request;
use tempfile::TempDir;

use crate::support::raw::Raw;
use crate::support::zookeeper_lib;
use crate::taken::Taken;

/// Whose server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Apache,
    Ours,
}

/// A folder with a data directory, and what is written into the `zoo.cfg` beside it.
pub(crate) struct Alone {
    pub(crate) dir: TempDir,
    /// Lines beyond those that each server gets.
    pub(crate) lines: String,
}

/// Empty containers stay: what was noted must still be there when it is compared.
const REST: Duration = Duration::from_secs(3600);

/// One that runs.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    admin: SocketAddr,
    running: Running,
}

enum Running {
    Apache(Java),
    Ours(Member),
}

impl Alone {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir, lines: String::new() }
    }

    /// A copy of the directory as it is now.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        let (from, to) = (self.files(), copy.files());
        std::fs::create_dir_all(&to).expect("it is writable");
        for entry in std::fs::read_dir(from).expect("it is there") {
            let entry = entry.expect("it can be listed");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it is a file");
        }
        copy
    }

    /// Where logs and snapshots are.
    pub(crate) fn files(&self) -> PathBuf {
        self.dir.path().join("data/version-2")
    }

    /// The zxids in the names of files that begin so, and their paths, rising.
    pub(crate) fn list(&self, prefix: &str) -> Vec<(u64, PathBuf)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.files()).expect("it is there") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            let hex = rest.split('.').next().unwrap_or_default();
            found.push((u64::from_str_radix(hex, 16).expect("a zxid"), path));
        }
        found.sort();
        found
    }

    /// Starts one and waits until it serves.
    pub(crate) async fn start(&self, kind: Kind) -> Server {
        self.try_start(kind).await.unwrap_or_else(|why| panic!("{kind:?} does not start: {why}"))
    }

    /// As [`Self::start`]; an error is what ours says, or Apache's log.
    pub(crate) async fn try_start(&self, kind: Kind) -> Result<Server, String> {
        let data = self.dir.path().join("data");
        std::fs::create_dir_all(&data).expect("it is writable");
        let [addr, admin] = free_ports();
        let file = self.dir.path().join("zoo.cfg");
        let text = format!(
            "tickTime=2000\nmaxSessionTimeout=600000\nmaxClientCnxns=0\ndataDir={}\n\
             clientPort={}\nclientPortAddress=127.0.0.1\nextendedTypesEnabled=true\n\
             admin.enableServer=true\nadmin.serverPort={}\nadmin.serverAddress=127.0.0.1\n\
             admin.rateLimiterIntervalInMS=0\npreAllocSize=256\n4lw.commands.whitelist=*\n{}",
            data.display(),
            addr.port(),
            admin.port(),
            self.lines,
        );
        std::fs::write(&file, text).expect("it is writable");
        let running = match kind {
            Kind::Ours => {
                let (mut config, warnings) =
                    MemberConfig::from_zoo_cfg(&file, None).expect("it is a zoo.cfg");
                assert_eq!(warnings, [], "all of it has an effect");
                config.reaper.check_every = REST;
                Running::Ours(Member::start(config).await.map_err(|why| words(&why))?)
            }
            Kind::Apache => Running::Apache(self.start_apache(&file, addr)?),
        };
        Ok(Server { addr, admin, running })
    }

    fn start_apache(&self, file: &Path, addr: SocketAddr) -> Result<Java, String> {
        let said = self.dir.path().join("apache.log");
        let log = std::fs::File::create(&said).expect("it is writable");
        let child = Command::new("java")
            .args(["-Xmx400m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg(format!("-Dznode.container.checkIntervalMs={}", REST.as_millis()))
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"])
            .arg(format!("{}/*", zookeeper_lib().expect("the caller has looked").display()))
            .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
            .arg(file)
            .stdout(log.try_clone().expect("it is a file"))
            .stderr(log)
            .spawn()
            .expect("java is installed");
        let mut child = Java(child);
        loop {
            if child.0.try_wait().expect("it is a child").is_some() {
                return Err(std::fs::read_to_string(&said).unwrap_or_default());
            }
            // It takes its time to listen, and answers before it serves.
            if ask(addr, b"srvr").is_ok_and(|said| said.contains("Mode: standalone")) {
                return Ok(child);
            }
            std::thread::yield_now();
        }
    }
}

impl Server {
    /// All that it has. Nobody may be writing.
    pub(crate) fn take(&self) -> Taken {
        loop {
            // Apache knows the sum over its tree behind a transaction only.
            Raw::open(self.addr, 6_000).all(&[Request::CloseSession]);
            let (head, body) = self.get("snapshot", "Authorization: digest any:one\r\n");
            let body = expanded(body);
            // It may write the one that it takes by itself into the same file at the same time.
            if !Taken::is_whole(&body) {
                continue;
            }
            let head = head.to_ascii_lowercase();
            let zxid = head.lines().find_map(|line| line.strip_prefix("last_zxid: 0x"));
            let zxid = u64::from_str_radix(zxid.expect("the head says which"), 16);
            return Taken::decode(zxid.expect("a zxid"), &body);
        }
    }

    /// The sums over its tree that it remembers, by zxid.
    pub(crate) fn digests(&self) -> Vec<(i64, i64)> {
        let answer: serde_json::Value =
            serde_json::from_slice(&self.get("hash", "").1).expect("JSON");
        let digests = answer["digests"].as_array().expect("a list").iter();
        let number = |value: &serde_json::Value| value.as_i64().expect("a number");
        digests.map(|one| (number(&one["zxid"]), number(&one["digest"]))).collect()
    }

    /// How often the sum over its tree was not the one that the log told.
    pub(crate) fn digest_mismatches(&self) -> i64 {
        let answer: serde_json::Value =
            serde_json::from_slice(&self.get("monitor", "").1).expect("JSON");
        answer["digest_mismatches_count"].as_i64().expect("a number")
    }

    fn get(&self, command: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.admin).expect("it listens");
        // HTTP/1.0 has no chunks, and ends with the connection.
        write!(stream, "GET /commands/{command} HTTP/1.0\r\nHost: x\r\n{headers}\r\n")
            .expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers and closes");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let body = answer.split_off(end);
        let head = String::from_utf8(answer).expect("text");
        assert!(head.contains(" 200 "), "{command}: {head}{}", String::from_utf8_lossy(&body));
        (head, body)
    }

    /// Ours ends in order; Apache's is killed, as a crash would: what it acknowledged must be on disk.
    pub(crate) async fn stop(self) {
        match self.running {
            Running::Ours(member) => member.shutdown().await,
            Running::Apache(child) => drop(child),
        }
    }
}

/// Killed when it is dropped, at the latest when its test fails.
struct Java(Child);

impl Drop for Java {
    fn drop(&mut self) {
        self.0.kill().expect("it runs, or is not waited for");
        self.0.wait().expect("it was started");
    }
}

/// A snapshot as it is, or by gzip, or by Snappy in the blocks of its Java library.
fn expanded(bytes: Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap_or_default();
    } else if bytes.starts_with(b"\x82SNAPPY\0") {
        let mut rest = &bytes[16..];
        while let Some((length, after)) = rest.split_first_chunk() {
            let (block, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            plain.extend(snap::raw::Decoder::new().decompress_vec(block).expect("it is whole"));
            rest = after;
        }
    } else {
        return bytes;
    }
    plain
}

fn ask(addr: SocketAddr, word: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(word)?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// Ports that nobody has at the moment.
fn free_ports() -> [SocketAddr; 2] {
    let bound = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"));
    bound.map(|port| port.local_addr().expect("it is bound"))
}

/// An error and its causes.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", words(source)),
    }
}
