//! Which tasks must end, which instances must start, and when to look again.

use std::collections::BTreeMap;
use std::time::Duration;

use types::Instant;

use super::{Demand, Live, Service};
use crate::io::Output;
use crate::{Phase, TaskId};

impl Service {
    /// How many instances should live.
    pub(super) fn wanted(&self) -> u32 {
        if self.stopping { 0 } else { self.spec.instances }
    }

    /// Marks what must end, and asks for the end of all that is marked.
    pub(super) fn drive_tasks(&mut self, now: Instant) {
        if self.refused.is_none() || self.stopping {
            for id in self.to_end(now) {
                let Some(live) = self.tasks.get_mut(&id) else { continue };
                live.record.killing = true;
                self.out.push(Output::Store(live.record.clone()));
            }
        }
        if !self.connected {
            return;
        }
        let grace = self.spec.task.grace;
        let mut ends: Vec<&mut Live> =
            self.tasks.values_mut().filter(|live| live.record.killing).collect();
        // Newest instances first.
        ends.sort_by_key(|live| std::cmp::Reverse(live.record.index));
        for live in ends {
            let again = grace + KILL_AGAIN;
            if live.kill_sent.is_none_or(|sent| now.saturating_since(sent) >= again) {
                live.kill_sent = Some(now);
                let (task, agent) = (live.record.id.clone(), Some(live.record.agent.clone()));
                self.out.push(Output::Kill { task, agent, grace });
            }
        }
    }

    fn to_end(&self, now: Instant) -> Vec<TaskId> {
        let wanted = self.wanted();
        let staying = || self.tasks.values().filter(|live| !live.record.killing);
        let mut ends: Vec<&Live> = staying().filter(|live| live.record.index >= wanted).collect();
        ends.sort_by_key(|live| std::cmp::Reverse(live.record.index));

        let mut by_index: BTreeMap<u32, Vec<&Live>> = BTreeMap::new();
        for live in staying().filter(|live| live.record.index < wanted) {
            by_index.entry(live.record.index).or_default().push(live);
        }
        let ready = |live: &Live| self.is_ready(live, now);
        let current = |live: &Live| live.record.revision == self.revision;
        let served = by_index.values().filter(|tasks| tasks.iter().any(|live| ready(live)));
        let mut missing = wanted.saturating_sub(count(served));
        let may_miss = match self.spec.rolling {
            rolling if rolling.max_surge == 0 => rolling.max_unavailable.max(1),
            rolling => rolling.max_unavailable,
        };
        for tasks in by_index.values() {
            let mut keep: Vec<&Live> = tasks.iter().copied().filter(|live| current(live)).collect();
            // Of several for one instance the one that runs longest stays.
            keep.sort_by_key(|live| {
                let since = live.running_since.unwrap_or(Instant::from_nanos(u64::MAX));
                (live.record.phase != Phase::Running, since)
            });
            ends.extend(keep.iter().skip(1).filter(|live| live.record.phase != Phase::Unreachable));
            let replaced = keep.iter().any(|live| ready(live));
            let covered = |live: &Live| replaced || !ready(live);
            for old in tasks.iter().filter(|live| !current(live)) {
                if covered(old) {
                    ends.push(old);
                } else if missing < may_miss {
                    missing += 1;
                    ends.push(old);
                }
            }
        }
        ends.into_iter().map(|live| live.record.id.clone()).collect()
    }

    /// Runs well, and for long enough.
    fn is_ready(&self, live: &Live, now: Instant) -> bool {
        live.record.phase == Phase::Running
            && live.record.healthy != Some(false)
            && (live.record.revision != self.revision
                || self.ready_at(live).is_none_or(|at| at <= now))
    }

    fn ready_at(&self, live: &Live) -> Option<Instant> {
        Some(live.running_since? + self.spec.rolling.min_ready)
    }

