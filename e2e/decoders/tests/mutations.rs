//! Good input spoilt in every way that a seed tells: no decoder panics or takes more memory than its input
//! is worth.
//!
//! `SEED=n` takes other ways, `ROUNDS=n` more of them; a failure prints the decoder, the seed and the bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use decoders::bounds::{self, Counting};
use decoders::{DECODERS, Decoder};
use difffuzz::{Rng, Step, generate};
use ensemble::{Compression, Member, MemberConfig};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_decoder_panics_or_takes_what_was_not_paid_for() {
    let number = |name: &str, default| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")),
        Err(_) => default,
    };
    let (seed, rounds) = (number("SEED", 1), number("ROUNDS", 1));
    let dir = tempfile::tempdir().expect("a temporary directory");
    for decoder in DECODERS {
        let good = seeds(decoder.name);
        assert!(!good.is_empty(), "{}", decoder.name);
        let mut rng = Rng::of_program(seed, decoder.name.len() as u64);
        let reads_files =
            ["snapshot", "log", "zoo"].iter().any(|name| decoder.name.starts_with(name));
        let times = match decoder.name {
            "client port" | "admin port" | "rules" | "key store" => 300,
            "manifest" | "JAAS" => 1500,
            _ if reads_files => 1500,
            _ => 30_000,
        };
        for input in &good {
            check(decoder, input, dir.path());
        }
        for _ in 0..times * rounds {
            let mut input = good[rng.below(good.len())].clone();
            for _ in 0..=rng.below(4) {
                spoil(&mut rng, &mut input, &good);
            }
            check(decoder, &input, dir.path());
        }
    }
}

fn check(decoder: &Decoder, input: &[u8], dir: &Path) {
    let ended = catch_unwind(AssertUnwindSafe(|| bounds::check(decoder, input, dir)));
    let shown = || input[..input.len().min(4000)].escape_ascii().to_string();
    assert!(ended.is_ok(), "{} breaks its promise at {}", decoder.name, shown());
}

#[test]
#[ignore = "run by e2e/fuzz, which says where to"]
fn good_input_is_written_for_a_fuzzer() {
    let Some(corpus) = std::env::var_os("CORPUS") else { return };
    for decoder in DECODERS {
        let dir = Path::new(&corpus).join(decoder.name);
        std::fs::create_dir_all(&dir).expect("it is writable");
        for (number, input) in seeds(decoder.name).into_iter().take(200).enumerate() {
            std::fs::write(dir.join(format!("good-{number}")), input).expect("it is writable");
        }
    }
}

fn spoil(rng: &mut Rng, input: &mut Vec<u8>, good: &[Vec<u8>]) {
    let at = rng.below(input.len() + 1);
    let length = rng.below(1 + (input.len() - at).min(64));
    match rng.below(8) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..at + length)),
        2 => {
            let again = input[at..at + length].to_vec();
            input.splice(at..at, again);
        }
        3 => {
            let random: Vec<_> = (0..length).map(|_| rng.bits().to_le_bytes()[0]).collect();
            input.splice(at..at, random);
        }
        4 => {
            let other = &good[rng.below(good.len())];
            let from = rng.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        5 | 6 => {
            let number: i32 =
                rng.one(&[-1, -2, i32::MIN, i32::MAX, 0, 1, 1 << 20, 1 << 30, 65_535]);
            for (to, from) in input[at..].iter_mut().zip(number.to_be_bytes()) {
                *to = from;
            }
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
    }
}

