//! What a start does: the first one makes the files, and each makes durable what it read. Where they are lost, whoever mends
//! the member has them say what was found out.

use std::io;
use std::path::Path;

use types::Epoch;

use super::copy::{COPY, Copied, Copy, Word};
use super::file::{Found, Saved, read_one};
use super::{EpochError, EpochFile, believed};
use crate::data_dir::is_full;
use crate::disk::{File, sync_dir};
use crate::settle::has_run;

/// Whether none of the three files is there, and a member of ours has run.
pub(crate) fn are_lost(dir: &Path, logs: &Path) -> io::Result<bool> {
    Ok(is_without(dir)? && has_run(logs)?)
}

/// Whether none of the three files is there.
fn is_without(dir: &Path) -> io::Result<bool> {
    for name in [EpochFile::Accepted.name(), EpochFile::Current.name(), COPY] {
        if dir.join(name).try_exists()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first start of a member of ours: from now on there are epoch files, and where they are not they are lost. Apache does
/// the same.
pub(crate) fn begin(dir: &Path, logs: &Path, last: Epoch) -> Result<(), EpochError> {
    let is_first = || Ok(is_without(dir)? && !has_run(logs)?);
    match is_first().map_err(|source| EpochError::Io { path: dir.to_owned(), source })? {
        true => restore(dir, Some(last), Some(last)),
        false => Ok(()),
    }
}

/// Has all three files say this, durably; `None`: nobody knows. A crash on the way leaves what was there, or this.
pub(crate) fn restore(
    dir: &Path,
    accepted: Option<Epoch>,
    current: Option<Epoch>,
) -> Result<(), EpochError> {
    let word = |epoch: Option<Epoch>| epoch.map_or(Word::Lost, Word::Is);
    let mut copied = Copied { accepted: word(accepted), current: word(current), modified: 0 };
    let mut saved = Vec::new();
    for (file, epoch) in [(EpochFile::Accepted, accepted), (EpochFile::Current, current)] {
        let Some(epoch) = epoch else { continue };
        saved.push(file.write_beside(dir, epoch, |written| {
            copied.modified = written;
            Ok(())
        })?);
    }
    let path = dir.join(COPY);
    copied.write_anew(dir).map_err(|source| EpochError::Io { path, source })?;
    saved.into_iter().try_for_each(Saved::finish)
}

/// Makes durable what is read now; `last` as for [`super::Epochs::read`]. The copy, which is written in its place, is made anew: a
/// flush of it may have failed, and then no later one is to be believed. The files are to be whole whenever it is written.
pub(crate) fn settle(dir: &Path, last: Epoch) -> Result<(), EpochError> {
    let mut copy = Copy::read(dir)?;
    for file in [EpochFile::Accepted, EpochFile::Current] {
        let says = match read_one(dir, file)? {
            Found::Bare(epoch) | Found::Sealed(epoch) => Some(epoch),
            Found::Absent | Found::Malformed(_) => None,
        };
        let behind = believed(dir, file, &copy, last)?.filter(|epoch| says != Some(*epoch));
        let settled = match behind {
            // A crash came between the copy and the file.
            Some(epoch) => {
                let saved = file.write_beside(dir, epoch, |written| {
                    if let (EpochFile::Current, Copy::Whole(copied)) = (file, &mut copy) {
                        copied.modified = written;
                    }
                    Ok(())
                });
                saved.and_then(Saved::finish)
            }
            None => {
                let path = dir.join(file.name());
                match File::open(&path).and_then(|file| file.sync_all()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    synced => synced.map_err(|source| EpochError::Io { path, source }),
                }
            }
        };
        match settled {
            Err(error) if error.is_full() => {}
            settled => settled?,
        }
    }
    let settled = match copy {
        Copy::Whole(copied) => match copied.write_anew(dir) {
            // Nothing more can be promised then; and reads go on.
            Err(error) if is_full(&error) => {
                File::open(&dir.join(COPY)).and_then(|file| file.sync_all())
            }
            written => written,
        },
        Copy::Missing | Copy::Rotten => sync_dir(dir),
    };
    settled.map_err(|source| EpochError::Io { path: dir.to_owned(), source })
}
