//! Built-in frameworks: a declared service, offers and task states in; accepts, declines and kills out.
//!
//! Lives here: what a service is told to be, where its instances may go, and when one is started,
//! replaced, restarted or ended. Must not: messages of the wire, sockets, clocks. Start at
//! [`Service::step`]. The driver (`scheduler`) turns events of the v1 API into [`Input`] and carries
//! out every [`Output`] in order, so that a task is stored before it is launched and an update is
//! acknowledged only after what it means is stored.

mod failure;
mod io;
mod place;
mod service;
mod spec;
mod status;
mod task;

pub use failure::{Failure, FailureReason};
pub use io::{
    AttributeValue, Input, Launch, Limitation, Offer, OfferId, Output, Reconciled, TaskState,
    Update,
};
pub use service::Service;
pub use spec::{
    Backoff, Command, Constraint, Fetch, HealthCheck, Operator, Port, Rolling, ServiceSpec,
    SpecError, TaskSpec,
};
pub use status::{InstanceStatus, ServiceStatus};
pub use task::{Phase, TaskId, TaskRecord};

#[cfg(test)]
mod tests;
