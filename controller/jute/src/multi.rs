//! Several operations in one request: each behind a small header, ended by one of type -1.

use bytes::{BufMut, Bytes};

use crate::request::{CreateRequest, path};
use crate::{DecodeError, ErrorCode, OpCode, Put, Reader, Stat, Text};

/// One write of a multi.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MultiOp {
    /// Answered with the path.
    Create(CreateRequest),
    /// Answered with path and stat.
    Create2(CreateRequest),
    /// A container.
    CreateContainer(CreateRequest),
    /// With a time to live in ms.
    CreateTtl(CreateRequest, i64),
    /// Delete a znode.
    Delete {
        /// Absolute.
        path: Text,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// Replace a znode's data.
    SetData {
        /// Absolute.
        path: Text,
        /// Null and empty differ.
        data: Option<Bytes>,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// Nothing is done unless the version holds.
    Check {
        /// Absolute.
        path: Text,
        /// The version it must have; -1 for any.
        version: i32,
    },
}

/// One read of a multiRead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MultiRead {
    /// A znode's data and stat.
    GetData {
        /// Absolute.
        path: Text,
        /// Has no effect, as with Apache, whose clients cannot set it.
        watch: bool,
    },
    /// The names of a znode's children.
    GetChildren {
        /// Absolute.
        path: Text,
        /// Has no effect, as with Apache, whose clients cannot set it.
        watch: bool,
    },
}

/// What became of one operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OpResult {
    /// Of a create.
    Created {
        /// With its number, when sequential.
        path: Text,
    },
    /// Of the other creates.
    Created2 {
        /// With its number, when sequential.
        path: Text,
        /// The new znode's.
        stat: Stat,
    },
    /// Of a delete.
    Deleted,
    /// Of a setData.
    Set(Stat),
    /// Of a check.
    Checked,
    /// Of a getData.
    Data {
        /// Null and empty differ.
        data: Option<Bytes>,
        /// The znode's.
        stat: Stat,
    },
    /// Of a getChildren.
    Children(Vec<Text>),
    /// Refused; `None` for one that stands before the refused one and was undone with it.
    Error(Option<ErrorCode>),
}

/// The body of the answer to a multi or multiRead.
pub type MultiResult = Vec<OpResult>;

impl MultiOp {
    /// Its opcode.
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(..) => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::SetData { .. } => OpCode::SetData,
            Self::Check { .. } => OpCode::Check,
        }
    }

    fn decode(op: i32, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match OpCode::try_from(op) {
            Ok(op @ (OpCode::Create | OpCode::Create2 | OpCode::CreateContainer)) => {
                Self::create(op, CreateRequest::decode(reader)?)?
            }
            Ok(OpCode::CreateTtl) => Self::CreateTtl(CreateRequest::decode(reader)?, reader.i64()?),
            Ok(OpCode::Delete) => Self::Delete { path: path(reader)?, version: reader.i32()? },
            Ok(OpCode::SetData) => Self::SetData {
                path: path(reader)?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            Ok(OpCode::Check) => Self::Check { path: path(reader)?, version: reader.i32()? },
            _ => return Err(DecodeError::Multi { op }),
        })
    }

    /// Within a multi it is the flags that make a container, and flags that these three cannot have spoil the
    /// whole request. Source: `Op.Create`.
    fn create(op: OpCode, create: CreateRequest) -> Result<Self, DecodeError> {
        match (create.flags, op) {
            (4, _) | (0..=3, OpCode::CreateContainer) => Ok(Self::CreateContainer(create)),
            (0..=3, OpCode::Create) => Ok(Self::Create(create)),
            (0..=3, _) => Ok(Self::Create2(create)),
            (value, _) => Err(DecodeError::Unknown { what: "create flags", value }),
        }
    }

    pub(crate) fn encode<B: BufMut + ?Sized>(&self, out: &mut B) {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.encode(out);
            }
            Self::CreateTtl(create, ttl) => {
                create.encode(out);
                out.put_i64(*ttl);
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                out.put_text(path);
                out.put_i32(*version);
            }
            Self::SetData { path, data, version } => {
                out.put_text(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
        }
    }
}

impl MultiRead {
    /// Its opcode.
    pub const fn op(&self) -> OpCode {
        match self {
            Self::GetData { .. } => OpCode::GetData,
            Self::GetChildren { .. } => OpCode::GetChildren,
        }
    }

    fn decode(op: i32, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match OpCode::try_from(op) {
            Ok(OpCode::GetData) => Self::GetData { path: path(reader)?, watch: reader.bool()? },
            Ok(OpCode::GetChildren) => {
                Self::GetChildren { path: path(reader)?, watch: reader.bool()? }
            }
            _ => return Err(DecodeError::Multi { op }),
        })
    }

    pub(crate) fn encode<B: BufMut + ?Sized>(&self, out: &mut B) {
        let (Self::GetData { path, watch } | Self::GetChildren { path, watch }) = self;
        out.put_text(path);
        out.put_bool(*watch);
    }
}

