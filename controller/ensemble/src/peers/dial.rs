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
pub(super) async fn dial(
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

/// The same at leader ports, where whoever calls proves itself before the first packet.
pub(crate) async fn dial_for_packets(
    places: &[HostPort],
    limit: Duration,
    security: &PeerSecurity,
) -> io::Result<Stream> {
    let mut stream = dial(places, limit, security).await?;
    timeout(limit, security.prove(&mut stream)).await??;
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn one_of_several_addresses_is_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        // Nobody is there, nobody has the name, and somebody listens.
        let closed = HostPort { host: "127.0.0.1".to_owned(), port: 1 };
        let nowhere = HostPort { host: "nowhere.invalid".to_owned(), port };
        let open = HostPort { host: "127.0.0.1".to_owned(), port };
        let (time, security) = (Duration::from_secs(60), PeerSecurity::default());
        let places = [closed.clone(), nowhere, open];
        dial(&places, time, &security).await.expect("the third one answers");
        dial(&[closed], time, &security).await.expect_err("nobody listens");
        dial(&[], time, &security).await.expect_err("there is no address");
    }
}
