//! Detecting: who leads, and each change.

use mesos::v1::MasterInfo;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zookeeper_client::{Client, Error};

use crate::contender::MASTER_LABEL;
use crate::members;
use crate::session::{self, Pause};
use crate::{Address, Place};

/// Watches an election of masters until it is dropped.
#[derive(Debug)]
pub struct Detector {
    leader: watch::Receiver<Option<MasterInfo>>,
    job: JoinHandle<()>,
}

impl Detector {
    /// Starts to watch. `None` is told while nobody leads or while the ensemble is out of reach for longer
    /// than a session; a fixed address is told once.
    pub fn start(address: Address) -> Self {
        let (told, leader) = watch::channel(None);
        let job = tokio::spawn(async move {
            match address {
                Address::Elected(place) => watch_forever(&place, &told).await,
                Address::Fixed { host, port } => {
                    told.send_replace(Some(fixed(host, port)));
                    told.closed().await;
                }
            }
        });
        Self { leader, job }
    }

    /// The leader now, and each change.
    pub fn leader(&self) -> watch::Receiver<Option<MasterInfo>> {
        self.leader.clone()
    }
}

impl Drop for Detector {
    fn drop(&mut self) {
        self.job.abort();
    }
}

fn fixed(host: String, port: u16) -> MasterInfo {
    MasterInfo { hostname: Some(host), port: port.into(), ..MasterInfo::default() }
}

async fn watch_forever(place: &Place, told: &watch::Sender<Option<MasterInfo>>) {
    let mut pause = Pause::new();
    loop {
        match session::connect(place).await {
            Ok(client) => {
                let watched = tokio::select! {
                    watched = watch_election(place, &client, told, &mut pause) => watched,
                    _ = session::lost(&client) => Ok(()),
                };
                tell(told, None);
                if let Err(error) = watched {
                    tracing::warn!(%place, %error, "cannot watch the election; trying again");
                }
            }
            Err(error) => {
                tracing::warn!(%place, %error, "no session with the ensemble; trying again")
            }
        }
        pause.wait().await;
    }
}

async fn watch_election(
    place: &Place,
    client: &Client,
    told: &watch::Sender<Option<MasterInfo>>,
    pause: &mut Pause,
) -> Result<(), Error> {
    loop {
        let listed = session::persist(|| client.list_and_watch_children(&place.path)).await;
        let (children, changed) = match listed {
            Ok(listed) => listed,
            Err(Error::NoNode) => {
                tell(told, None);
                let (there, appears) =
                    session::persist(|| client.check_and_watch_stat(&place.path)).await?;
                if there.is_none() {
                    appears.changed().await;
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        pause.reset();
        if let Some(leader) = members::leader(&children, MASTER_LABEL) {
            let path = format!("{}/{leader}", place.path);
            match session::persist(|| client.get_data(&path)).await {
                Ok((data, _)) => match mesos::json::from_slice::<MasterInfo>(&data) {
                    Ok(info) => tell(told, Some(info)),
                    Err(error) => {
                        tracing::warn!(%place, leader, %error, "the leader's znode is not a MasterInfo");
                        tell(told, None);
                    }
                },
                // It went between the two reads; the watch has fired.
                Err(Error::NoNode) => continue,
                Err(error) => return Err(error),
            }
        } else {
            tell(told, None);
        }
        changed.changed().await;
    }
}

fn tell(told: &watch::Sender<Option<MasterInfo>>, leader: Option<MasterInfo>) {
    told.send_if_modified(|before| {
        let differs = *before != leader;
        *before = leader;
        differs
    });
}
