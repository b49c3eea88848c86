//! A disk that fails at any write, flush or change of a name: the member stops with the file's name or goes on
//! without what it does not need, never writes to a log file again that failed, and acknowledges nothing that it
//! has not flushed. The next start serves all that was acknowledged, also when the system has forgotten all that
//! was not flushed, as it does once a flush has failed.
//!
//! `EVERY=n` fails every n-th change of a run in its turn (7 by default).

#[path = "../../storage/tests/support/crashes.rs"]
mod crashes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crashes::{Crash, Disk, Event, Kind, begin, begin_failing, end, mark, scratch};
use ensemble::{Member, MemberConfig};
use tokio::runtime::Runtime;

#[test]
fn what_was_acknowledged_survives_a_failing_disk() {
    let every = std::env::var("EVERY").ok().map(|text| text.parse().expect("a number"));
    let runtime = Runtime::new().expect("threads can be had");
    let dir = scratch();
    begin(dir.path());
    assert!(matches!(runtime.block_on(run(dir.path())), Ended::InOrder));
    let mut kinds = BTreeMap::<Kind, usize>::new();
    for kind in end().iter().filter_map(Event::kind) {
        *kinds.entry(kind).or_default() += 1;
    }
    // How many changes there are of a kind depends on what the threads do at once, but for the first ones.
    for (verb, file, nth, outcome) in CERTAIN {
        let kind = (*verb, (*file).to_owned());
        let met = fail(&runtime, &kind, *nth);
        assert_eq!(met, Some(*outcome), "{verb} of {file} failed after {nth}");
    }
    let Some(every) = every else { return };
    for (kind, count) in kinds {
        for nth in (0..count).step_by(every) {
            fail(&runtime, &kind, nth);
        }
    }
}

/// What each run comes to: the change, of which file, after how many like it, and what the member does.
const CERTAIN: &[(&str, &str, usize, Outcome)] = &[
    ("MakeDir", "version-2", 0, Outcome::Stops),
    ("SyncDir", "version-2", 0, Outcome::Stops),
    // What a member starts from.
    ("Create", "troupe-snapshot", 0, Outcome::Stops),
    ("Write", "troupe-snapshot", 0, Outcome::Stops),
    ("Sync", "troupe-snapshot", 0, Outcome::Stops),
    ("Rename", "troupe-snapshot", 0, Outcome::Stops),
    // What it promises to other members.
    ("Create", "acceptedEpoch.tmp", 0, Outcome::Stops),
    ("Write", "acceptedEpoch.tmp", 0, Outcome::Stops),
    ("Sync", "acceptedEpoch.tmp", 0, Outcome::Stops),
    ("Rename", "acceptedEpoch.tmp", 0, Outcome::Stops),
    ("Create", "currentEpoch.tmp", 0, Outcome::Stops),
    ("Write", "currentEpoch.tmp", 0, Outcome::Stops),
    ("Sync", "currentEpoch.tmp", 0, Outcome::Stops),
    ("Rename", "currentEpoch.tmp", 0, Outcome::Stops),
    ("Create", "troupe.epochs.tmp", 0, Outcome::Stops),
    ("Write", "troupe.epochs.tmp", 0, Outcome::Stops),
    ("Sync", "troupe.epochs.tmp", 0, Outcome::Stops),
    ("Rename", "troupe.epochs.tmp", 0, Outcome::Stops),
    ("Create", "troupe.flushed", 0, Outcome::Stops),
    ("Write", "troupe.flushed", 0, Outcome::Stops),
    ("Sync", "troupe.flushed", 0, Outcome::Stops),
    ("Create", "troupe.flushed.copy", 0, Outcome::Stops),
    ("Write", "troupe.flushed.copy", 0, Outcome::Stops),
    ("Sync", "troupe.flushed.copy", 0, Outcome::Stops),
    ("Create", "troupe.logs.tmp", 0, Outcome::Stops),
    ("Write", "troupe.logs.tmp", 0, Outcome::Stops),
    ("Sync", "troupe.logs.tmp", 0, Outcome::Stops),
    ("Rename", "troupe.logs.tmp", 0, Outcome::Stops),
    ("Create", "troupe.logs.copy.tmp", 0, Outcome::Stops),
    ("Write", "troupe.logs.copy.tmp", 0, Outcome::Stops),
    ("Sync", "troupe.logs.copy.tmp", 0, Outcome::Stops),
    ("Rename", "troupe.logs.copy.tmp", 0, Outcome::Stops),
    // What it acknowledges, and what that follows.
    ("Create", "troupe.logs.tmp", 1, Outcome::Stops),
    ("Write", "troupe.logs.tmp", 1, Outcome::Stops),
    ("Sync", "troupe.logs.tmp", 1, Outcome::Stops),
    ("Rename", "troupe.logs.tmp", 1, Outcome::Stops),
    ("Create", "troupe.logs.copy.tmp", 1, Outcome::Stops),
    ("Write", "troupe.logs.copy.tmp", 1, Outcome::Stops),
    ("Sync", "troupe.logs.copy.tmp", 1, Outcome::Stops),
    ("Rename", "troupe.logs.copy.tmp", 1, Outcome::Stops),
    ("Create", "log", 0, Outcome::Stops),
    ("SetLength", "log", 0, Outcome::Stops),
    ("Write", "log", 0, Outcome::Stops),
    ("Write", "log", 1, Outcome::Stops),
    ("Sync", "log", 0, Outcome::Stops),
    ("Sync", "log", 1, Outcome::Stops),
    // What the log makes up for.
    ("Create", "troupe-snapshot", 1, Outcome::GoesOn),
    ("Sync", "troupe-snapshot", 1, Outcome::GoesOn),
    ("Rename", "troupe-snapshot", 1, Outcome::GoesOn),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Stops,
    GoesOn,
}

