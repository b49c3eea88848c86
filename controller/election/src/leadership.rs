//! What only the leader may write: each write checks in the same transaction that it still leads.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use zookeeper_client::{CheckWriteError, Client, CreateMode, Error};

use crate::Place;
use crate::session;

/// The pause before a write is repeated whose answer got lost.
const PAUSE: Duration = Duration::from_millis(100);

/// Proof of leading, for as long as the contender's session lasts. Cheap to clone.
#[derive(Clone)]
pub struct Leadership {
    client: Client,
    /// The path of the contender's own znode.
    own: String,
    place: Place,
}

/// Why something under a leader's care could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Another one leads, or soon will: nothing was written.
    #[error("cannot write {path}: this process does not lead any more")]
    NotLeading {
        /// What was to be written.
        path: String,
    },
    /// The ensemble refused.
    #[error("access {path}")]
    Refused {
        /// What was to be read or written.
        path: String,
        /// Why.
        source: Error,
    },
}

impl Leadership {
    pub(crate) const fn new(client: Client, own: String, place: Place) -> Self {
        Self { client, own, place }
    }

    /// The contender's znode.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The session behind it, for reads and watches.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the znode with its parents, or sets its content.
    pub async fn put(&self, path: &str, data: &[u8]) -> Result<(), RegistryError> {
        let options = CreateMode::Persistent.with_acls(session::acls(&self.place));
        let mut exists = true;
        loop {
            let mut writer = self.fenced(path)?;
            let added = if exists {
                writer.add_set_data(path, data, None)
            } else {
                writer.add_create(path, data, &options)
            };
            added.map_err(|source| refused(path, source))?;
            match self.judge(path, writer.commit().await.map(drop)).await? {
                Outcome::Done => return Ok(()),
                Outcome::Again => {}
                Outcome::Failed(Error::NoNode) if exists => {
                    if let Some((parent, _)) = path.rsplit_once('/')
                        && !parent.is_empty()
                    {
                        let made = session::persist(|| self.client.mkdir(parent, &options)).await;
                        made.map_err(|source| refused(parent, source))?;
                    }
                    exists = false;
                }
                Outcome::Failed(Error::NodeExists) if !exists => exists = true,
                Outcome::Failed(source) => return Err(refused(path, source)),
            }
        }
    }

    /// Removes the znode, if it is there.
    pub async fn delete(&self, path: &str) -> Result<(), RegistryError> {
        loop {
            let mut writer = self.fenced(path)?;
            writer.add_delete(path, None).map_err(|source| refused(path, source))?;
            match self.judge(path, writer.commit().await.map(drop)).await? {
                Outcome::Done | Outcome::Failed(Error::NoNode) => return Ok(()),
                Outcome::Again => {}
                Outcome::Failed(source) => return Err(refused(path, source)),
            }
        }
    }

    /// The content of a znode; `None` when there is none. As new as every write that was answered before.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, RegistryError> {
        let read = session::persist(|| async {
            self.client.sync(path).await?;
            self.client.get_data(path).await
        });
        match read.await {
            Ok((data, _)) => Ok(Some(data.into())),
            Err(Error::NoNode) => Ok(None),
            Err(source) => Err(refused(path, source)),
        }
    }

    /// The children with their contents, by name; empty when there is no such znode.
    pub async fn children(&self, path: &str) -> Result<Vec<(String, Bytes)>, RegistryError> {
        let listed = session::persist(|| async {
            self.client.sync(path).await?;
            self.client.list_children(path).await
        });
        let mut names = match listed.await {
            Ok(names) => names,
            Err(Error::NoNode) => return Ok(Vec::new()),
            Err(source) => return Err(refused(path, source)),
        };
        names.sort_unstable();
        let mut children = Vec::with_capacity(names.len());
        // Requests go out together, in parts: one round trip for many children.
        for part in names.chunks(256) {
            let asked: Vec<_> =
                part.iter().map(|name| self.client.get_data(&format!("{path}/{name}"))).collect();
            for (name, asked) in part.iter().zip(asked) {
                let path = format!("{path}/{name}");
                let answer = match asked.await {
                    Err(why) if session::is_passing(&why) => {
                        session::persist(|| self.client.get_data(&path)).await
                    }
                    answer => answer,
                };
                match answer {
                    Ok((data, _)) => children.push((name.clone(), data.into())),
                    Err(Error::NoNode) => {}
                    Err(source) => return Err(refused(&path, source)),
                }
            }
        }
        Ok(children)
    }

    pub(crate) async fn resign(&self) {
        if let Err(error) = self.client.delete(&self.own, None).await {
            tracing::debug!(own = self.own, %error, "our znode goes with the session");
        }
    }

    fn fenced(&self, path: &str) -> Result<zookeeper_client::CheckWriter<'_>, RegistryError> {
        self.client.new_check_writer(&self.own, None).map_err(|source| refused(path, source))
    }

    async fn judge(
        &self,
        path: &str,
        written: Result<(), CheckWriteError>,
    ) -> Result<Outcome, RegistryError> {
        match written {
            Ok(()) => Ok(Outcome::Done),
            Err(CheckWriteError::CheckFailed { .. }) => {
                Err(RegistryError::NotLeading { path: path.into() })
            }
            // Putting and deleting twice is the same as once.
            Err(CheckWriteError::RequestFailed { source }) if session::is_passing(&source) => {
                sleep(PAUSE).await;
                Ok(Outcome::Again)
            }
            Err(CheckWriteError::RequestFailed {
                source: Error::SessionExpired | Error::ClientClosed,
            }) => Err(RegistryError::NotLeading { path: path.into() }),
            Err(
                CheckWriteError::OperationFailed { source, .. }
                | CheckWriteError::RequestFailed { source },
            ) => Ok(Outcome::Failed(source)),
        }
    }
}

enum Outcome {
    Done,
    Again,
    Failed(Error),
}

fn refused(path: &str, source: Error) -> RegistryError {
    match source {
        Error::SessionExpired | Error::ClientClosed => {
            RegistryError::NotLeading { path: path.into() }
        }
        source => RegistryError::Refused { path: path.into(), source },
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership").field("own", &self.own).finish_non_exhaustive()
    }
}
