//! The five custom resources of `troupe.dev/v1alpha1`: the Rust types are the source, the YAML beside
//! them is generated (`UPDATE=1 cargo test -p crds`).
//!
//! Lives here: fields with their bounds, defaults and rules; the words of conditions and annotations.
//! Must not: behaviour. Start at [`all`].
//!
//! A field that has no effect yet carries no default, so that its presence tells that somebody wants it.

#![allow(
    clippy::duplicated_attributes,
    reason = "one printcolumn attribute for each column: their keys repeat on purpose"
)]
#![allow(unreachable_pub, reason = "KubeSchema copies each struct into a function")]

mod agent;
mod ensemble;
mod framework;
mod pool;
pub mod quantity;
pub mod reasons;
mod schema;
mod shared;
mod znode;

pub use agent::*;
pub use ensemble::*;
pub use framework::*;
pub use pool::*;
pub use quantity::{GoDuration, Quantity};
pub use shared::*;
pub use znode::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of all five kinds.
pub const GROUP: &str = "troupe.dev";
/// The only version so far.
pub const VERSION: &str = "v1alpha1";
/// `"true"` here stops the controller from acting on an object (its status says so).
pub const PAUSED: &str = "troupe.dev/paused";
/// A change of this value restarts what an object runs, once.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Held while something outside the API must be cleaned up or must not be lost.
pub const FINALIZER: &str = "troupe.dev/cleanup";
/// The uid of the object a child belongs to: a namesake created later must not inherit it.
pub const OWNER_UID_LABEL: &str = "troupe.dev/owner-uid";
/// The pool an Agent belongs to.
pub const POOL_LABEL: &str = "troupe.dev/pool";

/// The definitions, in the order in which they depend on each other; structural, without empty lists.
pub fn all() -> Vec<CustomResourceDefinition> {
    [Ensemble::crd(), ZNode::crd(), ResourcePool::crd(), Agent::crd(), Framework::crd()]
        .into_iter()
        .map(schema::finish)
        .collect()
}
