//! The end of containers without children and of znodes whose time to live is up.
//!
//! Lives here: which of them have served, and how fast they may go. Must not: delete (each is proposed as
//! a request, and `prep` looks again), read a clock. Start at [`Reaper::due`]. Source: `ContainerManager`.
//! A round looks at every candidate once, from the lowest id up, and holds nothing but where it is: each
//! step is bounded, however many candidates there are.

use std::time::Duration;

use jute::{Request, StatPersisted, Text};
use types::Instant;

use crate::State;
use crate::owner::Owner;
use crate::tree::NodeId;

/// How often to look, and how fast to delete. The default is Apache's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReaperConfig {
    /// From the start of one round to that of the next (`znode.container.checkIntervalMs`).
    pub check_every: Duration,
    /// Deletes in a minute (`znode.container.maxPerMinute`); 0 deletes nothing.
    pub max_per_minute: u32,
    /// How long a container waits for its first child; `None` is for ever
    /// (`znode.container.maxNeverUsedIntervalMs`).
    pub never_used: Option<Duration>,
}

impl Default for ReaperConfig {
    fn default() -> Self {
        let check_every = Duration::from_secs(60);
        Self { check_every, max_per_minute: 10_000, never_used: None }
    }
}

/// Where a leader is in its rounds; made anew whenever a member begins to lead.
#[derive(Debug)]
pub struct Reaper {
    config: ReaperConfig,
    /// When to go on, or to begin a round.
    next: Instant,
    round_began: Instant,
    /// The first candidate not looked at in this round; `None` between rounds.
    at: Option<NodeId>,
}

impl Reaper {
    /// The first round begins one interval after `now`.
    pub fn new(config: ReaperConfig, now: Instant) -> Self {
        let check_every = config.check_every.max(MIN_INTERVAL);
        let config = ReaperConfig { check_every, ..config };
        Self { config, next: now + check_every, round_began: now, at: None }
    }

    /// When to call [`Self::due`] next; `None` while no znode can come to such an end.
    pub fn next_due(&self, state: &State) -> Option<Instant> {
        let idle = state.reapable.is_empty() || self.config.max_per_minute == 0;
        (!idle).then_some(self.next)
    }

    /// The deletes to propose now, in the name of the member itself (session 0): a handful at most.
    ///
    /// `wall_ms` is what stats are compared with, in ms since 1970. Nothing before it is time.
    pub fn due(&mut self, state: &State, now: Instant, wall_ms: i64) -> Vec<Request> {
        if self.next_due(state).is_none_or(|next| next > now) {
            return Vec::new();
        }
        let from = *self.at.get_or_insert_with(|| {
            self.round_began = now;
            NodeId::FIRST
        });
        let gap = Duration::from_secs(60) / self.config.max_per_minute;
        let batch = (SLICE.as_nanos() / gap.as_nanos().max(1)).clamp(1, MAX_BATCH);
        let mut requests = Vec::new();
        self.at = None;
        for (looked_at, &id) in state.reapable.range(from..).enumerate() {
            if requests.len() as u128 >= batch || looked_at >= LOOKS {
                self.at = Some(id);
                break;
            }
            let stat = state.tree.stat(id);
            let childless = state.tree.child_count(id) == 0;
            if childless && has_served(&stat, wall_ms, self.config.never_used) {
                requests.push(Request::DeleteContainer { path: Text::from(state.tree.path(id)) });
            }
        }
        self.next = match self.at {
            // Looking costs no one's turn in the log; only deletes are spread over time.
            Some(_) => now + gap * u32::try_from(requests.len()).unwrap_or(u32::MAX),
            None => (self.round_began + self.config.check_every).max(now + MIN_INTERVAL),
        };
        requests
    }
}

