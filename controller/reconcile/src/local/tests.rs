//! The local platform with a shell script in place of the program.

use std::os::unix::fs::PermissionsExt;

use tokio::net::TcpListener;

use super::process::Identity;
use super::*;
use crate::platform::{Membership, PeerPorts, Settings};

/// Sleeps until it is told to end, and tells on standard output what it was started with.
const SCRIPT: &str = "#!/bin/sh\necho \"$@\"\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n";

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let exe = folder.path().join("part");
        fs::write(&exe, script).expect("written");
        fs::set_permissions(&exe, fs::Permissions::from_mode(0o755)).expect("executable");
        Self { folder }
    }

    fn open(&self) -> LocalPlatform {
        LocalPlatform::open_with(self.folder.path().join("data"), self.folder.path().join("part"))
            .expect("a platform")
    }
}

fn owner(name: &str) -> Owner {
    Owner { namespace: "default".into(), name: name.into(), uid: "1".into() }
}

fn members(count: i32) -> Members {
    let ports = PeerPorts::default();
    let voters = (1..=count).collect();
    let membership = Membership { version: 1, voters, observed: false, others: None, ports };
    let config = vec![("tickTime".into(), "2000".into())];
    let settings = Box::new(Settings { config, ..Settings::default() });
    let wish = |id| MemberWish {
        id,
        membership: membership.clone(),
        settings: settings.clone(),
        data: 0,
        again: 0,
    };
    let members = (1..=count).map(wish).collect();
    Members { owner: owner("e.1"), members, files: BTreeMap::new() }
}

/// Waits for what the platform tells by its changes, asking again after each.
async fn until(
    platform: &LocalPlatform,
    want: &Members,
    is_there: impl Fn(&[Part]) -> bool,
) -> Vec<Part> {
    let mut changes = platform.changes();
    loop {
        let parts = platform.members(want).await.expect("carried out");
        if is_there(&parts) {
            return parts;
        }
        changes.recv().await.expect("the platform lives");
    }
}

fn all_run(parts: &[Part]) -> bool {
    parts.iter().all(|part| part.state == PartState::Running && part.pid.is_some())
}

fn pids(parts: &[Part]) -> Vec<i32> {
    parts.iter().filter_map(|part| part.pid).collect()
}

#[tokio::test]
async fn a_second_controller_adopts_what_the_first_started() {
    let world = World::new(SCRIPT);
    let first = world.open();
    let before = until(&first, &members(2), |parts| parts.len() == 2 && all_run(parts)).await;
    first.leave_all().await;
    drop(first);

    let second = world.open();
    let after = second.members(&members(2)).await.expect("carried out");
    assert_eq!(pids(&after), pids(&before));
    assert_eq!(after[0].endpoint, before[0].endpoint);
    second.shutdown_all().await;
    assert!(pids(&before).iter().all(|pid| Identity::of(*pid).is_none()));
}

#[tokio::test]
async fn a_process_without_a_record_is_found_by_its_mark() {
    let world = World::new(SCRIPT);
    let first = world.open();
    let before = until(&first, &members(1), |parts| parts.len() == 1 && all_run(parts)).await;
    first.leave_all().await;
    fs::remove_file(first.records.0.join("member.default.e.1.1.json")).expect("removed");

    let second = world.open();
    until(&second, &members(1), |parts| {
        parts.len() == 1 && all_run(parts) && pids(parts) != pids(&before)
    })
    .await;
    // The old one was ended before the new one was started: never two of one.
    assert!(pids(&before).iter().all(|pid| Identity::of(*pid).is_none()));
    second.shutdown_all().await;
}

#[tokio::test]
async fn what_dies_is_started_again_and_told() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    let before = until(&platform, &members(1), |parts| parts.len() == 1 && all_run(parts)).await;
    let pid = rustix::process::Pid::from_raw(pids(&before)[0]).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("killed");
    let after =
        until(&platform, &members(1), |parts| all_run(parts) && pids(parts) != pids(&before)).await;
    assert_eq!(after[0].restarts, 1);
    platform.shutdown_all().await;
}

