//! A master that wants to lead.

use zookeeper_client::{Client, CreateMode, Error};

use crate::session::{ElectionError, acl, ephemeral, make_folder};
use crate::{LABEL, MasterInfo, ZkAddress, connect, number};

/// A candidate's place in the group, as long as its session lives.
#[derive(Debug)]
pub struct Membership {
    client: Client,
    path: String,
}

impl Membership {
    /// The candidate's znode.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The session it belongs to, for what else must end with it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Resolves when the place is lost: the session ended, or somebody deleted the znode.
    pub async fn lost(&self) {
        loop {
            match self.client.check_and_watch_stat(&self.path).await {
                Ok((Some(_), watcher)) => {
                    if watcher.changed().await.session_state.is_terminated() {
                        return;
                    }
                }
                Ok((None, _)) => return,
                // The client connects again by itself within the session; an ended one is lost.
                Err(Error::ConnectionLoss) => tokio::task::yield_now().await,
                Err(why) => {
                    tracing::debug!("watch of {}: {why}", self.path);
                    return;
                }
            }
        }
    }

    /// Gives the place up.
    pub async fn resign(self) {
        if let Err(why) = self.client.delete(&self.path, None).await {
            tracing::debug!("resign {}: {why}", self.path);
        }
    }
}

/// Enters the group, waiting for the ensemble as long as it takes.
///
/// The caller has its port bound already, so an older candidate at the same address is a dead run of its
/// own: its znode is removed instead of waiting for its session to end.
///
/// # Errors
/// The ensemble refuses the folder or the znode (an ACL, say).
pub async fn contend(zk: &ZkAddress, info: &MasterInfo) -> Result<Membership, ElectionError> {
    loop {
        let client = connect(zk).await;
        match enter(&client, zk, info).await {
            Ok(path) => return Ok(Membership { client, path }),
            Err(ElectionError::Ensemble { source, .. }) if is_passing(&source) => {
                tracing::debug!("contending again: {source}");
            }
            Err(why) => return Err(why),
        }
    }
}

async fn enter(
    client: &Client,
    zk: &ZkAddress,
    info: &MasterInfo,
) -> Result<String, ElectionError> {
    make_folder(client, zk, &zk.path).await?;
    bury_own_dead(client, zk, info).await?;
    let prefix = format!("{}/{LABEL}", zk.path);
    let data = serde_json::to_vec(info).expect("strings and numbers are JSON");
    let acl = acl(zk);
    let (_, number) = client
        .create(&prefix, &data, &ephemeral(CreateMode::EphemeralSequential, &acl))
        .await
        .map_err(|source| ElectionError::new("create", &prefix, zk, source))?;
    Ok(format!("{prefix}{number}"))
}

async fn bury_own_dead(
    client: &Client,
    zk: &ZkAddress,
    info: &MasterInfo,
) -> Result<(), ElectionError> {
    let listed = client.list_children(&zk.path).await;
    let names = listed.map_err(|source| ElectionError::new("list", &zk.path, zk, source))?;
    for name in names.iter().filter(|name| number(name).is_some()) {
        let path = format!("{}/{name}", zk.path);
        let other = match client.get_data(&path).await {
            Ok((data, _)) => serde_json::from_slice::<MasterInfo>(&data).ok(),
            Err(Error::NoNode) => continue,
            Err(source) => return Err(ElectionError::new("read", &path, zk, source)),
        };
        if other.is_some_and(|other| other.authority() == info.authority() && other.id != info.id) {
            match client.delete(&path, None).await {
                Ok(()) | Err(Error::NoNode) => {}
                Err(source) => return Err(ElectionError::new("delete", &path, zk, source)),
            }
        }
    }
    Ok(())
}

/// Errors of a connection or session, which a new session mends.
pub(crate) fn is_passing(why: &Error) -> bool {
    matches!(
        why,
        Error::ConnectionLoss
            | Error::SessionExpired
            | Error::SessionMoved
            | Error::Timeout
            | Error::NoHosts
    )
}
