//! Watches on declared znodes, each of which wakes its object.
//!
//! ZooKeeper tells nobody of a changed ACL: so beside each watch the ACL's version is looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crds::ZNode;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zookeeper_client::{AddWatchMode, Client, Error, EventType, SessionId, SessionState};

/// One watch for each ZNode object.
pub(crate) struct Watching {
    wake: mpsc::UnboundedSender<ObjectRef<ZNode>>,
    watches: Mutex<HashMap<String, Watch>>,
    /// One clone for each watch: how many share the looks of a second.
    looking: Arc<()>,
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
        Self { wake, watches: Mutex::default(), looking: Arc::default() }
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
        let mut acl = acl_version(client, path).await?;
        let object = ObjectRef::from_obj(znode);
        let (wake, looking) = (self.wake.clone(), self.looking.clone());
        let (asked, znode_path) = (client.clone(), path.to_owned());
        let job = tokio::spawn(async move {
            let mut look_at = Instant::now() + between_looks(&looking);
            loop {
                let event = tokio::select! {
                    event = watcher.changed() => Some(event),
                    () = sleep_until(look_at) => None,
                };
                let (is_news, is_over) = match event {
                    Some(event) => {
                        let mut is_over = event.event_type == EventType::Session
                            && event.session_state.is_terminated();
                        // The client sets its persistent watches again at no server that it changes to
                        // (0.11.2: `resend_watches` never counts them).
                        if event.event_type == EventType::Session
                            && event.session_state == SessionState::SyncConnected
                        {
                            match asked.watch(&znode_path, AddWatchMode::Persistent).await {
                                Ok(again) => watcher = again,
                                Err(_) => is_over = true,
                            }
                        }
                        // A child that comes or goes changes nothing that is declared.
                        (event.event_type != EventType::NodeChildrenChanged, is_over)
                    }
                    None => {
                        // One that cannot be asked now is told of by its watch.
                        let now = acl_version(&asked, &znode_path).await.unwrap_or(acl);
                        look_at = Instant::now() + between_looks(&looking);
                        (std::mem::replace(&mut acl, now) != now, false)
                    }
                };
                if is_over || (is_news && wake.send(object.clone()).is_err()) {
                    // The object is woken at the end of its session too: then it gets another watch.
                    let _nobody = wake.send(object);
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

/// How often the ACL of this znode was changed; `None` without the znode.
async fn acl_version(client: &Client, path: &str) -> Result<Option<i32>, Error> {
    Ok(client.check_stat(path).await?.map(|stat| stat.aversion))
}

fn between_looks(looking: &Arc<()>) -> Duration {
    let watches = u32::try_from(Arc::strong_count(looking)).unwrap_or(u32::MAX);
    (LOOK_COST * watches).max(LOOK_EVERY)
}

/// Between two looks at an ACL.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// With many znodes looks become rarer, so that all together they are no more than 2,000 a second.
const LOOK_COST: Duration = Duration::from_micros(500);
