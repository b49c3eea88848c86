//! A host's protocol is stepped, by what happens to it or by its clock.

use types::Zxid;
use zab::{Input, Located, Output};

use super::{Event, World, starting};
use crate::checkers::Violation;
use crate::clock::Time;
use crate::disk::Write;

impl World {
    /// Steps a host's protocol and carries out what follows.
    pub(super) fn step(&mut self, host: usize, input: Input) -> Result<(), Violation> {
        let Time { now, .. } = self.time(host);
        let one = &mut self.hosts[host];
        let Some(running) = &mut one.running else { return Ok(()) };
        if running.mending.stands_still() {
            return Ok(());
        }
        if let Input::Propose(txn) | Input::Reconfigure { txn, .. } = &input {
            self.proposed.insert(txn.zxid, txn.clone());
        }
        let told = self.trace.is_some().then(|| format!("{input:?}"));
        let outputs: Vec<_> = running.zab.step(now, input).collect();
        if let (Some(told), Some(trace)) = (told, &mut self.trace) {
            let me = self.hosts[host].me();
            trace.push(format!("{:>8} {me} <- {told}", self.now.as_millis()));
            trace.extend(outputs.iter().map(|output| format!("         {me} -> {output:?}")));
        }
        let run = self.hosts[host].run;
        let mut refused = None;
        for output in outputs {
            let full = self.hosts[host].running.as_ref().is_some_and(|one| one.full.is_some());
            match output {
                // The log takes nothing until it has said that there is room, and tells only once that there is none.
                Output::Append(txn) if full => {
                    refused.get_or_insert(txn.zxid);
                }
                output => self.carry_out(host, output)?,
            }
            if !self.lives(host, run) {
                return Ok(());
            }
        }
        if let Some(first) = refused {
            self.step(host, Input::AppendRefused { first })?;
        }
        self.begin_write(host);
        self.arm(host);
        Ok(())
    }

    /// The next tick is at hand when something is due.
    pub(super) fn arm(&mut self, host: usize) {
        let run = self.hosts[host].run;
        let Some(running) = &mut self.hosts[host].running else { return };
        if let Some(at) = running.alarm()
            && running.tick_at.is_none_or(|due| at < due)
        {
            running.tick_at = Some(at);
            let rings = self.hosts[host].clock.when(at);
            self.at(rings, Event::Tick { host, run, due: at });
        }
    }

    /// Is there room again?
    pub(super) fn maybe_probe(&mut self, host: usize) {
        let Time { now, .. } = self.time(host);
        if let Some(running) = &mut self.hosts[host].running
            && running.full.is_some_and(|at| at <= now)
        {
            running.full = Some(now + starting::PROBE_EVERY);
            self.hosts[host].disk.write(Write::Probe);
            self.begin_write(host);
        }
    }

    pub(super) fn locate(&self, host: usize, last: Zxid) -> Located {
        let Some(running) = &self.hosts[host].running else { return Located::Gone };
        let applied = running.tree.last();
        let flushed = running.flushed;
        let upto = if flushed == Zxid::ZERO { applied } else { applied.min(flushed) };
        // The usual case when a leader was lost, which is not to wait for a disk.
        if last == applied { Located::Here } else { self.hosts[host].disk.locate(last, upto) }
    }
}
