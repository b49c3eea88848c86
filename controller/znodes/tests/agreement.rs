//! What prep foresees is what apply does; and a log gives the same tree however it is replayed.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use jute::{
    Acl, AclList, CreateRequest, Entry, Id, MultiOp, OpResult, Perms, Put, Request, Response,
    StatPersisted, Text, Txn,
};
use proptest::collection::vec;
use proptest::prelude::*;
use types::{Instant, SessionId, Zxid};
use znodes::snapshot::Index;
use znodes::{Prep, Requester, Rules, Sessions, SnapshotError, Speaker, State, Turn, snapshot};

const LIMIT: usize = 1 << 20;
const RULES: Rules = Rules {
    extended_types: true,
    enforce_quota: true,
    reconfig: false,
    local_sessions: false,
    session_upgrades: false,
    no_digests: false,
    no_digest_ids: false,
    sasl_ids: false,
    x509_ids: false,
};

proptest! {
    /// Requests are prepared while others wait; the sum that each foresees is the sum it makes.
    #[test]
    fn what_is_foreseen_is_what_happens(steps in vec(step(), 1..80)) {
        play(&steps);
    }

    /// From nothing, from a snapshot, and over a snapshot that has more than its name says.
    #[test]
    fn a_log_gives_one_tree(
        steps in vec(step(), 1..80),
        at in any::<prop::sample::Index>(),
        back in any::<prop::sample::Index>(),
    ) {
        let (state, log) = play(&steps);
        let whole = contents(&state);
        prop_assert_eq!(&contents(&replayed(State::new(5), &log)), &whole);

        let at = at.index(log.len() + 1);
        let from = back.index(at + 1);
        let snapshot = frozen(&replayed(State::new(6), &log[..at]));
        let name = log[..from].last().map_or(Zxid::ZERO, |bytes| decoded(bytes).header.zxid);
        let loaded = snapshot::read(&mut &snapshot[..], name, LIMIT, 7).expect("just written");
        prop_assert_eq!(&contents(&replayed(loaded, &log[from..])), &whole);
        // From a buffer that is too short for most of what is in it, and with more behind.
        let longer = [&snapshot[..], b"more"].concat();
        let mut buffer = BufReader::with_capacity(7, &longer[..]);
        let mut index = Index::default();
        let loaded = snapshot::read_buffered(&mut buffer, name, LIMIT, 7, 0, |batch| {
            index.add(batch);
            batch.clear();
        });
        let sum = snapshot::sum(&mut &snapshot[..], LIMIT).expect("just written");
        let loaded = loaded.and_then(|read| read.finish(sum, index)).expect("just written");
        prop_assert_eq!(&contents(&replayed(loaded, &log[from..])), &whole);
        let mut rest = Vec::new();
        buffer.read_to_end(&mut rest).expect("it is in memory");
        prop_assert_eq!(rest, b"more");
    }

    /// A snapshot is the state at its moment, whatever happens while it is written.
    #[test]
    fn a_frozen_state_holds_still(steps in vec(step(), 1..60), more in vec(step(), 1..60)) {
        let mut world = World::new();
        world.run(&steps);
        let before = contents(&world.state);
        let held = world.state.freeze();
        world.run(&more);
        let mut bytes = Vec::new();
        held.write(&mut bytes).expect("a vector takes all");
        let loaded = snapshot::read(&mut &bytes[..], held.zxid(), LIMIT, 8).expect("just written");
        prop_assert!(loaded.agrees_with(held.digest()));
        prop_assert_eq!(contents(&loaded), before);
    }

    /// The stats of a quota are what is below it, however it came there, also after a restart.
    #[test]
    fn a_quota_counts_what_is_there(steps in vec(step(), 1..80)) {
        let mut world = World::new();
        for name in ["", "/zookeeper_limits", "/zookeeper_stats"] {
            world.run(&[Step::Ask(0, create(&format!("/zookeeper/quota/a{name}"), 0))]);
        }
        world.run(&steps);
        let (mut count, mut bytes) = (0, 0);
        world.state.below("/a", |_, data, _| {
            count += 1;
            bytes += data.map_or(0, <[u8]>::len);
        });
        let bytes_of = |state: &State| {
            let stats = state.get("/zookeeper/quota/a/zookeeper_stats").expect("made above");
            stats.data().map(<[u8]>::to_vec)
        };
        let expected = format!("count={count},bytes={bytes}").into_bytes();
        prop_assert_eq!(bytes_of(&world.state), Some(expected.clone()));
        let snapshot = frozen(&world.state);
        let loaded = snapshot::read(&mut &snapshot[..], Zxid::ZERO, LIMIT, 7).expect("just written");
        prop_assert_eq!(bytes_of(&loaded), Some(expected));
    }

    #[test]
    fn a_damaged_snapshot_does_no_harm(
        steps in vec(step(), 1..30), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let mut bytes = frozen(&play(&steps).0);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            let refused = snapshot::read(&mut &bytes[..], Zxid::ZERO, LIMIT, 9);
            let early_end = matches!(refused, Err(SnapshotError::Read { .. }));
            prop_assert!(early_end, "{refused:?}");
        } else {
            bytes[at] = byte;
            let _ = snapshot::read(&mut &bytes[..], Zxid::ZERO, LIMIT, 9);
        }
    }

    /// Transactions that no leader of ours makes, in any order.
    #[test]
    fn no_transaction_does_harm(txns in vec(txn(), 1..60)) {
        let mut state = State::new(1);
        for (at, txn) in txns.iter().enumerate() {
            let zxid = Zxid::from_bits(i64::try_from(at).expect("few") + 1);
            let header = jute::TxnHeader { session: SessionId(1), cxid: 0, zxid, time: 0 };
            let _ = state.apply(&header, txn);
        }
        let bytes = frozen(&state);
        let loaded = snapshot::read(&mut &bytes[..], state.zxid(), LIMIT, 2).expect("just written");
        prop_assert!(loaded.agrees_with(state.digest()), "the sum is that of the tree");
        prop_assert_eq!(contents(&loaded), contents(&state));
    }
}

