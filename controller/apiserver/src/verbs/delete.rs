//! Delete and delete-collection.

use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use objects::field::{FieldError, Path};
use serde_json::{Map, Value, json};

use crate::api::{Api, Asked};
use crate::builtin::{Builtin, definition, namespace};
use crate::kind::Kind;
use crate::media::{self, BodySyntax};
use crate::params;
use crate::reply::{self, Body};
use crate::status::{Answer, ApiError};
use crate::store::StoreError;
use crate::verbs::select::Selection;
use crate::verbs::write;
use crate::verbs::{body, present};
use crate::world::{Object, set_rv};

/// What happens to the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Propagation {
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
    /// They stay, and forget their owner.
    Orphan,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) propagation: Option<Propagation>,
    /// It must have this uid.
    pub(crate) uid: Option<String>,
    /// It must have this resourceVersion.
    pub(crate) rv: Option<String>,
    pub(crate) dry_run: bool,
}

/// What became of the object.
pub(crate) enum Deleted {
    /// It is gone; this was its uid.
    Gone(String),
    /// It goes when its finalizers are done.
    Marked(Value),
}

/// Deletes one object.
pub(crate) async fn delete(api: &Api, asked: Asked, body: Incoming) -> Answer<Response<Body>> {
    let options = options(&asked, body).await?;
    let key = asked.kind.key(&asked.namespace, asked.name());
    match remove(api, &asked.kind, &key, &options).await? {
        Deleted::Marked(value) => Ok(present::one(&asked, StatusCode::OK, value)),
        Deleted::Gone(uid) => {
            let mut details = Map::new();
            let kind = &asked.kind;
            for (field, value) in [
                ("name", asked.name()),
                ("group", &kind.group),
                ("kind", &kind.plural),
                ("uid", &uid),
            ] {
                if !value.is_empty() {
                    details.insert(field.to_owned(), value.into());
                }
            }
            let status = json!({
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": details,
            });
            Ok(reply::value(StatusCode::OK, &status, asked.writing(), &asked.warnings))
        }
    }
}

/// Deletes all objects that are selected; answers with them.
pub(crate) async fn collection(api: &Api, asked: Asked, body: Incoming) -> Answer<Response<Body>> {
    let options = options(&asked, body).await?;
    let selection = Selection::of(&asked)?;
    let namespace = (!asked.namespace.is_empty()).then_some(asked.namespace.as_str());
    let (rv, objects) = api.world.all(&asked.kind.storage, namespace);
    let mut deleted = Vec::new();
    for object in objects.iter().filter(|object| selection.matches(object)) {
        match remove(api, &asked.kind, &object.key, &options).await {
            Ok(Deleted::Marked(value)) => deleted.push(value),
            Ok(Deleted::Gone(_)) => deleted.push(present::as_served(&asked.kind, object)),
            // Somebody else was faster.
            Err(error) if error.code == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".to_owned(), rv.to_string().into());
    Ok(present::list(&asked, metadata, deleted.into_iter()))
}

/// Deletes an object, or marks it when something must be done before.
pub(crate) async fn remove(
    api: &Api,
    kind: &Kind,
    key: &crate::store::Key,
    options: &Options,
) -> Answer<Deleted> {
    for _ in 0..write::TRIES {
        let old = api.world.get(key).ok_or_else(|| ApiError::not_found(kind, &key.name))?;
        check_preconditions(kind, &old, options)?;
        if kind.builtin() == Some(Builtin::Namespace) && namespace::is_protected(&key.name) {
            return Err(ApiError::forbidden(kind, &key.name, "this namespace may not be deleted"));
        }
        let marked = mark(kind, &old, options.propagation);
        let gone = write::released(kind, &marked);
        if options.dry_run || (!gone && marked == present::as_served(kind, &old)) {
            return Ok(match gone {
                true => Deleted::Gone(old.uid().to_owned()),
                false => Deleted::Marked(marked),
            });
        }
        let version = old.revision.version;
        let outcome = match gone {
            true => api.store.delete(key, version).await.map(|_| None),
            false => {
                let body = write::to_store(kind, marked.clone());
                api.store.replace(key, body, version).await.map(Some)
            }
        };
        match outcome {
            Ok(None) => return Ok(Deleted::Gone(old.uid().to_owned())),
            Ok(Some(revision)) => {
                let mut marked = marked;
                set_rv(&mut marked, revision.rv);
                return Ok(Deleted::Marked(marked));
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(ApiError::from_store(kind, &key.name, error)),
        }
    }
    Err(ApiError::modified(kind, &key.name))
}

/// The object as it is while it is being deleted, with the finalizers that the policy asks for.
fn mark(kind: &Kind, old: &Arc<Object>, propagation: Option<Propagation>) -> Value {
    let mut value = present::as_served(kind, old);
    let mut finalizers: Vec<String> = old.finalizers().map(str::to_owned).collect();
    if let Some(policy) = propagation {
        finalizers.retain(|name| name != FOREGROUND && name != ORPHAN);
        match policy {
            Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
            Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
            Propagation::Background => {}
        }
    }
    let first = !old.deleting();
    if kind.builtin() == Some(Builtin::Definition) && first {
        finalizers.push(definition::CLEANUP.to_owned());
    }
    let now = write::stamp(Timestamp::now());
    let counts = write::counts_generations(kind);
    let Some(metadata) = value["metadata"].as_object_mut() else { return value };
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.into());
    }
    if first {
        metadata.insert("deletionTimestamp".to_owned(), now);
        metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
        if counts {
            let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or(0);
            metadata.insert("generation".to_owned(), (generation + 1).into());
        }
        if kind.builtin() == Some(Builtin::Namespace) {
            metadata.remove("deletionGracePeriodSeconds");
            value["status"]["phase"] = "Terminating".into();
        }
    }
    value
}

fn check_preconditions(kind: &Kind, old: &Object, options: &Options) -> Answer<()> {
    let name = &old.key.name;
    if let Some(uid) = &options.uid
        && uid != old.uid()
    {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            old.uid()
        );
        return Err(ApiError::precondition(kind, name, &why));
    }
    if let Some(rv) = &options.rv
        && *rv != old.revision.rv.to_string()
    {
        let why = format!(
            "the ResourceVersion in the precondition ({rv}) does not match the ResourceVersion in record ({}). The object might have been modified",
            old.revision.rv
        );
        return Err(ApiError::precondition(kind, name, &why));
    }
    Ok(())
}

