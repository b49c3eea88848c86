//! What built-in kinds demand beyond their schema, and what they change in what they are given.

use objects::field::{FieldError, Path};
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::verbs::write::Part;

use super::{Builtin, data, definition, event, namespace, rbac};

/// Brings a decoded object into the form that objects of the kind always have.
pub(crate) fn complete(kind: &Kind, value: &mut Value) {
    match kind.builtin() {
        Some(Builtin::Event) => event::complete(value),
        Some(Builtin::NewEvent) => *value = event::to_new(&event::to_core(value)),
        Some(Builtin::ConfigMap) => drop_empty(value, &["data", "binaryData"]),
        Some(Builtin::Secret) => drop_empty(value, &["data", "stringData"]),
        Some(Builtin::ServiceAccount) => drop_empty(value, &["secrets", "imagePullSecrets"]),
        Some(Builtin::Lease) if value["spec"].is_null() => value["spec"] = json!({}),
        Some(Builtin::Role) => rbac::default(&kind.kind, value),
        _ => {}
    }
}

fn drop_empty(value: &mut Value, fields: &[&str]) {
    let Some(object) = value.as_object_mut() else { return };
    object.retain(|name, value| {
        let empty = match value {
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        !(empty && fields.contains(&name.as_str()))
    });
}

/// Changes an object before it is created.
pub(crate) fn prepare_create(kind: &Kind, value: &mut Value) {
    match kind.builtin() {
        Some(Builtin::Namespace) => namespace::prepare_create(value),
        Some(Builtin::Secret) => data::fold_string_data(value),
        Some(Builtin::Definition) => objects::crd::default(value),
        _ => {}
    }
}

/// Changes an object before it replaces another.
pub(crate) fn prepare_update(kind: &Kind, before: &Value, new: &mut Value, part: Part) {
    match kind.builtin() {
        Some(Builtin::Namespace) if part == Part::Main => namespace::prepare_update(before, new),
        Some(Builtin::Secret) => {
            data::fold_string_data(new);
            if new["type"] == "Opaque" && before["type"].is_string() {
                new["type"] = before["type"].clone();
            }
        }
        Some(Builtin::Definition) => objects::crd::default(new),
        _ => {}
    }
}

/// All that is wrong with an object of a built-in kind, beside its metadata and its schema.
pub(crate) fn validate(kind: &Kind, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match kind.builtin() {
        Some(Builtin::ConfigMap) => data::config_map(value, old),
        Some(Builtin::Secret) => data::secret(value, old),
        Some(Builtin::Lease) => lease(value),
        Some(Builtin::Namespace) => namespace::validate(value),
        Some(Builtin::Role) => rbac::validate(&kind.kind, value, old),
        Some(Builtin::Definition) => definition::validate(value, old),
        Some(Builtin::Event) => event::validate(value, old, false),
        Some(Builtin::NewEvent) => event::validate(value, old, true),
        _ => Vec::new(),
    }
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
