//! Requests to and from bytes.

use bytes::BufMut;

use super::{AuthPacket, CreateRequest, Reconfig, Request, SetWatches};
use crate::acl::{decode_list, encode_list};
use crate::multi::{decode_multi, decode_multi_read, encode_entries};
use crate::{DecodeError, MultiOp, MultiRead, OpCode, PageStart, Put, Reader, Text};

impl Request {
    /// Reads the record that `op` announces; what follows it in the frame is ignored.
    ///
    /// A client is told [`crate::ErrorCode::MarshallingError`] of any error.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create => Self::Create(CreateRequest::decode(reader)?),
            OpCode::Create2 => Self::Create2(CreateRequest::decode(reader)?),
            OpCode::CreateContainer => Self::CreateContainer(CreateRequest::decode(reader)?),
            OpCode::CreateTtl => Self::CreateTtl(CreateRequest::decode(reader)?, reader.i64()?),
            OpCode::Delete => Self::Delete { path: path(reader)?, version: reader.i32()? },
            OpCode::DeleteContainer => Self::DeleteContainer { path: path(reader)? },
            // A null path is as bad an argument as an empty one, and not a record that cannot be read.
            OpCode::SetData => Self::SetData {
                path: reader.text_or_empty()?,
                data: reader.buffer()?,
                version: reader.i32()?,
            },
            OpCode::SetAcl => Self::SetAcl {
                path: reader.text_or_empty()?,
                acl: decode_list(reader)?,
                version: reader.i32()?,
            },
            OpCode::Check => Self::Check { path: path(reader)?, version: reader.i32()? },
            OpCode::Multi => Self::Multi(decode_multi(reader)?),
            OpCode::Reconfig => Self::Reconfig(Reconfig {
                joining: reader.text()?,
                leaving: reader.text()?,
                members: reader.text()?,
                config_id: reader.i64()?,
            }),
            OpCode::CreateSession => Self::CreateSession { timeout_ms: reader.i32()? },
            OpCode::CloseSession => Self::CloseSession,
            OpCode::Exists => Self::Exists { path: path(reader)?, watch: reader.bool()? },
            OpCode::GetData => Self::GetData { path: path(reader)?, watch: reader.bool()? },
            OpCode::GetAcl => Self::GetAcl { path: path(reader)? },
            OpCode::GetChildren => Self::GetChildren { path: path(reader)?, watch: reader.bool()? },
            OpCode::GetChildren2 => {
                Self::GetChildren2 { path: path(reader)?, watch: reader.bool()? }
            }
            OpCode::GetChildrenPaginated => Self::GetChildrenPaginated {
                path: path(reader)?,
                most: reader.i32()?,
                from: PageStart::decode(reader)?,
                watch: reader.bool()?,
            },
            OpCode::MultiRead => Self::MultiRead(decode_multi_read(reader)?),
            OpCode::GetEphemerals => Self::GetEphemerals { prefix: reader.text_or_empty()? },
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber { path: path(reader)? },
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::Sync => Self::Sync { path: reader.text_or_empty()? },
            OpCode::Ping => Self::Ping,
            OpCode::SetWatches => Self::SetWatches(SetWatches::decode_one_shot(reader)?),
            OpCode::SetWatches2 => {
                let one_shot = SetWatches::decode_one_shot(reader)?;
                let persistent = reader.vector(Reader::text_or_empty)?;
                let recursive = reader.vector(Reader::text_or_empty)?;
                Self::SetWatches2(SetWatches { persistent, recursive, ..one_shot })
            }
            OpCode::AddWatch => {
                Self::AddWatch { path: path(reader)?, mode: reader.i32()?.try_into()? }
            }
            OpCode::CheckWatches => Self::CheckWatches {
                path: reader.text_or_empty()?,
                kind: reader.i32()?.try_into()?,
            },
            OpCode::RemoveWatches => Self::RemoveWatches {
                path: reader.text_or_empty()?,
                kind: reader.i32()?.try_into()?,
            },
            OpCode::Auth => Self::Auth(AuthPacket::decode(reader)?),
            OpCode::Sasl => Self::Sasl { token: reader.buffer()? },
        })
    }

    /// Writes the record, without a header.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
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
            Self::SetAcl { path, acl, version } => {
                out.put_text(path);
                encode_list(acl, out);
                out.put_i32(*version);
            }
            Self::Multi(ops) => encode_entries(out, ops, MultiOp::op, MultiOp::encode),
            Self::MultiRead(ops) => encode_entries(out, ops, MultiRead::op, MultiRead::encode),
            Self::Reconfig(reconfig) => {
                out.put_optional_text(reconfig.joining.as_deref());
                out.put_optional_text(reconfig.leaving.as_deref());
                out.put_optional_text(reconfig.members.as_deref());
                out.put_i64(reconfig.config_id);
            }
            Self::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => {
                out.put_text(path);
                out.put_bool(*watch);
            }
            Self::GetChildrenPaginated { path, most, from, watch } => {
                out.put_text(path);
                out.put_i32(*most);
                from.encode(out);
                out.put_bool(*watch);
            }
            Self::GetAcl { path }
            | Self::DeleteContainer { path }
            | Self::GetAllChildrenNumber { path }
            | Self::Sync { path }
            | Self::GetEphemerals { prefix: path } => out.put_text(path),
            Self::CloseSession | Self::WhoAmI | Self::Ping => {}
            Self::SetWatches(watches) => watches.encode_one_shot(out),
            Self::SetWatches2(watches) => {
                watches.encode_one_shot(out);
                put_texts(out, &watches.persistent);
                put_texts(out, &watches.recursive);
            }
            Self::AddWatch { path, mode } => {
                out.put_text(path);
                out.put_i32(mode.code());
            }
            Self::CheckWatches { path, kind } | Self::RemoveWatches { path, kind } => {
                out.put_text(path);
                out.put_i32(kind.code());
            }
            Self::Auth(packet) => {
                out.put_i32(0);
                out.put_text(&packet.scheme);
                out.put_buffer(Some(&packet.auth));
            }
            Self::Sasl { token } => out.put_buffer(token.as_deref()),
        }
    }
}

impl CreateRequest {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: path(reader)?,
            data: reader.buffer()?,
            acl: decode_list(reader)?,
            flags: reader.i32()?,
        })
    }

    pub(crate) fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_text(&self.path);
        out.put_buffer(self.data.as_deref());
        encode_list(&self.acl, out);
        out.put_i32(self.flags);
    }
}

impl SetWatches {
    fn decode_one_shot(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            relative_zxid: reader.zxid()?,
            data: reader.vector(Reader::text_or_empty)?,
            exist: reader.vector(Reader::text_or_empty)?,
            child: reader.vector(Reader::text_or_empty)?,
            persistent: Vec::new(),
            recursive: Vec::new(),
        })
    }

    fn encode_one_shot(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_zxid(self.relative_zxid);
        put_texts(out, &self.data);
        put_texts(out, &self.exist);
        put_texts(out, &self.child);
    }
}

impl AuthPacket {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.i32()?;
        let scheme = reader.text_or_empty()?;
        Ok(Self { scheme, auth: reader.buffer()?.unwrap_or_default() })
    }
}

/// A path; a null one is refused, as Apache refuses it.
pub(crate) fn path(reader: &mut Reader<'_>) -> Result<Text, DecodeError> {
    reader.required_text("path")
}

fn put_texts(out: &mut (impl BufMut + ?Sized), texts: &[Text]) {
    out.put_vector(texts, |out, text| out.put_text(text));
}
