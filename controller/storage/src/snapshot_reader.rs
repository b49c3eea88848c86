//! Loading the newest snapshot that is whole.

use std::fs::{self, File};
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use bytes::{Buf, Bytes};
use simd_adler32::Adler32;
use types::Zxid;

use crate::SnapshotDigest;
use crate::compression::Compression;
use crate::data_dir::list;
use crate::snapshot_writer::{PREFIX, SEAL_END, header};

/// Why a snapshot, or all of them, cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system refuses.
    #[error("read snapshot {}", path.display())]
    Read {
        /// The file or the directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes changed after they were written, or were never complete.
    #[error("snapshot {} is corrupt at byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where it was noticed.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// There are snapshots and none can be loaded.
    #[error("none of the {count} snapshots in {} can be loaded; restore one from a copy. The newest: {newest}", dir.display())]
    AllCorrupt {
        /// The directory.
        dir: PathBuf,
        /// How many were tried.
        count: usize,
        /// What is wrong with the newest one.
        newest: String,
    },
}

impl SnapshotError {
    /// Whether something that was there is not, which other members may have.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The transaction in the file's name: replay begins behind it.
    pub zxid: Zxid,
    /// What the caller made of the body.
    pub body: T,
    /// The digest section, if the file has one.
    pub digest: Option<SnapshotDigest>,
    /// Newer snapshots that were passed over, and why.
    pub skipped: Vec<SnapshotError>,
}

/// The bytes of one snapshot behind its header, in parts as they come from the disk. The body's parser reads
/// what is its own and no more; the seals are checked behind it.
#[derive(Debug)]
pub struct SnapshotReader {
    /// What is left of the part that is read now.
    rest: Bytes,
    /// Those that follow.
    parts: Option<Receiver<Bytes>>,
    /// Who gets the same parts.
    twin: Option<Sender<Bytes>>,
    /// Where `rest` begins in the file.
    at: u64,
    size: u64,
}

impl SnapshotReader {
    fn whole(bytes: Bytes) -> Self {
        Self { size: bytes.len() as u64, rest: bytes, parts: None, twin: None, at: 0 }
    }

    /// Bytes of the whole file, uncompressed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Another reader of all that is still to be read here, for another thread: it gets what this one has
    /// come to, and ends where this one does.
    pub fn twin(&mut self) -> Self {
        let (sender, parts) = mpsc::channel();
        self.twin = Some(sender);
        let Self { rest, at, size, .. } = &*self;
        Self { rest: rest.clone(), parts: Some(parts), twin: None, at: *at, size: *size }
    }

    /// The twin gets nothing more.
    pub fn end_twin(&mut self) {
        self.twin = None;
    }

