//! Wires the reconcilers to what wakes them.
//!
//! Lives here: which change wakes which object. Must not: decide. Start at [`run`].
//! Everything that matters arrives as an event: objects by watches, parts by the platform, znodes by
//! watches of their ensemble, tasks by their runs. The times in [`crate::context`] are a safety net.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use crds::{Agent, Ensemble, Framework, ResourcePool, ZNode, reasons};
use futures::stream::unfold;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use tokio::sync::{broadcast, mpsc, watch};

use crate::conditions::is_true;
use crate::context::{Context, on_error};
use crate::framework::{Runs, SchedulerRuns};
use crate::kind::Kind;
use crate::lease::{self, LeaseOptions};
use crate::platform::{Owner, Platform};
use crate::znode::Watching;
use crate::{agent, ensemble, framework, pool, znode};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who this controller is: no two that live at a time may say the same, and its next run must.
    pub identity: String,
    /// Only objects of this namespace; all of them otherwise.
    pub namespace: Option<String>,
    /// Act only while holding a Lease, so that of several controllers one acts.
    pub lease: Option<LeaseOptions>,
}

/// Why the controller ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another controller acts now; this one must not any more.
    #[error("the Lease {0} was lost to another controller")]
    LeaseLost(String),
    /// The API cannot be asked for the Lease.
    #[error(transparent)]
    Lease(#[from] crate::error::Error),
}

/// Reconciles until `shutdown` is true. Frameworks' runs have then ended and their tasks run on; parts are
/// the platform's and stay.
pub async fn run(
    client: Client,
    platform: Arc<dyn Platform>,
    options: Options,
    shutdown: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let runs: Arc<dyn Runs> = Arc::new(SchedulerRuns::new(options.identity.clone()));
    let Some(lease) = options.lease.clone() else {
        reconcile_all(client, platform, runs, &options, told(shutdown)).await;
        return Ok(());
    };
    let name = format!("{}/{}", lease.namespace, lease.name);
    let held = tokio::select! {
        held = lease::acquire(client.clone(), lease) => held?,
        () = told(shutdown.clone()) => return Ok(()),
    };
    let (end, ended) = watch::channel(false);
    let work = reconcile_all(client, platform, runs, &options, told(ended));
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => {}
        () = held.lost() => {
            // Whoever reads the other end is told below; nobody may be left.
            let _told = end.send(true);
            work.await;
            return Err(RunError::LeaseLost(name));
        }
        () = told(shutdown) => {
            let _told = end.send(true);
            work.await;
        }
    }
    held.release().await;
    Ok(())
}

/// Ends when the flag is raised, or nobody can raise it any more.
async fn told(mut flag: watch::Receiver<bool>) {
    let _raised = flag.wait_for(|raised| *raised).await;
}

async fn reconcile_all(
    client: Client,
    platform: Arc<dyn Platform>,
    runs: Arc<dyn Runs>,
    options: &Options,
    end: impl Future<Output = ()>,
) {
    let ctx = Arc::new(Context::new(client.clone(), platform, runs.clone()));
    let scope = Scope { client, namespace: options.namespace.clone() };
    let all = futures::future::join5(
        ensembles(&scope, &ctx),
        znodes(&scope, &ctx),
        pools(&scope, &ctx),
        agents(&scope, &ctx),
        frameworks(&scope, &ctx),
    );
    // Dropped where it stands: every step may be repeated, and what was half done is done by the next.
    tokio::select! {
        _ = all => {}
        () = end => {}
    }
    runs.leave_all().await;
}

/// Where objects are watched.
struct Scope {
    client: Client,
    namespace: Option<String>,
}

impl Scope {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn controller<K: Kind>(&self) -> Controller<K> {
        Controller::new(self.api::<K>(), watcher::Config::default())
            .with_config(controller::Config::default().concurrency(CONCURRENCY))
    }
}

