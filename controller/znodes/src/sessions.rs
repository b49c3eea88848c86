//! Which sessions live, until when, and through whom they speak.
//!
//! Lives here: what the leader knows of sessions beside the replicated table: deadlines, owners, closing.
//! Must not: make ids (`session_id`), delete ephemerals (`prep`, `apply`), read a clock.
//! Start at [`Sessions::check`] and [`Sessions::expire`]. Source: `SessionTrackerImpl`, `ExpiryQueue`.

use std::time::Duration;

use jute::ErrorCode;
use types::{Instant, SessionId};

use crate::State;
use crate::session_table::SessionTable;

/// Through whom a session speaks: this member's own connections, or one learner's link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Speaker(pub u64);

/// The sessions of the ensemble, as its leader tracks them.
#[derive(Debug)]
pub struct Sessions {
    tick: Duration,
    tracked: SessionTable<Tracked>,
    /// How many are not closing.
    live: usize,
    /// Invariant: none of those that are not closing ends before. Signs of life only move their ends away, so that
    /// nothing need be kept in the order of the deadlines.
    next: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Tracked {
    /// [`CLOSING`]: its end is on its way.
    deadline: Instant,
    /// [`NOBODY`]: none yet.
    speaker: Speaker,
}

/// In place of a deadline; no clock gets there.
const CLOSING: Instant = Instant::from_nanos(u64::MAX);
/// In place of a speaker; no connection has this number.
const NOBODY: Speaker = Speaker(u64::MAX);

impl Sessions {
    /// None yet. Deadlines are rounded up to whole ticks, so that many end together.
    pub fn new(tick: Duration) -> Self {
        let tick = tick.max(Duration::from_millis(1));
        Self { tick, tracked: SessionTable::default(), live: 0, next: CLOSING }
    }

    /// Takes up every session of the table with a full timeout from `now`: what a new leader does.
    pub fn resume(&mut self, state: &State, now: Instant) {
        for (session, timeout_ms) in state.sessions() {
            self.track(session, timeout(timeout_ms), now);
        }
    }

    /// A session begins, or is known to live.
    pub fn track(&mut self, session: SessionId, timeout: Duration, now: Instant) {
        let deadline = self.deadline(timeout, now);
        let before = self.tracked.insert(session, Tracked { deadline, speaker: NOBODY });
        if before.is_none_or(Tracked::is_closing) {
            self.live += 1;
        }
        self.next = self.next.min(deadline);
    }

    /// A sign of life. False when the session is not there or is closing.
    pub fn touch(&mut self, session: SessionId, timeout: Duration, now: Instant) -> bool {
        let deadline = self.deadline(timeout, now);
        let Some(tracked) = self.tracked.get_mut(session).filter(|tracked| !tracked.is_closing())
        else {
            return false;
        };
        // A shorter timeout than before does not take back what was promised.
        tracked.deadline = tracked.deadline.max(deadline);
        true
    }

    /// Whether a request of `session` that comes through `speaker` may be served.
    ///
    /// The first to ask becomes the speaker. [`ErrorCode::SessionExpired`] when it is closing or unknown,
    /// [`ErrorCode::SessionMoved`] when it speaks through another.
    pub fn check(&mut self, session: SessionId, speaker: Speaker) -> Result<(), ErrorCode> {
        let known = self.tracked.get(session).filter(|tracked| !tracked.is_closing());
        match known.ok_or(ErrorCode::SessionExpired)?.speaker {
            NOBODY if self.move_to(session, speaker) => Ok(()),
            known if known == speaker => Ok(()),
            _ => Err(ErrorCode::SessionMoved),
        }
    }

    /// The session has come back through `speaker`. False when it is not there or is closing.
    pub fn move_to(&mut self, session: SessionId, speaker: Speaker) -> bool {
        let known = self.tracked.get_mut(session).filter(|tracked| !tracked.is_closing());
        known.map(|tracked| tracked.speaker = speaker).is_some()
    }

    /// Nothing more of this session is served; its end is on its way through the log.
    pub fn close(&mut self, session: SessionId) {
        if let Some(tracked) = self.tracked.get_mut(session).filter(|tracked| !tracked.is_closing())
        {
            tracked.deadline = CLOSING;
            self.live -= 1;
        }
    }

    /// The end that was on its way was given up: the session is served again, with a full timeout from `now`.
    pub fn reopen(&mut self, session: SessionId, timeout: Duration, now: Instant) {
        let deadline = self.deadline(timeout, now);
        if let Some(tracked) = self.tracked.get_mut(session).filter(|tracked| tracked.is_closing())
        {
            tracked.deadline = deadline;
            self.live += 1;
            self.next = self.next.min(deadline);
        }
    }