    /// Whether it begins as a snapshot; the beginning is taken.
    fn take_header(&mut self) -> io::Result<bool> {
        let mut begin = header();
        match self.read_exact(&mut begin) {
            Ok(()) => Ok(begin == header()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let count = into.len().min(there.len());
        into[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for SnapshotReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.rest.is_empty() {
            // None comes any more: the end, or an error that its reader returns.
            match self.parts.as_ref().and_then(|parts| parts.recv().ok()) {
                Some(part) => {
                    if let Some(twin) = &self.twin {
                        // One that has ended needs none.
                        let _ = twin.send(part.clone());
                    }
                    self.rest = part;
                }
                None => break,
            }
        }
        Ok(&self.rest)
    }

    fn consume(&mut self, count: usize) {
        self.rest.advance(count);
        self.at += count as u64;
    }
}

/// Loads the newest snapshot in `dir` whose body `parse` accepts and whose seals hold. `None`: there is
/// no snapshot at all. `parse` is told the zxid in the file's name and says in words what it does not accept.
pub fn load_newest<T>(
    dir: &Path,
    mut parse: impl FnMut(Zxid, &mut SnapshotReader) -> Result<T, String>,
) -> Result<Option<Loaded<T>>, SnapshotError> {
    let files =
        list(dir, PREFIX).map_err(|source| SnapshotError::Read { path: dir.to_owned(), source })?;
    let mut skipped = Vec::new();
    let count = files.len();
    for (zxid, path) in files.into_iter().rev() {
        match load(&path, zxid, &mut |reader| parse(zxid, reader)) {
            Ok((body, digest)) => return Ok(Some(Loaded { zxid, body, digest, skipped })),
            Err(error @ SnapshotError::Read { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "snapshot passed over");
                skipped.push(error);
            }
        }
    }
    match skipped.first() {
        None => Ok(None),
        Some(newest) => Err(SnapshotError::AllCorrupt {
            dir: dir.to_owned(),
            count,
            newest: newest.to_string(),
        }),
    }
}

fn load<T>(
    path: &Path,
    zxid: Zxid,
    parse: &mut impl FnMut(&mut SnapshotReader) -> Result<T, String>,
) -> Result<(T, Option<SnapshotDigest>), SnapshotError> {
    let read = |source| SnapshotError::Read { path: path.to_owned(), source };
    let compression = Compression::of(path);
    let found = match compression {
        Compression::None => load_parts(path, File::open(path).map_err(read)?, parse)?,
        _ => {
            let whole = compression.expand(fs::read(path).map_err(read)?);
            let whole = whole.map_err(|error| corrupt(path, 0, &error.to_string()))?;
            load_bytes(path, whole.into(), parse)?
        }
    };
    let (body, digest, last) = found;
    // It may hold later transactions than its name tells, and never less: then it is another one's file.
    match last {
        Some(last) if last < zxid => {
            let what = format!("it ends at {last:?}, before its name");
            Err(corrupt(path, 0, &what))
        }
        _ => Ok((body, digest)),
    }
}

fn corrupt(path: &Path, offset: u64, what: &str) -> SnapshotError {
    SnapshotError::Corrupt { path: path.to_owned(), offset, what: what.to_owned() }
}

/// As [`load_bytes`] from a file that another thread reads and sums while it is parsed.
fn load_parts<T>(
    path: &Path,
    mut file: File,
    parse: &mut impl FnMut(&mut SnapshotReader) -> Result<T, String>,
) -> Result<Found<T>, SnapshotError> {
    let read = |source| SnapshotError::Read { path: path.to_owned(), source };
    let size = file.metadata().map_err(read)?.len();
    // A file that was cut short is not parsed in vain.
    let mut end = SEAL_END;
    let begin = size.saturating_sub(end.len() as u64);
    let ended = file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut end));
    match ended {
        Ok(()) if end == SEAL_END => {}
        Ok(()) => return Err(corrupt(path, size, NO_END)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(corrupt(path, size, NO_END));
        }
        Err(error) => return Err(read(error)),
    }
    file.rewind().map_err(read)?;
    thread::scope(|scope| {
        let (sender, parts) = mpsc::sync_channel(PARTS_AHEAD);
        let reading = scope.spawn(move || read_parts(&mut file, size, &sender));
        let mut reader =
            SnapshotReader { rest: Bytes::new(), parts: Some(parts), twin: None, at: 0, size };
        let body = match reader.take_header().map_err(read)? {
            true => parse(&mut reader),
            false => Err(NO_BEGINNING.to_owned()),
        };
        let at = reader.at;
        if body.is_ok() {
            while reader.fill_buf().is_ok_and(|rest| !rest.is_empty()) {
                reader.consume(reader.rest.len());
            }
        }
        drop(reader);
        let seals = match reading.join() {
            Ok(seals) => seals.map_err(read)?,
            Err(_) => return Err(read(io::Error::other("the thread that reads it panicked"))),
        };
        let body = body.map_err(|what| corrupt(path, at, &what))?;
        let (digest, last) =
            seals.check_from(at).map_err(|(offset, what)| corrupt(path, offset, what))?;
        Ok((body, digest, last))
    })
}

/// Hands on a file of `size` bytes part by part, and sums what stands before its seals. Ends early when
/// nobody wants the next part.
fn read_parts(file: &mut File, size: u64, parts: &SyncSender<Bytes>) -> io::Result<Seals> {
    let mut seals = Seals::of(size);
    let mut at = 0;
    while at < size {
        let mut part = Vec::with_capacity(PART_BYTES);
        let count = file.take(PART_BYTES as u64).read_to_end(&mut part)? as u64;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += count;
        let part = Bytes::from(part);
        seals.add(&part);
        if parts.send(part).is_err() {
            break;
        }
    }
    Ok(seals)
}

/// Loads one plain snapshot that is none of the member's own, with every seal checked.
/// `parse` is told the last transaction that the file says it has; a file that does not say is refused.
pub fn load_plain<T>(
    path: &Path,
    mut parse: impl FnMut(Zxid, &mut SnapshotReader) -> Result<T, String>,
) -> Result<T, SnapshotError> {
    let whole =
        fs::read(path).map_err(|source| SnapshotError::Read { path: path.to_owned(), source })?;
    // Before the last seal; whether it is one is seen when the seals before it are found.
    let at = whole.len().saturating_sub(8 + SEAL_BYTES);
    let tail = whole.get(at..at + 8).and_then(|tail| tail.try_into().ok());
    let zxid = tail.map(i64::from_be_bytes).ok_or_else(|| corrupt(path, 0, "it is too short"))?;
    let zxid = Zxid::from_bits(zxid);
    let found = load_bytes(path, whole.into(), &mut |reader| parse(zxid, reader))?;
    match found.2 {
        Some(last) if last == zxid => Ok(found.0),
        _ => Err(corrupt(path, at as u64, "it does not say which transaction it has last")),
    }
}

/// The body, and what the sections behind it say.
type Found<T> = (T, Option<SnapshotDigest>, Option<Zxid>);

fn load_bytes<T>(
    path: &Path,
    whole: Bytes,
    parse: &mut impl FnMut(&mut SnapshotReader) -> Result<T, String>,
) -> Result<Found<T>, SnapshotError> {
    let size = whole.len() as u64;
    if !whole.ends_with(&SEAL_END) {
        return Err(corrupt(path, size, NO_END));
    }
    let mut seals = Seals::of(size);
    seals.add(&whole);
    let mut reader = SnapshotReader::whole(whole);
    let read = |source| SnapshotError::Read { path: path.to_owned(), source };
    if !reader.take_header().map_err(read)? {
        return Err(corrupt(path, 0, NO_BEGINNING));
    }
    let body = parse(&mut reader).map_err(|what| corrupt(path, reader.at, &what))?;
    let (digest, last) =
        seals.check_from(reader.at).map_err(|(offset, what)| corrupt(path, offset, what))?;
    Ok((body, digest, last))
}

const NO_BEGINNING: &str = "it does not begin as a snapshot";
const NO_END: &str = "its end is missing";
const NO_MATCH: &str = "the checksum does not match";

/// A checksum and the string "/".
const SEAL_BYTES: usize = 13;
/// The last part: a zxid and its seal.
const LAST_BYTES: u64 = 8 + SEAL_BYTES as u64;
/// All that can stand behind a body: three seals, a digest and a zxid.
const ENDING_BYTES: u64 = 3 * SEAL_BYTES as u64 + 20 + 8;
/// How much of a file is read at once, and how far the reading may be ahead of the parsing.
const PART_BYTES: usize = 1 << 20;
const PARTS_AHEAD: usize = 4;

/// The end of a snapshot's file, where the seals are, and the sum of what is before.
struct Seals {
    /// Where the ending begins.
    begin: u64,
    /// How much was added.
    added: u64,
    before: Adler32,
    ending: Vec<u8>,
}

impl Seals {
    /// Of a file of that size.
    fn of(size: u64) -> Self {
        let begin = size.saturating_sub(ENDING_BYTES);
        Self { begin, added: 0, before: Adler32::new(), ending: Vec::new() }
    }

