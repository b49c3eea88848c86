//! The in-process door, and what a restart finds.

use std::fs;
use std::path::Path;

use ensemble::{LocalOp, LocalResult, Member, MemberConfig, OpError, StartError, What};

async fn start(dir: &Path) -> Member {
    Member::start(MemberConfig::in_process(dir)).await.expect("the directory is good")
}

#[tokio::test]
async fn what_is_written_is_read_and_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let member = start(dir.path()).await;
    let local = member.local();
    let created = local.create_all("/a/b/c", "1".into()).await.expect("it is new");
    assert_eq!(local.get("/a/b/c").map(|(data, _)| data), Some("1".into()));
    assert_eq!(created.version, 0);
    let set = local.set("/a/b/c", "22".into(), Some(0)).await.expect("the version is right");
    assert_eq!((set.version, set.data_length), (1, 2));
    assert!(set.mzxid > set.czxid);
    assert_eq!(
        local.set("/a/b/c", "3".into(), Some(0)).await,
        Err(OpError::BadVersion { path: "/a/b/c".to_owned() })
    );
    let not_empty = local.delete("/a", None).await;
    assert_eq!(not_empty, Err(OpError::NotEmpty { path: "/a".to_owned() }));
    let gone = local.delete("/a/b/c", Some(1)).await.expect("it is there");
    // A refused write takes a zxid too.
    assert_eq!(local.applied(), gone);
    member.shutdown().await;

    let member = start(dir.path()).await;
    let local = member.local();
    assert!(local.applied() > gone);
    assert_eq!(local.children("/a"), Some(vec!["b".to_owned()]));
    assert_eq!(local.get("/a/b/c"), None);
    local.create("/a/b/c", "again".into()).await.expect("it is gone");
    member.shutdown().await;
}

#[tokio::test]
async fn a_multi_is_all_or_nothing_and_names_what_failed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let member = start(dir.path()).await;
    let local = member.local();
    let create = |path: &str| LocalOp::Create { path: path.to_owned(), data: "x".into() };
    let done = local.multi(vec![create("/a"), create("/a/b")]).await.expect("both are new");
    assert!(matches!(done[..], [LocalResult::Created(_), LocalResult::Created(_)]), "{done:?}");
    let refused = local.multi(vec![create("/c"), create("/a"), create("/d")]).await;
    assert_eq!(refused, Err(OpError::NodeExists { path: "/a".to_owned() }));
    assert_eq!(local.get("/c"), None);
    let check = LocalOp::Check { path: "/a".to_owned(), version: None };
    let done = local.multi(vec![check, create("/c")]).await.expect("the check holds");
    assert_eq!(done[0], LocalResult::Checked);
    let relative = local.create_all("no/slash", "".into()).await;
    assert!(matches!(relative, Err(OpError::Refused { .. })), "{relative:?}");
    let big = local.create("/big", vec![0; 2 << 20].into()).await;
    assert!(matches!(big, Err(OpError::TooLarge { limit: 1_048_575, .. })), "{big:?}");
    member.shutdown().await;
    assert_eq!(local.create("/late", "".into()).await, Err(OpError::Stopped));
}

#[tokio::test]
async fn a_follower_sees_what_is_there_and_then_every_change_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let member = start(dir.path()).await;
    let local = member.local();
    for path in ["/a", "/a/1", "/ab", "/a/1/x"] {
        local.create(path, path.to_owned().into()).await.expect("it is new");
    }
    let (at, found, mut changes) = local.follow("/a");
    assert_eq!(at, local.applied());
    let paths: Vec<_> = found.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/a/1", "/a/1/x"]);
    local.set("/a", "itself".into(), None).await.expect("it is there");
    local.set("/ab", "elsewhere".into(), None).await.expect("it is there");
    local.set("/a/1", "new".into(), None).await.expect("it is there");
    local.delete("/a/1/x", None).await.expect("it is there");
    local.create("/a/2", "2".into()).await.expect("it is new");
    let mut seen = Vec::new();
    while let Ok(change) = changes.try_recv() {
        assert!(change.zxid > at);
        seen.push(match change.what {
            What::Created { data, .. } => format!("{} created {data:?}", change.path),
            What::Set { data, stat } => {
                assert_eq!(stat.mzxid, change.zxid);
                format!("{} set {data:?}", change.path)
            }
            What::Deleted => format!("{} deleted", change.path),
        });
    }
    assert_eq!(seen, [r#"/a/1 set b"new""#, "/a/1/x deleted", r#"/a/2 created b"2""#]);
    member.shutdown().await;
}

#[tokio::test]
async fn a_directory_and_a_port_have_one_member_and_the_second_is_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some("127.0.0.1:0".parse().expect("an address"));
    let member = Member::start(config.clone()).await.expect("nobody else is there");
    let refused = Member::start(config.clone()).await.expect_err("the directory is taken");
    assert!(matches!(refused, StartError::DirInUse { .. }), "{refused}");
    let other = tempfile::tempdir().expect("a temporary directory");
    config.data_dir = other.path().to_owned();
    config.client_addr = member.client_addr();
    let refused = Member::start(config).await.expect_err("the port is taken");
    let addr = member.client_addr().expect("it was asked for").to_string();
    assert!(refused.to_string().contains(&addr), "{refused}");
    assert!(!other.path().join("version-2").exists(), "a start that fails leaves no files");
    member.shutdown().await;
    start(dir.path()).await.shutdown().await;
}

