//! Names to addresses, at every attempt: a peer may come back elsewhere.

use std::io;
use std::net::SocketAddr;

use jute::{HostPort, ServerAddress};

/// Where a peer's leader port is.
pub(super) fn quorum(address: &ServerAddress) -> HostPort {
    HostPort { host: address.host.clone(), port: address.quorum_port }
}

/// Where a peer's election port is.
pub(super) fn election(address: &ServerAddress) -> HostPort {
    HostPort { host: address.host.clone(), port: address.election_port }
}

/// Where a peer takes observers while it follows.
pub(super) fn observers(address: &ServerAddress, port: u16) -> HostPort {
    HostPort { host: address.host.clone(), port }
}

/// What the name stands for now.
pub(super) async fn resolve(place: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((place.host.as_str(), place.port)).await?.collect();
    if found.is_empty() {
        let name = format!("{} has no address", place.host);
        return Err(io::Error::new(io::ErrorKind::NotFound, name));
    }
    Ok(found)
}
