//! What requests that are not answered take, and how much of it they may take together.
//!
//! Lives here: the counts, and the line of connections whose next request waits for its turn. Must not: sockets, answers
//! (`connection`). **Invariant:** whoever comes to be first in line is woken, and so is the first when a request has
//! ended. Source: `ZooKeeperServer`'s large requests and `RequestThrottler`, Apache ZooKeeper 3.9.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::conn::Conn;
use crate::{LargeRequests, MemberConfig, RequestThrottle};

/// The counts of one member.
#[derive(Debug)]
pub(crate) struct Throttle {
    large: Option<LargeRequests>,
    pub(crate) requests: RequestThrottle,
    /// Of long requests that are not answered.
    large_bytes: AtomicUsize,
    /// May be locked while a connection is, and not the other way round.
    line: Mutex<Line>,
    /// Told when nobody is in line any more.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Line {
    /// Requests that are not answered.
    in_process: usize,
    /// Connections, each for one request. Those that are closed count no more.
    waiting: VecDeque<Arc<Conn>>,
    /// The member is to end: nobody joins it any more.
    closed: bool,
}

/// What one request takes until it is dropped, which is when it is answered.
#[derive(Debug)]
pub(crate) struct Held {
    throttle: Arc<Throttle>,
    /// 0: it is not a long one.
    large_bytes: usize,
    in_process: bool,
    /// It has waited for so long that it is to be refused.
    pub(crate) is_throttled: bool,
}

/// There is no room for so long a request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct TooLarge;

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    /// It is in process.
    Entered,
    /// Its connection is in line and is woken.
    Waits { is_first: bool },
    /// The member is to end.
    Closed,
}

/// Who is to be woken, and whose connections ended in line, once the line is not locked any more.
type Told = (Option<Arc<Conn>>, Vec<Arc<Conn>>);

/// Whether a client whose session has this timeout may have given up a request that took so long.
pub(crate) fn is_stale(time: Duration, timeout_ms: i32) -> bool {
    time.as_millis() > u128::from(timeout_ms.unsigned_abs())
}

impl Throttle {
    pub(crate) fn new(config: &MemberConfig) -> Self {
        Self {
            large: config.large_requests,
            requests: config.request_throttle,
            large_bytes: AtomicUsize::new(0),
            line: Mutex::default(),
            emptied: Notify::new(),
        }
    }

    /// Whether anything is to be asked of it before a request is taken.
    pub(crate) fn is_on(&self) -> bool {
        self.large.is_some() || self.has_line()
    }

    /// Whether only so many requests may be in process.
    pub(crate) fn has_line(&self) -> bool {
        self.requests.most > 0
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

    /// Takes what a request of so many bytes needs; it is not in process yet.
    pub(crate) fn hold(self: &Arc<Self>, length: usize) -> Result<Held, TooLarge> {
        let large_bytes = if self.is_large(length) { length } else { 0 };
        let throttle = Arc::clone(self);
        let held = Held { throttle, large_bytes, in_process: false, is_throttled: false };
        let taken = self.large_bytes.fetch_add(large_bytes, Relaxed);
        let most = self.large.filter(|_| large_bytes > 0).map(|large| large.most);
        // What it took too much is given back with it.
        match most.is_some_and(|most| taken.saturating_add(length) > most) {
            true => Err(TooLarge),
            false => Ok(held),
        }
    }

    /// Has the next request of a connection in process if it is its turn and there is room. `waited`: the connection is
    /// in line already. `stays`: it may go on even when the member is to end.
    pub(crate) fn enter(
        &self,
        conn: &Arc<Conn>,
        waited: bool,
        stays: bool,
        held: &mut Held,
    ) -> Entry {
        let mut line = self.lock();
        if line.closed && !stays {
            return Entry::Closed;
        }
        let gone = line.leave_closed();
        let is_first = match line.waiting.front() {
            Some(first) => waited && Arc::ptr_eq(first, conn),
            None => true,
        };
        if !is_first || line.in_process >= self.requests.most {
            if !waited {
                line.waiting.push_back(Arc::clone(conn));
            }
            drop(line);
            drop(gone);
            return Entry::Waits { is_first };
        }
        line.in_process += 1;
        held.in_process = true;
        if waited {
            line.waiting.pop_front();
        }
        let next = line.waiting.front().cloned();
        drop(line);
        self.tell((next, gone));
        Entry::Entered
    }

    /// A connection in line has ended, or a request has.
    pub(crate) fn pass_on(&self) {
        let told = self.lock().next();
        self.tell(told);
    }

    /// Has nobody join the line any more; returns when it is empty, or after as long as that may take.
    pub(crate) async fn drain(&self) {
        let emptied = self.emptied.notified();
        let is_empty = {
            let mut line = self.lock();
            line.closed = true;
            line.waiting.is_empty()
        };
        if !is_empty && timeout(self.requests.shutdown_timeout, emptied).await.is_err() {
            tracing::warn!("requests that still wait for their turn are dropped");
        }
    }

    fn leave(&self) {
        let told = {
            let mut line = self.lock();
            line.in_process -= 1;
            line.next()
        };
        self.tell(told);
    }

    /// Not under the lock: the last of a connection may end here, and with it a request.
    fn tell(&self, (next, gone): Told) {
        match next {
            Some(conn) => conn.wake.wake(),
            None => self.emptied.notify_waiters(),
        }
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("nobody panics while holding the line")
    }
}

impl Line {
    fn next(&mut self) -> Told {
        let gone = self.leave_closed();
        (self.waiting.front().cloned(), gone)
    }