#[tokio::test]
async fn snapshots_are_taken_on_the_way_and_old_files_go() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.snap_count = 20;
    let member = Member::start(config.clone()).await.expect("the directory is new");
    let local = member.local();
    // A slow disk stretches the distance between snapshots; the first one goes in the end all the same.
    let first = dir.path().join("version-2/snapshot.0");
    let mut created = 0;
    while first.exists() && created < 100_000 {
        local.create(&format!("/n{created}"), "x".into()).await.expect("it is new");
        created += 1;
    }
    member.shutdown().await;
    let names: Vec<_> = fs::read_dir(dir.path().join("version-2"))
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII"))
        .collect();
    let snapshots = names.iter().filter(|name| name.starts_with("snapshot.")).count();
    assert_eq!(snapshots, 3, "{names:?}");
    assert!(!names.contains(&"snapshot.0".to_owned()), "{names:?}");
    let member = Member::start(config).await.expect("it can be read back");
    let found = member.local().children("/").expect("the root is there");
    assert_eq!(found.iter().filter(|name| name.starts_with('n')).count(), created);
    member.shutdown().await;
}

#[tokio::test]
async fn snapshots_and_logs_stay_within_their_bytes() {
    const BYTES: u64 = 2 << 20;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.prealloc_bytes = 64 << 10;
    config.retention.bytes = Some(BYTES);
    let member = Member::start(config.clone()).await.expect("the directory is new");
    let local = member.local();
    local.create("/n", "".into()).await.expect("it is new");
    let data = "x".repeat(32 << 10);
    let mut most = 0;
    for _ in 0..10 * BYTES / data.len() as u64 {
        local.set("/n", data.clone().into(), None).await.expect("it is there");
        let files = fs::read_dir(dir.path().join("version-2")).expect("it is there");
        // One that is listed may be gone by now.
        let sizes = files.map(|entry| entry.expect("an entry").metadata().map_or(0, |m| m.len()));
        most = most.max(sizes.sum::<u64>());
    }
    member.shutdown().await;
    // While a snapshot waits for the processor writes go on.
    assert!(
        most <= 3 * BYTES && most > BYTES / 4,
        "{most} bytes of {} that were written",
        10 * BYTES
    );
    let member = Member::start(config).await.expect("it can be read back");
    let found = member.local().get("/n").expect("it is there");
    assert_eq!(found.0.len(), data.len());
    member.shutdown().await;
}

#[tokio::test]
async fn a_crash_at_any_byte_of_the_log_keeps_a_prefix_and_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let member = start(dir.path()).await;
    let local = member.local();
    let mut ends = Vec::new();
    let data = dir.path().join("version-2");
    for number in 0..4 {
        local.create(&format!("/n{number}"), "x".into()).await.expect("it is new");
        // Acknowledged, so it is in the file; what a crash leaves is this much of it, or more.
        let log = fs::read(data.join("log.100000001")).expect("the first file");
        ends.push(log.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    }
    let log = fs::read(data.join("log.100000001")).expect("the first file");
    for cut in (ends[0] - 3)..=ends[3] {
        let crashed = tempfile::tempdir().expect("a temporary directory");
        let copy = crashed.path().join("version-2");
        fs::create_dir(&copy).expect("it is writable");
        for name in ["snapshot.0", "acceptedEpoch", "currentEpoch"] {
            fs::copy(data.join(name), copy.join(name)).expect("it is there");
        }
        let mut torn = log[..cut].to_vec();
        torn.resize(cut + 5000, 0);
        fs::write(copy.join("log.100000001"), &torn).expect("it is writable");
        let after = start(crashed.path()).await;
        let found = after.local().children("/").expect("the root is there");
        let found = found.iter().filter(|name| name.starts_with('n')).count();
        let acknowledged = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(found, acknowledged, "cut at {cut}");
        after.local().create("/next", "".into()).await.expect("it goes on");
        after.shutdown().await;
    }
    member.shutdown().await;
}

#[tokio::test]
async fn rot_in_the_log_is_named_and_nothing_is_served() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let member = start(dir.path()).await;
    for number in 0..3 {
        member.local().create(&format!("/n{number}"), "x".into()).await.expect("it is new");
    }
    member.shutdown().await;
    let path = dir.path().join("version-2/log.100000001");
    let mut log = fs::read(&path).expect("the first file");
    log[100] ^= 1;
    fs::write(&path, log).expect("it is writable");
    let refused = Member::start(MemberConfig::in_process(dir.path())).await.expect_err("it rotted");
    let StartError::Load(why) = refused else { panic!("{refused}") };
    assert!(why.to_string().contains("log.100000001 is corrupt at byte"), "{why}");
}
