//! The thread that owns the log: everything that waits goes out with one flush.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use types::{Epoch, Zxid};

use crate::install::install;
use crate::truncate::truncate;
use crate::watermark::Watermark;
use crate::{AppendError, EpochError, EpochFile, LogWriter};

/// What the log thread is asked for; done in order.
#[derive(Debug)]
pub enum LogCommand {
    /// Append records; answered by [`LogEvent::Flushed`] for the last of them or a later one.
    Append(Records),
    /// Save an epoch file; answered by [`LogEvent::EpochSaved`] or [`LogEvent::EpochRefused`].
    SaveEpoch(EpochFile, Epoch),
    /// The next record begins a new file.
    Roll,
    /// End the log at this transaction and remove all that is newer; answered by
    /// [`LogEvent::Truncated`].
    Truncate(Zxid),
    /// Put the snapshot that [`crate::SnapshotWriter::stage`] made in place of all that is there;
    /// answered by [`LogEvent::Installed`].
    Install,
    /// The files were made whole by another hand, and end with this transaction.
    GoOnBehind(Zxid),
    /// After [`LogEvent::Full`] or [`LogEvent::EpochRefused`]: look whether there is room again; answered by [`LogEvent::HasRoom`] if so.
    Probe,
}

/// Records to append, in zxid order, copied together: bytes that two threads held would cost both of them more
/// than the copy does.
#[derive(Debug, Default)]
pub struct Records {
    /// Of each its place in the order, and how long it is.
    ends: Vec<(Zxid, usize)>,
    bytes: Vec<u8>,
}

impl Records {
    /// Adds one: header, record and digest.
    pub fn push(&mut self, zxid: Zxid, body: &[u8]) {
        self.ends.push((zxid, body.len()));
        self.bytes.extend_from_slice(body);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (Zxid, &[u8])> {
        let mut rest = &self.bytes[..];
        self.ends.iter().map(move |&(zxid, length)| {
            let (body, after) = rest.split_at(length);
            rest = after;
            (zxid, body)
        })
    }

    fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
    }
}

/// What the log thread tells.
#[derive(Debug)]
pub enum LogEvent {
    /// Everything up to here is on stable storage, by a write and a flush that took so long.
    Flushed(Zxid, Duration),
    /// An epoch file is on stable storage.
    EpochSaved(EpochFile, Epoch),
    /// No room: nothing from `first` on was written, and nothing will be until [`LogEvent::HasRoom`].
    Full {
        /// The first record refused.
        first: Zxid,
        /// Why, for a person.
        error: AppendError,
    },
    /// No room for an epoch file, which is as it was; nothing will be written until [`LogEvent::HasRoom`].
    EpochRefused {
        /// Which file.
        file: EpochFile,
        /// What it was to say.
        epoch: Epoch,
        /// Why, for a person.
        error: EpochError,
    },
    /// There is room again; appends are taken.
    HasRoom,
    /// The log ends here, and no snapshot is newer.
    Truncated(Zxid),
    /// A snapshot of this transaction is all that there is.
    Installed(Zxid),
    /// The disk failed and the thread has ended; the member must too.
    Failed(String),
}

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
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || Worker::new(writer, epoch_dir, tell, given_back).run(&inbox))?;
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

struct Worker<T> {
    writer: LogWriter,
    epoch_dir: PathBuf,
    tell: T,
    spare: Arc<Mutex<Vec<Records>>>,
    /// The disk was full: appends are dropped, since their owner takes them back.
    refusing: bool,
    /// `None`: nothing is flushed, so nothing can be said of the disk.
    watermark: Option<Watermark>,
}

impl<T: Fn(LogEvent)> Worker<T> {
    fn new(
        writer: LogWriter,
        epoch_dir: PathBuf,
        tell: T,
        spare: Arc<Mutex<Vec<Records>>>,
    ) -> Self {
        let watermark = writer.forces_sync().then(|| Watermark::new(writer.dir()));
        Self { writer, epoch_dir, tell, spare, refusing: false, watermark }
    }

    fn run(mut self, inbox: &Receiver<LogCommand>) {
        while let Some(command) = self.next(inbox) {
            let mut next = Some(command);
            while let Some(command) = next {
                if self.on(command).is_err() {
                    return;
                }
                next = inbox.try_recv().ok();
            }
            if self.commit().is_err() {
                return;
            }
        }
    }

