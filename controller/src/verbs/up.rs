//! `troupe up`: everything on this machine, with one command.
//!
//! Lives here: the order in which the parts start and end. The API (on the system ensemble, in this
//! process) comes first, then the controller over the local platform, then the manifests.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;

use super::block_on;
use crate::args::UpArgs;
use crate::manifests::{self, Applied};
use crate::out::say;
use crate::progress::Readiness;
use crate::{kubeconfig, shutdown};

/// Runs until told to end, or until all is Ready.
pub(crate) fn main(args: UpArgs) -> Result<ExitCode> {
    block_on(run(args))
}

async fn run(args: UpArgs) -> Result<ExitCode> {
    let started = Instant::now();
    let mut end = shutdown::on_signal().context("install signal handlers")?;
    let documents = manifests::read(&args.manifests)?;
    let data_dir = args.data_dir.clone().unwrap_or_else(kubeconfig::default_data_dir);
    // What is printed for $KUBECONFIG must hold in other folders too.
    let data_dir = std::path::absolute(&data_dir)
        .with_context(|| format!("find the data folder {}", data_dir.display()))?;
    let _lock = claim(&data_dir)?;

    let plane = Plane::start(&data_dir, args.api_port).await?;
    say!("API ready after {}: {}", seconds(started), plane.url);
    say!("  export KUBECONFIG={}", plane.kubeconfig.display());

    let outcome = drive(&args, &documents, &plane, &mut end, started).await;
    let told = *end.borrow();
    if told {
        say!("ending: tasks, agents, masters, members, then the API (objects and data are kept)");
    }
    plane.stop().await;
    if told && outcome.is_ok() {
        say!("ended");
    }
    outcome
}

async fn drive(
    args: &UpArgs,
    documents: &[manifests::Document],
    plane: &Plane,
    end: &mut watch::Receiver<bool>,
    started: Instant,
) -> Result<ExitCode> {
    let mut applied = Vec::new();
    if !documents.is_empty() {
        let mut kinds = manifests::Kinds::discover(&plane.client).await?;
        for document in documents {
            let object = manifests::apply(&plane.client, &mut kinds, document).await?;
            say!("{}/{} {}", object.resource.kind.to_lowercase(), object.name, object.outcome);
            applied.push(object);
        }
    }
    let mut board = Board::new(&plane.client, applied, started);
    if args.exit_when_ready {
        tokio::select! {
            () = shutdown::told(end) => return Ok(ExitCode::from(130)),
            ready = tokio::time::timeout(args.timeout, board.until_ready()) => {
                return Ok(if ready.is_ok() { ExitCode::SUCCESS } else { board.lament(args.timeout) });
            }
        }
    }
    tokio::select! {
        () = shutdown::told(end) => Ok(ExitCode::SUCCESS),
        why = plane.member.failed() => Err(why).context("the store of the API ended by itself"),
        () = board.forever() => Ok(ExitCode::SUCCESS),
    }
}

/// What runs in this process.
struct Plane {
    member: ensemble::Member,
    server: apiserver::Server,
    controller: tokio::task::JoinHandle<Result<(), reconcile::RunError>>,
    platform: Arc<reconcile::LocalPlatform>,
    end_controller: watch::Sender<bool>,
    client: Client,
    url: String,
    kubeconfig: PathBuf,
}

impl Plane {
    async fn start(data_dir: &Path, api_port: u16) -> Result<Self> {
        let mut system = ensemble::MemberConfig::in_process(data_dir.join("system"));
        // An object may have 3 MiB as it comes in; a release of Helm is a Secret of a megabyte, in base64.
        system.max_request_bytes = 8 << 20;
        let member = ensemble::Member::start(system).await.context("start the system ensemble")?;
        let definitions: Result<Vec<_>, _> = crds::all().iter().map(serde_json::to_value).collect();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, api_port));
        let mut config = apiserver::ServerConfig::new(addr, data_dir.join("tls"), member.local());
        config.builtin_crds = definitions.context("write the CRDs as JSON")?;
        let server = apiserver::Server::start(config).await.map_err(|why| {
            let remedy = match why {
                apiserver::StartError::Listen { .. } => {
                    " (--api-port names another port; 0 takes a free one)"
                }
                _ => "",
            };
            anyhow::Error::new(why).context(format!("start the API{remedy}"))
        })?;
        let kubeconfig = kubeconfig::path_below(data_dir);
        write_private(&kubeconfig, &server.kubeconfig())?;
        let client = Client::try_from(kubeconfig::from_file(&kubeconfig).await?)?;

        let platform = Arc::new(
            reconcile::LocalPlatform::open(data_dir.to_owned())
                .context("open the local platform")?,
        );
        let (end_controller, told) = watch::channel(false);
        let controller = tokio::spawn(reconcile::run(
            client.clone(),
            platform.clone(),
            reconcile::Options {
                identity: kubeconfig::identity(data_dir),
                namespace: None,
                lease: None,
            },
            told,
        ));
        let url = format!("https://{}", server.addr());
        Ok(Self { member, server, controller, platform, end_controller, client, url, kubeconfig })
    }

    /// Ends all in the order in which nothing is missed: whoever commands before whoever obeys.
    async fn stop(self) {
        // The receiver is gone only if the controller has ended already.
        let _ended = self.end_controller.send(true);
        if let Ok(Err(why)) = self.controller.await {
            tracing::warn!("the controller ended with an error: {why}");
        }
        self.platform.shutdown_all().await;
        self.server.shutdown().await;
        self.member.shutdown().await;
    }
}

