//! A feed over a channel, with a translation.

use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Change, Feed};

/// What comes out of a channel, translated; what translates to nothing is skipped.
pub struct Received<T, F> {
    channel: UnboundedReceiver<T>,
    translate: F,
}

impl<T, F: FnMut(T) -> Option<Change>> Received<T, F> {
    /// Reads from `channel` through `translate`.
    pub fn new(channel: UnboundedReceiver<T>, translate: F) -> Self {
        Self { channel, translate }
    }
}

impl<T: Send, F: FnMut(T) -> Option<Change> + Send> Feed for Received<T, F> {
    fn try_next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = (self.translate)(self.channel.try_recv().ok()?) {
                return Some(change);
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        loop {
            let Some(item) = ready!(self.channel.poll_recv(cx)) else { return Poll::Ready(None) };
            if let Some(change) = (self.translate)(item) {
                return Poll::Ready(Some(change));
            }
        }
    }
}