/// Options from the body; from the query when the body is empty.
async fn options(asked: &Asked, body: Incoming) -> Answer<Options> {
    let syntax = media::body_syntax(&asked.headers);
    let bytes = body::read(body).await?;
    let params = &asked.params;
    let mut errors = Vec::new();
    let mut options = Options::default();
    let (policy, orphan) = if bytes.is_empty() {
        options.dry_run = params.dry_run;
        (params.propagation.clone(), params.orphan_dependents)
    } else {
        let given = match syntax {
            BodySyntax::Protobuf => body::binary(&bytes)?.value,
            BodySyntax::Yaml => decoded(objects::decode::yaml(&bytes))?,
            BodySyntax::Json => decoded(objects::decode::json(&bytes))?,
            _ => return Err(body::unsupported(asked)),
        };
        if given["kind"].as_str().is_some_and(|kind| kind != "DeleteOptions") {
            return Err(ApiError::bad_request(format!(
                "the body of a DELETE is a DeleteOptions, not a {}",
                given["kind"]
            )));
        }
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        options.uid = text(&given["preconditions"]["uid"]);
        options.rv = text(&given["preconditions"]["resourceVersion"]);
        let dry = given["dryRun"].as_array();
        match params::dry_run(dry.into_iter().flatten().filter_map(Value::as_str)) {
            Ok(dry) => options.dry_run = dry || params.dry_run,
            Err(error) => errors.push(error),
        }
        (text(&given["propagationPolicy"]), given["orphanDependents"].as_bool())
    };
    if let (Some(policy), Some(_)) = (&policy, orphan) {
        let root = Path::Root;
        let path = root.child("propagationPolicy");
        let why = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(&path, &policy.as_str().into(), why));
    }
    options.propagation = match (policy.as_deref(), orphan) {
        (None, None) => None,
        (None, Some(true)) | (Some("Orphan"), _) => Some(Propagation::Orphan),
        (None, Some(false)) | (Some("Background"), _) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some(other), _) => {
            let root = Path::Root;
            let path = root.child("propagationPolicy");
            let known = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(&path, &other.into(), known));
            None
        }
    };
    if errors.is_empty() {
        Ok(options)
    } else {
        Err(ApiError::invalid_options("DeleteOptions", &errors))
    }
}

fn decoded(
    result: Result<objects::decode::Decoded, objects::decode::DecodeError>,
) -> Answer<Value> {
    match result {
        Ok(decoded) => Ok(decoded.value),
        Err(e) => Err(ApiError::bad_request(format!("the DeleteOptions cannot be read: {e}"))),
    }
}

/// Finalizers that the collector works off.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
pub(crate) const ORPHAN: &str = "orphan";
