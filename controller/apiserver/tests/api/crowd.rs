//! Many clients at once, and such as do not behave.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use http::Method;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::common::{MERGE, start};

const ONE: &str = "/api/v1/namespaces/default/configmaps/one";

#[tokio::test]
async fn changes_that_do_not_conflict_all_land() -> Result<()> {
    let f = Arc::new(start().await?);
    let created = json!({"metadata": {"name": "one"}});
    f.post("/api/v1/namespaces/default/configmaps", &created).await?;
    let patches = (0..64).map(|n| {
        let f = Arc::clone(&f);
        async move {
            let change = json!({"data": {format!("k{n}"): "v"}});
            let (code, answer) = f.call(Method::PATCH, ONE, MERGE, &change).await?;
            anyhow::ensure!(code == 200, "{answer}");
            anyhow::Ok(())
        }
    });
    try_join_all(patches).await?;
    let (_, now) = f.get(ONE).await?;
    assert_eq!(now["data"].as_object().context("it has data")?.len(), 64);
    Ok(())
}

#[tokio::test]
async fn callers_who_say_nothing_keep_nobody_out() -> Result<()> {
    let f = start().await?;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(f.server.addr()).await?);
        // The server takes each in before the next one comes.
        tokio::task::yield_now().await;
    }
    assert_eq!(f.get("/readyz").await?.0, 200);
    // The oldest was cut to make room.
    let mut byte = [0];
    let read = silent[0].read(&mut byte).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    Ok(())
}