/// A snapshot of these znodes, in this order.
fn snapshot_of(paths: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    // Neither sessions nor lists.
    out.put_i64(0);
    for path in paths {
        out.put_text(path);
        out.put_buffer(Some(path.as_bytes()));
        out.put_i64(-1);
        StatPersisted::default().encode(&mut out);
    }
    out.put_text("/");
    out
}

#[test]
fn a_snapshot_has_each_znode_once_and_behind_its_parent() {
    let read = |paths: &[&str]| {
        let snapshot = snapshot_of(paths);
        snapshot::read(&mut &snapshot[..], Zxid::ZERO, LIMIT, 7)
    };
    let by_depth = read(&["", "/a", "/b", "/a/c", "/b/d", "/a/c/e"]).expect("each has its parent");
    for path in ["/a", "/b", "/a/c", "/b/d", "/a/c/e"] {
        let found = by_depth.get(path).and_then(|node| node.data());
        assert_eq!(found, Some(path.as_bytes()), "{path}");
    }
    let often = [&[""][..], &["/a"; 40]].concat();
    for bad in [&["", "/a", "/b", "/a"][..], &often, &["", "/a/b"], &["", "a"], &["/a"], &["", ""]]
    {
        assert!(matches!(read(bad), Err(SnapshotError::Misplaced { .. })), "{bad:?}");
    }
}

#[test]
fn the_body_of_an_empty_snapshot_has_the_captured_length() {
    // 478 bytes of file, less header, three seals, digest section and last zxid.
    assert_eq!(frozen(&State::new(1)).len(), 478 - 16 - 3 * 13 - 20 - 8);
}

