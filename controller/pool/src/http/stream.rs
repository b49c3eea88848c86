//! Responses that stay open: RecordIO, with a bounded queue between the machine and the reader.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use master::StreamId;
use mesos::link::AgentEvent;
use mesos::recordio;
use mesos::v1::scheduler;
use tokio::sync::mpsc;

use super::media::Media;
use super::reply::Reply;
use crate::leader::Desk;

/// How much may wait for a slow reader, in bytes, before its stream is closed.
const MOST_QUEUED: usize = 32 << 20;

pub(super) const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// The machine's end of a stream. The stream ends when it is dropped, after what was written.
#[derive(Debug)]
pub(crate) struct Writer {
    id: StreamId,
    media: Media,
    records: mpsc::UnboundedSender<Bytes>,
    queued: Arc<AtomicUsize>,
}

/// The reader is gone, or so slow that too much waits for it.
#[derive(Debug)]
pub(crate) struct Broken;

impl Writer {
    pub(crate) const fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn event(&self, event: &scheduler::Event) -> Result<(), Broken> {
        self.record(&self.media.encode(event))
    }

    pub(crate) fn agent(&self, event: &AgentEvent) -> Result<(), Broken> {
        self.record(&mesos::json::to_vec(event))
    }

    fn record(&self, record: &[u8]) -> Result<(), Broken> {
        let framed = recordio::encode(record);
        let before = self.queued.fetch_add(framed.len(), Ordering::Relaxed);
        if before > MOST_QUEUED {
            return Err(Broken);
        }
        self.records.send(framed).map_err(|_| Broken)
    }
}

/// A stream: the machine's end, and the response with its header `Mesos-Stream-Id`.
pub(super) fn open(desk: &Desk, name: &str, media: Media) -> (Writer, Reply) {
    let (records, read) = mpsc::unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let (id, closed) = desk.next_stream();
    let body = Reader { id, records: read, queued: Arc::clone(&queued), closed };
    let mut response = Response::new(body.boxed());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.content_type());
    let name = HeaderValue::from_str(name).expect("a UUID is a header's value");
    headers.insert(STREAM_ID, name);
    (Writer { id, media, records, queued }, response)
}

struct Reader {
    id: StreamId,
    records: mpsc::UnboundedReceiver<Bytes>,
    queued: Arc<AtomicUsize>,
    closed: mpsc::UnboundedSender<StreamId>,
}

impl Body for Reader {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let record = ready!(self.records.poll_recv(cx));
        if let Some(record) = &record {
            self.queued.fetch_sub(record.len(), Ordering::Relaxed);
        }
        Poll::Ready(record.map(|record| Ok(Frame::data(record))))
    }
}

impl Drop for Reader {
    /// The connection is gone, or the stream has ended.
    fn drop(&mut self) {
        let _leader_gone = self.closed.send(self.id);
    }
}
