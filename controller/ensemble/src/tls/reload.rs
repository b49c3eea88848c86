//! What is made of files, and made again when they change.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::TlsError;
use crate::load::words;

type Make<T> = Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>;

/// Something made of files.
pub(super) struct Reloaded<T> {
    files: Vec<PathBuf>,
    /// Whether changes count.
    reload: bool,
    make: Make<T>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    made: T,
    stamps: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl<T: Clone> Reloaded<T> {
    pub(super) fn load(
        files: Vec<PathBuf>,
        reload: bool,
        make: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let current = Current { made: make()?, stamps, looked: Instant::now() };
        Ok(Self { files, reload, make: Box::new(make), current: Mutex::new(current) })
    }

    /// What is to be used now. Files that have changed are read first; when they cannot be used, what was
    /// made before is kept.
    pub(super) fn current(&self) -> T {
        let mut current = self.current.lock().expect("nobody panics while reading certificates");
        if self.reload && current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let stamps = stamps(&self.files);
            if stamps != current.stamps {
                match (self.make)() {
                    Ok(made) => {
                        tracing::info!(files = ?self.files, "the certificates have changed and are in use");
                        current.made = made;
                    }
                    Err(error) => {
                        let error = words(&error);
                        tracing::error!(error, "the changed certificates cannot be used");
                    }
                }
                current.stamps = stamps;
            }
        }
        current.made.clone()
    }
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    files.iter().map(|file| fs::metadata(file).and_then(|found| found.modified()).ok()).collect()
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
