//! What built-in kinds demand beyond their schema, and what they change in what they are given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use objects::field::{FieldError, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::verbs::write::Part;

use super::{Builtin, definition, namespace};

/// Changes an object before it is created.
pub(crate) fn prepare_create(kind: &Kind, value: &mut Value) {
    match kind.builtin() {
        Some(Builtin::Namespace) => namespace::prepare_create(value),
        Some(Builtin::Secret) => fold_string_data(value),
        Some(Builtin::Definition) => objects::crd::default(value),
        _ => {}
    }
}

/// Changes an object before it replaces another.
pub(crate) fn prepare_update(kind: &Kind, before: &Value, new: &mut Value, part: Part) {
    match kind.builtin() {
        Some(Builtin::Namespace) if part == Part::Main => namespace::prepare_update(before, new),
        Some(Builtin::Secret) => {
            fold_string_data(new);
            if new["type"] == "Opaque" && before["type"].is_string() {
                new["type"] = before["type"].clone();
            }
        }
        Some(Builtin::Definition) => objects::crd::default(new),
        _ => {}
    }
}

/// `stringData` is only a way of writing `data`.
fn fold_string_data(value: &mut Value) {
    let Some(secret) = value.as_object_mut() else { return };
    if let Some(Value::Object(plain)) = secret.remove("stringData") {
        for (name, text) in plain {
            let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
            value["data"][name] = encoded.into();
        }
    }
    if value["type"].as_str().unwrap_or_default().is_empty() {
        value["type"] = "Opaque".into();
    }
}

/// All that is wrong with an object of a built-in kind, beside its metadata and its schema.
pub(crate) fn validate(kind: &Kind, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match kind.builtin() {
        Some(Builtin::ConfigMap) => {
            let mut errors = keyed(value, old, &["data", "binaryData"]);
            let root = Path::Root;
            let data = root.child("data");
            for name in value["data"].as_object().into_iter().flat_map(|data| data.keys()) {
                if value["binaryData"].get(name).is_some() {
                    let why = "duplicate of key present in binaryData";
                    errors.push(FieldError::invalid(&data.key(name), &name.as_str().into(), why));
                }
            }
            errors
        }
        Some(Builtin::Secret) => secret(value, old),
        Some(Builtin::Lease) => lease(value),
        Some(Builtin::Definition) => definition::validate(value, old),
        Some(Builtin::Event) => event(value, "involvedObject"),
        Some(Builtin::NewEvent) => {
            let mut errors = event(value, "regarding");
            if old.is_none() {
                errors.extend(new_event(value));
            }
            errors
        }
        _ => Vec::new(),
    }
}

fn secret(value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = keyed(value, old, &["data"]);
    let root = Path::Root;
    if let Some(old) = old
        && old["type"] != value["type"]
    {
        errors.push(FieldError::invalid(&root.child("type"), &value["type"], "field is immutable"));
    }
    let needed: &[&str] = match value["type"].as_str().unwrap_or_default() {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    let data = root.child("data");
    for key in needed.iter().filter(|key| !value["data"][**key].is_string()) {
        errors.push(FieldError::required(&data.key(key), ""));
    }
    errors
}

/// Maps of named values: ConfigMap and Secret.
fn keyed(value: &Value, old: Option<&Value>, maps: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::Root;
    let mut total = 0;
    for map in maps {
        let path = root.child(map);
        for (name, text) in value[*map].as_object().into_iter().flatten() {
            if !is_key(name) {
                let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                errors.push(FieldError::invalid(&path.key(name), &name.as_str().into(), detail));
            }
            let length = text.as_str().map_or(0, str::len);
            // What is in base64 counts as what it means.
            total += if *map == "binaryData" || maps.len() == 1 { length / 4 * 3 } else { length };
        }
    }
    if total > MAX_DATA {
        errors.push(FieldError::too_long(&root.child(maps[0]), MAX_DATA as u64));
    }
    if let Some(old) = old
        && old["immutable"] == true
    {
        if value["immutable"] != true {
            let path = root.child("immutable");
            errors.push(FieldError::forbidden(&path, "field is immutable when `immutable` is set"));
        }
        for map in maps.iter().filter(|map| old[**map] != value[**map]) {
            let path = root.child(map);
            errors.push(FieldError::forbidden(&path, "field is immutable when `immutable` is set"));
        }
    }
    errors
}

fn is_key(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name != "."
        && !name.starts_with("..")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
}

fn lease(value: &Value) -> Vec<FieldError> {
    let root = Path::Root;
    let spec = root.child("spec");
    let mut errors = Vec::new();
    if let Some(seconds) = value["spec"]["leaseDurationSeconds"].as_i64()
        && seconds <= 0
    {
        let path = spec.child("leaseDurationSeconds");
        errors.push(FieldError::invalid(&path, &seconds.into(), "must be greater than 0"));
    }
    if let Some(count) = value["spec"]["leaseTransitions"].as_i64()
        && count < 0
    {
        let path = spec.child("leaseTransitions");
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path, &count.into(), detail));
    }
    errors
}

/// An event is kept beside what it is about.
fn event(value: &Value, about: &str) -> Vec<FieldError> {
    let own = value["metadata"]["namespace"].as_str().unwrap_or_default();
    let about_namespace = value[about]["namespace"].as_str().unwrap_or_default();
    let fits = own == about_namespace || (about_namespace.is_empty() && own == "default");
    if fits {
        return Vec::new();
    }
    let root = Path::Root;
    let path = root.child(about);
    let detail = "does not match event.namespace";
    vec![FieldError::invalid(&path.child("namespace"), &about_namespace.into(), detail)]
}

fn new_event(value: &Value) -> Vec<FieldError> {
    let root = Path::Root;
    let mut errors = Vec::new();
    for field in ["eventTime", "reportingController", "reportingInstance", "action", "reason"] {
        if value[field].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&root.child(field), ""));
        }
    }
    let kind = value["type"].as_str().unwrap_or_default();
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(
            &root.child("type"),
            &value["type"],
            "has invalid value: ",
        ));
    }
    errors
}

/// Bytes of all values of a ConfigMap or Secret together.
const MAX_DATA: usize = 1 << 20;
