//! What an Ensemble's status says of its members.

use std::collections::BTreeSet;

use crds::{EnsembleStatus, MemberStatus, reasons};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::observe::Heard;
use super::plan::Target;
use super::steps::Next;
use crate::conditions::{Health, Truth, set};
use crate::four_letters::{Answer, Report};
use crate::parts;
use crate::platform::{Membership, Part, PartState};

/// What the status is made of.
pub(crate) struct View<'a> {
    pub(crate) target: &'a Target,
    /// Who votes, as all members are told or are about to be.
    pub(crate) membership: Membership,
    pub(crate) heard: &'a [Heard],
    /// What was just begun, or is waited for.
    pub(crate) next: &'a Next,
    /// Whom clients are told of, where the ensemble itself says who its members are.
    pub(crate) stays: Option<&'a BTreeSet<i32>>,
}

/// The state of a member that lost its data.
pub(crate) const LOST: &str = "lost";

/// Fills the status from the members and what those that serve say; returns the summary.
pub(crate) fn status(
    status: &mut EnsembleStatus,
    view: &View<'_>,
    generation: i64,
    now: &Time,
) -> Health {
    let leading = view.leader();
    let serving: Vec<&Report> = view.serving().map(|(_, report)| report).collect();
    let ready = count(serving.len());
    status.summary = Some(format!("{ready}/{}", view.declared()));
    status.replicas = Some(count(view.voters().count()));
    status.ready_replicas = Some(count(view.voters().filter(|member| serves(member)).count()));
    status.leader = leading.map(|(part, _)| part.number);
    if let Some((_, report)) = leading {
        status.epoch = Some(epoch(report.zxid));
        status.zxid = Some(format!("{:#x}", report.zxid));
        status.znodes = Some(report.znodes);
        status.version.clone_from(&report.version);
    }
    status.clients = Some(serving.iter().map(|report| report.clients).sum());
    status.watches = serving.iter().map(|report| report.watches).sum();
    status.connect_string =
        connect_string(status.connect_string.take(), view, |part| part.endpoint.as_deref());
    status.secure_connect_string =
        connect_string(status.secure_connect_string.take(), view, |part| {
            part.secure_endpoint.as_deref()
        });
    let zxid = leading.map(|(_, report)| report.zxid);
    let before = std::mem::take(&mut status.members);
    let told = |(part, answer): &Heard| {
        let mut told = member(part, answer, zxid);
        told.votes = Some(view.membership.voters.contains(&part.number));
        if matches!(answer, Answer::Silent | Answer::Refused) {
            // Nobody has said that its files are whole.
            let known = before.iter().find(|known| known.id == told.id);
            told.mending = known.and_then(|known| known.mending.clone());
        }
        told
    };
    status.members = view.heard.iter().map(told).collect();

    let quorum = view.quorum();
    let (available, reason, why) = match &quorum {
        Quorum::Led(leader) => {
            (Truth::True, reasons::AS_DECLARED, format!("member {leader} leads"))
        }
        Quorum::Electing => (Truth::False, reasons::ELECTING, ELECTING.to_owned()),
        Quorum::Lost(why) => (Truth::False, reasons::NO_QUORUM, why.clone()),
    };
    set(status, generation, reasons::AVAILABLE, available, reason, &why, now);
    let (progressing, reason, why) = match view.next {
        Next::Do(step) => (Truth::True, reasons::CHANGING_MEMBERS, step.words()),
        Next::Wait(Health::Reconciling { reason, message }) => {
            (Truth::True, *reason, message.clone())
        }
        Next::Wait(Health::Stalled { reason, message }) => (Truth::False, *reason, message.clone()),
        Next::Wait(Health::Ready(message)) => (Truth::False, reasons::AS_DECLARED, message.clone()),
        Next::Settled => (Truth::False, reasons::AS_DECLARED, "members are as declared".to_owned()),
    };
    set(status, generation, reasons::PROGRESSING, progressing, reason, &why, now);
    let (missing, full) = (view.missing(), view.full_disk());
    let is_less = !missing.is_empty() || full.is_some();
    let degraded = is_less && matches!(quorum, Quorum::Led(_));
    let (reason, why) = match full {
        Some(why) => (reasons::DISK_FULL, why),
        None if missing.is_empty() => {
            (reasons::AS_DECLARED, format!("{ready} of {} members serve", view.declared()))
        }
        None => (reasons::MEMBERS_MISSING, missing.join("; ")),
    };
    set(status, generation, reasons::DEGRADED, Truth::from(degraded), reason, &why, now);
    let mending = view.mending();
    let (reason, why) = if mending.is_empty() {
        (reasons::AS_DECLARED, "no member's files are damaged".to_owned())
    } else {
        (reasons::FILES_DAMAGED, mending.join("; "))
    };
    let is_mending = Truth::from(!mending.is_empty());
    set(status, generation, reasons::MENDING, is_mending, reason, &why, now);
    view.health(&quorum, was_available(status))
}