    /// Waits for a command; when none comes for a while, the file of what was flushed is brought up to date.
    fn next(&mut self, inbox: &Receiver<LogCommand>) -> Option<LogCommand> {
        if let Some(watermark) = &mut self.watermark
            && watermark.is_behind()
        {
            match inbox.recv_timeout(SETTLE_AFTER) {
                Ok(next) => return Some(next),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    watermark.settle();
                }
            }
        }
        inbox.recv().ok()
    }

    /// `Err`: the disk failed, and the owner was told.
    fn on(&mut self, command: LogCommand) -> Result<(), ()> {
        match command {
            LogCommand::Append(records) => {
                for (zxid, body) in records.iter() {
                    // The disk may fill up on the way.
                    if self.refusing {
                        break;
                    }
                    self.writer.stage(zxid, body);
                    if self.writer.staged_bytes() >= BATCH_BYTES {
                        self.commit()?;
                    }
                }
                self.keep(records);
            }
            LogCommand::Roll => {
                self.commit()?;
                self.writer.roll();
            }
            LogCommand::Truncate(to) => {
                self.close()?;
                match truncate(self.writer.dir(), &self.epoch_dir, to) {
                    Ok(()) => {
                        self.writer.go_on_behind(to);
                        (self.tell)(LogEvent::Truncated(to));
                    }
                    Err(error) => return self.fail(&error),
                }
            }
            LogCommand::Install => {
                self.close()?;
                match install(self.writer.dir(), &self.epoch_dir) {
                    Ok(zxid) => {
                        let zxid = zxid.unwrap_or_default();
                        self.writer.go_on_behind(zxid);
                        (self.tell)(LogEvent::Installed(zxid));
                    }
                    Err(error) => return self.fail(&error),
                }
            }
            LogCommand::GoOnBehind(last) => {
                self.close()?;
                self.writer.go_on_behind(last);
            }
            LogCommand::Probe => {
                if self.refusing && self.writer.has_room() {
                    self.refusing = false;
                    (self.tell)(LogEvent::HasRoom);
                }
            }
            LogCommand::SaveEpoch(file, epoch) => {
                self.commit()?;
                match file.save(&self.epoch_dir, epoch) {
                    Ok(saved) => {
                        (self.tell)(LogEvent::EpochSaved(file, epoch));
                        match saved.finish() {
                            Ok(()) => {}
                            // The copy says it, and the next epoch brings the file up to date.
                            Err(error) if error.is_full() => {}
                            Err(error) => return self.fail(&error),
                        }
                    }
                    Err(error) if error.is_full() => {
                        self.refusing = true;
                        (self.tell)(LogEvent::EpochRefused { file, epoch, error });
                    }
                    Err(error) => return self.fail(&error),
                }
            }
        }
        Ok(())
    }

    fn keep(&self, mut records: Records) {
        records.clear();
        if records.bytes.capacity() <= SPARE_BYTES
            && let Ok(mut spare) = self.spare.lock()
            && spare.len() < SPARES
        {
            spare.push(records);
        }
    }

    /// Lets go of the files, which are to be cut or removed.
    fn close(&mut self) -> Result<(), ()> {
        self.commit()?;
        self.writer.roll();
        if let Some(watermark) = &mut self.watermark {
            watermark.restart();
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ()> {
        let first = self.writer.first_staged();
        match (self.writer.commit(), first) {
            (Ok(Some(last)), _) => {
                (self.tell)(LogEvent::Flushed(last, self.writer.flush_time()));
                if let Some(watermark) = &mut self.watermark {
                    watermark.flushed(last);
                }
            }
            (Ok(None), _) => {}
            (Err(error @ AppendError::NoSpace { .. }), Some(first)) => {
                self.refusing = true;
                (self.tell)(LogEvent::Full { first, error });
            }
            (Err(error), _) => return self.fail(&error),
        }
        Ok(())
    }

    fn fail(&self, error: &dyn std::error::Error) -> Result<(), ()> {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        (self.tell)(LogEvent::Failed(words));
        Err(())
    }
}

/// A batch is flushed at this size even if more waits.
const BATCH_BYTES: usize = 4 << 20;
/// A log that rests so long is known to be whole.
const SETTLE_AFTER: Duration = Duration::from_secs(1);
/// Buffers that are kept for the next records, and the longest of them.
const SPARES: usize = 16;
const SPARE_BYTES: usize = 256 << 10;
const STACK_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;
    use crate::LogReader;
    use crate::log_file::entry_of;

    #[test]
    fn appends_are_answered_in_order_and_are_there_afterwards() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (tell, told) = mpsc::channel();
        let log = LogThread::spawn(LogWriter::new(dir.path(), 0, true), dir.path(), move |event| {
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
}