async fn ensembles(scope: &Scope, ctx: &Arc<Context>) {
    let controller = scope.controller::<Ensemble>();
    let store = controller.store();
    let users = store.clone();
    let more_users = store.clone();
    let (of_map, of_secret) = (store.clone(), store);
    let work = controller
        // One that waits to be deleted goes on when its last user has gone.
        .watches(
            scope.api::<ResourcePool>(),
            watcher::Config::default(),
            move |pool: ResourcePool| deleting(&users, &pool, &pool.spec.ensemble_ref.name),
        )
        .watches(scope.api::<ZNode>(), watcher::Config::default(), move |znode: ZNode| {
            deleting(&more_users, &znode, &znode.spec.ensemble_ref.name)
        })
        .watches(scope.api::<ConfigMap>(), watcher::Config::default(), move |map: ConfigMap| {
            all_where(&of_map, true, &map, |ensemble: &Ensemble, name| {
                ensemble::names_config_map(&ensemble.spec, name)
            })
        })
        .watches(scope.api::<Secret>(), watcher::Config::default(), move |secret: Secret| {
            all_where(&of_secret, true, &secret, |ensemble: &Ensemble, name| {
                ensemble::names_secret(&ensemble.spec, name)
            })
        })
        .reconcile_on(changed_parts(ctx.platform.changes()))
        .run(ensemble::reconcile, on_error, ctx.clone());
    drain("Ensemble", work).await;
}

async fn znodes(scope: &Scope, ctx: &Arc<Context>) {
    let (wake, woken) = mpsc::unbounded_channel();
    let watching = Arc::new(Watching::new(wake));
    let controller = scope.controller::<ZNode>();
    let store = controller.store();
    let (of_ensemble, of_map, of_secret) = (store.clone(), store.clone(), store);
    let changed = Changed::default();
    let work = controller
        .watches(scope.api::<Ensemble>(), watcher::Config::default(), move |ensemble: Ensemble| {
            let is_news = changed.is_news(&ensemble, &ensemble::servers(&ensemble).ok());
            all_where(&of_ensemble, is_news, &ensemble, |znode: &ZNode, name| {
                znode.spec.ensemble_ref.name == name
            })
        })
        .watches(scope.api::<ConfigMap>(), watcher::Config::default(), move |map: ConfigMap| {
            all_where(&of_map, true, &map, |znode: &ZNode, name| {
                let source =
                    znode.spec.data_from.as_ref().and_then(|f| f.config_map_key_ref.as_ref());
                source.is_some_and(|source| source.name == name)
            })
        })
        .watches(scope.api::<Secret>(), watcher::Config::default(), move |secret: Secret| {
            all_where(&of_secret, true, &secret, |znode: &ZNode, name| {
                let source =
                    znode.spec.data_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
                source.is_some_and(|source| source.name == name)
            })
        })
        .reconcile_on(unfold(woken, |mut woken| async { woken.recv().await.map(|o| (o, woken)) }))
        .run(
            move |znode, ctx| znode::reconcile(znode, (ctx, watching.clone())),
            on_error,
            ctx.clone(),
        );
    drain("ZNode", work).await;
}

async fn pools(scope: &Scope, ctx: &Arc<Context>) {
    let controller = scope.controller::<ResourcePool>();
    let store = controller.store();
    let of_framework = store.clone();
    let changed = Changed::default();
    let work = controller
        .owns(scope.api::<Agent>(), watcher::Config::default())
        .watches(scope.api::<Ensemble>(), watcher::Config::default(), move |ensemble: Ensemble| {
            let is_news = changed.is_news(&ensemble, &ensemble::servers(&ensemble).ok());
            all_where(&store, is_news, &ensemble, |pool: &ResourcePool, name| {
                pool.spec.ensemble_ref.name == name
            })
        })
        // Its tasks are what roles have: so a pool's figures follow its frameworks, and one that waits to be
        // deleted goes on when the last of them has gone.
        .watches(
            scope.api::<Framework>(),
            watcher::Config::default(),
            move |framework: Framework| {
                named_in(&of_framework, &framework, &framework.spec.pool_ref.name)
            },
        )
        .reconcile_on(changed_parts(ctx.platform.changes()))
        .run(pool::reconcile, on_error, ctx.clone());
    drain("ResourcePool", work).await;
}

