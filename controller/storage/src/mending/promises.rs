//! The two epochs, where the files of neither or of one are to be believed.
//!
//! Decided: (1) What was promised is not above what the others have promised, for whoever asks for a promise has
//! made it first. (2) The epoch of a history is not above what was promised, and not below its last transaction's.
//! (3) Where that leaves a doubt, all other voters must be at rest and tell where their whole histories end. Of
//! histories of which each is a part of the next the longest has all that was ever committed, whatever epochs they
//! are of. So this one is given an epoch that lets it win against the shorter ones and lose against the longer
//! ones, and no other: of three members that all have lost theirs each takes the same way, whichever is
//! first. Where histories part, the epoch alone tells which of them counts, and nobody may guess it. (4) With all
//! voters at rest and their histories whole, a promise that several have forgotten was of an epoch of which no
//! transaction is left: who asked for it leads no more. One above all that is known is as good.

use std::io;
use std::path::Path;

use types::{Epoch, Zxid};

use super::log::is_run;
use super::survey::{Survey, run};
use super::{Answer, Others, Question};
use crate::data_dir::list;
use crate::snapshot_writer::PREFIX as SNAPSHOT;
use crate::{EpochError, EpochFile, epochs};

/// Where another's history ends.
pub(super) struct End {
    pub(super) other: usize,
    accepted: Option<Epoch>,
    current: Option<Epoch>,
    pub(super) last: Zxid,
}

/// Makes the epochs whole behind a whole log, which ends with `last`. `Some`: one of them stays in doubt, in words.
pub(super) fn mend(
    snapshots: &Path,
    logs: &Path,
    last: Zxid,
    others: &mut dyn Others,
) -> io::Result<Option<String>> {
    let read = |file| read(file, snapshots, logs, last);
    let (mut accepted, mut current) = (read(EpochFile::Accepted)?, read(EpochFile::Current)?);
    let before = (accepted.is_ok(), current.is_ok());
    if before == (true, true) {
        return Ok(None);
    }
    let own = last.epoch();
    let known =
        |read: &Result<Option<Epoch>, String>| read.as_ref().ok().map(|epoch| epoch.unwrap_or(own));
    if current.is_err() && accepted.as_ref().is_ok_and(|promised| *promised <= Some(own)) {
        current = Ok(Some(own));
    }
    let asked = if current.is_err() { ends(others) } else { None };
    if let Some(ends) = &asked
        && let Some(epoch) = worth(snapshots, logs, last, ends, others)?
    {
        tracing::warn!(epoch = epoch.0, "the epoch of the history is told by those of the others");
        current = Ok(Some(epoch));
    }
    if accepted.is_err()
        && let Some(highest) =
            promised(others).or_else(|| highest(&asked.or_else(|| ends(others))?))
    {
        accepted = Ok(Some(taken(highest, known(&current), own)));
    }
    // What is known now must not wait for what is not: a leader fills the rest.
    if accepted.is_ok()
        && (accepted.is_ok(), current.is_ok()) != before
        && let Err(why) = told(epochs::restore(snapshots, known(&accepted), known(&current)))?
    {
        return Ok(Some(why));
    }
    Ok(current.and(accepted).err())
}

/// Makes only what was promised whole, beside a history that ends at `last` or later: a leader fills the rest, and the others need
/// not rest for it.
pub(super) fn mend_promise(
    snapshots: &Path,
    logs: &Path,
    last: Zxid,
    others: &mut dyn Others,
) -> io::Result<()> {
    if read(EpochFile::Accepted, snapshots, logs, last)?.is_ok() {
        return Ok(());
    }
    let Some(highest) = promised(others) else { return Ok(()) };
    let own = last.epoch();
    let current = read(EpochFile::Current, snapshots, logs, last)?.ok();
    let current = current.map(|current| current.unwrap_or(own));
    told(epochs::restore(snapshots, Some(taken(highest, current, own)), current)).map(drop)
}

/// What counts as promised where the others have promised up to `highest`.
fn taken(highest: Epoch, current: Option<Epoch>, own: Epoch) -> Epoch {
    tracing::warn!(epoch = highest.0, "what was promised is taken from the other members");
    highest.max(own).max(current.unwrap_or(own))
}

/// What an epoch's file says, or why it is not to be believed.
fn read(
    file: EpochFile,
    snapshots: &Path,
    logs: &Path,
    last: Zxid,
) -> io::Result<Result<Option<Epoch>, String>> {
    match epochs::are_lost(snapshots, logs)? {
        true => Ok(Err(file.lost(snapshots).to_string())),
        false => told(file.read(snapshots, last.epoch())),
    }
}

/// The highest epoch that anybody else has promised, if all tell.
fn promised(others: &mut dyn Others) -> Option<Epoch> {
    let all =
        (0..others.count()).map(|other| match others.ask(other, &Question::Holdings)?.answer {
            Answer::Holdings { accepted, .. } => accepted,
            _ => None,
        });
    all.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Where the histories of all others end, if all tell and are at rest.
pub(super) fn ends(others: &mut dyn Others) -> Option<Vec<End>> {
    let all = (0..others.count()).map(|other| {
        let told = others.ask(other, &Question::End)?;
        match told.answer {
            Answer::End { accepted, current, last } if told.at_rest => {
                Some(End { other, accepted, current, last })
            }
            _ => None,
        }
    });
    all.collect()
}

/// Whether another's history is known to have this transaction, and so all that this one has up to it.
pub(super) fn has(others: &mut dyn Others, other: usize, zxid: Zxid) -> bool {
    if zxid == Zxid::ZERO {
        return true;
    }
    let question = Question::Entries { from: zxid, to: zxid };
    match others.ask(other, &question).map(|told| told.answer) {
        Some(Answer::Entries(entries)) => is_run(&entries, zxid, zxid),
        // Its log may begin behind it.
        _ => match others.ask(other, &Question::Holdings).map(|told| told.answer) {
            Some(Answer::Holdings { snapshots, .. }) => snapshots.contains(&zxid),
            _ => false,
        },
    }
}

/// The highest epoch that any trace is left of.
fn highest(ends: &[End]) -> Option<Epoch> {
    let each = |end: &End| end.accepted.max(end.current).max(Some(end.last.epoch()));
    ends.iter().filter_map(each).max()
}

/// The epoch by which this history stands where its length puts it; `None`: histories part, or nobody can tell.
fn worth(
    snapshots: &Path,
    logs: &Path,
    last: Zxid,
    ends: &[End],
    others: &mut dyn Others,
) -> io::Result<Option<Epoch>> {
    let survey = Survey::of(logs)?;
    let own_snapshots = list(snapshots, SNAPSHOT)?;
    let mut least = last.epoch();
    let mut most = None;
    for End { other, current, last: end, .. } in ends {
        if *end <= last {
            let has = *end == last
                || *end == Zxid::ZERO
                || own_snapshots.iter().any(|(zxid, _)| zxid == end)
                || !run(&survey, *end, *end, 1)?.is_empty();
            if !has {
                return Ok(None);
            }
            least = current.map_or(least, |current| current.max(least));
        } else {
            if !has(others, *other, last) {
                return Ok(None);
            }
            most = [most, *current].into_iter().flatten().min();
        }
    }
    Ok(most.is_none_or(|most| least <= most).then_some(least))
}

/// What came of the epoch files, or why they cannot be believed.
pub(super) fn told<T>(done: Result<T, EpochError>) -> io::Result<Result<T, String>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(EpochError::Io { source, .. }) => Err(source),
        Err(error) => Ok(Err(error.to_string())),
    }
}
