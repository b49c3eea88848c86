//! Where a page of children begins.

use bytes::BufMut;
use types::Zxid;

use crate::{DecodeError, Put, Reader};

/// A place among the children of a znode in the order of their czxids: the first of them is the start.
///
/// Children that were made meanwhile come last, so that pages which follow each other name every child that
/// was there all the time just once. Of those that one multi made, some may be missed when others of the same
/// multi are deleted between two pages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PageStart {
    /// Children older than this are not meant. Any number may come from a client.
    pub czxid: Zxid,
    /// How many children of just this czxid are left out; what is below 0 is none.
    pub offset: i32,
}

impl PageStart {
    /// At the oldest child.
    pub const FIRST: Self = Self { czxid: Zxid::ZERO, offset: 0 };
    /// There is no further page.
    pub const NONE: Self = Self { czxid: Zxid::from_bits(-1), offset: -1 };

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { czxid: reader.zxid()?, offset: reader.i32()? })
    }

    /// Writes it.
    pub fn encode(self, out: &mut (impl BufMut + ?Sized)) {
        out.put_zxid(self.czxid);
        out.put_i32(self.offset);
    }
}
