//! The one next step from the members that are toward the members that are to be.
//!
//! Lives here: the order. Must not: processes, sockets. Start at [`next`].
//!
//! Membership is changed by starting members again with another list of voters, one by one. Why that is safe:
//! two lists that follow each other differ by one voter, so every majority of one shares a voter with every
//! majority of the other; and no list is changed before every member has the one before. (The argument is
//! Raft's for changes by one server: Ongaro's thesis, section 4.1.) A member that joins starts empty and
//! follows without a vote until it has everything; a member that leaves is ended only when nobody counts it.

use std::collections::BTreeSet;

use crds::reasons;

use super::plan::Target;
use super::rungs;
use crate::conditions::Health;
use crate::four_letters::Answer;
use crate::platform::{MemberWish, Membership, PartState, Settings};

/// One member as it is.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What it was told last.
    pub(crate) wish: MemberWish,
    pub(crate) state: PartState,
    pub(crate) answer: Answer,
}

/// What comes next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// All is as wished.
    Settled,
    /// Something must happen by itself, or by a person, first.
    Wait(Health),
    /// This, and then look again.
    Do(Step),
}

/// A change of the members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Starts the first members, all at once: there is nothing yet that they could disagree on.
    Found(Vec<MemberWish>),
    /// Starts a member that was not there.
    Start(MemberWish),
    /// Ends a member in order and starts it again with another wish; a leader hands over as it ends.
    Restart(MemberWish),
    /// Restarts the leader as it is, so that another leads.
    HandOver(MemberWish),
    /// Starts a member with nothing, to be filled from the others.
    Rebuild(MemberWish),
    /// Ends a member that nobody counts any more. Its data stays.
    Stop(i32),
}

impl Step {
    /// The wishes once it is carried out.
    pub(crate) fn applied(&self, wishes: impl IntoIterator<Item = MemberWish>) -> Vec<MemberWish> {
        let mut after: Vec<MemberWish> = wishes.into_iter().collect();
        match self {
            Self::Found(founders) => after.clone_from(founders),
            Self::Stop(id) => after.retain(|wish| wish.id != *id),
            Self::Start(wish)
            | Self::Restart(wish)
            | Self::HandOver(wish)
            | Self::Rebuild(wish) => {
                after.retain(|known| known.id != wish.id);
                after.push(wish.clone());
                after.sort_by_key(|wish| wish.id);
            }
        }
        after
    }

    /// What is done, for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Found(founders) => format!("starting {} members", founders.len()),
            Self::Start(wish) => format!("adding member {}", wish.id),
            Self::Restart(wish) => format!("restarting member {}", wish.id),
            Self::HandOver(wish) => format!("having member {} hand over the lead", wish.id),
            Self::Rebuild(wish) => format!("filling member {} again from the others", wish.id),
            Self::Stop(id) => format!("ending member {id}, which is no longer counted"),
        }
    }
}

impl Seen {
    pub(crate) fn serves(&self) -> bool {
        matches!(self.answer, Answer::Serves(_))
    }

    pub(crate) fn leads(&self) -> bool {
        self.answer.report().is_some_and(|report| report.is_leading())
    }

    /// Whether it was told to observe: then it does not count itself.
    pub(crate) fn observes(&self) -> bool {
        !self.wish.membership.voters.contains(&self.wish.id)
    }

    /// It runs, whatever it says: what it waits for is the others.
    fn runs(&self) -> bool {
        matches!(self.state, PartState::Running)
    }
}

/// The newest membership: what all members have or are being brought to.
pub(crate) fn newest<'a>(wishes: impl IntoIterator<Item = &'a MemberWish>) -> Membership {
    let memberships = wishes.into_iter().map(|wish| &wish.membership);
    memberships.max_by_key(|membership| membership.version).cloned().unwrap_or_default()
}

