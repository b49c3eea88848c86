//! A program, run against one server.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use jute::{AuthPacket, ConnectRequest, ConnectResponse, OpCode, Request, Response, Text};
use types::{SessionId, Zxid};

use crate::deviations::is_shared;
use crate::names::SUPER_PROOF;
use crate::program::{Connect, Password, Program, ROOT, SEEN_ZXID, SLOTS, Send, Step};
use crate::render::{Notes, header};
use crate::wire::{Got, Target, Wire};

/// Runs a program under the subtree of `number`, which must be new to the server, and tells all that was
/// seen. `alone`: nothing else runs, so that the distance of zxids can be told too.
///
/// Errors: no server is there, or it does not answer the dumper.
pub fn run(
    program: &Program,
    target: Target,
    number: u32,
    dumper: &mut Dumper,
    alone: bool,
) -> Result<Vec<String>> {
    let root = format!("/p{number:08}");
    let since = if alone { Some(dumper.last_zxid()?) } else { None };
    let mut run = Run {
        target,
        root: root.clone(),
        since,
        slots: [const { None }; SLOTS],
        sessions: [None; SLOTS],
        made: Vec::new(),
        notes: Notes::default(),
    };
    for (at, step) in program.steps.iter().enumerate() {
        run.step(at, step)?;
    }
    run.end(number, dumper)?;
    Ok(run.notes.finish(&root))
}

struct Run {
    target: Target,
    root: String,
    since: Option<i64>,
    slots: [Option<Wire>; SLOTS],
    /// The session last had in a slot.
    sessions: [Option<Session>; SLOTS],
    made: Vec<Session>,
    notes: Notes,
}

#[derive(Clone, Copy, Eq, PartialEq)]
struct Session {
    id: SessionId,
    password: [u8; 16],
}

impl Run {
    fn step(&mut self, at: usize, step: &Step) -> Result<()> {
        match step {
            Step::Connect(slot, how) => self.connect(at, *slot, how),
            Step::Send(slot, sends) => {
                self.send(at, *slot, sends, None);
                Ok(())
            }
            Step::Torn(slot, sends, cut) => {
                self.send(at, *slot, sends, Some(*cut));
                Ok(())
            }
            Step::Opening(slot, bytes) => {
                let mut wire = Wire::open(self.target)?;
                wire.send(&framed(bytes));
                self.opened(at, *slot, wire);
                Ok(())
            }
            Step::Half(slot, bytes) => {
                if let Some(wire) = &mut self.slots[*slot] {
                    wire.send(bytes);
                    self.slots[*slot] = None;
                }
                Ok(())
            }
            Step::Raw(slot, bytes) => {
                // Apache may hang up over the bytes before it writes the events that wait.
                if self.slots[*slot].is_some() {
                    self.fence(at, *slot);
                }
                if let Some(wire) = &mut self.slots[*slot] {
                    wire.send(bytes);
                    self.expect_end(at, *slot);
                }
                Ok(())
            }
            Step::Drop(slot) => {
                self.slots[*slot] = None;
                Ok(())
            }
        }
    }

    fn connect(&mut self, at: usize, slot: usize, how: &Connect) -> Result<()> {
        self.slots[slot] = None;
        let of = how.session_of.and_then(|of| self.sessions[of]);
        for other in 0..SLOTS {
            if of.is_some() && self.sessions[other] == of && self.slots[other].is_some() {
                match how.password {
                    // What is on its way to a connection that is taken over may or may not arrive.
                    Password::Right => self.fence(at, other),
                    // With a wrong password Apache ends the rightful connection, ours does not.
                    _ => self.slots[other] = None,
                }
            }
        }
        let session = of.map_or(SessionId(0), |session| session.id);
        let right = of.map_or([0; 16], |session| session.password);
        let password = match how.password {
            Password::Right => Some(Bytes::copy_from_slice(&right)),
            Password::Wrong => Some(Bytes::from_static(&[7; 16])),
            Password::Short => Some(Bytes::from_static(&[7; 3])),
            Password::Null => None,
        };
        let request = ConnectRequest {
            protocol_version: how.protocol,
            last_zxid_seen: Zxid::from_bits(how.last_zxid),
            timeout_ms: how.timeout_ms,
            session,
            password,
            read_only: how.read_only,
        };
        let mut body = BytesMut::new();
        request.encode(&mut body);
        let mut wire = Wire::open(self.target)?;
        wire.send(&framed(&body));
        self.opened(at, slot, wire);
        // A session has one connection: that which had it before ends.
        if let Some(session) = of
            && let Some(other) = (0..SLOTS).find(|other| {
                *other != slot
                    && self.sessions[*other] == Some(session)
                    && self.slots[*other].is_some()
            })
            && self.slots[slot].is_some()
        {
            self.expect_end(at, other);
        }
        Ok(())
    }