    /// Whoever has ended before its turn.
    fn leave_closed(&mut self) -> Vec<Arc<Conn>> {
        let ended = self.waiting.iter().take_while(|conn| conn.is_closed()).count();
        self.waiting.drain(..ended).collect()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.throttle.large_bytes.fetch_sub(self.large_bytes, Relaxed);
        if self.in_process {
            self.throttle.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Instant;

    use super::*;

    fn throttle(most: usize) -> Arc<Throttle> {
        let mut config = MemberConfig::in_process("");
        config.request_throttle.most = most;
        Arc::new(Throttle::new(&config))
    }

    fn conn() -> Arc<Conn> {
        let remote = "127.0.0.1:1".parse().expect("an address");
        Arc::new(Conn::new(0, remote, Arc::from([]), Instant::ZERO))
    }

    fn held(throttle: &Arc<Throttle>) -> Held {
        throttle.hold(10).expect("no request is long")
    }

    #[test]
    fn long_requests_have_so_many_bytes_together() {
        let mut config = MemberConfig::in_process("");
        let off = Arc::new(Throttle::new(&config));
        assert!(!off.is_on() && off.has_room_for(usize::MAX).is_ok());
        config.large_requests = Some(LargeRequests { threshold: 10, most: 30 });
        let throttle = Arc::new(Throttle::new(&config));
        assert!(throttle.is_on() && !throttle.has_line());
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

    #[test]
    fn connections_have_their_turns_in_the_order_in_which_they_came() {
        let throttle = throttle(2);
        let conns = [conn(), conn(), conn()];
        let mut all = [0; 5].map(|_| held(&throttle));
        let [a, b, c, d, e] = &mut all;
        let enter =
            |at: usize, waited, held: &mut Held| throttle.enter(&conns[at], waited, false, held);
        assert_eq!(enter(0, false, a), Entry::Entered);
        assert_eq!(enter(0, false, b), Entry::Entered);
        assert_eq!(enter(0, false, c), Entry::Waits { is_first: true });
        assert_eq!(enter(1, false, d), Entry::Waits { is_first: false });
        throttle.leave();
        a.in_process = false;
        // There is room, and yet it is not for who comes later.
        assert_eq!(enter(2, false, e), Entry::Waits { is_first: false });
        assert_eq!(enter(1, true, d), Entry::Waits { is_first: false });
        assert_eq!(enter(0, true, c), Entry::Entered);
        assert_eq!(enter(1, true, d), Entry::Waits { is_first: true });
        drop(all);
        assert_eq!(throttle.lock().in_process, 0);
    }

    #[test]
    fn whoever_has_ended_keeps_nobody_waiting() {
        let throttle = throttle(1);
        let conns = [conn(), conn(), conn()];
        let mut entered = held(&throttle);
        assert_eq!(throttle.enter(&conns[0], false, false, &mut entered), Entry::Entered);
        let mut waiting = [0; 3].map(|_| held(&throttle));
        for (conn, held) in conns.iter().zip(&mut waiting) {
            assert!(matches!(throttle.enter(conn, false, false, held), Entry::Waits { .. }));
        }
        conns[0].close(false);
        conns[1].close(false);
        throttle.pass_on();
        assert_eq!(throttle.lock().waiting.len(), 1);
        drop(entered);
        let last = throttle.enter(&conns[2], true, false, &mut waiting[2]);
        assert_eq!(last, Entry::Entered);
    }

    #[tokio::test]
    async fn who_is_in_line_has_its_turn_before_the_member_ends_and_nobody_joins_it() {
        let throttle = throttle(1);
        let conns = [conn(), conn()];
        let mut all = [0; 3].map(|_| held(&throttle));
        let [entered, waits, late] = &mut all;
        assert_eq!(throttle.enter(&conns[0], false, false, entered), Entry::Entered);
        assert!(matches!(throttle.enter(&conns[0], false, false, waits), Entry::Waits { .. }));
        let draining = throttle.drain();
        tokio::pin!(draining);
        assert!(futures::poll!(&mut draining).is_pending());
        assert_eq!(throttle.enter(&conns[1], false, false, late), Entry::Closed);
        throttle.leave();
        entered.in_process = false;
        assert_eq!(throttle.enter(&conns[0], true, true, waits), Entry::Entered);
        draining.await;
        throttle.drain().await;
    }
}
