//! What is on its way to one peer: filled by the core, emptied by the connection's job.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use bytes::BytesMut;
use tokio::sync::Notify;

use super::source::Source;

/// Bytes for one peer, with a bound: a peer that takes too little is given up.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
    /// The peer is given up.
    ended: Notify,
    /// Its turn to be flushed is noted.
    marked: AtomicBool,
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    /// Bytes in `items`.
    bytes: usize,
    closed: bool,
    /// What is here is the last of it.
    finishing: bool,
}

/// What is sent next.
#[derive(Debug)]
pub(super) enum Item {
    Bytes(BytesMut),
    /// Read only when it is its turn, so that it takes no room here.
    Source(Source),
}

/// Why nothing more is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closed {
    /// The last words were sent.
    Finished,
    /// The peer takes too little.
    GivenUp,
}

impl Outbox {
    /// Keeps up to `limit` bytes that the socket has not taken.
    pub(crate) fn new(limit: usize) -> Self {
        let (inner, marked) = (Mutex::default(), AtomicBool::new(false));
        Self { inner, wake: Notify::new(), ended: Notify::new(), marked, limit }
    }

    /// Adds what `put` writes. False: the peer is too far behind, or gone; the connection ends.
    pub(crate) fn put(&self, put: impl FnOnce(&mut BytesMut)) -> bool {
        let mut inner = self.lock();
        if inner.closed || inner.finishing {
            return false;
        }
        if !matches!(inner.items.back(), Some(Item::Bytes(_))) {
            inner.items.push_back(Item::Bytes(BytesMut::new()));
        }
        if let Some(Item::Bytes(out)) = inner.items.back_mut() {
            let before = out.len();
            put(out);
            let more = out.len() - before;
            inner.bytes += more;
        }
        if inner.bytes > self.limit {
            self.end(inner);
            return false;
        }
        true
    }

    /// Adds what is read when its turn comes.
    pub(crate) fn splice(&self, source: Source) {
        let mut inner = self.lock();
        if !inner.closed {
            inner.items.push_back(Item::Source(source));
        }
    }

    /// Whether it must be noted now that it is to be flushed: it is not yet.
    pub(crate) fn mark(&self) -> bool {
        !self.marked.swap(true, Relaxed)
    }

    /// There is something to send, as far as the core goes for now.
    pub(crate) fn flush(&self) {
        self.marked.store(false, Relaxed);
        self.wake.notify_one();
    }

    /// What is queued is the last that is sent; then the connection ends.
    pub(super) fn finish(&self) {
        self.lock().finishing = true;
        self.wake.notify_one();
    }

    /// Waits for what is to be sent next; `with` is an empty buffer to be filled again.
    pub(super) async fn take(&self, with: BytesMut) -> Result<Item, Closed> {
        let mut with = Some(with);
        loop {
            {
                let mut inner = self.lock();
                if inner.closed {
                    return Err(Closed::GivenUp);
                }
                if let Some(item) = inner.items.pop_front() {
                    if let Item::Bytes(bytes) = &item {
                        inner.bytes -= bytes.len();
                    }
                    match item {
                        Item::Bytes(bytes) if bytes.is_empty() => with = Some(bytes),
                        item => {
                            if let Some(with) = with.take().filter(|_| inner.items.is_empty()) {
                                inner.items.push_back(Item::Bytes(with));
                            }
                            return Ok(item);
                        }
                    }
                    if !inner.items.is_empty() {
                        continue;
                    }
                }
                if inner.finishing {
                    return Err(Closed::Finished);
                }
            }
            self.wake.notified().await;
        }
    }

    /// Waits until the peer is given up: it may take nothing at all.
    pub(super) async fn given_up(&self) {
        self.ended.notified().await;
    }

    fn end(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.closed = true;
        inner.items = VecDeque::new();
        inner.bytes = 0;
        drop(inner);
        self.wake.notify_one();
        self.ended.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding an outbox")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up_at_the_bound() {
        let outbox = Outbox::new(10);
        assert!(outbox.put(|out| out.extend_from_slice(&[1; 10])));
        let taken = outbox.take(BytesMut::new()).await.expect("it is open");
        assert!(matches!(taken, Item::Bytes(bytes) if bytes.len() == 10));
        assert!(outbox.put(|out| out.extend_from_slice(&[1; 4])));
        assert!(!outbox.put(|out| out.extend_from_slice(&[1; 7])));
        assert!(!outbox.put(|_| {}));
        assert_eq!(outbox.take(BytesMut::new()).await.err(), Some(Closed::GivenUp));
    }

    #[tokio::test]
    async fn the_last_words_are_sent() {
        let outbox = Outbox::new(10);
        assert!(outbox.put(|out| out.extend_from_slice(&[1; 3])));
        outbox.finish();
        assert!(!outbox.put(|out| out.extend_from_slice(&[1; 3])));
        let taken = outbox.take(BytesMut::new()).await.expect("there is something");
        assert!(matches!(taken, Item::Bytes(bytes) if bytes.len() == 3));
        assert_eq!(outbox.take(BytesMut::new()).await.err(), Some(Closed::Finished));
    }
}
