//! The one next step of a take-over, and back.

use std::collections::{BTreeMap, BTreeSet};

use crds::{JoinVoters, reasons};

use super::super::plan::{JoinTarget, Target};
use super::super::steps::{Seen, Step};
use crate::conditions::Health;
use crate::four_letters::{Answer, Report};
use crate::platform::{MemberWish, Membership, PartState};

/// The members in force, as `/zookeeper/config` says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Config {
    pub(crate) version: u64,
    /// What follows `server.N=`, by N.
    pub(crate) servers: BTreeMap<i32, String>,
}

impl Config {
    /// Reads the data of the znode. What is not understood is left out: nothing is decided by it.
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            if key == "version" {
                config.version = u64::from_str_radix(value.trim(), 16).unwrap_or(0);
            } else if let Some(id) = key.strip_prefix("server.").and_then(|id| id.parse().ok()) {
                config.servers.insert(id, value.trim().to_owned());
            }
        }
        config
    }

    /// Those that vote.
    pub(crate) fn voters(&self) -> BTreeSet<i32> {
        let votes = |(_, line): &(&i32, &String)| !is_observer(line);
        self.servers.iter().filter(votes).map(|(id, _)| *id).collect()
    }
}

/// All that matters.
pub(crate) struct Situation<'a> {
    pub(crate) target: &'a Target,
    pub(crate) join: &'a JoinTarget,
    pub(crate) config: &'a Config,
    /// Ours.
    pub(crate) seen: &'a [Seen],
    /// The lines by which ours would vote.
    pub(crate) lines: &'a BTreeMap<i32, String>,
    /// What those that are not ours answer.
    pub(crate) others: &'a BTreeMap<i32, Answer>,
}

/// A change of the members in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// This one gets a vote: its id and its line.
    Add(i32, String),
    /// This one is counted no more.
    Remove(i32),
}

impl Change {
    /// What is done, for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Add(id, _) => format!("giving member {id} a vote"),
            Self::Remove(id) => format!("taking the vote of member {id}"),
        }
    }
}

/// What comes next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    Settled,
    Wait(Health),
    Do(Step),
    Change(Change),
}

/// Decides. Pure and total.
pub(crate) fn next(at: &Situation<'_>) -> Next {
    let stages = [
        Situation::named,
        Situation::rebuild,
        Situation::spare,
        Situation::roll,
        Situation::start,
        Situation::welcome,
        Situation::part,
    ];
    stages.iter().find_map(|stage| stage(at)).unwrap_or(Next::Settled)
}

/// Those that clients are told of.
pub(crate) fn stays(at: &Situation<'_>) -> BTreeSet<i32> {
    let voters = at.config.voters();
    let stays = |id: &i32| match at.join.voters {
        JoinVoters::Both => true,
        JoinVoters::Ours => at.is_ours(*id),
        JoinVoters::Theirs => !at.is_ours(*id),
    };
    let staying: BTreeSet<i32> = voters.iter().copied().filter(stays).collect();
    if staying.is_empty() { voters } else { staying }
}

/// Which of ours leads.
pub(crate) fn leads(at: &Situation<'_>) -> Option<i32> {
    at.seen.iter().find(|member| member.leads()).map(|member| member.wish.id)
}

/// What a person may do when all is as declared; nothing while all are to stay.
pub(crate) fn advice(at: &Situation<'_>) -> Option<String> {
    let is_counted = |id: &&i32| at.config.servers.contains_key(id);
    match at.join.voters {
        JoinVoters::Both => None,
        JoinVoters::Ours => {
            let there = at.join.servers.keys().filter(|id| !is_counted(id) && at.serves(**id));
            let ids: Vec<String> = there.map(ToString::to_string).collect();
            (!ids.is_empty()).then(|| {
                let ids = ids.join(", ");
                format!("servers {ids} have no vote and can be ended, once no client has their addresses")
            })
        }
        JoinVoters::Theirs => Some("none of ours votes: the Ensemble can be deleted".to_owned()),
    }
}

/// Those that are not ours and that somebody may miss: of those that are let go only who is still there.
pub(crate) fn is_missed(at: &Situation<'_>, id: i32) -> bool {
    at.join.voters != JoinVoters::Ours || at.config.servers.contains_key(&id) || at.serves(id)
}

/// The members as the status counts them.
pub(crate) fn status_members(at: &Situation<'_>) -> Membership {
    Membership { version: at.config.version, voters: at.config.voters(), ..Membership::default() }
}

