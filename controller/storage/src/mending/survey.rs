//! What is whole in a log that is not: every record that can be read, past damage, and what is known of the
//! order between them.

use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use types::Zxid;

use crate::LogEntry;
use crate::data_dir::list;
use crate::links::{self, Links, LogFile};
use crate::log_file::{
    END_OF_RECORD, HEADER_BYTES, MIN_ENTRY_BYTES, PREFIX, RECORD_HEAD_BYTES, checksum, header,
    zxid_of,
};
use crate::log_reader::{self, Found, OpenFile};
use crate::watermark;

/// A record, and the transaction before it where that is known.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) entry: LogEntry,
    pub(super) before: Option<Zxid>,
    /// Something that cannot be read stands between it and the record before.
    pub(super) behind_damage: bool,
}

/// The files of a log that count, by rising zxid.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) files: Vec<LogFile>,
    links: Links,
    flushed: Option<Zxid>,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// All that is known to have been on the disk is there.
    Whole,
    /// It was on the disk up to here.
    Lost(Zxid),
    /// How far it was on the disk was told here, and is not any more.
    InDoubt,
    /// There may have been more.
    Unknown,
}

impl Survey {
    pub(super) fn of(logs: &Path) -> io::Result<Self> {
        let links = Links::read(logs)?;
        let files = links.that_count(list(logs, PREFIX)?);
        Ok(Self { files, links, flushed: watermark::read(logs)? })
    }

    /// The file to begin with for what is behind `after`.
    pub(super) fn first_needed(&self, after: Zxid) -> usize {
        log_reader::first_needed(&self.files, after)
    }

    /// What stands before the transaction that begins a file, as its line says.
    pub(super) fn before(&self, first: Zxid) -> Option<Zxid> {
        self.links.before(first)
    }

    /// As [`links::had_line`].
    pub(super) fn had_line(&self, first: Zxid) -> bool {
        links::had_line(first, self.flushed)
    }

    /// Judges the end of a log whose last whole record is `last`, with damage behind it or not.
    pub(super) fn end(&self, last: Zxid, damaged: bool) -> End {
        match self.flushed {
            Some(flushed) if flushed > last => End::Lost(flushed),
            Some(_) => End::Whole,
            None if self.links.is_end_in_doubt(None) => End::InDoubt,
            // Apache's directory has no such file, and no lines either.
            None if damaged || !self.links.is_empty() => End::Unknown,
            None => End::Whole,
        }
    }

    /// The records of one file, in order; each zxid once.
    pub(super) fn read(&self, at: usize) -> io::Result<Pieces<'_>> {
        let (file, start) = OpenFile::open(self.files[at].clone())?;
        let damaged = start != header();
        Ok(Pieces { survey: self, file, last: None, damaged })
    }
}

/// Reads one file past its damage.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    survey: &'a Survey,
    file: OpenFile,
    last: Option<Zxid>,
    /// Since the last record.
    pub(super) damaged: bool,
}

impl Pieces<'_> {
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let begins_file = self.file.offset == HEADER_BYTES;
            let entry = match self.file.read_record()? {
                Found::Entry(entry) => entry,
                Found::End => return Ok(None),
                Found::Torn => {
                    self.damaged = true;
                    return Ok(None);
                }
                Found::Rot => {
                    self.damaged = true;
                    let Some(offset) = self.find_record()? else { return Ok(None) };
                    self.file.offset = offset;
                    self.file.input.seek(SeekFrom::Start(offset))?;
                    continue;
                }
            };
            let zxid = entry.zxid;
            if self.last.is_some_and(|last| zxid <= last) {
                continue;
            }
            let behind_damage = std::mem::take(&mut self.damaged);
            let before = match zxid.counter() {
                0 | 1 if begins_file || behind_damage => self.survey.before(zxid),
                0 | 1 => self.last,
                counter => Some(Zxid::new(zxid.epoch(), counter - 1)),
            };
            self.last = Some(zxid);
            return Ok(Some(Piece { entry, before, behind_damage }));
        }
    }

    /// Where the next whole record begins behind the damage at the present offset.
    fn find_record(&self) -> io::Result<Option<u64>> {
        let (from, size) = (self.file.offset, self.file.size);
        let file = self.file.input.get_ref();
        // Mostly the length is still what it was.
        let mut head = [0; HEAD];
        if file.read_exact_at(&mut head, from).is_ok()
            && let Some(length) = length_of(&head)
            && self.is_record(from + RECORD_HEAD_BYTES + length + 1)?
        {
            return Ok(Some(from + RECORD_HEAD_BYTES + length + 1));
        }
        let mut window = vec![0; WINDOW];
        let mut at = from + 1;
        while at + RECORD_HEAD_BYTES < size {
            let count = file.read_at(&mut window, at)?;
            if count < head.len() {
                break;
            }
            let heads = window[..count].windows(head.len());
            for (place, head) in heads.enumerate() {
                let place = at + place as u64;
                if length_of(head).is_some() && self.is_record(place)? {
                    return Ok(Some(place));
                }
            }
            at += (count - head.len() + 1) as u64;
        }
        Ok(None)
    }

    fn is_record(&self, at: u64) -> io::Result<bool> {
        let file = self.file.input.get_ref();
        let mut head = [0; HEAD];
        if at + RECORD_HEAD_BYTES >= self.file.size {
            return Ok(false);
        }
        file.read_exact_at(&mut head, at)?;
        let Some(length) = length_of(&head) else { return Ok(false) };
        let end = at + RECORD_HEAD_BYTES + length;
        let mut mark = [0];
        if end >= self.file.size || file.read_at(&mut mark, end)? != 1 || mark[0] != END_OF_RECORD {
            return Ok(false);
        }
        let mut entry = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut entry, at + RECORD_HEAD_BYTES)?;
        let sum = i64::from_be_bytes(*head.first_chunk().expect("12 bytes"));
        let later = zxid_of(&entry).is_some_and(|zxid| self.last.is_none_or(|last| zxid > last));
        Ok(later && i64::from(checksum(&entry)) == sum)
    }
}

/// The length in a record's head, if the head can be one's.
fn length_of(head: &[u8]) -> Option<u64> {
    let (sum, length) = head.split_at_checked(8)?;
    let length = u64::from(u32::from_be_bytes(length.try_into().ok()?));
    let whole = sum.starts_with(&[0; 4]) && (MIN_ENTRY_BYTES..=LONGEST).contains(&length);
    whole.then_some(length)
}

/// Whole records with these zxids in order, as many as there are; of one epoch.
pub(super) fn run(
    survey: &Survey,
    from: Zxid,
    to: Zxid,
    most_bytes: usize,
) -> io::Result<Vec<(Zxid, Bytes)>> {
    let mut found = Vec::new();
    let (mut wanted, mut bytes) = (from, 0);
    let begin = survey.files.iter().rposition(|file| file.first <= from).unwrap_or(0);
    for at in begin..survey.files.len() {
        if survey.files[at].first > to {
            break;
        }
        let mut pieces = survey.read(at)?;
        while let Some(Piece { entry, .. }) = pieces.next()? {
            if entry.zxid == wanted {
                bytes += entry.body.len();
                found.push((entry.zxid, entry.body));
                match wanted.next().filter(|next| *next <= to && bytes < most_bytes) {
                    Some(next) => wanted = next,
                    None => return Ok(found),
                }
            }
        }
    }
    Ok(found)
}

/// What is read at once in search of a record.
const WINDOW: usize = 256 << 10;
/// No record is longer, in bytes.
const LONGEST: u64 = 256 << 20;
/// As [`RECORD_HEAD_BYTES`].
const HEAD: usize = 12;