    /// The instances to start now, in the order to start them.
    pub(super) fn pending(&self, now: Instant) -> Vec<u32> {
        if self.refused.is_some() || self.stopping {
            return Vec::new();
        }
        let wanted = self.wanted();
        let mut held: BTreeMap<u32, (u32, bool)> = BTreeMap::new();
        let mut living = 0u32;
        for live in self.tasks.values().filter(|live| !self.is_given_up(live, now)) {
            living += 1;
            let (tasks, all_old) = held.entry(live.record.index).or_insert((0, true));
            *tasks += 1;
            *all_old &= live.record.revision != self.revision && !live.record.killing;
        }
        let room = wanted.saturating_add(self.spec.rolling.max_surge).saturating_sub(living);
        let waits = |index: &u32| self.retries.get(index).is_some_and(|retry| retry.at > now);
        let missing = (0..wanted).filter(|index| !held.contains_key(index));
        let beside = (0..wanted).filter(|index| held.get(index) == Some(&(1, true)));
        missing
            .chain(beside.filter(|_| self.spec.rolling.max_surge > 0))
            .filter(|index| !waits(index))
            .take(usize::try_from(room).unwrap_or(usize::MAX))
            .collect()
    }

    /// Out of reach for so long that another takes its place.
    fn is_given_up(&self, live: &Live, now: Instant) -> bool {
        let after = self.spec.replace_unreachable_after;
        live.unreachable_since.is_some_and(|since| now.saturating_since(since) >= after)
    }

    /// Tells the master whether we want offers; each wish once.
    pub(super) fn tell_demand(&mut self, now: Instant) {
        if !self.connected {
            return;
        }
        let pending = self.pending(now);
        if pending.is_empty() {
            if self.demand != Demand::Suppressed {
                self.demand = Demand::Suppressed;
                self.out.push(Output::Suppress);
            }
            self.misfits = None;
            return;
        }
        let fewer = match &self.demand {
            Demand::Wanted(revision, before) => {
                *revision == self.revision && pending.iter().all(|index| before.contains(index))
            }
            // Whoever has just subscribed is offered all there is, unasked.
            Demand::Untold => true,
            Demand::Suppressed => false,
        };
        self.demand = Demand::Wanted(self.revision.clone(), pending);
        if !fewer {
            self.out.push(Output::Revive);
        }
    }

    /// Why instances are not started, for people.
    pub(super) fn waiting(&self, now: Instant) -> Option<String> {
        let pending = self.pending(now).len();
        let failing = self
            .retries
            .iter()
            .filter(|(index, retry)| **index < self.wanted() && retry.at > now)
            .max_by_key(|(_, retry)| retry.failures);
        match (pending, failing) {
            (0, None) => None,
            (0, Some((index, retry))) => Some(format!(
                "instance {index} starts again {:?} after its failure (number {})",
                retry.delay, retry.failures
            )),
            (pending, _) => {
                let why = match (&self.misfits, self.connected) {
                    (_, false) => "the master is not reached",
                    (Some(misfits), true) => misfits,
                    (None, true) => "no offer yet",
                };
                let plural = if pending == 1 { "instance waits" } else { "instances wait" };
                Some(format!("{pending} {plural} for a place: {why}"))
            }
        }
    }

    /// The next moment at which time alone changes something.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let retries = self.retries.values().map(|retry| retry.at);
        let again = self.spec.task.grace + KILL_AGAIN;
        let kills = self.tasks.values().filter(|live| live.record.killing);
        let kills = kills.filter_map(|live| Some(live.kill_sent? + again));
        let reconcile = self.reconcile.map(|due| due.at);
        let after = self.spec.replace_unreachable_after;
        let lost = self.tasks.values().filter_map(|live| Some(live.unreachable_since? + after));
        let ready = self.tasks.values().filter_map(|live| self.ready_at(live));
        let connected = self.connected;
        let while_connected = kills.chain(reconcile).filter(|_| connected);
        retries.chain(lost).chain(ready).chain(while_connected).filter(|at| *at > now).min()
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// A kill that nothing came of is sent again this long after the grace period.
const KILL_AGAIN: Duration = Duration::from_secs(10);
