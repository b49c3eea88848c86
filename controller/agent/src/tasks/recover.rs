//! A restart: from checkpoints and the holder's word to tasks as if nothing had happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::stream::Stream;
use super::verdict::Cause;
use super::{Now, Output, Phase, Task, Tasks};
use crate::holder::wire::{Exit, Running};
use crate::task::{Source, Spec, State, Status};

/// What the checkpoint says of one run.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredRun {
    pub(crate) spec: Spec,
    /// Every update made, in order.
    pub(crate) updates: Vec<Status>,
    /// Those that the framework has.
    pub(crate) acknowledged: Vec<Uuid>,
}

impl Tasks {
    /// Takes over the runs of an earlier agent. `running` and `exits` are the holder's greeting; a holder
    /// that was started just now knows nothing, so that whatever ran before is ended and reported.
    pub(crate) fn recover(
        &mut self,
        now: Now,
        runs: Vec<RecoveredRun>,
        running: &[Running],
        exits: Vec<Exit>,
    ) -> Vec<Output> {
        let pids: BTreeMap<&str, i32> = running.iter().map(|r| (r.id.as_str(), r.pid)).collect();
        for run in runs {
            let pid = pids.get(run.spec.container.as_str()).copied();
            let ended_meanwhile = exits.iter().any(|exit| exit.id == run.spec.container);
            self.recover_run(now, run, pid, ended_meanwhile);
        }
        let mut outputs = std::mem::take(&mut self.outbox);
        for exit in exits {
            outputs.extend(self.step(now, super::Input::Exited(exit)));
        }
        outputs
    }

    fn recover_run(&mut self, now: Now, run: RecoveredRun, pid: Option<i32>, exited: bool) {
        let spec = Arc::new(run.spec);
        let (key, container) = (spec.key.clone(), spec.container.clone());
        let was = |state| run.updates.iter().any(|status| status.state == state);
        let over = run.updates.iter().any(|status| status.state.is_terminal());
        let ran = was(State::Running);
        let updates = Stream::recovered(run.updates, &run.acknowledged);
        let nothing_waits = updates.head().is_none();
        let phase = match (over, pid) {
            (true, _) => Phase::Ended,
            (false, Some(pid)) => {
                // The time before the restart is not counted: the limit is a bound on harm, not a clock.
                let until = spec.max_completion.map(|limit| now.instant + limit);
                Phase::Running { pid, until }
            }
            (false, None) => Phase::Spawning,
        };
        self.insert(Task { updates, ..Task::new(spec, phase) });
        match (over, pid) {
            (true, _) if nothing_waits => self.forget(&key),
            (true, _) => {}
            (false, Some(_)) => {
                self.outbox.push(Output::Watch { container });
                if !ran {
                    self.update(now, &key, State::Running, Source::Executor, |_| {});
                }
            }
            // Its exit follows, and judges it.
            (false, None) if exited => {
                if !ran {
                    self.update(now, &key, State::Running, Source::Executor, |_| {});
                }
            }
            (false, None) if ran => {
                self.end_container(&container, Cause::HolderLost { pid: 0 }, None);
            }
            (false, None) => self.end_container(&container, Cause::NeverStarted, None),
        }
    }
}
