//! The body of a reply, after its header.

use bytes::{BufMut, Bytes};

use crate::multi::{MultiResult, decode_results, encode_results};
use crate::{Acl, DecodeError, Id, OpCode, PageStart, Put, Reader, Stat, Text};

/// What a request is answered with when it succeeds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Response {
    /// Nothing but the header: delete, ping, closeSession, auth, checks and removals of watches.
    Empty,
    /// Of create and sync.
    Path(Text),
    /// Of the other creates.
    Created {
        /// With its number, when sequential.
        path: Text,
        /// The new znode's.
        stat: Stat,
    },
    /// Of exists, setData and setACL.
    Stat(Stat),
    /// Of getData and reconfig.
    Data {
        /// Null and empty differ.
        data: Option<Bytes>,
        /// The znode's.
        stat: Stat,
    },
    /// Of getACL.
    Acl {
        /// The list.
        acl: Vec<Acl>,
        /// The znode's.
        stat: Stat,
    },
    /// Of getChildren and getEphemerals.
    Names(Vec<Text>),
    /// Of getChildren2.
    Children {
        /// In no order.
        names: Vec<Text>,
        /// The znode's.
        stat: Stat,
    },
    /// Of getChildrenPaginated.
    Page {
        /// The oldest first.
        names: Vec<Text>,
        /// The znode's.
        stat: Stat,
        /// Where the next page begins; [`PageStart::NONE`] when this is the last one.
        next: PageStart,
    },
    /// Of getAllChildrenNumber, and the zero of addWatch.
    Number(i32),
    /// Of whoAmI: scheme and user.
    Who(Vec<Id>),
    /// Of multi and multiRead.
    Multi(MultiResult),
    /// Of a step of a SASL exchange.
    Token(Option<Bytes>),
}

impl Response {
    /// Reads the answer to a request of `op`.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create | OpCode::Sync => Self::Path(reader.text_or_empty()?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::Created { path: reader.text_or_empty()?, stat: Stat::decode(reader)? }
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Self::Stat(Stat::decode(reader)?),
            OpCode::GetData | OpCode::Reconfig => {
                Self::Data { data: reader.buffer()?, stat: Stat::decode(reader)? }
            }
            OpCode::GetAcl => {
                Self::Acl { acl: reader.vector(Acl::decode)?, stat: Stat::decode(reader)? }
            }
            OpCode::GetChildren | OpCode::GetEphemerals => {
                Self::Names(reader.vector(Reader::text_or_empty)?)
            }
            OpCode::GetChildren2 => Self::Children {
                names: reader.vector(Reader::text_or_empty)?,
                stat: Stat::decode(reader)?,
            },
            OpCode::GetChildrenPaginated => Self::Page {
                names: reader.vector(Reader::text_or_empty)?,
                stat: Stat::decode(reader)?,
                next: PageStart::decode(reader)?,
            },
            OpCode::GetAllChildrenNumber | OpCode::AddWatch => Self::Number(reader.i32()?),
            OpCode::WhoAmI => Self::Who(reader.vector(Id::decode)?),
            OpCode::Multi | OpCode::MultiRead => Self::Multi(decode_results(reader)?),
            OpCode::Sasl => Self::Token(reader.buffer()?),
            OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::Check
            | OpCode::Ping
            | OpCode::Auth
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::CreateSession
            | OpCode::CloseSession => Self::Empty,
        })
    }

    /// Writes the body.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        match self {
            Self::Empty => {}
            Self::Path(path) => out.put_text(path),
            Self::Created { path, stat } => {
                out.put_text(path);
                stat.encode(out);
            }
            Self::Stat(stat) => stat.encode(out),
            Self::Data { data, stat } => {
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Acl { acl, stat } => {
                out.put_vector(acl, |out, acl| acl.encode(out));
                stat.encode(out);
            }
            Self::Names(names) => out.put_vector(names, |out, name| out.put_text(name)),
            Self::Children { names, stat } => {
                out.put_vector(names, |out, name| out.put_text(name));
                stat.encode(out);
            }
            Self::Page { names, stat, next } => {
                out.put_vector(names, |out, name| out.put_text(name));
                stat.encode(out);
                next.encode(out);
            }
            Self::Number(number) => out.put_i32(*number),
            Self::Who(ids) => out.put_vector(ids, |out, id| id.encode(out)),
            Self::Multi(results) => encode_results(out, results),
            Self::Token(token) => out.put_buffer(token.as_deref()),
        }
    }
}
