//! Where the sockets of clients that say little wait together.
//!
//! What the runtime keeps for a socket takes more than all else of an idle session. So a client's socket is
//! registered with one descriptor of the member's own, which alone the runtime knows, and with the runtime only while
//! the client is busy (`socket`, `connection`). Must not: read, write, or decide who is busy.

use std::convert::Infallible;
use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Weak};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use znodes::Watcher;

use crate::shared::Shared;

/// The sockets that wait.
#[derive(Debug)]
pub(crate) struct Quiet {
    epoll: Arc<OwnedFd>,
    /// Told by being dropped.
    _end: oneshot::Sender<Infallible>,
}

/// What wakes the connections whose sockets wait.
#[derive(Debug)]
pub(crate) struct Waking {
    epoll: Arc<OwnedFd>,
    end: oneshot::Receiver<Infallible>,
}

impl Quiet {
    /// None waits yet. Nobody is woken unless the other part runs.
    pub(crate) fn new() -> io::Result<(Self, Waking)> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let (sender, end) = oneshot::channel();
        Ok((Self { epoll: Arc::clone(&epoll), _end: sender }, Waking { epoll, end }))
    }

    /// From here on the connection with this slot is woken whenever the socket has become readable or writable: it
    /// must have tried before it waits. Ends by itself when the socket is closed.
    pub(crate) fn add(&self, stream: &TcpStream, slot: u32) -> io::Result<()> {
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&*self.epoll, stream, EventData::new_u64(slot.into()), events)?)
    }

    pub(crate) fn remove(&self, stream: &TcpStream) -> io::Result<()> {
        Ok(epoll::delete(&*self.epoll, stream)?)
    }
}

impl Waking {
    /// Begins, until what is shared is dropped.
    pub(crate) fn start(self, shared: Weak<Shared>) -> io::Result<()> {
        let epoll = readable(self.epoll)?;
        tokio::spawn(async move {
            tokio::select! {
                Err(error) = wake(&epoll, &shared) => {
                    tracing::error!(%error, "idle clients are not heard any more");
                }
                _ = self.end => {}
            }
        });
        Ok(())
    }
}

async fn wake(epoll: &AsyncFd<Arc<OwnedFd>>, shared: &Weak<Shared>) -> io::Result<Infallible> {
    loop {
        let mut ready = epoll.readable().await?;
        // Without it the other branch ends this one.
        let Some(shared) = shared.upgrade() else { continue };
        // Fewer than there was room for: what comes from here on is told anew.
        if wake_some(epoll.get_ref(), &shared)? < EVENTS {
            ready.clear_ready();
        }
    }
}

/// Wakes those whose sockets are ready; answers how many they were.
fn wake_some(epoll: &OwnedFd, shared: &Shared) -> io::Result<usize> {
    let mut events = [MaybeUninit::uninit(); EVENTS];
    let (events, _) = loop {
        match epoll::wait(epoll, &mut events[..], Some(&AT_ONCE)) {
            Err(Errno::INTR) => {}
            waited => break waited?,
        }
    };
    let watchers = shared.watchers();
    for event in &*events {
        // A slot that is another's by now: a wake-up too many does no harm.
        let slot = u32::try_from(event.data.u64()).unwrap_or(u32::MAX);
        if let Some(conn) = watchers.conn(Watcher(slot)) {
            conn.wake.wake();
        }
    }
    Ok(events.len())
}

/// Has the runtime tell when a descriptor is readable.
#[expect(
    deprecated,
    reason = "what takes its place is unsafe, for types that may close the descriptor meanwhile"
)]
pub(crate) fn readable<T: AsFd + AsRawFd>(descriptor: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// How many are woken before others have their turn.
const EVENTS: usize = 256;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::net::TcpListener;

    use bytes::Bytes;

    use super::*;
    use crate::socket::Socket;

    /// The slots that are told of, within a second.
    fn told(quiet: &Quiet) -> Vec<u64> {
        let mut events = [MaybeUninit::uninit(); EVENTS];
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let (events, _) = epoll::wait(&*quiet.epoll, &mut events[..], Some(&second)).expect("open");
        events.iter().map(|event| event.data.u64()).collect()
    }

    async fn read(socket: &mut Socket) -> Bytes {
        let mut input = Bytes::new();
        let count = poll_fn(|cx| socket.poll_read(cx, &mut input)).await.expect("it is open");
        assert_eq!(count, input.len());
        input
    }

    #[tokio::test]
    async fn a_socket_is_told_of_here_while_it_is_quiet_and_by_the_runtime_while_it_is_busy() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there are ports");
        let addr = listener.local_addr().expect("it listens");
        let mut client = TcpStream::connect(addr).expect("it listens");
        let (stream, _) = listener.accept().expect("one has come");
        stream.set_nonblocking(true).expect("it is a socket");
        let (quiet, _waking) = Quiet::new().expect("there are descriptors");
        quiet.add(&stream, 7).expect("it is new");
        let mut socket = Socket::plain(stream);
        assert_eq!(told(&quiet), [7], "what it is at first");
        client.write_all(b"quiet").expect("it is open");
        assert_eq!(told(&quiet), [7]);
        assert_eq!(read(&mut socket).await, "quiet");
        socket.rouse(&quiet).expect("it was added");
        client.write_all(b"busy").expect("it is open");
        assert_eq!(read(&mut socket).await, "busy");
        client.write_all(b"both").expect("it is open");
        socket.settle(&quiet, 8).expect("it was removed");
        assert_eq!(told(&quiet), [8], "what had come before");
        assert_eq!(read(&mut socket).await, "both");
        drop(client);
        assert_eq!(told(&quiet), [8]);
        assert_eq!(read(&mut socket).await, "");
    }
}
