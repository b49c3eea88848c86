//! Every decoder of bytes that come from elsewhere, each as a function of those bytes alone.
//!
//! Lives here: the list, for whatever makes the bytes (the test here, or a coverage-guided fuzzer). Must
//! not: know how the bytes are made. What a decoder answers is not looked at: it may refuse, and may not
//! panic, hang, or take memory that the input has not paid for.

pub mod bounds;
mod kubernetes;
mod running;

use std::path::Path;

use bytes::{Bytes, BytesMut};
use jute::election::{Initial, Notification};
use jute::learner::{Forwarded, LearnerInfo, QuorumPacket, Revalidated, Touch};
use jute::quorum_auth::AuthPacket;
use jute::{ConnectRequest, ConnectResponse, Entry, OpCode, Reader, Request, Response};
use types::Zxid;

/// One decoder.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// What it reads.
    pub name: &'static str,
    /// Decodes; the path is a directory of its own for what reads files.
    pub decode: fn(&[u8], &Path),
    /// How many bytes it may take for each byte of input; compressed files are worth more than their size.
    pub factor: usize,
}

/// All of them.
pub const DECODERS: &[Decoder] = &[
    Decoder { name: "request", decode: request, factor: 64 },
    Decoder { name: "response", decode: response, factor: 64 },
    Decoder { name: "connect", decode: connect, factor: 64 },
    Decoder { name: "transaction", decode: transaction, factor: 64 },
    Decoder { name: "quorum packet", decode: quorum_packet, factor: 64 },
    Decoder { name: "election", decode: election, factor: 64 },
    Decoder { name: "snapshot", decode: |bytes, dir| snapshot(bytes, dir, ""), factor: 64 },
    Decoder { name: "snapshot.gz", decode: |bytes, dir| snapshot(bytes, dir, ".gz"), factor: 2000 },
    Decoder {
        name: "snapshot.snappy",
        decode: |bytes, dir| snapshot(bytes, dir, ".snappy"),
        factor: 200,
    },
    Decoder { name: "log", decode: log, factor: 64 },
    Decoder { name: "zoo.cfg", decode: zoo_cfg, factor: 64 },
    Decoder { name: "RecordIO", decode: record_io, factor: 64 },
    Decoder { name: "JSON", decode: json, factor: 64 },
    Decoder { name: "Mesos calls", decode: mesos_calls, factor: 64 },
    Decoder { name: "resources", decode: resources, factor: 64 },
    Decoder { name: "members", decode: members, factor: 64 },
    Decoder { name: "JAAS", decode: jaas, factor: 64 },
    Decoder { name: "DIGEST-MD5", decode: digest_md5, factor: 64 },
    Decoder { name: "key store", decode: key_store, factor: 64 },
    Decoder { name: "manifest", decode: kubernetes::manifest, factor: 400 },
    Decoder { name: "Kubernetes protobuf", decode: kubernetes::protobuf, factor: 400 },
    Decoder { name: "texts", decode: kubernetes::texts, factor: 400 },
    Decoder { name: "rules", decode: kubernetes::rules, factor: 4000 },
    Decoder { name: "client port", decode: running::client_port, factor: 64 },
    Decoder { name: "admin port", decode: running::admin_port, factor: 64 },
];

/// The one of this name.
///
/// # Panics
/// There is none.
pub fn decoder(name: &str) -> &'static Decoder {
    let found = DECODERS.iter().find(|decoder| decoder.name == name);
    found.unwrap_or_else(|| panic!("no decoder is named {name:?}"))
}

/// The opcode, then the record.
fn request(bytes: &[u8], _: &Path) {
    let frame = Bytes::copy_from_slice(bytes);
    let mut reader = Reader::new(&frame);
    if let Ok(op) = reader.i32()
        && let Ok(op) = OpCode::try_from(op)
        && let Ok(request) = Request::decode(op, &mut reader)
    {
        // What was understood can be written.
        request.encode(&mut BytesMut::new());
    }
}

/// The opcode that it answers, then the record.
fn response(bytes: &[u8], _: &Path) {
    let frame = Bytes::copy_from_slice(bytes);
    let mut reader = Reader::new(&frame);
    if let Ok(op) = reader.i32()
        && let Ok(op) = OpCode::try_from(op)
        && let Ok(response) = Response::decode(op, &mut reader)
    {
        response.encode(&mut BytesMut::new());
    }
}

fn connect(bytes: &[u8], _: &Path) {
    let frame = Bytes::copy_from_slice(bytes);
    let _ = ConnectRequest::decode(&frame);
    let _ = ConnectResponse::decode(&frame);
}

fn transaction(bytes: &[u8], _: &Path) {
    if let Ok(entry) = Entry::decode(&Bytes::copy_from_slice(bytes)) {
        entry.encode(&mut BytesMut::new());
        // Whatever it says, it can be applied.
        znodes::State::new(0).apply(&entry.header, &entry.txn);
    }
}

