//! The scale of an object: how many are wanted and how many there are.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use objects::crd::Scale;
use serde_json::{Map, Value, json};

use crate::api::{Api, Asked};
use crate::kind::Kind;
use crate::media;
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::verbs::patch::Patch;
use crate::verbs::write::{self, Part, Replaced};
use crate::verbs::{body, present};

/// The Scale of a served object.
pub(crate) fn read(kind: &Kind, value: &Value) -> Answer<Value> {
    let paths = paths(kind)?;
    let metadata: Map<String, Value> =
        ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]
            .into_iter()
            .filter_map(|field| Some((field.to_owned(), value["metadata"].get(field)?.clone())))
            .collect();
    let Some(wanted) = at(value, &paths.spec_replicas).and_then(Value::as_i64) else {
        let path = format!(".{}", paths.spec_replicas.join("."));
        return Err(ApiError::internal(format!("the spec replicas field {path:?} does not exist")));
    };
    let there = at(value, &paths.status_replicas).and_then(Value::as_i64).unwrap_or(0);
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {},
        "status": {"replicas": there},
    });
    if wanted != 0 {
        scale["spec"]["replicas"] = wanted.into();
    }
    if let Some(selector) = &paths.label_selector
        && let Some(text) = at(value, selector).and_then(Value::as_str)
    {
        scale["status"]["selector"] = text.into();
    }
    Ok(scale)
}

/// Sets how many are wanted, by a whole Scale.
pub(crate) async fn update(api: &Api, asked: Asked, body: Incoming) -> Answer<Response<Body>> {
    let syntax = media::body_syntax(&asked.headers);
    let bytes = body::read(body).await?;
    let scale = match syntax {
        // Clients send this built-in kind in the binary form too.
        media::BodySyntax::Protobuf => body::binary(&bytes)?.value,
        syntax => body::decoded(&asked, syntax, &bytes)?.value,
    };
    if let Err(why) = form(&scale) {
        return Err(ApiError::bad_request(why));
    }
    write(api, asked, |_| Ok(scale.clone())).await
}

/// Sets how many are wanted, by a patch of the Scale.
pub(crate) async fn patch(api: &Api, asked: Asked, patch: &Patch) -> Answer<Response<Body>> {
    let seen = asked.clone();
    write(api, asked, move |before| {
        let scale = patch.apply(&seen, before)?;
        match form(&scale) {
            Ok(()) => Ok(scale),
            Err(why) => Err(ApiError::invalid_patch(&scale.to_string(), &why)),
        }
    })
    .await
}

async fn write(
    api: &Api,
    mut asked: Asked,
    change: impl Fn(&Value) -> Answer<Value>,
) -> Answer<Response<Body>> {
    let key = asked.kind.key(&asked.namespace, asked.name());
    for _ in 0..write::TRIES {
        let old = api.world.get(&key);
        let old = old.ok_or_else(|| ApiError::not_found(&asked.kind, asked.name()))?;
        let before = present::as_served(&asked.kind, &old);
        let scale = change(&read(&asked.kind, &before)?)?;
        write::check_named(&asked, &scale)?;
        let wanted = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        write::check_uid(&asked, &old, &scale)?;
        write::check_preconditions(&asked, &old, &scale)?;
        let mut new = before;
        set(&mut new, &paths(&asked.kind)?.spec_replicas, wanted.into());
        match write::replace(api, &mut asked, &old, new, Part::Main).await? {
            Replaced::Done(value) => {
                let scale = read(&asked.kind, &value)?;
                return Ok(present::one(&asked, StatusCode::OK, scale));
            }
            Replaced::Late => {}
        }
    }
    Err(write::busy(&asked))
}

/// Refuses what is no Scale.
fn form(scale: &Value) -> Result<(), String> {
    if scale["kind"].as_str().is_some_and(|kind| kind != "Scale") {
        return Err(format!(
            "the body is a {}, and this address takes a Scale of autoscaling/v1",
            scale["kind"]
        ));
    }
    match &scale["spec"]["replicas"] {
        Value::Null => Ok(()),
        value if value.as_i64().is_some_and(|wanted| i32::try_from(wanted).is_ok()) => Ok(()),
        value => Err(format!(
            "json: cannot unmarshal {} into Go struct field ScaleSpec.spec.replicas of type int32",
            objects::shown::json_kind(value)
        )),
    }
}

fn paths(kind: &Kind) -> Answer<&Scale> {
    let scale = kind.custom().and_then(|(_, version)| version.scale.as_ref());
    scale.ok_or_else(|| ApiError::internal("the kind has no scale"))
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// Sets a value below objects, which are made when absent.
fn set(value: &mut Value, path: &[String], new: Value) {
    let mut at = value;
    for name in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    *at = new;
}
