//! What all writes have in common: from a decoded body to a stored object.
//!
//! Lives here: the checks and changes in the order the original has them, and the one way objects are
//! replaced. Must not: read bodies. Start at [`admit`] and [`replace`].

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use objects::decode::Decoded;
use objects::field::{FieldError, Path};
use objects::meta::{self, NameRule};
use serde_json::{Map, Value};

use crate::api::{Api, Asked};
use crate::builtin::{self, Builtin};
use crate::kind::Kind;
use crate::params::FieldValidation;
use crate::status::{Answer, ApiError};
use crate::store::StoreError;
use crate::verbs::present;
use crate::world::{Object, set_rv};

/// What of an object a request may change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// All but the status, when that is a part of its own.
    Main,
    Status,
    /// A Namespace's `spec.finalizers`.
    Finalize,
}

impl Part {
    pub(crate) fn of(asked: &Asked) -> Self {
        match asked.target.subresource.as_deref() {
            Some("status") => Self::Status,
            Some("finalize") => Self::Finalize,
            _ => Self::Main,
        }
    }
}

/// A decoded body as an object of the kind: checked against the address, pruned, with defaults.
///
/// Unknown and doubled fields are refused or become warnings, as the request says.
pub(crate) fn admit(asked: &mut Asked, decoded: Decoded) -> Answer<Value> {
    let Decoded { mut value, duplicates } = decoded;
    let kind = Arc::clone(&asked.kind);
    check_kind(&kind, &mut value)?;
    let mut found = duplicates;
    found.extend(clean_metadata(&kind, &mut value)?);
    found.extend(match kind.custom() {
        Some((_, version)) => version.schema.prune(&mut value),
        None => builtin::prune(&kind, &mut value)?,
    });
    report(asked, &found)?;
    if let Some((_, version)) = kind.custom() {
        version.schema.apply_defaults(&mut value);
    }
    Ok(value)
}

fn report(asked: &mut Asked, found: &[String]) -> Answer<()> {
    match asked.params.field_validation {
        FieldValidation::Strict if !found.is_empty() => {
            let what = &asked.kind.kind;
            Err(ApiError::bad_request(format!(
                "{what} in version {:?} cannot be handled as a {what}: strict decoding error: {}",
                asked.kind.version,
                found.join(", ")
            )))
        }
        FieldValidation::Warn => {
            for text in found {
                asked.warnings.add(text.as_str());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_kind(kind: &Kind, value: &mut Value) -> Answer<()> {
    let Some(object) = value.as_object_mut() else {
        return Err(ApiError::bad_request(format!(
            "the body is no object of kind {}; it must be a map with apiVersion, kind and metadata",
            kind.kind
        )));
    };
    let expected = kind.api_version();
    let text = |name: &str, object: &Map<String, Value>| {
        object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (given, given_kind) = (text("apiVersion", object), text("kind", object));
    if kind.builtin().is_none() && given_kind.is_empty() {
        return Err(ApiError::bad_request(
            "Object 'Kind' is missing: every object of a custom kind says its apiVersion and kind",
        ));
    }
    if !given.is_empty() && given != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({expected})"
        )));
    }
    if !given_kind.is_empty() && given_kind != kind.kind {
        return Err(ApiError::bad_request(format!(
            "{given_kind} in version {:?} cannot be handled as a {}: no kind {given_kind:?} is registered at this address",
            kind.version, kind.kind
        )));
    }
    object.insert("apiVersion".to_owned(), expected.into());
    object.insert("kind".to_owned(), kind.kind.clone().into());
    Ok(())
}

fn clean_metadata(kind: &Kind, value: &mut Value) -> Answer<Vec<String>> {
    let bad = |what: String| {
        ApiError::bad_request(format!(
            "{name} in version {:?} cannot be handled as a {name}: {what}",
            kind.version,
            name = kind.kind,
        ))
    };
    if value["metadata"].is_null() {
        value["metadata"] = Value::Object(Map::new());
    }
    let Some(metadata) = value["metadata"].as_object_mut() else {
        return Err(bad("json: metadata must be an object".to_owned()));
    };
    let unknown = meta::prune(metadata, "metadata").map_err(bad)?;
    metadata.remove("managedFields");
    Ok(unknown)
}

/// Puts the namespace of the address into the object, or refuses another one.
pub(crate) fn settle_namespace(asked: &Asked, value: &mut Value) -> Answer<()> {
    let metadata = &mut value["metadata"];
    let given = metadata["namespace"].as_str().unwrap_or_default();
    if !given.is_empty() && given != asked.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let metadata = metadata.as_object_mut().expect("admit made metadata an object");
    if asked.kind.namespaced {
        metadata.insert("namespace".to_owned(), asked.namespace.clone().into());
    } else {
        metadata.remove("namespace");
    }
    Ok(())
}

/// Everything that is wrong with an object, on create (`old` is `None`) or update.
pub(crate) fn validate(asked: &mut Asked, value: &Value, old: Option<&Value>) -> Answer<()> {
    let kind = Arc::clone(&asked.kind);
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let rule = match kind.builtin() {
        Some(Builtin::Namespace) => NameRule::Label,
        Some(Builtin::Role) => NameRule::PathSegment,
        _ => NameRule::Subdomain,
    };
    let mut errors = meta::validate(value, kind.namespaced, rule);
    if let Some(old) = old {
        errors.extend(meta::validate_update(value, old));
    }
    match kind.custom() {
        Some((_, version)) => {
            let checked = version.validate(value, old);
            errors.extend(checked.errors);
            for text in checked.warnings {
                asked.warnings.add(text);
            }
            for text in meta::finalizer_warnings(value) {
                asked.warnings.add(text);
            }
        }
        None => errors.extend(builtin::validate(&kind, value, old)),
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(&kind, name, &errors)) }
}