/// Input that the decoder takes.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    match name {
        "request" | "response" | "connect" => requests(),
        "quorum packet" => packets(),
        "election" => {
            let initial = [&(-65_536_i64).to_be_bytes()[..], &3_i64.to_be_bytes()].concat();
            let with_address = [&initial[..], &[0, 0, 0, 14], b"127.0.0.1:3888"].concat();
            let vote: Vec<_> = [3, 0x1_0000_0001, 1, 1].map(i64::to_be_bytes).concat();
            let vote = [&[0, 0, 0, 0][..], &vote].concat();
            let with_config = [&vote[..], &[0, 0, 0, 2, 0, 0, 0, 9], b"version=0"].concat();
            vec![with_address, vote, with_config]
        }
        "transaction" => transactions(),
        "snapshot" => vec![files(Compression::None, "snapshot")],
        "snapshot.gz" => vec![files(Compression::Gzip, "snapshot")],
        "snapshot.snappy" => vec![files(Compression::Snappy, "snapshot")],
        "log" => vec![files(Compression::None, "log")],
        "zoo.cfg" => vec![
            b"tickTime=2000\ndataDir=data\nclientPort=2181\nserver.1=a:2888:3888;2181\n".to_vec(),
            b"dataDir:x\\\n y\nclientPort 0\n# c\n4lw.commands.whitelist=*\nsnapCount=5\n".to_vec(),
            b"dataDir=d\nclientPort=1\ngroup.1=1:2\nweight.1=3\nadmin.serverPort=0\n".to_vec(),
        ],
        "RecordIO" => vec![b"5\nhello3\nabc".to_vec(), b"0\n1\nx".to_vec()],
        "JSON" => vec![
            br#"{"type":"SUBSCRIBE","a":[1,-2.5e3,"\u00e9\ud83d\ude00",null,true],"b":{"c":{}}}"#
                .to_vec(),
            b"[[[[[[[[{}]]]]]]]]".to_vec(),
        ],
        "resources" => vec![b"cpus:1.5;mem(role):1024;ports:[1-5, 7-9];disk:{a,b}".to_vec()],
        "Mesos calls" => vec![
            br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","roles":["r"],"capabilities":[{"type":"MULTI_ROLE"}]}}}"#.to_vec(),
            br#"{"type":"ACCEPT","framework_id":{"value":"f"},"accept":{"offer_ids":[{"value":"o"}],"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.5}},{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}],"command":{"value":"sleep 1","environment":{"variables":[{"name":"a","value":"b"}]}}}]}}],"filters":{"refuse_seconds":5.0}}}"#.to_vec(),
            br#"{"type":"UPDATE","executor_id":{"value":"e"},"framework_id":{"value":"f"},"update":{"status":{"task_id":{"value":"t"},"state":"TASK_RUNNING","uuid":"MTIzNDU2Nzg5MDEyMzQ1Ng==","source":"SOURCE_EXECUTOR"}}}"#.to_vec(),
            br#"{"type":"SUBSCRIBE","agent":{"hostname":"h","port":5051,"resources":[]},"tasks":[]}"#.to_vec(),
            br#"{"type":"PONG"}"#.to_vec(),
            // A call with a framework's id, as protobuf.
            b"\x0a\x03\x0a\x01f\x10\x03".to_vec(),
        ],
        "members" => vec![
            b"server.1=a:2888:3888:participant;2181\nserver.2=b:1:2|c:3:4:observer;[::1]:5\nversion=100000003\n".to_vec(),
            b"server.1=a:1:2;3\nserver.2=a:4:5;6\nserver.3=a:7:8;9\ngroup.1=1:2\ngroup.2=3\nweight.1=2\n".to_vec(),
        ],
        "JAAS" => vec![
            b"// for all\nServer {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  user_super=\"ad\\\"min\"\n  user_bob=\"b;b\";\n};\n/* x */ Client { };".to_vec(),
        ],
        "DIGEST-MD5" => vec![
            b"realm=\"zk-quorum-sasl-md5\",nonce=\"07070707070707070707070707070707\",charset=utf-8,algorithm=md5-sess".to_vec(),
            b"charset=utf-8,username=\"ja\\ne\",realm=\"zk-quorum-sasl-md5\",nonce=\"07070707070707070707070707070707\",nc=00000001,cnonce=\"08\",digest-uri=\"zookeeper-quorum/zk-quorum-sasl-md5\",maxbuf=65536,response=00112233445566778899aabbccddeeff,qop=auth,authzid=\"jane\"".to_vec(),
        ],
        "key store" => [&include_bytes!("../../../controller/ensemble/tests/data/keys.jks")[..], include_bytes!("../../../controller/ensemble/tests/data/trust.jks"), include_bytes!("../../../controller/ensemble/tests/data/keys.p12")]
            .into_iter()
            .map(<[u8]>::to_vec)
            .chain([b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_vec(), b"\x30\x82\x01\x00\x02\x01\x03\x30".to_vec()])
            .collect(),
        "manifest" => vec![
            include_bytes!("../../data/widget-crd.yaml").to_vec(),
            br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}"#.to_vec(),
            br#"[{"op":"replace","path":"/a/0","value":3},{"op":"move","from":"/a/1/b","path":"/c"}]"#.to_vec(),
            b"a: &x [1, 2]\nb: *x\nc: |\n  text\nd: !!str 5\n---\ne: 1\n".to_vec(),
        ],
        "Kubernetes protobuf" => vec![
            b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x07\x0a\x05\x0a\x01x\x12\x00\x1a\x00\x22\x00".to_vec(),
            b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x0f\x0a\x05\x0a\x03abc\x12\x06\x0a\x01a\x12\x01b".to_vec(),
        ],
        "texts" => [
            "1.5Gi", "-3e6", "100m", "2026-01-02T03:04:05Z", "{.spec.a[0].b}", ".status.conditions[?(@.type==\"Ready\")].status",
            "a=b,c!=d,e in (f, g),!h", "metadata.name=a,metadata.namespace!=b",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "rules" => [
            "!has(self.size) || self.size.startsWith('l') && self.list.all(x, x > 0 && x < 10)",
            "self.map.exists(k, self.map[k].matches('^[a-z]+$')) ? 'a' + string(1) == 'a1' : false",
            "[1, 2.5, -3u].map(x, {'a': x})[0].a in [b'x', null] || duration('1h') > duration(\"5m\")",
            "oldSelf.size == self.size",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec(),
        "client port" => client_streams(),
        "admin port" => vec![
            b"GET /commands/mntr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            b"GET /commands/set_trace_mask?traceMask=9 HTTP/1.0\r\n\r\n".to_vec(),
            b"POST /commands/restore HTTP/1.1\r\nHost: x\r\nAuthorization: digest a:b\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nZKSN\r\n0\r\n\r\n".to_vec(),
            b"GET /commands/snapshot?streaming=false HTTP/1.1\r\nHost: x\r\nAuthorization: digest super:test\r\n\r\n".to_vec(),
        ],
        other => panic!("no seeds for {other}"),
    }
}

