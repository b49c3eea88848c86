//! Writing a snapshot: header, body, three seals.
//!
//! A seal is the Adler-32 of every byte so far and the string "/". The file appears under its name only
//! when it is whole and durable.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use types::Zxid;

use crate::compression::{Compression, Compressor};
use crate::data_dir::{file_name, is_full};
use crate::disk::{self, File, sync_dir};
use crate::install::STAGED;

/// A snapshot on its way to the disk. The body is written through [`Write`].
pub struct SnapshotWriter {
    dir: PathBuf,
    path: PathBuf,
    tmp: PathBuf,
    output: Option<Compressor<BufWriter<Steady>>>,
    sum: simd_adler32::Adler32,
    bytes: u64,
    finished: bool,
}

/// A file that is flushed a part at a time: of a large one that is flushed as a whole the log, whose flushes wait behind it,
/// would feel every byte at once.
struct Steady {
    file: File,
    unflushed: usize,
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unflushed += written;
        if self.unflushed >= SNAPSHOT_PART_BYTES {
            self.file.sync_data()?;
            self.unflushed = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// How much of a snapshot is flushed at once: flushes of the log wait for about 3 ms behind it.
pub const SNAPSHOT_PART_BYTES: usize = 1 << 20;

/// The digest of the tree at the end of the snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SnapshotDigest {
    /// The transaction it is true after.
    pub zxid: Zxid,
    /// How it is computed; Apache 3.9 and this crate know 2.
    pub version: i32,
    /// The sum.
    pub digest: i64,
}

/// Why a snapshot could not be written. Nothing of it is left under its name.
#[derive(Debug, thiserror::Error)]
#[error("write snapshot {}", path.display())]
pub struct SnapshotWriteError {
    path: PathBuf,
    source: io::Error,
}

impl SnapshotWriteError {
    /// Whether the disk has no room for it, which may pass.
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }
}

impl SnapshotWriter {
    /// Begins the snapshot of the state after `zxid`; a fuzzy one may hold later changes too.
    pub fn create(
        dir: &Path,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<Self, SnapshotWriteError> {
        let tmp = format!("{}.tmp", file_name("troupe-snapshot", zxid));
        Self::begin(dir, file_name(PREFIX, zxid) + compression.suffix(), tmp, compression)
    }

    /// Begins one that is to take the place of all that the member has: see [`crate::LogCommand::Install`].
    pub fn stage(dir: &Path, zxid: Zxid) -> Result<Self, SnapshotWriteError> {
        // One that was given up may not be gone yet.
        let tmp = format!("{}.{}", file_name(STAGING, zxid), NEXT.fetch_add(1, Relaxed));
        Self::begin(dir, file_name(STAGED, zxid), tmp, Compression::None)
    }

    fn begin(
        dir: &Path,
        name: String,
        tmp: String,
        compression: Compression,
    ) -> Result<Self, SnapshotWriteError> {
        let path = dir.join(name);
        let tmp = dir.join(tmp);
        let file = match File::create(&tmp) {
            Ok(file) => file,
            Err(source) => return Err(SnapshotWriteError { path, source }),
        };
        let mut writer = Self {
            dir: dir.to_owned(),
            path,
            tmp,
            output: Some(Compressor::new(
                compression,
                BufWriter::with_capacity(BUFFER_BYTES, Steady { file, unflushed: 0 }),
            )),
            sum: simd_adler32::Adler32::new(),
            bytes: 0,
            finished: false,
        };
        writer.put(&header())?;
        Ok(writer)
    }

    /// The error of a body that could not be written.
    pub fn failed(self, source: io::Error) -> SnapshotWriteError {
        SnapshotWriteError { path: self.path.clone(), source }
    }

    /// The file, once it is finished.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Seals the file, makes it durable and gives it its name; answers with its plain size in bytes.
    /// `last` is the last transaction applied when the body was complete. Where digests are switched off, Apache's
    /// takes a snapshot with one for damaged, and where they are not, one without.
    pub fn finish(
        mut self,
        digest: impl Into<Option<SnapshotDigest>>,
        last: Zxid,
    ) -> Result<u64, SnapshotWriteError> {
        self.put_seal()?;
        if let Some(digest) = digest.into() {
            self.put(&digest.zxid.bits().to_be_bytes())?;
            self.put(&digest.version.to_be_bytes())?;
            self.put(&digest.digest.to_be_bytes())?;
            self.put_seal()?;
        }
        self.put(&last.bits().to_be_bytes())?;
        self.put_seal()?;
        let output = self.output.take().map_or(Ok(()), |output| {
            output.finish().and_then(|output| output.get_ref().file.sync_all())
        });
        let done = output
            .and_then(|()| disk::rename(&self.tmp, &self.path))
            .and_then(|()| sync_dir(&self.dir));
        match done {
            Ok(()) => {
                self.finished = true;
                Ok(self.bytes)
            }
            Err(source) => Err(SnapshotWriteError { path: self.path.clone(), source }),
        }
    }

    fn put_seal(&mut self) -> Result<(), SnapshotWriteError> {
        let sum = i64::from(self.sum.finish());
        self.put(&sum.to_be_bytes())?;
        self.put(&SEAL_END)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotWriteError> {
        let written = self.write_all(bytes);
        written.map_err(|source| SnapshotWriteError { path: self.path.clone(), source })
    }
}

impl fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Ok(0) };
        let written = output.write(bytes)?;
        self.sum.write(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: what stays behind has a name that nobody reads, and the next start removes it.
            let _ = disk::remove(&self.tmp);
        }
    }
}

/// Magic "ZKSN", version 2, database id -1.
pub(crate) fn header() -> [u8; 16] {
    let mut header = [0xff; 16];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&2i32.to_be_bytes());
    header
}

pub(crate) const PREFIX: &str = "snapshot";
pub(crate) const MAGIC: [u8; 4] = *b"ZKSN";
/// The string "/".
pub(crate) const SEAL_END: [u8; 5] = [0, 0, 0, 1, b'/'];
const BUFFER_BYTES: usize = 64 << 10;
/// Snapshots that are being staged: this, the zxid and a number.
pub(crate) const STAGING: &str = "troupe-staging";
static NEXT: AtomicU64 = AtomicU64::new(0);
