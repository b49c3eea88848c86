//! Objects through their life, over the wire.

use crate::common::{JSON, MERGE, WIDGETS, start};
use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() -> Result<()> {
    let f = start().await?;
    let made = f.widget("a", json!({"note": "x"})).await?;
    assert_eq!(
        (&made["spec"]["replicas"], &made["metadata"]["generation"]),
        (&json!(1), &json!(1))
    );
    let path = format!("{WIDGETS}/a");
    assert_eq!(f.get(&path).await?.1, made);

    let (code, again) = f
        .post(
            WIDGETS,
            &json!({"apiVersion": "oracle.test/v1", "kind": "Widget", "metadata": {"name": "a"}}),
        )
        .await?;
    assert_eq!((code.as_u16(), &again["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(again["message"], "widgets.oracle.test \"a\" already exists");

    let (code, changed) = f.merge(&path, &json!({"spec": {"replicas": 3}})).await?;
    assert_eq!((code.as_u16(), &changed["metadata"]["generation"]), (200, &json!(2)));
    let (_, same) = f.merge(&path, &json!({"spec": {"replicas": 3}})).await?;
    assert_eq!(same["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);

    let (code, stale) = f.call(Method::PUT, &path, JSON, &made).await?;
    assert_eq!((code.as_u16(), &stale["reason"]), (409, &json!("Conflict")));
    let mut blind = changed.clone();
    blind["metadata"]["resourceVersion"].take();
    let (code, refused) = f.call(Method::PUT, &path, JSON, &blind).await?;
    assert_eq!(code, 422);
    assert_eq!(refused["details"]["causes"][0]["field"], "metadata.resourceVersion");

    let (code, gone) = f.delete(&path, &Value::Null).await?;
    assert_eq!((code.as_u16(), &gone["status"]), (200, &json!("Success")));
    assert_eq!(f.get(&path).await?.1["message"], "widgets.oracle.test \"a\" not found");
    Ok(())
}

#[tokio::test]
async fn status_and_spec_are_apart() -> Result<()> {
    let f = start().await?;
    f.widget("a", json!({})).await?;
    let both = json!({"spec": {"replicas": 5}, "status": {"replicas": 4}});
    let (_, spec) = f.merge(&format!("{WIDGETS}/a"), &both).await?;
    assert_eq!((&spec["spec"]["replicas"], &spec["status"]), (&json!(5), &Value::Null));
    let (_, status) = f
        .merge(
            &format!("{WIDGETS}/a/status"),
            &json!({"spec": {"replicas": 2}, "status": {"replicas": 4}}),
        )
        .await?;
    assert_eq!(
        (&status["spec"]["replicas"], &status["status"]["replicas"]),
        (&json!(5), &json!(4))
    );
    assert_eq!(status["metadata"]["generation"], spec["metadata"]["generation"]);
    let (_, scale) = f.get(&format!("{WIDGETS}/a/scale")).await?;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(5), &json!(4)));
    let (code, _) =
        f.merge(&format!("{WIDGETS}/a/scale"), &json!({"spec": {"replicas": 8}})).await?;
    assert_eq!(code, 200);
    let (code, refused) =
        f.merge(&format!("{WIDGETS}/a/scale"), &json!({"spec": {"replicas": 7}})).await?;
    assert_eq!((code.as_u16(), &refused["details"]["kind"]), (422, &json!("Widget")));
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("seven is too many")));
    Ok(())
}

#[tokio::test]
async fn dry_runs_and_strictness_change_nothing() -> Result<()> {
    let f = start().await?;
    let body = json!({"apiVersion": "oracle.test/v1", "kind": "Widget", "metadata": {"generateName": "g-"}, "spec": {"junk": 1}});
    let (code, refused) = f.post(&format!("{WIDGETS}?fieldValidation=Strict"), &body).await?;
    assert_eq!(code, 400);
    assert_eq!(
        refused["message"],
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"spec.junk\""
    );
    let (code, dry) = f.post(&format!("{WIDGETS}?dryRun=All"), &body).await?;
    assert_eq!((code.as_u16(), &dry["metadata"]["resourceVersion"]), (201, &Value::Null));
    assert!(dry["metadata"]["name"].as_str().is_some_and(|name| name.len() == 7));
    assert_eq!(f.get(WIDGETS).await?.1["items"], json!([]));
    let made = f.widget("a", json!({})).await?;
    f.merge(&format!("{WIDGETS}/a?dryRun=All"), &json!({"spec": {"note": "n"}})).await?;
    f.delete(&format!("{WIDGETS}/a"), &json!({"dryRun": ["All"]})).await?;
    assert_eq!(f.get(&format!("{WIDGETS}/a")).await?.1, made);
    Ok(())
}

