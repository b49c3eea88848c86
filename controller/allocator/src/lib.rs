//! Who is offered what: role tree, dominant-resource fairness, quotas and filters; a cluster in, a round of offers out.
//!
//! Lives here: the accounts of agents, frameworks and roles, kept in step by small updates, and the one
//! decision [`Allocator::allocate`]. Must not: messages, clocks, randomness (time and seed are
//! arguments). Start at [`Allocator`]. Sources: Ghodsi et al., DRF (NSDI 2011); Apache Mesos 1.11,
//! `hierarchical.cpp` and `sorter/drf`.
//!
//! A round looks only at agents on which something changed (resources came free, a filter ran out), or
//! at all agents with something free when a claimant changed (came, revived, got another quota).
//! Offered and allocated are one here: both count against fairness and quotas until
//! [`Allocator::recover`].

mod agents;
mod allocator;
mod error;
mod explain;
mod filters;
mod ids;
mod policy;
mod quantities;
mod roles;
mod round;
mod slots;

pub use allocator::{Allocator, FrameworkSpec, RoleReport};
pub use error::AllocatorError;
pub use explain::{Tally, Why};
pub use ids::{AgentId, FrameworkId};
pub use policy::{BadWeight, Options, Quota, Weight};
pub use round::{OfferedResources, Round, Skipped};

#[cfg(test)]
mod tests;
