//! The thread that owns the log: everything that waits goes out with one flush.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::LogWriter;
use crate::log_worker::{LogCommand, LogEvent, LogWorker, Records};
use crate::scheduling::{Policy, schedule};
use crate::watermark::WRITE_EVERY;

/// A handle to the log thread. Dropping it lets the thread finish what it was given, and waits for it.
#[derive(Debug)]
pub struct LogThread {
    commands: Option<Sender<LogCommand>>,
    spare: Arc<Mutex<Vec<Records>>>,
    thread: Option<JoinHandle<()>>,
}

impl LogThread {
    /// Starts the thread. `tell` is called on it, in order, and must not block. Epoch files are kept in
    /// `epoch_dir`.
    pub fn spawn(
        writer: LogWriter,
        epoch_dir: &Path,
        tell: impl Fn(LogEvent) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let epoch_dir = epoch_dir.to_owned();
        let spare = Arc::<Mutex<Vec<_>>>::default();
        let given_back = Arc::clone(&spare);
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(STACK_BYTES).spawn(
            move || {
                // It is woken by a disk, and who is interrupted for that are those who read.
                schedule(0, Policy::Batch);
                run(LogWorker::new(writer, &epoch_dir, tell), &inbox, &given_back);
            },
        )?;
        Ok(Self { commands: Some(commands), spare, thread: Some(thread) })
    }

    /// No records, with room for some: what was appended gives its memory back.
    pub fn records(&self) -> Records {
        self.spare.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default()
    }

    /// Queues a command. After [`LogEvent::Failed`] commands are dropped.
    pub fn send(&self, command: LogCommand) {
        if let Some(commands) = &self.commands {
            // The receiver is gone only after `Failed`, which has told the owner already.
            let _ = commands.send(command);
        }
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log thread panicked");
        }
    }
}

/// Ends when the owner does, or with [`LogEvent::Failed`].
fn run<T: FnMut(LogEvent)>(
    mut worker: LogWorker<T>,
    inbox: &Receiver<LogCommand>,
    spare: &Mutex<Vec<Records>>,
) {
    while let Some(command) = next(&mut worker, inbox) {
        let mut next = Some(command);
        while let Some(command) = next {
            if worker.on(Instant::now(), &command).is_err() {
                return;
            }
            if let LogCommand::Append(records) = command {
                keep(spare, records);
            }
            next = inbox.try_recv().ok();
        }
        if worker.commit(Instant::now()).is_err() {
            return;
        }
    }
}

/// Waits for a command; when none comes for a while, the files beside the log are brought up to date.
fn next<T: FnMut(LogEvent)>(
    worker: &mut LogWorker<T>,
    inbox: &Receiver<LogCommand>,
) -> Option<LogCommand> {
    if worker.is_unnoted() {
        match inbox.recv_timeout(WRITE_EVERY) {
            Ok(next) => return Some(next),
            Err(_) => worker.note(Instant::now()),
        }
    }
    if worker.is_behind() {
        match inbox.recv_timeout(SETTLE_AFTER) {
            Ok(next) => return Some(next),
            Err(RecvTimeoutError::Timeout) => {
                worker.settle(Instant::now()).ok()?;
                worker.give_back();
            }
            Err(RecvTimeoutError::Disconnected) => worker.settle(Instant::now()).ok()?,
        }
    }
    inbox.recv().ok()
}

fn keep(spare: &Mutex<Vec<Records>>, mut records: Records) {
    if records.clear() <= SPARE_BYTES
        && let Ok(mut spare) = spare.lock()
        && spare.len() < SPARES
    {
        spare.push(records);
    }
}

/// A log that rests so long is known to be whole.
const SETTLE_AFTER: Duration = Duration::from_secs(1);
/// Buffers that are kept for the next records, and the longest of them.
const SPARES: usize = 16;
const SPARE_BYTES: usize = 256 << 10;
const STACK_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use types::{Epoch, Zxid};

    use super::*;
    use crate::log_file::entry_of;
    use crate::{EpochFile, LogReader};

    #[test]
    fn appends_are_answered_in_order_and_are_there_afterwards() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (tell, told) = mpsc::channel();
        let writer = LogWriter::new(dir.path(), 0, true).behind(Zxid::ZERO);
        let log = LogThread::spawn(writer, dir.path(), move |event| {
            tell.send(event).expect("the test listens");
        })
        .expect("threads can be had");
        log.send(LogCommand::SaveEpoch(EpochFile::Accepted, Epoch(1)));
        for counter in 1..=100 {
            let zxid = Zxid::new(Epoch(1), counter);
            let mut records = log.records();
            records.push(zxid, &entry_of(zxid, b"x"));
            log.send(LogCommand::Append(records));
        }
        drop(log);
        let events: Vec<_> = told.iter().collect();
        assert!(matches!(events[0], LogEvent::EpochSaved(EpochFile::Accepted, Epoch(1))));
        let flushed: Vec<_> = events[1..]
            .iter()
            .map(|event| match event {
                LogEvent::Flushed(zxid, _) => zxid.counter(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(flushed.is_sorted());
        assert_eq!(flushed.last(), Some(&100));
        let mut reader = LogReader::open(dir.path(), Zxid::ZERO).expect("it is there");
        while reader.next_entry().expect("it is whole").is_some() {}
        assert_eq!(reader.last(), Zxid::new(Epoch(1), 100));
    }

    #[test]
    fn what_only_a_snapshot_has_is_missed_without_it() {
        for behind in [None, Some(Zxid::new(Epoch(2), 1))] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let writer = LogWriter::new(dir.path(), 0, true).behind(Zxid::ZERO);
            let log = LogThread::spawn(writer, dir.path(), |_| ()).expect("threads can be had");
            let append = |zxid| {
                let mut records = log.records();
                records.push(zxid, &entry_of(zxid, b"x"));
                log.send(LogCommand::Append(records));
            };
            append(Zxid::new(Epoch(1), 1));
            let restored = Zxid::new(Epoch(1), 2);
            log.send(LogCommand::GoOnBehind(restored));
            if let Some(zxid) = behind {
                append(zxid);
            }
            drop(log);
            let read = |from| {
                let mut reader = LogReader::open(dir.path(), from)?;
                while reader.next_entry()?.is_some() {}
                Ok::<_, crate::TxnLogError>(reader.last())
            };
            assert_eq!(read(restored).expect("it is whole behind it"), behind.unwrap_or(restored));
            let missed = read(Zxid::ZERO).expect_err("one is missing").to_string();
            assert!(missed.contains("100000002") || missed.contains("200000001"), "{missed}");
        }
    }
}
