//! Disks that finish what they were given, and hosts that start from what is on them.

use std::time::Duration;

use types::{Instant, Zxid};
use zab::{Input, SavedEpoch};

use super::{Event, World};
use crate::checkers::Violation;
use crate::clock::Time;
use crate::crashes::Crash;
use crate::defect::Defect;
use crate::disk::{Write, Written};
use crate::tree::Tree;

impl World {
    pub(super) fn begin_write(&mut self, host: usize) {
        if self.hosts[host].disk.begin() {
            let most = if self.rng.u8(..) == 0 { 300 } else { 4 };
            let at = self.soon(0, most) + self.hosts[host].slow_by;
            let run = self.hosts[host].run;
            self.at(at, Event::Disk { host, run });
        }
    }

    pub(super) fn on_disk(&mut self, host: usize) -> Result<(), Violation> {
        let run = self.hosts[host].run;
        let Time { now, .. } = self.time(host);
        for written in self.hosts[host].disk.end(now)? {
            if self.lives(host, run) {
                self.on_written(host, written)?;
            }
        }
        self.begin_write(host);
        if self.lives(host, run) {
            self.maybe_rest(host);
        }
        Ok(())
    }

    fn maybe_rest(&mut self, host: usize) {
        let due = self.time(host).now + SETTLES_AFTER;
        let one = &mut self.hosts[host];
        if one.disk.is_restless()
            && let Some(running) = &mut one.running
            && running.rests_at.replace(due).is_none()
        {
            self.rest_at(host, due);
        }
    }

    fn rest_at(&mut self, host: usize, due: Instant) {
        let run = self.hosts[host].run;
        let at = self.hosts[host].clock.when(due);
        self.at(at, Event::Rest { host, run });
    }

    /// Its log had nothing to do for a while, unless it had: then it rests for as long from then on.
    pub(super) fn on_rest(&mut self, host: usize) {
        let Time { now, .. } = self.time(host);
        let one = &mut self.hosts[host];
        let Some(due) = one.running.as_mut().and_then(|running| running.rests_at.take()) else {
            return;
        };
        if !one.disk.is_restless() {
            return;
        }
        // Something was done meanwhile, or a suspended host's clock shows less than was waited for.
        if now < due {
            if let Some(running) = &mut one.running {
                running.rests_at = Some(due);
            }
            self.rest_at(host, due);
        } else if one.disk.rest(now) {
            self.maybe_rest(host);
        } else {
            self.die(host);
        }
    }

    fn on_written(&mut self, host: usize, written: Written) -> Result<(), Violation> {
        let Time { now, .. } = self.time(host);
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        let input = match written {
            Written::Flushed(zxid) => {
                running.flushed = zxid;
                self.step(host, Input::Flushed(zxid))?;
                return self.maybe_count_again(host);
            }
            Written::Epoch(saved) => Input::EpochSaved(saved),
            Written::EpochRefused(saved) => {
                running.unsaved.push(saved);
                running.full = Some(now + PROBE_EVERY);
                let flushed = running.zab.durable().last_logged;
                self.step(host, Input::EpochRefused)?;
                // What came to the log behind the epoch was dropped.
                let first = Zxid::from_bits(flushed.bits().saturating_add(1));
                Input::AppendRefused { first }
            }
            Written::Refused { first } => {
                running.full = Some(now + PROBE_EVERY);
                Input::AppendRefused { first }
            }
            Written::HasRoom => {
                running.full = None;
                let saved = running.zab.durable();
                for epoch in std::mem::take(&mut running.unsaved) {
                    let newer = match epoch {
                        SavedEpoch::Accepted(epoch) => epoch > saved.accepted,
                        SavedEpoch::Current(epoch) => epoch > saved.current,
                    };
                    if newer {
                        self.hosts[host].disk.write(Write::Epoch(epoch));
                    }
                }
                return Ok(());
            }
            Written::Truncated(zxid) => match self.rebuild(host, zxid)? {
                true => Input::Truncated(zxid),
                false => return Ok(()),
            },
            Written::TruncateRefused(zxid) => {
                self.step(host, Input::TruncateRefused(zxid))?;
                return self.on_history(host, None);
            }
            Written::Installed(zxid) => {
                if let Some(base) = running.received.take() {
                    running.tree = Tree::read(&base)?;
                }
                let at_once = running.planted.has(Defect::FilledCountsAtOnce);
                running.mending.on_installed();
                if at_once {
                    running.mending.on_in_step(Zxid::ZERO);
                }
                self.maybe_count_again(host)?;
                let me = self.hosts[host].me();
                if let Some(running) = &self.hosts[host].running {
                    self.checkers.has(me, &running.tree)?;
                }
                Input::Installed(zxid)
            }
            Written::InstallRefused(zxid) => {
                running.received = None;
                self.step(host, Input::InstallRefused(zxid))?;
                return self.on_history(host, None);
            }
            Written::Failed
                if running.planted.has(Defect::FlushIsBelieved)
                    && running.flushed < running.appended =>
            {
                running.flushed = running.appended;
                let flushed = running.flushed;
                Input::Flushed(flushed)
            }
            Written::Failed => {
                self.die(host);
                return Ok(());
            }
        };
        self.step(host, input)
    }

