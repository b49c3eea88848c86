//! Access control lists as they travel.

use std::ops::BitOr;

use bytes::BufMut;

use crate::{DecodeError, Put, Reader, Text};

/// What an entry of an ACL allows: bits 0 to 4; others are kept and mean nothing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data and list children.
    pub const READ: Self = Self(1);
    /// Set data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Set the ACL.
    pub const ADMIN: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);

    /// Whether any bit is in both.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Perms {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Someone, in the terms of an authentication scheme. On the wire a null is read as empty text.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Id {
    /// `world`, `digest`, `ip`, …
    pub scheme: Text,
    /// The id, in the scheme's own form.
    pub id: Text,
}

impl Id {
    /// Everyone.
    pub const ANYONE: Self =
        Self { scheme: Text::from_static("world"), id: Text::from_static("anyone") };

    /// An id of `scheme`.
    pub fn new(scheme: impl Into<Text>, id: impl Into<Text>) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // In nearly every create: no share of the frame is taken for it.
        if reader.takes(ANYONE) {
            return Ok(Self::ANYONE);
        }
        Ok(Self { scheme: reader.text_or_empty()?, id: reader.text_or_empty()? })
    }

    /// Writes it.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_text(&self.scheme);
        out.put_text(&self.id);
    }
}

/// [`Id::ANYONE`] as it is written.
const ANYONE: &[u8] = b"\0\0\0\x05world\0\0\0\x06anyone";

/// One entry of an access control list.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Acl {
    /// What is allowed.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

impl Acl {
    /// Everything, to everyone.
    pub const OPEN: Self = Self { perms: Perms::ALL, id: Id::ANYONE };

    /// Reads `perms, scheme, id`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { perms: Perms(reader.i32()?), id: Id::decode(reader)? })
    }

    /// Writes `perms, scheme, id`.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.perms.0);
        self.id.encode(out);
    }
}
