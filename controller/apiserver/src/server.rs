//! Start and stop.
//!
//! Lives here: the socket, the connections, the jobs beside them, and the objects that exist from the
//! start. Must not: look into requests. Start at [`Server::start`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ensemble::Local;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::api::Api;
use crate::pki::{Pair, Pki, PkiError};
use crate::store::{MemoryStore, Store, ZnodeStore};
use crate::tls::{self, Shown, TlsError};
use crate::world::World;
use crate::{collector, first, kubeconfig};

/// Everything the server must be told.
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Where the CA, the serving and the admin certificate are kept (made when absent).
    pub tls_dir: PathBuf,
    /// Where the objects are kept.
    pub store: Arc<dyn Store>,
    /// CustomResourceDefinitions that exist from the start; an older one in the store is brought up
    /// to date.
    pub builtin_crds: Vec<Value>,
    /// Host names and addresses, beside the usual ones, that the serving certificate is good for.
    pub extra_names: Vec<String>,
}

impl ServerConfig {
    /// Objects are kept in the ensemble that `local` belongs to.
    pub fn new(addr: SocketAddr, tls_dir: impl Into<PathBuf>, local: Local) -> Self {
        Self::with_store(addr, tls_dir, Arc::new(ZnodeStore::new(local)))
    }

    /// Objects are kept in memory and are gone with the process.
    pub fn in_memory(addr: SocketAddr, tls_dir: impl Into<PathBuf>) -> Self {
        Self::with_store(addr, tls_dir, Arc::new(MemoryStore::default()))
    }