#[test]
fn the_child_count_wraps() {
    let stat = |cversion| StatPersisted { cversion, ..Default::default() };
    let mut snapshot = BytesMut::new();
    {
        use bytes::BufMut;
        use jute::Put;
        snapshot.put_length(0);
        snapshot.put_length(0);
        snapshot.put_text("");
        snapshot.put_buffer(None);
        snapshot.put_i64(-1);
        stat(i32::MAX).encode(&mut snapshot);
        snapshot.put_text("/");
    }
    let mut world = World::new();
    world.state = snapshot::read(&mut &snapshot[..], Zxid::ZERO, LIMIT, 1).expect("a snapshot");
    world.prep = Prep::new(&world.state).under(RULES);
    for name in ["/2147483647", "/-2147483648", "/-2147483647"] {
        world.run(&[Step::Ask(0, create("/", 2))]);
        assert!(world.state.get(name).is_some(), "{name}");
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A session asks.
    Ask(i64, Request),
    /// So many of the transactions that wait are applied.
    Apply(usize),
    /// So many of the newest that wait are given up.
    Withdraw(usize),
}

struct World {
    state: State,
    prep: Prep,
    sessions: Sessions,
    waiting: std::collections::VecDeque<Entry>,
    zxid: i64,
    log: Vec<Bytes>,
}

impl World {
    fn new() -> Self {
        let state = State::new(3);
        Self {
            prep: Prep::new(&state).under(RULES),
            state,
            sessions: Sessions::new(Duration::from_secs(1)),
            waiting: std::collections::VecDeque::new(),
            zxid: 0,
            log: Vec::new(),
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Ask(session, request) => self.ask(*session, request),
                Step::Apply(count) => self.apply(*count),
                Step::Withdraw(count) => self.withdraw(*count),
            }
        }
        self.apply(usize::MAX);
        assert!(self.prep.is_idle());
    }

    fn ask(&mut self, session: i64, request: &Request) {
        self.zxid += 1;
        let zxid = Zxid::from_bits(self.zxid);
        let turn = Turn { zxid, wall_ms: 1000 + self.zxid / 3, now: Instant::ZERO };
        let auth = [Id::new("digest", format!("{session}:x"))];
        let session = SessionId(session);
        let requester = Requester { session, cxid: 0, auth: &auth, speaker: Speaker(0) };
        let entry = self.prep.prepare(&self.state, &mut self.sessions, turn, &requester, request);
        let mut bytes = BytesMut::new();
        entry.encode(&mut bytes);
        self.log.push(bytes.freeze());
        self.waiting.push_back(entry);
    }

    fn withdraw(&mut self, count: usize) {
        let kept = self.waiting.len().saturating_sub(count);
        for entry in self.waiting.split_off(kept).iter().rev() {
            let session = entry.header.session;
            match entry.txn {
                Txn::CloseSession(_) => {
                    self.sessions.reopen(session, Duration::from_secs(1), Instant::ZERO);
                }
                Txn::CreateSession { .. } => self.sessions.forget(session),
                _ => {}
            }
            self.zxid -= 1;
            self.log.pop();
        }
        self.prep.withdraw(Zxid::from_bits(self.zxid + 1));
    }

    fn apply(&mut self, count: usize) {
        for _ in 0..count {
            let Some(entry) = self.waiting.pop_front() else {
                return;
            };
            let applied = self.state.apply(&entry.header, &entry.txn);
            self.prep.applied(entry.header.zxid);
            if let Some(digest) = entry.digest {
                assert!(self.state.agrees_with(digest), "{entry:?}");
            }
            match (&entry.txn, &applied.response) {
                (Txn::Error(code), told) => assert_eq!(told, &Err(*code)),
                (Txn::Multi(txns), Ok(Response::Multi(results))) => {
                    let refused = txns.iter().any(|txn| matches!(txn, Txn::Error(_)));
                    let errors =
                        results.iter().filter(|result| matches!(result, OpResult::Error(_)));
                    assert_eq!(errors.count(), if refused { txns.len() } else { 0 });
                    assert!(!refused || applied.changes.is_empty());
                }
                (txn, told) => assert!(told.is_ok(), "{txn:?} was prepared and then {told:?}"),
            }
        }
    }
}

fn play(steps: &[Step]) -> (State, Vec<Bytes>) {
    let mut world = World::new();
    world.run(steps);
    (world.state, world.log)
}

fn replayed(mut state: State, log: &[Bytes]) -> State {
    for bytes in log {
        let entry = decoded(bytes);
        state.apply(&entry.header, &entry.txn);
    }
    state
}

fn decoded(bytes: &Bytes) -> Entry {
    Entry::decode(bytes).expect("just encoded")
}

fn frozen(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.freeze().write(&mut bytes).expect("a vector takes all");
    bytes
}

/// Znodes, sessions, ephemerals by session, and the sum.
type Contents = (BTreeMap<String, String>, Vec<(SessionId, i32)>, Vec<Vec<String>>, i64);

/// Everything that can be seen of a state.
fn contents(state: &State) -> Contents {
    let mut znodes = BTreeMap::new();
    state.below("/", |path, data, stat| {
        let acl = state.get(path).expect("it was just shown").acl();
        znodes.insert(path.to_owned(), format!("{data:?} {stat:?} {acl:?}"));
    });
    let ephemerals = (0..4).map(|session| {
        let mut paths: Vec<String> = state.ephemerals(SessionId(session)).collect();
        paths.sort();
        paths
    });
    (znodes, state.sessions().collect(), ephemerals.collect(), state.digest().tree)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..4_i64, request()).prop_map(|(session, request)| Step::Ask(session, request)),
        2 => (1..4_i64).prop_map(|session| Step::Ask(session, open())),
        4 => (0..6_usize).prop_map(Step::Apply),
        1 => (1..4_usize).prop_map(Step::Withdraw),
    ]
}

