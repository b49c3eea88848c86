//! A leader's snapshot as it comes, read by a thread of its own.

use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use types::Zxid;
use znodes::State;

use super::source::SIGNATURE;
use super::stream::ReadHalf;
use crate::load::words;

/// Reads the snapshot and the word behind it. `input` has what was received already, and gets back what
/// follows. `limit` is the longest text or data believed, in bytes.
pub(super) async fn receive(
    read: &mut ReadHalf,
    input: &mut BytesMut,
    zxid: Zxid,
    limit: usize,
    seed: u64,
) -> io::Result<Box<State>> {
    let (pieces, receiver) = mpsc::channel(AHEAD);
    let mut loading = tokio::task::spawn_blocking(move || load(receiver, zxid, limit, seed));
    let mut pieces = Some(pieces);
    let mut piece = input.split().freeze();
    loop {
        let loaded = match &pieces {
            Some(sender) if !piece.is_empty() => tokio::select! {
                loaded = &mut loading => loaded,
                // Not sent before there is room: a piece that is not taken is what follows the snapshot.
                room = sender.reserve() => match room {
                    Ok(room) => {
                        room.send(std::mem::take(&mut piece));
                        continue;
                    }
                    Err(_) => (&mut loading).await,
                },
            },
            _ => tokio::select! {
                loaded = &mut loading => loaded,
                count = async { input.reserve(PIECE); read.read_buf(input).await } => {
                    match count? {
                        // The end of the stream is for the reader to judge.
                        0 => pieces = None,
                        _ => piece = input.split().freeze(),
                    }
                    if pieces.is_none() { (&mut loading).await } else { continue }
                }
            },
        };
        let (state, rest) = loaded.map_err(io::Error::other)??;
        // What the reader left, and what it was not given any more.
        let mut left = BytesMut::from(&rest[..]);
        left.extend_from_slice(&piece);
        left.unsplit(input.split());
        *input = left;
        return Ok(state);
    }
}

fn load(
    pieces: mpsc::Receiver<Bytes>,
    zxid: Zxid,
    limit: usize,
    seed: u64,
) -> io::Result<(Box<State>, Bytes)> {
    let mut stream = Pieces { pieces, current: Bytes::new() };
    let state = znodes::snapshot::read(&mut stream, zxid, limit, seed)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, words(&error)))?;
    let mut end = [0; 4 + SIGNATURE.len()];
    stream.read_exact(&mut end)?;
    if end[4..] != *SIGNATURE.as_bytes() {
        let what = "the snapshot is not followed by its signature";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    // What was sent meanwhile is all behind the snapshot.
    let mut rest = BytesMut::from(&stream.current[..]);
    stream.pieces.close();
    while let Some(piece) = stream.pieces.blocking_recv() {
        rest.extend_from_slice(&piece);
    }
    Ok((Box::new(state), rest.freeze()))
}

struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.current.len());
        self.current.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

const PIECE: usize = 256 << 10;
const AHEAD: usize = 4;

#[cfg(test)]
mod tests {
    use jute::Put;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::super::stream::Stream;
    use super::*;

    /// However much comes behind the snapshot, and however the socket cuts it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_follows_a_snapshot_is_all_there() {
        let mut sent = Vec::new();
        State::new(0).freeze().write(&mut sent).expect("memory takes it");
        sent.put_text(SIGNATURE);
        let snapshot = sent.len();
        sent.extend((0..12 << 20).map(|at: u32| at.to_be_bytes()[2] ^ at.to_be_bytes()[3]));
        for early in [0, 7, snapshot - 1, snapshot, snapshot + 1000] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
            let addr = listener.local_addr().expect("it is bound");
            let mut stream = TcpStream::connect(addr).await.expect("it listens");
            let (accepted, _) = listener.accept().await.expect("somebody calls");
            let (mut read, _write) = Stream::Plain(accepted).into_split();
            let rest = sent[early..].to_vec();
            let writer = tokio::spawn(async move { stream.write_all(&rest).await });
            let mut input = BytesMut::from(&sent[..early]);
            let zxid = Zxid::from_bits(5);
            let state = receive(&mut read, &mut input, zxid, 1 << 20, 0).await.expect("whole");
            assert_eq!((state.zxid(), state.node_count()), (zxid, 5));
            while read.read_buf(&mut input).await.expect("it is open") > 0 {}
            writer.await.expect("it does not panic").expect("it is read");
            assert!(input[..] == sent[snapshot..], "{early}: {} bytes", input.len());
        }
    }

    #[tokio::test]
    async fn a_snapshot_that_ends_early_or_in_nonsense_is_refused() {
        let mut sent = Vec::new();
        State::new(0).freeze().write(&mut sent).expect("memory takes it");
        sent.put_text("BenWasNotHe");
        for end in [sent.len(), sent.len() - 20, 3] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
            let addr = listener.local_addr().expect("it is bound");
            let mut stream = TcpStream::connect(addr).await.expect("it listens");
            let (accepted, _) = listener.accept().await.expect("somebody calls");
            let (mut read, _write) = Stream::Plain(accepted).into_split();
            stream.write_all(&sent[..end]).await.expect("it is open");
            drop(stream);
            let mut input = BytesMut::new();
            let refused = receive(&mut read, &mut input, Zxid::ZERO, 1 << 20, 0).await;
            assert!(refused.is_err(), "cut at {end}");
        }
    }
}
