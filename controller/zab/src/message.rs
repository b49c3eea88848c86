//! What goes into a step and what comes out of it.

use bytes::Bytes;
use types::{Epoch, PeerId, Zxid};

/// A transaction as it goes to the log, to peers and into the tree: the same bytes everywhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Txn {
    /// Its place in the total order.
    pub zxid: Zxid,
    /// Header, record and digest, serialised. Zab never looks inside.
    pub body: Bytes,
}

/// What happened to this peer. Time, disk and network all come in here.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// Time has passed. The first one starts the election.
    Tick,
    /// A peer sent a message.
    Received {
        /// The peer, as its connection was introduced.
        from: PeerId,
        /// What it said.
        message: Message,
    },
    /// The leader's driver has a transaction to order. Its zxid must be [`crate::Zab::next_zxid`].
    Propose(Txn),
    /// The log is on stable storage up to and including this zxid.
    Flushed(Zxid),
    /// The log has no room: this and all later appends were not written and left no trace.
    AppendRefused {
        /// The first transaction that was not written.
        first: Zxid,
    },
    /// An epoch file is on stable storage.
    EpochSaved(SavedEpoch),
}

/// Which epoch file was saved, and what it says now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SavedEpoch {
    /// `acceptedEpoch`: no leader of a lower epoch will be followed.
    Accepted(Epoch),
    /// `currentEpoch`: the history of this epoch's leader was taken over.
    Current(Epoch),
}

/// What the driver must do. One target sees its outputs in order, two targets in any order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Append to the log, make durable, then answer with [`Input::Flushed`] (one may cover many).
    Append(Txn),
    /// Committed: apply it now. Strictly in zxid order, each once.
    Deliver(Txn),
    /// Send to a peer.
    Send {
        /// To whom.
        to: PeerId,
        /// What.
        message: Message,
    },
    /// Close the connection to a peer that broke the protocol.
    HangUp {
        /// Which.
        peer: PeerId,
        /// How it misbehaved.
        why: PeerMisbehaved,
    },
    /// Save an epoch file durably, then answer with [`Input::EpochSaved`].
    SaveEpoch(SavedEpoch),
    /// This peer leads from now on; [`crate::Zab::next_zxid`] says what it proposes first.
    Leading(Epoch),
    /// This peer leads no more: what was proposed and not delivered may or may not survive.
    Resigned,
    /// Proposals from here on are taken back: no peer holds them, their zxids are free again.
    Withdrawn {
        /// The first of them.
        first: Zxid,
    },
}

/// What peers tell each other. A lone voter has nobody to talk to, so there is no message yet.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Message {}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PeerMisbehaved {}
