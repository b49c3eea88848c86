//! Watches, pages and what the collector does.

use crate::common::{Fixture, WIDGETS, event, start};
use anyhow::{Context, Result};
use serde_json::{Value, json};

#[tokio::test]
async fn a_watch_shows_what_is_and_then_what_happens() -> Result<()> {
    let f = start().await?;
    f.widget("a", json!({})).await?;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = f.watch(&format!("{WIDGETS}?{query}")).await?;
    assert_eq!(watch.named().await?, event("ADDED", "a"));
    let (word, mark) = watch.next().await?.context("a bookmark")?;
    assert_eq!(word, "BOOKMARK");
    assert_eq!(mark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    f.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"note": "n"}})).await?;
    f.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"note": "n"}})).await?;
    f.delete(&format!("{WIDGETS}/a"), &Value::Null).await?;
    assert_eq!(watch.named().await?, event("MODIFIED", "a"));
    // The change that changed nothing is not here.
    assert_eq!(watch.named().await?, event("DELETED", "a"));
    Ok(())
}

#[tokio::test]
async fn selectors_turn_changes_into_comings_and_goings() -> Result<()> {
    let f = start().await?;
    let rv = f.get(WIDGETS).await?.1["metadata"]["resourceVersion"].clone();
    let rv = rv.as_str().context("a list has a resourceVersion")?;
    let mut watch =
        f.watch(&format!("{WIDGETS}?watch=1&labelSelector=on%3Dyes&resourceVersion={rv}")).await?;
    f.widget("a", json!({})).await?;
    f.merge(&format!("{WIDGETS}/a"), &json!({"metadata": {"labels": {"on": "yes"}}})).await?;
    f.merge(&format!("{WIDGETS}/a"), &json!({"metadata": {"labels": {"on": "no"}}})).await?;
    assert_eq!(watch.named().await?, event("ADDED", "a"));
    let (word, object) = watch.next().await?.context("it goes")?;
    assert_eq!(word, "DELETED");
    let now = f.get(&format!("{WIDGETS}/a")).await?.1;
    assert_eq!(object["metadata"]["resourceVersion"], now["metadata"]["resourceVersion"]);
    Ok(())
}

#[tokio::test]
async fn a_watch_from_the_forgotten_past_says_so() -> Result<()> {
    let f = start().await?;
    for name in 0..4200 {
        let body = json!({"metadata": {"name": format!("c{name}")}});
        f.post("/api/v1/namespaces/default/configmaps", &body).await?;
    }
    let mut watch = f.watch("/api/v1/configmaps?watch=true&resourceVersion=1").await?;
    let (word, status) = watch.next().await?.context("an error")?;
    assert_eq!(
        (word.as_str(), &status["code"], &status["reason"]),
        ("ERROR", &json!(410), &json!("Expired"))
    );
    assert!(watch.next().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn pages_are_of_one_moment() -> Result<()> {
    let f = start().await?;
    for name in ["a", "b", "c", "d"] {
        f.widget(name, json!({})).await?;
    }
    let (_, first) = f.get(&format!("{WIDGETS}?limit=2")).await?;
    assert_eq!(
        (names(&first), &first["metadata"]["remainingItemCount"]),
        (vec!["a", "b"], &json!(2))
    );
    f.delete(&format!("{WIDGETS}/c"), &Value::Null).await?;
    f.widget("cc", json!({})).await?;
    let token = first["metadata"]["continue"].as_str().context("there is more")?;
    let (_, second) = f.get(&format!("{WIDGETS}?limit=2&continue={token}")).await?;
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!(second["metadata"]["continue"], "");
    let (_, now) = f.get(WIDGETS).await?;
    assert_eq!(names(&now), ["a", "b", "cc", "d"]);
    Ok(())
}

#[tokio::test]
async fn a_namespace_takes_its_content_along() -> Result<()> {
    let f = start().await?;
    f.post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}})).await?;
    let inside = WIDGETS.replace("default", "n");
    let body = json!({"apiVersion": "oracle.test/v1", "kind": "Widget", "metadata": {"name": "w", "finalizers": ["x.y/z"]}});
    f.post(&inside, &body).await?;
    f.post("/api/v1/namespaces/n/configmaps", &json!({"metadata": {"name": "c"}})).await?;
    let mut maps = f.watch("/api/v1/namespaces/n/configmaps?watch=1").await?;
    let mut namespaces =
        f.watch("/api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Dn").await?;
    let (_, marked) = f.delete("/api/v1/namespaces/n", &Value::Null).await?;
    assert_eq!(marked["status"]["phase"], "Terminating");
    maps.until_deleted("c").await?;
    let (code, refused) =
        f.post("/api/v1/namespaces/n/configmaps", &json!({"metadata": {"name": "d"}})).await?;
    assert_eq!(
        (code.as_u16(), &refused["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    // It waits for the finalizer of what is in it.
    assert_eq!(f.get("/api/v1/namespaces/n").await?.0, 200);
    f.merge(&format!("{inside}/w"), &json!({"metadata": {"finalizers": null}})).await?;
    namespaces.until_deleted("n").await?;
    Ok(())
}

#[tokio::test]
async fn what_lost_its_owner_is_collected() -> Result<()> {
    for (policy, stays) in [("Background", false), ("Foreground", false), ("Orphan", true)] {
        let f = start().await?;
        let owner = f.widget("owner", json!({})).await?;
        owned(&f, &owner).await?;
        let mut widgets = f.watch(&format!("{WIDGETS}?watch=1")).await?;
        let mut maps = f.watch("/api/v1/namespaces/default/configmaps?watch=1").await?;
        f.delete(&format!("{WIDGETS}/owner"), &json!({"propagationPolicy": policy})).await?;
        widgets.until_deleted("owner").await?;
        if stays {
            let (_, orphan) = f.get("/api/v1/namespaces/default/configmaps/owned").await?;
            assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null, "{policy}");
        } else {
            maps.until_deleted("owned").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_definition_takes_its_objects_along_and_comes_back_empty() -> Result<()> {
    let f = start().await?;
    f.widget("a", json!({})).await?;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut watch = f.watch(&format!("{definitions}?watch=1")).await?;
    f.delete(&format!("{definitions}/widgets.oracle.test"), &Value::Null).await?;
    watch.until_deleted("widgets.oracle.test").await?;
    assert_eq!(f.get(WIDGETS).await?.0, 404);
    let (code, _) = f.post(definitions, &crate::common::widget()).await?;
    assert_eq!(code, 201);
    assert_eq!(f.get(WIDGETS).await?.1["items"], json!([]));
    Ok(())
}

async fn owned(f: &Fixture, owner: &Value) -> Result<()> {
    let reference = json!([{"apiVersion": "oracle.test/v1", "kind": "Widget", "name": "owner",
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true}]);
    let body = json!({"metadata": {"name": "owned", "ownerReferences": reference}});
    f.post("/api/v1/namespaces/default/configmaps", &body).await?;
    Ok(())
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["metadata"]["name"].as_str()).collect()
}
