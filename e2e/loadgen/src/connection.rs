//! One session's connection: frames out, replies in, in order.
//!
//! Lives here: the handshake, buffers, and which reply answers which request. Must not: what to send and when.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use jute::{ConnectRequest, ConnectResponse, ErrorCode, ReplyHeader, xid};
use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, socket};
use types::{SessionId, Zxid};

use crate::frames::Frame;

/// A session with a server.
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// How much of `input` has come.
    filled: usize,
    output: Vec<u8>,
    /// How much of `output` has gone.
    written: usize,
    /// When each unanswered request was due, oldest first.
    unanswered: VecDeque<u64>,
    last_xid: i32,
    answered_xid: i32,
}

/// What came from the server.
pub(crate) enum Incoming {
    /// To a request that was due then.
    Reply { due: u64, error: Option<ErrorCode> },
    /// A watch fired.
    Notification,
}

impl Connection {
    /// Blocks until the server has given a session.
    pub(crate) fn open(addr: SocketAddr) -> Result<Self> {
        let mut stream = dial(addr, 0)?;
        ask_for_session(&mut stream, SESSION_TIMEOUT_MS)?;
        take_session(&mut stream)?;
        stream.set_nonblocking(true).context("make a socket non-blocking")?;
        Ok(Self {
            stream,
            input: vec![0; INPUT],
            filled: 0,
            output: Vec::new(),
            written: 0,
            unanswered: VecDeque::new(),
            last_xid: 0,
            answered_xid: 0,
        })
    }

    /// Requests that have no reply yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.unanswered.len()
    }

    /// Takes a request that was due at `due`; [`Self::flush`] sends it.
    pub(crate) fn push(&mut self, frame: &mut Frame, key: u64, due: u64) {
        self.last_xid = after(self.last_xid);
        frame.stamp(self.last_xid, key, &mut self.output);
        self.unanswered.push_back(due);
    }

    /// Sends as much as the socket takes; the rest goes when it is called again.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(full) if full.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(again) if again.kind() == ErrorKind::Interrupted => {}
                Err(failed) => return Err(failed).context("send to the server"),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads all that has come and hands it on, in order.
    pub(crate) fn receive(&mut self, mut on: impl FnMut(Incoming) -> Result<()>) -> Result<()> {
        loop {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => {
                    bail!("the server closed a connection with {} unanswered", self.in_flight())
                }
                Ok(count) => {
                    self.filled += count;
                    let all = self.filled < self.input.len();
                    self.take_frames(&mut on)?;
                    // Less than there was room for: nothing is left, and the next bytes are an edge.
                    if all {
                        return Ok(());
                    }
                }
                Err(empty) if empty.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(again) if again.kind() == ErrorKind::Interrupted => {}
                Err(failed) => return Err(failed).context("receive from the server"),
            }
        }
    }

    fn take_frames(&mut self, on: &mut impl FnMut(Incoming) -> Result<()>) -> Result<()> {
        let mut at = 0;
        while let Some((length, rest)) = self.input[at..self.filled].split_first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).expect("32 bits fit");
            ensure!(length < LONGEST, "the server announced a frame of {length} bytes");
            ensure!(length >= ReplyHeader::LENGTH, "the server sent a frame of {length} bytes");
            if rest.len() < length {
                let whole = length + 4;
                if self.input.len() < whole {
                    self.input.resize(whole, 0);
                }
                break;
            }
            let of = |at: usize| {
                i32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]])
            };
            let (id, error) = (of(0), of(12));
            at += 4 + length;
            if id == xid::NOTIFICATION {
                on(Incoming::Notification)?;
                continue;
            }
            self.answered_xid = after(self.answered_xid);
            let due = self.unanswered.pop_front().context("a reply that nobody asked for")?;
            ensure!(id == self.answered_xid, "reply {id} came in place of {}", self.answered_xid);
            on(Incoming::Reply { due, error: ErrorCode::from_code(error) })?;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The xid after this one; the negative ones have meanings of their own.
fn after(xid: i32) -> i32 {
    xid.checked_add(1).unwrap_or(1)
}

/// Connects. The `number`th connection takes a source address of its own for each 10,000, as one address
/// has not ports enough for 100,000.
pub(crate) fn dial(addr: SocketAddr, number: usize) -> Result<TcpStream> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family, SocketType::STREAM, Some(ipproto::TCP)).context("open a socket")?;
    if number > 0 && addr.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let host = u8::try_from(2 + number / 10_000).context("too many connections")?;
        let from = SocketAddr::from(([127, 0, 0, host], 0));
        bind(&fd, &from).with_context(|| format!("bind to {from}"))?;
    }
    connect(&fd, &addr).with_context(|| format!("connect to {addr}"))?;
    let stream = TcpStream::from(fd);
    stream.set_nodelay(true).context("turn off Nagle's algorithm")?;
    Ok(stream)
}

/// Sends the first frame of a connection.
pub(crate) fn ask_for_session(stream: &mut TcpStream, timeout_ms: i32) -> Result<()> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::from_bits(0),
        timeout_ms,
        session: SessionId(0),
        password: Some(Bytes::from_static(&[0; jute::PASSWORD_LENGTH])),
        read_only: Some(false),
    };
    let mut body = BytesMut::new();
    request.encode(&mut body);
    let length = u32::try_from(body.len()).expect("it is short");
    let frame = [&length.to_be_bytes()[..], &body].concat();
    stream.write_all(&frame).context("ask for a session")
}

/// Waits for the answer to [`ask_for_session`]: the timeout that is granted, in milliseconds.
pub(crate) fn take_session(stream: &mut TcpStream) -> Result<i32> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("wait for a session")?;
    let length = usize::try_from(u32::from_be_bytes(length)).expect("32 bits fit");
    ensure!(length < INPUT, "the server answered the connect with a frame of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).context("wait for a session")?;
    let response = ConnectResponse::decode(&body.into()).context("the answer to the connect")?;
    ensure!(response.timeout_ms > 0, "the server refused a session");
    Ok(response.timeout_ms)
}

/// Longer than any run, for what sends no pings. A server may grant less; `zookeepers.py` raises its limit.
pub(crate) const SESSION_TIMEOUT_MS: i32 = 1_200_000;

/// Enough for the replies to all that is in flight on one connection.
const INPUT: usize = 64 << 10;

/// No reply that is asked for here is nearly as long.
const LONGEST: usize = 128 << 20;