fn open() -> Request {
    Request::CreateSession { timeout_ms: 10_000 }
}

/// Few paths, so that requests meet.
fn path() -> impl Strategy<Value = Text> {
    let bad = prop::sample::select(vec!["", "a", "/a/", "/a//b", "/.", "/zookeeper/config"]);
    prop_oneof![
        12 => "/[ab](/[ab]){0,2}".prop_map(Text::from),
        1 => Just(Text::from("/")),
        1 => bad.prop_map(Text::from),
    ]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of("[xyz]{0,4}".prop_map(Bytes::from))
}

fn acl() -> impl Strategy<Value = AclList> {
    prop_oneof![
        8 => Just([Acl::OPEN].into()),
        1 => Just([Acl { perms: Perms::ALL, id: Id::new("auth", "") }].into()),
        1 => Just([Acl { perms: Perms::READ, id: Id::ANYONE }].into()),
        1 => Just([].into()),
    ]
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(-1), 1 => 0..3_i32]
}

fn create(path: &str, flags: i32) -> Request {
    Request::Create(CreateRequest { path: path.into(), data: None, acl: [Acl::OPEN].into(), flags })
}

fn op() -> impl Strategy<Value = MultiOp> {
    let create = (path(), data(), acl(), 0..5_i32)
        .prop_map(|(path, data, acl, flags)| CreateRequest { path, data, acl, flags })
        .boxed();
    prop_oneof![
        4 => create.clone().prop_map(MultiOp::Create),
        1 => create.clone().prop_map(MultiOp::Create2),
        1 => create.clone()
            .prop_map(|create| MultiOp::CreateContainer(CreateRequest { flags: 4, ..create })),
        1 => (create, 0..3_i64)
            .prop_map(|(create, ttl)| MultiOp::CreateTtl(CreateRequest { flags: 5, ..create }, ttl)),
        2 => (path(), version()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        2 => (path(), data(), version())
            .prop_map(|(path, data, version)| MultiOp::SetData { path, data, version }),
        1 => (path(), version()).prop_map(|(path, version)| MultiOp::Check { path, version }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let single = op().prop_map(|op| match op {
        MultiOp::Create(create) => Request::Create(create),
        MultiOp::Create2(create) => Request::Create2(create),
        MultiOp::CreateContainer(create) => Request::CreateContainer(create),
        MultiOp::CreateTtl(create, ttl) => Request::CreateTtl(create, ttl),
        MultiOp::Delete { path, version } => Request::Delete { path, version },
        MultiOp::SetData { path, data, version } => Request::SetData { path, data, version },
        MultiOp::Check { path, version } => Request::Check { path, version },
    });
    prop_oneof![
        12 => single,
        4 => vec(op(), 0..4).prop_map(Request::Multi),
        2 => (path(), acl(), version())
            .prop_map(|(path, acl, version)| Request::SetAcl { path, acl, version }),
        1 => Just(Request::CloseSession),
        1 => path().prop_map(|path| Request::DeleteContainer { path }),
    ]
}

fn txn() -> impl Strategy<Value = Txn> {
    let create = (path(), data(), acl(), any::<bool>(), -2..4_i32);
    let create = create.prop_map(|(path, data, acl, ephemeral, parent_cversion)| jute::CreateTxn {
        path,
        data,
        acl,
        ephemeral,
        parent_cversion,
    });
    let create = create.boxed();
    prop_oneof![
        6 => create.clone().prop_map(Txn::Create),
        1 => create.clone().prop_map(Txn::CreateContainer),
        1 => create.prop_map(|create| Txn::CreateTtl(create, 5)),
        3 => path().prop_map(|path| Txn::Delete { path }),
        2 => (path(), data(), any::<i32>()).prop_map(|(path, data, version)| {
            Txn::SetData(jute::SetDataTxn { path, data, version })
        }),
        1 => (path(), acl(), any::<i32>()).prop_map(|(path, acl, version)| {
            Txn::SetAcl(jute::SetAclTxn { path, acl, version })
        }),
        1 => vec(path(), 0..3).prop_map(|paths| Txn::CloseSession(Some(paths))),
        1 => Just(Txn::CreateSession { timeout_ms: 1 }),
    ]
}
