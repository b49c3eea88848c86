//! The leading master's loop: inputs go into the machine, its outputs are carried out.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use master::{Answer, Input, Master, Now, Output, ReplyId, StreamId, WriteId};
use mesos::link::{self, AgentCall};
use mesos::v1::scheduler::call::Subscribe;
use mesos::v1::{master as operator, scheduler};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use types::Instant as Moment;

use crate::http::stream::Writer;
use crate::registry::{Keep, KeepError};

/// How many requests wait for the machine before their senders do.
const QUEUE: usize = 256;
/// How many inputs one pass takes before offers are made.
const BATCH: usize = 256;

/// What connections want of the machine.
pub(crate) enum Message {
    Subscribe {
        name: String,
        call: Box<Subscribe>,
        stream: Writer,
    },
    AgentSubscribe {
        name: String,
        call: Box<link::Subscribe>,
        stream: Writer,
    },
    Call {
        name: Option<String>,
        call: Box<scheduler::Call>,
        reply: oneshot::Sender<Answer>,
    },
    AgentCall {
        name: Option<String>,
        call: Box<AgentCall>,
        reply: oneshot::Sender<Answer>,
    },
    Operator {
        call: Box<operator::Call>,
        reply: oneshot::Sender<Answer>,
    },
    /// A look at the machine as it is.
    Look(Look),
}

type Look = Box<dyn FnOnce(&Master, Now) + Send>;

/// The connections' end of the machine. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    messages: mpsc::Sender<Message>,
    closed: mpsc::UnboundedSender<StreamId>,
    streams: Arc<AtomicU64>,
}

/// The leader is gone: its connections are about to break.
#[derive(Debug)]
pub(crate) struct Gone;

impl Desk {
    pub(crate) async fn send(&self, message: Message) -> Result<(), Gone> {
        self.messages.send(message).await.map_err(|_| Gone)
    }

    /// Asks for an answer.
    pub(crate) async fn ask(
        &self,
        message: impl FnOnce(oneshot::Sender<Answer>) -> Message,
    ) -> Result<Answer, Gone> {
        let (reply, answer) = oneshot::channel();
        self.send(message(reply)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Looks at the machine.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Master, Now) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (told, seen) = oneshot::channel();
        let look = move |master: &Master, now: Now| {
            let _nobody_waits = told.send(look(master, now));
        };
        self.send(Message::Look(Box::new(look))).await?;
        seen.await.map_err(|_| Gone)
    }

    /// A number for a stream, and where its end is told.
    pub(crate) fn next_stream(&self) -> (StreamId, mpsc::UnboundedSender<StreamId>) {
        let id = StreamId(self.streams.fetch_add(1, Ordering::Relaxed));
        (id, self.closed.clone())
    }
}

/// The loop of one leader.
pub(crate) struct Leader {
    master: Master,
    origin: Instant,
    messages: mpsc::Receiver<Message>,
    closed: mpsc::UnboundedReceiver<StreamId>,
    streams: BTreeMap<StreamId, Writer>,
    replies: BTreeMap<ReplyId, oneshot::Sender<Answer>>,
    next_reply: u64,
    changes: mpsc::UnboundedSender<(WriteId, master::Change)>,
}

impl Leader {
    /// Reads the registry; what connections use is there when that is done.
    pub(crate) async fn start(
        config: master::Config,
        keep: Keep,
    ) -> Result<(Desk, impl Future<Output = Result<(), KeepError>>), KeepError> {
        let registry = keep.load().await?;
        tracing::info!(agents = registry.agents.len(), "the registry is read");
        let (messages_in, messages) = mpsc::channel(QUEUE);
        let (closed_in, closed) = mpsc::unbounded_channel();
        let (changes, changes_out) = mpsc::unbounded_channel();
        let (done_in, done) = mpsc::unbounded_channel();
        let origin = Instant::now();
        let leader = Self {
            master: Master::new(config, registry, now(origin)),
            origin,
            messages,
            closed,
            streams: BTreeMap::new(),
            replies: BTreeMap::new(),
            next_reply: 0,
            changes,
        };
        let desk =
            Desk { messages: messages_in, closed: closed_in, streams: Arc::new(AtomicU64::new(0)) };
        let lead = async move {
            tokio::select! {
                // It writes until the machine is gone, so it ends only by failing.
                written = keep.write(changes_out, done_in) => written,
                () = leader.lead(done) => Ok(()),
            }
        };
        Ok((desk, lead))
    }

