//! Which log files count, and which of them are needed.

use std::path::Path;

use types::Zxid;

use super::TxnLogError;
use crate::data_dir::list;
use crate::links::{self, Links, LogFile};
use crate::log_file::PREFIX;

pub(crate) fn read_links(dir: &Path) -> Result<Links, TxnLogError> {
    Links::read(dir).map_err(|source| TxnLogError::Read { path: dir.join(links::FILE), source })
}

/// The log files that count, by their first transactions.
pub(crate) fn logs(dir: &Path, links: &Links) -> Result<Vec<LogFile>, TxnLogError> {
    let files =
        list(dir, PREFIX).map_err(|source| TxnLogError::Read { path: dir.to_owned(), source })?;
    Ok(links.that_count(files))
}

/// Those that have what is behind `after`, the next one last.
pub(crate) fn logs_behind(
    dir: &Path,
    links: &Links,
    after: Zxid,
) -> Result<Vec<LogFile>, TxnLogError> {
    let mut files = logs(dir, links)?;
    files.drain(..first_needed(&files, after));
    files.reverse();
    Ok(files)
}

/// The file to begin with for what is behind `after`.
pub(crate) fn first_needed(files: &[LogFile], after: Zxid) -> usize {
    // Records behind `after` begin in the last file whose first record is not behind it.
    let next = files.partition_point(|file| file.first <= after);
    // A file that begins right behind it leaves nothing for the one before to tell.
    let goes_on = files.get(next).is_some_and(|file| after.next() == Some(file.first));
    if goes_on { next } else { next.saturating_sub(1) }
}