/// One condition of a status.
pub(crate) fn condition<'a>(status: &'a EnsembleStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// The leader's last zxid when a member was already known to have lost its data.
pub(crate) fn since_loss(status: &EnsembleStatus) -> Option<u64> {
    let known = status.members.iter().any(|member| member.state == LOST);
    let zxid = status.zxid.as_deref().filter(|_| known)?;
    u64::from_str_radix(zxid.strip_prefix("0x")?, 16).ok()
}

/// Whether a majority is there.
enum Quorum {
    /// It is, and this member leads it.
    Led(i32),
    /// It is, or is about to be, and has no leader yet.
    Electing,
    /// It is not: why, and what to do.
    Lost(String),
}

impl View<'_> {
    /// How many there are to be.
    fn declared(&self) -> usize {
        match self.stays {
            Some(_) => self.heard.len(),
            None => self.target.members(),
        }
    }

    fn serving(&self) -> impl Iterator<Item = (&Part, &Report)> {
        self.heard.iter().filter_map(|(part, answer)| Some((part, answer.report()?)))
    }

    fn leader(&self) -> Option<(&Part, &Report)> {
        self.serving().find(|(_, report)| report.is_leading())
    }

    fn voters(&self) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(|(part, _)| self.membership.voters.contains(&part.number))
    }

    /// What is with each member that does not serve.
    fn missing(&self) -> Vec<String> {
        let silent = self.heard.iter().filter(|member| !serves(member));
        silent.map(|(part, answer)| words(part, answer)).collect()
    }

    /// Which members mend their files, and what they lack.
    fn mending(&self) -> Vec<String> {
        let all = self
            .heard
            .iter()
            .filter_map(|(part, answer)| Some(mends(part.number, answer.mending()?)));
        all.collect()
    }

    /// Which members have no room for writes, and what to do.
    fn full_disk(&self) -> Option<String> {
        let full = self.serving().filter(|(_, report)| report.disk_full);
        let ids: Vec<String> = full.map(|(part, _)| part.number.to_string()).collect();
        (!ids.is_empty()).then(|| {
            format!(
                "the disk of member {} is full: no writes and no new sessions, reads go on; \
                 make room on it and writes resume by themselves",
                ids.join(", ")
            )
        })
    }

    fn quorum(&self) -> Quorum {
        let needed = self.membership.voters.len() / 2 + 1;
        let serving = self.voters().filter(|member| serves(member)).count();
        if let Some((part, _)) = self.leader().filter(|_| serving >= needed) {
            return Quorum::Led(part.number);
        }
        if self.voters().filter(|member| comes(member)).count() >= needed {
            return Quorum::Electing;
        }
        let mut why = self.missing();
        why.insert(
            0,
            format!(
                "{serving} of {} voters serve and {needed} are needed: clients cannot write",
                self.membership.voters.len()
            ),
        );
        Quorum::Lost(why.join("; "))
    }

    fn health(&self, quorum: &Quorum, was_available: bool) -> Health {
        let silent = self.heard.iter().filter(|member| !serves(member)).map(|(part, _)| part);
        let (ready, all) = (self.serving().count(), self.declared());
        if let Quorum::Lost(why) = quorum
            && was_available
        {
            let is_personal = |part: &Part| {
                matches!(part.state, PartState::Suspended)
                    || matches!(part.state, PartState::PortInUse { declared: true, .. })
            };
            let mut silent = silent;
            // What is lost for good does not come back by itself, either.
            if let Next::Wait(Health::Stalled { message, .. }) = self.next {
                return Health::stalled(reasons::NO_QUORUM, format!("{why}; {message}"));
            }
            return if silent.any(is_personal) {
                Health::stalled(reasons::NO_QUORUM, why.clone())
            } else {
                Health::waiting(reasons::NO_QUORUM, why.clone())
            };
        }
        if let Some(trouble) = parts::trouble("member", "spec.ports.client", silent) {
            return trouble;
        }
        match self.next {
            Next::Wait(health) => return health.clone(),
            Next::Do(step) if !self.heard.is_empty() && ready > 0 => {
                return Health::waiting(reasons::CHANGING_MEMBERS, step.words());
            }
            Next::Do(_) | Next::Settled => {}
        }
        let is_away = |member: &&Heard| {
            member.0.state == PartState::Elsewhere && !serves(member) && !comes(member)
        };
        let away = self.heard.iter().filter(is_away).map(|(part, answer)| words(part, answer));
        let away: Vec<String> = away.collect();
        if !away.is_empty() {
            return Health::stalled(reasons::MEMBERS_MISSING, away.join("; "));
        }
        if ready < all {
            let message = format!("{ready} of {all} members serve; the others are starting");
            return Health::waiting(reasons::STARTING, message);
        }
        if !matches!(quorum, Quorum::Led(_)) {
            return Health::waiting(reasons::ELECTING, ELECTING);
        }
        if let Some(message) = self.full_disk() {
            return Health::stalled(reasons::DISK_FULL, message);
        }
        let voters = self.membership.voters.len();
        let advice = match voters % 2 {
            0 => format!(" ({voters} voters survive no more failures than {})", voters - 1),
            _ => String::new(),
        };
        Health::Ready(format!("{ready} of {all} members serve{advice}"))
    }
}

