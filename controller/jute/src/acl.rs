//! Access control lists as they travel.

use std::ops::BitOr;
use std::sync::{Arc, LazyLock};

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

    /// A copy that keeps no frame alive.
    pub fn detached(&self) -> Self {
        Self { scheme: self.scheme.detached(), id: self.id.detached() }
    }

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

/// A list, shared by all that have it.
pub type AclList = Arc<[Acl]>;

/// Reads a list. The open one, which nearly every create has, is one for all.
pub(crate) fn decode_list(reader: &mut Reader<'_>) -> Result<AclList, DecodeError> {
    if reader.takes(OPEN_LIST) {
        return Ok(Arc::clone(&OPEN));
    }
    reader.vector(Acl::decode).map(AclList::from)
}

/// Writes a list.
pub(crate) fn encode_list(list: &AclList, out: &mut (impl BufMut + ?Sized)) {
    if Arc::ptr_eq(list, &OPEN) {
        return out.put_slice(OPEN_LIST);
    }
    out.put_vector(list, |out, acl| acl.encode(out));
}

static OPEN: LazyLock<AclList> = LazyLock::new(|| Arc::new([Acl::OPEN]));

/// The list of [`Acl::OPEN`] alone as it is written.
const OPEN_LIST: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn the_open_list_is_written_and_read_as_any_other() {
        let shared = decode_list(&mut Reader::new(&OPEN_LIST.into())).expect("it is one");
        assert_eq!(shared[..], [Acl::OPEN]);
        for list in [shared, Arc::new([Acl::OPEN])] {
            let mut written = BytesMut::new();
            encode_list(&list, &mut written);
            assert_eq!(written, OPEN_LIST);
        }
    }
}
