//! What is kept of each process, so that the next controller knows it again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Identity;

/// One process, as kept on disk.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Record {
    pub(crate) identity: Identity,
    /// Digest of what it was started with; another one means a restart.
    pub(crate) revision: String,
    pub(crate) restarts: i32,
}

/// The folder of the records.
#[derive(Clone, Debug)]
pub(crate) struct Records(pub(crate) PathBuf);

impl Records {
    /// All that can be read. A record that cannot be is left for a person to look at, and its process is
    /// found by its mark.
    pub(crate) fn all(&self) -> Vec<(String, Record)> {
        let Ok(files) = fs::read_dir(&self.0) else { return Vec::new() };
        files
            .flatten()
            .filter_map(|file| {
                let path = file.path();
                let key = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
                let text = fs::read(&path).ok()?;
                match serde_json::from_slice(&text) {
                    Ok(record) => Some((key, record)),
                    Err(why) => {
                        tracing::warn!("{} is no record of a process: {why}", path.display());
                        None
                    }
                }
            })
            .collect()
    }

    /// Keeps a record; a crash leaves the old one or the new one.
    pub(crate) fn keep(&self, key: &str, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        write_whole(&self.0.join(format!("{key}.json")), &text)
    }

    /// Drops a record, if there is one.
    pub(crate) fn drop(&self, key: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(format!("{key}.json"))) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }
}

/// Writes a file so that a reader or a crash never sees half of it; only its owner reads it, for it may hold
/// passwords.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_rubbish_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records(folder.path().to_owned());
        let record = Record {
            identity: Identity { pid: 7, start_time: 99 },
            revision: "abc".into(),
            restarts: 2,
        };
        records.keep("member.default.a.b.1", &record).expect("kept");
        fs::write(folder.path().join("torn.json"), "{").expect("written");
        assert_eq!(records.all(), vec![("member.default.a.b.1".to_owned(), record)]);
        records.drop("member.default.a.b.1").expect("dropped");
        records.drop("member.default.a.b.1").expect("dropped twice");
        assert!(records.all().is_empty());
    }
}