    /// The session's end was applied, or its beginning was given up.
    pub fn forget(&mut self, session: SessionId) {
        if self.tracked.remove(session).is_some_and(|tracked| !tracked.is_closing()) {
            self.live -= 1;
        }
    }

    /// When to call [`Self::expire`] next; `None` when no session lives. Maybe none ends then: a sign of life does
    /// not move this, so that it costs little.
    pub fn next_expiry(&self) -> Option<Instant> {
        (self.live > 0).then_some(self.next)
    }

    /// The sessions whose time is up; they are closing from here on, and the caller proposes the end of each.
    pub fn expire(&mut self, now: Instant) -> Vec<SessionId> {
        if self.next > now {
            return Vec::new();
        }
        let mut expired = Vec::new();
        self.next = CLOSING;
        for (session, tracked) in self.tracked.iter() {
            if tracked.deadline <= now {
                expired.push(session);
            } else {
                self.next = self.next.min(tracked.deadline);
            }
        }
        for session in &expired {
            self.close(*session);
        }
        expired
    }

    /// Whether the session is there, closing or not.
    pub fn is_tracked(&self, session: SessionId) -> bool {
        self.tracked.get(session).is_some()
    }

    /// How many are tracked, those that are closing among them.
    pub fn len(&self) -> usize {
        self.tracked.len()
    }

    /// Whether none is tracked.
    pub fn is_empty(&self) -> bool {
        self.tracked.len() == 0
    }

    /// The next tick's start after `now + timeout`.
    fn deadline(&self, timeout: Duration, now: Instant) -> Instant {
        let tick = u64::try_from(self.tick.as_nanos()).unwrap_or(u64::MAX);
        let ticks = (now + timeout).as_nanos() / tick;
        Instant::from_nanos(ticks.saturating_add(1).saturating_mul(tick))
    }
}

impl Tracked {
    fn is_closing(self) -> bool {
        self.deadline == CLOSING
    }
}

/// A timeout of the wire; a negative one is none at all.
pub(crate) fn timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SessionId = SessionId(1);
    const HERE: Speaker = Speaker(0);
    const THERE: Speaker = Speaker(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn tracked() -> Sessions {
        let mut sessions = Sessions::new(Duration::from_secs(2));
        sessions.track(ONE, Duration::from_secs(4), at(1000));
        sessions
    }

    #[test]
    fn a_session_lives_from_its_timeout_to_a_tick_more() {
        let mut sessions = tracked();
        assert_eq!(sessions.next_expiry(), Some(at(6000)));
        assert_eq!(sessions.expire(at(5999)), []);
        assert!(sessions.touch(ONE, Duration::from_secs(4), at(5999)));
        assert_eq!(sessions.expire(at(6000)), []);
        assert_eq!(sessions.next_expiry(), Some(at(10_000)));
        assert_eq!(sessions.expire(at(10_000)), [ONE]);
        assert_eq!(sessions.next_expiry(), None);
    }

    #[test]
    fn what_is_closing_is_expired_for_everyone() {
        let mut sessions = tracked();
        sessions.close(ONE);
        assert_eq!(sessions.check(ONE, HERE), Err(ErrorCode::SessionExpired));
        assert!(!sessions.touch(ONE, Duration::from_secs(4), at(2000)));
        assert!(!sessions.move_to(ONE, HERE));
        assert_eq!(sessions.next_expiry(), None);
        sessions.reopen(ONE, Duration::from_secs(4), at(2000));
        assert_eq!(sessions.check(ONE, HERE), Ok(()));
        assert_eq!(sessions.expire(at(7999)), []);
        assert_eq!(sessions.next_expiry(), Some(at(8000)));
        sessions.forget(ONE);
        assert!(sessions.is_empty());
        assert_eq!(sessions.next_expiry(), None);
    }

    #[test]
    fn a_session_speaks_through_one_at_a_time() {
        let mut sessions = tracked();
        assert_eq!(sessions.check(ONE, HERE), Ok(()));
        assert_eq!(sessions.check(ONE, THERE), Err(ErrorCode::SessionMoved));
        assert!(sessions.move_to(ONE, THERE));
        assert_eq!(sessions.check(ONE, THERE), Ok(()));
        assert_eq!(sessions.check(SessionId(2), HERE), Err(ErrorCode::SessionExpired));
    }
}
