//! ConfigMaps and Secrets: named values.
//!
//! Texts: `kubernetes/pkg/apis/core/validation`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use objects::field::{FieldError, Path};
use serde_json::Value;

/// `stringData` is only a way of writing `data`.
pub(super) fn fold_string_data(value: &mut Value) {
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

/// All that is wrong with a ConfigMap.
pub(super) fn config_map(value: &Value, old: Option<&Value>) -> Vec<FieldError> {
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

/// All that is wrong with a Secret.
pub(super) fn secret(value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = keyed(value, old, &["data"]);
    let root = Path::Root;
    let data = root.child("data");
    if let Some(old) = old
        && old["type"] != value["type"]
    {
        errors.push(FieldError::invalid(&root.child("type"), &value["type"], "field is immutable"));
    }
    let has = |key: &str| value["data"][key].is_string();
    let mut need = |keys: &[&str]| {
        for key in keys.iter().filter(|key| !has(key)) {
            errors.push(FieldError::required(&data.key(key), ""));
        }
    };
    let mut docker = None;
    match value["type"].as_str().unwrap_or_default() {
        "kubernetes.io/tls" => need(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => need(&["ssh-privatekey"]),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need(&["username", "password"]);
        }
        "kubernetes.io/dockerconfigjson" => docker = Some(".dockerconfigjson"),
        "kubernetes.io/dockercfg" => docker = Some(".dockercfg"),
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            let metadata = root.child("metadata");
            if value["metadata"]["annotations"][name].as_str().unwrap_or_default().is_empty() {
                let annotations = metadata.child("annotations");
                errors.push(FieldError::required(&annotations.key(name), ""));
            }
        }
        _ => {}
    }
    match docker {
        Some(key) if !has(key) => errors.push(FieldError::required(&data.key(key), "")),
        Some(key) => {
            let text = value["data"][key].as_str().unwrap_or_default();
            let content = STANDARD.decode(text).unwrap_or_default();
            let parsed: Result<Value, _> = serde_json::from_slice(&content);
            if !parsed.is_ok_and(|parsed| parsed.is_object()) {
                let shown = "<secret contents redacted>".into();
                errors.push(FieldError::invalid(&data.key(key), &shown, "must be a JSON object"));
            }
        }
        None => {}
    }
    errors
}

/// What both have in common: keys, size, and that what is immutable stays.
fn keyed(value: &Value, old: Option<&Value>, maps: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::Root;
    let mut total = 0;
    for map in maps {
        let path = root.child(map);
        for (name, text) in value[*map].as_object().into_iter().flatten() {
            for why in wrong_key(name) {
                errors.push(FieldError::invalid(&path.key(name), &name.as_str().into(), why));
            }
            let length = text.as_str().map_or(0, str::len);
            // What is in base64 counts as what it means.
            total += if *map == "binaryData" || maps.len() == 1 { length / 4 * 3 } else { length };
        }
    }
    if total > MAX_DATA {
        // The maps of a ConfigMap are too large together, which is the fault of neither.
        let nameless = root.child("[]");
        let path = if maps.len() == 1 { root.child(maps[0]) } else { nameless };
        errors.push(FieldError::too_long(&path, MAX_DATA as u64));
    }
    if let Some(old) = old
        && old["immutable"] == true
    {
        let why = "field is immutable when `immutable` is set";
        if value["immutable"] != true {
            errors.push(FieldError::forbidden(&root.child("immutable"), why));
        }
        for map in maps.iter().filter(|map| old[**map] != value[**map]) {
            errors.push(FieldError::forbidden(&root.child(map), why));
        }
    }
    errors
}

fn wrong_key(name: &str) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if name.len() > 253 {
        wrong.push("must be no more than 253 characters");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        wrong.push("a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')");
    }
    match name {
        "." => wrong.push("must not be '.'"),
        ".." => wrong.push("must not be '..'"),
        name if name.starts_with("..") => wrong.push("must not start with '..'"),
        _ => {}
    }
    wrong
}

/// Bytes of all values of a ConfigMap or Secret together.
const MAX_DATA: usize = 1 << 20;