fn quorum_packet(bytes: &[u8], _: &Path) {
    let mut stream = BytesMut::from(bytes);
    while let Ok(Some(packet)) = QuorumPacket::take(&mut stream, 1 << 20) {
        packet.encode(&mut BytesMut::new());
        let data = packet.data.as_ref();
        let _ = LearnerInfo::decode(data);
        if let Some(data) = data {
            let _ = (Forwarded::decode(data), Touch::decode_all(data), Revalidated::decode(data));
        }
    }
    let data = Bytes::copy_from_slice(bytes);
    let _ = LearnerInfo::decode(Some(&data));
    let _ = (Forwarded::decode(&data), Touch::decode_all(&data), Revalidated::decode(&data));
}

fn election(bytes: &[u8], _: &Path) {
    let frame = Bytes::copy_from_slice(bytes);
    let _ = Initial::decode(&frame);
    let _ = Notification::decode(&frame);
    if let Some(head) = bytes.first_chunk() {
        let _ = AuthPacket::token_length(head, 1 << 14);
    }
    let _ = AuthPacket::decode(&frame);
}

fn snapshot(bytes: &[u8], dir: &Path, suffix: &str) {
    let file = dir.join(format!("snapshot.1{suffix}"));
    std::fs::write(&file, bytes).expect("the directory is writable");
    let _ = storage::load_newest(dir, |zxid, reader| {
        let mut index = znodes::snapshot::Index::default();
        let size = bytes.len() as u64;
        let read = znodes::snapshot::read_buffered(reader, zxid, 1 << 20, 0, size, |batch| {
            index.add(batch);
            batch.clear();
        });
        read.and_then(|read| read.finish(0, index)).map_err(|error| error.to_string())
    });
    std::fs::remove_file(&file).expect("it was written");
}

fn log(bytes: &[u8], dir: &Path) {
    let file = dir.join("log.1");
    std::fs::write(&file, bytes).expect("the directory is writable");
    if let Ok(mut reader) = storage::LogReader::open(dir, Zxid::ZERO) {
        while let Ok(Some(entry)) = reader.next_entry() {
            let _ = Entry::decode(&entry.body);
        }
    }
    // It may have been removed, when it held nothing.
    let _ = std::fs::remove_file(&file);
}

fn zoo_cfg(bytes: &[u8], dir: &Path) {
    let file = dir.join("zoo.cfg");
    std::fs::write(&file, bytes).expect("the directory is writable");
    let _ = ensemble::MemberConfig::from_zoo_cfg(&file, None);
}

fn record_io(bytes: &[u8], _: &Path) {
    let mut decoder = mesos::recordio::Decoder::new(1 << 16);
    for chunk in bytes.chunks(7) {
        decoder.feed(chunk);
        while let Ok(Some(_)) = decoder.next_record() {}
    }
}

fn json(bytes: &[u8], _: &Path) {
    let _ = mesos::json::parse(bytes);
}

/// What frameworks, executors and operators send, in both forms, and agents over the link.
fn mesos_calls(bytes: &[u8], _: &Path) {
    fn both<M: mesos::json::FromJson + prost::Message + Default>(bytes: &[u8]) {
        let _ = mesos::json::from_slice::<M>(bytes);
        if let Ok(message) = M::decode(bytes) {
            message.encode_to_vec();
        }
    }
    both::<mesos::v1::scheduler::Call>(bytes);
    both::<mesos::v1::executor::Call>(bytes);
    both::<mesos::v1::master::Call>(bytes);
    let _ = serde_json::from_slice::<mesos::link::AgentCall>(bytes);
    let _ = serde_json::from_slice::<mesos::link::AgentEvent>(bytes);
}

/// The text of a dynamic configuration: a file, and what a znode and votes carry.
fn members(bytes: &[u8], _: &Path) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(members) = jute::Members::parse(&text) {
        // What was understood is understood again.
        let text = members.to_string();
        let again = jute::Members::parse(&text).map(|again| again.to_string());
        assert_eq!(again.ok(), Some(text));
    }
}

fn jaas(bytes: &[u8], dir: &Path) {
    let (file, users) = (dir.join("zoo.cfg"), dir.join("jaas"));
    let text =
        format!("dataDir=d\nclientPort=1\njava.security.auth.login.config={}\n", users.display());
    std::fs::write(&file, text).expect("the directory is writable");
    std::fs::write(&users, bytes).expect("the directory is writable");
    let _ = ensemble::MemberConfig::from_zoo_cfg(&file, None);
}

/// Both texts of an exchange: a challenge and the answer to one.
fn digest_md5(bytes: &[u8], _: &Path) {
    let users = [("jane".to_owned(), "secret".to_owned())].into();
    let config = ensemble::SaslConfig { users, super_users: Vec::new() };
    if let Some(answer) = config.answer(bytes, [7; 16]) {
        let _ = config.proven(&answer, [7; 16]);
    }
    let _ = config.proven(bytes, [7; 16]);
}

/// PEM, JKS or PKCS #12.
fn key_store(bytes: &[u8], dir: &Path) {
    let path = dir.join("store");
    std::fs::write(&path, bytes).expect("the directory is writable");
    for word in ["", "pass word", "secret"] {
        let password = Some(ensemble::Password::new(word.to_owned()));
        let _ = ensemble::StoreFile { path: path.clone(), password }.check();
    }
}

fn resources(bytes: &[u8], _: &Path) {
    let _ = types::Resources::parse(&String::from_utf8_lossy(bytes));
}
