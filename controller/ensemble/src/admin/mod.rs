//! The admin port: Apache's commands over HTTP, and Prometheus' `/metrics` on a port of its own.
//!
//! Lives here: listening, and which path is what. Must not: gather figures (`report`, `metrics`).
//! Start at [`serve`]; the commands are in `commands`, those that move a whole tree in `transfer`.

mod commands;
mod layout;
mod transfer;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics::prometheus;
use crate::shared::Shared;
use transfer::Limits;

/// Where the admin port listens and what it allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminConfig {
    /// Port 0 takes a free one.
    pub addr: SocketAddr,
    /// The path before the commands' names.
    pub command_url: String,
    /// Whether a snapshot may be taken and fetched.
    pub snapshot: bool,
    /// Whether the tree may be replaced by a snapshot.
    pub restore: bool,
    /// One snapshot and one restore in so much time.
    pub rate_limit: Duration,
    /// An idle connection is closed after it.
    pub idle_timeout: Duration,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([0, 0, 0, 0], 8080)),
            command_url: "/commands".to_owned(),
            snapshot: true,
            restore: true,
            rate_limit: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What all requests share.
#[derive(Debug)]
struct Admin {
    shared: Arc<Shared>,
    config: AdminConfig,
    limits: Limits,
}

/// Serves the commands until the job is ended.
pub(crate) async fn serve(listener: TcpListener, config: AdminConfig, shared: Arc<Shared>) {
    let idle = config.idle_timeout;
    let admin = Arc::new(Admin { shared, config, limits: Limits::default() });
    accept(listener, idle, move |request| {
        let admin = Arc::clone(&admin);
        async move { admin.answer(request).await }
    })
    .await;
}

/// Serves `/metrics` until the job is ended.
pub(crate) async fn serve_metrics(listener: TcpListener, shared: Arc<Shared>) {
    accept(listener, AdminConfig::default().idle_timeout, move |request| {
        let shared = Arc::clone(&shared);
        async move {
            match (request.method(), request.uri().path()) {
                (&Method::GET, "/metrics") => {
                    text("text/plain; version=0.0.4; charset=utf-8", prometheus::text(&shared))
                }
                _ => not_found("/metrics"),
            }
        }
    })
    .await;
}

async fn accept<F>(
    listener: TcpListener,
    idle: Duration,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "admin connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(|mut request: Request<Incoming>| {
                request.extensions_mut().insert(remote);
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(idle)
                .max_buf_size(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection ended");
            }
            drop(place);
        });
    }
}

impl Admin {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let base = self.config.command_url.trim_end_matches('/');
        let path = request.uri().path().to_owned();
        let Some(rest) = path.strip_prefix(base) else { return not_found(base) };
        match *request.method() {
            Method::GET | Method::HEAD | Method::POST => {}
            Method::OPTIONS => {
                let mut response = status(StatusCode::OK);
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
                return response;
            }
            Method::TRACE => return status(StatusCode::FORBIDDEN),
            _ => return status(StatusCode::METHOD_NOT_ALLOWED),
        }
        match rest.trim_matches('/') {
            "" => text("text/html;charset=utf-8", commands::index(base)),
            "snapshot" | "snap" => transfer::snapshot(self, &request).await,
            "restore" | "rest" => transfer::restore(self, request).await,
            name => {
                let query = request.uri().query().unwrap_or_default();
                json(StatusCode::OK, &commands::run(&self.shared, name, query))
            }
        }
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = text("application/json", layout::of(value));
    *response.status_mut() = status;
    response
}

fn text(kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(whole(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn not_found(there: &str) -> Response<Body> {
    let mut response = text("text/plain", format!("nothing is here; look at {there}\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// One at a time within some time.
#[derive(Debug, Default)]
struct Limit(std::sync::Mutex<Option<Instant>>);

impl Limit {
    /// Whether one more may be done now; if so, it counts.
    fn take(&self, every: Duration) -> bool {
        let mut last = self.0.lock().expect("nobody panics while holding a limit");
        let free = last.is_none_or(|last| last.elapsed() >= every);
        if free {
            *last = Some(Instant::now());
        }
        free
    }
}

const METHODS: &str = "GET, HEAD, POST, OPTIONS";
const CONNECTIONS: usize = 64;
const MAX_HEADERS: usize = 16 << 10;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
