//! Answers from this member's files, whether it has a leader or not, and while it mends them itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bytes::Bytes;
use storage::{Answer, DataDir, Told};

use super::wire;

/// What it answers from.
#[derive(Debug)]
pub(crate) struct Desk {
    snapshots: PathBuf,
    logs: PathBuf,
    /// The member neither leads nor follows.
    at_rest: Turns,
    /// Whoever has promised an epoch to this member finds it in its files: it does not ask for promises now.
    has_promised: Turns,
}

/// Odd while something is so; changes whenever that does.
#[derive(Debug, Default)]
struct Turns(AtomicU64);

impl Turns {
    fn set(&self, is_so: bool) {
        if is_odd(self.now()) != is_so {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn now(&self) -> u64 {
        self.0.load(SeqCst)
    }

    /// Whether it is so, and was all the time since then.
    fn is_so_since(&self, then: u64) -> bool {
        is_odd(then) && self.now() == then
    }
}

impl Desk {
    pub(crate) fn of(dirs: &DataDir) -> Self {
        let (snapshots, logs) = (dirs.snapshots().to_owned(), dirs.logs().to_owned());
        Self { snapshots, logs, at_rest: Turns::default(), has_promised: Turns::default() }
    }

    /// Where this member's snapshots are.
    pub(crate) fn snapshots(&self) -> &Path {
        &self.snapshots
    }

    /// Whether nothing is on its way to or from this member, and whether no promise to it can be ahead of its own one, which
    /// learners do not wait for. Told by the core alone.
    pub(crate) fn set_standing(&self, at_rest: bool, has_promised: bool) {
        self.at_rest.set(at_rest);
        self.has_promised.set(has_promised);
    }

    /// The answer to what a packet asks; `None`: it asks nothing that has a meaning.
    pub(crate) async fn answer(self: Arc<Self>, question: Option<Bytes>) -> Option<Vec<u8>> {
        let question = wire::question(&question?).ok()?;
        let read = tokio::task::spawn_blocking(move || {
            let then = (self.at_rest.now(), self.has_promised.now());
            let mut answer = storage::answer(&self.snapshots, &self.logs, &question);
            let at_rest = self.at_rest.is_so_since(then.0);
            if let Answer::Holdings { accepted, .. } = &mut answer
                && !self.has_promised.is_so_since(then.1)
            {
                *accepted = None;
            }
            let mut out = Vec::new();
            wire::put_told(&Told { answer, at_rest }, &mut out);
            out
        });
        read.await.ok()
    }
}

fn is_odd(turns: u64) -> bool {
    turns % 2 == 1
}

#[cfg(test)]
mod tests {
    use storage::{EpochFile, Question};
    use types::Epoch;

    use super::*;

    #[tokio::test]
    async fn a_candidate_does_not_tell_what_it_has_promised_while_others_may_be_ahead() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dirs = DataDir::open(dir.path(), None).expect("nobody else is there");
        EpochFile::Accepted.write(dirs.snapshots(), Epoch(3)).expect("it is writable");
        let desk = Arc::new(Desk::of(&dirs));
        for (at_rest, has_promised) in [(true, true), (false, false), (false, true)] {
            desk.set_standing(at_rest, has_promised);
            let mut question = Vec::new();
            wire::put_question(&Question::Holdings, &mut question);
            let told = Arc::clone(&desk).answer(Some(question.into())).await;
            let told = wire::told(&told.expect("it has a meaning").into()).expect("just put");
            let accepted = has_promised.then_some(Epoch(3));
            assert_eq!(told.answer, Answer::Holdings { accepted, snapshots: Vec::new() });
            assert_eq!(told.at_rest, at_rest);
        }
    }
}
