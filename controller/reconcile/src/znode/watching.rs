//! Watches on declared znodes, each of which wakes its object.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crds::ZNode;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zookeeper_client::{AddWatchMode, Client, Error, EventType, SessionId};

/// One watch for each ZNode object.
pub(crate) struct Watching {
    wake: mpsc::UnboundedSender<ObjectRef<ZNode>>,
    watches: Mutex<HashMap<String, Watch>>,
}

struct Watch {
    session: SessionId,
    path: String,
    job: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.job.abort();
    }
}

impl Watching {
    /// Objects to wake go to `wake`.
    pub(crate) fn new(wake: mpsc::UnboundedSender<ObjectRef<ZNode>>) -> Self {
        Self { wake, watches: Mutex::default() }
    }

    /// Watches a znode through this session, if it is not watched so already. When this returns, every
    /// later change wakes the object.
    pub(crate) async fn ensure(
        &self,
        znode: &ZNode,
        client: &Client,
        path: &str,
    ) -> Result<(), Error> {
        let uid = znode.uid().unwrap_or_default();
        let session = client.session_id();
        {
            let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
            let current = watches.get(&uid);
            if current
                .is_some_and(|w| w.session == session && w.path == path && !w.job.is_finished())
            {
                return Ok(());
            }
        }
        let mut watcher = client.watch(path, AddWatchMode::Persistent).await?;
        let object = ObjectRef::from_obj(znode);
        let wake = self.wake.clone();
        let job = tokio::spawn(async move {
            loop {
                let event = watcher.changed().await;
                let over =
                    event.event_type == EventType::Session && event.session_state.is_terminated();
                // A child that comes or goes changes nothing that is declared.
                if event.event_type != EventType::NodeChildrenChanged
                    && wake.send(object.clone()).is_err()
                {
                    return;
                }
                if over {
                    return;
                }
            }
        });
        let watch = Watch { session, path: path.to_owned(), job };
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, watch);
        Ok(())
    }

    /// Ends the watch of an object that is gone.
    pub(crate) fn forget(&self, znode: &ZNode) {
        let uid = znode.uid().unwrap_or_default();
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
    }
}
