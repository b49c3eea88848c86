//! What the real server's JSON patch does beyond RFC 6902, or other than it.
//!
//! Lives here: one operation as the RFC would have it, for the document at hand. Must not: apply it.
//! Start at [`by_the_rfc`]. Source: `gopkg.in/evanphx/json-patch.v4`, observed answers.

use serde_json::{Map, Value};

/// The operation to apply instead; `None` when it does nothing.
///
/// A `replace` may add a field, a `copy` may take what is not there as null, a `test` for null holds
/// where nothing is, a missing value is null, and negative indices count from the end.
pub(super) fn by_the_rfc(document: &Value, operation: &Map<String, Value>) -> Option<Value> {
    let mut operation = operation.clone();
    let text = |operation: &Map<String, Value>, name: &str| {
        operation.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let op = text(&operation, "op");
    if matches!(op.as_str(), "add" | "replace") && operation.get("path") == Some(&"".into()) {
        // It names a field without a name, and no object has one.
        return None;
    }
    for name in ["path", "from"] {
        let path = text(&operation, name);
        if path.contains("/-") {
            let extra = usize::from(name == "path" && op == "add");
            operation.insert(name.to_owned(), positive(document, &path, extra).into());
        }
    }
    if matches!(op.as_str(), "add" | "replace" | "test") {
        operation.entry("value").or_insert(Value::Null);
    }
    let path = text(&operation, "path");
    match op.as_str() {
        "replace" if is_missing_field(document, &path) => {
            operation.insert("op".to_owned(), "add".into());
        }
        "test" if operation["value"].is_null() && is_missing_field(document, &path) => {
            return None;
        }
        "copy" if is_missing_field(document, &text(&operation, "from")) => {
            operation.insert("op".to_owned(), "add".into());
            operation.insert("value".to_owned(), Value::Null);
        }
        _ => {}
    }
    Some(Value::Object(operation))
}

/// Texts about fields that operations do not have: `json patch unknown field "[0].junk"`.
pub(super) fn unknown_fields(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().into_iter().flatten().enumerate();
    let unknown = operations.flat_map(|(index, operation)| {
        let names = operation.as_object().into_iter().flat_map(Map::keys);
        names
            .filter(|name| !matches!(name.as_str(), "op" | "path" | "from" | "value"))
            .map(move |name| format!("json patch unknown field \"[{index}].{name}\""))
    });
    unknown.take(MAX_TOLD).collect()
}

/// Whether the path leads to an object that does not have the field.
fn is_missing_field(document: &Value, path: &str) -> bool {
    let Some((parent, name)) = path.rsplit_once('/') else { return false };
    let name = name.replace("~1", "/").replace("~0", "~");
    let parent = document.pointer(parent).and_then(Value::as_object);
    parent.is_some_and(|fields| !fields.contains_key(&name))
}

/// The path with indices counted from the start; `extra` is what the last list grows by.
fn positive(document: &Value, path: &str, extra: usize) -> String {
    let mut out = String::with_capacity(path.len());
    let steps = path.split('/').count();
    for (index, step) in path.split('/').enumerate().skip(1) {
        let list = document.pointer(&out).and_then(Value::as_array);
        let back = step.strip_prefix('-').and_then(|n| n.parse::<usize>().ok());
        let grown = if index + 1 == steps { extra } else { 0 };
        out.push('/');
        match (list, back) {
            (Some(list), Some(back)) if back > 0 && back <= list.len() + grown => {
                out.push_str(&(list.len() + grown - back).to_string());
            }
            _ => out.push_str(step),
        }
    }
    out
}

/// Unknown fields told of one patch.
const MAX_TOLD: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(operation: Value, expected: Option<Value>) {
        let document = json!({"a": 1, "l": ["x", "y"]});
        let fields = operation.as_object().expect("an operation is an object");
        assert_eq!(by_the_rfc(&document, fields), expected, "{operation}");
    }

    #[test]
    fn operations_of_the_rfc_stay() {
        for operation in [
            json!({"op": "add", "path": "/l/-", "value": 1}),
            json!({"op": "replace", "path": "/a", "value": 2}),
            json!({"op": "replace", "path": "/x/y", "value": 2}),
            json!({"op": "remove", "path": "/b"}),
            json!({"op": "test", "path": "/b", "value": 1}),
        ] {
            check(operation.clone(), Some(operation));
        }
    }

    #[test]
    fn what_goes_beyond_it_is_brought_back() {
        check(
            json!({"op": "replace", "path": "/b", "value": 2}),
            Some(json!({"op": "add", "path": "/b", "value": 2})),
        );
        check(
            json!({"op": "remove", "path": "/l/-1"}),
            Some(json!({"op": "remove", "path": "/l/1"})),
        );
        check(
            json!({"op": "add", "path": "/l/-1"}),
            Some(json!({"op": "add", "path": "/l/2", "value": null})),
        );
        check(json!({"op": "test", "path": "/b"}), None);
        check(json!({"op": "replace", "path": "", "value": 1}), None);
        check(
            json!({"op": "copy", "from": "/b", "path": "/c"}),
            Some(json!({"op": "add", "from": "/b", "path": "/c", "value": null})),
        );
    }

    #[test]
    fn fields_of_no_operation_are_told() {
        let patch = json!([{"op": "add"}, {"op": "add", "junk": 1}]);
        assert_eq!(unknown_fields(&patch), [r#"json patch unknown field "[1].junk""#]);
    }
}
