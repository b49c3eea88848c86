//! The log, made whole file by file. A damaged file is written anew beside, and takes the place of the old one.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use types::Zxid;

use super::answer::before_in;
use super::promises::{ends, has};
use super::survey::{End, Piece, Survey};
use super::{Answer, Others, Question};
use crate::data_dir::{file_name, list};
use crate::disk::{self, File, sync_dir};
use crate::log_file::{PREFIX, encode, header};
use crate::{TxnLogError, links, watermark};

/// What became of the log.
pub(super) enum Outcome {
    /// It ends here, and nothing is missing before.
    Whole(Zxid),
    /// `wanted` or something behind it, in words.
    Missing { wanted: Zxid, why: String },
    /// Whether anything is missing behind `last`, in words.
    InDoubt { last: Zxid, why: String },
}

/// What one file is found to be.
enum Check {
    /// It goes on to here.
    Whole(Zxid),
    /// Something before its first transaction is missing.
    Gap(Zxid),
    /// Something in it is.
    Damaged,
}

/// What the others say of what is missing.
enum Filled {
    /// All of it went to the writer.
    Done,
    /// Nobody gives this one.
    Missing(Zxid),
    /// All the others are known to lack it.
    Never(Zxid),
    /// Nobody tells which transaction begins this hole.
    Unknown,
    /// Nobody tells whether there was more behind the last one.
    InDoubt { last: Zxid, why: &'static str },
}

/// Makes what is behind `base`, a snapshot, whole.
pub(super) fn mend(
    logs: &Path,
    base: Zxid,
    others: &mut dyn Others,
    taken: &mut u64,
) -> io::Result<Outcome> {
    let mut mender = Mender { logs, others, taken, learned: Vec::new() };
    let mut last = base;
    let mut done = None;
    loop {
        // Listed anew each time: files are added and exchanged.
        let survey = Survey::of(logs)?;
        let begin = match &done {
            None => survey.first_needed(base),
            Some(path) => match survey.files.iter().position(|file| file.path == *path) {
                Some(at) => at + 1,
                None => survey.first_needed(last),
            },
        };
        if begin >= survey.files.len() {
            return mender.mend_end(&survey, last, base);
        }
        let path = survey.files[begin].path.clone();
        match check(&survey, begin, last, false)? {
            Check::Whole(end) => {
                last = end;
                done = Some(path);
            }
            Check::Gap(next) => {
                let mut writer = Writer::begin(logs, last)?;
                match mender.fill(&survey, &mut writer, next)? {
                    // It may have taken the place of a file that had nothing in it.
                    Filled::Done => {
                        last = writer.last;
                        done = writer.finish(None)?.or(done);
                        mender.keep_lines(&survey)?;
                    }
                    missing => match mender.give_up(writer, None, missing)? {
                        Some(outcome) => return Ok(outcome),
                        None => continue,
                    },
                }
            }
            Check::Damaged => {
                let mut writer = Writer::begin(logs, last)?;
                match mender.rewrite(&survey, begin, &mut writer)? {
                    Filled::Done => {
                        tracing::warn!(file = %path.display(), "damaged log file written anew");
                        writer.finish(Some(&path))?;
                    }
                    missing => match mender.give_up(writer, Some(&path), missing)? {
                        Some(outcome) => return Ok(outcome),
                        None => continue,
                    },
                }
            }
        }
    }
}

/// Where the history behind `base` ends; `None`: something is missing, or may be. Where just its end is in doubt it is told:
/// two members that waited for each other's would do so for ever.
pub(super) fn whole_end(survey: &Survey, base: Zxid) -> io::Result<Option<Zxid>> {
    let mut last = base;
    for at in survey.first_needed(base)..survey.files.len() {
        match check(survey, at, last, true)? {
            Check::Whole(end) => last = end,
            Check::Gap(_) | Check::Damaged => return Ok(None),
        }
    }
    Ok(matches!(survey.end(last, false), End::Whole | End::InDoubt).then_some(last))
}

/// `or_in_doubt`: damage at an end in doubt is of what may be missing there.
fn check(survey: &Survey, at: usize, after: Zxid, or_in_doubt: bool) -> io::Result<Check> {
    let mut pieces = survey.read(at)?;
    let mut last = after;
    let mut inner = false;
    let mut first = true;
    while let Some(piece) = pieces.next()? {
        inner |= piece.behind_damage;
        let zxid = piece.entry.zxid;
        if zxid <= last {
            continue;
        }
        if !goes_on(survey, &piece, last, first) {
            return Ok(if inner || !first { Check::Damaged } else { Check::Gap(zxid) });
        }
        first = false;
        last = zxid;
    }
    let damaged = pieces.damaged;
    let is_last = at + 1 == survey.files.len();
    // What was never flushed may be torn, and is dealt with when the log is read.
    let is_torn = || match survey.end(last, true) {
        End::Whole => true,
        End::InDoubt => or_in_doubt,
        End::Lost(_) | End::Unknown => false,
    };
    let torn = is_last && damaged && is_torn();
    Ok(if inner || damaged && !torn { Check::Damaged } else { Check::Whole(last) })
}

/// Whether a record follows `last`. A file that never had a line is taken at its word.
fn goes_on(survey: &Survey, piece: &Piece, last: Zxid, first: bool) -> bool {
    let zxid = piece.entry.zxid;
    match piece.before {
        Some(before) => before <= last && before.epoch() <= last.epoch(),
        None => {
            let at_its_word = first && !piece.behind_damage && !survey.had_line(zxid);
            at_its_word && zxid.epoch() > last.epoch()
        }
    }
}

struct Mender<'a> {
    logs: &'a Path,
    others: &'a mut dyn Others,
    taken: &'a mut u64,
    /// Firsts of epochs and what stands before them, as others say.
    learned: Vec<(Zxid, Zxid)>,
}

