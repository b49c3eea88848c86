//! What an Ensemble's status says of its members.

use crds::{EnsembleStatus, MemberStatus, reasons};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::conditions::{Health, Truth, set};
use crate::four_letters::Report;
use crate::parts;
use crate::platform::Part;

/// Fills the status from the members and what those that serve say; returns the summary.
pub(crate) fn status(
    status: &mut EnsembleStatus,
    declared: i32,
    members: &[(Part, Option<Report>)],
    generation: i64,
    now: &Time,
) -> Health {
    let serving: Vec<(&Part, &Report)> =
        members.iter().filter_map(|(part, report)| Some((part, report.as_ref()?))).collect();
    let leading = serving.iter().find(|(_, report)| is_leading(&report.mode));
    let ready = count(serving.len());
    status.summary = Some(format!("{ready}/{declared}"));
    status.replicas = Some(count(members.len()));
    status.ready_replicas = Some(ready);
    status.leader = leading.map(|(part, _)| part.number);
    if let Some((_, report)) = leading {
        status.epoch = i64::try_from(report.zxid >> 32).ok();
        status.zxid = Some(format!("{:#x}", report.zxid));
        status.znodes = Some(report.znodes);
        status.version.clone_from(&report.version);
    }
    status.clients = Some(serving.iter().map(|(_, report)| report.clients).sum());
    status.watches = serving.iter().map(|(_, report)| report.watches).sum();
    // What clients connect to stays while members are away: they will be back at the same place.
    let endpoints: Vec<String> =
        members.iter().filter_map(|(part, _)| part.endpoint.clone()).collect();
    status.connect_string = (!endpoints.is_empty()).then(|| endpoints.join(","));
    let newest = serving.iter().map(|(_, report)| report.zxid).max().unwrap_or(0);
    status.members =
        members.iter().map(|(part, report)| member(part, report.as_ref(), newest)).collect();

    let health = health(declared, members, leading.is_some());
    let (available, why) = match leading {
        Some((part, _)) => (Truth::True, format!("member {} leads", part.number)),
        None => (Truth::False, "no member leads: clients cannot write".to_owned()),
    };
    let reason = if leading.is_some() { reasons::AS_DECLARED } else { reasons::NO_QUORUM };
    set(status, generation, reasons::AVAILABLE, available, reason, &why, now);
    let complete = ready >= declared;
    let full = full_disk(members);
    let progressing = !complete && leading.is_none();
    let degraded = (!complete && leading.is_some()) || full.is_some();
    let is_full = full.is_some();
    let told = full.unwrap_or_else(|| format!("{ready} of {declared} members serve"));
    let reason = match (is_full, complete) {
        (true, _) => reasons::DISK_FULL,
        (false, true) => reasons::AS_DECLARED,
        (false, false) => reasons::IN_PROGRESS,
    };
    set(status, generation, reasons::PROGRESSING, Truth::from(progressing), reason, &told, now);
    set(status, generation, reasons::DEGRADED, Truth::from(degraded), reason, &told, now);
    health
}

fn health(declared: i32, members: &[(Part, Option<Report>)], leads: bool) -> Health {
    let silent = members.iter().filter(|(_, report)| report.is_none());
    if let Some(trouble) =
        parts::trouble("member", "spec.ports.client", silent.map(|(part, _)| part))
    {
        return trouble;
    }
    let serving = members.iter().filter(|(_, report)| report.is_some()).count();
    if count(serving) < declared {
        let message = format!("{serving} of {declared} members serve; the others are starting");
        return Health::waiting(reasons::STARTING, message);
    }
    if !leads {
        return Health::waiting(reasons::NO_QUORUM, "the members are electing a leader");
    }
    if let Some(message) = full_disk(members) {
        return Health::stalled(reasons::DISK_FULL, message);
    }
    Health::Ready(format!("{serving} of {declared} members serve"))
}

/// Which members have no room for writes, and what to do.
fn full_disk(members: &[(Part, Option<Report>)]) -> Option<String> {
    let full = members.iter().filter(|(_, report)| report.as_ref().is_some_and(|r| r.disk_full));
    let ids: Vec<String> = full.map(|(part, _)| part.number.to_string()).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "the disk of member {} is full: no writes and no new sessions, reads go on; \
             make room on it and writes resume by themselves",
            ids.join(", ")
        )
    })
}

fn member(part: &Part, report: Option<&Report>, newest: u64) -> MemberStatus {
    MemberStatus {
        id: part.number,
        state: report.map_or_else(
            || if part.pid.is_some() { "looking".into() } else { "down".into() },
            |report| report.mode.clone(),
        ),
        endpoint: part.endpoint.clone(),
        zxid: report.map(|report| format!("{:#x}", report.zxid)),
        lag: report.and_then(|report| i64::try_from(newest - report.zxid).ok()),
        pid: part.pid,
        restarts: Some(part.restarts),
    }
}

fn is_leading(mode: &str) -> bool {
    matches!(mode, "leader" | "standalone")
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::PartState;

    fn part(state: PartState) -> Part {
        let pid = (state == PartState::Running).then_some(7);
        Part { number: 1, endpoint: Some("127.0.0.1:2181".into()), pid, restarts: 0, state }
    }

    fn report() -> Report {
        Report { mode: "standalone".into(), zxid: 0x3_0000_0005, znodes: 6, ..Report::default() }
    }

    #[test]
    fn a_member_that_serves_makes_it_ready() {
        let mut told = EnsembleStatus::default();
        let members = [(part(PartState::Running), Some(report()))];
        let health = status(&mut told, 1, &members, 1, &crate::kind::now());
        assert_eq!(health, Health::Ready("1 of 1 members serve".into()));
        assert_eq!(
            (told.leader, told.epoch, told.zxid.as_deref()),
            (Some(1), Some(3), Some("0x300000005"))
        );
        assert_eq!(told.connect_string.as_deref(), Some("127.0.0.1:2181"));
    }

    #[test]
    fn a_full_disk_is_told_with_the_remedy_while_reads_go_on() {
        let mut told = EnsembleStatus::default();
        let full = Report { disk_full: true, ..report() };
        let members = [(part(PartState::Running), Some(full))];
        let health = status(&mut told, 1, &members, 1, &crate::kind::now());
        let Health::Stalled { reason, message } = health else { panic!("{health:?}") };
        assert_eq!(reason, reasons::DISK_FULL);
        assert!(message.contains("member 1") && message.contains("make room"), "{message}");
        let state = |name: &str| told.conditions.iter().find(|c| c.type_ == name);
        assert_eq!(state(reasons::DEGRADED).map(|c| c.status.as_str()), Some("True"));
        assert_eq!(state(reasons::AVAILABLE).map(|c| c.status.as_str()), Some("True"));
    }

    #[test]
    fn a_port_in_use_names_the_port_the_holder_and_the_remedy() {
        let mut told = EnsembleStatus::default();
        let state = PartState::PortInUse {
            port: 2181,
            holder: Some("java (pid 9)".into()),
            declared: true,
        };
        let health = status(&mut told, 1, &[(part(state), None)], 1, &crate::kind::now());
        let Health::Stalled { reason, message } = health else { panic!("{health:?}") };
        assert_eq!(reason, reasons::PORT_IN_USE);
        for words in ["2181", "java (pid 9)", "spec.ports.client"] {
            assert!(message.contains(words), "{message}");
        }
    }
}