impl Situation<'_> {
    fn is_ours(&self, id: i32) -> bool {
        self.seen.iter().any(|member| member.wish.id == id)
    }

    /// Ours that are to be: those that are, and the lowest ids that nobody has.
    fn ours(&self) -> BTreeSet<i32> {
        let now: BTreeSet<i32> = self.seen.iter().map(|member| member.wish.id).collect();
        let taken = |id: &i32| {
            now.contains(id)
                || self.config.servers.contains_key(id)
                || self.join.servers.contains_key(id)
        };
        let free = (1..=255).filter(|id| !taken(id));
        now.iter().copied().chain(free).take(self.target.voters).collect()
    }

    /// What is declared must be the ensemble that answers: all of its servers, and none of ours.
    fn named(&self) -> Option<Next> {
        let named = &self.join.servers;
        if named.is_empty() {
            return None;
        }
        if let Some(id) = named.keys().find(|id| self.is_ours(**id)) {
            let message = format!(
                "spec.join.servers: server.{id} is member {id} of this Ensemble; remove the line"
            );
            return Some(Next::Wait(Health::stalled(reasons::INVALID_SPEC, message)));
        }
        let is_strange = |member: &&Seen| {
            let known = member.wish.membership.others.iter().flatten();
            let now = |id: &i32| self.config.servers.get(id).map(|line| place(line));
            let mut met = known.filter(|(id, line)| now(id) == Some(place(line)));
            met.next().is_none()
        };
        let is_in = |member: &Seen| self.config.servers.contains_key(&member.wish.id);
        let may_join = self.join.voters != JoinVoters::Theirs && !self.seen.iter().any(is_in);
        if let Some(member) = self.seen.iter().find(is_strange).filter(|_| may_join) {
            let message = format!(
                "spec.join.servers is another ensemble than the one that member {} was started with, whose data it has; \
                 name that one, or delete this Ensemble and declare one with another name",
                member.wish.id
            );
            return Some(Next::Wait(Health::stalled(reasons::INVALID_SPEC, message)));
        }
        for (id, line) in named {
            let known = self.config.servers.get(id);
            if let Some(known) = known.filter(|known| place(known) != place(line)) {
                let message = format!(
                    "spec.join.servers: the ensemble knows server.{id}={line} as server.{id}={known}; write it so, or name \
                     the ensemble that is meant"
                );
                return Some(Next::Wait(Health::stalled(reasons::INVALID_SPEC, message)));
            }
        }
        let is_left_out =
            |(id, _): &(&i32, &String)| !self.is_ours(**id) && !named.contains_key(id);
        let (id, line) = self.config.servers.iter().find(is_left_out)?;
        let message = format!(
            "spec.join.servers lacks a server of the ensemble that answers there: add server.{id}={line}, or correct \
             the others if it is another ensemble"
        );
        Some(Next::Wait(Health::stalled(reasons::INVALID_SPEC, message)))
    }

    /// One without its data has no vote before it is filled again.
    fn rebuild(&self) -> Option<Next> {
        let is_lost = |member: &&Seen| matches!(member.state, PartState::DataLost { .. });
        let lost = self.seen.iter().find(is_lost)?;
        let id = lost.wish.id;
        if self.config.servers.contains_key(&id) {
            return Some(Next::Change(Change::Remove(id)));
        }
        let data = lost.wish.data + 1;
        let wish = MemberWish { data, membership: self.membership(id), ..lost.wish.clone() };
        Some(Next::Do(Step::Rebuild(wish)))
    }

    /// Ours that are too many.
    fn spare(&self) -> Option<Next> {
        let ours = self.ours();
        let member = self.seen.iter().rev().find(|member| !ours.contains(&member.wish.id))?;
        let id = member.wish.id;
        Some(match self.config.servers.contains_key(&id) {
            true => Next::Change(Change::Remove(id)),
            false => Next::Do(Step::Stop(id)),
        })
    }

    /// Ours that are not there yet, one by one, each in step before the next.
    fn start(&self) -> Option<Next> {
        // Where none of ours is to vote nobody waits for one: that it does not serve may be why.
        let is_behind = |member: &&Seen| !member.serves() && self.join.voters != JoinVoters::Theirs;
        if let Some(member) = self.seen.iter().find(is_behind) {
            let message = format!("member {} catches up with the ensemble", member.wish.id);
            return Some(wait(message));
        }
        let id = self.ours().into_iter().find(|id| !self.is_ours(*id))?;
        let settings = self.target.settings.clone();
        let membership = self.membership(id);
        Some(Next::Do(Step::Start(MemberWish { id, membership, settings, data: 0, again: 0 })))
    }

    /// The members in force and one of ours, as it is told at its start.
    fn membership(&self, id: i32) -> Membership {
        let mut voters = self.config.voters();
        voters.insert(id);
        let others = self.config.servers.iter().filter(|(other, _)| **other != id);
        let others = others.map(|(id, line)| (*id, line.clone())).collect();
        let version = self.config.version;
        Membership {
            version,
            voters,
            ports: self.target.ports,
            others: Some(others),
            observed: false,
        }
    }

    /// Votes for those that are to have one and are in step.
    fn welcome(&self) -> Option<Next> {
        let voters = self.config.voters();
        let mut lines: BTreeMap<i32, &String> = BTreeMap::new();
        if self.join.voters != JoinVoters::Theirs {
            lines.extend(self.lines.iter().map(|(id, line)| (*id, line)));
        }
        if self.join.voters != JoinVoters::Ours {
            lines.extend(self.join.servers.iter().map(|(id, line)| (*id, line)));
        }
        let is_counted = |id: &i32, line: &str| match is_observer(line) {
            true => self.config.servers.contains_key(id),
            false => voters.contains(id),
        };
        let (id, line) = lines.into_iter().find(|(id, line)| !is_counted(id, line))?;
        if !self.is_ours(id) && !self.serves(id) {
            let now: Vec<String> = self
                .config
                .servers
                .iter()
                .map(|(id, line)| format!("server.{id}={line}"))
                .collect();
            let message = format!(
                "member {id} does not serve: start it with myid {id} and these lines in its zoo.cfg, in place of its \
                 server lines and of dynamicConfigFile: reconfigEnabled=true, server.{id}={line}, {}; it gets its vote \
                 when it is in step",
                now.join(", ")
            );
            return Some(Next::Wait(Health::stalled(reasons::WAITING_FOR_MEMBERS, message)));
        }
        Some(Next::Change(Change::Add(id, line.clone())))
    }

    /// Those that are to vote no more leave, whoever leads last.
    fn part(&self) -> Option<Next> {
        let leaves = |id: &&i32| match self.join.voters {
            JoinVoters::Both => false,
            JoinVoters::Ours => !self.is_ours(**id),
            JoinVoters::Theirs => self.is_ours(**id),
        };
        let leaving = self.config.servers.keys().filter(leaves);
        let id = *leaving.min_by_key(|id| (self.leads(**id), self.serves(**id)))?;
        let stays = |id: &&i32| !leaves(id);
        if !self.config.voters().iter().any(|id| stays(&id)) {
            let message =
                "nobody would be left to vote: the others leave when those that stay serve";
            return Some(wait(message.to_owned()));
        }
        Some(Next::Change(Change::Remove(id)))
    }

    /// Changed settings for ours, one by one, whoever leads last. Before members change: without them it may be refused.
    fn roll(&self) -> Option<Next> {
        let differs = |member: &&Seen| member.wish.settings != self.target.settings;
        let rank = |member: &&Seen| (member.serves(), member.leads());
        let member = self.seen.iter().filter(differs).min_by_key(rank)?;
        let id = member.wish.id;
        if member.serves() {
            let voters = self.config.voters();
            let mut absent = voters.iter().filter(|other| **other != id && !self.serves(**other));
            // Those that are not ours may stay away, as long as enough are left.
            let away = absent.clone().count();
            let is_enough = voters.len() - 1 - away > voters.len() / 2;
            if let Some(absent) = absent.find(|other| self.is_ours(**other) || !is_enough) {
                let message = format!("member {id} is restarted as soon as member {absent} serves");
                return Some(wait(message));
            }
        }
        let (settings, membership) = (self.target.settings.clone(), self.membership(id));
        let wish = MemberWish { settings, membership, ..member.wish.clone() };
        Some(Next::Do(Step::Restart(wish)))
    }

    fn report(&self, id: i32) -> Option<&Report> {
        let ours = self.seen.iter().find(|member| member.wish.id == id);
        ours.map(|member| &member.answer).or_else(|| self.others.get(&id))?.report()
    }

    fn serves(&self, id: i32) -> bool {
        self.report(id).is_some()
    }

    fn leads(&self, id: i32) -> bool {
        self.report(id).is_some_and(Report::is_leading)
    }
}

