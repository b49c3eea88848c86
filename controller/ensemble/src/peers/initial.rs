//! The first message on a connection to the election port: read in pieces, written in one.

use std::io;

use bytes::{Bytes, BytesMut};
use jute::HostPort;
use jute::election::Initial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use types::PeerId;

use super::stream::Stream;

/// Says who dials, and where that member can be dialled.
pub(super) async fn send(stream: &mut Stream, me: PeerId, own: &[HostPort]) -> io::Result<()> {
    let addresses = own.iter().map(|place| place.to_string().into()).collect();
    let mut out = BytesMut::new();
    Initial { peer: me, addresses }.encode(&mut out);
    stream.write_all(&out).await?;
    stream.flush().await
}

/// Reads who dials; no more than the message.
pub(super) async fn receive(stream: &mut Stream) -> io::Result<Initial> {
    let mut bytes = vec![0; 8];
    stream.read_exact(&mut bytes).await?;
    // The first releases send their id and nothing else.
    if i64::from_be_bytes(bytes[..8].try_into().expect("8 bytes")) < 0 {
        bytes.resize(20, 0);
        stream.read_exact(&mut bytes[8..]).await?;
        let length = i32::from_be_bytes(bytes[16..20].try_into().expect("4 bytes"));
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_ADDRESS);
        let length = length.ok_or_else(|| invalid("a length that no address has"))?;
        bytes.resize(20 + length, 0);
        stream.read_exact(&mut bytes[20..]).await?;
    }
    Initial::decode(&Bytes::from(bytes)).map_err(invalid)
}

/// Where the dialler says it can be dialled; addresses that stand for all are of no use.
pub(super) fn places(initial: &Initial) -> Vec<HostPort> {
    let places = initial.addresses.iter().filter_map(|address| address.parse::<HostPort>().ok());
    let wildcard =
        |host: &str| host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    places.filter(|place| !wildcard(&place.host)).collect()
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const MAX_ADDRESS: usize = 2048;
