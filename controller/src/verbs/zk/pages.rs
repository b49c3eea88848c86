//! Children of a znode that has very many, a page at a time.
//!
//! Lives here: a session that asks for nothing else, as the client library has no such request. Servers of other
//! makes do not know it either, and hang up.

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use jute::{
    ConnectRequest, ConnectResponse, ErrorCode, PageStart, Reader, ReplyHeader, Request,
    RequestHeader, Response, Text,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use types::{SessionId, Zxid};
use zookeeper_client::Error;

use super::PATIENCE;

/// The names of all children, the oldest first; `None` where no server of `servers` knows of pages.
///
/// `servers` is as the client library takes it, with a chroot if there is one.
pub(super) async fn children(servers: &str, path: &str) -> Result<Option<Vec<String>>> {
    let (addresses, chroot) = match servers.find('/') {
        Some(at) => (&servers[..at], servers[at..].trim_end_matches('/')),
        None => (servers, ""),
    };
    let whole = if path == "/" && !chroot.is_empty() {
        chroot.to_owned()
    } else {
        format!("{chroot}{path}")
    };
    let mut why = anyhow!("no server is named");
    for address in addresses.split(',') {
        match timeout(PATIENCE, Session::open(address)).await {
            Ok(Ok(session)) => return session.children(&Text::from(whole), path).await,
            Ok(Err(failed)) => why = failed,
            Err(_) => why = anyhow!("{address} does not answer within {PATIENCE:?}"),
        }
    }
    Err(why.context("no session to list by"))
}

struct Session {
    stream: TcpStream,
}

impl Session {
    async fn open(address: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        let mut session = Self { stream };
        let timeout_ms = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms,
            session: SessionId(0),
            password: Some(Bytes::from_static(&[0; 16])),
            read_only: Some(true),
        };
        let mut body = BytesMut::new();
        request.encode(&mut body);
        session.send(&body).await?;
        let answer = session.receive().await?.context("the server hung up")?;
        let response =
            ConnectResponse::decode(&answer).context("the server speaks another protocol")?;
        if response.session.0 == 0 {
            bail!("{address} gave no session");
        }
        Ok(session)
    }

    async fn children(mut self, whole: &Text, path: &str) -> Result<Option<Vec<String>>> {
        let mut names = Vec::new();
        let mut from = PageStart::FIRST;
        while from != PageStart::NONE {
            let request = Request::GetChildrenPaginated {
                path: whole.clone(),
                most: i32::MAX,
                from,
                watch: false,
            };
            let Some(answer) = self.ask(&request).await? else { return Ok(None) };
            let mut reader = Reader::new(&answer);
            let header = ReplyHeader::decode(&mut reader)?;
            match header.error {
                None => {}
                Some(ErrorCode::Unimplemented) => return Ok(None),
                Some(ErrorCode::NoNode) => return Err(super::explain(Error::NoNode, path)),
                Some(ErrorCode::NoAuth) => return Err(super::explain(Error::NoAuth, path)),
                Some(code) => bail!("{path}: {code:?}"),
            }
            match Response::decode(request.op(), &mut reader)? {
                Response::Page { names: more, next, .. } => {
                    names.extend(more.iter().map(ToString::to_string));
                    from = next;
                }
                other => bail!("{path}: an answer to something else: {other:?}"),
            }
        }
        // All is there: how the session ends is no matter.
        let _ = self.ask(&Request::CloseSession).await;
        Ok(Some(names))
    }

    /// The answer; `None` when the server hangs up instead.
    async fn ask(&mut self, request: &Request) -> Result<Option<Bytes>> {
        let mut body = BytesMut::new();
        RequestHeader { xid: 1, op: request.op().code() }.encode(&mut body);
        request.encode(&mut body);
        self.send(&body).await?;
        timeout(PATIENCE, self.receive()).await.context("the server does not answer")?
    }

    async fn send(&mut self, body: &[u8]) -> Result<()> {
        let length = u32::try_from(body.len()).context("the path is too long")?;
        self.stream.write_all(&[&length.to_be_bytes(), body].concat()).await.context("send")
    }

    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let Ok(length) = self.stream.read_u32().await else { return Ok(None) };
        if length > LONGEST {
            bail!("an answer of {length} bytes");
        }
        let mut frame = vec![0; usize::try_from(length)?];
        if self.stream.read_exact(&mut frame).await.is_err() {
            return Ok(None);
        }
        Ok(Some(frame.into()))
    }
}

/// The longest page, in bytes: the most that a server may be set to.
const LONGEST: u32 = 1 << 30;
