//! The master's HTTP/1.1 server: connections, routes, and who may answer.
//!
//! Lives here: accepting, paths, redirects to the leader. Must not: know what calls mean. Start at
//! [`serve`].

mod body;
mod classic;
mod link;
mod media;
mod operator;
mod reply;
mod scheduler;
pub(crate) mod stream;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesos::v1::MasterInfo;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::leader::Desk;
use reply::{Refusal, Reply, refusal, text};

/// How many connections are open at once; more wait.
const CONNECTIONS: usize = 20_000;
/// A request's head must be there by then; idle connections end then too. Long enough for clients that say
/// something with every heartbeat (15 s) to keep theirs.
const HEAD_WITHIN: Duration = Duration::from_secs(120);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) info: MasterInfo,
    pub(crate) pool: String,
    pub(crate) started: SystemTime,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// What this process is in the pool.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Another one leads, or nobody.
    Following(Option<Box<MasterInfo>>),
    /// Elected, and still reading the registry.
    Recovering,
    /// It leads.
    Leading(Desk),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Following(None)
    }
}

/// Serves until it is dropped, with all its connections.
pub(crate) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = loop {
            tokio::select! {
                accepted = listener.accept() => break accepted,
                Some(_ended) = connections.join_next() => {}
            }
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of descriptors, mostly: connections that end give some back.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let site = Arc::clone(&site);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(route(&site, request).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(socket), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
}

async fn route(site: &Site, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let path = path.strip_prefix("/master").filter(|rest| rest.starts_with('/')).unwrap_or(&path);
    match path {
        "/health" => return reply::empty(StatusCode::OK),
        "/version" => return reply::json(classic::version()),
        "/flags" => return reply::json(classic::flags(site)),
        "/redirect" => return redirect_to_leader(site),
        "/metrics/snapshot" => return classic::metrics(site).await,
        _ => {}
    }
    // Longest prefix first, as Mesos routes.
    let api = if under(path, "/api/v1/scheduler") {
        Api::Scheduler
    } else if under(path, mesos::link::PATH) {
        Api::Link
    } else if under(path, "/api/v1") {
        Api::Operator
    } else if let Some(page) = classic::Page::at(path) {
        Api::Classic(page)
    } else {
        return text(StatusCode::NOT_FOUND, "404 Not Found.");
    };
    let desk = match desk(site, &request) {
        Ok(desk) => desk,
        Err(refusal) => return *refusal,
    };
    let expected = if matches!(api, Api::Classic(_)) { Method::GET } else { Method::POST };
    if *request.method() != expected {
        return reply::wrong_method(&expected, request.method());
    }
    match api {
        Api::Scheduler => scheduler::handle(&desk, request).await,
        Api::Link => link::handle(&desk, request).await,
        Api::Operator => operator::handle(site, &desk, request).await,
        Api::Classic(page) => classic::handle(site, &desk, page).await,
    }
}

enum Api {
    Scheduler,
    Link,
    Operator,
    Classic(classic::Page),
}

fn under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The machine, if it is in this process and ready; else where it is.
fn desk(site: &Site, request: &Request<Incoming>) -> Result<Desk, Refusal> {
    match &*site.phase.borrow() {
        Phase::Leading(desk) => Ok(desk.clone()),
        Phase::Recovering => {
            Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "Master has not finished recovery"))
        }
        Phase::Following(None) => Err(Box::new(no_leader())),
        Phase::Following(Some(leader)) => {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            Err(Box::new(redirect(leader, path)))
        }
    }
}

fn redirect_to_leader(site: &Site) -> Reply {
    match &*site.phase.borrow() {
        Phase::Leading(_) | Phase::Recovering => redirect(&site.info, ""),
        Phase::Following(Some(leader)) => redirect(leader, ""),
        Phase::Following(None) => no_leader(),
    }
}

fn no_leader() -> Reply {
    text(StatusCode::SERVICE_UNAVAILABLE, "No leader elected")
}

/// Without a scheme, as Mesos does it.
fn redirect(leader: &MasterInfo, path: &str) -> Reply {
    let location = format!("//{}:{}{path}", bracketed(leader.hostname()), leader.port);
    let mut reply = reply::empty(StatusCode::TEMPORARY_REDIRECT);
    if let Ok(location) = location.parse() {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    reply
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.into() }
}