#[tokio::test]
async fn a_failure_carries_the_last_words_of_the_log() {
    let world = World::new("#!/bin/sh\necho 'no space left' >&2\nexit 3\n");
    let platform = world.open();
    let parts =
        until(&platform, &members(1), |parts| matches!(parts[0].state, PartState::Failed { .. }))
            .await;
    let PartState::Failed { why } = &parts[0].state else { unreachable!("just seen") };
    assert!(why.contains("exit code 3: no space left"), "{why}");
    platform.shutdown_all().await;
}

#[tokio::test]
async fn a_changed_configuration_restarts_and_fewer_members_end() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    let before = until(&platform, &members(2), |parts| parts.len() == 2 && all_run(parts)).await;
    let mut want = members(1);
    want.members[0].settings.restarted_at = Some("now".into());
    let after = until(&platform, &want, |parts| {
        parts.len() == 1 && all_run(parts) && !pids(&before).contains(&parts[0].pid.unwrap_or(0))
    })
    .await;
    assert_eq!(after[0].endpoint, before[0].endpoint, "the port stays");
    platform.shutdown_all().await;
}

/// Ends a second after it was told, which is longer than it is given by itself.
const SLOW: &str = "#!/bin/sh\ntrap 'sleep 1; echo >\"$0.done\"; exit 0' TERM\n\
                    echo >\"$0.ready\"\nwhile :; do sleep 0.05; done\n";

#[tokio::test]
async fn a_process_that_told_how_long_it_needs_has_that_time() {
    let world = World::new(SLOW);
    let platform = world.open();
    let program = world.folder.path().join("part");
    let word = world.folder.path().join("grace");
    let mut spec = platform.spec("agent.default.p.0", vec![program.into()], Signal::TERM);
    spec.grace = Duration::from_millis(10);
    spec.needs = Some(word.clone());
    // Written, as far as anybody can tell, after it was asked.
    fs::write(&word, "60").expect("written");
    let later = std::time::SystemTime::now() + Duration::from_secs(3_600);
    fs::File::options().write(true).open(&word).and_then(|f| f.set_modified(later)).expect("dated");
    let supervised = platform.supervise(spec, None, owner("p"));
    while !world.folder.path().join("part.ready").exists() {
        tokio::task::yield_now().await;
    }
    supervised.ended().await;
    assert!(world.folder.path().join("part.done").exists(), "it was killed before its time");
}

#[tokio::test]
async fn an_agents_word_is_looked_for_where_it_is_left() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    let word = platform.folder(&owner("p"), Sort::Agent).join("0/meta/grace");
    let spec = |key: &str| platform.spec(key, Vec::new(), Signal::TERM);
    assert_eq!(spec("agent.default.p.0").needs, Some(word));
    assert_eq!(spec("master.default.p.0").needs, None);
}

#[tokio::test]
async fn a_declared_port_in_use_is_told_with_its_holder() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    let thief = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = thief.local_addr().expect("bound").port();
    let mut want = members(1);
    want.members[0].settings.client_port = Some(port);
    let parts =
        until(&platform, &want, |parts| matches!(parts[0].state, PartState::PortInUse { .. }))
            .await;
    let PartState::PortInUse { port: told, holder, declared } = &parts[0].state else {
        unreachable!("just seen")
    };
    assert_eq!((*told, *declared), (port, true));
    assert!(holder.as_ref().is_some_and(|who| who.contains(&std::process::id().to_string())));
    drop(thief);
    until(&platform, &want, all_run).await;
    platform.shutdown_all().await;
}

