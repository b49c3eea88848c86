//! What happens in a world, and to which process.

use std::sync::Arc;

use jute::Members;
use types::{Instant, Zxid};
use zab::Notification;

use crate::faults::Fault;

#[derive(Debug)]
pub(super) enum Event {
    Tick { host: usize, run: u64, due: Instant },
    Vote { from: usize, to: usize, vote: Notification, members: Option<Arc<Members>> },
    Reach { host: usize, peer: usize, reachable: bool },
    Connect { learner: usize, run: u64, leader: usize },
    Packet { connection: u64, to_leader: bool },
    Lost { host: usize, peer: usize, connection: u64 },
    Disk { host: usize, run: u64 },
    Rest { host: usize, run: u64 },
    Mend { host: usize, run: u64 },
    Locate { host: usize, run: u64, learner: usize, last: Zxid },
    Start { host: usize },
    Begin(Fault),
    End(Fault),
    Writes,
    Change,
    Client { client: usize },
    Call { link: u64 },
    Answer { link: u64 },
    Dropped { client: usize, link: u64 },
    Left { host: usize, link: u64 },
}

impl Event {
    /// The process that must run for it to happen.
    pub(super) fn host(&self) -> Option<usize> {
        match self {
            Self::Tick { host, .. }
            | Self::Vote { to: host, .. }
            | Self::Reach { host, .. }
            | Self::Connect { learner: host, .. }
            | Self::Lost { host, .. }
            | Self::Disk { host, .. }
            | Self::Rest { host, .. }
            | Self::Mend { host, .. }
            | Self::Left { host, .. }
            | Self::Locate { host, .. } => Some(*host),
            // A packet keeps its order by itself.
            Self::Packet { .. }
            | Self::Call { .. }
            | Self::Answer { .. }
            | Self::Dropped { .. }
            | Self::Client { .. }
            | Self::Start { .. }
            | Self::Begin(_)
            | Self::End(_)
            | Self::Writes
            | Self::Change => None,
        }
    }
}
