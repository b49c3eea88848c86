//! Requests as bytes that are made once and stamped for each send.
//!
//! Lives here: the paths of the load, and the frame of each kind. Must not: sockets, time.

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use jute::{Acl, CreateRequest, Request, RequestHeader, Text};

/// Znodes below one parent.
pub(crate) const SIBLINGS: u64 = 2000;

/// The most znodes that the paths can name.
pub(crate) const MAX_NODES: u64 = 10_000 * SIBLINGS;

/// What a frame asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// setData, any version.
    Set,
    /// getData without a watch.
    Get,
    /// getData with a watch.
    Watch,
    /// create, persistent.
    Create,
    /// create of the parent that has the key's number.
    Parent,
    /// create of the root of all.
    Root,
}

impl Kind {
    /// Whether the server must log it.
    pub(crate) fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::Watch)
    }

    /// Whether each key is asked for once, in order, and not at random.
    pub(crate) fn in_order(self) -> bool {
        !matches!(self, Self::Set | Self::Get)
    }

    /// Whether a znode that is there already is as good.
    pub(crate) fn may_exist(self) -> bool {
        matches!(self, Self::Parent | Self::Root)
    }
}

/// One request, length first, in which the xid and the path's digits are written anew for each send.
pub(crate) struct Frame {
    bytes: Vec<u8>,
    kind: Kind,
}

impl Frame {
    /// With `size` bytes of data where the request carries data. Errors: one that is too long to encode.
    pub(crate) fn new(kind: Kind, size: usize) -> Result<Self> {
        ensure!(size < 64 << 20, "--size {size} is more than a frame can have: stay below 64 MiB");
        // Bytes that no compression makes cheaper than a user's would be.
        let data =
            Bytes::from_iter((0..size).map(|at| b'!' + u8::try_from(at * 7 % 90).unwrap_or(0)));
        let create = |path: &'static str, data| {
            Request::Create(CreateRequest {
                path: Text::from_static(path),
                data: Some(data),
                acl: [Acl::OPEN].into(),
                flags: jute::create_flags::PERSISTENT,
            })
        };
        let path = Text::from_static(NODE);
        let request = match kind {
            Kind::Set => Request::SetData { path, data: Some(data), version: -1 },
            Kind::Get => Request::GetData { path, watch: false },
            Kind::Watch => Request::GetData { path, watch: true },
            Kind::Create => create(NODE, data),
            Kind::Parent => create(PARENT, Bytes::new()),
            Kind::Root => create(ROOT, Bytes::new()),
        };
        let mut body = BytesMut::new();
        RequestHeader { xid: 0, op: request.op().code() }.encode(&mut body);
        request.encode(&mut body);
        let length = u32::try_from(body.len())?;
        let bytes = [&length.to_be_bytes()[..], &body].concat();
        Ok(Self { bytes, kind })
    }

    /// Appends the frame for `key` to `out`.
    pub(crate) fn stamp(&mut self, xid: i32, key: u64, out: &mut Vec<u8>) {
        self.bytes[XID..XID + 4].copy_from_slice(&xid.to_be_bytes());
        match self.kind {
            Kind::Root => {}
            Kind::Parent => digits(&mut self.bytes[PARENT_DIGITS], key),
            Kind::Set | Kind::Get | Kind::Watch | Kind::Create => {
                digits(&mut self.bytes[PARENT_DIGITS], key / SIBLINGS);
                digits(&mut self.bytes[NODE_DIGITS], key);
            }
        }
        out.extend_from_slice(&self.bytes);
    }
}

/// The path of a key's znode.
pub(crate) fn path(key: u64) -> Text {
    format!("/bench/{:04}/{key:018}", key / SIBLINGS).into()
}

/// Writes `number` as decimal digits that fill `into`.
fn digits(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a remainder of ten");
        number /= 10;
    }
}

const ROOT: &str = "/bench";
const PARENT: &str = "/bench/0000";
const NODE: &str = "/bench/0000/000000000000000000";

/// Where the xid begins, and where the path does: behind length, xid, opcode and the path's own length.
const XID: usize = 4;
const PATH: usize = 16;
const PARENT_DIGITS: std::ops::Range<usize> = PATH + 7..PATH + 11;
/// Only the last digits change: there are not more znodes than they can name.
const NODE_DIGITS: std::ops::Range<usize> = PATH + 22..PATH + 30;

#[cfg(test)]
mod tests {
    use jute::{OpCode, Reader};

    use super::*;

    #[test]
    fn a_stamped_frame_is_the_request_for_its_key() {
        for (kind, path) in [
            (Kind::Set, "/bench/0617/000000000001234567"),
            (Kind::Get, "/bench/0617/000000000001234567"),
            (Kind::Create, "/bench/0617/000000000001234567"),
            (Kind::Root, "/bench"),
        ] {
            let mut out = Vec::new();
            let mut frame = Frame::new(kind, 100).expect("a small size");
            frame.stamp(1, MAX_NODES - 1, &mut out);
            out.clear();
            frame.stamp(77, 1_234_567, &mut out);
            assert_eq!(out[..4], u32::try_from(out.len() - 4).expect("small").to_be_bytes());
            let body = Bytes::from(out).slice(4..);
            let mut reader = Reader::new(&body);
            let header = RequestHeader::decode(&mut reader).expect("a header");
            let op = OpCode::try_from(header.op).expect("an opcode");
            let request = Request::decode(op, &mut reader).expect("a request");
            assert_eq!(header.xid, 77);
            let found = match &request {
                Request::SetData { path, data, .. } => {
                    assert_eq!(data.as_ref().map(Bytes::len), Some(100));
                    path
                }
                Request::GetData { path, watch: false } => path,
                Request::Create(create) => &create.path,
                other => panic!("{other:?}"),
            };
            assert_eq!(&found[..], path);
        }
        assert_eq!(NODE.len(), 30);
        assert_eq!(&path(1_234_567)[..], "/bench/0617/000000000001234567");
    }
}
