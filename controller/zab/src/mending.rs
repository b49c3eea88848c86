//! A member whose files are damaged: it votes for nobody until they are whole, or a leader's.
//!
//! Lives here: how far it is, what it begins with, and when it counts again. Must not: ask the others, which its driver does,
//! or know what is whole in files (`storage`). First the files of the others are asked, which need no leader. What they cannot
//! give now, a leader that a quorum of others follows has; its state takes the place of all that is here, and counts once all
//! that it had proposed by then is on the disk: some of that this member may have acknowledged before.

use std::time::Duration;

use types::{Epoch, Instant, Zxid};

use crate::{Durable, Zab};

/// How far it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mending {
    /// Nothing is amiss.
    #[default]
    Whole,
    /// The others are asked; the protocol stands still.
    Asks,
    /// Not even what was promised is known: nothing is done until the others are asked again.
    Waits {
        /// When that is.
        again: Instant,
    },
    /// A leader may fill the files; if there is none by then, the others are asked again.
    Damaged {
        /// When that is.
        again: Instant,
    },
    /// The files are whole and a leader's. They count from this transaction on, once that is known.
    Filled {
        /// The last that the leader had proposed when this member was in step.
        upto: Option<Zxid>,
    },
}

impl Mending {
    /// The files are whole, and `filled` if what they hold came from a leader, and not all that this member may have
    /// acknowledged. `zab` begins with them.
    pub fn of_whole(filled: bool, zab: &mut Zab) -> Self {
        if filled {
            zab.abstain();
            Self::Filled { upto: None }
        } else {
            Self::Whole
        }
    }

    /// The others cannot give what is missing now. What the protocol is to begin with, abstaining, to be filled by a leader;
    /// `None`: what was promised is not known, and a leader of an epoch before that must be known for what it is.
    pub fn on_stuck(&mut self, accepted: Option<Epoch>, now: Instant) -> Option<Durable> {
        let again = now + AGAIN;
        *self = accepted.map_or(Self::Waits { again }, |_| Self::Damaged { again });
        // A place that no log has: whoever leads sends its whole state.
        let last_logged = Zxid::new(Epoch(0), 1);
        accepted.map(|accepted| Durable { accepted, current: Epoch(0), last_logged })
    }

    /// Whether the protocol must not be stepped: what it would begin with is not known.
    pub fn stands_still(&self) -> bool {
        matches!(self, Self::Asks | Self::Waits { .. })
    }

    /// Whether the files are damaged, so that nothing may be added to them.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether this member neither leads nor follows, nor is about to.
    pub fn is_at_rest(&self, zab: &Zab) -> bool {
        self.stands_still() || zab.is_electing()
    }

    /// When [`Self::is_to_ask`] is to be looked at.
    pub fn again_at(&self) -> Option<Instant> {
        match self {
            Self::Waits { again } | Self::Damaged { again } => Some(*again),
            Self::Whole | Self::Asks | Self::Filled { .. } => None,
        }
    }

    /// Whether it is time to ask the others again.
    pub fn is_to_ask(&mut self, zab: &Zab, now: Instant) -> bool {
        if self.again_at().is_none_or(|again| now < again) {
            return false;
        }
        let at_rest = self.is_at_rest(zab);
        if !at_rest {
            // It is on its way to a leader.
            *self = Self::Damaged { again: now + AGAIN };
        }
        at_rest
    }

    /// A leader's state has taken the place of what was here.
    pub fn on_installed(&mut self) {
        if self.is_damaged() {
            *self = Self::Filled { upto: None };
        }
    }

    /// In step with a leader: all that it had proposed was given to the log, up to `appended`.
    pub fn on_in_step(&mut self, appended: Zxid) {
        if let Self::Filled { upto } = self {
            *upto = Some(appended);
        }
    }

    /// The leader has gone: the next one's proposals are waited for.
    pub fn on_out_of_step(&mut self) {
        if let Self::Filled { upto } = self {
            *upto = None;
        }
    }

    /// Whether files that a leader filled count, now that the log is flushed so far.
    pub fn counts(&self, flushed: Zxid) -> bool {
        matches!(self, Self::Filled { upto: Some(upto) } if *upto <= flushed)
    }
}

/// How long a leader is waited for before the others are asked again.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use types::PeerId;

    use super::*;
    use crate::Settings;

    const SECOND: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn who_knows_no_promise_stands_still_and_who_does_may_be_filled() {
        let zab = Zab::new(Settings::alone(PeerId(1)), Durable::default());
        let mut mending = Mending::Asks;
        assert_eq!(mending.on_stuck(None, Instant::ZERO), None);
        assert!(mending.stands_still() && !mending.is_damaged());
        let durable = mending.on_stuck(Some(Epoch(7)), Instant::ZERO).expect("it may be filled");
        assert!(!mending.stands_still() && mending.is_damaged());
        assert_eq!((durable.accepted, durable.current), (Epoch(7), Epoch(0)));
        assert!(!mending.is_to_ask(&zab, Instant::ZERO));
    }

    #[test]
    fn what_a_leader_filled_counts_once_all_that_it_had_proposed_is_flushed() {
        let zxid = |counter| Zxid::new(Epoch(3), counter);
        let mut mending = Mending::Damaged { again: SECOND };
        mending.on_installed();
        assert!(!mending.counts(zxid(9)), "it is not in step");
        mending.on_in_step(zxid(4));
        assert!(!mending.counts(zxid(3)) && mending.counts(zxid(4)));
        mending.on_out_of_step();
        assert!(!mending.counts(zxid(9)), "the next leader's are waited for");
    }
}
