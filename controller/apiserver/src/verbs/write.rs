//! What all writes have in common: from a decoded body to a stored object.
//!
//! Lives here: the checks and changes in the order the original has them, and the one way objects are
//! replaced. Must not: read bodies. Start at [`admit`] and [`replace`].

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use objects::crd;
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
use crate::verbs::{body, present};
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
    let kind = Arc::clone(&asked.kind);
    let text = |name: &str| decoded.value[name].as_str().unwrap_or_default().to_owned();
    let (given, given_kind) = (text("apiVersion"), text("kind"));
    let expected = kind.api_version();
    // A built-in kind is known from the address alone; one that is named wrongly is told as named.
    let custom = kind.builtin().is_none();
    if custom && given != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({expected})"
        )));
    }
    shape(asked, decoded).map_err(|unfit| match unfit {
        Unfit::Refused(error) => error,
        Unfit::Form(why) => {
            let or = |given: &str, other: &str| match given {
                "" => other.to_owned(),
                given => given.to_owned(),
            };
            let named = or(&given_kind, &kind.kind);
            let version = or(given.rsplit('/').next().unwrap_or_default(), &kind.version);
            ApiError::bad_request(format!(
                "{named} in version {version:?} cannot be handled as a {}: {why}",
                kind.kind
            ))
        }
    })
}

/// Why a value is no object of the kind.
pub(crate) enum Unfit {
    /// It cannot be decoded as one.
    Form(String),
    /// It can, and is refused.
    Refused(ApiError),
}

/// The same for any value, without words for the client.
pub(crate) fn shape(asked: &mut Asked, decoded: Decoded) -> Result<Value, Unfit> {
    let Decoded { mut value, duplicates } = decoded;
    let kind = Arc::clone(&asked.kind);
    check_kind(&kind, &mut value)?;
    let mut found = duplicates;
    found.extend(clean_metadata(asked, &mut value).map_err(Unfit::Form)?);
    found.extend(match kind.custom() {
        Some((_, version)) => version.schema.prune(&mut value),
        None => builtin::prune(&kind, &mut value).map_err(Unfit::Form)?,
    });
    builtin::complete(&kind, &mut value);
    report(asked, &found).map_err(Unfit::Form)?;
    if let Some((_, version)) = kind.custom() {
        version.schema.apply_defaults(&mut value);
    }
    Ok(value)
}