/// Decides. Pure and total.
///
/// `since_loss`: the leader's last zxid at a look after which a member was known to have lost its data.
pub(crate) fn next(target: &Target, seen: &[Seen], since_loss: Option<u64>) -> Next {
    if let Some(fault) = &target.fault {
        return Next::Wait(fault.clone());
    }
    if seen.is_empty() {
        return Next::Do(Step::Found(founders(target)));
    }
    let newest = newest(seen.iter().map(|member| &member.wish));
    let (settings, fault) = rungs::next(&target.settings, seen.iter().map(|member| &member.wish));
    let look = Look { target, settings, fault, seen, newest, since_loss };
    let stages = [
        Look::rebuild,
        Look::moved,
        Look::spread,
        Look::retire,
        Look::resize,
        Look::observers,
        Look::roll,
    ];
    let next = stages.iter().find_map(|stage| stage(&look));
    next.unwrap_or_else(|| look.fault.map_or(Next::Settled, Next::Wait))
}

fn founders(target: &Target) -> Vec<MemberWish> {
    let voters = target.voters(&BTreeSet::new());
    let membership = Membership {
        version: 1,
        voters: voters.clone(),
        observed: target.observers > 0,
        others: None,
        ports: target.ports,
    };
    let ids = voters.into_iter().chain(target.observers());
    ids.map(|id| MemberWish {
        id,
        membership: membership.clone(),
        settings: target.settings.clone(),
        data: 0,
        again: 0,
    })
    .collect()
}

struct Look<'a> {
    target: &'a Target,
    /// What members are started with now, on the way to what is declared.
    settings: Box<Settings>,
    /// Why that is not what is declared, if a person must do something about it.
    fault: Option<Health>,
    seen: &'a [Seen],
    newest: Membership,
    since_loss: Option<u64>,
}

impl<'a> Look<'a> {
    /// A member without the data it had starts empty only while everything it may have promised is kept by
    /// others: with it, any majority must still hold one that has every acknowledged write.
    fn rebuild(&self) -> Option<Next> {
        let lost = |member: &&Seen| matches!(member.state, PartState::DataLost { .. });
        if let Some(lost) = self.seen.iter().find(lost) {
            let wish = MemberWish { data: lost.wish.data + 1, ..lost.wish.clone() };
            let PartState::DataLost { path } = &lost.state else { return None };
            return Some(self.rebuilt(
                wish,
                lost.observes(),
                &format!("its data at {path} is gone"),
            ));
        }
        let missing = self.newest.voters.iter().find(|id| self.member(**id).is_none())?;
        let wish = MemberWish {
            data: self.newest.version + 1,
            ..self.wish(*missing, self.newest.clone())
        };
        Some(self.rebuilt(wish, false, "its folder is gone"))
    }

    fn rebuilt(&self, wish: MemberWish, observes: bool, why: &str) -> Next {
        let id = wish.id;
        if observes {
            return Next::Do(Step::Rebuild(wish));
        }
        let own = &wish.membership.voters;
        if own.len() == 1 {
            return Next::Wait(Health::stalled(
                reasons::DATA_LOST,
                format!(
                    "member {id}: {why}, and no other member is sure to have a copy; put it back (a backup, or the \
                     data of a removed member), or delete the Ensemble and create it again to begin with nothing"
                ),
            ));
        }
        // By either list: all that it may have acknowledged something together with.
        let all = own.union(&self.newest.voters).copied().filter(|other| *other != id);
        let (gone, others): (BTreeSet<i32>, BTreeSet<i32>) =
            all.partition(|other| self.is_without_data(*other));
        // Where others are without theirs, too, those that are left have everything only if nobody serves without them all.
        let is_majority =
            |list: &BTreeSet<i32>| list.intersection(&others).count() > list.len() / 2;
        let is_enough = gone.is_empty() || is_majority(own) && is_majority(&self.newest.voters);
        if !is_enough {
            return Next::Wait(Health::stalled(
                reasons::DATA_LOST,
                too_few(id, why, &gone, &others),
            ));
        }
        let has_all = |other: &i32| {
            let Some(member) = self.member(*other) else { return false };
            match (&member.answer, self.since_loss) {
                // Of two, both have every acknowledged write, and the one that is left has the higher zxid.
                _ if others.len() == 1 && gone.is_empty() => member.runs(),
                // One that serves has all of earlier epochs.
                (Answer::Serves(report), Some(zxid)) => report.zxid >= zxid || zxid & COUNTER == 0,
                _ => false,
            }
        };
        if others.iter().all(has_all) {
            return Next::Do(Step::Rebuild(wish));
        }
        let message = format!(
            "member {id}: {why}; it is filled again from the others as soon as all of them serve and are in step"
        );
        Next::Wait(Health::waiting(reasons::DATA_LOST, message))
    }

