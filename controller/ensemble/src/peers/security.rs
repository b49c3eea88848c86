//! What a connection between members must show before anything is said on it.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::sasl;
use super::settings::PeerSaslConfig;
use super::stream::Stream;
use crate::tls::PeerTls;

/// How members prove to each other who they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerSecurity {
    /// `None`: in the open.
    pub(crate) tls: Option<Arc<PeerTls>>,
    /// `None`: not by SASL.
    pub(crate) sasl: Option<Arc<PeerSaslConfig>>,
}

impl PeerSecurity {
    /// Takes a call, by TLS when the caller speaks it. Waits for the caller to speak.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        let _ = stream.set_nodelay(true);
        let remote = stream.peer_addr()?;
        let refused = |why: &str| {
            tracing::warn!(%remote, "a member's call refused: {why}");
            io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned())
        };
        let mut first = [0];
        let speaks_tls = stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE;
        match &self.tls {
            Some(tls) if speaks_tls && tls.takes_tls() => {
                match TlsAcceptor::from(tls.server()).accept(stream).await {
                    Ok(stream) => Ok(Stream::Secure(Box::new(stream.into()))),
                    Err(error) => Err(refused(&format!("TLS: {error}"))),
                }
            }
            Some(tls) if !speaks_tls && !tls.takes_plain() => Err(refused(
                "it does not speak TLS; set sslQuorum=true there, or portUnification=true here while the \
                 members change over",
            )),
            _ if speaks_tls => Err(refused(
                "it speaks TLS, and this member does not; set portUnification=true here first, or \
                 sslQuorum=false there",
            )),
            _ => Ok(Stream::Plain(stream)),
        }
    }

    /// Proves to whom was called who this member is: behind the first message on a connection for votes, and
    /// before it on one for packets.
    pub(super) async fn prove(&self, stream: &mut Stream) -> io::Result<()> {
        let Some(config) = &self.sasl else { return Ok(()) };
        let proven = sasl::prove(stream, config).await;
        proven.inspect_err(|error| tracing::warn!(%error, "a member is not called"))
    }

    /// The same at the other end. Answers with what was read beyond.
    pub(super) async fn demand(&self, stream: &mut Stream) -> io::Result<BytesMut> {
        let Some(config) = &self.sasl else { return Ok(BytesMut::new()) };
        let demanded = sasl::demand(stream, config).await;
        demanded.inspect_err(|error| tracing::warn!(%error, "a member's call refused"))
    }

    /// Goes on with a call to `host`, by TLS if members are called so.
    pub(super) async fn connect(&self, stream: TcpStream, host: &str) -> io::Result<Stream> {
        stream.set_nodelay(true)?;
        let Some(config) = self.tls.as_ref().and_then(|tls| tls.client()) else {
            return Ok(Stream::Plain(stream));
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        match TlsConnector::from(config).connect(name, stream).await {
            Ok(stream) => Ok(Stream::Secure(Box::new(stream.into()))),
            Err(error) => {
                tracing::warn!(host, %error, "a member is not called: TLS");
                Err(error)
            }
        }
    }
}

/// The first byte of TLS; a member's first message begins with another one.
const HANDSHAKE: u8 = 0x16;
