//! Good input spoilt in every way that a seed tells: no decoder panics or takes more memory than its input
//! is worth.
//!
//! `SEED=n` takes other ways, `ROUNDS=n` more of them; a failure prints the decoder, the seed and the bytes.

#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use decoders::{DECODERS, Decoder};
use difffuzz::{Rng, Step, generate};
use ensemble::{Compression, Member, MemberConfig};

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that ends has no cells any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: all calls go to the system's allocator as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

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
        let times = if reads_files { 1500 } else { 30_000 };
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
    MOST.set(HELD.get());
    let before = HELD.get();
    let ended = catch_unwind(AssertUnwindSafe(|| (decoder.decode)(input, dir)));
    let took = (MOST.get() - before).cast_unsigned();
    let may = BASE + decoder.factor * input.len();
    let shown = || input[..input.len().min(4000)].escape_ascii().to_string();
    assert!(ended.is_ok(), "{} panics at {}", decoder.name, shown());
    assert!(took <= may, "{} takes {took} bytes, {may} at most, for {}", decoder.name, shown());
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

/// What every decoder may take: readers' buffers, an empty tree.
const BASE: usize = 8 << 20;