    /// Whether a voter has lost what it had.
    fn is_without_data(&self, id: i32) -> bool {
        match self.member(id) {
            Some(member) => matches!(member.state, PartState::DataLost { .. }),
            None => self.newest.voters.contains(&id),
        }
    }

    /// Ports between members stay, but for one that is alone.
    fn moved(&self) -> Option<Next> {
        if self.newest.ports == self.target.ports || self.seen.len() == 1 {
            return None;
        }
        let word =
            |port: Option<u16>| port.map_or_else(|| "unset".to_owned(), |port| port.to_string());
        let known = self.newest.ports;
        Some(Next::Wait(Health::stalled(
            reasons::INVALID_SPEC,
            format!(
                "spec.ports.quorum and spec.ports.election cannot change while members are more than one, for they \
                 would lose each other: set them to {} and {} again, or scale to 1 first",
                word(known.quorum),
                word(known.election)
            ),
        )))
    }

    /// Brings the newest membership to everybody who is counted in it, or observes.
    fn spread(&self) -> Option<Next> {
        let is_behind = |member: &&Seen| {
            member.wish.membership.version < self.newest.version
                && (self.newest.voters.contains(&member.wish.id) || member.observes())
        };
        let behind: Vec<&Seen> = self.seen.iter().filter(is_behind).collect();
        let old = &behind.first()?.wish.membership;
        // The one that joins must have everything before it is counted.
        for member in self.voters().filter(|member| !old.voters.contains(&member.wish.id)) {
            // A lone voter has no port for followers: then it can only be joined by counting.
            let ready = if old.voters.len() > 1 {
                member.serves()
            } else {
                !matches!(member.answer, Answer::Silent)
            };
            if !ready && !self.is_kept_out(member.wish.id) {
                let message = format!("member {} joins: it is catching up", member.wish.id);
                return Some(Next::Wait(self.waiting(message)));
            }
        }
        if let Some(next) = self.unseat() {
            return Some(next);
        }
        let is_passed_over = |id: i32| !old.voters.contains(&id) || self.is_kept_out(id);
        Some(self.restart_one(&behind, &self.newest, is_passed_over))
    }

    /// Whether it counts others than the leader does and so cannot come to it: who returns to a leader takes the
    /// word of a majority of those it counts, itself left out. It serves when the leader counts as it does.
    fn is_kept_out(&self, id: i32) -> bool {
        let told = |member: &Seen| member.wish.membership.version == self.newest.version;
        let serving = self.voters().filter(|other| other.wish.id != id && other.serves()).count();
        serving <= self.newest.voters.len() / 2
            && self.member(id).is_some_and(|member| told(member) && member.runs())
    }

    /// While one leads that is not counted any more, those who know that follow nobody: so it hands over.
    fn unseat(&self) -> Option<Next> {
        let leaves =
            |member: &&Seen| member.leads() && !self.newest.voters.contains(&member.wish.id);
        let leader = self.seen.iter().find(leaves)?;
        // One that is to be alone is told so, and leads.
        if self.newest.voters.len() == 1 {
            return None;
        }
        let id = leader.wish.id;
        if let Some(absent) = self.voters().find(|member| !member.runs()) {
            let absent = absent.wish.id;
            let message =
                format!("member {id} hands over the lead as soon as member {absent} runs");
            return Some(Next::Wait(self.waiting(message)));
        }
        let wish = MemberWish { again: leader.wish.again + 1, ..leader.wish.clone() };
        Some(Next::Do(Step::HandOver(wish)))
    }

