//! One agent's connection to the holder: bytes in, requests out; replies in, bytes out. Never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use super::wire::{self, DecodeError, MAX_REPLY, MAX_REQUEST, Reply, Request};

/// A connection and what is on its way in both directions.
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// It greeted, so it gets the exits as they happen.
    pub(crate) greeted: bool,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HangUp {
    #[error("the agent went")]
    Closed,
    #[error("the agent reads nothing and {0} bytes wait for it")]
    Stalled(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, input: Vec::new(), output: Vec::new(), greeted: false })
    }

    pub(crate) fn wants_to_write(&self) -> bool {
        !self.output.is_empty()
    }

    /// Reads what is there. Requests that came before the end of the stream are still in
    /// [`Connection::next`].
    pub(crate) fn fill(&mut self) -> Result<(), HangUp> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(HangUp::Closed),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
            // The rest waits in the socket until these requests are done.
            if self.input.len() > MAX_REQUEST {
                return Ok(());
            }
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Request>, HangUp> {
        let request = wire::take(&mut self.input, MAX_REQUEST)?;
        if self.input.is_empty() {
            // An idle holder keeps no buffer of the largest request it ever saw.
            self.input.shrink_to(4096);
        }
        Ok(request)
    }

    /// Queues a reply; [`Connection::flush`] sends it.
    pub(crate) fn push(&mut self, reply: &Reply) -> Result<(), HangUp> {
        self.output.extend(wire::encode(reply));
        if self.output.len() > MAX_REPLY {
            return Err(HangUp::Stalled(self.output.len()));
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), HangUp> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.output.shrink_to(4096);
        Ok(())
    }
}
