//! Text scenarios: what clients ask, and all that they are told.
//!
//! Each file under `scenarios/` is blocks of commands, a rule of four dashes, and what came of them;
//! `UPDATE=1` rewrites what came. A command is `<session> <what> …`; `hold` lets transactions wait and
//! `release` applies them, as when a client does not wait for its replies. `rules` switches rules on,
//! `reap <seconds>` is a round of the reaper so long after the start, told as session 0. Events are told before the
//! reply of the same transaction, as `<session> ! <event>`.

use std::fmt::Write as _;
use std::time::Duration;
use std::{env, fs};

use bytes::{Bytes, BytesMut};
use jute::{
    Acl, AclList, AddWatchMode, CreateRequest, Entry, ErrorCode, Id, MultiOp, MultiRead, OpResult,
    Perms, Reader, Request, Response, SetWatches, Stat, Text, WatcherType,
};
use types::{Instant, SessionId, Zxid};
use znodes::reads::{Reading, answer};
use znodes::{
    Access, Place, Prep, Reaper, ReaperConfig, Requester, Rules, Sessions, Speaker, State, Turn,
    Watcher, Watches, access,
};

#[test]
fn scenarios() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("an entry of the folder").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = fs::read_to_string(&path).expect("a scenario is text");
        let played = play(&text);
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, played).expect("the folder can be written");
        } else {
            assert_eq!(played, text, "{} (UPDATE=1 rewrites it)", path.display());
        }
    }
}

fn play(text: &str) -> String {
    let mut world = World::new();
    let blocks = text.trim_end().split("\n\n").map(|block| {
        let commands = block.split("\n----").next().expect("the part before the rule");
        world.told.clear();
        for command in commands.lines().filter(|line| !line.starts_with('#')) {
            world.run(command);
        }
        match commands.lines().all(|line| line.starts_with('#')) {
            true => commands.to_owned(),
            false => format!("{commands}\n----\n{}", world.told.trim_end()),
        }
    });
    let blocks: Vec<String> = blocks.collect();
    blocks.join("\n\n") + "\n"
}

struct World {
    state: State,
    prep: Prep,
    sessions: Sessions,
    watches: Watches,
    auth: Vec<Vec<Id>>,
    zxid: i64,
    waiting: Vec<Entry>,
    held: bool,
    /// ms since the start.
    clock: i64,
    reaper: Reaper,
    told: String,
}

impl World {
    fn new() -> Self {
        let state = State::new(1);
        Self {
            prep: Prep::new(&state),
            state,
            sessions: Sessions::new(Duration::from_secs(1)),
            watches: Watches::new(1, usize::MAX),
            auth: vec![vec![Id::new("ip", "127.0.0.1")]; 10],
            zxid: 0,
            waiting: Vec::new(),
            held: false,
            clock: 0,
            reaper: Reaper::new(ReaperConfig::default(), Instant::ZERO),
            told: String::new(),
        }
    }