    /// Ends those that nobody counts any more.
    fn retire(&self) -> Option<Next> {
        let leaves =
            |member: &&Seen| !self.newest.voters.contains(&member.wish.id) && !member.observes();
        let member = self.seen.iter().find(leaves)?;
        if !self.voters().any(Seen::leads) {
            let message =
                format!("member {} leaves as soon as one of the others leads", member.wish.id);
            return Some(Next::Wait(self.waiting(message)));
        }
        Some(Next::Do(Step::Stop(member.wish.id)))
    }

    /// One voter more or less.
    fn resize(&self) -> Option<Next> {
        let voters = self.target.voters(&self.newest.voters);
        let version = self.newest.version + 1;
        if let Some(id) = voters.difference(&self.newest.voters).next() {
            if let Some(wait) = self.all_serve(|_| true, &format!("member {id} is added")) {
                return Some(wait);
            }
            let ports = self.target.ports;
            let mut membership = Membership { version, ports, ..self.newest.clone() };
            membership.voters.insert(*id);
            let wish = MemberWish { data: version, ..self.wish(*id, membership) };
            return Some(Next::Do(Step::Start(wish)));
        }
        let id = *self.newest.voters.difference(&voters).max()?;
        if let Some(wait) = self.all_serve(|other| other != id, &format!("member {id} is removed"))
        {
            return Some(wait);
        }
        let leaving = self.member(id)?;
        // Of two the one that hands over would lead again: the other cannot without it.
        let hands_over = self.newest.voters.len() > 2 && leaving.wish.again < version;
        if leaving.leads() && hands_over {
            let wish = MemberWish { again: version, ..leaving.wish.clone() };
            return Some(Next::Do(Step::HandOver(wish)));
        }
        let observed = self.target.observers > 0 || self.seen.iter().any(Seen::observes);
        let mut membership = Membership { version, observed, ..self.newest.clone() };
        membership.voters.remove(&id);
        let stays = |member: &&Seen| membership.voters.contains(&member.wish.id);
        let all: Vec<&Seen> = self.seen.iter().filter(stays).collect();
        Some(self.restart_one(&all, &membership, |_| false))
    }

    /// Observers, which nobody counts.
    fn observers(&self) -> Option<Next> {
        let wanted = self.target.observers();
        let observers = self.seen.iter().filter(|member| member.observes());
        let now: BTreeSet<i32> = observers.map(|member| member.wish.id).collect();
        if let Some(id) = now.difference(&wanted).max() {
            return Some(Next::Do(Step::Stop(*id)));
        }
        let id = *wanted.difference(&now).next()?;
        if !self.newest.observed && self.newest.voters.len() == 1 {
            // Alone it listens for nobody.
            let version = self.newest.version + 1;
            let membership = Membership { version, observed: true, ..self.newest.clone() };
            let all: Vec<&Seen> = self.voters().collect();
            return Some(self.restart_one(&all, &membership, |_| false));
        }
        if !self.voters().any(Seen::leads) {
            let message = format!("observer {id} is added as soon as a member leads");
            return Some(Next::Wait(self.waiting(message)));
        }
        let data = self.newest.version + 1;
        let wish = MemberWish { data, ..self.wish(id, self.newest.clone()) };
        Some(Next::Do(Step::Start(wish)))
    }

    /// Brings changed settings to everybody.
    fn roll(&self) -> Option<Next> {
        let differs = |member: &&Seen| member.wish.settings != self.settings;
        let all: Vec<&Seen> = self.seen.iter().filter(differs).collect();
        (!all.is_empty()).then(|| self.restart_one(&all, &self.newest, |_| false))
    }

