//! What happened to the members between two looks, as Events tell it.

use crds::{EnsembleStatus, MemberStatus, reasons};

use super::status::{LOST, condition};

/// One Event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct News {
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: String,
    pub(crate) is_warning: bool,
}

/// What a reader of the status before does not know.
pub(crate) fn news(before: &EnsembleStatus, after: &EnsembleStatus) -> Vec<News> {
    let mut news = Vec::new();
    let founded = before.members.is_empty();
    for member in &after.members {
        let known = before.members.iter().find(|known| known.id == member.id);
        news.extend(of_member(known, member, founded));
    }
    for member in before.members.iter().filter(|old| !after.members.iter().any(|m| m.id == old.id))
    {
        let note =
            format!("member {} is no longer counted and has ended; its data stays", member.id);
        news.push(tell(reasons::events::MEMBER_REMOVED, "Scale", note));
    }
    if let (Some(old), Some(new)) = (before.leader, after.leader)
        && old != new
    {
        let epoch = after.epoch.map_or_else(String::new, |epoch| format!(" in epoch {epoch}"));
        let note = format!("member {new} leads{epoch}; member {old} did before");
        news.push(tell(reasons::events::LEADER_CHANGED, "Observe", note));
    }
    let available = |status| condition(status, reasons::AVAILABLE);
    if let (Some(old), Some(new)) = (available(before), available(after)) {
        // Before it served for the first time, nothing was lost. The epoch stays when the leader is gone.
        let served = before.epoch.is_some();
        match (old.status.as_str(), new.status.as_str()) {
            ("True", "False") => news.push(News {
                is_warning: true,
                ..tell(reasons::events::QUORUM_LOST, "Observe", new.message.clone())
            }),
            ("False", "True") if served => {
                news.push(tell(reasons::events::QUORUM_REGAINED, "Observe", new.message.clone()));
            }
            _ => {}
        }
    }
    news
}

fn of_member(known: Option<&MemberStatus>, now: &MemberStatus, founded: bool) -> Vec<News> {
    let id = now.id;
    let mut news = Vec::new();
    if known.is_none() && !founded {
        let note = format!("member {id} was added and is filled from the others");
        news.push(tell(reasons::events::MEMBER_ADDED, "Scale", note));
    }
    let was_lost = known.is_some_and(|known| known.state == LOST);
    if was_lost && now.state != LOST {
        let note = format!("member {id} had lost its data and is filled again from the others");
        news.push(tell(reasons::events::MEMBER_REBUILT, "Rebuild", note));
    }
    let was_mending = known.and_then(|known| known.mending.as_ref());
    match (was_mending, &now.mending) {
        (None, Some(why)) => news.push(News {
            is_warning: true,
            ..tell(
                reasons::events::MENDING,
                "Mend",
                format!("member {id} mends its files and does not vote: {why}"),
            )
        }),
        (Some(_), None) => {
            let note = format!("the files of member {id} are whole again");
            news.push(tell(reasons::events::MENDED, "Mend", note));
        }
        _ => {}
    }
    let known_pid = known.and_then(|known| known.pid);
    if let Some(pid) = now.pid.filter(|pid| known_pid != Some(*pid)) {
        let again = known.is_some() && (known_pid.is_some() || now.restarts > Some(0));
        let reason = if again { reasons::events::RESTARTED } else { reasons::events::STARTED };
        news.push(tell(reason, "Start", format!("member {id} is process {pid}")));
    }
    news
}

fn tell(reason: &'static str, action: &'static str, note: String) -> News {
    News { reason, action, note, is_warning: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::{Truth, set};

    fn status(leader: Option<i32>, available: Truth, pids: &[(i32, i32)]) -> EnsembleStatus {
        let member = |(id, pid): &(i32, i32)| MemberStatus {
            id: *id,
            pid: Some(*pid),
            restarts: Some(0),
            ..MemberStatus::default()
        };
        let mut status = EnsembleStatus {
            leader,
            epoch: leader.map(|_| 1),
            members: pids.iter().map(member).collect(),
            ..EnsembleStatus::default()
        };
        set(&mut status, 1, reasons::AVAILABLE, available, "R", "why", &crate::kind::now());
        status
    }

    fn check(before: &EnsembleStatus, after: &EnsembleStatus) -> Vec<(&'static str, String)> {
        news(before, after).into_iter().map(|news| (news.reason, news.note)).collect()
    }

    #[test]
    fn each_thing_is_told_once() {
        let empty = EnsembleStatus::default();
        let three = status(Some(3), Truth::True, &[(1, 11), (2, 12), (3, 13)]);
        let started = |id: i32| ("Started", format!("member {id} is process {}", 10 + id));
        assert_eq!(check(&empty, &three), [started(1), started(2), started(3)]);
        assert_eq!(check(&three, &three), []);

        let lost = status(Some(3), Truth::False, &[(1, 11), (2, 12), (3, 13)]);
        assert_eq!(check(&three, &lost), [("QuorumLost", "why".to_owned())]);
        let other = status(Some(2), Truth::True, &[(1, 11), (2, 12), (3, 33)]);
        let told = check(&lost, &other);
        let reasons: Vec<_> = told.iter().map(|(reason, _)| *reason).collect();
        assert_eq!(reasons, ["Restarted", "LeaderChanged", "QuorumRegained"]);

        let leaderless = EnsembleStatus { leader: None, ..lost };
        let regained = check(&leaderless, &three);
        assert_eq!(regained, [("QuorumRegained", "why".to_owned())]);

        let grown = status(Some(2), Truth::True, &[(1, 11), (2, 12), (3, 33), (4, 14)]);
        let reasons: Vec<_> = check(&other, &grown).iter().map(|(reason, _)| *reason).collect();
        assert_eq!(reasons, ["MemberAdded", "Started"]);
        let reasons: Vec<_> = check(&grown, &other).iter().map(|(reason, _)| *reason).collect();
        assert_eq!(reasons, ["MemberRemoved"]);
    }
    #[test]
    fn damage_is_told_when_it_is_found_and_when_it_is_mended() {
        let whole = status(Some(3), Truth::True, &[(1, 11)]);
        let mut damaged = whole.clone();
        damaged.members[0].mending = Some("log.1 at byte 7".to_owned());
        let told = check(&whole, &damaged);
        assert_eq!(told[0].0, "Mending");
        assert!(told[0].1.ends_with("log.1 at byte 7"), "{told:?}");
        assert_eq!(check(&damaged, &damaged), []);
        assert_eq!(check(&damaged, &whole)[0].0, "Mended");
    }
}