    /// What the server says to the first frame.
    fn opened(&mut self, at: usize, slot: usize, mut wire: Wire) {
        self.slots[slot] = None;
        let line = match wire.next() {
            Got::Frame(frame) => {
                let frame = Bytes::from(frame);
                match ConnectResponse::decode(&frame) {
                    Ok(response) => {
                        self.slots[slot] = Some(wire);
                        if response.session.0 == 0 {
                            // Apache closes the connection while the refusal may still be unsent.
                            return self.expect_end(at, slot);
                        }
                        let number = self.notes.session(response.session.0);
                        let password = *response.password.first_chunk().unwrap_or(&[0; 16]);
                        let session = Session { id: response.session, password };
                        self.sessions[slot] = Some(session);
                        self.made.push(session);
                        format!(
                            "session {number} for {} ms, {:?}, {} bytes",
                            response.timeout_ms,
                            response.read_only,
                            frame.len()
                        )
                    }
                    Err(why) => format!("undecodable, {why}"),
                }
            }
            Got::End => "hung up".to_owned(),
            Got::Silence => "silence".to_owned(),
        };
        self.notes.line(format!("{at} [{slot}] {line}"));
    }

    fn send(&mut self, at: usize, slot: usize, sends: &[Send], cut: Option<usize>) {
        // As before raw bytes: Apache hangs up over some requests that it cannot read.
        if self.slots[slot].is_some() && sends.iter().any(|send| send.decode().is_none()) {
            self.fence(at, slot);
        }
        let Some(wire) = &mut self.slots[slot] else {
            return self.notes.line(format!("{at} [{slot}] no connection"));
        };
        let mut out = Vec::new();
        for send in sends {
            let mut body = [send.xid.to_be_bytes(), send.op.to_be_bytes()].concat();
            body.extend(replaced(&send.body, &self.root, self.notes.seen));
            out.extend(framed(&body));
        }
        let (first, rest) = out.split_at(cut.unwrap_or(0).min(out.len()));
        wire.send(first);
        wire.send(rest);
        for send in sends {
            let Some(frame) = self.reply(at, slot) else { return };
            let error = header(&frame).map_or(0, |(_, _, error)| error);
            if error == MARSHALLING {
                // For some records that it cannot read Apache logs a transaction, ours never does.
                self.since = None;
            }
            let request = send.decode();
            let shared = request.as_ref().is_some_and(is_shared);
            let line = self.notes.reply(send.op, request.as_ref(), shared, &frame, self.since);
            self.notes.line(format!("{at} [{slot}] {line}"));
            let known = OpCode::try_from(send.op).is_ok_and(OpCode::is_for_clients);
            if error == AUTH_FAILED
                || (error == UNIMPLEMENTED && !known)
                || send.op == OpCode::CloseSession.code()
            {
                return self.expect_end(at, slot);
            }
        }
    }

