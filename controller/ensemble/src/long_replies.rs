//! Clients that cannot take a long answer: they end the connection when they see its length.
//!
//! A stock Java client does so above 1 MiB: its caller hears of a lost connection, asks again, and so on for ever.
//! Nothing a client sends tells how much it takes. So a session that has ended its connection over a long
//! answer twice is told an error instead. Lives here: who did so. Must not: what is answered (`serve`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use types::SessionId;

use crate::conn::Conn;

/// The long answers of one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LongReplies {
    /// The longest that is sent, in bytes.
    longest: usize,
    /// The shortest of those that the client may not have taken yet, in bytes; 0: none was long.
    length: usize,
    /// How many answers came behind it.
    after: u32,
}

impl Default for LongReplies {
    fn default() -> Self {
        Self { longest: LONGEST, length: 0, after: 0 }
    }
}

impl LongReplies {
    /// The longest answer that the client is sent, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// What the session cannot take is known.
    pub(crate) fn limit(&mut self, longest: Option<usize>) {
        self.longest = longest.unwrap_or(LONGEST);
    }

    /// An answer of that many bytes is made.
    pub(crate) fn answered(&mut self, length: usize) {
        if length > LONG {
            *self = Self { length, after: 0, ..*self };
        } else if self.length > 0 {
            self.after = self.after.saturating_add(1);
        }
    }
}

/// The sessions that could not take one.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<SessionId, Refusal>>);

#[derive(Clone, Copy, Debug)]
struct Refusal {
    times: u32,
    /// In bytes.
    shortest: usize,
}

impl Refusals {
    /// The client has ended the connection, or goes on with another one. To be called before it is closed: what
    /// the member ends itself is no refusal.
    pub(crate) fn ended(&self, conn: &Conn) {
        if !conn.is_closed() {
            let inner = conn.lock();
            let (session, long) = (inner.session, inner.said.long());
            drop(inner);
            self.gone(session, long);
        }
    }

    fn gone(&self, session: SessionId, long: LongReplies) {
        if session.0 == 0 || long.length == 0 {
            return;
        }
        let mut all = self.lock();
        if long.after > SOON {
            // It lived on with the answer.
            all.remove(&session);
            return;
        }
        let refusal = all.entry(session).or_insert(Refusal { times: 0, shortest: long.length });
        refusal.times = refusal.times.saturating_add(1);
        refusal.shortest = refusal.shortest.min(long.length);
        // The ids of sessions begin with the time: the first is the oldest.
        if all.len() > MOST {
            all.pop_first();
        }
    }

    /// The longest answer that the session is known to take; `None`: nothing is known.
    pub(crate) fn longest(&self, session: SessionId) -> Option<usize> {
        let all = self.lock();
        let refusal = all.get(&session).filter(|refusal| refusal.times >= TIMES)?;
        Some(refusal.shortest - 1)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Refusal>> {
        self.0.lock().expect("nobody panics while holding the refusals")
    }
}

/// Answers above this may be too long for a client, in bytes: the limit of a stock Java client.
const LONG: usize = 0xf_ffff;
/// No answer is longer, in bytes.
const LONGEST: usize = 256 << 20;
/// A client that cannot take an answer has gone before it has asked for many more.
const SOON: u32 = 64;
/// Once may be chance.
const TIMES: u32 = 2;
/// Sessions that are kept in mind.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(answers: &[usize]) -> LongReplies {
        let mut long = LongReplies::default();
        answers.iter().for_each(|length| long.answered(*length));
        long
    }

    #[test]
    fn a_session_that_goes_twice_over_a_long_answer_gets_no_such_again() {
        let refusals = Refusals::default();
        let session = SessionId(5);
        refusals.gone(session, connection(&[100, LONG + 10, 50]));
        assert_eq!(refusals.longest(session), None, "once may be chance");
        refusals.gone(session, connection(&[100]));
        refusals.gone(session, connection(&[LONG + 5]));
        assert_eq!(refusals.longest(session), Some(LONG + 4));
        assert_eq!(refusals.longest(SessionId(6)), None);
    }

    #[test]
    fn a_session_that_lives_on_with_a_long_answer_can_take_it() {
        let refusals = Refusals::default();
        let session = SessionId(5);
        refusals.gone(session, connection(&[LONG + 1]));
        let mut answers = vec![LONG + 1];
        answers.resize(100, 20);
        refusals.gone(session, connection(&answers));
        refusals.gone(session, connection(&[LONG + 1]));
        assert_eq!(refusals.longest(session), None);
    }

    #[test]
    fn the_sessions_kept_in_mind_are_bounded() {
        let refusals = Refusals::default();
        for session in 1..20_000 {
            refusals.gone(SessionId(session), connection(&[LONG + 1]));
        }
        assert_eq!(refusals.lock().len(), MOST);
    }
}
