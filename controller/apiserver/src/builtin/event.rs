//! Events: one set of objects, shown in two forms, and what may stand in them.
//!
//! Texts: `kubernetes/pkg/apis/core/validation/events.go`. Errors name the fields of the core form,
//! whichever was sent.

use objects::field::{FieldError, Path};
use objects::meta;
use serde_json::{Map, Value, json};

/// Fields that the forms name differently: core group, events group.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// An event as the events group shows it.
pub(crate) fn to_new(core: &Value) -> Value {
    let mut new = rename(core, "events.k8s.io/v1", |name| {
        NAMES.iter().find(|(core, _)| *core == name).map(|(_, new)| *new)
    });
    if let Some(fields) = new.as_object_mut() {
        for name in ["reportingController", "reportingInstance"] {
            if fields.get(name).is_some_and(|text| text == "") {
                fields.remove(name);
            }
        }
    }
    new
}

/// An event as it is kept.
pub(crate) fn to_core(new: &Value) -> Value {
    let mut core =
        rename(new, "v1", |name| NAMES.iter().find(|(_, new)| *new == name).map(|(core, _)| *core));
    complete(&mut core);
    core
}

/// What an event of the core form has even when nothing was said.
pub(crate) fn complete(core: &mut Value) {
    let Some(fields) = core.as_object_mut() else { return };
    for name in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        fields.entry(name).or_insert(Value::Null);
    }
    for name in ["reportingComponent", "reportingInstance"] {
        fields.entry(name).or_insert_with(|| "".into());
    }
    for name in ["involvedObject", "source"] {
        fields.entry(name).or_insert_with(|| json!({}));
    }
}

fn rename(event: &Value, api_version: &str, other: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Some(fields) = event.as_object() else { return event.clone() };
    let mut renamed: Map<String, Value> = fields
        .iter()
        .map(|(name, value)| (other(name).unwrap_or(name).to_owned(), value.clone()))
        .collect();
    renamed.insert("apiVersion".to_owned(), api_version.into());
    Value::Object(renamed)
}

/// All that is wrong with an event; the events group demands more of what is new in it.
pub(super) fn validate(value: &Value, old: Option<&Value>, new_form: bool) -> Vec<FieldError> {
    if !new_form {
        return common(value, "reportingComponent");
    }
    let event = to_core(value);
    let mut errors = common(&event, "reportingController");
    match old {
        None => strict_create(&event, &mut errors),
        Some(old) => strict_update(&event, &to_core(old), &mut errors),
    }
    errors
}

/// What holds in both groups.
fn common(event: &Value, controller_field: &str) -> Vec<FieldError> {
    let root = Path::Root;
    let mut errors = Vec::new();
    let own = event["metadata"]["namespace"].as_str().unwrap_or_default();
    let about = text(&event["involvedObject"], "namespace");
    let modern = event["eventTime"].is_string();
    // An event is kept beside what it is about; what has no namespace is told in the default one.
    let fits = match about {
        "" => own == "default" || (modern && own == "kube-system"),
        about => modern || about == own,
    };
    if !fits {
        let object = root.child("involvedObject");
        let why = "does not match event.namespace";
        errors.push(FieldError::invalid(&object.child("namespace"), &about.into(), why));
    }
    if !modern {
        return errors;
    }
    let controller = text(event, "reportingComponent");
    let path = root.child(controller_field);
    if controller.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    if let Some(why) = meta::qualified_name_error(controller) {
        errors.push(FieldError::invalid(&path, &controller.into(), why));
    }
    let limits = [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)];
    for (field, limit) in limits {
        let length = text(event, field).len();
        if length == 0 && field != "message" {
            errors.push(FieldError::required(&root.child(field), ""));
        }
        if length > limit {
            let why = format!("can have at most {limit} characters");
            errors.push(FieldError::invalid(&root.child(field), &"".into(), why));
        }
    }
    errors
}

fn strict_create(event: &Value, errors: &mut Vec<FieldError>) {
    let root = Path::Root;
    if event["eventTime"].is_null() {
        errors.push(FieldError::required(&root.child("eventTime"), ""));
    }
    series(event, errors);
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        let why = format!("has invalid value: {kind}");
        errors.push(FieldError::invalid(&root.child("type"), &"".into(), why));
    }
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if !empty(&event[field]) {
            let why = "needs to be unset";
            errors.push(FieldError::invalid(&root.child(field), &"".into(), why));
        }
    }
}

/// Only the series goes on.
fn strict_update(event: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if event["series"] != old["series"] {
        series(event, errors);
    }
    for field in FIXED {
        if event[field] != old[field] {
            let path = Path::Root;
            let path = path.child(field);
            errors.push(FieldError::invalid(&path, &event[field], "field is immutable"));
        }
    }
}

fn series(event: &Value, errors: &mut Vec<FieldError>) {
    let series = &event["series"];
    if !series.is_object() {
        return;
    }
    let root = Path::Root;
    if series["count"].as_i64().unwrap_or(0) < 2 {
        let path = root.child("series.count");
        errors.push(FieldError::invalid(&path, &"".into(), "should be at least 2"));
    }
    if series["lastObservedTime"].is_null() {
        errors.push(FieldError::required(&root.child("series.lastObservedTime"), ""));
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

const FIXED: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_one_event() {
        let mut core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"name": "x"}, "message": "m", "count": 2, "reason": "R",
            "reportingComponent": "c",
        });
        complete(&mut core);
        let new = to_new(&core);
        assert_eq!(new["regarding"]["name"], "x");
        assert_eq!((&new["note"], &new["deprecatedCount"]), (&json!("m"), &json!(2)));
        assert_eq!(to_core(&new), core);
    }

    #[test]
    fn new_events_say_who_tells_and_when() {
        let mut event = json!({
            "metadata": {"namespace": "a"}, "regarding": {"namespace": "a"}, "reason": "R",
            "action": "A", "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "troupe.dev/x", "reportingInstance": "i",
        });
        assert_eq!(validate(&event, None, true), []);
        let old = event.clone();
        event["note"] = "n".into();
        event["series"] = json!({"count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z"});
        let errors: Vec<String> =
            validate(&event, Some(&old), true).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                r#"series.count: Invalid value: "": should be at least 2"#,
                r#"message: Invalid value: "n": field is immutable"#,
            ]
        );
    }
}
