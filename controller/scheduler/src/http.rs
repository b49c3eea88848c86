//! Posts to a master, and the stream it answers a subscription with.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mesos::recordio::Decoder;
use mesos::v1::scheduler::{Call, Event};
use tokio::time::timeout;

use crate::LinkError;

/// A connection to one master, kept open between calls.
#[derive(Clone)]
pub(crate) struct Master {
    pub(crate) authority: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A subscription's stream.
pub(crate) struct Stream {
    master: String,
    body: Incoming,
    decoder: Decoder,
    pub(crate) id: String,
}

impl Master {
    pub(crate) fn new(authority: String) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(PATIENCE));
        connector.set_nodelay(true);
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Self { authority, client }
    }

    /// Subscribes, at whichever master the redirections lead to.
    pub(crate) async fn subscribe(&mut self, call: &Call) -> Result<Stream, LinkError> {
        for _ in 0..MOST_REDIRECTS {
            let answer = self.post(call, None, "SUBSCRIBE").await?;
            if answer.status() == StatusCode::TEMPORARY_REDIRECT {
                self.authority = self.redirected(&answer)?;
                continue;
            }
            if answer.status() != StatusCode::OK {
                return Err(self.refused(answer, "SUBSCRIBE").await);
            }
            let id = answer.headers().get(STREAM_ID).and_then(|id| id.to_str().ok());
            let id = id.map(str::to_owned).ok_or_else(|| LinkError::Malformed {
                master: self.authority.clone(),
                what: format!("no {STREAM_ID} header"),
            })?;
            let master = self.authority.clone();
            let decoder = Decoder::new(LARGEST_EVENT);
            return Ok(Stream { master, body: answer.into_body(), decoder, id });
        }
        let location = String::from("one master after another");
        Err(LinkError::Redirect { master: self.authority.clone(), location })
    }

    /// Any other call; it is taken when this returns `Ok`.
    pub(crate) async fn call(
        &self,
        stream: &str,
        call: &Call,
        name: &'static str,
    ) -> Result<(), LinkError> {
        let answer = self.post(call, Some(stream), name).await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(self.refused(answer, name).await);
        }
        // Read to its end, so that the connection serves again.
        let _empty = Limited::new(answer.into_body(), MOST_WORDS).collect().await;
        Ok(())
    }

    async fn post(
        &self,
        call: &Call,
        stream: Option<&str>,
        name: &'static str,
    ) -> Result<Response<Incoming>, LinkError> {
        let unreachable = |what: String| LinkError::Unreachable {
            master: self.authority.clone(),
            what: format!("{name}: {what}"),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}/api/v1/scheduler", self.authority))
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON);
        if let Some(stream) = stream {
            request = request.header(STREAM_ID, stream);
        }
        let body = Full::new(Bytes::from(mesos::json::to_vec(call)));
        let request = request.body(body).map_err(|why| unreachable(why.to_string()))?;
        match timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(unreachable(chain(&why))),
            Err(_) => Err(unreachable(format!("no answer within {PATIENCE:?}"))),
        }
    }

    /// The authority in `Location`, which Mesos writes as `//host:port/path`.
    fn redirected(&self, answer: &Response<Incoming>) -> Result<String, LinkError> {
        let location = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok());
        let location = location.unwrap_or_default();
        let rest = location.strip_prefix("http:").unwrap_or(location).strip_prefix("//");
        let authority = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if authority.is_empty() || authority == self.authority {
            let location = location.chars().take(200).collect();
            return Err(LinkError::Redirect { master: self.authority.clone(), location });
        }
        Ok(authority.to_owned())
    }

    async fn refused(&self, answer: Response<Incoming>, call: &'static str) -> LinkError {
        let status = answer.status().as_u16();
        let body = timeout(PATIENCE, Limited::new(answer.into_body(), MOST_WORDS).collect()).await;
        let text = match body {
            Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
            _ => String::from("(a body that could not be read)"),
        };
        LinkError::Refused { master: self.authority.clone(), call, status, text }
    }
}

impl Stream {
    /// The next event, heartbeats included. Loses nothing when it is dropped before it is done.
    pub(crate) async fn next(&mut self) -> Result<Event, LinkError> {
        let malformed = |what: String| LinkError::Malformed { master: self.master.clone(), what };
        loop {
            match self.decoder.next_record() {
                Ok(Some(record)) => {
                    return mesos::json::from_slice(&record)
                        .map_err(|why| malformed(why.to_string()));
                }
                Ok(None) => {}
                Err(why) => return Err(malformed(why.to_string())),
            }
            let lost = |why| LinkError::Lost { master: self.master.clone(), why };
            match self.body.frame().await {
                None => return Err(lost("the master closed it")),
                Some(Err(_)) => return Err(lost("it broke")),
                Some(Ok(frame)) => {
                    if let Some(chunk) = frame.data_ref() {
                        self.decoder.feed(chunk);
                    }
                }
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        said = format!("{said}: {source}");
        next = source.source();
    }
    said
}

const STREAM_ID: &str = "Mesos-Stream-Id";
const JSON: &str = "application/json";
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 5;
/// How much of a refusal is read.
const MOST_WORDS: usize = 8 << 10;
/// An event holds a batch of offers: some kilobytes for each agent.
const LARGEST_EVENT: usize = 64 << 20;
