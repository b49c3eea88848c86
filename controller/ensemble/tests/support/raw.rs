//! A client that says exactly what it is told to, and nothing by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jute::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, OpCode, Reader, ReplyHeader, Request,
    RequestHeader, Stat, create_flags,
};
use types::{SessionId, Zxid};

/// One connection with a session.
pub(crate) struct Raw {
    stream: TcpStream,
    xid: i32,
    pub(crate) timeout: Duration,
}

impl Raw {
    /// Opens a session.
    pub(crate) fn open(addr: SocketAddr, timeout_ms: i32) -> Self {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms,
            session: SessionId(0),
            password: Some(Bytes::from_static(&[0; 16])),
            read_only: Some(false),
        };
        let mut out = BytesMut::new();
        request.encode(&mut out);
        send(&mut stream, &out);
        let response = ConnectResponse::decode(&receive(&mut stream)).expect("it is a response");
        let timeout = Duration::from_millis(response.timeout_ms.unsigned_abs().into());
        Self { stream, xid: 0, timeout }
    }

    /// Sends a write of any version and does not wait for its answer.
    pub(crate) fn send_set(&mut self, path: &str) {
        self.xid += 1;
        let data = Some(Bytes::copy_from_slice(&self.xid.to_be_bytes()));
        let mut out = BytesMut::new();
        RequestHeader { xid: self.xid, op: OpCode::SetData.code() }.encode(&mut out);
        Request::SetData { path: path.into(), data, version: -1 }.encode(&mut out);
        send(&mut self.stream, &out);
    }

    /// The version that the write number `xid`, of which this is the answer, gave to its znode.
    pub(crate) fn receive_version(&mut self, xid: i32) -> i32 {
        let reply = receive(&mut self.stream);
        let mut reader = Reader::new(&reply);
        let header = ReplyHeader::decode(&mut reader).expect("it is a reply");
        assert_eq!((header.xid, header.error), (xid, None));
        Stat::decode(&mut reader).expect("the answer to a setData").version
    }

    pub(crate) fn create_ephemeral(&mut self, path: &str) {
        self.xid += 1;
        let create = CreateRequest {
            path: path.into(),
            data: None,
            acl: vec![Acl::OPEN],
            flags: create_flags::EPHEMERAL,
        };
        let mut out = BytesMut::new();
        RequestHeader { xid: self.xid, op: OpCode::Create.code() }.encode(&mut out);
        Request::Create(create).encode(&mut out);
        send(&mut self.stream, &out);
        let reply = receive(&mut self.stream);
        let header = ReplyHeader::decode(&mut Reader::new(&reply)).expect("it is a reply");
        assert_eq!(header.error, None);
    }
}

fn send(stream: &mut TcpStream, frame: &[u8]) {
    let length = u32::try_from(frame.len()).expect("short").to_be_bytes();
    stream.write_all(&[&length, frame].concat()).expect("it is open");
}

fn receive(stream: &mut TcpStream) -> Bytes {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("it answers");
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("it answers");
    frame.into()
}