fn is_observer(line: &str) -> bool {
    line.contains(":observer")
}

/// Where its peers find it.
fn place(line: &str) -> &str {
    let peers = line.split(';').next().unwrap_or_default();
    peers.trim_end_matches(":participant").trim_end_matches(":observer")
}

fn wait(message: String) -> Next {
    Next::Wait(Health::waiting(reasons::JOINING, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        target: Target,
        join: JoinTarget,
        config: Config,
        seen: Vec<Seen>,
        leader: i32,
        silent: BTreeSet<i32>,
    }

    fn line(id: i32) -> String {
        format!("h:{id}1:{id}2:participant;0.0.0.0:{id}3")
    }

    fn world(voters: usize) -> World {
        let servers: BTreeMap<i32, String> = (1..=3).map(|id| (id, line(id))).collect();
        World {
            target: Target { voters, ..Target::default() },
            join: JoinTarget {
                servers: servers.clone(),
                voters: JoinVoters::Ours,
                ..JoinTarget::default()
            },
            config: Config { version: 1, servers },
            seen: Vec::new(),
            leader: 3,
            silent: BTreeSet::new(),
        }
    }

    impl World {
        fn answer(&self, id: i32) -> Answer {
            if self.silent.contains(&id) {
                return Answer::Silent;
            }
            let mode = if id == self.leader { "leader" } else { "follower" };
            Answer::Serves(Report { mode: mode.into(), ..Report::default() })
        }

        fn is_led_by(&mut self, leader: i32) {
            self.leader = leader;
            self.all_answer();
        }

        fn is_silent(&mut self, ids: &[i32]) {
            self.silent = ids.iter().copied().collect();
            self.all_answer();
        }

        fn all_answer(&mut self) {
            for at in 0..self.seen.len() {
                self.seen[at].answer = self.answer(self.seen[at].wish.id);
            }
        }

        fn look<T>(&self, look: impl Fn(&Situation<'_>) -> T) -> T {
            let lines = self.seen.iter().map(|member| (member.wish.id, line(member.wish.id)));
            let others = (1..=3).map(|id| (id, self.answer(id))).collect();
            look(&Situation {
                target: &self.target,
                join: &self.join,
                config: &self.config,
                seen: &self.seen,
                lines: &lines.collect(),
                others: &others,
            })
        }

        /// Who is restarted, in this order.
        fn roll(&mut self) -> Vec<i32> {
            let mut restarted = Vec::new();
            while let Next::Do(Step::Restart(wish)) = self.look(next) {
                restarted.push(wish.id);
                let member = self.seen.iter_mut().find(|member| member.wish.id == wish.id);
                member.expect("it was there").wish = wish;
            }
            restarted
        }

        /// Why nothing is done.
        fn waits(&self) -> String {
            match self.look(next) {
                Next::Wait(
                    Health::Stalled { message, .. } | Health::Reconciling { message, .. },
                ) => message,
                other => panic!("{other:?}"),
            }
        }

        /// Carries one step out; `None` when there is none.
        fn step(&mut self) -> Option<Change> {
            match self.look(next) {
                Next::Settled => None,
                Next::Do(Step::Start(wish)) => {
                    let answer = self.answer(wish.id);
                    self.seen.push(Seen { wish, state: PartState::Running, answer });
                    self.step()
                }
                Next::Do(Step::Stop(id)) => {
                    self.seen.retain(|member| member.wish.id != id);
                    self.step()
                }
                Next::Change(change) => {
                    match &change {
                        Change::Add(id, line) => {
                            drop(self.config.servers.insert(*id, line.clone()))
                        }
                        Change::Remove(id) => drop(self.config.servers.remove(id)),
                    }
                    Some(change)
                }
                other => panic!("{other:?}"),
            }
        }

        fn settle(&mut self) -> Vec<Change> {
            std::iter::from_fn(|| self.step()).collect()
        }
    }

    fn ids(changes: &[Change]) -> Vec<i32> {
        let id = |change: &Change| match change {
            Change::Add(id, _) => *id,
            Change::Remove(id) => -*id,
        };
        changes.iter().map(id).collect()
    }

    #[test]
    fn ours_come_theirs_leave_with_the_leader_last_and_come_back() {
        let mut world = world(3);
        assert_eq!(ids(&world.settle()), [4, 5, 6, -1, -2, -3]);
        world.is_led_by(5);
        world.join.voters = JoinVoters::Both;
        assert_eq!(ids(&world.settle()), [1, 2, 3]);
        world.join.voters = JoinVoters::Theirs;
        assert_eq!(ids(&world.settle()), [-4, -6, -5]);
    }

    #[test]
    fn fewer_are_removed_before_they_end() {
        let mut world = world(3);
        world.settle();
        world.target.voters = 1;
        assert_eq!(ids(&world.settle()), [-6, -5]);
        assert_eq!(world.seen.len(), 1);
    }

    #[test]
    fn settings_come_before_changes_that_may_need_them() {
        let mut world = world(3);
        world.settle();
        world.is_led_by(5);
        world.join.voters = JoinVoters::Both;
        world.target.settings.client_port = Some(1);
        world.is_silent(&[6]);
        assert_eq!(world.roll(), [6]);
        assert_eq!(world.waits(), "member 4 is restarted as soon as member 6 serves");
        world.is_silent(&[]);
        assert_eq!(world.roll(), [4, 5]);
        assert_eq!(ids(&world.settle()), [1, 2, 3]);
    }

    #[test]
    fn what_answers_must_be_what_is_declared() {
        let mut world = world(3);
        world.join.voters = JoinVoters::Both;
        let left_out = world.join.servers.remove(&2).expect("it is there");
        assert!(world.waits().contains(&format!("add server.2={left_out}")), "{}", world.waits());
        world.join.servers.insert(2, left_out);
        let right = world.join.servers.insert(2, "h:21:2222;23".to_owned()).expect("it is there");
        assert!(world.waits().contains(&format!("as server.2={right}")), "{}", world.waits());
        world.join.servers.insert(2, "h:21:22;23".to_owned());
        assert_eq!(ids(&world.settle()), [4, 5, 6]);
        world.join.servers.insert(4, line(4));
        assert!(world.waits().contains("server.4 is member 4"), "{}", world.waits());
        world.join.servers = BTreeMap::from([(1, "other:1:2;3".to_owned())]);
        world.config = Config { version: 1, servers: world.join.servers.clone() };
        assert!(world.waits().contains("is another ensemble"), "{}", world.waits());
    }

    #[test]
    fn an_observer_of_theirs_stays_one_and_comes_back_as_one() {
        let mut world = world(1);
        let observer = line(3).replace("participant", "observer");
        world.join.servers.insert(3, observer.clone());
        world.config.servers.insert(3, observer);
        world.join.voters = JoinVoters::Both;
        assert_eq!(ids(&world.settle()), [4]);
        world.join.voters = JoinVoters::Ours;
        assert_eq!(ids(&world.settle()), [-1, -2, -3]);
        world.is_led_by(4);
        world.join.voters = JoinVoters::Theirs;
        assert_eq!(ids(&world.settle()), [1, 2, 3, -4]);
        assert_eq!(world.config.voters(), BTreeSet::from([1, 2]));
    }

    #[test]
    fn one_that_does_not_serve_can_leave() {
        let mut world = world(3);
        world.join.voters = JoinVoters::Both;
        world.settle();
        world.is_silent(&[5]);
        assert!(world.waits().contains("member 5 catches up"), "{}", world.waits());
        world.join.voters = JoinVoters::Theirs;
        assert_eq!(ids(&world.settle()), [-5, -4, -6]);
    }

    #[test]
    fn those_that_are_let_go_are_missed_no_more_and_come_back_when_they_are_started() {
        let mut world = world(3);
        world.settle();
        world.is_led_by(4);
        let advice = world.look(advice).expect("they are still there");
        assert!(advice.contains("servers 1, 2, 3 have no vote and can be ended"), "{advice}");
        world.is_silent(&[1, 2, 3]);
        assert_eq!(world.look(super::advice), None);
        assert!(!world.look(|at| is_missed(at, 1)));
        world.join.voters = JoinVoters::Both;
        assert!(world.look(|at| is_missed(at, 1)));
        let told = world.waits();
        assert!(told.contains("start it with myid 1") && told.contains(&line(4)), "{told}");
    }

    #[test]
    fn the_znode_is_read() {
        let config = Config::parse(
            "server.1=a:1:2:participant;0.0.0.0:3\nserver.7=b:1:2:observer\nversion=10000000f",
        );
        assert_eq!(config.version, 0x1_0000_000f);
        assert_eq!(config.voters(), BTreeSet::from([1]));
        assert_eq!(config.servers.len(), 2);
    }
}
