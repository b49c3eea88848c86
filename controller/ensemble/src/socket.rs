//! A client's byte stream, plain or through TLS, read and written without waiting.

use std::io::{self, Read, Write};
use std::net;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::buffers;
use crate::quiet::Quiet;

/// One client's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    tls: Option<Box<ServerConnection>>,
}

/// Who tells when it may be read or written.
#[derive(Debug)]
enum Stream {
    /// What waits with the others: the connection is woken, and tries.
    Quiet(net::TcpStream),
    /// The runtime, which remembers what it told.
    Busy(Box<TcpStream>),
    /// It could not be handed from the one to the other.
    Lost,
}

/// The stream as rustls wants it.
struct Direct<'a>(&'a Stream);

impl Socket {
    /// One that waits with the quiet ones, and does not block.
    pub(crate) fn plain(stream: net::TcpStream) -> Self {
        Self { stream: Stream::Quiet(stream), tls: None }
    }

    fn is_busy(&self) -> bool {
        matches!(self.stream, Stream::Busy(_))
    }

    /// Leaves the quiet ones. After an error there is no socket any more.
    pub(crate) fn rouse(&mut self, quiet: &Quiet) -> io::Result<()> {
        self.stream = match std::mem::replace(&mut self.stream, Stream::Lost) {
            Stream::Quiet(stream) => {
                quiet.remove(&stream)?;
                Stream::Busy(Box::new(TcpStream::from_std(stream)?))
            }
            stream => stream,
        };
        Ok(())
    }

    /// Joins the quiet ones, for the connection with this slot. After an error there is no socket any more.
    pub(crate) fn settle(&mut self, quiet: &Quiet, slot: u32) -> io::Result<()> {
        self.stream = match std::mem::replace(&mut self.stream, Stream::Lost) {
            Stream::Busy(stream) => {
                let stream = stream.into_std()?;
                quiet.add(&stream, slot)?;
                Stream::Quiet(stream)
            }
            stream => stream,
        };
        Ok(())
    }

    /// Goes on in TLS; `received` was read already, and what it says is returned.
    pub(crate) fn secure(
        &mut self,
        config: Arc<ServerConfig>,
        received: &[u8],
    ) -> io::Result<Bytes> {
        let mut tls = Box::new(ServerConnection::new(config).map_err(io::Error::other)?);
        let mut plain = Vec::new();
        // A handshake has small messages: what it cannot take is no beginning of one.
        let mut rest = received;
        while !rest.is_empty() {
            if tls.read_tls(&mut rest)? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            take_plain(&mut tls, state.plaintext_bytes_to_read(), &mut plain)?;
        }
        self.tls = Some(tls);
        self.flush()?;
        Ok(plain.into())
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// The client's own certificate, in DER.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        Some(self.tls.as_ref()?.peer_certificates()?.first()?)
    }

    /// Whether TLS has bytes that the socket has not taken.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Appends what has come; 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        if self.tls.is_some() {
            return self.poll_read_tls(cx, input);
        }
        buffers::with_scratch(|scratch| {
            let count = ready!(self.stream.poll_read(cx, scratch))?;
            append(input, &scratch[..count]);
            Poll::Ready(Ok(count))
        })
    }

    fn poll_read_tls(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Stream::Busy(stream) = &self.stream {
                ready!(stream.poll_read_ready(cx))?;
            }
            match self.read_tls(input) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The runtime forgets what it told, and is asked once more.
                    if !self.is_busy() {
                        return Poll::Pending;
                    }
                }
                done => return Poll::Ready(done),
            }
        }
    }

    fn read_tls(&mut self, input: &mut Bytes) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return Ok(0) };
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
                let mut plain = Vec::new();
                take_plain(tls, count, &mut plain)?;
                append(input, &plain);
                return Ok(count);
            }
            if closed {
                return Ok(0);
            }
            self.flush()?;
        }
    }

    /// Ready when the socket may take more. A quiet one never is: what it did not take is tried when the connection
    /// is woken.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Stream::Quiet(_) => Poll::Pending,
            Stream::Busy(stream) => stream.poll_write_ready(cx),
            Stream::Lost => Poll::Ready(Err(lost())),
        }
    }

    /// Sends as much as the socket takes; what TLS keeps meanwhile counts as sent.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return Direct(&self.stream).write(bytes) };
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

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Quiet(stream) => match stream.read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                done => Poll::Ready(done),
            },
            Self::Busy(stream) => {
                let mut buffer = ReadBuf::new(into);
                // Less than there was room for: nothing is left, which tokio remembers and `try_read` would not.
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Joins what came to what is not parsed yet: mostly nothing, and else a part of one frame.
fn append(input: &mut Bytes, more: &[u8]) {
    if input.is_empty() {
        *input = Bytes::copy_from_slice(more);
        return;
    }
    // The rest of a long frame is joined in place, so that its parts are copied once.
    let mut joined = BytesMut::from(std::mem::take(input));
    joined.extend_from_slice(more);
    *input = joined.freeze();
}

fn take_plain(tls: &mut ServerConnection, count: usize, plain: &mut Vec<u8>) -> io::Result<()> {
    let start = plain.len();
    plain.resize(start + count, 0);
    tls.reader().read_exact(&mut plain[start..])
}

impl Read for Direct<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0 {
            Stream::Quiet(stream) => (&*stream).read(into),
            Stream::Busy(stream) => stream.try_read(into),
            Stream::Lost => Err(lost()),
        }
    }
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0 {
            Stream::Quiet(stream) => (&*stream).write(bytes),
            Stream::Busy(stream) => stream.try_write(bytes),
            Stream::Lost => Err(lost()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
