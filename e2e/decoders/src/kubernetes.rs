//! What users of a Kubernetes API send: objects in three forms, CRDs with rules, and texts with a grammar.

use std::path::Path;

use objects::crd::{Crd, Part};
use objects::jsonpath::JsonPath;
use objects::quantity::Quantity;
use objects::select::{FieldSelector, LabelSelector};
use objects::{crd, decode, duration, patch, protobuf as binary};
use serde_json::{Value, json};

/// An object as JSON or YAML; it may be a CRD, and a patch.
pub(crate) fn manifest(bytes: &[u8], _: &Path) {
    for decoded in [decode::json(bytes).ok(), decode::yaml(bytes).ok()].into_iter().flatten() {
        let mut value = decoded.value;
        if let Ok(text) = serde_json::to_vec(&value) {
            let _ = decode::json(&text);
        }
        let _ = patch::json(&json!({"a": [1, {"b": 2}]}), &value);
        let _ = patch::strategic(&json!({"spec": {"containers": []}}), &value, "Pod");
        patch::merge(&mut json!({"a": {"b": 1}}), &value);
        crd::default(&mut value);
        if let Ok(crd) = Crd::parse(&value) {
            for version in &crd.versions {
                let mut object = value.clone();
                if version.admit(&mut object).is_ok() {
                    let _ = version.validate(Vec::new(), &object, None, Part::Whole);
                }
            }
        }
    }
}

/// The binary form in which kubectl sends built-in kinds.
pub(crate) fn protobuf(bytes: &[u8], _: &Path) {
    let _ = binary::decode(bytes);
}

/// Quantities, points in time, JSON paths and selectors.
pub(crate) fn texts(bytes: &[u8], _: &Path) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(quantity) = Quantity::parse(&text) {
        let _ = (quantity.nanos(), quantity.ceil(), quantity.milli());
    }
    let _ = duration::age(&text, jiff::Timestamp::UNIX_EPOCH);
    if let Ok(path) = JsonPath::parse(&text) {
        path.find(&json!({"a": [{"b": 1, "type": "Ready"}, {"b": "x"}], "c": {"d": null}}));
    }
    if let Ok(selector) = LabelSelector::parse(&text) {
        selector.matches(&json!({"metadata": {"labels": {"a": "b"}}}));
    }
    if let Ok(selector) = FieldSelector::parse(&text) {
        selector.matches(&json!({"metadata": {"name": "a"}}));
    }
}

/// The text as a CEL rule and as its message, compiled and held against an object.
pub(crate) fn rules(bytes: &[u8], _: &Path) {
    let text = String::from_utf8_lossy(bytes);
    let mut value = widget(&text);
    crd::default(&mut value);
    let Ok(crd) = Crd::parse(&value) else { return };
    for version in &crd.versions {
        let mut object = json!({
            "apiVersion": "a.b/v1", "kind": "Widget", "metadata": {"name": "x"},
            "spec": {"size": "large", "list": [1, 2, 3], "map": {"a": "b"}},
        });
        if version.admit(&mut object).is_ok() {
            let _ = version.validate(Vec::new(), &object, Some(&object.clone()), Part::Whole);
        }
    }
}

fn widget(rule: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.a.b"},
        "spec": {
            "group": "a.b",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {
                    "type": "object",
                    "x-kubernetes-validations": [{"rule": rule, "messageExpression": rule}, {"rule": rule}],
                    "properties": {
                        "size": {"type": "string", "maxLength": 10},
                        "list": {"type": "array", "maxItems": 10, "items": {"type": "integer"}},
                        "map": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string", "maxLength": 5}},
                    },
                }},
            }}}],
        },
    })
}
