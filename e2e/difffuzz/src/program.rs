//! A program: steps on up to three connections.

use std::fmt;

use bytes::Bytes;
use jute::{OpCode, Reader, Request};

/// Where a program's subtree is, in the bytes of its requests. The number of a run is written over the
/// hashes, so that no length changes.
pub(crate) const ROOT: &str = "/p########";

/// In a body, stands for the highest zxid that the program has seen.
pub(crate) const SEEN_ZXID: [u8; 8] = *b"\x7a\x58SEEN\x69\x64";

/// Connections that a program may have.
pub(crate) const SLOTS: usize = 3;

/// What a program does, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Program {
    /// Each is over, its answers taken, before the next begins.
    pub steps: Vec<Step>,
}

/// One thing a program does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Opens a connection in a slot; one that is there is dropped.
    Connect(usize, Connect),
    /// Sends requests at once.
    Send(usize, Vec<Send>),
    /// As `Send`, in two parts: the second begins so many bytes behind the start.
    Torn(usize, Vec<Send>, usize),
    /// Bytes in place of a frame; the server may hang up.
    Raw(usize, Vec<u8>),
    /// Opens a connection in a slot and sends a frame in place of a connect record.
    Opening(usize, Vec<u8>),
    /// The beginning of a frame, and then the socket is closed; the session stays.
    Half(usize, Vec<u8>),
    /// Closes the socket; the session stays.
    Drop(usize),
}

/// A request, as bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Send {
    /// The client's number for it.
    pub xid: i32,
    /// The opcode.
    pub op: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// How a connection is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connect {
    /// The slot whose session is taken over; `None` for a new one.
    pub session_of: Option<usize>,
    /// What is sent as the password.
    pub password: Password,
    /// As wished, ms.
    pub timeout_ms: i32,
    /// As sent.
    pub last_zxid: i64,
    /// As sent.
    pub protocol: i32,
    /// The byte at the end, which old clients leave out.
    pub read_only: Option<bool>,
}

/// What is sent as a session's password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Password {
    /// The session's; zeros for a new one.
    Right,
    /// Sixteen other bytes.
    Wrong,
    /// Three bytes.
    Short,
    /// None.
    Null,
}

impl Send {
    /// The request, where it is one.
    pub(crate) fn decode(&self) -> Option<Request> {
        let op = OpCode::try_from(self.op).ok()?;
        Request::decode(op, &mut Reader::new(&Bytes::copy_from_slice(&self.body))).ok()
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Connect(slot, how) => writeln!(f, "{at}: [{slot}] {how:?}")?,
                Step::Drop(slot) => writeln!(f, "{at}: [{slot}] drop")?,
                Step::Raw(slot, bytes) => {
                    writeln!(f, "{at}: [{slot}] raw {}", bytes.escape_ascii())?;
                }
                Step::Opening(slot, bytes) => {
                    writeln!(f, "{at}: [{slot}] opening {}", bytes.escape_ascii())?;
                }
                Step::Half(slot, bytes) => {
                    writeln!(f, "{at}: [{slot}] half {}", bytes.escape_ascii())?;
                }
                Step::Send(slot, sends) | Step::Torn(slot, sends, _) => {
                    if let Step::Torn(_, _, cut) = step {
                        writeln!(f, "{at}: [{slot}] torn at {cut}")?;
                    }
                    for send in sends {
                        write!(f, "{at}: [{slot}] xid {} op {} ", send.xid, send.op)?;
                        match send.decode() {
                            Some(request) => writeln!(f, "{request:?}")?,
                            None => writeln!(f, "undecodable {}", send.body.escape_ascii())?,
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
