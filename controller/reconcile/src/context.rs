//! What every reconciler needs: the API, the platform, the way to tell people.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::error::Error;
use crate::framework::Runs;
use crate::kind::{Kind, named};
use crate::platform::Platform;
use crate::sessions::Sessions;

/// Shared by all reconcilers.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) sessions: Sessions,
    pub(crate) runs: Arc<dyn Runs>,
    /// One a note, and when it was used: to a recorder all is the same that has one reason, and it goes on saying what it was told
    /// first.
    recorders: Mutex<HashMap<String, (Recorder, Instant)>>,
}

impl Context {
    pub(crate) fn new(client: Client, platform: Arc<dyn Platform>, runs: Arc<dyn Runs>) -> Self {
        let (sessions, recorders) = (Sessions::default(), Mutex::default());
        Self { client, platform, sessions, runs, recorders }
    }

    /// Tells of something that went as it should.
    pub(crate) async fn tell<K: Kind>(&self, about: &K, reason: &str, action: &str, note: &str) {
        self.publish(about, EventType::Normal, reason, action, note).await;
    }

    /// Tells of something that a person should look at.
    pub(crate) async fn warn<K: Kind>(&self, about: &K, reason: &str, action: &str, note: &str) {
        self.publish(about, EventType::Warning, reason, action, note).await;
    }

    /// An Event is news and not a record: one that cannot be written is logged and nothing waits for it.
    async fn publish<K: Kind>(
        &self,
        about: &K,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let note: String = note.chars().take(1_000).collect();
        let recorder = self.recorder(&note);
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        let about_ref = Resource::object_ref(about, &());
        if let Err(why) = recorder.publish(&event, &about_ref).await {
            tracing::warn!("tell {reason} of {}: {why}", named(about));
        }
    }

    fn recorder(&self, note: &str) -> Recorder {
        let mut recorders = self.recorders.lock().expect("nobody panics while holding it");
        let now = Instant::now();
        recorders.retain(|_, (_, used)| now.duration_since(*used) < REPEATED_WITHIN);
        let (recorder, used) = recorders.entry(note.to_owned()).or_insert_with(|| {
            let reporter = Reporter { controller: "troupe-controller".into(), instance: None };
            (Recorder::new(self.client.clone(), reporter), now)
        });
        *used = now;
        recorder.clone()
    }
}

/// When to look again after an error: soon after somebody else's write, else a little later.
pub(crate) fn on_error<K: Kind>(object: Arc<K>, error: &Error, _: Arc<Context>) -> Action {
    if error.is_conflict() {
        return Action::requeue(Duration::from_millis(20));
    }
    tracing::warn!("{}: {error}", named(object.as_ref()));
    Action::requeue(Duration::from_secs(1))
}

/// The safety net: everything that matters comes as an event.
pub(crate) fn later() -> Action {
    Action::requeue(Duration::from_secs(300))
}

/// While something was just started that tells nobody when it is there.
pub(crate) fn soon() -> Action {
    Action::requeue(Duration::from_millis(100))
}

/// For figures that change all the time and of which nobody tells.
pub(crate) fn now_and_then() -> Action {
    Action::requeue(Duration::from_secs(5))
}

/// Later than that the same is told anew, as recorders do.
const REPEATED_WITHIN: Duration = Duration::from_secs(360);