    fn run(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["hold"] => self.held = true,
            ["release"] => {
                self.held = false;
                self.apply_waiting();
            }
            ["rules", ref names @ ..] => {
                let on = |name| names.contains(&name);
                let rules = Rules {
                    local_sessions: on("local"),
                    extended_types: on("ttl"),
                    enforce_quota: on("quota"),
                    reconfig: on("reconfig"),
                    sasl_ids: on("sasl"),
                    x509_ids: on("x509"),
                    ..Rules::default()
                };
                self.prep = Prep::new(&self.state).under(rules);
            }
            ["reap", seconds] => self.reap(seconds.parse().expect("seconds")),
            [who, ref what @ ..] => {
                let who: i64 = who.parse().unwrap_or_else(|_| panic!("no session in {command:?}"));
                self.ask(who, what);
            }
            [] => {}
        }
    }

    fn ask(&mut self, who: i64, words: &[&str]) {
        let at = usize::try_from(who).expect("a small number");
        let watcher = Watcher(u32::try_from(who).expect("a small number"));
        let mode = |mode| match mode {
            "recursive" => AddWatchMode::PersistentRecursive,
            _ => AddWatchMode::Persistent,
        };
        match *words {
            ["auth", scheme, token] => {
                let ids = Access::default().authenticate(scheme, token.as_bytes());
                self.auth[at].extend(ids.expect("a scheme that is known"));
            }
            ["addwatch", path, how] => self.watches.add(watcher, path, mode(how)),
            ["removewatch", path] => {
                let found = self.watches.remove(watcher, self.state.place(path), WatcherType::Any);
                self.tell(who, if found { "removed" } else { "NoWatcher" });
            }
            ["disconnect"] => self.watches.drop_watcher(watcher),
            ["setwatches", zxid, ref lists @ ..] => {
                let list = |name| {
                    let named = lists.iter().filter_map(|item| item.split_once('='));
                    named.filter(|item| item.0 == name).map(|item| Text::from(item.1)).collect()
                };
                let wanted = SetWatches {
                    relative_zxid: Zxid::from_bits(zxid.parse().expect("a zxid")),
                    data: list("data"),
                    exist: list("exist"),
                    child: list("child"),
                    persistent: list("persistent"),
                    recursive: list("recursive"),
                };
                for (kind, path) in self.watches.set_again(watcher, &self.state, &wanted) {
                    self.tell(who, &format!("! {kind:?} {path} (late)"));
                }
            }
            ["watches"] => {
                let counts = format!("{:?}", self.watches.counts(&self.state));
                self.tell(who, &counts);
            }
            _ => match read(words) {
                Some(request) => self.read(who, &request),
                None => self.write(who, &write(words)),
            },
        }
    }

    fn reap(&mut self, seconds: u32) {
        self.clock = i64::from(seconds) * 1000;
        let now = Instant::ZERO + Duration::from_secs(u64::from(seconds));
        for request in self.reaper.due(&self.state, now, 1000 + self.clock) {
            self.write(0, &request);
        }
    }

    fn read(&mut self, who: i64, request: &Request) {
        let at = usize::try_from(who).expect("a small number");
        let watcher = Watcher(u32::try_from(who).expect("a small number"));
        let reading = Reading { session: SessionId(who), auth: &self.auth[at], longest: 1 << 20 };
        let mut out = BytesMut::new();
        let mut watch = |kind, place: Place<'_>| self.watches.watch(watcher, kind, place);
        let answered = answer(&self.state, request, reading, &mut watch, &mut out);
        let told = answered.map(|()| {
            Response::decode(request.op(), &mut Reader::new(&out.freeze())).expect("a response")
        });
        self.tell(who, &describe(&told));
    }

    fn write(&mut self, who: i64, request: &Request) {
        self.zxid += 1;
        let zxid = Zxid::from_bits(self.zxid);
        let turn = Turn { zxid, wall_ms: 1000 + self.clock, now: Instant::ZERO };
        let auth = &self.auth[usize::try_from(who).expect("a small number")];
        let session = SessionId(who);
        let requester = Requester { session, cxid: 0, auth, speaker: Speaker(0) };
        let entry = self.prep.prepare(&self.state, &mut self.sessions, turn, &requester, request);
        if let Some(excess) = self.prep.take_excess() {
            let kind = if excess.hard { "hard" } else { "soft" };
            let told = format!("{:?} of {}: {kind}", excess.kind, excess.path);
            let told = format!("? {told} limit {}, would be {}", excess.limit, excess.would_be);
            self.tell(who, &told);
        }
        self.waiting.push(entry);
        if !self.held {
            self.apply_waiting();
        }
    }

    fn apply_waiting(&mut self) {
        for entry in std::mem::take(&mut self.waiting) {
            let applied = self.state.apply(&entry.header, &entry.txn);
            self.prep.applied(entry.header.zxid);
            assert!(entry.digest.is_none_or(|digest| self.state.agrees_with(digest)));
            let mut fired = Vec::new();
            self.watches.fire(&applied.changes, &mut fired);
            for event in fired {
                for watcher in event.watchers {
                    let auth = &self.auth[watcher.0 as usize];
                    if access::permits(&event.acl, Perms::READ, auth) {
                        let told = format!("! {:?} {}", event.kind, event.path);
                        self.tell(i64::from(watcher.0), &told);
                    }
                }
            }
            self.tell(entry.header.session.0, &describe(&applied.response));
        }
        assert!(self.prep.is_idle(), "what is applied leaves nothing behind");
    }

    fn tell(&mut self, who: i64, what: &str) {
        writeln!(self.told, "{who} {what}").expect("a string takes all");
    }
}