    /// The next bytes of the file, from its first on.
    fn add(&mut self, part: &[u8]) {
        let before = usize::try_from(self.begin.saturating_sub(self.added)).unwrap_or(usize::MAX);
        let (before, ending) = part.split_at(before.min(part.len()));
        self.before.write(before);
        self.ending.extend_from_slice(ending);
        self.added += part.len() as u64;
    }

    /// Checks all seals from the end of the body on; an error says where.
    #[expect(clippy::type_complexity, reason = "two sections that may be missing")]
    fn check_from(
        &self,
        at: u64,
    ) -> Result<(Option<SnapshotDigest>, Option<Zxid>), (u64, &'static str)> {
        let mut at = at;
        let fail = |what| move |at| (at, what);
        self.check(&mut at).map_err(fail(NO_MATCH))?;
        // Older files end behind the first or the second seal, and digest.enabled=false leaves the second part out.
        let (mut digest, mut last) = (None, None);
        if at < self.added && self.added - at != LAST_BYTES {
            let long = |bytes: [u8; 8]| i64::from_be_bytes(bytes);
            let zxid = Zxid::from_bits(long(self.take(&mut at).map_err(fail(NO_END))?));
            let version = i32::from_be_bytes(self.take(&mut at).map_err(fail(NO_END))?);
            if version < 2 {
                return Err((at, "its digest is of a version before 2, which is not read"));
            }
            let sum = long(self.take(&mut at).map_err(fail(NO_END))?);
            digest = Some(SnapshotDigest { zxid, version, digest: sum });
            self.check(&mut at).map_err(fail(NO_MATCH))?;
        }
        if at < self.added {
            let zxid = self.take(&mut at).map_err(fail(NO_END))?;
            last = Some(Zxid::from_bits(i64::from_be_bytes(zxid)));
            self.check(&mut at).map_err(fail(NO_MATCH))?;
        }
        Ok((digest, last))
    }

    /// Takes a seal that is true of all before it; an error is where it stands.
    fn check(&self, at: &mut u64) -> Result<(), u64> {
        let begin = *at;
        let place = self.place(begin).ok_or(begin)?;
        let mut sum = self.before.clone();
        sum.write(&self.ending[..place]);
        let expected = i64::from(sum.finish());
        let found = i64::from_be_bytes(self.take(at).map_err(|_| begin)?);
        let end: [u8; 5] = self.take(at).map_err(|_| begin)?;
        if found == expected && end == SEAL_END { Ok(()) } else { Err(begin) }
    }