/// Whether the kind counts changes of what is wanted in `metadata.generation`.
pub(crate) fn counts_generations(kind: &Kind) -> bool {
    matches!(kind.builtin(), None | Some(Builtin::Definition))
}

/// A write that may have come too late.
pub(crate) enum Replaced {
    /// The object as it is now (and whether it is gone with that).
    Done(Value),
    /// Somebody else's write was first; with a fresh object it may be tried again.
    Late,
}

/// Replaces `old` by `new`, which is in the served version and was admitted.
///
/// Writes nothing when nothing changes. Deletes the object when it was waiting for its last finalizer.
pub(crate) async fn replace(
    api: &Api,
    asked: &mut Asked,
    old: &Arc<Object>,
    new: Value,
    part: Part,
) -> Answer<Replaced> {
    let kind = Arc::clone(&asked.kind);
    let before = present::as_served(&kind, old);
    let mut new = new;
    check_identity(asked, &before, &mut new)?;
    merge_parts(&kind, &before, &mut new, part);
    builtin::prepare_update(&kind, &before, &mut new, part);
    validate(asked, &new, Some(&before))?;
    if part == Part::Main && counts_generations(&kind) && wants_other(&kind, &before, &new) {
        let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
        new["metadata"]["generation"] = (generation + 1).into();
    }
    if kind.builtin() == Some(Builtin::Definition) {
        builtin::definition::settle(&api.catalogs.now(&api.world), &mut new);
    }
    let leaves = released(&kind, &new);
    set_rv(&mut new, old.revision.rv);
    if asked.params.dry_run || (!leaves && new == before) {
        return Ok(Replaced::Done(new));
    }
    let outcome = if leaves {
        api.store.delete(&old.key, old.revision.version).await.map(|_| old.revision.rv)
    } else {
        let body = to_store(&kind, new.clone());
        api.store.replace(&old.key, body, old.revision.version).await.map(|revision| revision.rv)
    };
    match outcome {
        Ok(rv) => {
            set_rv(&mut new, rv);
            Ok(Replaced::Done(new))
        }
        Err(StoreError::Stale) => Ok(Replaced::Late),
        Err(error) => Err(ApiError::from_store(&kind, &old.key.name, error)),
    }
}

