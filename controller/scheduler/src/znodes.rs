//! A framework's znodes: its id, and the records of its tasks.

use election::{Leadership, Place, RegistryError};
use frameworks::{TaskId, TaskRecord};
use serde::{Deserialize, Serialize};
use zookeeper_client::Client;

/// `…/info`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info {
    /// As the master gave it.
    pub(crate) framework_id: Option<String>,
}

/// Where a framework's znodes are, and the right to write them.
#[derive(Clone, Debug)]
pub(crate) struct Znodes {
    root: String,
    leadership: Leadership,
}

/// The place of the election: the ensemble's servers with `…/leader`.
pub(crate) fn election(ensemble: &Place, namespace: &str, name: &str) -> Place {
    Place { path: format!("{}/leader", root(namespace, name)), ..ensemble.clone() }
}

/// Removes the leader's znode if it is that of an earlier run of `candidate`, whose session has not
/// ended yet: a killed controller is back without waiting for that.
pub(crate) async fn bury_own_dead(
    place: &Place,
    leader: &str,
    candidate: &str,
) -> Result<(), zookeeper_client::Error> {
    let mut connector = Client::connector();
    if let Some(credentials) = &place.credentials {
        connector = connector.with_auth("digest", credentials.as_bytes());
    }
    let client = connector.connect(&place.servers).await?;
    let path = format!("{}/{leader}", place.path);
    let (found, stat) = client.get_data(&path).await?;
    if found == candidate.as_bytes() {
        tracing::info!(path, "the seat of an earlier run is taken over");
        client.delete(&path, Some(stat.version)).await?;
    }
    Ok(())
}

fn root(namespace: &str, name: &str) -> String {
    format!("/troupe/frameworks/{namespace}/{name}")
}

impl Znodes {
    pub(crate) fn new(leadership: Leadership, namespace: &str, name: &str) -> Self {
        Self { root: root(namespace, name), leadership }
    }

    /// What an earlier leader left. Records that cannot be read are named in the log and left alone:
    /// the reconciliation brings their tasks to light.
    pub(crate) async fn load(&self) -> Result<(Info, Vec<TaskRecord>), RegistryError> {
        let info = self.leadership.get(&self.info()).await?;
        let info = info.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let mut records = Vec::new();
        for (name, text) in self.leadership.children(&format!("{}/tasks", self.root)).await? {
            match serde_json::from_slice(&text) {
                Ok(record) => records.push(record),
                Err(why) => tracing::warn!(task = name, %why, "the task's znode is no record"),
            }
        }
        Ok((info, records))
    }

    pub(crate) async fn set_info(&self, info: &Info) -> Result<(), RegistryError> {
        let text = serde_json::to_vec(info).expect("strings are JSON");
        self.leadership.put(&self.info(), &text).await
    }

    pub(crate) async fn store(&self, record: &TaskRecord) -> Result<(), RegistryError> {
        let text = serde_json::to_vec(record).expect("a record is plain data with text keys");
        self.leadership.put(&self.task(&record.id), &text).await
    }

    pub(crate) async fn forget(&self, task: &TaskId) -> Result<(), RegistryError> {
        self.leadership.delete(&self.task(task)).await
    }

    /// Deletes all but the election, whose znode is deleted by whoever leaves it last.
    pub(crate) async fn clear(&self) -> Result<(), RegistryError> {
        let tasks = format!("{}/tasks", self.root);
        for (name, _) in self.leadership.children(&tasks).await? {
            self.leadership.delete(&format!("{tasks}/{name}")).await?;
        }
        self.leadership.delete(&tasks).await?;
        self.leadership.delete(&self.info()).await
    }

    fn info(&self) -> String {
        format!("{}/info", self.root)
    }

    fn task(&self, task: &TaskId) -> String {
        format!("{}/tasks/{task}", self.root)
    }
}