    /// Takes some bytes; an error is where they would stand.
    fn take<const N: usize>(&self, at: &mut u64) -> Result<[u8; N], u64> {
        let place = self.place(*at).ok_or(*at)?;
        let bytes = self.ending[place..].first_chunk().copied().ok_or(*at)?;
        *at += N as u64;
        Ok(bytes)
    }

    /// Where in the ending a byte of the file is; `None` before it: no body ends there.
    fn place(&self, at: u64) -> Option<usize> {
        let place = usize::try_from(at.checked_sub(self.begin)?).ok()?;
        (place <= self.ending.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::SnapshotWriter;

    const BODY: &[u8] = b"ten bytes.";

    fn write(dir: &Path, zxid: i64) {
        let zxid = Zxid::from_bits(zxid);
        let mut writer =
            SnapshotWriter::create(dir, zxid, Compression::None).expect("it is writable");
        writer.write_all(BODY).expect("there is room");
        let digest = SnapshotDigest { zxid, version: 2, digest: 77 };
        writer.finish(digest, zxid).expect("there is room");
    }

    fn load_body(dir: &Path) -> Result<Option<Loaded<Bytes>>, SnapshotError> {
        load_newest(dir, |_, reader| {
            let mut body = vec![0; BODY.len()];
            reader.read_exact(&mut body).map_err(|_| "the body is cut short".to_owned())?;
            Ok(body.into())
        })
    }

    #[test]
    fn a_snapshot_is_read_back() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(load_body(dir.path()).expect("none is fine").is_none());
        write(dir.path(), 0x10);
        write(dir.path(), 0x9);
        let loaded = load_body(dir.path()).expect("whole").expect("there");
        assert_eq!((loaded.zxid, &loaded.body[..]), (Zxid::from_bits(0x10), BODY));
        assert_eq!(loaded.digest.map(|digest| digest.digest), Some(77));
    }

    #[test]
    fn one_without_a_digest_is_read_as_it_was_meant() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        write(dir.path(), 1);
        let zxid = Zxid::from_bits(2);
        let mut writer =
            SnapshotWriter::create(dir.path(), zxid, Compression::None).expect("it is writable");
        writer.write_all(BODY).expect("there is room");
        writer.finish(None, zxid).expect("there is room");
        let loaded = load_body(dir.path()).expect("whole").expect("there");
        assert_eq!((loaded.zxid, &loaded.body[..], loaded.digest), (zxid, BODY, None));
    }

    #[test]
    fn compressed_ones_are_read_and_damaged_ones_passed_over() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (zxid, how) in
            [(1, Compression::None), (2, Compression::Gzip), (3, Compression::Snappy)]
        {
            let zxid = Zxid::from_bits(zxid);
            let mut writer = SnapshotWriter::create(dir.path(), zxid, how).expect("it is writable");
            writer.write_all(BODY).expect("there is room");
            let digest = SnapshotDigest { zxid, version: 2, digest: 77 };
            writer.finish(digest, zxid).expect("there is room");
            let loaded = load_body(dir.path()).expect("whole").expect("there");
            assert_eq!((loaded.zxid, &loaded.body[..]), (zxid, BODY), "{how:?}");
        }
        for name in ["snapshot.3.snappy", "snapshot.2.gz"] {
            let path = dir.path().join(name);
            let whole = fs::read(&path).expect("it is there");
            fs::write(&path, &whole[..whole.len() - 9]).expect("it is writable");
        }
        let loaded = load_body(dir.path()).expect("the older one").expect("there");
        assert_eq!((loaded.zxid.bits(), loaded.skipped.len()), (1, 2));
    }

    #[test]
    fn a_cut_or_changed_one_is_passed_over_for_the_one_before() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        write(dir.path(), 1);
        write(dir.path(), 2);
        let path = dir.path().join("snapshot.2");
        let whole = fs::read(&path).expect("it is there");
        // Behind the first and second seal an older release's file ends.
        let ends = [16 + BODY.len() + 13, 16 + BODY.len() + 13 + 20 + 13];
        for at in (0..whole.len()).filter(|at| !ends.contains(at)) {
            fs::write(&path, &whole[..at]).expect("it is writable");
            let loaded = load_body(dir.path()).expect("the older one").expect("there");
            assert_eq!((loaded.zxid.bits(), loaded.skipped.len()), (1, 1), "cut at {at}");
        }
        for at in 0..whole.len() {
            let mut rotten = whole.clone();
            rotten[at] ^= 0x10;
            fs::write(&path, &rotten).expect("it is writable");
            let loaded = load_body(dir.path()).expect("the older one").expect("there");
            assert_eq!(loaded.zxid.bits(), 1, "changed at {at}");
        }
        fs::remove_file(dir.path().join("snapshot.1")).expect("it is there");
        let error = load_body(dir.path()).expect_err("none is left").to_string();
        assert!(error.contains("snapshot.2"), "{error}");
    }
}