async fn agents(scope: &Scope, ctx: &Arc<Context>) {
    let work = scope.controller::<Agent>().run(agent::reconcile, on_error, ctx.clone());
    drain("Agent", work).await;
}

async fn frameworks(scope: &Scope, ctx: &Arc<Context>) {
    let controller = scope.controller::<Framework>();
    let store = controller.store();
    let changed = Changed::default();
    let work = controller
        .watches(
            scope.api::<ResourcePool>(),
            watcher::Config::default(),
            move |pool: ResourcePool| {
                let status = pool.status.as_ref();
                let seen = (
                    status.and_then(|status| status.detector.clone()),
                    status.and_then(|status| status.leader.clone()),
                    is_true(status, reasons::READY),
                );
                let is_news = changed.is_news(&pool, &seen);
                all_where(&store, is_news, &pool, |framework: &Framework, name| {
                    framework.spec.pool_ref.name == name
                })
            },
        )
        .reconcile_on(changed_parts(ctx.runs.changes()))
        .run(framework::reconcile, on_error, ctx.clone());
    drain("Framework", work).await;
}

/// Errors of reconciliations were told by [`on_error`]; those of watches are told here, and tried again.
async fn drain<T, E: Debug>(word: &'static str, work: impl Stream<Item = Result<T, E>>) {
    let mut work = std::pin::pin!(work);
    while let Some(outcome) = work.next().await {
        if let Err(why) = outcome {
            tracing::debug!("{word}: {why:?}");
        }
    }
}

/// The last thing that mattered of each object, so that a figure that changed wakes nobody.
struct Changed<T> {
    seen: Mutex<HashMap<String, T>>,
}

impl<T> Default for Changed<T> {
    fn default() -> Self {
        Self { seen: Mutex::default() }
    }
}

impl<T: Clone + PartialEq> Changed<T> {
    fn is_news<K: Kind>(&self, object: &K, now: &T) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(object.uid().unwrap_or_default(), now.clone()).as_ref() != Some(now)
    }
}

/// The objects of `about`'s namespace that mean it by its name.
fn all_where<K: Kind>(
    store: &Store<K>,
    is_news: bool,
    about: &impl ResourceExt,
    means: impl Fn(&K, &str) -> bool,
) -> Vec<ObjectRef<K>> {
    if !is_news {
        return Vec::new();
    }
    let (namespace, name) = (about.namespace(), about.name_any());
    let all = store.state();
    all.iter()
        .filter(|object| object.namespace() == namespace && means(object, &name))
        .map(|object| ObjectRef::from_obj(object.as_ref()))
        .collect()
}

/// The object of `about`'s namespace that has this name.
fn named_in<K: Kind>(
    store: &Store<K>,
    about: &impl ResourceExt,
    name: &str,
) -> Option<ObjectRef<K>> {
    let reference = ObjectRef::new(name).within(&about.namespace().unwrap_or_default());
    store.get(&reference).map(|_| reference)
}

/// The same, if it waits to be deleted.
fn deleting<K: Kind>(
    store: &Store<K>,
    about: &impl ResourceExt,
    name: &str,
) -> Option<ObjectRef<K>> {
    let reference = ObjectRef::new(name).within(&about.namespace().unwrap_or_default());
    let object = store.get(&reference)?;
    crate::kind::is_deleting(object.as_ref()).then_some(reference)
}

/// Owners of changed parts, as objects of a kind. One of another kind has no object by that name, or a
/// namesake that is looked at once too often.
fn changed_parts<K: Kind>(
    changes: broadcast::Receiver<Owner>,
) -> Pin<Box<dyn Stream<Item = ObjectRef<K>> + Send>> {
    Box::pin(unfold(changes, |mut changes| async {
        loop {
            match changes.recv().await {
                Ok(owner) => {
                    let reference = ObjectRef::new(&owner.name).within(&owner.namespace);
                    return Some((reference, changes));
                }
                // What was missed is found by the safety net.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }))
}

/// Objects of a kind that are worked on at the same time.
const CONCURRENCY: u16 = 16;
