//! Loading the newest snapshot that is whole.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
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

/// The bytes of one snapshot behind its header. The body's parser reads what is its own and no more; the
/// seals are checked behind it.
#[derive(Debug)]
pub struct SnapshotReader {
    rest: Bytes,
}

impl Read for SnapshotReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.rest.len());
        into[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
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
        match load(&path, &mut |reader| parse(zxid, reader)) {
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
    parse: &mut impl FnMut(&mut SnapshotReader) -> Result<T, String>,
) -> Result<(T, Option<SnapshotDigest>), SnapshotError> {
    let bytes =
        fs::read(path).map_err(|source| SnapshotError::Read { path: path.to_owned(), source })?;
    let whole = Compression::of(path).expand(bytes).map_err(|error| SnapshotError::Corrupt {
        path: path.to_owned(),
        offset: 0,
        what: error.to_string(),
    })?;
    let (body, digest, _) = load_bytes(path, whole.into(), parse)?;
    Ok((body, digest))
}

/// Loads one plain snapshot that is none of the member's own, with every seal checked.
/// `parse` is told the last transaction that the file says it has; a file that does not say is refused.
pub fn load_plain<T>(
    path: &Path,
    mut parse: impl FnMut(Zxid, &mut SnapshotReader) -> Result<T, String>,
) -> Result<T, SnapshotError> {
    let whole =
        fs::read(path).map_err(|source| SnapshotError::Read { path: path.to_owned(), source })?;
    let corrupt = |offset: usize, what: &str| SnapshotError::Corrupt {
        path: path.to_owned(),
        offset: offset as u64,
        what: what.to_owned(),
    };
    // Before the last seal; whether it is one is seen when the seals before it are found.
    let at = whole.len().saturating_sub(8 + SEAL_BYTES);
    let tail = whole.get(at..at + 8).and_then(|tail| tail.try_into().ok());
    let zxid = tail.map(i64::from_be_bytes).ok_or_else(|| corrupt(0, "it is too short"))?;
    let zxid = Zxid::from_bits(zxid);
    let found = load_bytes(path, whole.into(), &mut |reader| parse(zxid, reader))?;
    match found.2 {
        Some(last) if last == zxid => Ok(found.0),
        _ => Err(corrupt(at, "it does not say which transaction it has last")),
    }
}

fn load_bytes<T>(
    path: &Path,
    whole: Bytes,
    parse: &mut impl FnMut(&mut SnapshotReader) -> Result<T, String>,
) -> Result<(T, Option<SnapshotDigest>, Option<Zxid>), SnapshotError> {
    let corrupt = |rest: &Bytes, what: &str| SnapshotError::Corrupt {
        path: path.to_owned(),
        offset: (whole.len() - rest.len()) as u64,
        what: what.to_owned(),
    };
    let begin = header();
    if !whole.starts_with(&begin) {
        return Err(corrupt(&whole, "it does not begin as a snapshot"));
    }
    if !whole.ends_with(&SEAL_END) {
        return Err(corrupt(&whole.slice(whole.len()..), "its end is missing"));
    }
    let mut reader = SnapshotReader { rest: whole.slice(begin.len()..) };
    let body = parse(&mut reader).map_err(|what| corrupt(&reader.rest, &what))?;
    let mut seals = Seals { whole: whole.clone(), rest: reader.rest };
    seals.check().map_err(|what| corrupt(&seals.rest, what))?;
    // Older files end behind the first or the second seal.
    let mut digest = None;
    if !seals.rest.is_empty() {
        digest = Some(seals.digest().map_err(|what| corrupt(&seals.rest, what))?);
        seals.check().map_err(|what| corrupt(&seals.rest, what))?;
    }
    let mut last = None;
    if !seals.rest.is_empty() {
        let zxid = seals.long().map_err(|what| corrupt(&seals.rest, what))?;
        last = Some(Zxid::from_bits(zxid));
        seals.check().map_err(|what| corrupt(&seals.rest, what))?;
    }
    Ok((body, digest, last))
}

/// A checksum and the string "/".
const SEAL_BYTES: usize = 13;

struct Seals {
    whole: Bytes,
    rest: Bytes,
}

impl Seals {
    fn check(&mut self) -> Result<(), &'static str> {
        let sealed = self.whole.len() - self.rest.len();
        let expected = i64::from(simd_adler32::adler32(&&self.whole[..sealed]));
        let before = self.rest.clone();
        let found = self.long()?;
        if found != expected || !self.rest.starts_with(&SEAL_END) {
            self.rest = before;
            return Err("the checksum does not match");
        }
        self.rest = self.rest.slice(SEAL_END.len()..);
        Ok(())
    }

    fn digest(&mut self) -> Result<SnapshotDigest, &'static str> {
        let zxid = Zxid::from_bits(self.long()?);
        let bytes = self.rest.get(..4).ok_or("its end is missing")?;
        let version = i32::from_be_bytes(bytes.try_into().expect("4 bytes were taken"));
        self.rest = self.rest.slice(4..);
        if version < 2 {
            return Err("its digest is of a version before 2, which is not read");
        }
        Ok(SnapshotDigest { zxid, version, digest: self.long()? })
    }

    fn long(&mut self) -> Result<i64, &'static str> {
        let bytes = self.rest.get(..8).ok_or("its end is missing")?;
        let value = i64::from_be_bytes(bytes.try_into().expect("8 bytes were taken"));
        self.rest = self.rest.slice(8..);
        Ok(value)
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
