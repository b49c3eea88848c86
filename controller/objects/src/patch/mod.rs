//! Patches: what a client wants changed, applied to what is stored.
//!
//! Lives here: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge for the built-in kinds.
//! Must not: validate the result. Start at [`json`], [`merge`] and [`strategic`].

mod lenient;
mod strategic;

use json_patch::PatchOperation;
use serde_json::Value;

use crate::shown;
pub use strategic::strategic;

/// Why a patch was not applied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// The body is no patch: 400.
    #[error("error decoding patch: {0}")]
    Decode(String),
    /// Too many operations: 413.
    #[error(
        "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}"
    )]
    TooManyOperations(usize),
    /// The patch grows the object beyond what any object may be: 413.
    #[error("the patch makes the object too large or nests it too deep")]
    TooLarge,
    /// An operation cannot be done on this object, or a test failed: 422.
    #[error("operation {index} of the patch: {why}")]
    Rejected {
        /// Which operation, from 0.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A strategic directive is wrong: 400.
    #[error("{0}")]
    Directive(String),
}

/// Applies a JSON patch, all of it or nothing.
///
/// # Errors
/// See [`PatchError`]; `document` is left as it was.
pub fn json(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = match patch {
        Value::Array(operations) => operations,
        // No operations at all.
        Value::Null => return Ok(document.clone()),
        other => {
            return Err(PatchError::Decode(format!(
                "json: cannot unmarshal {} into a list of operations",
                shown::json_kind(other)
            )));
        }
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    let mut result = document.clone();
    let mut growth = 0;
    for (index, operation) in operations.iter().enumerate() {
        let Some(operation) = operation.as_object() else {
            return Err(PatchError::Decode(format!(
                "json: cannot unmarshal {} into operation {index}",
                shown::json_kind(operation)
            )));
        };
        let Some(operation) = lenient::by_the_rfc(&result, operation) else { continue };
        let rejected = |why: String| PatchError::Rejected { index, why };
        let operation: PatchOperation =
            serde_json::from_value(operation).map_err(|e| rejected(e.to_string()))?;
        growth += check_growth(&result, &operation)?;
        if growth > MAX_COPIED {
            return Err(PatchError::TooLarge);
        }
        json_patch::patch_unsafe(&mut result, std::slice::from_ref(&operation))
            .map_err(|e| rejected(e.kind.to_string()))?;
    }
    Ok(result)
}

/// One text for each field that no operation of a JSON patch has.
pub fn unknown_fields(patch: &Value) -> Vec<String> {
    lenient::unknown_fields(patch)
}

/// Applies a merge patch: null deletes, objects merge, all else replaces.
pub fn merge(document: &mut Value, patch: &Value) {
    json_patch::merge(document, patch);
}

/// Bytes, roughly, that an operation copies; refuses what would nest too deep to be walked.
fn check_growth(document: &Value, operation: &PatchOperation) -> Result<usize, PatchError> {
    let (path, value, copied) = match operation {
        PatchOperation::Add(op) => (&op.path, Some(&op.value), false),
        PatchOperation::Replace(op) => (&op.path, Some(&op.value), false),
        PatchOperation::Move(op) => (&op.path, document.pointer(op.from.as_str()), false),
        PatchOperation::Copy(op) => (&op.path, document.pointer(op.from.as_str()), true),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(0),
    };
    let Some(value) = value else { return Ok(0) };
    if path.count() + depth(value) > MAX_DEPTH {
        return Err(PatchError::TooLarge);
    }
    Ok(if copied { weight(value) } else { 0 })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Array(list) => 8 + list.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 8 + map.iter().map(|(k, v)| k.len() + weight(v)).sum::<usize>(),
        Value::String(text) => 8 + text.len(),
        _ => 8,
    }
}

