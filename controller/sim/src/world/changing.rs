//! Changes of the members: an operator asks for them, and the driver's part of them.
//!
//! Lives here: what `ensemble/core/reconfig.rs` does, and what must hold of it: versions are one configuration each, go on with
//! each host, and are committed.

use std::sync::Arc;

use jute::{Entry, Members, Reconfig, ServerRole, Txn as Record};
use types::Zxid;
use zab::{Config, Input, Txn};

use super::{Event, World, peer};
use crate::checkers::Violation;
use crate::roster::{config_of, server};
use crate::tree::{Base, Tree};

impl World {
    /// Somebody wants other members, of whoever leads.
    pub(super) fn on_change(&mut self) -> Result<(), Violation> {
        let Some(every) = self.changes_every else { return Ok(()) };
        let at = self.soon(1, every);
        if at < self.calm_from {
            self.at(at, Event::Change);
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].paused_until <= self.now {
                let request = self.draw_change(host);
                self.reconfigure(host, &request)?;
            }
        }
        Ok(())
    }

    /// Each host votes, observes, or is left out; few are moved.
    fn draw_change(&mut self, host: usize) -> Reconfig {
        let mut wanted = Members::default();
        let now = self.hosts[host].roster.as_ref().map(|roster| Arc::clone(roster.now()));
        let before = now.map(|now| (*now).clone()).unwrap_or_default();
        // One or all at a time.
        let one = self.rng.bool().then(|| self.rng.usize(0..self.hosts.len()));
        for index in 0..self.hosts.len() {
            let id = peer(index);
            let same = before.servers.get(&id).cloned();
            let drawn = self.rng.u8(0..6);
            let member = match drawn {
                _ if one.is_some_and(|one| one != index) => same,
                _ if drawn < self.voting => {
                    Some(server(id, ServerRole::Participant, self.rng.u8(..) < 16))
                }
                0 | 2 | 4 => Some(server(id, ServerRole::Observer, self.rng.u8(..) < 16)),
                _ => None,
            };
            wanted.servers.extend(member.map(|member| (id, member)));
        }
        let config_id = if self.rng.bool() { -1 } else { before.version.bits() };
        if self.rng.bool() {
            let whole = wanted.lines().trim().replace('\n', ",");
            return Reconfig {
                joining: None,
                leaving: None,
                members: Some(whole.into()),
                config_id,
            };
        }
        let changed = wanted.servers.iter().filter(|(id, new)| before.servers.get(id) != Some(new));
        let joining: Vec<_> = changed.map(|(id, new)| format!("server.{id}={new}")).collect();
        let gone = before.servers.keys().filter(|id| !wanted.servers.contains_key(id));
        let leaving: Vec<_> = gone.map(ToString::to_string).collect();
        let (joining, leaving) = (Some(joining.join(",").into()), Some(leaving.join(",").into()));
        Reconfig { joining, leaving, members: None, config_id }
    }

    fn reconfigure(&mut self, host: usize, request: &Reconfig) -> Result<(), Violation> {
        let time = self.time(host);
        let one = &mut self.hosts[host];
        let (Some(running), Some(roster)) = (&mut one.running, &one.roster) else { return Ok(()) };
        let Some((txn, members)) = running.prepare_reconfig(time, request, roster) else {
            return Ok(());
        };
        let Some(members) = members else { return self.step(host, Input::Propose(txn)) };
        let config = Arc::new(config_of(&members));
        self.note_next(host, members);
        self.step(host, Input::Reconfigure { txn, config })
    }

    fn note_next(&mut self, host: usize, members: Members) {
        if let Some(roster) = &mut self.hosts[host].roster {
            roster.set_next(Some(Arc::new(members)));
        }
    }

    /// A leader's transaction came, and may bring other members.
    pub(super) fn foresee_by(&mut self, host: usize, txn: &Txn) -> Result<(), Violation> {
        // The type stands behind session, number, zxid and time.
        let kind = txn.body.get(28..32);
        let Some(roster) = self.hosts[host].roster.as_ref().filter(|_| kind == Some(&RECONFIG))
        else {
            return Ok(());
        };
        let newest = roster.newest().version;
        let entry = Entry::decode(&txn.body).map_err(|why| Violation(why.to_string()))?;
        let Record::Reconfig(set) = &entry.txn else { return Ok(()) };
        let text = set.data.as_deref().and_then(|data| std::str::from_utf8(data).ok());
        match text.map(Members::parse) {
            Some(Ok(members)) if members.version > newest => {
                let config = Arc::new(config_of(&members));
                self.note_next(host, members);
                self.step(host, Input::Foreseen(config))
            }
            Some(Ok(_)) => Ok(()),
            _ => Err(Violation(format!("{} brings members that are none", txn.zxid))),
        }
    }

    /// A state comes that is to take the place of the history, or the history stays what it is.
    pub(super) fn on_history(&mut self, host: usize, base: Option<&Base>) -> Result<(), Violation> {
        let one = &mut self.hosts[host];
        let (Some(running), Some(roster)) = (&one.running, &mut one.roster) else { return Ok(()) };
        match base {
            Some(base) => roster.settle(&Tree::read(base)?),
            None => roster.settle(&running.tree),
        }
        let last = Arc::new(config_of(roster.newest()));
        self.step(host, Input::LogHas(last))
    }

    /// NEWLEADER comes, with the last members that the leader knows of.
    pub(super) fn on_leaders_members(
        &mut self,
        host: usize,
        members: &Arc<Members>,
    ) -> Result<(), Violation> {
        let Some(roster) = &mut self.hosts[host].roster else { return Ok(()) };
        let later = members.version > roster.now().version;
        if !later {
            roster.set_next(None);
        } else if members.version != roster.newest().version {
            roster.set_next(Some(Arc::clone(members)));
        }
        self.step(host, Input::LeaderHas(Arc::new(config_of(members))))
    }

    /// A peer's vote says which members are in force with it.
    pub(super) fn on_told(&mut self, host: usize, members: &Arc<Members>) -> Result<(), Violation> {
        let Some(roster) = &mut self.hosts[host].roster else { return Ok(()) };
        if members.version <= roster.now().version {
            return Ok(());
        }
        roster.told = Some(Arc::clone(members));
        self.step(host, Input::Committed(Arc::new(config_of(members))))?;
        if let Some(roster) = &mut self.hosts[host].roster {
            roster.told = None;
        }
        Ok(())
    }

    /// The first members have a version now.
    pub(super) fn on_foreseen(&mut self, host: usize, config: &Config) {
        let Some(roster) = &self.hosts[host].roster else { return };
        let members = Members { version: config.version, ..(**roster.now()).clone() };
        self.note_next(host, members);
    }

    /// Other members are in force from now on.
    pub(super) fn on_activate(&mut self, host: usize, config: &Config) -> Result<(), Violation> {
        let me = self.hosts[host].me();
        let version = config.version;
        let Some(roster) = &mut self.hosts[host].roster else {
            return Err(Violation(format!("{me} changes members, which is off")));
        };
        let before = roster.now().version;
        let Some(members) = roster.activate(version) else {
            return Err(Violation(format!("{me} puts members of {version} in force unseen")));
        };
        if version <= before || config_of(members) != *config {
            return Err(Violation(format!("{me} goes from members of {before} to {members}")));
        }
        let known = self.in_force.entry(version).or_insert_with(|| Arc::clone(members));
        if known != members {
            return Err(Violation(format!("{version} is {members} with {me}, and was {known}")));
        }
        Ok(())
    }

    /// All faults are over for long: all know the same members, and no others ever were.
    pub(super) fn check_members(&self) -> Result<(), Violation> {
        let committed =
            |version: &&Zxid| version.counter() > 0 && !self.checkers.is_committed(**version);
        if let Some(version) = self.in_force.keys().find(committed) {
            return Err(Violation(format!("members of {version} came into force, uncommitted")));
        }
        let last = self.in_force.keys().next_back();
        for host in &self.hosts {
            let now = host.roster.as_ref().map(|roster| roster.now().version);
            if now.is_some() && now.as_ref() != last {
                return Err(Violation(format!(
                    "{} has members of {now:?} in force long after those of {last:?}",
                    host.me()
                )));
            }
        }
        Ok(())
    }
}

/// The type of the transaction, as it stands there.
const RECONFIG: [u8; 4] = 16_i32.to_be_bytes();
