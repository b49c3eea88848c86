//! The null server: every frame is answered at once with the bytes of a success.
//!
//! What the generator reaches against it is the generator's ceiling: a figure near it says nothing about a server.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write, stdout};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use bytes::BytesMut;
use jute::{ConnectResponse, OpCode, PASSWORD_LENGTH, ReplyHeader, Response, Stat, Text};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use types::{SessionId, Zxid};

/// Serves until it is ended. Prints `{"addr": …}` once it listens.
pub(crate) fn serve(addr: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(addr).with_context(|| format!("listen on {addr}"))?;
    listener.set_nonblocking(true).context("make a socket non-blocking")?;
    let bound = listener.local_addr().context("the address that is listened on")?;
    writeln!(stdout(), "{{\"addr\": \"{bound}\"}}").context("print the address")?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
    let flags = epoll::EventFlags::IN;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(0), flags).context("watch a socket")?;
    let answers = Answers::new();
    let mut clients = BTreeMap::new();
    let mut next = 1;
    let mut events = Vec::with_capacity(256);
    loop {
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(failed) => return Err(failed).context("wait for the sockets"),
        }
        for event in events.drain(..) {
            let number = event.data.u64();
            if let Some(client) = clients.get_mut(&number) {
                if !Client::serve(client, &answers) {
                    clients.remove(&number);
                }
            } else if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).context("make a socket non-blocking")?;
                stream.set_nodelay(true).context("turn off Nagle's algorithm")?;
                let both = flags | epoll::EventFlags::OUT | epoll::EventFlags::ET;
                epoll::add(&poll, &stream, epoll::EventData::new_u64(next), both)
                    .context("watch a socket")?;
                clients.insert(next, Client::new(stream));
                next += 1;
            }
        }
    }
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    connected: bool,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self { stream, input: vec![0; 256 << 10], filled: 0, output: Vec::new(), connected: false }
    }

    /// Reads, answers, sends; false when the client is gone or sends what no generator does.
    fn serve(&mut self, answers: &Answers) -> bool {
        loop {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return false,
                Ok(count) => {
                    self.filled += count;
                    let all = self.filled < self.input.len();
                    self.answer(answers);
                    if all {
                        return self.flush();
                    }
                }
                Err(empty) if empty.kind() == ErrorKind::WouldBlock => return self.flush(),
                Err(again) if again.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn answer(&mut self, answers: &Answers) {
        let mut at = 0;
        while let Some((length, rest)) = self.input[at..self.filled].split_first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).expect("32 bits fit");
            let Some(frame) = rest.get(..length) else { break };
            at += 4 + length;
            let answer = match frame.split_first_chunk::<4>().zip(frame.get(4..8)) {
                Some(((xid, _), op)) if self.connected => {
                    let start = self.output.len() + 4;
                    self.output.extend_from_slice(answers.to(op));
                    self.output[start..start + 4].copy_from_slice(xid);
                    continue;
                }
                _ => &answers.connect,
            };
            self.connected = true;
            self.output.extend_from_slice(answer);
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
    }

    fn flush(&mut self) -> bool {
        let mut gone = 0;
        while gone < self.output.len() {
            match self.stream.write(&self.output[gone..]) {
                Ok(count) => gone += count,
                Err(full) if full.kind() == ErrorKind::WouldBlock => break,
                Err(again) if again.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.output.drain(..gone);
        true
    }
}

/// Whole frames, length first.
struct Answers {
    connect: Vec<u8>,
    by_op: Vec<(i32, Vec<u8>)>,
    other: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        let connect = ConnectResponse {
            timeout_ms: 30_000,
            session: SessionId(1),
            password: [0; PASSWORD_LENGTH],
            read_only: Some(false),
        };
        let reply = |response: Response| {
            framed(|out| {
                ReplyHeader { xid: 0, zxid: Zxid::from_bits(1), error: None }.encode(out);
                response.encode(out);
            })
        };
        let stat = Stat::default();
        let path = Text::from_static("/bench/0000/000000000000000000");
        let data = Some(vec![b'x'; 100].into());
        Self {
            connect: framed(|out| connect.encode(out)),
            by_op: vec![
                (OpCode::SetData.code(), reply(Response::Stat(stat))),
                (OpCode::GetData.code(), reply(Response::Data { data, stat })),
                (OpCode::Create.code(), reply(Response::Path(path))),
            ],
            other: reply(Response::Empty),
        }
    }

    fn to(&self, op: &[u8]) -> &[u8] {
        let found = self.by_op.iter().find(|(code, _)| code.to_be_bytes() == op);
        found.map_or(&self.other, |(_, answer)| answer)
    }
}

fn framed(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut body = BytesMut::new();
    encode(&mut body);
    let length = u32::try_from(body.len()).expect("it is short");
    [&length.to_be_bytes()[..], &body].concat()
}