/// A run in which such a change fails, and what is there after it; `None` when there was no such change.
fn fail(runtime: &Runtime, kind: &Kind, nth: usize) -> Option<Outcome> {
    let dir = scratch();
    let start = Disk::of(dir.path());
    begin_failing(dir.path(), kind.clone(), nth);
    let ended = runtime.block_on(run(dir.path()));
    let events = end();
    let failed = failed(&events)?;
    let what = format!("{} of {} failed after {nth}", kind.0, failed.display());
    let outcome = match ended {
        Ended::InOrder => Outcome::GoesOn,
        Ended::By(reason) => {
            assert!(reason.contains("os error 5"), "{what}: {reason}");
            assert!(reason.contains(&*dir.path().to_string_lossy()), "{what}: {reason}");
            Outcome::Stops
        }
    };
    check_not_again(&events, &failed);
    let acknowledged: BTreeSet<_> = events
        .iter()
        .filter_map(|event| if let Event::Mark(path) = event { Some(path.clone()) } else { None })
        .collect();
    runtime.block_on(check(dir.path(), &acknowledged, &what));
    let mut disk = start;
    events.iter().for_each(|event| disk.apply(event));
    let forgotten = scratch();
    disk.leave(Crash::AllLost, None, forgotten.path());
    runtime.block_on(check(forgotten.path(), &acknowledged, &what));
    Some(outcome)
}

enum Ended {
    InOrder,
    By(String),
}

/// A member with writers, until all is written or it fails.
async fn run(root: &Path) -> Ended {
    let member = match Member::start(config(root)).await {
        Ok(member) => member,
        Err(why) => return Ended::By(words(&why)),
    };
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let local = member.local();
            tokio::spawn(async move {
                for number in 0..16 {
                    let path = format!("/w{writer}-{number}");
                    let data = path.clone().into_bytes().into();
                    if local.create(&path, data).await.is_err() {
                        return false;
                    }
                    mark(path);
                }
                true
            })
        })
        .collect();
    let mut all = true;
    for writer in writers {
        all &= writer.await.expect("it does not panic");
    }
    let ended = if all { Ended::InOrder } else { Ended::By(member.failed().await.0) };
    member.shutdown().await;
    ended
}

async fn check(root: &Path, acknowledged: &BTreeSet<String>, what: &str) {
    let member = Member::start(config(root)).await;
    let member = member.unwrap_or_else(|why| panic!("{what}: {}", words(&why)));
    for path in acknowledged {
        let found = member.local().get(path).map(|(data, _)| data);
        assert_eq!(found.as_deref(), Some(path.as_bytes()), "{what}: {path}");
    }
    member.local().create("/on", "x".into()).await.expect("it writes on");
    member.shutdown().await;
}

/// What file the change that failed was of.
fn failed(events: &[Event]) -> Option<PathBuf> {
    let failed =
        |event: &Event| if let Event::Failed(path) = event { Some(path.clone()) } else { None };
    events.iter().find_map(failed)
}

/// A file that failed is not written or flushed again, unless it was begun anew.
fn check_not_again(events: &[Event], failed: &Path) {
    let mut is_bad = false;
    for event in events {
        match event {
            Event::Failed(_) => is_bad = true,
            Event::Create(path) if path == failed => is_bad = false,
            Event::Write(path, ..) | Event::Sync(path) if path == failed && is_log(path) => {
                assert!(!is_bad, "{event:?}");
            }
            _ => {}
        }
    }
}

fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log."))
}

fn config(root: &Path) -> MemberConfig {
    let mut config = MemberConfig::in_process(root);
    config.snap_count = 12;
    config.prealloc_bytes = 4 << 10;
    config
}

fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", words(source)),
    }
}