/// What may not change, and what is taken from the stored object whatever the client sent.
fn check_identity(asked: &Asked, before: &Value, new: &mut Value) -> Answer<()> {
    settle_namespace(asked, new)?;
    let name = asked.name();
    let given = new["metadata"]["name"].as_str().unwrap_or_default();
    if given.is_empty() && asked.kind.builtin().is_none() {
        let path = Path::Root;
        let path = path.child("metadata");
        let error = FieldError::required(&path.child("name"), "name or generateName is required");
        return Err(ApiError::invalid(&asked.kind, name, &[error]));
    }
    if !given.is_empty() && given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let metadata = new["metadata"].as_object_mut().expect("admit made metadata an object");
    metadata.insert("name".to_owned(), name.into());
    let kept = &before["metadata"];
    for field in ["creationTimestamp", "generation", "deletionGracePeriodSeconds"] {
        metadata.remove(field);
        if let Some(value) = kept.get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    for field in ["uid", "deletionTimestamp"] {
        if let (None, Some(value)) = (metadata.get(field), kept.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn merge_parts(kind: &Kind, before: &Value, new: &mut Value, part: Part) {
    let take = |from: &Value, to: &mut Value, field: &str| {
        let Some(to) = to.as_object_mut() else { return };
        match from.get(field) {
            Some(value) => to.insert(field.to_owned(), value.clone()),
            None => to.remove(field),
        };
    };
    match part {
        Part::Main if kind.has("status") => take(before, new, "status"),
        Part::Main => {}
        Part::Status => {
            let rv = new["metadata"]["resourceVersion"].take();
            let mut merged = before.clone();
            take(new, &mut merged, "status");
            *new = merged;
            if rv.is_string() {
                new["metadata"]["resourceVersion"] = rv;
            }
        }
        Part::Finalize => {
            let finalizers = new["spec"]["finalizers"].take();
            let mut merged = before.clone();
            merged["spec"]["finalizers"] = finalizers;
            *new = merged;
        }
    }
}

/// Whether anything outside of metadata (and of a status that is a part of its own) differs.
fn wants_other(kind: &Kind, before: &Value, new: &Value) -> bool {
    let (Some(before), Some(new)) = (before.as_object(), new.as_object()) else { return true };
    let counts = |name: &str| name != "metadata" && !(name == "status" && kind.has("status"));
    let differs = |a: &Map<String, Value>, b: &Map<String, Value>| {
        a.iter().any(|(name, value)| counts(name) && b.get(name) != Some(value))
    };
    differs(before, new) || differs(new, before)
}

/// Whether an object that is being deleted has nothing left to wait for.
pub(crate) fn released(kind: &Kind, value: &Value) -> bool {
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    value["metadata"]["deletionTimestamp"].is_string()
        && empty(&value["metadata"]["finalizers"])
        && (kind.builtin() != Some(Builtin::Namespace) || empty(&value["spec"]["finalizers"]))
}

/// The bytes that are kept of an object in a served version.
pub(crate) fn to_store(kind: &Kind, mut value: Value) -> Bytes {
    if kind.builtin() == Some(Builtin::NewEvent) {
        value = builtin::event::to_core(&value);
    }
    value["apiVersion"] = kind.storage_version.clone().into();
    set_rv(&mut value, 0);
    serde_json::to_vec(&value).expect("a value is written to memory").into()
}

/// Refuses a request whose resourceVersion or uid is another than the stored object's.
pub(crate) fn check_preconditions(asked: &Asked, old: &Object, new: &Value) -> Answer<()> {
    let metadata = &new["metadata"];
    if let Some(rv) = metadata["resourceVersion"].as_str()
        && !rv.is_empty()
        && rv != old.revision.rv.to_string()
    {
        return Err(ApiError::modified(&asked.kind, &old.key.name));
    }
    Ok(())
}

/// A point in time as objects hold it: RFC 3339, whole seconds.
pub(crate) fn stamp(now: Timestamp) -> Value {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

/// The write was tried against the newest object too often.
pub(crate) fn busy(asked: &Asked) -> ApiError {
    let mut error = ApiError::modified(&asked.kind, asked.name());
    error.code = StatusCode::CONFLICT;
    error
}

/// How often a write is tried again against the newest object.
pub(crate) const TRIES: usize = 5;
