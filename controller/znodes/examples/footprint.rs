//! What the state costs: memory of znodes, watches and sessions, and the time to freeze and to load it.
//!
//! `cargo run --release -p znodes --example footprint [znodes|load|watches|sessions]`; each in a process
//! of its own tells the most. Memory is the growth of the resident set; time is time on the processor,
//! but for the freezes, which are too short for that and are the shortest of some.

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::env;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jute::{Acl, CreateTxn, SetDataTxn, Txn, TxnHeader};
use types::{SessionId, Zxid};
use znodes::snapshot::Index;
use znodes::{State, WatchKind, Watcher, Watches, snapshot};

const ZNODES: u32 = 1_000_000;
const WATCHES: u32 = 10_000_000;
const SESSIONS: u32 = 100_000;

fn main() {
    match env::args().nth(1).as_deref() {
        Some("znodes") => znodes(),
        Some("load") => load(),
        Some("watches") => watches(),
        Some("sessions") => sessions(),
        _ => [znodes, load, watches, sessions].iter().for_each(|measure| measure()),
    }
}

fn znodes() {
    let before = resident();
    let start = Cpu::now();
    let mut state = filled();
    let per = |bytes: usize| bytes / ZNODES as usize;
    println!("znode of 100 B, path of 30 B: {} B", per(resident() - before));
    println!("  made in {} ns", start.elapsed().as_nanos() / u128::from(ZNODES));
    let data = Bytes::from_static(&[b'y'; 100]);
    let start = Cpu::now();
    for at in 0..ZNODES {
        let set = SetDataTxn { path: path(at).into(), data: Some(data.clone()), version: 1 };
        apply(&mut state, ZNODES + at, Txn::SetData(set));
    }
    println!("the same after a setData: {} B", per(resident() - before));
    println!("  set in {} ns", start.elapsed().as_nanos() / u128::from(ZNODES));
    println!("freeze of all: {:?}", freeze(&state));
    let frozen = state.freeze();
    let start = Cpu::now();
    for at in 0..ZNODES / 100 {
        let set = SetDataTxn { path: path(at * 100).into(), data: Some(data.clone()), version: 2 };
        apply(&mut state, 2 * ZNODES + at, Txn::SetData(set));
    }
    let per_set = start.elapsed().as_nanos() / u128::from(ZNODES / 100);
    println!("  set while frozen, scattered: {per_set} ns");
    drop(frozen);
}

fn load() {
    let mut bytes = Vec::new();
    let frozen = filled().freeze();
    let start = Cpu::now();
    frozen.write(&mut bytes).expect("a vector takes all");
    println!("snapshot of 1M znodes: {} B, made in {:?}", bytes.len(), start.elapsed());
    drop(frozen);
    let start = Cpu::now();
    let size = bytes.len() as u64;
    let mut index = Index::default();
    let read = snapshot::read_buffered(&mut &bytes[..], Zxid::ZERO, 1 << 20, 1, size, |batch| {
        index.add(batch);
        batch.clear();
    });
    let state = read.and_then(|read| read.finish(0, index)).expect("just written");
    println!("load of 1M znodes: {:?}", start.elapsed());
    drop(state);
}

fn watches() {
    let state = filled();
    // Kept, so that none takes the memory of another.
    let mut kept = Vec::new();
    for (name, watchers) in [("one", 1), ("ten", 10), ("two", 2)] {
        let count = ZNODES.min(WATCHES / watchers) * watchers;
        let before = resident();
        let start = Cpu::now();
        let mut watches = Watches::new(1, usize::MAX);
        // Each client watches its own, in no order.
        for at in 0..count {
            let node = (u64::from(at) * 7_919_993) % u64::from(ZNODES);
            let node = u32::try_from(node).expect("below the count");
            let watcher = Watcher(at / ZNODES + 1000 * (node % 1000));
            watch(&mut watches, &state, watcher, &path(node));
        }
        let per = (resident().saturating_sub(before)) as f64 / f64::from(count);
        let time = start.elapsed().as_nanos() / u128::from(count);
        println!("{count} watches, {name} a znode: {per:.1} B each, set in {time} ns");
        let start = Cpu::now();
        let counts = watches.counts(&state);
        assert_eq!(counts.all, count as usize);
        println!("  counted in {:?}", start.elapsed());
        kept.push(watches);
    }
}

fn watch(watches: &mut Watches, state: &State, watcher: Watcher, path: &str) {
    watches.watch(watcher, WatchKind::Data, state.place(path));
}

fn sessions() {
    let mut state = State::new(1);
    for at in 0..SESSIONS {
        let header = TxnHeader {
            session: SessionId(0x1000_0000_0000 + i64::from(at) * 7),
            cxid: 0,
            zxid: Zxid::from_bits(i64::from(at) + 1),
            time: 0,
        };
        state.apply(&header, &Txn::CreateSession { timeout_ms: 30_000 });
    }
    println!("freeze of 100,000 sessions: {:?}", freeze(&state));
}

fn freeze(state: &State) -> Duration {
    let once = |_| {
        let start = Instant::now();
        let frozen = state.freeze();
        let elapsed = start.elapsed();
        drop(frozen);
        elapsed
    };
    (0..10).map(once).min().expect("ten times")
}

fn filled() -> State {
    let mut state = State::new(1);
    let data = Bytes::from_static(&[b'x'; 100]);
    let create = |path: String, data: &Bytes| CreateTxn {
        path: path.into(),
        data: Some(data.clone()),
        acl: [Acl::OPEN].into(),
        ephemeral: false,
        parent_cversion: -1,
    };
    apply(&mut state, 1, Txn::Create(create("/data".to_owned(), &data)));
    for at in 0..ZNODES {
        apply(&mut state, at + 2, Txn::Create(create(path(at), &data)));
    }
    state
}

/// 30 bytes.
fn path(at: u32) -> String {
    format!("/data/{:024}", u64::from(at))
}

fn apply(state: &mut State, zxid: u32, txn: Txn) {
    let zxid = Zxid::from_bits(0x3_0000_0000 + i64::from(zxid));
    let time = 1_790_000_000_000 + zxid.bits() / 10;
    let header = TxnHeader { session: SessionId(0), cxid: 0, zxid, time };
    state.apply(&header, &txn).response.expect("nothing is in the way");
}

/// What this process had of the processor.
struct Cpu(u64);

impl Cpu {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
        let spent = stat.split(' ').next().and_then(|spent| spent.parse().ok());
        Self(spent.expect("the first number"))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(Self::now().0 - self.0)
    }
}

/// Bytes in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number") * 4096
}
