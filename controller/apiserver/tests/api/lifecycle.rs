//! Start, stop, restart, and a store that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use apiserver::store::{
    Following, Key, MemoryStore, Revision, Store, StoreError, Writing, ZnodeStore,
};
use bytes::Bytes;
use ensemble::{Member, MemberConfig};
use http::Method;
use serde_json::{Value, json};

use crate::common::{JSON, WIDGETS, start, start_on};

#[tokio::test]
async fn objects_outlive_the_server_and_its_ensemble() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let member = Member::start(MemberConfig::in_process(dir.path())).await?;
    let f = start_on(Arc::new(ZnodeStore::new(member.local()))).await?;
    let made = f.widget("a", json!({"replicas": 2})).await?;
    f.widget("b", json!({})).await?;
    f.delete(&format!("{WIDGETS}/b"), &Value::Null).await?;
    f.server.shutdown().await;
    member.shutdown().await;

    let member = Member::start(MemberConfig::in_process(dir.path())).await?;
    let f = start_on(Arc::new(ZnodeStore::new(member.local()))).await?;
    assert_eq!(f.get(&format!("{WIDGETS}/a")).await?.1, made);
    let (_, list) = f.get(WIDGETS).await?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let rv = |value: &Value| value["metadata"]["resourceVersion"].as_str()?.parse::<u64>().ok();
    assert!(rv(&list) > rv(&made));
    f.server.shutdown().await;
    member.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_watches() -> Result<()> {
    let f = start().await?;
    let mut watch = f.watch(&format!("{WIDGETS}?watch=1")).await?;
    f.server.shutdown().await;
    assert!(watch.next().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_store_without_a_leader_refuses_writes_and_keeps_watches() -> Result<()> {
    let store = Arc::new(Flaky::default());
    let f = start_on(store.clone()).await?;
    f.widget("a", json!({})).await?;
    let mut watch = f.watch(&format!("{WIDGETS}?watch=1")).await?;
    assert_eq!(watch.named().await?.1, "a");
    store.down.store(true, Ordering::SeqCst);
    let body = serde_json::to_vec(&json!({"spec": {"replicas": 2}}))?;
    let path = format!("{WIDGETS}/a");
    let refused = f.send(Method::PATCH, &path, "application/merge-patch+json", body).await?;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    store.down.store(false, Ordering::SeqCst);
    f.merge(&path, &json!({"spec": {"replicas": 2}})).await?;
    let (word, object) = watch.next().await?.context("the watch stays")?;
    assert_eq!((word.as_str(), &object["spec"]["replicas"]), ("MODIFIED", &json!(2)));
    Ok(())
}

#[tokio::test]
async fn who_shows_no_certificate_may_only_ask_for_health_and_version() -> Result<()> {
    let mut anonymous = start().await?;
    anonymous.client = anonymous.anonymous()?;
    assert_eq!(anonymous.get("/version").await?.0, 200);
    assert_eq!(anonymous.get("/livez").await?.0, 200);
    let (code, refused) = anonymous.get("/api").await?;
    assert_eq!(code, 403);
    assert_eq!(refused["message"], "forbidden: User \"system:anonymous\" cannot get path \"/api\"");
    let (code, refused) = anonymous.get(WIDGETS).await?;
    assert_eq!((code.as_u16(), &refused["reason"]), (403, &json!("Forbidden")));
    let review = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(anonymous.call(Method::POST, path, JSON, &review).await?.0, 403);
    Ok(())
}

/// A store that can be taken down.
#[derive(Default)]
struct Flaky {
    inner: MemoryStore,
    down: AtomicBool,
}

impl Flaky {
    fn check(&self) -> Result<(), StoreError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("no leader".to_owned())),
            false => Ok(()),
        }
    }
}

impl Store for Flaky {
    fn create<'a>(&'a self, key: &'a Key, body: Bytes) -> Writing<'a, Revision> {
        Box::pin(async move {
            self.check()?;
            self.inner.create(key, body).await
        })
    }

    fn replace<'a>(&'a self, key: &'a Key, body: Bytes, version: i32) -> Writing<'a, Revision> {
        Box::pin(async move {
            self.check()?;
            self.inner.replace(key, body, version).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, version: i32) -> Writing<'a, u64> {
        Box::pin(async move {
            self.check()?;
            self.inner.delete(key, version).await
        })
    }

    fn follow(&self) -> Following {
        self.inner.follow()
    }

    fn applied(&self) -> u64 {
        self.inner.applied()
    }
}
