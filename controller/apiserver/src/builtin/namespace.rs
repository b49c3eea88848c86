//! Namespaces: every one is born with a finalizer, so that it goes only when it is empty.

use objects::field::{FieldError, Path};
use serde_json::{Value, json};

/// Namespaces that cannot be deleted.
pub(crate) fn is_protected(name: &str) -> bool {
    matches!(name, "default" | "kube-system" | "kube-public")
}

/// Those that exist from the start.
pub(crate) const FIRST: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

pub(crate) fn prepare_create(value: &mut Value) {
    label(value);
    value["spec"] = json!({"finalizers": ["kubernetes"]});
    value["status"] = json!({"phase": "Active"});
}

/// Only `/finalize` may change the finalizers of the spec.
pub(crate) fn prepare_update(before: &Value, new: &mut Value) {
    label(new);
    new["spec"] = before["spec"].clone();
    new["status"] = before["status"].clone();
}

/// The phase follows from the deletion.
pub(crate) fn validate(value: &Value) -> Vec<FieldError> {
    let phase = &value["status"]["phase"];
    let deleting = value["metadata"]["deletionTimestamp"].is_string();
    let root = Path::Root;
    let status = root.child("status");
    let path = status.child("Phase");
    match (deleting, phase.as_str()) {
        (false, Some(other)) if other != "Active" => {
            let why = "may only be 'Active' if `deletionTimestamp` is empty";
            vec![FieldError::invalid(&path, phase, why)]
        }
        (true, other) if other != Some("Terminating") => {
            let why = "may only be 'Terminating' if `deletionTimestamp` is not empty";
            vec![FieldError::invalid(&path, phase, why)]
        }
        _ => Vec::new(),
    }
}

fn label(value: &mut Value) {
    let name = value["metadata"]["name"].clone();
    if name.is_string() {
        value["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    }
}
