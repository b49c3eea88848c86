//! A client's byte stream, plain or through TLS, read and written without waiting.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

/// One client's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

/// The stream as rustls wants it.
struct Direct<'a>(&'a TcpStream);

impl Socket {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    /// Goes on in TLS; `received` was read already, and what it says is appended to `input`.
    pub(crate) fn secure(
        &mut self,
        config: Arc<ServerConfig>,
        received: &[u8],
        input: &mut BytesMut,
    ) -> io::Result<()> {
        let mut tls = Box::new(ServerConnection::new(config).map_err(io::Error::other)?);
        // A handshake has small messages: what it cannot take is no beginning of one.
        let mut rest = received;
        while !rest.is_empty() {
            if tls.read_tls(&mut rest)? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let start = input.len();
            input.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut input[start..])?;
        }
        self.tls = Some(tls);
        self.flush()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// The client's own certificate, in DER.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        Some(self.tls.as_ref()?.peer_certificates()?.first()?)
    }

    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.stream.ready(interest).await
    }

    /// Whether TLS has bytes that the socket has not taken.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Appends what has come; 0 is the end. [`io::ErrorKind::WouldBlock`]: nothing has.
    pub(crate) fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return self.stream.try_read_buf(input) };
            if tls.read_tls(&mut Direct(&self.stream))? == 0 {
                return Ok(0);
            }
            let processed = tls.process_new_packets();
            let (count, closed) = match processed {
                Ok(state) => (state.plaintext_bytes_to_read(), state.peer_has_closed()),
                Err(error) => {
                    // The alert tells the client what was wrong, as far as the socket takes it.
                    let _ = self.flush();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            if count > 0 {
                let start = input.len();
                input.resize(start + count, 0);
                tls.reader().read_exact(&mut input[start..])?;
                return Ok(count);
            }
            if closed {
                return Ok(0);
            }
            self.flush()?;
        }
    }

    /// Sends as much as the socket takes; what TLS keeps meanwhile counts as sent.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.try_write(bytes) };
        if tls.wants_write() {
            self.flush()?;
        }
        let Some(tls) = self.tls.as_mut().filter(|tls| !tls.wants_write()) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let count = tls.writer().write(bytes)?;
        self.flush()?;
        Ok(count)
    }

    /// Hands the socket what TLS has for it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            match tls.write_tls(&mut Direct(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for Direct<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
