//! Asks the other voters, one question at a time, from a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jute::learner::{PacketType, QuorumPacket};
use jute::{HostPort, Server};
use storage::{Others, Question, Told};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::timeout;
use types::{PeerId, Zxid};

use super::wire;
use crate::peers::{PeerSecurity, Stream, dial_for_packets};

/// The other voters, for one round of questions.
#[derive(Debug)]
pub(crate) struct Asker {
    others: Vec<Other>,
    /// The longest answer believed, in bytes.
    limit: usize,
    connect: Duration,
    security: PeerSecurity,
    runtime: Handle,
    /// The member ends: nothing more is asked.
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Other {
    peer: PeerId,
    places: Vec<HostPort>,
    stream: Option<Stream>,
    /// It was not reached, or did not understand: not again in this round.
    gone: bool,
}

impl Asker {
    /// These voters. `record`: the longest transaction, in bytes. Made within the runtime that serves the sockets.
    pub(crate) fn of<'a>(
        others: impl Iterator<Item = (PeerId, &'a Server)>,
        record: usize,
        connect: Duration,
        security: PeerSecurity,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let others = others.map(|(peer, server)| {
            let places = server.addresses.iter();
            let places = places
                .map(|place| HostPort { host: place.host.clone(), port: place.quorum_port })
                .collect();
            Other { peer, places, stream: None, gone: false }
        });
        let (limit, runtime) = (record.saturating_add(ANSWER), Handle::current());
        Self { others: others.collect(), limit, connect, security, runtime, stop }
    }
}

impl Others for Asker {
    fn count(&self) -> usize {
        self.others.len()
    }

    fn ask(&mut self, other: usize, question: &Question) -> Option<Told> {
        let (limit, connect, security) = (self.limit, self.connect, &self.security);
        let other = self.others.get_mut(other)?;
        if other.gone || self.stop.load(Relaxed) {
            return None;
        }
        let asking = timeout(SILENCE, other.ask(question, limit, connect, security));
        match self.runtime.block_on(asking).unwrap_or_else(|late| Err(late.into())) {
            Ok(told) => Some(told),
            Err(error) => {
                tracing::info!(peer = %other.peer, %error, "not asked for what is damaged here");
                other.stream = None;
                other.gone = true;
                None
            }
        }
    }
}

impl Other {
    async fn ask(
        &mut self,
        question: &Question,
        limit: usize,
        connect: Duration,
        security: &PeerSecurity,
    ) -> io::Result<Told> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(dial_for_packets(&self.places, connect, security).await?),
        };
        let mut data = Vec::new();
        wire::put_question(question, &mut data);
        let mut out = Vec::new();
        QuorumPacket::new(PacketType::Mend, Zxid::ZERO, Some(data.into())).encode(&mut out);
        stream.write_all(&out).await?;
        stream.flush().await?;
        let mut input = BytesMut::new();
        let packet = loop {
            let taken = QuorumPacket::take(&mut input, limit).map_err(invalid)?;
            if let Some(packet) = taken {
                break packet;
            }
            input.reserve(PIECE);
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let data = packet.data.filter(|_| packet.kind == PacketType::Mend);
        wire::told(&data.unwrap_or_else(Bytes::new)).map_err(invalid)
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What an answer may have beside one transaction, in bytes.
const ANSWER: usize = 4 << 20;
const PIECE: usize = 256 << 10;
/// Of a peer that is asked: a log of some hundred megabytes can be read meanwhile.
const SILENCE: Duration = Duration::from_secs(10);
