//! A member that found its files damaged: it votes for nobody until they are whole, or a leader's.
//!
//! Lives here: what `ensemble` does around `storage::mend`, step by step as there.

use std::path::PathBuf;
use std::time::Duration;

use storage::{Answer, Others, Question, Told, answer};
use types::{Epoch, Zxid};
use zab::{Durable, Input};

use super::{Event, World};
use crate::checkers::Violation;
use crate::clock::Time;
use crate::host::Mending;

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
            running.mending = Some(Mending::Files);
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
            let at_rest = running.stands_still() || running.zab.is_electing();
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
                if marked {
                    zab.abstain();
                }
                let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
                running.zab = zab;
                running.tree = tree;
                running.mending = marked.then_some(Mending::Filled { upto: None });
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
        let again = self.time(host).now + AGAIN;
        let accepted = self.hosts[host].disk.accepted();
        // A place that no log has: whoever leads sends its whole state.
        let durable = accepted.map(|accepted| Durable {
            accepted,
            current: Epoch(0),
            last_logged: Zxid::new(Epoch(0), 1),
        });
        let zab = durable.map(|durable| {
            let mut zab = self.hosts[host].protocol(durable);
            zab.abstain();
            zab
        });
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        if let Some(zab) = zab {
            running.zab = zab;
            running.mending = Some(Mending::Damaged { again });
            self.meet(host);
            self.step(host, Input::Tick)
        } else {
            running.mending = Some(Mending::Waits { again });
            self.arm(host);
            Ok(())
        }
    }

    /// Time has passed.
    pub(super) fn maybe_mend_again(&mut self, host: usize) {
        let Time { now, .. } = self.time(host);
        let Some(running) = &mut self.hosts[host].running else { return };
        if running.mend_again_at().is_none_or(|again| now < again) {
            return;
        }
        if running.stands_still() || running.zab.is_electing() {
            self.begin_mending(host);
        } else {
            // It is on its way to a leader.
            running.mending = Some(Mending::Damaged { again: now + AGAIN });
        }
    }

    /// In step with a leader: all that it had proposed was given to the log.
    pub(super) fn note_in_step(&mut self, host: usize) -> Result<(), Violation> {
        if let Some(running) = &mut self.hosts[host].running
            && let Some(Mending::Filled { upto }) = &mut running.mending
        {
            *upto = Some(running.appended);
        }
        self.maybe_count_again(host)
    }

    pub(super) fn maybe_count_again(&mut self, host: usize) -> Result<(), Violation> {
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        let Some(Mending::Filled { upto: Some(upto) }) = running.mending else { return Ok(()) };
        if running.flushed < upto {
            return Ok(());
        }
        running.mending = None;
        if !self.hosts[host].disk.unmark() {
            self.die(host);
            return Ok(());
        }
        self.mended += 1;
        self.step(host, Input::Counts)
    }
}

/// How long a leader is waited for before the others are asked again.
const AGAIN: Duration = Duration::from_secs(1);
