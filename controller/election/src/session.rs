//! A session with the ensemble, and how long one tries for it.

use std::time::Duration;

use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, CreateOptions, Error, Permission};

use crate::ZkAddress;

/// Asked of the servers. Shorter than Mesos's 10 s: that is how long a hung leader is kept.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Why something about an election could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// The ensemble refused, or could not be reached.
    #[error("{what} {path} at {servers}: {source}")]
    Ensemble {
        /// What was tried.
        what: &'static str,
        /// With which znode.
        path: String,
        /// At which servers.
        servers: String,
        /// What went wrong.
        source: Error,
    },
}

impl ElectionError {
    pub(crate) fn new(what: &'static str, path: &str, zk: &ZkAddress, source: Error) -> Self {
        Self::Ensemble { what, path: path.to_owned(), servers: zk.servers.clone(), source }
    }
}

/// A session, tried for until it is there.
pub async fn connect(zk: &ZkAddress) -> Client {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut connector = Client::connector()
            .with_session_timeout(SESSION_TIMEOUT)
            .with_connection_timeout(SESSION_TIMEOUT / 3)
            .with_fail_eagerly();
        if let Some(credentials) = &zk.credentials {
            connector = connector.with_auth("digest", credentials.as_bytes());
        }
        match connector.connect(&zk.servers).await {
            Ok(client) => return client,
            Err(why) => tracing::debug!("no session at {}: {why}", zk.servers),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Makes a folder with its parents; one that exists is as good.
pub(crate) async fn make_folder(
    client: &Client,
    zk: &ZkAddress,
    path: &str,
) -> Result<(), ElectionError> {
    let acl = acl(zk);
    let options = CreateMode::Persistent.with_acls(Acls::new(&acl));
    client
        .mkdir(path, &options)
        .await
        .map_err(|source| ElectionError::new("make the folder", path, zk, source))
}

/// With credentials the world may read and they may do all; without, all is open to all.
pub(crate) fn acl(zk: &ZkAddress) -> Vec<Acl> {
    if zk.credentials.is_none() {
        return vec![Acl::new(Permission::ALL, AuthId::anyone())];
    }
    vec![Acl::new(Permission::READ, AuthId::anyone()), Acl::new(Permission::ALL, AuthId::authed())]
}

/// An ephemeral znode of this session.
pub(crate) fn ephemeral(mode: CreateMode, acl: &[Acl]) -> CreateOptions<'_> {
    mode.with_acls(Acls::new(acl))
}
