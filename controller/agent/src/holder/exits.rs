//! The exits that nobody has collected yet, in memory and in a log beside the socket.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::wire::{Exit, ExitStatus};

/// Exits by number. The log holds one JSON line for each, so that they survive this process.
pub(crate) struct Exits {
    path: PathBuf,
    log: File,
    waiting: VecDeque<Exit>,
    next: u64,
}

impl Exits {
    /// Opens the log, with what an earlier holder left. A last line that was cut off is dropped.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut log =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        let waiting: VecDeque<Exit> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if !text.is_empty() && !text.ends_with('\n') {
            log.write_all(b"\n")?;
        }
        let next = waiting.back().map_or(1, |last| last.number + 1);
        Ok(Self { path: path.to_owned(), log, waiting, next })
    }

    /// Notes an exit. A full disk costs only the log's copy: it is told in the error, the exit is kept.
    pub(crate) fn push(
        &mut self,
        id: String,
        pid: i32,
        status: ExitStatus,
        at: u64,
    ) -> (Exit, io::Result<()>) {
        let exit = Exit { number: self.next, id, pid, status, at };
        self.next += 1;
        let mut line = serde_json::to_vec(&exit).expect("an exit has string keys only");
        line.push(b'\n');
        self.waiting.push_back(exit.clone());
        (exit, self.log.write_all(&line))
    }

    /// Forgets what was collected, and empties the log when nothing else is in it.
    pub(crate) fn collected(&mut self, through: u64) -> io::Result<()> {
        let before = self.waiting.len();
        self.waiting.retain(|exit| exit.number > through);
        if before != self.waiting.len() && self.waiting.is_empty() {
            self.log.set_len(0)?;
        }
        Ok(())
    }

    pub(crate) fn waiting(&self) -> Vec<Exit> {
        self.waiting.iter().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_collected_is_there_for_the_next_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("exits");
        let mut exits = Exits::open(&path).expect("open");
        for id in ["a", "b", "c"] {
            exits.push(id.to_owned(), 7, ExitStatus::Code(0), 1).1.expect("written");
        }
        exits.collected(1).expect("forget a");
        drop(exits);
        let mut log = OpenOptions::new().append(true).open(&path).expect("the log");
        log.write_all(b"{\"number\":4,\"id\":\"cut o").expect("a torn line");

        let mut next = Exits::open(&path).expect("open again");
        // `a` is in the log until all are collected; the agent knows its container no more.
        let ids: Vec<_> = next.waiting().into_iter().map(|e| (e.number, e.id)).collect();
        assert_eq!(ids, [(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())]);
        next.collected(3).expect("forget all");
        assert!(next.is_empty());
        assert_eq!(std::fs::read(&path).expect("the log"), b"");
        next.push("d".to_owned(), 8, ExitStatus::Signal(9), 2).1.expect("written");
        assert_eq!(Exits::open(&path).expect("open").waiting()[0].id, "d");
    }
}