fn read(words: &[&str]) -> Option<Request> {
    let (words, watch) = match words {
        ["multiread", ..] => (words, false),
        [words @ .., "watch"] => (words, true),
        words => (words, false),
    };
    Some(match *words {
        ["exists", path] => Request::Exists { path: path.into(), watch },
        ["get", path] => Request::GetData { path: path.into(), watch },
        ["children", path] => Request::GetChildren { path: path.into(), watch },
        ["children2", path] => Request::GetChildren2 { path: path.into(), watch },
        ["getacl", path] => Request::GetAcl { path: path.into() },
        ["count", path] => Request::GetAllChildrenNumber { path: path.into() },
        ["ephemerals"] => Request::GetEphemerals { prefix: "/".into() },
        ["ephemerals", prefix] => {
            Request::GetEphemerals { prefix: prefix.trim_matches('"').replace('_', " ").into() }
        }
        ["multiread", ref rest @ ..] => {
            let read = |words: &[&str]| match read(words) {
                Some(Request::GetData { path, watch }) => MultiRead::GetData { path, watch },
                Some(Request::GetChildren { path, watch }) => {
                    MultiRead::GetChildren { path, watch }
                }
                other => panic!("{other:?} cannot be one of several reads"),
            };
            Request::MultiRead(rest.split(|word| *word == ";").map(read).collect())
        }
        ["whoami"] => Request::WhoAmI,
        _ => return None,
    })
}

fn write(words: &[&str]) -> Request {
    match *words {
        ["open"] => Request::CreateSession { timeout_ms: 10_000 },
        ["close"] => Request::CloseSession,
        ["setacl", path, acl, version] => {
            Request::SetAcl { path: path.into(), acl: list(acl), version: number(version) }
        }
        ["create2", path, ref rest @ ..] => Request::Create2(create(path, rest)),
        ["reconfig"] => Request::Reconfig(jute::Reconfig {
            joining: None,
            leaving: None,
            members: None,
            config_id: -1,
        }),
        ["multi", ref rest @ ..] => {
            Request::Multi(rest.split(|word| *word == ";").map(op).collect())
        }
        _ => match op(words) {
            MultiOp::Create(create) => Request::Create(create),
            MultiOp::CreateContainer(create) => Request::CreateContainer(create),
            MultiOp::CreateTtl(create, ttl) => Request::CreateTtl(create, ttl),
            MultiOp::Delete { path, version } => Request::Delete { path, version },
            MultiOp::SetData { path, data, version } => Request::SetData { path, data, version },
            op => panic!("{op:?} is not a request of its own"),
        },
    }
}

fn op(words: &[&str]) -> MultiOp {
    match *words {
        ["create", path, ref rest @ ..] => MultiOp::Create(create(path, rest)),
        ["container", path, ref rest @ ..] => {
            let rest = [&["flags=4"], rest].concat();
            MultiOp::CreateContainer(create(path, &rest))
        }
        ["ttl", path, ttl, ref rest @ ..] => {
            let rest = [&["flags=5"], rest].concat();
            MultiOp::CreateTtl(create(path, &rest), i64::from(number(ttl)))
        }
        ["delete", path, version] => {
            MultiOp::Delete { path: path.into(), version: number(version) }
        }
        ["set", path, data, version] => {
            let data = Some(Bytes::copy_from_slice(data.as_bytes()));
            MultiOp::SetData { path: path.into(), data, version: number(version) }
        }
        ["check", path, version] => MultiOp::Check { path: path.into(), version: number(version) },
        _ => panic!("{words:?} is no command"),
    }
}

