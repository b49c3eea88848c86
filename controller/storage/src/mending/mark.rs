//! A mark that what is there was a leader's, and that this member may have acknowledged more.

use std::io;
use std::path::Path;

use crate::disk::{self, File, sync_dir};

/// Marks a `version-2` directory: from now on its member must not vote, whatever it finds there.
pub fn mark(dir: &Path) -> io::Result<()> {
    File::create(&dir.join(FILE))?.sync_all()?;
    sync_dir(dir)
}

/// Takes the mark away, durably.
pub fn unmark(dir: &Path) -> io::Result<()> {
    disk::remove_if_there(&dir.join(FILE))?;
    sync_dir(dir)
}

/// Whether the mark is there.
pub fn is_marked(dir: &Path) -> io::Result<bool> {
    dir.join(FILE).try_exists()
}

const FILE: &str = "troupe.abstains";
