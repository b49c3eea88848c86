//! What a member can say of its files to one that mends its own.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use types::{Epoch, Zxid};

use super::log::whole_end;
use super::survey::{End, Survey, run};
use crate::compression::Compression;
use crate::data_dir::list;
use crate::snapshot_writer::{PREFIX as SNAPSHOT, SEAL_END};
use crate::{EpochFile, Epochs, epochs};

/// What one member asks another about its files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Question {
    /// What there is, but for the log.
    Holdings,
    /// Where the history ends, and what it is worth.
    End,
    /// Which transaction the first of an epoch follows.
    Before(Epoch),
    /// The transactions from one to another of the same epoch.
    Entries {
        /// The first.
        from: Zxid,
        /// The last.
        to: Zxid,
    },
    /// A part of a snapshot's file.
    Snapshot {
        /// The snapshot.
        zxid: Zxid,
        /// Where the part begins.
        at: u64,
    },
}

/// The answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It cannot be told: the files are damaged there too, or do not go back so far.
    Unknown,
    /// To [`Question::Holdings`].
    Holdings {
        /// The highest epoch promised, if that is known.
        accepted: Option<Epoch>,
        /// Snapshots that are whole and exact, oldest first.
        snapshots: Vec<Zxid>,
    },
    /// To [`Question::End`]: the history is whole there.
    End {
        /// The highest epoch promised, if that is known.
        accepted: Option<Epoch>,
        /// The epoch of the history, if that is known.
        current: Option<Epoch>,
        /// The last transaction.
        last: Zxid,
    },
    /// To [`Question::Before`].
    Before(Zxid),
    /// To [`Question::Entries`]: the first of them and what is there behind it, at least one.
    Entries(Vec<(Zxid, Bytes)>),
    /// To [`Question::Entries`]: the history is whole there and does not have the first of them.
    Lacks,
    /// To [`Question::Snapshot`].
    Snapshot {
        /// What the name has behind the zxid: how it is compressed.
        suffix: String,
        /// Bytes of the file.
        size: u64,
        /// The part; empty at its end.
        part: Bytes,
    },
}

/// Answers from the files of a member, which may be damaged, and may grow meanwhile.
pub fn answer(snapshots: &Path, logs: &Path, question: &Question) -> Answer {
    let answered = match *question {
        Question::Holdings => holdings(snapshots, logs),
        Question::End => end(snapshots, logs),
        Question::Before(epoch) => before(logs, epoch),
        Question::Entries { from, to } => entries(snapshots, logs, from, to),
        Question::Snapshot { zxid, at } => part(snapshots, zxid, at),
    };
    answered.unwrap_or_else(|error| {
        tracing::warn!(%error, ?question, "not answered");
        Answer::Unknown
    })
}

fn holdings(snapshots: &Path, logs: &Path) -> io::Result<Answer> {
    let whole = list(snapshots, SNAPSHOT)?;
    let whole = whole.into_iter().filter(|(zxid, path)| is_exact(path, *zxid).unwrap_or(false));
    let whole: Vec<_> = whole.map(|(zxid, _)| zxid).collect();
    // A log begins no later than the last of its files says.
    let last = Survey::of(logs)?.files.last().map(|file| file.first);
    let last = last.max(whole.last().copied()).unwrap_or_default().epoch();
    let epochs =
        if epochs::are_lost(snapshots, logs)? { None } else { Epochs::read(snapshots, last).ok() };
    let accepted =
        epochs.map(|epochs| epochs.accepted.max(epochs.current).unwrap_or_default().max(last));
    Ok(Answer::Holdings { accepted, snapshots: whole })
}

fn end(snapshots: &Path, logs: &Path) -> io::Result<Answer> {
    let Some(base) = super::base(snapshots)? else { return Ok(Answer::Unknown) };
    let Some(last) = whole_end(&Survey::of(logs)?, base)? else { return Ok(Answer::Unknown) };
    let are_lost = epochs::are_lost(snapshots, logs)?;
    let own = last.epoch();
    let read = |file: EpochFile| {
        let read = file.read(snapshots, own).ok().filter(|_| !are_lost)?;
        Some(read.unwrap_or(own).max(own))
    };
    let (accepted, current) = (read(EpochFile::Accepted), read(EpochFile::Current));
    Ok(Answer::End { accepted, current, last })
}

fn before(logs: &Path, epoch: Epoch) -> io::Result<Answer> {
    let survey = Survey::of(logs)?;
    Ok(before_in(&survey, epoch)?.map_or(Answer::Unknown, Answer::Before))
}