impl OpResult {
    /// Reads what [`Self::encode`] writes; `None` is the end of the results.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let header = Header::decode(reader)?;
        if header.done {
            return Ok(None);
        }
        if header.op == -1 {
            return Ok(Some(Self::Error(ErrorCode::from_code(reader.i32()?))));
        }
        Ok(Some(match OpCode::try_from(header.op)? {
            OpCode::Create => Self::Created { path: path(reader)? },
            OpCode::Create2 => Self::Created2 { path: path(reader)?, stat: Stat::decode(reader)? },
            OpCode::Delete => Self::Deleted,
            OpCode::SetData => Self::Set(Stat::decode(reader)?),
            OpCode::Check => Self::Checked,
            OpCode::GetData => Self::Data { data: reader.buffer()?, stat: Stat::decode(reader)? },
            OpCode::GetChildren => Self::Children(reader.vector(Reader::text_or_empty)?),
            _ => return Err(DecodeError::Multi { op: header.op }),
        }))
    }

    /// Writes the result with its header.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        let (op, error) = match self {
            Self::Created { .. } => (OpCode::Create.code(), None),
            // Every kind of create but the first is answered as a create2.
            Self::Created2 { .. } => (OpCode::Create2.code(), None),
            Self::Deleted => (OpCode::Delete.code(), None),
            Self::Set(_) => (OpCode::SetData.code(), None),
            Self::Checked => (OpCode::Check.code(), None),
            Self::Data { .. } => (OpCode::GetData.code(), None),
            Self::Children(_) => (OpCode::GetChildren.code(), None),
            Self::Error(error) => (-1, *error),
        };
        let error = error.map_or(0, ErrorCode::code);
        Header { op, done: false, error }.encode(out);
        match self {
            Self::Created { path } => out.put_text(path),
            Self::Created2 { path, stat } => {
                out.put_text(path);
                stat.encode(out);
            }
            Self::Set(stat) => stat.encode(out),
            Self::Data { data, stat } => {
                out.put_buffer(data.as_deref());
                stat.encode(out);
            }
            Self::Children(names) => out.put_vector(names, |out, name| out.put_text(name)),
            Self::Error(_) => out.put_i32(error),
            Self::Deleted | Self::Checked => {}
        }
    }
}

pub(crate) fn decode_multi(reader: &mut Reader<'_>) -> Result<Vec<MultiOp>, DecodeError> {
    decode_entries(reader, MultiOp::decode)
}

pub(crate) fn decode_multi_read(reader: &mut Reader<'_>) -> Result<Vec<MultiRead>, DecodeError> {
    decode_entries(reader, MultiRead::decode)
}

pub(crate) fn decode_results(reader: &mut Reader<'_>) -> Result<MultiResult, DecodeError> {
    let mut results = Vec::new();
    while let Some(result) = OpResult::decode(reader)? {
        results.push(result);
    }
    Ok(results)
}

pub(crate) fn encode_entries<B: BufMut + ?Sized, T>(
    out: &mut B,
    ops: &[T],
    code: impl Fn(&T) -> OpCode,
    encode: impl Fn(&T, &mut B),
) {
    for op in ops {
        Header { op: code(op).code(), done: false, error: -1 }.encode(out);
        encode(op, out);
    }
    Header::END.encode(out);
}

pub(crate) fn encode_results(out: &mut (impl BufMut + ?Sized), results: &[OpResult]) {
    for result in results {
        result.encode(out);
    }
    Header::END.encode(out);
}

fn decode_entries<T>(
    reader: &mut Reader<'_>,
    decode: impl Fn(i32, &mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let header = Header::decode(reader)?;
        if header.done {
            return Ok(ops);
        }
        ops.push(decode(header.op, reader)?);
    }
}

struct Header {
    op: i32,
    done: bool,
    error: i32,
}

impl Header {
    const END: Self = Self { op: -1, done: true, error: -1 };

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { op: reader.i32()?, done: reader.bool()?, error: reader.i32()? })
    }

    fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.op);
        out.put_bool(self.done);
        out.put_i32(self.error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_decide_what_is_made() {
        let made = |op: OpCode, flags: i32| {
            let acl = [].into();
            let create = CreateRequest { path: "/a".into(), data: None, acl, flags };
            MultiOp::create(op, create).map(|made| made.op()).ok()
        };
        for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer] {
            assert_eq!(made(op, 3), Some(op));
            assert_eq!(made(op, 4), Some(OpCode::CreateContainer));
            for flags in [-1, 5, 6, 7] {
                assert_eq!(made(op, flags), None);
            }
        }
    }
}
