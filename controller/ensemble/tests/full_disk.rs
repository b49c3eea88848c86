//! A member whose disk is full: writes stop with a clear error, reads go on, writes resume by themselves.
//!
//! The disk is a small tmpfs in a mount namespace of its own, so nobody else's disk is filled and nothing
//! is left mounted. Where the system allows no such namespace, the test says so and does nothing.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ensemble::{Member, MemberConfig, OpError, Role};
use support::{Ensemble, OPEN};

#[test]
fn a_full_disk_stops_writes_and_keeps_reads() {
    run_on_a_small_disk("on_a_small_disk");
}

#[test]
fn a_follower_whose_disk_was_full_is_in_step_again() {
    run_on_a_small_disk("a_follower_on_a_small_disk");
}

/// Runs an ignored test of this file where `SMALL_DISK` is a disk of 8 MiB.
fn run_on_a_small_disk(name: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mount = |inner: &str| {
        format!("mount -t tmpfs -o size=8m tmpfs {} && {inner}", dir.path().display())
    };
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script]);
        command
    };
    if !unshare(&mount("true")).status().is_ok_and(|status| status.success()) {
        eprintln!("LEFT OUT: no mount namespace can be had here, so no small disk to fill");
        return;
    }
    let test = std::env::current_exe().expect("a running test has a file");
    let inner = format!("exec {} --exact --ignored {name}", test.display());
    let status = unshare(&mount(&inner)).env("SMALL_DISK", dir.path()).status();
    assert!(status.expect("unshare ran a moment ago").success());
}

#[tokio::test]
#[ignore = "run by the test above, inside its namespace"]
async fn on_a_small_disk() {
    let Some(disk) = std::env::var_os("SMALL_DISK") else { return };
    let disk = Path::new(&disk);
    let mut config = MemberConfig::in_process(disk.join("data"));
    config.prealloc_bytes = 64 << 10;
    let member = Member::start(config.clone()).await.expect("there is room");
    let local = member.local();
    local.create("/there", "x".into()).await.expect("there is room");
    let filler = disk.join("filler");
    fill(&filler);
    let payload = vec![b'y'; 10_000];
    let mut written = 0;
    let refused = loop {
        match local.create(&format!("/n{written}"), payload.clone().into()).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, OpError::DiskFull { .. }), "{refused:?}");
    let again = local.set("/there", "z".into(), None).await;
    assert!(matches!(again, Err(OpError::DiskFull { .. })), "{again:?}");
    assert_eq!(local.get("/there").map(|(data, _)| data), Some("x".into()));
    fs::remove_file(&filler).expect("it is there");
    // Nobody tells the member; it finds out.
    while local.set("/there", "z".into(), None).await.is_err() {
        tokio::task::yield_now().await;
    }
    local.create("/after", "".into()).await.expect("there is room again");
    member.shutdown().await;

    let member = Member::start(config.clone()).await.expect("the log is whole");
    check_all_is_there(&member, written);
    member.shutdown().await;

    // A restart on a full disk: everything can be read, and writes resume when there is room.
    fill(&filler);
    let member = Member::start(config.clone()).await.expect("a full disk is no reason to be away");
    let local = member.local();
    check_all_is_there(&member, written);
    let refused = local.set("/there", "zz".into(), None).await;
    assert!(matches!(refused, Err(OpError::DiskFull { .. })), "{refused:?}");
    fs::remove_file(&filler).expect("it is there");
    while local.set("/there", "z".into(), None).await.is_err() {
        tokio::task::yield_now().await;
    }
    member.shutdown().await;
    let member = Member::start(config).await.expect("the log is whole");
    check_all_is_there(&member, written);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test above, inside its namespace"]
async fn a_follower_on_a_small_disk() {
    let Some(disk) = std::env::var_os("SMALL_DISK") else { return };
    let disk = Path::new(&disk);
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.tick = Duration::from_millis(200);
    fs::create_dir(disk.join("data")).expect("there is room");
    std::os::unix::fs::symlink(disk.join("data"), ensemble.data_dir(3)).expect("it is new");
    for id in [1, 2] {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
    let mut config = ensemble.config(3);
    config.prealloc_bytes = 64 << 10;
    let follower = Member::start(config).await.expect("there is room");
    follower.serving().await;
    ensemble.running.insert(3, follower);

    let filler = disk.join("filler");
    let client = ensemble.client(&[1, 2]).await;
    let payload = [b'y'; 10_000];
    let mut written = 0;
    let phase = |ensemble: &Ensemble| ensemble.running[&3].view().phase;
    // What it is to catch up with is the whole state at first, and transactions then.
    for _ in 0..2 {
        fill(&filler);
        while phase(&ensemble) == "broadcast" {
            client.create(&format!("/n{written}"), &payload, OPEN).await.expect("two have room");
            written += 1;
        }
        // It finds no room for that either.
        while phase(&ensemble) != "synchronization" {
            tokio::task::yield_now().await;
        }
        fs::remove_file(&filler).expect("it is there");
        assert_eq!(ensemble.running[&3].serving().await, Role::Following);
        client.create(&format!("/n{written}"), b"", OPEN).await.expect("all have room");
        written += 1;
        assert_eq!(ensemble.assert_alike().await.len(), written);
    }
    ensemble.shutdown().await;
}

fn check_all_is_there(member: &Member, written: usize) {
    let found = member.local().children("/").expect("the root is there");
    assert_eq!(found.iter().filter(|name| name.starts_with('n')).count(), written);
    assert_eq!(member.local().get("/there").map(|(data, _)| data), Some("z".into()));
    assert!(found.contains(&"after".to_owned()));
}

fn fill(path: &Path) {
    let mut file = fs::File::create(path).expect("there is room for a name");
    let block = [1; 4096];
    while file.write_all(&block).is_ok() {}
}
