//! Transaction log and snapshots in Apache's on-disk format.
//!
//! Lives here: files, their checksums, what a crash may leave of them, and when they may go. Must not:
//! know what a transaction or a snapshot's body means. Start at [`DataDir::open`]; a running member
//! appends through [`LogThread`].

mod compression;
mod data_dir;
mod disk;
mod epochs;
mod history;
mod install;
mod links;
mod log_file;
mod log_reader;
mod log_thread;
mod log_worker;
mod log_writer;
mod mending;
mod retention;
mod scheduling;
mod settle;
mod snapshot_reader;
mod snapshot_writer;
mod spare;
mod truncate;
mod watermark;

pub use compression::Compression;
pub use data_dir::{DataDir, DirError};
pub use disk::{Change, Witness, open_for_reading, set_witness};
pub use epochs::{EpochError, EpochFile, Epochs};
pub use history::History;
pub use log_reader::{LogEntry, LogReader, TxnLogError};
pub use log_thread::LogThread;
pub use log_worker::{LogCommand, LogEvent, LogFailed, LogWorker, Records};
pub use log_writer::{AppendError, LogWriter};
pub use mending::{Answer, Mended, Others, Question, Told, answer, is_marked, mark, mend, unmark};
pub use retention::{Removed, Retention, purge};
pub use scheduling::{Policy, schedule};
pub use settle::{SettleError, settle};
pub use snapshot_reader::{Loaded, SnapshotError, SnapshotReader, load_newest, load_plain};
pub use snapshot_writer::{
    SNAPSHOT_PART_BYTES, SnapshotDigest, SnapshotWriteError, SnapshotWriter,
};
pub use truncate::TruncateError;