fn create(path: &str, rest: &[&str]) -> CreateRequest {
    let option = |name| {
        let options = rest.iter().filter_map(|word| word.split_once('='));
        options.filter(|option| option.0 == name).map(|option| option.1).next_back()
    };
    CreateRequest {
        path: path.trim_matches('"').into(),
        data: option("data").map(|data| Bytes::copy_from_slice(data.as_bytes())),
        acl: list(option("acl").unwrap_or("world:anyone:31")),
        flags: number(option("flags").unwrap_or("0")),
    }
}

/// `scheme:id:perms`, joined by commas; `none` for an empty list.
fn list(text: &str) -> AclList {
    let entry = |text: &str| {
        let (id, perms) = text.rsplit_once(':').expect("perms at the end");
        let (scheme, id) = id.split_once(':').expect("a scheme at the start");
        Acl { perms: Perms(number(perms)), id: Id::new(scheme, id) }
    };
    text.split(',').filter(|text| *text != "none").map(entry).collect()
}

fn number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn describe(told: &Result<Response, ErrorCode>) -> String {
    let response = match told {
        Ok(response) => response,
        Err(code) => return format!("{code:?}"),
    };
    match response {
        Response::Empty => "done".to_owned(),
        Response::Path(path) => format!("made {path}"),
        Response::Created { path, stat } => format!("made {path} {}", short(stat)),
        Response::Stat(stat) => short(stat),
        Response::Data { data, stat } => {
            let data = data.as_ref().map(|data| String::from_utf8_lossy(data).into_owned());
            format!("{} {}", data.as_deref().unwrap_or("null"), short(stat))
        }
        Response::Acl { acl, stat } => format!("{} {}", acls(acl), short(stat)),
        Response::Names(names) => sorted(names),
        Response::Children { names, stat } => format!("{} {}", sorted(names), short(stat)),
        Response::Page { .. } => "page".to_owned(),
        Response::Number(number) => number.to_string(),
        Response::Who(ids) => {
            let ids: Vec<String> =
                ids.iter().map(|id| format!("{}:{}", id.scheme, id.id)).collect();
            ids.join(",")
        }
        Response::Multi(results) => {
            let results: Vec<String> = results.iter().map(result).collect();
            results.join(" | ")
        }
        Response::Token(_) => "token".to_owned(),
    }
}

fn result(result: &OpResult) -> String {
    match result {
        OpResult::Created { path } => format!("made {path}"),
        OpResult::Created2 { path, stat } => format!("made {path} {}", short(stat)),
        OpResult::Set(stat) => short(stat),
        OpResult::Data { data, stat } => {
            let data = data.as_ref().map(|data| String::from_utf8_lossy(data).into_owned());
            format!("{} {}", data.as_deref().unwrap_or("null"), short(stat))
        }
        OpResult::Children(names) => sorted(names),
        OpResult::Deleted => "deleted".to_owned(),
        OpResult::Checked => "checked".to_owned(),
        OpResult::Error(Some(code)) => format!("{code:?}"),
        OpResult::Error(None) => "undone".to_owned(),
    }
}

fn acls(acl: &[Acl]) -> String {
    let entry = |acl: &Acl| format!("{}:{}:{}", acl.id.scheme, acl.id.id, acl.perms.0);
    acl.iter().map(entry).collect::<Vec<_>>().join(",")
}

fn sorted(names: &[Text]) -> String {
    let mut names: Vec<&str> = names.iter().map(Text::as_str).collect();
    names.sort_unstable();
    format!("[{}]", names.join(" "))
}

/// The zxids, versions and counts that differ from 0.
fn short(stat: &Stat) -> String {
    let mut text = format!("c{} m{} p{}", stat.czxid.bits(), stat.mzxid.bits(), stat.pzxid.bits());
    for (name, value) in [
        (" v", i64::from(stat.version)),
        (" cv", i64::from(stat.cversion)),
        (" av", i64::from(stat.aversion)),
        (" owner", stat.ephemeral_owner.0),
        (" len", i64::from(stat.data_length)),
        (" children", i64::from(stat.num_children)),
    ] {
        if value != 0 {
            write!(text, "{name}{value}").expect("a string takes all");
        }
    }
    text
}
