//! A member that found its files damaged: it votes for nobody until they are whole, or a leader's.
//!
//! Lives here: what `ensemble` does around `storage::mend` and `zab::Mending`, step by step as there.

use std::path::PathBuf;

use storage::{Answer, Others, Question, Told, answer};
use zab::{Durable, Input, Mending};

use super::{Event, World};
use crate::checkers::Violation;
use crate::clock::Time;

/// The other voters: where the files are of those that are reached, and whether they rest.
struct Reached(Vec<Option<(PathBuf, bool)>>);

impl Others for Reached {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn ask(&mut self, other: usize, question: &Question) -> Option<Told> {
        let (files, at_rest) = self.0.get(other)?.as_ref()?;
        let answer: Answer = answer(files, files, question);
        Some(Told { answer, at_rest: *at_rest })
    }
}

impl World {
    /// The others will be asked.
    pub(super) fn begin_mending(&mut self, host: usize) {
        let durable = Durable::default();
        let zab = self.hosts[host].protocol(durable);
        let run = self.hosts[host].run;
        if let Some(running) = &mut self.hosts[host].running {
            running.zab = zab;
            running.mending = Mending::Asks;
            let at = self.soon(1, 300);
            self.at(at, Event::Mend { host, run });
        }
    }

    /// The others have answered.
    pub(super) fn on_mend(&mut self, host: usize) -> Result<(), Violation> {
        let asked = |other: usize| {
            let running = self.hosts[other].running.as_ref()?;
            let reached = self.network.passes(host, other)
                && self.network.passes(other, host)
                && self.hosts[other].paused_until <= self.now;
            let at_rest = running.mending.is_at_rest(&running.zab);
            reached.then(|| (self.hosts[other].disk.files(), at_rest))
        };
        let others = (0..self.voters).filter(|other| *other != host).map(asked);
        let mut others = Reached(others.collect());
        let (me, now) = (self.hosts[host].me(), self.time(host).now);
        match self.hosts[host].disk.mend(me, &mut others, now)? {
            Ok((tree, durable, marked)) => {
                self.checkers.starts(me, durable.current, durable.last_logged)?;
                self.mended += 1;
                let mut zab = self.hosts[host].protocol(durable);
                let mending = Mending::of_whole(marked, &mut zab);
                let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
                running.zab = zab;
                running.tree = tree;
                running.mending = mending;
                self.meet(host);
                self.step(host, Input::Tick)
            }
            Err(why) => {
                self.tell(host, &why);
                self.wait_for_leader(host)
            }
        }
    }

    fn wait_for_leader(&mut self, host: usize) -> Result<(), Violation> {
        let (Time { now, .. }, accepted) = (self.time(host), self.hosts[host].disk.promised());
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        let Some(durable) = running.mending.on_stuck(accepted, now) else {
            self.arm(host);
            return Ok(());
        };
        let mut zab = self.hosts[host].protocol(durable);
        zab.abstain();
        if let Some(running) = &mut self.hosts[host].running {
            running.zab = zab;
        }
        self.meet(host);
        self.step(host, Input::Tick)
    }

    /// Time has passed.
    pub(super) fn maybe_mend_again(&mut self, host: usize) {
        let Time { now, .. } = self.time(host);
        if let Some(running) = &mut self.hosts[host].running
            && running.mending.is_to_ask(&running.zab, now)
        {
            self.begin_mending(host);
        }
    }

    /// In step with a leader: all that it had proposed was given to the log.
    pub(super) fn note_in_step(&mut self, host: usize) -> Result<(), Violation> {
        if let Some(running) = &mut self.hosts[host].running {
            running.mending.on_in_step(running.appended);
        }
        self.maybe_count_again(host)
    }

    pub(super) fn maybe_count_again(&mut self, host: usize) -> Result<(), Violation> {
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        if !running.mending.counts(running.flushed) {
            return Ok(());
        }
        running.mending = Mending::Whole;
        if !self.hosts[host].disk.unmark() {
            self.die(host);
            return Ok(());
        }
        self.mended += 1;
        self.step(host, Input::Counts)
    }
}
