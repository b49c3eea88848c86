//! Those who follow the leading master.

use tokio::sync::watch;
use zookeeper_client::{Client, Error};

use crate::contender::is_passing;
use crate::session::{ElectionError, make_folder};
use crate::{Address, MasterInfo, ZkAddress, connect, leader};

/// The leading master, now and whenever it changes; `None` while none leads or the ensemble cannot be
/// reached. The watching ends when every receiver is gone. Must be called on a tokio runtime.
pub fn detect(address: &Address) -> watch::Receiver<Option<MasterInfo>> {
    match address {
        Address::Fixed(authority) => {
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
            let info = MasterInfo::fixed(host, port.parse().unwrap_or_default());
            watch::channel(Some(info)).1
        }
        Address::Zk(zk) => {
            let (told, heard) = watch::channel(None);
            let zk = zk.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = told.closed() => {}
                    () = follow(&zk, &told) => {}
                }
            });
            heard
        }
    }
}

async fn follow(zk: &ZkAddress, told: &watch::Sender<Option<MasterInfo>>) {
    loop {
        let client = connect(zk).await;
        if let Err(why) = follow_session(&client, zk, told).await {
            tracing::debug!("detector: {why}");
        }
        // Without a session nobody knows who leads.
        told.send_replace(None);
    }
}

/// Follows as long as the session lives.
async fn follow_session(
    client: &Client,
    zk: &ZkAddress,
    told: &watch::Sender<Option<MasterInfo>>,
) -> Result<(), ElectionError> {
    make_folder(client, zk, &zk.path).await?;
    loop {
        let listed = client.list_and_watch_children(&zk.path).await;
        let (names, watcher) =
            listed.map_err(|source| ElectionError::new("watch", &zk.path, zk, source))?;
        let found = match leader(names.iter().map(String::as_str)) {
            None => None,
            Some(name) => {
                let path = format!("{}/{name}", zk.path);
                match client.get_data(&path).await {
                    Ok((data, _)) => parse(&path, &data),
                    // It went between the two looks; the watch tells of it at once.
                    Err(Error::NoNode) => None,
                    Err(source) if is_passing(&source) => {
                        return Err(ElectionError::new("read", &path, zk, source));
                    }
                    Err(source) => {
                        tracing::warn!("the leader's znode {path} cannot be read: {source}");
                        None
                    }
                }
            }
        };
        told.send_if_modified(|known| {
            let differs = *known != found;
            if differs {
                *known = found;
            }
            differs
        });
        if watcher.changed().await.session_state.is_terminated() {
            return Ok(());
        }
    }
}

fn parse(path: &str, data: &[u8]) -> Option<MasterInfo> {
    match serde_json::from_slice(data) {
        Ok(info) => Some(info),
        Err(why) => {
            tracing::warn!("{path} holds no master's address: {why}");
            None
        }
    }
}
