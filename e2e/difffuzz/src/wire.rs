//! Frames over a socket, blocking, with a limit on waiting.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// A server, by where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its client port.
    pub addr: SocketAddr,
}

/// What can be read.
pub(crate) enum Got {
    Frame(Vec<u8>),
    /// The server ended the connection.
    End,
    /// Nothing came for longer than a server may take.
    Silence,
}

pub(crate) struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    at: usize,
}

impl Wire {
    pub(crate) fn open(target: Target) -> Result<Self> {
        let stream = TcpStream::connect(target.addr)
            .with_context(|| format!("connect to {}", target.addr))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self { stream, input: Vec::new(), at: 0 })
    }

    /// A server may be gone; that is seen by the next read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn next(&mut self) -> Got {
        loop {
            if let Some(frame) = self.take() {
                return Got::Frame(frame);
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Got::End,
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Got::Silence,
                Err(_) => return Got::End,
            }
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let rest = &self.input[self.at..];
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let frame = rest.get(4..4 + length)?.to_vec();
        self.at += 4 + length;
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
        }
        Some(frame)
    }
}

/// Longer than any answer takes on a busy machine; only a server that never answers costs it.
const SILENCE: Duration = Duration::from_secs(20);
