//! What goes into a step and what comes out.

use mesos::link::{self, AgentCall, AgentEvent};
use mesos::v1::scheduler::call::Subscribe;
use mesos::v1::{master, scheduler};
use types::Instant;

use crate::Change;

/// The moment of a step, on two clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// The driver's steady clock: all waiting is measured on it.
    pub instant: Instant,
    /// Nanoseconds since 1970: what people and frameworks are told.
    pub unix_nanos: i64,
}

impl Now {
    /// Seconds since 1970.
    pub(crate) fn unix_seconds(self) -> f64 {
        self.unix_nanos as f64 / 1e9
    }
}

/// A response that stays open, by the driver's number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StreamId(pub u64);

/// A call that awaits its one answer, by the driver's number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ReplyId(pub u64);

/// A write that is on its way to the registry, by the master's number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct WriteId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A scheduler subscribes, by a call that [`crate::validate::call`] let through. The response is open
    /// with status 200 already.
    Subscribe {
        /// The response.
        stream: StreamId,
        /// Its `Mesos-Stream-Id`, a random UUID.
        name: String,
        /// The call.
        call: Box<Subscribe>,
    },
    /// Any other scheduler call that [`crate::validate::call`] let through.
    Call {
        /// Where its answer goes.
        reply: ReplyId,
        /// The header `Mesos-Stream-Id`.
        stream_name: Option<String>,
        /// The call.
        call: Box<scheduler::Call>,
    },
    /// An agent subscribes, by a call that [`crate::validate::agent`] let through. The response is open.
    AgentSubscribe {
        /// The response.
        stream: StreamId,
        /// Its `Mesos-Stream-Id`, a random UUID.
        name: String,
        /// The call.
        call: Box<link::Subscribe>,
    },
    /// Any other call of an agent.
    AgentCall {
        /// Where its answer goes.
        reply: ReplyId,
        /// The header `Mesos-Stream-Id`.
        stream_name: Option<String>,
        /// The call.
        call: Box<AgentCall>,
    },
    /// An operator's call that [`crate::validate::operator`] let through.
    Operator {
        /// Where its answer goes.
        reply: ReplyId,
        /// The call.
        call: Box<master::Call>,
    },
    /// A response that was open is closed, or its reader is too slow.
    Closed(StreamId),
    /// A write is safe.
    Written(WriteId),
    /// All inputs at hand are taken: time to make offers, and to look at the clock.
    Settle,
}

/// What the driver must do. One stream sees its events in order.
#[derive(Debug)]
pub enum Output {
    /// Tell a framework.
    Event {
        /// Its stream.
        stream: StreamId,
        /// What.
        event: Box<scheduler::Event>,
    },
    /// Tell an agent.
    AgentEvent {
        /// Its stream.
        stream: StreamId,
        /// What.
        event: Box<AgentEvent>,
    },
    /// End a stream, after the events before. [`Input::Closed`] need not follow.
    Close(StreamId),
    /// Answer a call.
    Answer {
        /// Which.
        reply: ReplyId,
        /// How.
        answer: Answer,
    },
    /// Make a change of the registry safe, in this order, then say [`Input::Written`].
    Write {
        /// Which.
        write: WriteId,
        /// What.
        change: Box<Change>,
    },
}

/// The answer to a call.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// 202: it is under way, and events tell what becomes of it.
    Accepted,
    /// 200: it is done.
    Done,
    /// 200 with a message.
    Response(Box<master::Response>),
    /// An error with Mesos's words.
    Refused {
        /// The HTTP status, 4xx or 5xx.
        status: u16,
        /// Why.
        why: String,
    },
}

impl Answer {
    pub(crate) fn refused(status: u16, why: impl Into<String>) -> Self {
        Self::Refused { status, why: why.into() }
    }
}