    /// The next frame that is no event; events before it are noted.
    fn reply(&mut self, at: usize, slot: usize) -> Option<Vec<u8>> {
        loop {
            match self.slots[slot].as_mut()?.next() {
                Got::Frame(frame) if is_event(&frame) => {
                    let event = self.notes.event(&frame);
                    self.notes.line(format!("{at} [{slot}]{event}"));
                }
                Got::Frame(frame) => return Some(frame),
                Got::End => {
                    self.notes.line(format!("{at} [{slot}] hung up"));
                    self.slots[slot] = None;
                }
                Got::Silence => {
                    self.notes.line(format!("{at} [{slot}] silence"));
                    self.slots[slot] = None;
                }
            }
        }
    }

    fn expect_end(&mut self, at: usize, slot: usize) {
        while let Some(frame) = self.reply(at, slot) {
            self.notes.line(format!("{at} [{slot}] unasked: {}", frame.escape_ascii()));
        }
    }

    /// Asks for something, so that the events before the answer are all there.
    fn fence(&mut self, at: usize, slot: usize) {
        let op = OpCode::GetEphemerals.code();
        self.send(at, slot, &[Send { xid: 7, op, body: vec![0; 4] }], None);
    }

    /// Events that are still on their way, the end of all sessions, and the tree.
    fn end(&mut self, number: u32, dumper: &mut Dumper) -> Result<()> {
        let at = 999;
        for slot in 0..SLOTS {
            if self.slots[slot].is_some() {
                self.fence(at, slot);
            }
        }
        let before = number.is_multiple_of(2);
        if before {
            self.dump(dumper)?;
        }
        for slot in 0..SLOTS {
            if self.slots[slot].is_some() {
                let op = OpCode::CloseSession.code();
                self.send(at, slot, &[Send { xid: 8, op, body: Vec::new() }], None);
                let session = self.sessions[slot];
                self.made.retain(|one| Some(*one) != session);
            }
        }
        // What is left by dropped connections would end at some other time, by itself.
        for session in std::mem::take(&mut self.made) {
            close(self.target, session)?;
        }
        if !before {
            self.dump(dumper)?;
        }
        dumper.remove(&self.root)
    }

    fn dump(&mut self, dumper: &mut Dumper) -> Result<()> {
        for root in [self.root.clone(), format!("/zookeeper/quota{}", self.root)] {
            dumper.dump(&root, &mut self.notes)?;
        }
        Ok(())
    }
}

/// A session above all ACLs, which reads whole subtrees.
pub struct Dumper {
    wire: Wire,
}

impl Dumper {
    /// Opens it. Errors: the server does not know [`crate::SUPER_DIGEST`].
    pub fn open(target: Target) -> Result<Self> {
        let mut wire = Wire::open(target)?;
        connect(&mut wire, None)?;
        let scheme = Text::from_static("digest");
        let auth = Request::Auth(AuthPacket { scheme, auth: Bytes::from_static(SUPER_PROOF) });
        let mut dumper = Self { wire };
        dumper.ask(&[auth])?;
        Ok(dumper)
    }

    fn last_zxid(&mut self) -> Result<i64> {
        let reply = self.ask(&[Request::Exists { path: Text::from_static("/"), watch: false }])?;
        Ok(header(&reply[0]).map_or(0, |(_, zxid, _)| zxid))
    }

    fn dump(&mut self, root: &str, notes: &mut Notes) -> Result<()> {
        let mut level = vec![root.to_owned()];
        while !level.is_empty() {
            level.sort();
            let requests: Vec<_> = level
                .iter()
                .flat_map(|path| {
                    let path = Text::from(path.clone());
                    [
                        Request::GetData { path: path.clone(), watch: false },
                        Request::GetAcl { path: path.clone() },
                        Request::GetChildren { path, watch: false },
                    ]
                })
                .collect();
            let replies = self.ask(&requests)?;
            let mut next = Vec::new();
            for (at, (request, reply)) in requests.iter().zip(&replies).enumerate() {
                let path = &level[at / 3];
                let line = notes.reply(request.op().code(), Some(request), false, reply, None);
                notes.line(format!("dump {path:?} {line}"));
                next.extend(names(request, reply).into_iter().map(|name| format!("{path}/{name}")));
            }
            level = next;
        }
        Ok(())
    }