fn report(asked: &mut Asked, found: &[String]) -> Result<(), String> {
    match asked.params.field_validation {
        FieldValidation::Strict if !found.is_empty() => {
            Err(format!("strict decoding error: {}", found.join(", ")))
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

fn check_kind(kind: &Kind, value: &mut Value) -> Result<(), Unfit> {
    let Some(object) = value.as_object_mut() else {
        return Err(Unfit::Form(body::without_kind(value)));
    };
    let expected = kind.api_version();
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (given, given_kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
    if kind.builtin().is_none() {
        return check_custom_kind(kind, value, &given, &given_kind);
    }
    let other_kind = !given_kind.is_empty() && given_kind != kind.kind;
    if other_kind || !(given.is_empty() || given == expected) {
        let version = if given.is_empty() { &expected } else { &given };
        return Err(Unfit::Form(format!(
            "no kind {:?} is registered for version {version:?}",
            if given_kind.is_empty() { &kind.kind } else { &given_kind }
        )));
    }
    object.insert("apiVersion".to_owned(), expected.into());
    object.insert("kind".to_owned(), kind.kind.clone().into());
    Ok(())
}

/// A custom kind is one of many that look alike: its objects say what they are.
fn check_custom_kind(
    kind: &Kind,
    value: &Value,
    given: &str,
    given_kind: &str,
) -> Result<(), Unfit> {
    if given_kind.is_empty() {
        return Err(Unfit::Form(body::without_kind(value)));
    }
    let root = Path::Root;
    let mut errors = Vec::new();
    for (field, given, wanted) in
        [("kind", given_kind, &kind.kind), ("apiVersion", given, &kind.api_version())]
    {
        if given != wanted {
            let why = format!("must be {wanted}");
            errors.push(FieldError::invalid(&root.child(field), &given.into(), why));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let (group, _) = given.split_once('/').unwrap_or_default();
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    Err(Unfit::Refused(ApiError::invalid_type(given_kind, group, name, &errors)))
}

/// Brings the metadata into shape; a text for each unknown field.
fn clean_metadata(asked: &mut Asked, value: &mut Value) -> Result<Vec<String>, String> {
    let builtin = asked.kind.builtin().is_some();
    if value["metadata"].is_null() {
        value["metadata"] = Value::Object(Map::new());
    }
    let metadata = &mut value["metadata"];
    let found = objects::shown::json_kind(metadata);
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(match builtin {
            true => format!(
                "json: cannot unmarshal {found} into Go struct field {}.metadata of type v1.ObjectMeta",
                asked.kind.kind
            ),
            false => {
                format!("json: cannot unmarshal {found} into Go value of type v1.ObjectMeta")
            }
        });
    };
    let place = if builtin { "metadata." } else { "" };
    let unknown = meta::prune(metadata, "metadata", place)?;
    if let Some(text) = meta::dedup_owners(metadata) {
        asked.warnings.add(text);
    }
    metadata.remove("managedFields");
    Ok(unknown)
}

/// Puts the namespace of the address into the object, or refuses another one.
pub(crate) fn settle_namespace(asked: &Asked, value: &mut Value) -> Answer<()> {
    let metadata = &mut value["metadata"];
    let given = metadata["namespace"].as_str().unwrap_or_default();
    if !given.is_empty() && given != asked.namespace && asked.kind.namespaced {
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
pub(crate) fn validate(
    asked: &mut Asked,
    value: &Value,
    old: Option<&Value>,
    part: Part,
) -> Answer<()> {
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
            let part = if part == Part::Status { crd::Part::Status } else { crd::Part::Whole };
            let checked = version.validate(errors, value, old, part);
            errors = checked.errors;
            for text in checked.warnings {
                asked.warnings.add(text);
            }
            // What was there before is not told again.
            let had = old.map(meta::finalizer_warnings).unwrap_or_default();
            for text in meta::finalizer_warnings(value) {
                if !had.contains(&text) {
                    asked.warnings.add(text);
                }
            }
        }
        None => {
            errors.extend(meta::unqualified_finalizers(value));
            errors.extend(builtin::validate(&kind, value, old));
        }
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
    validate(asked, &new, Some(&before), part)?;
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

/// Refuses an object that does not have the name in the address.
pub(crate) fn check_named(asked: &Asked, value: &Value) -> Answer<()> {
    let name = asked.name();
    match value["metadata"]["name"].as_str().unwrap_or_default() {
        "" => Err(ApiError::nameless(name)),
        given if given != name => Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
        _ => Ok(()),
    }
}

/// What may not change, and what is taken from the stored object whatever the client sent.
fn check_identity(asked: &Asked, before: &Value, new: &mut Value) -> Answer<()> {
    settle_namespace(asked, new)?;
    check_named(asked, new)?;
    let metadata = new["metadata"].as_object_mut().expect("admit made metadata an object");
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

/// Refuses a whole object of another uid than the stored object's.
pub(crate) fn check_uid(asked: &Asked, old: &Object, new: &Value) -> Answer<()> {
    match new["metadata"]["uid"].as_str() {
        Some(given) if !given.is_empty() && given != old.uid() => {
            let why = format!(
                "Precondition failed: UID in precondition: {given}, UID in object meta: {}",
                old.uid()
            );
            Err(ApiError::conflict(&asked.kind, &old.key.name, &why))
        }
        _ => Ok(()),
    }
}

/// Refuses a request whose resourceVersion is another than the stored object's.
pub(crate) fn check_preconditions(asked: &Asked, old: &Object, new: &Value) -> Answer<()> {
    match version_of(new) {
        None => Ok(()),
        Some(given) => match given.parse::<u64>() {
            Ok(rv) if rv == old.revision.rv => Ok(()),
            Ok(_) => Err(ApiError::modified(&asked.kind, &old.key.name)),
            Err(_) => Err(ApiError::unreasoned(format!(
                "strconv.ParseUint: parsing {given:?}: invalid syntax"
            ))),
        },
    }
}

/// The resourceVersion that an object says it is of; 0 says nothing.
pub(crate) fn version_of(value: &Value) -> Option<&str> {
    value["metadata"]["resourceVersion"].as_str().filter(|rv| !rv.is_empty() && *rv != "0")
}

/// Whether the body says which version it replaces; refuses when it must and does not.
pub(crate) fn check_version(asked: &Asked, value: &Value) -> Answer<bool> {
    let must = matches!(asked.kind.builtin(), None | Some(Builtin::Definition | Builtin::Lease));
    if version_of(value).is_some() || !must {
        return Ok(version_of(value).is_some());
    }
    let root = Path::Root;
    let path = root.child("metadata");
    let path = path.child("resourceVersion");
    let error = FieldError::invalid(&path, &0.into(), "must be specified for an update");
    Err(ApiError::invalid_resource(&asked.kind, asked.name(), &[error]))
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
///
/// More often than there can be other writers: each time one of them gets through.
pub(crate) const TRIES: usize = 1000;
