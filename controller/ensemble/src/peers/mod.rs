//! Sockets between the members of an ensemble, in Apache's formats.
//!
//! Lives here: who is dialled when, framing, bounds on what a peer may make this member keep, the stream of
//! a snapshot. Must not: decide anything of the protocol (`zab`) or of sessions (`core`). Everything that is
//! heard becomes an [`Event`] for the core; everything that is said goes through an [`Outbox`], so that the
//! core never waits for a peer. Start at [`Peers::start`].

mod address;
mod dial;
mod election;
mod incoming;
mod initial;
mod listen;
mod outbox;
mod packets;
mod sasl;
mod security;
mod settings;
mod source;
mod stream;

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jute::election::Notification;
use jute::learner::QuorumPacket;
use jute::{HostPort, Members, Server, ServerAddress, Text};
use storage::SnapshotWriter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use types::PeerId;
use znodes::State;

use crate::mending::Desk;

pub(crate) use dial::dial_for_packets;
pub(crate) use election::Heard;
use election::{Acceptor, Elections};
pub(crate) use listen::{BoundPorts, bind};
pub(crate) use outbox::Outbox;
pub(crate) use packets::{Limits, Link, LinkId, put_packet};
pub(crate) use security::PeerSecurity;
pub use settings::{EnsembleConfig, PeerSaslConfig};
pub(crate) use source::Source;
pub(crate) use stream::Stream;

/// What the core is told of peers.
#[derive(Debug)]
pub(crate) enum Event {
    /// On the connection for votes.
    Heard { from: PeerId, heard: Heard, permit: OwnedSemaphorePermit },
    /// Somebody has called at the leader port.
    Called(Link),
    /// Packets were heard, in order. The permit is held until they are dealt with.
    Packets { link: LinkId, packets: Vec<QuorumPacket>, permit: OwnedSemaphorePermit },
    /// The snapshot that the last packet announced is there.
    Snapshot { link: LinkId, state: Box<State>, staged: Option<SnapshotWriter> },
    /// A connection has ended, or could not be made. Nothing more comes from it.
    Ended { link: LinkId, error: Option<io::Error> },
    /// The connection that was asked for stands.
    Up { link: LinkId },
}

/// Hands an event to the core.
#[derive(Clone)]
pub(crate) struct Tell(Arc<dyn Fn(Event) + Send + Sync>);

impl Tell {
    pub(crate) fn new(tell: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl Deref for Tell {
    type Target = dyn Fn(Event) + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tell")
    }
}

/// All connections with peers. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Peers {
    elections: Elections,
    serving: Serving,
    votes: AbortHandle,
    /// Takes learners, and the voters that call, at the ports of this member.
    listening: AbortHandle,
    /// Takes observers, while this member follows.
    feeding: Option<AbortHandle>,
}

/// What it takes to serve a port for peers, or to call at one.
#[derive(Clone, Debug)]
struct Serving {
    acceptor: Acceptor,
    ids: Arc<packets::Ids>,
    limits: Limits,
    security: PeerSecurity,
    /// Where snapshots are staged.
    dir: Arc<Path>,
    desk: Arc<Desk>,
    tell: Tell,
}

