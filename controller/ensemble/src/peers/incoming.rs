//! A leader's snapshot as it comes, read by a thread of its own.

use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use types::Zxid;
use znodes::State;

use super::source::SIGNATURE;
use crate::load::words;

/// Reads the snapshot and the word behind it. `input` has what was received already, and gets back what
/// follows. `limit` is the longest text or data believed, in bytes.
pub(super) async fn receive(
    read: &mut OwnedReadHalf,
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
                sent = sender.send(std::mem::take(&mut piece)) => match sent {
                    Ok(()) => continue,
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
