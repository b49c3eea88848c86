//! Transactions: what the log keeps, what proposals carry, what is applied.

use bytes::{BufMut, Bytes, BytesMut};
use types::{SessionId, Zxid};

use crate::acl::{decode_list, encode_list};
use crate::{AclList, DecodeError, ErrorCode, OpCode, Put, Reader, Text};

/// Who asked for a transaction, and its place; 32 bytes with the type that follows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TxnHeader {
    /// The session that asked; 0 for a member itself.
    pub session: SessionId,
    /// The request's xid; with the session it tells whose reply this is.
    pub cxid: i32,
    /// Its place in the order.
    pub zxid: Zxid,
    /// ms since 1970 by the leader's clock.
    pub time: i64,
}

/// The type a record says it is of: an opcode, or -1 for a refusal.
pub type TxnType = i32;

const ERROR: TxnType = -1;

/// The sum over the tree after a transaction, to compare members by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TxnDigest {
    /// How the sum is made; 2 is the one known.
    pub version: i32,
    /// The sum.
    pub tree: i64,
}

impl TxnDigest {
    /// How the sum is made here.
    pub const VERSION: i32 = 2;
    /// How many bytes it takes.
    const BYTES: usize = 12;
}

/// A znode is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CreateTxn {
    /// Final, with its number when sequential.
    pub path: Text,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Normalised.
    pub acl: AclList,
    /// Whether the header's session owns it. Only creates of types 1 and 15 carry it.
    pub ephemeral: bool,
    /// The parent's stored cversion from now on; -1, in old logs: one more than it is.
    pub parent_cversion: i32,
}

/// A znode's data is replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetDataTxn {
    /// Absolute.
    pub path: Text,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// The version from now on.
    pub version: i32,
}

/// A znode's ACL is replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetAclTxn {
    /// Absolute.
    pub path: Text,
    /// Normalised.
    pub acl: AclList,
    /// The ACL's version from now on.
    pub version: i32,
}

/// A version held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionTxn {
    /// Absolute.
    pub path: Text,
    /// One more than the version.
    pub version: i32,
}

/// What changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Txn {
    /// Type 1.
    Create(CreateTxn),
    /// Type 15.
    Create2(CreateTxn),
    /// Type 19.
    CreateContainer(CreateTxn),
    /// Type 21, with its time to live in ms.
    CreateTtl(CreateTxn, i64),
    /// Type 2.
    Delete {
        /// Absolute.
        path: Text,
    },
    /// Type 20.
    DeleteContainer {
        /// Absolute.
        path: Text,
    },
    /// Type 5.
    SetData(SetDataTxn),
    /// Type 16: the text of the new configuration.
    Reconfig(SetDataTxn),
    /// Type 7.
    SetAcl(SetAclTxn),
    /// Type 13.
    Check(VersionTxn),
    /// Type 14: all or, when one of them is an error, none.
    Multi(Vec<Self>),
    /// Type -1: a request was refused.
    Error(ErrorCode),
    /// Type -10.
    CreateSession {
        /// As agreed on.
        timeout_ms: i32,
    },
    /// Type -11: the ephemerals to delete; `None` in old logs, where the tree knows them.
    CloseSession(Option<Vec<Text>>),
}

/// A transaction with all that the log keeps of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Who and where.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn,
    /// The tree after it; some have none.
    pub digest: Option<TxnDigest>,
}

impl Entry {
    /// Reads header, record and digest from the bytes of one log record or proposal.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (header, kind) = TxnHeader::decode(&mut reader)?;
        let txn = Txn::decode(kind, &mut reader)?;
        let digest = TxnDigest::decode(&mut reader).ok();
        Ok(Self { header, txn, digest })
    }

    /// Writes header, record and digest.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        self.header.encode(self.txn.kind(), out);
        self.txn.encode(out);
        if let Some(digest) = self.digest {
            digest.encode(out);
        }
    }
}

impl TxnHeader {
    /// Reads the 32 bytes: the header and the type of the record that follows.
    pub fn decode(reader: &mut Reader<'_>) -> Result<(Self, TxnType), DecodeError> {
        let (session, cxid) = (reader.session()?, reader.i32()?);
        let header = Self { session, cxid, zxid: reader.zxid()?, time: reader.i64()? };
        Ok((header, reader.i32()?))
    }

    /// Writes the 32 bytes.
    pub fn encode(&self, kind: TxnType, out: &mut (impl BufMut + ?Sized)) {
        let mut bytes = [0; 32];
        let mut rest = &mut bytes[..];
        rest.put_session(self.session);
        rest.put_i32(self.cxid);
        rest.put_zxid(self.zxid);
        rest.put_i64(self.time);
        rest.put_i32(kind);
        out.put_slice(&bytes);
    }
}

impl TxnDigest {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { version: reader.i32()?, tree: reader.i64()? })
    }

    fn encode(self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.version);
        out.put_i64(self.tree);
    }
}

impl Txn {
    /// The type its header says.
    pub const fn kind(&self) -> TxnType {
        match self {
            Self::Create(_) => OpCode::Create.code(),
            Self::Create2(_) => OpCode::Create2.code(),
            Self::CreateContainer(_) => OpCode::CreateContainer.code(),
            Self::CreateTtl(..) => OpCode::CreateTtl.code(),
            Self::Delete { .. } => OpCode::Delete.code(),
            Self::DeleteContainer { .. } => OpCode::DeleteContainer.code(),
            Self::SetData(_) => OpCode::SetData.code(),
            Self::Reconfig(_) => OpCode::Reconfig.code(),
            Self::SetAcl(_) => OpCode::SetAcl.code(),
            Self::Check(_) => OpCode::Check.code(),
            Self::Multi(_) => OpCode::Multi.code(),
            Self::Error(_) => ERROR,
            Self::CreateSession { .. } => OpCode::CreateSession.code(),
            Self::CloseSession(_) => OpCode::CloseSession.code(),
        }
    }

