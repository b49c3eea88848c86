//! The updates of one task on their way to its framework: recorded, sent, repeated, acknowledged, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use types::Instant;
use uuid::Uuid;

use super::{Now, Output, Phase, Tasks};
use crate::task::{Source, State, Status, TaskKey};

/// First pause before an update is sent again. Source: Mesos `STATUS_UPDATE_RETRY_INTERVAL_MIN`.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// Longest pause. Source: Mesos `STATUS_UPDATE_RETRY_INTERVAL_MAX`.
const LAST_RETRY: Duration = Duration::from_secs(600);

/// What waits for acknowledgement, oldest first.
#[derive(Default)]
pub(super) struct Stream {
    waiting: VecDeque<Waiting>,
    /// When the head was sent and how long until it is sent again. `None`: not sent on this connection.
    sent: Option<(Instant, Duration)>,
    latest: Option<Status>,
}

struct Waiting {
    status: Status,
    recorded: bool,
}

impl Stream {
    /// As the checkpoint tells it: all updates made, and those among them that were acknowledged.
    pub(super) fn recovered(made: Vec<Status>, acknowledged: &[Uuid]) -> Self {
        let latest = made.last().cloned();
        let waiting = made
            .into_iter()
            .filter(|status| !acknowledged.contains(&status.uuid))
            .map(|status| Waiting { status, recorded: true })
            .collect();
        Self { waiting, sent: None, latest }
    }

    fn push(&mut self, status: Status) {
        self.latest = Some(status.clone());
        self.waiting.push_back(Waiting { status, recorded: false });
    }

    pub(super) fn latest(&self) -> Option<&Status> {
        self.latest.as_ref()
    }

    /// The update that is, or will next be, under way.
    pub(super) fn head(&self) -> Option<&Status> {
        self.waiting.front().map(|waiting| &waiting.status)
    }

    pub(super) fn resend_at(&self) -> Option<Instant> {
        self.sent.map(|(at, pause)| at + pause)
    }

    fn recorded(&mut self, uuid: Uuid) {
        if let Some(waiting) = self.waiting.iter_mut().find(|w| w.status.uuid == uuid) {
            waiting.recorded = true;
        }
    }

    /// The head, if it is to be sent now.
    fn due(&mut self, now: Instant, afresh: bool) -> Option<Status> {
        let head = self.waiting.front().filter(|head| head.recorded)?;
        let pause = match self.sent {
            _ if afresh => FIRST_RETRY,
            None => FIRST_RETRY,
            Some((at, pause)) if at + pause <= now => (pause * 2).min(LAST_RETRY),
            Some(_) => return None,
        };
        self.sent = Some((now, pause));
        Some(head.status.clone())
    }

    /// Whether this acknowledged the head; anything else is a repetition.
    fn acknowledge(&mut self, uuid: Uuid) -> bool {
        let is_head = self.head().is_some_and(|head| head.uuid == uuid);
        if is_head {
            self.waiting.pop_front();
            self.sent = None;
        }
        is_head
    }
}

impl Tasks {
    /// Makes an update and has it recorded.
    pub(super) fn update(
        &mut self,
        now: Now,
        key: &TaskKey,
        state: State,
        source: Source,
        more: impl FnOnce(&mut Status),
    ) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let pid = match task.phase {
            Phase::Running { pid, .. } => Some(pid),
            _ => None,
        };
        let mut status = Status {
            uuid: (self.uuids)(),
            state,
            source,
            reason: None,
            message: None,
            timestamp: now.unix,
            memory_at_limit: None,
            pid,
        };
        more(&mut status);
        task.updates.push(status.clone());
        self.outbox.push(Output::Record { spec: Arc::clone(&task.spec), status });
    }

    pub(super) fn on_recorded(&mut self, now: Now, key: &TaskKey, uuid: Uuid) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.updates.recorded(uuid);
        let ended = matches!(task.phase, Phase::Ended);
        let (container, orphaned) = (task.spec.container.clone(), task.orphaned);
        if ended {
            // The outcome is on disk, so the holder's copy of the exit is not needed any more.
            let before = self.uncollected.len();
            self.uncollected.retain(|_, of| *of != container);
            if before != self.uncollected.len() {
                self.collect();
            }
        }
        if ended && orphaned {
            self.forget(key);
        } else {
            self.send_head(now, key, false);
        }
    }

    pub(super) fn on_connected(&mut self, now: Now) {
        self.connected = true;
        let keys: Vec<TaskKey> = self.tasks.keys().cloned().collect();
        for key in keys {
            self.send_head(now, &key, true);
        }
    }

    pub(super) fn on_acknowledge(&mut self, now: Now, key: &TaskKey, uuid: Uuid) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if !task.updates.acknowledge(uuid) {
            return;
        }
        let over = matches!(task.phase, Phase::Ended) && task.updates.head().is_none();
        if over {
            self.forget(key);
        } else {
            let spec = Arc::clone(&task.spec);
            self.outbox.push(Output::RecordAcknowledged { spec, uuid });
            self.send_head(now, key, false);
        }
    }

    pub(super) fn send_head(&mut self, now: Now, key: &TaskKey, afresh: bool) {
        let Some(task) = self.tasks.get_mut(key).filter(|task| self.connected && !task.orphaned)
        else {
            return;
        };
        let Some(status) = task.updates.due(now.instant, afresh) else { return };
        let latest = task.updates.latest().map_or(status.state, |latest| latest.state);
        self.outbox.push(Output::Send { key: key.clone(), status, latest });
    }

    pub(super) fn forget(&mut self, key: &TaskKey) {
        let Some(task) = self.tasks.remove(key) else { return };
        self.by_container.remove(&task.spec.container);
        self.outbox.push(Output::Forget(task.spec));
    }
}
