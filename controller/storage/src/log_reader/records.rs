//! The records of one file: each is whole, cut short by a crash, or rotten.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use rustix::io::Errno;
use types::Zxid;

use super::LogEntry;
use crate::disk::open_for_reading;
use crate::links::{Gone, LogFile};
use crate::log_file::{
    END_OF_RECORD, HEADER_BYTES, MIN_ENTRY_BYTES, RECORD_HEAD_BYTES, checksum, zxid_of,
};

#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) path: PathBuf,
    pub(crate) input: BufReader<File>,
    /// Where the next record begins.
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// The last transaction read.
    last: Zxid,
    gone: Gone,
}

/// What stands at an offset.
pub(crate) enum Found {
    Entry(LogEntry),
    End,
    /// A record that a crash cut short begins here.
    Torn,
    Rot,
}

impl OpenFile {
    /// Stands behind what should be the header, which is told, too.
    pub(crate) fn open(LogFile { path, gone, .. }: LogFile) -> io::Result<(Self, Vec<u8>)> {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, open_for_reading(&path)?);
        let size = input.get_ref().metadata()?.len();
        let mut start = Vec::new();
        input.by_ref().take(HEADER_BYTES).read_to_end(&mut start)?;
        let offset = HEADER_BYTES.min(size);
        Ok((Self { path, input, offset, size, last: Zxid::ZERO, gone }, start))
    }

    /// The next record that was not taken back.
    pub(crate) fn read_record(&mut self) -> io::Result<Found> {
        loop {
            let found = self.read_any()?;
            match &found {
                Found::Entry(entry) => {
                    self.last = entry.zxid;
                    if !self.gone.has(entry.zxid) {
                        return Ok(found);
                    }
                }
                Found::Torn | Found::Rot if self.gone.follow(self.last) => return Ok(Found::End),
                _ => return Ok(found),
            }
        }
    }

    fn read_any(&mut self) -> io::Result<Found> {
        let left = self.size - self.offset;
        if left == 0 {
            return Ok(Found::End);
        }
        if left < RECORD_HEAD_BYTES {
            return Ok(Found::Torn);
        }
        let mut head = [0; 12];
        self.input.read_exact(&mut head)?;
        let (sum, length) = head.split_at(8);
        let sum = i64::from_be_bytes(sum.try_into().expect("split at 8"));
        let length = i32::from_be_bytes(length.try_into().expect("12 - 8 bytes"));
        if sum == 0 && length == 0 {
            let clean = rest_is_zero(&mut self.input)?;
            return Ok(if clean { Found::End } else { Found::Rot });
        }
        let Ok(length) = u64::try_from(length) else { return Ok(Found::Rot) };
        if length > left - RECORD_HEAD_BYTES {
            // The end is missing: a crash on a file without zeros behind, unless the length is what rotted.
            return self.classify(sum, None);
        }
        let size = usize::try_from(length).map_err(io::Error::other)?;
        let mut entry = vec![0; size];
        self.input.read_exact(&mut entry)?;
        let mut end = [0];
        let whole = self.input.read(&mut end)? == 1;
        if whole && end[0] == END_OF_RECORD && length >= MIN_ENTRY_BYTES {
            let zxid = zxid_of(&entry).filter(|_| i64::from(checksum(&entry)) == sum);
            let Some(zxid) = zxid else { return Ok(Found::Rot) };
            self.offset += RECORD_HEAD_BYTES + length + 1;
            return Ok(Found::Entry(LogEntry { zxid, body: entry.into() }));
        }
        self.classify(sum, Some(self.offset + RECORD_HEAD_BYTES + length))
    }

    /// Tells a record that a crash cut short from one that rotted: behind a cut there is nothing but
    /// zeros, at the latest from the place of its end mark on, and no shorter record fits its checksum.
    fn classify(&mut self, sum: i64, end_mark: Option<u64>) -> io::Result<Found> {
        self.input.seek(SeekFrom::Start(self.offset + RECORD_HEAD_BYTES))?;
        let mut rest = Vec::new();
        self.input.read_to_end(&mut rest)?;
        let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let begin = self.offset + RECORD_HEAD_BYTES;
        if end_mark.is_some_and(|mark| begin + written as u64 > mark) {
            return Ok(Found::Rot);
        }
        let mut sums = simd_adler32::Adler32::new();
        let mut summed = 0;
        for (at, byte) in rest[..written].iter().enumerate() {
            if *byte == END_OF_RECORD && at as u64 >= MIN_ENTRY_BYTES {
                sums.write(&rest[summed..at]);
                summed = at;
                if i64::from(sums.finish()) == sum {
                    return Ok(Found::Rot);
                }
            }
        }
        Ok(Found::Torn)
    }
}

pub(super) fn rest_is_zero(input: &mut BufReader<File>) -> io::Result<bool> {
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            return Ok(true);
        }
        if block.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let length = block.len();
        input.consume(length);
        // Room that was never written is passed over: there may be a lot of it. The buffer is empty, so that
        // the file's own place is the reader's.
        let at = input.stream_position()?;
        let data = rustix::fs::seek(input.get_ref(), rustix::fs::SeekFrom::Data(at));
        // A file system that cannot tell leaves the place as it is.
        if data == Err(Errno::NXIO) {
            return Ok(true);
        }
    }
}

const BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use types::Zxid;

    use crate::TxnLogError;
    use crate::log_reader::tests::{log, read};

    #[test]
    fn a_log_cut_anywhere_keeps_every_whole_record_with_zeros_behind_or_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("log.100000001");
        let (bytes, starts) = log(1, 3);
        for zeros in [0, 200] {
            for at in 0..=bytes.len() {
                let mut torn = bytes[..at].to_vec();
                torn.resize(at + zeros, 0);
                fs::write(&path, &torn).expect("it is writable");
                let whole = starts[1..].iter().filter(|end| **end <= at).count();
                let expected: Vec<_> = (1..).take(whole).collect();
                assert_eq!(read(dir.path(), Zxid::ZERO).expect("torn is fine"), expected, "{at}");
                // What was cut stays cut.
                assert_eq!(read(dir.path(), Zxid::ZERO).expect("and again"), expected, "{at}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_named_and_nothing_behind_it_is_served() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("log.100000001");
        let (bytes, starts) = log(1, 3);
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut rotten = bytes.clone();
                rotten[at] ^= 1 << bit;
                rotten.resize(rotten.len() + 100, 0);
                fs::write(&path, &rotten).expect("it is writable");
                let record = starts.iter().rposition(|start| *start <= at);
                match read(dir.path(), Zxid::ZERO) {
                    Err(TxnLogError::Corrupt { offset, .. }) => {
                        let begin = record.map_or(0, |record| starts[record]);
                        assert_eq!(offset, begin as u64, "byte {at} bit {bit}");
                    }
                    other => panic!("byte {at} bit {bit}: {other:?}"),
                }
            }
        }
    }
}