/// Those that clients are told of: all that are there, but none that is about to leave; while members change,
/// only such as were told before, so that those who use it are told once.
fn connect_string<'a>(
    before: Option<String>,
    view: &View<'a>,
    endpoint: impl Fn(&'a Part) -> Option<&'a str>,
) -> Option<String> {
    let stay = match view.stays {
        Some(stays) => stays.clone(),
        None => view.target.voters(&view.membership.voters),
    };
    let observers = view.target.observers();
    let is_declared = |id: &i32| stay.contains(id) || observers.contains(id);
    let declared = view.heard.iter().filter(|(part, _)| is_declared(&part.number));
    let all: Vec<&str> = declared.filter_map(|(part, _)| endpoint(part)).collect();
    let known: BTreeSet<&str> = before.as_deref().unwrap_or_default().split(',').collect();
    let both: Vec<&str> = all.iter().copied().filter(|one| known.contains(one)).collect();
    let is_changing = view.stays.is_none() && view.membership.voters != stay && !both.is_empty();
    let told = if is_changing { both } else { all };
    if told.is_empty() { None } else { Some(told.join(",")) }
}

fn member(part: &Part, answer: &Answer, leader: Option<u64>) -> MemberStatus {
    let report = answer.report();
    let state = match (&part.state, answer) {
        (PartState::DataLost { .. }, _) => LOST,
        (_, Answer::Serves(report)) => report.mode.as_str(),
        (_, Answer::Looking) => "looking",
        (_, Answer::Mending(_)) => "mending",
        (PartState::Suspended, _) => "suspended",
        (PartState::Running | PartState::Starting, _) if part.pid.is_some() => "starting",
        (PartState::Elsewhere, _) => "unreachable",
        _ => "down",
    };
    MemberStatus {
        id: part.number,
        state: state.to_owned(),
        endpoint: part.endpoint.clone(),
        secure_endpoint: part.secure_endpoint.clone(),
        zxid: report.map(|report| format!("{:#x}", report.zxid)),
        epoch: report.map(|report| epoch(report.zxid)),
        lag: report.and_then(|report| Some(lag(leader?, report.zxid))),
        clients: report.map(|report| report.clients),
        znodes: report.map(|report| report.znodes),
        watches: report.and_then(|report| report.watches),
        pid: part.pid,
        restarts: Some(part.restarts),
        message: match answer.mending() {
            Some(why) => Some(mends(part.number, why)),
            None => report.is_none().then(|| words(part, answer)),
        },
        mending: answer.mending().map(str::to_owned),
        votes: None,
    }
}

