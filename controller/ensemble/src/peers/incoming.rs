//! A leader's snapshot as it comes, read by a thread of its own, which puts it on the disk as it goes.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use storage::SnapshotWriter;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use types::Zxid;
use znodes::State;

use super::source::SIGNATURE;
use super::stream::ReadHalf;
use crate::load::words;

/// A state, and the same on its way to the disk, to be finished; `None` when it could not be put there.
pub(super) type Received = (Box<State>, Option<SnapshotWriter>);

/// Reads the snapshot and the word behind it. `input` has what was received already, and gets back what
/// follows. `limit` is the longest text or data believed, in bytes; `dir` is where snapshots are staged.
pub(super) async fn receive(
    read: &mut ReadHalf,
    input: &mut BytesMut,
    zxid: Zxid,
    limit: usize,
    dir: Arc<Path>,
) -> io::Result<Received> {
    let (pieces, receiver) = mpsc::channel(AHEAD);
    let mut loading = tokio::task::spawn_blocking(move || load(receiver, zxid, limit, &dir));
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
    dir: &Path,
) -> io::Result<(Received, Bytes)> {
    // A disk that does not take it is seen when it must.
    let copy = SnapshotWriter::stage(dir, zxid).ok();
    let mut stream = Pieces { pieces, piece: Bytes::new(), current: Bytes::new(), copy };
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    let state = znodes::snapshot::read_stream(&mut stream, zxid, limit, seed)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, words(&error)))?;
    stream.copy_taken();
    let staged = stream.copy.take();
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
    Ok(((Box::new(state), staged), rest.freeze()))
}

struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    /// The last one that came, and what is left of it.
    piece: Bytes,
    current: Bytes,
    copy: Option<SnapshotWriter>,
}

impl Pieces {
    /// Puts what was taken of the piece on its way to the disk.
    fn copy_taken(&mut self) {
        let taken = self.piece.len() - self.current.len();
        let taken = self.piece.split_to(taken);
        if self.copy.as_mut().is_some_and(|copy| copy.write_all(&taken).is_err()) {
            self.copy = None;
        }
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.copy_taken();
            if let Some(piece) = self.pieces.blocking_recv() {
                self.current = piece.clone();
                self.piece = piece;
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let count = into.len().min(there.len());
        into[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

const PIECE: usize = 256 << 10;
const AHEAD: usize = 4;

#[cfg(test)]
mod tests {
    use jute::Put;
    use storage::SnapshotDigest;
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
            let dir = tempfile::tempdir().expect("a temporary directory");
            let received = receive(&mut read, &mut input, zxid, 1 << 20, dir.path().into());
            let (state, staged) = received.await.expect("whole");
            assert_eq!((state.zxid(), state.node_count()), (zxid, 5));
            // What is on its way to the disk is the snapshot and no byte more.
            let staged = staged.expect("it is writable");
            let (path, digest) = (staged.path().to_owned(), state.digest());
            let digest = SnapshotDigest { zxid, version: digest.version, digest: digest.tree };
            staged.finish(digest, zxid).expect("there is room");
            let file = std::fs::read(path).expect("written");
            let body = snapshot - 4 - SIGNATURE.len();
            assert!(file[16..].starts_with(&sent[..body]), "behind the header");
            // Three seals, the digest and the last zxid.
            assert_eq!(file.len(), 16 + body + 3 * 13 + 20 + 8);
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
            let dir = tempfile::tempdir().expect("a temporary directory");
            let received = receive(&mut read, &mut input, Zxid::ZERO, 1 << 20, dir.path().into());
            let refused = received.await;
            assert!(refused.is_err(), "cut at {end}");
        }
    }
}
