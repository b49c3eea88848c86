//! Connections for votes: one for each pair of members, kept for ever, dialled by the larger id.
//!
//! Each peer has a slot with room for one message, the newest: votes replace each other. A slot's job owns
//! the connection; it dials when there is something to say and nobody to say it to.
//! Source: `QuorumCnxManager`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jute::election::{Initial, Notification};
use jute::{HostPort, Text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use types::PeerId;

use super::dial::dial;
use super::initial;
use super::security::PeerSecurity;
use super::stream::{ReadHalf, Stream, WriteHalf};

/// All connections for votes. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Elections {
    all: Arc<All>,
}

/// Takes connections of voters.
#[derive(Clone, Debug)]
pub(super) struct Acceptor(Arc<All>);

#[derive(Debug)]
struct All {
    me: PeerId,
    /// Where this member says it can be dialled.
    own: Mutex<Vec<HostPort>>,
    connect_timeout: Duration,
    security: PeerSecurity,
    tell: mpsc::Sender<(PeerId, Heard)>,
    slots: Mutex<BTreeMap<PeerId, Arc<Slot>>>,
    /// How many slots there have been.
    numbers: AtomicU64,
}

/// What is heard from or of a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// A vote.
    Vote(Notification),
    /// There is a connection.
    Up,
    /// There is none any more, or none could be made.
    Down,
}

/// One peer.
#[derive(Debug)]
struct Slot {
    peer: PeerId,
    /// Higher than that of every slot before it.
    number: u64,
    mail: Mutex<Mail>,
    /// There is mail, or the peer waits to be dialled back.
    wake: Notify,
    /// The peer has called anew: whatever connection there is, it is not the peer's any more.
    anew: Notify,
    /// Connections that the peer opened.
    adopt: mpsc::Sender<Call>,
    job: Mutex<Option<AbortHandle>>,
}

/// A connection, and what was read of it already.
type Call = (Stream, BytesMut);

#[derive(Debug, Default)]
struct Mail {
    /// Not yet sent.
    queued: Option<Notification>,
    /// The last one ever queued: said again on each new connection, with the members of then.
    last: Option<Notification>,
    /// Where the peer is, as it is configured.
    configured: Vec<HostPort>,
    /// Where it said it is.
    advertised: Vec<HostPort>,
    /// It has called and wants to be called back.
    call_back: bool,
}

impl Elections {
    /// What peers say goes to `tell`, which may make them wait.
    pub(crate) fn start(
        me: PeerId,
        own: Vec<HostPort>,
        connect_timeout: Duration,
        security: PeerSecurity,
        tell: mpsc::Sender<(PeerId, Heard)>,
    ) -> Self {
        let (own, slots, numbers) = (Mutex::new(own), Mutex::default(), AtomicU64::new(0));
        let all = All { me, own, connect_timeout, security, tell, slots, numbers };
        Self { all: Arc::new(all) }
    }

    /// Whoever is to take connections.
    pub(super) fn acceptor(&self) -> Acceptor {
        Acceptor(Arc::clone(&self.all))
    }

    /// Where this member says it can be dialled, from now on.
    pub(super) fn set_own(&self, own: Vec<HostPort>) {
        *self.all.own.lock().expect("only read and set") = own;
    }

    /// Where a peer is, from now on.
    pub(crate) fn know(&self, peer: PeerId, places: Vec<HostPort>) {
        if let Some(slot) = self.all.slot(peer) {
            slot.mail().configured = places;
        }
    }

    /// Says this to a peer, in place of whatever it was not told yet.
    pub(crate) fn send(&self, peer: PeerId, notification: &Notification) {
        if let Some(slot) = self.all.slot(peer) {
            let mut mail = slot.mail();
            mail.queued = Some(notification.clone());
            mail.last = Some(notification.clone());
            drop(mail);
            slot.wake.notify_one();
        }
    }

