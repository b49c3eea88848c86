//! Events: one set of objects, shown in two forms.

use serde_json::{Map, Value};

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
    rename(core, "events.k8s.io/v1", |name| {
        NAMES.iter().find(|(core, _)| *core == name).map(|(_, new)| *new)
    })
}

/// An event as it is kept.
pub(crate) fn to_core(new: &Value) -> Value {
    rename(new, "v1", |name| NAMES.iter().find(|(_, new)| *new == name).map(|(core, _)| *core))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_forms_are_one_event() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"name": "x"}, "message": "m", "count": 2, "reason": "R",
            "reportingComponent": "c",
        });
        let new = to_new(&core);
        assert_eq!(new["regarding"]["name"], "x");
        assert_eq!((&new["note"], &new["deprecatedCount"]), (&json!("m"), &json!(2)));
        assert_eq!(to_core(&new), core);
    }
}