#[tokio::test]
async fn refusals_say_what_and_where() -> Result<()> {
    let f = start().await?;
    f.widget("a", json!({})).await?;
    let a = format!("{WIDGETS}/a");
    let widget =
        json!({"apiVersion": "oracle.test/v1", "kind": "Widget", "metadata": {"name": "b"}});
    let cases: Vec<(Method, String, &str, Value, u16, &str)> = vec![
        (
            Method::POST,
            WIDGETS.replace("default", "nons"),
            JSON,
            widget.clone(),
            404,
            "namespaces \"nons\" not found",
        ),
        (
            Method::POST,
            WIDGETS.to_owned(),
            "text/html",
            widget,
            415,
            "the body of the request was in an unknown format",
        ),
        (
            Method::PATCH,
            a.clone(),
            JSON,
            json!({}),
            415,
            "the body of the request was in an unknown format",
        ),
        (
            Method::PATCH,
            a.clone(),
            MERGE,
            json!({"metadata": {"name": "c"}}),
            400,
            "the name of the object (c) does not match",
        ),
        (
            Method::PATCH,
            a.clone(),
            MERGE,
            json!({"metadata": {"uid": "zz"}}),
            422,
            "metadata.uid: Invalid value: \"zz\": field is immutable",
        ),
        (
            Method::PATCH,
            a.clone(),
            MERGE,
            json!({"spec": {"replicas": 10}}),
            422,
            "Widget.oracle.test \"a\" is invalid: spec.replicas",
        ),
        (
            Method::PATCH,
            a.clone(),
            "application/json-patch+json",
            json!([{"op": "test", "path": "/spec/replicas", "value": 2}]),
            422,
            "the server rejected our request",
        ),
        (Method::POST, format!("{a}/status"), JSON, json!({}), 405, "create is not supported"),
        (
            Method::GET,
            format!("{a}/nothing"),
            JSON,
            Value::Null,
            404,
            "widgets.oracle.test \"a\" not found",
        ),
        (Method::GET, "/apis/none/v1/x".to_owned(), JSON, Value::Null, 404, ""),
        (Method::GET, format!("{WIDGETS}?labelSelector=a%3D%3D%3Db"), JSON, Value::Null, 400, ""),
        (
            Method::GET,
            format!("{WIDGETS}?fieldSelector=spec.x%3D1"),
            JSON,
            Value::Null,
            400,
            "field label not supported: spec.x",
        ),
        (
            Method::GET,
            format!("{WIDGETS}?continue=rubbish"),
            JSON,
            Value::Null,
            400,
            "invalid continue token",
        ),
        (
            Method::DELETE,
            "/api/v1/namespaces/default".to_owned(),
            JSON,
            Value::Null,
            403,
            "namespaces \"default\" is forbidden: this namespace may not be deleted",
        ),
        (
            Method::DELETE,
            a,
            JSON,
            json!({"preconditions": {"uid": "other"}}),
            409,
            "Operation cannot be fulfilled on Widget.oracle.test \"a\": the UID in the precondition (other) does not match",
        ),
    ];
    for (method, path, kind, body, code, text) in cases {
        let (found, answer) = f.call(method.clone(), &path, kind, &body).await?;
        assert_eq!(found.as_u16(), code, "{method} {path}: {answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.contains(text), "{method} {path}: {answer}");
        if answer.is_object() {
            assert_eq!(answer["code"], code);
        }
    }
    Ok(())
}

#[tokio::test]
async fn bodies_have_a_limit() -> Result<()> {
    let f = start().await?;
    let body = json!({"metadata": {"name": "big"}, "data": {"x": "y".repeat(4 << 20)}});
    let (code, _) = f.post("/api/v1/namespaces/default/configmaps", &body).await?;
    assert_eq!(code, 413);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = f.send(Method::POST, WIDGETS, JSON, deep.into_bytes()).await?;
    assert_eq!(answer.status(), 400);
    assert_eq!(f.get("/version").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn hostile_bodies_of_built_in_kinds_are_refused() -> Result<()> {
    let f = start().await?;
    for path in [
        "/api/v1/namespaces",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/namespaces/default/events",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/coordination.k8s.io/v1/namespaces/default/leases",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ] {
        for bad in [json!("x"), json!(["x"]), json!(7)] {
            for field in ["metadata", "spec", "status", "data", "involvedObject", "type"] {
                let body = json!({"metadata": {"name": "a"}, field: bad});
                let (code, answer) = f.post(path, &body).await?;
                assert!(code.as_u16() < 500, "{path} {body}: {answer}");
            }
            let labels = json!({"metadata": {"name": "a", "labels": bad, "finalizers": bad}});
            let (code, answer) = f.post(path, &labels).await?;
            assert!(code.is_client_error(), "{path} {labels}: {answer}");
        }
    }
    assert_eq!(f.get("/readyz").await?.0, 200);
    Ok(())
}