impl Mender<'_> {
    /// Writes all that a damaged file has behind the writer's last, and what is missing between.
    fn rewrite(&mut self, survey: &Survey, at: usize, writer: &mut Writer) -> io::Result<Filled> {
        let mut pieces = survey.read(at)?;
        let mut first = true;
        while let Some(piece) = pieces.next()? {
            if piece.entry.zxid <= writer.last {
                continue;
            }
            if !goes_on(survey, &piece, writer.last, first) {
                match self.fill(survey, writer, piece.entry.zxid)? {
                    Filled::Done => {}
                    missing => return Ok(missing),
                }
            }
            first = false;
            writer.put(piece.entry.zxid, &piece.entry.body)?;
        }
        // What the damage at its end was is told by the file that follows, or by the watermark.
        match survey.files.get(at + 1) {
            Some(next) if pieces.damaged => self.fill(survey, writer, next.first),
            None if pieces.damaged => match survey.end(writer.last, true) {
                End::InDoubt => self.fill_end(survey, writer),
                End::Unknown => Ok(Filled::Unknown),
                End::Whole | End::Lost(_) => Ok(Filled::Done),
            },
            _ => Ok(Filled::Done),
        }
    }

    /// Fetches what lies between the writer's last and `next`, which is there.
    fn fill(&mut self, survey: &Survey, writer: &mut Writer, next: Zxid) -> io::Result<Filled> {
        // From the end: which epochs lie between is known only by what each begins behind.
        let mut spans = Vec::new();
        let mut upto = next;
        while upto.epoch() > writer.last.epoch() {
            let first = Zxid::new(upto.epoch(), 1);
            spans.push((first, upto));
            let before = match before_in(survey, upto.epoch())? {
                Some(before) => Some(before),
                None => self.before(upto),
            };
            let Some(before) = before.filter(|before| before.epoch() < first.epoch()) else {
                return Ok(Filled::Unknown);
            };
            // The next span is to end with it, and not before.
            let Some(behind) = before.next() else { return Ok(Filled::Unknown) };
            upto = behind;
            if before <= writer.last {
                break;
            }
        }
        if upto.epoch() == writer.last.epoch()
            && let Some(from) = writer.last.next()
        {
            spans.push((from, upto));
        }
        for (from, behind) in spans.into_iter().rev() {
            match self.fetch(writer, from, behind)? {
                Filled::Done => {}
                missing => return Ok(missing),
            }
        }
        Ok(Filled::Done)
    }

    /// Fetches what the longest of the others' histories has behind the writer's last: all that was committed there and has
    /// one good copy left.
    fn fill_end(&mut self, survey: &Survey, writer: &mut Writer) -> io::Result<Filled> {
        let last = writer.last;
        let in_doubt = |why| Ok(Filled::InDoubt { last, why });
        if self.others.count() == 0 {
            return in_doubt("there is no other voter");
        }
        let longest = ends(self.others).and_then(|all| all.into_iter().max_by_key(|end| end.last));
        let Some(longest) = longest else {
            return in_doubt("not all other voters answer and are at rest; start them all");
        };
        if longest.last <= last {
            return Ok(Filled::Done);
        }
        // Where histories part, what is behind in the other one is no end of this one.
        if !has(self.others, longest.other, last) {
            return in_doubt("the longest history of the others is not known to go on from there");
        }
        let Some(behind) = longest.last.next() else { return Ok(Filled::Done) };
        match self.fill(survey, writer, behind)? {
            Filled::Done => Ok(Filled::Done),
            // They may have begun to lead or to follow.
            _ => in_doubt("the others do not give what they had behind it"),
        }
    }

    fn before(&mut self, first: Zxid) -> Option<Zxid> {
        let before = (0..self.others.count()).find_map(|other| {
            match self.others.ask(other, &Question::Before(first.epoch()))?.answer {
                Answer::Before(before) => Some(before),
                _ => None,
            }
        })?;
        self.learned.push((Zxid::new(first.epoch(), 1), before));
        Some(before)
    }

    /// Writes the lines of files that had lost them.
    fn keep_lines(&mut self, survey: &Survey) -> io::Result<()> {
        for (first, before) in self.learned.drain(..) {
            if survey.files.iter().any(|file| file.first == first) {
                links::add(self.logs, first, before)?;
            }
        }
        Ok(())
    }

    /// Fetches transactions of one epoch, from the first up to before the second.
    fn fetch(&mut self, writer: &mut Writer, from: Zxid, behind: Zxid) -> io::Result<Filled> {
        let mut wanted = from;
        while wanted < behind {
            let to = Zxid::new(behind.epoch(), behind.counter() - 1);
            let mut lacking = 0;
            let mut found = None;
            for other in 0..self.others.count() {
                let Some(told) = self.others.ask(other, &Question::Entries { from: wanted, to })
                else {
                    continue;
                };
                match told.answer {
                    Answer::Entries(entries) if is_run(&entries, wanted, to) => {
                        found = Some(entries);
                        break;
                    }
                    Answer::Lacks if told.at_rest => lacking += 1,
                    _ => {}
                }
            }
            let Some(entries) = found else {
                let all = lacking > 0 && lacking == self.others.count();
                return Ok(if all { Filled::Never(wanted) } else { Filled::Missing(wanted) });
            };
            for (zxid, body) in entries {
                writer.put(zxid, &body)?;
                *self.taken += 1;
                // The counter of an epoch does not go further than its type.
                let Some(next) = zxid.next() else { return Ok(Filled::Done) };
                wanted = next;
            }
        }
        Ok(Filled::Done)
    }

    /// What is missing is told, or, when it is of no use to anybody, dropped with all behind it: then `None`.
    fn give_up(
        &mut self,
        writer: Writer,
        damaged: Option<&Path>,
        missing: Filled,
    ) -> io::Result<Option<Outcome>> {
        let dir = self.logs.display();
        let why = |what: String| format!("the log in {dir}: {what}");
        let (wanted, why) = match missing {
            Filled::Done => return Ok(None),
            Filled::InDoubt { last, why } => {
                let error = TxnLogError::InDoubt { dir: self.logs.to_owned(), last };
                let why = format!("{error} ({why})");
                return Ok(Some(Outcome::InDoubt { last, why }));
            }
            Filled::Never(wanted) => {
                let last = writer.last;
                tracing::warn!(%last, %wanted, "the log ends before a transaction that nobody else has");
                self.cut(writer, damaged)?;
                return Ok(None);
            }
            Filled::Missing(wanted) => {
                (wanted, why(format!("{wanted:?} was there and is damaged or lost")))
            }
            Filled::Unknown => {
                let last = writer.last;
                let lost =
                    format!("what follows {last:?} is damaged, and how much it was is not known");
                (last.next().unwrap_or(last), why(lost))
            }
        };
        let kept = format!("{why}; it is taken from whichever member has it: start them all");
        Ok(Some(Outcome::Missing { wanted, why: kept }))
    }

    /// Ends the log with what the writer has, in place of `damaged`.
    fn cut(&mut self, writer: Writer, damaged: Option<&Path>) -> io::Result<()> {
        let last = writer.last;
        // Before anything goes: a log that ends below it would be taken for one that lost its end.
        watermark::lower(self.logs, last)?;
        // The last of them first, so that a crash leaves none whose predecessor is gone.
        for (first, path) in list(self.logs, PREFIX)?.into_iter().rev() {
            if first > last && Some(&*path) != damaged {
                disk::remove(&path)?;
                sync_dir(self.logs)?;
            }
        }
        writer.finish(damaged).map(drop)
    }

    /// All files are whole: what was behind them?
    fn mend_end(&mut self, survey: &Survey, last: Zxid, base: Zxid) -> io::Result<Outcome> {
        let end = match survey.end(last, false) {
            End::Lost(end) => end,
            End::InDoubt => return self.settle_end(survey, last),
            // Damage was dealt with file by file; a file that is not there is no sign of a loss.
            End::Whole | End::Unknown => return Ok(Outcome::Whole(last)),
        };
        let mut writer = Writer::begin(self.logs, last)?;
        let Some(next) = end.next() else { return Ok(Outcome::Whole(last)) };
        match self.fill(survey, &mut writer, next)? {
            Filled::Done => {
                writer.finish(None)?;
                Ok(Outcome::Whole(end))
            }
            Filled::Never(_) => {
                let to = writer.last;
                watermark::lower(self.logs, to)?;
                writer.finish(None)?;
                Ok(Outcome::Whole(to.max(base)))
            }
            missing => match self.give_up(writer, None, missing)? {
                Some(outcome) => Ok(outcome),
                None => Ok(Outcome::Whole(last)),
            },
        }
    }

    /// Where the log ended is in doubt: it is found out, and not in doubt any more.
    fn settle_end(&mut self, survey: &Survey, last: Zxid) -> io::Result<Outcome> {
        let mut writer = Writer::begin(self.logs, last)?;
        match self.fill_end(survey, &mut writer)? {
            Filled::Done => {}
            missing => match self.give_up(writer, None, missing)? {
                Some(outcome) => return Ok(outcome),
                None => return Ok(Outcome::Whole(last)),
            },
        }
        let end = writer.last;
        writer.finish(None)?;
        // Apache's files have no lines yet, and would be taken for some of ours that lost them.
        let completed = links::complete(self.logs, Zxid::ZERO);
        // What is damaged so far back that nobody reads it has no line.
        if let Err(TxnLogError::Read { source, .. }) = completed {
            return Err(source);
        }
        watermark::lower(self.logs, end)?;
        tracing::warn!(last = %end, "the log is known to end here: no other voter has more");
        Ok(Outcome::Whole(end))
    }
}

