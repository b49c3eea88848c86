//! What a peer is told before it starts: who takes part, and how long to wait.

use std::time::Duration;

use types::PeerId;

use crate::Voters;

/// Who takes part, and how long to wait for them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// This peer.
    pub me: PeerId,
    /// Who decides. A peer that is not among them learns and never votes.
    pub voters: Voters,
    /// This peer asks for what is committed and never for proposals. Must not be a voter.
    pub observer: bool,
    /// How long to wait.
    pub timing: Timing,
    /// An epoch that this peer leads ends behind so many transactions; [`Self::ALL_COUNTERS`] but for those who try that.
    pub counters: u32,
}

impl Settings {
    /// The counter's last value is never used: Apache ends an epoch there, and so do its followers.
    pub const ALL_COUNTERS: u32 = u32::MAX - 1;

    /// A peer that decides alone.
    pub fn alone(me: PeerId) -> Self {
        let (voters, timing) = (Voters::majority([me]), Timing::default());
        Self { me, voters, observer: false, timing, counters: Self::ALL_COUNTERS }
    }
}

/// How long a peer waits. Names as in `zoo.cfg`; the limits are there in ticks and here in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Twice the time between pings between a leader and a learner one of which is Apache's (`tickTime`).
    pub tick: Duration,
    /// For a leader to be followed by a quorum, and for a learner to be in step (`initLimit`).
    pub init_limit: Duration,
    /// For a sign of life, and for an acknowledgement (`syncLimit`).
    pub sync_limit: Duration,
    /// Until an unanswered vote is sent again, at first; doubles (`fastleader.minNotificationInterval`).
    pub min_notification: Duration,
    /// Where the doubling ends (`fastleader.maxNotificationInterval`).
    pub max_notification: Duration,
    /// How long a quorum's vote waits for a better one while a voter is silent (`finalizeWait`).
    pub finalize_wait: Duration,
    /// Between pings of a leader to a learner when both know the cumulative dialect.
    pub kin_ping: Duration,
    /// Silence of such a leader after which its learner looks for another one.
    pub kin_silence: Duration,
}

impl Default for Timing {
    /// Apache's defaults (`tickTime=2000`, `initLimit=10`, `syncLimit=5`); the kin's are ours.
    fn default() -> Self {
        let tick = Duration::from_secs(2);
        Self {
            tick,
            init_limit: tick * 10,
            sync_limit: tick * 5,
            min_notification: Duration::from_millis(200),
            max_notification: Duration::from_secs(60),
            finalize_wait: Duration::from_millis(200),
            kin_ping: Duration::from_millis(100),
            kin_silence: Duration::from_millis(600),
        }
    }
}
