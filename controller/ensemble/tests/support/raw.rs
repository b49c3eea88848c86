//! A client that says exactly what it is told to, and nothing by itself.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jute::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, ErrorCode, Reader, ReplyHeader, Request,
    RequestHeader, Stat, create_flags,
};
use types::{SessionId, Zxid};

/// One connection with a session.
pub(crate) struct Raw {
    stream: BufReader<TcpStream>,
    xid: i32,
    pub(crate) timeout: Duration,
    pub(crate) ticket: Ticket,
}

/// What a client needs to come back to its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) session: SessionId,
    pub(crate) password: [u8; 16],
}

impl Ticket {
    /// Of who has no session.
    const NONE: Self = Self { session: SessionId(0), password: [0; 16] };
}

impl Raw {
    /// Opens a session.
    pub(crate) fn open(addr: SocketAddr, timeout_ms: i32) -> Self {
        Self::connect(addr, timeout_ms, Ticket::NONE)
    }

    /// Opens a session, or comes back to one; the answer is in `ticket`.
    pub(crate) fn connect(addr: SocketAddr, timeout_ms: i32, ticket: Ticket) -> Self {
        Self::maybe_connect(addr, timeout_ms, Some(ticket)).expect("it answers")
    }

    /// As [`Self::connect`]; without a ticket it is for a session. `None`: the member closed the connection.
    pub(crate) fn maybe_connect(
        addr: SocketAddr,
        timeout_ms: i32,
        ticket: Option<Ticket>,
    ) -> Option<Self> {
        let ticket = ticket.unwrap_or(Ticket::NONE);
        let stream = TcpStream::connect(addr).expect("it listens");
        stream.set_nodelay(true).expect("it is a socket");
        let mut stream = BufReader::new(stream);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms,
            session: ticket.session,
            password: Some(Bytes::copy_from_slice(&ticket.password)),
            read_only: Some(false),
        };
        let mut out = BytesMut::new();
        request.encode(&mut out);
        send(&mut stream, &framed(&out));
        let response = maybe_receive(&mut stream)?;
        let response = ConnectResponse::decode(&response).expect("it is a response");
        let timeout = Duration::from_millis(response.timeout_ms.unsigned_abs().into());
        let ticket = Ticket { session: response.session, password: response.password };
        Some(Self { stream, xid: 0, timeout, ticket })
    }

    /// Sends a write of any version and does not wait for its answer; answers with its number.
    pub(crate) fn send_set(&mut self, path: &str) -> i32 {
        let data = Some(Bytes::copy_from_slice(&(self.xid + 1).to_be_bytes()));
        self.tell(&[Request::SetData { path: path.into(), data, version: -1 }]);
        self.xid
    }

    /// The version that the write number `xid`, of which this is the answer, gave to its znode.
    pub(crate) fn receive_version(&mut self, xid: i32) -> i32 {
        let reply = receive(&mut self.stream);
        let mut reader = Reader::new(&reply);
        let header = ReplyHeader::decode(&mut reader).expect("it is a reply");
        assert_eq!((header.xid, header.error), (xid, None));
        Stat::decode(&mut reader).expect("the answer to a setData").version
    }

    /// The same session on another connection. It is gone when the answer has session 0.
    pub(crate) fn come_back(&self, addr: SocketAddr) -> Self {
        let timeout_ms = i32::try_from(self.timeout.as_millis()).expect("short");
        // As clients do: what is on its way has these numbers.
        Self { xid: self.xid, ..Self::connect(addr, timeout_ms, self.ticket) }
    }

    /// With what so many requests were refused that were sent before, up to where the member closes the connection.
    pub(crate) fn refusals(&mut self, count: usize) -> Vec<Option<ErrorCode>> {
        let mut errors = Vec::new();
        while errors.len() < count
            && let Some(reply) = maybe_receive(&mut self.stream)
        {
            errors.push(ReplyHeader::decode(&mut Reader::new(&reply)).expect("a reply").error);
        }
        errors
    }

    /// Sends the length of a request and nothing of it.
    pub(crate) fn send_length(&mut self, length: u32) {
        send(&mut self.stream, &length.to_be_bytes());
    }

    /// Until the member closes the connection.
    pub(crate) fn closed(&mut self) {
        // However it ends.
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    pub(crate) fn close(&mut self) {
        assert_eq!(self.ask(Request::CloseSession), None);
    }

    pub(crate) fn create_ephemeral(&mut self, path: &str) {
        assert_eq!(self.create(path, create_flags::EPHEMERAL), None);
    }

    pub(crate) fn create(&mut self, path: &str, flags: i32) -> Option<ErrorCode> {
        self.ask(Request::Create(create(path, flags)))
    }

    /// With what one request was refused.
    pub(crate) fn ask(&mut self, request: Request) -> Option<ErrorCode> {
        self.all(&[request])[0]
    }

    /// Sends all at once and waits for nothing.
    pub(crate) fn tell(&mut self, requests: &[Request]) {
        let mut out = Vec::new();
        for request in requests {
            self.xid += 1;
            let mut one = BytesMut::new();
            RequestHeader { xid: self.xid, op: request.op().code() }.encode(&mut one);
            request.encode(&mut one);
            out.extend(framed(&one));
        }
        send(&mut self.stream, &out);
    }

    /// Sends all at once; answers with what was refused, in their order.
    pub(crate) fn all(&mut self, requests: &[Request]) -> Vec<Option<ErrorCode>> {
        self.tell(requests);
        let mut errors = Vec::new();
        while errors.len() < requests.len() {
            let reply = receive(&mut self.stream);
            let header = ReplyHeader::decode(&mut Reader::new(&reply)).expect("it is a reply");
            // Below zero are events.
            if header.xid >= 0 {
                errors.push(header.error);
            }
        }
        errors
    }
}

impl Raw {
    /// Sends a sync and a create by turns, all at once; returns the reply to each.
    pub(crate) fn sync_and_create(&mut self, first: u32, count: u32) -> Vec<(i32, String)> {
        let pair = |number| {
            let create = create(&format!("/n{number}"), create_flags::PERSISTENT);
            [Request::Sync { path: "/".into() }, Request::Create(create)]
        };
        self.tell(&(first..first + count).flat_map(pair).collect::<Vec<_>>());
        let replies = (0..count * 2).map(|_| {
            let reply = receive(&mut self.stream);
            let mut reader = Reader::new(&reply);
            let header = ReplyHeader::decode(&mut reader).expect("it is a reply");
            let path = reader.text_or_empty().expect("both are answered with a path");
            (header.xid, path.to_string())
        });
        replies.collect()
    }
}

pub(crate) fn create(path: &str, flags: i32) -> CreateRequest {
    CreateRequest { path: path.into(), data: None, acl: [Acl::OPEN].into(), flags }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("short").to_be_bytes();
    [&length, frame].concat()
}

fn send(stream: &mut BufReader<TcpStream>, bytes: &[u8]) {
    stream.get_mut().write_all(bytes).expect("it is open");
}

fn receive(stream: &mut BufReader<TcpStream>) -> Bytes {
    maybe_receive(stream).expect("it answers")
}

fn maybe_receive(stream: &mut BufReader<TcpStream>) -> Option<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame.into())
}
