//! A member's files, made whole from those of others before it votes again.
//!
//! Lives here: what of damaged files can be read, what is asked of others, and how it takes its place.
//! Must not: sockets, or what a leader gives. **Invariant:** mending gives a member back what it had, nothing
//! less: what it may have acknowledged is found, or known to be of no use to anybody. Every step leaves files that
//! a later start can mend. Paper: Alagappan et al., Protocol-Aware Recovery (FAST 2018). Start at [`mend`].
//!
//! Decided: (1) what was lost is known by its place in the order apart from its bytes: within an epoch by the
//! counters around it, between epochs by `links`, at the end by the watermark. (2) A transaction that nobody has is
//! given up with all behind it only once every other voter has said that its whole history lacks it, and that it
//! neither leads nor follows, so that nothing is on its way. (3) Whole transactions are taken from files that are
//! damaged elsewhere. Epochs have a file of their own: `promises`.
//!
//! (4) An end that is lost together with both files of the watermark is in doubt, for `links` tells that there was a watermark. It is
//! found out as an epoch is: of all other voters at rest the longest history has all that was committed. Where this one is a part of
//! it, it takes the rest. A member in doubt tells where its own ends, so that several in doubt find out each other's; it never says
//! that it lacks anything.
//!
//! Not seen: the end of a log that is lost together with both files of the watermark and both of `links`; nor when that of all who
//! had a transaction is lost with both of the watermark. Members of Apache's do not answer: beside one a doubt is left to a leader.

mod answer;
mod log;
mod mark;
#[cfg(test)]
mod matrix;
mod promises;
mod survey;

use std::io::{self, Write};
use std::path::Path;

use types::Zxid;

use crate::data_dir::{file_name, list};
use crate::disk::{self, File, sync_dir};
use crate::epochs;
use crate::snapshot_writer::PREFIX as SNAPSHOT;
pub use answer::{Answer, Question, answer};
use answer::{is_exact, sealed};
pub use mark::{is_marked, mark, unmark};
use promises::told;

/// The other voters.
pub trait Others {
    /// How many there are.
    fn count(&self) -> usize;

    /// Asks one of them, by number from 0; `None` when it is not reached, or is of another make.
    fn ask(&mut self, other: usize, question: &Question) -> Option<Told>;
}

/// What one of the others said.
#[derive(Debug)]
pub struct Told {
    /// The answer.
    pub answer: Answer,
    /// It neither leads nor follows, and did not while it looked.
    pub at_rest: bool,
}

/// What became of the files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mended {
    /// They are whole, with so many transactions of others.
    Whole {
        /// How many were taken.
        taken: u64,
    },
    /// Something is missing yet, in words.
    Stuck(String),
}

/// Makes the files in these directories whole from what the others have. Nobody else may be writing to them.
/// Called again, it goes on from where it was stuck.
pub fn mend(snapshots: &Path, logs: &Path, others: &mut dyn Others) -> io::Result<Mended> {
    let mut tried = None;
    let mut taken = 0;
    let last = loop {
        let Some(base) = base(snapshots)? else {
            match fetch_snapshot(snapshots, others, Zxid::ZERO)? {
                Some(_) => continue,
                None => {
                    let dir = snapshots.display();
                    let why = format!("no snapshot in {dir} is whole, and nobody gives one");
                    return Ok(Mended::Stuck(why));
                }
            }
        };
        match log::mend(logs, base, others, &mut taken)? {
            log::Outcome::Whole(last) => break last,
            log::Outcome::InDoubt { last, why } => {
                promises::mend_promise(snapshots, logs, last, others)?;
                return Ok(Mended::Stuck(why));
            }
            log::Outcome::Missing { wanted, why } => {
                // A later snapshot has it too.
                let later = match tried {
                    Some(before) if before >= wanted => None,
                    _ => fetch_snapshot(snapshots, others, wanted)?,
                };
                if later.is_none() {
                    return Ok(Mended::Stuck(why));
                }
                tried = Some(wanted);
            }
        }
    };
    if let Some(why) = promises::mend(snapshots, logs, last, others)? {
        return Ok(Mended::Stuck(why));
    }
    // A mending that was killed may have left them in the system's memory only.
    Ok(match told(epochs::settle(snapshots, last.epoch()))? {
        Ok(()) => Mended::Whole { taken },
        Err(why) => Mended::Stuck(why),
    })
}

/// The newest own snapshot that can be built on.
fn base(snapshots: &Path) -> io::Result<Option<Zxid>> {
    let found = list(snapshots, SNAPSHOT)?;
    let whole = |path: &Path| sealed(path).is_ok_and(|last| last.is_some());
    Ok(found.iter().rev().find(|(_, path)| whole(path)).map(|(zxid, _)| *zxid))
}

/// Takes the newest snapshot that anybody has, if it is of `least` or later.
fn fetch_snapshot(
    snapshots: &Path,
    others: &mut dyn Others,
    least: Zxid,
) -> io::Result<Option<Zxid>> {
    let mut offers = Vec::new();
    for other in 0..others.count() {
        if let Some(Answer::Holdings { snapshots, .. }) =
            others.ask(other, &Question::Holdings).map(|told| told.answer)
        {
            offers.extend(snapshots.into_iter().map(|zxid| (zxid, other)));
        }
    }
    offers.sort_unstable();
    for (zxid, other) in offers.into_iter().rev().take_while(|(zxid, _)| *zxid >= least) {
        if receive(snapshots, others, other, zxid)? {
            return Ok(Some(zxid));
        }
    }
    Ok(None)
}

/// `false`: it did not come, or not whole.
fn receive(
    snapshots: &Path,
    others: &mut dyn Others,
    other: usize,
    zxid: Zxid,
) -> io::Result<bool> {
    // A name that the next purge removes.
    let tmp = snapshots.join("troupe-snapshot.mended.tmp");
    let mut file = File::create(&tmp)?;
    let mut at = 0;
    let name = loop {
        let told = others.ask(other, &Question::Snapshot { zxid, at });
        let Some(Answer::Snapshot { suffix, size, part }) = told.map(|told| told.answer) else {
            break None;
        };
        file.write_all(&part)?;
        at += part.len() as u64;
        if at >= size {
            break Some(file_name(SNAPSHOT, zxid) + &suffix);
        }
        if part.is_empty() {
            break None;
        }
    };
    file.sync_all()?;
    // Judged under its name, which says how it is compressed.
    let staged = name.map(|name| (snapshots.join(format!("troupe-{name}")), snapshots.join(name)));
    let Some((staged, path)) = staged else {
        disk::remove(&tmp)?;
        return Ok(false);
    };
    disk::rename(&tmp, &staged)?;
    let whole = is_exact(&staged, zxid).unwrap_or(false);
    if whole {
        disk::rename(&staged, &path)?;
        sync_dir(snapshots)?;
        tracing::warn!(%zxid, "a snapshot is taken from another member");
    } else {
        disk::remove(&staged)?;
    }
    Ok(whole)
}