#[tokio::test]
async fn removal_ends_processes_and_takes_the_data_only_if_told() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    until(&platform, &members(1), |parts| parts.len() == 1 && all_run(parts)).await;
    let data = platform.folder(&owner("e.1"), Sort::Member);
    let mut changes = platform.changes();
    while !platform.remove(&owner("e.1"), Sort::Member, DataFate::Keep).await.expect("told") {
        changes.recv().await.expect("the platform lives");
    }
    assert!(data.join("1/data/myid").exists());
    // The next Ensemble of that name goes on from who was a member.
    assert_eq!(platform.wished(&owner("e.1")).await.expect("read"), members(1).members);
    assert!(platform.remove(&owner("e.1"), Sort::Member, DataFate::Delete).await.expect("told"));
    assert!(!data.exists());
}

#[tokio::test]
async fn members_know_each_other_by_ports_that_stay() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    until(&platform, &members(3), |parts| parts.len() == 3 && all_run(parts)).await;
    let folder = platform.folder(&owner("e.1"), Sort::Member);
    let servers = |id: i32| {
        let text = fs::read_to_string(folder.join(format!("{id}/zoo.cfg"))).expect("written");
        text.lines()
            .filter(|line| line.starts_with("server."))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(servers(1).len(), 3);
    assert_eq!((servers(2), servers(3)), (servers(1), servers(1)));
    assert_eq!(platform.wished(&owner("e.1")).await.expect("read"), members(3).members);

    // Two are not wished any more: they end, and the one that stays is told by the next wish that it is alone.
    let before = servers(1);
    let mut one = members(3);
    one.members.truncate(1);
    until(&platform, &one, |parts| parts.len() == 1 && all_run(parts)).await;
    assert_eq!(servers(1), before);
    assert_eq!(platform.wished(&owner("e.1")).await.expect("read"), one.members);
    until(&platform, &members(1), all_run).await;
    assert_eq!(servers(1), Vec::<String>::new());
    platform.shutdown_all().await;
}

#[tokio::test]
async fn an_observer_is_told_that_it_is_one() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    let mut want = members(1);
    want.members.push(MemberWish { id: 101, ..want.members[0].clone() });
    until(&platform, &want, |parts| parts.len() == 2 && all_run(parts)).await;
    let folder = platform.folder(&owner("e.1"), Sort::Member);
    let text = fs::read_to_string(folder.join("101/zoo.cfg")).expect("written");
    assert!(text.contains("peerType=observer") && text.contains(":observer\n"), "{text}");
    platform.shutdown_all().await;
}

#[tokio::test]
async fn data_that_was_there_is_missed_until_an_empty_start_is_wished() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    let mut want = members(1);
    let parts = until(&platform, &want, all_run).await;
    let home = platform.folder(&owner("e.1"), Sort::Member).join("1");
    let data = home.join("data/version-2");
    fs::create_dir_all(&data).expect("made");
    fs::write(data.join("log.1"), "x").expect("written");
    platform.members(&want).await.expect("carried out");

    fs::remove_dir_all(home.join("data")).expect("removed");
    let pid = rustix::process::Pid::from_raw(pids(&parts)[0]).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("killed");
    let parts =
        until(&platform, &want, |parts| matches!(parts[0].state, PartState::DataLost { .. })).await;
    assert_eq!(parts[0].state, PartState::DataLost { path: data.display().to_string() });
    assert!(!data.exists());

    want.members[0].data = 7;
    until(&platform, &want, all_run).await;
    assert!(home.join("data/myid").exists());
    platform.shutdown_all().await;
}

#[tokio::test]
async fn a_stopped_process_is_seen() {
    let world = World::new(SCRIPT);
    let platform = world.open();
    let parts = until(&platform, &members(1), all_run).await;
    let pid = rustix::process::Pid::from_raw(pids(&parts)[0]).expect("a pid");
    rustix::process::kill_process(pid, Signal::STOP).expect("stopped");
    while platform.members(&members(1)).await.expect("carried out")[0].state != PartState::Suspended
    {
        tokio::task::yield_now().await;
    }
    rustix::process::kill_process(pid, Signal::CONT).expect("continued");
    platform.shutdown_all().await;
}
