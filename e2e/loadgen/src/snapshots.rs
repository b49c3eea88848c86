//! Whether a server is writing a snapshot, from outside: a file of that name grows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Looks at a folder of snapshots now and then.
pub(crate) struct Watcher {
    folder: PathBuf,
    sizes: BTreeMap<OsString, u64>,
    looked: u64,
    /// When one last grew; `None` before that.
    grew: Option<u64>,
}

impl Watcher {
    /// What is there already is no news.
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        let mut watcher = Self { folder, sizes: BTreeMap::new(), looked: 0, grew: None };
        watcher.look()?;
        Ok(watcher)
    }

    /// Whether one is being written at `now`, in nanoseconds of the run.
    pub(crate) fn writing(&mut self, now: u64) -> Result<bool> {
        if now >= self.looked + EVERY {
            self.looked = now;
            if self.look()? {
                self.grew = Some(now);
            }
        }
        Ok(self.grew.is_some_and(|grew| now < grew + LINGERS))
    }

    /// Whether a snapshot is new or has grown.
    fn look(&mut self) -> Result<bool> {
        let mut grown = false;
        let entries = fs::read_dir(&self.folder)
            .with_context(|| format!("list the snapshots in {}", self.folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", self.folder.display()))?;
            let name = entry.file_name();
            if !name.to_string_lossy().contains("snapshot") {
                continue;
            }
            // Gone since it was listed: retention took it, which is not what is looked for.
            let Ok(about) = entry.metadata() else { continue };
            let before = self.sizes.insert(name, about.len());
            grown |= before.is_none_or(|before| before < about.len());
        }
        Ok(grown)
    }
}

/// Nanoseconds between looks.
const EVERY: u64 = 10_000_000;

/// A snapshot's cost goes on after its last byte: the disk still works on it.
const LINGERS: u64 = 250_000_000;
