//! A member whose process is killed, or whose power is cut, at any write, flush or change of a name: it starts
//! again, serves all that it acknowledged and nothing out of order, the same at the next start, and writes on.
//!
//! `SEEDS=n` builds n states for each event of what a power cut can leave; without it one for every third event.

#[path = "../../storage/tests/support/crashes.rs"]
mod crashes;

use std::collections::BTreeMap;
use std::path::Path;

use crashes::{Disk, begin, each_crash, end, mark, scratch};
use ensemble::{Compression, Member, MemberConfig};
use types::Zxid;

#[test]
fn what_was_acknowledged_survives_a_crash_anywhere() {
    let all = std::env::var("SEEDS").ok().map(|text| text.parse().expect("a number"));
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    let dir = scratch();
    let start = Disk::of(dir.path());
    begin(dir.path());
    let written = runtime.block_on(run(dir.path()));
    let events = end();
    let times = |verb, file: &str| {
        let kind = Some((verb, file.to_owned()));
        events.iter().filter(|event| event.kind() == kind).count()
    };
    assert!(times("Create", "log") >= 4, "each round begins a log file and goes on in another");
    assert!(times("Rename", "troupe-snapshot") >= 3, "the first one, and one of each round");
    let mut count = 0;
    each_crash(start, &events, all.unwrap_or(1), |state| {
        count += 1;
        if all.is_none() && count % 3 != 0 {
            return;
        }
        runtime.block_on(check(state.root, state.promised, &written, &state.what));
    });
}

/// What was written, in its order.
type Written = BTreeMap<Zxid, String>;

/// Two runs on one directory, with writers at once, snapshots and new log files all the time.
async fn run(root: &Path) -> Written {
    let mut written = Written::new();
    for round in 0..2 {
        let member = Member::start(config(root)).await.expect("the directory is good");
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let local = member.local();
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for number in 0..WRITES {
                        let path = format!("/r{round}-{writer}-{number}");
                        let data = data(&path).into();
                        let stat = local.create(&path, data).await.expect("it is new");
                        mark(path.as_str());
                        done.push((stat.czxid, path));
                    }
                    done
                })
            })
            .collect();
        for writer in writers {
            written.extend(writer.await.expect("it writes"));
        }
        member.shutdown().await;
    }
    written
}

async fn check(root: &Path, promised: &[String], written: &Written, what: &str) {
    let first = found(root, what).await;
    for path in promised {
        assert!(first.values().any(|found| found == path), "{what}: {path} was acknowledged");
    }
    // Nothing is there without all that was before it.
    let before: Written = written.clone().into_iter().take(first.len()).collect();
    assert_eq!(first, before, "{what}");
    assert_eq!(found(root, what).await, first, "{what}, started again");
    let member = start(root, what).await;
    member.local().create("/on", "x".into()).await.expect("it writes on");
    member.shutdown().await;
    let member = start(root, what).await;
    assert!(member.local().get("/on").is_some(), "{what}");
    member.shutdown().await;
}

async fn found(root: &Path, what: &str) -> Written {
    let member = start(root, what).await;
    let local = member.local();
    let names = local.children("/").expect("the root is there");
    let paths =
        names.into_iter().filter(|name| name.starts_with('r')).map(|name| format!("/{name}"));
    let found = paths.map(|path| {
        let (found, stat) = local.get(&path).expect("it is listed");
        assert_eq!(found, data(&path), "{what}: {path}");
        (stat.czxid, path)
    });
    let found = found.collect();
    member.shutdown().await;
    found
}

async fn start(root: &Path, what: &str) -> Member {
    Member::start(config(root)).await.unwrap_or_else(|why| {
        let cause = std::error::Error::source(&why).map(ToString::to_string);
        panic!("{what}: {why}: {cause:?}")
    })
}

fn config(root: &Path) -> MemberConfig {
    let mut config = MemberConfig::in_process(root.join("data"));
    config.data_log_dir = Some(root.join("logs"));
    config.snap_count = 12;
    config.prealloc_bytes = 4 << 10;
    config.snapshot_compression = Compression::None;
    config
}

/// Without a zero, so that what is lost is seen.
fn data(path: &str) -> Vec<u8> {
    path.bytes().cycle().take(400).collect()
}

const WRITERS: usize = 3;
const WRITES: usize = 12;