pub(super) fn is_run(entries: &[(Zxid, Bytes)], from: Zxid, to: Zxid) -> bool {
    let mut wanted = Some(from);
    let in_order = entries.iter().all(|(zxid, body)| {
        let fits = Some(*zxid) == wanted && crate::log_file::zxid_of(body) == Some(*zxid);
        wanted = zxid.next();
        fits && *zxid <= to
    });
    in_order && !entries.is_empty()
}

/// A log file that is written beside those that are there.
struct Writer {
    logs: PathBuf,
    tmp: PathBuf,
    file: BufWriter<File>,
    /// What it goes on from.
    after: Zxid,
    first: Option<Zxid>,
    last: Zxid,
}

impl Writer {
    fn begin(logs: &Path, after: Zxid) -> io::Result<Self> {
        let tmp = logs.join("troupe-mended.tmp");
        let mut file = BufWriter::new(File::create(&tmp)?);
        file.write_all(&header())?;
        Ok(Self { logs: logs.to_owned(), tmp, file, after, first: None, last: after })
    }

    fn put(&mut self, zxid: Zxid, body: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(body.len() + 13);
        encode(body, &mut record);
        self.file.write_all(&record)?;
        self.first.get_or_insert(zxid);
        self.last = zxid;
        Ok(())
    }

    /// Takes the place of `old`, or stands beside the others; answers with the file, if it has anything.
    fn finish(mut self, old: Option<&Path>) -> io::Result<Option<PathBuf>> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let path = self.first.map(|first| self.logs.join(file_name(PREFIX, first)));
        match &path {
            Some(path) => {
                if let Some(first) = self.first {
                    links::add(&self.logs, first, self.after)?;
                }
                disk::rename(&self.tmp, path)?;
            }
            None => disk::remove(&self.tmp)?,
        }
        sync_dir(&self.logs)?;
        if let Some(old) = old.filter(|old| Some(*old) != path.as_deref()) {
            disk::remove(old)?;
            sync_dir(&self.logs)?;
        }
        Ok(path)
    }
}
