//! What requests that are not answered take, and how much of it they may take together.
//!
//! Lives here: the counts. Must not: sockets, answers (`connection`). Source: `ZooKeeperServer`'s large requests, Apache
//! ZooKeeper 3.9.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{LargeRequests, MemberConfig};

/// The counts of one member.
#[derive(Debug)]
pub(crate) struct Throttle {
    large: Option<LargeRequests>,
    /// Of long requests that are not answered.
    large_bytes: AtomicUsize,
}

/// What one request takes until it is dropped, which is when it is answered.
#[derive(Debug)]
pub(crate) struct Held {
    throttle: Arc<Throttle>,
    /// 0: it is not a long one.
    large_bytes: usize,
}

/// There is no room for so long a request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct TooLarge;

impl Throttle {
    pub(crate) fn new(config: &MemberConfig) -> Self {
        Self { large: config.large_requests, large_bytes: AtomicUsize::new(0) }
    }

    /// Whether anything is to be asked of it before a request is taken.
    pub(crate) fn is_on(&self) -> bool {
        self.large.is_some()
    }

    pub(crate) fn is_large(&self, length: usize) -> bool {
        self.large.is_some_and(|large| length > large.threshold)
    }

    /// Whether a request of so many bytes may be received.
    pub(crate) fn has_room_for(&self, length: usize) -> Result<(), TooLarge> {
        let most = self.large.filter(|large| length > large.threshold).map(|large| large.most);
        let taken = self.large_bytes.load(Relaxed);
        let has_room = most.is_none_or(|most| taken.saturating_add(length) <= most);
        if has_room { Ok(()) } else { Err(TooLarge) }
    }

    /// Takes what a request of so many bytes needs.
    pub(crate) fn hold(self: &Arc<Self>, length: usize) -> Result<Held, TooLarge> {
        let large_bytes = if self.is_large(length) { length } else { 0 };
        let held = Held { throttle: Arc::clone(self), large_bytes };
        let taken = self.large_bytes.fetch_add(large_bytes, Relaxed);
        let most = self.large.filter(|_| large_bytes > 0).map(|large| large.most);
        // What it took too much is given back with it.
        match most.is_some_and(|most| taken.saturating_add(length) > most) {
            true => Err(TooLarge),
            false => Ok(held),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.throttle.large_bytes.fetch_sub(self.large_bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_requests_have_so_many_bytes_together() {
        let mut config = MemberConfig::in_process("");
        let off = Arc::new(Throttle::new(&config));
        assert!(!off.is_on() && off.has_room_for(usize::MAX).is_ok());
        config.large_requests = Some(LargeRequests { threshold: 10, most: 30 });
        let throttle = Arc::new(Throttle::new(&config));
        let short = throttle.hold(10).expect("it is none of them");
        let first = throttle.hold(11).expect("the first");
        assert_eq!(throttle.has_room_for(20), Err(TooLarge));
        assert_eq!(throttle.hold(20).err(), Some(TooLarge));
        let second = throttle.hold(19).expect("as much as may be");
        assert_eq!(throttle.has_room_for(11), Err(TooLarge));
        throttle.hold(10).expect("a short one always fits");
        drop((short, first));
        throttle.hold(11).expect("there is room again");
        drop(second);
        assert_eq!(throttle.large_bytes.load(Relaxed), 0);
    }
}