fn requests() -> Vec<Vec<u8>> {
    let programs = (0..50).map(|number| generate(&mut Rng::of_program(7, number)));
    let sends = programs.flat_map(|program| program.steps).flat_map(|step| match step {
        Step::Send(_, sends) => sends,
        _ => Vec::new(),
    });
    sends.map(|send| [&send.op.to_be_bytes()[..], &send.body].concat()).collect()
}

/// A session that sends some requests, and words of four letters.
fn client_streams() -> Vec<Vec<u8>> {
    let framed = |body: &[u8]| {
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        [&length, body].concat()
    };
    let mut connect = bytes::BytesMut::new();
    jute::ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: types::Zxid::ZERO,
        timeout_ms: 4000,
        session: types::SessionId(0),
        password: Some(bytes::Bytes::from_static(&[0; 16])),
        read_only: Some(false),
    }
    .encode(&mut connect);
    let requests = requests();
    let mut found = vec![b"mntr".to_vec(), b"srvr".to_vec(), b"ruok".to_vec()];
    for some in requests.chunks(20).take(20) {
        let mut stream = framed(&connect);
        for (xid, request) in (1_i32..).zip(some) {
            stream.extend(framed(&[&xid.to_be_bytes()[..], request].concat()));
        }
        found.push(stream);
    }
    found
}

/// A stream of proposals, and one packet of each kind around them.
fn packets() -> Vec<Vec<u8>> {
    let data = transactions().into_iter().map(bytes::Bytes::from);
    let mut all = bytes::BytesMut::new();
    let mut found = Vec::new();
    for (number, data) in (0..20).zip(data) {
        let Ok(kind) = jute::learner::PacketType::try_from(number) else { continue };
        let mut one = bytes::BytesMut::new();
        let zxid = types::Zxid::from_bits(i64::from(number));
        jute::learner::QuorumPacket::new(kind, zxid, Some(data)).encode(&mut one);
        all.extend_from_slice(&one);
        found.push(one.to_vec());
    }
    found.push(all.to_vec());
    found
}

fn transactions() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("log.1"), files(Compression::None, "log")).expect("writable");
    let mut reader =
        storage::LogReader::open(dir.path(), types::Zxid::ZERO).expect("it was just written");
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("it is whole") {
        found.push(entry.body.to_vec());
    }
    found
}

/// The newest file of a kind that a member with a few znodes leaves.
fn files(compression: Compression, kind: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    let mut config = MemberConfig::in_process(dir.path());
    config.snapshot_compression = compression;
    config.prealloc_bytes = 4096;
    for _ in 0..2 {
        runtime.block_on(async {
            let member = Member::start(config.clone()).await.expect("the directory is good");
            for number in 0..20 {
                let path = format!("/n{number}");
                // The second time they are there.
                let _ = member.local().create(&path, vec![b'x'; number * 9].into()).await;
                member.local().set(&path, "y".into(), None).await.expect("it is there");
            }
            member.shutdown().await;
        });
    }
    let begins = format!("{kind}.");
    let mut found: Vec<_> = std::fs::read_dir(dir.path().join("version-2"))
        .expect("it is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins))
        })
        .map(|path| std::fs::read(path).expect("it is readable"))
        .collect();
    found.sort_by_key(Vec::len);
    found.pop().expect("a member leaves one")
}