    /// Objects are kept in `store`.
    pub fn with_store(
        addr: SocketAddr,
        tls_dir: impl Into<PathBuf>,
        store: Arc<dyn Store>,
    ) -> Self {
        Self {
            addr,
            tls_dir: tls_dir.into(),
            store,
            builtin_crds: Vec::new(),
            extra_names: Vec::new(),
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("the API address {addr} cannot be listened on; stop what uses it or choose another")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificates could not be had.
    #[error("the API's certificates are not usable")]
    Pki(#[from] PkiError),
    /// TLS refuses the certificates.
    #[error("the API's TLS could not be set up")]
    Tls(#[from] TlsError),
    /// What must exist from the start could not be written.
    #[error("{what} could not be written to the store: {why}")]
    First {
        /// Which object.
        what: String,
        /// The refusal.
        why: String,
    },
}

/// A running API server. Dropping it stops it; [`Server::shutdown`] waits for the end.
pub struct Server {
    addr: SocketAddr,
    kubeconfig: String,
    stop: watch::Sender<bool>,
    jobs: JoinSet<()>,
}

impl Server {
    /// Listens, brings the built-in objects into the store, and serves.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let fail = |source| StartError::Listen { addr: config.addr, source };
        let listener = TcpListener::bind(config.addr).await.map_err(fail)?;
        let addr = listener.local_addr().map_err(fail)?;
        let mut names = config.extra_names;
        if !addr.ip().is_unspecified() {
            names.push(addr.ip().to_string());
        }
        let pki = Pki::open(&config.tls_dir, &names)?;
        let shown = Shown::new(&pki.serving()?)?;
        let acceptor = TlsAcceptor::from(tls::config(Arc::clone(&shown), &pki.ca)?);
        let kubeconfig = kubeconfig::render(addr, &pki.ca, &pki.admin()?);

        let (stop, stopping) = watch::channel(false);
        let world = World::follow(Arc::clone(&config.store));
        let api = Arc::new(Api::new(config.store, world, stopping.clone()));
        first::write(&api, config.builtin_crds)
            .await
            .map_err(|(what, why)| StartError::First { what, why })?;

        let mut jobs = JoinSet::new();
        let pumped = Arc::clone(&api);
        let mut pump_stopping = stopping.clone();
        jobs.spawn(async move {
            tokio::select! {
                () = pumped.world.pump() => tracing::error!("the API's store has ended"),
                _ = pump_stopping.wait_for(|stopping| *stopping) => {}
            }
        });
        jobs.spawn(collector::run(Arc::clone(&api)));
        jobs.spawn(renew(pki, shown, stopping.clone()));
        jobs.spawn(serve(listener, acceptor, api, stopping));
        Ok(Self { addr, kubeconfig, stop, jobs })
    }

    /// Where it listens, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A kubeconfig for the administrator, with the CA and the client certificate inline.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig.clone()
    }

    /// Stops taking requests, ends the watches, and waits for requests under way (5 s at most).
    pub async fn shutdown(mut self) {
        // Nobody listens any more when all jobs have ended already.
        let _ = self.stop.send(true);
        while self.jobs.join_next().await.is_some() {}
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    api: Arc<Api>,
    mut stopping: watch::Receiver<bool>,
) {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut callers = Callers::default();
    loop {
        let seat = Arc::clone(&seats).acquire_owned();
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = async { (seat.await, listener.accept().await) } => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            (Ok(seat), Ok((stream, _))) => {
                let greeted = Arc::new(AtomicBool::new(false));
                let handshake = greet(stream, acceptor.clone(), Arc::clone(&greeted));
                let (api, stopping) = (Arc::clone(&api), stopping.clone());
                let handle = connections.spawn(async move {
                    if let Some(stream) = handshake.await {
                        connection(stream, api, stopping).await;
                    }
                    drop(seat);
                });
                callers.add(handle, greeted);
            }
            (Err(_), _) => break,
            (_, Err(error)) => {
                // Out of file descriptors, most likely: give connections time to end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let end = async { while connections.join_next().await.is_some() {} };
    // What has not ended by then is cut.
    let _ = tokio::time::timeout(GRACE, end).await;
}

/// Connections that have not finished their handshake; when there are too many the oldest is cut, so
/// that those who call and say nothing keep nobody out.
#[derive(Default)]
struct Callers(VecDeque<(AbortHandle, Arc<AtomicBool>)>);

impl Callers {
    fn add(&mut self, handle: AbortHandle, greeted: Arc<AtomicBool>) {
        self.0
            .retain(|(handle, greeted)| !greeted.load(Ordering::Relaxed) && !handle.is_finished());
        self.0.push_back((handle, greeted));
        if self.0.len() > MAX_HANDSHAKES
            && let Some((oldest, _)) = self.0.pop_front()
        {
            oldest.abort();
        }
    }
}

async fn greet(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    greeted: Arc<AtomicBool>,
) -> Option<TlsStream<TcpStream>> {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return None;
    };
    greeted.store(true, Ordering::Relaxed);
    Some(stream)
}

async fn connection(stream: TlsStream<TcpStream>, api: Arc<Api>, stopping: watch::Receiver<bool>) {
    let certificates = stream.get_ref().1.peer_certificates();
    let user = certificates.and_then(|chain| chain.first()).and_then(tls::user_of);
    let service = service_fn(move |request| {
        let (api, user) = (Arc::clone(&api), user.clone());
        async move { Ok::<_, std::convert::Infallible>(api.answer(user, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(KEEP_ALIVE)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buf_size(MAX_BUFFER);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = stopping;
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopping.wait_for(|stopping| *stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Looks once a day whether the serving certificate must be renewed.
async fn renew(pki: Pki, shown: Arc<Shown>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEW) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let renewed = pki.serving().map_err(|e| e.to_string());
        let renewed =
            renewed.and_then(|pair: Pair| shown.replace(&pair).map_err(|e| e.to_string()));
        if let Err(error) = renewed {
            tracing::warn!(error, "the serving certificate could not be renewed");
        }
    }
}

const MAX_CONNECTIONS: usize = 1024;
/// Connections in their handshake; beyond it the oldest is cut.
const MAX_HANDSHAKES: usize = 256;
const MAX_STREAMS: u32 = 250;
/// Bytes held for a client that reads slowly, or sends a head.
const MAX_BUFFER: usize = 128 << 10;
const MAX_HEADERS: u32 = 64 << 10;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_secs(24 * 3600);
