//! What the core counts of its work among others, for the metrics.

use std::io::Write;
use std::time::Duration;

use jute::Entry;
use jute::learner::PacketType;
use types::{Instant, PeerId, Zxid};

use super::{Core, Outstanding};
use crate::metrics::{Stats, micros};

impl Core {
    /// The log was flushed up to there.
    pub(super) fn note_flushed(&mut self, zxid: Zxid, took: Duration) {
        let stats = &self.shared.stats;
        stats.flush_time.record(micros(took));
        stats.flush_latency.record(micros(took));
        if zxid.epoch() == self.flushed.epoch() {
            stats.batch.record(zxid.counter().saturating_sub(self.flushed.counter()).into());
        }
        if self.zab.next_zxid().is_some() {
            self.note_acknowledged(self.shared.config.myid, zxid);
        }
    }

    /// A transaction was applied that was made here, or heard of, then.
    pub(super) fn note_applied(&mut self, entry: &Entry, since: Instant, is_ok: bool) {
        let stats = &self.shared.stats;
        let late = self.wall_ms.saturating_sub(entry.header.time);
        if is_ok && let Ok(late) = u64::try_from(late) {
            self.tally.applied(stats, &entry.txn, late);
        }
        if self.ensemble.is_some() && self.zab.next_zxid().is_some() {
            Stats::count(&stats.commits);
            stats.quorum_ack.record(micros(self.now.saturating_since(since)));
        }
    }

    /// A leader's packet told of a transaction.
    pub(super) fn note_heard(&self, kind: PacketType, entry: &Entry) {
        let stats = &self.shared.stats;
        if kind != PacketType::Proposal {
            return Stats::count(&stats.commits_heard);
        }
        Stats::count(&stats.proposals_heard);
        if let Ok(late) = u64::try_from(self.wall_ms.saturating_sub(entry.header.time)) {
            stats.proposal_latency.record(late.saturating_mul(1000));
        }
    }

    /// A member has logged all up to there; nothing is known any more of what was committed without it.
    pub(super) fn note_acknowledged(&self, by: PeerId, zxid: Zxid) {
        if self.ensemble.is_none() {
            return;
        }
        let Some(first) = self.outstanding.front().map(|first| first.entry.header.zxid) else {
            return;
        };
        if first.epoch() != zxid.epoch() {
            return;
        }
        let at =
            zxid.counter().checked_sub(first.counter()).and_then(|at| usize::try_from(at).ok());
        let waits = at.and_then(|at| self.outstanding.get(at));
        if let Some(Outstanding { since, .. }) =
            waits.filter(|waits| waits.entry.header.zxid == zxid)
        {
            let took = micros(self.now.saturating_since(*since));
            // Without an allocation: an id has 20 characters at most.
            let mut word = [0; 20];
            let mut left = &mut word[..];
            let written = write!(left, "{}", by.0).map(|()| 20 - left.len());
            let word = written.ok().and_then(|length| str::from_utf8(word.get(..length)?).ok());
            self.shared.stats.acks.record(word.unwrap_or_default(), took, 1);
        }
    }

    /// A learner is brought in step, by the whole state or by what it lacks.
    pub(super) fn note_learner(&self, whole: bool) {
        let Some(ensemble) = &self.ensemble else { return };
        let stats = &self.shared.stats;
        let (count, inflight) = match whole {
            true => (&stats.snaps, &stats.inflight_snaps),
            false => (&stats.diffs, &stats.inflight_diffs),
        };
        Stats::count(count);
        inflight.record(ensemble.unsynced() as u64);
    }

    /// The protocol is in another phase from now on.
    pub(super) fn note_phase(&mut self, phase: &str) {
        let stats = &self.shared.stats;
        let now = self.shared.now();
        let took = micros(now.saturating_since(self.phase_since));
        match self.phase {
            "election" => stats.election_time.record(took),
            "synchronization" if phase == "broadcast" => {
                let observes = self.ensemble.as_ref().is_some_and(|ensemble| ensemble.observer);
                match self.zab.next_zxid() {
                    Some(_) => {}
                    None if observes => stats.observer_sync_time.record(took),
                    None => stats.follower_sync_time.record(took),
                }
            }
            _ => {}
        }
        if phase == "election" {
            Stats::count(&stats.elections);
        }
        self.phase_since = now;
    }

    /// Clients are served again; nobody led since then.
    pub(super) fn note_served(&self, since: Option<Instant>, leads: bool) {
        let Some(since) = since else { return };
        let stats = &self.shared.stats;
        let took = micros(self.shared.now().saturating_since(since));
        stats.unavailable_time.record(took);
        if leads {
            stats.leader_unavailable_time.record(took);
        }
    }
}