impl Peers {
    /// Serves the ports of `me`, which are open; peers are `told` where they are. Snapshots that come are staged where
    /// the desk's are.
    pub(crate) fn start<'a>(
        me: PeerId,
        told: impl Iterator<Item = &'a ServerAddress>,
        ports: BoundPorts,
        limits: Limits,
        security: PeerSecurity,
        desk: Desk,
        tell: Tell,
    ) -> Self {
        let (dir, desk) = (Arc::from(desk.snapshots()), Arc::new(desk));
        let ids = Arc::new(packets::Ids::default());
        let (votes, mut heard) = mpsc::channel(1);
        let own = told.map(address::election).collect();
        let elections = Elections::start(me, own, limits.connect, security.clone(), votes);
        let to_core = tell.clone();
        let votes = tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(VOTES));
            while let Some((from, heard)) = heard.recv().await {
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
                (to_core)(Event::Heard { from, heard, permit });
            }
        });
        let votes = votes.abort_handle();
        let acceptor = elections.acceptor();
        let serving = Serving { acceptor, ids, limits, security, dir, desk, tell };
        let listening = tokio::spawn(serving.clone().serve(ports)).abort_handle();
        Self { elections, serving, votes, listening, feeding: None }
    }

    /// Where others ask of this member's files.
    pub(crate) fn desk(&self) -> &Desk {
        &self.serving.desk
    }

    /// How others are reached.
    pub(crate) fn security(&self) -> &PeerSecurity {
        &self.serving.security
    }

    /// Serves other ports from now on, once they can be opened; connections that there are stay.
    pub(crate) fn move_to(&mut self, config: &EnsembleConfig, server: &Server) {
        self.listening.abort();
        self.elections.set_own(config.told(server).map(address::election).collect());
        if self.feeding.is_some() {
            self.take_observers(config, server);
        }
        let config = EnsembleConfig { bind_retries: None, ..config.clone() };
        let server = server.clone();
        let serving = self.serving.clone();
        let listening = tokio::spawn(async move {
            match bind(&config, &server).await {
                Ok(ports) => serving.serve(ports).await,
                // It is tried for ever.
                Err((place, error)) => tracing::error!(%place, %error, "port for peers not moved"),
            }
        });
        self.listening = listening.abort_handle();
    }

    /// Takes observers from now on, once the port can be opened, if members do.
    pub(crate) fn take_observers(&mut self, config: &EnsembleConfig, server: &Server) {
        self.take_no_observers();
        let Some(port) = config.observer_master_port else { return };
        let (config, server, serving) = (config.clone(), server.clone(), self.serving.clone());
        let feeding = tokio::spawn(async move {
            let listeners = listen::bind_for_observers(&config, &server, port).await;
            let accept = |listener| {
                let Serving { ids, mut limits, security, tell, .. } = serving.clone();
                limits.unsent = config.observer_master_limit;
                packets::accept(listener, ids, limits, security, None, tell)
            };
            join_all(listeners.into_iter().map(accept)).await;
        });
        self.feeding = Some(feeding.abort_handle());
    }

    /// Closes the port for observers. Those that are here stay.
    pub(crate) fn take_no_observers(&mut self) {
        if let Some(feeding) = self.feeding.take() {
            feeding.abort();
        }
    }

    /// Who is where, from now on.
    pub(crate) fn know(&self, members: &Members) {
        for (peer, server) in &members.servers {
            let places = server.addresses.iter().map(address::election).collect();
            self.elections.know(*peer, places);
        }
    }

    /// Says this to a peer, in place of whatever it was not told yet.
    pub(crate) fn vote(&self, to: PeerId, notification: &Notification) {
        self.elections.send(to, notification);
    }

    /// These members are in force.
    pub(crate) fn in_force(&self, members: &Text) {
        self.elections.in_force(members);
    }

    /// Calls a leader.
    pub(crate) fn call(&self, leader: &Server) -> Link {
        let places = leader.addresses.iter().map(address::quorum).collect();
        self.call_at(places, Duration::ZERO)
    }

    /// Calls a follower to observe through it, after a pause.
    pub(crate) fn observe(&self, follower: &Server, port: u16, pause: Duration) -> Link {
        let places = follower.addresses.iter().map(|one| address::observers(one, port));
        self.call_at(places.collect(), pause)
    }

    fn call_at(&self, places: Vec<HostPort>, pause: Duration) -> Link {
        let Serving { ids, limits, security, dir, tell, .. } = self.serving.clone();
        packets::call(places, pause, &ids, limits, security, dir, tell)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.votes.abort();
        self.listening.abort();
        self.take_no_observers();
    }
}

impl Serving {
    /// Takes whoever calls, for as long as the job lives.
    async fn serve(self, ports: BoundPorts) {
        let learners = ports.quorum.into_iter().map(|listener| {
            let Self { ids, limits, security, desk, tell, .. } = self.clone();
            packets::accept(listener, ids, limits, security, Some(desk), tell)
        });
        let voters = ports.election.into_iter();
        let voters = voters.map(|listener| self.acceptor.clone().accept(listener));
        tokio::join!(join_all(learners), join_all(voters));
    }
}

/// Votes that wait for the core; then peers wait.
const VOTES: usize = 64;
