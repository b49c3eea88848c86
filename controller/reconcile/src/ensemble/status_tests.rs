//! Members as they could be, and what the status then says.

use super::*;
use crate::conditions::is_true;

fn part(number: i32, state: PartState) -> Part {
    let pid = matches!(state, PartState::Running | PartState::Suspended).then_some(70 + number);
    let endpoint = Some(format!("127.0.0.1:{}", 2180 + number));
    Part { number, endpoint, secure_endpoint: None, line: None, pid, restarts: 0, state }
}

fn serving(number: i32, mode: &str, zxid: u64) -> Heard {
    let report = Report { mode: mode.into(), zxid, znodes: 6, clients: 1, ..Report::default() };
    (part(number, PartState::Running), Answer::Serves(report))
}

fn silent(number: i32, state: PartState) -> Heard {
    (part(number, state), Answer::Silent)
}

/// The status of these members, all of which are declared, after one in which all of them served.
fn check(heard: &[Heard]) -> (EnsembleStatus, Health) {
    let mut told = EnsembleStatus { epoch: Some(1), ..EnsembleStatus::default() };
    let health = check_from(&mut told, heard, &Next::Settled, heard.len());
    (told, health)
}

fn check_from(told: &mut EnsembleStatus, heard: &[Heard], next: &Next, declared: usize) -> Health {
    let target = Target { voters: declared, ..Target::default() };
    let voters = heard.iter().map(|(part, _)| part.number).collect();
    let membership = Membership { version: 1, voters, ..Membership::default() };
    let view = View { target: &target, membership, heard, next, stays: None };
    status(told, &view, 1, &crate::kind::now())
}

fn message<'a>(told: &'a EnsembleStatus, type_: &str) -> &'a str {
    &condition(told, type_).expect("it is set").message
}

#[test]
fn a_member_that_serves_makes_it_ready() {
    let (told, health) = check(&[serving(1, "standalone", 0x3_0000_0005)]);
    assert_eq!(health, Health::Ready("1 of 1 members serve".into()));
    let seen = (told.leader, told.epoch, told.zxid.as_deref());
    assert_eq!(seen, (Some(1), Some(3), Some("0x300000005")));
    assert_eq!(told.connect_string.as_deref(), Some("127.0.0.1:2181"));
}

#[test]
fn each_member_is_told_of_with_its_lag() {
    let (told, health) = check(&[
        serving(1, "follower", 0x2_0000_0003),
        serving(2, "leader", 0x2_0000_0005),
        serving(3, "follower", 0x1_0000_0009),
    ]);
    assert!(health.is_ready(), "{health:?}");
    let members: Vec<_> =
        told.members.iter().map(|m| (m.id, m.state.as_str(), m.lag, m.epoch)).collect();
    assert_eq!(
        members,
        [
            (1, "follower", Some(2), Some(2)),
            (2, "leader", Some(0), Some(2)),
            (3, "follower", Some(5), Some(1)),
        ]
    );
    assert_eq!(told.clients, Some(3));
    assert_eq!(
        told.connect_string.as_deref(),
        Some("127.0.0.1:2181,127.0.0.1:2182,127.0.0.1:2183")
    );
}

