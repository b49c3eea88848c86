//! A disk that fails at any write, flush or change of a name: the member stops with the file's name or goes on
//! without what it does not need, never writes to a log file again that failed, and acknowledges nothing that it
//! has not flushed. The next start serves all that was acknowledged, also when the system has forgotten all that
//! was not flushed, as it does once a flush has failed.
//!
//! `EVERY=n` fails every n-th change of a run in its turn (7 by default).

#[path = "../../storage/tests/support/crashes.rs"]
mod crashes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crashes::{Crash, Disk, Event, begin, begin_failing, end, mark, scratch};
use ensemble::{Member, MemberConfig};

#[test]
fn what_was_acknowledged_survives_a_failing_disk() {
    let every = std::env::var("EVERY").map_or(7, |text| text.parse().expect("a number"));
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    let dir = scratch();
    begin(dir.path());
    assert!(matches!(runtime.block_on(run(dir.path())), Ended::InOrder));
    let changes = end().iter().filter(|event| !matches!(event, Event::Mark(_))).count();
    let (mut stopped, mut went_on) = (0, 0);
    for at in (0..changes).step_by(every) {
        let dir = scratch();
        let start = Disk::of(dir.path());
        begin_failing(dir.path(), at);
        let ended = runtime.block_on(run(dir.path()));
        let events = end();
        // The order of two threads is not the same each time: there may be fewer changes than at first.
        let Some(failed) = failed(&events) else { continue };
        let name = failed.file_name().unwrap_or_default().to_string_lossy();
        match ended {
            Ended::InOrder => went_on += 1,
            Ended::By(reason) => {
                assert!(reason.contains("os error 5"), "{at}, {name}: {reason}");
                assert!(reason.contains(&*dir.path().to_string_lossy()), "{at}, {name}: {reason}");
                stopped += 1;
            }
        }
        check_not_again(&events, &failed);
        let acknowledged: BTreeSet<_> = events
            .iter()
            .filter_map(
                |event| if let Event::Mark(path) = event { Some(path.clone()) } else { None },
            )
            .collect();
        let what = format!("change {at} failed, of {name}");
        runtime.block_on(check(dir.path(), &acknowledged, &what));
        let mut disk = start;
        events.iter().for_each(|event| disk.apply(event));
        let forgotten = scratch();
        disk.leave(Crash::AllLost, None, forgotten.path());
        runtime.block_on(check(forgotten.path(), &acknowledged, &what));
    }
    assert!(stopped > 0 && went_on > 0, "{stopped} times it stopped, {went_on} times it went on");
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

/// What the change that failed was of.
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
