//! A member killed at any moment under load: all that it acknowledged is there when it starts again.
//!
//! The member runs in a process of its own, this test's program run again, that tells each acknowledged
//! znode by a line; it is killed behind some line, with other writes anywhere on their way.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use ensemble::{Member, MemberConfig};

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = std::env::current_exe().expect("a running test has a file");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(&program)
            .args(["--exact", "--ignored", "--nocapture", "writes_until_it_is_killed"])
            .env("KILLED_DIR", dir.path())
            .env("KILLED_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs already");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let told = output.lines().map_while(Result::ok);
        let told = told.filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned));
        // The pipe is read to its end, so that what was told before the kill counts too.
        for (number, path) in told.enumerate() {
            if number == KILL_AFTER * (round + 1) {
                child.kill().expect("it runs");
            }
            acknowledged.insert(path);
        }
        let ended = child.wait().expect("it was started");
        assert_eq!(ended.signal(), Some(SIGKILL), "round {round}: it ended by itself: {ended}");
        runtime.block_on(async {
            let member = Member::start(config(dir.path())).await.expect("the log can be read");
            for path in &acknowledged {
                let data = member.local().get(path).map(|(data, _)| data);
                assert_eq!(data.as_deref(), Some(path.as_bytes()), "round {round}, {path}");
            }
            member.shutdown().await;
        });
    }
    assert!(acknowledged.len() >= KILL_AFTER * ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test above, to be killed"]
async fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os("KILLED_DIR") else { return };
    let round = std::env::var("KILLED_ROUND").expect("it comes with the directory");
    let member = Member::start(config(dir.as_ref())).await.expect("the log can be read");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let local = member.local();
        let round = round.clone();
        writers.spawn(async move {
            for number in 0.. {
                let path = format!("/r{round}-{writer}-{number}");
                let data = path.clone().into_bytes().into();
                if let Err(why) = local.create(&path, data).await {
                    return Some(why);
                }
                // One write each, so that lines do not mix. Nobody reads after the kill.
                let line = format!("acknowledged {path}\n");
                let _ = std::io::stdout().write_all(line.as_bytes());
            }
            None
        });
    }
    let refused = tokio::select! {
        biased;
        failed = member.failed() => failed.to_string(),
        refused = writers.join_next() => format!("{refused:?}"),
    };
    panic!("before the kill: {refused}");
}

fn config(dir: &std::path::Path) -> MemberConfig {
    let mut config = MemberConfig::in_process(dir);
    // Files are rolled, snapshots taken and room made all the time, so that kills meet them.
    config.snap_count = 40;
    config.prealloc_bytes = 4 << 10;
    config
}

const ROUNDS: usize = 5;
const SIGKILL: i32 = 9;
const KILL_AFTER: usize = 60;
const WRITERS: usize = 8;
