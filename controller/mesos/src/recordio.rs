//! The framing of streams: `<decimal length>\n<record>`, repeated.
//!
//! Lives here: [`encode`] and the incremental [`Decoder`]. Must not: what a record says. Start at
//! [`Decoder`]. Source: Apache Mesos 1.11, `common/recordio.hpp`.

use bytes::{Buf, Bytes, BytesMut};

/// The digits that a length may have: more than any limit needs.
const MOST_DIGITS: usize = 20;

/// One record with its length before it.
pub fn encode(record: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(record.len() + MOST_DIGITS);
    out.extend_from_slice(record.len().to_string().as_bytes());
    out.extend_from_slice(b"\n");
    out.extend_from_slice(record);
    out.freeze()
}

/// Cuts records out of chunks, whose bounds mean nothing.
///
/// Invariant: holds at most one record's bytes, that is `limit`, and the chunk that was fed last.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// The length of the record whose bytes are awaited.
    awaited: Option<usize>,
    limit: usize,
}

/// Why a stream is not RecordIO. Nothing after it can be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// The length is not a decimal number.
    #[error("the length of a record is {0:?}: expected decimal digits and a newline")]
    BadLength(String),
    /// A record larger than the reader takes.
    #[error("a record of {length} bytes is above the limit of {limit}")]
    TooLarge {
        /// What the record announces.
        length: usize,
        /// What is taken.
        limit: usize,
    },
}

impl Decoder {
    /// A decoder that refuses records of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), awaited: None, limit }
    }

    /// Takes bytes from the stream. Call [`Decoder::next_record`] until it has none before the next.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole record, if it is there.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.awaited {
            Some(length) => length,
            None => match self.length()? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        self.awaited = Some(length);
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.awaited = None;
        let record = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            // The record keeps the allocation; an idle stream holds none.
            self.buffer = BytesMut::new();
        }
        Ok(Some(record))
    }

    fn length(&mut self) -> Result<Option<usize>, RecordError> {
        let end = self.buffer.iter().take(MOST_DIGITS + 1).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            let digits = self.buffer.iter().all(u8::is_ascii_digit);
            return if self.buffer.len() > MOST_DIGITS || !digits {
                Err(self.bad_length(self.buffer.len()))
            } else {
                Ok(None)
            };
        };
        let digits = self.buffer.get(..end).unwrap_or_default();
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(self.bad_length(end));
        }
        let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let Some(length) = length else { return Err(self.bad_length(end)) };
        if length > self.limit {
            return Err(RecordError::TooLarge { length, limit: self.limit });
        }
        self.buffer.advance(end + 1);
        Ok(Some(length))
    }

    fn bad_length(&self, end: usize) -> RecordError {
        let shown = self.buffer.get(..end.min(MOST_DIGITS + 1)).unwrap_or_default();
        RecordError::BadLength(String::from_utf8_lossy(shown).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the chunks, the records come out as they went in.
        #[test]
        fn chunk_bounds_mean_nothing(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cut in 1usize..40,
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|record| encode(record)).collect();
            let mut decoder = Decoder::new(300);
            let mut seen = Vec::new();
            for chunk in stream.chunks(cut) {
                decoder.feed(chunk);
                while let Some(record) = decoder.next_record().expect("a valid stream") {
                    seen.push(record.to_vec());
                }
            }
            prop_assert_eq!(seen, records);
        }

        /// Any bytes give records or an error, never a panic.
        #[test]
        fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new(50);
            decoder.feed(&bytes);
            while let Ok(Some(record)) = decoder.next_record() {
                prop_assert!(record.len() <= 50);
            }
        }
    }

    #[test]
    fn refusals() {
        let refused = |bytes: &[u8]| {
            let mut decoder = Decoder::new(50);
            decoder.feed(bytes);
            decoder.next_record().expect_err("no record")
        };
        assert_eq!(refused(b"51\n"), RecordError::TooLarge { length: 51, limit: 50 });
        assert_eq!(refused(b"{\"a\":1}"), RecordError::BadLength("{\"a\":1}".into()));
        assert_eq!(refused(b"\n"), RecordError::BadLength(String::new()));
        assert!(matches!(refused(&[b'9'; 21]), RecordError::BadLength(_)));
    }
}
