//! What to do about a ZNode.

use crds::{AclPermission, DeletionPolicy, OnDrift, ZNode, reasons};
use sha2::{Digest, Sha256};
use zookeeper_client::{Acl, AuthId, Permission};

use super::observe::{Found, Observed, Reached};
use crate::conditions::{Health, Unsupported};
use crate::kind::is_deleting;

/// The next step; leaves no choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Nothing may be done, or nothing can be, or all is done.
    Rest(Health),
    /// Let the object go.
    Release,
    /// Delete the znode, then let the object go.
    Delete,
    /// Bring the znode to this.
    Write(Write),
}

/// How the znode differs from its declaration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Write {
    pub(crate) data: Vec<u8>,
    pub(crate) acl: Vec<Acl>,
    pub(crate) what: Difference,
    /// What somebody else changed, in words.
    pub(crate) drift: Option<String>,
}

/// What is to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Difference {
    /// It does not exist.
    Absent,
    /// Data, if the version is still this one; ACL.
    Parts { data: Option<i32>, acl: Option<i32> },
}

/// Decides. Pure and total.
pub(crate) fn plan(znode: &ZNode, observed: &Observed) -> Plan {
    if observed.paused {
        let message = format!("paused: remove the annotation {} to go on", crds::PAUSED);
        return Plan::Rest(Health::stalled(reasons::PAUSED, message));
    }
    if is_deleting(znode) {
        return plan_deletion(znode, observed);
    }
    let spec = &znode.spec;
    if let Some(field) = Unsupported::first(&[(spec.quota.is_some(), "spec.quota")]) {
        return Plan::Rest(Health::unsupported(&field));
    }
    if let Some(rival) = &observed.rival {
        let message = format!(
            "{rival} declares {} of Ensemble {} too, and came first; delete one of them",
            spec.path, spec.ensemble_ref.name
        );
        return Plan::Rest(Health::stalled(reasons::CONFLICT, message));
    }
    let data = match &observed.data {
        Ok(data) => data,
        Err(health) => return Plan::Rest(health.clone()),
    };
    let found = match &observed.ensemble {
        Reached::Missing => {
            let message = format!(
                "Ensemble {} does not exist in this namespace; create it, or delete this ZNode and name another",
                spec.ensemble_ref.name
            );
            return Plan::Rest(Health::stalled(reasons::REFERENCE_NOT_FOUND, message));
        }
        Reached::Silent(health) => return Plan::Rest(health.clone()),
        Reached::Open { found, .. } => found.as_ref(),
    };
    compare(znode, data, found)
}

fn plan_deletion(znode: &ZNode, observed: &Observed) -> Plan {
    if znode.spec.deletion_policy == DeletionPolicy::Retain || observed.rival.is_some() {
        return Plan::Release;
    }
    match &observed.ensemble {
        // With the ensemble its znodes are out of reach for good.
        Reached::Missing | Reached::Open { found: None, .. } => Plan::Release,
        Reached::Silent(Health::Reconciling { message, .. } | Health::Stalled { message, .. }) => {
            Plan::Rest(Health::waiting(
                reasons::DELETING,
                format!(
                    "{message}; the znode is deleted once it does (spec.deletionPolicy: Retain lets go at once)"
                ),
            ))
        }
        Reached::Silent(Health::Ready(_)) | Reached::Open { .. } => Plan::Delete,
    }
}

fn compare(znode: &ZNode, data: &[u8], found: Option<&Found>) -> Plan {
    let acl = acl(znode);
    let applied = znode.status.as_ref().and_then(|status| status.applied.as_deref());
    // The declaration is as it was when it was written last: so the znode was changed by somebody else.
    let was_written = applied == Some(digest(data, &acl).as_str());
    let Some(found) = found else {
        let drift = was_written.then(|| "it was deleted".to_owned());
        return decide(znode, data, acl, Difference::Absent, drift);
    };
    let data_differs = found.data != data;
    let acl_differs = !same_acl(&found.acl, &acl);
    if !data_differs && !acl_differs {
        let message = format!("{} is as declared", znode.spec.path);
        return Plan::Rest(Health::Ready(message));
    }
    let what = Difference::Parts {
        data: data_differs.then_some(found.stat.version),
        acl: acl_differs.then_some(found.stat.aversion),
    };
    let drift = was_written.then(|| {
        let mut words = Vec::new();
        if data_differs {
            words.push(format!(
                "its data was set to {} by transaction {:#x}",
                shown(&found.data),
                found.stat.mzxid
            ));
        }
        if acl_differs {
            words.push("its ACL was changed".to_owned());
        }
        words.join(" and ")
    });
    decide(znode, data, acl, what, drift)
}

fn decide(
    znode: &ZNode,
    data: &[u8],
    acl: Vec<Acl>,
    what: Difference,
    drift: Option<String>,
) -> Plan {
    if let (OnDrift::Report, Some(drift)) = (znode.spec.on_drift, &drift) {
        let message =
            format!("{}: {drift}; spec.onDrift is Report, so it is left", znode.spec.path);
        return Plan::Rest(Health::stalled(reasons::CONFLICT, message));
    }
    Plan::Write(Write { data: data.to_vec(), acl, what, drift })
}

/// Digest of what is declared, as kept in the status.
pub(crate) fn digest(data: &[u8], acl: &[Acl]) -> String {
    let mut digest = Sha256::new();
    digest.update(data);
    for entry in acl {
        digest.update([0]);
        digest.update(format!("{entry:?}").as_bytes());
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn acl(znode: &ZNode) -> Vec<Acl> {
    if znode.spec.acl.is_empty() {
        return vec![Acl::new(Permission::ALL, AuthId::anyone())];
    }
    let entry = |entry: &crds::AclEntry| {
        let permission = entry.permissions.iter().fold(Permission::NONE, |all, one| {
            all | match one {
                AclPermission::Read => Permission::READ,
                AclPermission::Write => Permission::WRITE,
                AclPermission::Create => Permission::CREATE,
                AclPermission::Delete => Permission::DELETE,
                AclPermission::Admin => Permission::ADMIN,
            }
        });
        Acl::new(permission, AuthId::new(entry.scheme.as_str(), &entry.id))
    };
    znode.spec.acl.iter().map(entry).collect()
}

/// The order of entries means nothing.
fn same_acl(a: &[Acl], b: &[Acl]) -> bool {
    a.len() == b.len() && a.iter().all(|entry| b.contains(entry))
}

/// Data for people: the beginning of text, or how many bytes.
fn shown(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) if text.chars().count() <= LONGEST_SHOWN => format!("{text:?}"),
        Ok(text) => {
            let start: String = text.chars().take(LONGEST_SHOWN).collect();
            format!("{start:?}… ({} bytes)", data.len())
        }
        Err(_) => format!("{} bytes", data.len()),
    }
}

const LONGEST_SHOWN: usize = 60;