    /// Restarts one of these with a membership and the settings of now: those that do not run, then those that
    /// do not serve, observers, followers, and the leader last.
    ///
    /// `is_passed_over`: who is not waited for, because the others do not count it yet or keep it from serving.
    fn restart_one(
        &self,
        candidates: &[&Seen],
        membership: &Membership,
        is_passed_over: impl Fn(i32) -> bool,
    ) -> Next {
        let rank = |member: &Seen| match (&member.state, member.serves()) {
            (PartState::Failed { .. } | PartState::PortInUse { .. }, _) => 0,
            (_, false) => 1,
            (_, true) if member.observes() => 2,
            (_, true) if !member.leads() => 3,
            (_, true) => 4,
        };
        let first = candidates.iter().min_by_key(|member| (rank(member), member.wish.id));
        let Some(first) = first else { return Next::Settled };
        let id = first.wish.id;
        let restart = Next::Do(Step::Restart(MemberWish {
            membership: membership.clone(),
            settings: self.settings.clone(),
            ..first.wish.clone()
        }));
        match rank(first) {
            // It does nothing that could be lost.
            0 => restart,
            // It may be only the others that keep it from serving; but never two on their way at once.
            1 => {
                let busy = self.voters().find(|member| {
                    matches!(member.state, PartState::Starting | PartState::Ending)
                        || (member.wish.id == id && !member.runs())
                });
                busy.map_or(restart, |member| {
                    let message = format!(
                        "member {id} is restarted as soon as member {} runs",
                        member.wish.id
                    );
                    Next::Wait(self.waiting(message))
                })
            }
            _ => {
                let counted = |other: i32| {
                    other != id && membership.voters.contains(&other) && !is_passed_over(other)
                };
                let what = format!("member {id} is restarted");
                self.all_serve(counted, &what).unwrap_or(restart)
            }
        }
    }

    /// Waits while one of these voters does not serve: what comes next could cost the quorum.
    fn all_serve(&self, who: impl Fn(i32) -> bool, what: &str) -> Option<Next> {
        let mut silent = self.voters().filter(|member| who(member.wish.id) && !member.serves());
        let member = silent.next()?;
        let message = format!("{what} as soon as member {} serves", member.wish.id);
        Some(Next::Wait(self.waiting(message)))
    }

    fn waiting(&self, message: String) -> Health {
        Health::waiting(reasons::WAITING_FOR_MEMBERS, message)
    }

    fn wish(&self, id: i32, membership: Membership) -> MemberWish {
        MemberWish { id, membership, settings: self.settings.clone(), data: 0, again: 0 }
    }

    fn member(&self, id: i32) -> Option<&'a Seen> {
        self.seen.iter().find(|member| member.wish.id == id)
    }

    /// The members that vote by the newest membership.
    fn voters(&self) -> impl Iterator<Item = &'a Seen> {
        let voters = &self.newest.voters;
        self.seen.iter().filter(move |member| voters.contains(&member.wish.id))
    }
}

/// What a person must decide: too few voters still have theirs.
fn too_few(id: i32, why: &str, gone: &BTreeSet<i32>, left: &BTreeSet<i32>) -> String {
    let members = |ids: &BTreeSet<i32>| {
        let ids: Vec<_> = ids.iter().map(|id| format!("member {id}")).collect();
        ids.join(" and ")
    };
    let (gone, left) = (members(gone), members(left));
    if left.is_empty() {
        return format!(
            "member {id}: {why}, and that of {gone} is, too; put one back (a backup, or the data of a removed member), or \
             delete the Ensemble and create it again to begin with nothing"
        );
    }
    format!(
        "member {id}: {why}, and that of {gone} is, too, and nobody knows whether the rest ({left}) has all that was \
         acknowledged; put it back (a backup), or copy version-2 of the rest there to go on with what that has"
    )
}

/// The part of a zxid that counts within an epoch.
const COUNTER: u64 = 0xffff_ffff;

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
