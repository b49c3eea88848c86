//! Answers from this member's files, whether it has a leader or not, and while it mends them itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bytes::Bytes;
use storage::{DataDir, Told};

use super::wire;

/// What it answers from.
#[derive(Debug)]
pub(crate) struct Desk {
    snapshots: PathBuf,
    logs: PathBuf,
    /// Odd while the member neither leads nor follows; changes whenever that does.
    turns: AtomicU64,
}

impl Desk {
    pub(crate) fn of(dirs: &DataDir) -> Self {
        let (snapshots, logs) = (dirs.snapshots().to_owned(), dirs.logs().to_owned());
        Self { snapshots, logs, turns: AtomicU64::new(0) }
    }

    /// Where this member's snapshots are.
    pub(crate) fn snapshots(&self) -> &Path {
        &self.snapshots
    }

    /// Whether nothing is on its way to or from this member. Told by the core alone.
    pub(crate) fn set_at_rest(&self, at_rest: bool) {
        if is_rest(self.turns.load(SeqCst)) != at_rest {
            self.turns.fetch_add(1, SeqCst);
        }
    }

    /// The answer to what a packet asks; `None`: it asks nothing that has a meaning.
    pub(crate) async fn answer(self: Arc<Self>, question: Option<Bytes>) -> Option<Vec<u8>> {
        let question = wire::question(&question?).ok()?;
        let read = tokio::task::spawn_blocking(move || {
            let before = self.turns.load(SeqCst);
            let answer = storage::answer(&self.snapshots, &self.logs, &question);
            let at_rest = is_rest(before) && self.turns.load(SeqCst) == before;
            let mut out = Vec::new();
            wire::put_told(&Told { answer, at_rest }, &mut out);
            out
        });
        read.await.ok()
    }
}

fn is_rest(turns: u64) -> bool {
    turns % 2 == 1
}
