//! What a learner lacks, read by a thread of its own as fast as the learner takes it.
//!
//! **Invariant:** at most [`AHEAD`] pieces wait for the socket, whatever the distance.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jute::Put;
use jute::learner::PacketType;
use storage::{History, TxnLogError};
use tokio::sync::mpsc;
use types::Zxid;
use znodes::Frozen;

use super::packets::put_packet;
use crate::load::words;

/// Something long to be sent.
#[derive(Debug)]
pub(crate) enum Source {
    /// The body of a snapshot, and the word behind it.
    Snapshot(Box<Frozen>),
    /// Committed transactions from the log: those behind the first and up to the second. Each with its commit, or for
    /// kin with one for all that are sent together.
    Log { dir: PathBuf, after: Zxid, to: Zxid, kin: bool },
}

impl Source {
    /// Begins to read. The pieces come in order; an error is the last of them.
    pub(super) fn read(self) -> mpsc::Receiver<io::Result<Bytes>> {
        let (pieces, receiver) = mpsc::channel(AHEAD);
        let mut sink = Sink { pieces, out: BytesMut::new() };
        tokio::task::spawn_blocking(move || {
            let done = match self {
                Self::Snapshot(frozen) => {
                    frozen.write(&mut sink).and_then(|()| sink.put(|out| out.put_text(SIGNATURE)))
                }
                Self::Log { dir, after, to, kin } => read_log(&dir, after, to, kin, &mut sink),
            };
            if let Err(error) = done.and_then(|()| sink.flush()) {
                // Nobody listens any more when the learner has gone.
                let _ = sink.pieces.blocking_send(Err(error));
            }
        });
        receiver
    }
}

/// A quorum may have flushed what this member has not: then the end of the log is waited for.
fn read_log(dir: &Path, mut after: Zxid, to: Zxid, kin: bool, sink: &mut Sink) -> io::Result<()> {
    let failed = |error: TxnLogError| io::Error::other(words(&error));
    let mut waits = 0;
    while after < to {
        let mut history = History::open(dir, after, to).map_err(failed)?;
        loop {
            match history.next_entry() {
                Ok(Some(entry)) => {
                    after = entry.zxid;
                    sink.put(|out| {
                        put_packet(out, PacketType::Proposal, after, Some(&entry.body));
                        if !kin || after == to || out.len() >= PIECE {
                            put_packet(out, PacketType::Commit, after, None);
                        }
                    })?;
                }
                Ok(None) => break,
                Err(TxnLogError::Lost { .. }) if waits < WAITS => {
                    waits += 1;
                    std::thread::sleep(WAIT);
                    break;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(())
}

/// Collects pieces and hands them over, waiting when the socket is slow.
struct Sink {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    out: BytesMut,
}

impl Sink {
    fn put(&mut self, put: impl FnOnce(&mut BytesMut)) -> io::Result<()> {
        put(&mut self.out);
        if self.out.len() >= PIECE { self.flush() } else { Ok(()) }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(|out| out.extend_from_slice(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let piece = self.out.split().freeze();
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.pieces.blocking_send(Ok(piece)).map_err(gone)
    }
}

/// What follows a snapshot in a stream.
pub(super) const SIGNATURE: &str = "BenWasHere";
const PIECE: usize = 64 << 10;
const AHEAD: usize = 4;
/// How long this member may take to flush what others have.
const WAIT: Duration = Duration::from_millis(5);
const WAITS: u32 = 2000;
