//! Where the registry's records are kept: znodes below the pool's folder, or nowhere.
//!
//! `registry/agents/<id>` holds one agent's record, `registry/weights` and `registry/quotas` the lists, all
//! as JSON. An id is percent-encoded except for letters, digits, `-`, `.` and `_`.

use std::fmt::Write as _;

use election::{Leadership, RegistryError};
use master::{AgentRecord, Change, Registry};
use mesos::v1::WeightInfo;
use mesos::v1::quota::QuotaConfig;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

/// Why the registry cannot be used. The process that leads ends with it.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The ensemble does not serve this process any more.
    #[error("use the registry")]
    Ensemble(#[from] RegistryError),
    /// A record is not what a master wrote.
    #[error("the registry's znode {path} cannot be read: repair or delete it")]
    Record {
        /// The znode.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The place of the records.
#[derive(Clone, Debug)]
pub(crate) enum Keep {
    /// Nowhere.
    Memory,
    /// Below a folder of an ensemble.
    Znodes(Box<Folder>),
}

/// A folder of an ensemble.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// The right to write.
    pub(crate) leadership: Leadership,
    /// `…/registry`.
    pub(crate) path: String,
}

impl Keep {
    /// All records.
    pub(crate) async fn load(&self) -> Result<Registry, KeepError> {
        let Self::Znodes(folder) = self else { return Ok(Registry::default()) };
        let Folder { leadership, path: folder } = &**folder;
        let agents_at = format!("{folder}/agents");
        let mut agents = Vec::new();
        for (name, data) in leadership.children(&agents_at).await? {
            agents.push(record::<AgentRecord>(&format!("{agents_at}/{name}"), &data)?);
        }
        let weights = list::<WeightInfo>(leadership, format!("{folder}/weights")).await?;
        let quotas = list::<QuotaConfig>(leadership, format!("{folder}/quotas")).await?;
        Ok(Registry { agents, weights, quotas })
    }

    /// Carries out changes in their order, and says of each when it is safe. Ends when nobody sends more, or
    /// at the first change that fails.
    pub(crate) async fn write<W>(
        self,
        mut changes: mpsc::UnboundedReceiver<(W, Change)>,
        done: mpsc::UnboundedSender<W>,
    ) -> Result<(), KeepError> {
        while let Some((write, change)) = changes.recv().await {
            if let Self::Znodes(folder) = &self {
                let Folder { leadership, path: folder } = &**folder;
                match change {
                    Change::Agent(record) => {
                        let path = format!("{folder}/agents/{}", encoded(record.id()));
                        leadership.put(&path, &mesos::json::to_vec(&record)).await?;
                    }
                    Change::ForgetAgent(id) => {
                        let path = format!("{folder}/agents/{}", encoded(&id.value));
                        leadership.delete(&path).await?;
                    }
                    Change::Weights(weights) => {
                        let path = format!("{folder}/weights");
                        leadership.put(&path, &mesos::json::to_vec(&weights)).await?;
                    }
                    Change::Quotas(quotas) => {
                        let path = format!("{folder}/quotas");
                        leadership.put(&path, &mesos::json::to_vec(&quotas)).await?;
                    }
                }
            }
            if done.send(write).is_err() {
                break;
            }
        }
        Ok(())
    }
}

async fn list<T: DeserializeOwned>(
    leadership: &Leadership,
    path: String,
) -> Result<Vec<T>, KeepError> {
    match leadership.get(&path).await? {
        Some(data) if !data.is_empty() => record(&path, &data),
        _ => Ok(Vec::new()),
    }
}

fn record<T: DeserializeOwned>(path: &str, data: &[u8]) -> Result<T, KeepError> {
    serde_json::from_slice(data)
        .map_err(|source| KeepError::Record { path: path.to_owned(), source })
}

/// An id as the name of a znode, whatever is in it.
fn encoded(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            name.push(char::from(byte));
        } else {
            let _infallible = write!(name, "%{byte:02X}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_names_a_znode() {
        assert_eq!(encoded("2bffe152-S0"), "2bffe152-S0");
        assert_eq!(encoded("a/b\u{e000}%"), "a%2Fb%EE%80%80%25");
    }
}