    /// `false`: the disk failed.
    fn rebuild(&mut self, host: usize, zxid: Zxid) -> Result<bool, Violation> {
        let me = self.hosts[host].me();
        let Some((tree, durable)) = self.hosts[host].disk.rebuild(me)? else {
            self.die(host);
            return Ok(false);
        };
        let last = durable.last_logged;
        if last != zxid {
            return Err(Violation(format!("{me}'s log is to end at {zxid}, and does at {last}")));
        }
        self.checkers.has(me, &tree)?;
        if let Some(running) = &mut self.hosts[host].running {
            running.tree = tree;
        }
        Ok(true)
    }

    /// The process ends, for its disk failed, and is started again.
    pub(super) fn die(&mut self, host: usize) {
        self.stop(host);
        let Time { now, .. } = self.time(host);
        self.hosts[host].disk.crash(Crash::Killed, u8::MAX, now);
        self.at(self.now + STARTS_AGAIN, Event::Start { host });
    }

    /// The process is no more.
    pub(super) fn stop(&mut self, host: usize) {
        self.disconnect(host);
        self.drop_clients(host);
        self.hosts[host].running = None;
        self.hosts[host].run += 1;
        self.meet(host);
    }

    /// All others learn whether it is there.
    pub(super) fn meet(&mut self, host: usize) {
        for other in 0..self.hosts.len() {
            if other != host {
                self.tell_reach(host, other);
            }
        }
    }

    pub(super) fn on_start(&mut self, host: usize) -> Result<(), Violation> {
        if self.hosts[host].running.is_some() {
            return Ok(());
        }
        let time = self.time(host);
        match self.hosts[host].start(time)? {
            None => {
                self.hosts[host].disk.crash(Crash::Killed, u8::MAX, time.now);
                self.at(self.now + STARTS_AGAIN, Event::Start { host });
                Ok(())
            }
            Some(false) => {
                self.damaged += 1;
                let why = std::mem::take(&mut self.hosts[host].damage);
                self.tell(host, &why);
                self.meet(host);
                self.begin_mending(host);
                Ok(())
            }
            Some(true) => {
                let me = self.hosts[host].me();
                if let Some(running) = &self.hosts[host].running {
                    let durable = running.zab.durable();
                    self.checkers.starts(me, durable.current, durable.last_logged)?;
                }
                self.meet(host);
                self.step(host, Input::Tick)
            }
        }
    }

    /// Both sides of an election connection learn, sooner or later or never, whether it stands.
    pub(super) fn tell_reach(&mut self, one: usize, other: usize) {
        let reachable = self.hosts[one].running.is_some()
            && self.hosts[other].running.is_some()
            && self.network.passes(one, other)
            && self.network.passes(other, one);
        for (host, peer) in [(one, other), (other, one)] {
            if reachable || self.rng.u8(..) > 64 {
                let at = self.delay();
                self.at(at, Event::Reach { host, peer, reachable });
            }
        }
    }
}

/// A log that rests so long is known to be whole.
const SETTLES_AFTER: Duration = Duration::from_secs(1);
/// How often a full disk is looked at.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(250);
/// Until whoever looks after a member starts it again.
const STARTS_AGAIN: Duration = Duration::from_secs(1);
