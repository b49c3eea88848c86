//! What changes on a disk by itself: one file, in part or whole.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::set_time;

/// Damages one of the files in a directory.
pub(crate) fn damage(dir: &Path, rng: &mut fastrand::Rng) {
    let Ok(found) = fs::read_dir(dir) else { return };
    let mut files: Vec<PathBuf> = found.flatten().map(|entry| entry.path()).collect();
    files.sort_unstable();
    if files.is_empty() {
        return;
    }
    let path = &files[rng.usize(0..files.len())];
    let (Ok(mut bytes), Ok(at)) = (fs::read(path), fs::metadata(path).and_then(|f| f.modified()))
    else {
        return;
    };
    let place = rng.usize(0..bytes.len().max(1));
    match rng.u8(0..4) {
        0 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << rng.u8(0..8);
            }
        }
        1 => {
            let end = (place + rng.usize(1..600)).min(bytes.len());
            bytes[place.min(end)..end].fill(0);
        }
        2 => bytes.truncate(place),
        _ => {
            fs::remove_file(path).expect("it is there");
            return;
        }
    }
    fs::write(path, bytes).expect("the memory has room");
    set_time(path, at);
}
