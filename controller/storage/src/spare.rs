//! Room that was kept in log files behind their last records, and is not needed any more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::data_dir::list;
use crate::disk;
use crate::log_file::{HEADER_BYTES, PREFIX};

/// Gives back what the log files of a directory that nobody writes to have behind their last records.
pub(crate) fn give_back(logs: &Path) -> io::Result<()> {
    for (_, path) in list(logs, PREFIX)? {
        if let Err(error) = cut(&path) {
            tracing::warn!(file = %path.display(), %error, "log file keeps its spare room");
        }
    }
    Ok(())
}

/// A record ends with a byte that is not zero.
fn cut(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let end = end(&file)?.max(HEADER_BYTES);
    if end < file.metadata()?.len() {
        disk::File::open(path)?.set_len(end)?;
    }
    Ok(())
}

/// Behind the last byte that is not zero.
fn end(file: &File) -> io::Result<u64> {
    let mut end = written_end(file)?;
    let mut piece = vec![0; PIECE_BYTES];
    while end > 0 {
        let begin = end.saturating_sub(PIECE_BYTES as u64);
        let piece = &mut piece[..usize::try_from(end - begin).expect("as long as a piece at most")];
        file.read_exact_at(piece, begin)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// Where the system knows of nothing written any more, at the latest: tens of megabytes need not be read.
fn written_end(file: &File) -> io::Result<u64> {
    let mut at = 0;
    loop {
        match seek(file, SeekFrom::Data(at)) {
            Ok(data) => at = seek(file, SeekFrom::Hole(data))?,
            Err(Errno::NXIO) => return Ok(at),
            // Not every file system tells.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(file.metadata()?.len()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

const PIECE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use types::{Epoch, Zxid};

    use super::*;
    use crate::LogWriter;
    use crate::log_file::entry_of;

    #[test]
    fn files_end_behind_their_last_records_and_lose_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let zxid = |counter| Zxid::new(Epoch(1), counter);
        let mut writer = LogWriter::new(dir.path(), 1 << 20, true);
        for counter in 1..=3 {
            // Zeros at the end of a record's data are the record's.
            writer.stage(zxid(counter), &entry_of(zxid(counter), &[0; 200_000]));
            writer.commit().expect("there is room");
            writer.roll();
        }
        drop(writer);
        fs::write(
            dir.path().join("log.100000009"),
            [&crate::log_file::header()[..], &[0; 99]].concat(),
        )
        .expect("it is writable");
        let read = |name: &str| fs::read(dir.path().join(name)).expect("it is there");
        let names = ["log.100000001", "log.100000002", "log.100000003", "log.100000009"];
        let before = names.map(read);
        for _ in 0..2 {
            give_back(dir.path()).expect("it is writable");
            for (name, before) in names.iter().zip(&before) {
                let after = read(name);
                assert!(before.starts_with(&after), "{name}");
                assert!(before[after.len()..].iter().all(|byte| *byte == 0), "{name}");
                let spare = before.len() - after.len();
                assert!(spare > 80, "{name}: {spare} bytes were spare");
                assert!(after.len() == 16 || after.ends_with(b"B"), "{name}");
            }
        }
    }
}
