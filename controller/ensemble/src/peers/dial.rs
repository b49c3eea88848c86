//! Connecting to a peer that has one address or several.

use std::io;
use std::time::Duration;

use futures::future::select_ok;
use jute::HostPort;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::address::resolve;
use super::security::PeerSecurity;
use super::stream::Stream;

/// The first of the places that answers, and proves who it is, within `limit`.
pub(crate) async fn dial(
    places: &[HostPort],
    limit: Duration,
    security: &PeerSecurity,
) -> io::Result<Stream> {
    let attempts: Vec<_> = places.iter().map(|place| Box::pin(call(place, security))).collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the peer has no address"));
    }
    let all = timeout(limit, select_ok(attempts));
    let (stream, _rest) = all.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(stream)
}

async fn call(place: &HostPort, security: &PeerSecurity) -> io::Result<Stream> {
    security.connect(connect(place).await?, &place.host).await
}

async fn connect(place: &HostPort) -> io::Result<TcpStream> {
    let mut last = None;
    for address in resolve(place).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}
