//! A server on loopback and a client of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use apiserver::store::Store;
use apiserver::{Server, ServerConfig};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) client: kube::Client,
    config: kube::Config,
    _dir: tempfile::TempDir,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const WIDGETS: &str = "/apis/oracle.test/v1/namespaces/default/widgets";

/// A server with an empty memory.
pub(crate) async fn start() -> Result<Fixture> {
    start_on(Arc::new(apiserver::store::MemoryStore::default())).await
}

/// A server on a store, with the kind Widget defined.
pub(crate) async fn start_on(store: Arc<dyn Store>) -> Result<Fixture> {
    let dir = tempfile::tempdir()?;
    let addr = "127.0.0.1:0".parse()?;
    let mut config = ServerConfig::with_store(addr, dir.path().join("tls"), store);
    config.builtin_crds = vec![widget()];
    let server = Server::start(config).await?;
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig())?;
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // A refusal is what a test asks for.
    config.default_retry = false;
    let client = kube::Client::try_from(config.clone())?;
    Ok(Fixture { server, client, config, _dir: dir })
}

impl Fixture {
    /// A client that shows no certificate.
    pub(crate) fn anonymous(&self) -> Result<kube::Client> {
        let mut config = self.config.clone();
        config.auth_info = kube::config::AuthInfo::default();
        Ok(kube::Client::try_from(config)?)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Response<Body>> {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        Ok(self.client.send(request.body(Body::from(body))?).await?)
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value)> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let response = self.send(method, path, kind, body).await?;
        let code = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
        Ok((code, value))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, Value)> {
        self.call(Method::GET, path, JSON, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        self.call(Method::POST, path, JSON, body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        self.call(Method::PATCH, path, MERGE, body).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<(StatusCode, Value)> {
        self.call(Method::DELETE, path, JSON, options).await
    }

    /// Creates a Widget; answers with it.
    pub(crate) async fn widget(&self, name: &str, spec: Value) -> Result<Value> {
        let body = json!({"apiVersion": "oracle.test/v1", "kind": "Widget",
            "metadata": {"name": name, "labels": {"name": name}}, "spec": spec});
        let (code, value) = self.post(WIDGETS, &body).await?;
        ensure!(code == 201, "{code}: {value}");
        Ok(value)
    }

    pub(crate) async fn watch(&self, path: &str) -> Result<Watch> {
        let response = self.send(Method::GET, path, JSON, Vec::new()).await?;
        ensure!(response.status() == 200, "{}", response.status());
        Ok(Watch { body: response.into_body(), buffer: Vec::new() })
    }
}

pub(crate) struct Watch {
    body: Body,
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event: its type and its object; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, Value)>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let mut event: Value = serde_json::from_slice(&line)?;
                let word = event["type"].as_str().context("an event has a type")?.to_owned();
                return Ok(Some((word, event["object"].take())));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame?.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// The next event's type and the name of its object.
    pub(crate) async fn named(&mut self) -> Result<(String, String)> {
        let (word, object) = self.next().await?.context("the watch ended")?;
        Ok((word, object["metadata"]["name"].as_str().unwrap_or_default().to_owned()))
    }

    /// Reads on until an object of this name is deleted.
    pub(crate) async fn until_deleted(&mut self, name: &str) -> Result<()> {
        while self.named().await? != ("DELETED".to_owned(), name.to_owned()) {}
        Ok(())
    }
}

pub(crate) fn event(word: &str, name: &str) -> (String, String) {
    (word.to_owned(), name.to_owned())
}

pub(crate) fn widget() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.oracle.test"},
        "spec": {
            "group": "oracle.test",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                }},
                "additionalPrinterColumns":
                    [{"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "replicas": {"type": "integer", "maximum": 9, "default": 1},
                        "note": {"type": "string"},
                    }, "x-kubernetes-validations":
                        [{"rule": "self.replicas != 7", "message": "seven is too many"}]},
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                }}},
            }],
        },
    })
}
