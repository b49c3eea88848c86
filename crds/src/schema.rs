//! Makes generated schemas what Kubernetes accepts: structural, without formats it does not know.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

/// Cleans the schema, and lets a status without a word from the controller read `observedGeneration: -1`:
/// whoever waits for readiness then waits from the first second.
pub(crate) fn finish(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd).expect("a CRD is plain data");
    let versions = value["spec"]["versions"].as_array_mut().expect("a CRD has versions");
    for version in versions {
        let root = &mut version["schema"]["openAPIV3Schema"];
        clean(root, false);
        if let Some(status) = root["properties"]["status"].as_object_mut() {
            status.insert("default".into(), json!({ "observedGeneration": -1 }));
            status.insert(
                "description".into(),
                json!("What the controller found; never written by hand."),
            );
        }
        root["properties"]["spec"]["description"] = json!("What is wanted.");
        // kube names every definition's root alike; the object's own text is the spec's.
        if let Some(description) = root.get("description").and_then(Value::as_str)
            && description.starts_with("Auto-generated")
        {
            root.as_object_mut().expect("a schema is an object").remove("description");
        }
    }
    serde_json::from_value(value).expect("still a CRD")
}

/// Walks a schema; `in_items` is true below a list, where a default would make every client-side apply
/// see a difference.
fn clean(schema: &mut Value, in_items: bool) {
    let Some(map) = schema.as_object_mut() else { return };
    map.remove("nullable");
    map.remove("title");
    if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        map.remove("format");
    }
    if in_items || map.get("default").is_some_and(Value::is_null) {
        map.remove("default");
    }
    // A description over several lines is a paragraph, not a layout.
    if let Some(text) = map.get("description").and_then(Value::as_str) {
        let flowed = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        map.insert("description".into(), json!(flowed));
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        each(properties, in_items);
    }
    if let Some(items) = map.get_mut("items") {
        clean(items, true);
    }
    if let Some(values) = map.get_mut("additionalProperties") {
        clean(values, in_items);
        bound_text(values);
    }
}

/// Attributes reach the map and not its values: text in a map is at most a line of this length.
fn bound_text(values: &mut Value) {
    if values.get("type").and_then(Value::as_str) == Some("string")
        && let Some(map) = values.as_object_mut()
    {
        map.entry("maxLength").or_insert(json!(1024));
    }
}

fn each(properties: &mut Map<String, Value>, in_items: bool) {
    for property in properties.values_mut() {
        clean(property, in_items);
    }
}
