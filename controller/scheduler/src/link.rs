//! A subscription at a master, with its heartbeats watched.

use std::time::Duration;

use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::event::Type;
use mesos::v1::{FrameworkId, Offer, TaskStatus};
use tokio::time::timeout;

use crate::LinkError;
use crate::http::{Master, Stream};

/// What a master says that matters to a built-in framework.
pub(crate) enum Said {
    /// The subscription is taken, with the framework's id.
    Subscribed(String),
    Offers(Vec<Offer>),
    Update(Box<TaskStatus>),
    /// The last words of the stream.
    Error(String),
    /// All the rest.
    Heartbeat,
}

/// An open subscription.
pub(crate) struct Link {
    master: Master,
    stream: Stream,
    framework: Option<FrameworkId>,
    patience: Duration,
}

impl Link {
    pub(crate) async fn open(master: String, subscribe: Call) -> Result<Self, LinkError> {
        let mut master = Master::new(master);
        let stream = master.subscribe(&subscribe).await?;
        Ok(Self { master, stream, framework: None, patience: HEARTBEAT * MISSED })
    }

    pub(crate) fn master(&self) -> &str {
        &self.master.authority
    }

    /// What is said next. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Said, LinkError> {
        let event = match timeout(self.patience, self.stream.next()).await {
            Ok(event) => event?,
            Err(_) => {
                let master = self.master.authority.clone();
                return Err(LinkError::Lost { master, why: "no heartbeat" });
            }
        };
        let kind = event.r#type();
        Ok(match (kind, event.subscribed, event.offers, event.update, event.error) {
            (Type::Subscribed, Some(subscribed), ..) => {
                let seconds = subscribed.heartbeat_interval_seconds.unwrap_or(0.0);
                if let Ok(interval) = Duration::try_from_secs_f64(seconds)
                    && !interval.is_zero()
                {
                    self.patience = interval.saturating_mul(MISSED).min(LONGEST_SILENCE);
                }
                self.framework = Some(subscribed.framework_id.clone());
                Said::Subscribed(subscribed.framework_id.value)
            }
            (Type::Offers, _, Some(offers), ..) => Said::Offers(offers.offers),
            (Type::Update, _, _, Some(update), _) => Said::Update(Box::new(update.status)),
            (Type::Error, .., Some(error)) => Said::Error(error.message),
            // An offer is answered in the same step in which it comes, so none is held that could be
            // rescinded; a rescinded one that was taken comes back as a dropped task.
            _ => Said::Heartbeat,
        })
    }

    pub(crate) async fn call(&mut self, call: Call, name: &'static str) -> Result<(), LinkError> {
        let call = Call { framework_id: self.framework.clone(), ..call };
        self.master.call(&self.stream.id, &call, name).await
    }
}

/// Until the master names its own.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// So many heartbeats may fail to come.
const MISSED: u32 = 5;
const LONGEST_SILENCE: Duration = Duration::from_secs(600);