/// Transactions that the leader has and this member has not; of an earlier epoch, at least.
fn lag(leader: u64, zxid: u64) -> i64 {
    let counter = |zxid: u64| i64::try_from(zxid & 0xffff_ffff).unwrap_or(i64::MAX);
    if leader >> 32 == zxid >> 32 {
        (counter(leader) - counter(zxid)).max(0)
    } else {
        counter(leader)
    }
}

fn epoch(zxid: u64) -> i64 {
    i64::try_from(zxid >> 32).unwrap_or(i64::MAX)
}

fn serves((_, answer): &Heard) -> bool {
    answer.report().is_some()
}

/// Whether it serves, or will as soon as there is a leader.
fn comes((part, answer): &Heard) -> bool {
    match part.state {
        PartState::Starting | PartState::Ending => true,
        PartState::Running => !matches!(answer, Answer::Silent | Answer::Mending(_)),
        PartState::Elsewhere => matches!(answer, Answer::Looking),
        _ => false,
    }
}

/// What is with a member that does not serve, and the remedy.
fn words(part: &Part, answer: &Answer) -> String {
    let id = part.number;
    match (&part.state, answer) {
        (PartState::Suspended, _) => parts::suspended("member", part),
        (PartState::DataLost { path }, _) => format!("member {id} has lost its data at {path}"),
        (PartState::Failed { why }, _) => format!("member {id} {why}; it will be started again"),
        (PartState::PortInUse { port, holder, .. }, _) => {
            let who = holder.clone().unwrap_or_else(|| "another process".to_owned());
            format!("member {id} needs port {port}, which {who} has: end it")
        }
        (PartState::Running, Answer::Mending(why)) => mends(id, why),
        (PartState::Running, Answer::Looking) => format!("member {id} looks for a leader"),
        (PartState::Running, Answer::Silent) => {
            format!(
                "member {id} runs and does not answer; if that stays, kill it: it is started again"
            )
        }
        (PartState::Running | PartState::Starting, _) => format!("member {id} is starting"),
        (PartState::Elsewhere, Answer::Looking) => format!("member {id} looks for a leader"),
        (PartState::Elsewhere, _) => {
            let at = part.endpoint.as_deref().unwrap_or_default();
            format!("member {id}, which is not ours, does not answer at {at}: start it")
        }
        (PartState::Ending, _) => format!("member {id} is ending"),
    }
}

fn mends(id: i32, why: &str) -> String {
    format!(
        "member {id} mends its files and does not vote: {why}; it takes what it lost from the others, which must \
         run for that"
    )
}

fn was_available(status: &EnsembleStatus) -> bool {
    status.epoch.is_some()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

const ELECTING: &str = "the members are electing a leader";

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