/// The live lines: one for each applied object, whenever its state changes.
struct Board {
    rows: Vec<(Applied, Readiness)>,
    changes: SelectAll<BoxStream<'static, (usize, Option<DynamicObject>)>>,
    started: Instant,
    width: usize,
    told_ready: bool,
}

impl Board {
    fn new(client: &Client, applied: Vec<Applied>, started: Instant) -> Self {
        let mut changes = SelectAll::new();
        for (row, object) in applied.iter().enumerate() {
            let api: Api<DynamicObject> = match &object.namespace {
                Some(namespace) => {
                    Api::namespaced_with(client.clone(), namespace, &object.resource)
                }
                None => Api::all_with(client.clone(), &object.resource),
            };
            let seen = watcher::watch_object(api, &object.name);
            let told = seen.filter_map(move |seen| async move {
                match seen {
                    Ok(object) => Some((row, object)),
                    Err(why) => {
                        tracing::debug!("watch of an applied object: {why}");
                        None
                    }
                }
            });
            changes.push(told.boxed());
        }
        let name = |object: &Applied| object.resource.kind.len() + object.name.len() + 1;
        let width = applied.iter().map(name).max().unwrap_or(0);
        let rows = applied.into_iter().map(|object| (object, Readiness::unseen())).collect();
        Self { rows, changes, started, width, told_ready: false }
    }

    async fn until_ready(&mut self) {
        while !self.all_ready() {
            if !self.next().await {
                return;
            }
        }
    }

    async fn forever(&mut self) {
        while self.next().await {}
        std::future::pending::<()>().await;
    }

    fn all_ready(&self) -> bool {
        self.rows.iter().all(|(_, readiness)| readiness.is_ready())
    }

    /// Takes in one change; false when there is nothing to watch.
    async fn next(&mut self) -> bool {
        let Some((row, object)) = self.changes.next().await else { return false };
        let readiness = match object.map(serde_json::to_value) {
            Some(Ok(object)) => Readiness::of(&object),
            Some(Err(_)) => return true,
            None => Readiness::Waiting { reason: "Deleted".into(), message: "it is gone".into() },
        };
        let (applied, known) = &mut self.rows[row];
        if *known != readiness {
            let object = format!("{}/{}", applied.resource.kind, applied.name);
            let (sign, word, sentence) = readiness.words();
            let width = self.width;
            say!("{sign} {object:width$}  {:>6}  {word}  {sentence}", seconds(self.started));
            *known = readiness;
        }
        if !self.told_ready && self.all_ready() {
            self.told_ready = true;
            say!("all Ready after {}", seconds(self.started));
        }
        true
    }

    /// Tells what is not Ready at the time limit, and why.
    fn lament(&self, limit: Duration) -> ExitCode {
        crate::out::complain(&format!("troupe: not all Ready within {limit:?}:"));
        for (object, readiness) in self.rows.iter().filter(|(_, readiness)| !readiness.is_ready()) {
            let (_, word, sentence) = readiness.words();
            let name = format!("{}/{}", object.resource.kind, object.name);
            crate::out::complain(&format!("  {name}: {word}: {sentence}"));
        }
        ExitCode::FAILURE
    }
}

/// Takes the data folder for this process, so that two `troupe up` cannot share one.
fn claim(data_dir: &Path) -> Result<File> {
    fs::create_dir_all(data_dir).with_context(|| {
        format!("make the data folder {}; name another with --data-dir", data_dir.display())
    })?;
    let path = data_dir.join("up.lock");
    let mut file = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("open {}; name another folder with --data-dir", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let holder = fs::read_to_string(&path).unwrap_or_default();
        bail!(
            "{} belongs to a `troupe up` that runs already (pid {}): use its API (kubectl apply), end it, \
             or name another folder with --data-dir",
            data_dir.display(),
            holder.trim()
        );
    }
    file.set_len(0)
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(file)
}

/// Writes a file that holds a key: only the owner may read it, and a reader never sees half of it.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let fresh = path.with_extension("new");
    let write = || {
        let mut file =
            File::options().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

fn seconds(since: Instant) -> String {
    format!("{:.2}s", since.elapsed().as_secs_f64())
}
