//! A connection on the leader port, or on a follower's for observers: packets both ways.
//!
//! The same on both sides; a learner's may carry a snapshot towards it. **Invariant:** at most
//! [`BATCHES`] batches of packets from one peer wait for the core; then the peer waits.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use jute::HostPort;
use jute::learner::{PacketType, QuorumPacket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::dial::dial_for_packets;
use super::outbox::{Closed, Item, Outbox};
use super::security::PeerSecurity;
use super::stream::{ReadHalf, Stream, WriteHalf};
use super::{Event, Tell, incoming};
use crate::mending::Desk;

/// One connection, never used again for another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LinkId(pub(crate) u64);

/// A connection in the core's hands. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) outbox: Arc<Outbox>,
    /// It came at the port where a follower takes observers.
    pub(crate) observes: bool,
    /// `None` once it was let go with its last words.
    job: Option<JoinHandle<()>>,
}

impl Link {
    /// Lets it go once what is queued is sent, which the peer has a moment to take.
    pub(crate) fn finish(mut self) -> JoinHandle<()> {
        self.outbox.finish();
        let job = self.job.take();
        tokio::spawn(async move {
            if let Some(mut job) = job
                && timeout(LAST_WORDS, &mut job).await.is_err()
            {
                job.abort();
            }
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.abort();
        }
    }
}

/// What is believed of what a peer sends, and what is kept for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest data of one packet, in bytes.
    pub(crate) packet: usize,
    /// The longest text or data within a snapshot, in bytes.
    pub(crate) record: usize,
    /// What may wait to be sent to it, in bytes.
    pub(crate) unsent: usize,
    /// How long it may take to say who it is.
    pub(crate) introduction: Duration,
    /// How long a connection may take.
    pub(crate) connect: Duration,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
enum Side {
    /// A learner, or one that asks of this member's files.
    Caller(Arc<Desk>),
    /// An observer, at a follower.
    Observer,
    /// Whom this member called. Snapshots are staged in the folder.
    Called(Arc<Path>),
}

/// Takes learners as they come, for as long as the job lives. `desk`: there is none where only observers call.
pub(super) async fn accept(
    listener: TcpListener,
    ids: Arc<Ids>,
    limits: Limits,
    security: PeerSecurity,
    desk: Option<Arc<Desk>>,
    tell: Tell,
) {
    let side = desk.map_or(Side::Observer, Side::Caller);
    let observes = matches!(side, Side::Observer);
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok((stream, remote)) => (stream, remote),
            Err(error) => {
                tracing::warn!(%error, "learner's connection not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let security = security.clone();
        let (id, outbox) = (ids.next(), Arc::new(Outbox::new(limits.unsent)));
        let (out, side, to_core) = (Arc::clone(&outbox), side.clone(), tell.clone());
        let (begin, begun) = oneshot::channel();
        let job = tokio::spawn(async move {
            // Not before the core knows of it.
            if begun.await.is_ok() {
                let talk = async {
                    let welcome = async {
                        let mut stream = security.accept(stream).await?;
                        let early = security.demand(&mut stream).await?;
                        io::Result::Ok((stream, early))
                    };
                    let caller = timeout(limits.introduction, welcome).await??;
                    run(id, caller, out, limits, side, to_core.clone()).await
                };
                let error = talk.await.err();
                if let Some(error) = error.as_ref().filter(|it| it.kind() == INVALID) {
                    tracing::warn!(%remote, %error, "what a learner says cannot be read");
                }
                (to_core)(Event::Ended { link: id, error });
            }
        });
        (tell)(Event::Called(Link { id, outbox, observes, job: Some(job) }));
        let _ = begin.send(());
    }
}

/// Calls the leader, or whoever feeds an observer, after a `pause`, a few times if need be; [`Event::Ended`] tells when it
/// was in vain. A snapshot that comes is staged in `dir`.
pub(super) fn call(
    places: Vec<HostPort>,
    pause: Duration,
    ids: &Ids,
    limits: Limits,
    security: PeerSecurity,
    dir: Arc<Path>,
    tell: Tell,
) -> Link {
    let (id, outbox) = (ids.next(), Arc::new(Outbox::new(limits.unsent)));
    let out = Arc::clone(&outbox);
    let job = tokio::spawn(async move {
        let talk = async {
            sleep(pause).await;
            let stream = call_again(&places, limits.connect, &security).await?;
            (tell)(Event::Up { link: id });
            let side = Side::Called(dir);
            run(id, (stream, BytesMut::new()), out, limits, side, tell.clone()).await
        };
        let error = talk.await.err();
        (tell)(Event::Ended { link: id, error });
    });
    Link { id, outbox, observes: false, job: Some(job) }
}

/// The leader may know later than this member that it leads.
async fn call_again(
    places: &[HostPort],
    limit: Duration,
    security: &PeerSecurity,
) -> io::Result<Stream> {
    let mut tries = 0;
    loop {
        tries += 1;
        match dial_for_packets(places, limit, security).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tries == TRIES => return Err(error),
            Err(_) => sleep(BETWEEN_TRIES).await,
        }
    }
}

async fn run(
    id: LinkId,
    (stream, early): (Stream, BytesMut),
    outbox: Arc<Outbox>,
    limits: Limits,
    side: Side,
    tell: Tell,
) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let listen = listen(id, (read, early), &outbox, limits, side, &tell);
    let mut listen = pin!(listen);
    tokio::select! {
        ended = &mut listen => ended,
        () = outbox.given_up() => Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too little")),
        ended = speak(write, &outbox) => match ended {
            Ok(Closed::GivenUp) => Ok(()),
            // Both sides read what the other has said last: closed over bytes that nobody read, a connection loses what is on its
            // way in the other direction.
            Ok(Closed::Finished) => listen.await,
            Err(error) => timeout(LAST_WORDS, listen).await.unwrap_or(Ok(())).and(Err(error)),
        },
    }
}

