//! Taking jute's primitives from a frame.

use std::ops::Range;

use bytes::Bytes;
use types::{SessionId, Zxid};

use crate::Text;

/// Why bytes are not the record they were said to be. The sender's fault, always.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The record ends before its last field. Some optional tails are known by this.
    #[error("{needed} bytes are needed at byte {at} and {left} are left")]
    Short {
        /// Offset in the frame.
        at: usize,
        /// What the field takes.
        needed: usize,
        /// What the frame still has.
        left: usize,
    },
    /// A length below -1.
    #[error("a length of {length} at byte {at}; it must be -1 (null) or more")]
    Length {
        /// Offset in the frame.
        at: usize,
        /// As sent.
        length: i32,
    },
    /// A field that may not be null is.
    #[error("{field} is null")]
    Null {
        /// The field's name.
        field: &'static str,
    },
    /// A number that stands for nothing known.
    #[error("{value} is no {what}")]
    Unknown {
        /// What the number stands for.
        what: &'static str,
        /// As sent.
        value: i32,
    },
    /// A multi whose operations are not all of one kind, or one that a multi does not carry.
    #[error("operation {op} cannot be part of this multi")]
    Multi {
        /// The operation's code, as sent.
        op: i32,
    },
}

/// A place in a frame, moving forward as fields are taken.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the first byte of `frame`.
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0 }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.frame.len() - self.at
    }

    /// Whether these are the next bytes; if so, they are taken.
    pub(crate) fn takes(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.frame[self.at..].starts_with(bytes);
        self.at += if is_next { bytes.len() } else { 0 };
        is_next
    }

    /// Whether `left` bytes are left, of which these are the first; they stay.
    pub(crate) fn ends_with(&self, left: usize, bytes: &[u8]) -> bool {
        self.left() == left && self.frame[self.at..].starts_with(bytes)
    }

    /// All that is left, as a slice of the frame.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.frame.slice(self.at..);
        self.at = self.frame.len();
        rest
    }

    /// A byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A boolean; any byte but 0 is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.byte()? != 0)
    }

    /// An int.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A long.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A long that is a zxid.
    pub fn zxid(&mut self) -> Result<Zxid, DecodeError> {
        Ok(Zxid::from_bits(self.i64()?))
    }

    /// A long that is a session's id.
    pub fn session(&mut self) -> Result<SessionId, DecodeError> {
        Ok(SessionId(self.i64()?))
    }

    /// A buffer; null and empty are different values.
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        Ok(self.range()?.map(|range| self.frame.slice(range)))
    }

    /// Where a buffer is.
    fn range(&mut self) -> Result<Option<Range<usize>>, DecodeError> {
        let at = self.at;
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(length) => {
                self.need(length)?;
                let begin = self.at;
                self.at += length;
                Ok(Some(begin..self.at))
            }
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::Length { at, length }),
        }
    }

    /// A string; what is not UTF-8 in it becomes U+FFFD.
    pub fn text(&mut self) -> Result<Option<Text>, DecodeError> {
        Ok(self.range()?.map(|range| Text::from_utf8_lossy(self.frame, range)))
    }

    /// A string where null and empty mean the same.
    pub fn text_or_empty(&mut self) -> Result<Text, DecodeError> {
        Ok(self.text()?.unwrap_or_default())
    }

    /// A string that must not be null.
    pub fn required_text(&mut self, field: &'static str) -> Result<Text, DecodeError> {
        self.text()?.ok_or(DecodeError::Null { field })
    }

    /// A vector; null and any negative count are an empty one.
    pub fn vector<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        // Every element takes four bytes or more, so a hostile count reserves no more than was sent.
        let mut elements = Vec::with_capacity(count.min(self.left() / 4));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.need(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.frame[self.at..self.at + N]);
        self.at += N;
        Ok(array)
    }

    fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let left = self.left();
        if needed <= left { Ok(()) } else { Err(DecodeError::Short { at: self.at, needed, left }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_are_kept_apart() {
        let frame = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        let mut reader = Reader::new(&frame);
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(Bytes::new())));
        assert_eq!(reader.left(), 0);
    }

    #[test]
    fn a_length_is_believed_only_as_far_as_bytes_are_left() {
        let frame = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 1]);
        let short = DecodeError::Short { at: 4, needed: 0x7fff_ffff, left: 1 };
        assert_eq!(Reader::new(&frame).buffer(), Err(short));
        let vector = Reader::new(&frame).vector(|r| r.i32());
        assert_eq!(vector, Err(DecodeError::Short { at: 4, needed: 4, left: 1 }));
    }

    #[test]
    fn a_length_below_minus_one_is_refused() {
        let frame = Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(Reader::new(&frame).buffer(), Err(DecodeError::Length { at: 0, length: -2 }));
    }
}
