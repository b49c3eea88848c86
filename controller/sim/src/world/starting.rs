//! Disks that finish what they were given, and hosts that start from what is on them.

use zab::Input;

use super::{Event, RESEND, World};
use crate::checkers::Violation;
use crate::disk::Written;

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
        let me = self.hosts[host].me();
        let input = match self.hosts[host].disk.end()? {
            Some(Written::Flushed(zxid)) => Input::Flushed(zxid),
            Some(Written::Epoch(saved)) => Input::EpochSaved(saved),
            Some(Written::Refused { first }) => Input::AppendRefused { first },
            Some(Written::Truncated(zxid)) => {
                self.rebuild(host)?;
                Input::Truncated(zxid)
            }
            Some(Written::Installed(zxid)) => {
                self.rebuild(host)?;
                Input::Installed(zxid)
            }
            // Without room: looked at again.
            None => {
                let (at, run) = (self.now + RESEND, self.hosts[host].run);
                if !self.hosts[host].disk.begin() {
                    return Err(Violation(format!("{me}'s disk stands still")));
                }
                self.at(at, Event::Disk { host, run });
                return Ok(());
            }
        };
        self.step(host, input)
    }

    fn rebuild(&mut self, host: usize) -> Result<(), Violation> {
        let me = self.hosts[host].me();
        let tree = self.hosts[host].disk.tree(me)?;
        self.checkers.has(me, &tree)?;
        if let Some(running) = &mut self.hosts[host].running {
            running.tree = tree;
        }
        Ok(())
    }

    pub(super) fn on_start(&mut self, host: usize) -> Result<(), Violation> {
        if self.hosts[host].running.is_some() {
            return Ok(());
        }
        self.hosts[host].start(self.now)?;
        let durable = self.hosts[host].disk.durable();
        let me = self.hosts[host].me();
        self.checkers.starts(me, durable.current, durable.last_logged)?;
        for other in 0..self.hosts.len() {
            if other != host {
                self.tell_reach(host, other);
            }
        }
        self.step(host, Input::Tick)
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
