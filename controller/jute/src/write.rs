//! Putting jute's primitives into a buffer.

use bytes::BufMut;
use types::{SessionId, Zxid};

/// What every buffer gains: jute's primitives. All integers are big-endian.
pub trait Put: BufMut {
    /// A boolean, as 0 or 1.
    fn put_bool(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }

    /// A zxid, as a long.
    fn put_zxid(&mut self, zxid: Zxid) {
        self.put_i64(zxid.bits());
    }

    /// A session's id, as a long.
    fn put_session(&mut self, session: SessionId) {
        self.put_i64(session.0);
    }

    /// A buffer; `None` is null. At most 2 GiB.
    fn put_buffer(&mut self, data: Option<&[u8]>) {
        match data {
            Some(data) => {
                self.put_length(data.len());
                self.put_slice(data);
            }
            None => self.put_i32(-1),
        }
    }

    /// A string.
    fn put_text(&mut self, text: &str) {
        self.put_buffer(Some(text.as_bytes()));
    }

    /// A string that may be null.
    fn put_optional_text(&mut self, text: Option<&str>) {
        self.put_buffer(text.map(str::as_bytes));
    }

    /// A length or a count.
    fn put_length(&mut self, length: usize) {
        self.put_i32(i32::try_from(length).expect("frames are bounded far below 2 GiB"));
    }

    /// A vector, element by element.
    fn put_vector<T>(&mut self, elements: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.put_length(elements.len());
        for element in elements {
            put(self, element);
        }
    }
}

impl<B: BufMut + ?Sized> Put for B {}
