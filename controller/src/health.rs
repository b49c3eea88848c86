//! `/healthz` and `/readyz`, for whoever watches over the controller's process.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Probes served at once; more wait.
const CONNECTIONS: usize = 16;

/// Answers until dropped. The process answers only when its one thread makes progress, so an answer is
/// the whole of health.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn serve(addr: SocketAddr) -> Result<Infallible> {
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("listen on {addr} for health; choose another --health-addr"))?;
    let places = std::sync::Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place =
            places.clone().acquire_owned().await.context("the semaphore is never closed")?;
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(why) => {
                tracing::debug!("health: {why}");
                tokio::task::yield_now().await;
                continue;
            }
        };
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            // A probe that hangs must not keep its place.
            let _late = tokio::time::timeout(std::time::Duration::from_secs(5), served).await;
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let known = matches!(request.uri().path(), "/healthz" | "/readyz" | "/livez");
    let (status, body) =
        if known { (StatusCode::OK, "ok") } else { (StatusCode::NOT_FOUND, "not found") };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    Ok(response)
}
