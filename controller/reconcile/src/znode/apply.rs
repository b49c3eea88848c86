//! Writes the znode, and the status.

use crds::{DeletionPolicy, ZNode, ZNodeStatus, reasons};
use kube::runtime::controller::Action;
use zookeeper_client::{Acls, Client, CreateMode, Error as ZkError};

use super::Watching;
use super::observe::{Found, Observed, Reached, find};
use super::plan::{Difference, Plan, Write, digest};
use crate::conditions::{Health, Truth, set};
use crate::context::{Context, later, now_and_then, soon};
use crate::error::Error;
use crate::kind::{conclude, hold, now, release, status_of};

pub(crate) async fn apply(
    plan: Plan,
    observed: Observed,
    znode: ZNode,
    ctx: &Context,
    watching: &Watching,
) -> Result<Action, Error> {
    let (client, found) = match observed.ensemble {
        Reached::Open { client, found } => (Some(client), found),
        _ => (None, None),
    };
    match (plan, client) {
        (Plan::Rest(health), _) => {
            tell(ctx, &znode, status_of(&znode), found.as_ref(), &health).await?;
            Ok(if health.is_ready() { later() } else { now_and_then() })
        }
        (Plan::Delete, Some(client)) => match client.delete(&znode.spec.path, None).await {
            Ok(()) | Err(ZkError::NoNode) => {
                ctx.tell(&znode, reasons::events::DELETED, "Delete", &znode.spec.path).await;
                let_go(ctx, &znode, watching).await
            }
            // Children are somebody else's: declared by other objects, or made by clients.
            Err(ZkError::NotEmpty) => {
                let note = format!("{} has children and stays", znode.spec.path);
                ctx.warn(&znode, reasons::events::DELETED, "Delete", &note).await;
                let_go(ctx, &znode, watching).await
            }
            Err(why) => {
                let message = format!("delete {}: {why}", znode.spec.path);
                let health = Health::waiting(reasons::DELETING, message);
                tell(ctx, &znode, status_of(&znode), found.as_ref(), &health).await?;
                Ok(soon())
            }
        },
        (Plan::Write(write), Some(client)) => carry_out(ctx, znode, &client, write).await,
        (Plan::Release | Plan::Delete | Plan::Write(_), _) => let_go(ctx, &znode, watching).await,
    }
}

async fn let_go(ctx: &Context, znode: &ZNode, watching: &Watching) -> Result<Action, Error> {
    watching.forget(znode);
    release(ctx, znode).await?;
    Ok(later())
}

async fn carry_out(
    ctx: &Context,
    znode: ZNode,
    client: &Client,
    write: Write,
) -> Result<Action, Error> {
    let znode = match znode.spec.deletion_policy {
        DeletionPolicy::Delete => hold(ctx, &znode).await?,
        DeletionPolicy::Retain => znode,
    };
    let path = znode.spec.path.clone();
    let written = put(client, &path, &write).await;
    let found = match written {
        Ok(()) => find(client, &path).await,
        // Somebody was faster: look again, and decide again.
        Err(ZkError::BadVersion | ZkError::NodeExists | ZkError::NoNode) => return Ok(soon()),
        Err(why) => Err(why),
    };
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            let (reason, remedy) = remedy(&why);
            let health = Health::waiting(reason, format!("write {path}: {why}; {remedy}"));
            tell(ctx, &znode, status_of(&znode), None, &health).await?;
            return Ok(now_and_then());
        }
    };
    let mut status = status_of(&znode);
    status.applied = Some(digest(&write.data, &write.acl));
    match &write.drift {
        Some(drift) => {
            status.corrections = Some(status.corrections.unwrap_or(0).saturating_add(1));
            let note = format!("{path}: {drift}; it was put back as declared");
            ctx.warn(&znode, reasons::events::DRIFT_CORRECTED, "Correct", &note).await;
        }
        None if write.what == Difference::Absent => {
            ctx.tell(&znode, reasons::events::CREATED, "Create", &path).await;
        }
        None => {}
    }
    let health = Health::Ready(format!("{path} is as declared"));
    tell(ctx, &znode, status, found.as_ref(), &health).await?;
    Ok(later())
}

async fn put(client: &Client, path: &str, write: &Write) -> Result<(), ZkError> {
    match write.what {
        Difference::Absent => {
            let ancestors = CreateMode::Persistent.with_acls(Acls::anyone_all());
            if let Some((parent, _)) =
                path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty())
            {
                client.mkdir(parent, &ancestors).await?;
            }
            let options = CreateMode::Persistent.with_acls(Acls::new(&write.acl));
            client.create(path, &write.data, &options).await?;
        }
        Difference::Parts { data, acl } => {
            if let Some(version) = data {
                client.set_data(path, &write.data, Some(version)).await?;
            }
            if let Some(version) = acl {
                client.set_acl(path, &write.acl, Some(version)).await?;
            }
        }
    }
    Ok(())
}

fn remedy(why: &ZkError) -> (&'static str, &'static str) {
    match why {
        ZkError::NoAuth => (
            reasons::REFUSED,
            "its ACL does not let the controller: add world:anyone with Admin, Read and Write, or set spec.onDrift: Report",
        ),
        ZkError::InvalidAcl => {
            (reasons::REFUSED, "spec.acl has an entry that the server refuses: mend its id")
        }
        ZkError::NoChildrenForEphemerals => {
            (reasons::REFUSED, "a parent is ephemeral: choose another path")
        }
        ZkError::QuotaExceeded => (reasons::REFUSED, "raise the quota above it"),
        _ => (reasons::UNREACHABLE, "it is tried again"),
    }
}

async fn tell(
    ctx: &Context,
    znode: &ZNode,
    mut status: ZNodeStatus,
    found: Option<&Found>,
    health: &Health,
) -> Result<(), Error> {
    if let Some(found) = found {
        status.czxid = Some(format!("{:#x}", found.stat.czxid));
        status.mzxid = Some(format!("{:#x}", found.stat.mzxid));
        status.version = Some(found.stat.version);
        status.data_length = Some(found.stat.data_length);
        if health.is_ready() && status.applied.is_none() {
            // It was there, and as declared, before the controller came.
            status.applied = Some(digest(&found.data, &found.acl));
        }
    }
    let generation = znode.metadata.generation.unwrap_or(0);
    let (truth, reason, message) = match health {
        Health::Ready(message) => (Truth::True, reasons::AS_DECLARED, message),
        Health::Reconciling { reason, message } => (Truth::Unknown, *reason, message),
        Health::Stalled { reason, message } => (Truth::False, *reason, message),
    };
    set(&mut status, generation, reasons::SYNCED, truth, reason, message, &now());
    conclude(ctx, znode, status, health).await
}