#[test]
fn a_port_in_use_names_the_port_the_holder_and_the_remedy() {
    let holder = Some("java (pid 9)".to_owned());
    let state = PartState::PortInUse { port: 2181, holder, declared: true };
    let mut told = EnsembleStatus::default();
    let health = check_from(&mut told, &[silent(1, state)], &Next::Settled, 1);
    let Health::Stalled { reason, message } = health else { panic!("{health:?}") };
    assert_eq!(reason, reasons::PORT_IN_USE);
    for words in ["2181", "java (pid 9)", "spec.ports.client"] {
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn one_of_three_away_is_degraded_and_available() {
    let (told, health) = check(&[
        serving(1, "leader", 5),
        serving(2, "follower", 5),
        silent(3, PartState::Suspended),
    ]);
    assert!(is_true(Some(&told), reasons::AVAILABLE));
    assert!(is_true(Some(&told), reasons::DEGRADED));
    assert!(message(&told, reasons::DEGRADED).contains("kill -CONT 73"));
    let Health::Stalled { reason, .. } = health else { panic!("{health:?}") };
    assert_eq!(reason, reasons::PROCESS_SUSPENDED);
}

#[test]
fn a_lost_quorum_is_told_at_once_with_the_remedy_for_each() {
    // The leader has not noticed yet that nobody follows.
    let (told, health) = check(&[
        silent(1, PartState::Suspended),
        silent(2, PartState::Failed { why: "was killed by signal 9".into() }),
        serving(3, "leader", 5),
    ]);
    assert!(!is_true(Some(&told), reasons::AVAILABLE));
    let why = message(&told, reasons::AVAILABLE);
    for words in ["1 of 3 voters serve and 2 are needed", "kill -CONT 71", "signal 9"] {
        assert!(why.contains(words), "{why}");
    }
    let Health::Stalled { reason, .. } = health else { panic!("{health:?}") };
    assert_eq!(reason, reasons::NO_QUORUM);
}

#[test]
fn an_election_is_no_loss() {
    let looking = |id| (part(id, PartState::Running), Answer::Looking);
    let (told, health) = check(&[looking(1), looking(2), silent(3, PartState::Starting)]);
    let available = condition(&told, reasons::AVAILABLE).expect("it is set");
    assert_eq!((available.status.as_str(), available.reason.as_str()), ("False", "Electing"));
    assert!(matches!(health, Health::Reconciling { .. }), "{health:?}");
}

#[test]
fn clients_are_told_of_those_that_stay_while_members_change() {
    let three = [serving(1, "leader", 5), serving(2, "follower", 5), serving(3, "follower", 5)];
    let (mut told, _) = check(&three[..1]);
    // Two of three are there: those who use it are told when all are.
    check_from(&mut told, &three[..2], &Next::Settled, 3);
    assert_eq!(told.connect_string.as_deref(), Some("127.0.0.1:2181"));
    check_from(&mut told, &three, &Next::Settled, 3);
    assert_eq!(told.connect_string.as_deref().map(|s| s.split(',').count()), Some(3));
    // And of those that leave, before they go.
    check_from(&mut told, &three, &Next::Settled, 1);
    assert_eq!(told.connect_string.as_deref(), Some("127.0.0.1:2181"));
}

#[test]
fn lost_data_is_known_with_the_zxid_of_the_look_after() {
    let lost = silent(3, PartState::DataLost { path: "/d".into() });
    let (told, _) = check(&[serving(1, "leader", 0x10), serving(2, "follower", 0x10), lost]);
    assert_eq!(told.members[2].state, LOST);
    assert_eq!(since_loss(&told), Some(0x10));
    let (told, _) = check(&[serving(1, "standalone", 0x10)]);
    assert_eq!(since_loss(&told), None);
}

#[test]
fn what_only_a_person_can_mend_is_told_while_the_quorum_is_lost() {
    let up = [serving(1, "leader", 5), serving(2, "follower", 5)];
    let (mut told, _) = check(&up);
    let lost = |id| silent(id, PartState::DataLost { path: "/d".into() });
    let next = Next::Wait(Health::stalled(reasons::DATA_LOST, "put it back"));
    let health = check_from(&mut told, &[lost(1), lost(2)], &next, 2);
    let Health::Stalled { reason, message } = health else { panic!("{health:?}") };
    assert_eq!(reason, reasons::NO_QUORUM);
    assert!(message.contains("0 of 2 voters") && message.ends_with("put it back"), "{message}");
}

#[test]
fn a_full_disk_is_told_with_the_remedy_while_reads_go_on() {
    let (part, answer) = serving(1, "standalone", 5);
    let Answer::Serves(report) = answer else { unreachable!("it serves") };
    let full = (part, Answer::Serves(Report { disk_full: true, ..report }));
    let (told, health) = check(&[full]);
    let Health::Stalled { reason, message } = health else { panic!("{health:?}") };
    assert_eq!(reason, reasons::DISK_FULL);
    assert!(message.contains("member 1") && message.contains("make room"), "{message}");
    assert!(is_true(Some(&told), reasons::DEGRADED) && is_true(Some(&told), reasons::AVAILABLE));
}