const MAX_OPERATIONS: usize = 10_000;
/// Bytes that the copy operations of one patch may add: what a request body may have.
const MAX_COPIED: usize = 3 << 20;
/// As deep as a decoded body may be.
const MAX_DEPTH: usize = 127;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn json_patches_apply_or_do_nothing() {
        let document = json!({"metadata":{"finalizers":["a"]},"spec":{"n":1}});
        let patched = json_ok(
            &document,
            json!([
                {"op":"test","path":"/metadata/finalizers/0","value":"a"},
                {"op":"remove","path":"/metadata/finalizers/0"},
                {"op":"add","path":"/spec/m","value":2},
                {"op":"add","path":"/spec/n","value":3},
                {"op":"copy","from":"/spec/m","path":"/spec/c"},
                {"op":"move","from":"/spec/m","path":"/spec/d"},
                {"op":"replace","path":"/spec/c","value":9}
            ]),
        );
        assert_eq!(patched, json!({"metadata":{"finalizers":[]},"spec":{"n":3,"c":9,"d":2}}));
    }

    fn json_ok(document: &Value, patch: Value) -> Value {
        json(document, &patch).expect("applies")
    }

    #[test]
    fn operations_that_cannot_be_done_are_rejected() {
        let document = json!({"a":1});
        let bad = [
            json!([{"op":"test","path":"/a","value":2}]),
            json!([{"op":"remove","path":"/b"}]),
            json!([{"op":"frobnicate","path":"/b"}]),
            json!([{"op":"add","path":"/x/y","value":1}]),
        ];
        for patch in bad {
            let error = json(&document, &patch).expect_err("cannot be done");
            assert!(matches!(error, PatchError::Rejected { index: 0, .. }), "{patch} {error}");
        }
        assert!(matches!(json(&document, &json!({})), Err(PatchError::Decode(_))));
        assert!(matches!(json(&document, &json!([1])), Err(PatchError::Decode(_))));
    }

    #[test]
    fn patches_cannot_grow_without_bound() {
        let many = vec![json!({"op":"test","path":"/a","value":1}); MAX_OPERATIONS + 1];
        let document = json!({"a":["xxxxxxxxxxxxxxxx"],"d":{}});
        assert!(matches!(
            json(&document, &Value::Array(many)),
            Err(PatchError::TooManyOperations(_))
        ));
        let doubling: Vec<Value> =
            (0..40).map(|_| json!({"op":"copy","from":"/a","path":"/a/-"})).collect();
        assert_eq!(json(&document, &Value::Array(doubling)), Err(PatchError::TooLarge));
        let deepening: Vec<Value> = (0..200)
            .map(|i| json!({"op":"add","path":format!("/d{}", "/x".repeat(i)),"value":{}}))
            .collect();
        assert_eq!(json(&document, &Value::Array(deepening)), Err(PatchError::TooLarge));
    }

    #[test]
    fn merge_patches_follow_the_rfc() {
        // Examples of RFC 7386, appendix A.
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut document, patch, result) in cases {
            merge(&mut document, &patch);
            assert_eq!(document, result);
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(document in values(), patch in values()) {
            let mut once = document;
            merge(&mut once, &patch);
            let mut twice = once.clone();
            merge(&mut twice, &patch);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn an_empty_merge_changes_no_object(
            document in proptest::collection::btree_map("[a-c]", values(), 0..4)
        ) {
            let document = Value::Object(document.into_iter().collect());
            let mut merged = document.clone();
            merge(&mut merged, &json!({}));
            prop_assert_eq!(merged, document);
        }

        #[test]
        fn hostile_json_patches_never_panic(
            document in values(),
            operations in proptest::collection::vec(
                ("(add|remove|replace|move|copy|test)", "(/[abc0-]){0,3}", "(/[abc0-]){0,3}", values()),
                0..6,
            ),
        ) {
            let patch: Vec<Value> = operations
                .into_iter()
                .map(|(op, path, from, value)| json!({"op":op,"path":path,"from":from,"value":value}))
                .collect();
            let _ = json(&document, &Value::Array(patch));
        }
    }
}
