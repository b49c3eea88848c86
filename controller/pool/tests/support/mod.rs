//! A master in this process, and just enough of an HTTP client to see every byte.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mesos::recordio::Decoder;
use pool::{MasterConfig, Server};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct Master {
    pub(crate) addr: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    job: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.abort();
        }
    }
}

impl Master {
    /// A master that leads alone.
    pub(crate) async fn start() -> Result<Self> {
        let master = Self::join(None).await?;
        // It answers 503 until it leads, which it does by itself.
        while master.get("/state").await?.0 == 503 {
            tokio::task::yield_now().await;
        }
        Ok(master)
    }

    /// A master of the pool at `zk`.
    pub(crate) async fn join(zk: Option<String>) -> Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = MasterConfig { addr, advertised: None, zk, pool: "test".into() };
        let server = Server::bind(config).await?;
        let addr = server.local_addr().context("it listens")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let job = tokio::spawn(async move {
            let stopped = async {
                let _dropped = stopped.await;
            };
            server.run(stopped).await.expect("it is not deposed");
        });
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Ok(Self { addr, client, job: Some(job), stop: Some(stop) })
    }

    /// An orderly end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.take();
        self.job.take().context("it runs")?.await?;
        Ok(())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String)> {
        let uri = format!("http://{}{path}", self.addr).parse()?;
        text(self.client.get(uri).await?).await
    }

    pub(crate) async fn post(&self, path: &str, call: &Value) -> Result<(u16, String)> {
        text(self.send(path, call, None).await?).await
    }

    pub(crate) async fn stream(&self, path: &'static str, call: &Value) -> Result<Stream> {
        let response = self.send(path, call, None).await?;
        if response.status() != 200 {
            bail!("{:?}", text(response).await?);
        }
        let name = response.headers()["mesos-stream-id"].to_str()?.to_owned();
        Ok(Stream {
            name,
            path,
            addr: self.addr,
            client: self.client.clone(),
            body: response.into_body(),
            decoder: Decoder::new(1 << 20),
        })
    }

    async fn send(
        &self,
        path: &str,
        call: &Value,
        name: Option<&str>,
    ) -> Result<http::Response<Incoming>> {
        send(&self.client, self.addr, path, call, name).await
    }
}

pub(crate) struct Stream {
    pub(crate) name: String,
    path: &'static str,
    addr: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    body: Incoming,
    decoder: Decoder,
}

impl Stream {
    pub(crate) async fn next(&mut self) -> Result<Value> {
        self.maybe_next().await?.context("the stream ended")
    }

    pub(crate) async fn until(&mut self, kind: &str) -> Result<Value> {
        loop {
            let event = self.next().await?;
            if event["type"] == kind {
                return Ok(event);
            }
        }
    }

    pub(crate) async fn ends(&mut self) -> Result<bool> {
        Ok(self.maybe_next().await?.is_none())
    }

    pub(crate) async fn call(&self, call: &Value) -> Result<(u16, String)> {
        text(send(&self.client, self.addr, self.path, call, Some(&self.name)).await?).await
    }

    async fn maybe_next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(record) = self.decoder.next_record()? {
                return Ok(Some(serde_json::from_slice(&record)?));
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.decoder.feed(&data);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
    path: &str,
    call: &Value,
    name: Option<&str>,
) -> Result<http::Response<Incoming>> {
    let mut request = http::Request::post(format!("http://{addr}{path}"))
        .header("Content-Type", "application/json")
        .header("Accept", "application/json");
    if let Some(name) = name {
        request = request.header("Mesos-Stream-Id", name);
    }
    Ok(client.request(request.body(Full::from(call.to_string()))?).await?)
}

async fn text(response: http::Response<Incoming>) -> Result<(u16, String)> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}

/// Requests as they are written.
pub(crate) struct Http;

impl Http {
    /// Sends `METHOD path`, header lines, and what follows the first line that is no header as the body.
    pub(crate) async fn raw(addr: SocketAddr, request: &str) -> Result<(u16, String)> {
        let mut head = String::new();
        let mut body = String::new();
        for (at, line) in request.lines().enumerate() {
            if at == 0 {
                head = format!("{line} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n");
            } else if body.is_empty() && line.starts_with(char::is_uppercase) && line.contains(": ")
            {
                head.push_str(line);
                head.push_str("\r\n");
            } else {
                body.push_str(line);
            }
        }
        let mut socket = TcpStream::connect(addr).await?;
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        socket.read_to_string(&mut response).await?;
        let (head, body) = response.split_once("\r\n\r\n").context("a response")?;
        let status = head.split(' ').nth(1).context("a status line")?.parse()?;
        Ok((status, body.to_owned()))
    }
}
