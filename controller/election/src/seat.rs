//! A seat that one of several candidates has: how replicas of a built-in framework choose who acts.

use zookeeper_client::{Client, CreateMode, Error};

use crate::contender::is_passing;
use crate::session::{ElectionError, acl, ephemeral, make_folder};
use crate::{ZkAddress, connect};

/// A taken seat: an ephemeral znode that names who has it.
#[derive(Debug)]
pub struct Seat {
    client: Client,
    path: String,
}

impl Seat {
    /// Waits until the seat at `zk.path` is free and takes it in the name of `who`.
    ///
    /// `who` must be a name that no two living candidates share: a seat found under it is that of a dead run
    /// of the same candidate, and is taken over at once.
    ///
    /// # Errors
    /// The ensemble refuses the folder or the znode (an ACL, say).
    pub async fn take(zk: &ZkAddress, who: &str) -> Result<Self, ElectionError> {
        loop {
            let client = connect(zk).await;
            match sit(&client, zk, who).await {
                Ok(()) => return Ok(Self { client, path: zk.path.clone() }),
                Err(ElectionError::Ensemble { source, .. }) if is_passing(&source) => {
                    tracing::debug!("seat {}: {source}", zk.path);
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// The session it belongs to, for what else its holder does.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Resolves when the seat is lost: the session ended, or somebody deleted the znode.
    pub async fn lost(&self) {
        let mine = self.client.session_id().0;
        loop {
            match self.client.check_and_watch_stat(&self.path).await {
                Ok((Some(stat), watcher)) if stat.ephemeral_owner == mine => {
                    if watcher.changed().await.session_state.is_terminated() {
                        return;
                    }
                }
                Ok(_) => return,
                // The client connects again by itself within the session; an ended one is lost.
                Err(Error::ConnectionLoss) => tokio::task::yield_now().await,
                Err(why) => {
                    tracing::debug!("watch of {}: {why}", self.path);
                    return;
                }
            }
        }
    }

    /// Gives it up.
    pub async fn leave(self) {
        if let Err(why) = self.client.delete(&self.path, None).await {
            tracing::debug!("leave {}: {why}", self.path);
        }
    }
}

async fn sit(client: &Client, zk: &ZkAddress, who: &str) -> Result<(), ElectionError> {
    let folder = zk.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    if !folder.is_empty() {
        make_folder(client, zk, folder).await?;
    }
    let acl = acl(zk);
    let mine = client.session_id().0;
    loop {
        let made =
            client.create(&zk.path, who.as_bytes(), &ephemeral(CreateMode::Ephemeral, &acl)).await;
        match made {
            Ok(_) => return Ok(()),
            Err(Error::NodeExists) => {}
            Err(source) => return Err(ElectionError::new("create", &zk.path, zk, source)),
        }
        match client.get_and_watch_data(&zk.path).await {
            Err(Error::NoNode) => {}
            Ok((_, stat, _)) if stat.ephemeral_owner == mine => return Ok(()),
            Ok((holder, stat, _)) if holder == who.as_bytes() => {
                match client.delete(&zk.path, Some(stat.version)).await {
                    Ok(()) | Err(Error::NoNode | Error::BadVersion) => {}
                    Err(source) => return Err(ElectionError::new("delete", &zk.path, zk, source)),
                }
            }
            Ok((_, _, watcher)) => {
                if watcher.changed().await.session_state.is_terminated() {
                    return Err(ElectionError::new(
                        "wait for",
                        &zk.path,
                        zk,
                        Error::SessionExpired,
                    ));
                }
            }
            Err(source) => return Err(ElectionError::new("watch", &zk.path, zk, source)),
        }
    }
}