    /// Reads a record of type `kind`.
    pub fn decode(kind: TxnType, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if kind == OpCode::Multi.code() {
            return Ok(Self::Multi(reader.vector(Self::decode_sub)?));
        }
        Self::decode_single(kind, reader)
    }

    /// Writes the record.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        match self {
            Self::Create(create) | Self::Create2(create) => {
                create.encode_start(out);
                out.put_bool(create.ephemeral);
                out.put_i32(create.parent_cversion);
            }
            Self::CreateContainer(create) => {
                create.encode_start(out);
                out.put_i32(create.parent_cversion);
            }
            Self::CreateTtl(create, ttl) => {
                create.encode_start(out);
                out.put_i32(create.parent_cversion);
                out.put_i64(*ttl);
            }
            Self::Delete { path } | Self::DeleteContainer { path } => out.put_text(path),
            Self::SetData(set) | Self::Reconfig(set) => {
                out.put_text(&set.path);
                out.put_buffer(set.data.as_deref());
                out.put_i32(set.version);
            }
            Self::SetAcl(set) => {
                out.put_text(&set.path);
                encode_list(&set.acl, out);
                out.put_i32(set.version);
            }
            Self::Check(check) => {
                out.put_text(&check.path);
                out.put_i32(check.version);
            }
            Self::Multi(txns) => out.put_vector(txns, |out, txn| txn.encode_sub(out)),
            Self::Error(error) => out.put_i32(error.code()),
            Self::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
            Self::CloseSession(Some(paths)) => {
                out.put_vector(paths, |out, path| out.put_text(path))
            }
            Self::CloseSession(None) => {}
        }
    }

    fn decode_single(kind: TxnType, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if kind == ERROR {
            let code = reader.i32()?;
            // 0 is how the operations before the failing one of a multi are kept.
            return Ok(Self::Error(ErrorCode::from_code(code).unwrap_or(ErrorCode::Other(code))));
        }
        let unknown = DecodeError::Unknown { what: "type of a transaction", value: kind };
        Ok(match OpCode::try_from(kind).map_err(|_| unknown)? {
            OpCode::Create => Self::Create(CreateTxn::decode(reader)?),
            OpCode::Create2 => Self::Create2(CreateTxn::decode(reader)?),
            OpCode::CreateContainer => Self::CreateContainer(CreateTxn::decode_lasting(reader)?),
            OpCode::CreateTtl => Self::CreateTtl(CreateTxn::decode_lasting(reader)?, reader.i64()?),
            OpCode::Delete => Self::Delete { path: reader.text_or_empty()? },
            OpCode::DeleteContainer => Self::DeleteContainer { path: reader.text_or_empty()? },
            OpCode::SetData => Self::SetData(SetDataTxn::decode(reader)?),
            OpCode::Reconfig => Self::Reconfig(SetDataTxn::decode(reader)?),
            OpCode::SetAcl => Self::SetAcl(SetAclTxn {
                path: reader.text_or_empty()?,
                acl: decode_list(reader)?,
                version: reader.i32()?,
            }),
            OpCode::Check => {
                Self::Check(VersionTxn { path: reader.text_or_empty()?, version: reader.i32()? })
            }
            OpCode::CreateSession => Self::CreateSession { timeout_ms: reader.i32()? },
            // Before 3.6 the record was left out altogether, and closeSessionTxn.enabled=false leaves it out still.
            // As a list, what begins a digest would be one of two paths, with too few bytes behind it for any.
            OpCode::CloseSession
                if reader.left() == 0
                    || reader.ends_with(TxnDigest::BYTES, &TxnDigest::VERSION.to_be_bytes()) =>
            {
                Self::CloseSession(None)
            }
            OpCode::CloseSession => Self::CloseSession(Some(reader.vector(Reader::text_or_empty)?)),
            _ => return Err(unknown),
        })
    }

    /// A transaction within a multi: its type, and its record in a buffer of its own.
    fn decode_sub(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.i32()?;
        let record = reader.buffer()?.unwrap_or_default();
        Self::decode_single(kind, &mut Reader::new(&record))
    }

    fn encode_sub(&self, out: &mut (impl BufMut + ?Sized)) {
        let mut record = BytesMut::new();
        self.encode(&mut record);
        out.put_i32(self.kind());
        out.put_buffer(Some(&record));
    }
}

impl CreateTxn {
    fn decode_start(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.text_or_empty()?,
            data: reader.buffer()?,
            acl: decode_list(reader)?,
            ephemeral: false,
            parent_cversion: -1,
        })
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = Self::decode_start(reader)?;
        let ephemeral = reader.bool()?;
        // The first releases did not write the last field.
        let parent_cversion = if reader.left() == 0 { -1 } else { reader.i32()? };
        Ok(Self { ephemeral, parent_cversion, ..start })
    }

    fn decode_lasting(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = Self::decode_start(reader)?;
        Ok(Self { parent_cversion: reader.i32()?, ..start })
    }

    fn encode_start(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_text(&self.path);
        out.put_buffer(self.data.as_deref());
        encode_list(&self.acl, out);
    }
}

impl SetDataTxn {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { path: reader.text_or_empty()?, data: reader.buffer()?, version: reader.i32()? })
    }
}
