//! The ports for peers: opened at the start, patiently, and kept.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use jute::{HostPort, Server};
use tokio::net::TcpListener;

use super::EnsembleConfig;
use super::address::{election, observers, quorum, resolve};

/// The ports of one member, open.
#[derive(Debug)]
pub(crate) struct BoundPorts {
    /// For votes.
    pub(crate) election: Vec<TcpListener>,
    /// For learners.
    pub(crate) quorum: Vec<TcpListener>,
}

/// Opens the ports of `server`. `Err`: the place that could not be listened on, and why.
pub(crate) async fn bind(
    config: &EnsembleConfig,
    server: &Server,
) -> Result<BoundPorts, (HostPort, io::Error)> {
    let mut ports = BoundPorts { election: Vec::new(), quorum: Vec::new() };
    for address in &server.addresses {
        ports.election.push(bind_one(config, election(address)).await?);
        ports.quorum.push(bind_one(config, quorum(address)).await?);
    }
    Ok(ports)
}

/// Opens the port at which a follower takes observers; patient for ever.
pub(super) async fn bind_for_observers(
    config: &EnsembleConfig,
    server: &Server,
    port: u16,
) -> Vec<TcpListener> {
    let config = EnsembleConfig { bind_retries: None, ..config.clone() };
    let mut places: Vec<_> =
        server.addresses.iter().map(|address| observers(address, port)).collect();
    places.sort_by(|one, other| one.host.cmp(&other.host));
    places.dedup();
    if config.listen_on_all_addresses {
        places.truncate(1);
    }
    let mut listeners = Vec::new();
    for place in places {
        // It is tried for ever.
        listeners.extend(bind_one(&config, place).await);
    }
    listeners
}

/// A port may be held for a moment by the member that ran here before, and a name may not be known yet.
async fn bind_one(
    config: &EnsembleConfig,
    place: HostPort,
) -> Result<TcpListener, (HostPort, io::Error)> {
    let mut retries = config.bind_retries;
    let mut quick = QUICK_TRIES;
    loop {
        let error = match listen(config, &place).await {
            Ok(listener) => return Ok(listener),
            Err(error) => error,
        };
        if quick > 0 && error.kind() == io::ErrorKind::AddrInUse {
            quick -= 1;
            tokio::time::sleep(RETRY_QUICKLY_AFTER).await;
            continue;
        }
        if retries == Some(0) {
            return Err((place, error));
        }
        retries = retries.map(|left| left - 1);
        tracing::warn!(%place, %error, "port for peers not opened yet; tried again");
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn listen(config: &EnsembleConfig, place: &HostPort) -> io::Result<TcpListener> {
    if config.listen_on_all_addresses {
        let all = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), place.port);
        // Where IPv6 is off, the old one serves.
        return match TcpListener::bind(all).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(("0.0.0.0", place.port)).await
            }
            bound => bound,
        };
    }
    let mut last = None;
    for address in resolve(place).await? {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// A member that has just ended here lets go of its ports within moments.
const RETRY_QUICKLY_AFTER: Duration = Duration::from_millis(20);
const QUICK_TRIES: u32 = 25;
const RETRY_AFTER: Duration = Duration::from_secs(1);