async fn speak(mut write: WriteHalf, outbox: &Outbox) -> io::Result<Closed> {
    let mut spare = BytesMut::new();
    loop {
        let item = match outbox.take(std::mem::take(&mut spare)).await {
            Ok(item) => item,
            Err(closed) => {
                if closed == Closed::Finished {
                    write.shutdown().await?;
                }
                return Ok(closed);
            }
        };
        match item {
            Item::Bytes(mut bytes) => {
                write.write_all(&bytes).await?;
                write.flush().await?;
                if bytes.capacity() <= KEEP {
                    bytes.clear();
                    spare = bytes;
                }
            }
            Item::Source(source) => {
                let mut pieces = source.read();
                while let Some(piece) = pieces.recv().await {
                    write.write_all(&piece?).await?;
                }
                write.flush().await?;
            }
        }
    }
}

async fn listen(
    id: LinkId,
    (mut read, mut input): (ReadHalf, BytesMut),
    outbox: &Outbox,
    limits: Limits,
    side: Side,
    tell: &Tell,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(BATCHES));
    let mut first = true;
    loop {
        let mut packets = Vec::new();
        let mut snapshot = None;
        while snapshot.is_none()
            && let Some(packet) = QuorumPacket::take(&mut input, limits.packet)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        {
            if packet.kind == PacketType::Mend {
                answer(packet, outbox, &side).await?;
                first = false;
                continue;
            }
            snapshot = (packet.kind == PacketType::Snap).then_some(packet.zxid);
            packets.push(packet);
        }
        if !packets.is_empty() {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
            (tell)(Event::Packets { link: id, packets, permit });
            first = false;
        }
        if let Some(zxid) = snapshot {
            let Side::Called(dir) = &side else {
                let what = "a learner sends a snapshot";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            };
            let dir = Arc::clone(dir);
            let received = incoming::receive(&mut read, &mut input, zxid, limits.record, dir);
            let (state, staged) = received.await?;
            (tell)(Event::Snapshot { link: id, state, staged });
            continue;
        }
        if input.is_empty() && input.capacity() > KEEP {
            input = BytesMut::new();
        }
        if input.capacity() - input.len() < READ_LEAST {
            input.reserve(READ);
        }
        let count = match first {
            // Nobody waits for a caller that never says who it is.
            true => timeout(limits.introduction, read.read_buf(&mut input)).await??,
            false => read.read_buf(&mut input).await?,
        };
        if count == 0 {
            return Ok(());
        }
    }
}

/// A peer asks of this member's files. Nothing of it reaches the core.
async fn answer(packet: QuorumPacket, outbox: &Outbox, side: &Side) -> io::Result<()> {
    let answer = match side {
        Side::Caller(desk) => Arc::clone(desk).answer(packet.data).await,
        Side::Observer | Side::Called(_) => None,
    };
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "a question without a meaning");
    let answer = answer.ok_or_else(invalid)?;
    if !outbox.put(|out| put_packet(out, PacketType::Mend, packet.zxid, Some(&answer))) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    outbox.flush();
    Ok(())
}

/// Gives each connection its number.
#[derive(Debug, Default)]
pub(super) struct Ids(std::sync::atomic::AtomicU64);

impl Ids {
    fn next(&self) -> LinkId {
        // 0 stands for the member itself.
        LinkId(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1)
    }
}

/// Puts one packet without copying its data first.
pub(crate) fn put_packet(
    out: &mut BytesMut,
    kind: PacketType,
    zxid: types::Zxid,
    data: Option<&[u8]>,
) {
    use jute::Put;
    out.put_i32(kind.code());
    out.put_zxid(zxid);
    out.put_buffer(data);
    out.put_i32(-1);
}

const INVALID: io::ErrorKind = io::ErrorKind::InvalidData;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const LAST_WORDS: Duration = Duration::from_secs(1);
const BETWEEN_TRIES: Duration = Duration::from_millis(100);
const TRIES: u32 = 5;
const BATCHES: usize = 16;
const READ: usize = 64 << 10;
/// With less room than this more is made.
const READ_LEAST: usize = 8 << 10;
const KEEP: usize = 256 << 10;