/// What the first transaction of an epoch follows.
pub(super) fn before_in(survey: &Survey, epoch: Epoch) -> io::Result<Option<Zxid>> {
    let first = Zxid::new(epoch, 1);
    if let Some(before) = survey.before(first) {
        return Ok(Some(before));
    }
    let begin = survey.files.iter().rposition(|file| file.first <= first);
    let Some(begin) = begin else { return Ok(None) };
    let mut pieces = survey.read(begin)?;
    while let Some(piece) = pieces.next()? {
        if piece.entry.zxid >= first {
            return Ok(piece.before.filter(|_| piece.entry.zxid == first));
        }
    }
    Ok(None)
}

fn entries(snapshots: &Path, logs: &Path, from: Zxid, to: Zxid) -> io::Result<Answer> {
    let survey = Survey::of(logs)?;
    let found = run(&survey, from, to, MOST_BYTES)?;
    if !found.is_empty() {
        return Ok(Answer::Entries(found));
    }
    let lacks = surely_lacks(snapshots, &survey, from)?;
    Ok(if lacks { Answer::Lacks } else { Answer::Unknown })
}

/// Whether the history is whole around `wanted`, which is no record of it.
fn surely_lacks(snapshots: &Path, survey: &Survey, wanted: Zxid) -> io::Result<bool> {
    // What is behind a snapshot may be in it.
    let newest = list(snapshots, SNAPSHOT)?.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
    let mut last = Zxid::ZERO;
    let mut damaged = false;
    let begin = survey.files.iter().rposition(|file| file.first <= wanted).unwrap_or(0);
    for at in begin..survey.files.len() {
        let mut pieces = survey.read(at)?;
        while let Some(piece) = pieces.next()? {
            if piece.entry.zxid > wanted {
                return Ok(piece.before.is_some_and(|before| before < wanted));
            }
            last = piece.entry.zxid;
            damaged = false;
        }
        damaged |= pieces.damaged;
    }
    Ok(newest < wanted && survey.end(last.max(newest), damaged) == End::Whole)
}

fn part(snapshots: &Path, zxid: Zxid, at: u64) -> io::Result<Answer> {
    let files = list(snapshots, SNAPSHOT)?;
    let Some((_, path)) = files.into_iter().find(|(found, _)| *found == zxid) else {
        return Ok(Answer::Unknown);
    };
    let suffix = Compression::of(&path).suffix().to_owned();
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut part = vec![0; usize::try_from(size.saturating_sub(at)).unwrap_or(PART).min(PART)];
    file.read_exact_at(&mut part, at)?;
    Ok(Answer::Snapshot { suffix, size, part: part.into() })
}

/// Whether a snapshot is whole, and has `zxid` last and nothing of what follows.
pub(super) fn is_exact(path: &Path, zxid: Zxid) -> io::Result<bool> {
    Ok(sealed(path)? == Some(zxid))
}

/// Whether a snapshot's last seal is true of all before it; then what stands before that seal, which is the last
/// transaction where the file has one.
pub(super) fn sealed(path: &Path) -> io::Result<Option<Zxid>> {
    let compression = Compression::of(path);
    let mut sum = simd_adler32::Adler32::new();
    let mut end = Vec::new();
    match compression {
        Compression::None => {
            let mut file = File::open(path)?;
            let mut left = file.metadata()?.len().saturating_sub(SEAL as u64);
            let mut piece = vec![0; PART];
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(PART).min(PART);
                file.read_exact(&mut piece[..most])?;
                sum.write(&piece[..most]);
                left -= most as u64;
                end.extend_from_slice(&piece[most.saturating_sub(8)..most]);
                end.drain(..end.len().saturating_sub(8));
            }
            file.read_to_end(&mut end)?;
        }
        _ => {
            let Ok(whole) = compression.expand(fs::read(path)?) else { return Ok(None) };
            sum.write(&whole[..whole.len().saturating_sub(SEAL)]);
            end = whole[whole.len().saturating_sub(SEAL + 8)..].to_vec();
        }
    }
    let Some((last, seal)) = end.split_first_chunk::<8>() else { return Ok(None) };
    let expected = [&i64::from(sum.finish()).to_be_bytes()[..], &SEAL_END].concat();
    Ok((seal == expected).then_some(Zxid::from_bits(i64::from_be_bytes(*last))))
}

/// A checksum and the string "/".
const SEAL: usize = 13;
/// What one answer has at most, in bytes; one record is sent whole.
const MOST_BYTES: usize = 1 << 20;
const PART: usize = 1 << 20;