    async fn lead(mut self, mut done: mpsc::UnboundedReceiver<WriteId>) {
        loop {
            let wake = self.master.next_wake();
            let wake = async {
                match wake {
                    Some(at) => {
                        sleep_until(self.origin + Duration::from_nanos(at.as_nanos())).await;
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                message = self.messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                Some(stream) = self.closed.recv() => self.on_closed(stream),
                Some(write) = done.recv() => self.step(Input::Written(write)),
                () = wake => {}
            }
            // What else is at hand belongs to the same wake-up: one round of offers follows it all.
            for _ in 1..BATCH {
                if let Ok(message) = self.messages.try_recv() {
                    self.take(message);
                } else if let Ok(stream) = self.closed.try_recv() {
                    self.on_closed(stream);
                } else if let Ok(write) = done.try_recv() {
                    self.step(Input::Written(write));
                } else {
                    break;
                }
            }
            self.step(Input::Settle);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Subscribe { name, call, stream: writer } => {
                let stream = writer.id();
                self.streams.insert(stream, writer);
                self.step(Input::Subscribe { stream, name, call });
            }
            Message::AgentSubscribe { name, call, stream: writer } => {
                let stream = writer.id();
                self.streams.insert(stream, writer);
                self.step(Input::AgentSubscribe { stream, name, call });
            }
            Message::Call { name, call, reply } => {
                let reply = self.await_reply(reply);
                self.step(Input::Call { reply, stream_name: name, call });
            }
            Message::AgentCall { name, call, reply } => {
                let reply = self.await_reply(reply);
                self.step(Input::AgentCall { reply, stream_name: name, call });
            }
            Message::Operator { call, reply } => {
                let reply = self.await_reply(reply);
                self.step(Input::Operator { reply, call });
            }
            Message::Look(look) => look(&self.master, now(self.origin)),
        }
    }

    fn await_reply(&mut self, reply: oneshot::Sender<Answer>) -> ReplyId {
        let id = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.replies.insert(id, reply);
        id
    }

    fn on_closed(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.step(Input::Closed(stream));
    }

    fn step(&mut self, input: Input) {
        let mut broken = Vec::new();
        for output in self.master.step(now(self.origin), input) {
            match output {
                Output::Event { stream, event } => {
                    if self.streams.get(&stream).is_some_and(|writer| writer.event(&event).is_err())
                    {
                        broken.push(stream);
                    }
                }
                Output::AgentEvent { stream, event } => {
                    if self.streams.get(&stream).is_some_and(|writer| writer.agent(&event).is_err())
                    {
                        broken.push(stream);
                    }
                }
                Output::Close(stream) => {
                    self.streams.remove(&stream);
                }
                Output::Answer { reply, answer } => {
                    if let Some(reply) = self.replies.remove(&reply) {
                        let _client_left = reply.send(answer);
                    }
                }
                Output::Write { write, change } => {
                    // If the writer is gone this loop is about to end with it.
                    let _ends = self.changes.send((write, *change));
                }
            }
        }
        // A reader that is gone or too slow loses its stream; it has to subscribe again.
        for stream in broken {
            if self.streams.remove(&stream).is_some() {
                tracing::warn!(stream = stream.0, "a stream's reader is gone or too slow: closed");
                self.step(Input::Closed(stream));
            }
        }
    }
}

fn now(origin: Instant) -> Now {
    let nanos = u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        instant: Moment::from_nanos(nanos),
        unix_nanos: i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX),
    }
}