/// Whether a childless znode with this stat comes to its end. Only containers and times to live do.
pub(crate) fn has_served(stat: &StatPersisted, wall_ms: i64, never_used: Option<Duration>) -> bool {
    let age = wall_ms.saturating_sub(stat.mtime);
    match Owner::from_bits(stat.ephemeral_owner) {
        Owner::Container => {
            let waited =
                |wait: Duration| u128::try_from(age).is_ok_and(|age| age > wait.as_millis());
            stat.cversion != 0 || never_used.is_some_and(waited)
        }
        Owner::Ttl(ttl) => age > ttl,
        Owner::Session(_) | Owner::Nobody => false,
    }
}

/// No configuration makes the driver's timer spin.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// Deletes that fall into such a time are proposed together.
const SLICE: Duration = Duration::from_millis(100);
/// The most that are proposed together.
const MAX_BATCH: u128 = 256;
/// Candidates looked at in one step.
const LOOKS: usize = 4096;

#[cfg(test)]
mod tests {
    use jute::{Acl, CreateTxn, Txn, TxnHeader};
    use types::{SessionId, Zxid};

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// With `count` containers that had a child, and one that never had.
    fn state(count: usize) -> State {
        let mut state = State::new(1);
        let mut zxid = 0;
        let mut apply = |txn: Txn| {
            zxid += 1;
            let zxid = Zxid::from_bits(zxid);
            let header = TxnHeader { session: SessionId(0), cxid: 0, zxid, time: 0 };
            state.apply(&header, &txn).response.expect("nothing is in the way");
        };
        let create = |path: &str| CreateTxn {
            path: path.into(),
            data: None,
            acl: [Acl::OPEN].into(),
            ephemeral: false,
            parent_cversion: -1,
        };
        apply(Txn::CreateContainer(create("/new")));
        for at in 0..count {
            apply(Txn::CreateContainer(create(&format!("/c{at}"))));
            apply(Txn::Create(create(&format!("/c{at}/x"))));
            apply(Txn::Delete { path: format!("/c{at}/x").into() });
        }
        state
    }

    fn config(per_minute: u32) -> ReaperConfig {
        ReaperConfig { max_per_minute: per_minute, ..ReaperConfig::default() }
    }

    #[test]
    fn a_round_takes_each_candidate_once_and_no_faster_than_allowed() {
        let state = state(20);
        // Ten in a second: one in each slice.
        let mut reaper = Reaper::new(config(600), at(0));
        assert!(reaper.due(&state, at(59_999), 0).is_empty());
        let (mut now, mut seen) = (at(60_000), Vec::new());
        while now < at(119_000) {
            seen.extend(reaper.due(&state, now, 0));
            now = reaper.next_due(&state).expect("there are candidates");
        }
        assert_eq!(seen.len(), 20);
        seen.dedup();
        assert_eq!(seen.len(), 20);
        assert_eq!(now, at(120_000), "rounds begin at a fixed rate");
    }

    #[test]
    fn what_no_znode_needs_wakes_nobody() {
        let reaper = Reaper::new(ReaperConfig::default(), at(0));
        assert_eq!(reaper.next_due(&State::new(1)), None);
        assert_eq!(reaper.next_due(&state(1)), Some(at(60_000)));
        let never = Reaper::new(config(0), at(0));
        assert_eq!(never.next_due(&state(1)), None);
    }

    #[test]
    fn a_container_that_never_had_a_child_waits_as_told() {
        let state = state(0);
        let never_used = Some(Duration::from_millis(5));
        let mut patient = Reaper::new(ReaperConfig::default(), at(0));
        assert_eq!(patient.due(&state, at(60_000), i64::MAX), []);
        let config = ReaperConfig { never_used, ..ReaperConfig::default() };
        let mut strict = Reaper::new(config, at(0));
        assert_eq!(strict.due(&state, at(60_000), 5), []);
        let gone = [Request::DeleteContainer { path: "/new".into() }];
        assert_eq!(strict.due(&state, at(120_000), 6), gone);
    }
}