    /// Deletes a program's subtrees.
    fn remove(&mut self, root: &str) -> Result<()> {
        let mut found = vec![root.to_owned(), format!("/zookeeper/quota{root}")];
        let mut at = 0;
        while at < found.len() {
            let level: Vec<_> = found[at..]
                .iter()
                .map(|path| Request::GetChildren { path: Text::from(&path[..]), watch: false })
                .collect();
            let replies = self.ask(&level)?;
            let begin = at;
            at = found.len();
            for (number, (request, reply)) in level.iter().zip(&replies).enumerate() {
                for name in names(request, reply) {
                    found.push(format!("{}/{name}", found[begin + number]));
                }
            }
        }
        let deletes: Vec<_> = found
            .iter()
            .rev()
            .map(|path| Request::Delete { path: Text::from(&path[..]), version: -1 })
            .collect();
        self.ask(&deletes)?;
        Ok(())
    }

    fn ask(&mut self, requests: &[Request]) -> Result<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        for request in requests {
            let mut body = BytesMut::new();
            jute::RequestHeader { xid: 1, op: request.op().code() }.encode(&mut body);
            request.encode(&mut body);
            out.extend(framed(&body));
        }
        self.wire.send(&out);
        let mut replies = Vec::new();
        for request in requests {
            match self.wire.next() {
                Got::Frame(frame) => replies.push(frame),
                Got::End => bail!("the server hung up instead of an answer to {request:?}"),
                Got::Silence => bail!("the server does not answer {request:?}"),
            }
        }
        Ok(replies)
    }
}

fn names(request: &Request, reply: &[u8]) -> Vec<Text> {
    let Some((_, _, 0)) = header(reply) else { return Vec::new() };
    let body = Bytes::copy_from_slice(&reply[16..]);
    match (request, Response::decode(request.op(), &mut jute::Reader::new(&body))) {
        (Request::GetChildren { .. }, Ok(Response::Names(names))) => names,
        _ => Vec::new(),
    }
}

fn close(target: Target, session: Session) -> Result<()> {
    let mut wire = Wire::open(target)?;
    if connect(&mut wire, Some(session))? {
        wire.send(&framed(&[[0, 0, 0, 1], OpCode::CloseSession.code().to_be_bytes()].concat()));
        wire.next();
    }
    Ok(())
}

/// Whether there is a session then.
fn connect(wire: &mut Wire, session: Option<Session>) -> Result<bool> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: i32::MAX,
        session: session.map_or(SessionId(0), |session| session.id),
        password: Some(Bytes::copy_from_slice(&session.map_or([0; 16], |one| one.password))),
        read_only: Some(false),
    };
    let mut body = BytesMut::new();
    request.encode(&mut body);
    wire.send(&framed(&body));
    match wire.next() {
        Got::Frame(frame) => {
            let response = ConnectResponse::decode(&Bytes::from(frame)).context("a session")?;
            ensure!(session.is_some() || response.session.0 != 0, "no session was given");
            Ok(response.session.0 != 0)
        }
        Got::End | Got::Silence => bail!("the server gives no session"),
    }
}

fn is_event(frame: &[u8]) -> bool {
    header(frame).is_some_and(|(xid, ..)| xid == jute::xid::NOTIFICATION)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("programs are small");
    [&length.to_be_bytes()[..], body].concat()
}

/// The bytes with the program's root and the zxid that it saw in their places.
fn replaced(body: &[u8], root: &str, seen: i64) -> Vec<u8> {
    let mut body = body.to_vec();
    for at in 0..body.len() {
        if body[at..].starts_with(ROOT.as_bytes()) {
            body[at..at + ROOT.len()].copy_from_slice(root.as_bytes());
        } else if body[at..].starts_with(&SEEN_ZXID) {
            body[at..at + 8].copy_from_slice(&seen.to_be_bytes());
        }
    }
    body
}

const AUTH_FAILED: i32 = -115;
const MARSHALLING: i32 = -5;
const UNIMPLEMENTED: i32 = -6;
