//! The bytes of a log file: a header, records, zeros.
//!
//! A record is the Adler-32 of the entry as 8 bytes, the entry's length as 4, the entry, and `B`. The
//! entry is a transaction's header (its zxid at bytes 12 to 20), record and digest.

use types::Zxid;

pub(crate) const PREFIX: &str = "log";
pub(crate) const HEADER_BYTES: u64 = 16;
/// Checksum and length.
pub(crate) const RECORD_HEAD_BYTES: u64 = 12;
pub(crate) const END_OF_RECORD: u8 = b'B';
/// The smallest entry: a transaction's header.
pub(crate) const MIN_ENTRY_BYTES: u64 = 32;

/// Magic "ZKLG", version 2, database id 0.
pub(crate) fn header() -> [u8; 16] {
    let mut header = [0; 16];
    header[..4].copy_from_slice(b"ZKLG");
    header[7] = 2;
    header
}

/// Appends one record to `out`.
pub(crate) fn encode(entry: &[u8], out: &mut Vec<u8>) {
    let length = i32::try_from(entry.len()).expect("a transaction is bounded by the request limit");
    out.extend_from_slice(&i64::from(checksum(entry)).to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(entry);
    out.push(END_OF_RECORD);
}

/// Adler-32.
pub(crate) fn checksum(entry: &[u8]) -> u32 {
    simd_adler32::adler32(&entry)
}

/// The zxid in an entry's header; `None` when the entry is too short to have one.
pub(crate) fn zxid_of(entry: &[u8]) -> Option<Zxid> {
    let bytes = entry.get(12..20)?;
    Some(Zxid::from_bits(i64::from_be_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
pub(crate) fn entry_of(zxid: Zxid, payload: &[u8]) -> bytes::Bytes {
    let mut entry = vec![0; 12];
    entry.extend_from_slice(&zxid.bits().to_be_bytes());
    entry.extend_from_slice(&[0; 12]);
    entry.extend_from_slice(payload);
    entry.into()
}