    /// These members are in force. Whatever is said again says so: a peer that comes back would take those of long ago for
    /// later ones than it was started with, and look for a leader among those that are gone.
    pub(crate) fn in_force(&self, members: &Text) {
        for slot in self.all.slots().values() {
            let mut mail = slot.mail();
            let Mail { queued, last, .. } = &mut *mail;
            for notification in [queued, last].into_iter().flatten() {
                notification.config = Some(members.clone());
            }
        }
    }
}

impl Drop for Elections {
    fn drop(&mut self) {
        for slot in self.all.slots().values() {
            slot.end();
        }
    }
}

impl All {
    /// The peer's slot. Where there are too many, the stranger that came first makes room: those that say they are somebody
    /// keep nobody out who comes after them.
    fn slot(self: &Arc<Self>, peer: PeerId) -> Option<Arc<Slot>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&peer) {
            return Some(Arc::clone(slot));
        }
        if peer == self.me {
            return None;
        }
        if slots.len() >= MAX_PEERS {
            let strangers = slots.values().filter(|slot| slot.mail().configured.is_empty());
            let first = strangers.min_by_key(|slot| slot.number)?.peer;
            if let Some(gone) = slots.remove(&first) {
                gone.end();
            }
        }
        let number = self.numbers.fetch_add(1, Relaxed);
        let (adopt, adopted) = mpsc::channel(1);
        let (mail, job) = (Mutex::default(), Mutex::default());
        let (wake, anew) = (Notify::new(), Notify::new());
        let slot = Arc::new(Slot { peer, number, mail, wake, anew, adopt, job });
        let run = Arc::clone(&slot).run(Arc::clone(self), adopted);
        *slot.job.lock().expect("only set here") = Some(tokio::spawn(run).abort_handle());
        slots.insert(peer, Arc::clone(&slot));
        Some(slot)
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<PeerId, Arc<Slot>>> {
        self.slots.lock().expect("nobody panics while holding the slots")
    }
}

impl Acceptor {
    /// Takes connections at the listener, for as long as the job lives.
    pub(super) async fn accept(self, listener: TcpListener) {
        accept(listener, self.0).await;
    }
}

/// Those who call and say nothing keep nobody out: where there are too many, the one that came first makes room.
async fn accept(listener: TcpListener, all: Arc<All>) {
    let mut strangers = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "connection for votes not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        strangers.retain(|stranger: &AbortHandle| !stranger.is_finished());
        if strangers.len() >= MAX_STRANGERS
            && let Some(first) = strangers.pop_front()
        {
            first.abort();
        }
        let all = Arc::clone(&all);
        let stranger = tokio::spawn(async move {
            let time = all.connect_timeout;
            if let Ok(Err(error)) = timeout(time, introduce(stream, &all)).await {
                tracing::debug!(%error, "connection for votes closed");
            }
        });
        strangers.push_back(stranger.abort_handle());
    }
}

/// Hears who called. The larger id keeps the connection; the smaller one is called back.
async fn introduce(stream: TcpStream, all: &Arc<All>) -> io::Result<()> {
    let mut stream = all.security.accept(stream).await?;
    let said: Initial = initial::receive(&mut stream).await?;
    let early = all.security.demand(&mut stream).await?;
    if said.peer == all.me {
        tracing::warn!(peer = %said.peer, "a peer calls with this member's own id; each needs a myid of its own");
        return Ok(());
    }
    let Some(slot) = all.slot(said.peer) else { return Ok(()) };
    if said.peer > all.me {
        // Full: one that is newer still waits already.
        let _ = slot.adopt.try_send((stream, early));
        return Ok(());
    }
    drop(stream);
    let mut mail = slot.mail();
    mail.advertised = initial::places(&said);
    mail.call_back = true;
    drop(mail);
    slot.anew.notify_waiters();
    slot.wake.notify_one();
    Ok(())
}

impl Slot {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().expect("nobody panics while holding the mail")
    }

    fn end(&self) {
        if let Some(job) = self.job.lock().expect("only read and set").take() {
            job.abort();
        }
    }

    async fn run(self: Arc<Self>, all: Arc<All>, mut adopted: mpsc::Receiver<Call>) {
        let mut next: Option<Call> = None;
        loop {
            let call = match next.take() {
                Some(call) => call,
                None => tokio::select! {
                    call = adopted.recv() => match call {
                        Some(call) => call,
                        None => return,
                    },
                    stream = self.dial(&all) => (stream, BytesMut::new()),
                },
            };
            tokio::select! {
                // A newer connection takes the place of this one.
                call = adopted.recv() => next = call,
                () = self.anew.notified() => {}
                ended = self.talk(call, &all.tell) => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %self.peer, %error, "connection for votes ended");
                    }
                    // Nobody listens any more when this member ends.
                    let _ = all.tell.send((self.peer, Heard::Down)).await;
                }
            }
        }
    }

    /// Dials as often as there is reason to, until a connection is this member's to use.
    async fn dial(&self, all: &All) -> Stream {
        loop {
            let places = {
                let mail = self.mail();
                let wanted = mail.queued.is_some() || mail.call_back;
                wanted.then(|| match mail.call_back && !mail.advertised.is_empty() {
                    true => mail.advertised.clone(),
                    false => mail.configured.clone(),
                })
            };
            if let Some(places) = places {
                let called = self.call(&places, all).await;
                self.mail().call_back = false;
                match called {
                    Ok(Some(stream)) => return stream,
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(peer = %self.peer, %error, "peer not reached for a vote");
                        let _ = all.tell.send((self.peer, Heard::Down)).await;
                    }
                }
            }
            self.wake.notified().await;
        }
    }

    /// `None`: the peer has the larger id, and calls back.
    async fn call(&self, places: &[HostPort], all: &All) -> io::Result<Option<Stream>> {
        let mut stream = dial(places, all.connect_timeout, &all.security).await?;
        let own = all.own.lock().expect("only read and set").clone();
        initial::send(&mut stream, all.me, &own).await?;
        timeout(all.connect_timeout, all.security.prove(&mut stream)).await??;
        if self.peer > all.me {
            // Wait for the peer to have read it: closing at once could take it back.
            stream.shutdown().await?;
            let mut rest = [0; 64];
            let read = timeout(all.connect_timeout, stream.read(&mut rest));
            let _ = read.await;
            return Ok(None);
        }
        Ok(Some(stream))
    }

    /// Both ways until the connection ends.
    async fn talk(
        &self,
        (stream, early): Call,
        tell: &mpsc::Sender<(PeerId, Heard)>,
    ) -> io::Result<()> {
        let _ = tell.send((self.peer, Heard::Up)).await;
        {
            let mut mail = self.mail();
            // It called anew while this connection was on its way.
            if mail.call_back {
                return Ok(());
            }
            if mail.queued.is_none() {
                mail.queued = mail.last.clone();
            }
        }
        let (read, write) = stream.into_split();
        tokio::select! {
            ended = self.listen(read, early, tell) => ended,
            ended = self.speak(write) => ended,
        }
    }

    async fn speak(&self, mut write: WriteHalf) -> io::Result<()> {
        loop {
            let queued = self.mail().queued.take();
            match queued {
                Some(notification) => {
                    let frame = frame(&notification);
                    let said = async {
                        write.write_all(&frame).await?;
                        write.flush().await
                    };
                    if let Err(error) = said.await {
                        // The next connection says it.
                        let mut mail = self.mail();
                        if mail.queued.is_none() {
                            mail.queued = mail.last.clone();
                        }
                        return Err(error);
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    async fn listen(
        &self,
        mut read: ReadHalf,
        mut input: BytesMut,
        tell: &mpsc::Sender<(PeerId, Heard)>,
    ) -> io::Result<()> {
        loop {
            while let Some(frame) = take_frame(&mut input)? {
                match Notification::decode(&frame) {
                    Ok(notification) => {
                        if tell.send((self.peer, Heard::Vote(notification))).await.is_err() {
                            return Ok(());
                        }
                    }
                    // As Apache does: what cannot be understood is no reason to part.
                    Err(error) => tracing::debug!(peer = %self.peer, %error, "vote ignored"),
                }
            }
            if input.is_empty() {
                input = BytesMut::new();
            }
            if read.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
    }
}

fn frame(notification: &Notification) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    notification.encode(&mut frame);
    let length = i32::try_from(frame.len() - 4).expect("votes are short");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

fn take_frame(input: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let Some(length) = input.first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let known = usize::try_from(length).ok().filter(|bytes| (1..=MAX_FRAME).contains(bytes));
    let Some(bytes) = known else {
        let what = format!("a vote of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    };
    if input.len() < 4 + bytes {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(bytes).freeze()))
}

const MAX_FRAME: usize = 512 << 10;
/// More members than ids of one byte has no ensemble.
const MAX_PEERS: usize = 256;
/// Connections whose first message is not there yet.
const MAX_STRANGERS: usize = 64;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use jute::election::ServerState;
    use types::Zxid;

    use super::*;

    fn vote(round: i64) -> Notification {
        let (leader, zxid) = (PeerId(1), Zxid::ZERO);
        Notification { state: ServerState::Looking, leader, zxid, round, epoch: 0, config: None }
    }

    struct Member {
        elections: Elections,
        listening: AbortHandle,
        heard: mpsc::Receiver<(PeerId, Heard)>,
        place: HostPort,
    }

    impl Drop for Member {
        fn drop(&mut self) {
            self.listening.abort();
        }
    }

    impl Member {
        /// The next vote; what is heard of connections is passed over.
        async fn vote(&mut self) -> Option<(PeerId, Notification)> {
            loop {
                match self.heard.recv().await? {
                    (from, Heard::Vote(vote)) => return Some((from, vote)),
                    (_, Heard::Up | Heard::Down) => {}
                }
            }
        }
    }

    async fn member(id: i64) -> Member {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        let place = HostPort { host: "127.0.0.1".to_owned(), port };
        let (tell, heard) = mpsc::channel(8);
        let time = Duration::from_secs(60);
        let security = PeerSecurity::default();
        let elections = Elections::start(PeerId(id), vec![place.clone()], time, security, tell);
        let listening = tokio::spawn(elections.acceptor().accept(listener)).abort_handle();
        Member { elections, listening, heard, place }
    }

    /// They have no place of their own here; members of the configuration have.
    #[tokio::test]
    async fn many_strangers_keep_nobody_out() {
        let mut a = member(1).await;
        let mut strangers = Vec::new();
        for id in 0..i64::try_from(MAX_PEERS).expect("few") {
            let stream = TcpStream::connect(a.place.to_string()).await.expect("it listens");
            let mut stream = Stream::Plain(stream);
            let own = [a.place.clone()];
            initial::send(&mut stream, PeerId(1000 + id), &own).await.expect("it is open");
            strangers.push(stream);
            assert_eq!(a.heard.recv().await, Some((PeerId(1000 + id), Heard::Up)));
        }
        let b = member(2).await;
        b.elections.know(PeerId(1), vec![a.place.clone()]);
        b.elections.send(PeerId(1), &vote(7));
        assert_eq!(a.vote().await, Some((PeerId(2), vote(7))));
        // The first that came has made room.
        let mut rest = [0; 1];
        assert_eq!(strangers[0].read(&mut rest).await.ok(), Some(0));
    }

    #[tokio::test]
    async fn votes_go_both_ways_whoever_speaks_first() {
        for (first, second) in [(1, 2), (2, 1)] {
            let (mut a, mut b) = (member(first).await, member(second).await);
            a.elections.know(PeerId(second), vec![b.place.clone()]);
            // The other one knows the first only by what it says.
            a.elections.send(PeerId(second), &vote(7));
            assert_eq!(b.vote().await, Some((PeerId(first), vote(7))));
            b.elections.send(PeerId(first), &vote(8));
            assert_eq!(a.vote().await, Some((PeerId(second), vote(8))));
        }
    }

    #[tokio::test]
    async fn what_was_said_last_is_said_again_to_one_that_comes_back() {
        let (a, mut b) = (member(2).await, member(1).await);
        a.elections.know(PeerId(1), vec![b.place.clone()]);
        a.elections.send(PeerId(1), &vote(7));
        assert_eq!(b.vote().await, Some((PeerId(2), vote(7))));
        drop(b);
        let mut b = member(1).await;
        b.elections.know(PeerId(2), vec![a.place.clone()]);
        b.elections.send(PeerId(2), &vote(1));
        assert_eq!(b.vote().await, Some((PeerId(2), vote(7))));
    }

    #[tokio::test]
    async fn what_is_said_again_names_the_members_in_force() {
        let named = |members: &str| Notification { config: Some(members.into()), ..vote(7) };
        let (a, mut b) = (member(2).await, member(1).await);
        a.elections.know(PeerId(1), vec![b.place.clone()]);
        a.elections.send(PeerId(1), &named("old"));
        assert_eq!(b.vote().await, Some((PeerId(2), named("old"))));
        drop(b);
        a.elections.in_force(&"new".into());
        let mut b = member(1).await;
        b.elections.know(PeerId(2), vec![a.place.clone()]);
        b.elections.send(PeerId(2), &vote(1));
        assert_eq!(b.vote().await, Some((PeerId(2), named("new"))));
    }

    /// As when a machine goes down without a word and comes up again.
    #[tokio::test]
    async fn a_peer_that_calls_anew_is_called_back_whatever_connection_there_was() {
        let (mut a, b) = (member(2).await, member(1).await);
        b.elections.know(PeerId(2), vec![a.place.clone()]);
        b.elections.send(PeerId(2), &vote(1));
        assert_eq!(a.vote().await, Some((PeerId(1), vote(1))));
        // The old one stays open: nobody tells the larger id that its peer is another one now.
        let mut again = member(1).await;
        again.elections.know(PeerId(2), vec![a.place.clone()]);
        again.elections.send(PeerId(2), &vote(2));
        assert_eq!(a.vote().await, Some((PeerId(1), vote(2))));
        a.elections.send(PeerId(1), &vote(3));
        assert_eq!(again.vote().await, Some((PeerId(2), vote(3))));
        drop(b);
    }

    #[tokio::test]
    async fn nonsense_ends_a_connection_and_nothing_else() {
        let mut a = member(1).await;
        for bytes in [&[0xff; 64][..], &[0; 8], &[0x7f; 2000]] {
            let mut stream = TcpStream::connect((a.place.host.as_str(), a.place.port))
                .await
                .expect("it listens");
            // It may be closed before all is written.
            let _ = stream.write_all(bytes).await;
        }
        let stream =
            TcpStream::connect((a.place.host.as_str(), a.place.port)).await.expect("it listens");
        let mut stream = Stream::Plain(stream);
        initial::send(&mut stream, PeerId(3), std::slice::from_ref(&a.place))
            .await
            .expect("it is open");
        stream.write_all(&[0x7f, 0xff, 0xff, 0xff]).await.expect("it is open");
        assert_eq!(stream.read(&mut [0; 8]).await.expect("it is ended in order"), 0);
        let b = member(2).await;
        b.elections.know(PeerId(1), vec![a.place.clone()]);
        b.elections.send(PeerId(1), &vote(3));
        assert_eq!(a.vote().await, Some((PeerId(2), vote(3))));
    }
}
